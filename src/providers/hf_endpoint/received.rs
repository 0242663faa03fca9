//! What text generation answers: events that hold a token each, or one JSON value where a server does not stream.

use serde_json::Value as Json;

use super::super::openai::errors::{self, Server};
use super::super::openai::schema::Unwrap;
use super::super::openai::stream::{Body, LEAST_EVENT, bad_line, no_answer, too_large};
use super::super::{ErrorKind, ProviderError};
use crate::event::Sink;
use crate::net::{ErrorText, Event, LineError};
use crate::value::{Finish, Usage};

/// What an answer holds, as far as it came.
#[derive(Default)]
pub struct Received {
    /// The answer, without the text that ended it.
    pub text: String,
    /// Why it ended; none before it did.
    pub finish: Option<Finish>,
    /// Token counts.
    pub usage: Usage,
    /// Texts that end an answer: TGI sends them as its last part.
    stops: Vec<String>,
    /// The end of the text that may be the beginning of one of them.
    held: String,
    /// Whether any token came by itself.
    tokens: bool,
    unwrap: Option<Unwrap>,
}

impl Received {
    /// Nothing yet. `wrapped` says that the value travels in an object.
    pub fn new(stops: Vec<String>, wrapped: bool) -> Self {
        Self { stops, unwrap: wrapped.then(Unwrap::default), ..Self::default() }
    }

    /// An event, or the whole answer.
    async fn take(&mut self, json: &Json, sink: &mut Sink, server: &Server) -> Result<(), ProviderError> {
        if json.get("error").is_some_and(|e| !e.is_null()) {
            self.flush(sink).await?;
            return Err(error_event(json, sink.began(), server));
        }
        let text = |place: &Json, key: &str| place.get(key).and_then(Json::as_str).map(str::to_owned);
        if let Some(token) = json.get("token").filter(|t| t.is_object()) {
            self.tokens = true;
            // Such as the one that ends an answer.
            let special = token.get("special").and_then(Json::as_bool).unwrap_or(false);
            if let Some(piece) = text(token, "text").filter(|_| !special) {
                self.say(&piece, sink).await?;
            }
        }
        let details = json.get("details").filter(|d| d.is_object());
        let whole = text(json, "generated_text");
        if let Some(whole) = whole.as_ref().filter(|_| !self.tokens) {
            self.say(whole, sink).await?;
        }
        if let Some(details) = details {
            let count = |key: &str| details.get(key).and_then(Json::as_u64);
            let prefill = || details.get("prefill")?.as_array().filter(|p| !p.is_empty()).map(|p| p.len() as u64);
            self.usage.output = count("generated_tokens").or(self.usage.output);
            self.usage.input = count("input_length").or_else(prefill).or(self.usage.input);
        }
        if whole.is_some() || details.is_some() {
            let reason = details.and_then(|d| text(d, "finish_reason"));
            self.finish = Some(reason.as_deref().map_or(Finish::Other, finish));
            self.end(sink).await?;
        }
        Ok(())
    }

    /// A piece of the answer. What may begin a text that ends it is held back.
    async fn say(&mut self, piece: &str, sink: &mut Sink) -> Result<(), ProviderError> {
        self.held.push_str(piece);
        let held = self.held.as_str();
        let begins = |at: &usize| self.stops.iter().any(|stop| stop.starts_with(&held[*at..]));
        let keep = held.char_indices().map(|(at, _)| at).find(begins).unwrap_or(held.len());
        let sure: String = self.held.drain(..keep).collect();
        self.pass(&sure, sink).await
    }

    /// The answer is at its end: a text that ended it is no part of it.
    async fn end(&mut self, sink: &mut Sink) -> Result<(), ProviderError> {
        if let Some(stop) = self.stops.iter().find(|s| !s.is_empty() && self.held.ends_with(s.as_str())) {
            self.held.truncate(self.held.len() - stop.len());
        }
        self.flush(sink).await
    }

    /// Passes on what was held back.
    pub async fn flush(&mut self, sink: &mut Sink) -> Result<(), ProviderError> {
        let held = std::mem::take(&mut self.held);
        self.pass(&held, sink).await?;
        let rest = self.unwrap.as_mut().map(Unwrap::finish).unwrap_or_default();
        self.add(&rest, sink).await
    }

    async fn pass(&mut self, piece: &str, sink: &mut Sink) -> Result<(), ProviderError> {
        match &mut self.unwrap {
            Some(unwrap) => {
                let value = unwrap.push(piece);
                self.add(&value, sink).await
            }
            None => self.add(piece, sink).await,
        }
    }

    async fn add(&mut self, text: &str, sink: &mut Sink) -> Result<(), ProviderError> {
        if !text.is_empty() {
            sink.text(text).await?;
            self.text.push_str(text);
        }
        Ok(())
    }
}

