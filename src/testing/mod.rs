//! Running tests: each case is a run of its plan, followed closely; what it was and whether its expectations hold goes
//! into an append-only log, and every report is made of that log.

mod asking;
mod case;
mod clock;
mod cost;
mod labels;
mod log;
mod observer;
mod prepare;
mod recordings;
mod redaction;
mod runner;
mod schedule;
mod snapshot_names;
mod snapshots;
mod stand_ins;
mod statistics;
mod summary;
mod verdict;

pub mod report;

pub use case::Surroundings;
pub use log::{CaseKey, CaseRecord, CheckRecord, Entry, ReadLog, Status, StepRecord, TestRecord, read};
pub use prepare::{Case, Prepared, prepare};
pub use recordings::{Recorder, Recordings, Unused};
pub use redaction::Redaction;
pub use runner::{Budget, Options, Runner, Spent};
pub use snapshot_names::{SnapshotNames, snapshot_names};
pub use snapshots::{ACCEPTED, Folder, Mode, PENDING, slug};
pub use summary::{Choice, Group, Summary, TestSummary, Verdict};
