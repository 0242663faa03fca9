//! `chainrun test FILE…`: runs the tests of files and reports.

use std::cell::{Cell, RefCell};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::arguments::TestArgs;
use super::console::{Console, print_line};
use super::selection::{Shard, budget, files, refused_only, selected, unknown_tags};
use super::{INTERRUPTED, WRONG, load, recordings};
use crate::config::Context;
use crate::diag::{Diagnostic, Severity};
use crate::plan::testing::{Test, collect};
use crate::plan::{self, Declarations, Execs};
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
    recordings: Option<Rc<Recordings>>,
    redactions: Rc<[Redaction]>,
}

/// Runs the command.
pub fn test(args: &TestArgs, context: &Arc<Context>) -> u8 {
    let console = Console::new(context, args.quiet);
    match tested(args, context, &console) {
        Ok((all, options, shard)) => selected_tests(args, context, &console, &all, &options, shard),
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
    let recorder = recordings::recorder(args, context);
    if args.prune && recorder == Recorder::Live {
        return Err(usage("`--recordings live` reads no recordings, so `--prune` can remove none".to_owned()));
    }
    let options = Options { jobs: args.jobs, fail_fast: args.fail_fast, budget };
    let mut all = Vec::new();
    let mut wrong = false;
    for path in files(&args.files, &context.cwd).map_err(usage)? {
        let mut sources = Sources::new();
        let (tests, mut found) = tests(&path, &args.models, args.allow_exec, &mut sources, context);
        let mode = if tests.is_empty() { Recorder::Live } else { recorder };
        let read = recordings::of_file(&path, mode, &mut sources, context);
        let recordings = read.unwrap_or_else(|diagnostic| {
            found.push(*diagnostic);
            None
        });
        let (shown, path) = (path.display().to_string(), context.cwd.join(&path));
        // A configuration that is not valid is told with the tests.
        let redactions = load::redactions(&path, &mut sources).unwrap_or_default().into();
        wrong |= console.report(&found, &sources);
        all.push(Tested { shown, path, sources, tests, recordings, redactions });
    }
    if wrong { Err(WRONG) } else { Ok((all, options, shard)) }
}

/// The tests of a file, with what is wrong with it.
pub fn tests(
    path: &Path,
    models: &[String],
    allow_exec: bool,
    sources: &mut Sources,
    context: &Arc<Context>,
) -> (Vec<Test>, Vec<Diagnostic>) {
    let loaded = match load::file(path, sources, context) {
        Ok(loaded) => loaded,
        Err(diagnostic) => return (Vec::new(), vec![*diagnostic]),
    };
    let mut found = loaded.diagnostics.clone();
    let declarations = Declarations::collect(&loaded.tree, &loaded.libraries, &mut found);
    let mut settings = match load::settings(models, &loaded, sources, context) {
        Ok(settings) => settings,
        Err(wrong) => {
            found.extend(wrong);
            return (Vec::new(), found);
        }
    };
    if allow_exec {
        settings.exec = Execs::Allowed;
    }
    let checked = plan::check(sources, &loaded.tree, &declarations, &settings);
    found.extend(checked.diagnostics);
    found.extend(plan::refused_models(&checked.models, &checked.embedders, context));
    if found.iter().any(|d| d.severity == Severity::Error) {
        return (Vec::new(), found);
    }
    let asked = plan::testing::AskedChains::of(&loaded.tree, sources);
    let (tests, wrong) = collect(sources, &loaded.tree, &loaded.libraries, &settings, &loaded.name, &asked);
    found.extend(wrong);
    if context.var("CI").is_some() {
        found.extend(refused_only(&tests));
    }
    // What was noted of the file is for `check`.
    found.retain(|d| d.severity == Severity::Error);
    (tests, found)
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
    let log = match Log::open(args, context) {
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
    let cases = prepared.iter().flat_map(|(_, its)| its).map(Prepared::runs).sum();
    notes.extend(prepared.iter().flat_map(|(_, its)| its).filter_map(Prepared::too_few));
    let files = prepared.iter().map(|(file, _)| file.shown.clone()).collect();
    log.add(Entry::Began { version: env!("CARGO_PKG_VERSION").to_owned(), files, cases, notes });
    let progress = Progress { console, done: Cell::new(0), all: cases };
    let spent = Spent::default();
    let mut stopped = None;
    let mut interrupted = false;
    let unsaved: RefCell<Option<String>> = RefCell::default();
    for (file, its) in prepared {
        let folder = Folder::of(&file.path, mode, file.redactions.clone());
        let surroundings = Surroundings {
            file: &file.shown,
            sources: &file.sources,
            context,
            snapshots: &folder,
            recordings: file.recordings.clone(),
        };
        let runner = Runner { surroundings, options, spent: &spent };
        for one in its {
            log.add(Entry::Test(runner.test_record(one)));
        }
        let tell = |entry: Entry| {
            progress.step();
            // Before a case counts as ended, its recordings are safe.
            if let Some(Err(why)) = file.recordings.as_ref().map(|recordings| recordings.save()) {
                unsaved.borrow_mut().get_or_insert(why);
            }
            log.add(entry);
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
        left_over(args, console, &log, &folder, file, its);
    }
    progress.end();
    // A case that was interrupted recorded calls too.
    let last = prepared.iter().filter_map(|(file, _)| file.recordings.as_ref()?.save().err()).next();
    let unsaved = unsaved.into_inner().or(last);
    if let Some(why) = &unsaved {
        console.write(&format!("error: {why}\n"));
    }
    let seconds = began.elapsed().as_secs_f64();
    let mut summary = Summary::of(log.entries());
    summary.seconds = seconds;
    summary.stopped = stopped.clone();
    let code = match (interrupted, unsaved.is_some()) {
        (true, _) => INTERRUPTED,
        (false, true) => WRONG,
        (false, false) => summary.code(),
    };
    log.add(Entry::Ended { seconds, stopped, code });
    let color = std::io::stdout().is_terminal() && context.var("NO_COLOR").is_none();
    if !args.quiet || code != 0 {
        print_line(report::terminal(&summary, color).trim_end());
    }
    code
}

/// Tells of snapshots that no test of a file looks at, and of recordings that none asks for.
fn left_over(args: &TestArgs, console: &Console, log: &Log, snapshots: &Folder, file: &Tested, its: &[Prepared<'_>]) {
    if args.filter.is_empty() && args.tag.is_empty() && args.shard.is_none() {
        for orphan in snapshots.orphans() {
            console.note(&format!(
                "no test looks at the snapshot {} any more; `chainrun review --prune` removes it",
                orphan.display()
            ));
        }
    }
    if let Some(recordings) = &file.recordings
        && let Some(spared) = log.complete(args, its, file)
    {
        recordings::unused(args, &file.shown, recordings, spared, console);
    }
}

/// Whether a case did not pass.
fn failed(record: &CaseRecord) -> bool {
    !matches!(record.status, Status::Passed | Status::Spared)
}

/// The run log: in memory for the report and, where asked for, in a file.
struct Log {
    entries: RefCell<Vec<Entry>>,
    file: RefCell<Option<std::fs::File>>,
}

impl Log {
    fn open(args: &TestArgs, context: &Context) -> Result<Self, String> {
        let file = match &args.log {
            None => None,
            Some(path) => Some(
                std::fs::File::create(context.cwd.join(path))
                    .map_err(|e| format!("`{}` cannot be written: {e}", path.display()))?,
            ),
        };
        Ok(Self { entries: RefCell::default(), file: RefCell::new(file) })
    }

    /// Adds an entry; a line is written whole before the next case ends.
    fn add(&self, entry: Entry) {
        if let Some(file) = &mut *self.file.borrow_mut()
            && let Ok(mut line) = serde_json::to_string(&entry)
        {
            line.push('\n');
            let _ = file.write_all(line.as_bytes());
        }
        self.entries.borrow_mut().push(entry);
    }

    /// Whether every case of a file ran to its end, and then, whether runs of it were spared.
    fn complete(&self, args: &TestArgs, its: &[Prepared<'_>], file: &Tested) -> Option<bool> {
        let entries = self.entries.borrow();
        let spared = |e: &Entry| matches!(e, Entry::Case(c) if c.file == file.shown && c.status == Status::Spared);
        recordings::complete(args, its, &file.shown, &entries, file.tests.len()).then(|| entries.iter().any(spared))
    }

    fn entries(&self) -> Vec<Entry> {
        self.entries.borrow_mut().drain(..).collect()
    }
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
