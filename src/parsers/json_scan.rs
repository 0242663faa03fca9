//! Finding the one JSON value in an answer, whatever prose, code fence or reasoning stands around it.
//!
//! In prose, only objects and lists count; a bare number or word is a value where it is the whole answer. A bracket
//! after which no JSON follows belongs to the prose (`{smile}`, `[the docs]`), and what stands inside of it is no value
//! of the answer, so nothing is ever taken from within something broken. A value that breaks off after it began is an
//! error, and so is a second value.

use super::answer::{self, END_THINK, THINK};
use super::json_text::{Broken, read};
use super::spec::ParseError;
use crate::value::Value;

/// The only JSON value of `text`, and the byte where it begins.
///
/// # Errors
/// There is none, more than one, or one that breaks off.
pub(super) fn find(text: &str) -> Result<(usize, Value), ParseError> {
    if let Some(found) = whole(text, 0, text) {
        return Ok(found);
    }
    let (offset, rest) = answer::without_thinking(text)?;
    if let Some(found) = whole(text, offset, rest) {
        return Ok(found);
    }
    let mut scan = Scan { text, from: 0, prose: Vec::new(), found: None, bracket: None };
    scan.run()?;
    if let Some(found) = scan.found {
        return Ok(found);
    }
    let (start, body) = answer::unfenced(rest);
    match (whole(text, offset + start, body), scan.bracket) {
        (Some(found), _) => Ok(found),
        (None, Some(broken)) => Err(error(text, broken)),
        (None, None) if rest.trim().is_empty() => Err(ParseError::new("the answer is empty, where JSON was expected")),
        (None, None) => Err(ParseError::new(format!("the answer holds no JSON value: {}", answer::quoted(rest)))),
    }
}

/// The value that `part`, which begins at byte `offset` of `text`, is from its first to its last character.
fn whole(text: &str, offset: usize, part: &str) -> Option<(usize, Value)> {
    let last = offset + part.trim_end().len();
    // Of blanks alone, the first value would begin behind the last.
    let start = (offset + (part.len() - part.trim_start().len())).min(last);
    let (value, end) = read(&text[..last], start).ok()?;
    (end == last).then_some((start, value))
}

fn error(text: &str, broken: Broken) -> ParseError {
    let error = answer::at(text, broken.at, broken.message);
    match broken.help {
        Some(help) => error.help(help),
        None => error,
    }
}

struct Scan<'t> {
    text: &'t str,
    from: usize,
    /// Open brackets of the prose around this place.
    prose: Vec<u8>,
    found: Option<(usize, Value)>,
    /// The first bracket of the prose, which may have been meant as JSON.
    bracket: Option<Broken>,
}

