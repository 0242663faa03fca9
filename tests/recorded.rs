//! Every recorded answer of a real server has an expectation, and gives what it says wherever it is split. The answers of
//! chats and completions are read beside the code; here are the others, through sockets: refusals, vectors, lists of models,
//! and answers to calls that chainrun never makes, as a wrong address gives them.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/ollama.rs"]
mod call;
#[path = "support/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use call::{Setup, raw, runtime, says};
use chainrun::config::Context;
use chainrun::providers::ollama::library::Library;
use chainrun::providers::{Embeddings, ProviderError};
use chainrun::value::{Answer, Value};
use serde_json::{Map, Value as Json, json};
use server::{Reply, Seen, Server};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/wire");
/// The files of expectations; those of `openai` and `tgi` are read in other tests.
const FILES: &[&str] = &["ollama", "openai", "tgi", "other"];
/// Longer recordings are bodies that are read whole before anything is made of them: those are split at every so many
/// bytes, and dripped byte by byte.
const SHORT: usize = 700;

fn expected(file: &str) -> Map<String, Json> {
    serde_json::from_str(&std::fs::read_to_string(format!("{FOLDER}/{file}.expected.json")).unwrap()).unwrap()
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(format!("{FOLDER}/{name}.http")).unwrap()
}

#[test]
fn no_recording_is_left_out() {
    let mut places: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for entry in std::fs::read_dir(FOLDER).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(name) = name.strip_suffix(".http") {
            places.insert(name.to_owned(), Vec::new());
        }
    }
    for file in FILES {
        for name in expected(file).keys() {
            places.get_mut(name).unwrap_or_else(|| panic!("{file}: no recording {name}")).push(file);
        }
    }
    for (name, files) in &places {
        assert_eq!(files.len(), 1, "{name} has expectations in {files:?}");
    }
    // Past the harness, which keeps the output of tests that pass.
    writeln!(std::io::stderr(), "{} recordings, each with an expectation", places.len()).unwrap();
    assert!(places.len() >= 310, "{}", places.len());
}

/// A server that answers with a recording, split where the model's address says.
fn player() -> Server {
    Server::whole(|seen: &Seen| {
        let mut parts = seen.path.trim_start_matches('/').split('/');
        let (name, at) = (parts.next().unwrap().to_owned(), parts.next().unwrap_or_default().to_owned());
        let rest: Vec<&str> = parts.collect();
        // Only what was asked for is answered with the recording: not what is asked beside it.
        let aside = rest == ["api", "show"] && !name.contains("show") && !name.contains("bad_name");
        if aside
            || (rest == ["api", "tags"]
                && !name.contains("tags")
                && !name.contains("cors")
                && !name.contains("host_header"))
        {
            return Reply::text(404, "404 page not found");
        }
        let old_way = name.contains("embeddings_deprecated") && rest == ["api", "embed"];
        if old_way {
            return Reply::text(404, "404 page not found");
        }
        let bytes = bytes(&name);
        match at.parse::<usize>() {
            Ok(at) => Reply::head("").piece(&bytes[..at]).piece(&bytes[at..]).cut(),
            Err(_) => Reply::recorded_drip(&bytes, Duration::ZERO),
        }
    })
}

