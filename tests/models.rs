//! `chainrun models` on an Ollama server: the program runs whole, against a loopback server that speaks the protocol.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/server.rs"]
mod server;

use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};
use server::{Reply, Seen, Server, dead_url};

const NDJSON: &str = "application/x-ndjson";

struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs `chainrun models …` with `OLLAMA_HOST`.
fn models(host: &str, words: &[&str]) -> Done {
    let home = std::env::temp_dir().join(format!("chainrun-models-{}", std::process::id()));
    let out = Command::new(env!("CARGO_BIN_EXE_chainrun"))
        .arg("models")
        .args(words)
        .env_clear()
        .env("CHAINRUN_HOME", home)
        .env("OLLAMA_HOST", host)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { code: out.status.code(), out: text(out.stdout), err: text(out.stderr) }
}

fn recorded(name: &str) -> Reply {
    Reply::recorded(&std::fs::read(format!("tests/data/wire/ollama032_{name}.http")).unwrap())
}

/// A server with the models of the recordings.
fn ollama() -> Server {
    Server::whole(|seen: &Seen| {
        let named = |name: &str| matches!(seen.json()["model"].as_str(), Some(model) if model == name);
        match (seen.method.as_str(), seen.path.as_str()) {
            ("GET", "/api/tags") => recorded("tags"),
            ("GET", "/api/ps") => recorded("ps_forever"),
            ("POST", "/api/show") if named("smollm2") => recorded("show"),
            ("POST", "/api/show") => recorded("err_no_model_show"),
            ("DELETE", "/api/delete") if named("smollm2") || named("tuber:latest") => recorded("delete"),
            ("DELETE", "/api/delete") => recorded("err_no_model_delete"),
            ("POST", "/api/pull") => Reply::stream(NDJSON)
                .piece("{\"status\":\"pulling manifest\"}\n{\"status\":\"pulling dde5aa3fc5ff\",\"digest\":\"sha256:dde5aa")
                .piece("3fc5ff\",\"total\":2019377376}\n")
                .piece("{\"status\":\"pulling dde5aa3fc5ff\",\"total\":2019377376,\"completed\":2019377376}\n")
                .piece("{\"status\":\"verifying sha256 digest\"}\n{\"status\":\"success\"}\n")
                .end(),
            _ => Reply::text(404, "404 page not found"),
        }
    })
}

/// A server that answers a path so.
fn answers(path: &'static str, reply: Reply) -> Server {
    Server::whole(move |seen: &Seen| if seen.path == path { reply.clone() } else { recorded("tags") })
}

fn json(done: &Done) -> Json {
    serde_json::from_str(&done.out).unwrap_or_else(|e| panic!("{e}: {}{}", done.out, done.err))
}

