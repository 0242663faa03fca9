//! `repeat` and `timeout`.

use std::rc::Rc;

use super::choose::holds;
use super::frame::Frame;
use super::stages::{Placed, accept};
use super::{Failure, Run};
use crate::diag::{Code, Diagnostic};
use crate::event::{EventKind, NodeId};
use crate::plan::{BlockId, Node, Repeat};
use crate::value::{Duration, Value};

impl<'a> Run<'a> {
    /// Rounds until the condition holds, or so many as there may be: then the last value goes on and a notice says so.
    pub(super) async fn repeat(
        &self,
        frame: &Rc<Frame>,
        id: NodeId,
        node: &Node,
        repeat: &Repeat,
        place: Placed<'_>,
    ) -> Result<Value, Failure> {
        let mut value = self.left(frame, node).value;
        for round in 1..=repeat.max {
            let key = round.to_string();
            let inner = self.open(Some(frame), repeat.block, &key, Some(value), Vec::new(), None).await?;
            let gave = self.block(inner.clone(), place).await?;
            value = accept(&repeat.ty, gave, node.span, &format!("the value of round {round}"))?;
            if holds(&repeat.until, &self.reach(&inner))? {
                return Ok(value);
            }
        }
        let rounds = if repeat.max == 1 { "1 round".to_owned() } else { format!("{} rounds", repeat.max) };
        let until = repeat.until.text.text.trim();
        let text = format!("`repeat` at {} ended after {rounds}: `{until}` is still false", place(node.span));
        self.tell(frame, id, EventKind::Notice { text }).await?;
        Ok(value)
    }

    /// The value of a block, if it comes in time. Dropping its future stops what is in flight.
    pub(super) async fn within(
        &self,
        frame: &Rc<Frame>,
        node: &Node,
        block: BlockId,
        limit: Duration,
        place: Placed<'_>,
    ) -> Result<Value, Failure> {
        let input = self.handed_on(frame, node);
        let inner = self.open(Some(frame), block, "", input, Vec::new(), None).await?;
        match tokio::time::timeout(limit, self.block(inner, place)).await {
            Ok(out) => out,
            Err(_) => {
                let message = format!("no result within {limit:?}");
                Err(Failure::Failed(Box::new(Diagnostic::error(Code::E412, node.span, message))))
            }
        }
    }
}
