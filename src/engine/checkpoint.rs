//! A model's files, whichever form they have: what they say of its shape, and its tensors.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::architectures::{Architecture, Part};
use super::error::EngineError;
use super::gguf::{Gguf, TensorInfo};
use super::hub::Hub;
use super::shape::Shape;
use super::{shape_gguf, shape_hub};

/// The files of a model.
#[derive(Debug)]
pub enum Checkpoint {
    /// A GGUF file, perhaps in several parts.
    Gguf(Gguf),
    /// A folder as the hub has them.
    Hub(Hub),
}

impl Checkpoint {
    /// Opens a GGUF file, or a folder of the hub, without its weights.
    ///
    /// # Errors
    /// The files cannot be read or are damaged.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        if path.is_dir() { Hub::open(path).map(Self::Hub) } else { Gguf::open(path).map(Self::Gguf) }
    }

    /// The shape of the decoder.
    ///
    /// # Errors
    /// It is none that this engine runs.
    pub fn shape(&self) -> Result<Shape, EngineError> {
        match self {
            Self::Gguf(gguf) => shape_gguf::read(gguf),
            Self::Hub(hub) => shape_hub::read(&hub.config),
        }
    }

    /// Whether matrices are stored as `[inputs][outputs]`, and what is added to the weights of norms.
    pub fn form(&self, of: &Architecture) -> (bool, f32) {
        match self {
            Self::Gguf(_) => (false, 0.0),
            Self::Hub(_) => (of.hub_transposed, of.hub_norm_offset),
        }
    }

    /// Whether embeddings may serve in place of a matrix to logits that the files lack.
    pub fn ties_output(&self) -> bool {
        match self {
            Self::Gguf(_) => true,
            Self::Hub(hub) => hub.config.get("tie_word_embeddings").and_then(serde_json::Value::as_bool) != Some(false),
        }
    }

    /// What the files call a part; `end` is `weight` or `bias`.
    pub fn name(&self, of: &Architecture, part: Part, layer: usize, end: &str) -> String {
        let name = match self {
            Self::Gguf(_) => part.gguf(),
            Self::Hub(_) => part.hub(of),
        };
        format!("{}.{end}", name.replace("{}", &layer.to_string()))
    }

    /// Where a tensor lies; absent where the files have none of that name.
    ///
    /// # Errors
    /// It is stored in a way that this engine does not read.
    pub fn tensor(&self, name: &str) -> Result<Option<&TensorInfo>, EngineError> {
        match self {
            Self::Gguf(gguf) => gguf.tensor(name),
            Self::Hub(hub) => hub.tensor(name),
        }
    }

    /// Whether every tensor is one that a decoder of this shape has.
    ///
    /// # Errors
    /// One is not: to leave it out would give other texts in silence.
    pub fn all_known(&self, shape: &Shape) -> Result<(), EngineError> {
        let mut known = HashSet::new();
        for part in Part::ALL {
            for layer in 0..shape.layers.len() {
                known.extend(["weight", "bias"].map(|end| self.name(shape.architecture, *part, layer, end)));
            }
        }
        let unknown = match self {
            Self::Gguf(gguf) => gguf.names().find(|name| !known.contains(*name)),
            // Tables that older checkpoints carry along are computed anew.
            Self::Hub(hub) => hub.names().find(|name| {
                let derived = [".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq"];
                !known.contains(name.strip_prefix("transformer.").unwrap_or(name))
                    && !derived.iter().any(|end| name.ends_with(end))
            }),
        };
        match unknown {
            Some(name) => Err(EngineError::Unsupported(format!(
                "tensor `{name}` in a model of architecture `{}`",
                shape.architecture.gguf
            ))),
            None => Ok(()),
        }
    }

    /// The files that hold the weights.
    pub fn files(&self) -> &[PathBuf] {
        match self {
            Self::Gguf(gguf) => gguf.files(),
            Self::Hub(hub) => &hub.files,
        }
    }

    /// Bytes of all weights.
    pub fn bytes(&self) -> u64 {
        self.files().iter().filter_map(|f| std::fs::metadata(f).ok()).map(|m| m.len()).sum()
    }
}

/// Reads tensors one after another, so that one tensor's bytes are in memory at a time. The files are read, not mapped: a
/// mapped file that becomes shorter would end the process.
pub struct TensorReader<'a> {
    checkpoint: &'a Checkpoint,
    files: Vec<Option<File>>,
}

impl<'a> TensorReader<'a> {
    /// A reader of a checkpoint.
    pub fn new(checkpoint: &'a Checkpoint) -> Self {
        Self { checkpoint, files: checkpoint.files().iter().map(|_| None).collect() }
    }

    /// The bytes of a tensor.
    ///
    /// # Errors
    /// The file cannot be read, or became shorter.
    pub fn read(&mut self, info: &TensorInfo) -> Result<Vec<u8>, EngineError> {
        let path = &self.checkpoint.files()[info.file];
        let io = |e: std::io::Error| EngineError::io(path, &e);
        let file = match &mut self.files[info.file] {
            Some(file) => file,
            slot => slot.insert(File::open(path).map_err(io)?),
        };
        let mut out = vec![0; info.bytes as usize];
        file.seek(SeekFrom::Start(info.offset)).map_err(io)?;
        file.read_exact(&mut out).map_err(io)?;
        Ok(out)
    }
}
