//! `chainrun test FILE…`: runs the tests of files and reports.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::again::{Again, reference};
use super::arguments::TestArgs;
use super::console::{Console, print_line};
use super::reach::Reach;
use super::reports;
use super::run_log::RunLog;
use super::selection::{Shard, budget, files, selected, unknown_tags};
use super::test_files::of_file;
use super::{INTERRUPTED, WRONG, load, recordings, verdicts};
use crate::config::Context;
use crate::plan::testing::Test;
use crate::run::Traffic;
use crate::source::Sources;
use crate::testing::{
    CaseRecord, Entry, Folder, Mode, Options, Prepared, Recorder, Recordings, Redaction, Runner, Spent, Status,
    Summary, Surroundings, prepare, report,
};

/// Nothing was selected.
const NOTHING: u8 = 4;

/// A file with its tests.
struct Tested {
    path: PathBuf,
    shown: String,
    sources: Sources,
    tests: Vec<Test>,
    reach: Reach,
    /// The digests of what its tests reach, by their names.
    digests: HashMap<String, String>,
    again: Again,
    recordings: Option<Rc<Recordings>>,
    redactions: Rc<[Redaction]>,
}

impl Tested {
    fn digest(&self, test: &Test) -> &str {
        self.digests.get(&test.name).map(String::as_str).unwrap_or_default()
    }
}

/// Runs the command.
pub fn test(mut args: TestArgs, context: &Arc<Context>) -> u8 {
    let console = Console::new(context, args.quiet);
    if let Err(why) = reference(&mut args, context) {
        console.write(&format!("error: {why}\n"));
        return WRONG;
    }
    match tested(&args, context, &console) {
        Ok((all, options, shard)) => selected_tests(&args, context, &console, &all, &options, shard),
        Err(code) => code,
    }
}

/// Loads and checks every file, so that nothing runs where one is wrong.
fn tested(
    args: &TestArgs,
    context: &Arc<Context>,
    console: &Console,
) -> Result<(Vec<Tested>, Options, Option<Shard>), u8> {
    let usage = |why: String| {
        console.write(&format!("error: {why}\n"));
        WRONG
    };
    let shard = args.shard.as_deref().map(Shard::read).transpose().map_err(usage)?;
    let budget = args.budget.as_deref().map(budget).transpose().map_err(usage)?.unwrap_or_default();
    if args.jobs == Some(0) {
        return Err(usage("`--jobs 0` runs nothing: write 1 or more".to_owned()));
    }
    let files = files(&args.files, &context.cwd).map_err(usage)?;
    let read = files.iter().map(PathBuf::as_path);
    let log = args.log.as_deref().or(args.resume.as_deref());
    reports::check(&args.reports, read, log, context).map_err(usage)?;
    let recorder = recordings::recorder(args, context);
    if args.prune && recorder == Recorder::Live {
        return Err(usage("`--recordings live` reads no recordings, so `--prune` can remove none".to_owned()));
    }
    let options = Options { jobs: args.jobs, fail_fast: args.fail_fast, budget };
    let mut all = Vec::new();
    let mut wrong = false;
    for path in files {
        let mut sources = Sources::new();
        let (tests, mut reach, mut found) = of_file(&path, args, &mut sources, context);
        let mode = if tests.is_empty() { Recorder::Live } else { recorder };
        let read = recordings::of_file(&path, mode, &mut sources, context);
        let recordings = read.unwrap_or_else(|diagnostic| {
            found.push(*diagnostic);
            None
        });
        let full = context.cwd.join(&path);
        // A configuration that is not valid is told with the tests.
        let redactions = load::redactions(&full, &mut sources).unwrap_or_default().into();
        wrong |= console.report(&found, &sources);
        let digests = tests.iter().map(|test| (test.name.clone(), reach.digest(test))).collect();
        let again = if wrong { Again::All } else { Again::of(args, &full, &reach, &tests, context).map_err(usage)? };
        again.tell(&tests, &reach, console);
        let shown = path.display().to_string();
        all.push(Tested { shown, path: full, sources, tests, reach, digests, again, recordings, redactions });
    }
    if wrong { Err(WRONG) } else { Ok((all, options, shard)) }
}

