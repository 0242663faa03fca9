//! OpenAI's API, and the same as Ollama and TGI have it.

use serde_json::{Value as Json, json};

use super::model::{Asked, Said, base64, say, vector};
use super::ollama::strings;
use super::{Answer, KEY, event, text_of};
use crate::server::Seen;

pub const SSE: &str = "text/event-stream";

/// Whose form of it.
#[derive(Clone, Copy, PartialEq)]
pub enum Of {
    OpenAi,
    Ollama,
    Tgi,
}

/// OpenAI's own.
pub fn answer(seen: &Seen, route: &str) -> Answer {
    if seen.header("authorization") != Some(&format!("Bearer {KEY}")) {
        let sent = seen.header("authorization").unwrap_or_default().trim_start_matches("Bearer ").to_owned();
        let message = format!("Incorrect API key provided: {sent}. You can find your API key at …");
        return error(401, &message, "invalid_request_error", "invalid_api_key");
    }
    let route = route.strip_prefix("/v1").unwrap_or(route);
    route_of(Of::OpenAi, seen, route)
}

/// Ollama's.
pub fn of_ollama(seen: &Seen, route: &str) -> Answer {
    route_of(Of::Ollama, seen, route.trim_start_matches("/v1"))
}

pub fn route_of(of: Of, seen: &Seen, route: &str) -> Answer {
    let known = |name: &str| match of {
        Of::OpenAi => name == "potato" || name == "vectors",
        Of::Ollama => matches!(name.trim_end_matches(":latest"), "potato" | "plain" | "vectors"),
        Of::Tgi => true,
    };
    match (seen.method.as_str(), route) {
        ("GET", "/models") => {
            Answer::json(200, &json!({ "object": "list", "data": [listed("potato"), listed("vectors")] }))
        }
        ("GET", one) if one.starts_with("/models/") => match &one[8..] {
            name if known(name) => Answer::json(200, &listed(name)),
            name => missing(name),
        },
        ("POST", "/chat/completions" | "/completions" | "/embeddings") => {
            let Ok(body) = serde_json::from_slice::<Json>(&seen.body) else {
                return error(400, "We could not parse the JSON body of your request.", "invalid_request_error", "");
            };
            match text_of(&body, "model") {
                name if !known(name) => missing(name),
                _ if route == "/embeddings" => embeddings(&body),
                _ => complete(of, route == "/chat/completions", &body),
            }
        }
        _ => Answer::json(
            404,
            &json!({ "error": { "message": format!("Invalid URL ({} /v1{route})", seen.method), "type": "invalid_request_error", "param": null, "code": null } }),
        ),
    }
}

fn error(status: u16, message: &str, kind: &str, code: &str) -> Answer {
    let code = if code.is_empty() { Json::Null } else { json!(code) };
    Answer::json(status, &json!({ "error": { "message": message, "type": kind, "param": null, "code": code } }))
}

fn missing(name: &str) -> Answer {
    let message = format!("The model `{name}` does not exist or you do not have access to it.");
    error(404, &message, "invalid_request_error", "model_not_found")
}

fn listed(name: &str) -> Json {
    json!({ "id": name, "object": "model", "created": 1_795_447_991, "owned_by": "library" })
}

/// The text of a message, whose parts may be pictures.
fn content(message: &Json) -> String {
    match &message["content"] {
        Json::Array(parts) => parts.iter().map(|part| text_of(part, "text")).collect(),
        text => text.as_str().unwrap_or_default().to_owned(),
    }
}

fn complete(of: Of, chat: bool, body: &Json) -> Answer {
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    if chat && messages.is_empty() && of != Of::Tgi {
        return error(400, "[] is too short - 'messages'", "invalid_request_error", "");
    }
    if body["temperature"].as_f64().is_some_and(|t| !(0.0..=2.0).contains(&t)) {
        return error(400, "Invalid 'temperature': decimal above maximum value.", "invalid_request_error", "");
    }
    let texts: Vec<String> = match (chat, &body["prompt"]) {
        (true, _) => messages.iter().map(content).collect(),
        (false, Json::Array(_)) => strings(&body["prompt"]),
        (false, text) => vec![text.as_str().unwrap_or_default().to_owned()],
    };
    let format = &body["response_format"];
    let stop = &body["stop"];
    let answered = messages.last().is_some_and(|m| m["role"] == "tool");
    let asked = Asked {
        prompt: texts.join(" "),
        last: texts.last().cloned().unwrap_or_default(),
        limit: body["max_completion_tokens"].as_u64().or_else(|| body["max_tokens"].as_u64()),
        stops: stop.as_str().map_or_else(|| strings(stop), |one| vec![one.to_owned()]),
        schema: match text_of(format, "type") {
            "json_schema" => Some(format["json_schema"]["schema"].clone()),
            "json_object" if format["value"].is_object() => Some(format["value"].clone()),
            "json_object" => Some(json!(true)),
            _ => None,
        },
        tools: if answered || body["tool_choice"] == "none" { Json::Null } else { body["tools"].clone() },
        thinks: body["reasoning_effort"].is_string(),
    };
    let said = say(&asked);
    if body["stream"] == json!(true) { streamed(of, chat, body, &said) } else { whole(of, chat, body, &said) }
}

