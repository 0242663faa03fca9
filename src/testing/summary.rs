//! What the log comes to: the verdict on every test, and the exit code.

use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};

use indexmap::IndexMap;

use super::log::{CaseKey, CaseRecord, Entry, Status, TestRecord};
use super::statistics::{Certain, certain, needed, wilson};

/// What the reason of a stop begins with where a budget is spent.
const BUDGET: &str = "the budget";

/// Why there is no end to a log.
const CUT: &str = "the log ends before the tests did: it tells of the cases that were done";

/// The log, folded.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Version of chainrun that wrote the log.
    pub version: String,
    /// Every test, in order.
    pub tests: Vec<TestSummary>,
    /// The files as given.
    pub files: Vec<String>,
    /// How many runs were selected.
    pub cases: usize,
    /// Warnings of what was selected.
    pub notes: Vec<String>,
    /// Wall time in seconds.
    pub seconds: f64,
    /// Why the tests ended before all cases were done.
    pub stopped: Option<String>,
}

/// A test, folded.
#[derive(Clone, Debug)]
pub struct TestSummary {
    /// The test.
    pub record: TestRecord,
    /// Its runs that ended.
    pub cases: Vec<CaseRecord>,
}

/// The verdict on a group of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Enough passed.
    Passed,
    /// It was skipped.
    Skipped,
    /// Not all were run.
    Unfinished,
    /// Too few passed.
    Failed,
    /// A recording is missing or a snapshot was not accepted.
    Unrecorded,
    /// A run failed that nothing expected to.
    Broken,
}

/// The runs of one row under one choice of the swaps.
#[derive(Clone, Debug)]
pub struct Group<'s> {
    /// The row.
    pub row: Option<&'s str>,
    /// The choice of the swaps.
    pub swapped: &'s [(String, String)],
    /// The runs that ended.
    pub runs: Vec<&'s CaseRecord>,
    /// How many runs it is to have.
    pub all: u64,
}

/// What one choice of the swaps came to.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The choice.
    pub swapped: Vec<(String, String)>,
    /// Its rows that passed.
    pub passed: u64,
    /// All its rows.
    pub all: u64,
    /// The verdict on them.
    pub verdict: Verdict,
}

impl Verdict {
    /// Its name, as reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Skipped => "skipped",
            Verdict::Unfinished => "unfinished",
            Verdict::Failed => "failed",
            Verdict::Unrecorded => "unrecorded",
            Verdict::Broken => "broken",
        }
    }
}

/// A log as far as it was read.
#[derive(Default)]
struct Fold {
    summary: Summary,
    tests: HashMap<(String, String), usize>,
    cases: HashMap<CaseKey, usize>,
    /// Whether tests began that did not end yet.
    open: bool,
}

impl Fold {
    fn add(&mut self, entry: Entry) {
        let summary = &mut self.summary;
        match entry {
            Entry::Began { version, files, cases, notes } => {
                let new: Vec<String> = files.into_iter().filter(|file| !summary.files.contains(file)).collect();
                summary.files.extend(new);
                let new: Vec<String> = notes.into_iter().filter(|note| !summary.notes.contains(note)).collect();
                summary.notes.extend(new);
                summary.version = version;
                summary.cases += cases;
                summary.stopped = None;
                self.open = true;
            }
            Entry::Test(record) => {
                let key = (record.file.clone(), record.test.clone());
                match self.tests.get(&key) {
                    Some(at) => summary.tests[*at].record = record,
                    None => {
                        self.tests.insert(key, summary.tests.len());
                        summary.tests.push(TestSummary { record, cases: Vec::new() });
                    }
                }
            }
            Entry::Case(case) => {
                let Some(at) = self.tests.get(&(case.file.clone(), case.test.clone())) else { return };
                let cases = &mut summary.tests[*at].cases;
                match self.cases.entry(case.key()) {
                    Occupied(at) => cases[*at.get()] = *case,
                    Vacant(free) => {
                        free.insert(cases.len());
                        cases.push(*case);
                    }
                }
            }
            Entry::Ended { seconds, stopped, .. } => {
                summary.seconds += seconds;
                summary.stopped = stopped;
                self.open = false;
            }
        }
    }
}

impl Group<'_> {
    /// Runs that passed.
    pub fn passed(&self) -> u64 {
        self.runs.iter().filter(|r| r.status == Status::Passed).count() as u64
    }

    /// Runs that were made.
    pub fn made(&self) -> u64 {
        self.runs.iter().filter(|r| r.status != Status::Spared).count() as u64
    }

    /// The verdict, where `share` of the runs must pass.
    pub fn verdict(&self, share: f64) -> Verdict {
        let failed = self.made() - self.passed();
        match certain(share, self.all, self.passed(), failed) {
            Certain::Reached => return Verdict::Passed,
            Certain::Open if (self.runs.len() as u64) < self.all => return Verdict::Unfinished,
            _ => {}
        }
        let any = |status| self.runs.iter().any(|r| r.status == status);
        if any(Status::Broken) {
            Verdict::Broken
        } else if any(Status::Unrecorded) {
            Verdict::Unrecorded
        } else {
            Verdict::Failed
        }
    }

    /// The interval in which the share of passes lies at a confidence of 95 %.
    pub fn interval(&self) -> (f64, f64) {
        wilson(self.passed(), self.made())
    }
}

