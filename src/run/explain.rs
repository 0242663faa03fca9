//! What a run would send, as far as it is known without asking a model.

use std::rc::Rc;
use std::sync::Arc;

use super::frame::{Frame, Reach, Slot};
use super::request;
use crate::diag::Diagnostic;
use crate::event::FrameId;
use crate::plan::{
    Ask, BlockId, Cell, EmbedderId, Match, Models, Node, NodeKind, Plan, PromptPart, Ref, Resolve, Test, evaluate,
};
use crate::source::Span;
use crate::value::{Request, RequestInput, Value};

/// A call of a model as it would be made.
#[derive(Clone)]
pub struct Explained {
    /// Where the call stands.
    pub span: Span,
    /// The call.
    pub ask: Arc<Ask>,
    /// The prompt; none where it holds what a model has yet to say.
    pub request: Option<Request>,
    /// What the prompt waits for.
    pub waits: Option<String>,
}

/// Every call of a plan, in the order in which they would be made.
///
/// # Errors
/// A template that fails with the values at hand.
pub fn explain(plan: &Plan, variables: &[Value], stdin: Option<&Value>) -> Result<Vec<Explained>, Box<Diagnostic>> {
    let mut walk = Walk { plan, variables, stdin, out: Vec::new() };
    walk.block(plan.entry, None, None, Vec::new())?;
    Ok(walk.out)
}

/// An index as it would be built.
pub struct ExplainedIndex {
    /// Its name.
    pub name: String,
    /// Where its `store` stands.
    pub span: Span,
    /// What makes its vectors.
    pub embedder: EmbedderId,
    /// How many pieces it has, where no model has a say in that.
    pub pieces: Option<usize>,
    /// How many files they are from; none where they are of no files.
    pub files: usize,
}

/// The indexes of a plan, with what they would hold, and the calls of models that make that.
///
/// # Errors
/// A file that cannot be read, or a template that fails with the values at hand.
pub fn explain_indexes(
    plan: &Plan,
    variables: &[Value],
) -> Result<(Vec<ExplainedIndex>, Vec<Explained>), Box<Diagnostic>> {
    let mut walk = Walk { plan, variables, stdin: None, out: Vec::new() };
    let mut out = Vec::with_capacity(plan.indexes.len());
    for index in &plan.indexes {
        let source = walk.block(index.block, None, None, Vec::new())?;
        let documents = source.and_then(|value| super::retrieve::stored(&value).ok());
        let path = |document: &Value| match document {
            Value::Map(map) => map.get("path").and_then(Value::as_text).map(std::borrow::Cow::into_owned),
            _ => None,
        };
        let paths = documents.iter().flatten().filter_map(path).filter(|path| !path.is_empty());
        let files = paths.collect::<std::collections::HashSet<_>>().len();
        let pieces = documents.as_ref().map(Vec::len);
        out.push(ExplainedIndex {
            name: index.name.clone(),
            span: index.span,
            embedder: index.embedder,
            pieces,
            files,
        });
    }
    Ok((out, walk.out))
}

/// The stages that compose pipelines or use vectors, with how they will go, in the order of the file.
pub fn control_stages(plan: &Plan, models: &Models) -> Vec<(Span, String)> {
    let mut out: Vec<(Span, String)> = plan
        .nodes
        .iter()
        .filter_map(|node| {
            let text = match &node.kind {
                NodeKind::Each(each) => {
                    let most = super::each::items_at_a_time(plan, models, each);
                    let whose = if each.concurrency.is_some() { "the file" } else { "what the models take" };
                    let on_error = each.on_error.name();
                    format!(
                        "each: {most} items at a time ({whose}), on_error: {on_error}; its calls are shown for the first item"
                    )
                }
                NodeKind::Repeat(repeat) => {
                    let until = repeat.until.text.text.trim();
                    let rounds = if repeat.max == 1 { "round" } else { "rounds" };
                    format!("repeat: until `{until}`, {} {rounds} at most; its calls are shown for the first", repeat.max)
                }
                NodeKind::Embed(embedder) => format!("embed: by {}", models.embedders[embedder.0 as usize].0.name),
                NodeKind::Split(split) => {
                    format!("split: pieces of at most {} characters, {} of them repeated", split.chars, split.overlap)
                }
                NodeKind::Retrieve(retrieve) => {
                    let index = &plan.indexes[retrieve.index.0 as usize];
                    let most = match &retrieve.k {
                        Cell::Constant(k) => k.show(20),
                        _ => "`k`".to_owned(),
                    };
                    format!("retrieve: the {most} nearest pieces of the index {}, by cosine", index.name)
                }
                NodeKind::Timeout { limit, .. } => format!("timeout: {limit:?}"),
                NodeKind::Require(require) => format!("require: `{}`", require.condition.text.text.trim()),
                NodeKind::Match(choice) => {
                    let keys: Vec<&str> = choice.arms.iter().map(|a| a.key.as_str()).collect();
                    format!("match: one of {}; the calls of all are shown", keys.join(", "))
                }
                _ => return None,
            };
            Some((node.span, text))
        })
        .collect();
    out.sort_by_key(|(span, _)| (span.start, span.end));
    out.dedup();
    out
}

