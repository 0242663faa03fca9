//! The run log: JSON lines, one for each case that ended.

use serde::{Deserialize, Serialize};

/// A line of the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// The tests began.
    Began {
        /// Version of chainrun.
        version: String,
        /// The files as given.
        files: Vec<String>,
        /// How many cases were selected; runs count.
        cases: usize,
        /// Warnings of what was selected.
        notes: Vec<String>,
    },
    /// A test that is selected, with what its cases must come to.
    Test(TestRecord),
    /// A case ended.
    Case(Box<CaseRecord>),
    /// The tests ended.
    Ended {
        /// Wall time in seconds.
        seconds: f64,
        /// Why they ended before all cases were done.
        #[serde(skip_serializing_if = "Option::is_none")]
        stopped: Option<String>,
        /// The exit code.
        code: u8,
    },
}

/// A test that is selected.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TestRecord {
    /// The file as given.
    pub file: String,
    /// Its name.
    pub test: String,
    /// The line of its name.
    pub line: usize,
    /// The chain that it runs.
    pub chain: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Why it is skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip: Option<String>,
    /// How many cases it has.
    pub cases: usize,
    /// How many runs each case has.
    #[serde(default = "one")]
    pub runs: usize,
    /// The digest of everything that it reaches: chains, libraries, data. Another one is another test.
    #[serde(default)]
    pub digest: String,
    /// The share of runs of a case that must pass, where cases run more than once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs_pass: Option<f64>,
    /// The share of rows that must pass, where not all must.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_pass: Option<f64>,
}

fn one() -> usize {
    1
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Every expectation held.
    Passed,
    /// An expectation did not hold.
    Failed,
    /// The run itself failed, and nothing expected that.
    Broken,
    /// A recording is missing, or a snapshot was not accepted.
    Unrecorded,
    /// It was not needed any more: the verdict on its runs was certain.
    Spared,
}

/// A case that ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseRecord {
    /// The file as given.
    pub file: String,
    /// The test's name.
    pub test: String,
    /// The line of the test's name.
    pub line: usize,
    /// The case's place among those of its test, from 0; its runs share it.
    #[serde(default)]
    pub number: usize,
    /// What tells its row from the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    /// What was put in the place of what: name and choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub swapped: Vec<(String, String)>,
    /// Which run of the case it is, from 1, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<u32>,
    /// How it ended.
    pub status: Status,
    /// Wall time in seconds.
    pub seconds: f64,
    /// The result as text; lists and maps as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Why the run failed, as a person reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The expectations.
    pub checks: Vec<CheckRecord>,
    /// Calls of models.
    pub calls: u64,
    /// How many of these calls were answered from recordings.
    #[serde(default)]
    pub replayed: u64,
    /// How many texts have their vectors from recordings.
    #[serde(default)]
    pub vectors: u64,
    /// How many calls of models and texts of embedders were really made; none where nothing is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<u64>,
    /// Tokens of prompts, where every call told them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens of answers, where every call told them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// The steps, as a person follows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepRecord>,
}

/// What tells a case from all others of a log: file, test, row, choice of the swaps, run.
pub type CaseKey = (String, String, Option<String>, Vec<(String, String)>, Option<u32>);

impl CaseRecord {
    /// What tells it from all others of its log.
    pub fn key(&self) -> CaseKey {
        (self.file.clone(), self.test.clone(), self.row.clone(), self.swapped.clone(), self.run)
    }
}

/// A step of a case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its name.
    pub name: String,
    /// What it gave, or why it failed.
    pub text: String,
    /// Whether it failed.
    #[serde(default)]
    pub failed: bool,
    /// What was asked, where it is a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Wall time in seconds, where it is a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// An expectation of a case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckRecord {
    /// The line where it stands.
    pub line: usize,
    /// The column where it stands.
    pub column: usize,
    /// As it is written.
    pub text: String,
    /// Whether it holds.
    pub pass: bool,
    /// Whether it only warns.
    #[serde(default)]
    pub warn: bool,
    /// What was asked for.
    pub expected: String,
    /// What was seen.
    pub actual: String,
    /// What decided.
    pub why: String,
    /// How near it was, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Whether `expected` and `actual` can be compared line by line.
    #[serde(default)]
    pub comparable: bool,
}

/// A log that was read.
#[derive(Debug)]
pub struct ReadLog {
    /// Its entries.
    pub entries: Vec<Entry>,
    /// How many bytes its whole lines take: what stands behind was cut by a kill.
    pub whole: usize,
}

/// Reads a log. A last line without its end was cut by a killed process, and is left out.
///
/// # Errors
/// The first line that is no entry, with its number.
pub fn read(text: &str) -> Result<ReadLog, String> {
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    let mut entries = Vec::new();
    for (i, line) in text[..whole].lines().enumerate() {
        let entry = serde_json::from_str(line).map_err(|e| format!("line {} is no entry of a run log: {e}", i + 1))?;
        entries.push(entry);
    }
    match entries.first() {
        Some(Entry::Began { .. }) => Ok(ReadLog { entries, whole }),
        Some(_) => Err("its first line does not begin tests".to_owned()),
        None => Err("it holds no whole line".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGAN: &str = r#"{"entry":"began","version":"0","files":["a.chain"],"cases":2,"notes":[]}"#;

    #[test]
    fn a_torn_line_is_left_out() {
        let read_log = read(&format!("{BEGAN}\n{{\"entry\":\"ca")).unwrap();
        assert_eq!((read_log.entries.len(), read_log.whole), (1, BEGAN.len() + 1));
        // A whole line without its end is torn too: nobody knows whether more was to come.
        assert_eq!(read(&format!("{BEGAN}\n{BEGAN}")).unwrap().entries.len(), 1);
    }

    #[test]
    fn what_is_no_log_is_refused() {
        assert_eq!(read("").unwrap_err(), "it holds no whole line");
        assert!(read("{}\n").unwrap_err().starts_with("line 1 is no entry"));
        assert!(read(&format!("{BEGAN}\nx\n")).unwrap_err().starts_with("line 2 is no entry"));
        let ended = r#"{"entry":"ended","seconds":1.0,"code":0}"#;
        assert_eq!(read(&format!("{ended}\n")).unwrap_err(), "its first line does not begin tests");
    }
}
