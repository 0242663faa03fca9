//! The examples that the language was designed by (`tests/data/examples`) run unedited, against a server that speaks
//! Ollama's protocol.
//!
//! What this version does not have yet is one embedder; a trial holds that the program says so of it and of nothing else, so
//! that an example which becomes possible cannot stay out.

use std::path::PathBuf;

use libtest_mimic::Trial;
use serde_json::{Value as Json, json};

use crate::ollama::{DONE, NDJSON, piece};
use crate::process::{Call, Done, TempDir, difference, short};
use crate::server::{Reply, Seen, Server};
use crate::{Outcome, root};

/// The trials.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("examples::what_is_left_out_is_not_in_this_version", left_out),
        Trial::test("examples::checks_without_a_warning", checks),
        Trial::test("examples::bare", bare),
        Trial::test("examples::main", define),
        Trial::test("examples::main_falls_back", falls_back),
        Trial::test("examples::main_refuses_another_tone", other_tone),
        Trial::test("examples::meaning", meaning),
        Trial::test("examples::meaning_is_repaired", repaired),
        Trial::test("examples::report_takes_each_arm", report),
        Trial::test("examples::label", label),
        Trial::test("examples::triage", triage),
        Trial::test("examples::chat", chat),
        Trial::test("examples::by_hand", by_hand),
        Trial::test("examples::tests", tests),
        Trial::test("examples::ask", ask),
    ]
}

/// The embedder whose provider this version does not have; runs put another in its place.
const NO_EMBEDDER: &str = "embedder minilm = local(\"all-minilm-l6-v2\")";

const SYSTEM: &str = "You are a lexicographer. Your tone is plain.";
const QUESTION: &str = "What is the meaning of potato?";
const MEANING: &str = r#"{"definition":"A starchy tuber.","part_of_speech":"noun","synonyms":["spud"]}"#;

fn data(name: &str) -> PathBuf {
    root().join("tests/data/examples").join(name)
}

/// The text of `language.chain`.
fn language() -> std::io::Result<String> {
    std::fs::read_to_string(data("language.chain"))
}

/// A folder with the examples, ready to run.
pub fn folder() -> std::io::Result<TempDir> {
    let temp = TempDir::new()?;
    temp.write("examples.chain", language()?)?;
    temp.write("words.csv", "word,expected\npotato,tuber\noca,TUBER\n")?;
    const OTHERS: &[&str] = &[
        "bare.chain",
        "uses.chain",
        "shots.yaml",
        "shared/house-style.chain",
        "notes/potatoes.md",
        "notes/tools.md",
        "notes/garden/leeks.md",
    ];
    for name in OTHERS {
        temp.write(name, std::fs::read(data(name))?)?;
    }
    Ok(temp)
}

/// What puts an embedder in the place of the one of a file that this version does not have.
pub fn other_embedder(file: &str) -> &'static [&'static str] {
    match file {
        "examples.chain" => &["--model", "minilm=fake(dimensions: 4096)"],
        "uses.chain" => &["--model", "examples.minilm=fake(dimensions: 4096)"],
        _ => &[],
    }
}

/// Runs the command among the examples.
fn run(args: &[&str]) -> Result<Done, String> {
    let temp = folder().map_err(|e| e.to_string())?;
    let file = args.first().copied().unwrap_or_default();
    Call::new(temp.path()).map_err(|e| e.to_string())?.args(args).args(other_embedder(file)).run()
}

/// The model of the examples with nothing but the server's address changed.
fn mistral(server: &Server) -> String {
    let url = server.url();
    format!("mistral=ollama(\"mistral:latest\", temperature: 0.1, base_url: \"{url}\", retry: 3, timeout: 30s)")
}

/// A server whose answer to a conversation depends on its last message.
fn server(answer: impl Fn(&Json, &str) -> String + Send + Sync + 'static) -> Server {
    Server::start(move |seen: &Seen| {
        let body = seen.json();
        if seen.path == "/api/generate" {
            let line = json!({ "response": "A tuber.", "done": true, "done_reason": "stop" });
            return Reply::stream(NDJSON).piece(format!("{line}\n")).end();
        }
        let last = body["messages"].as_array().and_then(|m| m.last()).and_then(|m| m["content"].as_str());
        let text = answer(&body, last.unwrap_or_default());
        let middle = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
        let (one, two) = text.split_at(middle);
        Reply::stream(NDJSON).piece(piece(one)).piece(piece(two)).piece(DONE).end()
    })
}

fn prints(done: &Done, out: &str) -> Outcome {
    if done.code != Some(0) {
        return Err(format!("exit {:?}\n{}", done.code, short(&done.stderr)).into());
    }
    if done.out() == out { Ok(()) } else { Err(difference(out, &done.out()).into()) }
}

