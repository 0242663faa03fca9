//! Calls of tools that a model asks for, as data. Nothing here is ever executed.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::{Field, Record, Role, Type, TypeError, Value};

/// A call of a tool, as a model asks for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// What the answer to it refers to; empty where nobody gave it a name.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// What it is to be called with.
    pub arguments: Map<String, Json>,
}

/// Which call a message of the role `tool` answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolReply {
    /// The tool's name; empty where it is not said.
    pub name: String,
    /// The call's `id`; empty where it is not said.
    pub call_id: String,
}

impl ToolCall {
    /// The call as a value of a chain: a map of `id`, `name` and `arguments`.
    pub fn to_value(&self) -> Value {
        Value::Map(Arc::new(IndexMap::from([
            ("id".to_owned(), Value::from(self.id.as_str())),
            ("name".to_owned(), Value::from(self.name.as_str())),
            ("arguments".to_owned(), Value::from_json(&Json::from(self.arguments.clone()))),
        ])))
    }

    /// The type of that map.
    pub fn ty() -> Type {
        let field = |name: &str, ty| Field { name: name.to_owned(), ty, doc: None };
        let arguments = Type::Map(Box::new(Type::Any));
        let fields = vec![field("id", Type::Text), field("name", Type::Text), field("arguments", arguments)];
        Type::Record(Arc::new(Record { name: None, fields, doc: None }))
    }

    /// The call as JSON, with the same keys.
    pub fn to_json(&self) -> Json {
        json!({ "id": self.id, "name": self.name, "arguments": self.arguments })
    }

    /// The same with every text of it changed, keys of the arguments among them.
    #[must_use]
    pub fn map_texts(self, change: &dyn Fn(&str) -> String) -> Self {
        let arguments = self.arguments.into_iter().map(|(key, value)| (change(&key), map_texts(value, change)));
        Self { id: change(&self.id), name: change(&self.name), arguments: arguments.collect() }
    }

    /// The arguments as servers write them: one JSON object.
    pub fn arguments_text(&self) -> String {
        Json::from(self.arguments.clone()).to_string()
    }

    /// A call as data has it: `{id, name, arguments}`, or OpenAI's `{id, type, function: {name, arguments}}`, whose
    /// arguments are a text that holds JSON.
    ///
    /// # Errors
    /// What does not fit at `path`.
    pub(super) fn read(value: &Value, path: &str) -> Result<Self, TypeError> {
        let bad = |at: &str, expected: &str, value: Option<&Value>| TypeError {
            path: format!("{path}{at}"),
            expected: expected.to_owned(),
            found: value.map_or_else(|| "nothing".to_owned(), |v| format!("{} {}", v.kind(), v.show(60))),
            help: Some("a call is `{ id: …, name: …, arguments: { … } }`".to_owned()),
        };
        let Value::Map(map) = value else { return Err(bad("", "a call of a tool", Some(value))) };
        let function = match map.get("function") {
            Some(Value::Map(function)) => function,
            Some(other) => return Err(bad(".function", "a map", Some(other))),
            None => map,
        };
        let ours: &[&str] = if map.contains_key("function") {
            &["id", "type", "function", "index"]
        } else {
            &["id", "type", "name", "arguments"]
        };
        if let Some(key) = map.keys().find(|k| !ours.contains(&k.as_str())) {
            return Err(bad("", "a call of a tool", Some(&Value::from(format!("the key `{key}`")))));
        }
        let id = match map.get("id") {
            None | Some(Value::Null) => String::new(),
            Some(Value::Text(id)) => id.to_string(),
            Some(other) => return Err(bad(".id", "text", Some(other))),
        };
        let name = match function.get("name") {
            Some(Value::Text(name)) if !name.is_empty() => name.to_string(),
            other => return Err(bad(".name", "the tool's name", other)),
        };
        let arguments = match function.get("arguments") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Text(text)) => match serde_json::from_str(text) {
                Ok(Json::Object(map)) => map,
                _ => return Err(bad(".arguments", "a map, or a JSON object as text", function.get("arguments"))),
            },
            Some(map @ Value::Map(_)) => match map.to_json() {
                Json::Object(map) => map,
                _ => Map::new(),
            },
            other => return Err(bad(".arguments", "a map", other)),
        };
        Ok(Self { id, name, arguments })
    }
}

fn map_texts(json: Json, change: &dyn Fn(&str) -> String) -> Json {
    match json {
        Json::String(text) => Json::from(change(&text)),
        Json::Array(items) => items.into_iter().map(|item| map_texts(item, change)).collect(),
        Json::Object(map) => map.into_iter().map(|(key, value)| (change(&key), map_texts(value, change))).collect(),
        other => other,
    }
}

