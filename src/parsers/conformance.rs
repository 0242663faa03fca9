//! Agreement with LangChain's parsers (`tests/data/langchain`). Deliberate differences are rules with a reason, never
//! rows to skip.

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::{build, find};
use crate::value::Value;

fn cases(text: &str) -> Vec<Json> {
    let file: Json = serde_json::from_str(text).unwrap();
    file["cases"].as_array().unwrap().clone()
}

fn parse(name: &str, pattern: Option<&str>, options: &[(&str, Value)], text: &str) -> Option<Json> {
    let options: IndexMap<_, _> = options.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    let parser = build(find(name).unwrap(), None, pattern, &options).unwrap();
    parser.parse(text).ok().map(|v| v.to_json())
}

#[test]
fn json() {
    for case in cases(include_str!("../../tests/data/langchain/json_markdown.json")) {
        let input = case["input"].as_str().unwrap();
        let here = parse("json", None, &[], input);
        let there = case.get("expected").cloned();
        // Nothing is invented: what is cut off is an error, where LangChain closes brackets and strings on its own.
        let open = input.matches(['{', '[']).count() > input.matches(['}', ']']).count();
        // A key given twice could mean either value.
        let twice = input.matches("\"a\":").count() > 1;
        // Prose may stand around a value with or without a fence; LangChain takes it only behind the value.
        let prose = there.is_none() && input.trim_start().starts_with(|c: char| c.is_alphabetic() || c == '/');
        // A fence that closes over an open bracket is a value cut off too, and counted by the first rule.
        match (open || twice, prose) {
            (true, _) => assert_eq!(here, None, "{input:?}"),
            (false, true) => assert!(here.is_some(), "{input:?}"),
            (false, false) => assert_eq!(here, there, "{input:?}"),
        }
    }
}

#[test]
fn lists() {
    for (file, style) in [
        (include_str!("../../tests/data/langchain/csv_list.json"), "comma"),
        (include_str!("../../tests/data/langchain/numbered_list.json"), "numbered"),
        (include_str!("../../tests/data/langchain/markdown_list.json"), "bullets"),
    ] {
        for case in cases(file) {
            let input = case["input"].as_str().unwrap();
            let here = parse("list", None, &[("style", style.into())], input);
            // `+` and `•` are bullets too: CommonMark has the one, models write the other.
            let bullets = style == "bullets" && input.starts_with('+');
            // An answer that holds no item where there should be some is an error, not an empty list.
            let none = case["expected"].as_array().unwrap().is_empty();
            match (bullets, none) {
                (true, _) => assert_eq!(here, Some(serde_json::json!(["a", "b"])), "{input:?}"),
                (false, true) => assert_eq!(here, None, "{input:?}"),
                (false, false) => assert_eq!(here.as_ref(), case.get("expected"), "{input:?}"),
            }
        }
    }
}

#[test]
fn booleans() {
    for case in cases(include_str!("../../tests/data/langchain/boolean.json")) {
        let input = case["input"].as_str().unwrap();
        assert_eq!(parse("bool", None, &[], input).as_ref(), case.get("expected"), "{input:?}");
    }
}

#[test]
fn patterns() {
    for case in cases(include_str!("../../tests/data/langchain/regex.json")) {
        let input = case["input"].as_str().unwrap();
        // Groups carry their names here, where LangChain has a list of keys beside the pattern.
        let mut pattern = case["regex"].as_str().unwrap().to_owned();
        let mut from = 0;
        for key in case["keys"].as_array().unwrap() {
            let Some(at) = pattern[from..].find('(') else { break };
            let name = format!("?P<{}>", key.as_str().unwrap());
            pattern.insert_str(from + at + 1, &name);
            from += at + 1 + name.len();
        }
        let here = parse("regex", Some(&pattern), &[], input);
        // There is no default key to put an answer under that the pattern does not match.
        let wanted = if case["default"].is_null() { case.get("expected").cloned() } else { None };
        assert_eq!(here, wanted, "{input:?}");
    }
}
