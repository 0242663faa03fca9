//! GPT4All's server: it never streams, and refuses every key that it does not know.

use serde_json::{Value as Json, json};

use super::Answer;
use super::openai::{Of, route_of};
use crate::server::Seen;

const KNOWN: &[&str] = &[
    "model",
    "messages",
    "prompt",
    "max_tokens",
    "n",
    "temperature",
    "top_p",
    "min_p",
    "echo",
    "user",
    "service_tier",
    "parallel_tool_calls",
    "stream",
    "frequency_penalty",
    "presence_penalty",
];

pub fn answer(seen: &Seen, route: &str) -> Answer {
    let route = route.trim_start_matches("/v1");
    if seen.method == "GET" {
        return route_of(Of::OpenAi, seen, route);
    }
    let Ok(mut body) = serde_json::from_slice::<Json>(&seen.body) else {
        return refused("error parsing the request body");
    };
    for (key, value) in body.as_object().into_iter().flatten() {
        if !KNOWN.contains(&key.as_str()) {
            return refused(&format!("Unrecognized request argument supplied: {key}"));
        }
        if key == "stream" && *value == json!(true) {
            return refused("'stream' is not supported");
        }
    }
    for message in body["messages"].as_array().into_iter().flatten() {
        let keys = message.as_object().into_iter().flatten();
        if let Some((key, _)) = keys.clone().find(|(key, _)| *key != "role" && *key != "content") {
            return refused(&format!("Unrecognized request argument supplied: {key}"));
        }
        if !message["content"].is_string() || !matches!(message["role"].as_str(), Some("system" | "user" | "assistant"))
        {
            return refused("'messages' is not of type 'string'");
        }
    }
    // Sixteen tokens unless told otherwise; another model than the one asked for answers in its own name.
    let object = body.as_object_mut().filter(|body| body.contains_key("model"));
    let Some(object) = object else { return refused("you must provide a model parameter") };
    object.entry("max_tokens").or_insert(json!(16));
    object.insert("model".to_owned(), json!("potato"));
    route_of(Of::OpenAi, &Seen { body: body.to_string().into_bytes(), ..seen.clone() }, route)
}

fn refused(message: &str) -> Answer {
    let error = json!({ "message": message, "type": "invalid_request_error", "param": null, "code": null });
    Answer::json(400, &json!({ "error": error }))
}
