//! A stretch of a run: itself, a stage, or a call of a model with all its tries.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::event::{CallFacts, EmbedderFacts};
use crate::value::{Finish, Usage};

/// A stretch of a run that has ended.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its number: spans are counted from 1 as they begin, the run's own first.
    pub id: u64,
    /// The span that it is a part of; none for the run.
    pub parent: Option<u64>,
    /// When it began.
    pub start: Instant,
    /// When it ended.
    pub end: Instant,
    /// How it ended.
    pub outcome: Outcome,
    /// What it is of.
    pub detail: Detail,
}

/// How a span ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It gave its value.
    Ok,
    /// It gave none.
    Failed {
        /// Why.
        error: String,
        /// The code of the diagnostic, as `E405`, or for a call the kind of failure, as `timed_out`.
        reason: String,
    },
    /// Nobody waited for it any more: a deadline, a sibling that failed, a run that was stopped.
    Cancelled,
}

/// What a span is of.
#[derive(Clone, Debug)]
pub enum Detail {
    /// The run.
    Run {
        /// The file as given.
        file: String,
        /// The chain.
        chain: String,
    },
    /// A stage.
    Stage {
        /// Its kind, as `ask`.
        stage: &'static str,
        /// `file:line:column`.
        place: String,
        /// The keys of the frames around it, outermost first: an item's place, a branch's name, the number of a round.
        path: Vec<Arc<str>>,
    },
    /// A call of a model.
    Call(Box<CallSpan>),
    /// Vectors of a batch of texts.
    Embedding {
        /// What is known of the embedder.
        facts: Box<EmbedderFacts>,
        /// How many texts.
        texts: usize,
        /// The dimension of each vector.
        dimensions: usize,
        /// Token counts.
        usage: Usage,
        /// Whether they were kept from before.
        cached: bool,
    },
}

/// A call of a model: its tries count as one.
#[derive(Clone, Debug)]
pub struct CallSpan {
    /// What is known of it when it begins.
    pub facts: Arc<CallFacts>,
    /// The provider's name.
    pub provider: &'static str,
    /// The model that was asked for.
    pub model: String,
    /// The model that answered, as the provider names it.
    pub answered_by: Option<String>,
    /// Tries that were made; none for an answer that was kept.
    pub tries: u32,
    /// Whether the answer was kept from an earlier call.
    pub cached: bool,
    /// From its beginning to the first piece of the answer or of its reasoning.
    pub first_token: Option<Duration>,
    /// Token counts.
    pub usage: Usage,
    /// Why the model stopped.
    pub finish: Option<Finish>,
    /// The answer so far, where somebody shows it.
    pub answer: String,
}

/// What tells the time of day from the time since a moment.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: SystemTime,
    moment: Instant,
}

impl Clock {
    /// A clock: at `moment` it was `wall`.
    pub fn new(wall: SystemTime, moment: Instant) -> Self {
        Self { wall, moment }
    }

    /// Nanoseconds from 1970 to a moment.
    pub fn nanoseconds(&self, at: Instant) -> u128 {
        let wall = if at >= self.moment { self.wall + (at - self.moment) } else { self.wall - (self.moment - at) };
        wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
    }

    /// A moment as RFC 3339 writes it, in UTC, to the microsecond.
    pub fn rfc3339(&self, at: Instant) -> String {
        let microseconds = i64::try_from(self.nanoseconds(at) / 1_000).unwrap_or_default();
        jiff::Timestamp::from_microsecond(microseconds).map(|t| format!("{t:.6}")).unwrap_or_default()
    }
}
