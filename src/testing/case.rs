//! One run of a case: the plan with its mocks, followed, and what its expectations come to.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use indexmap::IndexMap;

use super::clock::Clock;
use super::cost::Costs;
use super::log::{CaseRecord, CheckRecord, Status, StepRecord};
use super::observer::Observer;
use super::prepare::Case;
use super::recordings::{Deck, Miss, Recorder, Recordings};
use super::snapshot_names::case_name;
use super::snapshots::{Folder, Snapshots};
use super::stand_ins::{StandIn, models, stand_ins};
use super::verdict::{Ended, facts, shown};
use crate::config::{Context, Prices};
use crate::diag::Diagnostic;
use crate::event::channel_unrecorded;
use crate::plan::testing::Test;
use crate::plan::{Models, Plan};
use crate::run::{Failure, Run, Traffic};
use crate::source::Sources;
use crate::value::Value;

/// What a case runs in.
pub struct Surroundings<'a> {
    /// The file as given.
    pub file: &'a str,
    /// The texts.
    pub sources: &'a Sources,
    /// Environment and folders.
    pub context: &'a Arc<Context>,
    /// The file's snapshots.
    pub snapshots: &'a Folder,
    /// The file's recordings; none where every call is made and none recorded.
    pub recordings: Option<Rc<Recordings>>,
    /// The bounds of the servers, which all cases of all files keep to together.
    pub traffic: &'a Traffic,
    /// What models cost.
    pub prices: &'a Prices,
}

/// The longest text of a step in a record, in characters.
const STEP: usize = 4_000;

/// A plan that a claim asks, running.
type Asking<'r> = Pin<Box<dyn Future<Output = Result<Value, String>> + 'r>>;

/// The values of the variables of a plan that a claim asks: those of its chain's parameters, which stand behind the file's
/// variables, and those of the case for what its models read.
fn variables(plan: &Plan, values: Vec<(&'static str, Value)>, known: &IndexMap<String, Value>) -> Vec<Value> {
    let value =
        |v: &crate::plan::Variable| known.get(&v.name).cloned().or_else(|| v.default.clone()).unwrap_or(Value::Null);
    let mut all: Vec<Value> = plan.variables.iter().map(value).collect();
    for (name, value) in values {
        if let Some(at) = plan.variables.iter().rposition(|v| v.name == name) {
            all[at] = value;
        }
    }
    all
}

/// What one run of a case came to, before it is judged.
struct Ran<'s> {
    test: &'s Test,
    case: &'s Case,
    run: Option<u32>,
    stands: Result<Vec<StandIn>, Vec<Diagnostic>>,
    clock: Rc<Clock>,
    deck: Option<Rc<Deck>>,
    /// What the run did.
    observer: Observer,
    /// What was asked to judge it.
    aside: Observer,
    models: Result<Models, Vec<Diagnostic>>,
    outcome: Result<Value, String>,
    /// Wall time.
    seconds: f64,
}

impl Ran<'_> {
    fn misses(&self) -> Vec<Miss> {
        self.deck.as_deref().map(Deck::misses).unwrap_or_default()
    }

    /// The names that expectations read: the row and the variables.
    fn names(&self, plan: &Plan) -> IndexMap<String, Value> {
        let mut names = self.case.names.clone();
        for (variable, value) in plan.variables.iter().zip(&self.case.variables) {
            names.entry(variable.name.clone()).or_insert_with(|| value.clone());
        }
        names
    }
}

