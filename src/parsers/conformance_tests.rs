//! Agreement with LangChain's parsers (`tests/data/langchain`). A deliberate difference is a rule over the input alone,
//! with what is wanted instead and the number of rows that it may take; `docs/language.md` gives the reasons. Every row
//! is checked.

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use super::{build, find};
use crate::value::Value;

/// A difference on purpose.
struct Difference {
    /// Why.
    reason: &'static str,
    /// Whether it concerns an input.
    applies: fn(&str) -> bool,
    /// What is wanted then: nothing is an error.
    wanted: fn(&str) -> Option<Json>,
    /// How many rows it concerns.
    rows: usize,
}

/// The inputs and results of a file; no result is an error.
fn cases(text: &str) -> Vec<Json> {
    let file: Json = serde_json::from_str(text).unwrap();
    file["cases"].as_array().unwrap().clone()
}

fn parse(name: &str, pattern: Option<&str>, options: &[(&str, Value)], text: &str) -> Option<Json> {
    let options: IndexMap<_, _> = options.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    let parser = build(find(name).unwrap(), None, pattern, &options).unwrap();
    parser.parse(text).ok().map(|v| v.to_json())
}

#[allow(clippy::print_stdout, reason = "the agreements are told")]
/// Holds `here` against every case, differences aside, and prints how many agree.
fn compare(
    parser: &str,
    cases: &[Json],
    differences: &[Difference],
    here: impl Fn(&Json) -> (Option<Json>, Option<Json>),
) {
    let mut agree = 0;
    let mut counts = vec![0; differences.len()];
    for case in cases {
        let input = case["input"].as_str().unwrap();
        let (here, there) = here(case);
        match differences.iter().position(|d| (d.applies)(input)) {
            Some(i) => {
                counts[i] += 1;
                assert_eq!(here, (differences[i].wanted)(input), "{}: {input:?}", differences[i].reason);
            }
            None => {
                assert_eq!(here, there, "{input:?}");
                agree += 1;
            }
        }
    }
    for (difference, count) in differences.iter().zip(&counts) {
        assert_eq!(*count, difference.rows, "{}", difference.reason);
    }
    println!("{parser}: {agree} of {} agree, {} differ on purpose", cases.len(), cases.len() - agree);
}

/// Whether a bracket or a string of JSON is still open at the end of `input`.
fn is_cut(input: &str) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0i32, false, false);
    for c in input.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth -= 1,
            _ => {}
        }
    }
    quoted || depth > 0
}

/// Nothing is invented: what is cut off is an error at the end, where LangChain closes brackets and strings on its own.
/// What it makes of such a text is what a stream has told up to there.
fn whole_or_streamed(case: &Json) -> (Option<Json>, Option<Json>) {
    let input = case["input"].as_str().unwrap();
    let whole = parse("json", None, &[], input);
    let here = if is_cut(input) {
        assert_eq!(whole, None, "{input:?} is cut off");
        streamed(std::iter::once(input)).pop()
    } else {
        whole
    };
    (here, case.get("expected").cloned())
}

#[test]
fn json() {
    let all = cases(include_str!("../../tests/data/langchain/json_markdown.json"));
    let escape = Difference {
        reason: "a text that breaks off in an escape has begun all the same",
        applies: |i| i.ends_with("\\u12"),
        wanted: |_| Some(json!({"a": ""})),
        rows: 1,
    };
    let twice = Difference {
        reason: "a key given twice could mean either value",
        applies: |i| i.matches("\"a\":").count() > 1,
        wanted: |_| None,
        rows: 1,
    };
    let prose = Difference {
        reason: "prose may stand before a value too, with or without a fence",
        applies: |i| !i.contains("```") && i.trim_start().starts_with(|c: char| c.is_uppercase() || c == '/'),
        wanted: |_| Some(json!({"a": 1})),
        rows: 2,
    };
    compare("json", &all, &[escape, twice, prose], whole_or_streamed);
}

#[test]
fn lists() {
    for (file, style) in [
        (include_str!("../../tests/data/langchain/csv_list.json"), "comma"),
        (include_str!("../../tests/data/langchain/numbered_list.json"), "numbered"),
        (include_str!("../../tests/data/langchain/markdown_list.json"), "bullets"),
    ] {
        let here = |case: &Json| {
            let input = case["input"].as_str().unwrap();
            (parse("list", None, &[("style", style.into())], input), case.get("expected").cloned())
        };
        let none = Difference {
            reason: "an answer without any item where there should be some is an error, not an empty list",
            applies: |i| !i.contains("1. ") && !i.contains(['*', '+', ',', ';', '\n']) && !i.contains("- "),
            wanted: |_| None,
            rows: usize::from(style != "comma"),
        };
        let bullets = Difference {
            reason: "`+` and `•` are bullets too: CommonMark has the one, models write the other",
            applies: |i| i.starts_with("+ "),
            wanted: |_| Some(json!(["a", "b"])),
            rows: usize::from(style == "bullets"),
        };
        compare(&format!("list ({style})"), &cases(file), &[none, bullets], here);
    }
}

#[test]
fn booleans() {
    let all = cases(include_str!("../../tests/data/langchain/boolean.json"));
    compare("bool", &all, &[], |case| {
        (parse("bool", None, &[], case["input"].as_str().unwrap()), case.get("expected").cloned())
    });
}

