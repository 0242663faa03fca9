//! Which models are known, where they lie on disk, and how they get there. It gives paths and digests, and knows nothing
//! of what runs them.

mod catalog;
mod pull;
mod store;
#[cfg(test)]
mod tests;

pub use catalog::{Entry, Source, catalog, find};
pub use pull::{PullError, PullEvent, pull};
pub use store::{Installed, installed, path_of};

/// Largest model in bytes that a run fetches by itself, after saying so. Larger ones the person pulls.
pub const SELF_FETCH_LIMIT: u64 = 200_000_000;