/// The call that got the recording, made again; what it gives, in the form of the expectations.
fn again(by: &str, base: &str, count: usize) -> Json {
    let texts = vec!["a potato"; count];
    let ollama = || Setup::at(base);
    let openai = || Setup { provider: Some("openai"), ..Setup::at(&format!("{base}/v1")) };
    let endpoint =
        || Setup { provider: Some("hf-endpoint"), ..Setup::default() }.option("endpoint_url", Value::from(base));
    let library = || Library::new(Some(base.to_owned()), &context());
    match by {
        "chat" | "ollama stray" => answered(ollama().ask(&says("Hi")).0),
        "generate" => answered(ollama().ask(&raw("Hi")).0),
        "openai stray" => answered(openai().ask(&says("Hi")).0),
        "hf-endpoint stray" => answered(endpoint().ask(&raw("Hi")).0),
        "ollama embed" | "ollama embeddings" => embedded(ollama().embed(&texts)),
        "openai embed" => embedded(openai().embed(&texts)),
        "hf embed" => embedded(endpoint().embed(&texts)),
        "ollama tags" => runtime(async { library().tags().await })
            .map_or_else(failed, |tags| json!({ "names": tags.iter().map(|t| t.name.clone()).collect::<Vec<_>>() })),
        "ollama ps" => runtime(async { library().loaded().await })
            .map_or_else(failed, |all| json!({ "names": all.iter().map(|m| m.name.clone()).collect::<Vec<_>>() })),
        "ollama show" => runtime(async { library().about("smollm2").await })
            .map_or_else(failed, |about| json!({ "capabilities": about.capabilities, "template": about.template })),
        "ollama delete" => runtime(async { library().remove("smollm2").await }).map_or_else(failed, |()| json!({})),
        "ollama pull" => {
            runtime(async { library().pull("smollm2", &mut |_| {}).await }).map_or_else(failed, |()| json!({}))
        }
        other => panic!("{other}"),
    }
}

fn context() -> Arc<Context> {
    Arc::new(Context::new(BTreeMap::new(), "/".into(), false, Instant::now()))
}

fn failed(error: ProviderError) -> Json {
    assert!(error.help.iter().all(|line| !line.is_empty()), "{error:?}");
    json!({ "error": format!("{:?}", error.kind), "message": error.message })
}

fn answered(result: Result<Answer, ProviderError>) -> Json {
    result.map_or_else(failed, |answer| json!({ "text": answer.text, "finish": answer.finish.name() }))
}

fn embedded(result: Result<Embeddings, ProviderError>) -> Json {
    result.map_or_else(failed, |made| {
        let first = made.vectors.first();
        json!({
            "vectors": [made.vectors.len(), first.map_or(0, Vec::len)],
            "first": first.map(|vector| vector[0]),
            "usage": made.usage.input,
        })
    })
}

fn fits(seen: &Json, wanted: &Json) -> bool {
    match wanted.get("error") {
        None => wanted.as_object().unwrap().iter().all(|(key, value)| same(&seen[key], value)),
        Some(kind) => {
            let part = wanted["message"].as_str().unwrap();
            &seen["error"] == kind && seen["message"].as_str().is_some_and(|m| m.contains(part))
        }
    }
}

/// Equal, where numbers may differ in what single precision does not hold.
fn same(seen: &Json, wanted: &Json) -> bool {
    match (seen.as_f64(), wanted.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() <= b.abs() * 1e-6,
        _ => seen == wanted,
    }
}

/// Plays recordings again, whole, byte by byte and in two pieces at every place.
fn play(all: &[(String, Json)]) -> Vec<String> {
    let server = player();
    let mut wrong = Vec::new();
    for (name, wanted) in all {
        let length = bytes(name).len();
        let step = if length <= SHORT { 1 } else { length / 40 };
        let splits = (0..=length).step_by(step).map(|at| at.to_string()).chain(["drip".to_owned()]);
        let count = wanted["gives"]["vectors"][0].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
        for at in splits {
            let seen = again(wanted["by"].as_str().unwrap(), &format!("{}/{name}/{at}", server.url()), count);
            if !fits(&seen, &wanted["gives"]) {
                wrong.push(format!("{name}, split at {at}: {seen} is not {}", wanted["gives"]));
                break;
            }
        }
    }
    wrong
}

#[test]
fn every_other_answer_at_every_split() {
    let refusals = expected("ollama").into_iter().filter(|(_, wanted)| wanted["status"] != 200);
    let all: Vec<(String, Json)> = refusals.chain(expected("other")).collect();
    assert!(all.len() >= 135, "{}", all.len());
    let (even, odd): (Vec<_>, Vec<_>) = all.into_iter().enumerate().partition(|(at, _)| at % 2 == 0);
    let half = |part: Vec<(usize, (String, Json))>| part.into_iter().map(|(_, one)| one).collect::<Vec<_>>();
    let (even, odd) = (half(even), half(odd));
    let wrong = std::thread::scope(|scope| {
        let other = scope.spawn(|| play(&odd));
        [play(&even), other.join().unwrap()].concat()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
