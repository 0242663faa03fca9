//! Text generation as Text Generation Inference's router answers it, split at every byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value as Json, json};

use super::super::openai::dialect::Dialect;
use super::super::openai::errors::Server;
use super::super::openai::recorded_tests::parts;
use super::received::{Reader, Received};
use crate::event::{self, FrameId, NodeId, Sink};
use crate::net::BaseUrl;
use crate::providers::ProviderError;

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
}

fn server() -> Server {
    Server {
        base: BaseUrl::parse("http://127.0.0.1:1", 1).unwrap(),
        said_by: "",
        dialect: Dialect::Endpoint,
        model: "smollm2".to_owned(),
        has_key: false,
    }
}

/// What a body that comes in these pieces gives, and the text that went to the sink.
fn read(events: bool, pieces: &[&[u8]], stops: &[&str], wrapped: bool) -> (Result<Received, ProviderError>, String) {
    let server = &server();
    let (sender, mut reader) = event::channel();
    let mut sink = Sink::new(sender, FrameId(0), NodeId(0), Vec::new().into(), 1 << 20);
    let received = Received::new(stops.iter().map(|s| (*s).to_owned()).collect(), wrapped);
    let reading = async move {
        let mut reader = Reader::new(server, received, events, 1 << 20);
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
    RUNTIME.with(|runtime| runtime.block_on(async { tokio::join!(reading, told) }))
}

fn shown(result: &Result<Received, ProviderError>) -> Json {
    match result {
        Ok(received) => json!({
            "text": received.text,
            "finish": received.finish.unwrap().name(),
            "usage": [received.usage.input, received.usage.output],
        }),
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
        serde_json::from_str(&std::fs::read_to_string(folder.join("tgi.expected.json")).unwrap()).unwrap();
    let mut count = 0;
    for (name, wanted) in expected.as_object().unwrap().iter().filter(|(_, wanted)| wanted["status"] == 200) {
        let (head, body) = parts(&std::fs::read(folder.join(format!("{name}.http"))).unwrap());
        let wanted = &wanted["gives"];
        let check = |pieces: &[&[u8]], place: &str| {
            let (result, told) = read(head.contains("event-stream"), pieces, &[], false);
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
    assert_eq!(count, 16);
}

#[test]
fn a_stream_that_is_cut_anywhere_is_no_answer() {
    let (_, body) = parts(include_bytes!("../../../tests/data/wire/tgi_generate_stream_details.http"));
    let end = body.windows(8).rposition(|w| w == b"\"details").unwrap();
    for at in 0..end {
        let (result, told) = read(true, &[&body[..at]], &[], false);
        let error = result.err().unwrap_or_else(|| panic!("cut at {at}"));
        assert!(error.message.contains("ended early"), "cut at {at}: {error:?}");
        assert!("A potato is a type of root vegetable that belongs to the".starts_with(&told), "cut at {at}: {told}");
    }
}

fn token(text: &str, special: bool) -> String {
    format!("data:{}\n\n", json!({ "index": 1, "token": { "text": text, "special": special }, "generated_text": null }))
}

fn last(reason: &str) -> String {
    let details = json!({ "finish_reason": reason, "generated_tokens": 3 });
    format!(
        "data: {}\n\n",
        json!({ "token": { "text": "</s>", "special": true }, "generated_text": "", "details": details })
    )
}

#[test]
fn what_ends_an_answer_is_no_part_of_it() {
    let body = format!(":\n\n{}{}{}", token("a #", false), token("## b", false), token("\n##", false));
    let ended = format!("{body}{}{}", token("#", false), last("stop_sequence"));
    let (result, told) = read(true, &[ended.as_bytes()], &["\n###", "END"], false);
    assert_eq!((result.unwrap().text.as_str(), told.as_str()), ("a ### b", "a ### b"));
    let (result, told) = read(true, &[body.as_bytes(), last("length").as_bytes()], &["\n###", "END"], false);
    assert_eq!((result.unwrap().text.as_str(), told.as_str()), ("a ### b\n##", "a ### b\n##"));
    let whole = json!([{ "generated_text": "감자END" }]).to_string();
    assert_eq!(read(false, &[whole.as_bytes()], &["END"], false).0.unwrap().text, "감자");
}

#[test]
fn a_value_is_taken_out_of_the_object_that_it_travels_in() {
    let body = format!("{}{}{}", token("{\"val", false), token("ue\": [1, ", false), token("2]}", false));
    let (result, told) = read(true, &[body.as_bytes(), last("eos_token").as_bytes()], &[], true);
    assert_eq!((result.unwrap().text.as_str(), told.as_str()), ("[1, 2]", "[1, 2]"));
}

#[test]
fn what_is_no_answer() {
    for (events, body, part) in [
        (false, "[]", "no answer"),
        (false, "<html>hello</html>", "no answer"),
        (false, "{\"odd\":1}", "no answer"),
        (false, "", "no piece of an answer"),
        (false, "[{\"generated_te", "ended early"),
        (true, ": ping\n\n", "ended early"),
        (true, "data: [DONE]\n\n", "ended early"),
        (true, "data: 3\n\n", "no answer"),
        (false, "{\"error\":\"Model a/b is currently loading\",\"estimated_time\":20.0}", "currently loading"),
    ] {
        let error = read(events, &[body.as_bytes()], &[], false).0.err().unwrap();
        assert!(error.message.contains(part), "{body}: {error:?}");
    }
}
