//! `openai` as an embedder: recorded vectors, order, encodings, and servers that have none.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/ollama.rs"]
mod call;
#[path = "support/server.rs"]
mod server;

use std::time::Duration;

use call::{Setup, runtime};
use chainrun::providers::{ErrorKind, ProviderError};
use chainrun::value::{Usage, Value, base64};
use serde_json::{Value as Json, json};
use server::{Reply, Server, dead_url};

/// Recordings: the texts, the first number of each vector, the tokens of all texts.
const RECORDED: &[(&str, &[&str], &[f32], u64)] = &[
    ("ls_embeddings", &["potato", "carrot"], &[-0.015_047_765, -0.009_566_351], 4),
    ("ls_embeddings_base64", &["potato"], &[-0.015_047_765], 2),
    ("ollama032_minilm_v1_embeddings", &["a", "b"], &[-0.036_386_505, -0.036_877_69], 6),
];

fn recorded(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/wire/{name}.http", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn at(url: &str) -> Setup {
    Setup { provider: Some("openai"), ..Setup::at(url) }
}

fn llama_server(url: &str) -> Setup {
    at(url).option("dialect", Value::from("llama-server"))
}

fn error(reply: Reply, texts: &[&str]) -> ProviderError {
    llama_server(&Server::always(reply).url()).embed(texts).unwrap_err()
}

#[test]
fn recorded_vectors_whole_and_byte_by_byte() {
    for (name, texts, first, tokens) in RECORDED {
        for drip in [false, true] {
            let bytes = recorded(name);
            let reply = if drip { Reply::recorded_drip(&bytes, Duration::ZERO) } else { Reply::recorded(&bytes) };
            let made = at(&Server::always(reply).url()).embed(texts).unwrap();
            assert_eq!(made.vectors.len(), texts.len(), "{name}");
            for (vector, first) in made.vectors.iter().zip(*first) {
                assert_eq!(&vector[0], first, "{name}");
                let length: f32 = vector.iter().map(|x| x * x).sum();
                assert!((length - 1.0).abs() < 1e-3, "{name}: {length}");
            }
            assert_eq!(made.usage, Usage { input: Some(*tokens), output: None, cached: None }, "{name}");
        }
    }
}

#[test]
fn what_is_sent() {
    let server = Server::always(Reply::json(200, "{\"data\":[{\"embedding\":[1,0]},{\"embedding\":[0,1]}]}"));
    let setup = at(&server.url())
        .option("dimensions", Value::Int(2))
        .option("encoding_format", Value::from("base64"))
        .option("options", Value::from_json(&json!({ "user": "tuber" })));
    let made = setup.embed(&["a", "b"]).unwrap();
    assert_eq!((made.vectors, made.model.as_str()), (vec![vec![1.0, 0.0], vec![0.0, 1.0]], "smollm2"));
    at(&format!("{}/v1/embeddings", server.url())).embed(&["a", "b"]).unwrap();
    let requests = server.requests();
    assert_eq!(requests[0].path, "/v1/embeddings");
    let sent = json!({
        "model": "smollm2", "input": ["a", "b"], "dimensions": 2, "encoding_format": "base64", "user": "tuber",
    });
    assert_eq!(requests[0].json(), sent);
    assert_eq!(requests[1].path, "/v1/embeddings");
    assert_eq!(requests[1].json(), json!({ "model": "smollm2", "input": ["a", "b"] }));
    let refused = at(&server.url()).option("dimensions", Value::Int(5)).embed(&["a", "b"]).unwrap_err();
    assert!(refused.message.contains("gives 2 dimensions, not 5"), "{refused:?}");
    let inside = at(&server.url()).option("options", Value::from_json(&json!({ "input": "x" })));
    assert!(inside.embedder().err().unwrap().message.contains("`input` has no place inside `options`"));
}

