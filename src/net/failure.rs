//! Why nothing, or not everything, came from a server.

use std::time::Duration;

/// Kinds of failures of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The address is not on this machine and the run is offline. No socket was opened.
    Offline,
    /// The request cannot be made: a bad address, key, proxy or certificate. Another attempt does not help.
    Request,
    /// Nothing answered, or the connection broke before the answer's head came: another attempt may help.
    Unreachable,
    /// No byte came in time: another attempt may help.
    TimedOut,
    /// The server said to come again: another attempt may help.
    Busy,
    /// The server refused for good.
    Refused,
    /// The body ended before its end.
    Cut,
    /// What came is not HTTP or not what was asked for.
    Broken,
}

/// A failure of HTTP, in words.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The kind, which decides whether another attempt may help.
    pub kind: FailureKind,
    /// What happened, the address included.
    pub message: String,
    /// The wait that the server asked for.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure without a wait.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None }
    }
}
