//! The grammar's errors in words.

use pest::error::{ErrorVariant, InputLocation};

use super::Rule;
use super::scanner::{Chunk, KEYWORDS};
use crate::diag::{Code, Diagnostic};
use crate::source::{FileId, Span};

/// What the grammar says of a text that it cannot read.
pub fn syntax_error(error: &pest::error::Error<Rule>, file: FileId, text: &str, chunk: &Chunk) -> Diagnostic {
    let source = &text[chunk.span.start as usize..chunk.span.end as usize];
    if let Some(diagnostic) = unknown_keyword(file, source, chunk) {
        return diagnostic;
    }
    let at = match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at.min(source.len()),
    };
    let rest = &source[at..];
    let (start, end, found) = match rest.chars().next() {
        None => {
            let last = source.trim_end().len();
            let start = source[..last].char_indices().next_back().map_or(0, |(i, _)| i);
            (start, last, "the end".to_owned())
        }
        Some('\n' | '\r') => {
            let last = source[..at].trim_end().len();
            let start = source[..last].char_indices().next_back().map_or(0, |(i, _)| i);
            (start, last, "the end of the line".to_owned())
        }
        Some(_) => {
            let word =
                rest.chars().take_while(|c| unicode_ident::is_xid_continue(*c)).map(char::len_utf8).sum::<usize>();
            let length = if word > 0 { word } else { rest.chars().next().map_or(1, char::len_utf8) };
            (at, at + length, format!("`{}`", shorten(&rest[..length])))
        }
    };
    let base = chunk.span.start as usize;
    let span = Span::new(file, base + start, base + end);
    let expected = expected(error);
    let mut diagnostic = Diagnostic::error(Code::E104, span, format!("expected {expected}, found {found}"));
    if let Some(help) = hint(rest, &source[..at], chunk) {
        diagnostic = diagnostic.help(help);
    }
    diagnostic
}

/// `chian main = …`: a word, a name and more, where no keyword was known.
fn unknown_keyword(file: FileId, source: &str, chunk: &Chunk) -> Option<Diagnostic> {
    if chunk.keyword.is_some() {
        return None;
    }
    let word: String = source.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let rest = source[word.len()..].trim_start_matches([' ', '\t']);
    let follows = rest.chars().next().is_some_and(|c| unicode_ident::is_xid_start(c) || c == '"');
    if word.is_empty()
        || rest.len() == source.len() - word.len()
        || !follows
        || matches!(word.as_str(), "raw" | "match" | "as")
    {
        return None;
    }
    let start = chunk.span.start as usize;
    let span = Span::new(file, start, start + word.len());
    if word == "tool" {
        return Some(Diagnostic::error(Code::E107, span, "`tool` is kept for what is to come: there are no tools yet"));
    }
    let diagnostic = Diagnostic::error(Code::E104, span, format!("`{word}` begins no declaration")).help(format!(
        "declarations begin with {}",
        KEYWORDS.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")
    ));
    Some(diagnostic.did_you_mean(&word, KEYWORDS.iter().copied()))
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 30 { text.to_owned() } else { text.chars().take(30).chain(['…']).collect() }
}

