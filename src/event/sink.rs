//! The door through which what a model gives comes to the events.

use std::sync::Arc;

use super::{EventKind, EventSender, FrameId, Growing, NodeId, Stopped};
use crate::value::{Secret, ToolCall, Veil, redact, redact_json};

/// Where one call of a model puts what it gives: the one door to the event stream, where secrets are redacted.
pub struct Sink {
    events: EventSender,
    frame: FrameId,
    node: NodeId,
    secrets: Arc<[Secret]>,
    /// Pieces passed on so far.
    pieces: u64,
    bytes: u64,
    max_bytes: u64,
    /// Whether the pieces are for a record alone.
    aside: bool,
    growing: Option<Box<dyn Growing>>,
    text: Veil,
    reasoning: Veil,
    /// The lengths of the pieces of the answer, where it is recorded.
    lengths: Vec<usize>,
}

/// Why a [`Sink`] took no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkClosed {
    /// Nobody reads any more.
    Stopped,
    /// The answer is larger than `max_response`, in bytes.
    TooLarge(u64),
}

impl Sink {
    /// A sink for one call at `node` in `frame`. Answers larger than `max_bytes` are refused.
    pub fn new(events: EventSender, frame: FrameId, node: NodeId, secrets: Arc<[Secret]>, max_bytes: u64) -> Self {
        let (text, reasoning) = (Veil::new(secrets.clone()), Veil::new(secrets.clone()));
        Self {
            events,
            frame,
            node,
            secrets,
            pieces: 0,
            bytes: 0,
            max_bytes,
            aside: false,
            growing: None,
            text,
            reasoning,
            lengths: Vec::new(),
        }
    }

    /// The same, which also records how the value grows that `growing` makes of the answer.
    #[must_use]
    pub fn growing(mut self, growing: impl FnOnce() -> Option<Box<dyn Growing>>) -> Self {
        self.growing = if self.events.recorded() { growing() } else { None };
        self
    }

    /// The same, for an answer that is not the run's result: its pieces are for a record alone.
    #[must_use]
    pub fn aside(mut self, aside: bool) -> Self {
        self.aside = aside;
        self
    }

    /// What makes the growing value, once the answer is whole.
    pub fn take_growing(&mut self) -> Option<Box<dyn Growing>> {
        self.growing.take()
    }

    /// The lengths in bytes of the pieces of the answer, where it is recorded.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Whether a piece of the answer was passed on: then the call cannot be tried again unseen.
    pub fn began(&self) -> bool {
        self.pieces > 0
    }

    /// Passes on a piece of the answer; waits for a slow reader.
    ///
    /// # Errors
    /// The reader is gone, or the answer is too large.
    pub async fn text(&mut self, piece: &str) -> Result<(), SinkClosed> {
        if piece.is_empty() {
            return Ok(());
        }
        self.count(piece)?;
        self.pieces += 1;
        if self.aside && self.growing.is_none() && self.secrets.is_empty() && !self.events.recorded() {
            return self.record(|_| EventKind::Token { text: piece.to_owned() }).await;
        }
        self.reasoned().await?;
        let text = self.text.push(piece);
        self.shown(text).await
    }

    /// The answer is over, whole or not: what was held back of it, since it could have been the beginning of a secret, is
    /// passed on.
    ///
    /// # Errors
    /// The reader is gone.
    pub async fn finish(&mut self) -> Result<(), SinkClosed> {
        self.reasoned().await?;
        let text = self.text.end();
        self.shown(text).await
    }

    /// The reasoning is over, or goes on behind the answer.
    async fn reasoned(&mut self) -> Result<(), SinkClosed> {
        let text = self.reasoning.end();
        if text.is_empty() { Ok(()) } else { self.record(|_| EventKind::Reasoning { text }).await }
    }

    async fn shown(&mut self, text: String) -> Result<(), SinkClosed> {
        if text.is_empty() {
            return Ok(());
        }
        if self.events.wanted.recordings {
            self.lengths.push(text.len());
        }
        if self.aside && self.growing.is_none() {
            return self.record(|_| EventKind::Token { text }).await;
        }
        let grown = self.growing.as_mut().map(|g| g.push(&text)).unwrap_or_default();
        self.send(EventKind::Token { text }).await?;
        for growth in grown {
            self.send(EventKind::Partial(growth)).await?;
        }
        Ok(())
    }

