//! The run log: in memory for the reports and, where asked for, in a file.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use super::arguments::TestArgs;
use super::console::Console;
use crate::config::Context;
use crate::testing::{CaseKey, Entry, Prepared, Status, read};

/// The log of one invocation.
pub struct RunLog {
    entries: RefCell<Vec<Entry>>,
    file: RefCell<Option<File>>,
}

/// The cases that earlier tests of a log finished.
pub type Finished = HashMap<CaseKey, Status>;

impl RunLog {
    /// A new log, or the one that `--resume` goes on with.
    ///
    /// # Errors
    /// It cannot be read or written, or is no log.
    pub fn open(args: &TestArgs, context: &Context, console: &Console) -> Result<Self, String> {
        if let Some(path) = &args.resume {
            return Self::resume(path, context, console);
        }
        let file = match &args.log {
            None => None,
            Some(path) => Some(
                File::create(context.cwd.join(path))
                    .map_err(|e| format!("`{}` cannot be written: {e}", path.display()))?,
            ),
        };
        Ok(Self { entries: RefCell::default(), file: RefCell::new(file) })
    }

    /// A log that was begun; the part of a line that a kill left is taken off.
    fn resume(path: &Path, context: &Context, console: &Console) -> Result<Self, String> {
        let shown = path.display();
        let full = context.cwd.join(path);
        let bytes = std::fs::read(&full).map_err(|e| format!("`{shown}` cannot be read: {e}"))?;
        // Only whole lines are looked at, so that a character which was cut is no mistake.
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let no_log = |why: String| {
            format!("`{shown}` is no run log to go on with: {why}; `--log {shown}` begins one in its place")
        };
        let text = std::str::from_utf8(&bytes[..whole]).map_err(|e| no_log(e.to_string()))?;
        let log = read(text).map_err(no_log)?;
        let cannot = |e: std::io::Error| format!("`{shown}` cannot be written: {e}");
        let mut file = File::options().write(true).open(&full).map_err(cannot)?;
        if whole < bytes.len() {
            console.note(&format!("the last line of `{shown}` was cut, and is taken off"));
            file.set_len(whole as u64).map_err(cannot)?;
        }
        file.seek(SeekFrom::End(0)).map_err(cannot)?;
        Ok(Self { entries: RefCell::new(log.entries), file: RefCell::new(Some(file)) })
    }

    /// The cases that are finished, of tests that `same` says are still the same; and how many are of others.
    pub fn finished(&self, same: &dyn Fn(&str, &str, &str) -> bool) -> (Finished, usize) {
        let entries = self.entries.borrow();
        let mut digests: HashMap<(&str, &str), &str> = HashMap::new();
        let mut finished: HashMap<CaseKey, (Status, &str)> = HashMap::new();
        for entry in entries.iter() {
            match entry {
                Entry::Test(test) => {
                    digests.insert((&test.file, &test.test), &test.digest);
                }
                Entry::Case(case) => {
                    let digest = digests.get(&(case.file.as_str(), case.test.as_str())).copied().unwrap_or_default();
                    finished.insert(case.key(), (case.status, digest));
                }
                Entry::Began { .. } | Entry::Ended { .. } => {}
            }
        }
        let all = finished.len();
        let kept = finished.into_iter().filter(|(key, (_, digest))| same(&key.0, &key.1, digest));
        let kept: Finished = kept.map(|(key, (status, _))| (key, status)).collect();
        let others = all - kept.len();
        (kept, others)
    }

    /// The files of the tests that the log tells of.
    pub fn files(&self) -> Vec<String> {
        let entries = self.entries.borrow();
        entries
            .iter()
            .filter_map(|entry| if let Entry::Began { files, .. } = entry { Some(files.clone()) } else { None })
            .flatten()
            .collect()
    }

    /// Adds an entry; its line is written whole before the next case ends.
    pub fn add(&self, entry: Entry, console: &Console) {
        let mut file = self.file.borrow_mut();
        if let Some(open) = &mut *file
            && let Ok(mut line) = serde_json::to_string(&entry)
        {
            line.push('\n');
            // A full disk is told once, and costs no verdict.
            if let Err(e) = open.write_all(line.as_bytes()) {
                console.warn(&format!("the run log cannot be written any more: {e}"));
                *file = None;
            }
        }
        self.entries.borrow_mut().push(entry);
    }

    /// Whether all `count` tests of a file ran to their ends, and then, whether runs of them were spared.
    pub fn complete(&self, args: &TestArgs, its: &[Prepared<'_>], file: &str, count: usize) -> Option<bool> {
        let entries = self.entries.borrow();
        let spared = |e: &Entry| matches!(e, Entry::Case(c) if c.file == file && c.status == Status::Spared);
        super::recordings::complete(args, its, file, &entries, count).then(|| entries.iter().any(spared))
    }

    /// Everything that was added.
    pub fn take(&self) -> Vec<Entry> {
        self.entries.borrow_mut().drain(..).collect()
    }
}
