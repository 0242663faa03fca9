//! Masks over the tiny model of random weights: whatever it would say, its answers obey.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::super::tests::TempFile;
use super::super::{CHUNK, Choice, Description, Feed, Kv, Model, Runner, Sampling, SequenceId, Want};
use super::*;
use crate::value::Constraint as Wanted;

fn grammar(schema: Json) -> Grammar {
    Grammar::new(&Wanted::JsonSchema(schema)).unwrap()
}

/// A description of the tiny model's file.
fn described(name: &str) -> Arc<Description> {
    let file = TempFile::new(name);
    Arc::new(Description::open(&file.0).unwrap())
}

/// Whether all of `text` obeys a grammar, fed token by token.
fn obeys(vocabulary: &mut Vocabulary, about: &Description, grammar: &Grammar, text: &str) -> bool {
    let mut constraint = vocabulary.constrain(grammar).unwrap();
    for byte in text.as_bytes() {
        let token = (0..256).find(|t| about.tokenizer.bytes(*t) == [*byte]).unwrap();
        if constraint.ended() || !constraint.allowed().unwrap().holds(token) {
            return false;
        }
        constraint.take(token).unwrap();
    }
    constraint.ended() || constraint.allowed().unwrap().holds(259)
}

#[track_caller]
fn takes(name: &str, grammar: &Grammar, good: &[&str], bad: &[&str]) {
    let about = described(name);
    let mut vocabulary = Vocabulary::new(Arc::clone(&about)).unwrap();
    for text in good {
        assert!(obeys(&mut vocabulary, &about, grammar, text), "{text} is refused by {}", grammar.0);
    }
    for text in bad {
        assert!(!obeys(&mut vocabulary, &about, grammar, text), "{text} is taken by {}", grammar.0);
    }
}