struct Walk<'a> {
    plan: &'a Plan,
    variables: &'a [Value],
    stdin: Option<&'a Value>,
    out: Vec<Explained>,
}

impl Walk<'_> {
    /// Walks a block; gives its value if no model has a say in it.
    fn block(
        &mut self,
        block: BlockId,
        parent: Option<&Rc<Frame>>,
        input: Option<Value>,
        arguments: Vec<Value>,
    ) -> Result<Option<Value>, Box<Diagnostic>> {
        let nodes = self.plan.block(block).nodes.clone();
        let frame = Rc::new(Frame::new(FrameId(0), block, nodes.len(), parent.cloned(), input, arguments, None));
        let mut last = None;
        for (i, id) in nodes.iter().enumerate() {
            let node = self.plan.node(*id).clone();
            let slot = self.node(&node, &frame)?;
            last = slot.as_ref().map(|s| s.value.clone());
            if let Some(at) = frame.slots.borrow_mut().get_mut(i) {
                *at = slot;
            }
        }
        Ok(last)
    }

    fn reach<'f>(&'f self, frame: &'f Frame) -> Reach<'f> {
        Reach { frame, variables: self.variables, stdin: self.stdin }
    }

    fn node(&mut self, node: &Node, frame: &Rc<Frame>) -> Result<Option<Slot>, Box<Diagnostic>> {
        let known = |value: Value| Some(Slot { value, tainted: None });
        let left = node.input.as_ref().and_then(|r| self.reach(frame).resolve(r));
        Ok(match &node.kind {
            NodeKind::Text(r) if self.names_known(r.names.values(), frame) => {
                let rendered = r.render(&self.reach(frame))?;
                let text: String = rendered.segments.iter().map(|s| s.text.as_str()).collect();
                Some(Slot { value: Value::from(text), tainted: Some(rendered.tainted) })
            }
            NodeKind::Raw(r) if self.names_known(r.names.values(), frame) => {
                known(Value::Raw(Arc::new(r.render(&self.reach(frame))?.segments)))
            }
            NodeKind::Prompt(parts) if parts.iter().all(|p| self.part_known(p, frame)) => {
                known(Value::Prompt(Arc::new(request::messages(parts, &self.reach(frame))?)))
            }
            NodeKind::Expression(e) if self.names_known(e.names.values(), frame) => known(e.eval(&self.reach(frame))?),
            NodeKind::Fill => left.and_then(|v| request::fill(&v)).and_then(|t| known(Value::from(t))),
            NodeKind::File(files) => known(files.text()?),
            NodeKind::Files(files) => known(files.documents()?),
            NodeKind::Split(split) => {
                left.and_then(|value| super::retrieve::split(*split, &value).ok()).and_then(known)
            }
            NodeKind::Ask(ask) => {
                self.ask(node, ask, frame);
                None
            }
            NodeKind::Map(branches) => {
                let mut all = Some(indexmap::IndexMap::new());
                for (key, block) in branches.iter() {
                    let value = self.block(*block, Some(frame), left.clone(), Vec::new())?;
                    all = all.zip(value).map(|(mut map, value)| {
                        map.insert(key.clone(), value);
                        map
                    });
                }
                all.and_then(|map| known(Value::Map(Arc::new(map))))
            }
            NodeKind::Try(operands) => {
                let mut first = None;
                for (i, block) in operands.iter().enumerate() {
                    let value = self.block(*block, Some(frame), left.clone(), Vec::new())?;
                    if i == 0 {
                        first = value;
                    }
                }
                first.and_then(known)
            }
            NodeKind::Call { block, arguments } => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments.iter() {
                    if self.known(&argument.cell, frame) {
                        values.push(evaluate(&argument.cell, &self.reach(frame))?);
                    } else {
                        // The walk goes on, so that the calls inside are listed.
                        values.push(Value::from("…"));
                    }
                }
                self.block(*block, Some(frame), left, values)?.and_then(known)
            }
            _ => self.composed(node, frame, left)?,
        })
    }

    /// The stages that compose pipelines. What they run is walked once, on what is known of it.
    fn composed(
        &mut self,
        node: &Node,
        frame: &Rc<Frame>,
        left: Option<Value>,
    ) -> Result<Option<Slot>, Box<Diagnostic>> {
        let known = |value: Value| Some(Slot { value, tainted: None });
        Ok(match &node.kind {
            NodeKind::Require(_) => node.input.as_ref().and_then(|r| frame.slot(r)).or_else(|| left.and_then(known)),
            NodeKind::Timeout { block, .. } => self.block(*block, Some(frame), left, Vec::new())?.and_then(known),
            NodeKind::Repeat(repeat) => {
                self.block(repeat.block, Some(frame), left, Vec::new())?;
                None
            }
            NodeKind::Each(each) => {
                let first = left.and_then(|list| match list {
                    Value::List(items) => items.first().cloned(),
                    _ => None,
                });
                self.block(each.block, Some(frame), first, Vec::new())?;
                None
            }
            NodeKind::Match(choice) => self.arms(choice, frame, left)?.and_then(known),
            NodeKind::Extend(extend) => {
                let mut all = Some(indexmap::IndexMap::new());
                for (cell, _) in &extend.maps {
                    let map = if self.known(cell, frame) { Some(evaluate(cell, &self.reach(frame))?) } else { None };
                    all = match (all, map) {
                        (Some(mut all), Some(Value::Map(map))) => {
                            all.extend(map.iter().map(|(k, v)| (k.clone(), v.clone())));
                            Some(all)
                        }
                        _ => None,
                    };
                }
                for (key, block) in extend.branches.iter() {
                    let value = self.block(*block, Some(frame), left.clone(), Vec::new())?;
                    all = all.zip(value).map(|(mut map, value)| {
                        map.insert(key.clone(), value);
                        map
                    });
                }
                all.and_then(|map| known(Value::Map(Arc::new(map))))
            }
            _ => None,
        })
    }

    /// The arms of a `match`; gives the value of the one that is taken, where that is known.
    fn arms(
        &mut self,
        choice: &Match,
        frame: &Rc<Frame>,
        left: Option<Value>,
    ) -> Result<Option<Value>, Box<Diagnostic>> {
        let subject = match &choice.subject {
            Some(cell) if self.known(cell, frame) => Some(evaluate(cell, &self.reach(frame))?),
            _ => None,
        };
        let taken = subject.and_then(|subject| {
            choice.arms.iter().position(|arm| match &arm.test {
                Test::Is(value) => Test::same(&subject, value),
                Test::Rest => true,
                Test::If(_) => false,
            })
        });
        let mut out = None;
        for (i, arm) in choice.arms.iter().enumerate() {
            let value = self.block(arm.block, Some(frame), left.clone(), Vec::new());
            if taken == Some(i) {
                out = value?;
            }
            // An arm that is not taken may fail on values that never reach it; its calls so far are listed.
        }
        Ok(out)
    }

    fn ask(&mut self, node: &Node, ask: &Arc<Ask>, frame: &Rc<Frame>) {
        let reference = node.input.as_ref();
        let slot = reference.and_then(|r| frame.slot(r));
        let value =
            slot.as_ref().map(|s| s.value.clone()).or_else(|| reference.and_then(|r| self.reach(frame).resolve(r)));
        let tainted = slot.and_then(|s| s.tainted);
        let input: Option<RequestInput> = value.and_then(|v| request::input(&v, tainted));
        let constraint = ask.parser.as_ref().and_then(|p| p.constraint());
        let waits = match (&input, reference) {
            (None, Some(Ref::Stdin)) => Some("standard input".to_owned()),
            (None, _) => Some("the answer of an earlier stage".to_owned()),
            _ => None,
        };
        let request = input.map(|input| Request { input, constraint });
        self.out.push(Explained { span: node.span, ask: ask.clone(), request, waits });
    }

    fn part_known(&self, part: &PromptPart, frame: &Frame) -> bool {
        match part {
            PromptPart::Message(_, rendering, pictures) => {
                let paths = pictures.iter().flat_map(|p| p.path().names.values());
                self.names_known(rendering.names.values().chain(paths), frame)
            }
            PromptPart::Messages(cell, _) => self.known(cell, frame),
            PromptPart::Examples(examples) => self.known(&examples.rows, frame),
        }
    }

    fn names_known<'c>(&self, mut cells: impl Iterator<Item = &'c Cell>, frame: &Frame) -> bool {
        cells.all(|c| self.known(c, frame))
    }

    fn known(&self, cell: &Cell, frame: &Frame) -> bool {
        match cell {
            Cell::Constant(_) => true,
            Cell::Ref(reference) | Cell::Field(reference, _) => self.reach(frame).resolve(reference).is_some(),
            Cell::Template(r) => self.names_known(r.names.values(), frame),
            Cell::Expression(e) => self.names_known(e.names.values(), frame),
        }
    }
}
