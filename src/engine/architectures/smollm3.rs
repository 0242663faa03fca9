//! SmolLM3 (2025): llama whose every fourth layer does not rotate.

use super::{Architecture, BASE};

/// GGUF files pair neighbours, as llama's do.
pub const SMOLLM3: Architecture = Architecture {
    gguf: "smollm3",
    hub: &["smollm3"],
    gguf_pairs_halves: false,
    rotates: |layer| (layer + 1) % 4 != 0,
    ..BASE
};
