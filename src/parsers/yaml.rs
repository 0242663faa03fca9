//! `yaml`: a YAML value, of a type where one is given.
//!
//! The value is what the only fence holds, else the answer. Nearly any prose is YAML too, so without a fence the lines
//! of prose before and after are told by their form: what counts as YAML begins with the first line that is a list item,
//! a key with a colon, a bracket or a document mark, and ends before the last paragraphs without such a line.

use std::sync::Arc;

use super::answer;
use super::fences::fences;
use super::spec::{Arguments, BuildError, ParseError, ParserArgument, ParserSpec, REPAIR, Rule};
use crate::value::{Type, Value};

/// The description of `yaml`.
pub static SPEC: ParserSpec = ParserSpec {
    name: "yaml",
    doc: "the only YAML value in the answer, of the type where one is given",
    argument: ParserArgument::OptionalType,
    options: &[REPAIR],
    build,
};

struct Yaml {
    /// `Any` where no type is given.
    ty: Type,
}

fn build(arguments: &Arguments<'_>) -> Result<Arc<dyn Rule>, BuildError> {
    Ok(Arc::new(Yaml { ty: arguments.ty.clone().unwrap_or(Type::Any) }))
}

impl Rule for Yaml {
    fn parse(&self, text: &str) -> Result<Value, ParseError> {
        let (offset, rest) = answer::without_thinking(text)?;
        let found = fences(rest);
        let (start, written) = match found.as_slice() {
            [] => {
                let (start, end) = without_prose(rest);
                (start, rest[start..end].to_owned())
            }
            [one] if one.closed => (one.inner.start, one.text(rest)),
            [one] => {
                return Err(answer::at(text, offset + one.open, "this fence is never closed, so the YAML is cut off"));
            }
            [_, second, ..] => {
                let message = "the answer holds more than one fence; a second begins here";
                return Err(answer::at(text, offset + second.open, message));
            }
        };
        if written.trim().is_empty() {
            return Err(ParseError::new("the answer is empty, where YAML was expected"));
        }
        let json = crate::config::yaml(&written).map_err(|e| {
            // Further lines of the message show an excerpt; the answer's own is shown here.
            let why = e.lines().next().unwrap_or_default().trim_start_matches("error: ");
            answer::at(text, offset + start, format!("the YAML cannot be read: {why}"))
        })?;
        self.ty.accept(&Value::from_json(&json)).map_err(|mut error| {
            let help = error.help.take();
            let error = ParseError::new(format!("the YAML is no {}: {error}", self.ty));
            help.into_iter().fold(error, ParseError::help)
        })
    }

    fn output_type(&self) -> Type {
        self.ty.clone()
    }

    fn format_instructions(&self) -> String {
        let first = "Answer with YAML alone: no other text.";
        match &self.ty {
            Type::Any => first.to_owned(),
            ty => format!("{first} As JSON, it must obey this JSON Schema:\n{}", ty.json_schema()),
        }
    }
}

/// The bytes of `text` without lines of prose before and after; all of it where no line is surely YAML.
fn without_prose(text: &str) -> (usize, usize) {
    let mut lines = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        lines.push((at, line));
        at += line.len();
    }
    let Some(first) = lines.iter().position(|(_, l)| is_yaml(l)) else { return (0, text.len()) };
    let start = lines.get(first).map_or(0, |(at, _)| *at);
    let last = lines.iter().rposition(|(_, l)| is_yaml(l) || l.starts_with([' ', '\t']) && !l.trim().is_empty());
    // Prose behind the value stands after a blank line; any other line belongs to the value, or breaks it.
    let blank = lines.iter().skip(last.unwrap_or(first)).find(|(_, l)| l.trim().is_empty());
    (start, blank.map_or(text.len(), |(at, _)| *at))
}

/// Whether a line is YAML rather than prose: a list item, a bracket, a document mark, a comment, or a key of at most
/// three words before a colon.
fn is_yaml(line: &str) -> bool {
    let line = line.trim();
    if line.starts_with("- ") || line == "-" || line.starts_with(['{', '[', '#', '}', ']']) || line.starts_with("---") {
        return true;
    }
    let quoted = line.starts_with(['"', '\'']);
    let Some((key, rest)) = line.split_once(':') else { return false };
    let word = |w: &str| !w.ends_with([',', '!', '?', '.']);
    let short = quoted || (key.split_whitespace().count() <= 3 && key.split_whitespace().all(word));
    // `Sure, here it is:` and `Here you go:` announce; a key without a value is one word.
    let alone = rest.trim().is_empty() && key.split_whitespace().count() > 1 && !quoted;
    short && !alone && (rest.is_empty() || rest.starts_with([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        Yaml { ty: Type::Any }.parse(text).map_or_else(|e| e.message, |v| v.to_json().to_string())
    }

    #[test]
    fn what_stands_around_is_no_matter() {
        for text in [
            "name: Kim\ntags: [a, b]",
            "```yaml\nname: Kim\ntags:\n  - a\n  - b\n```",
            "Sure! Here it is:\n```yml\nname: Kim\ntags: [a, b]\n```\nAnything else?",
            "Sure! Here it is:\n\nname: Kim\ntags:\n- a\n- b\n\nHope this helps.",
            "Here you go:\nname: Kim\ntags: [a, b]\n",
            "<think>name: Lee</think>\nname: Kim\n\ntags: [a, b]",
            "{\"name\": \"Kim\", \"tags\": [\"a\", \"b\"]}",
        ] {
            assert_eq!(show(text), r#"{"name":"Kim","tags":["a","b"]}"#, "{text}");
        }
        assert_eq!(show("- 1\n- no\n- 2024-05-06\n- null"), r#"[1,"no","2024-05-06",null]"#);
        assert_eq!(show("text: |\n  one\n\n  two\n"), r#"{"text":"one\n\ntwo\n"}"#);
        assert_eq!(show("plain words"), r#""plain words""#);
    }

    #[test]
    fn nothing_is_guessed() {
        for (text, wanted) in [
            ("", "empty"),
            ("a: 1\na: 2", "cannot be read"),
            ("a: [1, 2", "cannot be read"),
            ("```yaml\na: 1", "never closed"),
            ("```\na: 1\n```\n```\nb: 1\n```", "more than one fence"),
            ("a: 1\n---\nb: 2", "cannot be read"),
            ("a: 1\nand so on", "cannot be read"),
        ] {
            assert!(show(text).contains(wanted), "{text}: {}", show(text));
        }
        let typed = Yaml { ty: Type::Map(Box::new(Type::Int)) };
        assert!(typed.parse("a: one").unwrap_err().message.contains("expected int"));
    }
}
