//! A bounded reader of GGUF files, versions 2 and 3 (`ggml/docs/gguf.md`). Every count and size in the file is checked
//! against the bytes that are there before anything is allocated for it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::error::EngineError;

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
pub enum Meta {
    /// Any unsigned integer.
    UInt(u64),
    /// Any signed integer.
    Int(i64),
    /// Any floating-point number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Meta>),
}

/// Where a tensor lies and what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// Dimensions, fastest first: columns, then rows.
    pub dims: Vec<usize>,
    /// How its numbers are stored.
    pub kind: TensorKind,
    /// First byte in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub bytes: u64,
    /// Which of the model's files.
    pub file: usize,
}

/// How numbers are stored, with ggml's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are ggml's")]
pub enum TensorKind {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

impl TensorKind {
    /// The kind with ggml's number; absent where this engine does not read it.
    pub fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2K,
            11 => Self::Q3K,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// Values in a block and bytes of a block.
    pub fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q2K => (256, 84),
            Self::Q3K => (256, 110),
            Self::Q4K => (256, 144),
            Self::Q5K => (256, 176),
            Self::Q6K => (256, 210),
        }
    }
}

/// An open GGUF file: its metadata, its tensors' places, and the file.
#[derive(Debug)]
pub struct Gguf {
    /// The file, or its parts in order.
    files: Vec<PathBuf>,
    meta: HashMap<String, Meta>,
    tensors: HashMap<String, TensorInfo>,
    /// Tensors of kinds that this engine does not read, with ggml's number.
    unread: HashMap<String, u32>,
}

/// Lists inside lists are refused below this depth.
const MAX_DEPTH: usize = 2;

/// The longest list: vocabularies have up to some hundred thousand entries.
const MAX_ITEMS: usize = 1 << 24;

/// Reads little-endian numbers and knows how many bytes are left.
struct Bytes<R> {
    inner: R,
    at: u64,
    size: u64,
}

impl<R: Read> Bytes<R> {
    fn left(&self) -> u64 {
        self.size.saturating_sub(self.at)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], EngineError> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<(), EngineError> {
        if out.len() as u64 > self.left() {
            return Err(EngineError::Damaged("it ends in the middle of its header".to_owned()));
        }
        self.inner.read_exact(out).map_err(|e| EngineError::Damaged(format!("its header cannot be read: {e}")))?;
        self.at += out.len() as u64;
        Ok(())
    }

    fn u32(&mut self) -> Result<u32, EngineError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> Result<u64, EngineError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    /// A count of things that take at least `least` bytes each.
    fn count(&mut self, least: u64, what: &str) -> Result<usize, EngineError> {
        let count = self.u64()?;
        if count > self.left() / least {
            return Err(EngineError::Damaged(format!("{count} {what} do not fit in it")));
        }
        Ok(count as usize)
    }

