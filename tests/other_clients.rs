//! What we send beside what official clients sent for the same call, as recorded: each difference stands in
//! `clients.differences.json` with its reason, and one that does not is an error.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/ollama.rs"]
mod call;
#[path = "support/server.rs"]
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use call::{Setup, runtime};
use chainrun::config::Context;
use chainrun::providers::ollama::library::Library;
use chainrun::providers::{self, OptionValue, Spec};
use chainrun::value::{Constraint, Image, Message, Request, RequestInput, Role, Secret, Segment, Type, Value};
use serde_json::{Map, Value as Json, json};
use server::{Reply, Seen, Server};

const ABSENT: &str = "(absent)";

/// A server that knows what calls want, and takes everything.
fn server() -> Server {
    Server::whole(|seen: &Seen| {
        let path = seen.path.as_str();
        let rows = |key: &str| match &seen.json()[key] {
            Json::Array(texts) => vec![[0.6, 0.8]; texts.len()],
            _ => vec![[0.6, 0.8]],
        };
        match path {
            _ if path.ends_with("/api/embed") => Reply::json(200, &json!({ "embeddings": rows("input") }).to_string()),
            _ if path.ends_with("/embeddings") => {
                let data: Vec<Json> = rows("input").iter().map(|row| json!({ "embedding": row })).collect();
                Reply::json(200, &json!({ "data": data }).to_string())
            }
            _ if path.ends_with("/feature-extraction") => Reply::json(200, &json!(rows("inputs")).to_string()),
            _ if path.contains("/api/tags") || path.contains("/api/ps") => Reply::json(200, "{\"models\":[]}"),
            _ if path.ends_with("/api/pull") => Reply::json(200, "{\"status\":\"success\"}\n"),
            _ if path.contains("/api/") => {
                Reply::json(200, "{\"message\":{\"content\":\"a\"},\"done\":true,\"done_reason\":\"stop\"}\n")
            }
            _ if path.contains("/v1/") => Reply::json(
                200,
                "{\"choices\":[{\"text\":\"a\",\"message\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}",
            ),
            _ => Reply::json(200, "[{\"generated_text\":\"a\"}]"),
        }
    })
}

/// Without what is null or an empty list: nothing is asked by it.
fn given(map: &Json) -> Map<String, Json> {
    let fields = map.as_object().cloned().unwrap_or_default();
    fields.into_iter().filter(|(_, v)| !v.is_null() && *v != json!([]) && *v != json!("")).collect()
}

/// Options as the file would have them: by the provider's own name, else as they stand.
fn with_options(mut setup: Setup, spec: &'static Spec, fields: &Map<String, Json>) -> Setup {
    let mut others = Map::new();
    for (key, value) in fields {
        match spec.option(key).filter(|option| option.name != "options") {
            Some(option) => setup = setup.option(option.name, Value::from_json(value)),
            None => drop(others.insert(key.clone(), value.clone())),
        }
    }
    if others.is_empty() { setup } else { setup.option("options", Value::from_json(&Json::Object(others))) }
}

fn picture(coded: &str) -> Image {
    let coded = coded.rsplit(',').next().unwrap();
    Image { path: "potato.png".to_owned(), media_type: "image/png", bytes: from_base64(coded).into() }
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String = text.trim_end_matches('=').chars().map(|c| format!("{:06b}", DIGITS.find(c).unwrap())).collect();
    bits.as_bytes()
        .chunks_exact(8)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect()
}

/// A message of a body.
fn message(json: &Json) -> Message {
    let mut fields = given(json);
    let mut images = Vec::new();
    for image in fields.remove("images").as_ref().and_then(Json::as_array).into_iter().flatten() {
        images.push(picture(image.as_str().unwrap()));
    }
    if let Some(parts) = fields.get("content").and_then(Json::as_array).cloned() {
        images.extend(parts.iter().filter_map(|part| part["image_url"]["url"].as_str()).map(picture));
        fields.insert("content".to_owned(), parts[0]["text"].clone());
    }
    let list = Type::List(Box::new(Type::Message)).accept(&Value::from_json(&json!([fields]))).unwrap();
    let Value::List(items) = list else { panic!("{list:?}") };
    let Value::Message(message) = &items[0] else { panic!("{items:?}") };
    Message { images, ..(**message).clone() }
}

