//! Indexes and their kept vectors: the program runs whole, against a loopback server that speaks OpenAI's protocol.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/server.rs"]
mod server;

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use server::{Reply, Seen, Server};

/// A folder of its own that goes with the test.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("chainrun-retrieval-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let place = Self(std::env::temp_dir().join(name));
        std::fs::create_dir_all(place.0.join("notes")).unwrap();
        place
    }

    /// Notes of one piece each.
    fn with_notes(names: &[&str]) -> Self {
        let place = Self::new();
        names.iter().for_each(|name| place.note(name, &format!("all about {name}")));
        place
    }

    fn note(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(format!("notes/{name}.md")), text).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chainrun"));
        command.args(words).current_dir(&self.0).env_clear();
        command.env("CHAINRUN_HOME", self.0.join("home")).env("KEY", "s3cr3t-value");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn file(&self, text: &str) {
        std::fs::write(self.0.join("main.chain"), text).unwrap();
    }

    /// Runs a file; gives what it printed and its events.
    fn run(&self, text: &str, words: &[&str]) -> Done {
        self.file(text);
        let out = self.command(&[&["main.chain", "--events", "events"], words].concat()).output().unwrap();
        let events = std::fs::read_to_string(self.0.join("events")).unwrap_or_default();
        let events = events.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        Done { events, ..Done::from(out) }
    }

    /// Every kept vector.
    fn kept(&self) -> Vec<PathBuf> {
        let mut out = Vec::new();
        for folder in std::fs::read_dir(self.0.join("home/cache/vectors")).into_iter().flatten() {
            for file in std::fs::read_dir(folder.unwrap().path()).into_iter().flatten() {
                out.push(file.unwrap().path());
            }
        }
        out.sort();
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
}

impl From<Output> for Done {
    fn from(out: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: out.status.code(), out: text(out.stdout), err: text(out.stderr), events: Vec::new() }
    }
}

impl Done {
    fn of(&self, event: &str) -> Vec<&Json> {
        self.events.iter().filter(|e| e["event"] == event).collect()
    }

    fn ok(&self, out: &str) -> &Self {
        assert!(self.code == Some(0) && self.out == out, "{:?}: {}{}", self.code, self.out, self.err);
        self
    }

    fn fails(&self, part: &str) -> &Self {
        assert!(self.code == Some(3) && self.err.contains(part), "{:?}: {}{}", self.code, self.out, self.err);
        self
    }
}

/// The texts of a request.
fn inputs(seen: &Seen) -> Vec<String> {
    seen.json()["input"].as_array().unwrap().iter().map(|t| t.as_str().unwrap().to_owned()).collect()
}

/// The texts of all requests, sorted.
fn asked(server: &Server) -> Vec<String> {
    let mut all: Vec<String> = server.requests().iter().flat_map(inputs).collect();
    all.sort();
    all
}

/// A vector for each text: how often it has each letter, the last number for all else.
fn vectors(texts: &[String], dimensions: usize) -> Reply {
    let vector = |text: &String| {
        let mut out = vec![0; dimensions];
        for byte in text.bytes() {
            out[usize::from(byte.wrapping_sub(b'a')).min(dimensions - 1)] += 1;
        }
        out
    };
    let rows: Vec<Json> = texts.iter().map(|t| json!({ "embedding": vector(t) })).collect();
    let body = json!({ "data": rows, "model": "m", "usage": { "prompt_tokens": texts.len() } });
    Reply::json(200, &body.to_string())
}

fn letters(seen: &Seen) -> Reply {
    vectors(&inputs(seen), 27)
}

/// A file whose index of the notes is made with these options.
fn file(server: &Server, options: &str) -> String {
    format!(
        "embedder e = openai(\"m\", base_url: \"{}/v1\", {options})\n\
         index notes = files(\"notes/*.md\") | split(chars: 80) | store(e)\n\
         chain main = retrieve(notes, query: \"zz\", k: 1) | \"{{{{ input[0].path }}}}\"\n",
        server.url()
    )
}

