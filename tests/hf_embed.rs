//! `hf-endpoint` as an embedder: what it sends to the router and to endpoints, the forms in which vectors come, and servers
//! that have none.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/ollama.rs"]
mod call;
#[path = "support/server.rs"]
mod server;

use std::sync::atomic::{AtomicUsize, Ordering};

use call::{Setup, runtime};
use chainrun::providers::{ErrorKind, OptionValue, ProviderError};
use chainrun::value::{Secret, Usage, Value};
use serde_json::{Value as Json, json};
use server::{Reply, Server, dead_url};

const MODEL: &str = "intfloat/multilingual-e5-large";

fn router() -> Setup {
    Setup { provider: Some("hf-endpoint"), model: MODEL, ..Setup::default() }
}

fn at(url: &str) -> Setup {
    Setup { model: "", ..router() }.option("endpoint_url", Value::from(url))
}

fn refused(setup: &Setup) -> ProviderError {
    setup.embedder().err().unwrap()
}

/// What an endpoint's answer is taken for.
fn taken(body: &str, texts: &[&str]) -> Result<Vec<Vec<f32>>, ProviderError> {
    at(&Server::always(Reply::json(200, body)).url()).embed(texts).map(|made| made.vectors)
}

/// What other clients send for the same texts; that nothing is cut is all that is added to it.
#[test]
fn as_other_clients_send_texts() {
    for (name, behind_router) in
        [("langchain-huggingface__embed", true), ("huggingface_hub__endpoint_feature_extraction", false)]
    {
        let path = format!("{}/tests/data/wire/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let theirs: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let inputs = &theirs["body"]["inputs"];
        let texts: Vec<&str> = match inputs {
            Json::Array(texts) => texts.iter().map(|t| t.as_str().unwrap()).collect(),
            text => vec![text.as_str().unwrap()],
        };
        let server = Server::always(Reply::json(200, &json!(vec![[0.6, 0.8]; texts.len()]).to_string()));
        let setup = match behind_router {
            true => Setup { env: vec![("HF_INFERENCE_ENDPOINT", server.url())], ..router() },
            false => at(&format!("{}{}", server.url(), theirs["path"].as_str().unwrap())),
        };
        assert_eq!(setup.embed(&texts).unwrap().vectors.len(), texts.len());
        let ours = server.requests().remove(0);
        assert_eq!((ours.method.as_str(), ours.path.as_str()), ("POST", theirs["path"].as_str().unwrap()), "{name}");
        assert_eq!(ours.json(), json!({ "inputs": texts, "truncate": false }), "{name}");
    }
}

#[test]
fn what_goes_to_the_router() {
    let server = Server::always(Reply::new(
        200,
        &[("Content-Type", "application/json"), ("X-Compute-Tokens", "6")],
        "[[0.6,0.8],[1.0,0.0]]",
    ));
    let env = vec![("HF_INFERENCE_ENDPOINT", server.url()), ("HF_TOKEN", "hf_environment".to_owned())];
    let setup = Setup { env, ..router() }
        .set("api_key", OptionValue::Secret(Secret::new("hf_s3cr3t")))
        .option("bill_to", Value::from("us"))
        .option("prompt_name", Value::from("query"))
        .option("options", Value::from_json(&json!({ "dimensions": 2 })));
    let made = setup.embed(&["a", "b"]).unwrap();
    assert_eq!(made.vectors, [[0.6, 0.8], [1.0, 0.0]]);
    assert_eq!((made.model.as_str(), made.usage), (MODEL, Usage { input: Some(6), output: None, cached: None }));
    let seen = &server.requests()[0];
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("POST", "/hf-inference/models/intfloat/multilingual-e5-large/pipeline/feature-extraction")
    );
    assert_eq!((seen.header("authorization"), seen.header("x-hf-bill-to")), (Some("Bearer hf_s3cr3t"), Some("us")));
    let sent = json!({ "inputs": ["a", "b"], "truncate": false, "prompt_name": "query", "dimensions": 2 });
    assert_eq!(seen.json(), sent);
}

#[test]
fn an_endpoint_gets_them_at_the_address_as_it_is() {
    let server = Server::always(Reply::json(200, "[[1,0]]"));
    for (suffix, path) in [("", "/"), ("/", "/"), ("/embed", "/embed"), ("/x/feature", "/x/feature")] {
        at(&format!("{}{suffix}", server.url())).embed(&["a"]).unwrap();
        let seen = server.requests().pop().unwrap();
        assert_eq!((seen.path.as_str(), seen.header("authorization")), (path, None));
        assert_eq!(seen.json(), json!({ "inputs": ["a"], "truncate": false }));
    }
    let error = refused(&at("http://127.0.0.1:8080/v1"));
    assert!(error.help[0].contains("`openai(\"MODEL\", base_url: …)`"), "{error:?}");
}

