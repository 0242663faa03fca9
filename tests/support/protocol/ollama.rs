//! Ollama 0.32, with four models: `potato` can do everything but vectors, `plain` completes text alone, `vectors` embeds.

use serde_json::{Map, Value as Json, json};

use super::model::{Asked, Said, say, vector};
use super::{Answer, openai, text_of};
use crate::server::Seen;

const NDJSON: &str = "application/x-ndjson";
const CREATED: &str = "2026-11-23T15:33:30.123456789Z";
const DIGEST: &str = "fd5f44c0b5aff6453726119fc560d73a8a995a55b4a49804bc24b1969ecf1794";

/// The models with what they can do.
const MODELS: &[(&str, &[&str])] = &[
    ("potato:latest", &["completion", "tools", "insert", "vision", "thinking"]),
    ("plain:latest", &["completion"]),
    ("vectors:latest", &["embedding"]),
];

pub fn answer(seen: &Seen, route: &str) -> Answer {
    if route.starts_with("/v1/") {
        return openai::of_ollama(seen, route);
    }
    let wanted = match route {
        "/" | "/api/version" | "/api/tags" | "/api/ps" => "GET",
        "/api/delete" => "DELETE",
        "/api/show" | "/api/chat" | "/api/generate" | "/api/embed" | "/api/embeddings" | "/api/pull" | "/api/push"
        | "/api/create" | "/api/copy" => "POST",
        _ => return Answer::whole(404, "text/plain", "404 page not found"),
    };
    match (route, seen.method.as_str()) {
        ("/", "GET" | "HEAD") => Answer::whole(200, "text/plain; charset=utf-8", "Ollama is running"),
        ("/api/version", "GET" | "HEAD") => Answer::json(200, &json!({ "version": "0.32.15" })),
        ("/api/tags", "GET" | "HEAD") => {
            Answer::json(200, &json!({ "models": MODELS.iter().map(tag).collect::<Vec<_>>() }))
        }
        ("/api/ps", "GET") => Answer::json(200, &json!({ "models": [running()] })),
        (_, method) if method != wanted => Answer::whole(405, "text/plain", "405 method not allowed"),
        _ => told(route, seen),
    }
}

/// What is sent with a body.
fn told(route: &str, seen: &Seen) -> Answer {
    if seen.body.is_empty() {
        return error(400, "missing request body");
    }
    let Ok(body) = serde_json::from_slice::<Json>(&seen.body) else { return error(400, "unexpected EOF") };
    let name = ["model", "name", "source"].iter().map(|key| text_of(&body, key)).find(|n| !n.is_empty()).unwrap_or("");
    if matches!(route, "/api/pull" | "/api/push" | "/api/create") {
        return progress(route, &body);
    }
    if name.is_empty() && route == "/api/chat" {
        return error(400, "model is required");
    }
    let full = if name.contains(':') { name.to_owned() } else { format!("{name}:latest") };
    let Some((_, can)) = MODELS.iter().find(|(known, _)| known.eq_ignore_ascii_case(&full)) else {
        return error(
            404,
            &match route {
                "/api/show" => format!("model '{full}' not found"),
                "/api/copy" => format!("model \"{name}\" not found"),
                "/api/embed" | "/api/embeddings" => format!("model \"{name}\" not found, try pulling it first"),
                _ => format!("model '{name}' not found"),
            },
        );
    };
    match route {
        "/api/show" => Answer::json(200, &shown(can)),
        "/api/copy" | "/api/delete" => Answer::whole(200, "text/plain", ""),
        "/api/embed" => embed(&body, can),
        "/api/embeddings" => Answer::json(200, &json!({ "embedding": vector(text_of(&body, "prompt")) })),
        _ => complete(route == "/api/chat", name, can, &body),
    }
}

fn error(status: u16, message: &str) -> Answer {
    Answer::json(status, &json!({ "error": message }))
}

