//! What a call sends: `/api/chat` for messages, `/api/generate` for raw text and for text with a gap.

use serde_json::{Map, Value as Json, json};

use super::options::Wire;
use crate::providers::tools::{self, Linked};
use crate::providers::{ErrorKind, ProviderError};
use crate::value::{Constraint, Message, Request, RequestInput, Role, ToolCall, base64};

/// The path and the body of a call.
///
/// # Errors
/// The request is one that Ollama has no call for.
pub fn of(model: &str, wire: &Wire, request: &Request) -> Result<(&'static str, Json), ProviderError> {
    let mut body = Map::new();
    body.insert("model".to_owned(), Json::from(model));
    let path = match (&request.input, &wire.suffix) {
        (RequestInput::Messages(messages), None) => {
            if messages.is_empty() {
                return Err(nothing_to_say("the prompt has no message"));
            }
            body.insert("messages".to_owned(), tools::linked(messages).iter().map(message).collect());
            if let Some(tools) = &wire.tools {
                body.insert("tools".to_owned(), tools.clone());
            }
            "/api/chat"
        }
        (RequestInput::Messages(messages), Some(suffix)) => {
            let text = before_gap(messages)?;
            body.insert("prompt".to_owned(), Json::from(text));
            body.insert("suffix".to_owned(), Json::from(suffix.as_str()));
            "/api/generate"
        }
        (RequestInput::Raw(_), Some(_)) => {
            return Err(ProviderError::new(
                ErrorKind::Prompt,
                "a raw prompt goes past the template that places `suffix`",
            )
            .help("write the prompt without `raw`, or the model's own tokens for the gap into it"));
        }
        (RequestInput::Raw(_), None) if wire.tools.is_some() => return Err(tools::no_template()),
        (RequestInput::Raw(segments), None) => {
            let prompt: String = segments.iter().map(|s| s.text.as_str()).collect();
            if prompt.is_empty() {
                return Err(nothing_to_say("the raw prompt is empty"));
            }
            body.insert("prompt".to_owned(), Json::from(prompt));
            body.insert("raw".to_owned(), Json::from(true));
            "/api/generate"
        }
    };
    body.insert("stream".to_owned(), Json::from(true));
    // Without these a prompt that does not fit is cut in silence.
    body.insert("truncate".to_owned(), Json::from(false));
    body.insert("shift".to_owned(), Json::from(false));
    match &request.constraint {
        Some(Constraint::JsonSchema(schema)) => drop(body.insert("format".to_owned(), schema.clone())),
        Some(Constraint::Json) => drop(body.insert("format".to_owned(), Json::from("json"))),
        // Ollama has no constraint of this kind; the parser checks the answer.
        Some(Constraint::Regex(_)) | None => {}
    }
    if !wire.options.is_empty() {
        body.insert("options".to_owned(), Json::from(wire.options.clone()));
    }
    for (name, value) in [
        ("keep_alive", &wire.keep_alive),
        ("think", &wire.think),
        ("logprobs", &wire.logprobs),
        ("top_logprobs", &wire.top_logprobs),
    ] {
        if let Some(value) = value {
            body.insert(name.to_owned(), value.clone());
        }
    }
    Ok((path, Json::from(body)))
}

fn message(linked: &Linked<'_>) -> Json {
    let message = linked.message;
    let mut json = json!({ "role": message.role.name(), "content": message.text });
    if !message.images.is_empty() {
        json["images"] = message.images.iter().map(|image| base64(&image.bytes)).collect();
    }
    if !linked.calls.is_empty() {
        let call =
            |call: &ToolCall| json!({ "id": call.id, "function": { "name": call.name, "arguments": call.arguments } });
        json["tool_calls"] = linked.calls.iter().map(call).collect();
    }
    for (key, text) in [("tool_name", &linked.name), ("tool_call_id", &linked.call_id)] {
        if !text.is_empty() {
            json[key] = Json::from(text.as_str());
        }
    }
    json
}

/// The text before the gap: a prompt of one user message and nothing else.
fn before_gap(messages: &[Message]) -> Result<&str, ProviderError> {
    match messages {
        [Message { role: Role::User, text, images, .. }] if images.is_empty() && !text.is_empty() => Ok(text),
        _ => Err(ProviderError::new(ErrorKind::Prompt, "`suffix` takes a text before the gap, and no conversation")
            .help("as in `\"def add(a, b):\\n\" | ollama(\"qwen2.5-coder\", suffix: \"\\n    return c\")`")),
    }
}

/// Ollama takes an empty request as the order to load a model, and answers nothing.
fn nothing_to_say(message: &str) -> ProviderError {
    ProviderError::new(ErrorKind::Prompt, message).help("a block whose text is empty is not sent")
}
