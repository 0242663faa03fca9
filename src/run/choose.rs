//! `match`, `require`, and maps that extend others.

use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;

use super::frame::{Frame, Slot};
use super::stages::Placed;
use super::{Failure, Run};
use crate::diag::{Code, Diagnostic};
use crate::plan::{Evaluation, Extend, Match, Node, Require, Resolve, Test, evaluate};
use crate::value::Value;

impl<'a> Run<'a> {
    /// The value of the first arm that fits.
    pub(super) async fn choose(
        &self,
        frame: &Rc<Frame>,
        node: &Node,
        choice: &Match,
        place: Placed<'_>,
    ) -> Result<Value, Failure> {
        let subject = match &choice.subject {
            Some(cell) => Some(evaluate(cell, &self.reach(frame))?),
            None => None,
        };
        for arm in &choice.arms {
            let taken = match &arm.test {
                Test::Rest => true,
                Test::Is(value) => subject.as_ref().is_some_and(|s| Test::same(s, value)),
                Test::If(condition) => holds(condition, &self.reach(frame))?,
            };
            if taken {
                let input = self.handed_on(frame, node);
                let inner = self.open(Some(frame), arm.block, &arm.key, input, Vec::new(), None).await?;
                return self.block(inner, place).await;
            }
        }
        let what = subject.map(|s| s.show(60)).unwrap_or_default();
        let message = format!("no arm of the `match` fits {what}");
        Err(Failure::Failed(Box::new(Diagnostic::error(Code::E401, node.span, message))))
    }

    /// What is on the left, if the condition holds.
    pub(super) fn require(&self, frame: &Rc<Frame>, node: &Node, require: &Require) -> Result<Slot, Failure> {
        if holds(&require.condition, &self.reach(frame))? {
            return Ok(self.left(frame, node));
        }
        let why = evaluate(&require.why, &self.reach(frame))?;
        let why = why.as_text().map_or_else(|| why.show(200), |t| t.into_owned());
        let label = format!("`{}` is false", require.condition.text.text.trim());
        Err(Failure::Failed(Box::new(Diagnostic::error(Code::E411, node.span, why).label(label))))
    }

    /// The entries of other maps with those of this one added or in their place.
    pub(super) async fn extend(
        &self,
        frame: &Rc<Frame>,
        node: &Node,
        extend: &Extend,
        place: Placed<'_>,
    ) -> Result<Value, Failure> {
        let mut out: IndexMap<String, Value> = IndexMap::new();
        for (cell, span) in &extend.maps {
            match evaluate(cell, &self.reach(frame))? {
                Value::Map(map) => out.extend(map.iter().map(|(k, v)| (k.clone(), v.clone()))),
                other => {
                    let message = format!("only a map can be spread, found {} ({})", other.kind(), other.show(60));
                    return Err(Failure::Failed(Box::new(Diagnostic::error(Code::E211, *span, message))));
                }
            }
        }
        if let Value::Map(added) = self.map(frame, node, &extend.branches, place).await? {
            out.extend(added.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        Ok(Value::Map(Arc::new(out)))
    }
}

/// Whether a condition is true. Anything but true and false is an error: `"false"` would count as true else.
pub(super) fn holds(condition: &Evaluation, resolve: &dyn Resolve) -> Result<bool, Failure> {
    match condition.eval(resolve)? {
        Value::Bool(b) => Ok(b),
        other => {
            let message = format!("a condition is true or false, found {} ({})", other.kind(), other.show(60));
            let diagnostic = Diagnostic::error(Code::E408, condition.text.span, message);
            Err(Failure::Failed(Box::new(diagnostic.help("compare it, as in `{{ input != \"\" }}`"))))
        }
    }
}
