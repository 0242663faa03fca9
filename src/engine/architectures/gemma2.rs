//! Gemma 2 (2024): norms before and after each part, windows in every second layer, bent scores and logits.

use super::{Activation, Architecture, BASE, Part};

/// Norm weights of the hub's checkpoints count from 1.
pub const GEMMA2: Architecture = Architecture {
    gguf: "gemma2",
    hub: &["gemma2"],
    hub_norm_offset: 1.0,
    activation: Activation::Gelu,
    scaled_embedding: true,
    windowed: |layer| layer % 2 == 0,
    hub_name: norms,
    ..BASE
};

/// What the hub's checkpoints of Gemma call the four norms of a layer.
pub fn norms(part: Part) -> Option<&'static str> {
    Some(match part {
        Part::PostAttentionNorm => "model.layers.{}.post_attention_layernorm",
        Part::FeedNorm => "model.layers.{}.pre_feedforward_layernorm",
        Part::PostFeedNorm => "model.layers.{}.post_feedforward_layernorm",
        _ => return None,
    })
}
