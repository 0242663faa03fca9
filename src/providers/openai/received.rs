//! What an answer holds, put together of events of `chat.completion.chunk` and their relatives.

use serde_json::{Value as Json, json};

use super::super::thinking::{Split, Thinking};
use super::super::tools::Calls;
use super::super::{ErrorKind, ProviderError};
use super::errors::{self, Server};
use super::schema::Unwrap;
use super::stream::{Reading, no_answer};
use crate::event::Sink;
use crate::net::{ErrorText, FailureKind, Reply, classify};
use crate::value::{Finish, ToolCall, Usage};

/// What an answer holds, as far as it came.
#[derive(Default)]
pub struct Received {
    /// The answer.
    pub text: String,
    /// What the model thought aloud.
    pub reasoning: String,
    /// The model's name as the server gives it.
    pub model: Option<String>,
    /// Why it ended; none before it did.
    pub finish: Option<Finish>,
    /// Token counts.
    pub usage: Usage,
    /// Why the model says that it does not answer.
    refusal: String,
    filtered: bool,
    /// Calls of tools that the model asks for, once nothing is missing.
    pub calls: Vec<ToolCall>,
    growing: Calls,
    thinking: Option<Thinking>,
    unwrap: Option<Unwrap>,
}

impl Received {
    /// Nothing yet.
    pub fn new(reading: Reading) -> Self {
        Self {
            thinking: reading.thinking.then(Thinking::default),
            unwrap: reading.wrapped.then(Unwrap::default),
            ..Self::default()
        }
    }

    /// Nothing more comes, and nothing is missing.
    pub async fn whole(mut self, sink: &mut Sink, server: &Server) -> Result<Self, ProviderError> {
        let cut = self.finish == Some(Finish::Length);
        self.calls = std::mem::take(&mut self.growing).finish().map_err(|why| {
            let error = ProviderError::new(ErrorKind::Broken, format!("{}: {why}", server.at()));
            if cut { error.help("the answer was cut: `max_tokens:` on the model allows more") } else { error }
        })?;
        if !self.calls.is_empty() && self.finish == Some(Finish::Stop) {
            self.finish = Some(Finish::ToolCalls);
        }
        if self.text.is_empty() && !self.refusal.is_empty() {
            let message = format!("the model does not answer: {}", self.refusal);
            return Err(ProviderError::new(ErrorKind::Refused, message));
        }
        if self.filtered {
            sink.notice("the service's content filter cut the answer").await?;
        }
        Ok(self)
    }

    pub async fn take_data(&mut self, data: &str, sink: &mut Sink, server: &Server) -> Result<(), ProviderError> {
        match serde_json::from_str::<Json>(data) {
            Ok(json @ Json::Object(_)) => self.take(&json, sink, server).await,
            _ => Err(no_answer(data, server)),
        }
    }

    /// An answer that did not stream.
    pub async fn take_whole(&mut self, json: &Json, sink: &mut Sink, server: &Server) -> Result<(), ProviderError> {
        self.take(json, sink, server).await?;
        let answers = |choice: &Json| ["message", "delta"].iter().any(|key| choice[key].is_object());
        if !choice(json).is_some_and(|c| answers(c) || c["text"].is_string()) {
            return Err(no_answer(&json.to_string(), server));
        }
        self.finish.get_or_insert(Finish::Other);
        Ok(())
    }

    /// An event, or the whole answer.
    async fn take(&mut self, json: &Json, sink: &mut Sink, server: &Server) -> Result<(), ProviderError> {
        let is_error = json.get("object").and_then(Json::as_str) == Some("error");
        if is_error || json.get("error").is_some_and(|e| !e.is_null()) {
            self.flush(sink).await?;
            return Err(error_event(json, sink.began(), server));
        }
        if let Some(model) = json.get("model").and_then(Json::as_str).filter(|m| !m.is_empty()) {
            self.model.get_or_insert_with(|| model.to_owned());
        }
        self.count(json);
        let Some(choice) = choice(json) else { return Ok(()) };
        let object = |key: &str| choice.get(key).filter(|v| v.is_object());
        let part = object("delta").or_else(|| object("message")).unwrap_or(choice);
        let reasoning = ["reasoning_content", "reasoning", "thinking"].into_iter();
        // Some servers send the same text under two names.
        if let Some(text) = reasoning.filter_map(|key| part.get(key)?.as_str()).find(|t| !t.is_empty()) {
            self.think(text, sink).await?;
        }
        match part.get("content").or_else(|| part.get("text")) {
            Some(Json::String(text)) => self.say(text, sink).await?,
            // Parts, as some models of Mistral answer.
            Some(Json::Array(parts)) => {
                for text in parts.iter().filter_map(|p| p.get("text")?.as_str()) {
                    self.say(text, sink).await?;
                }
            }
            _ => {}
        }
        if let Some(text) = part.get("refusal").and_then(Json::as_str) {
            self.refusal.push_str(text);
        }
        let calls = part.get("tool_calls").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        for call in calls {
            sink.count_more(&call.to_string())?;
        }
        self.growing.push_all(calls.iter());
        // The older form, of one function.
        if let Some(call) = part.get("function_call").filter(|call| call.is_object()) {
            sink.count_more(&call.to_string())?;
            self.growing.push_all([json!({ "index": 0, "function": call })].iter());
        }
        if let Some(reason) = choice.get("finish_reason").and_then(Json::as_str).filter(|r| !r.is_empty()) {
            self.filtered |= reason == "content_filter";
            self.finish = Some(finish(reason));
        }
        Ok(())
    }

