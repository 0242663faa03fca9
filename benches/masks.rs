//! What token masks cost on a model's vocabulary, without the model: `cargo bench --bench masks -- MODEL.gguf`.
//!
//! Walks through written answers as if the model had given them: before each token the mask is computed, after it what
//! must follow. Prints microseconds a token, and how many tokens had to follow.

#![allow(clippy::print_stdout, reason = "a program whose answers go to standard output")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chainrun::engine::{Description, Grammar, Span, Vocabulary};
use chainrun::value::Constraint;
use serde_json::json;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    // Cargo adds `--bench`.
    let Some(path) = std::env::args().skip(1).find(|a| a != "--bench") else {
        println!("usage: cargo bench --bench masks -- MODEL.gguf");
        return Ok(());
    };
    let about = Arc::new(Description::open(Path::new(&path))?);
    let start = Instant::now();
    let mut vocabulary = Vocabulary::new(Arc::clone(&about))?;
    println!("{} tokens, read in {:.1} ms", about.tokenizer.len(), start.elapsed().as_secs_f64() * 1e3);
    for (name, constraint, text) in answers() {
        let grammar = Grammar::new(&constraint).map_err(|e| e.to_string())?;
        let start = Instant::now();
        vocabulary.constrain(&grammar)?;
        let compiled = start.elapsed();
        // The second walk has the grammar at hand, as all answers but the first.
        for round in ["first", "then"] {
            let walked = walk(&mut vocabulary, &about, &grammar, text)?;
            println!("{name}, {round}: {walked}; compiled in {:.2} ms", compiled.as_secs_f64() * 1e3);
        }
    }
    Ok(())
}

fn answers() -> [(&'static str, Constraint, &'static str); 4] {
    let meaning = json!({
        "type": "object",
        "properties": {
            "definition": { "type": "string" },
            "part_of_speech": { "type": "string", "enum": ["noun", "verb", "other"] },
            "synonyms": { "type": "array", "items": { "type": "string" } },
            "confidence": { "anyOf": [{ "type": "number" }, { "type": "null" }] },
        },
        "required": ["definition", "part_of_speech", "synonyms"],
        "additionalProperties": false,
    });
    let answer = r#"{"definition": "A starchy tuber of the nightshade family, eaten as a root vegetable.", "part_of_speech": "noun", "synonyms": ["spud", "tater", "earth apple"], "confidence": 0.93}"#;
    let label = json!({ "type": "string", "enum": ["bug", "question", "praise"] });
    [
        ("a record", Constraint::JsonSchema(meaning), answer),
        ("any JSON", Constraint::Json, answer),
        ("a word of three", Constraint::JsonSchema(label), "\"question\""),
        ("a date", Constraint::Regex(r"(?P<y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})".to_owned()), "2026-11-25"),
    ]
}

/// One way through an answer.
fn walk(vocabulary: &mut Vocabulary, about: &Description, grammar: &Grammar, text: &str) -> Result<String, Error> {
    let mut constraint = vocabulary.constrain(grammar)?;
    let (mut at, mut forced, mut masks, mut spent) = (0, 0, Vec::new(), Duration::ZERO);
    let length = |tokens: &[u32]| tokens.iter().map(|t| about.tokenizer.bytes(*t).len()).sum::<usize>();
    loop {
        let start = Instant::now();
        let must = constraint.forced()?;
        spent += start.elapsed();
        forced += must.len();
        at += length(&must);
        if constraint.ended() || at >= text.len() {
            break;
        }
        let start = Instant::now();
        let allowed = constraint.allowed()?;
        masks.push(start.elapsed());
        let rest = about.tokenizer.encode(&[Span::new(&text[at..], false)]);
        let fits = rest.first().copied().filter(|t| allowed.holds(*t));
        let token = fits.ok_or_else(|| format!("refused: {}", &text[at..]))?;
        let start = Instant::now();
        constraint.take(token)?;
        spent += start.elapsed();
        at += length(&[token]);
    }
    let micros = |d: Duration| d.as_secs_f64() * 1e6;
    let (count, in_masks) = (masks.len() + forced, masks.iter().sum::<Duration>());
    let most = masks.iter().max().copied().unwrap_or_default();
    Ok(format!(
        "{count} tokens, {forced} of them must follow; {:.1} µs a token, a mask {:.1} on average and {:.1} at most",
        micros(spent + in_masks) / count as f64,
        micros(in_masks) / masks.len().max(1) as f64,
        micros(most),
    ))
}
