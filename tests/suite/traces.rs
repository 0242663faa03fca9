//! What is kept of a run besides its result: traces and what they are made into.

use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::Value as Json;

use crate::Outcome;
use crate::process::{Call, Done, TempDir};
use crate::server::{Reply, Server, dead_url};

/// The trials.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("traces::spans_lie_in_each_other", nested),
        Trial::test("traces::what_failed_and_what_was_cancelled", failed),
        Trial::test("traces::tries_are_one_call", tries),
        Trial::test("traces::vectors_are_spans_too", vectors),
        #[cfg(unix)]
        Trial::test("traces::a_run_that_is_stopped_is_told", stopped),
        Trial::test("traces::files_that_cannot_be_written", files),
    ]
}

fn ensure(met: bool, what: impl std::fmt::Display) -> Outcome {
    if met { Ok(()) } else { Err(what.to_string().into()) }
}

/// Runs a file and gives what was done and the lines of its trace.
fn traced(text: &str, words: &[&str]) -> Result<(Done, Vec<Json>), libtest_mimic::Failed> {
    let temp = TempDir::new()?;
    temp.write("main.chain", text)?;
    let done = Call::new(temp.path())?.args(["main.chain", "--trace", "trace"]).args(words).run()?;
    let trace = std::fs::read_to_string(temp.path().join("trace"))?;
    let lines: Result<Vec<Json>, _> = trace.lines().map(serde_json::from_str).collect();
    Ok((done, lines?))
}

/// The lines that have these values.
fn with<'l>(lines: &'l [Json], fields: &[(&str, &str)]) -> Vec<&'l Json> {
    lines.iter().filter(|line| fields.iter().all(|(name, value)| line[*name] == *value)).collect()
}

fn nested() -> Outcome {
    let text = "chain one(w: string) = \"{{ w }}\" | fake(echo: true) | text\n\
                chain main = {{ [\"a\", \"b\"] }} | each(one(w: {{ input }})) as all | { x: \"p\" | fake(\"q\") | text }\n";
    let (done, lines) = traced(text, &[])?;
    ensure(done.code == Some(0), done.err())?;
    ensure(lines.len() == 15, format!("{} lines", lines.len()))?;
    let by_id = |id: &Json| lines.iter().find(|line| line["id"] == *id);
    for line in &lines {
        let seconds = line["seconds"].as_f64().unwrap_or(-1.0);
        ensure(seconds >= 0.0 && line["status"] == "ok", line)?;
        if line["kind"] == "run" {
            ensure(line["id"] == 1 && line.get("parent").is_none() && line["chain"] == "main", line)?;
            continue;
        }
        let parent = by_id(&line["parent"]).ok_or_else(|| format!("no parent: {line}"))?;
        let inside =
            line["start"].as_str() >= parent["start"].as_str() && line["end"].as_str() <= parent["end"].as_str();
        ensure(inside, format!("{line}\n{parent}"))?;
        let wanted = if line["kind"] == "call" { "ask" } else { parent["stage"].as_str().unwrap_or_default() };
        ensure(parent["kind"] == "run" || parent["stage"] == wanted, format!("{line}\n{parent}"))?;
    }
    let items = with(&lines, &[("stage", "call")]);
    let paths: Vec<&Json> = items.iter().map(|line| &line["path"][0]).collect();
    ensure(paths == ["0", "1"], format!("{paths:?}"))?;
    let each = with(&lines, &[("stage", "each")]);
    ensure(items.iter().all(|item| item["parent"] == each[0]["id"]), "items lie in their `each`")?;
    let branch = lines.iter().filter(|line| line["path"] == serde_json::json!(["x"])).count();
    ensure(branch == 2, format!("{branch} stages of the branch"))
}

fn failed() -> Outcome {
    let text =
        "chain main = { a: \"q\" | fake(\"late\", delay: 20s) | text, b: \"q\" | fake(fail: \"gone\") | text }\n";
    let (done, lines) = traced(text, &[])?;
    ensure(done.code == Some(3), done.err())?;
    let cancelled = with(&lines, &[("status", "cancelled")]);
    let kinds: Vec<&str> = cancelled.iter().filter_map(|line| line["kind"].as_str()).collect();
    ensure(kinds == ["call", "stage"], format!("{cancelled:?}"))?;
    let call = with(&lines, &[("kind", "call"), ("status", "failed")]);
    ensure(call.len() == 1 && call[0]["reason"] == "scripted" && call[0]["error"] == "gone", format!("{call:?}"))?;
    for stage in with(&lines, &[("kind", "stage"), ("status", "failed")]) {
        ensure(stage["reason"] == "E401" && stage["error"] == "the model `fake` failed: gone", stage)?;
    }
    let run = lines.last().ok_or("no line")?;
    ensure(run["kind"] == "run" && run["status"] == "failed" && run["reason"] == "E401", run)
}

