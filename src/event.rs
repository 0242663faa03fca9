//! What happens in a run, as one bounded stream.

mod call;

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use tokio::sync::mpsc;

pub use call::{CallFacts, EmbedderFacts, Said, Server};

use crate::recording::Recorded;
use crate::value::{Finish, Secret, ToolCall, Usage, Value, Veil, redact, redact_json};

/// One execution of a block: an item, an attempt, a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct FrameId(pub u32);

/// A stage of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct NodeId(pub u32);

/// Something that happened, and where.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// The execution it belongs to.
    pub frame: FrameId,
    /// The stage it belongs to; absent for the frame itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// When; not shown, so that the same run gives the same record.
    #[serde(skip)]
    pub at: Instant,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

impl Event {
    /// An event that happens now.
    pub fn now(frame: FrameId, node: Option<NodeId>, kind: EventKind) -> Self {
        Self { frame, node, at: Instant::now(), kind }
    }
}

/// How a value grows that is still being written.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Growth {
    /// A place in the value has this value now.
    Set {
        /// The place, as a JSON Pointer (RFC 6901); empty for the whole. A list's next item is its length.
        at: String,
        /// The value there.
        value: serde_json::Value,
    },
    /// The text that was set last goes on.
    Append {
        /// What comes behind it.
        append: String,
    },
}

/// What makes a growing value of a text that comes in pieces.
pub trait Growing: Send {
    /// Takes a piece; gives how the value grew. All pieces together take time linear in the text.
    fn push(&mut self, piece: &str) -> Vec<Growth>;

    /// The text is whole: gives how that completes the value.
    fn finish(&mut self) -> Vec<Growth>;

