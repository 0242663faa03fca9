//! Standard error: diagnostics, notices, progress. Colours and progress only on a terminal.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};

use crate::config::Context;
use crate::diag::{Diagnostic, Severity, render_all};
use crate::source::Sources;

/// The most diagnostics that are shown of one file: a broken file of a hundred thousand lines fills no screen.
const MOST: usize = 100;

/// Where messages go.
pub struct Console {
    color: bool,
    terminal: bool,
    quiet: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Console {
    /// A console on standard error.
    pub fn new(context: &Context, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let color = terminal && context.var("NO_COLOR").is_none() && context.var("TERM") != Some("dumb");
        Self { color, terminal, quiet, bar: Mutex::new(None) }
    }

    /// Prints diagnostics; when quiet, errors alone. Gives whether one is an error.
    pub fn report(&self, diagnostics: &[Diagnostic], sources: &Sources) -> bool {
        let mut shown: Vec<&Diagnostic> =
            diagnostics.iter().filter(|d| !self.quiet || d.severity == Severity::Error).collect();
        shown.sort_by_key(|d| d.span.map(|s| (s.file, s.start)));
        let more = shown.len().saturating_sub(MOST);
        shown.truncate(MOST);
        let mut text = render_all(shown, sources, self.color);
        if more > 0 {
            text.push_str(&format!("\n{more} more are not shown\n"));
        }
        self.write(&text);
        diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// Says something that the person should know.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.write(&format!("note: {text}\n"));
        }
    }

    /// Says that something went wrong which the run does without.
    pub fn warn(&self, text: &str) {
        if !self.quiet {
            self.write(&format!("warning: {text}\n"));
        }
    }

    /// Shows how far a download is.
    pub fn progress(&self, what: &str, done: u64, total: Option<u64>) {
        self.bar(what, done, total, "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
    }

    /// Shows how many pieces of an index have their vectors.
    pub fn count(&self, what: &str, done: u64, total: u64) {
        self.bar(what, done, Some(total), "{msg} {bar:30} {pos}/{len} pieces");
    }

    fn bar(&self, what: &str, done: u64, total: Option<u64>, style: &str) {
        if !self.terminal || self.quiet {
            return;
        }
        let Ok(mut bar) = self.bar.lock() else { return };
        let shown = bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(total.unwrap_or(0));
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar.set_message(what.to_owned());
            bar
        });
        shown.set_position(done);
        if total.is_some_and(|t| done >= t) {
            shown.finish_and_clear();
            *bar = None;
        }
    }

    /// Shows how many of `all` things are done.
    pub fn counted(&self, what: &str, done: u64, all: u64) {
        if !self.terminal || self.quiet {
            return;
        }
        let Ok(mut bar) = self.bar.lock() else { return };
        let shown = bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(all);
            if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {per_sec} eta {eta}") {
                bar.set_style(style);
            }
            bar.set_message(what.to_owned());
            bar
        });
        shown.set_position(done);
    }

    /// Writes to standard error; a closed one is no reason to stop.
    pub fn write(&self, text: &str) {
        if let Ok(mut bar) = self.bar.lock()
            && let Some(bar) = bar.take()
        {
            bar.finish_and_clear();
        }
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

/// Prints a page to standard output; a closed one is no reason to complain.
pub fn print_line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}