/// The message that a map describes; none for a map that describes none.
///
/// # Errors
/// What of it does not fit.
pub(super) fn message(map: &IndexMap<String, Value>, path: &str) -> Result<super::Message, TypeError> {
    let bad = |at: &str, expected: &str, found: String, help: Option<&str>| TypeError {
        path: format!("{path}{at}"),
        expected: expected.to_owned(),
        found,
        help: help.map(str::to_owned),
    };
    let whole = || Value::Map(Arc::new(map.clone())).show(60);
    let shape = || bad("", "Message", format!("map {}", whole()), None);
    let Some(Value::Text(role)) = map.get("role") else { return Err(shape()) };
    let Some(role) = Role::from_name(role) else { return Err(shape()) };
    let calls = match map.get("tool_calls") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::List(items)) => {
            let items = items.iter().enumerate();
            items.map(|(i, call)| ToolCall::read(call, &format!("{path}.tool_calls[{i}]"))).collect::<Result<_, _>>()?
        }
        Some(other) => {
            return Err(bad(".tool_calls", "a list of calls", format!("{} {}", other.kind(), other.show(60)), None));
        }
    };
    if !calls.is_empty() && role != Role::Assistant {
        let found = format!("them in one of `{}`", role.name());
        return Err(bad(".tool_calls", "calls of tools in a message of `assistant`", found, None));
    }
    let text = match map.get("text").or_else(|| map.get("content")) {
        Some(Value::Text(text)) => text.to_string(),
        // Who calls a tool may say nothing.
        None | Some(Value::Null) if !calls.is_empty() => String::new(),
        _ => return Err(shape()),
    };
    let word = |key: &str| match map.get(key) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::Text(text)) => Ok(text.to_string()),
        Some(other) => Err(bad(&format!(".{key}"), "text", format!("{} {}", other.kind(), other.show(60)), None)),
    };
    let (name, tool_name, call_id) = (word("name")?, word("tool_name")?, word("tool_call_id")?);
    let reply = ToolReply { name: if name.is_empty() { tool_name } else { name }, call_id };
    let answers = reply != ToolReply::default();
    if answers && role != Role::Tool {
        let found = format!("one of `{}`", role.name());
        return Err(bad("", "`name` and `tool_call_id` in a message of `tool`", found, None));
    }
    let both = usize::from(map.contains_key("text") && map.contains_key("content"));
    let known = ["role", "text", "content", "tool_calls", "name", "tool_name", "tool_call_id"];
    if both == 1 || map.keys().any(|k| !known.contains(&k.as_str())) {
        return Err(shape());
    }
    let mut message = super::Message::new(role, text);
    message.calls = calls;
    message.reply = answers.then_some(reply);
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: Json) -> Result<Value, String> {
        Type::Message.accept(&Value::from_json(&json)).map_err(|e| e.to_string())
    }

    #[test]
    fn messages_of_tools_come_back_as_they_went() {
        let ours = json!({ "role": "assistant", "text": "", "tool_calls": [
            { "id": "c1", "name": "f", "arguments": { "a": [1, null], "ü": "x" } },
        ] });
        assert_eq!(read(ours.clone()).unwrap().to_json(), ours);
        let openai = json!({ "role": "assistant", "content": null, "tool_calls": [
            { "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":[1,null],\"ü\":\"x\"}" } },
        ] });
        assert_eq!(read(openai).unwrap().to_json(), ours);
        let reply = json!({ "role": "tool", "text": "3", "name": "f", "tool_call_id": "c1" });
        assert_eq!(read(reply.clone()).unwrap().to_json(), reply);
        let ollama = json!({ "role": "tool", "content": "3", "tool_name": "f" });
        assert_eq!(read(ollama).unwrap().to_json(), json!({ "role": "tool", "text": "3", "name": "f" }));
        assert_eq!(
            read(json!({ "role": "tool", "text": "3" })).unwrap().to_json(),
            json!({ "role": "tool", "text": "3" })
        );
    }

    #[test]
    fn every_text_of_a_call_changes() {
        let Json::Object(arguments) = json!({ "a": [1, { "a": "xa" }], "n": null }) else { return };
        let call = ToolCall { id: "a".to_owned(), name: "fa".to_owned(), arguments };
        let changed = call.map_texts(&|text| text.replace('a', "-"));
        assert_eq!(
            changed.to_json(),
            json!({ "id": "-", "name": "f-", "arguments": { "-": [1, { "-": "x-" }], "n": null } })
        );
    }

    #[test]
    fn what_does_not_fit_has_its_place() {
        let call = |call: Json| read(json!({ "role": "assistant", "text": "", "tool_calls": [call] })).unwrap_err();
        for (error, part) in [
            (call(json!("f")), "at tool_calls[0]: expected a call of a tool, found string \"f\""),
            (call(json!({ "id": "x" })), "at tool_calls[0].name: expected the tool's name, found nothing"),
            (
                call(json!({ "name": "f", "arguments": "[1" })),
                "at tool_calls[0].arguments: expected a map, or a JSON object",
            ),
            (call(json!({ "name": "f", "arguments": [1] })), "at tool_calls[0].arguments: expected a map, found list"),
            (call(json!({ "name": "f", "args": {} })), "the key `args`"),
            (
                read(json!({ "role": "user", "text": "", "tool_calls": [{ "name": "f" }] })).unwrap_err(),
                "found them in one of `user`",
            ),
            (read(json!({ "role": "user", "text": "", "name": "f" })).unwrap_err(), "found one of `user`"),
            (read(json!({ "role": "assistant" })).unwrap_err(), "expected Message, found map"),
            (
                read(json!({ "role": "assistant", "text": "a", "tool_calls": 3 })).unwrap_err(),
                "a list of calls, found int 3",
            ),
        ] {
            assert!(error.contains(part), "{error} has no: {part}");
        }
    }
}
