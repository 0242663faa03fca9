//! The thread of a model: takes jobs as they come, computes what their prompts share once, and decodes them together. What
//! a job gives does not depend on the others: the contract of the kernels makes company invisible.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use tokio::sync::mpsc::error::TrySendError;

use super::choice::{Choice, Step};
use super::constraint::Vocabulary;
use super::error::EngineError;
use super::forward::{CHUNK, Feed, Runner, Want};
use super::kv::{Kv, SequenceId};
use super::memory;
use super::model::Model;
use super::sampler::Chance;
use super::service::{Description, Job, Likelihood, Piece};
use super::shape::Shape;
use super::stops::Stops;
use super::tokenizer::Tokenizer;

/// A job with the end that its pieces go to.
pub struct Order {
    /// What is wished.
    pub job: Job,
    /// Where pieces go.
    pub reply: tokio::sync::mpsc::Sender<Piece>,
    /// Whether nobody wants them any more.
    pub cancelled: Arc<AtomicBool>,
}

impl Order {
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Tokens that it may take at most.
    fn most(&self) -> usize {
        let job = &self.job;
        job.tokens.len() + job.max_tokens.min(job.context.saturating_sub(job.tokens.len()))
    }

    /// Ends it. The reader may be gone: then nobody wants to know.
    fn fail(self, error: EngineError) {
        let _ = self.reply.blocking_send(Piece::Failed(error));
    }
}

/// A job that is being computed.
struct Active {
    order: Order,
    sequence: SequenceId,
    /// Tokens of the prompt that were there already.
    cached: usize,
    /// Tokens that are to go through the layers next: what is left of the prompt, then those that were chosen last.
    unfed: Vec<u32>,
    choice: Choice,
    text: Stops,
    /// Tokens of the answer.
    count: usize,
    /// What its reader has no room for yet.
    pending: VecDeque<Piece>,
    done: bool,
}

/// Jobs that are computed together at most.
pub const MOST_ACTIVE: usize = 16;

/// Contexts of the model whose keys and values are kept at most.
const MOST_CONTEXTS: usize = 16;

/// The state of a model's thread.
pub struct Scheduler {
    about: Arc<Description>,
    runner: Runner,
    loaded: Option<(Model, Kv)>,
    /// Read with the first job that has a grammar.
    vocabulary: Option<Vocabulary>,
    waiting: Vec<Order>,
    active: Vec<Active>,
}

impl Scheduler {
    /// A thread's state before anything is loaded.
    pub fn new(about: Arc<Description>, threads: usize) -> Self {
        let runner = Runner::new(threads);
        Self { about, runner, loaded: None, vocabulary: None, waiting: Vec::new(), active: Vec::new() }
    }

    /// Works until nobody can send jobs any more.
    pub fn serve(mut self, queue: &mpsc::Receiver<Order>) {
        loop {
            if self.waiting.is_empty() && self.active.is_empty() {
                match queue.recv() {
                    Ok(order) => self.waiting.push(order),
                    Err(_) => return,
                }
            }
            self.waiting.extend(queue.try_iter());
            self.drop_cancelled();
            if self.waiting.is_empty() && self.active.is_empty() {
                continue;
            }
            if let Err(error) = self.load() {
                for order in self.waiting.drain(..) {
                    order.fail(error.clone());
                }
                continue;
            }
            self.admit();
            self.step();
        }
    }

    fn load(&mut self) -> Result<(), EngineError> {
        if self.loaded.is_none() {
            let shape = &self.about.shape;
            let wanted = self.waiting.iter().map(Order::most).min().unwrap_or(0);
            let tokens = capacity(shape, self.about.weight_bytes(), memory::free(), wanted)?;
            let model = self.about.load(self.runner.threads())?;
            let kv = Kv::new(&model.shape, tokens);
            self.loaded = Some((model, kv));
        }
        Ok(())
    }

    fn drop_cancelled(&mut self) {
        self.waiting.retain(|o| !o.is_cancelled());
        let kv = &mut self.loaded;
        self.active.retain(|a| {
            let gone = a.order.is_cancelled() || (a.done && a.pending.is_empty());
            if gone && let Some((_, kv)) = kv {
                kv.close(a.sequence);
            }
            !gone
        });
    }