/// Why an answer ended, in TGI's names.
fn finish(reason: &str) -> Finish {
    match reason {
        "eos_token" | "stop_sequence" | "stop" => Finish::Stop,
        "length" => Finish::Length,
        _ => Finish::Other,
    }
}

/// An error in place of an answer or of its next event: the status is 200 all the same.
fn error_event(json: &Json, began: bool, server: &Server) -> ProviderError {
    let text = ErrorText::from_json(json);
    if let Some(error) = errors::context_overflow(&text, server) {
        return error;
    }
    let loads = json.get("estimated_time").is_some();
    let kind = match text.label("error_type") {
        _ if began => ErrorKind::Broken,
        Some("overloaded" | "incomplete_generation" | "incomplete_generation_stream") => ErrorKind::Busy,
        _ if loads => ErrorKind::Busy,
        _ => ErrorKind::Refused,
    };
    let error = ProviderError::new(kind, format!("{} stopped with an error: {}", server.at(), text.message));
    if loads { error.help("`retry: 5` on the model tries again") } else { error }
}

/// Reads a body that comes in pieces of any size.
pub struct Reader<'s> {
    server: &'s Server,
    /// What came so far.
    pub received: Received,
    body: Body,
    /// Whether the head says that events come.
    events: bool,
    limit: usize,
}

impl<'s> Reader<'s> {
    /// A reader of an answer of at most `max_bytes`.
    pub fn new(server: &'s Server, received: Received, events: bool, max_bytes: u64) -> Self {
        let limit = usize::try_from(max_bytes).unwrap_or(usize::MAX).max(LEAST_EVENT);
        Self { server, received, body: Body::Unclear(Vec::new()), events, limit }
    }

    /// Takes a piece of the body; whether the answer is at its end. Nothing comes behind the event that says so.
    ///
    /// # Errors
    /// It holds an error or no answer, or the answer is too large.
    pub async fn push(&mut self, piece: &[u8], sink: &mut Sink) -> Result<bool, ProviderError> {
        self.body.push(piece, self.events, self.limit);
        match &mut self.body {
            Body::Stream(events) => {
                while let Some(event) = events.next_event().map_err(|e| bad_line(&e, self.server))? {
                    let Event::Data(data) = event else { continue };
                    take_data(&mut self.received, &data, sink, self.server).await?;
                    if self.received.finish.is_some() {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Body::Whole(bytes) if bytes.len() > self.limit => Err(too_large(self.limit, self.server)),
            Body::Unclear(_) | Body::Whole(_) => Ok(false),
        }
    }

    /// The body is at its end.
    ///
    /// # Errors
    /// The answer is not.
    pub async fn end(mut self, sink: &mut Sink) -> Result<Received, ProviderError> {
        let server = self.server;
        let mut stray = None;
        match &mut self.body {
            Body::Unclear(_) => {}
            Body::Whole(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                match serde_json::from_str::<Json>(&text) {
                    // The root of TGI answers a list of one.
                    Ok(Json::Array(items)) if items.first().is_some_and(Json::is_object) => {
                        self.received.take(&items[0], sink, server).await?;
                    }
                    Ok(json @ Json::Object(_)) => self.received.take(&json, sink, server).await?,
                    Err(e) if e.is_eof() && text.trim_start().starts_with(['{', '[']) => {}
                    _ => return Err(no_answer(&text, server)),
                }
                stray = Some(text.into_owned()).filter(|t| !t.is_empty() && t.trim_end().ends_with(['}', ']']));
            }
            Body::Stream(events) if self.received.finish.is_none() => {
                match events.finish() {
                    Ok(Some(Event::Data(data))) => match serde_json::from_str::<Json>(&data) {
                        // The stream was cut in mid-event.
                        Err(e) if e.is_eof() => {}
                        _ => take_data(&mut self.received, &data, sink, server).await?,
                    },
                    // The stream was cut in mid-character.
                    Ok(_) | Err(LineError::NotUtf8(_)) => {}
                    Err(error) => return Err(bad_line(&error, server)),
                }
                // The last line may be the beginning of one that was cut.
                let stray_line = |line: &&str| !self.received.tokens && !"data".starts_with(*line);
                stray = events.stray().filter(stray_line).map(str::to_owned);
            }
            Body::Stream(_) => {}
        }
        if self.received.finish.is_some() {
            return Ok(self.received);
        }
        self.received.flush(sink).await?;
        match stray {
            Some(text) if self.received.text.is_empty() => Err(no_answer(&text, server)),
            _ => Err(errors::early_end(self.received.text.len(), sink.began(), server)),
        }
    }
}

async fn take_data(received: &mut Received, data: &str, sink: &mut Sink, server: &Server) -> Result<(), ProviderError> {
    match serde_json::from_str::<Json>(data) {
        Ok(json @ Json::Object(_)) => received.take(&json, sink, server).await,
        _ => Err(no_answer(data, server)),
    }
}
