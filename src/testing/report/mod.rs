//! Reports: each a fold over the run log.

mod difference;
mod terminal;

pub use difference::difference;
pub use terminal::{counts, terminal};
