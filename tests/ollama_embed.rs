//! `ollama` as an embedder, and what is asked of the server before the first call.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/ollama.rs"]
mod ollama;
#[path = "support/server.rs"]
mod server;

use std::time::Duration;

use chainrun::event::EventKind;
use chainrun::providers::{ErrorKind, OptionValue};
use chainrun::value::{Image, Message, Request, RequestInput, Role, Secret, Tainted, Usage, Value};
use ollama::{DONE, NDJSON, Setup, piece, recorded, runtime, says};
use serde_json::json;
use server::{Reply, Seen, Server, dead_url};

fn minilm(url: &str) -> Setup {
    Setup { model: "all-minilm", ..Setup::at(url) }
}

/// A server that shows a model as recorded and answers the rest as told.
fn showing(show: &'static str, rest: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Server {
    Server::whole(move |seen| match seen.path.as_str() {
        "/api/show" => Reply::recorded(&recorded(show)),
        _ => rest(seen),
    })
}

fn paths(server: &Server) -> Vec<String> {
    server.requests().iter().map(|r| r.path.clone()).collect()
}

fn answers() -> Reply {
    Reply::stream(NDJSON).piece(piece("a")).piece(DONE).end()
}

#[test]
fn recorded_vectors_whole_and_byte_by_byte() {
    for drip in [false, true] {
        let server = showing("minilm_show", move |_| {
            let bytes = recorded("minilm_embed");
            if drip { Reply::recorded_drip(&bytes, Duration::ZERO) } else { Reply::recorded(&bytes) }
        });
        let made = minilm(&server.url()).embed(&["What is a potato?"]).unwrap();
        assert_eq!((made.vectors.len(), made.vectors[0].len()), (1, 384));
        assert_eq!(made.vectors[0][..2], [0.008_403_149, -0.017_730_573]);
        let length: f32 = made.vectors[0].iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-4, "{length}");
        assert_eq!(made.model, "all-minilm");
        assert_eq!(made.usage, Usage { input: Some(7), output: None, cached: None });
        assert_eq!(
            server.requests()[1].json(),
            json!({ "model": "all-minilm", "input": ["What is a potato?"], "truncate": false })
        );
    }
}

#[test]
fn options_of_embedders_on_the_wire() {
    let server = Server::always(Reply::json(200, "{\"embeddings\":[[1,0],[0,1]]}"));
    let setup = minilm(&server.url())
        .option("dimensions", Value::Int(2))
        .option("num_ctx", Value::Int(512))
        .option("keep_alive", Value::from("10m"))
        .option("options", Value::from_json(&json!({ "main_gpu": 0 })));
    assert_eq!(setup.embed(&["a", "b"]).unwrap().vectors, [[1.0, 0.0], [0.0, 1.0]]);
    assert_eq!(
        server.requests()[0].json(),
        json!({
            "model": "all-minilm", "input": ["a", "b"], "truncate": false, "dimensions": 2, "keep_alive": "10m",
            "options": { "num_ctx": 512, "main_gpu": 0 },
        })
    );
    let error = minilm(&server.url()).option("dimensions", Value::Int(5)).embed(&["a", "b"]).unwrap_err();
    assert!(error.message.contains("gives 2 dimensions, not 5"), "{error:?}");
}

#[test]
fn embeddings_that_cannot_be_had() {
    let ask = |name: &str| {
        let bytes = recorded(name);
        minilm(&Server::always(Reply::recorded(&bytes)).url()).embed(&["a potato", "b"]).unwrap_err()
    };
    let error = ask("minilm_err_embed_truncate_false");
    assert_eq!(error.kind, ErrorKind::Overflow);
    assert!(error.message.contains("8 characters and begins \"a potato\""), "{error:?}");
    assert!(error.help[0].contains("split(chars: 800)"), "{error:?}");
    let error = ask("embed");
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.help.iter().any(|h| h.contains("ollama pull all-minilm")), "{error:?}");
    let error = ask("err_no_model_embed");
    assert!(error.message.contains("404"), "{error:?}");
    let error = ask("embed_empty");
    assert_eq!(error.kind, ErrorKind::Broken);
    assert!(error.message.contains("0 vectors came for 2 texts"), "{error:?}");
    for body in
        ["{}", "{\"embeddings\":[[\"a\"],[1]]}", "{\"embeddings\":[[1,2],[1]]}", "nothing", "{\"embeddings\":[[],[]]}"]
    {
        let server = Server::always(Reply::json(200, body));
        assert_eq!(minilm(&server.url()).embed(&["a", "b"]).unwrap_err().kind, ErrorKind::Broken, "{body}");
    }
    assert_eq!(minilm(&dead_url()).embed(&["a"]).unwrap_err().kind, ErrorKind::Unreachable);
    let server = showing("show_template", |_| answers());
    let said = minilm(&server.url()).embed(&["a"]).unwrap_err();
    assert_eq!(said.kind, ErrorKind::Broken, "an old server makes vectors with any model: {said:?}");
}

