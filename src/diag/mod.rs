//! Diagnostics: what is wrong, where, and what to type instead.

mod codes;
mod render;

pub use codes::{CODES, Code};
pub use render::{render, render_all};

use crate::source::Span;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot run.
    Error,
    /// It runs, and probably not as meant.
    Warning,
    /// Something to know.
    Note,
}

/// A further place that a diagnostic speaks of.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is there.
    pub text: String,
}

/// One thing that is wrong, with its place, its cause and what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// Its code, as `E204`.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// The place, where there is one.
    pub span: Option<Span>,
    /// What stands at the caret.
    pub label: String,
    /// Other places.
    pub labels: Vec<Label>,
    /// What to do about it, a line each.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, Some(span), message)
    }

    /// A diagnostic of any severity, with or without a place.
    pub fn new(severity: Severity, code: Code, span: Option<Span>, message: impl Into<String>) -> Self {
        Self {
            code,
            severity,
            message: message.into(),
            span,
            label: String::new(),
            labels: Vec::new(),
            help: Vec::new(),
        }
    }

    /// Sets what stands at the caret.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = text.into();
        self
    }

    /// Adds another place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Adds a line of help.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// Adds ``did you mean `x`?`` where one of the candidates is near `name`.
    #[must_use]
    pub fn did_you_mean<'a>(self, name: &str, candidates: impl Iterator<Item = &'a str>) -> Self {
        match crate::value::nearest(name, candidates) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None => self,
        }
    }
}
