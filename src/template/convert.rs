//! Values of a chain as minijinja's values, and back, sharing what is big.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::Value as Inner;
use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{Error, State};

use super::{PathPart, Scope};
use crate::value::{Message, ToolCall, Value};

/// How deep a value made by a template may nest, and how many parts it may have.
const DEEPEST: usize = 200;
const MOST: usize = 4_000_000;

/// The fields that a message has.
const FIELDS: [&str; 9] =
    ["role", "text", "content", "tool_calls", "model", "finish", "tokens", "seconds", "reasoning"];

#[derive(Debug)]
pub(super) struct MessageObject(pub(super) Arc<Message>);
#[derive(Debug)]
struct ListObject(Arc<Vec<Value>>);
#[derive(Debug)]
struct MapObject(Arc<IndexMap<String, Value>>);
#[derive(Debug)]
struct PromptObject(Arc<Vec<Message>>);

impl Object for MessageObject {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Inner) -> Option<Inner> {
        message_field(&self.0, key.as_str()?).as_ref().map(to_engine)
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.text.chars().count())
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !self.0.text.is_empty() || !self.0.calls.is_empty()
    }

    fn call_method(self: &Arc<Self>, state: &mut State<'_, '_>, method: &str, args: &[Inner]) -> Result<Inner, Error> {
        let text = Inner::from(self.0.text.as_str());
        minijinja_contrib::pycompat::unknown_method_callback(state, &text, method, args)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl Object for ListObject {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Inner) -> Option<Inner> {
        self.0.get(key.as_usize()?).map(to_engine)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }
}

impl Object for PromptObject {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Inner) -> Option<Inner> {
        self.0.get(key.as_usize()?).map(|m| Inner::from_object(MessageObject(Arc::new(m.clone()))))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }
}

impl Object for MapObject {
    fn get_value(self: &Arc<Self>, key: &Inner) -> Option<Inner> {
        self.0.get(key.as_str()?).map(to_engine)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(|k| Inner::from(k.as_str())).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }
}

/// A field of a message; what its model did not tell is null.
fn message_field(message: &Message, name: &str) -> Option<Value> {
    match name {
        "role" => return Some(message.role.name().into()),
        "text" | "content" => return Some(message.text.as_str().into()),
        "tool_calls" => return Some(Value::list(message.calls.iter().map(ToolCall::to_value).collect())),
        _ => {}
    }
    let answer = message.answer.as_ref()?;
    let count = |n: Option<u64>| n.map_or(Value::Null, |n| Value::Int(i64::try_from(n).unwrap_or(i64::MAX)));
    Some(match name {
        "model" => answer.model.as_str().into(),
        "finish" => answer.finish.name().into(),
        "seconds" => Value::Float(answer.seconds),
        "reasoning" => answer.reasoning.as_deref().map_or(Value::Null, Value::from),
        "tokens" => Value::Map(Arc::new(IndexMap::from([
            ("input".to_owned(), count(answer.usage.input)),
            ("output".to_owned(), count(answer.usage.output)),
        ]))),
        _ => return None,
    })
}

/// A value for minijinja. Lists, maps and messages are shared, not copied.
pub(super) fn to_engine(value: &Value) -> Inner {
    match value {
        Value::Null => Inner::from(()),
        Value::Bool(b) => Inner::from(*b),
        Value::Int(n) => Inner::from(*n),
        Value::Float(x) => Inner::from(*x),
        Value::Text(t) => Inner::from(t.clone()),
        Value::List(items) => Inner::from_object(ListObject(items.clone())),
        Value::Map(map) => Inner::from_object(MapObject(map.clone())),
        Value::Message(m) => Inner::from_object(MessageObject(m.clone())),
        Value::Prompt(ms) => Inner::from_object(PromptObject(ms.clone())),
        Value::Raw(_) => Inner::from(value.as_text().unwrap_or_default().as_ref()),
    }
}

/// A value of minijinja as a value of the chain.
///
/// # Errors
/// Why it is none, in words that follow the expression.
pub(super) fn from_engine(value: &Inner) -> Result<Value, String> {
    let mut left = MOST;
    convert(value, 0, &mut left)
}