#[test]
fn only_what_changed_is_embedded_again() {
    let place = Place::with_notes(&["potato", "leek", "zz"]);
    let server = Server::start(letters);
    let text = file(&server, "batch: 2");
    let first = place.run(&text, &[]);
    first.ok("notes/zz.md\n");
    assert_eq!(server.requests()[0].path, "/v1/embeddings");
    assert_eq!(asked(&server), ["all about leek", "all about potato", "all about zz", "zz"]);
    assert_eq!(server.requests().len(), 3, "two batches and the query");
    let indexed = first.of("indexed")[0];
    assert_eq!(
        (&indexed["index"], &indexed["pieces"], &indexed["embedded"], &indexed["kept"], &indexed["dimensions"]),
        (&json!("notes"), &json!(3), &json!(3), &json!(0), &json!(27))
    );
    // Batches run at the same time, and any of them may be done first.
    let mut tokens: Vec<_> = first.of("embedded").iter().map(|e| e["usage"]["input"].as_u64().unwrap()).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, [1, 1, 2]);
    assert_eq!(first.of("embedder_called")[0]["model"], "m");
    // Nothing changed: only the query is asked. How calls are made is no part of what vectors are known by.
    let before = server.requests().len();
    let again = place.run(&text.replace("batch: 2", "batch: 1, retry: 2, timeout: 20s"), &[]);
    again.ok("notes/zz.md\n");
    assert_eq!((again.of("indexed")[0]["kept"].clone(), server.requests().len()), (json!(3), before + 1));
    // A file that is new, one that changed, one that moved, one that is gone.
    place.note("new", "all about parsnips");
    place.note("potato", "more about potato");
    std::fs::rename(place.0.join("notes/leek.md"), place.0.join("notes/onion.md")).unwrap();
    std::fs::remove_file(place.0.join("notes/zz.md")).unwrap();
    let changed = place.run(&text, &[]);
    assert_eq!(changed.code, Some(0), "{}", changed.err);
    let news: Vec<String> = server.requests()[before + 1..].iter().flat_map(inputs).collect();
    assert_eq!(news, ["all about parsnips", "more about potato", "zz"]);
    // Another model, and other options of it, are other vectors.
    let before = server.requests().len();
    place.run(&text.replace("openai(\"m\"", "openai(\"n\""), &[]);
    place.run(&text.replace("batch: 2", "batch: 99, options: { user: \"x\" }"), &[]);
    assert_eq!(server.requests().len(), before + 2 + 1 + 2);
}

#[test]
fn kept_queries_need_no_server() {
    let place = Place::with_notes(&["potato", "leek"]);
    let text = {
        let server = Server::start(letters);
        let text = file(&server, "cache: true, batch: 8");
        place.run(&text, &[]).ok("notes/leek.md\n");
        text
    };
    let alone = place.run(&text, &["--offline"]);
    alone.ok("notes/leek.md\n");
    assert!(alone.of("embedder_called").is_empty());
    assert!(alone.of("embedded").iter().all(|e| e["cached"] == true));
    place.run(&text.replace("cache: true, ", ""), &[]).fails("E402");
}

#[test]
fn what_finished_batches_gave_is_not_lost() {
    let place = Place::with_notes(&["a", "b", "c", "d"]);
    // The third batch cannot be answered; the others are, one at a time.
    let server = Server::start(|seen: &Seen| match inputs(seen)[0].as_str() {
        "all about c" => Reply::json(400, "{\"error\":{\"message\":\"no c today\"}}"),
        _ => letters(seen),
    });
    let text = file(&server, "batch: 1");
    let failed = place.run(&text, &[]);
    failed.fails("no c today");
    assert!(
        failed.err.contains("the embedder `e` (openai) failed") && failed.err.contains("main.chain:2:"),
        "{}",
        failed.err
    );
    let kept = place.kept().len();
    assert!((2..=3).contains(&kept), "{kept} kept");
    place.note("c", "all about carrots");
    let before = server.requests().len();
    place.run(&text, &[]);
    // The one that failed, those that had not begun, and the query.
    assert_eq!(server.requests().len() - before, 4 - kept + 1);
}

#[test]
fn another_try_is_made_where_it_can_help() {
    let place = Place::with_notes(&["a"]);
    let calls = AtomicUsize::new(0);
    let server = Server::start(move |seen: &Seen| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::new(503, &[("Retry-After", "0")], ""),
        _ => letters(seen),
    });
    let done = place.run(&file(&server, "retry: 1"), &[]);
    done.ok("notes/a.md\n");
    assert_eq!((done.of("retrying").len(), server.requests().len()), (1, 3));
    let slow = Server::start(|_| Reply::default().stall());
    place.note("a", "something else");
    place.run(&file(&slow, "timeout: 100ms"), &[]).fails("no vectors within 100ms");
    let few = Server::start(|_| Reply::json(200, "{\"data\":[]}"));
    place.run(&file(&few, "batch: 2"), &[]).fails("0 vectors for 1 texts");
}

