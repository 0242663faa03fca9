//! Agreement with promptfoo's assertions (`tests/data/assertions`). A deliberate difference is a rule over the row without
//! its answer, with a reason and the number of rows that differ by it.
//!
//! An error there is one of two: an `error`, or a failure that `not` does not turn around because the assertion itself is
//! wrong (`Invalid …`). Either must be an error here, of making the assertion or of looking at the row.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{Arguments, Cost, Facts, Group, Operator, Outcome, Subject, build, find};
use crate::value::Value;

const ROWS: &str = include_str!("../../tests/data/assertions/promptfoo.jsonl");

/// A difference on purpose.
struct Difference {
    reason: &'static str,
    applies: fn(&Row<'_>) -> bool,
    rows: usize,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        reason: "there is no `perplexity`: no provider here tells the probabilities of a whole answer",
        applies: |row| row.name.starts_with("perplexity"),
        rows: 22,
    },
    Difference {
        reason: "an undefined name in a template is an error, not an empty text",
        applies: |row| row.template_fails(),
        rows: 28,
    },
    Difference {
        reason: "a pattern may set flags, as (?i)",
        applies: |row| row.name == "regex" && row.text("value").starts_with("(?i)"),
        rows: 19,
    },
    Difference {
        reason: "\\p{…} is a class of characters in every pattern, and \\b and \\w know letters beyond ASCII",
        applies: |row| row.name == "regex" && row.unicode_pattern(),
        rows: 18,
    },
    Difference {
        reason: "a key given twice and a number too large for 64 bits are no JSON here, as for the parser `json`",
        applies: |row| {
            row.name.ends_with("json") && ["{\"a\":1,\"a\":2}", "{\"a\":1e400}"].contains(&row.output.as_str())
        },
        rows: 22,
    },
    Difference {
        reason: "`contains-json` invents nothing: what is no JSON is not repaired",
        applies: |row| row.name == "contains-json" && row.repaired(),
        rows: 21,
    },
    Difference {
        reason: "`contains-json` finds lists, and objects whose strings hold brackets",
        applies: |row| row.name == "contains-json" && (row.output.contains('[') || row.output.contains("brace }")),
        rows: 8,
    },
    Difference {
        reason: "a run that did not tell why it ended cannot be asked, with and without `not`",
        applies: |row| row.name == "finish-reason" && row.json.get("finishReason").is_none(),
        rows: 2,
    },
    Difference {
        reason: "`contains-xml` takes well-formed XML alone",
        applies: |row| row.name == "contains-xml" && row.broken_xml(),
        rows: 3,
    },
    Difference {
        reason: "groups have no weights",
        applies: |row| row.json["group"].to_string().contains("\"weight\":"),
        rows: 9,
    },
];

struct Row<'r> {
    json: &'r Json,
    /// The type without `not-`.
    name: &'r str,
    not: bool,
    output: String,
}

/// What an assertion says: whether it is met and how nearly, or that it is an error.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Said(bool, Option<f64>),
    Wrong,
}

impl<'r> Row<'r> {
    fn new(json: &'r Json) -> Self {
        let name = json["type"].as_str().unwrap_or("group");
        let (not, name) = name.strip_prefix("not-").map_or((false, name), |name| (true, name));
        let output = json["output"].as_str().map_or_else(|| json["output"].to_string(), str::to_owned);
        Self { json, name, not, output }
    }

    fn text(&self, key: &str) -> &str {
        self.json[key].as_str().unwrap_or_default()
    }

    /// What promptfoo answered.
    fn there(&self) -> Answer {
        let expect = &self.json["expect"];
        let reason = expect["reason"].as_str().unwrap_or_default();
        match expect["pass"].as_bool() {
            Some(false) if reason.starts_with("Invalid ") => Answer::Wrong,
            Some(pass) => Answer::Said(pass, expect["score"].as_f64()),
            None => Answer::Wrong,
        }
    }

    /// The value with its template rendered.
    fn value(&self) -> Option<Value> {
        let value = self.json.get("value").filter(|v| !v.is_null())?;
        let Some(text) = value.as_str().filter(|t| t.contains("{{")) else { return Some(Value::from_json(value)) };
        let mut engine = minijinja::Environment::new();
        engine.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        let vars = minijinja::value::Serde(self.json.get("vars").unwrap_or(&Json::Null));
        engine.render_str(text, vars).ok().map(Value::from)
    }

