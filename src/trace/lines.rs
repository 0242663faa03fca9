//! A span as a line of a trace file.

use serde_json::{Map, Value as Json, json};

use super::span::{CallSpan, Clock, Detail, Outcome, Span};
use crate::event::EmbedderFacts;

/// A span as one JSON object; `docs/traces.md` describes its fields.
pub fn line(span: &Span, clock: &Clock) -> Json {
    let mut out = Map::new();
    out.insert("id".to_owned(), json!(span.id));
    if let Some(parent) = span.parent {
        out.insert("parent".to_owned(), json!(parent));
    }
    match &span.detail {
        Detail::Run { file, chain } => add(&mut out, json!({ "kind": "run", "file": file, "chain": chain })),
        Detail::Stage { stage, place, path } => {
            add(&mut out, json!({ "kind": "stage", "stage": stage, "place": place }));
            if !path.is_empty() {
                let keys: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
                out.insert("path".to_owned(), json!(keys));
            }
        }
        Detail::Call(call) => of_call(&mut out, call),
        Detail::Embedding { facts, texts, dimensions, usage, cached } => {
            let EmbedderFacts { name, provider, model, server } = &**facts;
            add(&mut out, json!({ "kind": "embedding", "name": name, "provider": provider, "model": model }));
            if let Some(server) = server {
                add(&mut out, json!({ "server": server.address, "port": server.port }));
            }
            if *cached {
                add(&mut out, json!({ "cached": true }));
            }
            add(&mut out, json!({ "texts": texts, "dimensions": dimensions }));
            if let Some(tokens) = usage.input {
                add(&mut out, json!({ "input_tokens": tokens }));
            }
        }
    }
    let seconds = span.end.saturating_duration_since(span.start).as_secs_f64();
    add(
        &mut out,
        json!({ "start": clock.rfc3339(span.start), "end": clock.rfc3339(span.end), "seconds": rounded(seconds) }),
    );
    match &span.outcome {
        Outcome::Ok => add(&mut out, json!({ "status": "ok" })),
        Outcome::Cancelled => add(&mut out, json!({ "status": "cancelled" })),
        Outcome::Failed { error, reason } => {
            add(&mut out, json!({ "status": "failed", "reason": reason, "error": error }));
        }
    }
    Json::Object(out)
}

fn of_call(out: &mut Map<String, Json>, call: &CallSpan) {
    let facts = &call.facts;
    add(out, json!({ "kind": "call", "name": facts.name, "provider": call.provider, "model": call.model }));
    if let Some(server) = &facts.server {
        add(out, json!({ "server": server.address, "port": server.port }));
    }
    if !facts.options.is_empty() {
        let options: Map<String, Json> = facts.options.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
        out.insert("options".to_owned(), Json::Object(options));
    }
    match call.cached {
        true => add(out, json!({ "cached": true })),
        false => add(out, json!({ "tries": call.tries })),
    }
    if facts.waited >= 0.001 {
        out.insert("waited".to_owned(), json!(rounded(facts.waited)));
    }
    let answered = [
        ("answered_by", json!(call.answered_by)),
        ("first_token", json!(call.first_token.map(|t| rounded(t.as_secs_f64())))),
        ("input_tokens", json!(call.usage.input)),
        ("cached_tokens", json!(call.usage.cached)),
        ("output_tokens", json!(call.usage.output)),
        ("finish", json!(call.finish)),
    ];
    out.extend(answered.into_iter().filter(|(_, v)| !v.is_null()).map(|(name, value)| (name.to_owned(), value)));
}

fn add(out: &mut Map<String, Json>, more: Json) {
    if let Json::Object(more) = more {
        out.extend(more);
    }
}

/// Seconds to the microsecond.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}
