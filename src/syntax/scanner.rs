//! Cuts a file into declarations, so that every broken one is reported at its true place and none spoils the next.
//!
//! The scanner knows strings, template parts, comments and brackets, and nothing else. A declaration begins at a line
//! that starts with a keyword and a name: in the first column always, further right only where nothing is open and the
//! line before is complete. It runs once over the text, in linear time.

mod quoting;

use std::borrow::Cow;
use std::ops::Range;

use unicode_ident::{is_xid_continue, is_xid_start};

use super::ast::Comment;
use crate::diag::{Code, Diagnostic};
use crate::source::{FileId, Span};

/// Words that a declaration begins with.
pub const KEYWORDS: &[&str] =
    &["use", "var", "secret", "type", "model", "embedder", "prompt", "chain", "index", "test"];

/// The deepest nesting of brackets that is read.
pub const MAX_DEPTH: usize = 200;

/// A declaration's text, or a bare pipeline's.
#[derive(Debug)]
pub struct Chunk {
    /// Where it stands.
    pub span: Span,
    /// Its keyword; none for a bare pipeline.
    pub keyword: Option<&'static str>,
    /// Whether the scanner found it broken, so that the grammar need not read it.
    pub broken: bool,
}

/// What the scanner found.
#[derive(Debug, Default)]
pub struct Scan {
    /// The declarations in order.
    pub chunks: Vec<Chunk>,
    /// The comments in order.
    pub comments: Vec<Comment>,
    /// Bytes that the grammar reads as spaces: comments, tabs and carriage returns outside of strings, in order.
    pub blanks: Vec<Range<usize>>,
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
}

impl Scan {
    /// The text of `chunk` as the grammar reads it, each byte at its place.
    pub fn source<'t>(&self, text: &'t str, chunk: &Chunk) -> Cow<'t, str> {
        let (start, end) = (chunk.span.start as usize, chunk.span.end as usize);
        let first = self.blanks.partition_point(|blank| blank.end <= start);
        let mut at = start;
        let mut source = String::new();
        for blank in self.blanks[first..].iter().take_while(|blank| blank.start < end) {
            source.push_str(&text[at..blank.start]);
            at = blank.end.min(end);
            source.extend(std::iter::repeat_n(' ', at - blank.start));
        }
        if at == start {
            return Cow::Borrowed(&text[start..end]);
        }
        source.push_str(&text[at..end]);
        Cow::Owned(source)
    }
}

/// Scans a file's text.
pub fn scan(file: FileId, text: &str) -> Scan {
    let mut scanner = Scanner {
        file,
        text,
        bytes: text.as_bytes(),
        at: 0,
        open: Vec::new(),
        current: None,
        last: Last::Complete,
        too_deep: false,
        no_endraw: false,
        out: Scan::default(),
    };
    scanner.run();
    scanner.out
}

/// What the last token says of the line's end.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    Complete,
    /// `|`, `??`, `=`, `=>`, `:`, `->`: the next line goes on.
    Continues,
}

struct Scanner<'a> {
    file: FileId,
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// Open brackets: the byte and its offset.
    open: Vec<(u8, usize)>,
    current: Option<Chunk>,
    last: Last,
    too_deep: bool,
    /// No `{% endraw %}` follows: looked for once, so that hostile files stay linear.
    no_endraw: bool,
    out: Scan,
}

