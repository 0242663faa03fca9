//! Answers of real servers, split at every byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value as Json;

use super::dialect::Dialect;
use super::errors::Server;
use super::received::Received;
use super::stream::{Reader, Reading};
use crate::event::{self, FrameId, NodeId, Sink};
use crate::net::BaseUrl;
use crate::providers::ProviderError;

fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/wire")
}

/// Head and body of a recorded answer, without the framing of chunks.
pub fn parts(recorded: &[u8]) -> (String, Vec<u8>) {
    let end = recorded.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&recorded[..end]).to_lowercase();
    let mut rest = &recorded[end + 4..];
    if !head.contains("transfer-encoding: chunked") {
        return (head, rest.to_vec());
    }
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap().trim(), 16).unwrap();
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
        if size == 0 {
            break;
        }
    }
    (head, body)
}

/// What a body that comes in these pieces gives, and the text that went to the sink.
async fn read(head: &str, pieces: &[&[u8]], wrapped: bool) -> (Result<Received, ProviderError>, String) {
    let server = &Server {
        base: BaseUrl::parse("http://127.0.0.1:1/v1", 1).unwrap(),
        said_by: "",
        dialect: Dialect::Other,
        model: "smollm2".to_owned(),
        has_key: false,
    };
    let (sender, mut reader) = event::channel();
    let mut sink = Sink::new(sender, FrameId(0), NodeId(0), Vec::new().into(), 1 << 20);
    let reading = async move {
        let mut reader =
            Reader::new(server, Reading { wrapped, thinking: true }, head.contains("event-stream"), 1 << 20);
        for piece in pieces {
            if reader.push(piece, &mut sink).await? {
                return reader.done(&mut sink).await;
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
        Ok(received) => serde_json::json!({
            "text": received.text,
            "reasoning": received.reasoning,
            "finish": received.finish.unwrap().name(),
            "tool_calls": received.calls.iter().map(crate::value::ToolCall::to_json).collect::<Json>(),
            "usage": [received.usage.input, received.usage.output],
        }),
        Err(error) => serde_json::json!({ "error": format!("{:?}", error.kind), "message": error.message }),
    }
}

fn fits(seen: &Json, wanted: &Json) -> bool {
    match wanted.get("error") {
        None => {
            // Most answers ask for no tool, and their expectations do not say so.
            let mut wanted = wanted.clone();
            wanted.as_object_mut().unwrap().entry("tool_calls").or_insert(Json::Array(Vec::new()));
            *seen == wanted
        }
        Some(kind) => {
            let part = wanted["message"].as_str().unwrap();
            &seen["error"] == kind && seen["message"].as_str().is_some_and(|m| m.contains(part))
        }
    }
}

#[test]
fn every_recorded_answer_at_every_split() {
    let expected: Json =
        serde_json::from_str(&std::fs::read_to_string(folder().join("openai.expected.json")).unwrap()).unwrap();
    let bodies = expected.as_object().unwrap().iter().filter(|(_, wanted)| wanted["status"] == 200);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut count = 0;
    for (name, wanted) in bodies {
        let (head, body) = parts(&std::fs::read(folder().join(format!("{name}.http"))).unwrap());
        let wanted = &wanted["gives"];
        let check = |pieces: &[&[u8]], place: &str| {
            let (result, told) = runtime.block_on(read(&head, pieces, false));
            let seen = shown(&result);
            assert!(fits(&seen, wanted), "{name}, {place}: {seen:#} is not {wanted:#}");
            let text = if result.is_ok() { &wanted["text"] } else { &wanted["after"] };
            assert!(text.is_null() || told == *text, "{name}, {place}: the sink got {told:?}");
        };
        check(&[&body], "whole");
        check(&body.chunks(1).collect::<Vec<_>>(), "byte by byte");
        for at in 0..=body.len() {
            let (a, b) = body.split_at(at);
            check(&[a, b], &format!("split at {at}"));
        }
        count += 1;
    }
    assert!(count > 40, "{count}");
}

#[test]
fn a_body_cut_anywhere_is_never_a_whole_answer_before_its_end() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for name in ["ls_chat_stream_usage", "vllm_chat_stream_usage", "tgi_chat_stream", "ls_chat"] {
        let (head, body) = parts(&std::fs::read(folder().join(format!("{name}.http"))).unwrap());
        let whole = runtime.block_on(read(&head, &[&body], false)).0.unwrap();
        for at in 0..body.len() {
            // What is cut behind the reason of the end has all of the text.
            if let Ok(received) = runtime.block_on(read(&head, &[&body[..at]], false)).0 {
                assert_eq!((received.text, received.finish), (whole.text.clone(), whole.finish), "{name} at {at}");
            }
        }
    }
}

#[test]
fn values_travel_in_an_object() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let piece = |text: &str| {
        format!("data: {}\n\n", serde_json::json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }))
    };
    let body: String = ["{", "\"va", "lue\": [", "1,", " 2]", "}"].iter().map(|p| piece(p)).collect::<String>()
        + "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let (result, told) = runtime.block_on(read("text/event-stream", &[body.as_bytes()], true));
    assert_eq!((result.unwrap().text.as_str(), told.as_str()), ("[1, 2]", "[1, 2]"));
}
