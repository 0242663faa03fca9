//! `regex`: the named groups of a pattern.
//!
//! The pattern is searched in the answer without the model's reasoning; one that speaks of `think>` itself sees that
//! too. A group that took no part in the match is null.

use std::sync::Arc;

use indexmap::IndexMap;
use regex::Regex;

use super::answer;
use super::spec::{
    Arguments, BuildError, OptionKind, ParseError, ParserArgument, ParserOption, ParserSpec, REPAIR, Rule,
};
use crate::value::{Constraint, Field, Record, Type, Value};

/// The description of `regex`.
pub static SPEC: ParserSpec = ParserSpec {
    name: "regex",
    doc: "a map of the pattern's named groups",
    argument: ParserArgument::Pattern,
    options: &[FULL, REPAIR],
    build,
};

const FULL: ParserOption = ParserOption {
    name: "full",
    kind: OptionKind::Bool,
    default: "false",
    doc: "the pattern must match the whole answer, spaces around it aside",
};

struct Pattern {
    regex: Regex,
    /// As written, for messages and constraints.
    written: String,
    full: bool,
}

fn build(arguments: &Arguments<'_>) -> Result<Arc<dyn Rule>, BuildError> {
    let written = arguments.pattern.unwrap_or_default();
    let regex = Regex::new(written).map_err(|e| unreadable(&e))?;
    if regex.capture_names().flatten().next().is_none() {
        return Err(BuildError::new("the pattern of `regex` names no group, so it gives nothing")
            .help("name what it is to give, as (?P<year>[0-9]{4})"));
    }
    let full = arguments.bool("full").unwrap_or(false);
    let regex = if full { anchored(written).map_err(|e| unreadable(&e))? } else { regex };
    Ok(Arc::new(Pattern { regex, written: written.to_owned(), full }))
}

/// The pattern, to match a whole text. In a verbose pattern a comment may run to the end, and swallow the bracket;
/// there a line break is not part of what is matched.
fn anchored(written: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!(r"\A(?:{written})\z")).or_else(|_| Regex::new(&format!("\\A(?:{written}\n)\\z")))
}

fn unreadable(error: &regex::Error) -> BuildError {
    let text = error.to_string();
    // The crate shows the pattern with a caret and says why in the last line.
    let mut lines: Vec<&str> = text.lines().collect();
    let why = lines.pop().unwrap_or_default().trim_start_matches("error: ");
    let error = BuildError::new(format!("the pattern of `regex` cannot be read: {why}"));
    if lines.len() > 1 { error.help(lines[1..].join("\n")) } else { error }
}

impl Rule for Pattern {
    fn parse(&self, text: &str) -> Result<Value, ParseError> {
        let seen = if self.written.contains("think>") { text } else { answer::without_thinking(text)?.1 };
        let seen = match self.full {
            // A pattern that speaks of a fence gets it, as with reasoning.
            true if self.written.contains("```") => seen.trim(),
            true => answer::unfenced(seen).1,
            false => seen,
        };
        let Some(found) = self.regex.captures(seen) else {
            let what = if self.full { "is not all of the pattern of `regex`" } else { "has no match for `regex`" };
            return Err(ParseError::new(format!("the answer {what}: {}", answer::quoted(seen)))
                .help(format!("the pattern is {}", self.written)));
        };
        let group = |name: &str| found.name(name).map_or(Value::Null, |m| Value::from(m.as_str()));
        let groups = self.regex.capture_names().flatten().map(|name| (name.to_owned(), group(name)));
        Ok(Value::Map(Arc::new(groups.collect::<IndexMap<_, _>>())))
    }

    fn output_type(&self) -> Type {
        // Known only for the pattern as a whole: either all groups take part in every match, or some may not.
        let always = self.regex.static_captures_len() == Some(self.regex.captures_len());
        let ty = if always { Type::Text } else { Type::Optional(Box::new(Type::Text)) };
        let field = |name: &str| Field { name: name.to_owned(), ty: ty.clone(), doc: None };
        let fields = self.regex.capture_names().flatten().map(field).collect();
        Type::Record(Arc::new(Record { name: None, fields, doc: None }))
    }

    fn constraint(&self) -> Option<Constraint> {
        self.full.then(|| Constraint::Regex(self.written.clone()))
    }

    fn format_instructions(&self) -> String {
        if self.full {
            format!(
                "Answer with text that matches this regular expression from its first to its last character: {}",
                self.written
            )
        } else {
            format!("Somewhere in the answer, write text that matches this regular expression: {}", self.written)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parsers::{Parser, build as make, find};

    fn parser(pattern: &str, full: bool) -> Result<Parser, BuildError> {
        let options = IndexMap::from([("full".to_owned(), Value::Bool(full))]);
        make(find("regex").unwrap(), None, Some(pattern), &options)
    }

    fn show(pattern: &str, full: bool, text: &str) -> String {
        parser(pattern, full).unwrap().parse(text).map_or_else(|e| e.message, |v| v.to_json().to_string())
    }

    #[test]
    fn named_groups() {
        let date = "(?P<year>[0-9]{4})-(?<month>[0-9]{2})";
        assert_eq!(show(date, false, "Published 2024-05-06 in Seoul"), r#"{"year":"2024","month":"05"}"#);
        assert_eq!(show("(?P<a>x)|(?P<b>y)", false, "y"), r#"{"a":null,"b":"y"}"#);
        assert_eq!(show(date, false, "<think>2023-01</think>none"), "the answer has no match for `regex`: \"none\"");
        assert_eq!(show("(?s)<think>(?P<t>.*)</think>", false, "<think>hm</think>a"), r#"{"t":"hm"}"#);
    }

    #[test]
    fn the_whole_answer() {
        assert_eq!(show("(?P<n>a|ab)", true, " ab\n"), r#"{"n":"ab"}"#);
        assert_eq!(show("(?P<n>a)", true, "```\na\n```"), r#"{"n":"a"}"#);
        assert_eq!(show("(?x) (?P<n>a) # the letter", true, "a"), r#"{"n":"a"}"#);
        assert!(show("(?P<n>a)", true, "ba").contains("not all"));
        let made = parser("(?P<n>a)", true).unwrap();
        assert_eq!(made.constraint(), Some(Constraint::Regex("(?P<n>a)".to_owned())));
        assert_eq!(parser("(?P<n>a)", false).unwrap().constraint(), None);
    }

    #[test]
    fn types_of_groups() {
        assert_eq!(parser("(?P<a>x)(?P<b>y)", false).unwrap().output_type().to_string(), "{ a: string, b: string }");
        assert_eq!(parser("(?P<a>x)(?P<b>y)?", false).unwrap().output_type().to_string(), "{ a: string?, b: string? }");
    }

    #[test]
    fn patterns_are_checked() {
        let error = parser("(?P<year>[0-9]+", false).unwrap_err();
        assert_eq!(error.message, "the pattern of `regex` cannot be read: unclosed group");
        assert!(error.help.unwrap().contains('^'));
        assert!(parser("[0-9]+", false).unwrap_err().message.contains("names no group"));
        assert!(parser("(?P<a>\\w{1000}){1000}", false).is_err());
    }
}
