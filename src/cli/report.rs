//! `chainrun report RUN.jsonl…`: reports of logs that `chainrun test --log` wrote.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use super::WRONG;
use super::arguments::ReportArgs;
use super::console::{Console, print_line};
use super::reports;
use crate::config::Context;
use crate::testing::report::{Told, jsonl, terminal};
use crate::testing::{Entry, Summary, read};

/// Runs the command. The exit code is that of the tests.
pub fn report(args: &ReportArgs, context: &Arc<Context>) -> u8 {
    let console = Console::new(context, false);
    let wrong = |why: String| {
        console.write(&format!("error[E001]: {why}\n"));
        WRONG
    };
    if let Err(why) = reports::check(&args.reports, args.logs.iter().map(AsRef::as_ref), None, context) {
        console.write(&format!("error: {why}\n"));
        return WRONG;
    }
    let mut logs = Vec::new();
    for path in &args.logs {
        match log(path, context, &console) {
            Ok(entries) => logs.push(entries),
            Err(why) => return wrong(why),
        }
    }
    let of_lines = args.reports.iter().any(|report| report.format.lines);
    let lines = if of_lines { logs.iter().map(|log| jsonl(log)).collect() } else { String::new() };
    let summary = Summary::of_all(logs);
    let told = Told { summary: &summary, lines: &lines, folder: &reports::folder(context) };
    let written = reports::write(&args.reports, &told, context, &console);
    if !reports::on_stdout(&args.reports) {
        let color = std::io::stdout().is_terminal() && context.var("NO_COLOR").is_none();
        print_line(terminal(&summary, color).trim_end());
    }
    if written { summary.code() } else { WRONG }
}

fn log(path: &Path, context: &Context, console: &Console) -> Result<Vec<Entry>, String> {
    let shown = path.display();
    let bytes = std::fs::read(context.cwd.join(path)).map_err(|e| format!("`{shown}` cannot be read: {e}"))?;
    // A kill may cut a line within a character.
    let text = String::from_utf8_lossy(&bytes);
    let log = read(&text).map_err(|why| format!("`{shown}` is no run log: {why}; `chainrun test --log` writes one"))?;
    if log.whole < text.len() {
        console.note(&format!("the last line of `{shown}` was cut, and is left out"));
    }
    Ok(log.entries)
}