impl TestSummary {
    /// The runs by row and choice, in the order in which they were first met.
    pub fn groups(&self) -> Vec<Group<'_>> {
        type Key<'k> = (&'k [(String, String)], Option<&'k str>);
        let mut groups: IndexMap<Key<'_>, Vec<&CaseRecord>> = IndexMap::new();
        for case in &self.cases {
            groups.entry((&case.swapped, case.row.as_deref())).or_default().push(case);
        }
        let all = self.record.runs as u64;
        groups.into_iter().map(|((swapped, row), runs)| Group { row, swapped, runs, all }).collect()
    }

    /// The choices of the swaps, and what each came to.
    pub fn choices(&self) -> Vec<Choice> {
        let share = self.record.runs_pass.unwrap_or(1.0);
        let mut choices: IndexMap<Vec<(String, String)>, Vec<Verdict>> = IndexMap::new();
        for group in self.groups() {
            choices.entry(group.swapped.to_vec()).or_default().push(group.verdict(share));
        }
        let folded = choices.into_iter().map(|(choice, verdicts)| {
            let all = verdicts.len() as u64;
            let passed = verdicts.iter().filter(|v| **v == Verdict::Passed).count() as u64;
            let enough = passed >= needed(self.record.rows_pass.unwrap_or(1.0), all);
            let worst = verdicts.iter().copied().max().unwrap_or(Verdict::Unfinished);
            let verdict = if enough { Verdict::Passed } else { worst };
            Choice { swapped: choice, passed, all, verdict }
        });
        folded.collect()
    }

    /// The verdict on the test: that on the worst choice of its swaps.
    pub fn verdict(&self) -> Verdict {
        if self.record.skip.is_some() {
            return Verdict::Skipped;
        }
        let worst = self.choices().into_iter().map(|choice| choice.verdict).max();
        match worst {
            Some(Verdict::Passed) if self.groups().len() < self.record.cases => Verdict::Unfinished,
            Some(verdict) => verdict,
            None => Verdict::Unfinished,
        }
    }

    /// Expectations that only warn and were not met.
    pub fn warnings(&self) -> usize {
        self.cases.iter().flat_map(|c| &c.checks).filter(|c| c.warn && !c.pass).count()
    }
}

impl Summary {
    /// A log, folded. Where a case stands in it twice, the later line counts: tests that were resumed run some anew. A log
    /// whose last tests have no end was cut.
    pub fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut fold = Fold::default();
        for entry in entries {
            fold.add(entry);
        }
        let mut summary = fold.summary;
        if fold.open {
            summary.stopped = Some(CUT.to_owned());
        }
        summary.sort();
        summary
    }

    /// Several logs, folded: parts of the same tests, as `--shard` makes them.
    pub fn of_all(logs: impl IntoIterator<Item = Vec<Entry>>) -> Self {
        let mut fold = Fold::default();
        let mut stopped = Vec::new();
        for log in logs {
            for entry in log {
                fold.add(entry);
            }
            stopped.extend(fold.open.then(|| CUT.to_owned()));
            stopped.extend(fold.summary.stopped.take());
            fold.open = false;
        }
        let mut summary = fold.summary;
        // What spent its budget says so first: it is what the exit code looks for.
        stopped.sort_by_key(|why| !why.starts_with(BUDGET));
        stopped.dedup();
        summary.stopped = (!stopped.is_empty()).then(|| stopped.join("; "));
        summary.sort();
        summary
    }

    /// Cases end in any order; a report has them in that of the files.
    fn sort(&mut self) {
        for test in &mut self.tests {
            test.cases.sort_by_key(|case| (case.number, case.run));
        }
        let files = &self.files;
        let place = |file: &str| files.iter().position(|f| f == file);
        self.tests.sort_by_key(|test| (place(&test.record.file), test.record.line));
    }

    /// How many tests have a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.tests.iter().filter(|t| t.verdict() == verdict).count()
    }

    /// The exit code: 0 all passed, 1 an assertion failed, 3 a run failed, 5 a recording missing or a snapshot pending,
    /// 6 a budget spent. Of several, the first of 3, 6, 5, 1.
    pub fn code(&self) -> u8 {
        let budget = self.stopped.as_deref().is_some_and(|why| why.starts_with(BUDGET));
        let any = |verdict| self.tests.iter().any(|t| t.verdict() == verdict);
        if any(Verdict::Broken) {
            3
        } else if budget {
            6
        } else if any(Verdict::Unrecorded) {
            5
        } else if any(Verdict::Failed) || any(Verdict::Unfinished) {
            1
        } else {
            0
        }
    }
}
