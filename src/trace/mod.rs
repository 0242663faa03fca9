//! Traces: what the events of a run add up to, one span for the run, each stage and each call of a model; how files and
//! collectors have them.

mod collector;
mod fold;
mod lines;
pub mod otlp;
mod sampler;
mod settings;
mod span;

pub use collector::Collector;
pub use fold::Fold;
pub use lines::line;
pub use settings::{Endpoint, Parent, Settings};
pub use span::{CallSpan, Clock, Detail, Outcome, Span};