/// The reason of the end.
fn reason(said: &Said) -> &'static str {
    if said.call.is_some() {
        "tool_calls"
    } else if said.cut {
        "length"
    } else {
        "stop"
    }
}

fn usage(said: &Said) -> Json {
    let (input, output) = (said.input, said.output());
    json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output })
}

/// What stands around the choices.
fn frame(of: Of, object: &str, body: &Json, choices: Json) -> Json {
    let id = if of == Of::Tgi { "" } else { "chatcmpl-499" };
    let fingerprint = if of == Of::Ollama { "fp_ollama" } else { "fp_potato" };
    json!({
        "id": id, "object": object, "created": 1_795_448_011, "model": body["model"], "system_fingerprint": fingerprint,
        "choices": choices,
    })
}

fn whole(of: Of, chat: bool, body: &Json, said: &Said) -> Answer {
    let mut choice = json!({ "index": 0, "logprobs": null, "finish_reason": reason(said) });
    if chat {
        let mut message = json!({ "role": "assistant", "content": said.text() });
        if let Some((name, arguments)) = &said.call {
            message["content"] = Json::Null;
            let function = json!({ "name": name, "arguments": arguments.to_string() });
            message["tool_calls"] = json!([{ "id": "call_ab12", "type": "function", "function": function }]);
        }
        if !said.thoughts.is_empty() {
            message["reasoning"] = json!(said.thoughts);
        }
        choice["message"] = message;
        if body["logprobs"] == json!(true) {
            let tokens: Json = said.tokens.iter().map(|t| likelihood(t)).collect();
            choice["logprobs"] = json!({ "content": tokens, "refusal": null });
        }
    } else {
        choice["text"] = json!(said.text());
    }
    let object = if chat { "chat.completion" } else { "text_completion" };
    let mut answer = frame(of, object, body, json!([choice]));
    answer["usage"] = usage(said);
    Answer::json(200, &answer)
}

fn likelihood(token: &str) -> Json {
    json!({ "token": token, "logprob": -0.25, "bytes": token.as_bytes(), "top_logprobs": [] })
}

fn streamed(of: Of, chat: bool, body: &Json, said: &Said) -> Answer {
    let object = if chat { "chat.completion.chunk" } else { "text_completion" };
    let chunk = |choice: Json| event(&frame(of, object, body, json!([choice])));
    let delta = |delta: Json, end: Json| match chat {
        true => chunk(json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": end })),
        false => {
            // TGI has an empty text where others have nothing.
            let end = if of == Of::Tgi && end.is_null() { json!("") } else { end };
            let text = delta["content"].as_str().unwrap_or_default();
            chunk(json!({ "index": 0, "text": text, "logprobs": null, "finish_reason": end }))
        }
    };
    let mut events = Vec::new();
    if chat {
        events.push(delta(json!({ "role": "assistant", "content": "" }), Json::Null));
    }
    if !said.thoughts.is_empty() {
        events.push(delta(json!({ "reasoning": said.thoughts }), Json::Null));
    }
    events.extend(said.tokens.iter().map(|token| delta(json!({ "content": token }), Json::Null)));
    if let Some((name, arguments)) = &said.call {
        let first =
            json!({ "index": 0, "id": "call_ab12", "type": "function", "function": { "name": name, "arguments": "" } });
        events.push(delta(json!({ "tool_calls": [first] }), Json::Null));
        for piece in arguments.to_string().split_inclusive(':') {
            events
                .push(delta(json!({ "tool_calls": [{ "index": 0, "function": { "arguments": piece } }] }), Json::Null));
        }
    }
    events.push(delta(json!({}), json!(reason(said))));
    if body["stream_options"]["include_usage"] == json!(true) {
        let mut last = frame(of, object, body, json!([]));
        last["usage"] = usage(said);
        events.push(event(&last));
    }
    events.push("data: [DONE]\n\n".to_owned());
    Answer::stream(SSE, events)
}

fn embeddings(body: &Json) -> Answer {
    let input = &body["input"];
    let texts = input.as_str().map_or_else(|| strings(input), |one| vec![one.to_owned()]);
    if texts.is_empty() {
        return error(400, "'$.input' is invalid.", "invalid_request_error", "");
    }
    let coded = |text: &String| {
        let vector = vector(text);
        match text_of(body, "encoding_format") {
            "base64" => json!(base64(&vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())),
            _ => json!(vector),
        }
    };
    let row =
        |(index, text): (usize, &String)| json!({ "object": "embedding", "index": index, "embedding": coded(text) });
    let count: usize = texts.iter().map(|text| text.split_whitespace().count()).sum();
    Answer::json(
        200,
        &json!({
            "object": "list", "data": texts.iter().enumerate().map(row).collect::<Vec<_>>(), "model": body["model"],
            "usage": { "prompt_tokens": count, "total_tokens": count },
        }),
    )
}
