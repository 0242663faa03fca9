//! Tools as data: definitions that a model is told of, and calls that it asks for. No tool is ever executed.

mod calls;
mod definition;

use std::collections::HashMap;

pub use self::calls::{Calls, whole_call};
pub use self::definition::{FORM, check};
use super::sources::Source;
use super::{ErrorKind, ModelConfig, OptionKind, OptionSpec, ProviderError};
use crate::value::{Message, Role, ToolCall};

/// The option of every provider whose servers are told of tools: where these say what it is, and those it was tried at.
pub const fn option(documented: &'static [Source], tried: &'static [&'static str]) -> OptionSpec {
    let doc = "functions that the model may ask for: a list in OpenAI's form, or the path of a file that holds one";
    OptionSpec::new("tools", OptionKind::Tools, doc).documented(documented).tried(tried)
}

/// The tools that a model is told of, as JSON.
pub fn of(config: &ModelConfig) -> Option<serde_json::Value> {
    config.value("tools").map(crate::value::Value::to_json)
}

/// The error of a text that goes past the template which would tell the model of its tools.
pub fn no_template() -> ProviderError {
    ProviderError::new(
        ErrorKind::Prompt,
        "`tools` are told by the server's chat template, and a raw prompt goes past it",
    )
    .help("write the prompt as messages: leave `raw` out")
}

/// The error of messages that hold calls of tools, before a model that has no form for them.
///
/// # Errors
/// There is one.
pub fn none_in(messages: &[Message], who: &str) -> Result<(), ProviderError> {
    match messages.iter().position(|m| !m.calls.is_empty()) {
        None => Ok(()),
        Some(at) => {
            let message = format!("message {} asks for tools, and {who} has no form for that", at + 1);
            Err(ProviderError::new(ErrorKind::Prompt, message)
                .help("leave such messages out of the history; `ollama` and `openai` send them"))
        }
    }
}

/// A message with what ties calls of tools and their answers together: every call has an `id`, and an answer the `id` and
/// the name of its call, where the messages before it tell.
pub struct Linked<'m> {
    /// The message.
    pub message: &'m Message,
    /// Its calls.
    pub calls: Vec<ToolCall>,
    /// The tool that it answers for; empty where nothing tells.
    pub name: String,
    /// The call that it answers; empty where nothing tells.
    pub call_id: String,
}

/// The messages of a conversation, linked.
pub fn linked(messages: &[Message]) -> Vec<Linked<'_>> {
    let mut open: Vec<ToolCall> = Vec::new();
    let mut made: HashMap<usize, usize> = HashMap::new();
    let mut out = Vec::with_capacity(messages.len());
    for (at, message) in messages.iter().enumerate() {
        let mut calls = message.calls.clone();
        for call in calls.iter_mut().filter(|call| call.id.is_empty()) {
            let number = made.entry(at).or_default();
            call.id = format!("call_{at}_{number}");
            *number += 1;
        }
        let (mut name, mut call_id) = message.reply.clone().map(|r| (r.name, r.call_id)).unwrap_or_default();
        if message.role == Role::Tool {
            let fits =
                |call: &ToolCall| (call_id.is_empty() || call.id == call_id) && (name.is_empty() || call.name == name);
            if let Some(place) = open.iter().position(fits) {
                let call = open.remove(place);
                (name, call_id) = (call.name, call.id);
            }
        } else {
            open.clone_from(&calls);
        }
        out.push(Linked { message, calls, name, call_id });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::ToolReply;

    fn call(id: &str, name: &str) -> ToolCall {
        ToolCall { id: id.to_owned(), name: name.to_owned(), ..ToolCall::default() }
    }

    fn answer(name: &str, call_id: &str) -> Message {
        let reply = ToolReply { name: name.to_owned(), call_id: call_id.to_owned() };
        Message { reply: Some(reply), ..Message::new(Role::Tool, "x") }
    }

    #[test]
    fn answers_find_their_calls() {
        let asks =
            Message { calls: vec![call("", "f"), call("b", "g"), call("", "f")], ..Message::new(Role::Assistant, "") };
        let messages = [
            Message::new(Role::User, "q"),
            asks,
            answer("g", ""),
            Message::new(Role::Tool, "first"),
            answer("", "call_1_1"),
            Message::new(Role::Tool, "one too many"),
            Message::new(Role::User, "thanks"),
            answer("f", ""),
        ];
        let linked = linked(&messages);
        let of = |i: usize| (linked[i].name.as_str(), linked[i].call_id.as_str());
        assert_eq!(linked[1].calls.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["call_1_0", "b", "call_1_1"]);
        assert_eq!((of(2), of(3), of(4)), (("g", "b"), ("f", "call_1_0"), ("f", "call_1_1")));
        // What nothing tells stays as it is.
        assert_eq!((of(5), of(7)), (("", ""), ("f", "")));
    }
}
