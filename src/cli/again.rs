//! `--failed` and `--changed`: which tests run again.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::arguments::TestArgs;
use super::console::Console;
use super::git::Changes;
use super::reach::Reach;
use super::verdicts::{Verdicts, recordings};
use crate::config::Context;
use crate::plan::testing::Test;

/// What tests are chosen by.
pub enum Again {
    /// All are.
    All,
    /// They did not pass the last time.
    Failed(Verdicts),
    /// What they reach is not what it was when they last passed, or the file's recordings are not, whose digest this is.
    Changed(Verdicts, Option<String>),
    /// What they reach is not what it was at a commit.
    Since(Changes, BTreeSet<PathBuf>),
}

impl Again {
    /// What the command line chooses by, for the tests of the file at `path`.
    ///
    /// # Errors
    /// What is kept of earlier runs cannot be read, or git does not tell.
    pub fn of(
        args: &TestArgs,
        path: &std::path::Path,
        reach: &Reach,
        tests: &[Test],
        context: &Context,
    ) -> Result<Self, String> {
        if args.failed {
            return Ok(Self::Failed(Verdicts::load(path, context)?));
        }
        let Some(changed) = args.changed.as_deref() else { return Ok(Self::All) };
        if changed.is_empty() {
            return Ok(Self::Changed(Verdicts::load(path, context)?, recordings(path)));
        }
        let mut changes = Changes::since(changed.strip_prefix("git:").unwrap_or(changed));
        changes.ask(&path.canonicalize().unwrap_or_else(|_| path.to_path_buf()))?;
        for file in reach.files(tests.iter()) {
            // A file that is gone is told of by the repository of its neighbours.
            if let Ok(real) = file.canonicalize() {
                changes.ask(&real)?;
            }
        }
        let all = changes.all();
        Ok(Self::Since(changes, all))
    }

    /// Whether a test is chosen; `digest` is that of what it reaches.
    pub fn picks(&self, test: &Test, digest: &str, reach: &Reach) -> bool {
        let unknown = || reach.unknown(test).is_some();
        match self {
            Self::All => true,
            _ if test.skip.is_some() => false,
            Self::Failed(kept) => kept.failed(&test.name),
            Self::Changed(kept, recordings) => !kept.passed(&test.name, digest, recordings.as_deref()) || unknown(),
            Self::Since(changes, all) => unknown() || reach.meets(test, &|file| changes.changed(file), all),
        }
    }

    /// Says of the tests that run because nobody can tell whether they changed.
    pub fn tell(&self, tests: &[Test], reach: &Reach, console: &Console) {
        if !matches!(self, Self::Changed(..) | Self::Since(..)) {
            return;
        }
        for test in tests.iter().filter(|test| test.skip.is_none()) {
            if let Some(why) = reach.unknown(test) {
                console.note(&format!("\"{}\" counts as changed: {why}", test.name));
            }
        }
    }

    /// Whether nothing is kept of the file's tests that a choice could be made by.
    pub fn knows_nothing(&self) -> bool {
        matches!(self, Self::Failed(kept) if kept.is_empty())
    }
}

/// Reads `--changed`, with `git:REF` as a word of its own too; gives it and the other words.
///
/// # Errors
/// What `--changed` does not take.
pub fn reference(args: &mut TestArgs, context: &Context) -> Result<(), String> {
    let is_reference = |word: &PathBuf| word.to_string_lossy().starts_with("git:") && !context.cwd.join(word).exists();
    let at = args.files.iter().position(is_reference);
    match (args.changed.as_deref(), at) {
        (Some(""), Some(at)) => args.changed = Some(args.files.remove(at).to_string_lossy().into_owned()),
        (None, Some(at)) => {
            let word = args.files[at].display();
            return Err(format!("`{word}` is no file: write `--changed {word}` for the tests that changed since then"));
        }
        _ => {}
    }
    match args.changed.as_deref() {
        None | Some("") => {}
        Some("git:") => return Err("`--changed git:` names no commit: write `--changed git:main`".to_owned()),
        Some(word) if word.starts_with("git:") => {}
        Some(word) => {
            return Err(format!("`--changed={word}` is not understood: write `--changed`, or `--changed git:{word}`"));
        }
    }
    if args.files.is_empty() {
        return Err("no file is named: `chainrun test --changed FILE…`".to_owned());
    }
    Ok(())
}
