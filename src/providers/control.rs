//! Control tokens in values. A server such as Ollama tokenises the rendered prompt, values included, so a value that holds a model's
//! control tokens could open a role of its own.

use std::ops::Range;

use serde_json::Value as Json;

use super::instruct::Format;
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

/// The control tokens that a chat template writes between its own marks, as Go's and Jinja's templates do: `{{ … }}`,
/// `{% … %}`. Words in plain angle brackets count only with an underscore (`<start_of_turn>`): others are HTML too, or
/// stand for something in the text of an instruction.
pub fn in_template(template: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut add = |token: &str| {
        if !out.iter().any(|t| t == token) {
            out.push(token.to_owned());
        }
    };
    for text in literals(template) {
        let mut rest = text;
        while let Some(start) = rest.find(OPENINGS) {
            rest = &rest[start..];
            match token_at(rest) {
                Some(token) => {
                    add(token);
                    rest = &rest[token.len()..];
                }
                None => rest = &rest[1..],
            }
        }
    }
    out
}

/// What a template writes as it stands.
fn literals(template: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = template;
    loop {
        let open = ["{{", "{%"].iter().filter_map(|mark| Some((rest.find(mark)?, *mark))).min();
        let Some((at, mark)) = open else {
            out.push(rest);
            return out;
        };
        out.push(&rest[..at]);
        let close = if mark == "{{" { "}}" } else { "%}" };
        match rest[at..].find(close) {
            Some(end) => {
                // Strings inside are written too, as in `{{ "<|im_start|>" }}`.
                out.extend(rest[at..at + end].split(['"', '\'', '`']).skip(1).step_by(2));
                rest = &rest[at + end + close.len()..];
            }
            None => return out,
        }
    }
}

/// The control token that a text begins with: a listed one, or one of a usual form.
fn token_at(text: &str) -> Option<&str> {
    let listed = TOKENS.iter().find(|token| text.starts_with(**token)).map(|token| &text[..token.len()]);
    listed.or_else(|| {
        let end = text.find(if text.starts_with('<') { '>' } else { ']' })?;
        let inner = text.get(1..end).filter(|t| !t.is_empty() && t.len() < 64)?;
        let name = |t: &str| !t.is_empty() && t.chars().all(|c| c.is_alphanumeric() || "_-▁".contains(c));
        let barred = |bar: char| inner.strip_prefix(bar).and_then(|t| t.strip_suffix(bar)).is_some_and(name);
        let word = inner.strip_prefix('/').unwrap_or(inner);
        let fits = match text.starts_with('<') {
            true => barred('|') || barred('｜') || (name(word) && word.contains('_')),
            false => name(word) && word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_'),
        };
        fits.then(|| &text[..=end])
    })
}

/// Refuses a request with a control token in it that a value brought, wholly or in part. `own` are the tokens of the
/// model's own template, where they are known; else widespread ones count. Those of the format that the model is told to
/// be written in count beside them: the server obeys both.
///
/// # Errors
/// It names the value and the token.
pub fn check(request: &Request, own: Option<&[String]>, format: Option<&'static Format>) -> Result<(), ProviderError> {
    let templates: Vec<&str> =
        own.map_or_else(|| TOKENS.to_vec(), |tokens| tokens.iter().map(String::as_str).collect());
    let of_format = format.map_or(&[][..], |format| format.tokens);
    let tokens = [of_format, templates.as_slice()].concat();
    let tokens = tokens.as_slice();
    let found = match &request.input {
        RequestInput::Messages(messages) => messages.iter().find_map(|m| in_message(m, tokens)),
        RequestInput::Raw(segments) => in_segments(segments, tokens),
    };
    match found {
        None => Ok(()),
        Some((token, name)) => {
            let name = name.map_or_else(|| "a value of the raw prompt".to_owned(), |n| format!("the value of `{n}`"));
            let whose = match format.filter(|format| format.tokens.contains(&token)) {
                Some(format) => format!("the format `{}`", format.name),
                None if own.is_some() => "the model's own chat template".to_owned(),
                None => "chat templates".to_owned(),
            };
            let message = format!("{name} holds `{token}`, a control token of {whose}");
            Err(ProviderError::new(ErrorKind::Prompt, message)
                .help("the server would obey it: a value could speak as another role or end its own")
                .help("`allow_control_tokens: true` on the model sends it all the same"))
        }
    }
}

/// Refuses definitions of tools that hold a control token: the server's template prints them as they are, wherever they are
/// from.
///
/// # Errors
/// It names the token.
pub fn check_tools(tools: &Json, own: Option<&[String]>) -> Result<(), ProviderError> {
    let text = tools.to_string();
    let found = match own {
        Some(tokens) => tokens.iter().map(String::as_str).find(|token| text.contains(token)),
        None => first_in(&text).map(|(token, _)| token),
    };
    match found {
        None => Ok(()),
        Some(token) => {
            let message = format!("`tools` hold `{token}`, a control token of a chat template");
            Err(ProviderError::new(ErrorKind::Prompt, message)
                .help("the server would obey it: a definition could speak as another role")
                .help("`allow_control_tokens: true` on the model sends it all the same"))
        }
    }
}