    /// Passes on a piece of the model's reasoning, which is no part of the answer.
    ///
    /// # Errors
    /// The reader is gone, or answer and reasoning together are too large.
    pub async fn reasoning(&mut self, piece: &str) -> Result<(), SinkClosed> {
        if piece.is_empty() {
            return Ok(());
        }
        self.count(piece)?;
        let text = self.reasoning.push(piece);
        if text.is_empty() { Ok(()) } else { self.record(|_| EventKind::Reasoning { text }).await }
    }

    /// Tells something of the call itself; its texts are redacted already.
    ///
    /// # Errors
    /// The reader is gone.
    pub async fn tell(&mut self, kind: EventKind) -> Result<(), SinkClosed> {
        self.send(kind).await
    }

    /// Tells something of the call that only a record shows.
    ///
    /// # Errors
    /// The reader is gone.
    pub async fn record(&mut self, make: impl FnOnce(&Self) -> EventKind) -> Result<(), SinkClosed> {
        let sink = &*self;
        let sent = sink.events.record(sink.frame, Some(sink.node), || make(sink)).await;
        sent.map_err(|Stopped| SinkClosed::Stopped)
    }

    /// Tells the person something.
    ///
    /// # Errors
    /// The reader is gone.
    pub async fn notice(&mut self, text: &str) -> Result<(), SinkClosed> {
        let text = self.redact(text);
        self.send(EventKind::Notice { text }).await
    }

    /// Tells how likely tokens of the answer were.
    ///
    /// # Errors
    /// The reader is gone.
    pub async fn logprobs(&mut self, tokens: &serde_json::Value) -> Result<(), SinkClosed> {
        if !self.events.recorded() {
            return Ok(());
        }
        let text = self.clean(&tokens.to_string());
        match serde_json::from_str(&text) {
            Ok(tokens) => self.send(EventKind::Logprobs { tokens }).await,
            // A secret that was taken out took a part of the form with it.
            Err(_) => Ok(()),
        }
    }

    /// Tells how far a download is.
    ///
    /// # Errors
    /// The reader is gone.
    pub async fn progress(&mut self, what: &str, done: u64, total: Option<u64>) -> Result<(), SinkClosed> {
        self.send(EventKind::Progress { what: what.to_owned(), done, total }).await
    }

    /// `text` without the run's secrets.
    pub fn redact(&self, text: &str) -> String {
        redact(text, &self.secrets)
    }

    /// The same of every text of a JSON value.
    pub fn redact_json(&self, json: serde_json::Value) -> serde_json::Value {
        redact_json(json, &self.secrets)
    }

    /// The most bytes that answer and reasoning may have.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Counts what is kept of an answer and no piece of its text.
    ///
    /// # Errors
    /// The answer is too large.
    pub fn count_more(&mut self, piece: &str) -> Result<(), SinkClosed> {
        self.count(piece)
    }

    /// Tells which tools the model asks for.
    ///
    /// # Errors
    /// The reader is gone.
    pub async fn tool_calls(&mut self, calls: &[ToolCall]) -> Result<(), SinkClosed> {
        if calls.is_empty() || !self.events.recorded() {
            return Ok(());
        }
        let text = self.clean(&serde_json::Value::from_iter(calls.iter().map(ToolCall::to_json)).to_string());
        match serde_json::from_str(&text) {
            Ok(calls) => self.send(EventKind::ToolCalls { calls }).await,
            // A secret that was taken out took a part of the form with it.
            Err(_) => Ok(()),
        }
    }

    fn count(&mut self, piece: &str) -> Result<(), SinkClosed> {
        self.bytes += piece.len() as u64;
        if self.bytes > self.max_bytes { Err(SinkClosed::TooLarge(self.max_bytes)) } else { Ok(()) }
    }

    fn clean(&self, piece: &str) -> String {
        if self.secrets.is_empty() { piece.to_owned() } else { self.redact(piece) }
    }

    async fn send(&self, kind: EventKind) -> Result<(), SinkClosed> {
        self.events.send(self.frame, Some(self.node), kind).await.map_err(|Stopped| SinkClosed::Stopped)
    }
}
