//! `each`: a pipeline for every item of a list, several at a time.

use std::collections::BTreeSet;
use std::rc::Rc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use indexmap::IndexMap;

use super::frame::Frame;
use super::stages::{Placed, wrong_input};
use super::{Failure, Run};
use crate::diag::Diagnostic;
use crate::event::{EventKind, FrameId, NodeId};
use crate::plan::{BlockId, Each, Models, Node, OnError, Plan};
use crate::source::Span;
use crate::value::{Value, redact_json};

/// Items in flight at a time unless told, whatever the providers would take.
const MOST_UNTOLD: usize = 256;

/// Items of an `each` in flight at a time: what it was told, else what the providers of its models and embedders take together.
pub fn items_at_a_time(plan: &Plan, models: &Models, each: &Each) -> usize {
    each.concurrency.unwrap_or_else(|| {
        let asked = plan.models_in(each.block);
        let all = asked.iter().filter_map(|m| models.providers.get(m.0 as usize)).map(|p| p.caps().concurrency);
        let embedders = plan.embedders_in(each.block);
        let batches =
            embedders.iter().filter_map(|e| models.embedders.get(e.0 as usize)).map(|(_, e)| e.batches().at_once);
        all.chain(batches).sum::<usize>().clamp(1, MOST_UNTOLD)
    })
}

/// What became of the items so far.
struct Done {
    /// The values by their place; null where there is none.
    values: Vec<Value>,
    /// The places of the items that failed.
    failed: BTreeSet<usize>,
    /// Done, but not told yet, since an item before is not done.
    waiting: BTreeSet<usize>,
    /// The first item that is not told.
    next: usize,
}

impl<'a> Run<'a> {
    pub(super) async fn each(
        &self,
        frame: &Rc<Frame>,
        id: NodeId,
        node: &Node,
        each: &Each,
        place: Placed<'_>,
    ) -> Result<Value, Failure> {
        let left = self.left(frame, node).value;
        let Value::List(items) = left else { return Err(wrong_input(node, &left, "`each` takes a list")) };
        let most = items_at_a_time(self.plan, self.models, each);
        let mut done = Done { values: Vec::new(), failed: BTreeSet::new(), waiting: BTreeSet::new(), next: 0 };
        let mut errors: Vec<(usize, Box<Diagnostic>)> = Vec::new();
        let mut running = FuturesUnordered::new();
        let mut started = 0;
        loop {
            let stopping = each.on_error == OnError::Fail && !errors.is_empty();
            while !stopping
                && running.len() < most
                && let Some(item) = items.get(started)
            {
                running.push(self.item(frame, each.block, started, item.clone(), place));
                done.values.push(Value::Null);
                started += 1;
            }
            let Some(outcome) = running.next().await else { break };
            let (index, item, outcome) = outcome?;
            match outcome {
                Ok(value) => done.values[index] = value,
                Err(diagnostic) => {
                    let error = diagnostic.message.clone();
                    let kind = EventKind::ItemFailed { index, error };
                    self.events.send(item, Some(id), kind).await?;
                    done.failed.insert(index);
                    // Of items that are passed over, one reason is shown: a list of a million may hold as many.
                    if each.on_error == OnError::Fail || errors.is_empty() {
                        errors.push((index, diagnostic));
                    }
                }
            }
            if each.live {
                self.tell_items(frame, id, each, &mut done, index).await?;
            }
        }
        drop(running);
        if each.on_error == OnError::Fail && !errors.is_empty() {
            return Err(failed(errors, node.span));
        }
        if let Some((index, first)) = errors.first() {
            let (count, all) = (done.failed.len(), items.len());
            let what = if each.on_error == OnError::Skip { "left out" } else { "null" };
            let are = if count == 1 { "is" } else { "are" };
            let text = format!("{count} of {all} items failed and {are} {what}; item [{index}]: {}", first.message);
            self.tell(frame, id, EventKind::Notice { text }).await?;
        }
        let Done { mut values, failed, .. } = done;
        if each.on_error == OnError::Skip && !failed.is_empty() {
            let mut at = 0;
            values.retain(|_| {
                at += 1;
                !failed.contains(&(at - 1))
            });
        }
        values.shrink_to_fit();
        Ok(Value::list(values))
    }

    /// Runs the pipeline for one item, in a frame that goes when the item is done.
    async fn item(
        &self,
        frame: &Rc<Frame>,
        block: BlockId,
        index: usize,
        item: Value,
        place: Placed<'_>,
    ) -> Result<(usize, FrameId, Result<Value, Box<Diagnostic>>), Failure> {
        let inner = self.open(Some(frame), block, &index.to_string(), Some(item), Vec::new(), None).await?;
        let id = inner.id;
        match self.block(inner, place).await {
            Ok(value) => Ok((index, id, Ok(value))),
            Err(Failure::Failed(diagnostic)) => Ok((index, id, Err(diagnostic))),
            Err(Failure::Stopped) => Err(Failure::Stopped),
        }
    }

    /// Tells the items of which all before are done, in their order; an item that failed holds up those behind it
    /// where it fails the stage.
    async fn tell_items(
        &self,
        frame: &Rc<Frame>,
        id: NodeId,
        each: &Each,
        done: &mut Done,
        index: usize,
    ) -> Result<(), Failure> {
        done.waiting.insert(index);
        while done.waiting.first() == Some(&done.next) {
            if done.failed.contains(&done.next) && each.on_error == OnError::Fail {
                return Ok(());
            }
            done.waiting.pop_first();
            let index = done.next;
            done.next += 1;
            if !(done.failed.contains(&index) && each.on_error == OnError::Skip) {
                let value = match &done.values[index] {
                    // As the result shows it.
                    Value::Message(message) if message.calls.is_empty() => message.text.as_str().into(),
                    other => other.to_json(),
                };
                let value = redact_json(value, &self.models.secrets);
                self.tell(frame, id, EventKind::Item { index, value }).await?;
            }
        }
        Ok(())
    }
}

/// The failure of an `each`: the error of the first item that failed, and those of the others that were in flight.
fn failed(mut errors: Vec<(usize, Box<Diagnostic>)>, span: Span) -> Failure {
    errors.sort_by_key(|(index, _)| *index);
    // Items that fail for the same reason at the same place are told together.
    let mut groups: IndexMap<(String, Span), (Vec<usize>, Box<Diagnostic>)> = IndexMap::new();
    for (index, diagnostic) in errors {
        let key = (diagnostic.message.clone(), diagnostic.span.unwrap_or(span));
        groups.entry(key).or_insert_with(|| (Vec::new(), diagnostic)).0.push(index);
    }
    let items = |indexes: &[usize]| {
        let all: Vec<String> = indexes.iter().map(|i| format!("[{i}]")).collect();
        format!("item{} {}", if all.len() == 1 { "" } else { "s" }, all.join(", "))
    };
    let mut groups = groups.into_iter();
    let Some((_, (indexes, mut first))) = groups.next() else { return Failure::Stopped };
    first.message = format!("{}: {}", items(&indexes), first.message);
    for ((message, at), (indexes, _)) in groups {
        *first = first.also(at, format!("{} failed too: {message}", items(&indexes)));
    }
    Failure::Failed(first)
}
