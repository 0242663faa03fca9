//! What `openai` and `gpt4all` send, whose key goes where, and what they make of servers that fail.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/ollama.rs"]
mod call;
#[path = "support/server.rs"]
mod server;

use std::time::Duration;

use call::{Setup, body_of, raw, says, text_of};
use chainrun::providers::{ErrorKind, OptionValue};
use chainrun::value::{Constraint, Finish, Image, Message, Request, RequestInput, Role, Usage, Value};
use serde_json::{Value as Json, json};
use server::{Reply, Server, dead_url};

const SSE: &str = "text/event-stream";
const END: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

fn at(url: &str) -> Setup {
    Setup { provider: Some("openai"), ..Setup::at(url) }
}

fn piece(text: &str) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }))
}

fn answer() -> Reply {
    Reply::stream(SSE).piece(piece("a")).piece(END).piece("data: [DONE]\n\n").end()
}

fn dialect(name: &str) -> Setup {
    at("http://127.0.0.1:1").option("dialect", Value::from(name)).option("max_tokens", Value::Int(5))
}

#[test]
fn a_recorded_chat_and_what_was_sent() {
    let bytes = include_bytes!("data/wire/ls_chat_stream_usage.http");
    let server = Server::always(Reply::recorded_drip(bytes, Duration::ZERO));
    let (answer, events) = at(&server.url()).ask(&says("Name one vegetable."));
    let answer = answer.unwrap();
    assert_eq!((answer.text.as_str(), answer.finish), ("One vegetable is not", Finish::Length));
    assert_eq!(
        (text_of(&events), answer.usage),
        (answer.text, Usage { input: Some(23), output: Some(4), cached: None })
    );
    let seen = &server.requests()[0];
    assert_eq!((seen.path.as_str(), seen.header("authorization")), ("/v1/chat/completions", None));
    let sent = json!({
        "model": "smollm2", "messages": [{ "role": "user", "content": "Name one vegetable." }],
        "stream": true, "stream_options": { "include_usage": true },
    });
    assert_eq!(seen.json(), sent);
}

#[test]
fn every_dialect_has_its_names() {
    assert_eq!(body_of(&dialect("openai"), &says("Hi"))["max_completion_tokens"], 5);
    assert_eq!(body_of(&dialect("openai"), &raw("Hi"))["max_tokens"], 5);
    for name in ["llama-server", "vllm", "tgi", "lmstudio", "ollama"] {
        assert_eq!(body_of(&dialect(name), &says("Hi"))["max_tokens"], 5, "{name}");
    }
    let gpt4all = Setup { provider: Some("gpt4all"), model: "Mistral", ..Setup::default() };
    let gpt4all = gpt4all.option("server", Value::Bool(true));
    let sent = json!({
        "model": "Mistral", "messages": [{ "role": "user", "content": "Hi" }], "max_tokens": 512,
    });
    assert_eq!(body_of(&gpt4all, &says("Hi")), sent);
    let body = body_of(&dialect("llama-server").option("repeatable", Value::Bool(true)), &says("Hi"));
    assert_eq!((&body["cache_prompt"], &body["seed"]), (&json!(false), &json!(0)));
    let list = json!({ "type": "array", "items": { "type": "integer" } });
    let held = Request { constraint: Some(Constraint::JsonSchema(list.clone())), ..says("Hi") };
    let schema = |name| body_of(&dialect(name), &held)["response_format"]["json_schema"]["schema"].clone();
    assert_eq!((schema("llama-server"), schema("openai")["properties"]["value"].clone()), (list.clone(), list));
    assert_eq!(body_of(&dialect("tgi"), &held)["response_format"]["type"], "json_object");
}

#[test]
fn the_environments_key_goes_where_the_environment_says() {
    let server = Server::always(answer());
    let key = ("OPENAI_API_KEY", "s3cr3t".to_owned());
    let named = Setup { env: vec![key.clone()], ..at(&server.url()) };
    assert_eq!(named.ask(&says("Hi")).0.unwrap().text, "a");
    let env = vec![key, ("OPENAI_BASE_URL", server.url())];
    let told = Setup { provider: Some("openai"), model: "m", env, ..Setup::default() };
    told.ask(&says("Hi")).0.unwrap();
    let keys: Vec<Option<String>> =
        server.requests().iter().map(|r| r.header("authorization").map(str::to_owned)).collect();
    assert_eq!(keys, [None, Some("Bearer s3cr3t".to_owned())]);
    assert!(!told.build().unwrap().secrets().is_empty() && named.build().unwrap().secrets().is_empty());
    let none = Setup { provider: Some("openai"), model: "m", ..Setup::default() };
    assert!(none.error().message.contains("OPENAI_API_KEY"));
}

