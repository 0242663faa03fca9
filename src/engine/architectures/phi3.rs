//! Phi-3 mini and medium (Abdin et al. 2024): llama with queries, keys and values in one matrix, gate and up in another.

use super::{Architecture, BASE, always};

/// The window, where one is stated, holds for every layer.
pub const PHI3: Architecture = Architecture { gguf: "phi3", hub: &["phi3"], windowed: always, ..BASE };