fn selected_tests(
    args: &TestArgs,
    context: &Arc<Context>,
    console: &Console,
    all: &[Tested],
    options: &Options,
    shard: Option<Shard>,
) -> u8 {
    let mut tags: Vec<String> = all.iter().flat_map(|f| &f.tests).flat_map(|t| t.tags.clone()).collect();
    tags.sort();
    tags.dedup();
    if let Some(why) = unknown_tags(args, &tags) {
        console.write(&format!("error: {why}\n"));
        return NOTHING;
    }
    let only = all.iter().flat_map(|f| &f.tests).any(|t| t.only.is_some());
    let mut prepared: Vec<(&Tested, Vec<Prepared<'_>>)> = Vec::new();
    let mut wrong = false;
    for file in all {
        let chosen = file.tests.iter().filter(|t| selected(args, shard, &file.shown, t) && (!only || t.only.is_some()));
        let chosen = chosen.filter(|t| file.again.picks(t, file.digest(t), &file.reach));
        let mut its = Vec::new();
        for test in chosen {
            match prepare(test) {
                Ok(ready) => its.push(ready),
                Err(found) => wrong |= console.report(&found, &file.sources),
            }
        }
        prepared.push((file, its));
    }
    if wrong {
        return WRONG;
    }
    if prepared.iter().all(|(_, its)| its.is_empty()) {
        console.write(&nothing(args, all));
        return NOTHING;
    }
    let mut notes = Vec::new();
    if only {
        let left: usize =
            all.iter().map(|f| f.tests.len()).sum::<usize>() - prepared.iter().map(|(_, i)| i.len()).sum::<usize>();
        notes.push(format!("`only` leaves out {left} tests"));
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            console.write(&format!("error: no event loop can be made: {e}\n"));
            return super::FAILED;
        }
    };
    let code = runtime.block_on(run(args, context, console, &prepared, options, notes));
    runtime.shutdown_background();
    code
}

/// Why nothing is selected.
fn nothing(args: &TestArgs, all: &[Tested]) -> String {
    let count: usize = all.iter().map(|f| f.tests.len()).sum();
    if count == 0 {
        let files: Vec<String> = all.iter().map(|f| format!("`{}`", f.shown)).collect();
        return format!("error: no test selected: {} holds none; write `test \"…\" {{ … }}`\n", files.join(", "));
    }
    if args.failed && all.iter().all(|f| f.again.knows_nothing()) {
        return "error: no test selected: no run of these files is kept, so none failed; run them without --failed\n"
            .to_owned();
    }
    let others = !args.filter.is_empty() || !args.tag.is_empty() || args.shard.is_some();
    let which = if others { "meant by --filter, --tag and --shard, and " } else { "" };
    let none = |what: String| format!("error: no test selected: none of the {count} tests is {which}{what}\n");
    if args.failed {
        return none("one that failed in its last run".to_owned());
    }
    if let Some(changed) = &args.changed {
        return none(match changed.strip_prefix("git:") {
            Some(reference) => format!("one that reaches what differs from the commit `{reference}`"),
            None => "one that reaches what changed since it passed".to_owned(),
        });
    }
    let names: Vec<&str> = all.iter().flat_map(|f| &f.tests).map(|t| t.name.as_str()).collect();
    let near = args.filter.first().and_then(|text| crate::value::nearest(text, names.iter().copied()));
    let near = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
    format!("error: no test selected: none of the {count} tests is meant by --filter, --tag and --shard{near}\n")
}

