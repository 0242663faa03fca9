//! What calls of one server share: how many are in flight, how many begin in a minute, and answers that are kept. The
//! program runs whole, against a loopback server that speaks Ollama's protocol.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/server.rs"]
mod server;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use server::{Reply, Seen, Server};

/// A folder of its own that goes with the test.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("chainrun-traffic-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn run(&self, file: &str, words: &[&str]) -> Done {
        std::fs::write(self.0.join("main.chain"), file).unwrap();
        let out = Command::new(env!("CARGO_BIN_EXE_chainrun"))
            .args(words)
            .current_dir(&self.0)
            .env_clear()
            .env("CHAINRUN_HOME", self.0.join("home"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let events = std::fs::read_to_string(self.0.join("events")).unwrap_or_default();
        let events = events.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Done { code: out.status.code(), out: text(out.stdout), err: text(out.stderr), events }
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
}

impl Done {
    /// Calls that were made, and answers that were kept.
    fn calls(&self) -> (usize, usize) {
        let called = self.events.iter().filter(|e| e["event"] == "model_called");
        let kept = called.clone().filter(|e| e["cached"] == true).count();
        (called.count() - kept, kept)
    }
}

const EVENTS: &[&str] = &["main.chain", "--events", "events"];

/// An answer after a while.
fn says(text: &str, wait: u64) -> Reply {
    let piece = json!({ "model": "m", "message": { "role": "assistant", "content": text }, "done": false });
    let end =
        json!({ "model": "m", "message": { "role": "assistant", "content": "" }, "done": true, "done_reason": "stop" });
    Reply::stream("application/x-ndjson").pause(wait).piece(format!("{piece}\n")).piece(format!("{end}\n")).end()
}

/// A server whose first answers are these; later requests get the last.
fn scripted(replies: Vec<Reply>) -> Server {
    let next = AtomicUsize::new(0);
    Server::start(move |_| replies[next.fetch_add(1, Ordering::SeqCst).min(replies.len() - 1)].clone())
}

/// A chain that asks the same for each of some items.
fn each(server: &Server, parser: &str, items: usize) -> String {
    let list: Vec<String> = (0..items).map(|n| n.to_string()).collect();
    format!(
        "model m = ollama(\"m\", base_url: \"{}\", cache: true)\nchain main = {{{{ [{}] }}}} | each(\"Hi\" | m | {parser}, on_error: \"null\")\n",
        server.url(),
        list.join(", ")
    )
}

#[test]
fn the_same_call_is_made_once_and_the_others_wait_for_it() {
    let server = scripted(vec![says("tuber", 100), says("other", 0)]);
    let run = Place::new().run(&each(&server, "text", 9), EVENTS);
    assert_eq!((run.code, run.out.matches("tuber").count()), (Some(0), 9), "{}{}", run.out, run.err);
    assert_eq!((server.requests().len(), run.calls()), (1, (1, 8)));
}

#[test]
fn an_answer_that_cannot_be_read_is_asked_for_again() {
    let server = scripted(vec![says("tuber", 50), says("yes", 50), says("no", 0)]);
    let run = Place::new().run(&each(&server, "bool", 4), EVENTS);
    assert_eq!((run.code, run.out.as_str()), (Some(0), "[null,true,true,true]\n"), "{}", run.err);
    assert_eq!((server.requests().len(), run.calls()), (2, (2, 2)));
}

#[test]
fn a_repair_keeps_nobody_waiting() {
    let server = Server::start(|seen: &Seen| {
        let again = seen.json()["messages"].as_array().unwrap().len() > 1;
        if again { says("yes", 0) } else { says("tuber", 20) }
    });
    let run = Place::new().run(&each(&server, "bool(repair: 1)", 9), EVENTS);
    assert_eq!((run.code, run.out.matches("true").count()), (Some(0), 9), "{}{}", run.out, run.err);
}

#[test]
fn a_failure_is_each_calls_own() {
    let refusal = Reply::json(400, "{\"error\":\"no\"}");
    let server = scripted(vec![refusal]);
    let run = Place::new().run(&each(&server, "text", 3), EVENTS);
    assert_eq!((run.code, run.out.as_str()), (Some(0), "[null,null,null]\n"), "{}", run.err);
    assert_eq!((server.requests().len(), run.calls()), (3, (3, 0)));
}

#[test]
fn a_limit_bounds_all_models_and_embedders_of_a_server() {
    let server = Server::start(|seen: &Seen| match seen.path.as_str() {
        "/api/embed" => Reply::json(200, "{\"model\":\"e\",\"embeddings\":[[1.0, 0.0]]}"),
        _ => says("tuber", 0),
    });
    let url = server.url();
    let models = format!(
        "model a = ollama(\"a\", base_url: \"{url}\", requests_per_minute: 1)\nmodel b = ollama(\"b\", base_url: \"{url}\")\nembedder e = ollama(\"e\", base_url: \"{url}\")\n"
    );
    for second in ["b", "a(temperature: 1)"] {
        let file = format!("{models}chain main = timeout(\"Hi\" | a as x | \"Ho\" | {second} | text, 400ms)\n");
        let run = Place::new().run(&file, EVENTS);
        assert!(run.code == Some(3) && run.err.contains("E412"), "{second}: {}{}", run.out, run.err);
        assert!(run.events.iter().any(|e| e["event"] == "rate_limited" && e["limit"] == "requests_per_minute"));
    }
    let file = format!("{models}chain main = timeout(\"Hi\" | a | text | embed(e), 400ms)\n");
    let run = Place::new().run(&file, EVENTS);
    let limited = run.events.iter().find(|e| e["event"] == "rate_limited").expect("it waits");
    assert_eq!((run.code, &limited["model"]), (Some(3), &json!("e")), "{}", run.err);
}

#[test]
fn calls_in_flight_are_counted_by_server() {
    let came: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let seen = came.clone();
    let server = Server::start(move |_| {
        seen.lock().unwrap().push(Instant::now());
        says("tuber", 500)
    });
    let url = server.url();
    let branches: Vec<String> = (0..9).map(|n| format!("b{n}: \"{n}\" | m{}(seed: {n}) | text", n % 3)).collect();
    let models: Vec<String> = (0..3).map(|n| format!("model m{n} = ollama(\"m{n}\", base_url: \"{url}\")\n")).collect();
    let run = Place::new().run(&format!("{}chain main = {{ {} }}\n", models.concat(), branches.join(", ")), EVENTS);
    assert_eq!((run.code, run.out.matches("tuber").count()), (Some(0), 9), "{}", run.err);
    let came = came.lock().unwrap().clone();
    let at_first = came.iter().filter(|at| **at < came[0] + Duration::from_millis(400)).count();
    assert_eq!((came.len(), at_first), (9, 4));
}

#[test]
fn cases_of_tests_keep_to_the_bounds_together() {
    let server = scripted(vec![says("tuber", 0)]);
    let file = format!(
        "model m = ollama(\"m\", base_url: \"{}\", requests_per_minute: 1)\nchain main(word: string) = timeout(word | m | text, 500ms)\n\ntest \"a\" {{\n  word = \"a\"\n  expect contains \"tuber\"\n}}\ntest \"b\" {{\n  word = \"b\"\n  expect contains \"tuber\"\n}}\n",
        server.url()
    )
    .replace("timeout(word", "timeout(\"{{ word }}\"");
    let run = Place::new().run(&file, &["test", "main.chain", "--recordings", "live"]);
    assert_eq!((run.code, server.requests().len()), (Some(3), 1), "{}{}", run.out, run.err);
    assert!(run.out.contains("no result within 500ms"), "{}{}", run.out, run.err);
}
