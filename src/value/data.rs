//! The value itself.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Literal, Message, Segment, ToolCall, Type, TypeError};
use crate::value::types::Record;

/// A length of time, as `30s` or `400ms`.
pub type Duration = std::time::Duration;

/// What flows over `|`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(Arc<str>),
    /// A list.
    List(Arc<Vec<Value>>),
    /// A map, in the order in which its keys came.
    Map(Arc<IndexMap<String, Value>>),
    /// A message, among them a model's answer.
    Message(Arc<Message>),
    /// The messages of a prompt.
    Prompt(Arc<Vec<Message>>),
    /// A raw prompt.
    Raw(Arc<Vec<Segment>>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text.into())
    }
}

impl Value {
    /// A list of values.
    pub fn list(items: Vec<Value>) -> Self {
        Value::List(Arc::new(items))
    }

    /// The type's name as messages give it.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Text(_) => "string",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Message(_) => "Message",
            Value::Prompt(_) => "messages",
            Value::Raw(_) => "raw text",
        }
    }

    /// The text of a value that counts as text: text, a message, a raw prompt.
    pub fn as_text(&self) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Value::Text(t) => Some((&**t).into()),
            Value::Message(m) => Some(m.text.as_str().into()),
            Value::Raw(segments) => Some(segments.iter().map(|s| s.text.as_str()).collect::<String>().into()),
            _ => None,
        }
    }

    /// The value as JSON. A message is a map of its role and text, and of what it has of tools.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Int(n) => Json::from(*n),
            Value::Float(x) => Json::from(*x),
            Value::Text(t) => Json::from(&**t),
            Value::List(items) => Json::Array(items.iter().map(Value::to_json).collect()),
            Value::Map(map) => Json::Object(map.iter().map(|(k, v)| (k.clone(), v.to_json())).collect()),
            Value::Message(m) => message_json(m),
            Value::Prompt(ms) => Json::Array(ms.iter().map(message_json).collect()),
            Value::Raw(_) => Json::from(self.as_text().unwrap_or_default().into_owned()),
        }
    }

    /// JSON as a value. A number that no `i64` holds becomes a float.
    pub fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Value::Null,
            Json::Bool(b) => Value::Bool(*b),
            Json::Number(n) => match n.as_i64() {
                Some(i) => Value::Int(i),
                None => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(s) => Value::from(s.as_str()),
            Json::Array(items) => Value::list(items.iter().map(Value::from_json).collect()),
            Json::Object(map) => {
                Value::Map(Arc::new(map.iter().map(|(k, v)| (k.clone(), Value::from_json(v))).collect()))
            }
        }
    }

    /// The value as messages show it: JSON, shortened to about `most` characters.
    pub fn show(&self, most: usize) -> String {
        super::shown::shown(self, most)
    }
}

fn message_json(m: &Message) -> serde_json::Value {
    let mut json = serde_json::json!({ "role": m.role.name(), "text": m.text });
    if !m.calls.is_empty() {
        json["tool_calls"] = m.calls.iter().map(ToolCall::to_json).collect();
    }
    let reply = m.reply.iter().flat_map(|r| [("name", &r.name), ("tool_call_id", &r.call_id)]);
    for (key, text) in reply.filter(|(_, text)| !text.is_empty()) {
        json[key] = serde_json::Value::from(text.as_str());
    }
    json
}

fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        v => format!("{} {}", v.kind(), v.show(60)),
    }
}

fn mismatch(ty: &Type, value: &Value, path: &str) -> TypeError {
    TypeError { path: path.to_owned(), expected: ty.to_string(), found: found(value), help: None }
}

