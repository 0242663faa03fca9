//! Whether the expectations of a test hold of a run.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use indexmap::IndexMap;

use super::cost::Costs;
use super::log::CheckRecord;
use super::observer::{Call, Observer, Seen};
use super::snapshots::Snapshots;
use crate::assertions::{self, Arguments, Facts, Outcome, Subject, Undecided};
use crate::diag::Diagnostic;
use crate::plan::Plan;
use crate::plan::testing::{Claim, ClaimKind, Expectation, Limit, Part, Step, TestValue};
use crate::run::fill;
use crate::source::Sources;
use crate::value::{Type, Value};

/// A run that ended, as expectations look at it.
pub struct Ended<'a> {
    /// Its plan.
    pub plan: &'a Plan,
    /// Its value, or why it failed.
    pub outcome: Result<Value, String>,
    /// What was seen of it.
    pub observer: &'a Observer,
    /// The names that expressions read: the row and the variables.
    pub names: IndexMap<String, Value>,
    /// Wall time, recorded calls at the time that they took.
    pub seconds: f64,
    /// Where accepted values are.
    pub snapshots: &'a Snapshots,
    /// What asks judges and embedders.
    pub ask: AskPlan<'a>,
    /// What its calls cost.
    pub costs: Costs<'a>,
}

/// What one look at a subject says.
pub(super) type Verdict = Result<Outcome, Undecided>;

/// A verdict that may have to ask for.
type Judging<'r> = Pin<Box<dyn Future<Output = Verdict> + 'r>>;

/// What runs a plan that a claim asks, with the values of its chain's parameters.
pub type AskPlan<'r> =
    &'r dyn Fn(Arc<Plan>, Vec<(&'static str, Value)>) -> Pin<Box<dyn Future<Output = Result<Value, String>> + 'r>>;

