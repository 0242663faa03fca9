//! Calls that models ask for, put together of what servers send.

use serde_json::{Map, Value as Json};

use crate::value::ToolCall;

/// A call that came whole, its arguments an object: the way of Ollama. `number` is how many came before.
///
/// # Errors
/// It has no name, or arguments that are none, in words.
pub fn whole_call(json: &Json, number: usize) -> Result<ToolCall, String> {
    let mut calls = Calls::default();
    calls.push(json, None);
    let mut call = calls.finish()?.into_iter().next().unwrap_or_default();
    // Older servers give none.
    if json.get("id").and_then(Json::as_str).is_none_or(str::is_empty) {
        call.id = made_id(number);
    }
    Ok(call)
}

/// The `id` of a call that its server gave none.
fn made_id(number: usize) -> String {
    format!("call_{number}")
}

/// Calls that come in pieces, several at a time perhaps: the way of OpenAI.
#[derive(Debug, Default)]
pub struct Calls {
    calls: Vec<Growing>,
}

#[derive(Debug, Default)]
struct Growing {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Calls {
    /// Whether none came.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Takes the pieces of calls that one event has.
    pub fn push_all<'j>(&mut self, pieces: impl ExactSizeIterator<Item = &'j Json>) {
        let several = pieces.len() > 1;
        for (i, piece) in pieces.enumerate() {
            self.push(piece, several.then_some(i));
        }
    }

    /// Takes a piece of a call. It belongs to the call of the same `index`, else of the same `id`; one that names no tool
    /// belongs to the call at its `place` among the pieces of the event, of one piece to the last call.
    fn push(&mut self, json: &Json, place: Option<usize>) {
        let text = |json: &Json, key: &str| json.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
        let function = json.get("function").unwrap_or(json);
        let (index, id) = (json.get("index").and_then(Json::as_u64), text(json, "id"));
        let name = text(function, "name");
        let at = match index {
            Some(_) => self.calls.iter().position(|call| call.index == index),
            None if !id.is_empty() => self.calls.iter().position(|call| call.id == id),
            None if name.is_empty() => {
                let last = self.calls.len().checked_sub(1);
                last.map(|last| place.filter(|at| *at <= last).unwrap_or(last))
            }
            None => None,
        };
        let at = at.unwrap_or_else(|| {
            self.calls.push(Growing { index, ..Growing::default() });
            self.calls.len() - 1
        });
        let Some(call) = self.calls.get_mut(at) else { return };
        // Some servers give the first two with every piece.
        if call.id.is_empty() {
            call.id = id;
        }
        if call.name.is_empty() {
            call.name = name;
        }
        match function.get("arguments").or_else(|| function.get("parameters")) {
            Some(Json::String(piece)) => call.arguments.push_str(piece),
            Some(Json::Null) | None => {}
            Some(whole) => call.arguments = whole.to_string(),
        }
    }

    /// The calls, once nothing is missing.
    ///
    /// # Errors
    /// One has no name, or arguments that are no JSON object, in words.
    pub fn finish(self) -> Result<Vec<ToolCall>, String> {
        let whole = |(i, call): (usize, Growing)| {
            if call.name.is_empty() {
                return Err("the model asks for a tool without a name".to_owned());
            }
            let arguments = match call.arguments.trim() {
                "" => Map::new(),
                text => match serde_json::from_str(text) {
                    Ok(Json::Object(map)) => map,
                    // As some models write no arguments.
                    Ok(Json::Null) => Map::new(),
                    _ => {
                        let shown: String = text.chars().take(200).collect();
                        let name = &call.name;
                        return Err(format!(
                            "the model asks for the tool `{name}` with what is no JSON object: {shown}"
                        ));
                    }
                },
            };
            let id = if call.id.is_empty() { made_id(i) } else { call.id };
            Ok(ToolCall { id, name: call.name, arguments })
        };
        self.calls.into_iter().enumerate().map(whole).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn joined(pieces: &[Json]) -> Result<Json, String> {
        let mut calls = Calls::default();
        for piece in pieces {
            calls.push_all(piece.as_array().unwrap().iter());
        }
        Ok(calls.finish()?.iter().map(ToolCall::to_json).collect())
    }

    #[test]
    fn pieces_of_several_calls() {
        let wanted = json!([
            { "id": "a", "name": "f", "arguments": { "x": 1 } },
            { "id": "b", "name": "g", "arguments": {} },
        ]);
        let interleaved = [
            json!([{ "index": 0, "id": "a", "function": { "name": "f", "arguments": "{\"x" } }]),
            json!([{ "index": 1, "id": "b", "function": { "name": "g", "arguments": "" } }]),
            json!([{ "index": 1, "function": { "arguments": "{" } }, { "index": 0, "function": { "arguments": "\":" } }]),
            json!([{ "index": 0, "id": "a", "function": { "name": "f", "arguments": " 1}" } }]),
            json!([{ "index": 1, "function": { "arguments": "}" } }]),
        ];
        assert_eq!(joined(&interleaved).unwrap(), wanted);
        let by_id = [
            json!([{ "id": "a", "function": { "name": "f", "arguments": "{\"x\":" } }, { "id": "b", "function": { "name": "g" } }]),
            json!([{ "id": "a", "function": { "arguments": "1}" } }]),
        ];
        assert_eq!(joined(&by_id).unwrap(), wanted);
        let whole = [
            json!([{ "id": "a", "type": "function", "function": { "name": "f", "arguments": { "x": 1 } } }]),
            json!([{ "id": "b", "function": { "name": "g", "arguments": null } }]),
        ];
        assert_eq!(joined(&whole).unwrap(), wanted);
        let bare = [
            json!([{ "function": { "name": "f", "arguments": "{\"x\":" } }]),
            json!([{ "function": { "arguments": "1}" } }]),
            json!([{ "function": { "name": "g" } }]),
            json!([{ "function": { "arguments": "{}" } }]),
        ];
        assert_eq!(joined(&bare).unwrap()[0]["arguments"], json!({ "x": 1 }));
        let ids: Vec<Json> = joined(&bare).unwrap().as_array().unwrap().iter().map(|c| c["id"].clone()).collect();
        assert_eq!(ids, ["call_0", "call_1"]);
    }

    #[test]
    fn calls_that_cannot_be_read() {
        let error = |call: Json| joined(&[json!([call])]).unwrap_err();
        assert_eq!(error(json!({ "function": { "arguments": "{}" } })), "the model asks for a tool without a name");
        let broken = error(json!({ "function": { "name": "f", "arguments": "{\"a\": " } }));
        assert_eq!(broken, "the model asks for the tool `f` with what is no JSON object: {\"a\":");
        assert!(error(json!({ "function": { "name": "f", "arguments": "[1]" } })).ends_with("[1]"));
        assert_eq!(whole_call(&json!({ "function": { "name": "f" } }), 3).unwrap().id, "call_3");
    }
}
