//! Reading an answer of Ollama: lines of JSON, the last with `done: true`.

use serde_json::Value as Json;

use super::super::{ErrorKind, ProviderError, tools};
use super::errors::{self, Server};
use crate::event::{EventKind, Sink};
use crate::net::{ErrorText, LineError, Lines, Response, classify};
use crate::value::{Finish, ToolCall, Usage};

/// The least that a line may have, however small `max_response` is: an answer of few bytes comes in lines of more.
const LEAST_LINE: usize = 1 << 20;

/// What an answer holds, as far as it came.
#[derive(Default)]
pub struct Received {
    /// The answer.
    pub text: String,
    /// What `thinking` held.
    pub reasoning: String,
    /// The model's name as the server gives it.
    pub model: Option<String>,
    /// How the answer ended; none before the last line.
    pub end: Option<(Finish, Usage)>,
    /// Calls of tools that the model asks for.
    pub calls: Vec<ToolCall>,
}

/// Reads the answer to its end and passes its pieces on. The server is read no faster than `sink` takes them.
///
/// # Errors
/// The stream breaks off, holds an error or no JSON, or gets too large.
pub async fn read(response: &mut Response, sink: &mut Sink, server: &Server) -> Result<Received, ProviderError> {
    let limit = usize::try_from(sink.max_bytes()).unwrap_or(usize::MAX).max(LEAST_LINE);
    let mut reader = Reader::new(server, limit);
    loop {
        match response.chunk().await {
            Ok(Some(piece)) => {
                if reader.push(piece.as_ref(), sink).await? {
                    return Ok(reader.received);
                }
            }
            Ok(None) => return reader.end(sink).await,
            Err(failure) => return Err(errors::broke_off(failure, &reader.received, sink.began(), server)),
        }
    }
}

/// Reads an answer from the pieces in which its body comes, wherever they are cut.
pub struct Reader<'a> {
    server: &'a Server,
    lines: Lines,
    received: Received,
}

impl<'a> Reader<'a> {
    /// A reader of lines of at most `limit` bytes.
    pub fn new(server: &'a Server, limit: usize) -> Self {
        Self { server, lines: Lines::new(limit), received: Received::default() }
    }