impl Scan<'_> {
    fn run(&mut self) -> Result<(), ParseError> {
        while let Some(step) = self.text[self.from..].find(['{', '[', '}', ']', '<', '`']) {
            let at = self.from + step;
            self.from = at + 1;
            match self.text.as_bytes().get(at) {
                Some(b'{' | b'[') => self.value(at)?,
                Some(b'<') => self.tag(at)?,
                Some(b'`') => self.fence(at),
                Some(close) => {
                    let open = if *close == b'}' { b'{' } else { b'[' };
                    if self.prose.last() == Some(&open) {
                        self.prose.pop();
                    }
                }
                None => break,
            }
        }
        Ok(())
    }

    fn value(&mut self, at: usize) -> Result<(), ParseError> {
        match read(self.text, at) {
            Ok((_, end)) if !self.prose.is_empty() => self.from = end,
            Ok((value, end)) => {
                if self.found.is_some() {
                    let message = "the answer holds more than one JSON value; a second begins here".to_owned();
                    return self.unless_thinking(Broken { at, message, help: None, begun: true });
                }
                self.found = Some((at, value));
                self.from = end;
            }
            Err(broken) if broken.begun => return self.unless_thinking(broken),
            Err(broken) => {
                // Up to the place where it breaks stand brackets and spaces alone: none of them begins a value.
                let brackets = self.text[at..broken.at].bytes().filter(|b| matches!(b, b'{' | b'['));
                self.prose.extend(brackets);
                self.from = broken.at;
                self.bracket.get_or_insert(broken);
            }
        }
        Ok(())
    }

    /// The error, unless all up to here turns out to be reasoning, whose end lies ahead.
    fn unless_thinking(&mut self, broken: Broken) -> Result<(), ParseError> {
        match self.text[broken.at..].find(END_THINK) {
            Some(step) => {
                self.from = broken.at + step;
                Ok(())
            }
            None => Err(error(self.text, broken)),
        }
    }

    fn tag(&mut self, at: usize) -> Result<(), ParseError> {
        let rest = &self.text[at..];
        if rest.starts_with(END_THINK) {
            *self = Scan { text: self.text, from: at + END_THINK.len(), prose: Vec::new(), found: None, bracket: None };
        } else if rest.starts_with(THINK) {
            match rest.find(END_THINK) {
                Some(end) => self.from = at + end + END_THINK.len(),
                None if self.found.is_none() => return Err(answer::endless_thinking(self.text, at)),
                // Words about the tag, after the value: nothing further is read from them.
                None => self.from = self.text.len(),
            }
        }
        Ok(())
    }

    /// A fence at the beginning of a line ends what brackets the prose before it left open.
    fn fence(&mut self, at: usize) {
        let ticks = self.text[at..].len() - self.text[at..].trim_start_matches('`').len();
        self.from = at + ticks;
        let before = self.text[..at].trim_end_matches([' ', '\t']);
        if ticks >= 3 && (before.is_empty() || before.ends_with('\n')) {
            self.prose.clear();
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn show(text: &str) -> String {
        find(text).map_or_else(|e| e.message, |(_, v)| v.to_json().to_string())
    }

    /// `{"a":1}` with prose, fences and thoughts around it.
    pub(in crate::parsers) const SURROUNDED: &[&str] = &[
        r#"{"a":1}"#,
        "```json\n{\"a\":1}\n```",
        "Sure!\n```\n{\"a\": 1}\n```\nHope this helps {smile}.",
        r#"Here: {"a":1}. Anything else?"#,
        "<think>Maybe {\"a\": 2}? [\"no</think>\n{\"a\":1}",
        "Maybe {\"a\": 2}? {\"b\": oh</think>{\"a\":1}",
        "See [the docs](here): {\"a\":1}",
        "an [open bracket\n```json\n{\"a\":1}\n```",
        "{\"a\":1} was it; <think> I did not",
        "<think>one</think> <think>[2]</think> {\"a\":1}",
        "See {smile} and [the docs](here): {\"a\":1}",
        "{smile}\n{\"a\":1}",
    ];

    #[test]
    fn what_stands_around_is_no_matter() {
        for text in SURROUNDED {
            assert_eq!(show(text), r#"{"a":1}"#, "{text}");
        }
    }

    #[test]
    fn scalars_are_the_whole_answer() {
        assert_eq!(show(" 3\n"), "3");
        assert_eq!(show("<think>4</think>\"a [1]\""), "\"a [1]\"");
        assert_eq!(show("It is:\n```json\nnull\n```"), "null");
        assert!(show("It is 3").contains("no JSON value"));
        assert!(show("").contains("empty"));
    }

    #[test]
    fn data_that_looks_like_surroundings() {
        let text = "{\"code\": \"```py\\nx = {}\\n```\", \"s\": \"} ] <think> </think>\"}";
        assert_eq!(find(text).unwrap().0, 0);
        assert_eq!(find(&format!("Here: {text}")).unwrap().0, 6);
    }

    #[test]
    fn nothing_is_invented() {
        for (text, wanted) in [
            (r#"{"a":1} or {"a":2}"#, "more than one JSON value"),
            ("{\"a\":1}\n```json\n{\"a\":2}\n```", "more than one JSON value"),
            (r#"{"a":1, "b": tru"#, "line 1, column 14"),
            ("{\"a\": {\"b\": 1}", "found the end of the answer"),
            (r#"{name: {"a":1}}"#, "expected a key in double quotes, found `n`"),
            (r#"{'a': {"b": 1}}"#, "found `'`"),
            (r#"{"items": [{"a":1}, {"a":2}], oops}"#, "expected a key in double quotes"),
            ("{", "found the end of the answer"),
            ("<think>{\"a\":1}", "<think> block never ends"),
            ("Well <think>{\"a\":1}", "<think> block never ends"),
        ] {
            assert!(show(text).contains(wanted), "{text}: {}", show(text));
        }
    }

    #[test]
    fn a_megabyte_is_read_in_linear_time() {
        for piece in [
            "[",
            "{",
            "`",
            "```\n",
            "<think>",
            "</think>",
            "{}",
            "{\"a\":",
            "[x",
            "[[x ",
            "\"",
            "[\"",
            "\\",
            "<think>[1</think>[1",
        ] {
            let text = piece.repeat((1 << 20) / piece.len());
            let began = Instant::now();
            let _ = find(&text);
            let _ = find(&format!("Hm: {text}"));
            assert!(began.elapsed() < Duration::from_secs(3), "{piece}: {:?}", began.elapsed());
        }
    }
}
