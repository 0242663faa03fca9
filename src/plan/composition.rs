//! What the stages that compose pipelines hold: `match`, `each`, `repeat`, `require` and maps that extend others.

use std::collections::HashSet;
use std::sync::Arc;

use super::{BlockId, Cell, EmbedderId, Evaluation, ModelId, NodeKind, Plan};
use crate::source::Span;
use crate::value::{Type, Value};

/// A map that takes over the entries of others.
#[derive(Clone, Debug)]
pub struct Extend {
    /// The maps, with their places; a later one replaces the entries of an earlier one.
    pub maps: Vec<(Cell, Span)>,
    /// The entries that are added or replaced.
    pub branches: Arc<Vec<(String, BlockId)>>,
}

/// A choice between pipelines.
#[derive(Clone, Debug)]
pub struct Match {
    /// The value that the arms are compared with; none where they are conditions.
    pub subject: Option<Cell>,
    /// The arms, in the order in which they are tried.
    pub arms: Vec<Arm>,
}

/// An arm of a [`Match`].
#[derive(Clone, Debug)]
pub struct Arm {
    /// When it is taken.
    pub test: Test,
    /// What runs then.
    pub block: BlockId,
    /// What tells it from its siblings: its value, `_`, or the number of its condition.
    pub key: String,
}

/// When an arm is taken.
#[derive(Clone, Debug)]
pub enum Test {
    /// The subject is this value.
    Is(Value),
    /// The condition is true.
    If(Arc<Evaluation>),
    /// No arm before was taken.
    Rest,
}

impl Test {
    /// Whether two values are the same for a `match`: numbers by what they count, a message by its text.
    pub fn same(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Int(a), Value::Float(b)) | (Value::Float(b), Value::Int(a)) => *a as f64 == *b,
            (Value::Message(a), Value::Text(b)) | (Value::Text(b), Value::Message(a)) => a.text == **b,
            (a, b) => a == b,
        }
    }

    /// What two literals share exactly where they are the same for a `match`.
    pub fn identity(value: &Value) -> String {
        match value {
            Value::Float(x) if x.fract() == 0.0 && x.abs() < 9.0e15 => (*x as i64).to_string(),
            value => value.to_json().to_string(),
        }
    }
}

/// What an `each` does when an item fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// No item starts any more, those in flight end, and the stage fails.
    Fail,
    /// The item is left out.
    Skip,
    /// The item's value is null.
    Null,
}

impl OnError {
    /// The words of the option, with what they mean.
    pub const WORDS: &[(&str, OnError)] = &[("fail", OnError::Fail), ("skip", OnError::Skip), ("null", OnError::Null)];

    /// The word of the option.
    pub fn name(self) -> &'static str {
        Self::WORDS.iter().find(|(_, v)| *v == self).map_or("fail", |(n, _)| n)
    }
}

/// A pipeline for every item of a list.
#[derive(Clone, Debug)]
pub struct Each {
    /// What runs for an item, which is its input.
    pub block: BlockId,
    /// Items in flight at a time; what the providers take unless told.
    pub concurrency: Option<usize>,
    /// What happens when an item fails.
    pub on_error: OnError,
    /// Whether the list is the run's result and nothing can take its place, so that items are told as they are done.
    pub live: bool,
}

/// A pipeline over and over, each round on the value of the one before.
#[derive(Clone, Debug)]
pub struct Repeat {
    /// A round.
    pub block: BlockId,
    /// Read after each round, in its frame.
    pub until: Arc<Evaluation>,
    /// Rounds at most.
    pub max: u32,
    /// The type that the value of a round must have.
    pub ty: Type,
}

/// A condition that lets its input pass.
#[derive(Clone, Debug)]
pub struct Require {
    /// The condition.
    pub condition: Arc<Evaluation>,
    /// The failure's text.
    pub why: Cell,
}

impl NodeKind {
    /// The blocks that the stage runs.
    pub fn blocks(&self) -> Vec<BlockId> {
        match self {
            NodeKind::Map(branches) => branches.iter().map(|(_, b)| *b).collect(),
            NodeKind::Extend(extend) => extend.branches.iter().map(|(_, b)| *b).collect(),
            NodeKind::Try(operands) => operands.to_vec(),
            NodeKind::Match(choice) => choice.arms.iter().map(|a| a.block).collect(),
            NodeKind::Each(each) => vec![each.block],
            NodeKind::Repeat(repeat) => vec![repeat.block],
            NodeKind::Timeout { block, .. } | NodeKind::Call { block, .. } => vec![*block],
            _ => Vec::new(),
        }
    }
}

impl Plan {
    /// The models that a block asks, over the blocks that it runs.
    pub fn models_in(&self, block: BlockId) -> HashSet<ModelId> {
        let mut out = HashSet::new();
        self.kinds_in(block, |kind| {
            if let NodeKind::Ask(ask) = kind {
                out.extend(ask.models.iter().copied());
            }
        });
        out
    }

    /// The embedders that a block uses, over the blocks that it runs.
    pub fn embedders_in(&self, block: BlockId) -> HashSet<EmbedderId> {
        let mut out = HashSet::new();
        self.kinds_in(block, |kind| match kind {
            NodeKind::Embed(embedder) => drop(out.insert(*embedder)),
            NodeKind::Retrieve(retrieve) => {
                out.extend(self.indexes.get(retrieve.index.0 as usize).map(|index| index.embedder));
            }
            _ => {}
        });
        out
    }

    fn kinds_in<'p>(&'p self, block: BlockId, mut see: impl FnMut(&'p NodeKind)) {
        let mut open = vec![block];
        while let Some(block) = open.pop() {
            for id in &self.block(block).nodes {
                let kind = &self.node(*id).kind;
                see(kind);
                open.extend(kind.blocks());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_same_where_their_identities_are() {
        let values =
            [Value::Int(3), Value::Float(3.0), Value::Float(3.5), Value::from("3"), Value::Bool(true), Value::Null];
        for a in &values {
            for b in &values {
                assert_eq!(Test::same(a, b), Test::identity(a) == Test::identity(b), "{a:?} and {b:?}");
            }
        }
    }
}
