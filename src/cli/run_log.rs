//! The run log: in memory for the reports and, where asked for, in a file.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;

use super::arguments::TestArgs;
use crate::config::Context;
use crate::testing::Entry;

/// The log of one invocation.
pub struct RunLog {
    entries: RefCell<Vec<Entry>>,
    file: RefCell<Option<File>>,
}

impl RunLog {
    /// A new log.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn open(args: &TestArgs, context: &Context) -> Result<Self, String> {
        let file = match &args.log {
            None => None,
            Some(path) => Some(
                File::create(context.cwd.join(path))
                    .map_err(|e| format!("`{}` cannot be written: {e}", path.display()))?,
            ),
        };
        Ok(Self { entries: RefCell::default(), file: RefCell::new(file) })
    }

    /// Adds an entry; its line is written whole before the next case ends.
    pub fn add(&self, entry: Entry) {
        if let Some(file) = &mut *self.file.borrow_mut()
            && let Ok(mut line) = serde_json::to_string(&entry)
        {
            line.push('\n');
            let _ = file.write_all(line.as_bytes());
        }
        self.entries.borrow_mut().push(entry);
    }

    /// Everything that was added.
    pub fn take(&self) -> Vec<Entry> {
        self.entries.borrow_mut().drain(..).collect()
    }
}
