//! JSON for assertions: a text that is JSON from end to end, and all the JSON in a text.

use super::answer;
use super::json_text::{Broken, read};
use super::spec::ParseError;
use crate::value::Value;

/// The value of a text that is one JSON value (RFC 8259) and nothing else, blanks around it aside. Besides what is no
/// JSON, a key given twice and a number that is too large are errors, as the parser `json` has it.
///
/// # Errors
/// Why the text is no such value, and where.
pub fn json_document(text: &str) -> Result<Value, ParseError> {
    let body = text.trim_end_matches([' ', '\t', '\n', '\r']);
    if body.is_empty() {
        return Err(ParseError::new("the text is empty"));
    }
    let broken = |b: Broken| {
        let error = answer::at(text, b.at, b.message);
        b.help.into_iter().fold(error, ParseError::help)
    };
    let (value, end) = read(body, 0).map_err(broken)?;
    if end < body.len() {
        let rest = body.len() - body[end..].trim_start_matches([' ', '\t', '\n', '\r']).len();
        return Err(answer::at(text, rest, "more stands behind the JSON value"));
    }
    // The reader of answers lets line breaks stand in strings; JSON does not.
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(body) {
        return Err(ParseError::new(error.to_string()));
    }
    Ok(value)
}

/// Every object and list of JSON that stands in a text, in order. What stands inside of one is part of it; nothing is
/// taken from within one that breaks off. The time is linear in the text.
pub fn json_values(text: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(step) = text[from..].find(['{', '[']) {
        let at = from + step;
        match read(text, at) {
            Ok((value, end)) => {
                found.push(value);
                from = end;
            }
            // Where it broke may begin another; up to there, all was read.
            Err(broken) => from = floor(text, broken.at.max(at + 1)),
        }
    }
    found
}

/// The last place between characters up to byte `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> String {
        json_document(text).map_or_else(|e| e.message, |v| v.to_json().to_string())
    }

    #[test]
    fn a_document_is_json_from_end_to_end() {
        assert_eq!(document(" {\"a\": [1, 2.5]}\r\n"), "{\"a\":[1,2.5]}");
        assert_eq!(document("\"s\""), "\"s\"");
        for (text, wanted) in [
            ("", "empty"),
            (" \n", "empty"),
            ("\u{feff}{}", "expected a value"),
            ("{} x", "more stands behind the JSON value (line 1, column 4"),
            ("{\"a\":1,}", "expected a key"),
            ("{\"a\":1,\"a\":2}", "stands twice"),
            ("1e400", "too large"),
            ("[\"a\nb\"]", "control character"),
            ("NaN", "expected a value"),
            ("\u{a0}1", "expected a value"),
        ] {
            assert!(document(text).contains(wanted), "{text:?}: {}", document(text));
        }
    }

    #[test]
    fn all_values_of_a_text() {
        let all = |text: &str| json_values(text).iter().map(|v| v.to_json().to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(all("text {\"a\":\"x\"} more {\"a\":2} [1]"), "{\"a\":\"x\"} {\"a\":2} [1]");
        assert_eq!(all("```json\n{\"s\": \"brace } inside\"}\n```"), "{\"s\":\"brace } inside\"}");
        assert_eq!(all("{smile} {\"a\":1} {\"b\":"), "{\"a\":1}");
        assert_eq!(all("{\"a\": {\"b\": 1}, oops}"), "");
        assert_eq!(all("no 42 \"s\" JSON"), "");
        assert_eq!(all("[é {}"), "{}");
    }

    #[test]
    fn a_megabyte_is_read_in_linear_time() {
        for piece in ["[", "{\"a\":", "{}", "[1,", "{é", "[\"\\ud800"] {
            let began = std::time::Instant::now();
            let _ = json_values(&piece.repeat((1 << 20) / piece.len()));
            assert!(began.elapsed() < std::time::Duration::from_secs(3), "{piece}: {:?}", began.elapsed());
        }
    }
}
