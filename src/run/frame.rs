//! One execution of a block, and where its references lead.

use std::cell::RefCell;
use std::rc::Rc;

use crate::event::FrameId;
use crate::plan::{BlockId, Ref, Resolve};
use crate::value::{Tainted, Value};

/// A stage's value, with the values that were printed into it where that is known.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The value.
    pub value: Value,
    /// For the text of a template: what variables printed into it.
    pub tainted: Option<Vec<Tainted>>,
}

/// One execution of a block.
#[derive(Debug)]
pub struct Frame {
    /// Its number in the run.
    pub id: FrameId,
    /// What is executed.
    pub block: BlockId,
    /// The values of its stages so far.
    pub slots: RefCell<Vec<Option<Slot>>>,
    /// The frame that opened it.
    pub parent: Option<Rc<Frame>>,
    /// The value left of the block.
    pub input: Option<Value>,
    /// The arguments that the block was called with.
    pub arguments: Vec<Value>,
    /// The text of the failure that `??` went on from.
    pub failure: Option<String>,
}

impl Frame {
    /// A frame without values.
    pub fn new(
        id: FrameId,
        block: BlockId,
        slots: usize,
        parent: Option<Rc<Frame>>,
        input: Option<Value>,
        arguments: Vec<Value>,
        failure: Option<String>,
    ) -> Self {
        Self { id, block, slots: RefCell::new(vec![None; slots]), parent, input, arguments, failure }
    }

    /// The frame `up` steps outwards.
    fn outwards(&self, up: u32) -> Option<&Frame> {
        let mut at = self;
        for _ in 0..up {
            at = at.parent.as_deref()?;
        }
        Some(at)
    }

    /// The slot that a reference leads to.
    pub fn slot(&self, reference: &Ref) -> Option<Slot> {
        match reference {
            Ref::Slot { up, slot } => self.outwards(*up)?.slots.borrow().get(*slot as usize)?.clone(),
            _ => None,
        }
    }
}

/// A frame together with what lies outside of all frames.
pub struct Reach<'a> {
    /// The frame.
    pub frame: &'a Frame,
    /// The variables of the run.
    pub variables: &'a [Value],
    /// The text of standard input.
    pub stdin: Option<&'a Value>,
}

impl Resolve for Reach<'_> {
    fn resolve(&self, reference: &Ref) -> Option<Value> {
        match reference {
            Ref::Variable(i) => self.variables.get(*i).cloned(),
            Ref::Slot { .. } => self.frame.slot(reference).map(|s| s.value),
            Ref::Input { up } => self.frame.outwards(*up)?.input.clone(),
            Ref::Argument { up, index } => self.frame.outwards(*up)?.arguments.get(*index as usize).cloned(),
            Ref::Failure { up } => self.frame.outwards(*up)?.failure.as_deref().map(Value::from),
            Ref::Stdin => self.stdin.cloned(),
        }
    }
}
