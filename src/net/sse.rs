//! Server-sent events out of bytes that come in pieces of any size.

use super::LineError;

/// What a server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The data of an event: its lines, joined by line ends. Never blank.
    Data(String),
    /// `[DONE]`, with which OpenAI and its relatives end a stream.
    Done,
}

/// Splits bytes into events. Pieces may end anywhere, inside a character or between the two bytes of a line end too. Lines
/// end with LF, CR LF or CR alone; a blank line ends an event. Comments and the fields `event`, `id` and `retry` are
/// passed over.
pub struct Events {
    buffer: Vec<u8>,
    /// Where the first line that was not read begins.
    start: usize,
    /// Up to here there is no line end after `start`: a long line in small pieces is searched once.
    scanned: usize,
    /// Whether the last line ended with CR, so that an LF next belongs to it.
    after_cr: bool,
    /// Whether no line was read yet: a byte order mark may stand in front.
    first: bool,
    data: Option<String>,
    stray: Option<String>,
    limit: usize,
}

impl Events {
    /// A splitter that refuses lines and events of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, scanned: 0, after_cr: false, first: true, data: None, stray: None, limit }
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

    /// The next complete event.
    ///
    /// # Errors
    /// A line or an event is too long, complete or not, or no UTF-8.
    pub fn next_event(&mut self) -> Result<Option<Event>, LineError> {
        while let Some((from, to)) = self.line()? {
            if let Some(event) = self.read(from, to)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// The event that no blank line ended, when no more bytes come. Its last line may be cut.
    ///
    /// # Errors
    /// As [`Events::next_event`].
    pub fn finish(&mut self) -> Result<Option<Event>, LineError> {
        let (from, to) = (self.start, self.buffer.len());
        if from < to {
            self.start = to;
            self.scanned = to;
            if let Some(event) = self.read(from, to)? {
                return Ok(Some(event));
            }
        }
        Ok(self.dispatch())
    }

    /// The first line that belongs to no event: what a server says that speaks otherwise.
    pub fn stray(&self) -> Option<&str> {
        self.stray.as_deref()
    }

    /// Where the next complete line begins and ends, its line end left out.
    fn line(&mut self) -> Result<Option<(usize, usize)>, LineError> {
        if self.after_cr && self.start < self.buffer.len() {
            self.after_cr = false;
            if self.buffer[self.start] == b'\n' {
                self.start += 1;
                self.scanned = self.scanned.max(self.start);
            }
        }
        let Some(length) = self.buffer[self.scanned..].iter().position(|b| matches!(b, b'\n' | b'\r')) else {
            self.scanned = self.buffer.len();
            if self.scanned - self.start > self.limit {
                return Err(LineError::TooLong(self.limit));
            }
            return Ok(None);
        };
        let (from, to) = (self.start, self.scanned + length);
        self.after_cr = self.buffer[to] == b'\r';
        self.start = to + 1;
        self.scanned = self.start;
        Ok(Some((from, to)))
    }

    /// Reads a line; the event that it ends.
    fn read(&mut self, from: usize, to: usize) -> Result<Option<Event>, LineError> {
        let mut bytes = &self.buffer[from..to];
        if std::mem::take(&mut self.first) {
            bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        }
        if bytes.is_empty() {
            return Ok(self.dispatch());
        }
        if bytes.len() > self.limit {
            return Err(LineError::TooLong(self.limit));
        }
        let line = std::str::from_utf8(bytes)
            .map_err(|_| LineError::NotUtf8(String::from_utf8_lossy(bytes).chars().take(200).collect()))?;
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        match field {
            "data" => {
                let value = value.strip_prefix(' ').unwrap_or(value);
                match &mut self.data {
                    None => self.data = Some(value.to_owned()),
                    Some(data) if data.len() + value.len() > self.limit => return Err(LineError::TooLong(self.limit)),
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                }
            }
            "" | "event" | "id" | "retry" => {}
            _ if self.stray.is_none() => self.stray = Some(line.chars().take(1000).collect()),
            _ => {}
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Option<Event> {
        let data = self.data.take().filter(|d| !d.trim().is_empty())?;
        Some(if data.starts_with("[DONE]") { Event::Done } else { Event::Data(data) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn data(text: &str) -> Event {
        Event::Data(text.to_owned())
    }

    fn events(pieces: &[&[u8]]) -> Vec<Event> {
        let mut reader = Events::new(1 << 20);
        let mut out = Vec::new();
        for piece in pieces {
            reader.push(piece);
            while let Some(event) = reader.next_event().unwrap() {
                out.push(event);
            }
        }
        while let Some(event) = reader.finish().unwrap() {
            out.push(event);
        }
        out
    }

    /// The events of a text, the same wherever it is split in two or three and byte by byte.
    fn at_every_split(text: &[u8]) -> Vec<Event> {
        let whole = events(&[text]);
        for at in 0..=text.len() {
            let (a, b) = text.split_at(at);
            assert_eq!(events(&[a, b]), whole, "split at {at}");
            assert_eq!(events(&[a, b"", &b[..b.len().min(1)], &b[b.len().min(1)..]]), whole, "split at {at}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(events(&bytes), whole);
        whole
    }

    #[test]
    fn every_line_end() {
        for end in ["\n", "\r\n", "\r"] {
            let text =
                "data: {\"a\":\"감자 🥔\"}##: ping##event: x#data:two#data: lines#id: 7#retry: 10##data: [DONE]##";
            let whole = at_every_split(text.replace('#', end).as_bytes());
            assert_eq!(whole, [data("{\"a\":\"감자 🥔\"}"), data("two\nlines"), Event::Done], "{end:?}");
        }
        assert_eq!(at_every_split(b"data: a\r\n\rdata: b\n\r\ndata: c\r\r"), [data("a"), data("b"), data("c")]);
    }

    #[test]
    fn byte_order_mark_spaces_and_what_is_passed_over() {
        assert_eq!(at_every_split("\u{feff}data: a\n\n".as_bytes()), [data("a")]);
        assert_eq!(at_every_split(b"\n\n:\n\n: keep-alive\n\ndata\n\ndata:\n\ndata:  a\n\n"), [data(" a")]);
        assert_eq!(at_every_split(b"event: error\n\nid: 1\n\ndata:[DONE] \n\n"), [Event::Done]);
        assert!(at_every_split(b"").is_empty());
        let mut reader = Events::new(100);
        reader.push(b"<html>\n<body>\ndata: a\n\n");
        assert_eq!(reader.next_event(), Ok(Some(data("a"))));
        assert_eq!(reader.stray(), Some("<html>"));
    }

    #[test]
    fn the_last_event_needs_no_blank_line() {
        assert_eq!(at_every_split(b"data: a\n\ndata: b\n"), [data("a"), data("b")]);
        assert_eq!(at_every_split(b"data: a\n\ndata: [DONE]"), [data("a"), Event::Done]);
        assert_eq!(at_every_split(b"data: a\r\n\r\ndata: {\"cut"), [data("a"), data("{\"cut")]);
    }

    #[test]
    fn an_event_is_given_out_with_its_last_byte() {
        let mut reader = Events::new(100);
        reader.push(b"data: a\r\n\r");
        assert_eq!(reader.next_event(), Ok(Some(data("a"))));
        reader.push(b"\ndata: b\n\n");
        assert_eq!(reader.next_event(), Ok(Some(data("b"))));
    }

    #[test]
    fn limits_hold_for_lines_with_and_without_an_end_and_for_events() {
        for text in ["data: 12345\n", "data: 12345", ": a comment that goes on"] {
            let mut reader = Events::new(10);
            reader.push(text.as_bytes());
            assert_eq!(reader.next_event(), Err(LineError::TooLong(10)), "{text}");
        }
        let mut reader = Events::new(10);
        reader.push(b"data:1234\ndata:1234\ndata:1234\n\n");
        assert_eq!(reader.next_event(), Err(LineError::TooLong(10)));
        let mut reader = Events::new(10);
        reader.push(b"data: \xff\n");
        assert!(matches!(reader.next_event(), Err(LineError::NotUtf8(_))));
    }

    /// The body of a recorded answer: no line of the chunk framing begins as one of a stream.
    #[test]
    fn recorded_bodies() {
        let recorded = include_str!("../../tests/data/wire/ls_chat_utf8_stream.http");
        let lines = recorded.split("\r\n\r\n").nth(1).unwrap().split("\r\n").flat_map(|l| l.split_inclusive('\n'));
        let body: String = lines.filter(|l| l.starts_with("data:") || *l == "\n").collect();
        let whole = at_every_split(body.as_bytes());
        assert_eq!(whole.len(), body.matches("data: ").count());
        assert_eq!(whole.last(), Some(&Event::Done));
    }
}