#[test]
fn two_processes_build_at_once() {
    let names: Vec<String> = (0..60).map(|n| format!("n{n}")).collect();
    let place = Place::with_notes(&names.iter().map(String::as_str).collect::<Vec<_>>());
    place.note("zz", "zz");
    let server = Server::start(|seen: &Seen| {
        std::thread::sleep(Duration::from_millis(5));
        letters(seen)
    });
    let text = file(&server, "batch: 3");
    place.file(&text);
    let start = || place.command(&["main.chain"]).spawn().unwrap();
    let both: Vec<Child> = vec![start(), start(), start()];
    for child in both {
        Done::from(child.wait_with_output().unwrap()).ok("notes/zz.md\n");
    }
    let before = server.requests().len();
    assert!(before > 21, "they did not build at once");
    let after = place.run(&text, &[]);
    after.ok("notes/zz.md\n");
    assert!(after.err.is_empty(), "{}", after.err);
    assert_eq!((after.of("indexed")[0]["kept"].clone(), server.requests().len()), (json!(61), before + 1));
    assert_eq!(place.kept().len(), 61, "nothing else is left");
}

#[test]
fn a_damaged_vector_is_made_again() {
    let place = Place::with_notes(&["a", "b", "zz"]);
    let server = Server::start(letters);
    let text = file(&server, "batch: 9");
    place.run(&text, &[]).ok("notes/zz.md\n");
    let kept = place.kept();
    let whole: Vec<Vec<u8>> = kept.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let bent: Vec<u8> = whole[0].iter().enumerate().map(|(i, b)| if i == 100 { b ^ 1 } else { *b }).collect();
    for damaged in [&[][..], &whole[0][..40], &whole[0][..whole[0].len() - 1], &whole[1], &bent, b"\xff\xfe nothing"] {
        std::fs::write(&kept[0], damaged).unwrap();
        let before = server.requests().len();
        let done = place.run(&text, &[]);
        done.ok("notes/zz.md\n");
        assert_eq!(done.err, "note: 1 kept vector is damaged and is made again\n");
        assert_eq!(server.requests().len(), before + 2);
        assert_eq!(std::fs::read(&kept[0]).unwrap(), whole[0]);
    }
    for path in &kept {
        std::fs::write(path, "x").unwrap();
    }
    let done = place.run(&text, &[]);
    assert_eq!(done.ok("notes/zz.md\n").err, "note: 3 kept vectors are damaged and are made again\n");
    // A folder where an entry should be cannot be replaced: it is told, and the run goes on.
    std::fs::remove_file(&kept[0]).unwrap();
    std::fs::create_dir_all(kept[0].join("x")).unwrap();
    let done = place.run(&text, &[]);
    assert!(done.ok("notes/zz.md\n").err.contains("vectors cannot be kept in"), "{}", done.err);
}

#[test]
fn a_folder_that_cannot_be_written_is_told_once() {
    let place = Place::with_notes(&["a", "b", "zz"]);
    std::fs::create_dir_all(place.0.join("home/cache")).unwrap();
    std::fs::write(place.0.join("home/cache/vectors"), "no folder").unwrap();
    let server = Server::start(letters);
    let done = place.run(&file(&server, "batch: 1"), &[]);
    done.ok("notes/zz.md\n");
    assert_eq!(done.err.matches("vectors cannot be kept in").count(), 1, "{}", done.err);
}

