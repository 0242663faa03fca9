//! The tests that were selected, run: their log, what is told while they run, and how they ended.

use std::cell::{Cell, RefCell};
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Instant;

use super::arguments::TestArgs;
use super::console::{Console, print_line};
use super::reports;
use super::run_log::{Finished, RunLog};
use super::test::Tested;
use super::{INTERRUPTED, WRONG, recordings, verdicts};
use crate::config::Context;
use crate::run::Traffic;
use crate::testing::{
    CaseRecord, Entry, Folder, Mode, Options, Prepared, Runner, Spent, Status, Summary, Surroundings, report,
};

/// A file with those of its tests that run.
pub type Selected<'t> = (&'t Tested, Vec<Prepared<'t>>);

/// Runs tests and reports. Gives the exit code.
pub async fn run(
    args: &TestArgs,
    context: &Arc<Context>,
    console: &Console,
    prepared: &[Selected<'_>],
    options: &Options,
    notes: Vec<String>,
) -> u8 {
    let began = Instant::now();
    let log = match RunLog::open(args, context, console).and_then(|log| log_of(log, args, prepared)) {
        Ok(log) => log,
        Err(why) => {
            console.write(&format!("error[E001]: {why}\n"));
            return WRONG;
        }
    };
    let finished = finished(&log, console, prepared);
    let all = begin(args, console, &log, prepared, notes, finished.len());
    let mode = match (args.accept, context.var("CI").is_some()) {
        (true, _) => Mode::Accept,
        (false, true) => Mode::Check,
        (false, false) => Mode::Pending,
    };
    let folder = |file: &Tested| Folder::of(&file.path, mode, file.redactions.clone());
    let running = Running {
        args,
        context,
        console,
        prepared,
        options,
        log,
        folders: prepared.iter().map(|(file, _)| folder(file)).collect(),
        finished,
        spent: Spent::default(),
        traffic: Traffic::default(),
        progress: Progress { console, done: Cell::new(0), all },
        unsaved: RefCell::default(),
    };
    let (stopped, interrupted) = running.all().await;
    let unsaved = running.saved();
    let ended = Ended { seconds: began.elapsed().as_secs_f64(), stopped, interrupted, unsaved };
    finish(args, context, console, &running.log, ended, prepared)
}

/// The cases that an earlier run finished, of tests that are still the same.
fn finished(log: &RunLog, console: &Console, prepared: &[Selected<'_>]) -> Finished {
    let (finished, others) = log.finished(&|file, test, digest| {
        let of_file = prepared.iter().find(|(tested, _)| tested.shown == file);
        of_file.is_some_and(|(tested, _)| tested.digests.get(test).is_some_and(|now| now == digest))
    });
    if others > 0 {
        console.note(&format!("{others} finished cases are of tests that changed or are not selected now"));
    }
    finished
}

/// Begins the log. Gives how many runs are to be made.
fn begin(
    args: &TestArgs,
    console: &Console,
    log: &RunLog,
    prepared: &[Selected<'_>],
    mut notes: Vec<String>,
    finished: usize,
) -> usize {
    let cases: usize = prepared.iter().flat_map(|(_, its)| its).map(Prepared::runs).sum();
    let cases = cases.saturating_sub(finished);
    if cases == 0 && args.resume.is_some() {
        console.note("every case was finished before: none is run again");
    }
    notes.extend(prepared.iter().flat_map(|(_, its)| its).filter_map(Prepared::too_few));
    let files = prepared.iter().map(|(file, _)| file.shown.clone()).collect();
    log.add(Entry::Began { version: env!("CARGO_PKG_VERSION").to_owned(), files, cases, notes }, console);
    cases
}

/// Tests that run.
struct Running<'t> {
    args: &'t TestArgs,
    context: &'t Arc<Context>,
    console: &'t Console,
    prepared: &'t [Selected<'t>],
    options: &'t Options,
    log: RunLog,
    folders: Vec<Folder>,
    finished: Finished,
    spent: Spent,
    traffic: Traffic,
    progress: Progress<'t>,
    /// Why recordings cannot be written.
    unsaved: RefCell<Option<String>>,
}

impl Running<'_> {
    fn runner(&self, at: usize) -> Runner<'_> {
        let (file, _) = &self.prepared[at];
        let surroundings = Surroundings {
            file: &file.shown,
            sources: &file.sources,
            context: self.context,
            snapshots: &self.folders[at],
            recordings: file.recordings.clone(),
            prices: &file.prices,
            traffic: &self.traffic,
        };
        Runner { surroundings, options: self.options, spent: &self.spent, finished: &self.finished }
    }

    /// Runs the tests of all files. Gives why they ended before all were done, and whether by a signal.
    async fn all(&self) -> (Option<String>, bool) {
        // A log that is cut tells of every test all the same.
        for (at, (file, its)) in self.prepared.iter().enumerate() {
            for one in its {
                let record = self.runner(at).test_record(one, file.digest(one.test).to_owned());
                self.log.add(Entry::Test(record), self.console);
            }
        }
        // Files whose tests ask the same models come one after the other.
        let mut order: Vec<usize> = (0..self.prepared.len()).collect();
        order.sort_by_cached_key(|at| self.runner(*at).models(&self.prepared[*at].1));
        for at in order {
            let ended = tokio::select! {
                stopped = self.file(at) => stopped,
                () = super::run::interrupted() => return (Some("interrupted".to_owned()), true),
            };
            if ended.is_some() {
                return (ended, false);
            }
            let (file, its) = &self.prepared[at];
            left_over(self.args, self.console, &self.log, &self.folders[at], file, its);
        }
        (None, false)
    }

    /// Runs the tests of a file. Gives why they ended before all were done.
    async fn file(&self, at: usize) -> Option<String> {
        let (file, its) = &self.prepared[at];
        let runner = self.runner(at);
        let tell = |entry: Entry| {
            self.progress.step();
            // Before a case counts as ended, its recordings are safe.
            if let Some(Err(why)) = file.recordings.as_ref().map(|recordings| recordings.save()) {
                self.unsaved.borrow_mut().get_or_insert(why);
            }
            self.log.add(entry, self.console);
        };
        runner.run(its, &failed, &tell).await
    }

    /// Ends the progress, and tells whether recordings could not be written.
    fn saved(&self) -> bool {
        self.progress.end();
        // A case that was interrupted recorded calls too.
        let last = self.prepared.iter().filter_map(|(file, _)| file.recordings.as_ref()?.save().err()).next();
        let unsaved = self.unsaved.borrow_mut().take().or(last);
        if let Some(why) = &unsaved {
            self.console.write(&format!("error: {why}\n"));
        }
        unsaved.is_some()
    }
}