#[test]
fn a_list_of_the_catalog_and_the_server() {
    let server = ollama();
    let done = models(&server.url(), &["list"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = done.out.lines().collect();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(lines[0]), ["NAME", "ID", "SIZE", "MODIFIED", "WHERE"]);
    assert!(lines[1].starts_with("smollm2:135m       b179c9523d0e    98 MB") || lines[1].contains("b179c9523d0e"));
    assert!(lines[1].contains("chainrun models pull smollm2:135m"), "{}", lines[1]);
    assert_eq!(words(lines[2])[..4], ["smollm2:latest", "fd5f44c0b5af", "98", "MB"]);
    assert!(lines[2].ends_with("Ollama"), "{}", lines[2]);
    // The columns stand below each other.
    let at = lines[0].find("ID").unwrap();
    assert!(lines[1..].iter().all(|l| l[at - 1..].starts_with(' ') && !l[at..].starts_with(' ')), "{}", done.out);
    let list = json(&models(&server.url(), &["list", "--json"]));
    assert_eq!((&list[0]["name"], &list[0]["source"]), (&json!("smollm2:135m"), &json!("catalog")));
    assert_eq!(list[1]["digest"], "fd5f44c0b5aff6453726119fc560d73a8a995a55b4a49804bc24b1969ecf1794");
    assert_eq!((&list[1]["size"], &list[1]["source"]), (&json!(98_362_745), &json!("ollama")));
}

#[test]
fn every_form_of_the_address() {
    let server = ollama();
    let port = server.url().rsplit(':').next().unwrap().to_owned();
    for host in [
        format!("127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}/"),
        format!(":{port}"),
        format!("\" 127.0.0.1:{port} \""),
        format!("0.0.0.0:{port}"),
    ] {
        let done = models(&host, &["ps"]);
        assert_eq!(done.code, Some(0), "{host}: {}", done.err);
        // The command line counts more than the environment.
        assert_eq!(models("127.0.0.1:1", &["ps", "--host", &host]).code, Some(0), "{host}");
    }
    let done = models("ftp://x", &["list"]);
    assert!(done.code == Some(3) && done.err.contains("OLLAMA_HOST: `ftp://` is no scheme"), "{}", done.err);
    let done = models(&server.url(), &["ps", "--host", "http://a?b"]);
    assert!(done.code == Some(3) && done.err.contains("--host: "), "{}", done.err);
    // A path stays in front of every path.
    let server = Server::whole(|seen: &Seen| match seen.path.as_str() {
        "/ollama/api/ps" => recorded("ps_empty"),
        _ => Reply::text(404, "404 page not found"),
    });
    assert_eq!(json(&models(&format!("{}/ollama", server.url()), &["ps", "--json"])), json!([]));
}

#[test]
fn what_is_loaded() {
    let server = ollama();
    let done = models(&server.url(), &["ps"]);
    let lines: Vec<&str> = done.out.lines().collect();
    assert_eq!(lines[0], "NAME              ID              SIZE      PROCESSOR    CONTEXT    UNTIL");
    assert_eq!(lines[1], "smollm2:latest    fd5f44c0b5af    161 MB    100% CPU     2048       Forever");
    let list = json(&models(&server.url(), &["ps", "--json"]));
    assert_eq!((&list[0]["context_length"], &list[0]["processor"]), (&json!(2048), &json!("100% CPU")));
    let done = models(&answers("/api/ps", recorded("ps")).url(), &["ps"]);
    assert!(done.out.contains("Stopping..."), "{}", done.out);
}

#[test]
fn a_model_shown() {
    let server = ollama();
    let done = models(&server.url(), &["show", "ollama:smollm2"]);
    for part in [
        "    architecture        llama\n",
        "    context length      8192\n",
        "    quantization        Q4_1\n",
        "  Capabilities\n    completion\n",
        "    stop    \"<|im_start|>\"\n",
        "  Template\n    {{- range .Messages }}<|im_start|>{{ .Role }}\n",
    ] {
        assert!(done.out.contains(part), "{part}\n{}", done.out);
    }
    let shown = json(&models(&server.url(), &["show", "smollm2", "--json"]));
    assert_eq!((&shown["name"], &shown["context_length"]), (&json!("smollm2:latest"), &json!(8192)));
    assert_eq!(shown["options"]["stop"], json!(["<|im_start|>", "<|im_end|>"]));
    let done = models(&server.url(), &["show", "smolm2"]);
    assert_eq!(done.code, Some(3));
    assert!(
        done.err.contains("has no such model (404)") && done.err.contains("did you mean `smollm2`?"),
        "{}",
        done.err
    );
    // A name of the catalog is the catalog's, and asks nobody.
    let asked = server.requests().len();
    let shown = json(&models(&server.url(), &["show", "smollm2:135m", "--json"]));
    assert_eq!((&shown["source"], &shown["licence"]), (&json!("catalog"), &json!("Apache-2.0")));
    assert_eq!(server.requests().len(), asked);
}

#[test]
fn models_removed() {
    let server = ollama();
    let done = models(&server.url(), &["rm", "smollm2", "tubr", "ollama:tuber:latest"]);
    assert_eq!((done.code, done.out.as_str()), (Some(3), "deleted `smollm2:latest`\ndeleted `tuber:latest`\n"));
    assert!(done.err.contains("error[E403]") && done.err.contains("did you mean `tuber`?"), "{}", done.err);
    assert!(!done.err.contains("ollama pull"), "{}", done.err);
    let deleted: Vec<Seen> = server.requests().into_iter().filter(|r| r.method == "DELETE").collect();
    assert_eq!((deleted.len(), &deleted[0].json()["model"]), (3, &json!("smollm2")));
    let done = models(&server.url(), &["rm", "smollm2", "--json"]);
    assert_eq!(json(&done), json!([{ "name": "smollm2:latest", "source": "ollama", "deleted": true }]));
    // The catalog's own, which is not here.
    let done = models(&server.url(), &["rm", "smollm2:135m"]);
    assert!(done.code == Some(3) && done.err.contains("are not here") && done.err.contains("`ollama:smollm2:135m`"));
    assert_eq!(models(&server.url(), &["rm"]).code, Some(2));
}

#[test]
fn a_model_pulled() {
    let server = ollama();
    let done = models(&server.url(), &["pull", "ollama:llama3.2"]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), "llama3.2:latest\n"));
    let notes = "note: pulling manifest\nnote: pulling dde5aa3fc5ff, 2.0 GB\nnote: verifying sha256 digest\n";
    assert!(done.err.ends_with(notes), "{}", done.err);
    assert_eq!(server.requests()[0].json(), json!({ "model": "llama3.2", "stream": true }));
    let done = models(&server.url(), &["pull", "ollama:llama3.2", "--json"]);
    assert_eq!(json(&done), json!({ "name": "llama3.2:latest", "source": "ollama", "server": server.url() }));
    // A bare name is the catalog's alone, and offline nothing is fetched, by nobody.
    let done = models(&server.url(), &["pull", "llama3.2"]);
    assert!(done.code == Some(2) && done.err.contains("chainrun models pull ollama:llama3.2"), "{}", done.err);
    let asked = server.requests().len();
    let done = models(&server.url(), &["pull", "ollama:llama3.2", "--offline"]);
    assert!(done.code == Some(3) && done.err.contains("offline"), "{}", done.err);
    assert_eq!(server.requests().len(), asked);
}