    /// The value so far.
    fn value(&self) -> Option<Value>;
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The run began.
    RunStarted {
        /// The file as given.
        file: String,
        /// The chain that runs.
        chain: String,
        /// Version of chainrun.
        version: &'static str,
    },
    /// An execution of a block began.
    FrameOpened {
        /// The execution that opened it.
        #[serde(skip_serializing_if = "Option::is_none")]
        parent: Option<FrameId>,
        /// What tells it from its siblings: a branch's name, an attempt's or an item's number.
        key: String,
    },
    /// A stage began.
    StageStarted {
        /// `file:line:column` of the stage.
        place: String,
        /// The stage's kind, as `ask`.
        stage: &'static str,
    },
    /// A stage ended with a value.
    StageFinished {
        /// The value, shortened.
        value: String,
    },
    /// A stage gave no value.
    StageFailed {
        /// Why.
        error: String,
        /// The diagnostic's code, as `E405`.
        code: &'static str,
    },
    /// A call of a model began.
    ModelCalled {
        /// The provider's name.
        provider: &'static str,
        /// The model's name.
        model: String,
        /// Which attempt this is, from 1; 0 where the answer was kept from an earlier run and nothing is sent.
        attempt: u32,
        /// The prompt as it is sent, shortened.
        prompt: String,
        /// Whether the answer was kept from an earlier call.
        #[serde(skip_serializing_if = "is_false")]
        cached: bool,
        /// What traces show besides.
        #[serde(skip)]
        facts: Arc<CallFacts>,
    },
    /// A call of a model failed for good.
    ModelFailed {
        /// The attempt that failed last, from 1.
        attempt: u32,
        /// The kind of failure, as `timed_out`.
        reason: &'static str,
        /// Why.
        error: String,
    },
    /// A model gave a piece of its answer.
    Token {
        /// The piece.
        text: String,
    },
    /// The value of the answer grew, or was set anew: what a parser reads of an answer that is still being written.
    Partial(Growth),
    /// A model gave a piece of its reasoning.
    Reasoning {
        /// The piece.
        text: String,
    },
    /// A model's answer is complete.
    ModelAnswered {
        /// Why it stopped.
        finish: Finish,
        /// Token counts.
        usage: Usage,
        /// Wall time in seconds.
        seconds: f64,
        /// Whether it was kept from an earlier call.
        #[serde(skip_serializing_if = "is_false")]
        cached: bool,
        /// The model's name as the provider gives it.
        #[serde(skip)]
        model: String,
        /// The answer as a recording has it, where one is made.
        #[serde(skip)]
        recorded: Option<Box<Recorded>>,
    },
    /// Where the time of an answer went, in seconds, as the server counts it.
    Timings {
        /// Loading the model.
        #[serde(skip_serializing_if = "Option::is_none")]
        load: Option<f64>,
        /// Reading the prompt.
        #[serde(skip_serializing_if = "Option::is_none")]
        prompt: Option<f64>,
        /// Writing the answer.
        #[serde(skip_serializing_if = "Option::is_none")]
        answer: Option<f64>,
        /// All of it.
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<f64>,
    },
    /// How likely tokens of the answer were.
    Logprobs {
        /// A list of `{token, logprob, top_logprobs: [{token, logprob}]}`, natural logarithms.
        tokens: serde_json::Value,
    },
    /// The model asks for tools. None is executed.
    ToolCalls {
        /// A list of `{id, name, arguments}`.
        calls: serde_json::Value,
    },
    /// A call waits for a limit of its model.
    RateLimited {
        /// The model's name in the file.
        model: String,
        /// The option that says so, as `requests_per_minute`.
        limit: &'static str,
        /// Its value.
        most: u64,
        /// The wait as far as it is known, in seconds.
        wait: f64,
    },
    /// A call of an embedder began.
    EmbedderCalled {
        /// The provider's name.
        provider: &'static str,
        /// The model's name.
        model: String,
        /// Which attempt this is, from 1.
        attempt: u32,
        /// How many texts go in it.
        texts: usize,
    },
    /// An embedder gave the vectors of a batch, or they were kept from before.
    Embedded {
        /// How many.
        texts: usize,
        /// The dimension of each.
        dimensions: usize,
        /// Token counts.
        usage: Usage,
        /// Wall time in seconds.
        seconds: f64,
        /// Whether they were kept from before.
        #[serde(skip_serializing_if = "is_false")]
        cached: bool,
        /// What traces show besides.
        #[serde(skip)]
        facts: Box<EmbedderFacts>,
    },
    /// How far the vectors of an index are.
    Indexing {
        /// The index.
        index: String,
        /// Different pieces that have their vector.
        done: usize,
        /// Different pieces in all.
        total: usize,
    },
    /// An index is ready to be read.
    Indexed {
        /// The index.
        index: String,
        /// How many pieces it holds.
        pieces: usize,
        /// Different pieces whose vectors were made now.
        embedded: usize,
        /// Different pieces whose vectors were kept from before.
        kept: usize,
        /// The dimension of each vector.
        dimensions: usize,
        /// Wall time in seconds.
        seconds: f64,
    },
    /// A call failed and is tried again.
    Retrying {
        /// The attempt that failed, from 1.
        attempt: u32,
        /// Why.
        error: String,
        /// The wait before the next one, in seconds.
        wait: f64,
    },
    /// What this frame printed so far does not count: something else takes its place.
    Discarded {
        /// Why.
        error: String,
    },
    /// The text of this frame can no longer be replaced.
    Settled,
    /// An item of an `each` failed. The frame is the item's, the stage the `each`.
    ItemFailed {
        /// The item's place in the list, from 0.
        index: usize,
        /// Why.
        error: String,
    },
    /// The next item of the `each` whose list is the run's result: told in the order of the list, once all before it
    /// are done. The frame and the stage are the `each`'s.
    Item {
        /// The place of its input in the list, from 0.
        index: usize,
        /// Its value.
        value: serde_json::Value,
    },
    /// Something that the person should know.
    Notice {
        /// What.
        text: String,
    },
    /// Something about this stage that the person should mend.
    Warning {
        /// The diagnostic's code, as `W502`.
        code: &'static str,
        /// What.
        text: String,
        /// What to do about it.
        help: &'static str,
    },
    /// Bytes fetched of a download.
    Progress {
        /// What is fetched.
        what: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all, where known.
        total: Option<u64>,
    },
    /// The run ended.
    RunFinished {
        /// Whether it gave a result.
        ok: bool,
        /// Why not.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// The result.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<serde_json::Value>,
        /// Wall time in seconds.
        seconds: f64,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// The reader of the stream went away, or the run was cancelled: stop what is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// The sending end of the event stream. A send waits while the reader is behind.
#[derive(Clone)]
pub struct EventSender {
    channel: mpsc::Sender<Event>,
    wanted: Wanted,
}

/// What the reader of the events shows besides the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Frames, stages and their values, prompts, pieces of answers that are not the run's result.
    pub record: bool,
    /// Whole prompts, in [`CallFacts::messages`].
    pub prompts: bool,
    /// Answers as a recording has them.
    pub recordings: bool,
}

/// Events that may wait for a slow reader. With pieces of a few bytes this is a few kilobytes.
pub const EVENT_BUFFER: usize = 256;

/// The event stream: where providers and the run put events, and where one reader takes them.
pub fn channel() -> (EventSender, mpsc::Receiver<Event>) {
    channel_for(Wanted { record: true, ..Wanted::default() })
}

/// The event stream for a reader that shows this.
pub fn channel_for(wanted: Wanted) -> (EventSender, mpsc::Receiver<Event>) {
    let (channel, reader) = mpsc::channel(EVENT_BUFFER);
    (EventSender { channel, wanted }, reader)
}

/// The event stream for a reader that keeps no record: events that only a record shows are not made, such as frames,
/// stages and their values, prompts, and the pieces of answers that are not the run's result.
pub fn channel_unrecorded() -> (EventSender, mpsc::Receiver<Event>) {
    channel_for(Wanted::default())
}

impl EventSender {
    /// Sends an event; waits while the buffer is full.
    ///
    /// # Errors
    /// [`Stopped`] when nobody reads any more.
    pub async fn send(&self, frame: FrameId, node: Option<NodeId>, kind: EventKind) -> Result<(), Stopped> {
        self.channel.send(Event::now(frame, node, kind)).await.map_err(|_| Stopped)
    }

    /// Whether the reader keeps a record of the run.
    pub fn recorded(&self) -> bool {
        self.wanted.record
    }

    /// What the reader shows.
    pub fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// Sends an event that only a record of the run shows; `make` is called where one is kept.
    ///
    /// # Errors
    /// [`Stopped`] when nobody reads any more.
    pub async fn record(
        &self,
        frame: FrameId,
        node: Option<NodeId>,
        make: impl FnOnce() -> EventKind,
    ) -> Result<(), Stopped> {
        if self.wanted.record {
            return self.send(frame, node, make()).await;
        }
        // A send gives other tasks their turn now and then, and so must this: a signal would be heard by nobody.
        tokio::task::coop::consume_budget().await;
        if self.channel.is_closed() { Err(Stopped) } else { Ok(()) }
    }
}

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
