//! What goes wrong in a template, in words.

use std::ops::Range;

use minijinja::ErrorKind;

use super::engine::{self, Edits};
use super::{NameUse, Scope, convert};
use crate::value::nearest;

/// A fault in a template or expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// What is wrong.
    pub message: String,
    /// The bytes of the text that it is about.
    pub range: Option<Range<usize>>,
    /// What to do about it.
    pub help: Vec<String>,
}

impl TemplateError {
    /// A fault without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), range: None, help: Vec::new() }
    }

    /// The same fault at `range`.
    pub(super) fn at(mut self, range: Range<usize>) -> Self {
        self.range = Some(range);
        self
    }

    /// The same fault with a hint, if there is one.
    pub(super) fn hint(mut self, hint: Option<String>) -> Self {
        self.help.extend(hint);
        self
    }
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TemplateError {}

/// The hint that names what was probably meant.
pub(super) fn meant<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(name, known).map(|n| format!("did you mean `{n}`?"))
}

/// The range of `e` in the text as written, inside its bounds and on character borders.
fn place(e: &minijinja::Error, text: &str, edits: &Edits) -> Option<Range<usize>> {
    let range = edits.original(e.range()?);
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(range.start);
    Some(start..floor(range.end).max(start))
}

/// An error of minijinja's parser.
pub(super) fn compile_time(e: &minijinja::Error, text: &str, edits: &Edits) -> TemplateError {
    let message = match e.detail() {
        Some("template exceeds maximum recursion limits") => "the template is nested too deep".to_owned(),
        Some(detail) => detail.to_owned(),
        None => e.kind().to_string(),
    };
    TemplateError { message, range: place(e, text, edits), help: Vec::new() }
}

/// An error while a template runs.
pub(super) fn run_time(
    e: &minijinja::Error,
    text: &str,
    edits: &Edits,
    names: &[NameUse],
    scope: &dyn Scope,
) -> TemplateError {
    let range = place(e, text, edits);
    let source = range.clone().and_then(|r| text.get(r)).map(str::trim).unwrap_or_default();
    let detail = e.detail().map(engine::without_additions);
    let message = match (e.kind(), detail) {
        (ErrorKind::UndefinedError, detail) => {
            let quoted = detail.as_deref().and_then(|d| d.split('`').nth(1));
            return undefined(quoted.unwrap_or(source), range, names, text, scope);
        }
        (ErrorKind::OutOfFuel, _) => "the template does more work than a template may".to_owned(),
        (ErrorKind::InvalidOperation, Some(d)) if d == engine::NULL_PRINTED => {
            let hint = match names.iter().any(|n| text.get(n.range.clone()) == Some(source)) {
                true => format!("say what to print instead: `{{{{ {source} or \"unknown\" }}}}`"),
                false => "say what to print instead: `{{ … or \"unknown\" }}`".to_owned(),
            };
            return TemplateError { message: format!("`{source}` is null"), range, help: vec![hint] };
        }
        (ErrorKind::InvalidOperation, Some(d)) => match d.contains("recursion") {
            true => "the template calls itself too deep".to_owned(),
            false => d,
        },
        (kind, Some(d)) => format!("{kind}: {d}"),
        (kind, None) => kind.to_string(),
    };
    let message = match source.is_empty() || source.chars().count() > 80 {
        true => message,
        false => format!("{message}, in `{source}`"),
    };
    TemplateError { message, range, help: Vec::new() }
}

/// The error about `what`, which has no value.
pub(super) fn undefined(
    what: &str,
    range: Option<Range<usize>>,
    names: &[NameUse],
    text: &str,
    scope: &dyn Scope,
) -> TemplateError {
    if what.contains(engine::MISSING) || what.contains(" if ") {
        let mut e = TemplateError::new("the `if` has no `else`, and its condition is false");
        e.range = range;
        return e.hint(Some("add `else` and what to give then".to_owned()));
    }
    let compact = |s: &str| s.split_whitespace().collect::<String>().replace('\'', "\"");
    let written = |n: &&NameUse| text.get(n.range.clone()).map(compact);
    let wanted = compact(what);
    let used = names.iter().find(|n| written(n).as_ref() == Some(&wanted)).or_else(|| {
        // An error about `a.b` may come from the longer path `a.b.c`.
        let longer = |n: &&NameUse| written(n).is_some_and(|w| w.starts_with(&format!("{wanted}.")));
        names.iter().find(longer)
    });
    let mut error = TemplateError::new(format!("`{what}` is undefined"));
    error.range = used.map(|n| n.range.clone()).or(range);
    let Some(used) = used else { return error };
    match convert::broken(&used.path, scope) {
        Some((0, _)) => error.hint(meant(used.name(), scope.names().iter().map(String::as_str))),
        Some((step, known)) => {
            let part = used.path.get(step).and_then(super::PathPart::text).unwrap_or_default();
            error.hint(meant(part, known.iter().map(String::as_str)))
        }
        None => error,
    }
}
