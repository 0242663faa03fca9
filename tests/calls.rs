//! What surrounds a call: tries, time-outs, kept answers, constraints. The program runs whole, against a loopback server
//! that speaks Ollama's protocol.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/server.rs"]
mod server;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use server::{Reply, Seen, Server, dead_url};

const NDJSON: &str = "application/x-ndjson";

/// A folder of its own that goes with the test.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("chainrun-calls-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Runs a file and gives exit code, standard output, standard error and the events.
    fn run(&self, file: &str, words: &[&str]) -> Done {
        std::fs::write(self.0.join("main.chain"), file).unwrap();
        self.command(&[&["main.chain", "--events", "events"], words].concat())
    }

    fn command(&self, words: &[&str]) -> Done {
        let started = Instant::now();
        let out = Command::new(env!("CARGO_BIN_EXE_chainrun"))
            .args(words)
            .current_dir(&self.0)
            .env_clear()
            .env("CHAINRUN_HOME", self.0.join("home"))
            .env("KEY", "s3cr3t-value")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let took = started.elapsed();
        let events = std::fs::read_to_string(self.0.join("events")).unwrap_or_default();
        let events = events.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Done { code: out.status.code(), out: text(out.stdout), err: text(out.stderr), events, took }
    }

    /// Every file of the kept answers, with its text.
    fn kept(&self) -> Vec<(PathBuf, String)> {
        let mut out = Vec::new();
        for folder in std::fs::read_dir(self.0.join("home/cache")).into_iter().flatten() {
            for file in std::fs::read_dir(folder.unwrap().path()).into_iter().flatten() {
                let path = file.unwrap().path();
                let text = std::fs::read_to_string(&path).unwrap();
                out.push((path, text));
            }
        }
        out
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Done {
    code: Option<i32>,
    out: String,
    err: String,
    events: Vec<Json>,
    took: Duration,
}

impl Done {
    fn of(&self, event: &str) -> Vec<&Json> {
        self.events.iter().filter(|e| e["event"] == event).collect()
    }

    fn ok(&self, out: &str) {
        assert!(self.code == Some(0) && self.out == out, "{:?}: {}{}", self.code, self.out, self.err);
    }

    fn fails(&self, part: &str) {
        assert!(self.code == Some(3) && self.err.contains(part), "{:?}: {}{}", self.code, self.out, self.err);
    }
}

fn piece(text: &str) -> String {
    format!("{}\n", json!({ "model": "m", "message": { "role": "assistant", "content": text }, "done": false }))
}

fn done(reason: &str) -> String {
    let end = json!({ "model": "m", "message": { "role": "assistant", "content": "" }, "done": true, "done_reason": reason, "prompt_eval_count": 3, "eval_count": 2 });
    format!("{end}\n")
}

/// A whole answer.
fn says(text: &str) -> Reply {
    Reply::stream(NDJSON).piece(piece(text)).piece(done("stop")).end()
}

/// A server whose first answers are these; later requests get the last.
fn scripted(replies: Vec<Reply>) -> Server {
    let next = AtomicUsize::new(0);
    Server::start(move |_| replies[next.fetch_add(1, Ordering::SeqCst).min(replies.len() - 1)].clone())
}

/// A file with one call of a model with these options.
fn file(server: &Server, options: &str) -> String {
    asks(server, options, "text")
}

fn asks(server: &Server, options: &str, parser: &str) -> String {
    format!("model m = ollama(\"m\", base_url: \"{}\", {options})\nchain main = \"Hi\" | m | {parser}\n", server.url())
}

#[test]
fn what_can_succeed_is_tried_again_as_often_as_told() {
    for reply in [
        Reply::new(408, &[("Retry-After", "0")], ""),
        Reply::new(409, &[("Retry-After", "0")], ""),
        Reply::new(429, &[("Retry-After", "0.05")], ""),
        Reply::new(500, &[("Retry-After", "0")], "{\"error\":\"runner died\"}"),
        Reply::new(502, &[("Retry-After", "0")], "<html>"),
        Reply::new(503, &[("Retry-After-Ms", "10")], ""),
        Reply::new(504, &[("Retry-After", "0")], ""),
    ] {
        let server = scripted(vec![reply.clone(), reply.clone(), says("tuber")]);
        let run = Place::new().run(&file(&server, "retry: 2"), &[]);
        run.ok("tuber\n");
        assert_eq!((server.requests().len(), run.of("retrying").len()), (3, 2));
        assert_eq!(
            run.of("model_called").iter().map(|e| e["attempt"].as_i64().unwrap()).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        assert!(run.err.contains("try 1 failed") && run.err.contains("try 2 failed"), "{}", run.err);
        let server = scripted(vec![reply.clone(), reply, says("tuber")]);
        Place::new().run(&file(&server, "retry: 1"), &[]).fails("error[E403]");
        assert_eq!(server.requests().len(), 2);
    }
}

#[test]
fn what_cannot_succeed_is_not_tried_again() {
    for reply in [
        Reply::text(400, "no"),
        Reply::text(401, "no"),
        Reply::text(403, "no"),
        Reply::text(413, "no"),
        Reply::text(422, "no"),
        Reply::text(501, "no"),
        Reply::json(500, "{\"error\":\"option \\\"top_k\\\" must be of type integer\"}"),
        // More than anybody waits.
        Reply::new(429, &[("Retry-After", "300")], ""),
        Reply::new(503, &[("X-Should-Retry", "false")], ""),
    ] {
        let server = scripted(vec![reply, says("tuber")]);
        let run = Place::new().run(&file(&server, "retry: 3"), &[]);
        run.fails("error[E4");
        assert_eq!((server.requests().len(), run.of("retrying").len()), (1, 0));
    }
}

#[test]
fn the_wait_that_a_server_asks_for_is_kept() {
    let server = scripted(vec![Reply::new(429, &[("Retry-After", "0.6")], ""), says("tuber")]);
    let run = Place::new().run(&file(&server, "retry: 1"), &[]);
    run.ok("tuber\n");
    assert_eq!(run.of("retrying")[0]["wait"], 0.6);
    assert!(run.took >= Duration::from_millis(600), "{:?}", run.took);
}

#[test]
fn nobody_there_is_tried_again() {
    let url = dead_url();
    let text = format!("chain main = \"Hi\" | ollama(\"m\", base_url: \"{url}\", retry: 1) | text\n");
    let run = Place::new().run(&text, &[]);
    run.fails("connection refused");
    let wait = run.of("retrying")[0]["wait"].as_f64().unwrap();
    assert!((0.25..=0.5).contains(&wait), "{wait}");
}

#[test]
fn a_cut_stream_is_tried_again_before_its_first_token_alone() {
    let cut = Reply::stream(NDJSON).cut();
    let server = scripted(vec![cut, says("tuber")]);
    Place::new().run(&file(&server, "retry: 1"), &[]).ok("tuber\n");
    let begun = Reply::stream(NDJSON).piece(piece("tu")).cut();
    let server = scripted(vec![begun, says("tuber")]);
    let run = Place::new().run(&file(&server, "retry: 1"), &[]);
    run.fails("ended early");
    assert_eq!((server.requests().len(), run.out.as_str()), (1, "tu\n"));
}

#[test]
fn a_time_out_bounds_a_try_and_its_stream() {
    let mut slow = Reply::stream(NDJSON);
    for _ in 0..40 {
        slow = slow.piece(piece("a")).pause(50);
    }
    let slow = slow.end();
    let server = scripted(vec![slow.clone(), says("tuber")]);
    let run = Place::new().run(&file(&server, "timeout: 300ms"), &[]);
    run.fails("no whole answer within 300ms");
    assert!(run.took < Duration::from_millis(1500), "{:?}", run.took);
    // What is printed is not printed twice; what is parsed first may be asked for again.
    let server = scripted(vec![slow.clone(), says("tuber")]);
    let run = Place::new().run(&file(&server, "timeout: 300ms, retry: 1"), &[]);
    run.fails("no whole answer");
    let server = scripted(vec![slow, says("{\"a\": 1}")]);
    Place::new().run(&asks(&server, "timeout: 300ms, retry: 1", "json"), &[]).ok("{\"a\":1}\n");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn silence_has_its_own_bound() {
    let server = scripted(vec![Reply::default().stall(), says("tuber")]);
    let run = Place::new().run(&file(&server, "idle_timeout: 200ms, retry: 1"), &[]);
    run.ok("tuber\n");
    assert!(run.of("retrying")[0]["error"].as_str().unwrap().contains("200ms"), "{}", run.err);
    let server = scripted(vec![Reply::stream(NDJSON).piece(piece("tu")).stall()]);
    Place::new().run(&file(&server, "idle_timeout: 200ms"), &[]).fails("idle_timeout");
}

#[test]
fn a_kept_answer_needs_no_connection() {
    let place = Place::new();
    let text;
    {
        let server = scripted(vec![says("tuber")]);
        text = format!("secret KEY\n{}", file(&server, "cache: true, api_key: KEY, temperature: 0"));
        let first = place.run(&text, &[]);
        first.ok("tuber\n");
        assert!(first.events.iter().all(|e| e.get("cached").is_none()));
        assert_eq!(server.requests()[0].header("authorization"), Some("Bearer s3cr3t-value"));
        // What is asked of the model before the call may have had a connection of its own.
        let connections = server.connections();
        for words in [&[][..], &["--offline"], &["--no-stream"], &["--json"]] {
            let run = place.run(&text, words);
            assert!(run.code == Some(0) && run.out.contains("tuber"), "{}", run.err);
            assert_eq!(
                (run.of("model_called")[0]["cached"].clone(), run.of("model_called")[0]["attempt"].clone()),
                (json!(true), json!(0))
            );
            assert_eq!(run.of("model_answered")[0]["cached"], true);
            assert_eq!(run.of("token").len(), 1);
        }
        assert_eq!((server.requests().len(), server.connections()), (1, connections));
        // Another option, prompt or model is another call.
        place.run(&text.replace("temperature: 0", "temperature: 1"), &[]).ok("tuber\n");
        place.run(&text.replace("\"Hi\"", "\"Ho\""), &[]).ok("tuber\n");
        place.run(&text.replace("ollama(\"m\"", "ollama(\"n\""), &[]).ok("tuber\n");
        place.run(&text.replace("| text", "| json"), &[]).fails("E405");
        assert_eq!(server.requests().len(), 5);
        // How a call is made is no part of it.
        place
            .run(&text.replace("temperature: 0", "temperature: 0, keep_alive: 1m, retry: 2, timeout: 9s"), &[])
            .ok("tuber\n");
        assert_eq!(server.requests().len(), 5);
    }
    // Four calls were answered; the text that is no JSON was not kept.
    let kept = place.kept();
    assert_eq!(kept.len(), 4);
    assert!(kept.iter().all(|(path, text)| !text.contains("s3cr3t") && !path.display().to_string().contains("s3cr3t")));
    place.run(&text, &[]).ok("tuber\n");
    assert!(place.command(&["cache"]).out.starts_with("4 answers, "));
    assert!(place.command(&["cache", "clear"]).out.starts_with("removed 4 answers, "));
    assert!(place.command(&["cache"]).out.starts_with("0 answers, 0 bytes in "));
    place.run(&text, &[]).fails("connection refused");
}

#[test]
fn what_is_cut_failed_or_secret_is_not_kept() {
    let long = Reply::stream(NDJSON).piece(piece("tub")).piece(done("length")).end();
    let broken = Reply::stream(NDJSON).piece(piece("tu")).cut();
    let secret = says("the key is s3cr3t-value");
    for reply in [long, broken, secret] {
        let server = scripted(vec![reply, says("tuber")]);
        let place = Place::new();
        let text = format!("secret KEY\n{}", file(&server, "cache: true, api_key: KEY"));
        place.run(&text, &[]);
        assert!(place.kept().is_empty());
        place.run(&text, &[]).ok("tuber\n");
        assert_eq!((server.requests().len(), place.kept().len()), (2, 1));
    }
}

#[test]
fn a_damaged_entry_is_passed_over_and_renewed() {
    let server = scripted(vec![says("tuber")]);
    let place = Place::new();
    let text = file(&server, "cache: true");
    place.run(&text, &[]).ok("tuber\n");
    let (path, whole) = place.kept().remove(0);
    for damaged in ["", "{\"version\":1", &whole.replace("tuber", "tubes"), &whole[..whole.len() / 2]] {
        std::fs::write(&path, damaged).unwrap();
        let run = place.run(&text, &[]);
        run.ok("tuber\n");
        assert!(run.err.contains("is passed over"), "{}", run.err);
        assert_eq!(place.kept(), [(path.clone(), whole.clone())]);
    }
    assert_eq!(server.requests().len(), 5);
    // Another version's entry is none of ours: nothing needs to be said.
    std::fs::write(&path, whole.replace("\"version\":1", "\"version\":0")).unwrap();
    let run = place.run(&text, &[]);
    run.ok("tuber\n");
    assert!(run.err.is_empty(), "{}", run.err);
}

#[test]
fn a_folder_that_cannot_be_written_is_told_once() {
    let server = scripted(vec![says("tuber")]);
    let place = Place::new();
    std::fs::create_dir_all(place.0.join("home")).unwrap();
    std::fs::write(place.0.join("home/cache"), "no folder").unwrap();
    let text = file(&server, "cache: true").replace("| text", "| text as a | \"{{ a }}?\" | m | text");
    let run = place.run(&text, &[]);
    run.ok("tuber\n");
    assert_eq!(run.err.matches("cannot be kept").count(), 1, "{}", run.err);
}

#[test]
fn models_are_held_to_what_the_parser_takes() {
    let format = |options: &str, parser: &str| {
        let server = scripted(vec![says("3")]);
        Place::new().run(&asks(&server, options, parser), &[]);
        server.requests()[0].json().get("format").cloned()
    };
    assert_eq!(format("", "number"), Some(json!({ "type": "number" })));
    assert_eq!(format("", "bool"), Some(json!({ "type": "boolean" })));
    assert_eq!(format("", "json"), Some(json!("json")));
    assert_eq!(format("", "json([int])"), Some(json!({ "type": "array", "items": { "type": "integer" } })));
    assert_eq!(format("constrain: false", "json([int])"), None);
    assert_eq!(format("", "list"), Some(json!({ "type": "array", "items": { "type": "string" } })));
    assert_eq!(format("", "text"), None);
    assert_eq!(format("", "regex(\"(?P<n>[0-9])\", full: true)"), None);
    let server = scripted(vec![says("three")]);
    let run = Place::new().run(&asks(&server, "constrain: false", "number"), &[]);
    run.fails("the answer was checked alone: the file says `constrain: false`");
    let run = Place::new().run(&asks(&server, "temperature: 0", "number"), &[]);
    run.fails("does not parse");
    assert!(!run.err.contains("checked alone"), "{}", run.err);
    let server = scripted(vec![says("\"bug\"")]);
    let text = format!("type L = \"bug\" | \"question\"\n{}", asks(&server, "", "enum(L)"));
    Place::new().run(&text, &[]).ok("bug\n");
    assert_eq!(server.requests()[0].json()["format"], json!({ "type": "string", "enum": ["bug", "question"] }));
}

#[test]
fn options_of_a_use_are_merged_with_the_declared_ones() {
    let server = scripted(vec![says("3")]);
    let text = file(&server, "temperature: 0.7, top_k: 5").replace("| m |", "| m(temperature: 0, seed: 1) |");
    Place::new().run(&text, &[]).ok("3\n");
    assert_eq!(server.requests()[0].json()["options"], json!({ "temperature": 0, "seed": 1, "top_k": 5 }));
}

#[test]
fn repeatable_loads_the_model_anew_for_each_call() {
    let polls = AtomicUsize::new(0);
    let server = Server::start(move |seen: &Seen| match seen.path.as_str() {
        "/api/generate" => {
            Reply::json(200, "{\"model\":\"m\",\"response\":\"\",\"done\":true,\"done_reason\":\"unload\"}")
        }
        "/api/ps" if polls.fetch_add(1, Ordering::SeqCst) < 2 => {
            Reply::json(200, "{\"models\":[{\"name\":\"m:latest\"}]}")
        }
        "/api/ps" => Reply::json(200, "{\"models\":[]}"),
        _ => says("tuber"),
    });
    Place::new().run(&file(&server, "repeatable: true, temperature: 0"), &[]).ok("tuber\n");
    let seen = server.requests();
    let paths: Vec<&str> = seen.iter().map(|s| s.path.as_str()).collect();
    assert_eq!(paths, ["/api/generate", "/api/ps", "/api/ps", "/api/ps", "/api/chat"]);
    assert_eq!(seen[0].json(), json!({ "model": "m", "keep_alive": 0 }));
    assert_eq!(seen[4].json()["options"], json!({ "temperature": 0, "seed": 0 }));
}

#[test]
fn calls_of_a_repeatable_model_wait_for_one_another() {
    let server = Server::start(|seen: &Seen| match seen.path.as_str() {
        "/api/generate" | "/api/ps" => Reply::json(200, "{\"models\":[]}"),
        _ => Reply::stream(NDJSON).piece(piece("a")).pause(60).piece(done("stop")).end(),
    });
    let text = file(&server, "repeatable: true").replace(
        "\"Hi\" | m | text",
        "{ a: \"A\" | m | text, b: \"B\" | m(temperature: 0) | text, c: \"C\" | m | text }",
    );
    Place::new().run(&text, &[]).ok("{\"a\":\"a\",\"b\":\"a\",\"c\":\"a\"}\n");
    let paths: Vec<String> = server.requests().iter().map(|s| s.path.clone()).collect();
    let one = ["/api/generate", "/api/ps", "/api/chat"];
    assert_eq!(paths, [one, one, one].concat());
}

#[test]
fn the_oldest_messages_go_where_the_file_says_so() {
    let server = Server::start(|seen: &Seen| {
        let count = seen.json()["messages"].as_array().unwrap().len();
        if count > 2 {
            Reply::json(
                400,
                "{\"error\":{\"code\":400,\"message\":\"request (90 tokens) exceeds the available context size (64 tokens)\",\"type\":\"exceed_context_size_error\",\"n_prompt_tokens\":90,\"n_ctx\":64}}",
            )
        } else {
            says("tuber")
        }
    });
    let prompt = "prompt p {\n system \"s\"\n user \"one\"\n assistant \"two\"\n user \"three\"\n assistant \"four\"\n user \"five\"\n}\n";
    let text = |options: &str| format!("{prompt}{}", file(&server, options).replace("\"Hi\"", "p"));
    let run = Place::new().run(&text("overflow: \"truncate-oldest\""), &[]);
    run.ok("tuber\n");
    assert_eq!(run.err.matches("the 2 oldest messages are left out").count(), 2, "{}", run.err);
    let sent = server.requests();
    assert_eq!(sent.len(), 3);
    let last = sent[2].json();
    let texts: Vec<&str> =
        last["messages"].as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap()).collect();
    assert_eq!(texts, ["s", "five"]);
    let run = Place::new().run(&text("temperature: 0"), &[]);
    run.fails("the prompt has 90 tokens");
    assert!(run.err.contains("`overflow: \"truncate-oldest\"`"), "{}", run.err);
    let full = "{\"error\":\"the prompt is longer than the context length currently available to the model\"}";
    let server = scripted(vec![Reply::json(400, full)]);
    let raw = file(&server, "overflow: \"truncate-oldest\"").replace("\"Hi\"", "raw \"Hi\"");
    Place::new().run(&raw, &[]).fails("a raw prompt has no messages");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn control_tokens_of_values_pass_where_the_file_says_so() {
    let server = scripted(vec![says("tuber")]);
    let text = |options: &str| format!("var x: string\n{}", file(&server, options).replace("Hi", "{{ x }}"));
    let words = ["--var", "x=<|im_end|>"];
    Place::new().run(&text("temperature: 0"), &words).fails("a control token");
    assert_eq!(server.requests().len(), 0);
    Place::new().run(&text("allow_control_tokens: true"), &words).ok("tuber\n");
}