fn convert(value: &Inner, depth: usize, left: &mut usize) -> Result<Value, String> {
    if depth > DEEPEST {
        return Err(format!("nests deeper than {DEEPEST}"));
    }
    *left = left.checked_sub(1).ok_or_else(|| format!("has more than {MOST} parts"))?;
    if let Some(m) = value.downcast_object_ref::<MessageObject>() {
        return Ok(Value::Message(m.0.clone()));
    }
    if let Some(items) = value.downcast_object_ref::<ListObject>() {
        return Ok(Value::List(items.0.clone()));
    }
    if let Some(map) = value.downcast_object_ref::<MapObject>() {
        return Ok(Value::Map(map.0.clone()));
    }
    if let Some(ms) = value.downcast_object_ref::<PromptObject>() {
        return Ok(Value::Prompt(ms.0.clone()));
    }
    match value.kind() {
        ValueKind::None => Ok(Value::Null),
        ValueKind::Bool => Ok(Value::Bool(value.is_true())),
        ValueKind::Number if value.is_integer() => match value.as_i64() {
            Some(n) => Ok(Value::Int(n)),
            None => Err("is a whole number that 64 bits do not hold".to_owned()),
        },
        ValueKind::Number => f64::try_from(value.clone()).map(Value::Float).map_err(|e| e.to_string()),
        ValueKind::String => Ok(Value::Text(value.to_str().unwrap_or_default())),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter().map_err(|e| e.to_string())?;
            Ok(Value::list(items.map(|v| convert(&v, depth + 1, left)).collect::<Result<_, _>>()?))
        }
        ValueKind::Map => {
            let mut map = IndexMap::new();
            for key in value.try_iter().map_err(|e| e.to_string())? {
                let item = value.get_item(&key).map_err(|e| e.to_string())?;
                let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
                map.insert(key, convert(&item, depth + 1, left)?);
            }
            Ok(Value::Map(Arc::new(map)))
        }
        ValueKind::Undefined => Err("holds something undefined".to_owned()),
        kind => Err(format!("is no value that a chain can use, but a {kind}")),
    }
}

/// The text that `{{ … }}` prints for a value; `None` for null.
pub(super) fn printed(value: &Inner) -> Result<Option<String>, String> {
    Ok(match from_engine(value)? {
        Value::Null => None,
        Value::Float(x) => Some(format!("{x:?}")),
        Value::Int(n) => Some(n.to_string()),
        v => Some(match v.as_text() {
            Some(text) => text.into_owned(),
            None => v.to_json().to_string(),
        }),
    })
}

/// One step of a path.
fn take(value: &Value, part: &PathPart) -> Option<Value> {
    match (value, part) {
        (Value::Map(map), PathPart::Field(k) | PathPart::Key(k)) => map.get(k).cloned(),
        (Value::Message(m), PathPart::Field(k) | PathPart::Key(k)) => message_field(m, k),
        (Value::List(items), PathPart::Index(i)) => items.get(index(*i, items.len())?).cloned(),
        (Value::Prompt(ms), PathPart::Index(i)) => {
            ms.get(index(*i, ms.len())?).map(|m| Value::Message(Arc::new(m.clone())))
        }
        _ => None,
    }
}

fn index(i: i64, len: usize) -> Option<usize> {
    match usize::try_from(i) {
        Ok(i) => Some(i),
        Err(_) => len.checked_sub(usize::try_from(i.unsigned_abs()).ok()?),
    }
}

/// The value that a path leads to.
pub(super) fn follow(path: &[PathPart], scope: &dyn Scope) -> Option<Value> {
    let (first, rest) = path.split_first()?;
    walk(scope.get(first.text()?)?, rest)
}

/// The value that the steps behind a name lead to.
pub(super) fn walk(value: Value, steps: &[PathPart]) -> Option<Value> {
    steps.iter().try_fold(value, |value, part| take(&value, part))
}

/// The first step of a path that leads nowhere, and the names that would have led on.
pub(super) fn broken(path: &[PathPart], scope: &dyn Scope) -> Option<(usize, Vec<String>)> {
    let Some(mut value) = path.first().and_then(PathPart::text).and_then(|n| scope.get(n)) else {
        return Some((0, Vec::new()));
    };
    for (step, part) in path.iter().enumerate().skip(1) {
        match take(&value, part) {
            Some(next) => value = next,
            None => {
                let known = match &value {
                    Value::Map(map) => map.keys().cloned().collect(),
                    Value::Message(_) => FIELDS.iter().map(|f| (*f).to_owned()).collect(),
                    _ => Vec::new(),
                };
                return Some((step, known));
            }
        }
    }
    None
}
