//! OpenTelemetry: spans in a file and at a collector, with the names of the conventions, and never a secret.

use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::Value as Json;

use crate::Outcome;
use crate::process::{Call, Done, TempDir};
use crate::server::{Reply, Seen, Server, dead_url};

/// The trials.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("otlp::a_file_of_spans", file),
        Trial::test("otlp::a_collector_gets_them", collector),
        Trial::test("otlp::prompts_and_answers_only_where_asked_for", content),
        Trial::test("otlp::many_spans_come_in_batches", batches),
        Trial::test("otlp::a_collector_that_fails_is_said_once", down),
        Trial::test("otlp::offline_nothing_leaves_the_machine", offline),
        Trial::test("otlp::no_record_holds_a_secret", secrets),
    ]
}

fn ensure(met: bool, what: impl std::fmt::Display) -> Outcome {
    if met { Ok(()) } else { Err(what.to_string().into()) }
}

/// A call of `main.chain` in a folder of its own, with variables of the environment.
fn run(temp: &TempDir, text: &str, words: &[&str], env: &[(&str, &str)]) -> Result<Done, String> {
    temp.write("main.chain", text).map_err(|e| e.to_string())?;
    let call = Call::new(temp.path()).map_err(|e| e.to_string())?.arg("main.chain").args(words).limit(50);
    env.iter().fold(call, |call, (name, value)| call.env(name, value)).run()
}

/// The spans of requests.
fn spans(requests: &[Json]) -> Vec<&Json> {
    let scopes = requests.iter().map(|request| &request["resourceSpans"][0]["scopeSpans"][0]["spans"]);
    scopes.filter_map(Json::as_array).flatten().collect()
}

fn bodies(requests: &[Seen]) -> Result<Vec<Json>, serde_json::Error> {
    requests.iter().map(|seen| serde_json::from_slice(&seen.body)).collect()
}

/// An attribute's value, whatever its type.
fn attribute<'s>(span: &'s Json, key: &str) -> Option<&'s Json> {
    let value = span["attributes"].as_array()?.iter().find(|a| a["key"] == key)?.get("value")?;
    value.as_object()?.values().next()
}

fn named<'s>(spans: &[&'s Json], name: &str) -> Result<&'s Json, String> {
    spans.iter().find(|span| span["name"] == name).copied().ok_or_else(|| format!("no span `{name}`: {spans:?}"))
}

/// A server of Ollama that gives this answer.
fn ollama(answer: &[&str]) -> Server {
    let line = |text: &str| format!("{}\n", serde_json::json!({ "model": "m:latest", "message": { "content": text } }));
    let end = r#"{"model":"m:latest","message":{"content":""},"done":true,"done_reason":"stop","prompt_eval_count":7,"eval_count":2}"#;
    let reply = answer.iter().fold(Reply::stream("application/x-ndjson"), |reply, text| reply.piece(line(text)));
    let reply = reply.piece(format!("{end}\n")).end();
    Server::start(move |_| reply.clone())
}

