//! The whole way with real weights, which the product's own code fetches.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::*;
use crate::config::{Origin, Setting};
use crate::event::{EventKind, FrameId, NodeId, channel};
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
    let (answer, tokens, _) = ask_and_hear(options, request).await;
    (answer, tokens)
}

/// The answer, the prompt's tokens, and what was told of how likely tokens were.
async fn ask_and_hear(
    options: &[(&'static str, Value)],
    request: &Request,
) -> (Answer, Vec<u32>, Vec<serde_json::Value>) {
    let provider = build(&config("smollm2:135m", options), &context()).unwrap();
    let (events, mut reader) = channel();
    let mut sink = Sink::new(events, FrameId(0), NodeId(0), Arc::from([]), 1 << 20);
    let drain = async {
        let mut likely = Vec::new();
        while let Some(event) = reader.recv().await {
            if let EventKind::Logprobs { tokens } = event.kind {
                likely.extend(tokens.as_array().unwrap().clone());
            }
        }
        likely
    };
    let work = async move {
        if let Err(e) = provider.fetch(&mut sink).await {
            panic!("{}: {}", e.message, e.help.join("; "));
        }
        let prepared = provider.prepare(request).unwrap();
        let answer = provider.generate(request, &prepared, &mut sink).await.unwrap();
        let Prepared::Text { tokens, .. } = prepared else { panic!() };
        (answer, tokens)
    };
    let ((answer, tokens), likely) = tokio::join!(work, drain);
    (answer, tokens, likely)
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

fn held(text: &str, constraint: Constraint) -> Request {
    Request { constraint: Some(constraint), ..say(text) }
}

#[tokio::test]
async fn answers_obey_however_hot() {
    let schema = serde_json::json!({
        "type": "object",
        "properties": {
            "colours": { "type": "array", "items": { "type": "string", "enum": ["red", "green", "blue"] }, "maxItems": 2 },
            "sure": { "type": "boolean" },
        },
        "required": ["colours", "sure"], "additionalProperties": false,
    });
    let hot = [("temperature", Value::Float(5.0)), ("max_tokens", Value::Int(100))];
    let (answer, _) = ask(&hot, &held("Name two colours.", Constraint::JsonSchema(schema))).await;
    assert_eq!(answer.finish, Finish::Stop, "{}", answer.text);
    let value: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
    assert!(value["colours"].as_array().unwrap().len() <= 2 && value["sure"].is_boolean(), "{value}");
    let (answer, _) = ask(&hot, &held("When?", Constraint::Regex("(?P<y>[0-9]{4})-[01][0-9]".to_owned()))).await;
    let shape: String = answer.text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!((shape.as_str(), answer.finish), ("0000-00", Finish::Stop));
    // What a limit cuts is a beginning of what is allowed.
    let few = [("temperature", Value::Float(5.0)), ("max_tokens", Value::Int(2))];
    let (answer, _) = ask(&few, &held("Name two.", Constraint::Json)).await;
    assert_eq!((answer.finish, answer.usage.output), (Finish::Length, Some(2)));
}

#[tokio::test]
async fn likelihoods_have_the_shape_of_other_providers() {
    let options = [("logprobs", Value::Bool(true)), ("top_logprobs", Value::Int(5)), ("max_tokens", Value::Int(6))];
    let (answer, _, likely) = ask_and_hear(&options, &say("Name one colour of the sky.")).await;
    assert_eq!(likely.len() as u64, answer.usage.output.unwrap());
    let text: String = likely.iter().map(|t| t["token"].as_str().unwrap()).collect();
    assert_eq!(text, answer.text);
    for token in &likely {
        let top = token["top_logprobs"].as_array().unwrap();
        // Greedy: the chosen one is the likeliest.
        assert_eq!((top.len(), &top[0]["token"], &top[0]["logprob"]), (5, &token["token"], &token["logprob"]));
        assert!(top.windows(2).all(|w| w[0]["logprob"].as_f64() >= w[1]["logprob"].as_f64()));
        assert!(top.iter().map(|t| t["logprob"].as_f64().unwrap().exp()).sum::<f64>() <= 1.0 + 1e-9);
    }
    let sure = Constraint::JsonSchema(serde_json::json!({ "const": "the one answer" }));
    let (answer, _, likely) = ask_and_hear(&options, &held("Say it.", sure)).await;
    assert_eq!(likely.len() as u64, answer.usage.output.unwrap());
    assert!(likely.iter().all(|t| t["logprob"] == 0.0), "{likely:?}");
    let alone = build(&config("smollm2:135m", &[("top_logprobs", Value::Int(5))]), &context()).err().unwrap();
    assert!(alone.message.contains("`logprobs: true`"), "{}", alone.message);
}

#[tokio::test]
async fn a_bias_is_of_one_token() {
    let bias = |entries: &[(&str, Value)]| {
        let map: IndexMap<String, Value> = entries.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        [("logit_bias", Value::Map(Arc::new(map))), ("max_tokens", Value::Int(1))]
    };
    let request = say("Name one colour of the sky.");
    let (answer, _) = ask(&bias(&[(" potato", Value::Int(1000))]), &request).await;
    assert_eq!(answer.text, " potato");
    let refused = |entries: &[(&str, Value)]| {
        let provider = build(&config("smollm2:135m", &bias(entries)), &context())?;
        provider.prepare(&request).map(drop)
    };
    let error = refused(&[("49152", Value::Int(1))]).unwrap_err();
    assert!(error.message.contains("there is no token 49152; the model has 49152"), "{}", error.message);
    let error = refused(&[("potato potato", Value::Int(1))]).unwrap_err();
    assert!(error.message.contains("is 3 tokens: `pot` (12481), `ato` (6401), ` potato` (15460)"), "{}", error.message);
    let error = refused(&[("the", Value::Bool(true))]).unwrap_err();
    assert!(error.message.contains("`the` has true, not a number"), "{}", error.message);
    assert!(refused(&[("<|im_end|>", Value::Int(-5)), ("12", Value::Float(0.5))]).is_ok());
}

#[test]
fn what_has_no_grammar_is_not_promised() {
    assert_eq!(enforces(&Constraint::Json), Enforcement::Enforced);
    let Enforcement::Never(why) = enforces(&Constraint::Regex(r"\ba\b".to_owned())) else { panic!() };
    assert!(why.contains("no mask for a regular expression"), "{why}");
    let schema = serde_json::json!({ "type": "array", "uniqueItems": true });
    let Enforcement::Never(why) = enforces(&Constraint::JsonSchema(schema)) else { panic!() };
    assert!(why.contains("`uniqueItems` at the root of the schema"), "{why}");
}

#[test]
fn what_is_not_there_is_named() {
    let error = |c: &ModelConfig| build(c, &context()).err().unwrap();
    assert!(error(&config("smollm2:135", &[])).help.iter().any(|h| h == "did you mean `smollm2:135m`?"));
    let missing = build(&config("./gone.gguf", &[]), &context()).unwrap().missing().unwrap();
    assert!(missing.contains("/nowhere/gone.gguf"), "{missing}");
    assert!(error(&config("smollm2:135m", &[("device", Value::Int(0))])).message.contains("processor"));
}
