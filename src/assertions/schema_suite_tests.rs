//! Agreement with the official tests of JSON Schema (`tests/data/json_schema`). A schema that is refused must have what is
//! not read here.

use serde_json::Value as Json;

use super::{Arguments, Facts, Subject, build, find};
use crate::value::Value;

const GROUPS: &str = include_str!("../../tests/data/json_schema/draft2020-12.jsonl");

/// What makes a schema one that is refused.
const REFUSED: &[&str] = &["\"unevaluated", "\"$dynamic", "\"$id\":", "\"$ref\":\"http", "\"$ref\":\"urn:"];

/// Groups with such a schema.
const REFUSED_GROUPS: usize = 22;

#[allow(clippy::print_stdout, reason = "the agreements are told")]
#[test]
fn schemas_agree_with_the_official_tests() {
    let (mut agreed, mut refused) = (0, 0);
    let mut wrong = Vec::new();
    for line in GROUPS.lines() {
        let group: Json = serde_json::from_str(line).unwrap();
        let arguments = Arguments { value: Some(Value::from_json(&group["schema"])), ..Arguments::default() };
        let check = match build(find("schema").unwrap(), &arguments) {
            Ok(check) => check,
            Err(error) => {
                let schema = group["schema"].to_string();
                refused += 1;
                if !REFUSED.iter().any(|mark| schema.contains(mark)) {
                    wrong.push(format!("{}: {} in {schema}", group["file"], error.message));
                }
                continue;
            }
        };
        for test in group["tests"].as_array().unwrap() {
            let text = test["data"].to_string();
            match check.check(&Subject { text: &text, facts: &Facts::default() }) {
                Ok(outcome) if Some(outcome.pass) == test["valid"].as_bool() => agreed += 1,
                other => wrong.push(format!("{} {}: {other:?}", group["description"], test["description"])),
            }
        }
    }
    println!("{agreed} tests agree, {refused} groups are refused");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(refused, REFUSED_GROUPS);
}