/// What the grammar would have taken, in words.
fn expected(error: &pest::error::Error<Rule>) -> String {
    let ErrorVariant::ParsingError { positives, .. } = &error.variant else { return "something else".to_owned() };
    let mut words: Vec<&str> = Vec::new();
    let mut positives = positives.clone();
    for (parts, word) in WHOLES {
        if parts[..2].iter().all(|part| positives.contains(part)) {
            positives.retain(|rule| !parts.contains(rule));
            words.push(word);
        }
    }
    for rule in &positives {
        let word = name(*rule);
        if !word.is_empty() && !words.contains(&word) {
            words.push(word);
        }
    }
    if let Some(attempts) = error.parse_attempts() {
        for token in attempts.expected_tokens() {
            let token = token.to_string();
            let word = PUNCTUATION.iter().find(|p| token.trim_matches('`') == p.trim_matches('`')).copied();
            if let Some(word) = word
                && !words.contains(&word)
                && words.len() < 8
            {
                words.push(word);
            }
        }
    }
    match words.as_slice() {
        [] => "something else".to_owned(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

/// What one word says where any of several rules would do, which the first two show.
const WHOLES: &[(&[Rule], &str)] = &[
    (
        &[
            Rule::group,
            Rule::list,
            Rule::string,
            Rule::expression,
            Rule::map,
            Rule::match_,
            Rule::kw_match,
            Rule::raw,
            Rule::kw_raw,
            Rule::call,
            Rule::path,
            Rule::name,
            Rule::number,
        ],
        "a stage",
    ),
    (
        &[Rule::type_group, Rule::type_list, Rule::type_call, Rule::path, Rule::name, Rule::string, Rule::number],
        "a type",
    ),
    (
        &[Rule::messages, Rule::examples, Rule::kw_messages, Rule::kw_examples, Rule::role, Rule::name],
        "a role with its text (`system`, `user` or `assistant`), `messages` or `examples`",
    ),
    (
        &[
            Rule::expect_line,
            Rule::set_line,
            Rule::mock_line,
            Rule::swap_line,
            Rule::runs_line,
            Rule::rows_line,
            Rule::tags_line,
            Rule::skip_line,
            Rule::only_line,
            Rule::name,
            Rule::kw_expect,
            Rule::kw_warn,
            Rule::kw_mock,
            Rule::kw_swap,
            Rule::kw_runs,
            Rule::kw_rows,
            Rule::kw_tags,
            Rule::kw_skip,
            Rule::kw_only,
        ],
        "a line of a test (`NAME = value`, `expect`, `warn`, `mock`, `swap`, `runs`, `rows`, `tags`, `skip`, `only`)",
    ),
    (&[Rule::key, Rule::spread, Rule::name, Rule::string], "`key: …`"),
];

const PUNCTUATION: &[&str] = &["`|`", "`??`", "`=`", "`:`", "`)`", "`]`", "`}`", "`->`", "`=>`", "`{`", "`(`", "`,`"];

/// A rule in words; empty where naming it helps nobody.
fn name(rule: Rule) -> &'static str {
    match rule {
        Rule::pipeline => "a stage",
        Rule::name => "a name",
        Rule::path => "a name",
        Rule::type_ => "a type",
        Rule::string => "a string",
        Rule::number => "a number",
        Rule::expression => "`{{ … }}`",
        Rule::key => "`key: …`",
        Rule::alias | Rule::kw_as => "`as`",
        Rule::fallback => "`??`",
        Rule::record => "`{ fields }`",
        Rule::prompt_block => "`{ … }`",
        Rule::args | Rule::params => "`(`",
        Rule::arm => "`value => …`",
        Rule::role => "a role with its text (`system`, `user` or `assistant`), `messages` or `examples`",
        Rule::image => "`image(\"…\")`",
        Rule::selection => "`{ names }`",
        Rule::param => "`name: type`",
        Rule::field => "`name: type`",
        Rule::default => "`= value`",
        Rule::result => "`-> type`",
        Rule::raw | Rule::kw_raw => "`raw \"…\"`",
        Rule::arg => "an argument",
        Rule::claim | Rule::check => "what must hold, as `contains \"x\"`",
        Rule::bound | Rule::comparison => "a bound, as `< 5`",
        Rule::kw_pass => "`pass`",
        Rule::kw_for => "`for`",
        Rule::kw_from => "`from`",
        Rule::EOI => "the end of the declaration",
        _ => "",
    }
}

/// What to do about common slips.
fn hint(rest: &str, before: &str, chunk: &Chunk) -> Option<String> {
    let first = rest.chars().next();
    match first {
        Some('“' | '”' | '„' | '‘' | '’') => {
            return Some("strings stand in straight quotes: `\"`".to_owned());
        }
        Some('\'') => return Some("strings stand in double quotes: `\"…\"`".to_owned()),
        Some('|') if before.trim_end().ends_with('|') => {
            return Some("a stage is missing between the two `|`".to_owned());
        }
        Some('-') if rest.starts_with("->") && chunk.keyword == Some("chain") => {
            return Some("the result's type stands before `=`: `chain name(…) -> type = …`".to_owned());
        }
        _ => {}
    }
    if before.trim_end().ends_with('|') {
        return Some("`|` wants a stage after it".to_owned());
    }
    match chunk.keyword {
        Some("var") if !before.contains(':') => Some("a variable is declared as `var name: type = default`".to_owned()),
        Some("chain" | "model" | "embedder" | "index") if !before.contains('=') => {
            Some(format!("it is declared as `{} name = …`", chunk.keyword.unwrap_or_default()))
        }
        _ => None,
    }
}
