//! `chainrun test FILE…`: runs the tests of files and reports.

use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use super::again::{Again, reference};
use super::arguments::TestArgs;
use super::console::Console;
use super::reach::Reach;
use super::reports;
use super::selection::{Shard, budget, files, selected, unknown_tags};
use super::test_files::of_file;
use super::test_run::{Selected, run};
use super::{WRONG, configuration, recordings};
use crate::config::{Context, Prices};
use crate::plan::testing::Test;
use crate::source::Sources;
use crate::testing::{Options, Recorder, Recordings, Redaction, prepare};

/// Nothing was selected.
const NOTHING: u8 = 4;

/// A file with its tests.
pub struct Tested {
    pub path: PathBuf,
    pub shown: String,
    pub sources: Sources,
    pub tests: Vec<Test>,
    reach: Reach,
    /// The digests of what its tests reach, by their names.
    pub digests: HashMap<String, String>,
    again: Again,
    pub recordings: Option<Rc<Recordings>>,
    pub redactions: Rc<[Redaction]>,
    pub prices: Rc<Prices>,
}

impl Tested {
    pub fn digest(&self, test: &Test) -> &str {
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
        let configuration = configuration::of_file(&full, &mut sources).unwrap_or_default();
        let (redactions, prices) = (configuration.redactions.into(), configuration.prices.into());
        wrong |= console.report(&found, &sources);
        let digests = tests.iter().map(|test| (test.name.clone(), reach.digest(test))).collect();
        let again = if wrong { Again::All } else { Again::of(args, &full, &reach, &tests, context).map_err(usage)? };
        again.tell(&tests, &reach, console);
        let shown = path.display().to_string();
        all.push(Tested { shown, path: full, sources, tests, reach, digests, again, recordings, redactions, prices });
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
    let mut prepared: Vec<Selected<'_>> = Vec::new();
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