    /// Takes the next piece; whether the answer is whole.
    ///
    /// # Errors
    /// It holds an error or no JSON, or gets too large.
    pub async fn push(&mut self, piece: &[u8], sink: &mut Sink) -> Result<bool, ProviderError> {
        self.lines.push(piece);
        while let Some(line) = self.lines.next_line().map_err(|e| bad_line(&e, self.server))? {
            self.received.take(&line, sink, self.server).await?;
            if self.received.end.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The end of the body, and with it the answer.
    ///
    /// # Errors
    /// The answer is not whole.
    pub async fn end(mut self, sink: &mut Sink) -> Result<Received, ProviderError> {
        if let Some(line) = self.lines.finish().map_err(|e| bad_line(&e, self.server))? {
            self.received.take_last(&line, sink, self.server).await?;
        }
        match self.received.end {
            Some(_) => Ok(self.received),
            None => Err(errors::early_end(&self.received, sink.began(), self.server)),
        }
    }
}

impl Received {
    /// A line without a line end, at the end of the body: half a line means that the stream was cut.
    async fn take_last(&mut self, line: &str, sink: &mut Sink, server: &Server) -> Result<(), ProviderError> {
        match serde_json::from_str::<Json>(line) {
            Err(e) if e.is_eof() => Ok(()),
            _ => self.take(line, sink, server).await,
        }
    }

    async fn take(&mut self, line: &str, sink: &mut Sink, server: &Server) -> Result<(), ProviderError> {
        let json = match serde_json::from_str::<Json>(line) {
            Ok(json @ Json::Object(_)) => json,
            _ => return Err(no_json(line, server)),
        };
        if json.get("error").is_some_and(|e| !e.is_null()) {
            return Err(error_line(&json, sink.began(), server));
        }
        let host = json.get("remote_host").and_then(Json::as_str).unwrap_or_default();
        if server.offline && !host.is_empty() {
            return Err(errors::cloud(&server.model, Some(host)));
        }
        if let Some(model) = json.get("model").and_then(Json::as_str).filter(|m| !m.is_empty()) {
            self.model.get_or_insert_with(|| model.to_owned());
        }
        let message = json.get("message").unwrap_or(&json);
        if let Some(thinking) = message.get("thinking").and_then(Json::as_str) {
            sink.reasoning(thinking).await?;
            self.reasoning.push_str(thinking);
        }
        let content = message.get("content").or_else(|| json.get("response"));
        if let Some(content) = content.and_then(Json::as_str) {
            sink.text(content).await?;
            self.text.push_str(content);
        }
        for call in message.get("tool_calls").and_then(Json::as_array).into_iter().flatten() {
            sink.count_more(&call.to_string())?;
            let call = tools::whole_call(call, self.calls.len()).map_err(|why| bad_call(&why, server))?;
            self.calls.push(call);
        }
        if let Some(tokens) = json.get("logprobs").and_then(Json::as_array).filter(|t| !t.is_empty()) {
            sink.logprobs(&tokens.iter().map(without_bytes).collect()).await?;
        }
        if json.get("done").and_then(Json::as_bool) == Some(true) {
            let finish = match finish(&json) {
                Finish::Stop if !self.calls.is_empty() => Finish::ToolCalls,
                finish => finish,
            };
            self.end = Some((finish, usage(&json)));
            if let Some(timings) = timings(&json) {
                sink.tell(timings).await?;
            }
        }
        Ok(())
    }
}

/// A call of a tool that cannot be read.
fn bad_call(why: &str, server: &Server) -> ProviderError {
    ProviderError::new(ErrorKind::Broken, format!("Ollama at {}: {why}", server.base))
}

fn finish(json: &Json) -> Finish {
    match json.get("done_reason").and_then(Json::as_str) {
        Some("stop") => Finish::Stop,
        Some("length") => Finish::Length,
        _ => Finish::Other,
    }
}

/// Token counts. Ollama leaves a count of nothing out, as it does for a prompt that it holds already.
fn usage(json: &Json) -> Usage {
    let count = |key: &str| json.get(key).and_then(Json::as_u64);
    Usage { input: count("prompt_eval_count"), output: count("eval_count"), cached: None }
}

/// Where the time went; Ollama counts nanoseconds.
fn timings(json: &Json) -> Option<EventKind> {
    let seconds = |key: &str| json.get(key).and_then(Json::as_u64).map(|n| n as f64 / 1e9);
    let total = seconds("total_duration")?;
    Some(EventKind::Timings {
        load: seconds("load_duration"),
        prompt: seconds("prompt_eval_duration"),
        answer: seconds("eval_duration"),
        total: Some(total),
    })
}

/// A token's likelihood without the bytes that its text says already.
fn without_bytes(token: &Json) -> Json {
    let mut token = token.clone();
    if let Json::Object(map) = &mut token {
        map.shift_remove("bytes");
        if let Some(Json::Array(top)) = map.get_mut("top_logprobs") {
            *top = top.iter().map(without_bytes).collect();
        }
    }
    token
}

/// An error in place of the next piece, or of the whole answer: the status was 200 before the server knew.
pub fn error_line(json: &Json, began: bool, server: &Server) -> ProviderError {
    let text = ErrorText::from_json(json);
    if let Some(error) = errors::context_overflow(&text, server) {
        return error;
    }
    // Without a stream the same fault has the status 500.
    let reply = crate::net::Reply { status: 500, ..Default::default() };
    let kind = match classify(&reply, &text).0 {
        crate::net::FailureKind::Busy if !began => ErrorKind::Busy,
        crate::net::FailureKind::Refused if !began => ErrorKind::Refused,
        _ => ErrorKind::Broken,
    };
    ProviderError::new(kind, format!("Ollama at {} stopped with an error: {}", server.base, text.message))
}

fn bad_line(error: &LineError, server: &Server) -> ProviderError {
    match error {
        LineError::TooLong(limit) => {
            let message = format!("Ollama at {} sent a line of more than {} MiB", server.base, limit >> 20);
            ProviderError::new(ErrorKind::TooLarge, message).help("`max_response:` on the model raises the limit")
        }
        LineError::NotUtf8(line) => no_json(line, server),
    }
}

fn no_json(line: &str, server: &Server) -> ProviderError {
    let mut shown: String = line.chars().take(200).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    let message = format!("{} sent a line that is no answer of Ollama: {shown}", server.base);
    ProviderError::new(ErrorKind::Broken, message).help("is this Ollama's own address, or a proxy's?")
}
