//! What is sent: the path and the body of a request.

use serde_json::{Map, Value as Json, json};

use super::super::tools::{self, Linked};
use super::super::{ErrorKind, ProviderError};
use super::dialect::Dialect;
use super::options::Wire;
use super::schema;
use crate::value::{Constraint, Message, Request, RequestInput, Role, ToolCall, base64};

/// Whether the request is a conversation.
pub fn is_chat(request: &Request) -> bool {
    matches!(request.input, RequestInput::Messages(_))
}

/// Whether the answer's value will travel in an object.
pub fn travels(request: &Request, dialect: Dialect) -> bool {
    match (&request.constraint, dialect.schema_form()) {
        (Some(Constraint::JsonSchema(schema)), Some(form)) => is_chat(request) && schema::travels(schema, form),
        _ => false,
    }
}

/// The path behind the address, and the body.
///
/// # Errors
/// There is nothing to say, or the server cannot be told.
pub fn of(
    request: &Request,
    model: &str,
    dialect: Dialect,
    wire: &Wire,
) -> Result<(&'static str, Json), ProviderError> {
    let mut body = Map::new();
    body.insert("model".to_owned(), Json::from(model));
    let path = match &request.input {
        RequestInput::Messages(messages) => {
            body.insert("messages".to_owned(), Json::from(conversation(messages, dialect)?));
            if let Some(tools) = &wire.tools {
                body.insert("tools".to_owned(), tools.clone());
            }
            "/chat/completions"
        }
        RequestInput::Raw(segments) => {
            let prompt: String = segments.iter().map(|s| s.text.as_str()).collect();
            if wire.tools.is_some() {
                return Err(tools::no_template());
            }
            completes(&prompt, request, dialect)?;
            body.insert("prompt".to_owned(), Json::from(prompt));
            "/completions"
        }
    };
    if dialect.streams() {
        body.insert("stream".to_owned(), Json::from(true));
        body.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    }
    if let Some(limit) = wire.max_tokens {
        // OpenAI's older API knows the older name alone.
        let name = if is_chat(request) { dialect.wire("max_tokens").unwrap_or("max_tokens") } else { "max_tokens" };
        body.insert(name.to_owned(), Json::from(limit));
    }
    if let (Some(constraint), true) = (&request.constraint, is_chat(request)) {
        hold(&mut body, constraint, request, dialect);
    }
    body.extend(wire.options.clone());
    Ok((path, Json::from(body)))
}

/// The messages of a conversation.
fn conversation(messages: &[Message], dialect: Dialect) -> Result<Vec<Json>, ProviderError> {
    if messages.is_empty() {
        return Err(ProviderError::new(ErrorKind::Prompt, "the prompt has no message")
            .help("a block whose text is empty is not sent"));
    }
    if dialect == Dialect::Gpt4All && messages.iter().any(|m| m.role == Role::Tool) {
        return Err(ProviderError::new(ErrorKind::Prompt, "GPT4All refuses messages of the role `tool`")
            .help("leave them out of the history"));
    }
    if dialect == Dialect::Gpt4All
        && let Some(image) = messages.iter().find_map(|m| m.images.first())
    {
        let message = format!("GPT4All's server takes no pictures, and `{}` is one", image.path);
        return Err(
            ProviderError::new(ErrorKind::Prompt, message).help("take a model that sees, as `ollama(\"gemma3\")`")
        );
    }
    if dialect == Dialect::Gpt4All {
        tools::none_in(messages, "GPT4All's server")?;
    }
    Ok(tools::linked(messages).iter().map(message).collect())
}

/// A message, and what ties calls of tools and their answers together.
fn message(linked: &Linked<'_>) -> Json {
    let said = linked.message;
    let mut json = json!({ "role": said.role.name(), "content": content(said) });
    if !linked.calls.is_empty() {
        if said.text.is_empty() {
            json["content"] = Json::Null;
        }
        let call = |call: &ToolCall| {
            let function = json!({ "name": call.name, "arguments": call.arguments_text() });
            json!({ "id": call.id, "type": "function", "function": function })
        };
        json["tool_calls"] = linked.calls.iter().map(call).collect();
    }
    if !linked.call_id.is_empty() {
        json["tool_call_id"] = Json::from(linked.call_id.as_str());
    }
    json
}