#[test]
fn vectors_of_different_dimensions_are_not_compared() {
    let place = Place::with_notes(&["a", "zz"]);
    let server = Server::start(|seen: &Seen| {
        let texts = inputs(seen);
        vectors(&texts, if texts == ["zz"] { 4 } else { 27 })
    });
    let text = file(&server, "batch: 9");
    let done = place.run(&text, &[]);
    done.fails("E440");
    assert!(
        done.err.contains("of 27 and of 4 dimensions") && done.err.contains("chainrun cache clear"),
        "{}",
        done.err
    );
    // The same among those of one index.
    place.note("b", "zz");
    place.run(&text, &[]).fails("of 27 and of 4 dimensions");
    let cache = |words: &[&str]| Done::from(place.command(&[&["cache"], words].concat()).output().unwrap()).out;
    assert!(cache(&[]).contains("0 answers, 0 bytes in ") && cache(&[]).contains("\n3 vectors, "), "{}", cache(&[]));
    assert_eq!(cache(&["clear", "answers"]), "removed 0 answers, 0 bytes\n");
    let cleared = cache(&["clear", "vectors"]);
    assert!(cleared.starts_with("removed 3 vectors, "), "{cleared}");
    assert!(place.kept().is_empty());
}

#[test]
fn no_secret_is_kept() {
    let place = Place::with_notes(&["a", "zz"]);
    let server = Server::start(letters);
    let text = format!("secret KEY\n{}", file(&server, "api_key: KEY, cache: true"));
    let done = place.run(&text, &[]);
    done.ok("notes/zz.md\n");
    assert_eq!(server.requests()[0].header("authorization"), Some("Bearer s3cr3t-value"));
    let kept = place.kept();
    assert_eq!(kept.len(), 3);
    for path in &kept {
        let bytes = std::fs::read(path).unwrap();
        assert!(!bytes.windows(6).any(|w| w == b"s3cr3t") && !path.display().to_string().contains("s3cr3t"));
    }
    // The key is no part of what they are known by.
    let before = server.requests().len();
    place.run(&text.replace("api_key: KEY, ", ""), &[]).ok("notes/zz.md\n");
    assert_eq!(server.requests().len(), before);
    let refusing = Server::start(|_| Reply::json(401, "{\"error\":{\"message\":\"s3cr3t-value is no key\"}}"));
    let done = place.run(&text.replace(&server.url(), &refusing.url()), &[]);
    assert!(done.code == Some(3) && !done.err.contains("s3cr3t-value is"), "{}", done.err);
}

#[test]
fn several_stages_read_an_index_that_is_built_once() {
    let place = Place::with_notes(&["a", "b", "zz"]);
    let server = Server::start(letters);
    let text = file(&server, "batch: 2").replace(
        "chain main = ",
        "chain many = {{ [\"zz\", \"a\", \"b\", \"zz\"] }} | each(find(word: {{ input }}))\n\
         chain find(word: string) = retrieve(notes, query: \"all about {{ word }}\", k: 1) | {{ input[0].path }}\n\
         chain main = ",
    );
    let done = place.run(&text, &["--chain", "many"]);
    done.ok("[\"notes/zz.md\",\"notes/a.md\",\"notes/b.md\",\"notes/zz.md\"]\n");
    assert_eq!(done.of("indexed").len(), 1);
    let failing = Server::start(|_| Reply::json(400, "{\"error\":{\"message\":\"no\"}}"));
    let text =
        text.replace(&server.url(), &failing.url()).replace("{{ input }}))", "{{ input }}), on_error: \"null\")");
    let done = place.run(&text, &["--chain", "many"]);
    done.ok("[null,null,null,null]\n");
    assert_eq!(failing.requests().len(), 2, "a failed index is not tried again for each item");
}

#[test]
fn servers_elsewhere_are_not_reached_offline() {
    let place = Place::with_notes(&["a"]);
    let text = "embedder e = openai(\"m\", base_url: \"http://embeddings.invalid/v1\")\n\
                chain main = \"x\" | embed(e)\n";
    place.run(text, &["--offline"]).fails("the run is offline");
}

#[cfg(unix)]
#[test]
fn a_stopped_build_keeps_what_is_done() {
    let place = Place::with_notes(&["a", "b", "c", "zz"]);
    let calls = AtomicUsize::new(0);
    let server = Server::start(move |seen: &Seen| match calls.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => letters(seen),
        2 | 3 => Reply::default().stall(),
        _ => letters(seen),
    });
    let text = file(&server, "batch: 1");
    place.file(&text);
    let child = place.command(&["main.chain"]).spawn().unwrap();
    let begun = Instant::now();
    while place.kept().len() < 2 || server.requests().len() < 4 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the build did not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    assert_eq!(place.kept().len(), 2);
    let before = server.requests().len();
    place.run(&text, &[]).ok("notes/zz.md\n");
    assert_eq!(server.requests().len() - before, 3, "two batches and the query");
}