    fn template_fails(&self) -> bool {
        self.json.get("value").is_some_and(|v| !v.is_null()) && self.value().is_none()
    }

    fn unicode_pattern(&self) -> bool {
        let pattern = self.text("value");
        pattern.contains("\\p") || (pattern.contains("\\b") || pattern.contains("\\w")) && !self.output.is_ascii()
    }

    /// Whether the output holds an opening brace and no object of JSON.
    fn repaired(&self) -> bool {
        self.output.contains('{')
            && !crate::parsers::json_values(&self.output).iter().any(|v| matches!(v, Value::Map(_)))
    }

    /// Whether tags stand in the output and no element of well-formed XML.
    fn broken_xml(&self) -> bool {
        self.output.contains('<') && !super::xml_document::fragments(&self.output).iter().any(|e| e.whole)
    }

    fn here(&self) -> Answer {
        if self.template_fails() {
            return Answer::Wrong;
        }
        let facts = Facts {
            seconds: self.json["latencyMs"].as_f64().map(|ms| ms / 1000.0),
            cost: self.json["cost"].as_f64().map(|amount| Ok(Cost { amount, currency: "USD".to_owned() })),
            finish: self.json["finishReason"].as_str().map(str::to_owned),
            ..Facts::default()
        };
        let subject = Subject { text: &self.output, facts: &facts };
        let mut all = true;
        let (mut score, mut inverted) = (None, false);
        for (name, arguments) in self.assertions() {
            let Some(spec) = find(name) else { return Answer::Wrong };
            let Ok(check) = build(spec, &arguments) else { return Answer::Wrong };
            let Ok(outcome) = check.check(&subject) else { return Answer::Wrong };
            // `not` of a range of words is that of both bounds together.
            let range = self.json["value"].is_object() && self.name == "word-count";
            let outcome = if self.not && !range { outcome.negated() } else { outcome };
            all &= outcome.pass;
            score = outcome.score;
            inverted = self.not && range;
        }
        Answer::Said(all != inverted, score)
    }

    /// The assertions here that say what the row's says; all must be met.
    fn assertions(&self) -> Vec<(&'static str, Arguments)> {
        let value = self.value();
        let bound = |operator| self.json["threshold"].as_f64().map(|t| (operator, t));
        let one = |name, value, bound| vec![(name, Arguments { value, ty: None, bound })];
        let plain = |name| one(name, value.clone(), None);
        match self.name {
            "equals" => plain("equals"),
            "contains" => plain("contains"),
            "icontains" => plain("icontains"),
            "contains-any" => plain("contains-any"),
            "contains-all" => plain("contains-all"),
            "icontains-any" => plain("icontains-any"),
            "icontains-all" => plain("icontains-all"),
            "starts-with" => plain("starts-with"),
            "regex" => plain("matches"),
            "finish-reason" => plain("finish"),
            "is-refusal" => plain("refusal"),
            "is-json" if value.is_none() => plain("json"),
            "is-json" => one("schema", value.map(from_yaml), None),
            "contains-json" => one("contains-json", value.map(from_yaml), None),
            "is-xml" => one("xml", value.map(paths), None),
            "contains-xml" => one("contains-xml", value.map(paths), None),
            "levenshtein" => one("levenshtein", value, bound(Operator::AtMost)),
            "rouge-n" => one("rouge-1", value, bound(Operator::AtLeast)),
            "bleu" => one("bleu", value, bound(Operator::AtLeast)),
            "gleu" => one("gleu", value, bound(Operator::AtLeast)),
            "latency" => one("latency", None, bound(Operator::AtMost).map(|(o, ms)| (o, ms / 1000.0))),
            "cost" => one("cost", None, bound(Operator::AtMost)),
            "word-count" => words(&self.json["value"]),
            _ => plain("perplexity"),
        }
    }
}

/// A schema that is written as YAML.
fn from_yaml(value: Value) -> Value {
    match &value {
        Value::Text(text) => serde_yaml::from_str::<Json>(text).map_or(value.clone(), |json| Value::from_json(&json)),
        _ => value,
    }
}