#[test]
fn objects_have_their_fields_in_order() {
    let schema = json!({
        "type": "object", "description": "A thing.",
        "properties": {
            "a": { "type": "integer" },
            "b \"q\"\\": { "type": "string", "enum": ["x", "y/\\x41"] },
            "c": { "anyOf": [{ "type": "boolean" }, { "type": "null" }], "description": "perhaps" },
        },
        "required": ["b \"q\"\\"], "additionalProperties": false,
    });
    let good = [
        r#"{"b \"q\"\\": "x"}"#,
        r#"{"a": -12, "b \"q\"\\": "y/\\x41"}"#,
        r#"{"a": 0, "b \"q\"\\": "x", "c": null}"#,
        r#"{"b \"q\"\\": "x", "c": true}"#,
    ];
    let bad = [
        "{}",
        r#"{"a": 1}"#,
        r#"{"a": 01, "b \"q\"\\": "x"}"#,
        r#"{"b \"q\"\\": "yA"}"#,
        r#"{"b \"q\"\\": "x", "a": 1}"#,
        r#"{"b \"q\"\\": "x",}"#,
        r#"{"b \"q\"\\": "x"} "#,
        r#"{"b \"q\"\\":"x"}"#,
    ];
    takes("objects", &grammar(schema), &good, &bad);
    let free = json!({ "type": "object", "properties": { "a": {}, "b": {} }, "additionalProperties": false });
    takes(
        "optional",
        &grammar(free),
        &["{}", r#"{"a": []}"#, r#"{"b": {}}"#, r#"{"a": 1, "b": 2}"#],
        &[r#"{, "b": 2}"#],
    );
    let map = json!({ "type": "object", "additionalProperties": { "type": "number" } });
    takes("maps", &grammar(map), &["{}", r#"{"한": 1e5, "": -0.5}"#], &[r#"{"a": "b"}"#]);
}

#[test]
fn values_can_be_read() {
    let text = |schema: Json| grammar(schema);
    let strings = [r#""""#, r#""감자 \n \" \\ \u00e9 \ud83e\udd54 /""#];
    takes("strings", &text(json!({ "type": "string" })), &strings, &["\"\n\"", r#""\ud83e""#, r#""\x""#, "a"]);
    let short = json!({ "type": "string", "minLength": 1, "maxLength": 2 });
    takes("short", &text(short), &["\"ab\"", "\"감자\"", r#""\n""#], &["\"\"", "\"abc\""]);
    let dates = ["\"2024-02-29T00:00:00Z\"", "\"1999-12-31T23:59:59.5+09:00\"", "\"2000-02-29T01:02:03-00:30\""];
    let no_dates =
        ["\"2023-02-29T00:00:00Z\"", "\"2024-04-31T00:00:00Z\"", "\"1900-02-29T00:00:00Z\"", "\"2024-01-01\""];
    takes("dates", &text(json!({ "type": "string", "format": "date-time" })), &dates, &no_dates);
    takes("numbers", &text(json!({ "type": "number" })), &["0", "-0.25", "6.02e23"], &["01", ".5", "1e999", "-"]);
    let list = json!({ "type": "array", "items": { "type": "integer" }, "minItems": 1, "maxItems": 3 });
    takes("lists", &text(list), &["[1]", "[1, 2, 3]"], &["[]", "[1, 2, 3, 4]", "[1,2]", "[1, ]"]);
    let any = Grammar::new(&Wanted::Json).unwrap();
    takes("any", &any, &["null", r#"{"a": [1, {"b": []}], "c": "d"}"#], &["nul", "[1 2]", "{\"a\"}"]);
}

#[test]
fn types_may_hold_themselves() {
    let node = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string" },
            "kids": { "type": "array", "items": { "$ref": "#/$defs/Node" } },
        },
        "required": ["name", "kids"], "additionalProperties": false,
    });
    let schema = json!({ "$ref": "#/$defs/Node", "$defs": { "Node": node } });
    let good = r#"{"name": "a", "kids": [{"name": "b", "kids": []}, {"name": "c", "kids": []}]}"#;
    takes("trees", &grammar(schema), &[good], &[r#"{"name": "a", "kids": [1]}"#]);
}

#[test]
fn expressions() {
    let of = |pattern: &str| Grammar::new(&Wanted::Regex(pattern.to_owned()));
    let date = of(r"^(?P<year>[0-9]{4})/(?<month>\d\d?)$").unwrap();
    takes("dates", &date, &["2024/05", "2024/5"], &["2024/", "2024/055", "x2024/05"]);
    takes("words", &of("(?i)yes|no").unwrap(), &["Yes", "NO"], &["yesno", ""]);
    takes("escapes", &of(r"a\/b\\/").unwrap(), &["a/b\\/"], &["a\\/b"]);
    takes("maybe", &of("(?P<a>b)?").unwrap(), &["", "b"], &["bb"]);
    takes("anchors", &of("^a|b$").unwrap(), &["a", "b"], &["ab", "", "ax"]);
    for pattern in [r"\bword\b", "a$b", "(?x)a # b\n c"] {
        let refused = of(pattern).unwrap_err();
        assert!(refused.reason.contains("regular expression"), "{pattern}: {refused:?}");
    }
}

#[test]
fn what_has_no_grammar_is_refused_with_its_place() {
    let of = |schema: Json| Grammar::new(&Wanted::JsonSchema(schema)).unwrap_err().to_string();
    let schema = json!({ "type": "object", "properties": { "a/b": { "type": "integer", "multipleOf": 3 } } });
    assert_eq!(of(schema), "`multipleOf` at /properties/a~1b: it has no grammar here");
    assert_eq!(of(json!({ "allOf": [{}] })), "`allOf` at the root of the schema: it has no grammar here");
    let pattern = json!({ "type": "array", "items": { "type": "string", "pattern": "a" } });
    assert_eq!(of(pattern), "`pattern` at /items: it has no grammar here");
    assert!(of(json!({ "$ref": "#/$defs/no" })).contains("leads nowhere"));
    assert!(of(json!({ "anyOf": [{ "type": "string" }, { "type": "string", "format": "uri" }] })).contains("/anyOf/1"));
}

#[test]
fn what_must_follow_is_not_computed() {
    let about = described("forced");
    let mut vocabulary = Vocabulary::new(Arc::clone(&about)).unwrap();
    let schema = json!({
        "type": "object",
        "properties": { "the": { "type": "integer" }, "other": { "const": "the" } },
        "required": ["the", "other"], "additionalProperties": false,
    });
    let mut constraint = vocabulary.constrain(&grammar(schema)).unwrap();
    let text = |tokens: &[u32]| {
        let bytes: Vec<u8> = tokens.iter().flat_map(|t| about.tokenizer.bytes(*t)).copied().collect();
        String::from_utf8(bytes).unwrap()
    };
    let first = constraint.forced().unwrap();
    assert!(r#"{"the": "#.starts_with(&text(&first)) && first.len() >= 5, "{:?}", text(&first));
    // The tokens are those of the tokenizer: `the` is one.
    assert!(first.iter().any(|t| about.tokenizer.bytes(*t) == b"the"));
    let digit = (0..256).find(|t| about.tokenizer.bytes(*t) == b"7").unwrap();
    for token in about.tokenizer.encode(&[crate::engine::Span::new(&r#"{"the": "#[text(&first).len()..], false)]) {
        constraint.take(token).unwrap();
    }
    constraint.take(digit).unwrap();
    assert!(constraint.forced().unwrap().is_empty(), "another digit may follow");
    let comma = (0..256).find(|t| about.tokenizer.bytes(*t) == b",").unwrap();
    constraint.take(comma).unwrap();
    assert_eq!(text(&constraint.forced().unwrap()), r#" "other": "the"}"#);
    assert!(constraint.ended());
}

/// Whether a value is one of [`bounded`].
fn fits(value: &Json) -> Option<()> {
    let map = value.as_object()?;
    let known = ["name", "kind", "count", "score", "fine", "at", "tags", "note", "inner"];
    let length = |v: &Json| v.as_str().map(|t| t.chars().count());
    let check = |ok: bool| ok.then_some(());
    check(map.keys().all(|k| known.contains(&k.as_str())))?;
    check((1..=12).contains(&length(&map["name"])?))?;
    check(["a", "bb", "c\"d"].contains(&map["kind"].as_str()?))?;
    map["count"].as_i64()?;
    check(map["score"].as_f64()?.is_finite())?;
    map["fine"].as_bool()?;
    map["at"].as_str()?.parse::<jiff::Timestamp>().ok()?;
    let tags = map["tags"].as_array()?;
    check((1..=3).contains(&tags.len()))?;
    check(tags.iter().all(|t| length(t).is_some_and(|n| n <= 6)))?;
    check(map.get("note").is_none_or(|n| length(n).is_some_and(|n| n <= 8)))?;
    match map.get("inner") {
        None => Some(()),
        Some(inner) => {
            check(inner["y"] == 3 && (inner["x"].is_null() || inner["x"].is_i64()) && inner.as_object()?.len() == 2)
        }
    }
}

fn bounded() -> Json {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "minLength": 1, "maxLength": 12 },
            "kind": { "type": "string", "enum": ["a", "bb", "c\"d"] },
            "count": { "type": "integer" },
            "score": { "type": "number" },
            "fine": { "type": "boolean" },
            "at": { "type": "string", "format": "date-time" },
            "tags": { "type": "array", "items": { "type": "string", "maxLength": 6 }, "minItems": 1, "maxItems": 3 },
            "note": { "type": "string", "maxLength": 8 },
            "inner": {
                "type": "object",
                "properties": { "x": { "anyOf": [{ "type": "integer" }, { "type": "null" }] }, "y": { "const": 3 } },
                "required": ["x", "y"], "additionalProperties": false,
            },
        },
        "required": ["name", "kind", "count", "score", "fine", "at", "tags"], "additionalProperties": false,
    })
}

fn forward(runner: &mut Runner, model: &Model, kv: &mut Kv, sequence: SequenceId, tokens: &[u32]) -> Vec<f32> {
    let feed = Feed { sequence, tokens, want: Want::Last };
    runner.forward(model, kv, &[feed], CHUNK, &|| false).unwrap()
}

#[test]
fn a_thousand_hot_answers_of_a_random_model_all_obey() {
    let file = TempFile::new("hot");
    let about = Arc::new(Description::open(&file.0).unwrap());
    let model = about.load(1).unwrap();
    let mut vocabulary = Vocabulary::new(Arc::clone(&about)).unwrap();
    let grammar = grammar(bounded());
    let (mut runner, mut kv) = (Runner::new(1), Kv::new(&model.shape, 512));
    let (mut ended, mut tokens, mut rows, mut texts) = (0, 0, 0, std::collections::HashSet::new());
    for seed in 0..1000 {
        let sampling = Sampling { temperature: 2.0, seed, ..Sampling::default() };
        let constraint = vocabulary.constrain(&grammar).unwrap();
        let mut choice = Choice::new(sampling, &[1], Some(constraint), None);
        let (sequence, _) = kv.open(&[1]).unwrap();
        let mut step = choice.begin().unwrap();
        let mut answer = step.tokens.clone();
        let mut unfed = vec![1];
        while !step.ended && answer.len() < 300 {
            unfed.extend(&step.tokens);
            let mut logits = forward(&mut runner, &model, &mut kv, sequence, &unfed);
            rows += 1;
            unfed.clear();
            step = choice.next(&mut logits, &about.tokenizer).unwrap();
            answer.extend(&step.tokens);
        }
        kv.close(sequence);
        tokens += answer.len();
        if step.ended {
            ended += 1;
            let bytes: Vec<u8> = answer.iter().flat_map(|t| about.tokenizer.bytes(*t)).copied().collect();
            let text = String::from_utf8(bytes).unwrap();
            let value: Json = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
            assert!(fits(&value).is_some(), "{text}");
            texts.insert(text);
        }
    }
    assert!(ended >= 950, "{ended} of 1000 ended");
    assert_eq!(texts.len(), ended, "answers differ by their seeds");
    assert!(rows * 10 < tokens * 7, "{rows} passes for {tokens} tokens: what must follow was computed");
}
