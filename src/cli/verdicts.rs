//! The verdicts of the last runs, kept by file and test for `--failed` and `--changed`: a small file for each `.chain`
//! file in `tests` inside the folder of kept answers.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::config::Context;
use crate::recording::Tape;
use crate::store::{digest, write_whole};
use crate::testing::{Summary, Verdict};

/// What is kept of the tests of a file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Verdicts {
    /// Where the file lies.
    file: PathBuf,
    /// Its tests by name.
    tests: IndexMap<String, Kept>,
}

/// What is kept of a test.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// The verdict of its last run.
    verdict: String,
    /// The digest of what it reached when it last passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    passed: Option<String>,
    /// The digest of the file's recordings when that run ended; none where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recordings: Option<String>,
}

impl Verdicts {
    /// What is kept of the file at `path`; nothing where none of its tests ran yet.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn load(path: &Path, context: &Context) -> Result<Self, String> {
        let place = place(path, context);
        let wrong = |why: String| format!("the verdicts kept in {} cannot be read: {why}", place.display());
        match std::fs::read(&place) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(wrong(e.to_string())),
        }
    }

    /// Whether no test of the file ran yet.
    pub fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// Whether a test ran and did not pass the last time.
    pub fn failed(&self, test: &str) -> bool {
        self.tests.get(test).is_some_and(|kept| kept.verdict != Verdict::Passed.name())
    }

    /// Whether a test passed when it reached what this digest is of, with recordings of the other digest.
    pub fn passed(&self, test: &str, digest: &str, recordings: Option<&str>) -> bool {
        let same = |kept: &Kept| kept.passed.as_deref() == Some(digest) && kept.recordings.as_deref() == recordings;
        self.tests.get(test).is_some_and(same)
    }

    /// Keeps what a run came to; `names` are all tests of the file, others are forgotten.
    fn fold(&mut self, shown: &str, names: &[&str], summary: &Summary, recordings: Option<&String>) {
        self.tests.retain(|name, _| names.contains(&name.as_str()));
        for test in summary.tests.iter().filter(|test| test.record.file == shown) {
            let verdict = test.verdict();
            if verdict == Verdict::Skipped || !names.contains(&test.record.test.as_str()) {
                continue;
            }
            let kept = self.tests.entry(test.record.test.clone()).or_default();
            kept.verdict = verdict.name().to_owned();
            if verdict == Verdict::Passed {
                kept.passed = Some(test.record.digest.clone());
                kept.recordings = recordings.cloned();
            }
        }
    }
}

/// Keeps what a run came to of the file at `path`, which the summary calls `shown`.
///
/// # Errors
/// It cannot be written.
pub fn keep(path: &Path, shown: &str, names: &[&str], summary: &Summary, context: &Context) -> Result<(), String> {
    // What cannot be read is written anew.
    let mut verdicts = Verdicts::load(path, context).unwrap_or_default();
    verdicts.file = path.to_path_buf();
    verdicts.fold(shown, names, summary, recordings(path).as_ref());
    let place = place(path, context);
    let bytes = serde_json::to_vec(&verdicts).map_err(|e| e.to_string())?;
    let folder = place.parent().unwrap_or(&place);
    std::fs::create_dir_all(folder)
        .and_then(|()| write_whole(&place, &bytes))
        .map_err(|e| format!("the verdicts for --failed and --changed cannot be kept in {}: {e}", folder.display()))
}

/// The digest of the recordings of a file's tests; none where there are none.
pub fn recordings(path: &Path) -> Option<String> {
    std::fs::read(Tape::path_of(path)).ok().map(|bytes| digest(&bytes))
}

/// Where the verdicts on a file's tests are kept.
fn place(path: &Path, context: &Context) -> PathBuf {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let name = digest(real.to_string_lossy().as_bytes());
    context.cache_dir.join("tests").join(format!("{}.json", &name[..32]))
}
