//! What an output parser would have a model's answer obey.

/// A constraint on the text that a model may give.
#[derive(Clone, Debug, PartialEq)]
pub enum Constraint {
    /// JSON that this JSON Schema accepts.
    JsonSchema(serde_json::Value),
    /// Any JSON value.
    Json,
    /// Text that the whole of this regular expression matches.
    Regex(String),
}