fn file() -> Outcome {
    let temp = TempDir::new()?;
    let server = ollama(&["yes"]);
    let url = server.url();
    let text = format!(
        "model m = ollama(\"m\", base_url: \"{url}\", temperature: 0.5, max_tokens: 9, seed: 1, stop: [\"x\", \"y\"], top_k: 4)\n\
         chain main = (\"a prompt\" | fake(fail: \"gone\") | text) ?? (\"q\" | m | text)\n"
    );
    let done = run(&temp, &text, &["--otlp", "spans"], &[])?;
    ensure(done.code == Some(0) && done.out() == "yes\n", done.err())?;
    let lines = std::fs::read_to_string(temp.path().join("spans"))?;
    let requests: Vec<Json> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure(requests.len() == 1 && !lines.contains("a prompt"), &lines)?;
    let resource = &requests[0]["resourceSpans"][0]["resource"];
    ensure(attribute(resource, "service.name") == Some(&"chainrun".into()), resource)?;
    let all = spans(&requests);
    let root = named(&all, "run main")?;
    let hex = |value: &Json, length: usize| {
        value.as_str().is_some_and(|t| t.len() == length && t.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    ensure(root["parentSpanId"] == "" && root["kind"] == 1, root)?;
    for span in &all {
        ensure(hex(&span["traceId"], 32) && hex(&span["spanId"], 16), span)?;
        ensure(span["traceId"] == root["traceId"], span)?;
        let whole = span["parentSpanId"] == "" || all.iter().any(|other| other["spanId"] == span["parentSpanId"]);
        ensure(whole, span)?;
        let time = |name: &str| span[name].as_str().and_then(|t| t.parse::<u64>().ok()).unwrap_or(0);
        let (start, end) = (time("startTimeUnixNano"), time("endTimeUnixNano"));
        ensure(start > 1_600_000_000_000_000_000 && end >= start, span)?;
    }
    let call = named(&all, "chat m")?;
    ensure(call["kind"] == 3 && call["status"] == serde_json::json!({}), call)?;
    let port = url.rsplit(':').next().unwrap_or_default();
    for (key, value) in [
        ("gen_ai.operation.name", serde_json::json!("chat")),
        ("gen_ai.provider.name", "ollama".into()),
        ("gen_ai.request.model", "m".into()),
        ("gen_ai.request.temperature", 0.5.into()),
        ("gen_ai.request.top_k", 4.0.into()),
        ("gen_ai.request.max_tokens", "9".into()),
        ("gen_ai.request.seed", "1".into()),
        (
            "gen_ai.request.stop_sequences",
            serde_json::json!({ "values": [{ "stringValue": "x" }, { "stringValue": "y" }] }),
        ),
        ("gen_ai.response.model", "m:latest".into()),
        ("gen_ai.response.finish_reasons", serde_json::json!({ "values": [{ "stringValue": "stop" }] })),
        ("gen_ai.usage.input_tokens", "7".into()),
        ("gen_ai.usage.output_tokens", "2".into()),
        ("server.address", "127.0.0.1".into()),
        ("server.port", port.into()),
    ] {
        ensure(attribute(call, key) == Some(&value), format!("{key}: {:?}", attribute(call, key)))?;
    }
    ensure(attribute(call, "gen_ai.response.time_to_first_chunk").is_some_and(Json::is_f64), call)?;
    let failed = named(&all, "chat fake")?;
    ensure(failed["kind"] == 1 && failed["status"]["code"] == 2 && failed["status"]["message"] == "gone", failed)?;
    ensure(attribute(failed, "error.type") == Some(&"scripted".into()), failed)?;
    let stage = named(&all, "try main.chain:2:14")?;
    ensure(attribute(stage, "code.line.number") == Some(&"2".into()) && stage["parentSpanId"] == root["spanId"], stage)
}

fn collector() -> Outcome {
    let temp = TempDir::new()?;
    let server = Server::start(|_| Reply::json(200, "{}"));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*format!("{}/otel/", server.url())),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cr3t%20key,x-team=a"),
        ("OTEL_SERVICE_NAME", "words"),
        ("TRACEPARENT", parent),
    ];
    let text = "chain main = \"q\" | fake(\"yes\") | text\n";
    let done = run(&temp, text, &[], &env)?;
    ensure(done.code == Some(0) && done.out() == "yes\n" && done.err().is_empty(), done.err())?;
    let requests = server.requests();
    let seen = requests.first().ok_or("nothing came")?;
    ensure(requests.len() == 1 && seen.method == "POST" && seen.path == "/otel/v1/traces", &seen.path)?;
    let header = |name: &str| seen.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    ensure(header("api-key") == Some("s3cr3t key") && header("x-team") == Some("a"), "the headers")?;
    ensure(header("content-type") == Some("application/json"), "the content type")?;
    let bodies = bodies(&requests)?;
    let resource = &bodies[0]["resourceSpans"][0]["resource"];
    ensure(attribute(resource, "service.name") == Some(&"words".into()), resource)?;
    let all = spans(&bodies);
    let root = named(&all, "run main")?;
    ensure(root["traceId"] == "0af7651916cd43dd8448eb211c80319c" && root["parentSpanId"] == "b7ad6b7169203331", root)?;
    ensure(
        all.iter().all(|span| span["traceId"] == root["traceId"]) && all.len() == 4,
        format!("{} spans", all.len()),
    )?;
    for off in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("TRACEPARENT", &parent.replace("-01", "-00")),
    ] {
        let done = run(&temp, text, &[], &[env[0], off])?;
        ensure(done.code == Some(0) && done.err().is_empty(), done.err())?;
    }
    ensure(server.requests().len() == 1, "it was turned off")?;
    // A run that fails is told too.
    let done = run(&temp, "chain main = \"q\" | fake(fail: \"gone\") | text\n", &[], &env[..1])?;
    let bodies = bodies_of(&server)?;
    let all = spans(&bodies);
    let failed = all.iter().filter(|span| span["name"] == "run main" && span["status"]["code"] == 2).count();
    ensure(done.code == Some(3) && failed == 1, format!("{all:?}"))
}