/// Checks `value` at `path` against `ty`; see [`Type::accept`].
pub(super) fn accept(ty: &Type, value: &Value, path: &str) -> Result<Value, TypeError> {
    let bad = || mismatch(ty, value, path);
    match (ty, value) {
        (Type::Any, v) => Ok(v.clone()),
        (Type::Text, Value::Text(_))
        | (Type::Int, Value::Int(_))
        | (Type::Float, Value::Float(_))
        | (Type::Bool, Value::Bool(_))
        | (Type::Null, Value::Null)
        | (Type::Message, Value::Message(_))
        | (Type::Prompt, Value::Prompt(_))
        | (Type::Raw, Value::Raw(_))
        | (Type::Optional(_), Value::Null) => Ok(value.clone()),
        (Type::Text, Value::Message(m)) => Ok(Value::from(m.text.as_str())),
        (Type::DateTime, Value::Text(t)) => match super::datetime::not_rfc3339(t) {
            None => Ok(value.clone()),
            Some(why) => Err(TypeError { help: Some(why.to_owned()), ..bad() }),
        },
        (Type::Float, Value::Int(n)) => Ok(Value::Float(*n as f64)),
        (Type::Int, Value::Float(x)) if x.fract() == 0.0 && x.abs() < 9.0e15 => Ok(Value::Int(*x as i64)),
        (Type::Literal(l), v) if literal_is(l, v) => Ok(v.clone()),
        (Type::Optional(t), v) => accept(t, v, path),
        (Type::List(t), Value::List(items)) => {
            let items = items.iter().enumerate().map(|(i, v)| accept(t, v, &format!("{path}[{i}]")));
            Ok(Value::list(items.collect::<Result<_, _>>()?))
        }
        (Type::Map(t), Value::Map(map)) => {
            let entries = map.iter().map(|(k, v)| Ok((k.clone(), accept(t, v, &format!("{path}.{k}"))?)));
            Ok(Value::Map(Arc::new(entries.collect::<Result<_, TypeError>>()?)))
        }
        (Type::Recursive(r), v) => accept(r.ty(), v, path),
        (Type::Record(r), Value::Map(map)) => accept_record(r, map, path),
        (Type::Message, Value::Map(map)) => super::tool::message(map, path).map(|m| Value::Message(Arc::new(m))),
        (Type::Union(ts), v) => {
            let mut first = None;
            for t in ts {
                match accept(t, v, path) {
                    Ok(v) => return Ok(v),
                    Err(e) => {
                        // A record that fits but for a field tells more than "none of these".
                        if e.path.len() > path.len() {
                            first.get_or_insert(e);
                        }
                    }
                }
            }
            let mut e = first.filter(|_| ts.len() == 1).unwrap_or_else(bad);
            if let (Some(words), Value::Text(t)) = (ty.text_literals(), v) {
                e.help = crate::value::nearest(t, words.iter().map(|w| &**w)).map(|w| format!("did you mean `{w}`?"));
            }
            Err(e)
        }
        _ => Err(bad()),
    }
}

fn accept_record(record: &Record, map: &IndexMap<String, Value>, path: &str) -> Result<Value, TypeError> {
    if let Some(extra) = map.keys().find(|k| record.field(k).is_none()) {
        let names = record.fields.iter().map(|f| f.name.as_str());
        return Err(TypeError {
            path: path.to_owned(),
            expected: format!("the fields of {}", Type::Record(Arc::new(record.clone()))),
            found: format!("the key `{extra}`"),
            help: crate::value::nearest(extra, names).map(|n| format!("did you mean `{n}`?")),
        });
    }
    let mut out = IndexMap::new();
    for field in &record.fields {
        let at = format!("{path}.{}", field.name);
        match map.get(&field.name) {
            Some(v) => {
                out.insert(field.name.clone(), accept(&field.ty, v, &at)?);
            }
            None if matches!(field.ty, Type::Optional(_)) => {}
            None => {
                return Err(TypeError {
                    path: at,
                    expected: field.ty.to_string(),
                    found: "nothing: the field is missing".to_owned(),
                    help: None,
                });
            }
        }
    }
    Ok(Value::Map(Arc::new(out)))
}

fn literal_is(literal: &Literal, value: &Value) -> bool {
    match (literal, value) {
        (Literal::Text(a), Value::Text(b)) => a == b,
        (Literal::Int(a), Value::Int(b)) => a == b,
        (Literal::Float(a), Value::Float(b)) => a == b,
        (Literal::Bool(a), Value::Bool(b)) => a == b,
        _ => false,
    }
}

/// The candidate that was probably meant by `name`: at most a third of its letters differ, swaps counted once.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).clamp(1, 4);
    let lower = name.to_lowercase();
    candidates
        .map(|c| (distance(&lower, &c.to_lowercase()), c))
        .filter(|(d, c)| *d <= limit && *d < c.chars().count().max(2))
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// Optimal string alignment distance: insertions, deletions, replacements, swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let width = b.len() + 1;
    let mut rows = vec![0usize; (a.len() + 1) * width];
    for (j, first) in rows.iter_mut().take(width).enumerate() {
        *first = j;
    }
    for i in 1..=a.len() {
        rows[i * width] = i;
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[(i - 1) * width + j] + 1)
                .min(rows[i * width + j - 1] + 1)
                .min(rows[(i - 1) * width + j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[(i - 2) * width + j - 2] + 1);
            }
            rows[i * width + j] = best;
        }
    }
    rows[a.len() * width + b.len()]
}
