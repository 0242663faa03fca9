//! From events to spans.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::span::{CallSpan, Detail, Outcome, Span};
use crate::event::{CallFacts, Event, EventKind, FrameId, NodeId};
use crate::value::Usage;

/// A place where a stage runs: a frame, and the stage of its block.
type At = (FrameId, NodeId);

/// An execution of a block.
struct Frame {
    /// The stage that opened it; none for the run's own.
    opener: Option<At>,
    key: Arc<str>,
    /// The stage that runs in it now: there is one at a time.
    current: Option<NodeId>,
}

/// A span that has not ended.
struct Open {
    id: u64,
    parent: Option<u64>,
    start: Instant,
    detail: Detail,
}

impl Open {
    fn end(self, end: Instant, outcome: Outcome) -> Span {
        Span { id: self.id, parent: self.parent, start: self.start, end, outcome, detail: self.detail }
    }
}

/// A stage that has not ended, with the frames that it opened.
struct Stage {
    open: Open,
    frames: Vec<FrameId>,
}

/// Makes spans of events, each once it has ended.
pub struct Fold {
    next: u64,
    run: Option<Open>,
    frames: HashMap<FrameId, Frame>,
    stages: HashMap<At, Stage>,
    calls: HashMap<At, Open>,
    /// Whether answers are kept, to be shown.
    answers: bool,
    /// Why the last stage that failed did: where the run fails, that is the outermost.
    failed: Option<&'static str>,
    done: Vec<Span>,
}

impl Fold {
    /// A fold that has seen nothing. With `answers`, calls have theirs.
    pub fn new(answers: bool) -> Self {
        Self {
            next: 1,
            run: None,
            frames: HashMap::new(),
            stages: HashMap::new(),
            calls: HashMap::new(),
            answers,
            failed: None,
            done: Vec::new(),
        }
    }

    /// The spans that ended since the last call, in the order in which they did.
    pub fn take(&mut self) -> Vec<Span> {
        std::mem::take(&mut self.done)
    }

    /// Takes an event in.
    pub fn event(&mut self, event: &Event) {
        let at = event.node.map(|node| (event.frame, node));
        match (&event.kind, at) {
            (EventKind::RunStarted { file, chain, .. }, _) => {
                let detail = Detail::Run { file: file.clone(), chain: chain.clone() };
                self.run = Some(self.open(None, event.at, detail));
            }
            (EventKind::FrameOpened { parent, key }, _) => self.frame(event.frame, *parent, key),
            (EventKind::StageStarted { place, stage }, Some(at)) => self.stage(at, event.at, stage, place),
            (EventKind::StageFinished { .. }, Some(at)) => self.stage_ends(at, event.at, Outcome::Ok),
            (EventKind::StageFailed { error, code }, Some(at)) => {
                self.failed = Some(code);
                self.stage_ends(at, event.at, Outcome::Failed { error: error.clone(), reason: (*code).to_owned() });
            }
            (EventKind::RunFinished { error, .. }, _) => {
                let outcome = match error {
                    None => Outcome::Ok,
                    Some(error) => {
                        let reason = self.failed.unwrap_or("stopped").to_owned();
                        Outcome::Failed { error: error.clone(), reason }
                    }
                };
                self.run_ends(event.at, outcome);
            }
            (_, Some(at)) => self.of_call(at, event),
            (_, None) => {}
        }
    }

    /// Ends all that has not ended: the run was stopped.
    pub fn stop(&mut self, at: Instant) {
        self.run_ends(at, Outcome::Cancelled);
    }

    fn of_call(&mut self, at: At, event: &Event) {
        match &event.kind {
            EventKind::ModelCalled { provider, model, attempt, cached, facts, .. } => {
                match self.call(at).filter(|_| *attempt > 1) {
                    Some(call) => {
                        call.tries = *attempt;
                        call.answer.clear();
                    }
                    None => self.call_begins(at, event.at, (*provider, model, *attempt, *cached), facts),
                }
            }
            EventKind::Token { text } => {
                let answers = self.answers;
                self.first_token(at, event.at);
                if let Some(call) = self.call(at).filter(|_| answers) {
                    call.answer.push_str(text);
                }
            }
            EventKind::Embedded { texts, dimensions, usage, seconds, cached, facts } => {
                let took = Duration::try_from_secs_f64(*seconds).unwrap_or_default();
                let start = event.at.checked_sub(took).unwrap_or(event.at);
                let (facts, texts, dimensions, usage, cached) = (facts.clone(), *texts, *dimensions, *usage, *cached);
                let parent = self.stages.get(&at).map(|stage| stage.open.id);
                let detail = Detail::Embedding { facts, texts, dimensions, usage, cached };
                let open = self.open(parent, start, detail);
                self.done.push(open.end(event.at, Outcome::Ok));
            }
            EventKind::Reasoning { .. } => self.first_token(at, event.at),
            EventKind::ModelAnswered { finish, usage, model, .. } => {
                if let Some(call) = self.call(at) {
                    (call.finish, call.usage, call.answered_by) = (Some(*finish), *usage, Some(model.clone()));
                }
                self.call_ends(at, event.at, Outcome::Ok);
            }
            EventKind::ModelFailed { reason, error, .. } => {
                let outcome = Outcome::Failed { error: error.clone(), reason: (*reason).to_owned() };
                self.call_ends(at, event.at, outcome);
            }
            _ => {}
        }
    }