    /// Begins waiting jobs: those with the same beginning one after another, and only once what they share with a running
    /// one is computed.
    fn admit(&mut self) {
        let Some((_, kv)) = &mut self.loaded else { return };
        self.waiting.sort_by(|a, b| a.job.tokens.cmp(&b.job.tokens));
        let mut left = Vec::new();
        for order in std::mem::take(&mut self.waiting) {
            if order.most() > kv.capacity() {
                let (most, room) = (order.most(), kv.capacity());
                order.fail(EngineError::Memory(format!(
                    "keys and values of {most} tokens do not fit into the memory that was free; a context of {room} does"
                )));
                continue;
            }
            let tokens = &order.job.tokens;
            let known = kv.known(tokens);
            let soon = self.active.iter().any(|a| {
                let prompt = &a.order.job.tokens;
                let common = prompt.iter().zip(tokens).take_while(|(a, b)| a == b).count();
                kv.length(a.sequence) < prompt.len() && common.min(tokens.len() - 1) > known
            });
            let reserved: usize =
                self.active.iter().map(|a| a.order.most() - kv.length(a.sequence).min(a.order.most())).sum();
            // A page more for each: a shared page may have to be copied.
            let pages = (self.active.len() + 1) * super::kernels::PAGE;
            let fits = order.most() - known + reserved + pages <= kv.room();
            if soon || self.active.len() >= MOST_ACTIVE || (!fits && !self.active.is_empty()) {
                left.push(order);
                continue;
            }
            let begun = choice(&self.about, &mut self.vocabulary, &order.job).and_then(|choice| {
                let (sequence, cached) = kv.open(tokens)?;
                Ok((choice, sequence, cached))
            });
            match begun {
                Ok((choice, sequence, cached)) => {
                    let mut active = Active::new(order, choice, sequence, cached);
                    active.begin(&self.about.tokenizer);
                    self.active.push(active);
                }
                Err(error) => order.fail(error),
            }
        }
        self.waiting = left;
    }

    /// One pass through the layers, and what follows from it.
    fn step(&mut self) {
        let Some((model, kv)) = &mut self.loaded else { return };
        let mut room = CHUNK;
        let mut feeds = Vec::new();
        let mut fed = Vec::new();
        self.active.iter_mut().for_each(Active::flush);
        for (index, active) in self.active.iter().enumerate() {
            if active.done || !active.pending.is_empty() || room == 0 {
                continue;
            }
            let (tokens, rest) = active.unfed.split_at(active.unfed.len().min(room));
            let want = if rest.is_empty() { Want::Last } else { Want::Nothing };
            room -= tokens.len();
            feeds.push(Feed { sequence: active.sequence, tokens, want });
            fed.push((index, tokens.len(), want == Want::Last));
        }
        if feeds.is_empty() {
            // Everybody who reads is slow, or done.
            if let Some(active) = self.active.iter_mut().find(|a| !a.pending.is_empty()) {
                active.wait_for_reader();
            }
            return;
        }
        let orders: Vec<&Order> = fed.iter().map(|(i, ..)| &self.active[*i].order).collect();
        let stop = || orders.iter().all(|o| o.is_cancelled());
        let result = self.runner.forward(model, kv, &feeds, CHUNK, &stop);
        let vocabulary = model.shape.vocabulary;
        match result {
            Ok(mut logits) => {
                let mut rows = logits.chunks_exact_mut(vocabulary);
                for (index, count, wanted) in fed {
                    let active = &mut self.active[index];
                    active.unfed.drain(..count);
                    if let Some(row) = wanted.then(|| rows.next()).flatten() {
                        active.choose(&self.about.tokenizer, row);
                    }
                }
            }
            // Nobody waits for what was given up.
            Err(EngineError::Stopped) => {}
            Err(error) => {
                for (index, ..) in fed {
                    self.active[index].end(Piece::Failed(error.clone()));
                }
            }
        }
    }
}

/// The choice of tokens for a job. The vocabulary is read with the first grammar.
fn choice(about: &Arc<Description>, vocabulary: &mut Option<Vocabulary>, job: &Job) -> Result<Choice, EngineError> {
    let constraint = match &job.grammar {
        None => None,
        Some(grammar) => {
            let read = match vocabulary.take() {
                Some(read) => read,
                None => Vocabulary::new(Arc::clone(about))?,
            };
            Some(vocabulary.insert(read).constrain(grammar)?)
        }
    };
    Ok(Choice::new(job.sampling.clone(), &job.tokens, constraint, job.chances))
}

impl Active {
    fn new(order: Order, choice: Choice, sequence: SequenceId, cached: usize) -> Self {
        let text = Stops::new(&order.job.stop);
        let unfed = order.job.tokens.get(cached..).unwrap_or(&[]).to_vec();
        Self { order, sequence, cached, unfed, choice, text, count: 0, pending: VecDeque::new(), done: false }
    }

    /// What every answer begins with, before anything is computed.
    fn begin(&mut self, tokenizer: &Tokenizer) {
        let step = self.choice.begin();
        self.go_on(step, tokenizer);
    }