#[test]
fn the_forms_in_which_vectors_come() {
    assert_eq!(taken("[[0.5,1],[2,3]]", &["a", "b"]).unwrap(), [[0.5, 1.0], [2.0, 3.0]]);
    assert_eq!(taken("[0.5,1]", &["a"]).unwrap(), [[0.5, 1.0]]);
    let tokens = "[[[1,2],[3,4]],[[5,6]]]";
    let error = taken(tokens, &["a", "b"]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.message.contains("2 vectors for a text, one for each of its tokens"), "{error:?}");
    assert!(error.help[0].contains("`pooling: \"mean\"`"), "{error:?}");
    let pooled = |body: &str, texts: &[&str]| {
        let server = Server::always(Reply::json(200, body));
        at(&server.url()).option("pooling", Value::from("mean")).embed(texts).map(|made| made.vectors)
    };
    assert_eq!(pooled(tokens, &["a", "b"]).unwrap(), [[2.0, 3.0], [5.0, 6.0]]);
    assert_eq!(pooled("[[1,2],[3,4],[5,6]]", &["a"]).unwrap(), [[3.0, 4.0]]);
    assert_eq!(pooled("[[1,2]]", &["a"]).unwrap(), [[1.0, 2.0]]);
    assert_eq!(pooled("[[[1,2],[3]]]", &["a"]).unwrap_err().kind, ErrorKind::Broken);
    for body in
        ["{}", "[]", "nothing", "[[1,2]]", "[[1,2],[3]]", "[[1,\"x\"],[3,4]]", "[[],[]]", "[1,2]", "[null,null]"]
    {
        assert_eq!(taken(body, &["a", "b"]).unwrap_err().kind, ErrorKind::Broken, "{body}");
    }
    let error = taken("{\"error\":\"Model is overloaded\"}", &["a"]).unwrap_err();
    assert!(error.kind == ErrorKind::Refused && error.message.contains("Model is overloaded"), "{error:?}");
}

#[test]
fn what_servers_refuse() {
    let error = |status: u16, body: &str| {
        let server = Server::always(Reply::json(status, body));
        at(&server.url()).embed(&["a potato", "b"]).unwrap_err()
    };
    let long = "{\"error\":\"Input validation error: `inputs` must have less than 512 tokens. Given: 600\",\
                \"error_type\":\"Validation\"}";
    let seen = error(413, long);
    assert_eq!(seen.kind, ErrorKind::Overflow);
    assert!(seen.message.contains("8 characters and begins \"a potato\""), "{seen:?}");
    assert!(seen.message.contains("Given: 600") && seen.help[0].contains("split(chars: 800)"), "{seen:?}");
    let many = "{\"error\":\"batch size 64 > maximum allowed batch size 32\",\"error_type\":\"Validation\"}";
    let seen = error(422, many);
    assert!(seen.help.iter().any(|h| h.contains("`batch: 16`")), "{seen:?}");
    let recorded = std::fs::read(format!("{}/tests/data/wire/tgi_embed_missing.http", env!("CARGO_MANIFEST_DIR")));
    let server = Server::always(Reply::recorded(&recorded.unwrap()));
    let seen = at(&server.url()).embed(&["a"]).unwrap_err();
    assert!(seen.help.iter().any(|h| h.contains("Text Embeddings Inference")), "{seen:?}");
    assert_eq!(error(429, "{\"error\":\"Model is overloaded\"}").kind, ErrorKind::Busy);
    assert_eq!(at(&dead_url()).embed(&["a"]).unwrap_err().kind, ErrorKind::Unreachable);
    let loading = "{\"error\":\"Model is currently loading\",\"estimated_time\":0.05}";
    let calls = AtomicUsize::new(0);
    let server = Server::start(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::json(503, loading),
        _ => Reply::json(200, "[[1,0]]"),
    });
    assert_eq!(at(&server.url()).embed(&["a"]).unwrap().vectors, [[1.0, 0.0]]);
}

#[test]
fn what_makes_no_embedder() {
    assert!(refused(&Setup { model: "", ..router() }).message.contains("needs"), "no repository");
    let error = refused(&Setup { model: "intfloat/e5:groq", ..router() });
    assert!(error.help[0].contains("`hf-endpoint(\"intfloat/e5\")`"), "{error:?}");
    for model in ["a/b?x", "a/b#x", "a/b%2e"] {
        assert!(refused(&Setup { model, ..router() }).message.contains("no repository"), "{model}");
    }
    let inside = router().option("options", Value::from_json(&json!({ "truncate": true })));
    assert!(refused(&inside).message.contains("`truncate` has no place inside `options`"));
    let embedder = router().embedder().unwrap();
    assert!(embedder.missing().unwrap().contains("HF_TOKEN"), "the router wants a token");
    let offline = Setup { offline: true, ..router() }.embed(&["a"]).unwrap_err();
    assert!(offline.message.contains("the run is offline"), "{offline:?}");
}

#[test]
fn known_by_all_that_changes_vectors_and_by_no_secret() {
    let identity = |setup: &Setup| runtime(async { setup.embedder().unwrap().identity().await.unwrap() });
    let plain = identity(&router());
    assert!(plain.contains(MODEL) && plain.contains("router.huggingface.co"), "{plain}");
    assert_eq!(plain, identity(&router().set("api_key", OptionValue::Secret(Secret::new("hf_s3cr3t")))));
    assert_eq!(plain, identity(&router().option("batch", Value::Int(2))));
    let others = [
        router().option("prompt_name", Value::from("query")),
        router().option("pooling", Value::from("mean")),
        router().option("options", Value::from_json(&json!({ "dimensions": 2 }))),
        at("http://127.0.0.1:1"),
        Setup { model: "intfloat/e5", ..router() },
    ];
    for other in &others {
        assert_ne!(plain, identity(other));
    }
}
