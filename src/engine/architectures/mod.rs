//! Decoders as data: what sets one family of models apart from another, and what its files call their parts. A family is
//! one file here and one line in [`ALL`].

mod gemma2;
mod gemma3;
mod gpt2;
mod llama;
mod mistral;
mod names;
mod phi3;
mod qwen2;
mod qwen3;
mod smollm3;

pub use names::Part;

/// A family of decoders.
#[derive(Debug)]
pub struct Architecture {
    /// `general.architecture` of GGUF files.
    pub gguf: &'static str,
    /// `model_type` in `config.json`.
    pub hub: &'static [&'static str],
    /// Norms are layer norms with biases, not root-mean-square norms.
    pub layer_norm: bool,
    /// What a checkpoint of the hub adds to the weights of its norms; GGUF files have it added already.
    pub hub_norm_offset: f32,
    /// The activation of the feed-forward part.
    pub activation: Activation,
    /// The feed-forward part multiplies the activation by a second product.
    pub gated: bool,
    /// Rotation pairs the halves of a head in GGUF files too; else neighbours, as their converter reorders rows. In the
    /// hub's checkpoints it pairs halves always.
    pub gguf_pairs_halves: bool,
    /// Positions are learned vectors, not rotations.
    pub learned_positions: bool,
    /// Embeddings are multiplied by the square root of their width.
    pub scaled_embedding: bool,
    /// Whether a layer sees a window of keys alone, where the file states a window and not the layers.
    pub windowed: fn(usize) -> bool,
    /// The base of rotations in layers with a window, where it is another one.
    pub window_rope_base: Option<f64>,
    /// Whether a layer rotates, where the file does not say.
    pub rotates: fn(usize) -> bool,
    /// Weights of matrices in the hub's checkpoints are `[inputs][outputs]`.
    pub hub_transposed: bool,
    /// The hub's name of a part, where it is another one than llama's; `{}` stands for the layer.
    pub hub_name: fn(Part) -> Option<&'static str>,
}

/// A function between the two products of the feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + e^-x)`.
    Silu,
    /// The Gaussian error linear unit in its tanh form.
    Gelu,
}

/// No layer.
pub const fn never(_: usize) -> bool {
    false
}

/// Every layer.
pub const fn always(_: usize) -> bool {
    true
}

/// What most families share: begin a new one with this.
pub const BASE: Architecture = Architecture {
    gguf: "",
    hub: &[],
    layer_norm: false,
    hub_norm_offset: 0.0,
    activation: Activation::Silu,
    gated: true,
    gguf_pairs_halves: true,
    learned_positions: false,
    scaled_embedding: false,
    windowed: never,
    window_rope_base: None,
    rotates: always,
    hub_transposed: false,
    hub_name: no_other_name,
};

const fn no_other_name(_: Part) -> Option<&'static str> {
    None
}

/// Every family.
pub const ALL: &[&Architecture] = &[
    &gemma2::GEMMA2,
    &gemma3::GEMMA3,
    &gpt2::GPT2,
    &llama::LLAMA,
    &mistral::MISTRAL,
    &phi3::PHI3,
    &qwen2::QWEN2,
    &qwen3::QWEN3,
    &smollm3::SMOLLM3,
];

impl Architecture {
    /// The family that GGUF files call `name`.
    pub fn of_gguf(name: &str) -> Option<&'static Self> {
        ALL.iter().copied().find(|a| a.gguf == name)
    }

    /// The family that `config.json` calls `name`.
    pub fn of_hub(name: &str) -> Option<&'static Self> {
        ALL.iter().copied().find(|a| a.hub.contains(&name))
    }

    /// The names of all families, for messages.
    pub fn names() -> String {
        let names: Vec<&str> = ALL.iter().flat_map(|a| a.hub.first()).copied().collect();
        names.join(", ")
    }
}
