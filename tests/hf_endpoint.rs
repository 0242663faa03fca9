//! What `hf-endpoint` sends to the router and to endpoints, whose token goes where, and what it makes of servers that fail.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/ollama.rs"]
mod call;
#[path = "support/server.rs"]
mod server;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use call::{Setup, body_of, raw, says, text_of};
use chainrun::providers::{ErrorKind, OptionValue, Prepared, ProviderError};
use chainrun::value::{Constraint, Finish, Request, Secret, Usage, Value};
use serde_json::{Value as Json, json};
use server::{Reply, Server, dead_url};

const SSE: &str = "text/event-stream";
const MODEL: &str = "mistralai/Mistral-7B-Instruct-v0.3";

/// A model behind the router.
fn router() -> Setup {
    Setup { provider: Some("hf-endpoint"), model: MODEL, ..Setup::default() }
}

/// An endpoint.
fn at(url: &str) -> Setup {
    Setup { model: "", ..router() }.option("endpoint_url", Value::from(url))
}

/// The router at another address, which gets the token that the file names.
fn router_at(server: &Server) -> Setup {
    let env = vec![("HF_INFERENCE_ENDPOINT", server.url()), ("HF_TOKEN", "hf_environment".to_owned())];
    Setup { env, ..router() }.set("api_key", OptionValue::Secret(Secret::new("hf_s3cr3t")))
}

fn chat() -> Reply {
    let piece = |delta: Json, end: Json| {
        json!({ "id": "", "choices": [{ "index": 0, "delta": delta, "finish_reason": end }] }).to_string()
    };
    let (first, end) = (piece(json!({ "content": "a tuber" }), Json::Null), piece(json!({}), json!("eos_token")));
    Reply::stream(SSE).piece(format!("data: {first}\n\ndata: {end}\n\ndata: [DONE]\n\n")).end()
}

fn token(text: &str) -> String {
    format!(
        "data:{}\n\n",
        json!({ "token": { "text": text, "special": false }, "generated_text": null, "details": null })
    )
}

fn last() -> String {
    let details = json!({ "finish_reason": "eos_token", "generated_tokens": 3, "input_length": 5 });
    let end = json!({ "token": { "text": "</s>", "special": true }, "generated_text": "a tuber", "details": details });
    format!("data: {end}\n\n")
}

fn generated() -> Reply {
    Reply::stream(SSE).piece(token("a ")).piece(":\n\n").piece(token("tuber")).piece(last()).end()
}

fn url_of(setup: &Setup, request: &Request) -> String {
    match setup.build().unwrap().prepare(request).unwrap() {
        Prepared::Http { url, .. } => url,
        other => panic!("{other:?}"),
    }
}

fn build_error(setup: &Setup) -> ProviderError {
    setup.build().err().unwrap()
}

#[test]
fn the_router_gets_messages_and_the_provider_with_the_model() {
    let setup = || router().option("max_tokens", Value::Int(8)).option("repeat_penalty", Value::Float(1.1));
    assert_eq!(url_of(&setup(), &says("Hi")), "https://router.huggingface.co:443/v1/chat/completions");
    let sent = json!({
        "model": MODEL, "messages": [{ "role": "user", "content": "Hi" }], "stream": true,
        "stream_options": { "include_usage": true }, "max_tokens": 8, "repetition_penalty": 1.1,
    });
    assert_eq!(body_of(&setup(), &says("Hi")), sent);
    let named = setup().option("provider", Value::from("groq"));
    assert_eq!(body_of(&named, &says("Hi"))["model"], format!("{MODEL}:groq"));
    let server = Server::always(chat());
    let answer = router_at(&server).option("bill_to", Value::from("us")).ask(&says("Hi")).0.unwrap();
    assert_eq!((answer.text.as_str(), answer.finish), ("a tuber", Finish::Stop));
    let seen = &server.requests()[0];
    assert_eq!((seen.path.as_str(), seen.header("x-hf-bill-to")), ("/v1/chat/completions", Some("us")));
    assert_eq!(seen.header("authorization"), Some("Bearer hf_s3cr3t"));
    let error = setup().build().unwrap().prepare(&raw("[INST]Hi[/INST]")).unwrap_err();
    assert!(error.message.contains("messages alone") && error.help[1].contains("endpoint_url"), "{error:?}");
}

