//! Qwen 2 and 2.5 (Yang et al. 2024): llama with biases on queries, keys and values.

use super::{Architecture, BASE};

/// Windows are stated by few files and then layer by layer.
pub const QWEN2: Architecture = Architecture { gguf: "qwen2", hub: &["qwen2"], ..BASE };