#[test]
fn pulls_that_fail() {
    let pull = |reply: Reply| {
        let done = models(&answers("/api/pull", reply).url(), &["pull", "ollama:x"]);
        assert_eq!((done.code, done.out.as_str()), (Some(3), ""), "{}", done.err);
        done.err
    };
    let stream = |lines: &str| Reply::stream(NDJSON).piece(lines);
    let err = pull(recorded("err_pull_offline"));
    assert!(err.contains("did not pull `x`: pull model manifest") && err.contains("no way to the network"), "{err}");
    let err = pull(
        stream("{\"status\":\"pulling manifest\"}\n{\"error\":\"pull model manifest: file does not exist\"}").end(),
    );
    assert!(err.contains("no such model or tag"), "{err}");
    let err = pull(
        stream("{\"error\":\"digest mismatch, file must be downloaded again: want sha256:a, got sha256:b\"}\n").end(),
    );
    assert!(err.contains("damaged and is not kept: pull again"), "{err}");
    let on = "goes on where it stopped";
    let err = pull(stream("{\"status\":\"pulling manifest\"}\n").end());
    assert!(err.contains("ended early") && err.contains(on), "{err}");
    let err = pull(stream("{\"status\":\"pulling dde5\",\"total\":10,\"comp").end());
    assert!(err.contains("ended early") && err.contains(on), "{err}");
    let err = pull(stream("{\"status\":\"pulling manifest\"}\n").cut());
    assert!(err.contains("broke") && err.contains(on), "{err}");
    let err = pull(Reply::text(200, "<html>a proxy</html>"));
    assert!(err.contains("sent what is no answer of Ollama: <html>a proxy"), "{err}");
    let err = pull(Reply::json(400, "{\"error\":\"invalid model name\"}"));
    assert!(err.contains("invalid model name"), "{err}");
}

