//! What can go wrong in the engine.

use std::path::Path;

/// Why the engine could not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// The file cannot be read: the operating system's reason.
    Io(String),
    /// The file is damaged or not a GGUF file: what does not fit.
    Damaged(String),
    /// The file is sound, but asks for something that this engine does not do, by name.
    Unsupported(String),
    /// The prompt cannot be made: the chat template failed, or the text cannot be split into tokens.
    Prompt(String),
    /// The model does not fit into the memory that is free: the sizes.
    Memory(String),
    /// There is no room for keys and values of so many tokens.
    Full,
    /// The answer could not be held to its form: the grammar takes more work than is allowed.
    Constraint(String),
    /// The arithmetic gave an infinite or undefined number.
    NotFinite,
    /// The caller asked to stop.
    Stopped,
}

impl EngineError {
    /// An error of the operating system about `path`.
    pub fn io(path: &Path, error: &std::io::Error) -> Self {
        Self::Io(format!("{}: {error}", path.display()))
    }
}

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(text) | Self::Prompt(text) | Self::Memory(text) => f.write_str(text),
            Self::Damaged(text) => write!(f, "the file is damaged: {text}"),
            Self::Unsupported(text) => write!(f, "not supported: {text}"),
            Self::Full => f.write_str("the memory for keys and values is full"),
            Self::Constraint(text) => write!(f, "the answer could not be held to its form: {text}"),
            Self::NotFinite => {
                f.write_str("the model's arithmetic gave a number that is not finite; the file may be damaged")
            }
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

impl std::error::Error for EngineError {}
