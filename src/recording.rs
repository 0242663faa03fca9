//! Recordings: what models answered in a run, one JSON line an answer, in a form that a person can read and write.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::store::digest;
use crate::value::{Answer, Constraint, Finish, Request, RequestInput, ToolCall, Usage};

/// The form of the lines.
const VERSION: u32 = 1;

/// An answer with what it answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// The form of the line.
    recording: u32,
    /// The model's name in the file that ran.
    pub name: String,
    /// The provider's name.
    pub provider: String,
    /// The model that was asked for.
    pub model: String,
    /// The options that changed the answer, by their own names.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Json>,
    /// What was asked.
    pub asked: Asked,
    /// What was answered.
    pub answer: Kept,
    /// The lengths in bytes of the pieces in which the answer came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<usize>,
}

/// What is asked of a model: what an answer is found again by. Which model it is and where does not count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Line>>,
    /// The raw text, where there are no messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// What the parser behind the model takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parser: Option<Json>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Who says it.
    pub role: String,
    /// What is said.
    pub text: String,
    /// The digests of pictures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Calls of tools that were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Which call a tool's message answers: the tool's name and the call's `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<(String, String)>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Its text.
    pub text: String,
    /// What the model thought aloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// The model that answered, as the provider names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Calls of tools that it asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Why it stopped.
    #[serde(default = "stopped")]
    pub finish: Finish,
    /// Tokens of the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
}

fn stopped() -> Finish {
    Finish::Stop
}

impl Asked {
    /// What a request asks. `constraint` is what the parser behind the model takes, whether the model is held to it or not.
    pub fn of(request: &Request, constraint: Option<&Constraint>) -> Self {
        let parser = constraint.map(|constraint| match constraint {
            Constraint::Json => json!("json"),
            Constraint::JsonSchema(schema) => json!({ "schema": schema }),
            Constraint::Regex(pattern) => json!({ "regex": pattern }),
        });
        match &request.input {
            RequestInput::Messages(messages) => {
                let line = |m: &crate::value::Message| Line {
                    role: m.role.name().to_owned(),
                    text: m.text.clone(),
                    images: m.images.iter().map(|image| digest(&image.bytes)).collect(),
                    tool_calls: m.calls.clone(),
                    answers: m.reply.as_ref().map(|reply| (reply.name.clone(), reply.call_id.clone())),
                };
                Self { messages: Some(messages.iter().map(line).collect()), raw: None, parser }
            }
            RequestInput::Raw(segments) => {
                Self { messages: None, raw: Some(segments.iter().map(|s| s.text.as_str()).collect()), parser }
            }
        }
    }

    /// The same with every text changed.
    #[must_use]
    pub fn map(mut self, change: impl Fn(&str) -> String) -> Self {
        for line in self.messages.iter_mut().flatten() {
            line.text = change(&line.text);
            let calls = std::mem::take(&mut line.tool_calls).into_iter();
            line.tool_calls = calls.map(|call| call.map_texts(&change)).collect();
        }
        self.raw = self.raw.as_deref().map(change);
        self
    }

    /// The digest that it is found by. The order of a schema's keys counts, as it does for a model.
    fn key(&self) -> String {
        digest(json!([self.messages, self.raw, self.parser]).to_string().as_bytes())
    }

    /// The prompt as a person reads it.
    pub fn text(&self) -> String {
        match &self.messages {
            Some(lines) => lines.iter().map(|l| format!("{}: {}", l.role, l.text)).collect::<Vec<_>>().join("\n"),
            None => self.raw.clone().unwrap_or_default(),
        }
    }
}