impl Ended<'_> {
    /// Whether a failed run is what the test expects: one of its expectations speaks of it.
    pub fn is_expected(&self, expectations: &[Expectation]) -> bool {
        self.outcome.is_ok() || expectations.iter().any(|e| !e.warn && e.at.is_none() && speaks_of_failure(&e.claim))
    }

    /// What becomes of an expectation.
    pub async fn check(&self, expectation: &Expectation, sources: &Sources) -> CheckRecord {
        let verdict = self.expectation(expectation).await;
        let (line, column) = sources.line_column(expectation.span);
        let text = sources.slice(expectation.span).split_whitespace().collect::<Vec<_>>().join(" ");
        let record = CheckRecord {
            line,
            column,
            text,
            pass: false,
            warn: expectation.warn,
            expected: String::new(),
            actual: String::new(),
            why: String::new(),
            score: None,
            comparable: false,
        };
        match verdict {
            Ok(of) => CheckRecord {
                pass: of.pass,
                expected: of.expected,
                actual: of.actual,
                why: of.why,
                score: of.score,
                comparable: of.comparable,
                ..record
            },
            Err(undecided) => {
                let help = undecided.help.map(|h| format!(" ({h})")).unwrap_or_default();
                CheckRecord { why: format!("{}{help}", undecided.message), ..record }
            }
        }
    }

    async fn expectation(&self, expectation: &Expectation) -> Verdict {
        let Some(step) = &expectation.at else {
            let seen = Seen { input: None, outcome: self.outcome.clone() };
            return self.claim(&expectation.claim, &Look { seen: &seen, step: None, facts: self.facts() }).await;
        };
        let facts = self.facts_of(step);
        let seen = self.observer.step(self.plan, step);
        if seen.is_empty() {
            if self.plan.chain == step.name {
                let seen = Seen { input: None, outcome: self.outcome.clone() };
                return self.claim(&expectation.claim, &Look { seen: &seen, step: Some(step), facts }).await;
            }
            if is_count(&expectation.claim) {
                let seen = Seen { input: None, outcome: Ok(Value::from("")) };
                return self.claim(&expectation.claim, &Look { seen: &seen, step: Some(step), facts }).await;
            }
            return Err(Undecided::new(format!("the run never came to `{}`", step.name)));
        }
        // It must hold each time that the step ran.
        let mut last = Err(Undecided::new("nothing was looked at"));
        let count = seen.len();
        for (i, seen) in seen.iter().enumerate() {
            last = self.claim(&expectation.claim, &Look { seen, step: Some(step), facts: facts.clone() }).await;
            match &mut last {
                Ok(outcome) if outcome.pass => {}
                Ok(outcome) if count > 1 => {
                    outcome.why = format!("time {} of {count}: {}", i + 1, outcome.why);
                    return last;
                }
                _ => return last,
            }
        }
        last
    }

    fn claim<'r>(&'r self, claim: &'r Claim, look: &'r Look<'r>) -> Judging<'r> {
        Box::pin(async move {
            let outcome = match &claim.kind {
                ClaimKind::Fails(inner) => self.fails(inner.as_deref(), look).await?,
                ClaimKind::Expression(of) => self.expression(of, look)?,
                ClaimKind::Group(least, claims) => self.group(*least, claims, look).await?,
                ClaimKind::Snapshot => self.snapshot(look)?,
                ClaimKind::Judge(ask) => self.judge(ask, look).await?,
                ClaimKind::Similar(ask) => self.similar(ask, look).await?,
                ClaimKind::Check { spec, value, ty, bound, built } => match built {
                    Some(check) => self.look(spec, check.as_ref(), value.as_ref(), look)?,
                    None => {
                        let arguments = self.arguments(value.as_ref(), ty.as_ref(), bound.as_ref())?;
                        let check = assertions::build(spec, &arguments)
                            .map_err(|e| Undecided { message: e.message, help: e.help })?;
                        self.look(spec, check.as_ref(), value.as_ref(), look)?
                    }
                },
            };
            let mut outcome = if claim.negated { outcome.negated() } else { outcome };
            let replayed = self.observer.deck().is_some_and(|deck| deck.counts().replayed > 0);
            if replayed && matches!(&claim.kind, ClaimKind::Check { spec, .. } if spec.name == "latency") {
                outcome.why.push_str("; what was replayed counts with its recorded time");
            }
            Ok(outcome)
        })
    }

    async fn fails(&self, inner: Option<&Claim>, look: &Look<'_>) -> Verdict {
        let plain = |pass: bool, actual: &str, why: String| Outcome {
            pass,
            score: None,
            expected: "fails".to_owned(),
            actual: actual.to_owned(),
            why,
            comparable: false,
        };
        match (&look.seen.outcome, inner) {
            (Ok(value), _) => {
                let shown = shown(value);
                Ok(plain(false, &shown, format!("{} did not fail", look.subject())))
            }
            (Err(error), None) => Ok(plain(true, error, format!("{} failed", look.subject()))),
            (Err(error), Some(inner)) => {
                let seen = Seen { input: None, outcome: Ok(Value::from(error.as_str())) };
                self.claim(inner, &Look { seen: &seen, step: None, facts: Facts::default() }).await
            }
        }
    }

    fn expression(&self, of: &(crate::template::Expression, crate::syntax::ast::ExprLit), look: &Look<'_>) -> Verdict {
        let mut names = self.names.clone();
        match &look.seen.outcome {
            Ok(value) => drop(names.insert("output".to_owned(), value.clone())),
            Err(error) => drop(names.insert("error".to_owned(), Value::from(error.as_str()))),
        }
        if let Some(input) = &look.seen.input {
            names.insert("input".to_owned(), input.clone());
        }
        if let Some(step) = look.step
            && let Some((calls, retries)) = self.observer.calls_of(self.plan, &step.name)
        {
            names.insert("calls".to_owned(), Value::Int(calls.len() as i64));
            names.insert("retries".to_owned(), Value::Int(retries as i64));
        }
        let value = crate::plan::testing::evaluated(of, &names).map_err(|d| undecided(&d))?;
        let expected = format!("{{{{{}}}}}", of.1.text);
        match value {
            Value::Bool(pass) => Ok(Outcome {
                pass,
                score: None,
                expected,
                actual: look.seen.outcome.as_ref().map_or_else(Clone::clone, shown),
                why: format!("the expression is {pass}"),
                comparable: false,
            }),
            other => Err(Undecided::new(format!("the expression is neither true nor false, but {}", other.show(60)))
                .help("compare it with something, as in `{{ output | length > 0 }}`")),
        }
    }

    async fn group(&self, least: usize, claims: &[Claim], look: &Look<'_>) -> Verdict {
        let mut held = 0;
        let mut missed: Vec<String> = Vec::new();
        let mut actual = String::new();
        for claim in claims {
            let outcome = self.claim(claim, look).await?;
            if outcome.pass {
                held += 1;
            } else {
                missed.push(outcome.why.clone());
            }
            actual = outcome.actual;
        }
        let count = claims.len();
        let mut why = format!("{held} of {count} hold, and {least} must");
        if held < least {
            why = format!("{why}: {}", missed.join("; "));
        }
        let pass = held >= least;
        #[allow(clippy::cast_precision_loss, reason = "a group has a handful of claims")]
        let score = Some(held as f64 / count.max(1) as f64);
        Ok(Outcome { pass, score, expected: format!("{least} of {count}"), actual, why, comparable: false })
    }

    fn snapshot(&self, look: &Look<'_>) -> Verdict {
        let value = look.value()?;
        self.snapshots.compare(look.step, &value)
    }

    fn look(
        &self,
        spec: &assertions::AssertionSpec,
        check: &dyn assertions::Check,
        value: Option<&TestValue>,
        look: &Look<'_>,
    ) -> Verdict {
        let seen = match look.value() {
            Ok(value) => value,
            // How long a failed run took, and what it called, is known all the same.
            Err(_) if is_fact(spec.name) => Value::from(""),
            Err(undecided) => return Err(undecided),
        };
        if let Some(text) = text_of(&seen) {
            return check.check(&Subject { text: &text, facts: &look.facts });
        }
        if is_fact(spec.name) {
            return check.check(&Subject { text: "", facts: &look.facts });
        }
        if spec.name == "equals"
            && let Some(wanted) = value
        {
            let wanted = wanted.value(&self.names).map_err(|d| undecided(&d))?;
            return Ok(equal(&wanted, &seen));
        }
        Err(Undecided::new(format!("{} is {} {}, not text", look.subject(), seen.kind(), seen.show(60)))
            .help(format!("`{}` looks at text: use `{{{{ … }}}}` or `equals`", spec.name)))
    }

    pub(super) fn arguments(
        &self,
        value: Option<&TestValue>,
        ty: Option<&Type>,
        bound: Option<&Limit>,
    ) -> Result<Arguments, Undecided> {
        let made = |of: &TestValue| of.value(&self.names).map_err(|d| undecided(&d));
        let value = value.map(made).transpose()?;
        let bound = match bound {
            Some(limit) => match made(&limit.number)? {
                Value::Float(n) => Some((limit.operator, n)),
                #[allow(clippy::cast_precision_loss, reason = "a bound is a small number")]
                Value::Int(n) => Some((limit.operator, n as f64)),
                Value::Text(text) if text.trim().parse::<f64>().is_ok() => {
                    text.trim().parse().ok().map(|n| (limit.operator, n))
                }
                other => return Err(Undecided::new(format!("the bound is {}, not a number", other.show(60)))),
            },
            None => None,
        };
        Ok(Arguments { value, ty: ty.cloned(), bound })
    }

    fn facts(&self) -> Facts {
        let calls = self.observer.calls();
        Facts { seconds: Some(self.seconds), cost: Some(self.costs.of(&calls)), ..facts(&calls) }
    }

    fn facts_of(&self, step: &Step) -> Facts {
        match self.observer.calls_of(self.plan, &step.name) {
            Some((calls, _)) => {
                let seconds = calls.iter().filter_map(|c| c.outcome.as_ref().ok().map(|a| a.seconds)).sum();
                Facts { seconds: Some(seconds), cost: Some(self.costs.of(&calls)), ..facts(&calls) }
            }
            None if self.plan.chain == step.name => self.facts(),
            None => Facts::default(),
        }
    }
}

