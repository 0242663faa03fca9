//! Lines of newline-delimited JSON out of bytes that come in pieces of any size.

/// Splits bytes into lines. Pieces may end anywhere, inside a character too: a line is decoded when it is complete.
pub struct Lines {
    buffer: Vec<u8>,
    /// Where the first line that was not given out begins.
    start: usize,
    /// Up to here there is no line end after `start`: a long line in small pieces is searched once.
    scanned: usize,
    limit: usize,
}

/// Why there is no line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineError {
    /// A line is longer than this many bytes.
    TooLong(usize),
    /// A line is not UTF-8; its readable form.
    NotUtf8(String),
}

impl Lines {
    /// A splitter that refuses lines longer than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, scanned: 0, limit }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete line that is not blank, without its line end.
    ///
    /// # Errors
    /// The line is too long, complete or not, or no UTF-8.
    pub fn next_line(&mut self) -> Result<Option<String>, LineError> {
        loop {
            let Some(length) = self.buffer[self.scanned..].iter().position(|b| *b == b'\n') else {
                self.scanned = self.buffer.len();
                if self.scanned - self.start > self.limit {
                    return Err(LineError::TooLong(self.limit));
                }
                return Ok(None);
            };
            let end = self.scanned + length;
            let line = decode(&self.buffer[self.start..end], self.limit)?;
            self.start = end + 1;
            self.scanned = self.start;
            if line.is_some() {
                return Ok(line);
            }
        }
    }

    /// What stands after the last line end, when no more bytes come.
    ///
    /// # Errors
    /// As [`Lines::next_line`].
    pub fn finish(&mut self) -> Result<Option<String>, LineError> {
        let line = decode(&self.buffer[self.start..], self.limit);
        self.buffer.clear();
        self.start = 0;
        self.scanned = 0;
        line
    }
}

fn decode(bytes: &[u8], limit: usize) -> Result<Option<String>, LineError> {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    if bytes.len() > limit {
        return Err(LineError::TooLong(limit));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    match std::str::from_utf8(bytes) {
        Ok(line) => Ok(Some(line.to_owned())),
        Err(_) => Err(LineError::NotUtf8(String::from_utf8_lossy(bytes).chars().take(200).collect())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut reader = Lines::new(1 << 20);
        let mut out = Vec::new();
        for piece in pieces {
            reader.push(piece);
            while let Some(line) = reader.next_line().unwrap() {
                out.push(line);
            }
        }
        out.extend(reader.finish().unwrap());
        out
    }

    /// The body of a recorded answer: every line of it begins with a brace, no line of the chunk framing does.
    fn body(recorded: &str) -> String {
        recorded.split('\n').filter(|l| l.starts_with('{')).map(|l| format!("{l}\n")).collect()
    }

    #[test]
    fn recorded_bodies_split_at_every_byte() {
        for recorded in [
            include_str!("../../tests/data/wire/ollama032_chat_stream.http"),
            include_str!("../../tests/data/wire/ollama032_generate_stream.http"),
            include_str!("../../tests/data/wire/ollama032_runner_killed_generate_stream.http"),
        ] {
            let body = body(recorded);
            let whole: Vec<String> = body.lines().map(str::to_owned).collect();
            for at in 0..=body.len() {
                let (a, b) = body.as_bytes().split_at(at);
                assert_eq!(lines(&[a, b]), whole, "split at {at}");
            }
            let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
            assert_eq!(lines(&bytes), whole);
        }
    }

    #[test]
    fn line_ends_blank_lines_and_characters_in_halves() {
        let text = "\"감자\"\r\n\r\n \n\"🥔\"\n{\"last\":1}";
        for at in 0..=text.len() {
            let (a, b) = text.as_bytes().split_at(at);
            assert_eq!(lines(&[a, b]), ["\"감자\"", "\"🥔\"", "{\"last\":1}"]);
        }
        assert_eq!(lines(&[b"a\n"]), ["a"]);
        assert!(lines(&[b""]).is_empty());
    }

    #[test]
    fn limits_hold_for_lines_with_and_without_an_end() {
        let mut reader = Lines::new(4);
        reader.push(b"1234\n12345");
        assert_eq!(reader.next_line(), Ok(Some("1234".to_owned())));
        assert_eq!(reader.next_line(), Err(LineError::TooLong(4)));
        let mut reader = Lines::new(4);
        reader.push(b"\xff\n");
        assert!(matches!(reader.next_line(), Err(LineError::NotUtf8(_))));
    }
}