fn bodies_of(server: &Server) -> Result<Vec<Json>, serde_json::Error> {
    bodies(&server.requests())
}

fn content() -> Outcome {
    let temp = TempDir::new()?;
    let text =
        "prompt p {\n  system \"be kind\"\n  user \"the question\"\n}\nchain main = p | fake(\"the answer\") | text\n";
    let spans_of = |env: &[(&str, &str)]| -> Result<String, libtest_mimic::Failed> {
        let done = run(&temp, text, &["--otlp", "spans"], env)?;
        ensure(done.code == Some(0), done.err())?;
        Ok(std::fs::read_to_string(temp.path().join("spans"))?)
    };
    let without = spans_of(&[])?;
    for part in ["be kind", "the question", "the answer", "messages"] {
        ensure(!without.contains(part), &without)?;
    }
    let with = spans_of(&[("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")])?;
    let requests = [serde_json::from_str(&with)?];
    let all = spans(&requests);
    let call = named(&all, "chat fake")?;
    let messages = |key: &str| -> Result<Json, libtest_mimic::Failed> {
        let text = attribute(call, key).and_then(Json::as_str).ok_or_else(|| format!("no {key}"))?;
        Ok(serde_json::from_str(text)?)
    };
    let said =
        |role: &str, text: &str| serde_json::json!({ "role": role, "parts": [{ "type": "text", "content": text }] });
    let asked = messages("gen_ai.input.messages")?;
    ensure(asked == serde_json::json!([said("system", "be kind"), said("user", "the question")]), &asked)?;
    let answered = messages("gen_ai.output.messages")?;
    ensure(answered[0]["parts"][0]["content"] == "the answer" && answered[0]["finish_reason"] == "stop", &answered)
}

fn batches() -> Outcome {
    let temp = TempDir::new()?;
    let server = Server::start(|_| Reply::json(200, "{}"));
    let text =
        "chain main = {{ range(400) }} | each(\"{{ input }}\" | fake(\"a\") | text) as all | {{ all | length }}\n";
    let done = run(&temp, text, &["--otlp", "spans"], &[("OTEL_EXPORTER_OTLP_ENDPOINT", &server.url())])?;
    ensure(done.code == Some(0) && done.out() == "400\n" && done.err().is_empty(), done.err())?;
    let lines = std::fs::read_to_string(temp.path().join("spans"))?;
    let written: Vec<Json> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let sent = bodies_of(&server)?;
    ensure(written.len() == 3 && sent == written, format!("{} lines, {} requests", written.len(), sent.len()))?;
    let ids: std::collections::BTreeSet<String> = spans(&sent).iter().map(|span| span["spanId"].to_string()).collect();
    ensure(ids.len() == 4 + 3 * 400, format!("{} spans", ids.len()))
}

