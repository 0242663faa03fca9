//! Following a run closely, as tests do: whole values of stages, calls of models, and what stands in for a stage.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;

use super::{Failure, Run};
use crate::diag::{Code, Diagnostic};
use crate::event::NodeId;
use crate::plan::testing::MockAnswer;
use crate::plan::{ModelId, Node};
use crate::providers::{BoxFuture, ProviderError};
use crate::recording::{Call, Recorded};
use crate::value::{Answer, Request, Value};

/// What follows a run. Events show a person what happens, shortened; this sees the values themselves.
pub trait Watch {
    /// What stands in for a stage, which then does not run.
    fn stand_in(&self, node: NodeId) -> Option<MockAnswer>;

    /// A stage gave a value; `input` is what stood on its left.
    fn gave(&self, node: NodeId, input: Option<&Value>, value: &Value);

    /// A stage failed.
    fn failed(&self, node: NodeId, input: Option<&Value>, why: &str);

    /// A model was asked, and answered or failed, tries and all.
    fn asked(&self, model: ModelId, request: &Request, outcome: Result<&Answer, &str>);

    /// A call that failed is tried again.
    fn again(&self, model: ModelId);

    /// Whether calls may be answered by recordings: then nothing else that was kept answers them.
    fn records(&self) -> bool {
        false
    }

    /// What is recorded of a call, before it is made. The call of a mock or of written answers is never asked for.
    fn recorded(&self, _call: Recordable) -> BoxFuture<'_, Playback> {
        Box::pin(async { Playback::Unasked })
    }

    /// A call that was not recorded was answered.
    fn record(&self, _ticket: &Ticket, _answer: Recorded, _seconds: f64) {}
}

/// A call that a recording may answer.
pub struct Recordable {
    /// The call, but for the run and the time, which its follower counts.
    pub call: Call,
    /// The digest of the weights that would answer it, where that is known.
    pub weights: Option<String>,
}

/// What is recorded of a call.
pub enum Playback {
    /// Nothing is recorded in this run: the call is made.
    Unasked,
    /// The call is made, and its answer told.
    Make(Box<Ticket>),
    /// This answers it.
    Answer(Box<Recorded>),
    /// It is not recorded and must not be made.
    Missing(ProviderError),
}

/// A call that is made since it is not recorded.
pub struct Ticket {
    /// The call.
    pub call: Call,
    /// The digest of the weights that answer it.
    pub weights: Option<String>,
    /// What is let go once the call is over.
    pub held: Box<dyn Any>,
}

impl<'a> Run<'a> {
    /// The same run, followed.
    #[must_use]
    pub fn watched(mut self, watch: &'a dyn Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// The value of what stands in for a stage.
    pub(super) fn mocked<'r>(
        &'r self,
        node: &'r Node,
        answer: MockAnswer,
    ) -> Pin<Box<dyn Future<Output = Result<Value, Failure>> + 'r>> {
        Box::pin(async move {
            match answer {
                MockAnswer::Value(value) | MockAnswer::Truncated(value) => Ok(value),
                MockAnswer::Fail(why) => Err(Failure::Failed(Box::new(
                    Diagnostic::error(Code::E401, node.span, why).label("mocked to fail"),
                ))),
                MockAnswer::Delay(wait, inner) => {
                    tokio::time::sleep(wait).await;
                    self.mocked(node, *inner).await
                }
            }
        })
    }
}
