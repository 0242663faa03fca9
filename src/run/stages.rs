//! What each kind of stage does.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::try_join_all;
use indexmap::IndexMap;

use super::frame::{Frame, Reach, Slot};
use super::{Failure, Run, request};
use crate::diag::{Code, Diagnostic};
use crate::event::{EventKind, NodeId};
use crate::plan::{Argument, BlockId, Node, NodeKind, evaluate};
use crate::source::Span;
use crate::value::{Secret, Type, Value, redact, redact_json};

/// A future of a run, which lives in its box since blocks run blocks.
type Running<'r, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + 'r>>;

/// How places are named in events.
pub type Placed<'r> = &'r dyn Fn(Span) -> String;

impl<'a> Run<'a> {
    /// Runs the stages of a frame's block; the value of the last is the block's.
    pub(super) fn block<'r>(&'r self, frame: Rc<Frame>, place: Placed<'r>) -> Running<'r, Value> {
        Box::pin(async move {
            let block = self.plan.block(frame.block);
            let mut last = Value::Null;
            for (i, id) in block.nodes.iter().enumerate() {
                let node = self.plan.node(*id);
                let started = || EventKind::StageStarted { place: place(node.span), stage: stage_name(&node.kind) };
                self.record(&frame, *id, started).await?;
                let slot = match self.followed(&frame, *id, node, place).await {
                    Ok(slot) => slot,
                    Err(Failure::Failed(diagnostic)) => {
                        let failed = || {
                            let error = redact(&diagnostic.message, &self.models.secrets);
                            EventKind::StageFailed { error, code: diagnostic.code.0 }
                        };
                        self.record(&frame, *id, failed).await?;
                        return Err(Failure::Failed(diagnostic));
                    }
                    Err(Failure::Stopped) => return Err(Failure::Stopped),
                };
                let finished = || EventKind::StageFinished { value: brief(&slot.value, &self.models.secrets) };
                self.record(&frame, *id, finished).await?;
                last = slot.value.clone();
                if let Some(at) = frame.slots.borrow_mut().get_mut(i) {
                    *at = Some(slot);
                }
            }
            match &block.result {
                Some((ty, span)) => Ok(accept(ty, last, *span, "the chain's result")?),
                None => Ok(last),
            }
        })
    }

    /// The value of a stage, or of what stands in for it, as whoever follows the run sees it.
    async fn followed(
        &self,
        frame: &Rc<Frame>,
        id: NodeId,
        node: &'a Node,
        place: Placed<'_>,
    ) -> Result<Slot, Failure> {
        let Some(watch) = self.watch else { return self.stage(frame, id, node, place).await };
        let input = self.handed_on(frame, node);
        let slot = match watch.stand_in(id) {
            Some(answer) => self.mocked(node, answer).await.map(|value| Slot { value, tainted: None }),
            None => self.stage(frame, id, node, place).await,
        };
        match &slot {
            Ok(slot) => watch.gave(id, input.as_ref(), &slot.value),
            Err(Failure::Failed(diagnostic)) => watch.failed(id, input.as_ref(), &diagnostic.message),
            Err(Failure::Stopped) => {}
        }
        slot
    }

    pub(super) fn reach<'f>(&'f self, frame: &'f Frame) -> Reach<'f> {
        Reach { frame, variables: self.variables, stdin: self.stdin.as_ref() }
    }

    /// The value on the left of a stage.
    pub(super) fn left(&self, frame: &Frame, node: &Node) -> Slot {
        use crate::plan::Resolve;
        let Some(reference) = &node.input else { return Slot { value: Value::Null, tainted: None } };
        match frame.slot(reference) {
            Some(slot) => slot,
            None => Slot { value: self.reach(frame).resolve(reference).unwrap_or(Value::Null), tainted: None },
        }
    }

