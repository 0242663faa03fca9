//! Checkpoints as the hub has them: a folder with `config.json` and safetensors files (`huggingface/safetensors`, format
//! 0.x: a length, a JSON header, then the numbers). Every place in a header is checked against the file's size.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::error::EngineError;
use super::gguf::{TensorInfo, TensorKind};

/// The longest header that is read: the format's own limit.
const LONGEST_HEADER: u64 = 100_000_000;

/// The longest JSON file beside the weights that is read.
const LONGEST_FILE: u64 = 64 << 20;

/// An open folder.
#[derive(Debug)]
pub struct Hub {
    /// `config.json`.
    pub config: Value,
    /// Its weights' files.
    pub files: Vec<PathBuf>,
    tensors: HashMap<String, TensorInfo>,
    /// Tensors of kinds that this engine does not read, with the format's name.
    unread: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

impl Hub {
    /// Reads the headers in `folder`.
    ///
    /// # Errors
    /// `config.json` or the weights are missing, cannot be read or are damaged.
    pub fn open(folder: &Path) -> Result<Self, EngineError> {
        let config = json(&folder.join("config.json"))?;
        let mut hub = Self { config, files: Vec::new(), tensors: HashMap::new(), unread: HashMap::new() };
        for name in parts(folder)? {
            let path = folder.join(&name);
            hub.header(&path)?;
            hub.files.push(path);
        }
        Ok(hub)
    }

    fn header(&mut self, path: &Path) -> Result<(), EngineError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let damaged = |text: String| EngineError::Damaged(format!("{name}: {text}"));
        let mut file = File::open(path).map_err(|e| EngineError::io(path, &e))?;
        let size = file.metadata().map_err(|e| EngineError::io(path, &e))?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| damaged("it ends in the middle of its header".to_owned()))?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST_HEADER || length + 8 > size {
            return Err(damaged(format!("a header of {length} bytes does not fit in it")));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(|e| EngineError::io(path, &e))?;
        let entries: HashMap<String, Value> =
            serde_json::from_slice(&header).map_err(|e| damaged(format!("its header: {e}")))?;
        for (tensor, entry) in entries {
            if tensor == "__metadata__" {
                continue;
            }
            let entry: Entry = serde_json::from_value(entry).map_err(|e| damaged(format!("tensor `{tensor}`: {e}")))?;
            let kind = match entry.dtype.as_str() {
                "F32" => TensorKind::F32,
                "F16" => TensorKind::F16,
                "BF16" => TensorKind::Bf16,
                _ => {
                    self.unread.insert(tensor, entry.dtype);
                    continue;
                }
            };
            let count = entry.shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d as u64));
            let bytes = count.and_then(|n| n.checked_mul(kind.block().1 as u64));
            let (from, to) = entry.data_offsets;
            let start = 8 + length;
            if bytes != to.checked_sub(from) || to > size - start {
                return Err(damaged(format!("tensor `{tensor}` of {:?} numbers does not fit its place", entry.shape)));
            }
            let dims = entry.shape.into_iter().rev().collect();
            let file = self.files.len();
            self.tensors.insert(tensor, TensorInfo { dims, kind, offset: start + from, bytes: to - from, file });
        }
        Ok(())
    }

    /// The names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().chain(self.unread.keys()).map(String::as_str)
    }

    /// Where the tensor called `name` lies, also behind a prefix that some checkpoints have; absent where there is none.
    ///
    /// # Errors
    /// The tensor is stored in a way that this engine does not read.
    pub fn tensor(&self, name: &str) -> Result<Option<&TensorInfo>, EngineError> {
        for prefix in ["", "transformer."] {
            let name = format!("{prefix}{name}");
            if let Some(kind) = self.unread.get(&name) {
                return Err(EngineError::Unsupported(format!("tensor `{name}` is stored as {kind}")));
            }
            if let Some(info) = self.tensors.get(&name) {
                return Ok(Some(info));
            }
        }
        Ok(None)
    }
}

/// Reads a JSON file.
///
/// # Errors
/// It cannot be read, is too long, or is no JSON.
pub fn json(path: &Path) -> Result<Value, EngineError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let text = text(path)?.ok_or_else(|| EngineError::Damaged(format!("{name} is missing")))?;
    serde_json::from_str(&text).map_err(|e| EngineError::Damaged(format!("{name}: {e}")))
}

/// Reads a text file; nothing where there is none.
///
/// # Errors
/// It cannot be read, is too long, or is no text.
pub fn text(path: &Path) -> Result<Option<String>, EngineError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(EngineError::io(path, &e)),
    };
    let mut text = String::new();
    file.take(LONGEST_FILE + 1).read_to_string(&mut text).map_err(|e| EngineError::io(path, &e))?;
    if text.len() as u64 > LONGEST_FILE {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        return Err(EngineError::Damaged(format!("{name} is longer than {LONGEST_FILE} bytes")));
    }
    Ok(Some(text))
}

/// The names of the weights' files: those of the index, or the one that has no index.
fn parts(folder: &Path) -> Result<Vec<String>, EngineError> {
    let index = folder.join("model.safetensors.index.json");
    if !index.exists() {
        return Ok(vec!["model.safetensors".to_owned()]);
    }
    let index = json(&index)?;
    let map = index.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| EngineError::Damaged("model.safetensors.index.json has no `weight_map`".to_owned()))?;
    let mut names: Vec<String> = map.values().filter_map(Value::as_str).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    // A name is a file in this folder, never a way out of it.
    match names.iter().find(|n| n.contains(['/', '\\']) || *n == "..") {
        Some(name) => Err(EngineError::Damaged(format!("model.safetensors.index.json names `{name}`"))),
        None => Ok(names),
    }
}
