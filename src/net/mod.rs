//! HTTP for everything that talks to a server: one client, addresses, framing of streams, and the decision which
//! failure another attempt may mend. Tries themselves are the run's.

mod base_url;
mod classify;
mod client;
mod error_text;
mod failure;
mod ndjson;
mod proxies;
mod sse;

pub use base_url::BaseUrl;
pub use classify::{Reply, classify, retry_after};
pub use client::{Call, Client, ERROR_BODY, Redirects, Response, is_loopback};
pub use error_text::ErrorText;
pub use failure::{Failure, FailureKind};
pub use ndjson::{LineError, Lines};
pub use proxies::Proxies;
pub use sse::{Event, Events};
