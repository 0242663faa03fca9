//! Servers that speak the protocols of Ollama, OpenAI, Text Generation Inference (TGI), Text Embeddings Inference (TEI) and
//! GPT4All, as the real ones do where recordings tell. The first folder of the address says which:
//!
//! | address | server |
//! |---|---|
//! | `/ollama` | Ollama, its `/v1` included |
//! | `/openai/v1` | OpenAI's API; it wants the key `sk-potato` |
//! | `/tgi` | TGI, text generation and chat |
//! | `/tei` | vectors; `/hf-inference/models/…/pipeline/feature-extraction` is the router's form of it |
//! | `/gpt4all/v1` | GPT4All's strict server |
//!
//! A make-believe model answers: [`model`] says how. [`Answer`] is what a server says before anything goes wrong; faults are
//! made from it.

#![allow(dead_code)]

mod gpt4all;
pub mod model;
mod ollama;
mod openai;
mod tgi;

use serde_json::{Value as Json, json};

use super::server::{Reply, Seen};

/// The key that `/openai` wants.
pub const KEY: &str = "sk-potato";

/// What a server answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body in the pieces in which it comes; a whole answer has one.
    pub pieces: Vec<String>,
    /// Whether it is a stream.
    pub streamed: bool,
}

impl Answer {
    /// A whole answer.
    pub fn whole(status: u16, content_type: &'static str, body: impl Into<String>) -> Self {
        Self { status, content_type, pieces: vec![body.into()], streamed: false }
    }

    /// A whole answer of JSON.
    pub fn json(status: u16, body: &Json) -> Self {
        Self::whole(status, "application/json", body.to_string())
    }

    /// A stream with the status 200.
    pub fn stream(content_type: &'static str, pieces: Vec<String>) -> Self {
        Self { status: 200, content_type, pieces, streamed: true }
    }

    /// As the server sends it.
    pub fn reply(&self) -> Reply {
        if !self.streamed {
            return Reply::new(self.status, &[("Content-Type", self.content_type)], self.pieces.concat());
        }
        self.pieces.iter().fold(Reply::stream(self.content_type), Reply::piece).end()
    }
}

/// What the server of the address answers to a request.
pub fn answer(seen: &Seen) -> Answer {
    let path = seen.path.split('?').next().unwrap_or_default();
    let (server, rest) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    let route = format!("/{rest}");
    match server {
        "ollama" => ollama::answer(seen, &route),
        "openai" => openai::answer(seen, &route),
        "tgi" => tgi::answer(seen, &route),
        "tei" => tgi::vectors(seen),
        "hf-inference" if route.ends_with("/pipeline/feature-extraction") => tgi::vectors(seen),
        "gpt4all" => gpt4all::answer(seen, &route),
        _ => Answer::json(404, &json!({ "detail": "Not Found" })),
    }
}

/// An event of a stream.
fn event(json: &Json) -> String {
    format!("data: {json}\n\n")
}

/// A field's text; empty without one.
fn text_of<'a>(json: &'a Json, key: &str) -> &'a str {
    json[key].as_str().unwrap_or_default()
}
