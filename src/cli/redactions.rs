//! `test: { redact: [...] }` of a project's `chainrun.yaml`: what of a value is not compared with its snapshot.

use serde_json::Value as Json;

use super::command_line::key_place;
use crate::diag::{Code, Diagnostic};
use crate::source::{FileId, Span};
use crate::testing::Redaction;

/// Reads the settings of tests.
///
/// # Errors
/// A key that does not exist, a pattern that is none, each with its place.
pub fn redactions(test: &Json, file: FileId, text: &str) -> Result<Vec<Redaction>, Box<Diagnostic>> {
    let here = key_place(file, text, "test");
    let wrong = |what: &str, message: String| {
        Box::new(Diagnostic::error(Code::E304, place(here, file, text, what), message).help(EXAMPLE))
    };
    let Json::Object(map) = test else { return Err(wrong("", "`test` wants settings".to_owned())) };
    if let Some(key) = map.keys().find(|key| *key != "redact") {
        let diagnostic = wrong(key, format!("there is no setting `test: {key}`"));
        return Err(Box::new(diagnostic.did_you_mean(key, ["redact"].into_iter())));
    }
    let list = match map.get("redact") {
        None => return Ok(Vec::new()),
        Some(Json::Array(list)) => list,
        Some(_) => return Err(wrong("redact", "`redact` wants a list".to_owned())),
    };
    let mut all = Vec::with_capacity(list.len());
    for one in list {
        let Json::Object(one) = one else {
            return Err(wrong("redact", format!("{one} is no redaction: it wants `pattern` and `with`")));
        };
        if let Some(key) = one.keys().find(|key| !matches!(key.as_str(), "pattern" | "with")) {
            let diagnostic = wrong(key, format!("a redaction has no `{key}`"));
            return Err(Box::new(diagnostic.did_you_mean(key, ["pattern", "with"].into_iter())));
        }
        let (pattern, with) = match (one.get("pattern"), one.get("with")) {
            (Some(Json::String(pattern)), Some(Json::String(with))) => (pattern, with),
            (Some(Json::String(pattern)), None) => {
                return Err(wrong(pattern, "this redaction has no `with`, which takes its place".to_owned()));
            }
            (None, _) => return Err(wrong("redact", "a redaction has no `pattern`".to_owned())),
            _ => return Err(wrong("redact", "`pattern` and `with` want text".to_owned())),
        };
        let made = Redaction::new(pattern, with).map_err(|why| wrong(pattern, why))?;
        all.push(made);
    }
    Ok(all)
}

const EXAMPLE: &str = "write `test: { redact: [{ pattern: '[0-9]{4}-[0-9]{2}-[0-9]{2}', with: \"[date]\" }] }`";

/// Where `what` stands behind the key `test`; that key where it is not found as it is written.
fn place(test: Span, file: FileId, text: &str, what: &str) -> Span {
    let from = test.end as usize;
    match text.get(from..).and_then(|rest| rest.find(what)).filter(|_| !what.is_empty()) {
        Some(at) => Span::new(file, from + at, from + at + what.len()),
        None => test,
    }
}
