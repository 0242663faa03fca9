//! `--record` and `replay`: what a server said comes again without it.

use libtest_mimic::Trial;
use serde_json::Value as Json;

use crate::Outcome;
use crate::process::{Call, Done, TempDir};
use crate::server::{Reply, Seen, Server};

/// The trials.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("replay::a_recorded_run_comes_again_without_its_server", again),
        Trial::test("replay::a_recording_of_a_broken_run_is_kept", broken),
        Trial::test("replay::rate_limits_hold_for_every_call_of_a_server", limited),
    ]
}

fn ensure(met: bool, what: impl std::fmt::Display) -> Outcome {
    if met { Ok(()) } else { Err(what.to_string().into()) }
}

fn run(temp: &TempDir, words: &[&str]) -> Result<Done, String> {
    Call::new(temp.path()).map_err(|e| e.to_string())?.arg("main.chain").args(words).env("KEY", "s3cr3t").run()
}

/// An answer in these pieces.
fn says(pieces: &[&str]) -> Reply {
    let line = |text: &str| serde_json::json!({ "model": "m:latest", "message": { "content": text } });
    let end = r#"{"model":"m:latest","message":{"content":""},"done":true,"done_reason":"stop","prompt_eval_count":7,"eval_count":2}"#;
    let reply = pieces.iter().fold(Reply::stream("application/x-ndjson"), |r, p| r.piece(format!("{}\n", line(p))));
    reply.piece(format!("{end}\n")).end()
}

/// Answers by what is asked: the first answer to a number is none.
fn answers(seen: &Seen) -> Reply {
    let body = String::from_utf8_lossy(&seen.body).into_owned();
    match () {
        () if body.contains("could not be read") => says(&["{\"n\":", " 3}"]),
        () if body.contains("How many") => says(&["three"]),
        () if body.contains("item") => says(&["an ", "item s3cr3t"]),
        () => says(&["A ", "tu", "ber."]),
    }
}

fn tokens(temp: &TempDir, name: &str) -> Result<Vec<String>, libtest_mimic::Failed> {
    let text = std::fs::read_to_string(temp.path().join(name))?;
    let events: Vec<Json> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let tokens = events.iter().filter(|event| event["event"] == "token");
    let mut all: Vec<String> = tokens.map(|event| event["text"].to_string()).collect();
    // Items come at the same time, in any order.
    all.sort();
    Ok(all)
}

fn again() -> Outcome {
    let temp = TempDir::new()?;
    let server = Server::start(answers);
    let text = format!(
        "secret KEY\n\
         type N {{ n: int }}\n\
         model llm = ollama(\"m\", base_url: \"{}\", api_key: KEY, temperature: 0, retry: 2)\n\
         model cold = ollama(\"m\", base_url: \"{}\", api_key: KEY)\n\
         chain item = \"the item {{{{ input }}}}\" | llm(temperature: 0.7) | text\n\
         chain main = \"How many?\" | llm | json(N, repair: 1) as n | {{{{ [1, 2, 3] }}}} | each(item) as all\n\
           | \"What is a potato?\" | cold as last | {{ n: {{{{ n.n }}}}, all: {{{{ all }}}}, last: {{{{ last.text }}}}, by: {{{{ last.model }}}} }}\n",
        server.url(),
        server.url()
    );
    temp.write("main.chain", text)?;
    let first = run(&temp, &["--record", "rec", "--events", "e1"])?;
    ensure(first.code == Some(0), first.err())?;
    ensure(first.out().contains("\"n\":3") && first.out().contains("an item [secret]"), first.out())?;
    let asked = server.requests().len();
    let recording = std::fs::read_to_string(temp.path().join("rec"))?;
    ensure(asked == 6 && recording.lines().count() == 6, &recording)?;
    ensure(!recording.contains("s3cr3t") && !recording.contains(&server.url()), &recording)?;
    let words = ["--model", "llm=replay(\"rec\")", "--model", "cold=replay(\"rec\")", "--events", "e2", "--offline"];
    for _ in 0..2 {
        let second = run(&temp, &words)?;
        ensure(second.code == Some(0) && second.out() == first.out(), format!("{}{}", second.out(), second.err()))?;
        ensure(tokens(&temp, "e1")? == tokens(&temp, "e2")?, "the pieces differ")?;
    }
    // A recording of a replay is the same but for who answers.
    let third = run(&temp, &[&words[..4], &["--record", "rec2"]].concat())?;
    ensure(third.code == Some(0), third.err())?;
    let answers = |text: &str| -> Result<Vec<String>, serde_json::Error> {
        let lines: Result<Vec<Json>, _> = text.lines().map(serde_json::from_str).collect();
        let of_line = |line: &Json| serde_json::json!([line["asked"], line["answer"], line["pieces"]]).to_string();
        let mut all: Vec<String> = lines?.iter().map(of_line).collect();
        // Items are done in any order.
        all.sort();
        Ok(all)
    };
    let anew = std::fs::read_to_string(temp.path().join("rec2"))?;
    ensure(answers(&recording)? == answers(&anew)?, &anew)?;
    ensure(server.requests().len() == asked, "the server was asked again")
}