    /// Chooses how the answer goes on.
    fn choose(&mut self, tokenizer: &Tokenizer, logits: &mut [f32]) {
        if !logits.iter().all(|l| l.is_finite()) {
            return self.end(Piece::Failed(EngineError::NotFinite));
        }
        let step = self.choice.next(logits, tokenizer);
        self.go_on(step, tokenizer);
    }

    fn go_on(&mut self, step: Result<Step, EngineError>, tokenizer: &Tokenizer) {
        let step = match step {
            Ok(step) => step,
            Err(error) => return self.end(Piece::Failed(error)),
        };
        let most = self.order.most() - self.order.job.tokens.len();
        let room = step.tokens.len().min(most - self.count);
        if room > 0 && !step.chances.is_empty() {
            let likely = |(own, top): &(Chance, Vec<Chance>)| likelihood(tokenizer, own, top);
            self.pending.push_back(Piece::Likely(step.chances[..room].iter().map(likely).collect()));
        }
        for token in &step.tokens[..room] {
            self.count += 1;
            let (piece, met) = self.text.push(tokenizer.bytes(*token));
            self.say(piece);
            if met {
                return self.end(Piece::Done { tokens: self.count, cached: self.cached, stopped: true });
            }
        }
        if self.count == most || step.ended {
            return self.finish(room == step.tokens.len() && step.ended);
        }
        self.unfed.extend(&step.tokens);
    }

    fn say(&mut self, piece: String) {
        if !piece.is_empty() {
            self.pending.push_back(Piece::Text(piece));
            self.flush();
        }
    }

    fn finish(&mut self, stopped: bool) {
        let (piece, met) = self.text.finish();
        self.say(piece);
        self.end(Piece::Done { tokens: self.count, cached: self.cached, stopped: stopped || met });
    }

    fn end(&mut self, last: Piece) {
        self.done = true;
        self.pending.push_back(last);
        self.flush();
    }

    /// Hands over what the reader has room for. A reader that is gone has room for everything.
    fn flush(&mut self) {
        while let Some(piece) = self.pending.pop_front() {
            if let Err(TrySendError::Full(piece)) = self.order.reply.try_send(piece) {
                self.pending.push_front(piece);
                return;
            }
        }
    }

    fn wait_for_reader(&mut self) {
        if let Some(piece) = self.pending.pop_front() {
            let _ = self.order.reply.blocking_send(piece);
        }
    }
}

fn likelihood(tokenizer: &Tokenizer, own: &Chance, top: &[Chance]) -> Likelihood {
    let text = |token: u32| match tokenizer.bytes(token) {
        [] => tokenizer.text(token).to_owned(),
        bytes => String::from_utf8_lossy(bytes).into_owned(),
    };
    let top = top.iter().map(|c| (text(c.token), c.logprob)).collect();
    Likelihood { token: text(own.token), logprob: own.logprob, top }
}

/// Tokens whose keys and values are kept: half of the memory that is left beside the weights, a few contexts at most.
///
/// # Errors
/// The weights, or keys and values of `wanted` tokens, do not fit.
fn capacity(shape: &Shape, weights: u64, free: Option<u64>, wanted: usize) -> Result<usize, EngineError> {
    let most = shape.context * MOST_CONTEXTS;
    let Some(free) = free else { return Ok(most) };
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let Some(left) = free.checked_sub(weights) else {
        return Err(EngineError::Memory(format!(
            "the weights take {} MiB, and {} MiB of memory are free",
            mib(weights),
            mib(free)
        )));
    };
    let fits = |bytes: u64| usize::try_from(bytes / shape.kv_bytes().max(1) as u64).unwrap_or(usize::MAX);
    if fits(left) < wanted {
        return Err(EngineError::Memory(format!(
            "{wanted} tokens take {} MiB beside {} MiB of weights, and {} MiB of memory are free; a context of {} would fit",
            mib((wanted * shape.kv_bytes()) as u64),
            mib(weights),
            mib(free),
            fits(left)
        )));
    }
    Ok(fits(left / 2).max(wanted).min(most.max(wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_bounds_what_is_kept() {
        let shape = super::super::tests::shape();
        let token = shape.kv_bytes() as u64;
        assert_eq!(capacity(&shape, 100, None, 10), Ok(shape.context * MOST_CONTEXTS));
        assert_eq!(capacity(&shape, 100, Some(100 + 64 * token), 10), Ok(32));
        assert_eq!(capacity(&shape, 100, Some(100 + 64 * token), 60), Ok(60));
        assert!(matches!(capacity(&shape, 100, Some(99), 1), Err(EngineError::Memory(_))));
        let Err(EngineError::Memory(text)) = capacity(&shape, 100, Some(100 + 64 * token), 65) else { panic!() };
        assert!(text.contains("a context of 64 would fit"), "{text}");
    }
}