#[test]
fn the_token_goes_to_hugging_face_and_in_the_order_of_its_own_tools() {
    let folder = std::env::temp_dir().join(format!("chainrun-hf-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("token"), "hf_file\n").unwrap();
    let home = ("HF_HOME", folder.display().to_string());
    let legacy = ("HUGGING_FACE_HUB_TOKEN", "hf_legacy".to_owned());
    let chain = ("HUGGINGFACEHUB_API_TOKEN", "hf_chain".to_owned());
    let first = ("HF_TOKEN", " hf_first\n".to_owned());
    let found = |env: &[(&'static str, String)], setup: Setup| {
        let provider = Setup { env: env.to_vec(), ..setup }.build().unwrap();
        (provider.secrets().first().map(|s| s.expose().to_owned()), provider.missing().is_some())
    };
    let some = |text: &str| (Some(text.to_owned()), false);
    assert_eq!(found(&[], router()), (None, true));
    assert_eq!(found(std::slice::from_ref(&home), router()), some("hf_file"));
    assert_eq!(found(&[home.clone(), chain.clone()], router()), some("hf_chain"));
    assert_eq!(found(&[chain.clone(), legacy.clone()], router()), some("hf_legacy"));
    assert_eq!(found(&[legacy, first.clone(), home.clone()], router()), some("hf_first"));
    assert_eq!(found(&[("HF_TOKEN", "  ".to_owned()), home], router()), some("hf_file"));
    std::fs::remove_dir_all(&folder).unwrap();
    let cloud = "https://x.endpoints.huggingface.cloud";
    assert_eq!(found(std::slice::from_ref(&first), at(cloud)), some("hf_first"));
    for other in ["http://x.endpoints.huggingface.cloud", "https://example.com", "https://huggingface.co.example.com"] {
        assert_eq!(found(std::slice::from_ref(&first), at(other)), (None, false), "{other}");
    }
    let server = Server::always(chat());
    Setup { env: vec![first], ..at(&server.url()) }.ask(&says("Hi")).0.unwrap();
    assert_eq!(server.requests()[0].header("authorization"), None);
    let offline = Setup { offline: true, ..router() }.error();
    assert!(offline.message.contains("the run is offline"), "{offline:?}");
}

#[test]
fn raw_text_goes_to_the_address_as_it_is() {
    let server = Server::always(generated());
    let url = format!("{}/ep", server.url());
    let setup = || at(&url).option("temperature", Value::Float(0.5)).option("stop", Value::from("x"));
    let setup = setup().option("max_tokens", Value::Int(20)).option("top_p", Value::Int(1));
    let (answer, events) = setup.ask(&raw("potato"));
    let answer = answer.unwrap();
    assert_eq!((answer.text.as_str(), answer.finish), ("a tuber", Finish::Stop));
    assert_eq!(
        (text_of(&events), answer.usage),
        (answer.text, Usage { input: Some(5), output: Some(3), cached: None })
    );
    let seen = &server.requests()[0];
    let sent = json!({
        "inputs": "potato", "stream": true,
        "parameters": {
            "temperature": 0.5, "max_new_tokens": 20, "stop": ["x"], "do_sample": true, "return_full_text": false,
            "details": true,
        },
    });
    assert_eq!((seen.path.as_str(), seen.json()), ("/ep", sent));
    let greedy = body_of(&at(&url).option("temperature", Value::Int(0)), &raw("potato"));
    assert_eq!(greedy["parameters"], json!({ "do_sample": false, "return_full_text": false, "details": true }));
    let list = json!({ "type": "array", "items": { "type": "integer" } });
    let held = Request { constraint: Some(Constraint::JsonSchema(list.clone())), ..raw("Hi") };
    let grammar = &body_of(&at(&url), &held)["parameters"]["grammar"];
    assert_eq!((&grammar["type"], &grammar["value"]["properties"]["value"]), (&json!("json"), &list));
    let regex = Request { constraint: Some(Constraint::Regex("[a-z]+".to_owned())), ..raw("Hi") };
    let grammar = &body_of(&at(&url), &regex)["parameters"]["grammar"];
    assert_eq!(*grammar, json!({ "type": "regex", "value": "[a-z]+" }));
}

#[test]
fn an_endpoint_that_does_not_stream_or_holds_a_model_to_a_schema() {
    let whole = include_bytes!("data/wire/tgi_compat.http");
    let answer = at(&Server::always(Reply::recorded_drip(whole, Duration::ZERO)).url()).ask(&raw("Hi")).0.unwrap();
    assert!(answer.text.ends_with("belongs to the"));
    assert_eq!(answer.usage, Usage { input: Some(14), output: Some(12), cached: None });
    // A TGI refuses OpenAI's form of a schema: then it gets its own, and from then on at once.
    let refusal = include_bytes!("data/wire/tgi_chat_json_schema.http");
    let server = Server::start(move |seen| match seen.json()["response_format"]["type"].as_str() {
        Some("json_schema") => Reply::recorded(refusal),
        _ => chat(),
    });
    let schema = json!({ "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"] });
    let held = Request { constraint: Some(Constraint::JsonSchema(schema.clone())), ..says("Hi") };
    assert_eq!(at(&server.url()).ask(&held).0.unwrap().text, "a tuber");
    let formats: Vec<Json> = server.requests().iter().map(|r| r.json()["response_format"].clone()).collect();
    assert_eq!(formats.len(), 2);
    assert_eq!(formats[0]["json_schema"]["schema"], schema);
    assert_eq!(formats[1], json!({ "type": "json_object", "value": schema }));
}

#[test]
fn options_go_to_the_calls_that_know_them() {
    let url = "http://127.0.0.1:1";
    let watermark = at(url).option("watermark", Value::Bool(true)).build().unwrap();
    assert!(watermark.prepare(&raw("Hi")).is_ok());
    assert!(watermark.prepare(&says("Hi")).unwrap_err().message.contains("has no `watermark`"));
    let min_p = at(url).option("min_p", Value::Float(0.1)).build().unwrap();
    assert!(min_p.prepare(&says("Hi")).is_ok());
    assert!(min_p.prepare(&raw("Hi")).unwrap_err().message.contains("has no `min_p`"));
    let neither = at(url).option("watermark", Value::Bool(true)).option("min_p", Value::Float(0.1));
    assert!(build_error(&neither).message.contains("no `"));
    let task = |name: &str| at(url).option("task", Value::from(name)).build().unwrap();
    assert!(task("conversational").prepare(&raw("Hi")).unwrap_err().message.contains("messages alone"));
    assert!(task("text-generation").prepare(&says("Hi")).unwrap_err().message.contains("`raw`"));
    let versioned = at("http://127.0.0.1:1/v1").build().unwrap();
    assert!(versioned.prepare(&raw("Hi")).unwrap_err().message.contains("OpenAI's API"));
    assert_eq!(body_of(&at(url), &says("Hi"))["model"], "dummy");
    let old = Setup { env: vec![("HF_INFERENCE_ENDPOINT", "https://api-inference.huggingface.co".into())], ..router() };
    assert!(build_error(&old).message.contains("no longer there"));
}

#[test]
fn a_model_that_loads_is_waited_for_and_not_for_ever() {
    let loading = r#"{"error":"Model a/b is currently loading","estimated_time":0.05}"#;
    let count = AtomicUsize::new(0);
    let server = Server::start(move |seen| match count.fetch_add(1, Ordering::SeqCst) % 3 {
        2 if seen.path.contains("chat") => chat(),
        2 => generated(),
        _ => Reply::json(503, loading),
    });
    assert_eq!(at(&server.url()).ask(&raw("Hi")).0.unwrap().text, "a tuber");
    assert_eq!(at(&server.url()).ask(&says("Hi")).0.unwrap().text, "a tuber");
    assert_eq!(server.requests().len(), 6);
    let server = Server::always(Reply::json(503, loading));
    let idle = OptionValue::Duration(Duration::from_millis(300));
    let error = at(&server.url()).set("idle_timeout", idle).error();
    assert!(error.kind == ErrorKind::Busy && error.message.contains("still loads"), "{error:?}");
    assert!((2..10).contains(&server.requests().len()));
}

#[test]
fn statuses_say_what_to_do() {
    let told = |setup: Setup| {
        let error = setup.error();
        format!("{:?}: {}; {}", error.kind, error.message, error.help.join("; "))
    };
    for (reply, parts) in [
        (
            Reply::json(401, r#"{"error":"Invalid credentials in Authorization header"}"#),
            ["does not take the token", "Refused"],
        ),
        (Reply::json(402, r#"{"error":"exceeded your monthly included credits"}"#), ["bill_to", "monthly"]),
        (Reply::json(404, r#"{"error":"Model not found"}"#), ["serves no such model", "endpoint_url"]),
        (
            Reply::json(400, r#"{"error":{"message":"no","code":"model_not_supported"}}"#),
            ["serves no such model", "local("],
        ),
        (Reply::new(429, &[("ratelimit", "\"api\";r=0;t=55")], ""), ["Busy", "too many requests"]),
        (Reply::json(503, r#"{"error":"x"}"#), ["Busy", "is busy"]),
    ] {
        let server = Server::always(reply);
        let text = told(router_at(&server));
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        assert!(!text.contains("hf_s3cr3t"), "{text}");
    }
    let limited = Server::always(Reply::new(429, &[("ratelimit", "\"api\";r=0;t=55")], ""));
    assert_eq!(router_at(&limited).error().retry_after, Some(Duration::from_secs(56)));
    let wants = Server::always(Reply::recorded(include_bytes!("data/wire/tgi_err_401.http")));
    assert!(told(at(&wants.url())).contains("wants a token (401)"));
    let other = Server::always(Reply::json(404, r#"{"detail":"Not Found"}"#));
    let error = at(&other.url()).ask(&raw("Hi")).0.unwrap_err();
    assert!(error.message.contains("has no text generation") && error.help[0].contains("vLLM"), "{error:?}");
}

#[test]
fn recorded_refusals_of_text_generation() {
    let folder = format!("{}/tests/data/wire", env!("CARGO_MANIFEST_DIR"));
    let expected: Json =
        serde_json::from_str(&std::fs::read_to_string(format!("{folder}/tgi.expected.json")).unwrap()).unwrap();
    let mut count = 0;
    for (name, wanted) in expected.as_object().unwrap().iter().filter(|(_, w)| w["status"] != 200) {
        let bytes = std::fs::read(format!("{folder}/{name}.http")).unwrap();
        let error = at(&Server::always(Reply::recorded(&bytes)).url()).ask(&raw("Hi")).0.unwrap_err();
        let wanted = &wanted["gives"];
        assert_eq!(wanted["error"], format!("{:?}", error.kind), "{name}: {error:?}");
        assert!(error.message.contains(wanted["message"].as_str().unwrap()), "{name}: {error:?}");
        count += 1;
    }
    assert_eq!(count, 15);
}

#[test]
fn servers_that_fail() {
    let idle = || OptionValue::Duration(Duration::from_millis(100));
    let ask = |reply: Reply, request: &Request| {
        let server = Server::always(reply);
        at(&server.url()).set("idle_timeout", idle()).ask(request).0.unwrap_err().kind
    };
    assert_eq!(at(&dead_url()).error().kind, ErrorKind::Unreachable);
    assert_eq!(at(&dead_url()).ask(&raw("Hi")).0.unwrap_err().kind, ErrorKind::Unreachable);
    let error = |kind: &str| format!("data: {}\n\n", json!({ "error": "no", "error_type": kind }));
    for (reply, wanted) in [
        (Reply::default().stall(), ErrorKind::TimedOut),
        (Reply::stream(SSE).piece(token("a")).stall(), ErrorKind::TimedOut),
        (Reply::stream(SSE).end(), ErrorKind::Unreachable),
        (Reply::stream(SSE).piece("data:{\"tok").cut(), ErrorKind::Unreachable),
        (Reply::stream(SSE).piece(token("a")).piece("data: {\"tok").cut(), ErrorKind::Broken),
        (Reply::stream(SSE).piece(token("a")).end(), ErrorKind::Broken),
        (Reply::stream(SSE).piece(error("validation")).end(), ErrorKind::Refused),
        (Reply::stream(SSE).piece(error("overloaded")).end(), ErrorKind::Busy),
        (Reply::stream(SSE).piece(token("a")).piece(error("generation")).end(), ErrorKind::Broken),
        (Reply::text(200, "<html>hello</html>"), ErrorKind::Broken),
        (Reply::json(200, "[]"), ErrorKind::Broken),
        (Reply::new(307, &[("Location", "http://elsewhere.example/")], ""), ErrorKind::Refused),
        (Reply::text(502, "<html>Bad Gateway</html>"), ErrorKind::Busy),
    ] {
        let shown = format!("{reply:?}");
        assert_eq!(ask(reply, &raw("Hi")), wanted, "{shown}");
    }
    // An error before `[DONE]` is one in a chat too.
    let reply =
        Reply::stream(SSE).piece("data: {\"error\":{\"message\":\"no\",\"http_status_code\":422}}\n\ndata: [DONE]\n\n");
    assert_eq!(ask(reply.end(), &says("Hi")), ErrorKind::Refused);
}
