//! The JSON value in an answer that is still being written: what stands around it is passed over as in `json_scan`,
//! character by character.
//!
//! A bracket at the beginning of a line is told at once, one within a line when JSON follows it, so that `{smile}` is not
//! told. What turns out to be prose or reasoning all the same is told to be null.

use serde_json::Value as Json;

use super::answer::{END_THINK, THINK};
use super::growing::Tree;
use super::json_grow::{Reader, Step};
use crate::event::{Growing, Growth};
use crate::value::Value;

/// The stream of `json`.
#[derive(Default)]
pub(super) struct Live {
    place: Place,
    /// The last characters, for tags.
    tail: String,
    /// Whether only spaces and ticks came since the beginning of the line, and how many ticks.
    line: Option<usize>,
    /// Open brackets of the prose.
    prose: Vec<u8>,
    reader: Option<Reader>,
    /// Whether what the reader reads stands in brackets of the prose or behind the value.
    muted: bool,
    /// The value, once it began.
    found: Option<Tree>,
    /// Whether something was told.
    told: bool,
    /// Whether the value's beginning may be told.
    open: bool,
    /// Characters of the prose that are no blanks.
    seen: usize,
    /// An answer that begins with a quote, held back while it may be one string: the brackets in it are text then.
    quoted: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Place {
    /// Before the first character that is no blank.
    #[default]
    Start,
    /// In a string that began there; whether a backslash came just before.
    Quoted(bool),
    /// Behind that string.
    Unquoted,
    Prose,
    Think,
    Value,
    /// Behind something broken: only the end of reasoning makes a new beginning.
    Lost,
}

impl Growing for Live {
    fn push(&mut self, piece: &str) -> Vec<Growth> {
        let mut changes = Vec::new();
        for c in piece.chars() {
            self.take(c, &mut changes);
        }
        if let Some(reader) = &mut self.reader {
            reader.pause();
        }
        self.tell(&mut changes);
        changes
    }

    fn finish(&mut self) -> Vec<Growth> {
        Vec::new()
    }

    fn value(&self) -> Option<Value> {
        let tree = match (&self.found, &self.reader) {
            (Some(tree), _) => tree,
            (None, Some(reader)) if !self.muted => &reader.tree,
            _ => return None,
        };
        if self.told { tree.value() } else { None }
    }
}

impl Live {
    fn take(&mut self, c: char, changes: &mut Vec<Growth>) {
        match self.place {
            Place::Value => self.read(c, changes),
            Place::Start => {
                self.line = Some(0);
                if c == '"' {
                    self.place = Place::Quoted(false);
                    self.quoted.push(c);
                } else {
                    if !c.is_whitespace() {
                        self.place = Place::Prose;
                    }
                    self.pass(c, changes);
                }
            }
            Place::Quoted(escaped) => {
                self.quoted.push(c);
                self.place = match c {
                    '"' if !escaped => Place::Unquoted,
                    _ => Place::Quoted(c == '\\' && !escaped),
                };
            }
            Place::Unquoted => {
                self.quoted.push(c);
                if !c.is_whitespace() {
                    self.unquote(changes);
                }
            }
            Place::Prose | Place::Think | Place::Lost => self.pass(c, changes),
        }
    }

    /// What was held back is prose.
    fn unquote(&mut self, changes: &mut Vec<Growth>) {
        self.place = Place::Prose;
        for c in std::mem::take(&mut self.quoted).chars() {
            self.take(c, changes);
        }
    }

    /// Moves the growth of the value, if it may be told.
    fn tell(&mut self, changes: &mut Vec<Growth>) {
        let tree = match (&mut self.reader, &mut self.found) {
            (Some(reader), None) if !self.muted && (self.open || reader.begun) => &mut reader.tree,
            (_, Some(tree)) => tree,
            _ => return,
        };
        let fresh = tree.changes();
        self.told |= !fresh.is_empty();
        changes.extend(fresh);
    }

    /// Takes back what was told.
    fn withdraw(&mut self, changes: &mut Vec<Growth>) {
        if std::mem::take(&mut self.told) {
            changes.push(Growth::Set { at: String::new(), value: Json::Null });
        }
    }

    fn read(&mut self, c: char, changes: &mut Vec<Growth>) {
        let Some(reader) = &mut self.reader else { return };
        let begun = reader.begun;
        match reader.step(c) {
            Step::Taken => {}
            Step::Ended => {
                self.tell(changes);
                let reader = self.reader.take();
                self.place = Place::Prose;
                self.line = None;
                if !self.muted {
                    self.found = reader.map(|r| r.tree);
                } else if self.prose.is_empty() {
                    self.place = Place::Lost;
                }
            }
            Step::Broken if begun => {
                // The value so far stays until the answer is whole and refused.
                self.tell(changes);
                if let Some(reader) = self.reader.take().filter(|_| !self.muted) {
                    self.found = Some(reader.tree);
                }
                self.place = Place::Lost;
                self.pass(c, changes);
            }
            Step::Broken => {
                if let Some(reader) = self.reader.take() {
                    self.prose.extend(reader.brackets);
                }
                if !self.muted {
                    self.withdraw(changes);
                }
                self.place = Place::Prose;
                self.pass(c, changes);
            }
        }
    }