#[test]
fn patterns() {
    let all = cases(include_str!("../../tests/data/langchain/regex.json"));
    compare("regex", &all, &[], |case| {
        // Groups carry their names here, where LangChain has a list of keys beside the pattern.
        let mut pattern = case["regex"].as_str().unwrap().to_owned();
        let mut from = 0;
        for key in case["keys"].as_array().unwrap() {
            let Some(at) = pattern[from..].find('(') else { break };
            let name = format!("?P<{}>", key.as_str().unwrap());
            pattern.insert_str(from + at + 1, &name);
            from += at + 1 + name.len();
        }
        // There is no default key to put an answer under that the pattern does not match: `??` says what then.
        let wanted = if case["default"].is_null() { case.get("expected").cloned() } else { None };
        (parse("regex", Some(&pattern), &[], case["input"].as_str().unwrap()), wanted)
    });
}

#[test]
fn dates() {
    let all = cases(include_str!("../../tests/data/langchain/datetime.json"));
    compare("datetime", &all, &[], |case| {
        let format = case["format"].as_str().unwrap();
        let here = parse("datetime", None, &[("format", format.into())], case["input"].as_str().unwrap());
        // A Python `datetime(2023, 7, 4, 14, 30)` is the text 2023-07-04T14:30:00, the date alone where the format has
        // no time.
        let there = case["expected"]["$py"].as_str().map(|py| {
            let digits = py.split(|c: char| !c.is_ascii_digit()).filter(|d| !d.is_empty());
            let mut n: Vec<u32> = digits.map(|d| d.parse().unwrap()).collect();
            n.resize(6, 0);
            let date = format!("{:04}-{:02}-{:02}", n[0], n[1], n[2]);
            let time = format!("T{:02}:{:02}:{:02}", n[3], n[4], n[5]);
            Json::from(if format.contains("%H") { date + &time } else { date })
        });
        (here, there)
    });
}

/// LangChain's form of an element's content is a list of maps with one tag each; here it is one map, in which a tag
/// that occurs more than once has a list. An element without anything in it is null.
fn as_map(there: &Json) -> Json {
    let Some(items) = there.as_array() else { return there.clone() };
    let mut map = serde_json::Map::new();
    let mut several: Vec<String> = Vec::new();
    for (tag, value) in items.iter().flat_map(|i| i.as_object().unwrap()) {
        let value = as_map(value);
        match map.get_mut(tag) {
            None => drop(map.insert(tag.clone(), value)),
            Some(Json::Array(list)) if several.contains(tag) => list.push(value),
            Some(one) => {
                *one = json!([one.clone(), value]);
                several.push(tag.clone());
            }
        }
    }
    if items.is_empty() { Json::Null } else { Json::Object(map) }
}

#[test]
fn xml() {
    let all = cases(include_str!("../../tests/data/langchain/xml.json"));
    let prose = Difference {
        reason: "prose may stand around the element, as with every parser",
        applies: |i| i.starts_with("text "),
        wanted: |_| Some(json!({"foo": "1"})),
        rows: 1,
    };
    compare("xml", &all, &[prose], |case| {
        let there = case.get("expected").and_then(Json::as_object);
        let there = there.map(|m| Json::Object(m.iter().map(|(tag, held)| (tag.clone(), as_map(held))).collect()));
        (parse("xml", None, &[], case["input"].as_str().unwrap()), there)
    });
}

/// The value of a streamed answer after each of its pieces, where it changed.
fn streamed<'t>(pieces: impl Iterator<Item = &'t str>) -> Vec<Json> {
    let mut stream = build(find("json").unwrap(), None, None, &IndexMap::new()).unwrap().stream().unwrap();
    let mut seen: Vec<Json> = Vec::new();
    for piece in pieces {
        stream.push(piece);
        let value = stream.value().map(|v| v.to_json());
        if let Some(value) = value.filter(|v| seen.last() != Some(v)) {
            seen.push(value);
        }
    }
    seen
}

#[test]
fn json_as_it_streams() {
    let mut agree = 0;
    let all = cases(include_str!("../../tests/data/langchain/json_stream.json"));
    for case in &all {
        let pieces = case["chunks"].as_array().unwrap().iter().map(|c| c.as_str().unwrap());
        assert_eq!(Json::from(streamed(pieces)), case["expected"], "{case}");
        agree += 1;
    }
    told("json (streamed)", agree, all.len());
}

#[test]
fn json_that_is_cut() {
    let fence = Difference {
        reason: "the function that LangChain's streaming rests on takes no fence; its parser takes it off before",
        applies: |i| i.contains("```"),
        wanted: |_| Some(json!({"foo": "bar"})),
        rows: 1,
    };
    let all = cases(include_str!("../../tests/data/langchain/json_partial.json"));
    let cut: Vec<Json> = all.into_iter().filter(|c| is_cut(c["input"].as_str().unwrap())).collect();
    compare("json (cut, streamed)", &cut, &[fence], whole_or_streamed);
}

#[allow(clippy::print_stdout, reason = "the agreements are told")]
fn told(what: &str, agree: usize, all: usize) {
    println!("{what}: {agree} of {all} agree");
}
