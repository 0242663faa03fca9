//! One run of a case: the plan with its mocks, followed, and what its expectations come to.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use indexmap::IndexMap;

use super::clock::Clock;
use super::log::{CaseRecord, CheckRecord, Status, StepRecord};
use super::observer::Observer;
use super::prepare::Case;
use super::recordings::{Deck, Miss, Recorder, Recordings};
use super::snapshot_names::case_name;
use super::snapshots::{Folder, Snapshots};
use super::verdict::{Ended, facts, shown};
use crate::config::{Context, Origin, Setting};
use crate::diag::Diagnostic;
use crate::event::channel_unrecorded;
use crate::plan::testing::{MockAnswer, Test};
use crate::plan::{Making, ModelId, Models, Plan, build_models_so};
use crate::providers::mock::{Mock, Scripted};
use crate::providers::{ModelConfig, OptionValue, Provider, fake};
use crate::run::{Failure, Run, Traffic};
use crate::source::Sources;
use crate::value::{Finish, Value};

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

impl Surroundings<'_> {
    /// Runs a case once; `run` is the number of the run, from 1, where there are several.
    pub async fn run(&self, test: &Test, case: &Case, run: Option<u32>) -> CaseRecord {
        let variant = &test.variants[case.variant];
        let plan = &*variant.plan;
        let clock = Rc::new(Clock::default());
        let deck = self.recordings.clone().map(|all| Rc::new(Deck::new(all, run, clock.clone())));
        let observer = Observer::new(deck.clone());
        let started = Instant::now();
        let stands = stand_ins(test, case);
        let models = stands.as_ref().map_err(Clone::clone).and_then(|s| self.models(s, case, plan, &observer, run));
        let outcome = match &models {
            Ok(models) => clock.drive(self.value(plan, case, models, &observer)).await,
            Err(wrong) => Err(told(wrong)),
        };
        let seconds = started.elapsed().as_secs_f64();
        let snapshots = Snapshots::new(self.snapshots.clone(), case_name(test, case, run));
        let mut names = case.names.clone();
        for (variable, value) in plan.variables.iter().zip(&case.variables) {
            names.entry(variable.name.clone()).or_insert_with(|| value.clone());
        }
        let aside = Observer::new(deck.clone());
        let known = names.clone();
        let ask = |plan: Arc<Plan>, values: Vec<(&'static str, Value)>| -> Asking<'_> {
            let (aside, known, stands, clock) = (&aside, &known, &stands, &clock);
            Box::pin(async move {
                let case = Case { variables: variables(&plan, values, known), stdin: None, ..case.clone() };
                // A mock of the model that judges stands in for it here too.
                let models = stands.as_ref().map_err(Clone::clone);
                let models = models.and_then(|s| self.models(s, &case, &plan, aside, run));
                let models = models.map_err(|wrong| told(&wrong))?;
                clock.drive(self.value(&plan, &case, &models, aside)).await
            })
        };
        let passed = clock.now();
        let ended =
            Ended { plan, outcome, observer: &observer, names, seconds: passed, snapshots: &snapshots, ask: &ask };
        let expected = ended.is_expected(&test.expectations);
        let misses = || deck.as_deref().map(Deck::misses).unwrap_or_default();
        // What stands in for an answer that is missing says nothing of the chain.
        let decided = expected && misses().is_empty();
        let mut checks = Vec::new();
        for expectation in test.expectations.iter().filter(|_| decided) {
            checks.push(ended.check(expectation, self.sources).await);
        }
        checks.extend(misses().iter().map(|miss| self.missing(test, miss)));
        let status = match (misses().is_empty(), expected) {
            (false, _) => Status::Unrecorded,
            (true, false) => Status::Broken,
            (true, true) => decision(&checks, &snapshots),
        };
        let calls: Vec<_> = observer.calls().into_iter().chain(aside.calls()).collect();
        let counted = facts(&calls);
        let recorded = deck.as_deref().map(Deck::counts);
        CaseRecord {
            file: self.file.to_owned(),
            test: test.name.clone(),
            line: self.sources.line_column(test.span).0,
            number: case.number,
            row: case.row.clone(),
            swapped: variant.swapped.iter().map(|s| (s.name.clone(), s.with.clone())).collect(),
            run,
            status,
            seconds,
            output: ended.outcome.as_ref().ok().map(shown),
            error: ended.outcome.as_ref().err().cloned(),
            checks,
            calls: counted.calls.unwrap_or(0),
            replayed: recorded.map_or(0, |r| r.replayed),
            vectors: recorded.map_or(0, |r| r.vectors),
            called: recorded.map(|r| r.called),
            input_tokens: counted.input_tokens,
            output_tokens: counted.output_tokens,
            steps: steps(plan, &observer),
        }
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

    /// The models of a run, mocks in their places.
    fn models(
        &self,
        stands: &[StandIn],
        case: &Case,
        plan: &Plan,
        observer: &Observer,
        run: Option<u32>,
    ) -> Result<Models, Vec<Diagnostic>> {
        let mut placed: IndexMap<u32, (ModelConfig, Arc<dyn Provider>)> = IndexMap::new();
        for stand in stands {
            let models = plan.named_models.iter().find(|(name, _)| *name == stand.name).map(|(_, ids)| ids.as_slice());
            let Some(ids) = models else {
                let nodes: Vec<_> = plan.labels.iter().filter(|(n, _)| *n == stand.name).map(|(_, id)| *id).collect();
                observer.stand_in(&stand.name, &nodes, &stand.answers, stand.always);
                continue;
            };
            for (i, entry) in plan.models.iter().enumerate() {
                if ids.contains(&ModelId(i as u32)) || entry.name == stand.name {
                    let config = ModelConfig {
                        spec: &fake::SPEC,
                        name: stand.name.clone(),
                        argument: None,
                        options: IndexMap::new(),
                        base: entry.base.clone(),
                    };
                    placed.insert(i as u32, (config, stand.provider.clone()));
                }
            }
        }
        let making = Making {
            stands_in: &|id| placed.get(&id.0).cloned(),
            change: &|config| reseed(config, run),
            // What recordings answer needs no secret and no weights.
            lenient: self.recordings.is_some(),
        };
        build_models_so(plan, &case.variables, self.context, &making)
    }

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
}

/// Gives a model that has a seed another one for each run, so that runs differ where models do.
fn reseed(config: &mut ModelConfig, run: Option<u32>) {
    // The answers of `fake` are written.
    let Some(run) = run.filter(|run| *run > 1 && config.spec.name != fake::SPEC.name) else { return };
    let Some(option) = config.spec.option("seed") else { return };
    let seed = config.int("seed").unwrap_or(0).wrapping_add(i64::from(run) - 1);
    let value = OptionValue::Value(Value::Int(seed));
    config.options.insert(option.name, Setting { value, origin: Origin::Default });
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

/// What stands in for a model or a step in one run: its answers go on from call to call, a judge's among them.
struct StandIn {
    name: String,
    answers: Vec<MockAnswer>,
    always: bool,
    /// The same answers, as a model.
    provider: Arc<dyn Provider>,
}

fn stand_ins(test: &Test, case: &Case) -> Result<Vec<StandIn>, Vec<Diagnostic>> {
    let stand = |mock: &crate::plan::testing::Mock| {
        let (answers, always) = mock.value.answers(&case.names).map_err(|d| vec![*d])?;
        let provider = Mock::new(&mock.name, answers.iter().map(scripted).collect(), always);
        Ok(StandIn { name: mock.name.clone(), answers, always, provider: Arc::new(provider) })
    };
    test.mocks.iter().map(stand).collect()
}

fn scripted(answer: &MockAnswer) -> Scripted {
    match answer {
        MockAnswer::Value(value) => Scripted::Text(text(value), Finish::Stop),
        MockAnswer::Truncated(value) => Scripted::Text(text(value), Finish::Length),
        MockAnswer::Fail(why) => Scripted::Fail(why.clone()),
        MockAnswer::Delay(wait, inner) => Scripted::Delay(*wait, Box::new(scripted(inner))),
    }
}

/// A value as a model would say it: text as it is, the rest as JSON.
fn text(value: &Value) -> String {
    value.as_text().map_or_else(|| value.to_json().to_string(), std::borrow::Cow::into_owned)
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
