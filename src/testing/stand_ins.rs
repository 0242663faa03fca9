//! What stands in for models and steps in a run, and the models of the run with these in their places.

use std::sync::Arc;

use indexmap::IndexMap;

use super::observer::Observer;
use super::prepare::Case;
use crate::config::{Context, Origin, Setting};
use crate::diag::Diagnostic;
use crate::plan::testing::{Mock as Mocked, MockAnswer, Test};
use crate::plan::{Making, ModelId, Models, Plan, build_models_so};
use crate::providers::mock::{Mock, Scripted};
use crate::providers::{ModelConfig, OptionValue, Provider, fake};
use crate::value::{Finish, Value};

/// What stands in for a model or a step in one run: its answers go on from call to call, a judge's among them.
pub(super) struct StandIn {
    name: String,
    answers: Vec<MockAnswer>,
    always: bool,
    /// The same answers, as a model.
    provider: Arc<dyn Provider>,
}

/// The stand-ins of one run.
///
/// # Errors
/// An answer that cannot be made of the case's values.
pub(super) fn stand_ins(test: &Test, case: &Case) -> Result<Vec<StandIn>, Vec<Diagnostic>> {
    let stand = |mock: &Mocked| {
        let (answers, always) = mock.value.answers(&case.names).map_err(|d| vec![*d])?;
        let provider = Mock::new(&mock.name, answers.iter().map(scripted).collect(), always);
        Ok(StandIn { name: mock.name.clone(), answers, always, provider: Arc::new(provider) })
    };
    test.mocks.iter().map(stand).collect()
}

/// The models of a run, stand-ins in their places. Where `lenient`, one that lacks a secret or weights fails when it is
/// called.
///
/// # Errors
/// A model that cannot be made.
pub(super) fn models(
    stands: &[StandIn],
    plan: &Plan,
    case: &Case,
    observer: &Observer,
    run: Option<u32>,
    context: &Arc<Context>,
    lenient: bool,
) -> Result<Models, Vec<Diagnostic>> {
    let mut placed: IndexMap<u32, (ModelConfig, Arc<dyn Provider>)> = IndexMap::new();
    for stand in stands {
        let named = plan.named_models.iter().find(|(name, _)| *name == stand.name).map(|(_, ids)| ids.as_slice());
        let Some(ids) = named else {
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
    let making = Making { stands_in: &|id| placed.get(&id.0).cloned(), change: &|config| reseed(config, run), lenient };
    build_models_so(plan, &case.variables, context, &making)
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
