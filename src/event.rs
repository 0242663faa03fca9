//! What happens in a run, as one bounded stream.

mod call;
mod kind;
mod sink;

use std::time::Instant;

use serde::Serialize;
use tokio::sync::mpsc;

pub use call::{CallFacts, EmbedderFacts, Said, Server};
pub use kind::EventKind;
pub use sink::{Sink, SinkClosed};

use crate::value::Value;

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