#[test]
fn vectors_stand_in_the_order_of_their_texts() {
    let coded = |x: f32| base64(&[x.to_le_bytes(), 2f32.to_le_bytes()].concat());
    let row = |index: u64, vector: Json| json!({ "object": "embedding", "index": index, "embedding": vector });
    let body = json!({ "data": [row(2, json!(coded(20.0))), row(0, json!([0.5, 2])), row(1, json!(coded(1.5)))] });
    let server = Server::always(Reply::json(200, &body.to_string()));
    let made = at(&server.url()).embed(&["a", "b", "c"]).unwrap();
    assert_eq!(made.vectors, [[0.5, 2.0], [1.5, 2.0], [20.0, 2.0]]);
    for body in [
        json!({ "data": [row(0, json!([1])), row(0, json!([1]))] }),
        json!({ "data": [row(0, json!([1])), row(2, json!([1]))] }),
        json!({ "data": [row(0, json!([1]))] }),
        json!({ "data": [row(0, json!([1])), row(1, json!([1, 2]))] }),
        json!({ "data": [row(0, json!("AAAA")), row(1, json!([1]))] }),
        json!({ "data": [row(0, json!("potato!!")), row(1, json!([1]))] }),
        json!({ "data": [row(0, json!(["1"])), row(1, json!([1]))] }),
        json!({ "data": [row(0, json!([])), row(1, json!([]))] }),
        json!({ "data": [row(0, Json::Null), row(1, json!([1]))] }),
        json!({ "data": [null, null] }),
        json!({ "data": null }),
        json!([]),
    ] {
        let seen = error(Reply::json(200, &body.to_string()), &["a", "b"]);
        assert_eq!(seen.kind, ErrorKind::Broken, "{body}: {seen:?}");
    }
    assert_eq!(error(Reply::text(200, "<html>"), &["a"]).kind, ErrorKind::Broken);
    assert_eq!(error(Reply::json(200, "{\"error\":{\"message\":\"no\"}}"), &["a"]).kind, ErrorKind::Refused);
}

#[test]
fn vectors_of_tokens_are_refused_by_name() {
    let body = json!({ "data": [{ "index": 0, "embedding": [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]] }] });
    let seen = error(Reply::json(200, &body.to_string()), &["a"]);
    assert_eq!(seen.kind, ErrorKind::Refused);
    assert!(seen.message.contains("`[[…]]`: 3 vectors, one for each token"), "{seen:?}");
    assert!(seen.help[0].contains("--pooling mean"), "{seen:?}");
}

#[test]
fn servers_without_embeddings_and_texts_that_do_not_fit() {
    let ask = |name: &str| error(Reply::recorded(&recorded(name)), &["a potato", "b"]);
    let seen = ask("ls_embeddings_not_enabled");
    assert_eq!(seen.kind, ErrorKind::Refused);
    assert!(seen.message.contains("does not support embeddings") && seen.help[0].contains("--embeddings"), "{seen:?}");
    let seen = ask("ls_embeddings_too_long");
    assert_eq!(seen.kind, ErrorKind::Overflow);
    assert!(
        seen.message.contains("8 characters and begins \"a potato\"; ") && seen.message.contains("3001"),
        "{seen:?}"
    );
    let seen = ask("xl_embeddings_unpooled");
    assert_eq!(seen.kind, ErrorKind::Refused);
    assert!(seen.message.contains("Pooling type 'none'") && seen.help[0].contains("--pooling mean"), "{seen:?}");
    for name in ["vllm_err_embeddings", "tgi_embed_missing"] {
        let seen = ask(name);
        assert_eq!(seen.kind, ErrorKind::Refused);
        assert!(seen.message.contains("does not know the address (404)"), "{seen:?}");
        assert!(seen.help.iter().any(|line| line.contains("an embedding model")), "{seen:?}");
    }
    assert_eq!(at(&dead_url()).embed(&["a"]).unwrap_err().kind, ErrorKind::Unreachable);
    assert_eq!(error(Reply::text(503, "later"), &["a"]).kind, ErrorKind::Busy);
    for (dialect, said) in [("ollama", "cuts a text that does not fit"), ("gpt4all", "has no embeddings")] {
        let refused = at("http://127.0.0.1:1").option("dialect", Value::from(dialect)).embedder().err().unwrap();
        assert!(refused.message.contains(said) && !refused.help.is_empty(), "{refused:?}");
    }
}

#[test]
fn keys_and_identities() {
    let none = Setup { provider: Some("openai"), model: "text-embedding-3-small", ..Setup::default() };
    assert!(none.embedder().unwrap().missing().unwrap().contains("OPENAI_API_KEY"));
    assert!(none.embed(&["a"]).unwrap_err().message.contains("OPENAI_API_KEY"));
    let known = |setup: &Setup| runtime(async { setup.embedder().unwrap().identity().await.unwrap() });
    let with = Setup { env: vec![("OPENAI_API_KEY", "s3cr3t".to_owned())], ..none };
    assert_eq!(with.embedder().unwrap().secrets().len(), 1);
    let identity = known(&with);
    assert!(identity.contains("api.openai.com") && !identity.contains("s3cr3t"), "{identity}");
    assert_ne!(identity, known(&with.option("dimensions", Value::Int(64))));
    assert_ne!(known(&at("http://127.0.0.1:1")), known(&at("http://127.0.0.1:2")));
    let far = Setup { offline: true, ..at("http://embed.example:1") };
    assert_eq!(far.embed(&["a"]).unwrap_err().kind, ErrorKind::Refused);
}
