//! String literals: escapes, indentation, and where each stretch of the text stands in the file.

use super::ast::Str;
use crate::diag::{Code, Diagnostic};
use crate::source::Span;

/// The text of a literal, quotes included, as it stands at `span`. Escapes that do not exist are reported.
pub fn literal(source: &str, span: Span, diagnostics: &mut Vec<Diagnostic>) -> Str {
    if source.starts_with("\"\"\"") { triple(source, span) } else { plain(source, span, diagnostics) }
}

/// Text under construction, with its map to the file.
struct Cooked {
    text: String,
    map: Vec<(u32, u32)>,
    base: u32,
}

impl Cooked {
    fn mark(&mut self, offset: usize) {
        let at = (self.text.len() as u32, self.base + offset as u32);
        if self.map.last().is_none_or(|(t, f)| at.1.wrapping_sub(*f) != at.0.wrapping_sub(*t)) {
            self.map.push(at);
        }
    }

    fn copy(&mut self, source: &str, range: std::ops::Range<usize>) {
        self.mark(range.start);
        self.text.push_str(&source[range]);
    }
}

fn plain(source: &str, span: Span, diagnostics: &mut Vec<Diagnostic>) -> Str {
    let mut out = Cooked { text: String::new(), map: Vec::new(), base: span.start };
    let end = source.len().saturating_sub(1).max(1);
    let mut at = 1;
    while at < end {
        let rest = &source[at..end];
        if let Some(length) = template_length(rest) {
            out.copy(source, at..at + length);
            at += length;
        } else if rest.starts_with('\\') {
            at += escape(source, at, end, span, &mut out, diagnostics);
        } else {
            let length =
                rest.char_indices().skip(1).find(|(_, c)| matches!(c, '\\' | '{')).map_or(rest.len(), |(i, _)| i);
            out.copy(source, at..at + length);
            at += length;
        }
    }
    Str { text: out.text, map: out.map, span }
}

/// Reads the escape at `at`; gives its length.
fn escape(
    source: &str,
    at: usize,
    end: usize,
    span: Span,
    out: &mut Cooked,
    diagnostics: &mut Vec<Diagnostic>,
) -> usize {
    let rest = &source[at + 1..end];
    let letter = rest.chars().next().unwrap_or('\\');
    out.mark(at);
    let mut length = 1 + letter.len_utf8();
    let c = match letter {
        'n' => Some('\n'),
        't' => Some('\t'),
        'r' => Some('\r'),
        '"' => Some('"'),
        '\\' => Some('\\'),
        'u' => {
            let digits = rest[1..].strip_prefix('{').and_then(|r| r.split_once('}')).map(|(d, _)| d);
            length += digits.map_or(0, |d| d.len() + 2);
            digits.and_then(|d| u32::from_str_radix(d, 16).ok()).and_then(char::from_u32)
        }
        _ => None,
    };
    match c {
        // A brace that is written as an escape is text, never the beginning of a template part.
        Some('{') => out.text.push_str("{{ '{' }}"),
        Some(c) => out.text.push(c),
        None => {
            let start = span.start as usize + at;
            let place = Span::new(span.file, start, start + length);
            let seen = &source[at..(at + length).min(end)];
            diagnostics.push(
                Diagnostic::error(Code::E106, place, format!("`{seen}` is no escape")).help(
                    "there are `\\n`, `\\t`, `\\r`, `\\\"`, `\\\\` and `\\u{1F954}`; a backslash itself is `\\\\`",
                ),
            );
        }
    }
    length.min(end - at)
}

fn triple(source: &str, span: Span) -> Str {
    let mut out = Cooked { text: String::new(), map: Vec::new(), base: span.start };
    let mut start = 3;
    let mut end = source.len().saturating_sub(3).max(3);
    let body = &source[start..end];
    let mut indent = "";
    if let Some(newline) = body.rfind('\n')
        && body[newline + 1..].chars().all(|c| c == ' ' || c == '\t')
    {
        indent = &body[newline + 1..];
        end = start + newline;
        if source[..end].ends_with('\r') {
            end -= 1;
        }
    }
    let first = source[start..].find('\n').map(|i| start + i);
    if let Some(newline) = first
        && source[start..newline].trim().is_empty()
    {
        start = (newline + 1).min(source.len());
    }
    if start >= end {
        return Str { text: String::new(), map: vec![(0, span.start + 3)], span };
    }
    let mut at = start;
    for (i, line) in source[start..end].split_inclusive('\n').enumerate() {
        let dedent = i > 0 || start > 3;
        let shared = if dedent { line.bytes().zip(indent.bytes()).take_while(|(a, b)| a == b).count() } else { 0 };
        let content = line.strip_suffix("\r\n").map_or(line.len(), |l| l.len());
        out.copy(source, at + shared..at + content.max(shared));
        if content < line.len() {
            out.text.push('\n');
        }
        at += line.len();
    }
    Str { text: out.text, map: out.map, span }
}

/// The length of the `{{ … }}` or `{% … %}` at the beginning of `text`, quotes and braces balanced.
pub fn template_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let close: &[u8] = match bytes.get(..2)? {
        b"{{" => b"}}",
        b"{%" => b"%}",
        _ => return None,
    };
    let mut at = 2;
    let mut depth = 0usize;
    while at < bytes.len() {
        if depth == 0 && bytes[at..].starts_with(close) {
            return Some(at + 2);
        }
        match bytes[at] {
            b'{' if close == b"}}" => depth += 1,
            b'}' if close == b"}}" => depth = depth.saturating_sub(1),
            quote @ (b'"' | b'\'') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}
