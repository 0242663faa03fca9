//! Reading an answer: events, or one JSON object where a server does not stream.

use std::time::Duration;

use serde_json::Value as Json;

use super::super::{ErrorKind, ProviderError};
use super::errors::{self, Server};
use super::received::Received;
use crate::event::Sink;
use crate::net::{Event, Events, Failure, LineError, Response};
use crate::value::Finish;

/// The least that an event may have, however small `max_response` is: an answer of few bytes comes in events of more.
pub const LEAST_EVENT: usize = 1 << 20;

/// The longest wait for token counts behind the end of an answer. Some servers neither send `[DONE]` nor hang up.
const AFTER_END: Duration = Duration::from_secs(5);

/// How an answer's text is to be taken.
#[derive(Clone, Copy, Default)]
pub struct Reading {
    /// Whether the value travels in an object.
    pub wrapped: bool,
    /// Whether a `<think>` block at the beginning is reasoning; the text of a raw prompt stays as it is.
    pub thinking: bool,
}

/// Reads the answer to its end and passes its pieces on. The server is read no faster than `sink` takes them.
///
/// # Errors
/// The body breaks off, holds an error or no answer, or gets too large.
pub async fn read(
    response: &mut Response,
    sink: &mut Sink,
    server: &Server,
    reading: Reading,
) -> Result<Received, ProviderError> {
    let events = response.header("content-type").is_some_and(|t| t.contains("event-stream"));
    let mut reader = Reader::new(server, reading, events, sink.max_bytes());
    loop {
        match next(response, reader.received.finish.is_some()).await {
            Ok(Some(piece)) => {
                if reader.push(piece.as_ref(), sink).await? {
                    return reader.done(sink).await;
                }
            }
            Ok(None) => return reader.end(sink).await,
            Err(_) if reader.received.finish.is_some() => return reader.end(sink).await,
            Err(failure) => {
                reader.received.flush(sink).await?;
                return Err(errors::broke_off(failure, reader.received.text.len(), sink.began(), server));
            }
        }
    }
}

/// The next piece of the body. Behind the end of an answer little is waited for.
async fn next(response: &mut Response, ended: bool) -> Result<Option<impl AsRef<[u8]> + use<>>, Failure> {
    if !ended {
        return response.chunk().await;
    }
    match tokio::time::timeout(AFTER_END, response.chunk()).await {
        Ok(piece) => piece,
        Err(_) => Ok(None),
    }
}

/// What the body turns out to be.
pub enum Body {
    /// Nothing but white space came.
    Unclear(Vec<u8>),
    /// A stream of events.
    Stream(Events),
    /// One text.
    Whole(Vec<u8>),
}

impl Body {
    /// Takes a piece; the first letter tells what the body is, since types are not to be trusted.
    pub fn push(&mut self, piece: &[u8], events: bool, limit: usize) {
        match self {
            Body::Stream(events) => events.push(piece),
            Body::Whole(bytes) => bytes.extend_from_slice(piece),
            Body::Unclear(bytes) => {
                bytes.extend_from_slice(piece);
                let Some(first) = bytes.iter().find(|b| !b.is_ascii_whitespace()) else { return };
                let streams = match first {
                    b'{' | b'[' | b'<' => false,
                    _ if events => true,
                    b'd' | b':' | b'e' | b'i' | b'r' | 0xef => true,
                    _ => false,
                };
                let bytes = std::mem::take(bytes);
                *self = if streams {
                    let mut events = Events::new(limit);
                    events.push(&bytes);
                    Body::Stream(events)
                } else {
                    Body::Whole(bytes)
                };
            }
        }
    }
}

/// Reads a body that comes in pieces of any size.
pub struct Reader<'s> {
    server: &'s Server,
    received: Received,
    body: Body,
    /// Whether the head says that events come.
    events: bool,
    limit: usize,
}