    async fn stage(&self, frame: &Rc<Frame>, id: NodeId, node: &'a Node, place: Placed<'_>) -> Result<Slot, Failure> {
        let value = match &node.kind {
            NodeKind::Text(rendering) => {
                let rendered = rendering.render(&self.reach(frame))?;
                let text: String = rendered.segments.iter().map(|s| s.text.as_str()).collect();
                return Ok(Slot { value: Value::from(text), tainted: Some(rendered.tainted) });
            }
            NodeKind::Raw(rendering) => Value::Raw(Arc::new(rendering.render(&self.reach(frame))?.segments)),
            NodeKind::Prompt(parts) => Value::Prompt(Arc::new(request::messages(parts, &self.reach(frame))?)),
            NodeKind::Expression(evaluation) => evaluation.eval(&self.reach(frame))?,
            NodeKind::Fill => match request::fill(&self.left(frame, node).value) {
                Some(text) => Value::from(text),
                None => return Err(wrong_input(node, &self.left(frame, node).value, "`fill` takes messages or text")),
            },
            NodeKind::File(files) => files.text()?,
            NodeKind::Files(files) => files.documents()?,
            NodeKind::Embed(embedder) => self.embed(frame, id, node, *embedder).await?,
            NodeKind::Split(split) => self.split(frame, node, *split)?,
            NodeKind::Retrieve(retrieve) => self.retrieve(frame, id, node, retrieve, place).await?,
            NodeKind::Exec(exec) => self.exec(frame, node, exec).await?,
            NodeKind::Parse(parser) => {
                let left = self.left(frame, node).value;
                let Some(text) = left.as_text() else {
                    return Err(wrong_input(node, &left, "a parser takes a message or text"));
                };
                let answer = match &left {
                    Value::Message(message) => message.answer.as_deref(),
                    _ => None,
                };
                parser.parse(&text).map_err(|e| unparsed(super::ask::with_cut(e, answer), node.span, None, None))?
            }
            NodeKind::Ask(ask) => self.ask(frame, id, node, ask).await?,
            NodeKind::Map(branches) => self.map(frame, node, branches, place).await?,
            NodeKind::Extend(extend) => self.extend(frame, node, extend, place).await?,
            NodeKind::Try(operands) => self.fallbacks(frame, id, node, operands, place).await?,
            NodeKind::Match(choice) => self.choose(frame, node, choice, place).await?,
            NodeKind::Each(each) => self.each(frame, id, node, each, place).await?,
            NodeKind::Repeat(repeat) => self.repeat(frame, id, node, repeat, place).await?,
            NodeKind::Timeout { block, limit } => self.within(frame, node, *block, *limit, place).await?,
            NodeKind::Require(require) => return self.require(frame, node, require),
            NodeKind::Call { block, arguments } => {
                let values = self.arguments(frame, arguments)?;
                let input = self.handed_on(frame, node);
                let inner = self.open(Some(frame), *block, "", input, values, None).await?;
                self.block(inner, place).await?
            }
        };
        Ok(Slot { value, tainted: None })
    }

    /// The value on the left, where there is one to hand on.
    pub(super) fn handed_on(&self, frame: &Frame, node: &Node) -> Option<Value> {
        node.input.as_ref().map(|_| self.left(frame, node).value)
    }

    fn arguments(&self, frame: &Frame, arguments: &[Argument]) -> Result<Vec<Value>, Failure> {
        let mut out = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let value = evaluate(&argument.cell, &self.reach(frame))?;
            out.push(accept(&argument.ty, value, argument.span, &format!("the argument `{}`", argument.name))?);
        }
        Ok(out)
    }

    pub(super) async fn map(
        &self,
        frame: &Rc<Frame>,
        node: &Node,
        branches: &[(String, BlockId)],
        place: Placed<'_>,
    ) -> Result<Value, Failure> {
        let input = self.handed_on(frame, node);
        let mut running = Vec::with_capacity(branches.len());
        for (key, block) in branches {
            let inner = self.open(Some(frame), *block, key, input.clone(), Vec::new(), None).await?;
            running.push(self.block(inner, place));
        }
        // The first failure drops the other futures, which cancels their calls.
        let values = try_join_all(running).await?;
        let map: IndexMap<String, Value> = branches.iter().map(|(key, _)| key.clone()).zip(values).collect();
        Ok(Value::Map(Arc::new(map)))
    }

    async fn fallbacks(
        &self,
        frame: &Rc<Frame>,
        id: NodeId,
        node: &Node,
        operands: &[BlockId],
        place: Placed<'_>,
    ) -> Result<Value, Failure> {
        let input = self.handed_on(frame, node);
        let mut failed: Vec<Diagnostic> = Vec::new();
        let mut reason: Option<String> = None;
        for (i, block) in operands.iter().enumerate() {
            let key = (i + 1).to_string();
            let inner = self.open(Some(frame), *block, &key, input.clone(), Vec::new(), reason.take()).await?;
            match self.block(inner, place).await {
                Ok(value) => return Ok(value),
                Err(Failure::Stopped) => return Err(Failure::Stopped),
                Err(Failure::Failed(diagnostic)) => {
                    if i + 1 < operands.len() {
                        let error = diagnostic.message.clone();
                        self.tell(frame, id, EventKind::Discarded { error }).await?;
                    }
                    reason = Some(diagnostic.message.clone());
                    failed.push(*diagnostic);
                }
            }
        }
        Err(all_failed(failed, node.span))
    }
}

