//! Accepted values: one file a snapshot, in the folder `snapshots` beside the chain, a pending one beside it as `….new`.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::redaction::{Redaction, redacted};
use super::verdict::shown;
use crate::assertions::{Outcome, Undecided};
use crate::plan::testing::{Part, Step};
use crate::value::Value;

/// What becomes of a value that nobody accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is only reported: files stay as they are.
    Check,
    /// It is written beside, for `chainrun review`.
    Pending,
    /// It is accepted.
    Accept,
}

/// The end of an accepted snapshot's name.
pub const ACCEPTED: &str = "snap";

/// The end of a pending snapshot's name.
pub const PENDING: &str = "snap.new";

/// The snapshots of one file's tests.
#[derive(Clone)]
pub struct Folder {
    /// Where they lie.
    pub path: PathBuf,
    /// What becomes of new values.
    pub mode: Mode,
    /// What of a value is not compared.
    redactions: Rc<[Redaction]>,
    used: Rc<RefCell<Vec<PathBuf>>>,
}

impl Folder {
    /// The snapshots of the tests of the chain file at `file`.
    pub fn of(file: &Path, mode: Mode, redactions: Rc<[Redaction]>) -> Self {
        let stem = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let path = file.with_file_name("snapshots").join(stem);
        Self { path, mode, redactions, used: Rc::default() }
    }

    /// Accepted snapshots that no case looked at.
    pub fn orphans(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.path) else { return Vec::new() };
        let used = self.used.borrow();
        let mut all: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|e| e.path()))
            .filter(|path| path.extension().is_some_and(|e| e == ACCEPTED) && !used.contains(path))
            .collect();
        all.sort();
        all
    }
}

/// The snapshots of one case.
pub struct Snapshots {
    folder: Folder,
    /// What tells the case from the others.
    case: String,
    /// How many values were taken of each step.
    taken: RefCell<Vec<String>>,
    /// Whether a value was never accepted.
    pub pending: Cell<bool>,
}

impl Snapshots {
    /// Those of the case called `case`.
    pub fn new(folder: Folder, case: String) -> Self {
        Self { folder, case, taken: RefCell::default(), pending: Cell::new(false) }
    }

    /// Whether `value` is the accepted one.
    ///
    /// # Errors
    /// None was accepted, or the file cannot be read or written.
    pub fn compare(&self, step: Option<&Step>, value: &Value) -> Result<Outcome, Undecided> {
        let seen = redacted(&shown(value), &self.folder.redactions);
        let path = self.folder.path.join(format!("{}.{ACCEPTED}", self.name(step)));
        self.folder.used.borrow_mut().push(path.clone());
        let shown_path = path.display();
        let accepted = match std::fs::read_to_string(&path) {
            Ok(text) => Some(text.strip_suffix('\n').map_or(text.clone(), str::to_owned)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(Undecided::new(format!("the snapshot {shown_path} cannot be read: {e}"))),
        };
        let same = accepted.as_deref() == Some(seen.as_str());
        let pending = path.with_extension(PENDING);
        match self.folder.mode {
            Mode::Check => {}
            _ if same => drop(std::fs::remove_file(&pending)),
            Mode::Accept => {
                self.write(&path, &seen)?;
                drop(std::fs::remove_file(&pending));
                return Ok(outcome(true, &seen, &seen, "the value is accepted as the new snapshot".to_owned()));
            }
            Mode::Pending => self.write(&pending, &seen)?,
        }
        match accepted {
            Some(accepted) if same => Ok(outcome(true, &accepted, &seen, "the value is as it was accepted".to_owned())),
            Some(accepted) => {
                let why = format!("the value differs from the snapshot {shown_path}; `chainrun review` accepts it");
                Ok(outcome(false, &accepted, &seen, why))
            }
            None => {
                self.pending.set(true);
                Err(Undecided::new(format!("no snapshot {shown_path} was accepted"))
                    .help("`chainrun review` shows the value and accepts it; `--accept` accepts all"))
            }
        }
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), Undecided> {
        let made = std::fs::create_dir_all(&self.folder.path)
            .and_then(|()| crate::store::write_whole(path, format!("{text}\n").as_bytes()));
        made.map_err(|e| Undecided::new(format!("the snapshot {} cannot be written: {e}", path.display())))
    }

    /// The name of the file without its end.
    fn name(&self, step: Option<&Step>) -> String {
        let name = with_step(&self.case, step);
        let mut taken = self.taken.borrow_mut();
        taken.push(name.clone());
        let times = taken.iter().filter(|n| **n == name).count();
        if times > 1 { format!("{name}--{times}") } else { name }
    }
}

/// The name of the snapshot of a step, or of the result, of the case of this name.
pub fn with_step(case: &str, step: Option<&Step>) -> String {
    match step {
        None => case.to_owned(),
        Some(Step { name, part: Part::Output }) => format!("{case}--{}", slug(name)),
        Some(Step { name, part }) => format!("{case}--{}-{}", slug(name), format!("{part:?}").to_lowercase()),
    }
}

fn outcome(pass: bool, expected: &str, actual: &str, why: String) -> Outcome {
    Outcome { pass, score: None, expected: expected.to_owned(), actual: actual.to_owned(), why, comparable: true }
}

/// A text as a part of a file's name: letters, digits and single hyphens, short, told apart by a digest where it was cut.
pub fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_alphanumeric() {
            out.extend(c.to_lowercase());
        } else if !out.ends_with('-') && !out.is_empty() {
            out.push('-');
        }
    }
    let trimmed = out.trim_end_matches('-');
    let plain = trimmed.chars().count() <= 48 && trimmed == text;
    if plain {
        return trimmed.to_owned();
    }
    let short: String = trimmed.chars().take(48).collect();
    let digest = crate::store::digest(text.as_bytes());
    format!("{}-{}", short.trim_end_matches('-'), &digest[..6])
}