/// Tells of snapshots that no test of a file looks at, and of recordings that none asks for.
fn left_over(
    args: &TestArgs,
    console: &Console,
    log: &RunLog,
    snapshots: &Folder,
    file: &Tested,
    its: &[Prepared<'_>],
) {
    if !all_of_them(args) {
        return;
    }
    for orphan in snapshots.orphans() {
        console.note(&format!(
            "no test looks at the snapshot {} any more; `chainrun review --prune` removes it",
            orphan.display()
        ));
    }
    if let Some(recordings) = &file.recordings
        && let Some(spared) = log.complete(args, its, &file.shown, file.tests.len())
    {
        recordings::unused(args, &file.shown, recordings, spared, console);
    }
}

/// Whether every test runs, so that what none looks at is needed by none.
fn all_of_them(args: &TestArgs) -> bool {
    let part = args.shard.is_some() || args.failed || args.changed.is_some() || args.resume.is_some();
    args.filter.is_empty() && args.tag.is_empty() && !part
}

/// The log that is gone on with must tell of these tests.
fn log_of(log: RunLog, args: &TestArgs, prepared: &[Selected<'_>]) -> Result<RunLog, String> {
    let files = log.files();
    let Some(path) = &args.resume else { return Ok(log) };
    if prepared.iter().any(|(file, _)| files.contains(&file.shown)) {
        return Ok(log);
    }
    let files: Vec<String> = files.iter().map(|file| format!("`{file}`")).collect();
    Err(format!("`{}` is the log of other tests: those of {}", path.display(), files.join(", ")))
}

/// How the tests ended.
struct Ended {
    seconds: f64,
    stopped: Option<String>,
    interrupted: bool,
    /// Whether recordings could not be written.
    unsaved: bool,
}

/// Folds the log and reports. Gives the exit code.
fn finish(
    args: &TestArgs,
    context: &Arc<Context>,
    console: &Console,
    log: &RunLog,
    ended: Ended,
    prepared: &[Selected<'_>],
) -> u8 {
    let entries = log.take();
    let of_lines = args.reports.iter().any(|report| report.format.lines);
    let mut lines = if of_lines { report::jsonl(&entries) } else { String::new() };
    let mut summary = Summary::of(entries);
    summary.seconds += ended.seconds;
    summary.stopped = ended.stopped.clone();
    let code = match (ended.interrupted, ended.unsaved) {
        (true, _) => INTERRUPTED,
        (false, true) => WRONG,
        (false, false) => summary.code(),
    };
    let entry = Entry::Ended { seconds: ended.seconds, stopped: ended.stopped, code };
    if of_lines {
        lines.push_str(&report::jsonl(std::slice::from_ref(&entry)));
    }
    log.add(entry, console);
    for (file, _) in prepared.iter().filter(|(_, its)| !its.is_empty()) {
        let names: Vec<&str> = file.tests.iter().map(|test| test.name.as_str()).collect();
        if let Err(why) = verdicts::keep(&file.path, &file.shown, &names, &summary, context) {
            console.warn(&why);
        }
    }
    let told = report::Told { summary: &summary, lines: &lines, folder: &reports::folder(context) };
    let written = reports::write(&args.reports, &told, context, console);
    let color = std::io::stdout().is_terminal() && context.var("NO_COLOR").is_none();
    if !reports::on_stdout(&args.reports) && (!args.quiet || code != 0) {
        print_line(report::terminal(&summary, color).trim_end());
    }
    reports::on_github(&args.reports, &told, context, console);
    if written { code } else { WRONG }
}

/// Whether a case did not pass.
fn failed(record: &CaseRecord) -> bool {
    !matches!(record.status, Status::Passed | Status::Spared)
}

/// How far the tests are, on a terminal.
struct Progress<'a> {
    console: &'a Console,
    done: Cell<usize>,
    all: usize,
}

impl Progress<'_> {
    fn step(&self) {
        self.done.set(self.done.get() + 1);
        self.console.counted("tests", self.done.get() as u64, self.all as u64);
    }

    fn end(&self) {
        self.console.write("");
    }
}