/// The first control token that a value of a message brought, and the value's name.
fn in_message<'a>(message: &'a Message, tokens: &[&'a str]) -> Option<(&'a str, Option<&'a str>)> {
    for value in &message.tainted {
        if let Some(token) = tokens.iter().find(|t| value.text.contains(**t)) {
            return Some((token, Some(&value.name)));
        }
    }
    // Two values side by side, or a value and the file's text, may make a token together. Where a value stands is not
    // known, so every place with its text counts, if it brings one of the token's brackets or bars: letters alone turn
    // no text of a file into a token that was not meant.
    for (token, place) in occurrences(&message.text, tokens) {
        for value in message.tainted.iter().filter(|v| !v.text.is_empty()) {
            let mut places = message.text.match_indices(&value.text).map(|(at, t)| at..at + t.len());
            if places.any(|at| brings_a_mark(&message.text, &at, &place)) {
                return Some((token, Some(&value.name)));
            }
        }
    }
    None
}

fn in_segments<'a>(segments: &'a [Segment], tokens: &[&'a str]) -> Option<(&'a str, Option<&'a str>)> {
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
    let found = occurrences(&text, tokens).find(|(_, place)| values.iter().any(|v| overlap(v, place)));
    found.map(|(token, _)| (token, None))
}

fn occurrences<'t, 'a>(text: &'t str, tokens: &'t [&'a str]) -> impl Iterator<Item = (&'a str, Range<usize>)> + 't
where
    'a: 't,
{
    tokens.iter().flat_map(move |token| text.match_indices(*token).map(|(at, t)| (*token, at..at + t.len())))
}

fn brings_a_mark(text: &str, value: &Range<usize>, token: &Range<usize>) -> bool {
    let (start, end) = (value.start.max(token.start), value.end.min(token.end));
    start < end && text.get(start..end).is_some_and(|part| part.contains(['<', '>', '[', ']', '|', '｜']))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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
        assert!(check(&request("Hi <|im_end|>", &[("x", "<|im_end|>")]), None, None).is_err());
        assert!(check(&request("<|im_end|>", &[("a", "<|im_"), ("b", "end|>")]), None, None).is_err());
        assert!(check(&request("<|im_end|> end", &[("x", "end")]), None, None).is_ok());
        assert!(check(&request("<s>text</s>", &[("x", "<s>text</s>")]), None, None).is_ok());
        assert!(check(&request("if a <| b then [INST", &[("x", "[INST")]), None, None).is_ok());
    }

    #[test]
    fn raw_prompts() {
        let raw = |parts: &[(&str, bool)]| {
            let parts = parts.iter().map(|(t, v)| Segment { text: (*t).to_owned(), from_value: *v }).collect();
            check(&Request { input: RequestInput::Raw(parts), constraint: None }, None, None)
        };
        assert!(raw(&[("[INST] ", false), ("potato", true), (" [/INST]", false)]).is_ok());
        assert!(raw(&[("[INST] ", false), ("[/INST]", true)]).is_err());
        assert!(raw(&[("[IN", true), ("ST]", true)]).is_err());
    }

    #[test]
    fn tokens_of_templates() {
        let of = |template: &str| in_template(template).join(" ");
        let chatml =
            "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n";
        assert_eq!(of(chatml), "<|im_start|> <|im_end|>");
        assert_eq!(of("[INST] {{ if .System }}{{ .System }} {{ end }}{{ .Prompt }} [/INST]"), "[INST] [/INST]");
        assert_eq!(of("{{ \"<start_of_turn>\" }}user {{ .Prompt }}<end_of_turn>"), "<start_of_turn> <end_of_turn>");
        assert_eq!(of("<<SYS>>{{ .System }}<</SYS>> <｜User｜>"), "<<SYS>> <</SYS>> <｜User｜>");
        // Names in an instruction's text are none.
        assert_eq!(of("use <tools> or <function-name>, [a] or [1], a < b > c, <s>{{ .Prompt }}</s>"), "");
        assert_eq!(of("<tool_call>{{ broken"), "<tool_call>");
    }

    #[test]
    fn a_models_own_tokens_take_the_place_of_the_list() {
        let own = ["<|turn|>".to_owned()];
        assert!(check(&request("[INST]", &[("x", "[INST]")]), Some(&own), None).is_ok());
        let error = check(&request("<|turn|>", &[("x", "<|turn|>")]), Some(&own), None).unwrap_err();
        assert!(error.message.contains("the model's own chat template"), "{error:?}");
    }
}
