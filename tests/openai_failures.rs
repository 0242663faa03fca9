//! What `openai` makes of servers that fail or answer in odd ways, streamed and not.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/ollama.rs"]
mod call;
#[path = "support/server.rs"]
mod server;

use std::time::Duration;

use call::{Setup, says, text_of};
use chainrun::event::EventKind;
use chainrun::providers::{ErrorKind, OptionValue, ProviderError};
use chainrun::value::{Finish, Usage, Value};
use serde_json::json;
use server::{Reply, Seen, Server};

const SSE: &str = "text/event-stream";
const END: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

fn at(url: &str) -> Setup {
    Setup { provider: Some("openai"), ..Setup::at(url) }
}

fn piece(text: &str) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }))
}

fn error(reply: Reply) -> ProviderError {
    at(&Server::always(reply).url()).error()
}

/// The text, the events and the rest of an answer that must come.
fn answer(reply: Reply) -> (chainrun::value::Answer, Vec<EventKind>) {
    let server = Server::always(reply);
    let (answer, events) = at(&server.url()).ask(&says("Hi"));
    let answer = answer.unwrap();
    assert_eq!(text_of(&events), answer.text);
    (answer, events)
}

#[test]
fn bodies_that_are_no_json() {
    let page = "<html>\n<head><title>403 Forbidden</title></head><body>nginx</body></html>";
    for (status, body) in [
        (400, "Bad Request: no such thing"),
        (403, page),
        (404, "404 page not found"),
        (404, page),
        (405, "Method Not Allowed"),
        (413, "too large"),
        (415, "Unsupported Media Type"),
        (418, page),
        (422, "no"),
        (451, ""),
    ] {
        for kind in ["text/plain", "text/html", "application/json"] {
            let seen = error(Reply::new(status, &[("Content-Type", kind)], body));
            assert_eq!(seen.kind, ErrorKind::Refused, "{status} {body}: {seen:?}");
            let first = body.lines().next().unwrap_or_default();
            assert!(seen.message.contains(&status.to_string()) && seen.message.contains(first), "{seen:?}");
        }
    }
    // An error body that never ends, and one that never comes.
    let seen = error(Reply::head("HTTP/1.1 400 X\r\n\r\n").endless("word ".repeat(1000)));
    assert!(seen.kind == ErrorKind::Refused && seen.message.len() < 700, "{seen:?}");
    let server = Server::always(Reply::head("HTTP/1.1 400 X\r\nContent-Length: 9\r\n\r\n").stall());
    let idle = OptionValue::Duration(Duration::from_millis(100));
    let seen = at(&server.url()).set("idle_timeout", idle).error();
    assert_eq!(seen.kind, ErrorKind::Refused, "{seen:?}");
}

#[test]
fn output_without_an_end() {
    let ask = |reply: Reply| {
        let server = Server::always(reply);
        Setup { max_bytes: Some(10_000), ..at(&server.url()) }.error()
    };
    for reply in [
        Reply::stream(SSE).endless(piece(&"potato ".repeat(100))),
        Reply::stream(SSE).endless("data: no line end here ".repeat(100)),
        Reply::stream(SSE).endless("data: one line of many\n".repeat(100)),
        Reply::stream("application/json").piece("{\"choices\":[").endless("1,".repeat(1000)),
        Reply::text(200, &"{".repeat(3 << 20)),
    ] {
        let seen = ask(reply);
        assert_eq!(seen.kind, ErrorKind::TooLarge, "{seen:?}");
    }
}

#[test]
fn a_head_without_an_end() {
    let lines = (0..50).map(|i| format!("X-Potato-{i}: {}\r\n", "a".repeat(200))).collect::<String>();
    for head in
        [Reply::head("HTTP/1.1 200 OK\r\n").endless(&lines), Reply::head("HTTP/1.1 200 OK\r\nX: ").endless("aaaa")]
    {
        let seen = error(head);
        assert!(matches!(seen.kind, ErrorKind::Unreachable | ErrorKind::Broken), "{seen:?}");
        assert!(seen.message.len() < 700, "{seen:?}");
    }
}

