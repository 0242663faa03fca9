//! Gemma 3, its text models (2025): norms on heads, five layers of six with a window and a rotation of their own.

use super::{Activation, Architecture, BASE, gemma2};

/// Norm weights of the hub's checkpoints count from 1.
pub const GEMMA3: Architecture = Architecture {
    gguf: "gemma3",
    hub: &["gemma3_text"],
    hub_norm_offset: 1.0,
    activation: Activation::Gelu,
    scaled_embedding: true,
    windowed: |layer| (layer + 1) % 6 != 0,
    window_rope_base: Some(10_000.0),
    hub_name: gemma2::norms,
    ..BASE
};
