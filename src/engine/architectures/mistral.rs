//! Mistral 7B and its kin (Jiang et al. 2023): llama with a window of keys. GGUF files call it llama.

use super::{Architecture, BASE, always};

/// Every layer has the window that the file states.
pub const MISTRAL: Architecture = Architecture { gguf: "mistral", hub: &["mistral"], windowed: always, ..BASE };
