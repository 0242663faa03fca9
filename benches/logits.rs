//! The engine by itself, for comparisons and timings: `cargo bench --bench logits -- MODEL.gguf [THREADS]`.
//!
//! Reads lines of JSON and answers each with a line of JSON:
//! `{"encode": "text", "control": false}` gives `{"tokens": […]}`;
//! `{"chat": "text of a user message"}` gives `{"text": …, "tokens": […]}`;
//! `{"logits": [ids]}` gives `{"top": [[[id, log-probability], … 8], … a position]}`;
//! `{"greedy": [ids], "count": n}` gives `{"tokens": […], "prefill": seconds, "decode": seconds}`;
//! `{"suite": [[ids], …], "count": n}` answers all prompts as the calls of a test suite do, and gives `{"seconds": …,
//! "tokens": of the answers, "cached": tokens of prompts that were there already}`.

#![allow(clippy::print_stdout, reason = "a program whose answers go to standard output")]

use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use chainrun::engine::{
    CHUNK, Description, Feed, Job, Kv, Model, Piece, Runner, Sampler, Sampling, Service, Span, Turn, Want,
};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo adds `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let Some(path) = args.first() else {
        println!("usage: cargo bench --bench logits -- MODEL.gguf [THREADS]");
        return Ok(());
    };
    let threads = args.get(1).map_or(Ok(1), |t| t.parse())?;
    let about = Description::open(Path::new(path))?;
    let mut runner = Runner::new(threads);
    let model = about.load(threads)?;
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let answer = match request["suite"].as_array() {
            Some(prompts) => suite(Path::new(path), threads, prompts, &request)?,
            None => answer(&about, &model, &mut runner, &request)?,
        };
        println!("{answer}");
    }
    Ok(())
}

fn answer(
    about: &Description,
    model: &Model,
    runner: &mut Runner,
    request: &Value,
) -> Result<Value, Box<dyn std::error::Error>> {
    let ids = |key: &str| -> Option<Vec<u32>> {
        request[key].as_array().map(|a| a.iter().filter_map(Value::as_u64).map(|n| n as u32).collect())
    };
    let size = model.shape.vocabulary;
    if let Some(text) = request["encode"].as_str() {
        let span = Span::new(text, request["control"].as_bool().unwrap_or(false));
        return Ok(json!({"tokens": about.tokenizer.encode(&[span])}));
    }
    if let Some(text) = request["chat"].as_str() {
        let template = about.template(None).ok_or("no chat template")?;
        let spans = template.render(&[Turn { role: "user".into(), text: text.into() }], |_| true)?;
        let text: String = spans.iter().map(|s| s.text.as_str()).collect();
        return Ok(json!({"text": text, "tokens": about.tokenizer.encode(&spans)}));
    }
    if let Some(tokens) = ids("logits") {
        let mut kv = Kv::new(&model.shape, tokens.len());
        let (sequence, _) = kv.open(&tokens)?;
        let feed = Feed { sequence, tokens: &tokens, want: Want::All };
        let logits = runner.forward(model, &mut kv, &[feed], CHUNK, &|| false)?;
        return Ok(json!({"top": logits.chunks_exact(size).map(top).collect::<Vec<_>>()}));
    }
    let tokens = ids("greedy").ok_or("nothing that is known")?;
    let count = request["count"].as_u64().unwrap_or(16) as usize;
    let mut kv = Kv::new(&model.shape, tokens.len() + count);
    let (sequence, _) = kv.open(&tokens)?;
    let mut forward = |tokens: &[u32]| {
        runner.forward(model, &mut kv, &[Feed { sequence, tokens, want: Want::Last }], CHUNK, &|| false)
    };
    let mut sampler = Sampler::new(Sampling::default(), &tokens);
    let start = Instant::now();
    let mut logits = forward(&tokens)?;
    let prefill = start.elapsed().as_secs_f64();
    let mut out = Vec::new();
    for _ in 0..count {
        let token = sampler.next(&mut logits, None).ok_or("a vocabulary without tokens")?;
        out.push(token);
        logits = forward(&[token])?;
    }
    Ok(json!({"tokens": out, "prefill": prefill, "decode": start.elapsed().as_secs_f64() - prefill}))
}

/// Answers prompts together, on a service of their own.
fn suite(path: &Path, threads: usize, prompts: &[Value], request: &Value) -> Result<Value, Box<dyn std::error::Error>> {
    let start = Instant::now();
    let service = Service::open(path, threads)?;
    let running: Vec<_> = prompts
        .iter()
        .map(|prompt| {
            let ids = prompt.as_array().into_iter().flatten().filter_map(Value::as_u64);
            service.start(Job {
                tokens: ids.map(|id| id as u32).collect(),
                sampling: Sampling::default(),
                max_tokens: request["count"].as_u64().unwrap_or(16) as usize,
                context: service.description.shape.context,
                stop: Vec::new(),
                grammar: None,
                chances: None,
            })
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (mut tokens, mut cached) = (0, 0);
    for mut job in running {
        while let Some(piece) = runtime.block_on(job.next()) {
            match piece {
                Piece::Done { tokens: count, cached: known, .. } => {
                    tokens += count;
                    cached += known;
                }
                Piece::Failed(error) => return Err(error.to_string().into()),
                Piece::Text(_) | Piece::Likely(_) => {}
            }
        }
    }
    Ok(json!({"seconds": start.elapsed().as_secs_f64(), "tokens": tokens, "cached": cached}))
}

/// The eight likeliest tokens with their log-probabilities.
fn top(logits: &[f32]) -> Value {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|l| f64::from(l - most).exp()).sum();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
    order.iter().take(8).map(|i| json!([i, f64::from(logits[*i] - most) - sum.ln()])).collect()
}
