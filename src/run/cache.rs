//! Answers that were given before: the digest of a call, and what is kept under it.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::providers::{Effect, ModelConfig, OptionValue, Prepared, Provider};
use crate::store::{Store, digest};
use crate::value::{Answer, Constraint, Finish, Message, Request, RequestInput, Secret, ToolCall, Usage};

/// The form of keys and entries; another one finds nothing of this.
const VERSION: u32 = 1;

/// What is kept of an answer.
#[derive(Serialize, Deserialize)]
struct Kept {
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reasoning: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall>,
    model: String,
    finish: Finish,
    usage: Usage,
}

/// An entry of the store.
#[derive(Serialize, Deserialize)]
struct Entry {
    version: u32,
    key: String,
    /// The digest of `answer` as JSON, so that a damaged entry is known.
    sum: String,
    answer: Json,
}

/// An answer that is not kept yet: whether it is worth keeping, the parser behind the model says.
pub struct Unsaved {
    key: String,
    bytes: Vec<u8>,
}

/// The digest of a call, where the model's answers are kept: provider, model, address, every message as it is sent, the
/// options that change an answer, what the answer is held to, and the weights where they are known. No secret is part of
/// it.
pub fn key(config: &ModelConfig, provider: &dyn Provider, request: &Request, prepared: &Prepared) -> Option<String> {
    if config.bool("cache") != Some(true) {
        return None;
    }
    let options: serde_json::Map<String, Json> = config
        .spec
        .all_options()
        .filter(|spec| spec.effect == Effect::Model)
        .filter_map(|spec| Some((spec.name.to_owned(), shown(&config.options.get(spec.name)?.value))))
        .collect();
    let call = json!({
        "version": VERSION,
        "provider": config.spec.name,
        "argument": config.argument.as_ref().map(crate::value::Value::to_json),
        "options": options,
        "prompt": prompt(request),
        "held_to": request.constraint.as_ref().map(held_to),
        "sent": sent(config, prepared),
        "weights": provider.weights(),
    });
    Some(digest(call.to_string().as_bytes()))
}

fn shown(value: &OptionValue) -> Json {
    match value {
        OptionValue::Value(value) => value.to_json(),
        OptionValue::Duration(length) => Json::from(length.as_secs_f64()),
        OptionValue::Size(bytes) => Json::from(*bytes),
        OptionValue::Secret(_) => Json::Null,
    }
}

fn prompt(request: &Request) -> Json {
    match &request.input {
        RequestInput::Messages(messages) => {
            let shown = |m: &Message| m.images.iter().map(|i| Json::from(digest(&i.bytes))).collect::<Vec<_>>();
            // A message without tools is its role and text, as ever.
            let tools = |m: &Message| {
                let json = crate::value::Value::Message(std::sync::Arc::new(m.clone())).to_json();
                if m.calls.is_empty() && m.reply.is_none() { Vec::new() } else { vec![json] }
            };
            let text = |m: &Message| vec![Json::from(m.role.name()), Json::from(m.text.as_str())];
            let of = |m: &Message| [text(m), shown(m), tools(m)].concat();
            messages.iter().map(of).collect::<Vec<_>>().into()
        }
        RequestInput::Raw(segments) => {
            segments.iter().map(|s| json!([s.text, s.from_value])).collect::<Vec<_>>().into()
        }
    }
}

fn held_to(constraint: &Constraint) -> Json {
    match constraint {
        Constraint::Json => json!({ "json": true }),
        Constraint::JsonSchema(schema) => json!({ "schema": schema }),
        Constraint::Regex(pattern) => json!({ "regex": pattern }),
    }
}

/// What goes out, without what changes only how the call is made.
fn sent(config: &ModelConfig, prepared: &Prepared) -> Json {
    match prepared {
        Prepared::Http { url, body } => {
            let mut body = body.clone();
            if let Json::Object(map) = &mut body {
                for option in config.spec.all_options().filter(|o| o.effect == Effect::Call && !o.wire.is_empty()) {
                    map.shift_remove(option.wire);
                }
            }
            json!({ "url": url, "body": body })
        }
        Prepared::Text { tokens, .. } => json!(tokens),
        Prepared::Script { prompt } => json!(prompt),
    }
}

/// The answer that is kept under a key.
///
/// # Errors
/// There is an entry that cannot be used, and why.
pub fn find(store: &Store, key: &str) -> Result<Option<Answer>, String> {
    let Some(bytes) = store.read(key).map_err(|e| e.to_string())? else { return Ok(None) };
    let entry: Entry = serde_json::from_slice(&bytes).map_err(|_| "it is no whole entry".to_owned())?;
    if entry.version != VERSION {
        return Ok(None);
    }
    if entry.key != key || entry.sum != digest(entry.answer.to_string().as_bytes()) {
        return Err("its digest does not fit".to_owned());
    }
    let kept: Kept = serde_json::from_value(entry.answer).map_err(|e| e.to_string())?;
    let Kept { text, reasoning, tool_calls, model, finish, usage } = kept;
    Ok(Some(Answer { text, reasoning, tool_calls, model, finish, usage, seconds: 0.0 }))
}

/// An answer as it would be kept; none of one that was cut, or that holds a secret.
pub fn entry(key: String, answer: &Answer, secrets: &[Secret]) -> Option<Unsaved> {
    if !matches!(answer.finish, Finish::Stop | Finish::ToolCalls) {
        return None;
    }
    let calls = Json::from_iter(answer.tool_calls.iter().map(ToolCall::to_json)).to_string();
    let texts = [Some(&answer.text), answer.reasoning.as_ref(), Some(&answer.model), Some(&calls)];
    let holds = |secret: &Secret| {
        let secret = secret.expose();
        !secret.is_empty() && texts.iter().flatten().any(|text| text.contains(secret))
    };
    if secrets.iter().any(holds) {
        return None;
    }
    let kept = Kept {
        text: answer.text.clone(),
        reasoning: answer.reasoning.clone(),
        tool_calls: answer.tool_calls.clone(),
        model: answer.model.clone(),
        finish: answer.finish,
        usage: answer.usage,
    };
    let answer = serde_json::to_value(&kept).ok()?;
    let sum = digest(answer.to_string().as_bytes());
    let bytes = serde_json::to_vec(&Entry { version: VERSION, key: key.clone(), sum, answer }).ok()?;
    Some(Unsaved { key, bytes })
}

impl Unsaved {
    /// Keeps it.
    ///
    /// # Errors
    /// It cannot be written; told once a run.
    pub fn save(self, store: &Store) -> Result<(), String> {
        store
            .write(&self.key, &self.bytes)
            .map_err(|e| format!("answers cannot be kept in {}: {e}", store.dir().display()))
    }
}
