//! Source texts: `.chain` files, data files and the command line, with places in them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A source text, as an index into [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// A range of bytes in one source text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The text that the range lies in.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// The range `start..end` of bytes of `file`.
    pub fn new(file: FileId, start: usize, end: usize) -> Self {
        Self { file, start: start as u32, end: end as u32 }
    }

    /// The smallest range that holds both; they must lie in one file.
    pub fn to(self, other: Span) -> Self {
        Self { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// One source text.
#[derive(Debug)]
pub struct SourceText {
    /// What messages call it: the path as given, or `command line`.
    pub name: String,
    /// Where it was read from, if from a file.
    pub path: Option<PathBuf>,
    /// The text, without a byte order mark.
    pub text: Arc<str>,
    line_starts: Vec<u32>,
}

/// Why a file could not become a source text.
#[derive(Debug)]
pub enum LoadError {
    /// The operating system refused; a directory counts here too.
    Io(std::io::Error),
    /// The path is a directory.
    Directory,
    /// The bytes are not UTF-8: the first bad byte's offset, its line and its column in characters.
    NotUtf8 {
        /// Offset of the first byte that is not UTF-8.
        offset: usize,
        /// Line of it, from 1.
        line: usize,
        /// Column of it in characters, from 1.
        column: usize,
    },
    /// Larger than [`MAX_SOURCE_BYTES`].
    TooLarge(u64),
}

/// The largest `.chain` file that is read, in bytes: spans are 32-bit, and no person writes more.
pub const MAX_SOURCE_BYTES: u64 = 256 << 20;

/// All texts of one invocation.
#[derive(Debug, Default)]
pub struct Sources {
    texts: Vec<SourceText>,
}

impl Sources {
    /// An empty collection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text that came from no file.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> FileId {
        self.push(name.into(), None, text.into())
    }

    /// Reads a file. `name` is what messages call it.
    pub fn load(&mut self, name: impl Into<String>, path: &Path) -> Result<FileId, LoadError> {
        let text = read_text(path)?;
        Ok(self.push(name.into(), Some(path.to_path_buf()), text.into()))
    }

    fn push(&mut self, name: String, path: Option<PathBuf>, text: Arc<str>) -> FileId {
        let mut line_starts = vec![0];
        line_starts.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i as u32 + 1));
        self.texts.push(SourceText { name, path, text, line_starts });
        FileId(self.texts.len() as u32 - 1)
    }

    /// The texts that were read from files, with their places.
    pub fn files(&self) -> impl Iterator<Item = (FileId, &Path)> {
        let files = self.texts.iter().enumerate();
        files.filter_map(|(at, source)| Some((FileId(at as u32), source.path.as_deref()?)))
    }

    /// The text of `file`.
    pub fn get(&self, file: FileId) -> &SourceText {
        &self.texts[file.0 as usize]
    }

    /// The bytes of `span` as text.
    pub fn slice(&self, span: Span) -> &str {
        self.get(span.file).text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Line and column of the first byte of `span`, both from 1, the column in characters.
    pub fn line_column(&self, span: Span) -> (usize, usize) {
        let source = self.get(span.file);
        let line = source.line_starts.partition_point(|s| *s <= span.start);
        let start = source.line_starts[line.saturating_sub(1)] as usize;
        let before = source.text.get(start..span.start as usize).unwrap_or_default();
        (line.max(1), before.chars().count() + 1)
    }

    /// `file:line:column` of the first byte of `span`.
    pub fn place(&self, span: Span) -> String {
        let (line, column) = self.line_column(span);
        format!("{}:{line}:{column}", self.get(span.file).name)
    }
}

/// The text of a file.
///
/// # Errors
/// It is missing, a directory, too large, or no UTF-8.
pub fn read_text(path: &Path) -> Result<String, LoadError> {
    let meta = std::fs::metadata(path).map_err(LoadError::Io)?;
    if meta.is_dir() {
        return Err(LoadError::Directory);
    }
    if meta.len() > MAX_SOURCE_BYTES {
        return Err(LoadError::TooLarge(meta.len()));
    }
    decode(std::fs::read(path).map_err(LoadError::Io)?)
}

/// Bytes of a text file as text: UTF-8, with a byte order mark taken off.
pub fn decode(bytes: Vec<u8>) -> Result<String, LoadError> {
    let mut text = String::from_utf8(bytes).map_err(|e| {
        let offset = e.utf8_error().valid_up_to();
        let good = &e.as_bytes()[..offset];
        let line = good.iter().filter(|b| **b == b'\n').count() + 1;
        let from = good.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let column = String::from_utf8_lossy(&good[from..]).chars().count() + 1;
        LoadError::NotUtf8 { offset, line, column }
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LoadError::Io(e) if e.kind() == std::io::ErrorKind::NotFound => f.write_str("there is no such file"),
            LoadError::Io(e) if e.kind() == std::io::ErrorKind::PermissionDenied => f.write_str("permission denied"),
            LoadError::Io(e) => write!(f, "{e}"),
            LoadError::Directory => f.write_str("it is a directory"),
            LoadError::NotUtf8 { offset, line, column } => {
                write!(f, "it is not UTF-8 text: bad byte at offset {offset}, {line}:{column}")
            }
            LoadError::TooLarge(n) => write!(f, "it is {n} bytes large; the most is {MAX_SOURCE_BYTES}"),
        }
    }
}
