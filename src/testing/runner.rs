//! Runs cases, several at a time, and writes what they come to into the log.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream;

use super::case::Surroundings;
use super::log::{CaseKey, CaseRecord, Entry, Status, TestRecord};
use super::prepare::{Case, Prepared};
use super::recordings::Recorder;
use super::statistics::{Certain, certain};
use crate::plan::testing::Test;

/// How tests run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Cases that run at a time; as many as their models take where nothing is said.
    pub jobs: Option<usize>,
    /// Whether the first case that does not pass ends the tests.
    pub fail_fast: bool,
    /// What may be spent.
    pub budget: Budget,
}

/// What the tests may spend.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// Tokens of prompts and answers.
    pub tokens: Option<u64>,
    /// Calls of models.
    pub calls: Option<u64>,
    /// Wall time in seconds.
    pub seconds: Option<f64>,
}

/// What was spent.
#[derive(Debug)]
pub struct Spent {
    tokens: Cell<u64>,
    calls: Cell<u64>,
    since: Instant,
}

impl Default for Spent {
    fn default() -> Self {
        Self { tokens: Cell::new(0), calls: Cell::new(0), since: Instant::now() }
    }
}

impl Spent {
    fn add(&self, record: &CaseRecord) {
        // What recordings answered was spent before.
        self.calls.set(self.calls.get() + record.calls.saturating_sub(record.replayed));
        let tokens = match record.calls > record.replayed {
            true => record.input_tokens.unwrap_or(0) + record.output_tokens.unwrap_or(0),
            false => 0,
        };
        self.tokens.set(self.tokens.get() + tokens);
    }

    /// What of the budget is used up.
    fn over(&self, budget: &Budget) -> Option<String> {
        if let Some(most) = budget.tokens.filter(|most| self.tokens.get() >= *most) {
            return Some(format!("the budget of {most} tokens is spent"));
        }
        if let Some(most) = budget.calls.filter(|most| self.calls.get() >= *most) {
            return Some(format!("the budget of {most} calls is spent"));
        }
        let seconds = budget.seconds.filter(|most| self.since.elapsed().as_secs_f64() >= *most)?;
        Some(format!("the budget of {seconds} s is spent"))
    }
}

/// Runs the tests of one file.
pub struct Runner<'a> {
    /// What its cases run in.
    pub surroundings: Surroundings<'a>,
    /// How they run.
    pub options: &'a Options,
    /// What was spent, by all files.
    pub spent: &'a Spent,
    /// Cases that an earlier run finished: they are not run again.
    pub finished: &'a HashMap<CaseKey, Status>,
}

/// A run of a case that is still to be made.
struct Job<'a> {
    test: &'a Test,
    case: &'a Case,
    run: Option<u32>,
    /// The case's number, which its runs share.
    group: usize,
}

