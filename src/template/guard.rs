//! Bounds that keep minijinja's recursive parser and compiler within the stack.

use minijinja::machinery::{Token, Tokenizer};

use super::{TemplateError, engine, error};

/// The deepest that brackets, operators, fields, filters and blocks may stack up.
const DEEPEST: usize = 200;
/// The longest template.
const LONGEST: usize = 16 << 20;

/// Checks `text` before the parser sees it.
///
/// Chains of operators, fields and filters nest in the tree as brackets do, though they look flat.
pub(super) fn check(text: &str, is_expression: bool) -> Result<(), TemplateError> {
    if text.len() > LONGEST {
        return Err(TemplateError::new("the template is longer than 16 MiB"));
    }
    if text.contains(engine::COMMENT_START) {
        return Err(TemplateError::new("the template holds a control sequence that stands for nothing"));
    }
    // Every level takes a byte at least.
    if text.len() <= DEEPEST {
        return Ok(());
    }
    let mut tokens = Tokenizer::new(text, engine::NAME, is_expression, engine::syntax());
    let mut levels: Vec<usize> = vec![0];
    let mut branches: Vec<usize> = Vec::new();
    let mut begins_tag = false;
    loop {
        let (token, span) = match tokens.next_token() {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(()),
            Err(e) => return Err(error::compile_time(&e, text, &Default::default())),
        };
        if begins_tag {
            match token {
                Token::Ident("if") => branches.push(0),
                Token::Ident("endif") => drop(branches.pop()),
                Token::Ident("elif") => branches.iter_mut().rev().take(1).for_each(|n| *n += 1),
                _ => {}
            }
        }
        begins_tag = matches!(token, Token::BlockStart);
        step(&token, &mut levels);
        let depth = levels.last().copied().unwrap_or_default();
        if depth > DEEPEST || branches.iter().sum::<usize>() > DEEPEST || levels.len() > DEEPEST {
            let mut e = TemplateError::new(format!("nested deeper than {DEEPEST}"));
            e.range = Some(span.start_offset as usize..span.end_offset as usize);
            return Err(e);
        }
    }
}

/// Counts `token` into the depth so far; every open bracket has a level of its own.
fn step(token: &Token<'_>, levels: &mut Vec<usize>) {
    let now = levels.last().copied().unwrap_or_default();
    match token {
        Token::VariableStart | Token::BlockStart => *levels = vec![0],
        Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => levels.push(now + 1),
        Token::ParenClose | Token::BracketClose | Token::BraceClose => {
            if levels.len() > 1 {
                levels.pop();
            }
            if let Some(n) = levels.last_mut() {
                *n += 1;
            }
        }
        Token::Comma => {
            let base = levels.len().checked_sub(2).and_then(|i| levels.get(i)).map_or(0, |n| n + 1);
            if let Some(n) = levels.last_mut() {
                *n = base;
            }
        }
        Token::Ident("not" | "and" | "or" | "is" | "in" | "if" | "else")
        | Token::Plus
        | Token::Minus
        | Token::Mul
        | Token::Div
        | Token::FloorDiv
        | Token::Pow
        | Token::Mod
        | Token::Dot
        | Token::Tilde
        | Token::Pipe
        | Token::Eq
        | Token::Ne
        | Token::Gt
        | Token::Gte
        | Token::Lt
        | Token::Lte => {
            if let Some(n) = levels.last_mut() {
                *n += 1;
            }
        }
        _ => {}
    }
}