impl Scanner<'_> {
    fn run(&mut self) {
        if self.bytes.starts_with(b"#!") {
            self.skip_line();
        }
        let mut line_start = true;
        while self.at < self.bytes.len() {
            if line_start {
                line_start = false;
                self.begin_line();
                if self.at >= self.bytes.len() {
                    break;
                }
            }
            match self.bytes[self.at] {
                b'\n' => {
                    self.at += 1;
                    line_start = true;
                }
                b' ' => self.at += 1,
                b'\t' | b'\r' => self.blank(),
                b'#' => self.comment(),
                _ => self.token(),
            }
        }
        self.end_chunk(self.bytes.len());
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.file, start, end)
    }

    fn error(&mut self, diagnostic: Diagnostic) {
        if let Some(chunk) = &mut self.current {
            chunk.broken = true;
        }
        self.out.diagnostics.push(diagnostic);
    }

    fn skip_line(&mut self) {
        self.at = self.text[self.at..].find('\n').map_or(self.bytes.len(), |i| self.at + i);
    }

    fn comment(&mut self) {
        let start = self.at;
        self.skip_line();
        let end = start + self.text[start..self.at].trim_end().len();
        let doc = self.text[start..end].starts_with("##");
        self.out.comments.push(Comment { span: self.span(start, end), doc });
        self.out.blanks.push(start..self.at);
    }

    fn blank(&mut self) {
        self.out.blanks.push(self.at..self.at + 1);
        self.at += 1;
    }

    /// Decides at a line's first token whether a declaration begins there.
    fn begin_line(&mut self) {
        let start = self.at;
        loop {
            match self.bytes.get(self.at) {
                Some(b' ') => self.at += 1,
                Some(b'\t' | b'\r') => self.blank(),
                _ => break,
            }
        }
        let column = self.at - start;
        let Some(byte) = self.bytes.get(self.at).copied() else { return };
        if matches!(byte, b'\n' | b'#') {
            return;
        }
        let keyword = keyword_at(self.text, self.at);
        let free = self.open.is_empty() && self.last == Last::Complete;
        let starts = match keyword {
            Some(_) => column == 0 || free,
            None => column == 0 && free && !self.goes_on(byte),
        };
        if starts || self.current.is_none() {
            let at = self.at;
            self.end_chunk(at);
            self.current = Some(Chunk { span: self.span(at, at), keyword, broken: false });
        }
    }

    /// Whether a line that begins so belongs to the one before.
    fn goes_on(&self, byte: u8) -> bool {
        let rest = &self.text[self.at..];
        let word_as = rest.starts_with("as") && !rest[2..].starts_with(is_word);
        self.current.is_some()
            && (matches!(byte, b'|' | b'?' | b'{' | b'(' | b'=' | b'-' | b'}' | b')' | b']' | b',') || word_as)
    }

    fn end_chunk(&mut self, end: usize) {
        if let Some((bracket, at)) = self.open.first().copied() {
            let span = self.span(at, at + 1);
            let (bracket, closing) = (bracket as char, closing(bracket) as char);
            let diagnostic = Diagnostic::error(Code::E102, span, format!("`{bracket}` is not closed"));
            self.error(diagnostic.label("opened here").help(format!("close it with `{closing}`")));
        }
        self.open.clear();
        self.last = Last::Complete;
        self.too_deep = false;
        if let Some(mut chunk) = self.current.take() {
            let start = chunk.span.start as usize;
            chunk.span = self.span(start, start + self.text[start..end].trim_end().len());
            self.out.chunks.push(chunk);
        }
    }

    fn token(&mut self) {
        let rest = &self.bytes[self.at..];
        self.last = Last::Complete;
        match rest[0] {
            b'"' if rest.starts_with(b"\"\"\"") => self.triple(),
            b'"' => self.plain(),
            b'{' if rest.starts_with(b"{{") => {
                self.expression();
            }
            b @ (b'(' | b'[' | b'{') => self.open_bracket(b),
            b @ (b')' | b']' | b'}') => self.close_bracket(b),
            b'|' | b':' | b'=' => {
                self.at += 1;
                self.last = Last::Continues;
            }
            b'>' => {
                self.at += 1;
                self.last = Last::Continues;
            }
            b'?' if rest.starts_with(b"??") => {
                self.at += 2;
                self.last = Last::Continues;
            }
            b if b < 0x20 || b == 0x7f => {
                let span = self.span(self.at, self.at + 1);
                self.error(
                    Diagnostic::error(Code::E108, span, format!("a control character (U+{b:04X}) stands in the file"))
                        .help("delete it; in a string it can be written as `\\u{…}`"),
                );
                self.at += 1;
            }
            _ => self.at += self.text[self.at..].chars().next().map_or(1, char::len_utf8),
        }
    }

    fn open_bracket(&mut self, bracket: u8) {
        if self.open.len() >= MAX_DEPTH && !self.too_deep {
            let span = self.span(self.at, self.at + 1);
            self.error(Diagnostic::error(Code::E105, span, format!("brackets are nested deeper than {MAX_DEPTH}")));
            self.too_deep = true;
        }
        self.open.push((bracket, self.at));
        self.at += 1;
    }

    fn close_bracket(&mut self, bracket: u8) {
        let span = self.span(self.at, self.at + 1);
        self.at += 1;
        let wanted = match bracket {
            b')' => b'(',
            b']' => b'[',
            _ => b'{',
        };
        match self.open.last().copied() {
            Some((open, _)) if open == wanted => {
                self.open.pop();
            }
            Some((open, at)) => {
                let opened = self.span(at, at + 1);
                let message = format!("`{}` closes no `{}`", bracket as char, wanted as char);
                let text = format!("`{}` opened here is still open", open as char);
                self.error(Diagnostic::error(Code::E102, span, message).also(opened, text));
                self.open.pop();
            }
            None => self.error(Diagnostic::error(Code::E102, span, format!("`{}` closes nothing", bracket as char))),
        }
    }

    /// Goes on at the next line that begins a declaration in its first column.
    fn resume_after(&mut self, from: usize) {
        let mut at = from;
        while let Some(newline) = self.text.get(at..).and_then(|t| t.find('\n')) {
            at += newline + 1;
            if keyword_at(self.text, at).is_some() {
                self.at = at - 1;
                return;
            }
        }
        self.at = self.bytes.len();
    }
}

/// Whether a character can belong to a word.
fn is_word(c: char) -> bool {
    is_xid_continue(c)
}

/// The keyword at `at`, if a declaration begins there: a keyword, a blank, and a name or a string.
fn keyword_at(text: &str, at: usize) -> Option<&'static str> {
    let rest = text.get(at..)?;
    let keyword = KEYWORDS.iter().copied().find(|k| rest.starts_with(k))?;
    let after = &rest[keyword.len()..];
    let name = after.trim_start_matches([' ', '\t']);
    if after.len() == name.len() {
        return None;
    }
    let wanted = name.chars().next()?;
    (is_xid_start(wanted) || wanted == '_' || wanted == '"' || wanted.is_ascii_digit()).then_some(keyword)
}

/// The bracket that closes `opening`.
fn closing(opening: u8) -> u8 {
    match opening {
        b'(' => b')',
        b'[' => b']',
        _ => b'}',
    }
}