impl Recorded {
    /// A line of a recording. The pieces are kept where there are several.
    pub fn new(
        (name, provider, model): (&str, &str, &str),
        options: Map<String, Json>,
        asked: Asked,
        answer: &Answer,
        pieces: Vec<usize>,
    ) -> Self {
        Self {
            recording: VERSION,
            name: name.to_owned(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            options,
            asked,
            answer: Kept {
                text: answer.text.clone(),
                reasoning: answer.reasoning.clone(),
                tool_calls: answer.tool_calls.clone(),
                model: Some(answer.model.clone()),
                finish: answer.finish,
                input_tokens: answer.usage.input,
                output_tokens: answer.usage.output,
            },
            pieces: if pieces.len() > 1 { pieces } else { Vec::new() },
        }
    }

    /// The answer's text in the pieces in which it came; whole where they do not fit it any more.
    pub fn pieces(&self) -> Vec<&str> {
        let mut out = Vec::with_capacity(self.pieces.len());
        let mut rest = self.answer.text.as_str();
        for length in &self.pieces {
            let Some((piece, after)) = rest.split_at_checked(*length) else { return vec![&self.answer.text] };
            out.push(piece);
            rest = after;
        }
        if !rest.is_empty() {
            out.push(rest);
        }
        out
    }

    /// Token counts.
    pub fn usage(&self) -> Usage {
        Usage { input: self.answer.input_tokens, output: self.answer.output_tokens }
    }

    /// The options among `asked` that it was not recorded with.
    fn differs<'o>(&self, asked: &'o [(&'static str, Json)]) -> Vec<&'o (&'static str, Json)> {
        asked.iter().filter(|(name, value)| !self.options.get(*name).is_some_and(|own| same(own, value))).collect()
    }
}

/// Whether two options say the same: 0 and 0.0 do.
fn same(a: &Json, b: &Json) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

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
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let recorded = recorded(line).map_err(|why| ReadError::Line { line: at + 1, why })?;
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

/// How much two texts have in common at their beginnings and ends, in bytes, less what they differ in length.
fn alike(a: &str, b: &str) -> i64 {
    let front = common(a.bytes(), b.bytes());
    let back = common(a[..].bytes().rev(), b.bytes().rev()).min(a.len().min(b.len()) - front);
    (front + back) as i64 - a.len().abs_diff(b.len()) as i64
}

fn common(a: impl Iterator<Item = u8>, b: impl Iterator<Item = u8>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}

/// Why a recording cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// The system says so.
    Io(std::io::Error),
    /// A line is none.
    Line {
        /// Which, from 1.
        line: usize,
        /// Why.
        why: String,
    },
}

fn recorded(line: &str) -> Result<Recorded, String> {
    let json: Json = serde_json::from_str(line).map_err(|e| format!("it is no JSON: {e}"))?;
    if json.get("event").is_some() {
        return Err("it is an event of `--events`; `--record FILE` makes recordings".to_owned());
    }
    match json.get("recording").map(Json::as_u64) {
        None => return Err("it has no `recording`, which is the form of the line: 1".to_owned()),
        Some(version) if version != Some(u64::from(VERSION)) => {
            return Err(format!("its form is `{}`, and this version reads {VERSION}", json["recording"]));
        }
        Some(_) => {}
    }
    let recorded: Recorded = serde_json::from_value(json).map_err(|e| e.to_string())?;
    match (&recorded.asked.messages, &recorded.asked.raw) {
        (Some(_), None) | (None, Some(_)) => Ok(recorded),
        (None, None) => Err("it says nothing of what was asked: `messages` or `raw`".to_owned()),
        (Some(_), Some(_)) => Err("it has both `messages` and `raw`".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::value::{Message, Role};

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
            usage: Usage { input: Some(3), output: None },
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
        let next = || recording.answer(&asked("q"), &[]).unwrap().answer.text.clone();
        assert_eq!([next(), next(), next()], ["one", "two", "two"]);
    }

    #[test]
    fn options_choose() {
        let text = [line("q", json!({ "seed": 1 }), "one"), line("q", json!({ "seed": 2 }), "two")].join("\n");
        let recording = Recording::parse(&text).unwrap();
        assert_eq!(recording.answer(&asked("q"), &[("seed", json!(2))]).unwrap().answer.text, "two");
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
            (fine.replace("\"messages\":[{\"role\":\"user\",\"text\":\"q\"}]", ""), "`messages` or `raw`"),
            (fine.replace("\"messages\"", "\"raw\":\"x\",\"messages\""), "both"),
        ] {
            match Recording::parse(&format!("{fine}\n{bad}")) {
                Err(ReadError::Line { line: 2, why }) => assert!(why.contains(part), "{bad}: {why}"),
                other => panic!("{bad}: {other:?}"),
            }
        }
    }
}