fn same(got: &Json, wanted: &Json) -> Outcome {
    if got == wanted { Ok(()) } else { Err(format!("expected {wanted}\ngot      {got}").into()) }
}

fn ensure(holds: bool, why: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(why.into().into()) }
}

/// The body of the only request.
fn only(server: &Server) -> Result<Json, String> {
    match server.requests().as_slice() {
        [seen] if seen.path == "/api/chat" => Ok(seen.json()),
        seen => Err(format!("{seen:?}")),
    }
}

/// The body of a call of `mistral`.
fn sent(messages: Json) -> Json {
    json!({
        "model": "mistral:latest", "messages": messages, "stream": true, "truncate": false, "shift": false,
        "options": { "temperature": 0.1 },
    })
}

fn define_messages() -> Json {
    json!([{ "role": "system", "content": SYSTEM }, { "role": "user", "content": QUESTION }])
}

fn meaning_schema() -> Json {
    json!({
        "type": "object",
        "properties": {
            "definition": { "type": "string", "description": "one sentence, no jargon" },
            "part_of_speech": { "type": "string", "enum": ["noun", "verb", "other"] },
            "synonyms": { "type": "array", "items": { "type": "string" } },
            "confidence": { "anyOf": [{ "type": "number" }, { "type": "null" }] },
        },
        "required": ["definition", "part_of_speech", "synonyms"],
        "additionalProperties": false,
    })
}

/// All of the file but its embedder is known.
fn left_out() -> Outcome {
    let temp = folder()?;
    let done = Call::new(temp.path())?.args(["check", "examples.chain"]).run()?;
    let (err, text) = (done.err(), language()?);
    let line = 1 + text.lines().position(|l| l == NO_EMBEDDER).ok_or(NO_EMBEDDER)?;
    ensure(done.code == Some(2) && err.matches("error[").count() == 1, err.clone())?;
    ensure(err.contains("error[E107]") && err.contains(&format!("examples.chain:{line}:")), err.clone())?;
    ensure(err.contains("`ollama(\"all-minilm\")`"), err)
}

/// The tests of the examples, with what this machine has in the place of their models.
fn tests() -> Outcome {
    let server = server(|_, _| "A starchy edible tuber.".to_owned());
    let mistral = mistral(&server);
    let run = |filter: &str, models: &[&str]| -> Result<Done, String> {
        let temp = folder().map_err(|e| e.to_string())?;
        let mut call = Call::new(temp.path()).map_err(|e| e.to_string())?;
        call = call.args(["test", "examples.chain", "--filter", filter]).args(other_embedder("examples.chain"));
        for model in models {
            call = call.args(["--model", model]);
        }
        call.run()
    };
    prints(&run("falls back", &[])?, "1 test: 1 passed\n")?;
    prints(&run("every word", &[&mistral])?, "1 test, 2 runs: 1 passed (0 replayed, 2 called)\n")?;
    let judge = r#"llm=fake("{\"reason\": \"It is the plant.\", \"grade\": \"fully\"}")"#;
    let (gpt2, instruct) = ("gpt2=fake(\"A starchy edible tuber.\")", "instruct=fake(\"a couch potato\")");
    let done = run("plant", &[gpt2, instruct, judge])?;
    let out = done.out();
    ensure(done.code == Some(1), format!("{out}{}", done.err()))?;
    ensure(out.contains("mistral = gpt2      1/1  passed"), &out)?;
    ensure(out.contains("mistral = instruct  0/1  failed") && out.contains("expect not contains \"couch\""), &out)
}

fn checks() -> Outcome {
    let temp = folder()?;
    let text = language()?;
    let mended = text.replace(NO_EMBEDDER, "embedder minilm = ollama(\"all-minilm\")");
    ensure(mended != text, "the embedder is not there")?;
    temp.write("examples.chain", mended)?;
    for file in ["bare.chain", "examples.chain", "uses.chain"] {
        let done = Call::new(temp.path())?.args(["check", file]).run()?;
        ensure(done.code == Some(0) && !done.err().contains("warning"), done.err())?;
    }
    let done = Call::new(temp.path())?.args(["check", "--signatures", "examples.chain"]).run()?;
    for line in ["meaning(word: string, tone: string = \"plain\") -> Meaning\n", "ask(question: string) -> string\n"] {
        ensure(done.out().contains(line), done.out())?;
    }
    Ok(())
}

