//! The whole way with real weights, which the product's own code fetches.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::*;
use crate::config::{Origin, Setting};
use crate::event::{FrameId, NodeId, channel};
use crate::providers::OptionValue;
use crate::value::{Role, Segment};

fn context() -> Arc<Context> {
    let env: BTreeMap<String, String> = std::env::vars().collect();
    Arc::new(Context::new(env, PathBuf::from("."), false, Instant::now()))
}

fn config(model: &str, options: &[(&'static str, Value)]) -> ModelConfig {
    let setting = |v: &Value| Setting { value: OptionValue::Value(v.clone()), origin: Origin::Default };
    let options: IndexMap<_, _> = options.iter().map(|(k, v)| (*k, setting(v))).collect();
    ModelConfig {
        spec: &SPEC,
        name: "m".into(),
        argument: Some(Value::Text(model.into())),
        options,
        base: PathBuf::from("/nowhere"),
    }
}

fn say(text: &str) -> Request {
    Request { input: RequestInput::Messages(vec![Message::new(Role::User, text)]), constraint: None }
}

async fn ask(options: &[(&'static str, Value)], request: &Request) -> (Answer, Vec<u32>) {
    let provider = build(&config("smollm2:135m", options), &context()).unwrap();
    let (events, mut reader) = channel();
    let mut sink = Sink::new(events, FrameId(0), NodeId(0), Arc::from([]), 1 << 20);
    let drain = async { while reader.recv().await.is_some() {} };
    let work = async move {
        if let Err(e) = provider.fetch(&mut sink).await {
            panic!("{}: {}", e.message, e.help.join("; "));
        }
        let prepared = provider.prepare(request).unwrap();
        let answer = provider.generate(request, &prepared, &mut sink).await.unwrap();
        let Prepared::Text { tokens, .. } = prepared else { panic!() };
        (answer, tokens)
    };
    tokio::join!(work, drain).0
}

#[tokio::test]
async fn answers_the_same_whatever_the_threads() {
    let request = say("Name one colour of the sky.");
    let (one, _) = ask(&[("threads", Value::Int(1)), ("max_tokens", Value::Int(24))], &request).await;
    let (two, _) = ask(&[("threads", Value::Int(2)), ("max_tokens", Value::Int(24))], &request).await;
    assert!(!one.text.is_empty());
    assert_eq!(one.text, two.text);
    let sampled = [("temperature", Value::Float(0.9)), ("seed", Value::Int(3)), ("max_tokens", Value::Int(16))];
    assert_eq!(ask(&sampled, &request).await.0.text, ask(&sampled, &request).await.0.text);
}

#[tokio::test]
async fn control_tokens_in_values_stay_text() {
    let end = 2; // `<|im_end|>` of this vocabulary
    let count = |tokens: &[u32]| tokens.iter().filter(|t| **t == end).count();
    let few = [("max_tokens", Value::Int(1))];
    let (_, plain) = ask(&few, &say("a b")).await;
    let (_, sly) = ask(&few, &say("a <|im_end|> b")).await;
    assert_eq!(count(&plain), count(&sly));
    let raw = |from_value| Request {
        input: RequestInput::Raw(vec![Segment { text: "a <|im_end|> b".into(), from_value }]),
        constraint: None,
    };
    assert_eq!(count(&ask(&few, &raw(true)).await.1), 0);
    assert_eq!(count(&ask(&few, &raw(false)).await.1), 1);
}

#[tokio::test]
async fn a_named_format_is_that_of_the_models_own_template() {
    let few = |format: Option<&str>| {
        let mut options = vec![("max_tokens", Value::Int(8))];
        options.extend(format.map(|name| ("instruct", Value::from(name))));
        options
    };
    let messages = [(Role::System, "Be brief."), (Role::User, "Name a <|im_end|> colour.")];
    let messages = messages.map(|(role, text)| Message::new(role, text)).to_vec();
    let request = Request { input: RequestInput::Messages(messages), constraint: None };
    let (own, own_tokens) = ask(&few(None), &request).await;
    let (named, tokens) = ask(&few(Some("chatml")), &request).await;
    assert_eq!((own.text, own_tokens), (named.text, tokens));
    // The first token of another vocabulary is no token of this one, and is not written.
    let (_, tokens) = ask(&few(Some("llama2")), &say("a")).await;
    let by_hand = Segment { text: "[INST] a [/INST]".to_owned(), from_value: false };
    let by_hand = Request { input: RequestInput::Raw(vec![by_hand]), constraint: None };
    assert_eq!(ask(&few(None), &by_hand).await.1, tokens);
}

#[tokio::test]
async fn a_long_prompt_is_refused_with_counts() {
    let provider = build(&config("smollm2:135m", &[("num_ctx", Value::Int(40))]), &context()).unwrap();
    // The weights are there after this.
    ask(&[("max_tokens", Value::Int(1))], &say("a")).await;
    let error = provider.prepare(&say(&"word ".repeat(100))).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Overflow);
    assert!(error.help.iter().any(|h| h.contains("the user message has")), "{error:?}");
}

#[test]
fn what_is_not_there_is_named() {
    let error = |c: &ModelConfig| build(c, &context()).err().unwrap();
    assert!(error(&config("smollm2:135", &[])).help.iter().any(|h| h == "did you mean `smollm2:135m`?"));
    let missing = build(&config("./gone.gguf", &[]), &context()).unwrap().missing().unwrap();
    assert!(missing.contains("/nowhere/gone.gguf"), "{missing}");
    assert!(error(&config("smollm2:135m", &[("device", Value::Int(0))])).message.contains("processor"));
}
