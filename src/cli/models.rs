//! `chainrun models`.

use std::sync::Arc;

use super::arguments::ModelsArgs;
use crate::config::Context;

/// Runs the command.
pub fn models(_args: &ModelsArgs, _context: &Arc<Context>) -> u8 {
    0
}
