//! Rows of comma-separated values, character by character: what `csv` reads whole and as it streams.
//!
//! A value in double quotes may hold commas, line breaks and `""` for a quote; spaces around a value do not count.

/// One row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    /// The byte where it begins.
    pub at: usize,
    /// Its values.
    pub values: Vec<String>,
    /// Whether a blank line stands before it.
    pub apart: bool,
}

/// Why and where rows break off.
pub(super) type Broken = (usize, &'static str);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    /// Before a value.
    #[default]
    Before,
    /// In a value without quotes.
    Bare,
    /// In quotes that opened at this byte.
    Quoted(usize),
    /// Behind a quote that may close.
    Closed(usize),
}

/// Takes characters, gives rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    at: usize,
    state: State,
    value: String,
    row: Row,
    apart: bool,
}

impl Rows {
    /// Takes the next character; gives the row that it ends.
    pub(super) fn push(&mut self, c: char) -> Result<Option<Row>, Broken> {
        let at = self.at;
        self.at += c.len_utf8();
        match (self.state, c) {
            (State::Before, '"') => self.state = State::Quoted(at),
            (State::Quoted(open), '"') => self.state = State::Closed(open),
            (State::Quoted(_), c) => self.value.push(c),
            (State::Closed(open), '"') => {
                self.value.push('"');
                self.state = State::Quoted(open);
            }
            (_, ',') => self.end_value(),
            (_, '\n') => return Ok(self.end_row()),
            (State::Before, c) if c.is_whitespace() => {}
            (State::Closed(_), c) if c.is_whitespace() => {}
            (State::Closed(_), _) => return Err((at, "text stands right behind a closing quote")),
            (State::Before | State::Bare, c) => {
                self.value.push(c);
                self.state = State::Bare;
            }
        }
        Ok(None)
    }

    /// The last row, where no line break ended it.
    pub(super) fn finish(&mut self) -> Result<Option<Row>, Broken> {
        match self.state {
            State::Quoted(open) => Err((open, "this quote is never closed")),
            _ => Ok(self.end_row()),
        }
    }

    fn end_value(&mut self) {
        let value = std::mem::take(&mut self.value);
        let value = if self.state == State::Bare { value.trim_end().to_owned() } else { value };
        self.row.values.push(value);
        self.state = State::Before;
    }

    fn end_row(&mut self) -> Option<Row> {
        let blank = self.state == State::Before && self.row.values.is_empty();
        if blank {
            self.apart = true;
        } else {
            self.end_value();
        }
        let row = std::mem::replace(&mut self.row, Row { at: self.at, ..Row::default() });
        (!blank).then(|| Row { apart: std::mem::take(&mut self.apart), ..row })
    }
}

/// All rows of `text`.
pub(super) fn rows(text: &str) -> Result<Vec<Row>, Broken> {
    let mut reader = Rows::default();
    let mut all = Vec::new();
    for c in text.chars() {
        all.extend(reader.push(c)?);
    }
    all.extend(reader.finish()?);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<Vec<String>> {
        rows(text).unwrap().into_iter().map(|r| r.values).collect()
    }

    #[test]
    fn values_and_rows() {
        assert_eq!(values("a, b\r\n1,\"x, \"\"y\"\"\n z\" ,\n"), [vec!["a", "b"], vec!["1", "x, \"y\"\n z", ""]]);
        assert_eq!(values("5\" pipe,  b c \n"), [["5\" pipe", "b c"]]);
        assert!(values("\n \n").is_empty());
        let all = rows("a\n\nb").unwrap();
        assert_eq!((all[0].apart, all[1].apart, all[1].at), (false, true, 3));
        assert_eq!(rows("a,\"b").unwrap_err().0, 2);
        assert_eq!(rows("\"a\" b").unwrap_err().0, 4);
    }
}