fn constraint(fields: &mut Map<String, Json>) -> Option<Constraint> {
    let schema = |schema: &Json| Constraint::JsonSchema(schema.clone());
    if let Some(format) = fields.remove("format") {
        return Some(if format == "json" { Constraint::Json } else { schema(&format) });
    }
    if let Some(format) = fields.remove("response_format") {
        return Some(match (format.get("json_schema"), format.get("value")) {
            (Some(named), _) => schema(&named["schema"]),
            (_, Some(value)) => schema(value),
            _ => Constraint::Json,
        });
    }
    fields.remove("grammar").map(|grammar| schema(&grammar["value"]))
}

fn raw(text: &str) -> RequestInput {
    RequestInput::Raw(vec![Segment { text: text.to_owned(), from_value: false }])
}

/// The provider where the capture's call went, of the server at `url`.
fn setup(name: &str, capture: &Json, url: &str) -> Setup {
    let path = capture["path"].as_str().unwrap();
    let body = &capture["body"];
    let model =
        || -> &'static str { Box::leak(body["model"].as_str().unwrap_or_default().to_owned().into_boxed_str()) };
    let mut setup = match path {
        _ if name.starts_with("ollama") || name.starts_with("langchain-ollama") => {
            let base = format!("{url}{}", path.split("/api/").next().unwrap());
            Setup { model: model(), ..Setup::at(&base) }
        }
        _ if name.starts_with("openai") || name.starts_with("langchain-openai") => {
            let dialect = if body["repetition_penalty"].is_null() { "openai" } else { "vllm" };
            let setup = Setup { provider: Some("openai"), model: model(), ..Setup::at(&format!("{url}/v1")) };
            setup.option("dialect", Value::from(dialect))
        }
        _ if path.starts_with("/hf-inference") || name.contains("router") => {
            let env = vec![("HF_INFERENCE_ENDPOINT", url.to_owned())];
            let repository = match path.strip_prefix("/hf-inference/models/") {
                Some(rest) => {
                    &*Box::leak(rest.trim_end_matches("/pipeline/feature-extraction").to_owned().into_boxed_str())
                }
                None => model(),
            };
            Setup { provider: Some("hf-endpoint"), model: repository, env, ..Setup::default() }
        }
        _ => {
            let base = format!("{url}{}", path.trim_end_matches("/v1/chat/completions"));
            Setup { provider: Some("hf-endpoint"), ..Setup::default() }.option("endpoint_url", Value::from(base))
        }
    };
    if capture["headers"].get("authorization").is_some() {
        setup = setup.set("api_key", OptionValue::Secret(Secret::new("s3cr3t")));
    }
    for (header, option) in
        [("x-hf-bill-to", "bill_to"), ("openai-organization", "organization"), ("openai-project", "project")]
    {
        if let Some(value) = capture["headers"][header].as_str() {
            setup = setup.option(option, Value::from(value));
        }
    }
    setup
}