    fn text(&mut self) -> Result<String, EngineError> {
        let length = self.count(1, "bytes of text")?;
        let mut out = vec![0; length];
        self.fill(&mut out)?;
        // Token texts of byte-level vocabularies are valid UTF-8; a few old files hold single bytes.
        Ok(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
    }

    fn meta(&mut self, kind: u32, depth: usize) -> Result<Meta, EngineError> {
        Ok(match kind {
            0 => Meta::UInt(u64::from(self.take::<1>()?[0])),
            1 => Meta::Int(i64::from(i8::from_le_bytes(self.take()?))),
            2 => Meta::UInt(u64::from(u16::from_le_bytes(self.take()?))),
            3 => Meta::Int(i64::from(i16::from_le_bytes(self.take()?))),
            4 => Meta::UInt(u64::from(self.u32()?)),
            5 => Meta::Int(i64::from(i32::from_le_bytes(self.take()?))),
            6 => Meta::Float(f64::from(f32::from_le_bytes(self.take()?))),
            7 => Meta::Bool(self.take::<1>()?[0] != 0),
            8 => Meta::Text(self.text()?),
            9 => {
                if depth >= MAX_DEPTH {
                    return Err(EngineError::Damaged("lists in its metadata are nested too deeply".to_owned()));
                }
                let item = self.u32()?;
                let least = match item {
                    0 | 1 | 7 => 1,
                    2 | 3 => 2,
                    4..=6 => 4,
                    9 => 12,
                    _ => 8,
                };
                let count = self.count(least, "list items")?;
                if count > MAX_ITEMS {
                    return Err(EngineError::Damaged(format!("a list of {count} items in its metadata")));
                }
                // Grown as items arrive: an item takes more memory than its least size in the file.
                let mut items = Vec::with_capacity(count.min(1 << 20));
                for _ in 0..count {
                    items.push(self.meta(item, depth + 1)?);
                }
                Meta::List(items)
            }
            10 => Meta::UInt(self.u64()?),
            11 => Meta::Int(i64::from_le_bytes(self.take()?)),
            12 => Meta::Float(f64::from_le_bytes(self.take()?)),
            other => return Err(EngineError::Damaged(format!("its metadata has a value of unknown type {other}"))),
        })
    }
}

impl Gguf {
    /// Reads the header of the file at `path`, and those of the other parts where it is the first of several.
    ///
    /// # Errors
    /// A file cannot be read, is damaged or cut short, or is no GGUF file of version 2 or 3; a part is missing, or `path`
    /// is another part than the first.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let mut first = Self::open_part(path)?;
        let count = first.uint("split.count").unwrap_or(1);
        if count > 1 {
            first.open_others(path, count)?;
        }
        Ok(first)
    }

    fn open_part(path: &Path) -> Result<Self, EngineError> {
        let file = File::open(path).map_err(|e| EngineError::io(path, &e))?;
        let size = file.metadata().map_err(|e| EngineError::io(path, &e))?.len();
        Self::read(path, BufReader::with_capacity(1 << 16, file), size)
    }

