//! Recordings: what models answered in a run, one JSON line an answer, in a form that a person can read and write.
//!
//! A run's recording is read by what was asked alone ([`Recording`]); that of a file's tests by the whole call ([`Tape`]).

mod nearest;
mod reading;
mod tape;

pub use reading::{Missing, Recording};
pub use tape::{Call, Found, Tape};

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
    /// Which run of a case asked, from 1, where a test runs its cases several times.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub run: u32,
    /// Which of the same calls of one run it is, from 1.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub time: u32,
    /// The digest of the weights that answered, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
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
    /// The text whose vector is asked for, where an embedder is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embed: Option<String>,
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
    /// Its text; none where it is a vector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The vector of an embedder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<Vec<f32>>,
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
    /// How long the answer took, in seconds, where that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

fn first() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_first(number: &u32) -> bool {
    *number == 1
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
                Self { messages: Some(messages.iter().map(line).collect()), raw: None, parser, embed: None }
            }
            RequestInput::Raw(segments) => {
                let raw = segments.iter().map(|s| s.text.as_str()).collect();
                Self { messages: None, raw: Some(raw), parser, embed: None }
            }
        }
    }

    /// What an embedder is asked of a text.
    pub fn vector(text: &str) -> Self {
        Self { messages: None, raw: None, parser: None, embed: Some(text.to_owned()) }
    }

    /// The same with every text changed.
    #[must_use]
    pub fn map(mut self, change: impl Fn(&str) -> String) -> Self {
        for line in self.messages.iter_mut().flatten() {
            line.text = change(&line.text);
            let calls = std::mem::take(&mut line.tool_calls).into_iter();
            line.tool_calls = calls.map(|call| call.map_texts(&change)).collect();
        }
        self.raw = self.raw.as_deref().map(&change);
        self.embed = self.embed.as_deref().map(change);
        self
    }

    /// The digest that it is found by. The order of a schema's keys counts, as it does for a model.
    fn key(&self) -> String {
        digest(json!([self.messages, self.raw, self.parser, self.embed]).to_string().as_bytes())
    }

    /// The prompt as a person reads it.
    pub fn text(&self) -> String {
        match &self.messages {
            Some(lines) => lines.iter().map(|l| format!("{}: {}", l.role, l.text)).collect::<Vec<_>>().join("\n"),
            None => self.raw.clone().or_else(|| self.embed.clone()).unwrap_or_default(),
        }
    }
}

impl Recorded {
    /// A line of a recording. The pieces are kept where there are several.
    pub fn new(
        names: (&str, &str, &str),
        options: Map<String, Json>,
        asked: Asked,
        answer: &Answer,
        pieces: Vec<usize>,
    ) -> Self {
        let kept = Kept {
            text: Some(answer.text.clone()),
            vector: None,
            reasoning: answer.reasoning.clone(),
            tool_calls: answer.tool_calls.clone(),
            model: Some(answer.model.clone()),
            finish: answer.finish,
            input_tokens: answer.usage.input,
            output_tokens: answer.usage.output,
            seconds: None,
        };
        let pieces = if pieces.len() > 1 { pieces } else { Vec::new() };
        Self { pieces, ..Self::line(names, options, asked, kept) }
    }

    /// The same as the vector of a text.
    pub fn of_vector(names: (&str, &str, &str), options: Map<String, Json>, asked: Asked, vector: &[f32]) -> Self {
        let kept = Kept {
            text: None,
            vector: Some(vector.to_vec()),
            reasoning: None,
            tool_calls: Vec::new(),
            model: None,
            finish: Finish::Stop,
            input_tokens: None,
            output_tokens: None,
            seconds: None,
        };
        Self::line(names, options, asked, kept)
    }

    /// A line of the first run and time.
    fn line(
        (name, provider, model): (&str, &str, &str),
        options: Map<String, Json>,
        asked: Asked,
        answer: Kept,
    ) -> Self {
        let (name, provider, model) = (name.to_owned(), provider.to_owned(), model.to_owned());
        let (recording, run, time, weights, pieces) = (VERSION, 1, 1, None, Vec::new());
        Self { recording, name, provider, model, options, asked, run, time, weights, answer, pieces }
    }

    /// The answer's text in the pieces in which it came; whole where they do not fit it any more.
    pub fn pieces(&self) -> Vec<&str> {
        let mut out = Vec::with_capacity(self.pieces.len());
        let text = self.answer.text.as_deref().unwrap_or_default();
        let mut rest = text;
        for length in &self.pieces {
            let Some((piece, after)) = rest.split_at_checked(*length) else { return vec![text] };
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
        Usage { input: self.answer.input_tokens, output: self.answer.output_tokens, cached: None }
    }

    /// The answer, as it took `seconds`.
    pub fn answer(&self, seconds: f64) -> Answer {
        let answer = &self.answer;
        Answer {
            text: answer.text.clone().unwrap_or_default(),
            reasoning: answer.reasoning.clone(),
            tool_calls: answer.tool_calls.clone(),
            model: answer.model.clone().unwrap_or_else(|| self.model.clone()),
            finish: answer.finish,
            usage: self.usage(),
            seconds,
        }
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
    let asked = &recorded.asked;
    let kinds = [asked.messages.is_some(), asked.raw.is_some(), asked.embed.is_some()];
    match kinds.into_iter().filter(|is| *is).count() {
        0 => return Err("it says nothing of what was asked: `messages`, `raw` or `embed`".to_owned()),
        1 => {}
        _ => return Err("it has more than one of `messages`, `raw` and `embed`".to_owned()),
    }
    match (&recorded.answer.text, &recorded.answer.vector, asked.embed.is_some()) {
        (Some(_), None, false) | (None, Some(_), true) => Ok(recorded),
        (_, _, true) => Err("its answer is no `vector`, and `embed` asks for one".to_owned()),
        _ => Err("its answer has no `text`".to_owned()),
    }
}

/// The recorded answers of a file, with their lines from 1.
fn entries(text: &str) -> impl Iterator<Item = Result<(usize, Recorded), ReadError>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(at, line)| match recorded(line) {
        Ok(recorded) => Ok((at + 1, recorded)),
        Err(why) => Err(ReadError::Line { line: at + 1, why }),
    })
}
