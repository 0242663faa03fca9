//! Output parsers: what turns a model's answer into a value, strictly. One file a parser and one line in [`PARSERS`];
//! checking, suggestions, help and the reference pages read the same table.

mod answer;
mod boolean;
mod choice;
mod code;
mod csv;
mod csv_rows;
mod datetime;
mod enumeration;
mod fences;
mod growing;
mod json;
mod json_all;
mod json_grow;
mod json_live;
mod json_scan;
mod json_text;
mod list;
mod list_live;
mod number;
mod regex;
mod rows_live;
mod spec;
mod text;
mod xml;
mod xml_text;
mod yaml;

#[cfg(test)]
mod conformance_tests;

use std::sync::Arc;

pub use json_all::{json_document, json_values};
pub use spec::{Arguments, BuildError, OptionKind, ParseError, ParserArgument, ParserOption, ParserSpec, Rule};

use crate::event::Growing;
use crate::value::{Constraint, Type, Value};
use indexmap::IndexMap;

/// Every parser, in the order in which messages list them.
pub static PARSERS: &[&ParserSpec] = &[
    &text::SPEC,
    &json::SPEC,
    &list::SPEC,
    &enumeration::SPEC,
    &number::SPEC,
    &boolean::SPEC,
    &regex::SPEC,
    &yaml::SPEC,
    &xml::SPEC,
    &csv::SPEC,
    &code::SPEC,
    &datetime::SPEC,
];

/// The parser called `name`.
pub fn find(name: &str) -> Option<&'static ParserSpec> {
    PARSERS.iter().copied().find(|spec| spec.name == name)
}

/// The names of all parsers.
pub fn names() -> impl Iterator<Item = &'static str> {
    PARSERS.iter().map(|spec| spec.name)
}

/// A parser with its arguments, ready for any number of answers.
#[derive(Clone)]
pub struct Parser {
    spec: &'static ParserSpec,
    rule: Arc<dyn Rule>,
    repair: u32,
}

impl std::fmt::Debug for Parser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} -> {}", self.spec.name, self.rule.output_type())
    }
}

impl Parser {
    /// The parser's name, as `json`.
    pub fn name(&self) -> &'static str {
        self.spec.name
    }

    /// The parser's description.
    pub fn spec(&self) -> &'static ParserSpec {
        self.spec
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// The answer is not what the parser takes; nothing is guessed.
    pub fn parse(&self, text: &str) -> Result<Value, ParseError> {
        self.rule.parse(text)
    }

    /// What reads an answer that is still being written, where the parser can tell a part of its value. What it has in
    /// the end is the value of [`Parser::parse`], or is replaced by it.
    pub fn stream(&self) -> Option<Box<dyn Growing>> {
        self.rule.stream()
    }

    /// The type of every value that [`Parser::parse`] gives.
    pub fn output_type(&self) -> Type {
        self.rule.output_type()
    }

    /// What would make a model's answer one that the parser takes, where that can be said.
    pub fn constraint(&self) -> Option<Constraint> {
        self.rule.constraint()
    }

    /// What to tell a model so that its answer is one that the parser takes: `{{ format_instructions }}`.
    pub fn format_instructions(&self) -> String {
        self.rule.format_instructions()
    }

    /// How often a model is asked again when its answer is not what the parser takes.
    pub fn repair(&self) -> u32 {
        self.repair
    }
}

/// Makes a parser from its arguments: the type or the pattern that stands first, and the named options.
///
/// # Errors
/// An argument that is missing, unknown or not what the parser takes.
pub fn build(
    spec: &'static ParserSpec,
    type_arg: Option<Type>,
    pattern: Option<&str>,
    options: &IndexMap<String, Value>,
) -> Result<Parser, BuildError> {
    spec.check_argument(type_arg.is_some(), pattern.is_some())?;
    for (name, value) in options {
        spec.check_option(name, value)?;
    }
    let arguments = Arguments { ty: type_arg, pattern, options };
    let rule = (spec.build)(&arguments)?;
    let repair = arguments.int("repair").and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    Ok(Parser { spec, rule, repair })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(list: &[(&str, Value)]) -> IndexMap<String, Value> {
        list.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect()
    }

    #[test]
    fn every_name_is_found_and_told_apart() {
        for name in names() {
            assert_eq!(find(name).unwrap().name, name);
        }
        assert_eq!(names().collect::<std::collections::BTreeSet<_>>().len(), PARSERS.len());
        assert!(find("jsn").is_none());
    }

    #[test]
    fn options_are_checked() {
        let json = find("json").unwrap();
        let error = build(json, None, None, &options(&[("repiar", Value::Int(2))])).unwrap_err();
        assert_eq!(error.option.as_deref(), Some("repiar"));
        assert_eq!(error.help.as_deref(), Some("did you mean `repair`?"));
        let error = build(json, None, None, &options(&[("repair", Value::Int(11))])).unwrap_err();
        assert_eq!(error.message, "`repair` takes an int from 0 to 10, not 11");
        let list = find("list").unwrap();
        let error = build(list, None, None, &options(&[("style", "numbred".into())])).unwrap_err();
        assert!(error.help.unwrap().contains("numbered"));
        assert!(build(list, Some(Type::Int), None, &IndexMap::new()).is_err());
        assert!(build(find("enum").unwrap(), None, None, &IndexMap::new()).is_err());
        assert!(build(find("regex").unwrap(), None, None, &IndexMap::new()).is_err());
        let parser = build(json, None, None, &options(&[("repair", Value::Int(2))])).unwrap();
        assert_eq!((parser.repair(), parser.name()), (2, "json"));
    }
}
