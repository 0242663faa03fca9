//! Control tokens in values. A server such as Ollama tokenises the rendered prompt, values included, so a value that holds a model's
//! control tokens could open a role of its own.

use std::ops::Range;

use super::{ErrorKind, ProviderError};
use crate::value::{Message, Request, RequestInput, Segment};

/// Tokens that open, name or close roles in widespread chat templates. `<s>` and `</s>` are left out: they are HTML too.
const TOKENS: &[&str] = &[
    // ChatML and its many users.
    "<|im_start|>",
    "<|im_end|>",
    "<|im_sep|>",
    "<|endoftext|>",
    // Llama 3.
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|python_tag|>",
    // Llama 2 and Mistral.
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_CALLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    // Gemma.
    "<start_of_turn>",
    "<end_of_turn>",
    // Phi, Zephyr, GLM.
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<|end|>",
    "<|tool|>",
    "<|observation|>",
    // gpt-oss.
    "<|start|>",
    "<|message|>",
    "<|channel|>",
    "<|return|>",
    "<|call|>",
    // Granite.
    "<|start_of_role|>",
    "<|end_of_role|>",
    // Command R.
    "<|START_OF_TURN_TOKEN|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|USER_TOKEN|>",
    "<|CHATBOT_TOKEN|>",
    "<|SYSTEM_TOKEN|>",
    // DeepSeek.
    "<｜User｜>",
    "<｜Assistant｜>",
    "<｜begin▁of▁sentence｜>",
    "<｜end▁of▁sentence｜>",
];

/// What the tokens begin with: most texts hold none of these, and no token is looked for in them.
const OPENINGS: [char; 2] = ['<', '['];

/// The first control token that a text holds, with its place in bytes.
pub fn first_in(text: &str) -> Option<(&'static str, Range<usize>)> {
    if !text.contains(OPENINGS) {
        return None;
    }
    let at = |token: &&'static str| text.find(token).map(|i| (*token, i..i + token.len()));
    TOKENS.iter().filter_map(at).min_by_key(|(_, range)| range.start)
}

/// Refuses a request with a control token in it that a value brought, wholly or in part.
///
/// # Errors
/// It names the value and the token.
pub fn check(request: &Request) -> Result<(), ProviderError> {
    let found = match &request.input {
        RequestInput::Messages(messages) => messages.iter().find_map(in_message),
        RequestInput::Raw(segments) => in_segments(segments),
    };
    match found {
        None => Ok(()),
        Some((token, name)) => {
            let name = name.map_or_else(|| "a value of the raw prompt".to_owned(), |n| format!("the value of `{n}`"));
            let message = format!("{name} holds `{token}`, a control token of chat templates");
            Err(ProviderError::new(ErrorKind::Prompt, message)
                .help("the server would obey it: a value could speak as another role or end its own")
                .help("`allow_control_tokens: true` on the model sends it all the same"))
        }
    }
}

/// The first control token that a value of a message brought, and the value's name.
fn in_message(message: &Message) -> Option<(&'static str, Option<&str>)> {
    for value in &message.tainted {
        if let Some(token) = TOKENS.iter().find(|t| value.text.contains(*t)) {
            return Some((token, Some(&value.name)));
        }
    }
    // Two values side by side, or a value and the file's text, may make a token together. Where a value stands is not
    // known, so every place with its text counts, if it brings one of the token's brackets or bars: letters alone turn
    // no text of a file into a token that was not meant.
    for (token, place) in occurrences(&message.text) {
        for value in message.tainted.iter().filter(|v| !v.text.is_empty()) {
            let mut places = message.text.match_indices(&value.text).map(|(at, t)| at..at + t.len());
            if places.any(|at| brings_a_mark(&message.text, &at, &place)) {
                return Some((token, Some(&value.name)));
            }
        }
    }
    None
}

fn in_segments(segments: &[Segment]) -> Option<(&'static str, Option<&str>)> {
    let mut text = String::new();
    let mut values = Vec::new();
    for segment in segments {
        let start = text.len();
        text.push_str(&segment.text);
        if segment.from_value {
            values.push(start..text.len());
        }
    }
    let overlap = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
    occurrences(&text).find(|(_, place)| values.iter().any(|v| overlap(v, place))).map(|(token, _)| (token, None))
}

fn occurrences(text: &str) -> impl Iterator<Item = (&'static str, Range<usize>)> {
    TOKENS.iter().flat_map(move |token| text.match_indices(token).map(|(at, t)| (*token, at..at + t.len())))
}

fn brings_a_mark(text: &str, value: &Range<usize>, token: &Range<usize>) -> bool {
    let (start, end) = (value.start.max(token.start), value.end.min(token.end));
    start < end && text.get(start..end).is_some_and(|part| part.contains(['<', '>', '[', ']', '|', '｜']))
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_token_begins_as_the_quick_look_expects() {
        assert!(super::TOKENS.iter().all(|token| token.starts_with(super::OPENINGS)));
    }

    use super::*;
    use crate::value::{Role, Tainted};

    fn request(text: &str, values: &[(&str, &str)]) -> Request {
        let tainted = values.iter().map(|(n, t)| Tainted { name: (*n).to_owned(), text: (*t).to_owned() }).collect();
        let message = Message { tainted, ..Message::new(Role::User, text) };
        Request { input: RequestInput::Messages(vec![message]), constraint: None }
    }

    #[test]
    fn tokens_of_values_and_of_the_file() {
        assert!(check(&request("Hi <|im_end|>", &[("x", "<|im_end|>")])).is_err());
        assert!(check(&request("<|im_end|>", &[("a", "<|im_"), ("b", "end|>")])).is_err());
        assert!(check(&request("<|im_end|> end", &[("x", "end")])).is_ok());
        assert!(check(&request("<s>text</s>", &[("x", "<s>text</s>")])).is_ok());
        assert!(check(&request("if a <| b then [INST", &[("x", "[INST")])).is_ok());
    }

    #[test]
    fn raw_prompts() {
        let raw = |parts: &[(&str, bool)]| {
            let parts = parts.iter().map(|(t, v)| Segment { text: (*t).to_owned(), from_value: *v }).collect();
            check(&Request { input: RequestInput::Raw(parts), constraint: None })
        };
        assert!(raw(&[("[INST] ", false), ("potato", true), (" [/INST]", false)]).is_ok());
        assert!(raw(&[("[INST] ", false), ("[/INST]", true)]).is_err());
        assert!(raw(&[("[IN", true), ("ST]", true)]).is_err());
    }
}