/// The paths of elements in a map of them.
fn paths(value: Value) -> Value {
    match &value {
        Value::Map(map) => map.get("requiredElements").cloned().unwrap_or(value.clone()),
        _ => value,
    }
}

fn words(value: &Json) -> Vec<(&'static str, Arguments)> {
    let bounded = |key: &str, operator| {
        let bound = (operator, value[key].as_f64()?);
        Some(("words", Arguments { bound: Some(bound), ..Arguments::default() }))
    };
    match value {
        Json::Object(_) => {
            [bounded("min", Operator::AtLeast), bounded("max", Operator::AtMost)].into_iter().flatten().collect()
        }
        value => {
            let number = value.as_i64().or_else(|| value.as_str().and_then(|t| t.parse().ok()));
            vec![("words", Arguments { value: number.map(Value::Int), ..Arguments::default() })]
        }
    }
}

/// What a group says here, where it can be said without weights: `all` of its assertions, or at least as many as the
/// threshold's share. A group inside it is one assertion.
fn group(group: &Json, output: &str) -> Option<Answer> {
    let members = group["assert"].as_array()?;
    let mut outcomes = Vec::new();
    for member in members {
        if member.get("weight").is_some_and(|w| w.as_f64() != Some(1.0)) {
            return None;
        }
        let outcome = if member.get("assert").is_some() {
            match self::group(member, output)? {
                Answer::Said(pass, score) => Outcome {
                    pass,
                    score,
                    expected: String::new(),
                    actual: String::new(),
                    why: String::new(),
                    comparable: false,
                },
                Answer::Wrong => return None,
            }
        } else {
            let spec = find(member["type"].as_str()?)?;
            let arguments = Arguments { value: Some(Value::from_json(&member["value"])), ..Arguments::default() };
            build(spec, &arguments).ok()?.check(&Subject { text: output, facts: &Facts::default() }).ok()?
        };
        outcomes.push(Ok(outcome));
    }
    let kind = match group["threshold"].as_f64() {
        None => Group::All,
        Some(share) => Group::AtLeast((share * members.len() as f64).ceil() as usize),
    };
    let outcome = kind.outcome(&outcomes).ok()?;
    Some(Answer::Said(outcome.pass, None))
}

fn agree(here: Answer, there: Answer) -> bool {
    match (here, there) {
        (Answer::Said(here, None), Answer::Said(there, _)) => here == there,
        (Answer::Said(here, Some(near)), Answer::Said(there, Some(wanted))) => {
            here == there && (near - wanted).abs() < 1e-9
        }
        (here, there) => here == there,
    }
}

#[allow(clippy::print_stdout, reason = "the agreements are told")]
#[test]
fn assertions_agree_with_promptfoo() {
    let rows: Vec<Json> = ROWS.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut counts = vec![0; DIFFERENCES.len()];
    let mut told: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for json in &rows {
        let row = Row::new(json);
        let there = row.there();
        let here = match json.get("group") {
            Some(all) => group(all, &row.output).unwrap_or(Answer::Wrong),
            None => row.here(),
        };
        let (agreed, all) = told.entry(row.name).or_default();
        *all += 1;
        if agree(here, there) {
            *agreed += 1;
        } else if let Some(i) = DIFFERENCES.iter().position(|d| (d.applies)(&row)) {
            counts[i] += 1;
        } else {
            wrong.push(format!("here {here:?}, there {there:?}: {json}"));
        }
    }
    for (name, (agreed, all)) in &told {
        println!("{name}: {agreed} of {all} agree");
    }
    for (difference, count) in DIFFERENCES.iter().zip(&counts) {
        println!("{count} rows: {}", difference.reason);
    }
    assert!(wrong.is_empty(), "{} rows differ:\n{}", wrong.len(), wrong.join("\n"));
    for (difference, count) in DIFFERENCES.iter().zip(&counts) {
        assert_eq!(*count, difference.rows, "{}", difference.reason);
    }
    let excused: usize = counts[1..].iter().sum();
    assert!(excused * 100 <= rows.len() * 3, "{excused} of {} rows are excused", rows.len());
}
