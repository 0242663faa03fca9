//! Llama 2 and 3, SmolLM 1 and 2, and the many models that are built alike (Touvron et al. 2023).

use super::{Architecture, BASE};

/// GGUF files pair neighbours: their converter reorders the rows of queries and keys.
pub const LLAMA: Architecture = Architecture { gguf: "llama", hub: &["llama"], gguf_pairs_halves: false, ..BASE };
