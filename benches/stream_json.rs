//! What it costs to read JSON as it streams: `cargo bench --bench stream_json`.
//!
//! A document of 4,000 and one of 400,000 characters come in pieces of four characters, as tokens do; the medians of
//! several rounds are printed, and how the longer compares to the shorter (100 is linear).

#![allow(clippy::print_stdout, reason = "a program whose answers go to standard output")]

use std::time::{Duration, Instant};

use chainrun::parsers;
use indexmap::IndexMap;

/// Rounds of each length.
const ROUNDS: usize = 21;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let short = median(&document(4_000))?;
    let long = median(&document(400_000))?;
    println!("4,000 characters: {:.3} ms", milliseconds(short));
    println!("400,000 characters: {:.3} ms", milliseconds(long));
    println!("ratio: {:.0}", long.as_secs_f64() / short.as_secs_f64());
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A JSON document of about `length` characters.
fn document(length: usize) -> String {
    let mut text = String::from("Here it is:\n```json\n{\"items\": [");
    let mut n = 0;
    while text.len() < length {
        let comma = if n > 0 { ", " } else { "" };
        text.push_str(&format!(
            "{comma}{{\"id\": {n}, \"name\": \"item \\\"{n}\\\"\", \"tags\": [\"a\", \"b\"], \"share\": 0.25}}"
        ));
        n += 1;
    }
    text.push_str("]}\n```\n");
    text
}

fn median(text: &str) -> Result<Duration, Box<dyn std::error::Error>> {
    let spec = parsers::find("json").ok_or("no parser `json`")?;
    let parser = parsers::build(spec, None, None, &IndexMap::new()).map_err(|e| e.message)?;
    let whole = parser.parse(text).map_err(|e| e.message)?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let mut stream = parser.stream().ok_or("`json` does not stream")?;
        let mut told = 0;
        for piece in text.as_bytes().chunks(4) {
            told += stream.push(std::str::from_utf8(piece)?).len();
        }
        told += stream.finish().len();
        times.push(began.elapsed());
        if told == 0 || stream.value().as_ref() != Some(&whole) {
            return Err("the stream does not end in the parsed value".into());
        }
    }
    times.sort();
    times.get(ROUNDS / 2).copied().ok_or_else(|| "no rounds".into())
}