/// Makes the capture's call with our provider.
fn make(name: &str, capture: &Json, url: &str) -> Result<(), String> {
    let path = capture["path"].as_str().unwrap();
    let setup = setup(name, capture, url);
    let mut fields = given(&capture["body"]);
    let named = fields.remove("name");
    let model = fields.remove("model").or(named).and_then(|m| m.as_str().map(str::to_owned)).unwrap_or_default();
    fields.remove("stream");
    if let Some(what) = path.strip_prefix("/api/").filter(|w| matches!(*w, "tags" | "ps" | "show" | "pull" | "delete"))
    {
        manage(what, &model, url);
        return Ok(());
    }
    if let Some(texts) =
        fields.remove("input").or_else(|| if path.ends_with("extraction") { fields.remove("inputs") } else { None })
    {
        let spec = providers::find_embedder(setup.provider.unwrap_or("ollama")).unwrap();
        let setup = with_options(setup, spec, &embedding_fields(&fields));
        let texts: Vec<&str> = texts
            .as_array()
            .map_or_else(|| vec![texts.as_str().unwrap()], |all| all.iter().map(|t| t.as_str().unwrap()).collect());
        return setup.embed(&texts).map(drop).map_err(|e| e.message);
    }
    let constraint = constraint(&mut fields);
    let mut input = match (fields.remove("messages"), fields.remove("prompt").or_else(|| fields.remove("inputs"))) {
        (Some(messages), _) => RequestInput::Messages(messages.as_array().unwrap().iter().map(message).collect()),
        (_, Some(prompt)) if fields.remove("raw").is_some() || !path.ends_with("/api/generate") => {
            raw(prompt.as_str().unwrap_or_else(|| prompt[0].as_str().unwrap()))
        }
        (_, Some(prompt)) => RequestInput::Messages(vec![Message::new(Role::User, prompt.as_str().unwrap())]),
        _ => panic!("{name}: no prompt"),
    };
    if let (Some(system), RequestInput::Messages(messages)) = (fields.remove("system"), &mut input) {
        messages.insert(0, Message::new(Role::System, system.as_str().unwrap()));
    }
    for inner in ["options", "parameters"] {
        let inner = given(&fields.remove(inner).unwrap_or_default());
        fields.extend(inner.into_iter().filter(|(key, _)| key != "grammar"));
    }
    // What the provider says of its own accord.
    for own in ["stream_options", "return_full_text", "details", "decoder_input_details", "n"] {
        fields.remove(own);
    }
    // The two together are refused: one takes the likeliest token, the other chooses.
    if fields.contains_key("temperature") {
        fields.remove("do_sample");
    }
    let spec = providers::find(setup.provider.unwrap_or("ollama")).unwrap();
    let setup = with_options(setup, spec, &fields);
    let held = constraint.or_else(|| grammar(&capture["body"]));
    setup.ask(&Request { input, constraint: held }).0.map(drop).map_err(|e| e.message)
}

fn grammar(body: &Json) -> Option<Constraint> {
    body["parameters"]["grammar"].get("value").map(|value| Constraint::JsonSchema(value.clone()))
}

/// `truncate` is ours to say.
fn embedding_fields(fields: &Map<String, Json>) -> Map<String, Json> {
    let mut fields = fields.clone();
    fields.remove("truncate");
    let inner = given(&fields.remove("options").unwrap_or_default());
    fields.into_iter().chain(inner).collect()
}

/// What `chainrun models` asks.
fn manage(what: &str, model: &str, url: &str) {
    let context = Arc::new(Context::new(BTreeMap::new(), "/".into(), false, Instant::now()));
    let library = Library::new(Some(url.to_owned()), &context);
    runtime(async {
        match what {
            "tags" => drop(library.tags().await.unwrap()),
            "ps" => drop(library.loaded().await.unwrap()),
            "show" => drop(library.about(model).await.unwrap()),
            "pull" => library.pull(model, &mut |_| {}).await.unwrap(),
            _ => library.remove(model).await.unwrap(),
        }
    });
}

/// The differences of two values, each with its place.
fn compare(place: &str, theirs: &Json, ours: &Json, out: &mut Vec<(String, Json, Json)>) {
    match (theirs, ours) {
        (Json::Object(a), Json::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let absent = json!(ABSENT);
            for key in keys {
                compare(&format!("{place}.{key}"), a.get(key).unwrap_or(&absent), b.get(key).unwrap_or(&absent), out);
            }
        }
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{place}[{at}]"), a, b, out);
            }
        }
        (Json::Number(a), Json::Number(b)) if a.as_f64() == b.as_f64() => {}
        _ if theirs == ours => {}
        _ => out.push((place.to_owned(), theirs.clone(), ours.clone())),
    }
}

