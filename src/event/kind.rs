//! Everything that can happen in a run, as records show it.

use std::sync::Arc;

use serde::Serialize;

use super::{CallFacts, EmbedderFacts, FrameId, Growth};
use crate::recording::Recorded;
use crate::value::{Finish, Usage};

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
