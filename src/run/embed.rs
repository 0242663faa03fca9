//! Making vectors: batches, tries, time-outs, and the vectors that are kept.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{FuturesUnordered, StreamExt};
use indexmap::IndexMap;

use super::ask::call_failure;
use super::frame::Frame;
use super::rate::{self, Limiter, Passed, Wait};
use super::stages::wrong_input;
use super::tries::{backoff, clean};
use super::{Failure, Run, vectors};
use crate::diag::{Code, Diagnostic};
use crate::event::{EmbedderFacts, EventKind, NodeId, Sink};
use crate::plan::{EmbedderId, Node};
use crate::providers::{Embedder, Embeddings, ErrorKind, ModelConfig, ProviderError};
use crate::source::Span;
use crate::value::{Usage, Value};

/// Vectors that are read from disk before other tasks get their turn.
const TURN: usize = 64;

/// Texts whose vectors are wanted.
pub(super) struct Wanted<'t> {
    /// What makes them.
    pub embedder: EmbedderId,
    /// The texts.
    pub texts: &'t [String],
    /// Whether they are kept on disk.
    pub keep: bool,
    /// The index that they are for.
    pub index: Option<&'t str>,
    /// Where a failure is told.
    pub span: Span,
}

/// The vectors of some texts.
pub(super) struct Made {
    /// One for each text, in their order; all of one dimension.
    pub vectors: Vec<Arc<[f32]>>,
    /// How many different texts were kept from before.
    pub kept: usize,
    /// How many different texts were embedded now.
    pub made: usize,
}

/// The texts of which each vector is wanted once, with what is known of them.
struct Distinct<'t> {
    /// Their places in `vectors`, by the text.
    places: IndexMap<&'t str, usize>,
    /// Keys under which they are kept; empty where they are not.
    keys: Vec<String>,
    vectors: Vec<Option<Arc<[f32]>>>,
}

