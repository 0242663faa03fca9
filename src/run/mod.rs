//! The run: frames of blocks, stages one after the other, branches at the same time, every happening an event.

mod ask;
mod cache;
mod choose;
mod each;
mod embed;
mod exec;
mod explain;
mod facts;
mod fit;
mod flights;
mod frame;
mod process;
mod rate;
mod repeat;
mod request;
mod retrieve;
mod stages;
mod taped;
mod traffic;
mod tries;
mod vectors;
mod watch;

use std::cell::Cell;
use std::rc::Rc;

pub use explain::{Explained, ExplainedIndex, control_stages, explain, explain_indexes};
pub use process::{ProcessGroup, how};
pub use request::fill;
pub use traffic::Traffic;
pub use watch::{Playback, Recordable, Ticket, Watch};

use crate::diag::Diagnostic;
use crate::event::{EventKind, EventSender, FrameId, NodeId, Stopped};
use crate::plan::{BlockId, Models, Plan};
use crate::value::Value;
use flights::Flights;
use frame::Frame;
use tokio::sync::OnceCell;
use traffic::Gates;

/// Why a run gave no value.
#[derive(Debug)]
pub enum Failure {
    /// Nobody reads the events any more, or the run was cancelled.
    Stopped,
    /// A stage failed.
    Failed(Box<Diagnostic>),
}

impl From<Stopped> for Failure {
    fn from(_: Stopped) -> Self {
        Failure::Stopped
    }
}

impl From<Box<Diagnostic>> for Failure {
    fn from(diagnostic: Box<Diagnostic>) -> Self {
        Failure::Failed(diagnostic)
    }
}

/// A plan with everything that it needs to run.
pub struct Run<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The values of its variables.
    pub variables: &'a [Value],
    /// The providers of its models.
    pub models: &'a Models,
    /// The text of standard input, where the plan reads it.
    pub stdin: Option<Value>,
    /// Where events go.
    pub events: EventSender,
    /// Frames opened so far.
    frames: Cell<u32>,
    /// What follows it closely.
    watch: Option<&'a dyn Watch>,
    /// What calls pass before they are made.
    gates: Gates,
    /// Answers that are being made, and will be kept.
    flights: Flights,
    /// The indexes that were built.
    indexes: Vec<OnceCell<retrieve::Outcome>>,
}

impl<'a> Run<'a> {
    /// A run that has not begun.
    pub fn new(
        plan: &'a Plan,
        variables: &'a [Value],
        models: &'a Models,
        stdin: Option<Value>,
        events: EventSender,
    ) -> Self {
        let traffic = Traffic::default();
        let indexes = plan.indexes.iter().map(|_| OnceCell::new()).collect();
        Self {
            plan,
            variables,
            models,
            stdin,
            events,
            frames: Cell::new(0),
            watch: None,
            gates: traffic.gates(plan, models),
            flights: traffic.flights,
            indexes,
        }
    }

    /// The same, within bounds that it shares with other runs.
    #[must_use]
    pub fn sharing(mut self, traffic: &Traffic) -> Self {
        self.gates = traffic.gates(self.plan, self.models);
        self.flights = traffic.flights.clone();
        self
    }

    /// Runs the plan to its value. Dropping the future stops all that is in flight.
    ///
    /// # Errors
    /// A stage failed and nothing took its place, or the run was stopped.
    pub async fn value(&self, place: impl Fn(crate::source::Span) -> String) -> Result<Value, Failure> {
        let place: &dyn Fn(crate::source::Span) -> String = &place;
        let started = || EventKind::RunStarted {
            file: self.plan.file.clone(),
            chain: self.plan.chain.clone(),
            version: env!("CARGO_PKG_VERSION"),
        };
        self.events.record(FrameId(0), None, started).await?;
        let frame = self.open(None, self.plan.entry, "", None, Vec::new(), None).await?;
        self.block(frame, place).await
    }

    /// Opens a frame: one execution of a block.
    async fn open(
        &self,
        parent: Option<&Rc<Frame>>,
        block: BlockId,
        key: &str,
        input: Option<Value>,
        arguments: Vec<Value>,
        failure: Option<String>,
    ) -> Result<Rc<Frame>, Failure> {
        let id = FrameId(self.frames.get());
        self.frames.set(id.0 + 1);
        let slots = self.plan.block(block).nodes.len();
        let frame = Rc::new(Frame::new(id, block, slots, parent.cloned(), input, arguments, failure));
        let opened = || EventKind::FrameOpened { parent: parent.map(|p| p.id), key: key.to_owned() };
        self.events.record(id, None, opened).await?;
        Ok(frame)
    }

    async fn tell(&self, frame: &Frame, node: NodeId, kind: EventKind) -> Result<(), Failure> {
        Ok(self.events.send(frame.id, Some(node), kind).await?)
    }

    /// Tells what only a record of the run shows.
    async fn record(&self, frame: &Frame, node: NodeId, make: impl FnOnce() -> EventKind) -> Result<(), Failure> {
        Ok(self.events.record(frame.id, Some(node), make).await?)
    }
}
