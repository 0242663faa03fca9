//! Recordings of tests on the command line: from which mode, read with places, what is told of them at the end.

use std::path::Path;
use std::rc::Rc;

use super::arguments::{RecordingsMode, TestArgs};
use super::console::Console;
use crate::config::Context;
use crate::diag::{Code, Diagnostic, Severity};
use crate::recording::{ReadError, Tape};
use crate::source::{Sources, Span};
use crate::testing::{Entry, Prepared, Recorder, Recordings, Status, Unused};

/// Unused recordings that are listed one by one.
const LISTED: usize = 20;

/// The most characters of a prompt in a message.
const SHOWN: usize = 60;

/// Where answers come from: as the command line says, else `replay` where nobody watches.
pub fn recorder(args: &TestArgs, context: &Context) -> Recorder {
    match args.recordings {
        Some(RecordingsMode::Replay) => Recorder::Replay,
        Some(RecordingsMode::Auto) => Recorder::Auto,
        Some(RecordingsMode::Record) => Recorder::Record,
        Some(RecordingsMode::Live) => Recorder::Live,
        None if context.var("CI").is_some() => Recorder::Replay,
        None => Recorder::Auto,
    }
}

/// The recordings of a file's tests.
///
/// # Errors
/// They cannot be read, with the line that is none.
pub fn of_file(
    path: &Path,
    mode: Recorder,
    sources: &mut Sources,
    context: &Context,
) -> Result<Option<Rc<Recordings>>, Box<Diagnostic>> {
    let full = context.cwd.join(path);
    let shown = Tape::path_of(path).display().to_string();
    Recordings::of(&full, mode).map_err(|error| match error {
        ReadError::Io(e) => {
            let message = format!("the recordings `{shown}` cannot be read: {e}");
            Box::new(Diagnostic::new(Severity::Error, Code::E001, None, message))
        }
        ReadError::Line { line, why } => {
            let text = std::fs::read_to_string(Tape::path_of(&full)).unwrap_or_default();
            let conflict = text
                .lines()
                .nth(line - 1)
                .is_some_and(|l| ["<<<<<<<", "=======", ">>>>>>>", "|||||||"].iter().any(|mark| l.starts_with(mark)));
            let start = text.split_inclusive('\n').take(line - 1).map(str::len).sum::<usize>();
            let length = text[start..].lines().next().map_or(0, str::len);
            let file = sources.add(&shown, text);
            let span = Span::new(file, start, start + length);
            let diagnostic = Diagnostic::error(Code::E001, span, format!("this line is no recording: {why}"));
            Box::new(match conflict {
                true => diagnostic
                    .help("take git's marks out and leave the lines of both sides: their order does not count"),
                false => diagnostic.help("remove the line, and `--recordings auto` calls the model again"),
            })
        }
    })
}

/// Whether every call that the tests of a file make was made: then what was not asked for is asked for no more.
pub fn complete(args: &TestArgs, its: &[Prepared<'_>], file: &str, entries: &[Entry], all: usize) -> bool {
    let whole = args.filter.is_empty() && args.tag.is_empty() && args.shard.is_none();
    let none_skipped = its.len() == all && its.iter().all(|p| p.test.skip.is_none());
    let mut ended = 0;
    let mut to_the_end = true;
    for entry in entries {
        if let Entry::Case(case) = entry
            && case.file == file
        {
            ended += 1;
            to_the_end &= !matches!(case.status, Status::Broken);
            to_the_end &= case.status != Status::Unrecorded || case.called.is_none();
        }
    }
    whole && none_skipped && to_the_end && ended == its.iter().map(Prepared::runs).sum::<usize>()
}

/// Tells which recordings nothing asks for any more, or removes them.
pub fn unused(args: &TestArgs, file: &str, recordings: &Recordings, spared: bool, console: &Console) {
    let mut unused = recordings.unused();
    // A run that the verdict did not need may be needed the next time.
    unused.retain(|u| !spared || u.recorded.run == 1);
    if unused.is_empty() {
        return;
    }
    let path = Tape::path_of(Path::new(file));
    let path = path.display();
    let list = listed(&unused);
    let one = unused.len() == 1;
    let what = if one { format!("1 recording of {path}") } else { format!("{} recordings of {path}", unused.len()) };
    if !args.prune {
        let (answer, them) = if one { ("answers", "it") } else { ("answer", "them") };
        console.note(&format!("{what} {answer} nothing any more; `--prune` removes {them}\n{list}"));
        return;
    }
    recordings.remove(&unused);
    match recordings.save() {
        Ok(()) => console.note(&format!("{what} {} removed\n{list}", if one { "is" } else { "are" })),
        Err(why) => console.warn(&why),
    }
}

fn listed(unused: &[Unused]) -> String {
    let mut lines: Vec<String> = unused.iter().take(LISTED).map(one).collect();
    if unused.len() > LISTED {
        lines.push(format!("  and {} more", unused.len() - LISTED));
    }
    lines.join("\n")
}

fn one(unused: &Unused) -> String {
    let recorded = &unused.recorded;
    let (then, which) = (recorded.asked.text(), &recorded.name);
    match &unused.now {
        None => format!("  `{which}`: {}", stretch(&then, 0)),
        Some(now) if *now == then => format!("  `{which}`: {} (asked with other options now)", stretch(&then, 0)),
        Some(now) => {
            let at = then.bytes().zip(now.bytes()).take_while(|(a, b)| a == b).count();
            format!("  `{which}`: {}\n    asked now: {}", stretch(&then, at), stretch(now, at))
        }
    }
}

/// A stretch of a prompt around a place, in one line and without what a terminal would obey.
fn stretch(text: &str, at: usize) -> String {
    let short = text.chars().nth(SHOWN).is_none();
    let from = if short { 0 } else { at.saturating_sub(SHOWN / 3).min(text.len()) };
    let start = (0..=from).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    let mut out = String::from(if start > 0 { "…" } else { "" });
    for c in text[start..].chars().take(SHOWN) {
        match c {
            '\n' => out.push('⏎'),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    if text[start..].chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out
}
