//! The message in an error body. Servers have at least seven shapes for it (OpenAI, Ollama, FastAPI, TGI, llama.cpp,
//! plain text, HTML of a proxy).

use serde_json::Value as Json;

/// Characters of a body without a known shape that are shown.
const SHOWN: usize = 500;

/// What an error body says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorText {
    /// The message; empty when the body is.
    pub message: String,
    /// The innermost object that held the message, with whatever else stands there (`type`, `code`, counts).
    pub details: Option<Json>,
}

impl ErrorText {
    /// Reads a body: `error.message`, else `error` as text, else `message`, else `detail` (text, or FastAPI's list),
    /// else the raw text, shortened. Text that is JSON itself is read again: Ollama passes on its runner's errors so.
    pub fn read(body: &str) -> Self {
        match serde_json::from_str::<Json>(body.trim()) {
            Ok(json @ Json::Object(_)) => Self::from_json(&json),
            Ok(Json::String(text)) => Self { message: shorten(&text), details: None },
            _ => Self { message: shorten(body.trim()), details: None },
        }
    }

    /// The same for a body that is parsed already.
    pub fn from_json(json: &Json) -> Self {
        Self::inner(json, 4)
    }

    fn inner(json: &Json, depth: usize) -> Self {
        let here = |text: &str| Self { message: shorten(text), details: Some(json.clone()) };
        if let (Some(error @ Json::Object(_)), true) = (json.get("error"), depth > 0) {
            return Self::inner(error, depth - 1);
        }
        for key in ["error", "message", "detail"] {
            match json.get(key) {
                Some(Json::String(text)) if !text.is_empty() => {
                    if let (Ok(nested @ Json::Object(_)), true) = (serde_json::from_str::<Json>(text), depth > 0) {
                        return Self::inner(&nested, depth - 1);
                    }
                    return here(text);
                }
                Some(Json::Array(items)) if key == "detail" => {
                    return here(&items.iter().map(fault).collect::<Vec<_>>().join("; "));
                }
                _ => {}
            }
        }
        here(&json.to_string())
    }

    /// A whole number beside the message.
    pub fn count(&self, key: &str) -> Option<u64> {
        self.details.as_ref()?.get(key)?.as_u64()
    }

    /// A text beside the message, as `type` or `code`.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.details.as_ref()?.get(key)?.as_str()
    }
}

/// One fault of a FastAPI list: `{loc: […], msg, type}`.
fn fault(item: &Json) -> String {
    let Some(message) = item.get("msg").and_then(Json::as_str) else { return item.to_string() };
    let path: Vec<String> = match item.get("loc").and_then(Json::as_array) {
        Some(parts) => parts.iter().map(|p| p.as_str().map_or_else(|| p.to_string(), str::to_owned)).collect(),
        None => Vec::new(),
    };
    if path.is_empty() { message.to_owned() } else { format!("{}: {message}", path.join(".")) }
}

fn shorten(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape() {
        for (body, message) in [
            (r#"{"error":{"message":"no such model","type":"invalid_request_error"}}"#, "no such model"),
            (r#"{"error":"model 'x' not found"}"#, "model 'x' not found"),
            (r#"{"object":"error","message":"too long","code":400}"#, "too long"),
            (r#"{"detail":"Not Found"}"#, "Not Found"),
            (
                r#"{"detail":[{"loc":["body","messages",0],"msg":"field required","type":"missing"}]}"#,
                "body.messages.0: field required",
            ),
            ("Internal Server Error\n", "Internal Server Error"),
            ("", ""),
            (r#"{"error":"{\"error\":{\"code\":400,\"message\":\"inner\"}}"}"#, "inner"),
            (r#"{"error":null,"message":"beside"}"#, "beside"),
            (r#"{"odd":1}"#, r#"{"odd":1}"#),
        ] {
            assert_eq!(ErrorText::read(body).message, message, "{body}");
        }
    }

    #[test]
    fn counts_beside_a_nested_message_and_long_text() {
        let body = r#"{"error":"{\"error\":{\"message\":\"too long\",\"n_prompt_tokens\":1121,\"n_ctx\":256}}"}"#;
        let text = ErrorText::read(body);
        assert_eq!((text.count("n_prompt_tokens"), text.count("n_ctx")), (Some(1121), Some(256)));
        assert_eq!(ErrorText::read(&"감".repeat(600)).message.chars().count(), 500);
    }
}
