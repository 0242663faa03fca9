//! The cases of `tests/data/lang`, as far as this version of the language goes.

use std::collections::BTreeMap;

use fancy_regex::Regex;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::process::{Call, TempDir, short};
use crate::{Outcome, root};

/// The data.
const FILE: &str = "tests/data/lang/cases.jsonl";

/// What this version does not have yet: a case that uses one of these is not run. One rule a line, with what it stands
/// for.
const LATER: &[(&str, &str)] = &[];

/// One trial for each case that is run, and one that tells how many are.
pub fn trials() -> Vec<Trial> {
    let text = std::fs::read_to_string(root().join(FILE)).unwrap_or_default();
    let cases: Vec<Value> = text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let rules: Vec<(Regex, &str)> = LATER.iter().filter_map(|(r, why)| Some((Regex::new(r).ok()?, *why))).collect();
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    let mut trials = Vec::new();
    let all = cases.len();
    for case in cases {
        match later(&case, &rules) {
            Some(why) => *left.entry(why).or_default() += 1,
            None => {
                let name = format!("conformance::{}::{}", word(&case, "area").replace('/', "::"), word(&case, "id"));
                trials.push(Trial::test(name, move || run(&case)));
            }
        }
    }
    let count = trials.len();
    trials.push(Trial::test("conformance::count", move || {
        println!("note: {count} of {all} cases of the language are run");
        for (why, number) in &left {
            println!("note: {number:3} left for {why}");
        }
        if all > 170 && count > 80 && rules.len() == LATER.len() {
            Ok(())
        } else {
            Err(format!("{count} of {all} cases").into())
        }
    }));
    trials
}

fn word<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_default()
}

fn words<'a>(case: &'a Value, key: &str) -> Vec<&'a str> {
    case[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Why a case is left for a later version.
fn later(case: &Value, rules: &[(Regex, &'static str)]) -> Option<&'static str> {
    let args = words(case, "args");
    if args.iter().any(|a| matches!(*a, "--format" | "--signatures")) {
        return Some("options that come later");
    }
    let texts = case["files"].as_object().into_iter().flatten().filter(|(name, _)| name.ends_with(".chain"));
    let all: String = texts.filter_map(|(_, t)| t.as_str()).chain(args.iter().copied()).collect::<Vec<_>>().join("\n");
    rules.iter().find(|(rule, _)| rule.is_match(&all).unwrap_or(false)).map(|(_, why)| *why)
}

fn run(case: &Value) -> Outcome {
    let temp = TempDir::new()?;
    for (name, text) in case["files"].as_object().into_iter().flatten() {
        temp.write(name, text.as_str().unwrap_or_default())?;
    }
    let mut call = Call::new(temp.path())?.args(words(case, "args")).limit(10);
    for (name, value) in case["env"].as_object().into_iter().flatten() {
        call = call.env(name, value.as_str().unwrap_or_default());
    }
    let done = call.stdin(word(case, "stdin")).run()?;
    let (out, err) = (done.out(), done.err());
    let fail = |what: String| -> Outcome {
        Err(format!(
            "{what}\nrule: {}\nstdout: {}\nstderr: {}",
            word(case, "why"),
            short(&done.stdout),
            short(&done.stderr)
        )
        .into())
    };
    if done.code.map(i64::from) != case["exit"].as_i64() {
        return fail(format!("exit {:?}, expected {}", done.code, case["exit"]));
    }
    if let Some(want) = case.get("json") {
        match serde_json::from_str::<Value>(&out) {
            Ok(got) if same(&got, want) => {}
            _ => return fail(format!("expected JSON {want}")),
        }
    }
    if let Some(want) = case["stdout"].as_str()
        && out.trim_end_matches(['\r', '\n']) != want.trim_end_matches(['\r', '\n'])
    {
        return fail(format!("expected stdout {want:?}"));
    }
    let both = format!("{out}\n{err}");
    for (key, text) in [("stdout_has", &out), ("stderr_has", &err), ("output_has", &both)] {
        for want in words(case, key) {
            let matches = text.contains(want) || Regex::new(want).is_ok_and(|r| r.is_match(text).unwrap_or(false));
            if !matches {
                return fail(format!("{key} {want:?} is not met"));
            }
        }
    }
    for unwanted in words(case, "stderr_not") {
        if both.contains(unwanted) {
            return fail(format!("{unwanted:?} must not be shown"));
        }
    }
    if let Some(most) = case["max_s"].as_f64()
        && done.took.as_secs_f64() > most
    {
        return fail(format!("took {:.1} s, at most {most} s allowed", done.took.as_secs_f64()));
    }
    Ok(())
}

/// Equality of JSON in which 3 equals 3.0, but true does not equal 1.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b,
    }
}
