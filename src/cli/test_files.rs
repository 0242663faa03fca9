//! The tests of a `.chain` file, read and checked.

use std::path::Path;
use std::sync::Arc;

use super::arguments::TestArgs;
use super::load;
use super::reach::Reach;
use super::selection::refused_only;
use crate::config::Context;
use crate::diag::{Diagnostic, Severity};
use crate::plan::testing::{AskedChains, Test, collect};
use crate::plan::{self, Declarations, Execs, Reached};
use crate::source::Sources;

/// The tests of a file, what they reach, and what is wrong with it.
pub fn of_file(
    path: &Path,
    args: &TestArgs,
    sources: &mut Sources,
    context: &Arc<Context>,
) -> (Vec<Test>, Reach, Vec<Diagnostic>) {
    let (read, found) = read(path, &args.models, args.allow_exec, sources, context);
    let Some(read) = read else { return (Vec::new(), Reach::default(), found) };
    let reach = Reach::new(&context.cwd.join(path), &read.loaded.tree, sources, read.reached, args, context);
    (read.tests, reach, found)
}

/// The tests of a file, with what is wrong with it.
pub fn tests(
    path: &Path,
    models: &[String],
    allow_exec: bool,
    sources: &mut Sources,
    context: &Arc<Context>,
) -> (Vec<Test>, Vec<Diagnostic>) {
    let (read, found) = read(path, models, allow_exec, sources, context);
    (read.map(|read| read.tests).unwrap_or_default(), found)
}

/// A file that was read for its tests.
struct Read {
    loaded: load::Loaded,
    tests: Vec<Test>,
    /// What its chains reach.
    reached: Reached,
}

fn read(
    path: &Path,
    models: &[String],
    allow_exec: bool,
    sources: &mut Sources,
    context: &Arc<Context>,
) -> (Option<Read>, Vec<Diagnostic>) {
    let loaded = match load::file(path, sources, context) {
        Ok(loaded) => loaded,
        Err(diagnostic) => return (None, vec![*diagnostic]),
    };
    let mut found = loaded.diagnostics.clone();
    let declarations = Declarations::collect(&loaded.tree, &loaded.libraries, &mut found);
    let mut settings = match load::settings(models, &loaded, sources, context) {
        Ok(settings) => settings,
        Err(wrong) => {
            found.extend(wrong);
            return (None, found);
        }
    };
    if allow_exec {
        settings.exec = Execs::Allowed;
    }
    let checked = plan::check(sources, &loaded.tree, &declarations, &settings);
    found.extend(checked.diagnostics);
    found.extend(plan::refused_models(&checked.models, &checked.embedders, context));
    if found.iter().any(|d| d.severity == Severity::Error) {
        return (None, found);
    }
    // What the chains reach; each test adds its own.
    let reached = settings.reads.take();
    let asked = AskedChains::of(&loaded.tree, sources);
    let (tests, wrong) = collect(sources, &loaded.tree, &loaded.libraries, &settings, &loaded.name, &asked);
    found.extend(wrong);
    if context.var("CI").is_some() {
        found.extend(refused_only(&tests));
    }
    // What was noted of the file is for `check`.
    found.retain(|d| d.severity == Severity::Error);
    drop(declarations);
    (Some(Read { loaded, tests, reached }), found)
}