/// A request in the form of the captures.
fn shown(seen: &Seen) -> Json {
    let skipped = |name: &str| matches!(name, "host" | "content-length" | "connection");
    let mut headers = Map::new();
    for (name, value) in seen.headers.iter().filter(|(name, _)| !skipped(name)) {
        let value = match name.as_str() {
            "user-agent" => "its own",
            "authorization" => "Bearer <redacted>",
            _ => value,
        };
        headers.insert(name.clone(), json!(value));
    }
    let body = if seen.body.is_empty() { Json::Null } else { seen.json() };
    json!({ "method": seen.method, "path": seen.path, "headers": headers, "body": body })
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => {
            let Some(text) = text.strip_prefix(start) else { return false };
            (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| matches(rest, &text[at..]))
        }
    }
}

fn fits(rule: &Json, name: &str, (place, theirs, ours): &(String, Json, Json)) -> bool {
    let of = rule["of"].as_array().unwrap().iter().any(|glob| matches(glob.as_str().unwrap(), name));
    let side = |key: &str, seen: &Json| rule.get(key).is_none_or(|wanted| wanted == seen);
    of && matches(rule["field"].as_str().unwrap(), place) && side("theirs", theirs) && side("ours", ours)
}

#[test]
fn every_difference_has_a_reason() {
    let captures: Json = serde_json::from_str(include_str!("data/wire/clients.json")).unwrap();
    let listed: Json = serde_json::from_str(include_str!("data/wire/clients.differences.json")).unwrap();
    let rules = listed["differences"].as_array().unwrap();
    let none = listed["no_such_call"].as_object().unwrap();
    let mut used = vec![false; rules.len()];
    let mut skipped = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (name, capture) in captures.as_object().unwrap() {
        if let Some((glob, _)) = none.iter().find(|(glob, _)| matches(glob, name)) {
            skipped.insert(glob.as_str());
            continue;
        }
        count += 1;
        let server = server();
        if let Err(message) = make(name, capture, &server.url()) {
            wrong.push(format!("{name}: {message}"));
            continue;
        }
        // What is asked of a model before its first call is no part of the call.
        let beside =
            |seen: &Seen| seen.path.ends_with("/api/show") && !capture["path"].as_str().unwrap().ends_with("/api/show");
        let requests = server.requests();
        let Some(seen) = requests.iter().rfind(|seen| !beside(seen)) else { panic!("{name}: nothing was sent") };
        let theirs = json!({ "method": capture["method"], "path": capture["path"], "headers": capture["headers"], "body": capture["body"] });
        let mut differences = Vec::new();
        compare("", &theirs, &shown(seen), &mut differences);
        for difference in &differences {
            let place = difference.0.trim_start_matches('.').to_owned();
            let difference = (place, difference.1.clone(), difference.2.clone());
            match rules.iter().position(|rule| fits(rule, name, &difference)) {
                Some(at) => used[at] = true,
                None => wrong
                    .push(format!("{name}: {}: they send {}, we send {}", difference.0, difference.1, difference.2)),
            }
        }
    }
    // Past the harness, which keeps the output of tests that pass.
    let none_of_ours = captures.as_object().unwrap().len() - count;
    writeln!(std::io::stderr(), "{count} calls compared, {none_of_ours} are none of ours").unwrap();
    assert!(wrong.is_empty(), "differences without a reason:\n{}", wrong.join("\n"));
    for (rule, used) in rules.iter().zip(used) {
        assert!(used && rule["why"].as_str().is_some_and(|why| !why.is_empty()), "nothing differs so any more: {rule}");
    }
    for glob in none.keys() {
        assert!(skipped.contains(glob.as_str()), "no such capture: {glob}");
    }
}