fn tries() -> Outcome {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let end = r#"{"model":"m:latest","message":{"content":"yes"},"done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":1}"#;
    let server = Server::start(move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => Reply::new(503, &[("Retry-After", "0")], "busy"),
        _ => Reply::stream("application/x-ndjson").piece(format!("{end}\n")).end(),
    });
    let url = server.url();
    let text = format!("chain main = \"q\" | ollama(\"m\", base_url: \"{url}\", retry: 2, temperature: 0.5) | text\n");
    let (done, lines) = traced(&text, &[])?;
    ensure(done.out() == "yes\n", done.err())?;
    let calls = with(&lines, &[("kind", "call")]);
    ensure(calls.len() == 1, format!("{calls:?}"))?;
    let port: u64 = url.rsplit(':').next().unwrap_or_default().parse()?;
    for (name, value) in [
        ("provider", Json::from("ollama")),
        ("model", "m".into()),
        ("answered_by", "m:latest".into()),
        ("server", "127.0.0.1".into()),
        ("port", port.into()),
        ("tries", 2.into()),
        ("input_tokens", 3.into()),
        ("output_tokens", 1.into()),
        ("finish", "stop".into()),
        ("status", "ok".into()),
    ] {
        ensure(calls[0][name] == value, format!("{name}: {}", calls[0]))?;
    }
    ensure(calls[0]["options"] == serde_json::json!({ "temperature": 0.5 }), calls[0])?;
    let text = format!("chain main = \"q\" | ollama(\"m\", base_url: \"{}\") | text\n", dead_url());
    let (done, lines) = traced(&text, &[])?;
    let calls = with(&lines, &[("kind", "call"), ("status", "failed"), ("reason", "unreachable")]);
    ensure(done.code == Some(3) && calls.len() == 1 && done.took < Duration::from_secs(20), done.err())
}

fn vectors() -> Outcome {
    let text = "embedder e = fake()\nchain main = {{ [\"a\", \"b\"] }} | embed(e) as all | {{ all | length }}\n";
    let (done, lines) = traced(text, &[])?;
    ensure(done.out() == "2\n", done.err())?;
    let found = with(&lines, &[("kind", "embedding"), ("provider", "fake"), ("status", "ok")]);
    ensure(found.len() == 1 && found[0]["texts"] == 2 && found[0]["dimensions"].is_u64(), format!("{lines:?}"))?;
    let stage = with(&lines, &[("stage", "embed")]);
    ensure(stage.len() == 1 && found[0]["parent"] == stage[0]["id"], format!("{stage:?}"))
}

#[cfg(unix)]
fn stopped() -> Outcome {
    use std::process::{Command, Stdio};
    let temp = TempDir::new()?;
    let server = Server::start(|_| Reply::head("").stall());
    temp.write("main.chain", format!("chain main = \"q\" | ollama(\"m\", base_url: \"{}\") | text\n", server.url()))?;
    let mut child = Command::new(crate::process::BINARY)
        .args(["main.chain", "--trace", "trace", "--otlp", "spans"])
        .current_dir(temp.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let begun = std::time::Instant::now();
    while server.requests().is_empty() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
    let code = child.wait()?.code();
    ensure(sent.success() && code == Some(130), format!("exit {code:?}"))?;
    let trace = std::fs::read_to_string(temp.path().join("trace"))?;
    let lines: Vec<Json> = trace.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let cancelled = with(&lines, &[("status", "cancelled")]);
    let kinds: Vec<&str> = cancelled.iter().filter_map(|line| line["kind"].as_str()).collect();
    ensure(kinds == ["call", "stage", "run"], &trace)?;
    let spans = std::fs::read_to_string(temp.path().join("spans"))?;
    ensure(spans.matches("chainrun.cancelled").count() == 3, spans)
}

fn files() -> Outcome {
    let temp = TempDir::new()?;
    temp.write("main.chain", "chain main = \"x\"\n")?;
    for (words, part) in [
        (&["--trace", "main.chain"][..], "`FILE` and `--trace` name the same file"),
        (&["--events", "./a", "--trace", "a"], "`--events` and `--trace` name the same file"),
        (&["--trace", "-"], "`--trace` wants a file"),
        (&["--trace", "no/where"], "`no/where` of `--trace` cannot be written"),
    ] {
        let done = Call::new(temp.path())?.arg("main.chain").args(words).run()?;
        ensure(done.code == Some(2) && done.err().contains(part) && done.out().is_empty(), done.err())?;
    }
    let text = std::fs::read_to_string(temp.path().join("main.chain"))?;
    ensure(text == "chain main = \"x\"\n", "the file itself was written over")
}