impl<'s> Reader<'s> {
    /// A reader of an answer of at most `max_bytes`.
    pub fn new(server: &'s Server, reading: Reading, events: bool, max_bytes: u64) -> Self {
        let received = Received::new(reading);
        let limit = usize::try_from(max_bytes).unwrap_or(usize::MAX).max(LEAST_EVENT);
        Self { server, received, body: Body::Unclear(Vec::new()), events, limit }
    }

    /// Takes a piece of the body; whether the answer is at its end.
    ///
    /// # Errors
    /// It holds an error or no answer, or the answer is too large.
    pub async fn push(&mut self, piece: &[u8], sink: &mut Sink) -> Result<bool, ProviderError> {
        self.body.push(piece, self.events, self.limit);
        match &mut self.body {
            Body::Stream(events) => {
                while let Some(event) = events.next_event().map_err(|e| bad_line(&e, self.server))? {
                    match event {
                        Event::Data(data) => self.received.take_data(&data, sink, self.server).await?,
                        Event::Done => return Ok(true),
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
        match &mut self.body {
            Body::Unclear(_) => {}
            Body::Whole(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                match serde_json::from_str::<Json>(&text) {
                    Ok(json @ Json::Object(_)) => self.received.take_whole(&json, sink, server).await?,
                    Err(e) if e.is_eof() && text.trim_start().starts_with('{') => {}
                    _ => return Err(no_answer(&text, server)),
                }
            }
            Body::Stream(events) => match events.finish() {
                Ok(Some(Event::Done)) => return self.done(sink).await,
                Ok(Some(Event::Data(data))) => match serde_json::from_str::<Json>(&data) {
                    // The stream was cut in mid-event.
                    Err(e) if e.is_eof() => {}
                    _ => self.received.take_data(&data, sink, server).await?,
                },
                Ok(None) => {}
                // The stream was cut in mid-character.
                Err(LineError::NotUtf8(_)) => {}
                Err(error) => return Err(bad_line(&error, server)),
            },
        }
        self.received.flush(sink).await?;
        if self.received.finish.is_none() {
            Err(self.ended_early(sink.began()))
        } else {
            self.received.whole(sink, self.server).await
        }
    }

    /// `[DONE]` came.
    ///
    /// # Errors
    /// No answer came before.
    pub async fn done(mut self, sink: &mut Sink) -> Result<Received, ProviderError> {
        self.received.flush(sink).await?;
        let received = &mut self.received;
        if received.finish.is_none() && received.is_empty() {
            return Err(self.ended_early(sink.began()));
        }
        received.finish.get_or_insert(Finish::Other);
        self.received.whole(sink, self.server).await
    }

    fn ended_early(&self, began: bool) -> ProviderError {
        match &self.body {
            Body::Stream(events) if self.received.text.is_empty() => match events.stray() {
                Some(line) => no_answer(line, self.server),
                None => errors::early_end(self.received.text.len(), began, self.server),
            },
            _ => errors::early_end(self.received.text.len(), began, self.server),
        }
    }
}

/// A line or an event that cannot be read.
pub fn bad_line(error: &LineError, server: &Server) -> ProviderError {
    match error {
        LineError::TooLong(limit) => too_large(*limit, server),
        LineError::NotUtf8(line) => no_answer(line, server),
    }
}

/// More came than the model's limit allows.
pub fn too_large(limit: usize, server: &Server) -> ProviderError {
    let message = format!("{} sent more than {} MiB at once", server.at(), limit >> 20);
    ProviderError::new(ErrorKind::TooLarge, message).help("`max_response:` on the model raises the limit")
}

/// What came is none.
pub fn no_answer(text: &str, server: &Server) -> ProviderError {
    let text = text.trim();
    let mut shown: String = text.chars().take(200).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    let message = format!("{} sent what is no answer: {shown}", server.at());
    ProviderError::new(ErrorKind::Broken, message).help("is this the address of such a server, or of a proxy?")
}
