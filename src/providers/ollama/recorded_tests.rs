//! Chats and completions of a real Ollama, split at every byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value as Json, json};

use super::errors::Server;
use super::stream::{Reader, Received};
use crate::event::{self, FrameId, NodeId, Sink};
use crate::net::BaseUrl;
use crate::providers::ProviderError;
use crate::providers::openai::recorded_tests::parts;

/// What a body that comes in these pieces gives, and the text that went to the sink.
async fn read(pieces: &[&[u8]]) -> (Result<Received, ProviderError>, String) {
    let server = &Server {
        base: BaseUrl::parse("http://127.0.0.1:1", 1).unwrap(),
        said_by: "",
        model: "smollm2".to_owned(),
        num_ctx: None,
        offline: true,
        has_key: false,
    };
    let (sender, mut reader) = event::channel();
    let mut sink = Sink::new(sender, FrameId(0), NodeId(0), Vec::new().into(), 1 << 20);
    let reading = async move {
        let mut reader = Reader::new(server, 1 << 20);
        for piece in pieces {
            if reader.push(piece, &mut sink).await? {
                break;
            }
        }
        reader.end(&mut sink).await
    };
    let told = async {
        let mut text = String::new();
        while let Some(event) = reader.recv().await {
            if let event::EventKind::Token { text: piece } = event.kind {
                text.push_str(&piece);
            }
        }
        text
    };
    tokio::join!(reading, told)
}

/// A result as the file of expectations has it.
fn shown(result: &Result<Received, ProviderError>) -> Json {
    match result {
        Ok(received) => {
            let (finish, usage) = received.end.unwrap();
            json!({
                "text": received.text, "reasoning": received.reasoning, "finish": finish.name(),
                "usage": [usage.input, usage.output],
            })
        }
        Err(error) => json!({ "error": format!("{:?}", error.kind), "message": error.message }),
    }
}

fn fits(seen: &Json, wanted: &Json) -> bool {
    match wanted.get("error") {
        None => seen == wanted,
        Some(kind) => {
            let part = wanted["message"].as_str().unwrap();
            &seen["error"] == kind && seen["message"].as_str().is_some_and(|m| m.contains(part))
        }
    }
}

#[test]
fn every_recorded_answer_at_every_split() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/wire");
    let expected: Json =
        serde_json::from_str(&std::fs::read_to_string(folder.join("ollama.expected.json")).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut count = 0;
    for (name, wanted) in expected.as_object().unwrap().iter().filter(|(_, wanted)| wanted["status"] == 200) {
        let (_, body) = parts(&std::fs::read(folder.join(format!("{name}.http"))).unwrap());
        let wanted = &wanted["gives"];
        let check = |pieces: &[&[u8]], place: &str| {
            let (result, told) = runtime.block_on(read(pieces));
            let seen = shown(&result);
            assert!(fits(&seen, wanted), "{name}, {place}: {seen:#} is not {wanted:#}");
            let text = if result.is_ok() { &wanted["text"] } else { &wanted["after"] };
            assert_eq!(text, &told, "{name}, {place}");
        };
        check(&[&body], "whole");
        check(&body.chunks(1).collect::<Vec<_>>(), "byte by byte");
        for at in 0..=body.len() {
            let (a, b) = body.split_at(at);
            check(&[a, b], &format!("split at {at}"));
        }
        count += 1;
    }
    assert!(count >= 40, "{count}");
}
