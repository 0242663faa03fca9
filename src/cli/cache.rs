//! `chainrun cache`: how much is kept of answers, and removing it.

use std::sync::Arc;

use super::FAILED;
use super::arguments::{CacheArgs, CacheCommand};
use super::console::{Console, print_line};
use crate::config::Context;
use crate::store::{Size, Store};

/// Runs the command.
pub fn cache(args: &CacheArgs, context: &Arc<Context>) -> u8 {
    let store = Store::new(context.cache_dir.clone());
    let done = match args.command {
        None => store.size().map(|size| format!("{} in {}", told(size), store.dir().display())),
        Some(CacheCommand::Clear) => store.clear().map(|size| format!("removed {}", told(size))),
    };
    match done {
        Ok(line) => {
            print_line(&line);
            0
        }
        Err(e) => {
            let text = format!("error[E001]: the answers in {} cannot be looked at: {e}\n", store.dir().display());
            Console::new(context, false).write(&text);
            FAILED
        }
    }
}

fn told(size: Size) -> String {
    let answers = if size.entries == 1 { "answer" } else { "answers" };
    let bytes = match size.bytes {
        n if n < 10_000 => format!("{n} bytes"),
        n if n < 10_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        n => format!("{:.1} MB", n as f64 / 1e6),
    };
    format!("{} {answers}, {bytes}", size.entries)
}
