//! Which files a `.chain` file reaches besides texts of the language: what a change can be found by.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Files.
    pub files: BTreeSet<PathBuf>,
    /// Folders of patterns: a file that comes or goes there is a change too.
    pub folders: BTreeSet<PathBuf>,
    /// Why nobody can tell what else is reached.
    pub unknown: Option<&'static str>,
}

impl Reached {
    /// What this and another reach together.
    pub fn and(mut self, other: &Reached) -> Self {
        self.files.extend(other.files.iter().cloned());
        self.folders.extend(other.folders.iter().cloned());
        self.unknown = self.unknown.or(other.unknown);
        self
    }
}

/// A list that lowering writes into; copies share it.
#[derive(Clone, Debug, Default)]
pub struct Reads(Arc<Mutex<Reached>>);

impl Reads {
    /// A file is reached.
    pub fn file(&self, path: &Path) {
        self.with(|reached| reached.files.extend([path.to_path_buf()]));
    }

    /// Files below a folder are reached.
    pub fn folder(&self, path: &Path) {
        self.with(|reached| reached.folders.extend([path.to_path_buf()]));
    }

    /// What is reached is known in the run alone.
    pub fn unknown(&self, why: &'static str) {
        self.with(|reached| reached.unknown = Some(why));
    }

    /// What was reached since the last time.
    pub fn take(&self) -> Reached {
        let mut taken = Reached::default();
        self.with(|reached| taken = std::mem::take(reached));
        taken
    }

    fn with(&self, change: impl FnOnce(&mut Reached)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