#[test]
fn servers_that_fail() {
    let idle = || OptionValue::Duration(Duration::from_millis(100));
    let kind = |reply: Reply| at(&Server::always(reply).url()).set("idle_timeout", idle()).error().kind;
    assert_eq!(at(&dead_url()).error().kind, ErrorKind::Unreachable);
    for (reply, wanted) in [
        (Reply::default().stall(), ErrorKind::TimedOut),
        (Reply::stream(SSE).piece(piece("a")).stall(), ErrorKind::TimedOut),
        (Reply::stream(SSE).end(), ErrorKind::Unreachable),
        (Reply::stream(SSE).piece("data: [DONE]\n\n").end(), ErrorKind::Unreachable),
        (Reply::stream(SSE).piece("data: {\"cho").cut(), ErrorKind::Unreachable),
        (Reply::stream(SSE).piece(piece("a")).piece("data: {\"cho").cut(), ErrorKind::Broken),
        (Reply::text(200, "<html>hello</html>"), ErrorKind::Broken),
        (Reply::json(200, "{\"error\":{\"message\":\"no\",\"code\":400}}"), ErrorKind::Refused),
        (Reply::stream(SSE).piece("data: {\"error\":{\"message\":\"x\"}}\n\ndata: [DONE]\n\n").end(), ErrorKind::Busy),
        (Reply::new(429, &[("Retry-After", "1.5")], ""), ErrorKind::Busy),
        (Reply::new(429, &[("Retry-After", "300")], ""), ErrorKind::Refused),
        (Reply::new(307, &[("Location", "http://elsewhere.example/")], ""), ErrorKind::Refused),
        (Reply::text(502, "<html>Bad Gateway</html>"), ErrorKind::Busy),
    ] {
        let shown = format!("{reply:?}");
        assert_eq!(kind(reply), wanted, "{shown}");
    }
}

/// The error recordings, each with its status and what it must give.
fn recorded_errors() -> Vec<(String, u64, Json)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/wire/");
    let expected = std::fs::read_to_string(format!("{folder}openai.expected.json")).unwrap();
    let expected: serde_json::Map<String, Json> = serde_json::from_str(&expected).unwrap();
    let errors = expected.into_iter().map(|(name, wanted)| (name, wanted["status"].as_u64().unwrap(), wanted));
    errors.filter(|(_, status, _)| *status != 200).map(|(n, s, wanted)| (n, s, wanted["gives"].clone())).collect()
}

#[test]
fn every_recorded_error_at_every_split() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/wire/");
    let file = move |name: &str| std::fs::read(format!("{folder}{name}.http")).unwrap();
    // The path says which recording, and where it is split.
    let server = Server::start(move |seen| {
        let mut parts = seen.path.trim_start_matches('/').split('/');
        let (bytes, at) = (file(parts.next().unwrap()), parts.next().unwrap());
        match at.parse::<usize>() {
            Ok(at) => Reply::head("").piece(&bytes[..at]).piece(&bytes[at..]).cut(),
            Err(_) => Reply::recorded_drip(&bytes, Duration::ZERO),
        }
    });
    let errors = recorded_errors();
    assert!(errors.len() >= 32, "{}", errors.len());
    for (name, status, wanted) in &errors {
        let length = std::fs::read(format!("{folder}{name}.http")).unwrap().len();
        let splits = (0..=length).map(|at| at.to_string()).chain(["drip".to_owned()]);
        for at in splits {
            let seen = at_split(&server.url(), name, &at).error();
            assert_eq!(wanted["error"], format!("{:?}", seen.kind), "{name}, {at}: {seen:?}");
            assert!(seen.message.contains(wanted["message"].as_str().unwrap()), "{name}, {at}: {seen:?}");
            let told = seen.kind == ErrorKind::Overflow || seen.message.contains(&status.to_string());
            assert!(told && seen.help.iter().all(|line| !line.is_empty()), "{name}, {at}: {seen:?}");
        }
    }
}

fn at_split(url: &str, name: &str, split: &str) -> Setup {
    at(&format!("{url}/{name}/{split}/v1"))
}

#[test]
fn pictures_go_as_parts() {
    let image = Image { path: "potato.png".into(), media_type: "image/png", bytes: (*b"foobar").into() };
    let said = Message { images: vec![image], ..Message::new(Role::User, "What is it?") };
    let request =
        Request { input: RequestInput::Messages(vec![Message::new(Role::System, "Short."), said]), constraint: None };
    let url = json!({ "url": "data:image/png;base64,Zm9vYmFy" });
    let parts = json!([{ "type": "text", "text": "What is it?" }, { "type": "image_url", "image_url": url }]);
    let body = body_of(&dialect("vllm"), &request);
    assert_eq!(
        body["messages"],
        json!([
            { "role": "system", "content": "Short." }, { "role": "user", "content": parts },
        ])
    );
    let setup = Setup { provider: Some("gpt4all"), model: "Mistral", ..Setup::default() };
    let refused = setup.option("server", Value::Bool(true)).ask(&request).0.unwrap_err();
    assert!(refused.message.contains("takes no pictures, and `potato.png` is one"), "{refused:?}");
}

#[test]
fn reasoning_stays_apart_and_gpt4all_answers_with_the_model_asked_for() {
    let thought = json!({ "choices": [{ "delta": { "reasoning_content": "hm " } }] });
    let reply = Reply::stream(SSE).piece(format!("data: {thought}\n\n")).piece(piece("<think>so</th"));
    let server = Server::always(reply.piece(piece("ink>\n\na tuber")).piece(END).end());
    let answer = at(&server.url()).ask(&says("Hi")).0.unwrap();
    assert_eq!((answer.text.as_str(), answer.reasoning.as_deref()), ("a tuber", Some("hm so")));
    let body: Json =
        json!({ "model": "Other", "choices": [{ "message": { "content": "x" }, "finish_reason": "stop" }] });
    let server = Server::always(Reply::json(200, &body.to_string()));
    let setup = Setup { provider: Some("gpt4all"), model: "Mistral", ..Setup::default() };
    let error = setup.option("server", Value::from(server.url())).error();
    assert!(error.message.contains("answered with `Other`"), "{error:?}");
}