/// What is known of calls together. A count that one of them did not tell is unknown.
pub fn facts(calls: &[Call]) -> Facts {
    let answers = || calls.iter().filter_map(|call| call.outcome.as_ref().ok());
    let sum = |of: fn(&crate::value::Usage) -> Option<u64>| {
        answers().map(|a| of(&a.usage)).try_fold(0u64, |all, n| Some(all + n?))
    };
    Facts {
        seconds: None,
        input_tokens: sum(|u| u.input),
        output_tokens: sum(|u| u.output),
        cost: None,
        calls: Some(calls.len() as u64),
        finish: answers().next_back().map(|a| a.finish.name().to_owned()),
    }
}

/// What a claim looks at.
pub(super) struct Look<'a> {
    seen: &'a Seen,
    step: Option<&'a Step>,
    facts: Facts,
}

impl Look<'_> {
    pub(super) fn subject(&self) -> Cow<'static, str> {
        match self.step {
            Some(step) => format!("`{}`", step.name).into(),
            None => "the run".into(),
        }
    }

    pub(super) fn value(&self) -> Result<Value, Undecided> {
        if let Some(Step { part: Part::Input | Part::Prompt, name }) = self.step {
            return self
                .seen
                .input
                .clone()
                .ok_or_else(|| Undecided::new(format!("nothing stands on the left of `{name}`")));
        }
        self.seen.outcome.clone().map_err(|error| {
            Undecided::new(format!("{} failed, so there is nothing to look at: {error}", self.subject()))
        })
    }
}

/// Whether a claim, or one within it, speaks of a failure.
fn speaks_of_failure(claim: &Claim) -> bool {
    match &claim.kind {
        ClaimKind::Fails(_) => true,
        ClaimKind::Group(_, claims) => claims.iter().any(speaks_of_failure),
        _ => false,
    }
}

/// Whether a claim counts calls: it can be decided of a step that never ran.
fn is_count(claim: &Claim) -> bool {
    matches!(&claim.kind, ClaimKind::Check { spec, .. } if spec.name == "calls")
}

/// Whether an assertion looks at the run, not at its text.
fn is_fact(name: &str) -> bool {
    matches!(name, "latency" | "cost" | "calls" | "finish") || name.starts_with("tokens.")
}

/// A value as the text that assertions look at; none where it is no text.
pub fn text_of(value: &Value) -> Option<String> {
    fill(value)
}

/// A value as a person reads it.
pub fn shown(value: &Value) -> String {
    text_of(value).unwrap_or_else(|| pretty(value))
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(&value.to_json()).unwrap_or_else(|_| value.show(2000))
}

fn equal(wanted: &Value, seen: &Value) -> Outcome {
    let pass = wanted.to_json() == seen.to_json();
    Outcome {
        pass,
        score: None,
        expected: pretty(wanted),
        actual: pretty(seen),
        why: if pass { "the values are equal" } else { "the values differ" }.to_owned(),
        comparable: true,
    }
}

fn undecided(diagnostic: &Diagnostic) -> Undecided {
    Undecided { message: diagnostic.message.clone(), help: diagnostic.help.first().cloned() }
}