    fn open(&mut self, parent: Option<u64>, start: Instant, detail: Detail) -> Open {
        let id = self.next;
        self.next += 1;
        Open { id, parent, start, detail }
    }

    fn frame(&mut self, frame: FrameId, parent: Option<FrameId>, key: &str) {
        let opener = parent.and_then(|parent| Some((parent, self.frames.get(&parent)?.current?)));
        if let Some(stage) = opener.and_then(|at| self.stages.get_mut(&at)) {
            stage.frames.push(frame);
        }
        self.frames.insert(frame, Frame { opener, key: key.into(), current: None });
    }

    fn stage(&mut self, at: At, start: Instant, stage: &'static str, place: &str) {
        let frame = self.frames.get(&at.0);
        let opener = frame.and_then(|frame| frame.opener);
        let parent = match opener {
            Some(opener) => self.stages.get(&opener).map(|stage| stage.open.id),
            None => self.run.as_ref().map(|run| run.id),
        };
        let detail = Detail::Stage { stage, place: place.to_owned(), path: self.path(at.0) };
        let open = self.open(parent, start, detail);
        self.stages.insert(at, Stage { open, frames: Vec::new() });
        if let Some(frame) = self.frames.get_mut(&at.0) {
            frame.current = Some(at.1);
        }
    }

    /// The keys of a frame and of those around it, outermost first; those without a name are left out.
    fn path(&self, frame: FrameId) -> Vec<Arc<str>> {
        let mut out = Vec::new();
        let mut next = self.frames.get(&frame);
        while let Some(frame) = next {
            if !frame.key.is_empty() {
                out.push(frame.key.clone());
            }
            next = frame.opener.and_then(|(outer, _)| self.frames.get(&outer));
        }
        out.reverse();
        out
    }

    /// Ends a stage, and before it whatever it began that has not ended.
    fn stage_ends(&mut self, at: At, end: Instant, outcome: Outcome) {
        // A call that told nothing of its end shares the stage's.
        let of_call = if outcome == Outcome::Ok { Outcome::Cancelled } else { outcome.clone() };
        self.call_ends(at, end, of_call);
        let Some(stage) = self.stages.remove(&at) else { return };
        for frame in stage.frames {
            self.frame_ends(frame, end);
        }
        if let Some(frame) = self.frames.get_mut(&at.0) {
            frame.current = None;
        }
        self.done.push(stage.open.end(end, outcome));
    }

    fn frame_ends(&mut self, frame: FrameId, end: Instant) {
        let current = self.frames.get(&frame).and_then(|f| f.current);
        if let Some(node) = current {
            self.stage_ends((frame, node), end, Outcome::Cancelled);
        }
        self.frames.remove(&frame);
    }

    fn run_ends(&mut self, end: Instant, outcome: Outcome) {
        self.frame_ends(FrameId(0), end);
        self.frames.clear();
        if let Some(run) = self.run.take() {
            self.done.push(run.end(end, outcome));
        }
    }

    fn call_begins(
        &mut self,
        at: At,
        start: Instant,
        (provider, model, tries, cached): (&'static str, &str, u32, bool),
        facts: &Arc<CallFacts>,
    ) {
        self.call_ends(at, start, Outcome::Cancelled);
        let parent = self.stages.get(&at).map(|stage| stage.open.id);
        let call = CallSpan {
            facts: facts.clone(),
            provider,
            model: model.to_owned(),
            answered_by: None,
            tries,
            cached,
            first_token: None,
            usage: Usage::default(),
            finish: None,
            answer: String::new(),
        };
        let open = self.open(parent, start, Detail::Call(Box::new(call)));
        self.calls.insert(at, open);
    }

    fn call(&mut self, at: At) -> Option<&mut CallSpan> {
        match self.calls.get_mut(&at).map(|open| &mut open.detail) {
            Some(Detail::Call(call)) => Some(call),
            _ => None,
        }
    }

    fn first_token(&mut self, at: At, now: Instant) {
        let Some(start) = self.calls.get(&at).map(|open| open.start) else { return };
        if let Some(call) = self.call(at).filter(|call| call.first_token.is_none()) {
            call.first_token = Some(now.saturating_duration_since(start));
        }
    }

    fn call_ends(&mut self, at: At, end: Instant, outcome: Outcome) {
        let Some(open) = self.calls.remove(&at) else { return };
        self.done.push(open.end(end, outcome));
    }
}