    /// Reads the headers of the parts behind the first: `NAME-00002-of-00003.gguf` and so on.
    fn open_others(&mut self, path: &Path, count: u64) -> Result<(), EngineError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let end = format!("-of-{count:05}.gguf");
        let numbered = name.strip_suffix(&end).and_then(|n| n.strip_suffix("-00001"));
        let Some(stem) = numbered.filter(|_| self.uint("split.no").unwrap_or(0) == 0) else {
            return Err(EngineError::Unsupported(format!(
                "`{name}` as the beginning of a model in {count} files; name the first, which ends in `-00001{end}`"
            )));
        };
        let stem = stem.to_owned();
        for number in 2..=count {
            let part = Self::open_part(&path.with_file_name(format!("{stem}-{number:05}{end}")))?;
            if part.uint("split.no") != Some(number - 1) || part.uint("split.count") != Some(count) {
                return Err(EngineError::Damaged(format!("part {number} of {count} says that it is another part")));
            }
            let file = self.files.len();
            self.files.extend(part.files);
            self.tensors.extend(part.tensors.into_iter().map(|(name, info)| (name, TensorInfo { file, ..info })));
            self.unread.extend(part.unread);
        }
        Ok(())
    }

    /// Reads the header from `inner`, which has `size` bytes; `path` is where tensors are read from later.
    ///
    /// # Errors
    /// As [`Gguf::open`].
    pub fn read(path: &Path, inner: impl Read, size: u64) -> Result<Self, EngineError> {
        let mut bytes = Bytes { inner, at: 0, size };
        if bytes.left() < 4 || bytes.take::<4>()? != *b"GGUF" {
            return Err(EngineError::Damaged("it does not begin as a GGUF file does".to_owned()));
        }
        let version = bytes.u32()?;
        if !(2..=3).contains(&version) {
            return Err(EngineError::Unsupported(format!("GGUF version {version} (2 and 3 are)")));
        }
        let tensor_count = bytes.count(24, "tensors")?;
        let meta_count = bytes.count(13, "metadata values")?;
        let mut meta = HashMap::new();
        for _ in 0..meta_count {
            let key = bytes.text()?;
            let kind = bytes.u32()?;
            meta.insert(key, bytes.meta(kind, 0)?);
        }
        let mut gguf = Self { files: vec![path.to_owned()], meta, tensors: HashMap::new(), unread: HashMap::new() };
        let mut places = Vec::new();
        for _ in 0..tensor_count {
            places.push(tensor_place(&mut bytes)?);
        }
        let align = gguf.uint("general.alignment").unwrap_or(32);
        if !align.is_power_of_two() || align > 1 << 20 {
            return Err(EngineError::Damaged(format!("an alignment of {align} bytes")));
        }
        let start = bytes.at.div_ceil(align) * align;
        for (name, dims, number, offset) in places {
            gguf.place(name, dims, number, start.checked_add(offset), size)?;
        }
        Ok(gguf)
    }

    fn place(
        &mut self,
        name: String,
        dims: Vec<usize>,
        number: u32,
        offset: Option<u64>,
        size: u64,
    ) -> Result<(), EngineError> {
        let Some(kind) = TensorKind::from_number(number) else {
            self.unread.insert(name, number);
            return Ok(());
        };
        let (values, block) = kind.block();
        let columns = dims.first().copied().unwrap_or(0);
        let count = dims.iter().try_fold(1u64, |n, d| n.checked_mul(*d as u64));
        let bytes = count.map(|n| n / values as u64).and_then(|n| n.checked_mul(block as u64));
        let end = bytes.and_then(|b| offset?.checked_add(b));
        match (offset, bytes, end) {
            (Some(offset), Some(bytes), Some(end)) if end <= size && columns % values == 0 => {
                self.tensors.insert(name, TensorInfo { dims, kind, offset, bytes, file: 0 });
                Ok(())
            }
            _ => Err(EngineError::Damaged(format!(
                "tensor `{name}` of {dims:?} numbers reaches past the end of the file"
            ))),
        }
    }

    /// The metadata value called `key`.
    pub fn meta(&self, key: &str) -> Option<&Meta> {
        self.meta.get(key)
    }

    /// The whole number called `key`, whatever its width.
    pub fn uint(&self, key: &str) -> Option<u64> {
        match self.meta.get(key)? {
            Meta::UInt(n) => Some(*n),
            Meta::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }

    /// The number called `key`.
    pub fn float(&self, key: &str) -> Option<f64> {
        match self.meta.get(key)? {
            Meta::Float(x) => Some(*x),
            Meta::UInt(n) => Some(*n as f64),
            Meta::Int(n) => Some(*n as f64),
            _ => None,
        }
    }

    /// The truth value called `key`.
    pub fn bool(&self, key: &str) -> Option<bool> {
        match self.meta.get(key)? {
            Meta::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// The text called `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.meta.get(key)? {
            Meta::Text(t) => Some(t),
            _ => None,
        }
    }

    /// The list called `key`.
    pub fn list(&self, key: &str) -> Option<&[Meta]> {
        match self.meta.get(key)? {
            Meta::List(items) => Some(items),
            _ => None,
        }
    }

    /// Where the tensor called `name` lies; absent where the file has none.
    ///
    /// # Errors
    /// The tensor is stored in a way that this engine does not read.
    pub fn tensor(&self, name: &str) -> Result<Option<&TensorInfo>, EngineError> {
        if let Some(number) = self.unread.get(name) {
            return Err(EngineError::Unsupported(format!("tensor `{name}` is stored as ggml type {number}")));
        }
        Ok(self.tensors.get(name))
    }

    /// The names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().chain(self.unread.keys()).map(String::as_str)
    }

    /// The file, or its parts in order.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

type Place = (String, Vec<usize>, u32, u64);

/// Name, dimensions, ggml's type number and offset of a tensor.
fn tensor_place<R: Read>(bytes: &mut Bytes<R>) -> Result<Place, EngineError> {
    let name = bytes.text()?;
    let rank = bytes.u32()?;
    if !(1..=4).contains(&rank) {
        return Err(EngineError::Damaged(format!("tensor `{name}` has {rank} dimensions")));
    }
    let mut dims = Vec::new();
    for _ in 0..rank {
        let d = bytes.u64()?;
        dims.push(usize::try_from(d).map_err(|_| EngineError::Damaged(format!("tensor `{name}` has {d} columns")))?);
    }
    Ok((name, dims, bytes.u32()?, bytes.u64()?))
}