#[test]
fn servers_before_embed_get_one_text_at_a_time() {
    let server = Server::start(|seen: &Seen| match seen.path.as_str() {
        "/api/embeddings" => Reply::recorded(&recorded("minilm_embeddings_deprecated")),
        _ => Reply::recorded(&recorded("err_404_route")),
    });
    let made = minilm(&server.url()).embed(&["a", "b"]).unwrap();
    assert_eq!((made.vectors.len(), made.vectors[0].len()), (2, 384));
    assert_eq!(paths(&server), ["/api/embed", "/api/embeddings", "/api/embeddings"]);
    assert_eq!(server.requests()[2].json(), json!({ "model": "all-minilm", "prompt": "b" }));
}

#[test]
fn an_embedder_is_known_by_the_models_digest() {
    let identity = |setup: &Setup| runtime(async { setup.embedder().unwrap().identity().await.unwrap() });
    let server = Server::always(Reply::recorded(&recorded("tags")));
    let known = identity(&Setup::at(&server.url()));
    assert!(known.contains("fd5f44c0b5aff6453726119fc560d73a8a995a55b4a49804bc24b1969ecf1794"), "{known}");
    assert_ne!(known, identity(&Setup::at(&server.url()).option("dimensions", Value::Int(64))));
    assert!(identity(&Setup::at(&dead_url())).contains("\"digest\":null"));
}

#[test]
fn a_model_is_asked_about_once() {
    let server = showing("show", |_| answers());
    let provider = Setup::at(&server.url()).build().unwrap();
    for _ in 0..2 {
        assert_eq!(Setup::at(&server.url()).ask(&says("Hi")).0.unwrap().text, "a");
    }
    assert_eq!(paths(&server), ["/api/show", "/api/chat", "/api/chat"]);
    drop(provider);
    // Another run may find another model under the name.
    Setup::at(&server.url()).ask(&says("Hi")).0.unwrap();
    assert_eq!(paths(&server).last().unwrap(), "/api/chat");
    assert_eq!(paths(&server)[3], "/api/show");
}

#[test]
fn what_a_model_cannot_do_is_said_before_the_call() {
    let server = showing("minilm_show", |_| answers());
    let error = minilm(&server.url()).error();
    assert!(error.message.contains("`all-minilm` completes no text: Ollama says it can do embedding"), "{error:?}");
    assert!(error.help[0].contains("embedder NAME = ollama(\"all-minilm\")"), "{error:?}");
    let server = showing("show", |_| answers());
    let error = Setup::at(&server.url()).option("think", Value::from("high")).error();
    assert!(error.message.contains("does not think"), "{error:?}");
    assert_eq!(paths(&server), ["/api/show"]);
    let fine = Setup::at(&server.url()).option("think", Value::Bool(false));
    assert_eq!(fine.ask(&says("Hi")).0.unwrap().text, "a");
    // A window that the model was not made for is told, not refused.
    let (answer, events) = Setup::at(&server.url()).option("num_ctx", Value::Int(9000)).ask(&says("Hi"));
    answer.unwrap();
    assert!(matches!(&events[0], EventKind::Notice { text } if text.contains("8192 tokens")), "{events:?}");
}

#[test]
fn control_tokens_of_the_models_own_template() {
    let with = |text: &str| {
        let tainted = vec![Tainted { name: "x".to_owned(), text: text.to_owned() }];
        let message = Message { tainted, ..Message::new(Role::User, text) };
        Request { input: RequestInput::Messages(vec![message]), constraint: None }
    };
    let server = showing("show", |_| answers());
    let ask = |text: &str| Setup::at(&server.url()).ask(&with(text)).0;
    assert_eq!(ask("[INST] is text to this model").unwrap().text, "a");
    let error = ask("<|im_end|>").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Prompt);
    assert!(error.message.contains("the model's own chat template"), "{error:?}");
    // A built-in renderer shows no tokens, so the usual ones count.
    let server = showing("show_renderer", |_| answers());
    let error = Setup::at(&server.url()).ask(&with("[INST]")).0.unwrap_err();
    assert!(error.message.contains("control token of chat templates"), "{error:?}");
}

#[test]
fn a_server_that_cannot_tell_is_asked_all_the_same() {
    for reply in [Reply::text(404, "404 page not found"), Reply::json(200, "[]"), Reply::text(500, "x")] {
        let server = Server::whole(move |seen| if seen.path == "/api/show" { reply.clone() } else { answers() });
        assert_eq!(Setup::at(&server.url()).ask(&says("Hi")).0.unwrap().text, "a");
    }
    let server = Server::whole(|seen| if seen.path == "/api/show" { Reply::default().cut() } else { answers() });
    assert_eq!(Setup::at(&server.url()).error().kind, ErrorKind::Unreachable);
    assert_eq!(paths(&server), ["/api/show"]);
}

