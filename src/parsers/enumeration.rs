//! `enum`: one of some words.

use std::sync::Arc;

use super::answer;
use super::choice::{Choice, choose, folded};
use super::spec::{Arguments, BuildError, ParseError, ParserArgument, ParserSpec, REPAIR, Rule};
use crate::value::{Constraint, Literal, Type, Value, nearest};

/// The description of `enum`.
pub static SPEC: ParserSpec = ParserSpec {
    name: "enum",
    doc: "one of the words of a type, whatever its case; the whole answer, or the only one of them in it",
    argument: ParserArgument::Words,
    options: &[REPAIR],
    build,
};

struct Enum {
    words: Vec<Arc<str>>,
}

fn build(arguments: &Arguments<'_>) -> Result<Arc<dyn Rule>, BuildError> {
    let ty = arguments.ty.clone().unwrap_or(Type::Any);
    let Some(mut words) = ty.text_literals() else {
        return Err(BuildError::new(format!("`enum` takes a type that lists words, not {ty}"))
            .help("declare one, as type Label = \"bug\" | \"question\""));
    };
    let mut seen = std::collections::HashSet::new();
    words.retain(|w| seen.insert(w.clone()));
    let mut by_fold = std::collections::HashMap::new();
    for word in &words {
        if let Some(other) = by_fold.insert(folded(word), word) {
            return Err(BuildError::new(format!(
                "\"{other}\" and \"{word}\" differ only in what `enum` ignores: case, quotes, full stops and spaces around"
            )));
        }
    }
    Ok(Arc::new(Enum { words }))
}

impl Enum {
    fn list(&self, indices: impl Iterator<Item = usize>) -> String {
        indices.filter_map(|i| self.words.get(i)).map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(", ")
    }

    fn all(&self) -> String {
        self.list(0..self.words.len())
    }
}

impl Rule for Enum {
    fn parse(&self, text: &str) -> Result<Value, ParseError> {
        let (_, body) = answer::body(text)?;
        let words: Vec<&str> = self.words.iter().map(|w| &**w).collect();
        match choose(&words, body) {
            Choice::One(i) => Ok(words.get(i).map_or(Value::Null, |w| Value::from(*w))),
            Choice::Several(found) => {
                let found = self.list(found.into_iter());
                Err(ParseError::new(format!(
                    "the answer names more than one word of the enum, {found}: {}",
                    answer::quoted(body)
                )))
            }
            Choice::None => {
                let error = ParseError::new(format!("the answer is no word of the enum: {}", answer::quoted(body)));
                let error = match nearest(&folded(body), words.iter().copied()) {
                    Some(meant) => error.help(format!("close to \"{meant}\", but that is not what it says")),
                    None => error,
                };
                Err(error.help(format!("the words are {}", self.all())))
            }
        }
    }

    fn output_type(&self) -> Type {
        let mut words = self.words.iter().map(|w| Type::Literal(Literal::Text(w.clone())));
        match (words.next(), self.words.len()) {
            (Some(one), 1) => one,
            (first, _) => Type::Union(first.into_iter().chain(words).collect()),
        }
    }

    fn constraint(&self) -> Option<Constraint> {
        // As JSON a word comes in quotes, which the parser passes over; what JSON must escape it would not read.
        let plain = |word: &Arc<str>| !word.contains(|c: char| c == '"' || c == '\\' || c.is_control());
        self.words.iter().all(plain).then(|| Constraint::JsonSchema(self.output_type().json_schema()))
    }

    fn format_instructions(&self) -> String {
        format!("Answer with one of these words and nothing else: {}", self.all())
    }
}
