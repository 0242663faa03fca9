//! `--callback`: commands that get the events of a run, and what becomes of those that do not behave.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::Value as Json;

use crate::Outcome;
use crate::process::{BINARY, Call, Done, TempDir};
use crate::server::{Reply, Server};

/// The trials.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("callbacks::they_get_every_event", every_event),
        Trial::test("callbacks::the_first_token_comes_before_the_answer_ends", first_token),
        Trial::test("callbacks::one_that_dies_is_said_and_the_run_goes_on", dead),
        Trial::test("callbacks::one_that_never_reads_holds_nothing_up", deaf),
        Trial::test("callbacks::one_that_goes_on_after_the_run_is_stopped", lingering),
        Trial::test("callbacks::commands_that_are_none", wrong),
    ]
}

fn ensure(met: bool, what: impl std::fmt::Display) -> Outcome {
    if met { Ok(()) } else { Err(what.to_string().into()) }
}

const FILE: &str = "chain main = \"q\" | fake(\"one two three\") | text\n";

fn run(temp: &TempDir, text: &str, words: &[&str]) -> Result<Done, String> {
    temp.write("main.chain", text).map_err(|e| e.to_string())?;
    Call::new(temp.path()).map_err(|e| e.to_string())?.arg("main.chain").args(words).limit(50).run()
}

fn every_event() -> Outcome {
    let temp = TempDir::new()?;
    // The second one reads late, which loses nothing; both print to standard error.
    let words = ["--events", "e", "--callback", "tee a", "--callback", "sh -c 'sleep 0.3; cat > b'"];
    let done = run(&temp, FILE, &words)?;
    ensure(done.code == Some(0) && done.out() == "one two three\n", done.err())?;
    let read = |name: &str| std::fs::read_to_string(temp.path().join(name));
    let events = read("e")?;
    let kinds: Vec<Json> = events.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure(kinds.first().is_some_and(|e| e["event"] == "run_started"), &events)?;
    ensure(kinds.last().is_some_and(|e| e["event"] == "run_finished"), &events)?;
    ensure(read("a")? == events && read("b")? == events && done.err() == events, done.err())
}

fn first_token() -> Outcome {
    let temp = TempDir::new()?;
    // The answer never ends: what is seen of it is seen before its end.
    let piece = "{\"model\":\"m\",\"message\":{\"content\":\"first\"},\"done\":false}\n";
    let server = Server::start(move |_| Reply::stream("application/x-ndjson").piece(piece).stall());
    let text = format!("chain main = \"q\" | ollama(\"m\", base_url: \"{}\") | text\n", server.url());
    temp.write("main.chain", text)?;
    let mut child = Command::new(BINARY)
        .args([
            "main.chain",
            "--callback",
            "sh -c 'while read -r line; do case $line in *token*) echo seen > seen;; esac; done'",
        ])
        .current_dir(temp.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let seen = appears(&temp.path().join("seen"));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
    let code = child.wait()?.code();
    ensure(seen && sent.success() && code == Some(130), format!("seen: {seen}, exit {code:?}"))
}

fn appears(path: &Path) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        if path.exists() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn dead() -> Outcome {
    let temp = TempDir::new()?;
    let long = format!("chain main = \"q\" | fake(\"{}\") | text\n", "word ".repeat(3_000));
    for (command, part) in [
        ("sh -c 'exit 3'", "the callback `sh` failed with exit code 3"),
        ("sh -c 'kill -9 $$'", "the callback `sh` was ended by signal 9"),
        ("head -n 1", "the callback `head` ended before the run did: it gets no more events"),
    ] {
        // More than a pipe holds: the end of it is noticed.
        let done = run(&temp, &long, &["--callback", command])?;
        ensure(done.code == Some(0) && done.out().starts_with("word word"), done.err())?;
        ensure(done.err().matches("warning: ").count() == 1 && done.err().contains(part), done.err())?;
        let done = run(&temp, FILE, &["--quiet", "--callback", command])?;
        ensure(done.code == Some(0) && !done.err().contains("warning"), done.err())?;
    }
    let failing = "chain main = \"q\" | fake(fail: \"gone\") | text\n";
    let done = run(&temp, failing, &["--callback", "sh -c 'cat > seen'"])?;
    let seen = std::fs::read_to_string(temp.path().join("seen"))?;
    ensure(done.code == Some(3) && seen.contains("\"ok\":false"), seen)
}

fn deaf() -> Outcome {
    let temp = TempDir::new()?;
    let long = format!("chain main = \"q\" | fake(\"{}\") | text\n", "word ".repeat(3_000));
    let done = run(&temp, &long, &["--callback", "sleep 300", "--callback-wait", "200ms"])?;
    ensure(done.code == Some(0) && done.out().starts_with("word word"), done.err())?;
    ensure(done.err() == "warning: the callback `sleep` read nothing for 200ms and was stopped\n", done.err())
}

fn lingering() -> Outcome {
    let temp = TempDir::new()?;
    // What it started is stopped with it.
    let command = "sh -c 'cat > /dev/null; sleep 300 & echo $! > pid; wait'";
    let done = run(&temp, FILE, &["--callback", command, "--callback-wait", "2s"])?;
    ensure(done.code == Some(0) && done.out() == "one two three\n", done.err())?;
    ensure(done.err() == "warning: the callback `sh` still ran 2s after the run and was stopped\n", done.err())?;
    let pid = std::fs::read_to_string(temp.path().join("pid"))?.trim().to_owned();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        let state = Command::new("ps").args(["-o", "stat=", "-p", &pid]).output()?;
        let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
        if state.is_empty() || state.starts_with('Z') {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!("the process {pid} still runs").into())
}

fn wrong() -> Outcome {
    let temp = TempDir::new()?;
    for (words, part) in [
        (
            &["--callback", "no-such-program -x"][..],
            "the callback `no-such-program` cannot be started: there is no such",
        ),
        (&["--callback", "sh -c 'x"], "the ' is not closed"),
        (&["--callback", " "], "no command is named"),
        (&["--callback", "cat", "--callback-wait", "3"], "it wants a unit: 3s"),
        (&["--callback", "cat", "--callback-wait", "0s"], "it is out of range"),
        (&["--callback-wait", "3s"], "--callback"),
    ] {
        let done = run(&temp, FILE, words)?;
        ensure(done.code == Some(2) && done.err().contains(part) && done.out().is_empty(), done.err())?;
    }
    Ok(())
}