fn complete(chat: bool, name: &str, can: &[&str], body: &Json) -> Answer {
    if let Some(refusal) = refused(chat, name, can, body) {
        return refusal;
    }
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let texts: Vec<&str> = match chat {
        true => messages.iter().map(|m| text_of(m, "content")).collect(),
        false => vec![text_of(body, "system"), text_of(body, "prompt")],
    };
    let empty = if chat { messages.is_empty() } else { text_of(body, "prompt").is_empty() };
    if empty {
        let reason = if body["keep_alive"].as_f64() == Some(0.0) { "unload" } else { "load" };
        return Answer::json(200, &line(chat, name, "", json!({ "done": true, "done_reason": reason })));
    }
    let options = &body["options"];
    let answered = messages.last().is_some_and(|m| m["role"] == "tool");
    let asked = Asked {
        prompt: texts.join(" "),
        last: texts.last().copied().unwrap_or_default().to_owned(),
        limit: options["num_predict"].as_u64(),
        stops: strings(&options["stop"]),
        schema: match &body["format"] {
            Json::Null => None,
            Json::String(none) if none.is_empty() => None,
            Json::String(_) => Some(json!(true)),
            schema => Some(schema.clone()),
        },
        tools: if answered { Json::Null } else { body["tools"].clone() },
        thinks: can.contains(&"thinking") && !matches!(body["think"], Json::Null | Json::Bool(false)),
    };
    let said = say(&asked);
    let last = last(chat, body, &said);
    if body["stream"] == json!(false) {
        return Answer::json(200, &line(chat, name, &said.text(), Json::Object(whole(body, &said, last))));
    }
    let mut lines = Vec::new();
    if !said.thoughts.is_empty() {
        lines.push(line(chat, name, "", json!({ "thinking": said.thoughts, "done": false })));
    }
    if let Some(call) = call(&said) {
        lines.push(line(chat, name, "", json!({ "tool_calls": call, "done": false })));
    }
    for token in &said.tokens {
        let more = match body["logprobs"] == json!(true) {
            true => json!({ "done": false, "logprobs": [likelihood(token)] }),
            false => json!({ "done": false }),
        };
        lines.push(line(chat, name, token, more));
    }
    lines.push(line(chat, name, "", Json::Object(last)));
    Answer::stream(NDJSON, lines.iter().map(|line| format!("{line}\n")).collect())
}

/// What the server checks before it asks the model.
fn refused(chat: bool, name: &str, can: &[&str], body: &Json) -> Option<Answer> {
    let lacks = |what: &str| !can.contains(&what);
    let given = |key: &str| body[key].as_array().is_some_and(|list| !list.is_empty());
    if lacks("completion") {
        let what = if chat { "chat" } else { "generate" };
        return Some(error(400, &format!("\"{name}\" does not support {what}")));
    }
    let format = &body["format"];
    if !(format.is_null() || format.is_object() || format == "" || format == "json") {
        let shown = format.to_string();
        let message = format!("invalid format: {shown:?}; expected \"json\" or a valid JSON Schema object");
        return Some(error(400, &message));
    }
    let content = body["messages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|m| !m["content"].is_string() && !m["content"].is_null());
    if content.is_some() {
        let message = "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string";
        return Some(error(400, message));
    }
    for (option, value) in body["options"].as_object().into_iter().flatten() {
        if let Some(kind) = mistyped(option, value) {
            return Some(error(500, &format!("option \"{option}\" must be of type {kind}")));
        }
    }
    if given("tools") && lacks("tools") {
        return Some(error(400, &format!("registry.ollama.ai/library/{name}:latest does not support tools")));
    }
    if body["think"] == json!(true) && lacks("thinking") {
        return Some(error(400, &format!("{name:?} does not support thinking")));
    }
    if !text_of(body, "suffix").is_empty() && lacks("insert") {
        return Some(error(400, &format!("registry.ollama.ai/library/{name}:latest does not support insert")));
    }
    let together =
        ["template", "system", "context"].iter().any(|key| !matches!(&body[*key], Json::Null) && body[*key] != "");
    if body["raw"] == json!(true) && together {
        return Some(error(400, "raw mode does not support template, system, or context"));
    }
    if body["top_logprobs"].as_i64().is_some_and(|n| !(0..=20).contains(&n)) {
        return Some(error(400, "top_logprobs must be between 0 and 20"));
    }
    None
}

/// The type that an option must have, where its value has another.
fn mistyped(option: &str, value: &Json) -> Option<&'static str> {
    let (fits, kind) = match option {
        "temperature" | "top_p" | "min_p" | "typical_p" | "repeat_penalty" | "presence_penalty"
        | "frequency_penalty" => (value.is_number(), "float32"),
        "num_predict" | "top_k" | "seed" | "num_ctx" | "num_keep" | "repeat_last_n" | "num_batch" | "num_gpu" => {
            (value.is_number(), "integer")
        }
        "stop" => (value.is_array(), "array"),
        _ => (true, ""),
    };
    (!fits && !value.is_null()).then_some(kind)
}

/// A line of a stream, or a whole answer: `more` stands after the text, thoughts and calls of a chat in its message.
fn line(chat: bool, name: &str, text: &str, more: Json) -> Json {
    let mut line = json!({ "model": name, "created_at": CREATED });
    let mut message = json!({ "role": "assistant", "content": text });
    let Json::Object(more) = more else { return line };
    for (key, value) in more {
        if chat && matches!(key.as_str(), "thinking" | "tool_calls") { message[key] = value } else { line[key] = value }
    }
    if chat {
        line["message"] = message
    } else {
        line["response"] = json!(text)
    }
    line
}