#[test]
fn servers_that_are_none() {
    let dead = dead_url();
    for words in [&["ps"][..], &["show", "x"], &["rm", "x"], &["pull", "ollama:x"], &["list", "--host", dead.as_str()]]
    {
        let done = models(&dead, words);
        assert_eq!((done.code, done.out.as_str()), (Some(3), ""), "{words:?}");
        assert!(done.err.contains("error[E402]") && done.err.contains("connection refused"), "{}", done.err);
        assert!(done.err.contains("ollama serve") && done.err.contains("`--host http://host:11434`"), "{}", done.err);
    }
    // Where nobody names a server on the command line, the catalog is listed all the same.
    let done = models(&dead, &["list"]);
    assert!(done.code == Some(0) && done.out.contains("smollm2:135m"), "{}", done.err);
    assert!(done.err.starts_with("note: the models of Ollama are not listed: "), "{}", done.err);
    for (reply, part) in [
        (Reply::text(200, "<html>hello</html>"), "no answer of Ollama: <html>hello"),
        (Reply::text(404, "404 page not found"), "does not know the address (404)"),
        (Reply::json(500, "{\"error\":\"out of disk\"}"), "out of disk"),
        (Reply::json(200, "{\"error\":\"half\"}"), "failed: half"),
        (Reply::json(200, "[]"), "no answer of Ollama: []"),
        (Reply::stream("application/json").piece("{\"models\":[").cut(), "broke"),
        (Reply::new(401, &[], ""), "wants a key (401)"),
    ] {
        let server = Server::always(reply);
        for words in [&["list"][..], &["ps"]] {
            let done = models(&server.url(), words);
            assert!(done.code == Some(3) && done.err.contains(part), "{words:?} {part}: {}", done.err);
            assert!(!done.err.contains("api_key") && !done.err.contains("base_url"), "{}", done.err);
        }
    }
    let missing = Reply::json(200, "{\"models\":null}");
    assert_eq!(json(&models(&Server::always(missing).url(), &["ps", "--json"])), json!([]));
}

#[test]
fn a_terminal_obeys_nothing_of_a_server() {
    let sly = json!({ "models": [{
        "name": "a\u{1b}[2J\u{9b}31m\nb", "digest": "\u{1b}]0;x", "size": 5, "modified_at": "\u{7}",
        "remote_host": "\u{1b}[1m",
    }] });
    let show = json!({
        "template": "\u{1b}[31mred\ttab\r\n", "license": ["\u{7}", "b"], "system": "\u{202e}", "capabilities": ["\u{1b}c"],
        "details": { "family": "\u{1b}" }, "parameters": "stop \"\\u001b\"",
    });
    let server = Server::whole(move |seen: &Seen| match seen.path.as_str() {
        "/api/show" => Reply::json(200, &show.to_string()),
        "/api/pull" => Reply::stream(NDJSON).piece("{\"status\":\"\\u001b[2J\"}\n{\"error\":\"\\u009bbad\"}\n").end(),
        _ => Reply::json(200, &sly.to_string()),
    });
    for words in [
        &["list"][..],
        &["list", "--json"],
        &["ps"],
        &["ps", "--json"],
        &["show", "x\u{1b}"],
        &["show", "x", "--json"],
        &["pull", "ollama:x\u{1b}"],
    ] {
        let done = models(&server.url(), words);
        let all = format!("{}{}", done.out, done.err);
        assert!(!all.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "{words:?}: {all:?}");
    }
    assert_eq!(json(&models(&server.url(), &["list", "--json"]))[1]["name"], "a\u{1b}[2J\u{9b}31m\nb");
}
