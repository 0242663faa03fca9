//! The model inside the process: GGUF files, tokens, templates, arithmetic, sampling.
//!
//! It takes paths and knows nothing of chains or of where models are kept. The text that it gives depends on the file's
//! bytes, the tokens of the prompt, the sampler's settings and seed and [`CONTRACT`] alone: not on the processor, the
//! number of threads, how the prompt was cut into passes, or what ran before.

mod architectures;
mod attention;
mod checkpoint;
mod choice;
mod constraint;
mod dequantise;
mod error;
mod forward;
mod gguf;
mod hub;
mod kernels;
mod kv;
mod memory;
mod model;
mod sampler;
mod scheduler;
mod service;
mod shape;
mod shape_gguf;
mod shape_hub;
mod stops;
mod template;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tiny_tests;
mod tokenizer;
mod tokenizer_config;
mod weights;

pub use checkpoint::Checkpoint;
pub use choice::{Choice, Step};
pub use constraint::{Constraint, Grammar, Unsupported, Vocabulary};
pub use error::EngineError;
pub use forward::{CHUNK, Feed, Runner, Want};
pub use gguf::{Gguf, Meta, TensorInfo, TensorKind};
pub use kernels::{Isa, exp};
pub use kv::{Kv, SequenceId};
pub use model::{Layer, Model};
pub use sampler::{Chance, Philox, Sampler, Sampling, TokenSet, chances};
pub use scheduler::MOST_ACTIVE;
pub use service::{Description, Job, Likelihood, Piece, Running, Service};
pub use shape::Shape;
pub use stops::Stops;
pub use template::{ChatTemplate, Turn};
pub use tokenizer::{Decoder, Span, Tokenizer};
pub use tokenizer_config::chat_template;

/// Number of the numeric contract that the arithmetic keeps (`kernels`). Another number may give other texts.
pub const CONTRACT: u32 = 1;