fn broken() -> Outcome {
    let temp = TempDir::new()?;
    temp.write("main.chain", "chain main = \"a\" | fake(\"one\") as x | \"b\" | fake(fail: \"gone\") | text\n")?;
    let done = run(&temp, &["--record", "rec"])?;
    let recording = std::fs::read_to_string(temp.path().join("rec"))?;
    ensure(done.code == Some(3) && recording.lines().count() == 1 && recording.contains("one"), &recording)?;
    // What is replayed is never written over.
    let text = "chain main = \"a\" | replay(\"rec\") as x | \"c\" | replay(\"rec\") | text\n";
    temp.write("main.chain", text)?;
    let done = run(&temp, &["--record", "rec"])?;
    ensure(done.code == Some(2) && done.err().contains("`replay` and `--record` name the same file"), done.err())?;
    let done = run(&temp, &[])?;
    ensure(done.code == Some(5) && done.err().contains("error[E409]"), done.err())?;
    ensure(std::fs::read_to_string(temp.path().join("rec"))? == recording, "the recording changed")
}

fn limited() -> Outcome {
    let temp = TempDir::new()?;
    let server = Server::start(|_| says(&["x"]));
    let elsewhere = Server::start(|_| says(&["x"]));
    // Three models of one server share the narrowest limit; one of another server has none.
    let text = format!(
        "model a = ollama(\"m\", base_url: \"{0}\", requests_per_minute: 9)\n\
         model b = ollama(\"m\", base_url: \"{0}\", requests_per_minute: 2, temperature: 0)\n\
         model other = ollama(\"n\", base_url: \"{1}\")\n\
         chain all = \"1\" | a as p | \"2\" | b as q | \"3\" | other as r | \"4\" | a(temperature: 1) | text\n\
         chain main = timeout(all, 700ms) ?? \"late\"\n",
        server.url(),
        elsewhere.url()
    );
    temp.write("main.chain", text)?;
    let done = run(&temp, &["--events", "e", "--trace", "t"])?;
    ensure(done.code == Some(0) && done.out() == "late\n", done.err())?;
    let requests = (server.requests().len(), elsewhere.requests().len());
    ensure(requests == (2, 1), format!("{requests:?} requests"))?;
    ensure(
        done.err().contains("note: `a` waits ") && done.err().contains("its limit of 2 requests a minute"),
        done.err(),
    )?;
    let events = std::fs::read_to_string(temp.path().join("e"))?;
    let events: Vec<Json> = events.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let waits: Vec<&Json> = events.iter().filter(|event| event["event"] == "rate_limited").collect();
    let fits = |wait: &Json| {
        wait["limit"] == "requests_per_minute" && wait["most"] == 2 && wait["wait"].as_f64().is_some_and(|s| s > 50.0)
    };
    ensure(waits.len() == 1 && fits(waits[0]), format!("{waits:?}"))?;
    // What stands in for the model waits for nothing.
    let text = "model m = ollama(\"m\", base_url: \"http://127.0.0.1:9\", requests_per_minute: 1)\n\
                chain main = \"1\" | m as a | \"2\" | m | text\n\
                test \"mocked\" {\n  mock m = \"x\"\n  expect equals \"x\"\n}\n";
    temp.write("mocked.chain", text)?;
    let done = Call::new(temp.path())?.args(["test", "mocked.chain"]).limit(40).run()?;
    ensure(done.code == Some(0), format!("{}{}", done.out(), done.err()))
}
