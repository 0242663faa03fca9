//! A run's recording: what was asked finds its answer.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value as Json;

use super::nearest::alike;
use super::{Asked, ReadError, Recorded, entries};

/// A recording, read.
#[derive(Debug)]
pub struct Recording {
    lines: Vec<Recorded>,
    /// The lines of each digest, in their order, and how many were given.
    found: HashMap<String, (Vec<usize>, AtomicUsize)>,
}

/// Why a recording has no answer.
#[derive(Debug, PartialEq)]
pub enum Missing<'r> {
    /// The prompt was recorded, with other options: those that differ, as they were recorded.
    Options(Vec<(&'static str, Option<&'r Json>)>),
    /// The prompt was recorded for a parser that takes something else.
    Parser,
    /// It was not recorded; the nearest prompt.
    Prompt(Option<&'r Asked>),
}

impl Recording {
    /// Reads a recording.
    ///
    /// # Errors
    /// The file cannot be read, or a line is none of a recording.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let text = std::fs::read_to_string(path).map_err(ReadError::Io)?;
        Self::parse(&text)
    }

    /// A recording from its text.
    ///
    /// # Errors
    /// A line is none of a recording.
    pub fn parse(text: &str) -> Result<Self, ReadError> {
        let mut lines = Vec::new();
        let mut found: HashMap<String, (Vec<usize>, AtomicUsize)> = HashMap::new();
        for entry in entries(text) {
            let (_, recorded) = entry?;
            // Vectors answer no model's call.
            if recorded.asked.embed.is_some() {
                continue;
            }
            found.entry(recorded.asked.key()).or_default().0.push(lines.len());
            lines.push(recorded);
        }
        Ok(Self { lines, found })
    }

    /// The answer to what is asked. Of several the next one, and the last again once all were given.
    ///
    /// # Errors
    /// There is none, and why.
    pub fn answer(&self, asked: &Asked, options: &[(&'static str, Json)]) -> Result<&Recorded, Missing<'_>> {
        let Some((all, given)) = self.found.get(&asked.key()) else { return Err(self.missing(asked)) };
        let fitting: Vec<&Recorded> =
            all.iter().map(|at| &self.lines[*at]).filter(|line| line.differs(options).is_empty()).collect();
        let Some(last) = fitting.len().checked_sub(1) else {
            let first = &self.lines[all[0]];
            let differ = first.differs(options).into_iter().map(|(name, _)| (*name, first.options.get(*name)));
            return Err(Missing::Options(differ.collect()));
        };
        Ok(fitting[given.fetch_add(1, Ordering::Relaxed).min(last)])
    }

    fn missing(&self, asked: &Asked) -> Missing<'_> {
        let same = |line: &&Recorded| line.asked.messages == asked.messages && line.asked.raw == asked.raw;
        if self.lines.iter().any(|line| same(&line)) {
            return Missing::Parser;
        }
        let text = asked.text();
        let near = self.lines.iter().max_by_key(|line| alike(&line.asked.text(), &text));
        Missing::Prompt(near.map(|line| &line.asked))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::value::{Answer, Finish, Message, Request, RequestInput, Role, Usage};
    use serde_json::{Map, json};

    fn asked(text: &str) -> Asked {
        let request = Request { input: RequestInput::Messages(vec![Message::new(Role::User, text)]), constraint: None };
        Asked::of(&request, None)
    }

    fn line(prompt: &str, options: Json, answer: &str) -> String {
        json!({
            "recording": 1, "name": "m", "provider": "ollama", "model": "x", "options": options,
            "asked": { "messages": [{ "role": "user", "text": prompt }] }, "answer": { "text": answer },
        })
        .to_string()
    }

    #[test]
    fn what_is_written_is_found_again() {
        let answer = Answer {
            text: "a 감자 b".to_owned(),
            reasoning: Some("hm".to_owned()),
            tool_calls: Vec::new(),
            model: "x:latest".to_owned(),
            finish: Finish::Length,
            usage: Usage { input: Some(3), output: None, cached: None },
            seconds: 1.0,
        };
        let options: Map<String, Json> = [("temperature".to_owned(), json!(0))].into_iter().collect();
        let made = Recorded::new(("m", "ollama", "x"), options, asked("q"), &answer, vec![2, 6, 2]);
        let text = serde_json::to_string(&made).unwrap();
        let recording = Recording::parse(&format!("\n{text}\n\n")).unwrap();
        let found = recording.answer(&asked("q"), &[("temperature", json!(0.0))]).unwrap();
        assert_eq!(found, &made);
        assert_eq!(found.pieces(), ["a ", "감자", " b"]);
        // A text that was changed by hand comes whole.
        for pieces in [vec![3, 1], vec![400], Vec::new()] {
            assert_eq!(Recorded { pieces, ..made.clone() }.pieces().concat(), "a 감자 b");
        }
    }

    #[test]
    fn several_answers_come_in_their_order() {
        let text = [line("q", json!({}), "one"), line("r", json!({}), "other"), line("q", json!({}), "two")].join("\n");
        let recording = Recording::parse(&text).unwrap();
        let next = || recording.answer(&asked("q"), &[]).unwrap().answer.text.clone().unwrap();
        assert_eq!([next(), next(), next()], ["one", "two", "two"]);
    }

    #[test]
    fn options_choose() {
        let text = [line("q", json!({ "seed": 1 }), "one"), line("q", json!({ "seed": 2 }), "two")].join("\n");
        let recording = Recording::parse(&text).unwrap();
        assert_eq!(recording.answer(&asked("q"), &[("seed", json!(2))]).unwrap().answer.text.as_deref(), Some("two"));
        let missing = recording.answer(&asked("q"), &[("seed", json!(3))]).unwrap_err();
        assert_eq!(missing, Missing::Options(vec![("seed", Some(&json!(1)))]));
    }

    #[test]
    fn what_is_missing_is_told_from_what_is_near() {
        let text =
            [line("What is a potato?", json!({}), "1"), line("What is a tomato, then?", json!({}), "2")].join("\n");
        let recording = Recording::parse(&text).unwrap();
        let near = |text: &str| match recording.answer(&asked(text), &[]) {
            Err(Missing::Prompt(near)) => near.map(Asked::text),
            other => panic!("{other:?}"),
        };
        assert_eq!(near("What is a pot?").unwrap(), "user: What is a potato?");
        assert_eq!(near("What is a tomato, now?").unwrap(), "user: What is a tomato, then?");
        let other = Asked { parser: Some(json!("json")), ..asked("What is a potato?") };
        assert_eq!(recording.answer(&other, &[]).unwrap_err(), Missing::Parser);
        let empty = Recording::parse("").unwrap();
        assert_eq!(empty.answer(&asked("q"), &[]).unwrap_err(), Missing::Prompt(None));
    }

    #[test]
    fn lines_that_are_none() {
        let fine = line("q", json!({}), "a");
        for (bad, part) in [
            ("{".to_owned(), "no JSON"),
            ("{\"frame\":0,\"event\":\"token\"}".to_owned(), "`--record FILE`"),
            ("{}".to_owned(), "`recording`"),
            (fine.replace("\"recording\":1", "\"recording\":2"), "this version reads 1"),
            (fine.replace("\"answer\"", "\"anwser\""), "anwser"),
            (fine.replace("\"role\"", "\"rôle\""), "rôle"),
            (fine.replace("\"messages\":[{\"role\":\"user\",\"text\":\"q\"}]", ""), "`messages`, `raw` or `embed`"),
            (fine.replace("\"messages\"", "\"raw\":\"x\",\"messages\""), "more than one"),
            (fine.replace("\"text\":\"a\"", ""), "no `text`"),
            (fine.replace("\"messages\":[{\"role\":\"user\",\"text\":\"q\"}]", "\"embed\":\"x\""), "no `vector`"),
        ] {
            match Recording::parse(&format!("{fine}\n{bad}")) {
                Err(ReadError::Line { line: 2, why }) => assert!(why.contains(part), "{bad}: {why}"),
                other => panic!("{bad}: {other:?}"),
            }
        }
    }
}
