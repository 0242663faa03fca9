//! Texts in pieces, and the search for the nearest of them; pure.

mod nearest;
mod split;

pub use nearest::{Near, Vectors};
pub use split::split;