/// What the last line adds.
fn last(chat: bool, body: &Json, said: &Said) -> Map<String, Json> {
    let mut more = Map::new();
    more.insert("done".to_owned(), json!(true));
    more.insert("done_reason".to_owned(), json!(if said.cut { "length" } else { "stop" }));
    if !chat && body["raw"] != json!(true) {
        more.insert("context".to_owned(), json!([1, 4093, 198]));
    }
    for (key, count) in [
        ("total_duration", 804_099_456),
        ("load_duration", 539_496_497),
        ("prompt_eval_count", said.input),
        ("prompt_eval_duration", 59_791_000),
        ("eval_count", said.output()),
        ("eval_duration", 202_000_000),
    ] {
        // Go leaves a zero out.
        if count > 0 {
            more.insert(key.to_owned(), json!(count));
        }
    }
    more
}

/// What a whole answer adds.
fn whole(body: &Json, said: &Said, mut last: Map<String, Json>) -> Map<String, Json> {
    if !said.thoughts.is_empty() {
        last.insert("thinking".to_owned(), json!(said.thoughts));
    }
    if let Some(call) = call(said) {
        last.insert("tool_calls".to_owned(), call);
    }
    if body["logprobs"] == json!(true) {
        last.insert("logprobs".to_owned(), said.tokens.iter().map(|t| likelihood(t)).collect());
    }
    last
}

fn call(said: &Said) -> Option<Json> {
    let (name, arguments) = said.call.as_ref()?;
    let function = json!({ "index": 0, "name": name, "arguments": arguments });
    Some(json!([{ "id": "call_ab12cd34", "function": function }]))
}

fn likelihood(token: &str) -> Json {
    let one = json!({ "token": token, "logprob": -0.25, "bytes": token.as_bytes() });
    json!({ "token": token, "logprob": -0.25, "bytes": token.as_bytes(), "top_logprobs": [one] })
}

fn embed(body: &Json, can: &[&str]) -> Answer {
    let texts = match &body["input"] {
        Json::String(text) => vec![text.clone()],
        Json::Array(list) if list.iter().all(Json::is_string) => strings(&body["input"]),
        Json::Null => Vec::new(),
        _ => return error(400, "invalid input type"),
    };
    if !can.contains(&"embedding") {
        return error(501, "This server does not support embeddings. Start it with `--embeddings`");
    }
    let vectors: Vec<Vec<f32>> = texts.iter().map(|text| vector(text)).collect();
    let count: usize = texts.iter().map(|text| text.split_whitespace().count()).sum();
    let name = text_of(body, "model");
    Answer::json(
        200,
        &json!({
            "model": name, "embeddings": vectors, "total_duration": 14_143_917, "load_duration": 1_019_500,
            "prompt_eval_count": count,
        }),
    )
}

/// Lines that tell how far a model is fetched or made.
fn progress(route: &str, body: &Json) -> Answer {
    let name = text_of(body, if body["model"].is_string() { "model" } else { "name" });
    let mut lines = match route {
        "/api/create" => vec![
            json!({ "status": "using already created layer sha256:f02d" }),
            json!({ "status": "writing manifest" }),
        ],
        _ => vec![
            json!({ "status": "pulling manifest" }),
            json!({ "status": "pulling dde5aa3fc5ff", "digest": "sha256:dde5aa3fc5ff", "total": 2_019_377_376_u64 }),
            json!({ "status": "pulling dde5aa3fc5ff", "digest": "sha256:dde5aa3fc5ff", "total": 2_019_377_376_u64, "completed": 2_019_377_376_u64 }),
            json!({ "status": "verifying sha256 digest" }),
            json!({ "status": "writing manifest" }),
        ],
    };
    let missing = name.starts_with("nope");
    if missing {
        lines.truncate(1);
    }
    let message = "pull model manifest: file does not exist";
    lines.push(if missing { json!({ "error": message }) } else { json!({ "status": "success" }) });
    if body["stream"] == json!(false) {
        return if missing { error(500, message) } else { Answer::json(200, &json!({ "status": "success" })) };
    }
    Answer::stream(NDJSON, lines.iter().map(|line| format!("{line}\n")).collect())
}

fn details() -> Json {
    json!({
        "parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"], "parameter_size": "134.52M",
        "quantization_level": "Q4_1",
    })
}

fn tag((name, can): &(&str, &[&str])) -> Json {
    json!({
        "name": name, "model": name, "modified_at": CREATED, "size": 98_362_745, "digest": DIGEST, "details": details(),
        "capabilities": can,
    })
}

fn running() -> Json {
    json!({
        "name": "potato:latest", "model": "potato:latest", "size": 161_407_302, "digest": DIGEST, "details": details(),
        "expires_at": "2026-11-23T15:38:13.061631427Z", "size_vram": 0, "context_length": 2048,
    })
}

fn shown(can: &[&str]) -> Json {
    json!({
        "license": "Apache 2.0", "modelfile": "FROM potato", "parameters": "stop                           \"<|im_end|>\"",
        "template": "{{ .Prompt }}", "details": details(),
        "model_info": { "general.architecture": "llama", "general.parameter_count": 134_515_008, "llama.context_length": 8192 },
        "capabilities": can, "modified_at": CREATED,
    })
}

/// The texts of a list.
pub fn strings(list: &Json) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|t| t.as_str().map(str::to_owned)).collect()
}