/// A message's text; with pictures a list of parts, which only servers of models that see take.
fn content(message: &Message) -> Json {
    if message.images.is_empty() {
        return Json::from(message.text.as_str());
    }
    let text = Some(json!({ "type": "text", "text": message.text })).filter(|_| !message.text.is_empty());
    let pictures = message.images.iter().map(|image| {
        let url = format!("data:{};base64,{}", image.media_type, base64(&image.bytes));
        json!({ "type": "image_url", "image_url": { "url": url } })
    });
    text.into_iter().chain(pictures).collect()
}

/// Whether a raw prompt can be completed.
fn completes(prompt: &str, request: &Request, dialect: Dialect) -> Result<(), ProviderError> {
    let error = |message: &str| ProviderError::new(ErrorKind::Prompt, message);
    if prompt.is_empty() {
        return Err(error("the raw prompt is empty").help("a block whose text is empty is not sent"));
    }
    if !dialect.completes() {
        return Err(error("Ollama's /v1 puts a chat template around a raw prompt")
            .help("`ollama(\"…\")` sends it as it stands"));
    }
    let structured =
        |schema: &Json| !matches!(schema.get("type").and_then(Json::as_str), Some(t) if t != "object" && t != "array");
    match &request.constraint {
        Some(Constraint::JsonSchema(schema)) if structured(schema) => {
            Err(error("the answer to a raw prompt cannot be held to a schema here")
                .help("`constrain: false` on the model asks without it; the answer is checked all the same")
                .help("or write the prompt as messages: leave `raw` out"))
        }
        _ => Ok(()),
    }
}

/// Holds the answer to what the parser takes.
fn hold(body: &mut Map<String, Json>, constraint: &Constraint, request: &Request, dialect: Dialect) {
    let mut format = |value: Json| drop(body.insert("response_format".to_owned(), value));
    match (constraint, dialect) {
        (Constraint::JsonSchema(schema), _) => {
            if let Some(form) = dialect.schema_form() {
                format(schema::response_format(schema, form));
            }
        }
        // OpenAI refuses to be held to JSON where no message speaks of it; the answer is checked all the same.
        (Constraint::Json, Dialect::OpenAi | Dialect::Other | Dialect::Router) if !speaks_of_json(request) => {}
        (Constraint::Json, _) => format(json!({ "type": "json_object" })),
        (Constraint::Regex(pattern), Dialect::Tgi) => format(json!({ "type": "regex", "value": pattern })),
        (Constraint::Regex(pattern), Dialect::Vllm) => {
            body.insert("structured_outputs".to_owned(), json!({ "regex": pattern }));
        }
        (Constraint::Regex(_), _) => {}
    }
}

/// The body with TGI's own form of `response_format`, where that is what the server asks for: an endpoint does not say
/// beforehand which server it is.
pub fn for_tgi(body: &Json) -> Option<Json> {
    let schema = body.get("response_format")?.get("json_schema")?.get("schema")?.clone();
    let mut body = body.clone();
    body["response_format"] = json!({ "type": "json_object", "value": schema });
    Some(body)
}

/// Whether a refusal is that of a TGI, which has its own form of `response_format`.
pub fn wants_tgi(status: u16, message: &str) -> bool {
    status == 422
        && message.contains("response_format")
        && (message.contains("`value`") || message.contains("`json_schema`"))
}

fn speaks_of_json(request: &Request) -> bool {
    match &request.input {
        RequestInput::Messages(messages) => messages.iter().any(|m| m.text.to_ascii_lowercase().contains("json")),
        RequestInput::Raw(_) => false,
    }
}