#[test]
fn the_key_of_the_environment_goes_to_servers_that_the_person_named() {
    let server = Server::always(answers());
    let env = |more: Vec<(&'static str, String)>| [vec![("OLLAMA_API_KEY", " tuber-7 ".to_owned())], more].concat();
    let sent = |setup: Setup| {
        setup.ask(&says("Hi")).0.unwrap();
        server.requests().last().unwrap().header("authorization").map(str::to_owned)
    };
    let bearer = Some("Bearer tuber-7".to_owned());
    assert_eq!(sent(Setup { env: env(vec![]), ..Setup::at(&server.url()) }), bearer);
    let by_env = Setup { env: env(vec![("OLLAMA_HOST", server.url())]), options: Vec::new(), ..Setup::at("") };
    assert_eq!(sent(by_env), bearer);
    let given = OptionValue::Secret(Secret::new("own"));
    let own = Setup { env: env(vec![]), ..Setup::at(&server.url()).set("api_key", given) };
    assert_eq!(sent(own), Some("Bearer own".to_owned()));
    // A file's address on another machine, reached through our server as a proxy.
    let elsewhere = Setup { env: env(vec![("HTTP_PROXY", server.url())]), ..Setup::at("http://ollama.invalid:1") };
    assert_eq!(sent(elsewhere), None);
    let host = ("OLLAMA_HOST", "http://ollama.invalid:1".to_owned());
    let named = Setup { env: env(vec![("HTTP_PROXY", server.url()), host]), ..Setup::at("http://ollama.invalid:1") };
    assert_eq!(sent(named), bearer);
    let provider = Setup { env: env(vec![]), ..Setup::at(&server.url()) }.build().unwrap();
    assert_eq!(provider.secrets().len(), 1);
}

#[test]
fn a_gap_goes_to_generate_with_the_models_template() {
    let setup = || Setup::at("http://localhost:1").option("suffix", Value::from("return c"));
    let body = ollama::body_of(&setup(), &says("def add(a, b):"));
    assert_eq!(
        body,
        json!({
            "model": "smollm2", "prompt": "def add(a, b):", "suffix": "return c", "stream": true, "truncate": false,
            "shift": false,
        })
    );
    let error = setup().ask(&ollama::raw("def")).0.unwrap_err();
    assert!(error.message.contains("a raw prompt goes past"), "{error:?}");
    let two = vec![Message::new(Role::System, "a"), Message::new(Role::User, "b")];
    let error = setup().ask(&Request { input: RequestInput::Messages(two), constraint: None }).0.unwrap_err();
    assert!(error.message.contains("no conversation"), "{error:?}");
    let server = showing("show", |_| answers());
    let error = Setup::at(&server.url()).option("suffix", Value::from("x")).error();
    assert!(error.message.contains("fills no gap"), "{error:?}");
}

#[test]
fn pictures_go_to_models_that_see() {
    let image = Image { path: "a.png".to_owned(), media_type: "image/png", bytes: b"foob".to_vec().into() };
    let message = Message { images: vec![image], ..Message::new(Role::User, "What is it?") };
    let request = Request { input: RequestInput::Messages(vec![message]), constraint: None };
    let body = ollama::body_of(&Setup::at("http://localhost:1"), &request);
    assert_eq!(body["messages"], json!([{ "role": "user", "content": "What is it?", "images": ["Zm9vYg=="] }]));
    let server = showing("show", |_| answers());
    let error = Setup::at(&server.url()).ask(&request).0.unwrap_err();
    assert!(error.message.contains("sees no pictures, and the prompt shows `a.png`"), "{error:?}");
    assert_eq!(paths(&server), ["/api/show"]);
}

#[test]
fn recorded_likelihoods_are_events() {
    let server = Server::always(Reply::recorded(&recorded("chat_logprobs")));
    let setup = Setup::at(&server.url()).option("logprobs", Value::Bool(true)).option("top_logprobs", Value::Int(3));
    let (answer, events) = setup.ask(&says("Hi"));
    assert_eq!(answer.unwrap().text, "The term \"pot");
    let tokens = events.iter().find_map(|e| if let EventKind::Logprobs { tokens } = e { Some(tokens) } else { None });
    let first = &tokens.unwrap()[0];
    assert_eq!((first["token"].as_str(), first["top_logprobs"][1]["token"].as_str()), (Some("The"), Some("A")));
    assert!(first.get("bytes").is_none() && first["logprob"].as_f64().unwrap() < 0.0);
    let sent = server.requests()[0].json();
    assert_eq!((&sent["logprobs"], &sent["top_logprobs"]), (&json!(true), &json!(3)));
    let error = Setup::at(&server.url()).option("top_logprobs", Value::Int(3)).error();
    assert!(error.message.contains("does nothing without `logprobs`"), "{error:?}");
}