/// The notes that share words with the question come first; the others follow in the order of their paths.
fn ask() -> Outcome {
    let question = "question=When do I plant potatoes?";
    let args = ["examples.chain", "--chain", "ask", "--var", question, "--model", "fake(echo: true)"];
    let prompt = "Answer from these notes only.\n- # Potatoes\n\nPlant potatoes in spring, a hand deep.\n\
                  - # Leeks\n\nLeeks want sandy soil.\n- # Tools\n\nClean the spade after work.\n\
                  Q: When do I plant potatoes?\n";
    prints(&run(&args)?, prompt)?;
    // The same without a change to the file, against a server that gives vectors.
    let server = Server::start(|seen: &Seen| {
        if seen.path != "/api/embed" {
            return Reply::text(404, "404 page not found");
        }
        let body = seen.json();
        let of = |text: &Json| json!([i32::from(text.as_str().is_some_and(|t| t.contains("otato"))), 1]);
        let rows: Vec<Json> = body["input"].as_array().into_iter().flatten().map(of).collect();
        Reply::json(200, &json!({ "model": body["model"], "embeddings": rows, "prompt_eval_count": 3 }).to_string())
    });
    let embedder = format!("minilm=ollama(\"all-minilm\", base_url: \"{}\")", server.url());
    let temp = folder()?;
    let done = Call::new(temp.path())?.args(args).args(["--model", &embedder]).run()?;
    prints(&done, prompt)?;
    let paths: Vec<String> = server.requests().iter().map(|r| r.path.clone()).collect();
    ensure(paths.iter().filter(|p| *p == "/api/embed").count() == 2, format!("{paths:?}"))
}

fn bare() -> Outcome {
    let var = ["bare.chain", "--var", "word=potato", "--model"];
    prints(&run(&[&var[..], &["fake(\"A tuber.\")"]].concat())?, "A tuber.\n")?;
    prints(&run(&[&var[..], &["fake(echo: true)"]].concat())?, &format!("{QUESTION}\n"))?;
    let server = server(|_, _| "A tuber.".to_owned());
    let host = server.url().replace("http://", "");
    let temp = folder()?;
    let call = Call::new(temp.path())?.env("OLLAMA_HOST", host).args(var).arg("ollama:mistral:latest");
    prints(&call.run()?, "A tuber.\n")?;
    let mut body = sent(json!([{ "role": "user", "content": QUESTION }]));
    body.as_object_mut().ok_or("no object")?.remove("options");
    same(&only(&server)?, &body)
}

fn define() -> Outcome {
    let server = server(|_, _| "A tuber.".to_owned());
    let model = mistral(&server);
    prints(&run(&["examples.chain", "--var", "word=potato", "--model", &model])?, "A tuber.\n")?;
    same(&only(&server)?, &sent(define_messages()))?;
    let args = ["examples.chain", "--var", "word=potato", "--var", "tone=academic", "--model", &model];
    prints(&run(&args)?, "A tuber.\n")?;
    let last = server.requests().pop().ok_or("no request")?.json();
    same(&last["messages"][0]["content"], &json!("You are a lexicographer. Your tone is academic."))
}

fn falls_back() -> Outcome {
    let server = Server::always(Reply::json(404, "{\"error\":\"model 'mistral:latest' not found\"}"));
    let model = mistral(&server);
    let instruct = "instruct=fake(echo: true)";
    let args = ["examples.chain", "--var", "word=potato", "--model", &model, "--model", instruct];
    let done = run(&args)?;
    prints(&done, &format!("{QUESTION}\n"))?;
    ensure(done.err().contains("`mistral` (ollama) failed"), done.err())
}

fn other_tone() -> Outcome {
    let args = ["examples.chain", "--var", "word=potato", "--var", "tone=rude", "--model", "mistral=fake(\"x\")"];
    let done = run(&args)?;
    let err = done.err();
    ensure(done.code == Some(2) && err.contains("tone=rude") && err.contains("\"academic\""), err)
}

fn meaning() -> Outcome {
    let server = server(|_, _| format!("```json\n{MEANING}\n```"));
    let model = mistral(&server);
    let args = ["examples.chain", "--chain", "meaning", "--var", "word=potato", "--model", &model];
    prints(&run(&args)?, &format!("{MEANING}\n"))?;
    let mut body = sent(define_messages());
    body["format"] = meaning_schema();
    same(&only(&server)?, &body)
}

/// The model sees its first answer and what was wrong with it.
fn repaired() -> Outcome {
    let first = r#"{"definition":"A starchy tuber."}"#;
    let server = server(move |body, _| {
        let messages = body["messages"].as_array().map_or(0, Vec::len);
        if messages == 2 { first.to_owned() } else { MEANING.to_owned() }
    });
    let model = mistral(&server);
    let args = ["examples.chain", "--chain", "meaning", "--var", "word=potato", "--model", &model];
    prints(&run(&args)?, &format!("{MEANING}\n"))?;
    let requests = server.requests();
    let body = requests.last().ok_or("no request")?.json();
    same(&body["format"], &meaning_schema())?;
    same(&body["messages"][2], &json!({ "role": "assistant", "content": first }))?;
    let why = body["messages"][3]["content"].as_str().unwrap_or_default();
    ensure(requests.len() == 2 && why.contains("part_of_speech"), body.to_string())
}

