//! What files call the parts of a decoder.

use super::Architecture;

/// A part of a decoder that has weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Part {
    Embedding,
    Positions,
    OutputNorm,
    Output,
    /// Divisors of the frequencies of rotations.
    RopeDivisors,
    AttentionNorm,
    Q,
    K,
    V,
    /// Queries, keys and values in one matrix.
    Qkv,
    AttentionOut,
    QNorm,
    KNorm,
    /// Norm of what attention gives, before it is added.
    PostAttentionNorm,
    FeedNorm,
    Gate,
    Up,
    /// Gate, then up, in one matrix.
    GateUp,
    Down,
    /// Norm of what the feed-forward part gives, before it is added.
    PostFeedNorm,
}

impl Part {
    /// Every part.
    pub const ALL: &[Self] = &[
        Self::Embedding,
        Self::Positions,
        Self::OutputNorm,
        Self::Output,
        Self::RopeDivisors,
        Self::AttentionNorm,
        Self::Q,
        Self::K,
        Self::V,
        Self::Qkv,
        Self::AttentionOut,
        Self::QNorm,
        Self::KNorm,
        Self::PostAttentionNorm,
        Self::FeedNorm,
        Self::Gate,
        Self::Up,
        Self::GateUp,
        Self::Down,
        Self::PostFeedNorm,
    ];

    /// The name in GGUF files, without `.weight`; `{}` stands for the layer. The fused gate is called as `ffn_up` is.
    pub fn gguf(self) -> &'static str {
        match self {
            Self::Embedding => "token_embd",
            Self::Positions => "position_embd",
            Self::OutputNorm => "output_norm",
            Self::Output => "output",
            Self::RopeDivisors => "rope_freqs",
            Self::AttentionNorm => "blk.{}.attn_norm",
            Self::Q => "blk.{}.attn_q",
            Self::K => "blk.{}.attn_k",
            Self::V => "blk.{}.attn_v",
            Self::Qkv => "blk.{}.attn_qkv",
            Self::AttentionOut => "blk.{}.attn_output",
            Self::QNorm => "blk.{}.attn_q_norm",
            Self::KNorm => "blk.{}.attn_k_norm",
            Self::PostAttentionNorm => "blk.{}.post_attention_norm",
            Self::FeedNorm => "blk.{}.ffn_norm",
            Self::Gate => "blk.{}.ffn_gate",
            Self::Up | Self::GateUp => "blk.{}.ffn_up",
            Self::Down => "blk.{}.ffn_down",
            Self::PostFeedNorm => "blk.{}.post_ffw_norm",
        }
    }

    /// The name in the hub's checkpoints, without `.weight`. Parts that llama does not have are called as most families
    /// that have them do.
    pub fn hub(self, of: &Architecture) -> &'static str {
        (of.hub_name)(self).unwrap_or(match self {
            Self::Embedding => "model.embed_tokens",
            Self::Positions => "",
            Self::OutputNorm => "model.norm",
            Self::Output => "lm_head",
            Self::RopeDivisors => "",
            Self::AttentionNorm => "model.layers.{}.input_layernorm",
            Self::Q => "model.layers.{}.self_attn.q_proj",
            Self::K => "model.layers.{}.self_attn.k_proj",
            Self::V => "model.layers.{}.self_attn.v_proj",
            Self::Qkv => "model.layers.{}.self_attn.qkv_proj",
            Self::AttentionOut => "model.layers.{}.self_attn.o_proj",
            Self::QNorm => "model.layers.{}.self_attn.q_norm",
            Self::KNorm => "model.layers.{}.self_attn.k_norm",
            Self::PostAttentionNorm => "",
            Self::FeedNorm => "model.layers.{}.post_attention_layernorm",
            Self::Gate => "model.layers.{}.mlp.gate_proj",
            Self::Up => "model.layers.{}.mlp.up_proj",
            Self::GateUp => "model.layers.{}.mlp.gate_up_proj",
            Self::Down => "model.layers.{}.mlp.down_proj",
            Self::PostFeedNorm => "",
        })
    }
}