    /// Takes a character outside of values.
    fn pass(&mut self, c: char, changes: &mut Vec<Growth>) {
        if self.tail.len() >= END_THINK.len() {
            let first = self.tail.chars().next().map_or(0, char::len_utf8);
            self.tail.drain(..first);
        }
        self.tail.push(c);
        if self.tail.ends_with(END_THINK) {
            if self.place == Place::Think && self.seen > THINK.len() {
                self.place = Place::Prose;
            } else {
                // All up to here was reasoning.
                self.withdraw(changes);
                *self = Live { line: Some(0), ..Live::default() };
            }
            self.tail.clear();
            return;
        }
        if matches!(self.place, Place::Think | Place::Lost) {
            return;
        }
        self.seen += usize::from(!c.is_whitespace());
        if self.tail.ends_with(THINK) {
            self.place = Place::Think;
            return;
        }
        match c {
            '{' | '[' => {
                self.muted = self.found.is_some() || !self.prose.is_empty();
                self.open = self.line == Some(0);
                let mut reader = Reader::new();
                reader.step(c);
                self.reader = Some(reader);
                self.place = Place::Value;
                self.tail.clear();
            }
            '}' if self.prose.last() == Some(&b'{') => drop(self.prose.pop()),
            ']' if self.prose.last() == Some(&b'[') => drop(self.prose.pop()),
            _ => {}
        }
        self.line = match (c, self.line) {
            ('\n', _) => Some(0),
            (' ' | '\t', Some(0)) => Some(0),
            ('`', Some(n)) => Some(n + 1),
            _ => None,
        };
        // A fence ends what brackets the prose before it left open.
        if self.line == Some(3) {
            self.prose.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parsers::growing::grown;
    use crate::parsers::json_scan::find;

    /// The value that a reader of the growth has at the end, when the answer comes in pieces of `size` characters.
    fn streamed(text: &str, size: usize) -> (Json, Option<Value>) {
        let mut live = Live::default();
        let chars: Vec<char> = text.chars().collect();
        let mut changes = Vec::new();
        for piece in chars.chunks(size) {
            changes.extend(live.push(&piece.iter().collect::<String>()));
            let so_far = live.value().map_or(Json::Null, |v| v.to_json());
            assert_eq!(grown(&changes), so_far, "{text}");
        }
        (grown(&changes), live.value())
    }

    #[test]
    fn what_stands_around_is_no_matter() {
        for text in super::super::json_scan::tests::SURROUNDED {
            for size in [1, 2, 3, 1000] {
                assert_eq!(streamed(text, size).0, serde_json::json!({"a": 1}), "{text} by {size}");
            }
        }
    }

    #[test]
    fn a_string_that_is_the_whole_answer_holds_no_value() {
        for text in
            ["\"{\"", "\"{\\\"a\\\": 1}\"", " \"[]\" ", "<think>a</think>\"{}\"", "a</think>\n\"{}\"", "\"a\n{}"]
        {
            for size in [1, 2, 3, 1000] {
                assert_eq!(streamed(text, size), (Json::Null, None), "{text} by {size}");
            }
        }
        for text in ["\"a\" is {\"a\": 1}", "\"Sure\": {\"a\": 1}", "<think>\"</think>{\"a\": 1}", "\"Sure: {\"a\": 1}"]
        {
            for size in [1, 2, 3, 1000] {
                let whole = find(text).map(|(_, v)| v.to_json());
                assert_eq!(Ok(streamed(text, size).0), whole, "{text} by {size}");
            }
        }
    }

    /// A small generator of random numbers, the same in every run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) % n
        }

        fn text(&mut self) -> String {
            let parts = ["a", "\"", "\\", "\n", "é", "😀", "</think>", "```", "{", "]", "/", "~", "\u{1}", " "];
            (0..self.below(6)).map(|_| parts[self.below(parts.len() as u64) as usize]).collect()
        }

        fn value(&mut self, depth: u64) -> Json {
            match self.below(if depth == 0 { 5 } else { 8 }) {
                0 => Json::Null,
                1 => Json::from(self.below(2) == 0),
                2 => Json::from(self.below(2000) as i64 - 1000),
                3 => Json::from(self.below(1000) as f64 / 8.0 - 50.0),
                4 => Json::from(self.text()),
                5 | 6 => Json::Object(
                    (0..self.below(4)).map(|i| (format!("{}{i}", self.text()), self.value(depth - 1))).collect(),
                ),
                _ => Json::Array((0..self.below(4)).map(|_| self.value(depth - 1)).collect()),
            }
        }

        fn document(&mut self) -> String {
            let value = serde_json::json!({"d": self.value(4)});
            let written = match self.below(3) {
                0 => serde_json::to_string_pretty(&value).unwrap(),
                1 => value.to_string(),
                _ => value.to_string().replace('é', "\\u00e9").replace('😀', "\\ud83d\\ude00"),
            };
            let before = ["", "Here: ", "```json\n", "<think>{\"no\"</think>\n", "{smile} ", "See [it](x):\n"];
            let after = ["", ".", "\n```", "\nBye!", " {smile}", ""];
            let i = self.below(6) as usize;
            format!("{}{written}{}", before[i], after[i])
        }
    }

    #[test]
    fn every_split_of_random_documents_ends_in_the_unstreamed_result() {
        let mut random = Random(0x5eed_1234_abcd_0001);
        for _ in 0..300 {
            let text = random.document();
            let whole = find(&text).map(|(_, v)| v).unwrap();
            for (at, _) in text.char_indices() {
                let mut live = Live::default();
                let mut changes = live.push(&text[..at]);
                changes.extend(live.push(&text[at..]));
                assert_eq!(live.value().as_ref(), Some(&whole), "{text} at {at}");
                assert_eq!(grown(&changes), whole.to_json(), "{text} at {at}");
            }
            assert_eq!(streamed(&text, 1).1, Some(whole), "{text}");
        }
    }
}
