//! Reading one JSON value character by character as it is written; each is looked at once.
//!
//! The grammar is that of `json_text`, which reads the whole answer in the end and decides.

use super::growing::Tree;
use super::json_text;

/// Brackets in each other that are followed, as in `json_text`.
const DEPTH: usize = 128;

/// The longest number that is told before it ends; a longer one is told whole.
const DRAFT: usize = 40;

/// What a character did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It belongs to the value, which goes on.
    Taken,
    /// It ended the value.
    Ended,
    /// It does not belong here: the value breaks off before it.
    Broken,
}

enum State {
    /// Before a value; whether the bracket may close instead.
    Value(bool),
    /// Before a key; whether the bracket may close instead.
    Key(bool),
    Colon,
    After,
    /// In a string; whether it is a key.
    Text(bool),
    /// In an escape of a string: whether that is a key, and what stands behind the backslash.
    Escape(bool, String),
    Number(String),
    Word(String),
}

/// A value that begins with a bracket.
pub(super) struct Reader {
    /// The value so far.
    pub tree: Tree,
    /// The open brackets.
    pub brackets: Vec<u8>,
    /// Whether something that is JSON came after the brackets, so that this is no bracket of prose.
    pub begun: bool,
    state: State,
    key: String,
}

impl Reader {
    /// A reader before its first bracket.
    pub(super) fn new() -> Self {
        Self {
            tree: Tree::default(),
            brackets: Vec::new(),
            begun: false,
            state: State::Value(false),
            key: String::new(),
        }
    }

    /// Takes the next character.
    pub(super) fn step(&mut self, c: char) -> Step {
        match &mut self.state {
            State::Text(key) => {
                let key = *key;
                self.text(key, c)
            }
            State::Escape(key, seen) => {
                seen.push(c);
                let (key, seen) = (*key, seen.clone());
                self.escape(key, &seen)
            }
            State::Number(digits) if matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E') => {
                digits.push(c);
                Step::Taken
            }
            State::Number(digits) => {
                let digits = std::mem::take(digits);
                match json_text::read(&digits, 0) {
                    Ok((value, end)) if end == digits.len() => {
                        self.tree.put(value);
                        self.begun = true;
                        self.state = State::After;
                        self.step(c)
                    }
                    _ => Step::Broken,
                }
            }
            State::Word(letters) => {
                letters.push(c);
                let letters = letters.clone();
                self.word(&letters)
            }
            _ if matches!(c, ' ' | '\t' | '\n' | '\r') => Step::Taken,
            State::Value(may_close) => {
                let may_close = *may_close;
                self.value(may_close, c)
            }
            State::Key(may_close) => match (c, *may_close) {
                ('"', _) => {
                    self.begun = true;
                    self.state = State::Text(true);
                    Step::Taken
                }
                ('}', true) => self.close(b'{'),
                _ => Step::Broken,
            },
            State::Colon if c == ':' => {
                self.state = State::Value(false);
                Step::Taken
            }
            State::Colon => Step::Broken,
            State::After => match (c, self.brackets.last()) {
                (',', Some(b'{')) => {
                    self.state = State::Key(false);
                    Step::Taken
                }
                (',', Some(_)) => {
                    self.state = State::Value(false);
                    Step::Taken
                }
                ('}', _) => self.close(b'{'),
                (']', _) => self.close(b'['),
                _ => Step::Broken,
            },
        }
    }

    /// Tells a number as far as it was written, at the end of a piece.
    pub(super) fn pause(&mut self) {
        let State::Number(digits) = &self.state else { return };
        let sure = digits.trim_end_matches(|c: char| !c.is_ascii_digit());
        if digits.len() <= DRAFT
            && !sure.is_empty()
            && let Ok((value, end)) = json_text::read(sure, 0)
            && end == sure.len()
        {
            self.tree.draft(value);
        }
    }

    fn value(&mut self, may_close: bool, c: char) -> Step {
        match c {
            '{' | '[' if self.brackets.len() == DEPTH => return Step::Broken,
            '{' => {
                self.tree.map();
                self.brackets.push(b'{');
                self.state = State::Key(true);
            }
            '[' => {
                self.tree.list();
                self.brackets.push(b'[');
                self.state = State::Value(true);
            }
            ']' if may_close => return self.close(b'['),
            '"' => {
                self.begun = true;
                self.tree.begin_text();
                self.state = State::Text(false);
            }
            '-' | '0'..='9' => self.state = State::Number(c.to_string()),
            't' | 'f' | 'n' => self.state = State::Word(c.to_string()),
            _ => return Step::Broken,
        }
        Step::Taken
    }

    fn close(&mut self, bracket: u8) -> Step {
        if self.brackets.last() != Some(&bracket) {
            return Step::Broken;
        }
        self.begun = true;
        self.brackets.pop();
        self.tree.close();
        self.state = State::After;
        if self.brackets.is_empty() { Step::Ended } else { Step::Taken }
    }

    fn word(&mut self, letters: &str) -> Step {
        let words = ["true", "false", "null"];
        if words.contains(&letters) {
            if let Ok((value, _)) = json_text::read(letters, 0) {
                self.tree.put(value);
            }
            self.begun = true;
            self.state = State::After;
        } else if !words.iter().any(|w| w.starts_with(letters)) {
            return Step::Broken;
        }
        Step::Taken
    }

    fn text(&mut self, key: bool, c: char) -> Step {
        match c {
            '\\' => self.state = State::Escape(key, String::new()),
            '"' if key => {
                self.state = State::Colon;
                if !self.tree.key(std::mem::take(&mut self.key)) {
                    return Step::Broken;
                }
            }
            '"' => {
                self.tree.end_text();
                self.state = State::After;
            }
            c if key => self.key.push(c),
            c => self.tree.add(c),
        }
        Step::Taken
    }

    /// What `seen` behind a backslash says, once it is whole.
    fn escape(&mut self, key: bool, seen: &str) -> Step {
        if !seen.is_ascii() {
            return Step::Broken;
        }
        let first = seen.get(1..5).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        // The first half of a character waits for the second, `\uD83D\uDE00`.
        let pair = matches!(first, Some(0xD800..=0xDBFF));
        let whole = match seen.starts_with('u') {
            true if pair => 11,
            true => 5,
            false => 1,
        };
        if pair && seen.len() == 6 && !seen.ends_with('\\') {
            return Step::Broken;
        }
        if seen.len() < whole {
            return Step::Taken;
        }
        let Ok((value, _)) = json_text::read(&format!("\"\\{seen}\""), 0) else { return Step::Broken };
        for c in value.as_text().unwrap_or_default().chars() {
            if key { self.key.push(c) } else { self.tree.add(c) }
        }
        self.state = State::Text(key);
        Step::Taken
    }
}
