//! Runs cases, several at a time, and writes what they come to into the log.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::case::Surroundings;
use super::log::{CaseKey, CaseRecord, Entry, Status, TestRecord};
use super::prepare::Prepared;
use super::schedule::{Job, Next, Schedule};

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

    /// What the models of the first case are known by: files with the same ones come one after the other.
    pub fn models(&self, tests: &[Prepared<'_>]) -> Vec<String> {
        Schedule::new(tests, self.surroundings.file, self.finished, None).first().to_vec()
    }

    /// Runs the cases; each that ends is told. Gives why it stopped before all were done.
    pub async fn run(
        &self,
        tests: &[Prepared<'_>],
        done: &dyn Fn(&CaseRecord) -> bool,
        tell: &dyn Fn(Entry),
    ) -> Option<String> {
        let mut schedule = Schedule::new(tests, self.surroundings.file, self.finished, self.options.jobs);
        let mut running = FuturesUnordered::new();
        let mut stopped = None;
        loop {
            while stopped.is_none() {
                match schedule.next() {
                    Next::Spare(job) => tell(self.spared(&job)),
                    Next::Begin(job) => match self.spent.over(&self.options.budget) {
                        Some(why) => stopped = Some(why),
                        None => running.push(async move {
                            let record = self.surroundings.run(job.test, job.case, job.run).await;
                            (job, record)
                        }),
                    },
                    Next::Wait => break,
                }
            }
            let Some((job, record)) = running.next().await else { return stopped };
            schedule.ended(&job, record.status);
            self.spent.add(&record);
            if done(&record) && self.options.fail_fast {
                stopped.get_or_insert_with(|| "a case did not pass (--fail-fast)".to_owned());
            }
            tell(Entry::Case(Box::new(record)));
        }
    }

    /// The record of a run that cannot change the verdict any more.
    fn spared(&self, job: &Job<'_>) -> Entry {
        Entry::Case(Box::new(self.surroundings.record(job.test, job.case, job.run)))
    }
}
