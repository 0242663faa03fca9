//! What a case's run did: values of its stages, calls of its models, and what stood in for them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::recordings::Deck;
use crate::event::NodeId;
use crate::plan::testing::{MockAnswer, Step};
use crate::plan::{ModelId, Plan};
use crate::providers::BoxFuture;
use crate::recording::Recorded;
use crate::run::{Playback, Recordable, Ticket, Watch, fill};
use crate::value::{Answer, Request, RequestInput, Value};

/// A stage that ended.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What stood on its left.
    pub input: Option<Value>,
    /// What it gave, or why it failed.
    pub outcome: Result<Value, String>,
}

/// A call of a model.
#[derive(Clone, Debug)]
pub struct Call {
    /// The model.
    pub model: ModelId,
    /// What was asked, as `fill` gives it.
    pub prompt: String,
    /// The answer, or why it failed.
    pub outcome: Result<Answer, String>,
}

/// Follows one run.
#[derive(Default)]
pub struct Observer {
    stages: RefCell<Vec<(NodeId, Seen)>>,
    calls: RefCell<Vec<Call>>,
    retries: RefCell<Vec<ModelId>>,
    mocks: RefCell<HashMap<NodeId, Stand>>,
    deck: Option<Rc<Deck>>,
}

/// What stands in for a stage.
struct Stand {
    name: String,
    answers: Vec<MockAnswer>,
    always: bool,
    next: usize,
}

impl Observer {
    /// Follows a run whose calls recordings may answer.
    pub fn new(deck: Option<Rc<Deck>>) -> Self {
        Self { deck, ..Self::default() }
    }

    /// The recordings that answer its calls, where any do.
    pub fn deck(&self) -> Option<&Deck> {
        self.deck.as_deref()
    }

    /// Has `answers` stand in for `nodes`; all of them take from the same.
    pub fn stand_in(&self, name: &str, nodes: &[NodeId], answers: &[MockAnswer], always: bool) {
        for node in nodes {
            let stand = Stand { name: name.to_owned(), answers: answers.to_vec(), always, next: 0 };
            self.mocks.borrow_mut().insert(*node, stand);
        }
    }

    /// Calls of models so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.borrow().clone()
    }

    /// The stages that ended, with their nodes, in the order in which they ended.
    pub fn stages(&self) -> Vec<(NodeId, Seen)> {
        self.stages.borrow().clone()
    }

    /// The models that a name stands for; none where it is no model's.
    fn models<'p>(plan: &'p Plan, name: &'p str) -> Option<impl Fn(ModelId) -> bool + use<'p>> {
        let ids = plan.named_models.iter().find(|(n, _)| n == name).map(|(_, ids)| ids.as_slice())?;
        // A model that is called with options of its own keeps its name.
        Some(move |id: ModelId| ids.contains(&id) || plan.models[id.0 as usize].name == name)
    }

    /// The calls of the models that a step's name stands for; none where it is no model.
    pub fn calls_of(&self, plan: &Plan, name: &str) -> Option<(Vec<Call>, usize)> {
        let is = Self::models(plan, name)?;
        let calls = self.calls.borrow().iter().filter(|c| is(c.model)).cloned().collect();
        Some((calls, self.retries.borrow().iter().filter(|m| is(**m)).count()))
    }

    /// What was seen of a step, once for each time it ran.
    pub fn step(&self, plan: &Plan, step: &Step) -> Vec<Seen> {
        if let Some((calls, _)) = self.calls_of(plan, &step.name) {
            return calls.iter().map(asked).collect();
        }
        let nodes: Vec<NodeId> = plan.labels.iter().filter(|(n, _)| *n == step.name).map(|(_, id)| *id).collect();
        self.stages.borrow().iter().filter(|(id, _)| nodes.contains(id)).map(|(_, seen)| seen.clone()).collect()
    }
}

/// A call as a step: what was asked stands on its left.
fn asked(call: &Call) -> Seen {
    let outcome = call.outcome.as_ref().map(|answer| Value::from(answer.text.as_str())).map_err(Clone::clone);
    Seen { input: Some(Value::from(call.prompt.as_str())), outcome }
}

/// A request as text.
pub fn prompt_of(request: &Request) -> String {
    match &request.input {
        RequestInput::Messages(messages) => {
            fill(&Value::Prompt(std::sync::Arc::new(messages.clone()))).unwrap_or_default()
        }
        RequestInput::Raw(segments) => segments.iter().map(|s| s.text.as_str()).collect(),
    }
}

impl Watch for Observer {
    fn stand_in(&self, node: NodeId) -> Option<MockAnswer> {
        let mut mocks = self.mocks.borrow_mut();
        let stand = mocks.get_mut(&node)?;
        let at = if stand.always { 0 } else { stand.next };
        stand.next += 1;
        Some(stand.answers.get(at).cloned().unwrap_or_else(|| {
            MockAnswer::Fail(format!(
                "the mock of `{}` has {} answers, and this is time {}",
                stand.name,
                stand.answers.len(),
                at + 1
            ))
        }))
    }

    fn gave(&self, node: NodeId, input: Option<&Value>, value: &Value) {
        let seen = Seen { input: input.cloned(), outcome: Ok(value.clone()) };
        self.stages.borrow_mut().push((node, seen));
    }

    fn failed(&self, node: NodeId, input: Option<&Value>, why: &str) {
        let seen = Seen { input: input.cloned(), outcome: Err(why.to_owned()) };
        self.stages.borrow_mut().push((node, seen));
    }

    fn asked(&self, model: ModelId, request: &Request, outcome: Result<&Answer, &str>) {
        let outcome = outcome.cloned().map_err(str::to_owned);
        self.calls.borrow_mut().push(Call { model, prompt: prompt_of(request), outcome });
    }

    fn again(&self, model: ModelId) {
        self.retries.borrow_mut().push(model);
    }

    fn records(&self) -> bool {
        self.deck.is_some()
    }

    fn recorded(&self, call: Recordable) -> BoxFuture<'_, Playback> {
        match &self.deck {
            Some(deck) => deck.recorded(call),
            None => Box::pin(async { Playback::Unasked }),
        }
    }

    fn record(&self, ticket: &Ticket, answer: Recorded, seconds: f64) {
        if let Some(deck) = &self.deck {
            deck.record(ticket, answer, seconds);
        }
    }
}