async fn run(
    args: &TestArgs,
    context: &Arc<Context>,
    console: &Console,
    prepared: &[(&Tested, Vec<Prepared<'_>>)],
    options: &Options,
    mut notes: Vec<String>,
) -> u8 {
    let began = Instant::now();
    let log = match RunLog::open(args, context, console).and_then(|log| log_of(log, args, prepared)) {
        Ok(log) => log,
        Err(why) => {
            console.write(&format!("error[E001]: {why}\n"));
            return WRONG;
        }
    };
    let mode = match (args.accept, context.var("CI").is_some()) {
        (true, _) => Mode::Accept,
        (false, true) => Mode::Check,
        (false, false) => Mode::Pending,
    };
    let (finished, others) = log.finished(&|file, test, digest| {
        let of_file = prepared.iter().find(|(tested, _)| tested.shown == file);
        of_file.is_some_and(|(tested, _)| tested.digests.get(test).is_some_and(|now| now == digest))
    });
    if others > 0 {
        console.note(&format!("{others} finished cases are of tests that changed or are not selected now"));
    }
    let cases: usize = prepared.iter().flat_map(|(_, its)| its).map(Prepared::runs).sum();
    let cases = cases.saturating_sub(finished.len());
    if cases == 0 && args.resume.is_some() {
        console.note("every case was finished before: none is run again");
    }
    notes.extend(prepared.iter().flat_map(|(_, its)| its).filter_map(Prepared::too_few));
    let files = prepared.iter().map(|(file, _)| file.shown.clone()).collect();
    log.add(Entry::Began { version: env!("CARGO_PKG_VERSION").to_owned(), files, cases, notes }, console);
    let spent = Spent::default();
    let traffic = Traffic::default();
    let folders: Vec<Folder> =
        prepared.iter().map(|(file, _)| Folder::of(&file.path, mode, file.redactions.clone())).collect();
    let runner = |at: usize| {
        let (file, _) = &prepared[at];
        let surroundings = Surroundings {
            file: &file.shown,
            sources: &file.sources,
            context,
            snapshots: &folders[at],
            recordings: file.recordings.clone(),
            traffic: &traffic,
        };
        Runner { surroundings, options, spent: &spent, finished: &finished }
    };
    // A log that is cut tells of every test all the same.
    for (at, (file, its)) in prepared.iter().enumerate() {
        for one in its {
            log.add(Entry::Test(runner(at).test_record(one, file.digest(one.test).to_owned())), console);
        }
    }
    let progress = Progress { console, done: Cell::new(0), all: cases };
    let unsaved: RefCell<Option<String>> = RefCell::default();
    let mut stopped = None;
    let mut interrupted = false;
    for (at, (file, its)) in prepared.iter().enumerate() {
        let runner = runner(at);
        let tell = |entry: Entry| {
            progress.step();
            // Before a case counts as ended, its recordings are safe.
            if let Some(Err(why)) = file.recordings.as_ref().map(|recordings| recordings.save()) {
                unsaved.borrow_mut().get_or_insert(why);
            }
            log.add(entry, console);
        };
        let ended = tokio::select! {
            stopped = runner.run(its, &failed, &tell) => Some(stopped),
            () = super::run::interrupted() => None,
        };
        match ended {
            Some(None) => {}
            Some(why) => {
                stopped = why;
                break;
            }
            None => {
                interrupted = true;
                stopped = Some("interrupted".to_owned());
                break;
            }
        }
        left_over(args, console, &log, &folders[at], file, its);
    }
    progress.end();
    // A case that was interrupted recorded calls too.
    let last = prepared.iter().filter_map(|(file, _)| file.recordings.as_ref()?.save().err()).next();
    let unsaved = unsaved.into_inner().or(last);
    if let Some(why) = &unsaved {
        console.write(&format!("error: {why}\n"));
    }
    let seconds = began.elapsed().as_secs_f64();
    let ended = Ended { seconds, stopped, interrupted, unsaved: unsaved.is_some() };
    finish(args, context, console, &log, ended, prepared)
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
fn log_of(log: RunLog, args: &TestArgs, prepared: &[(&Tested, Vec<Prepared<'_>>)]) -> Result<RunLog, String> {
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
    prepared: &[(&Tested, Vec<Prepared<'_>>)],
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
