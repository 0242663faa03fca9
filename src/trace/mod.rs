//! Traces: what the events of a run add up to, one span for the run, each stage and each call of a model.

mod fold;
mod lines;
mod span;

pub use fold::Fold;
pub use lines::line;
pub use span::{CallSpan, Clock, Detail, Outcome, Span};
