//! GPT-2 (Radford et al. 2019): learned positions, layer norms, biases everywhere, no gate.

use super::{Activation, Architecture, BASE, Part};

/// Checkpoints of the hub hold matrices as `[inputs][outputs]`, some with `transformer.` before every name.
pub const GPT2: Architecture = Architecture {
    gguf: "gpt2",
    hub: &["gpt2"],
    layer_norm: true,
    activation: Activation::Gelu,
    gated: false,
    learned_positions: true,
    hub_transposed: true,
    hub_name: name,
    ..BASE
};

fn name(part: Part) -> Option<&'static str> {
    Some(match part {
        Part::Embedding => "wte",
        Part::Positions => "wpe",
        Part::OutputNorm => "ln_f",
        Part::AttentionNorm => "h.{}.ln_1",
        Part::Qkv => "h.{}.attn.c_attn",
        Part::AttentionOut => "h.{}.attn.c_proj",
        Part::FeedNorm => "h.{}.ln_2",
        Part::Up => "h.{}.mlp.c_fc",
        Part::Down => "h.{}.mlp.c_proj",
        _ => return None,
    })
}