fn report() -> Outcome {
    let arms = [("noun", "A poem."), ("verb", "감자"), ("other", "A starchy tuber.: A poem. / 감자")];
    for (part, out) in arms {
        let server = server(move |_, last| {
            if last.starts_with("A two-line poem") {
                "A poem.".to_owned()
            } else if last.starts_with("Translate to Korean") {
                "감자".to_owned()
            } else {
                MEANING.replace("noun", part)
            }
        });
        let model = mistral(&server);
        let args = ["examples.chain", "--chain", "report", "--var", "word=potato", "--model", &model];
        prints(&run(&args)?, &format!("{out}\n"))?;
        let mut bodies: Vec<Json> = server.requests().iter().map(Seen::json).collect();
        // The two branches run at the same time.
        bodies[1..].sort_by_key(|b| b["messages"].to_string());
        let mut wanted = vec![sent(define_messages())];
        wanted[0]["format"] = meaning_schema();
        for text in ["A two-line poem about: A starchy tuber.", "Translate to Korean: A starchy tuber."] {
            wanted.push(sent(json!([{ "role": "user", "content": text }])));
        }
        same(&Json::from(bodies), &Json::from(wanted))?;
    }
    Ok(())
}

fn label() -> Outcome {
    let args = ["examples.chain", "--chain", "label", "--var", "ticket=It crashes.", "--model"];
    prints(&run(&[&args[..], &["fake(\"Bug.\")"]].concat())?, "bug\n")?;
    let done = run(&[&args[..], &["fake(\"A complaint.\")"]].concat())?;
    ensure(done.code == Some(3) && done.stdout.is_empty() && done.err().contains("enum"), done.err())
}

fn triage() -> Outcome {
    let server = server(|_, last| {
        let word = if last.contains("crash") {
            "bug"
        } else if last.contains('?') {
            "question"
        } else {
            "praise"
        };
        json!(word).to_string()
    });
    let model = format!("ollama(\"mistral:latest\", base_url: \"{}\")", server.url());
    let tickets = "tickets=[It crashes., How?, Good.]";
    let args = ["examples.chain", "--chain", "triage", "--var", tickets, "--model", &model];
    prints(&run(&args)?, "[\"bug\",\"question\",\"praise\"]\n")?;
    let requests = server.requests();
    let find = |r: &&Seen| r.json()["messages"].to_string().contains("How?");
    let body = requests.iter().find(find).ok_or("no request")?.json();
    let turn = |role: &str, text: &str| json!({ "role": role, "content": text });
    let system = "Label the ticket: bug, question or praise.\nAnswer with the label alone.";
    let mut messages = vec![turn("system", system)];
    for (text, label) in [
        ("It crashes when I save.", "bug"),
        ("How do I log in?", "question"),
        ("I like it.", "praise"),
        ("Saving is broken again.", "bug"),
    ] {
        messages.extend([turn("user", text), turn("assistant", label)]);
    }
    messages.push(turn("user", "How?"));
    same(&body["messages"], &Json::from(messages))?;
    same(&body["format"], &json!({ "type": "string", "enum": ["bug", "question", "praise"] }))?;
    ensure(requests.len() == 3, format!("{} requests", requests.len()))
}

fn chat() -> Outcome {
    let server = server(|_, _| "In spring.".to_owned());
    let model = format!("examples.{}", mistral(&server));
    let history = "history=[{role: user, text: What is a potato?}, {role: assistant, text: A tuber.}]";
    let args = ["uses.chain", "--chain", "chat", "--var", history, "--var", "question=When?", "--model", &model];
    prints(&run(&args)?, "In spring.\n")?;
    let messages = json!([
        { "role": "system", "content": "Speak as a gardener." },
        { "role": "user", "content": "What is a potato?" },
        { "role": "assistant", "content": "A tuber." },
        { "role": "user", "content": "When?" },
    ]);
    same(&only(&server)?, &sent(messages))
}

/// Raw text goes out as it stands.
fn by_hand() -> Outcome {
    let text = "[INST]What is the meaning of potato[/INST]";
    let args = ["uses.chain", "--chain", "by_hand_local", "--model", "examples.gpt2=fake(echo: true)"];
    prints(&run(&args)?, &format!("{text}\n"))?;
    let server = server(|_, _| String::new());
    let model = format!("examples.{}", mistral(&server));
    prints(&run(&["uses.chain", "--chain", "by_hand", "--model", &model])?, "A tuber.\n")?;
    let requests = server.requests();
    let [seen] = requests.as_slice() else { return Err(format!("{requests:?}").into()) };
    ensure(seen.path == "/api/generate", seen.path.clone())?;
    let body = json!({
        "model": "mistral:latest", "prompt": text, "raw": true, "stream": true, "truncate": false, "shift": false,
        "options": { "temperature": 0.1 },
    });
    same(&seen.json(), &body)
}
