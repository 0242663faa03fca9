//! The model inside the process: GGUF files, tokens, templates, arithmetic, sampling.
//!
//! It takes paths and knows nothing of chains or of where models are kept. The text that it gives depends on the file's
//! bytes, the tokens of the prompt, the sampler's settings and seed and [`CONTRACT`] alone: not on the processor, the
//! number of threads, how the prompt was cut into passes, or what ran before.

mod dequantise;
mod error;
mod forward;
mod gguf;
mod kernels;
mod model;
mod sampler;
mod service;
mod template;
#[cfg(test)]
mod tests;
mod tokenizer;
mod tokenizer_config;
mod weights;

pub use error::EngineError;
pub use forward::{CHUNK, Kv, Runner, Want};
pub use gguf::{Gguf, Meta, TensorInfo, TensorKind};
pub use kernels::{Isa, exp};
pub use model::{Layer, Model, Shape};
pub use sampler::{Philox, Sampler, Sampling};
pub use service::{Description, Job, Piece, Running, Service, Stops};
pub use template::{ChatTemplate, Turn};
pub use tokenizer::{Decoder, Span, Tokenizer};
pub use tokenizer_config::chat_template;

/// Number of the numeric contract that the arithmetic keeps (`kernels`). Another number may give other texts.
pub const CONTRACT: u32 = 1;