/// The failure of a `??` whose operands all failed: every error is kept.
pub fn all_failed(mut failed: Vec<Diagnostic>, span: Span) -> Failure {
    match failed.pop() {
        Some(mut last) => {
            for earlier in failed {
                let text = format!("failed before: {}", earlier.message);
                last = last.also(earlier.span.unwrap_or(span), text);
            }
            Failure::Failed(Box::new(last))
        }
        None => Failure::Failed(Box::new(Diagnostic::error(Code::E401, span, "nothing ran"))),
    }
}

/// `value` in the form of `ty`; a message counts as its text.
pub fn accept(ty: &Type, value: Value, span: Span, what: &str) -> Result<Value, Failure> {
    match ty.accept(&value) {
        Ok(value) => Ok(value),
        Err(e) => {
            if let Value::Message(_) | Value::Raw(_) = value
                && let Some(text) = value.as_text()
                && let Ok(value) = ty.accept(&Value::from(&*text))
            {
                return Ok(value);
            }
            let message = format!("{what} does not fit {ty}: {e}");
            Err(Failure::Failed(Box::new(Diagnostic::error(Code::E211, span, message))))
        }
    }
}

pub fn wrong_input(node: &Node, value: &Value, what: &str) -> Failure {
    let message = format!("{what}, found {} ({})", value.kind(), value.show(60));
    Failure::Failed(Box::new(Diagnostic::error(Code::E211, node.span, message)))
}

/// An answer that does not parse; `note` is what else is to be known of it.
pub fn unparsed(error: crate::parsers::ParseError, span: Span, model: Option<&str>, note: Option<String>) -> Failure {
    let message = match model {
        Some(model) => format!("the answer of `{model}` does not parse: {}", error.message),
        None => format!("the text does not parse: {}", error.message),
    };
    let diagnostic = Diagnostic::error(Code::E405, span, message);
    Failure::Failed(Box::new(error.help.into_iter().chain(note).fold(diagnostic, Diagnostic::help)))
}

fn stage_name(kind: &NodeKind) -> &'static str {
    match kind {
        NodeKind::Text(_) => "text",
        NodeKind::Raw(_) => "raw",
        NodeKind::Prompt(_) => "prompt",
        NodeKind::Expression(_) => "expression",
        NodeKind::Fill => "fill",
        NodeKind::File(_) => "file",
        NodeKind::Files(_) => "files",
        NodeKind::Embed(_) => "embed",
        NodeKind::Split(_) => "split",
        NodeKind::Retrieve(_) => "retrieve",
        NodeKind::Exec(_) => "exec",
        NodeKind::Ask(_) => "ask",
        NodeKind::Parse(_) => "parse",
        NodeKind::Map(_) => "map",
        NodeKind::Extend(_) => "extend",
        NodeKind::Try(_) => "try",
        NodeKind::Match(_) => "match",
        NodeKind::Each(_) => "each",
        NodeKind::Repeat(_) => "repeat",
        NodeKind::Timeout { .. } => "timeout",
        NodeKind::Require(_) => "require",
        NodeKind::Call { .. } => "call",
    }
}

/// The longest value in an event, in characters.
const BRIEF: usize = 200;

/// A value as events show it. Long texts are cut before they are copied, where no secret could be cut in two.
pub fn brief(value: &Value, secrets: &[Secret]) -> String {
    match value {
        Value::Text(text) if secrets.is_empty() => cut(text),
        Value::Message(message) if secrets.is_empty() => cut(&message.text),
        Value::Text(text) => cut(&redact(text, secrets)),
        Value::Message(message) => cut(&redact(&message.text, secrets)),
        other if secrets.is_empty() => other.show(BRIEF),
        other => Value::from_json(&redact_json(other.to_json(), secrets)).show(BRIEF),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(BRIEF) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
