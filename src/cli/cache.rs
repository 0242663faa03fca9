//! `chainrun cache`: how much is kept of answers and vectors, and removing it.

use std::sync::Arc;

use super::FAILED;
use super::arguments::{CacheArgs, CacheCommand, Kept};
use super::console::{Console, print_line};
use crate::config::Context;
use crate::store::{Size, Store};

/// Runs the command.
pub fn cache(args: &CacheArgs, context: &Arc<Context>) -> u8 {
    let mut code = 0;
    let stores =
        [(Kept::Answers, "answer", context.cache_dir.clone()), (Kept::Vectors, "vector", context.vectors_dir())];
    for (kept, what, dir) in stores {
        let store = Store::new(dir);
        let done = match args.command {
            Some(CacheCommand::Clear { what: Some(alone) }) if alone != kept => continue,
            None => store.size().map(|size| format!("{} in {}", told(size, what), store.dir().display())),
            Some(CacheCommand::Clear { .. }) => store.clear().map(|size| format!("removed {}", told(size, what))),
        };
        match done {
            Ok(line) => print_line(&line),
            Err(e) => {
                let text = format!("error[E001]: the {what}s in {} cannot be looked at: {e}\n", store.dir().display());
                Console::new(context, false).write(&text);
                code = FAILED;
            }
        }
    }
    code
}

fn told(size: Size, what: &str) -> String {
    let s = if size.entries == 1 { "" } else { "s" };
    let bytes = match size.bytes {
        n if n < 10_000 => format!("{n} bytes"),
        n if n < 10_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        n => format!("{:.1} MB", n as f64 / 1e6),
    };
    format!("{} {what}{s}, {bytes}", size.entries)
}