#[test]
fn framing_of_every_kind() {
    let text = "감자 🥔 tuber";
    let first = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n";
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n";
    let body = format!("{first}{}{END}{usage}data: [DONE]\n\n", piece(text));
    let quiet = body.replace("\n\n", "\n\n: ping\n\n:\n\nevent: message\nid: 7\nretry: 10\n");
    for body in [
        body.clone(),
        body.replace('\n', "\r\n"),
        body.replace('\n', "\r"),
        body.replace("data: ", "data:"),
        quiet.clone(),
        quiet.replace('\n', "\r\n"),
        format!("\u{feff}{body}"),
        format!(": first\n\n{body}"),
        body.trim_end().to_owned(),
        body.replace("data: [DONE]\n\n", ""),
    ] {
        for drip in [false, true] {
            let bytes = [b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", body.as_bytes()].concat();
            let reply = if drip { Reply::recorded_drip(&bytes, Duration::ZERO) } else { Reply::recorded(&bytes) };
            let (seen, _) = answer(reply);
            assert_eq!((seen.text.as_str(), seen.finish), (text, Finish::Stop), "{body:?}");
            assert_eq!(seen.usage, Usage { input: Some(3), output: Some(2), cached: None }, "{body:?}");
        }
    }
}

#[test]
fn a_stream_that_is_cut_inside_a_character() {
    let whole = piece("감자");
    let inside = whole.find('자').unwrap() + 1;
    for reply in [Reply::stream(SSE).piece(piece("one ")), Reply::stream(SSE)] {
        let began = format!("{reply:?}").contains("Bytes") && format!("{reply:?}").matches("Bytes").count() > 1;
        for reply in
            [reply.clone().piece(&whole.as_bytes()[..inside]).cut(), reply.piece(&whole.as_bytes()[..inside]).end()]
        {
            let server = Server::always(reply);
            let (seen, events) = at(&server.url()).ask(&says("Hi"));
            let seen = seen.unwrap_err();
            // What the user has seen is not asked for again.
            assert_eq!(seen.kind, if began { ErrorKind::Broken } else { ErrorKind::Unreachable }, "{seen:?}");
            assert!(seen.message.contains("ended early"), "{seen:?}");
            assert_eq!(text_of(&events), if began { "one " } else { "" });
        }
    }
}

#[test]
fn silence_is_a_time_out_and_slowness_is_none() {
    let idle = || OptionValue::Duration(Duration::from_millis(150));
    let ask = |reply: Reply| at(&Server::always(reply).url()).set("idle_timeout", idle()).error();
    for reply in [
        Reply::default().stall(),
        Reply::head("HTTP/1.1 200 OK\r\nContent-Ty").stall(),
        Reply::stream(SSE).stall(),
        Reply::stream(SSE).piece(": ping\n\n").stall(),
        Reply::stream(SSE).piece(piece("a")).stall(),
        Reply::stream("application/json").piece("{\"choices\":[").stall(),
    ] {
        let seen = ask(reply);
        assert_eq!(seen.kind, ErrorKind::TimedOut, "{seen:?}");
        assert!(seen.message.contains("150ms") && seen.help[0].contains("idle_timeout"), "{seen:?}");
    }
    let mut slow = Reply::stream(SSE);
    for _ in 0..6 {
        slow = slow.piece(piece("a")).pause(60);
    }
    let server = Server::always(slow.piece(END).end());
    assert_eq!(at(&server.url()).set("idle_timeout", idle()).ask(&says("Hi")).0.unwrap().text, "aaaaaa");
}

#[test]
fn waits_that_a_server_asks_for() {
    let after = |header: &str, value: &str| error(Reply::new(429, &[(header, value)], ""));
    for (header, value, milliseconds) in [
        ("Retry-After", "2", 2000),
        ("Retry-After", "0.25", 250),
        ("retry-after-ms", "30", 30),
        ("Retry-After", "0", 0),
    ] {
        let seen = after(header, value);
        assert_eq!(
            (seen.kind, seen.retry_after),
            (ErrorKind::Busy, Some(Duration::from_millis(milliseconds))),
            "{value}"
        );
    }
    for value in ["86400", "99999999999999999999999999", "1e300", "121"] {
        let seen = after("Retry-After", value);
        assert_eq!(seen.kind, ErrorKind::Refused, "{value}");
        assert!(seen.help[0].contains("not waited for"), "{seen:?}");
    }
    for value in ["soon", "-5", "NaN", "", "Sun, 99 Foo 1994 08:49:37 GMT"] {
        let seen = after("Retry-After", value);
        assert_eq!((seen.kind, seen.retry_after), (ErrorKind::Busy, None), "{value}");
    }
    let empty = "{\"error\":{\"message\":\"You exceeded your current quota\",\"code\":\"insufficient_quota\"}}";
    assert_eq!(error(Reply::json(429, empty)).kind, ErrorKind::Refused);
}

#[test]
fn tool_calls_that_interleave_and_usage_without_choices() {
    let call = |index: u64, name: Option<&str>, arguments: &str| {
        let function = json!({ "name": name, "arguments": arguments });
        let delta = json!({ "tool_calls": [{ "index": index, "id": name, "function": function }] });
        format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": delta }] }))
    };
    let reply = Reply::stream(SSE)
        .piece("data: {\"choices\":[],\"usage\":null}\n\n")
        .piece(piece("so: "))
        .piece(call(0, Some("a"), "{\"x\""))
        .piece(call(1, Some("b"), "{"))
        .piece(call(0, None, ":1}"))
        .piece(piece("done"))
        .piece(call(1, None, "}"))
        .piece("data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n")
        .piece("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":9}}\n\n")
        .piece("data: [DONE]\n\n");
    let (seen, events) = answer(reply.end());
    assert_eq!((seen.text.as_str(), seen.finish), ("so: done", Finish::ToolCalls));
    assert_eq!(seen.usage, Usage { input: Some(7), output: Some(9), cached: None });
    let calls: Vec<String> = seen.tool_calls.iter().map(|c| format!("{} {}", c.name, c.arguments_text())).collect();
    assert_eq!(calls, ["a {\"x\":1}", "b {}"], "{events:?}");
    // A usage chunk alone is no answer.
    let seen = error(Reply::stream(SSE).piece("data: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n").end());
    assert_eq!(seen.kind, ErrorKind::Unreachable, "{seen:?}");
}

