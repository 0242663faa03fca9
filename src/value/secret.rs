//! Secrets: values that reach the provider that needs them and nothing else.

use std::sync::Arc;

/// A secret's value. It has no `Debug`, `Display` or `Serialize`: it can be handed on, never printed.
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<Arc<str>>) -> Self {
        Self(value.into())
    }

    /// The value, for the wire and for redaction alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Replaces every occurrence of a secret in `text` by `[secret]`.
pub fn redact(text: &str, secrets: &[Secret]) -> String {
    let mut out = text.to_owned();
    for secret in secrets.iter().filter(|s| !s.0.is_empty()) {
        if out.contains(secret.expose()) {
            out = out.replace(secret.expose(), "[secret]");
        }
    }
    out
}

/// The same in every text of a JSON value, keys included.
pub fn redact_json(json: serde_json::Value, secrets: &[Secret]) -> serde_json::Value {
    use serde_json::Value as Json;
    match json {
        _ if secrets.is_empty() => json,
        Json::String(text) => Json::from(redact(&text, secrets)),
        Json::Array(items) => items.into_iter().map(|item| redact_json(item, secrets)).collect(),
        Json::Object(map) => map.into_iter().map(|(k, v)| (redact(&k, secrets), redact_json(v, secrets))).collect(),
        other => other,
    }
}
