//! A model's configuration: which provider, which model, which options, and where each came from.

use std::time::Duration;

use indexmap::IndexMap;

use super::{Enforcement, ErrorKind, ProviderError, Spec};
use crate::config::{Origin, Setting};
use crate::value::{Constraint, Secret, Value};

/// Options that go through to the server unread.
pub type Extra = serde_json::Map<String, serde_json::Value>;

/// The checked value of an option.
#[derive(Clone)]
pub enum OptionValue {
    /// A value of the language.
    Value(Value),
    /// A length of time.
    Duration(Duration),
    /// A number of bytes.
    Size(u64),
    /// A secret.
    Secret(Secret),
}

/// A model as a file or the command line describes it, every option checked against the provider's [`Spec`].
#[derive(Clone)]
pub struct ModelConfig {
    /// The provider.
    pub spec: &'static Spec,
    /// The declared name, else the provider's.
    pub name: String,
    /// The first, unnamed argument: the model's name, a path, or the fake model's answer.
    pub argument: Option<Value>,
    /// Options by their own name, whatever spelling was used.
    pub options: IndexMap<&'static str, Setting<OptionValue>>,
    /// Folder that paths in the file are relative to.
    pub base: std::path::PathBuf,
}

/// The largest answer unless the file says otherwise.
pub const MAX_RESPONSE: u64 = 64 << 20;

/// Texts that go to an embedder in one request unless the file says otherwise.
pub const BATCH: usize = 32;

/// The longest silence of a server unless the file says otherwise: loading a model may take minutes.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// The error of a model that is to give the same text again, and has no means for it.
pub(super) fn not_repeatable(provider: &str) -> ProviderError {
    let message = format!("`repeatable`: `{provider}` has no means to give the same text again");
    ProviderError::new(ErrorKind::Refused, message)
        .help("`cache: true` gives the first answer again; `local(…)` is always repeatable")
}

impl ModelConfig {
    /// The argument's text: the model's name.
    pub fn model(&self) -> String {
        self.argument.as_ref().and_then(Value::as_text).unwrap_or_default().into_owned()
    }

    /// The model's name for traces; a provider whose argument is no model has its own name there.
    pub fn shown_model(&self) -> String {
        if self.spec.argument.name == "model" { self.model() } else { self.spec.name.to_owned() }
    }

    /// The value of an option that takes a value.
    pub fn value(&self, name: &str) -> Option<&Value> {
        match self.options.get(name).map(|s| &s.value) {
            Some(OptionValue::Value(v)) => Some(v),
            _ => None,
        }
    }

    /// The text of an option.
    pub fn text(&self, name: &str) -> Option<String> {
        self.value(name).and_then(Value::as_text).map(std::borrow::Cow::into_owned)
    }

    /// The whole number of an option.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.value(name) {
            Some(Value::Int(n)) => Some(*n),
            _ => None,
        }
    }

    /// The number of an option.
    pub fn float(&self, name: &str) -> Option<f64> {
        match self.value(name) {
            Some(Value::Int(n)) => Some(*n as f64),
            Some(Value::Float(x)) => Some(*x),
            _ => None,
        }
    }

    /// The truth value of an option.
    pub fn bool(&self, name: &str) -> Option<bool> {
        match self.value(name) {
            Some(Value::Bool(b)) => Some(*b),
            _ => None,
        }
    }

    /// The texts of an option that takes one or a list.
    pub fn texts(&self, name: &str) -> Option<Vec<String>> {
        match self.value(name)? {
            Value::List(items) => Some(items.iter().filter_map(|v| v.as_text().map(|t| t.into_owned())).collect()),
            v => Some(vec![v.as_text()?.into_owned()]),
        }
    }

    /// The length of time of an option.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        match self.options.get(name).map(|s| &s.value) {
            Some(OptionValue::Duration(d)) => Some(*d),
            _ => None,
        }
    }

    /// The secret of an option.
    pub fn secret(&self, name: &str) -> Option<Secret> {
        match self.options.get(name).map(|s| &s.value) {
            Some(OptionValue::Secret(s)) => Some(s.clone()),
            _ => None,
        }
    }

    /// Tries after the first.
    pub fn retry(&self) -> u32 {
        self.int("retry").unwrap_or(0) as u32
    }

    /// The largest answer in bytes.
    pub fn max_response(&self) -> u64 {
        match self.options.get("max_response").map(|s| &s.value) {
            Some(OptionValue::Size(n)) => *n,
            _ => MAX_RESPONSE,
        }
    }

    /// What the model is held to, of what the parser behind it takes: nothing where `constrain: false` says so, or where
    /// the provider has no means.
    pub fn held_to(&self, constraint: Option<Constraint>) -> Option<Constraint> {
        let wanted = constraint?;
        match self.enforces(&wanted) {
            // What is written is held to nothing, but a recording is found by it.
            Enforcement::Written => Some(wanted),
            Enforcement::Enforced => (self.bool("constrain") != Some(false)).then_some(wanted),
            Enforcement::CheckedAlone(_) | Enforcement::Never(_) => None,
        }
    }

    /// Texts that go to an embedder in one request.
    pub fn batch(&self) -> usize {
        self.int("batch").and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(BATCH)
    }

    /// Whether the model is made to obey a constraint.
    pub fn enforces(&self, constraint: &Constraint) -> Enforcement {
        (self.spec.enforces)(constraint, &|name| self.value(name).cloned())
    }

    /// The longest silence of a server.
    pub fn idle_timeout(&self) -> Duration {
        self.duration("idle_timeout").unwrap_or(IDLE_TIMEOUT)
    }

    /// Where an option's value came from.
    pub fn origin(&self, name: &str) -> Origin {
        self.options.get(name).map_or(Origin::Default, |s| s.origin.clone())
    }
}