impl Run<'_> {
    /// `embed(…)`: the vector of a text, or those of a list of texts.
    pub(super) async fn embed(
        &self,
        frame: &Rc<Frame>,
        id: NodeId,
        node: &Node,
        embedder: EmbedderId,
    ) -> Result<Value, Failure> {
        let left = self.left(frame, node).value;
        let owned = |value: &Value| value.as_text().map(std::borrow::Cow::into_owned);
        let wrong = || wrong_input(node, &left, "`embed` takes text or a list of texts");
        let texts: Vec<String> = match &left {
            Value::List(items) => items.iter().map(owned).collect::<Option<_>>().ok_or_else(wrong)?,
            one => vec![owned(one).ok_or_else(wrong)?],
        };
        let keep = self.keeps_vectors(embedder);
        let made =
            self.vectors(frame, id, Wanted { embedder, texts: &texts, keep, index: None, span: node.span }).await?;
        let mut values: Vec<Value> = made.vectors.iter().map(|vector| value(vector)).collect();
        match &left {
            Value::List(_) => Ok(Value::list(values)),
            _ => Ok(values.pop().unwrap_or(Value::Null)),
        }
    }

    /// Whether vectors that are no index's are kept as well.
    pub(super) fn keeps_vectors(&self, embedder: EmbedderId) -> bool {
        self.models.embedders[embedder.0 as usize].0.bool("cache") == Some(true)
    }

    /// The vectors of texts: kept ones, and the others made in batches. What a batch gave is kept at once, whatever
    /// becomes of later ones.
    pub(super) async fn vectors(&self, frame: &Rc<Frame>, id: NodeId, wanted: Wanted<'_>) -> Result<Made, Failure> {
        let (config, embedder) = &self.models.embedders[wanted.embedder.0 as usize];
        let failed = |error| self.embedder_failure(config, wanted.span, error);
        let mut distinct = Distinct { places: IndexMap::new(), keys: Vec::new(), vectors: Vec::new() };
        for text in wanted.texts {
            let next = distinct.places.len();
            distinct.places.entry(text).or_insert(next);
        }
        distinct.vectors.resize(distinct.places.len(), None);
        let sink = Sink::new(self.events.clone(), frame.id, id, self.models.secrets.clone(), config.max_response());
        let texts = distinct.places.iter().map(|(text, place)| (*text, *place));
        let tickets = self.taped_vectors(config, &sink, texts, &mut distinct.vectors).await.map_err(failed)?;
        // A recording is made of a call, not of what was kept before, and a replay asks no server what it is.
        let identity = match wanted.keep && tickets.is_none() {
            true => Some(embedder.identity().await.map_err(failed)?),
            false => None,
        };
        if let Some(identity) = &identity {
            self.find_kept(frame, id, identity, &mut distinct).await?;
        }
        let all = distinct.vectors.len();
        let kept = distinct.vectors.iter().flatten().count();
        if let Some(first) = distinct.vectors.iter().flatten().next() {
            let dimensions = first.len();
            let found = || {
                let facts = Box::new(facts(config, embedder.as_ref()));
                let usage = Usage::default();
                EventKind::Embedded { texts: kept, dimensions, usage, seconds: 0.0, cached: true, facts }
            };
            self.record(frame, id, found).await?;
        }
        let made = self.make_missing(frame, id, &wanted, embedder.as_ref(), config, &mut distinct).await;
        self.tape_vectors(tickets, &distinct.vectors);
        made?;
        let vectors: Vec<Arc<[f32]>> = wanted
            .texts
            .iter()
            .filter_map(|text| distinct.vectors[*distinct.places.get(text.as_str())?].clone())
            .collect();
        one_dimension(config, &vectors, wanted.span)?;
        Ok(Made { vectors, kept, made: all - kept })
    }

    /// Takes the vectors that are kept; those that cannot be used are as good as missing.
    async fn find_kept(
        &self,
        frame: &Frame,
        id: NodeId,
        identity: &str,
        distinct: &mut Distinct<'_>,
    ) -> Result<(), Failure> {
        let mut unusable = 0;
        for (text, place) in &distinct.places {
            let key = vectors::key(identity, text);
            match vectors::find(&self.models.vectors, &key) {
                Ok(found) => distinct.vectors[*place] = found.map(Arc::from),
                Err(()) => unusable += 1,
            }
            distinct.keys.push(key);
            if place % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
        if unusable > 0 {
            let are = if unusable == 1 { "kept vector is damaged and is" } else { "kept vectors are damaged and are" };
            self.tell(frame, id, EventKind::Notice { text: format!("{unusable} {are} made again") }).await?;
        }
        Ok(())
    }

    /// Makes the vectors that are missing, several batches at a time. After a failure no batch begins, and those in
    /// flight end, so that what they give is kept.
    async fn make_missing(
        &self,
        frame: &Frame,
        id: NodeId,
        wanted: &Wanted<'_>,
        embedder: &dyn Embedder,
        config: &ModelConfig,
        distinct: &mut Distinct<'_>,
    ) -> Result<(), Failure> {
        let missing: Vec<(usize, String)> = distinct
            .places
            .iter()
            .filter(|(_, place)| distinct.vectors[**place].is_none())
            .map(|(text, place)| (*place, (*text).to_owned()))
            .collect();
        let total = distinct.vectors.len();
        let mut done = total - missing.len();
        let size = embedder.batches();
        let mut waiting = missing.chunks(size.texts.max(1));
        let mut running = FuturesUnordered::new();
        let mut failed: Option<ProviderError> = None;
        let mut told = false;
        loop {
            while failed.is_none()
                && running.len() < size.at_once.max(1)
                && let Some(batch) = waiting.next()
            {
                let call = self.batch(frame, id, wanted.embedder, config, embedder, batch);
                running.push(async move { (batch, call.await) });
            }
            let Some((batch, outcome)) = running.next().await else { break };
            match outcome {
                Ok(made) => {
                    for ((place, _), vector) in batch.iter().zip(made.vectors) {
                        let unkept = distinct
                            .keys
                            .get(*place)
                            .and_then(|key| vectors::keep(&self.models.vectors, key, &vector).err());
                        if let Some(text) = unkept.filter(|_| !std::mem::replace(&mut told, true)) {
                            self.tell(frame, id, EventKind::Notice { text }).await?;
                        }
                        distinct.vectors[*place] = Some(vector.into());
                    }
                    done += batch.len();
                    if let Some(index) = wanted.index {
                        let index = index.to_owned();
                        self.tell(frame, id, EventKind::Indexing { index, done, total }).await?;
                    }
                }
                Err(error) if error.kind == ErrorKind::Cancelled => return Err(Failure::Stopped),
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        match failed {
            Some(error) => Err(self.embedder_failure(config, wanted.span, error)),
            None => Ok(()),
        }
    }

    /// One batch: one of the tries that `retry` allows.
    async fn batch(
        &self,
        frame: &Frame,
        id: NodeId,
        place: EmbedderId,
        config: &ModelConfig,
        embedder: &dyn Embedder,
        batch: &[(usize, String)],
    ) -> Result<Embeddings, ProviderError> {
        let stopped = || ProviderError::new(ErrorKind::Cancelled, "the run was stopped");
        let gate = self.gates.embedder(place);
        let _permit = gate.enter().await.map_err(|_| stopped())?;
        let texts: Vec<String> = batch.iter().map(|(_, text)| text.clone()).collect();
        let mut attempt = 1;
        loop {
            let secrets = self.models.secrets.clone();
            let mut sink = Sink::new(self.events.clone(), frame.id, id, secrets, config.max_response());
            let passed = match &gate.limiter {
                Some(limiter) => Some((limiter, within_rate(limiter, config, &texts, &mut sink).await?)),
                None => None,
            };
            let (provider, model, count) = (config.spec.name, config.shown_model(), texts.len());
            let called = |_: &Sink| EventKind::EmbedderCalled { provider, model, attempt, texts: count };
            sink.record(called).await?;
            let started = Instant::now();
            let error = match one_try(config, embedder, &texts, &mut sink).await {
                Ok(made) => {
                    if let Some((limiter, passed)) = &passed {
                        limiter.mend_vectors(passed, made.usage);
                    }
                    let (usage, seconds) = (made.usage, started.elapsed().as_secs_f64());
                    let dimensions = made.vectors.first().map_or(0, Vec::len);
                    let told = |_: &Sink| {
                        let facts = Box::new(facts(config, embedder));
                        EventKind::Embedded { texts: count, dimensions, usage, seconds, cached: false, facts }
                    };
                    sink.record(told).await?;
                    return Ok(made);
                }
                Err(error) => clean(error, &sink),
            };
            let again = matches!(error.kind, ErrorKind::Unreachable | ErrorKind::TimedOut | ErrorKind::Busy);
            if !again || attempt > config.retry() {
                return Err(error);
            }
            let wait = error.retry_after.unwrap_or_else(|| backoff(attempt, frame.id));
            let retrying = EventKind::Retrying { attempt, error: error.message, wait: wait.as_secs_f64() };
            self.events.send(frame.id, Some(id), retrying).await.map_err(|_| stopped())?;
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    fn embedder_failure(&self, config: &ModelConfig, span: Span, error: ProviderError) -> Failure {
        if error.kind == ErrorKind::Cancelled {
            return Failure::Stopped;
        }
        Failure::Failed(Box::new(call_failure("embedder", config, span, error)))
    }
}

/// What traces know of an embedder.
fn facts(config: &ModelConfig, embedder: &dyn Embedder) -> EmbedderFacts {
    EmbedderFacts {
        name: config.name.clone(),
        provider: config.spec.name,
        model: config.shown_model(),
        server: embedder.server().map(super::facts::server),
    }
}

/// Waits for the limits of a server's rate.
async fn within_rate(
    limiter: &Limiter,
    config: &ModelConfig,
    texts: &[String],
    sink: &mut Sink,
) -> Result<Passed, ProviderError> {
    let tokens = texts.iter().map(|text| rate::tokens_of(text.len())).sum();
    limiter
        .pass(tokens, Some(0), async |wait: Wait| sink.tell(wait.event(&config.name)).await)
        .await
        .map_err(Into::into)
}

async fn one_try(
    config: &ModelConfig,
    embedder: &dyn Embedder,
    texts: &[String],
    sink: &mut Sink,
) -> Result<Embeddings, ProviderError> {
    let call = embedder.embed(texts, sink);
    let made = match config.duration("timeout") {
        None => call.await?,
        Some(limit) => match tokio::time::timeout(limit, call).await {
            Ok(out) => out?,
            Err(_) => {
                let message = format!("no vectors within {limit:?}");
                return Err(ProviderError::new(ErrorKind::TimedOut, message)
                    .help("`timeout:` on the embedder bounds one try; `batch: 8` makes each smaller"));
            }
        },
    };
    made.check(texts.len()).map_err(|why| ProviderError::new(ErrorKind::Broken, why))?;
    Ok(made)
}

/// Refuses vectors of different dimensions.
fn one_dimension(config: &ModelConfig, vectors: &[Arc<[f32]>], span: Span) -> Result<(), Failure> {
    let Some(first) = vectors.first().map(|v| v.len()) else { return Ok(()) };
    match vectors.iter().find(|v| v.len() != first) {
        None => Ok(()),
        Some(other) => Err(dimensions_differ(config, first, other.len(), span)),
    }
}

/// The failure of vectors that cannot be compared.
pub(super) fn dimensions_differ(config: &ModelConfig, one: usize, other: usize, span: Span) -> Failure {
    let message = format!(
        "the embedder `{}` gave vectors of {one} and of {other} dimensions, which cannot be compared",
        config.name
    );
    let diagnostic = Diagnostic::error(Code::E440, span, message)
        .help("does another model answer under its name by now? `chainrun cache clear vectors` removes those of before")
        .help("`dimensions:` on the embedder asks for a number of them, where the model can");
    Failure::Failed(Box::new(diagnostic))
}

/// A vector as a value: each number as short as it can be written in 32 bits.
fn value(vector: &[f32]) -> Value {
    let short = |x: &f32| x.to_string().parse().unwrap_or_else(|_| f64::from(*x));
    Value::list(vector.iter().map(|x| Value::Float(short(x))).collect())
}
