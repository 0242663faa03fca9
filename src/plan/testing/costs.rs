//! `cost` needs a price for each model that it speaks of, which is known before anything runs.

use super::claims::{Claim, ClaimKind, Expectation};
use super::mocks::Mock;
use super::variants::Variant;
use crate::assertions::COST;
use crate::config::Prices;
use crate::diag::{Code, Diagnostic};
use crate::plan::cell::OptionCell;
use crate::plan::{ModelEntry, ModelId, Plan};
use crate::providers::OptionValue;
use crate::source::Span;

/// What the claims of a test on its cost cannot be decided for: models without a price, or mocked.
pub(super) fn unpriced(
    expectations: &[Expectation],
    variants: &[Variant],
    mocks: &[Mock],
    prices: &Prices,
) -> Vec<Diagnostic> {
    let mut wrong = Vec::new();
    for expectation in expectations {
        let Some(span) = place(&expectation.claim) else { continue };
        let step = expectation.at.as_ref().map(|step| step.name.as_str());
        for plan in variants.iter().map(|variant| &*variant.plan) {
            let asked = models(plan, step.filter(|step| *step != plan.chain));
            wrong.extend(asked.into_iter().find_map(|entry| without(plan, entry, mocks, prices, span)));
            if step.is_none_or(|step| step == plan.chain) {
                wrong.extend(plan.embedders.iter().find_map(|entry| embeds(entry, prices, span)));
            }
        }
    }
    wrong
}

/// Where a claim, or one within it, speaks of a cost.
fn place(claim: &Claim) -> Option<Span> {
    match &claim.kind {
        ClaimKind::Check { spec, .. } if spec.name == COST.name => Some(claim.span),
        ClaimKind::Group(_, claims) => claims.iter().find_map(place),
        _ => None,
    }
}

/// The models that a run asks, or those of them that a step's name stands for.
fn models<'p>(plan: &'p Plan, step: Option<&str>) -> Vec<&'p ModelEntry> {
    let mut asked: Vec<ModelId> = plan.asks().flat_map(|(_, ask)| ask.models.iter().copied()).collect();
    asked.sort_unstable_by_key(|id| id.0);
    asked.dedup();
    asked.retain(|id| step.is_none_or(|name| is(plan, *id, name)));
    asked.into_iter().map(|id| &plan.models[id.0 as usize]).collect()
}

/// Whether a name stands for a model.
fn is(plan: &Plan, id: ModelId, name: &str) -> bool {
    let named = plan.named_models.iter().find(|(n, _)| n == name).is_some_and(|(_, ids)| ids.contains(&id));
    named || plan.models[id.0 as usize].name == name
}

fn without(plan: &Plan, entry: &ModelEntry, mocks: &[Mock], prices: &Prices, span: Span) -> Option<Diagnostic> {
    let id = plan.models.iter().position(|model| std::ptr::eq(model, entry)).map(|at| ModelId(at as u32))?;
    if let Some(mock) = mocks.iter().find(|mock| is(plan, id, &mock.name)) {
        let message = format!("`{}` is mocked, and an answer that the test gives costs nothing", mock.name);
        let diagnostic = Diagnostic::error(Code::E306, span, message).also(mock.span, "mocked here");
        return Some(diagnostic.help("take the mock out, so that a call of the model is recorded"));
    }
    let model = match &entry.argument {
        Some((OptionCell::Constant(OptionValue::Value(value)), _)) => entry.spec.model_name(Some(value)),
        None => None,
        // Which model it is, is known when the case runs.
        Some(_) => return None,
    };
    if prices.of(entry.spec.name, model.as_deref()).is_some() {
        return None;
    }
    let message = format!("`{}` has no price, so nobody knows what the run costs", entry.name);
    let diagnostic = Diagnostic::error(Code::E306, span, message).also(entry.span, "this model");
    Some(diagnostic.help(prices.missing(entry.spec.name, model.as_deref())))
}

/// Nothing tells how many tokens an embedder read: only one that costs nothing has a known cost.
fn embeds(entry: &ModelEntry, prices: &Prices, span: Span) -> Option<Diagnostic> {
    let model = match &entry.argument {
        Some((OptionCell::Constant(OptionValue::Value(value)), _)) => entry.spec.model_name(Some(value)),
        _ => None,
    };
    if prices.of(entry.spec.name, model.as_deref()).is_some_and(|price| price.input == 0.0) {
        return None;
    }
    let message = format!("the run asks the embedder `{}`, whose tokens nobody counts", entry.name);
    let diagnostic = Diagnostic::error(Code::E306, span, message).also(entry.span, "this embedder");
    Some(diagnostic.help("`cost` of a model alone: `expect at MODEL cost < …`"))
}