impl Surroundings<'_> {
    /// The value of a plan.
    async fn value(&self, plan: &Plan, case: &Case, models: &Models, observer: &Observer) -> Result<Value, String> {
        let (sender, mut reader) = channel_unrecorded();
        let run = Run::new(plan, &case.variables, models, case.stdin.clone(), sender).watched(observer);
        let replays = self.recordings.as_ref().is_some_and(|r| r.mode() == Recorder::Replay);
        // What recordings answer asks no server, and waits for nobody.
        let run = if replays { run } else { run.sharing(self.traffic) };
        let running = async move {
            let out = run.value(|span| self.sources.place(span)).await;
            drop(run);
            out
        };
        let reading = async move { while reader.recv().await.is_some() {} };
        let (outcome, ()) = tokio::join!(running, reading);
        outcome.map_err(|failure| match failure {
            Failure::Stopped => "the run was stopped".to_owned(),
            Failure::Failed(diagnostic) => message(&diagnostic, self.sources),
        })
    }

    /// Runs a case once; `run` is the number of the run, from 1, where there are several.
    pub async fn run(&self, test: &Test, case: &Case, run: Option<u32>) -> CaseRecord {
        let plan = &*test.variants[case.variant].plan;
        let ran = self.ran(test, case, run).await;
        let snapshots = Snapshots::new(self.snapshots.clone(), case_name(test, case, run));
        let (checks, expected) = self.checks(&ran, plan, &snapshots).await;
        let status = match (ran.misses().is_empty(), expected) {
            (false, _) => Status::Unrecorded,
            (true, false) => Status::Broken,
            (true, true) => decision(&checks, &snapshots),
        };
        let calls: Vec<_> = ran.observer.calls().into_iter().chain(ran.aside.calls()).collect();
        let counted = facts(&calls);
        let recorded = ran.deck.as_deref().map(Deck::counts);
        CaseRecord {
            status,
            seconds: ran.seconds,
            output: ran.outcome.as_ref().ok().map(shown),
            error: ran.outcome.as_ref().err().cloned(),
            checks,
            calls: counted.calls.unwrap_or(0),
            replayed: recorded.map_or(0, |r| r.replayed),
            vectors: recorded.map_or(0, |r| r.vectors),
            called: recorded.map(|r| r.called),
            input_tokens: counted.input_tokens,
            output_tokens: counted.output_tokens,
            steps: steps(plan, &ran.observer),
            ..self.record(test, case, run)
        }
    }

    /// The record of a run that says which it is, and nothing of what it did.
    pub fn record(&self, test: &Test, case: &Case, run: Option<u32>) -> CaseRecord {
        let swapped = &test.variants[case.variant].swapped;
        CaseRecord {
            file: self.file.to_owned(),
            test: test.name.clone(),
            line: self.sources.line_column(test.span).0,
            number: case.number,
            row: case.row.clone(),
            swapped: swapped.iter().map(|s| (s.name.clone(), s.with.clone())).collect(),
            run,
            status: Status::Spared,
            seconds: 0.0,
            output: None,
            error: None,
            checks: Vec::new(),
            calls: 0,
            replayed: 0,
            vectors: 0,
            called: None,
            input_tokens: None,
            output_tokens: None,
            steps: Vec::new(),
        }
    }

    /// Follows the run to its end.
    async fn ran<'s>(&self, test: &'s Test, case: &'s Case, run: Option<u32>) -> Ran<'s> {
        let plan = &*test.variants[case.variant].plan;
        let clock = Rc::new(Clock::default());
        let deck = self.recordings.clone().map(|all| Rc::new(Deck::new(all, run, clock.clone())));
        let (observer, aside) = (Observer::new(deck.clone()), Observer::new(deck.clone()));
        let started = Instant::now();
        let stands = stand_ins(test, case);
        let models = self.models(&stands, plan, case, &observer, run);
        let outcome = match &models {
            Ok(models) => clock.drive(self.value(plan, case, models, &observer)).await,
            Err(wrong) => Err(told(wrong)),
        };
        let seconds = started.elapsed().as_secs_f64();
        Ran { test, case, run, stands, clock, deck, observer, aside, models, outcome, seconds }
    }

    /// What becomes of the expectations, and whether the run ended as they want it: where it did not, none is looked at.
    async fn checks(&self, ran: &Ran<'_>, plan: &Plan, snapshots: &Snapshots) -> (Vec<CheckRecord>, bool) {
        let names = ran.names(plan);
        let ask = |plan: Arc<Plan>, values: Vec<(&'static str, Value)>| -> Asking<'_> {
            let names = &names;
            Box::pin(async move {
                let case = Case { variables: variables(&plan, values, names), stdin: None, ..ran.case.clone() };
                // A mock of the model that judges stands in for it here too.
                let models = self.models(&ran.stands, &plan, &case, &ran.aside, ran.run);
                let models = models.map_err(|wrong| told(&wrong))?;
                ran.clock.drive(self.value(&plan, &case, &models, &ran.aside)).await
            })
        };
        let models = ran.models.as_ref().map(|models| models.configs.as_slice()).unwrap_or_default();
        let ended = Ended {
            plan,
            outcome: ran.outcome.clone(),
            observer: &ran.observer,
            names: names.clone(),
            seconds: ran.clock.now(),
            snapshots,
            ask: &ask,
            costs: Costs { prices: self.prices, models },
        };
        let expected = ended.is_expected(&ran.test.expectations);
        // What stands in for an answer that is missing says nothing of the chain.
        let decided = expected && ran.misses().is_empty();
        let mut checks = Vec::new();
        for expectation in ran.test.expectations.iter().filter(|_| decided) {
            checks.push(ended.check(expectation, self.sources).await);
        }
        checks.extend(ran.misses().iter().map(|miss| self.missing(ran.test, miss)));
        (checks, expected)
    }

    fn models(
        &self,
        stands: &Result<Vec<StandIn>, Vec<Diagnostic>>,
        plan: &Plan,
        case: &Case,
        observer: &Observer,
        run: Option<u32>,
    ) -> Result<Models, Vec<Diagnostic>> {
        let stands = stands.as_ref().map_err(Clone::clone)?;
        // What recordings answer needs no secret and no weights.
        models(stands, plan, case, observer, run, self.context, self.recordings.is_some())
    }

    /// A call that is not recorded, as an expectation that is not met.
    fn missing(&self, test: &Test, miss: &Miss) -> CheckRecord {
        let (line, column) = self.sources.line_column(test.span);
        CheckRecord {
            line,
            column,
            text: self.sources.slice(test.span).to_owned(),
            pass: false,
            warn: false,
            expected: miss.nearest.clone(),
            actual: miss.asked.clone(),
            why: miss.why.clone(),
            score: None,
            comparable: true,
        }
    }
}