#[test]
fn fields_that_are_missing_or_null() {
    for body in [
        "{}",
        "[]",
        "null",
        "7",
        "\"text\"",
        "{\"choices\":null}",
        "{\"choices\":[]}",
        "{\"choices\":{}}",
        "{\"choices\":[null]}",
        "{\"choices\":[{}]}",
        "{\"choices\":[{\"message\":null}]}",
        "<!doctype html><html></html>",
        "ok",
    ] {
        let seen = error(Reply::json(200, body));
        assert!(matches!(seen.kind, ErrorKind::Broken | ErrorKind::Unreachable), "{body}: {seen:?}");
        assert!(!seen.message.is_empty());
    }
    let body = json!({
        "id": null, "model": null, "usage": null, "error": null,
        "choices": [{ "message": { "role": null, "content": "a", "tool_calls": null, "reasoning": null }, "logprobs": null }],
    });
    let (seen, _) = answer(Reply::json(200, &body.to_string()));
    assert_eq!((seen.text.as_str(), seen.model.as_str(), seen.finish), ("a", "smollm2", Finish::Other));
}

#[test]
fn a_redirect_carries_no_key_anywhere() {
    let other = Server::always(Reply::stream(SSE).piece(piece("stolen")).piece(END).end());
    for status in [301, 302, 303, 307, 308] {
        let target = format!("{}/v1/chat/completions", other.url());
        let server = Server::start(move |_: &Seen| Reply::new(status, &[("Location", target.as_str())], ""));
        let setup = Setup { secrets: vec!["s3cr3t"], ..at(&server.url()) };
        let seen = setup.set("api_key", OptionValue::Secret(chainrun::value::Secret::new("s3cr3t"))).error();
        assert_eq!(seen.kind, ErrorKind::Refused, "{seen:?}");
        assert!(seen.message.contains(&other.url()), "{seen:?}");
        assert!(!format!("{seen:?}").contains("s3cr3t"), "{seen:?}");
        assert_eq!(server.requests()[0].header("authorization"), Some("Bearer s3cr3t"));
    }
    assert_eq!(other.connections(), 0);
}

