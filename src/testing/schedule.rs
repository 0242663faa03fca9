//! In which order runs of cases begin, and how many at a time: one after the other by the models that they ask, and never
//! a run that the verdict on its case may turn out not to need.

use std::collections::{HashMap, VecDeque};

use super::log::{CaseKey, Status};
use super::prepare::{Case, Prepared};
use super::statistics::needed;
use crate::plan::OptionCell;
use crate::plan::testing::Test;
use crate::providers::OptionValue;

/// Runs at a time that ask nothing but what answers at once.
const MANY: usize = 32;

/// Runs at a time that ask models: servers have their own bounds.
const FEW: usize = 4;

/// A run of a case that is still to be made.
pub struct Job<'a> {
    /// The test.
    pub test: &'a Test,
    /// The case.
    pub case: &'a Case,
    /// The number of the run, from 1, where there are several.
    pub run: Option<u32>,
    /// The case's number, which its runs share.
    group: usize,
    /// What the models that it asks are known by.
    models: Vec<String>,
}

impl Job<'_> {
    /// What tells it from all others of the log.
    fn key(&self, file: &str) -> CaseKey {
        let swapped = &self.test.variants[self.case.variant].swapped;
        let swapped = swapped.iter().map(|s| (s.name.clone(), s.with.clone())).collect();
        (file.to_owned(), self.test.name.clone(), self.case.row.clone(), swapped, self.run)
    }
}

/// What the runs of a case came to so far.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    passed: u64,
    failed: u64,
    under_way: u64,
}

impl Group {
    fn count(&mut self, status: Status) {
        match status {
            Status::Passed => self.passed += 1,
            Status::Spared => {}
            _ => self.failed += 1,
        }
    }

    /// The fewest runs that can make the verdict certain, so that as many are needed whatever they give; 0 where it is.
    /// To have no more under way makes the same runs as one after the other would.
    fn wanted(&self, runs: u64, share: f64) -> u64 {
        let needed = needed(share, runs);
        let to_pass = needed.saturating_sub(self.passed);
        let to_fail = (runs + 1).saturating_sub(needed).saturating_sub(self.failed);
        to_pass.min(to_fail)
    }
}

/// What to do next.
pub enum Next<'a> {
    /// This run begins.
    Begin(Job<'a>),
    /// This run is not needed: the verdict on its case is certain.
    Spare(Job<'a>),
    /// Nothing, until a run ends; where none is under way, all are done.
    Wait,
}

/// The runs of the tests of a file.
pub struct Schedule<'a> {
    queue: VecDeque<Job<'a>>,
    groups: Vec<Group>,
    jobs: Option<usize>,
    under_way: usize,
    /// The models that the runs under way ask.
    models: Vec<String>,
}

