//! `chainrun models`: fetching models of the catalog and listing what is here.

use std::fmt::Write;
use std::sync::Arc;

use super::arguments::{ModelsArgs, ModelsCommand};
use super::console::{Console, print_line};
use super::{FAILED, WRONG};
use crate::config::Context;
use crate::models::{self, Entry, PullEvent};
use crate::value::nearest;

/// Runs the command.
pub fn models(args: &ModelsArgs, context: &Arc<Context>) -> u8 {
    let console = Console::new(context, false);
    match &args.command {
        ModelsCommand::Pull { name } => pull(name, context, &console),
        ModelsCommand::List => {
            print_line(list(context).trim_end());
            0
        }
    }
}

fn pull(name: &str, context: &Arc<Context>, console: &Console) -> u8 {
    let Some(entry) = models::find(name) else {
        let names: Vec<&str> = models::catalog().iter().map(|e| e.name).collect();
        let near = nearest(name, names.iter().copied())
            .map(|n| format!("\n  = help: did you mean `{n}`?"))
            .unwrap_or_default();
        console.write(&format!(
            "error[E305]: the catalog has no model `{name}`{near}\n  = help: it has: {}\n  = help: another model is a file of your own: `local(\"./file.gguf\")`\n",
            names.join(", ")
        ));
        return WRONG;
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            console.write(&format!("error: no event loop can be made: {e}\n"));
            return FAILED;
        }
    };
    let mut said = |event: PullEvent| show(entry, &event, console);
    match runtime.block_on(models::pull(entry, context, &mut said)) {
        Ok(path) => {
            print_line(&path.display().to_string());
            0
        }
        Err(e) => {
            console.write(&format!("error[E407]: {}\n", e.message));
            for help in &e.help {
                console.write(&format!("  = help: {help}\n"));
            }
            FAILED
        }
    }
}

fn show(entry: &Entry, event: &PullEvent, console: &Console) {
    match event {
        PullEvent::Trying(source) => {
            console.note(&format!("fetching `{}` ({} bytes, {}) from: {source}", entry.name, entry.size, entry.licence))
        }
        PullEvent::Progress { done, total } => console.progress(entry.name, *done, Some(*total)),
        PullEvent::Failed(source, reason) => console.note(&format!("{source} gave nothing: {reason}")),
        PullEvent::Waiting => console.note("another process fetches the same model; waiting for it"),
    }
}

fn list(context: &Context) -> String {
    let installed = models::installed(context);
    let mut out = String::new();
    for entry in models::catalog() {
        let place = match installed.iter().find(|i| i.entry.name == entry.name) {
            Some(here) => here.path.display().to_string(),
            None => format!("not here; `chainrun models pull {}` fetches it", entry.name),
        };
        let megabytes = entry.size as f64 / 1e6;
        let _ = writeln!(out, "{}  {megabytes:.0} MB  {}  {place}\n  {}", entry.name, entry.licence, entry.doc);
    }
    out
}