impl Runner<'_> {
    /// The log's entry of a test; `digest` is that of everything that it reaches.
    pub fn test_record(&self, prepared: &Prepared<'_>, digest: String) -> TestRecord {
        let test = prepared.test;
        TestRecord {
            file: self.surroundings.file.to_owned(),
            test: test.name.clone(),
            line: self.surroundings.sources.line_column(test.span).0,
            chain: test.chain.clone(),
            tags: test.tags.clone(),
            skip: test.skip.clone(),
            cases: prepared.cases.len(),
            runs: test.runs.map_or(1, |(n, _)| n as usize),
            digest,
            runs_pass: test.runs.map(|(_, share)| share),
            rows_pass: test.rows_pass,
        }
    }

    /// Runs the cases; each that ends is told. Gives why it stopped before all were done.
    pub async fn run(
        &self,
        tests: &[Prepared<'_>],
        done: &dyn Fn(&CaseRecord) -> bool,
        tell: &dyn Fn(Entry),
    ) -> Option<String> {
        let mut jobs: Vec<Job<'_>> = Vec::new();
        let mut groups: Vec<RefCell<(u64, u64)>> = Vec::new();
        for prepared in tests.iter().filter(|p| p.test.skip.is_none()) {
            for case in &prepared.cases {
                let group = groups.len();
                groups.push(RefCell::new((0, 0)));
                let runs = prepared.test.runs.map(|(n, _)| n);
                jobs.extend((1..=runs.unwrap_or(1)).map(|n| Job {
                    test: prepared.test,
                    case,
                    run: runs.map(|_| n),
                    group,
                }));
            }
        }
        if !self.finished.is_empty() {
            jobs.retain(|job| match self.finished.get(&self.key(job)) {
                Some(status) => {
                    count(&groups[job.group], *status);
                    false
                }
                None => true,
            });
        }
        // A local server swaps models as rarely as can be.
        jobs.sort_by_key(|job| models(job));
        // Recorded answers keep nobody waiting, and one run after the other needs no run that was not recorded: where the
        // verdict on some runs is certain, the others were never made.
        let replays = self.surroundings.recordings.as_ref().is_some_and(|r| r.mode() == Recorder::Replay);
        let in_turn = replays && jobs.iter().any(|job| job.run.is_some());
        let usual = || if in_turn { 1 } else { jobs.iter().map(most).min().unwrap_or(1) };
        let at_once = self.options.jobs.unwrap_or_else(usual).max(1);
        let stopped: RefCell<Option<String>> = RefCell::new(None);
        let (stopped_ref, groups_ref) = (&stopped, &groups);
        stream::iter(jobs)
            .map(|job| async move {
                if stopped_ref.borrow().is_some() {
                    return;
                }
                if let Some(why) = self.spent.over(&self.options.budget) {
                    stopped_ref.borrow_mut().get_or_insert(why);
                    return;
                }
                let record = self.one(&job, groups_ref).await;
                if done(&record) && self.options.fail_fast {
                    stopped_ref.borrow_mut().get_or_insert_with(|| "a case did not pass (--fail-fast)".to_owned());
                }
                tell(Entry::Case(Box::new(record)));
            })
            .buffer_unordered(at_once)
            .collect::<()>()
            .await;
        stopped.into_inner()
    }

    async fn one(&self, job: &Job<'_>, groups: &[RefCell<(u64, u64)>]) -> CaseRecord {
        let group = &groups[job.group];
        if let Some((runs, share)) = job.test.runs {
            let (passed, failed) = *group.borrow();
            if certain(share, u64::from(runs), passed, failed) != Certain::Open {
                return self.surroundings.record(job.test, job.case, job.run);
            }
        }
        let record = self.surroundings.run(job.test, job.case, job.run).await;
        self.spent.add(&record);
        count(group, record.status);
        record
    }

    /// What tells a job's case from all others of the log.
    fn key(&self, job: &Job<'_>) -> CaseKey {
        let swapped = &job.test.variants[job.case.variant].swapped;
        let swapped = swapped.iter().map(|s| (s.name.clone(), s.with.clone())).collect();
        (self.surroundings.file.to_owned(), job.test.name.clone(), job.case.row.clone(), swapped, job.run)
    }
}

/// Counts a run that ended among those of its case: passed, and not passed.
fn count(group: &RefCell<(u64, u64)>, status: Status) {
    let mut counts = group.borrow_mut();
    match status {
        Status::Passed => counts.0 += 1,
        Status::Spared => {}
        _ => counts.1 += 1,
    }
}

/// What the models of a job are known by, so that jobs with the same ones come one after the other.
fn models(job: &Job<'_>) -> Vec<String> {
    let plan = &job.test.variants[job.case.variant].plan;
    let mocked = |name: &str| job.test.mocks.iter().any(|m| m.name == name);
    let asked = plan.models.iter().filter(|entry| !mocked(&entry.name) && entry.spec.name != "fake");
    asked.map(|entry| format!("{}:{}", entry.spec.name, entry.name)).collect()
}

/// How many cases like this one can run at a time: servers have their own bounds.
fn most(job: &Job<'_>) -> usize {
    if models(job).is_empty() { 32 } else { 4 }
}
