//! The summary as JSON, and the log as JSON lines.

use indexmap::IndexMap;
use serde::Serialize;

use crate::testing::log::{CaseRecord, Entry, Status};
use crate::testing::summary::{Choice, Group, Summary, TestSummary, Verdict};

/// How many tests came to what.
#[derive(Serialize)]
pub struct Counts {
    tests: usize,
    passed: usize,
    failed: usize,
    broken: usize,
    unrecorded: usize,
    unfinished: usize,
    skipped: usize,
    /// Runs that were made.
    runs: usize,
    /// Expectations that only warn and were not met.
    warnings: usize,
    /// Calls of models.
    calls: u64,
    /// Calls that recordings answered.
    replayed: u64,
}

#[derive(Serialize)]
struct Document<'s> {
    version: &'s str,
    files: &'s [String],
    code: u8,
    seconds: f64,
    stopped: &'s Option<String>,
    notes: &'s [String],
    counts: Counts,
    tests: Vec<Test<'s>>,
}

#[derive(Serialize)]
struct Test<'s> {
    file: &'s str,
    test: &'s str,
    line: usize,
    chain: &'s str,
    tags: &'s [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    skip: Option<&'s str>,
    runs_pass: Option<f64>,
    rows_pass: Option<f64>,
    /// How many cases were selected, and how many runs of each.
    cases_selected: usize,
    runs_selected: usize,
    verdict: &'static str,
    choices: Vec<Chosen>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<Labelled>,
    cases: Vec<Case<'s>>,
}

#[derive(Serialize)]
struct Chosen {
    swapped: IndexMap<String, String>,
    rows_passed: u64,
    rows: u64,
    verdict: &'static str,
}

/// The rows of one label.
#[derive(Serialize)]
struct Labelled {
    label: String,
    met: u64,
    rows: u64,
}

/// The runs of one row under one choice.
#[derive(Serialize)]
struct Case<'s> {
    row: Option<&'s str>,
    swapped: IndexMap<&'s str, &'s str>,
    verdict: &'static str,
    passed: u64,
    made: u64,
    interval: (f64, f64),
    runs: &'s [&'s CaseRecord],
}

/// The counts of a summary.
pub fn counts(summary: &Summary) -> Counts {
    let cases = || summary.tests.iter().flat_map(|t| &t.cases);
    Counts {
        tests: summary.tests.len(),
        passed: summary.count(Verdict::Passed),
        failed: summary.count(Verdict::Failed),
        broken: summary.count(Verdict::Broken),
        unrecorded: summary.count(Verdict::Unrecorded),
        unfinished: summary.count(Verdict::Unfinished),
        skipped: summary.count(Verdict::Skipped),
        runs: cases().filter(|c| c.status != Status::Spared).count(),
        warnings: summary.tests.iter().map(TestSummary::warnings).sum(),
        calls: cases().map(|c| c.calls).sum(),
        replayed: cases().map(|c| c.replayed).sum(),
    }
}

/// The summary as one JSON value, as a person reads it.
pub fn json(summary: &Summary) -> String {
    with_document(summary, |document| serde_json::to_string_pretty(document).unwrap_or_default())
}

/// The summary as one JSON value.
pub fn value(summary: &Summary) -> serde_json::Value {
    with_document(summary, |document| serde_json::to_value(document).unwrap_or_default())
}

fn with_document<T>(summary: &Summary, of: impl FnOnce(&Document<'_>) -> T) -> T {
    let groups: Vec<_> = summary.tests.iter().map(TestSummary::groups).collect();
    let tests = summary.tests.iter().zip(&groups).map(|(test, groups)| one(test, groups));
    let document = Document {
        version: &summary.version,
        files: &summary.files,
        code: summary.code(),
        seconds: summary.seconds,
        stopped: &summary.stopped,
        notes: &summary.notes,
        counts: counts(summary),
        tests: tests.collect(),
    };
    of(&document)
}

fn one<'s>(test: &'s TestSummary, groups: &'s [Group<'s>]) -> Test<'s> {
    let record = &test.record;
    let cases = groups.iter().map(|group| Case {
        row: group.row,
        swapped: group.swapped.iter().map(|(name, with)| (name.as_str(), with.as_str())).collect(),
        verdict: group.verdict(record.runs_pass.unwrap_or(1.0)).name(),
        passed: group.passed(),
        made: group.made(),
        interval: group.interval(),
        runs: &group.runs,
    });
    Test {
        file: &record.file,
        test: &record.test,
        line: record.line,
        chain: &record.chain,
        tags: &record.tags,
        skip: record.skip.as_deref(),
        runs_pass: record.runs_pass,
        rows_pass: record.rows_pass,
        cases_selected: record.cases,
        runs_selected: record.runs,
        verdict: test.verdict().name(),
        choices: test.choices().into_iter().map(chosen).collect(),
        labels: test.labels().into_iter().map(|of| Labelled { label: of.name, met: of.met, rows: of.all }).collect(),
        cases: cases.collect(),
    }
}

fn chosen(choice: Choice) -> Chosen {
    Chosen {
        swapped: choice.swapped.into_iter().collect(),
        rows_passed: choice.passed,
        rows: choice.all,
        verdict: choice.verdict.name(),
    }
}

/// The log, one entry a line.
pub fn jsonl(entries: &[Entry]) -> String {
    entries.iter().filter_map(|entry| serde_json::to_string(entry).ok()).map(|line| line + "\n").collect()
}
