//! Strings and template parts: where each ends.

use super::{Scanner, keyword_at};
use crate::diag::{Code, Diagnostic};

impl Scanner<'_> {
    /// `"…"`, which ends on its line.
    pub(super) fn plain(&mut self) {
        let start = self.at;
        self.at += 1;
        loop {
            match self.bytes.get(self.at) {
                None | Some(b'\n') => {
                    let span = self.span(start, start + 1);
                    self.error(
                        Diagnostic::error(Code::E101, span, "this string is not closed on its line")
                            .label("opened here")
                            .help("close it with `\"`; a text of several lines stands in `\"\"\"…\"\"\"`"),
                    );
                    return;
                }
                Some(b'"') => {
                    self.at += 1;
                    return;
                }
                Some(b'\\') => self.at = (self.at + 2).min(self.bytes.len()),
                Some(b'{') => {
                    if !self.template_part(true) {
                        return;
                    }
                }
                Some(_) => self.at += 1,
            }
            // An escape may have jumped into a character of several bytes.
            while !self.text.is_char_boundary(self.at) {
                self.at += 1;
            }
        }
    }

    /// `"""…"""`.
    pub(super) fn triple(&mut self) {
        let start = self.at;
        self.at += 3;
        loop {
            let rest = &self.bytes[self.at.min(self.bytes.len())..];
            if rest.is_empty() {
                let span = self.span(start, start + 3);
                self.error(
                    Diagnostic::error(Code::E101, span, "this string is not closed")
                        .label("opened here")
                        .help("close it with `\"\"\"`"),
                );
                self.resume_after(start + 3);
                return;
            }
            if rest.starts_with(b"\"\"\"") {
                self.at += 3;
                // Up to two more quotes belong to the text's end.
                for _ in 0..2 {
                    if self.bytes.get(self.at) == Some(&b'"') {
                        self.at += 1;
                    }
                }
                return;
            }
            if rest[0] == b'{' {
                if !self.template_part(false) {
                    return;
                }
            } else {
                self.at += 1;
            }
        }
    }

    /// A `{` inside a string: skips `{{ … }}`, `{% … %}` and raw blocks, or the brace alone. False if it is not closed,
    /// which is reported.
    pub(super) fn template_part(&mut self, one_line: bool) -> bool {
        let rest = &self.text[self.at..];
        if rest.as_bytes().get(1) == Some(&b'%') && raw_tag(rest, "raw").is_some() {
            return self.raw_block(one_line);
        }
        let close = match rest.as_bytes().get(1) {
            Some(b'{') => b"}}",
            Some(b'%') => b"%}",
            _ => {
                self.at += 1;
                return true;
            }
        };
        self.balanced(close, one_line)
    }

    /// Skips a `{% raw %}…{% endraw %}`. One that is not closed is reported once and ends the string, so that hostile
    /// files stay linear.
    pub(super) fn raw_block(&mut self, one_line: bool) -> bool {
        let rest = &self.text[self.at..];
        let within = if one_line { rest.lines().next().unwrap_or_default() } else { rest };
        if !self.no_endraw
            && let Some(length) = raw_block(within)
        {
            self.at += length;
            return true;
        }
        let span = self.span(self.at, self.at + 2);
        let within = within.len();
        self.error(
            Diagnostic::error(Code::E103, span, "`{% raw %}` is not closed")
                .label("opened here")
                .help("close it with `{% endraw %}`"),
        );
        if one_line {
            self.at += within;
        } else {
            self.no_endraw = true;
            self.resume_after(self.at + 2);
        }
        false
    }

    /// `{{ … }}` outside a string.
    pub(super) fn expression(&mut self) {
        self.balanced(b"}}", false);
    }

    /// Skips from an opening to `close`, quotes and braces balanced.
    pub(super) fn balanced(&mut self, close: &[u8; 2], one_line: bool) -> bool {
        let start = self.at;
        let mut depth = 0usize;
        self.at += 2;
        while let Some(byte) = self.bytes.get(self.at).copied() {
            let rest = &self.bytes[self.at..];
            if depth == 0 && rest.starts_with(close) {
                self.at += 2;
                return true;
            }
            match byte {
                b'\n' if one_line => break,
                b'\n' if keyword_at(self.text, self.at + 1).is_some() => break,
                b'{' if close == b"}}" => depth += 1,
                b'}' if close == b"}}" => depth = depth.saturating_sub(1),
                b'"' | b'\'' => {
                    self.quoted(byte, one_line);
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
        let opening = if close == b"}}" { "{{" } else { "{%" };
        let closing = String::from_utf8_lossy(close).into_owned();
        let span = self.span(start, start + 2);
        self.error(
            Diagnostic::error(Code::E103, span, format!("`{opening}` is not closed"))
                .label("opened here")
                .help(format!("close it with `{closing}`")),
        );
        false
    }

    /// A quoted text inside a template part; one that is not closed runs to the end of the line.
    pub(super) fn quoted(&mut self, quote: u8, one_line: bool) {
        self.at += 1;
        while let Some(byte) = self.bytes.get(self.at).copied() {
            match byte {
                b'\n' if one_line => return,
                b'\n' if keyword_at(self.text, self.at + 1).is_some() => return,
                b'\\' => self.at += 1,
                b if b == quote => {
                    self.at += 1;
                    return;
                }
                _ => {}
            }
            self.at += 1;
        }
        self.at = self.at.min(self.bytes.len());
    }
}

/// The length of the tag `{% word %}` at the beginning of `text`.
fn raw_tag(text: &str, word: &str) -> Option<usize> {
    let inner = text.strip_prefix("{%")?;
    let blank: &[char] = &['-', ' '];
    let rest = inner.trim_start_matches(blank).strip_prefix(word)?.trim_start_matches(blank).strip_prefix("%}")?;
    Some(text.len() - rest.len())
}

/// The length of the `{% raw %}…{% endraw %}` at the beginning of `text`.
fn raw_block(text: &str) -> Option<usize> {
    let mut at = raw_tag(text, "raw")?;
    loop {
        at += text[at..].find("{%")?;
        if let Some(length) = raw_tag(&text[at..], "endraw") {
            return Some(at + length);
        }
        at += 2;
    }
}