fn down() -> Outcome {
    let temp = TempDir::new()?;
    let text = "chain main = \"q\" | fake(\"yes\") | text\n";
    let refusing = Server::start(|_| Reply::text(403, "no such key"));
    let partial =
        Server::start(|_| Reply::json(200, r#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}"#));
    let silent = Server::start(|_| Reply::head("").stall());
    for (url, part) in [
        (dead_url(), "cannot connect to"),
        (refusing.url(), "it answered 403: no such key"),
        (partial.url(), "it refused 2 spans: too old"),
        (silent.url(), "700ms"),
    ] {
        let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*url), ("OTEL_EXPORTER_OTLP_TIMEOUT", "700")];
        let done = run(&temp, text, &[], &env)?;
        ensure(done.code == Some(0) && done.out() == "yes\n", done.err())?;
        ensure(done.err().starts_with("warning: ") && done.err().lines().count() == 1, done.err())?;
        ensure(
            done.err().contains(part) && done.err().contains("did not reach the collector at 127.0.0.1:"),
            done.err(),
        )?;
        ensure(done.took < Duration::from_secs(20), format!("{:?}", done.took))?;
        let done = run(&temp, "chain main = \"q\" | fake(fail: \"gone\") | text\n", &["--quiet"], &env)?;
        ensure(done.code == Some(3) && !done.err().contains("warning"), done.err())?;
    }
    let done = run(&temp, text, &[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")])?;
    ensure(done.code == Some(0) && done.err().contains("no address of the form http://host:port"), done.err())
}

fn offline() -> Outcome {
    let temp = TempDir::new()?;
    let text = "chain main = \"q\" | fake(\"yes\") | text\n";
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://192.0.2.1:4318")];
    let done = run(&temp, text, &["--offline"], &env)?;
    ensure(done.code == Some(0) && done.out() == "yes\n", done.err())?;
    let said =
        "warning: the collector at 192.0.2.1:4318 is not on this machine, and the run is offline: no spans are sent\n";
    ensure(done.err() == said && done.took < Duration::from_secs(5), done.err())?;
    // One on this machine gets them.
    let server = Server::start(|_| Reply::json(200, "{}"));
    let done = run(&temp, text, &["--offline"], &[("OTEL_EXPORTER_OTLP_ENDPOINT", &server.url())])?;
    ensure(done.code == Some(0) && server.requests().len() == 1, done.err())
}

/// A server repeats the key that it was sent, cut in two, and again in its error.
fn secrets() -> Outcome {
    let temp = TempDir::new()?;
    let model = ollama(&["the key is s3cr", "3t-value, ", "s3cr3t-value"]);
    let failing = Server::start(|_| Reply::json(400, r#"{"error":"bad key s3cr3t-value"}"#));
    let collector = Server::start(|_| Reply::json(200, "{}"));
    let text = format!(
        "secret KEY\nvar v: string\n\
         model m = ollama(\"m\", base_url: \"{}\", api_key: KEY)\n\
         model f = ollama(\"s3cr3t-value\", base_url: \"{}\", api_key: KEY, stop: [\"s3cr3t-value\"])\n\
         chain main = (\"ask {{{{ v }}}}\" | f | text) ?? (\"{{{{ v }}}}\" | m | text) as a | {{ a: {{{{ a }}}}, b: [\"{{{{ a }}}}\"] }}\n",
        model.url(),
        failing.url()
    )
    .replace("b: [\"{{ a }}\"]", "b: \"{{ v }}\"");
    let words = ["--var", "v=s3cr3t-value", "--events", "e", "--trace", "t", "--otlp", "o", "--callback", "tee c"];
    let url = collector.url();
    let env = [
        ("KEY", "s3cr3t-value"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url),
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true"),
    ];
    let done = run(&temp, &text, &words, &env)?;
    ensure(done.code == Some(0), done.err())?;
    ensure(done.out().contains("the key is [secret], [secret]"), done.out())?;
    let sent = collector.requests().iter().map(|seen| String::from_utf8_lossy(&seen.body).into_owned()).collect();
    let read = |name: &str| std::fs::read_to_string(temp.path().join(name));
    for (what, text) in [
        ("events", read("e")?),
        ("trace", read("t")?),
        ("file", read("o")?),
        ("callback", read("c")?),
        ("sent", sent),
        ("stderr", done.err()),
    ] {
        ensure(text.len() > 100, format!("{what} is empty"))?;
        ensure(!text.contains("s3cr"), format!("{what}: {text}"))?;
    }
    ensure(model.requests().len() == 1 && failing.requests().len() == 1, "both were asked")
}