/// How a case ended whose run was as expected.
fn decision(checks: &[CheckRecord], snapshots: &Snapshots) -> Status {
    let mut missed = checks.iter().filter(|c| !c.pass && !c.warn).peekable();
    if missed.peek().is_none() {
        Status::Passed
    } else if snapshots.pending.get() && missed.all(|c| c.why.starts_with("no snapshot")) {
        Status::Unrecorded
    } else {
        Status::Failed
    }
}

/// A diagnostic as a line, with its place.
fn message(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let place = diagnostic.span.map(|span| format!(" ({})", sources.place(span))).unwrap_or_default();
    format!("{}{place}", diagnostic.message)
}

fn told(wrong: &[Diagnostic]) -> String {
    wrong.iter().map(|d| d.message.clone()).collect::<Vec<_>>().join("; ")
}

/// The steps of a run that have a name, and its calls of models, in the order in which they ended.
fn steps(plan: &Plan, observer: &Observer) -> Vec<StepRecord> {
    let mut all: Vec<StepRecord> = Vec::new();
    for (node, seen) in observer.stages() {
        let Some((name, _)) = plan.labels.iter().find(|(_, id)| *id == node) else { continue };
        let (text, failed) = match &seen.outcome {
            Ok(value) => (shown(value), false),
            Err(why) => (why.clone(), true),
        };
        all.push(StepRecord { name: name.clone(), text: cut(text), failed, prompt: None, seconds: None });
    }
    for call in observer.calls() {
        let name = plan.models[call.model.0 as usize].name.clone();
        let (text, failed, seconds) = match call.outcome {
            Ok(answer) => (answer.text, false, Some(answer.seconds)),
            Err(why) => (why, true, None),
        };
        all.push(StepRecord { name, text: cut(text), failed, prompt: Some(cut(call.prompt)), seconds });
    }
    all
}

fn cut(text: String) -> String {
    match text.char_indices().nth(STEP) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
