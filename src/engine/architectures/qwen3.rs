//! Qwen 3 (2025): norms on each head's queries and keys in place of biases.

use super::{Architecture, BASE};

/// The norms are found by their names.
pub const QWEN3: Architecture = Architecture { gguf: "qwen3", hub: &["qwen3"], ..BASE };