    /// Token counts: `usage`, else the timings that llama-server sends unasked.
    fn count(&mut self, json: &Json) {
        let of = |place: Option<&Json>, key: &str| place?.get(key)?.as_u64();
        let (usage, timings) = (json.get("usage"), json.get("timings"));
        let input =
            of(usage, "prompt_tokens").or_else(|| Some(of(timings, "prompt_n")? + of(timings, "cache_n").unwrap_or(0)));
        let output = of(usage, "completion_tokens").or_else(|| of(timings, "predicted_n"));
        self.usage.input = input.or(self.usage.input);
        self.usage.output = output.or(self.usage.output);
    }

    /// A piece of the answer, whatever is written into it taken apart.
    async fn say(&mut self, piece: &str, sink: &mut Sink) -> Result<(), ProviderError> {
        match &mut self.thinking {
            Some(thinking) => {
                let split = thinking.push(piece);
                self.split(split, sink).await
            }
            None => self.answer(piece, sink).await,
        }
    }

    async fn split(&mut self, split: Split, sink: &mut Sink) -> Result<(), ProviderError> {
        if !split.reasoning.is_empty() {
            self.think(&split.reasoning, sink).await?;
        }
        if split.answer.is_empty() { Ok(()) } else { self.answer(&split.answer, sink).await }
    }

    async fn think(&mut self, piece: &str, sink: &mut Sink) -> Result<(), ProviderError> {
        sink.reasoning(piece).await?;
        self.reasoning.push_str(piece);
        Ok(())
    }

    async fn answer(&mut self, piece: &str, sink: &mut Sink) -> Result<(), ProviderError> {
        match &mut self.unwrap {
            Some(unwrap) => {
                let value = unwrap.push(piece);
                self.pass(&value, sink).await
            }
            None => self.pass(piece, sink).await,
        }
    }

    async fn pass(&mut self, text: &str, sink: &mut Sink) -> Result<(), ProviderError> {
        sink.text(text).await?;
        self.text.push_str(text);
        Ok(())
    }

    /// Whether anything of an answer came.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.reasoning.is_empty() && self.growing.is_empty()
    }

    /// Passes on what was held back.
    pub async fn flush(&mut self, sink: &mut Sink) -> Result<(), ProviderError> {
        if let Some(split) = self.thinking.as_mut().map(Thinking::finish) {
            self.split(split, sink).await?;
        }
        match self.unwrap.as_mut().map(Unwrap::finish) {
            Some(rest) => self.pass(&rest, sink).await,
            None => Ok(()),
        }
    }
}

/// The first of the choices: others are not asked for, and streams of several interleave by their index.
fn choice(json: &Json) -> Option<&Json> {
    let choices = json.get("choices")?.as_array()?;
    choices.iter().find(|c| c.is_object() && c.get("index").and_then(Json::as_u64).unwrap_or(0) == 0)
}

/// Why an answer ended. The last three are TGI's names.
fn finish(reason: &str) -> Finish {
    match reason {
        "stop" | "eos" | "eos_token" | "stop_sequence" => Finish::Stop,
        "length" => Finish::Length,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        _ => Finish::Other,
    }
}

/// An error in place of the next event: the status was 200 before the server knew.
fn error_event(json: &Json, began: bool, server: &Server) -> ProviderError {
    let text = ErrorText::from_json(json);
    if let Some(error) = errors::context_overflow(&text, server) {
        return error;
    }
    let status = text.count("http_status_code").or_else(|| text.count("code")).and_then(|n| u16::try_from(n).ok());
    let reply = Reply { status: status.filter(|s| (400..600).contains(s)).unwrap_or(500), ..Default::default() };
    let kind = match classify(&reply, &text).0 {
        FailureKind::Busy if !began => ErrorKind::Busy,
        FailureKind::Refused if !began => ErrorKind::Refused,
        _ => ErrorKind::Broken,
    };
    ProviderError::new(kind, format!("{} stopped with an error: {}", server.at(), text.message))
}