#[test]
fn a_key_that_the_server_repeats_stays_hidden() {
    let body = json!({ "error": { "message": "Incorrect API key provided: s3cr3t. Find yours at …" } });
    let server = Server::always(Reply::json(401, &body.to_string()));
    let setup = Setup { secrets: vec!["s3cr3t"], ..at(&server.url()) };
    let seen = setup.set("api_key", OptionValue::Secret(chainrun::value::Secret::new("s3cr3t"))).error();
    assert!(seen.message.contains("does not take the key") && !format!("{seen:?}").contains("s3cr3t"), "{seen:?}");
    let body = format!("data: {body}\n\n");
    let server = Server::always(Reply::stream(SSE).piece(body).end());
    let setup = Setup { secrets: vec!["s3cr3t"], ..at(&server.url()) };
    let seen = setup.error();
    assert!(!format!("{seen:?}").contains("s3cr3t"), "{seen:?}");
}

/// GPT4All's server never streams.
fn whole(reply: Reply) -> (Result<chainrun::value::Answer, ProviderError>, Vec<EventKind>) {
    let server = Server::always(reply);
    let setup = Setup { provider: Some("gpt4all"), model: "smollm2", max_bytes: Some(10_000), ..Setup::default() };
    let idle = OptionValue::Duration(Duration::from_millis(150));
    setup.option("server", Value::from(server.url())).set("idle_timeout", idle).ask(&says("Hi"))
}

#[test]
fn answers_that_do_not_stream() {
    let message = json!({ "message": { "role": "assistant", "content": "감자" }, "finish_reason": "stop" });
    let body = json!({ "model": "smollm2", "choices": [message] }).to_string();
    assert_eq!(whole(Reply::json(200, &body)).0.unwrap().text, "감자");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let inside = body.find('자').unwrap() + 1;
    for cut in [0, 1, inside, body.len() - 1] {
        let begun = || Reply::head(&head).piece(&body.as_bytes()[..cut]);
        for (reply, kind) in [(begun().cut(), ErrorKind::Unreachable), (begun().stall(), ErrorKind::TimedOut)] {
            let (seen, events) = whole(reply);
            assert_eq!(seen.unwrap_err().kind, kind, "{cut}");
            assert_eq!(text_of(&events), "", "{cut}");
        }
        // Without a length the end of the connection is the end of the body.
        let open = Reply::head("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").piece(&body.as_bytes()[..cut]).cut();
        let kind = whole(open).0.unwrap_err().kind;
        assert!(matches!(kind, ErrorKind::Unreachable | ErrorKind::Broken), "{cut}: {kind:?}");
    }
    for (reply, kind) in [
        (Reply::json(200, ""), ErrorKind::Unreachable),
        (Reply::text(200, "<html>hello</html>"), ErrorKind::Broken),
        (Reply::json(200, "{\"error\":{\"message\":\"no\",\"code\":400}}"), ErrorKind::Refused),
        (Reply::stream("application/json").piece("{\"choices\":[").endless("1,".repeat(1000)), ErrorKind::TooLarge),
        (Reply::new(401, &[], ""), ErrorKind::Refused),
        (Reply::new(500, &[], ""), ErrorKind::Busy),
        (Reply::text(502, "<html>Bad Gateway</html>"), ErrorKind::Busy),
        (Reply::default().stall(), ErrorKind::TimedOut),
        (Reply::default().cut(), ErrorKind::Unreachable),
        (Reply::new(307, &[("Location", "http://elsewhere.example/")], ""), ErrorKind::Refused),
    ] {
        let shown = format!("{reply:?}");
        assert_eq!(whole(reply).0.unwrap_err().kind, kind, "{shown}");
    }
    let help = |reply: Reply| whole(reply).0.unwrap_err().help.join("\n");
    assert!(help(Reply::new(401, &[], "")).contains("Enable Local API Server"));
    assert!(help(Reply::json(401, "{\"error\":\"no key\"}")).contains("another server"));
}

#[test]
fn a_body_that_is_packed_unasked() {
    for status in [200, 400] {
        let packed = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xff, 0xfe];
        let server = Server::always(Reply::new(status, &[("Content-Encoding", "gzip")], packed));
        let seen = at(&server.url()).error();
        assert_eq!(seen.kind, ErrorKind::Broken, "{seen:?}");
        assert!(seen.message.contains("packed as `gzip`") && seen.message.contains(&status.to_string()), "{seen:?}");
        assert_eq!(server.requests()[0].header("accept-encoding"), Some("identity"));
    }
    let plain = Reply::new(200, &[("Content-Encoding", "identity")], format!("{}{END}", piece("a")));
    assert_eq!(answer(plain).0.text, "a");
}