impl<'a> Schedule<'a> {
    /// The runs of `tests` that are not `finished`; at most `jobs` at a time, where that is said.
    pub fn new(
        tests: &'a [Prepared<'a>],
        file: &str,
        finished: &HashMap<CaseKey, Status>,
        jobs: Option<usize>,
    ) -> Self {
        let mut queue: Vec<Job<'a>> = Vec::new();
        let mut groups: Vec<Group> = Vec::new();
        for prepared in tests.iter().filter(|p| p.test.skip.is_none()) {
            for case in &prepared.cases {
                let group = groups.len();
                groups.push(Group::default());
                let runs = prepared.test.runs.map(|(n, _)| n);
                let models = models(prepared.test, case);
                queue.extend((1..=runs.unwrap_or(1)).map(|n| {
                    let run = runs.map(|_| n);
                    Job { test: prepared.test, case, run, group, models: models.clone() }
                }));
            }
        }
        if !finished.is_empty() {
            queue.retain(|job| match finished.get(&job.key(file)) {
                Some(status) => {
                    groups[job.group].count(*status);
                    false
                }
                None => true,
            });
        }
        // A local server swaps models as rarely as can be.
        queue.sort_by(|a, b| a.models.cmp(&b.models));
        Self { queue: queue.into(), groups, jobs, under_way: 0, models: Vec::new() }
    }

    /// The models that the first run asks.
    pub fn first(&self) -> &[String] {
        self.queue.front().map(|job| job.models.as_slice()).unwrap_or_default()
    }

    /// What to do next.
    pub fn next(&mut self) -> Next<'a> {
        let ready = (0..self.queue.len()).find_map(|at| match self.state(&self.queue[at]) {
            State::Held => None,
            State::Ready => Some(Some(at)),
            // What comes behind asks other models, or there is no room for more.
            State::Later => Some(None),
        });
        let Some(job) = ready.flatten().and_then(|at| self.queue.remove(at)) else { return Next::Wait };
        if self.wanted(&job) == Some(0) {
            return Next::Spare(job);
        }
        self.under_way += 1;
        self.groups[job.group].under_way += 1;
        self.models.clone_from(&job.models);
        Next::Begin(job)
    }

    /// A run that began has ended.
    pub fn ended(&mut self, job: &Job<'_>, status: Status) {
        self.under_way -= 1;
        let group = &mut self.groups[job.group];
        group.under_way -= 1;
        group.count(status);
    }

    fn wanted(&self, job: &Job<'_>) -> Option<u64> {
        let (runs, share) = job.test.runs?;
        Some(self.groups[job.group].wanted(u64::from(runs), share))
    }

    fn state(&self, job: &Job<'_>) -> State {
        let wanted = self.wanted(job);
        if wanted == Some(0) {
            return State::Ready;
        }
        let most = self.jobs.unwrap_or(if job.models.is_empty() { MANY } else { FEW }).max(1);
        let others = !self.models.is_empty() && self.models != job.models;
        if self.under_way >= most || (self.under_way > 0 && others) {
            return State::Later;
        }
        match wanted {
            Some(wanted) if self.groups[job.group].under_way >= wanted => State::Held,
            _ => State::Ready,
        }
    }
}

/// Whether a run can begin.
enum State {
    Ready,
    /// Other runs of its case may make it needless.
    Held,
    Later,
}

/// What the models that a case asks are known by, so that cases with the same ones come one after the other.
fn models(test: &Test, case: &Case) -> Vec<String> {
    let plan = &test.variants[case.variant].plan;
    let mocked = |name: &str| test.mocks.iter().any(|m| m.name == name);
    let asked = plan.models.iter().filter(|entry| !mocked(&entry.name) && entry.spec.name != "fake");
    let mut names: Vec<String> = asked
        .map(|entry| match &entry.argument {
            Some((OptionCell::Constant(OptionValue::Value(value)), _)) => {
                format!("{}:{}", entry.spec.name, entry.spec.model_name(Some(value)).unwrap_or_default())
            }
            _ => format!("{}:{}", entry.spec.name, entry.name),
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_run_is_under_way_that_may_be_needless() {
        // As many as may be needed run beside each other, and whatever they give, no more are made than one after the other.
        for runs in 1..9_u64 {
            for needed_percent in [1, 30, 50, 80, 100] {
                let share = f64::from(needed_percent) / 100.0;
                for pattern in 0..1_u64 << runs {
                    let passes = |n: u64| pattern >> n & 1 == 1;
                    let made = |most: u64| {
                        let (mut group, mut begun) = (Group::default(), 0);
                        loop {
                            let batch = group.wanted(runs, share).min(most);
                            if batch == 0 {
                                return begun;
                            }
                            for n in begun..begun + batch {
                                group.count(if passes(n) { Status::Passed } else { Status::Failed });
                            }
                            begun += batch;
                        }
                    };
                    assert_eq!(made(1), made(u64::MAX), "{runs} runs, {needed_percent} %, {pattern:b}");
                    assert!(made(1) <= runs);
                }
            }
        }
    }
}
