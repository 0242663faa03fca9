//! The tries of a call: kept answers, retries, limits, time-outs.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::Run;
use super::cache::{self, Unsaved};
use super::facts::{facts, recorded};
use super::fit::Fit;
use super::flights::{Leading, Role};
use super::frame::Frame;
use super::rate::{self, Limiter, Passed, Wait};
use super::taped::Taped;
use super::traffic::Gate;
use crate::event::{CallFacts, EventKind, FrameId, Growing, NodeId, Sink};
use crate::parsers::Parser;
use crate::plan::{Ask, ModelId};
use crate::providers::{ErrorKind, ModelConfig, Prepared, Provider, ProviderError};
use crate::value::{Answer, Request};

/// The first wait before another try, in seconds; it doubles with every try.
const FIRST_WAIT: f64 = 0.5;

/// The longest wait that is not asked for by a server, in seconds.
const LONGEST_WAIT: f64 = 8.0;

/// An answer, how it is to be kept, and what read it as it came.
pub(super) struct Answered {
    pub answer: Answer,
    pub unsaved: Option<Unsaved>,
    pub growing: Option<Box<dyn Growing>>,
    /// The lead over calls that wait for this answer to be kept.
    pub leading: Option<Leading>,
}

/// A call that is ready to go.
struct Calling<'c> {
    config: &'c ModelConfig,
    provider: &'c dyn Provider,
    request: &'c Request,
    prepared: &'c Prepared,
}

/// The answer will not be kept: whoever waits for that goes on.
fn given_up(leading: Option<Leading>) {
    if let Some(leading) = leading {
        leading.fail();
    }
}

/// What a call gives that nobody waits for any more.
fn stopped() -> ProviderError {
    ProviderError::new(ErrorKind::Cancelled, "the run was stopped")
}

impl Run<'_> {
    /// One model's answer, which whoever follows the run is told.
    pub(super) async fn answer(
        &self,
        frame: &Frame,
        id: NodeId,
        ask: &Ask,
        model: ModelId,
        request: &Request,
    ) -> Result<Answered, ProviderError> {
        let mut called = 0;
        let out = self.tries(frame, id, ask, model, request, &mut called).await;
        if let Some(watch) = self.watch {
            watch.asked(model, request, out.as_ref().map(|a| &a.answer).map_err(|e| e.message.as_str()));
        }
        if let Err(error) = &out
            && called > 0
            && error.kind != ErrorKind::Cancelled
        {
            let failed =
                || EventKind::ModelFailed { attempt: called, reason: error.kind.name(), error: error.message.clone() };
            self.events.record(frame.id, Some(id), failed).await.map_err(|_| stopped())?;
        }
        out
    }

    /// One model's answer: a kept one, else one of the tries that its `retry` allows. `called` is the number of the last try
    /// that was begun.
    async fn tries(
        &self,
        frame: &Frame,
        id: NodeId,
        ask: &Ask,
        model: ModelId,
        request: &Request,
        called: &mut u32,
    ) -> Result<Answered, ProviderError> {
        let at = model.0 as usize;
        let (config, provider) = (&self.models.configs[at], &self.models.providers[at]);
        let gate = self.gates.model(model);
        let mut permit = Some(gate.enter().await.map_err(|_| stopped())?);
        let sink_of_try = || {
            Sink::new(self.events.clone(), frame.id, id, self.models.secrets.clone(), config.max_response())
                .aside(!ask.live)
                .growing(|| ask.reader().and_then(Parser::stream))
        };
        let ticket = match self.taped(ask, config, provider.as_ref(), request, sink_of_try()).await? {
            Taped::Answered(answered) => return Ok(*answered),
            Taped::Make(ticket) => ticket,
        };
        let mut fit = Fit::new(config, request);
        let mut attempt = 1;
        // Others that ask the same wait for this call, or it waits for another of them.
        let mut leading: Option<Leading> = None;
        let mut alone = false;
        loop {
            let mut sink = sink_of_try();
            provider.fetch(&mut sink).await?;
            let prepared = match provider.prepare(fit.request()) {
                Ok(prepared) => prepared,
                Err(error) => {
                    fit.shorten(clean(error, &sink), &mut sink).await?;
                    continue;
                }
            };
            // A recording is made of a call, not of an answer that was kept before.
            let key = match ticket {
                Some(_) => None,
                None => cache::key(config, provider.as_ref(), fit.request(), &prepared),
            };
            let call = Calling { config, provider: provider.as_ref(), request: fit.request(), prepared: &prepared };
            let mut kept = self.kept(&call, key.as_deref(), &mut sink).await?;
            leading = leading.filter(|l| key.as_deref().is_some_and(|key| l.is_of(key)));
            if let (None, None, false, Some(key)) = (&kept, &leading, alone, &key) {
                let waited;
                (leading, waited) = self.lead(key, gate, &mut permit).await?;
                alone = leading.is_none();
                if waited {
                    kept = self.kept(&call, Some(key), &mut sink).await?;
                }
            }
            if let Some(answer) = kept {
                self.answered(ask, config, request, &answer, true, &mut sink).await?;
                return Ok(Answered { answer, unsaved: None, growing: sink.take_growing(), leading: None });
            }
            let passed = self.pass(gate, &call, &mut sink).await?;
            let waited = passed.as_ref().map(|(_, passed)| passed.waited).unwrap_or_default();
            self.called(&call, attempt, waited, &mut sink).await?;
            *called = attempt;
            let outcome = self.one_try(&call, &mut sink).await;
            sink.finish().await?;
            if let (Some((limiter, passed)), Ok(answer)) = (&passed, &outcome) {
                limiter.mend(passed, answer.usage, &answer.text);
            }
            let error = match outcome {
                Ok(answer) => {
                    sink.tool_calls(&answer.tool_calls).await?;
                    let unsaved = key.and_then(|key| cache::entry(key, &answer, &self.models.secrets));
                    let answer = veiled(answer, &sink);
                    self.tape(ticket.as_deref(), config, request, &answer, &sink);
                    self.answered(ask, config, request, &answer, false, &mut sink).await?;
                    if unsaved.is_none() {
                        given_up(leading.take());
                    }
                    drop(permit);
                    return Ok(Answered { answer, unsaved, growing: sink.take_growing(), leading });
                }
                Err(error) if error.kind == ErrorKind::Overflow && !sink.began() => {
                    fit.shorten(clean(error, &sink), &mut sink).await?;
                    continue;
                }
                Err(error) => error,
            };
            let again = matches!(error.kind, ErrorKind::Unreachable | ErrorKind::TimedOut | ErrorKind::Busy);
            // Text that is the result may stand on standard output already; other text was only an event.
            let spoken = sink.began() && (ask.live || error.kind != ErrorKind::TimedOut);
            if !again || spoken || attempt > config.retry() {
                given_up(leading);
                return Err(clean(error, &sink));
            }
            let wait = error.retry_after.unwrap_or_else(|| backoff(attempt, frame.id));
            let retrying =
                EventKind::Retrying { attempt, error: sink.redact(&error.message), wait: wait.as_secs_f64() };
            self.events.send(frame.id, Some(id), retrying).await.map_err(|_| stopped())?;
            tokio::time::sleep(wait).await;
            if let Some(watch) = self.watch {
                watch.again(model);
            }
            attempt += 1;
        }
    }

    /// Leads the call of a key; where another makes it already, waits for what becomes of that, and says so. Nobody leads
    /// after a failure.
    async fn lead(
        &self,
        key: &str,
        gate: &Gate,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<(Option<Leading>, bool), ProviderError> {
        match self.flights.join(key) {
            Role::Lead(leading) => Ok((Some(leading), false)),
            Role::Follow(following) => {
                // Whoever leads may need what this call holds, to ask again.
                permit.take();
                let leading = following.wait().await;
                *permit = Some(gate.enter().await.map_err(|_| stopped())?);
                Ok((leading, true))
            }
        }
    }

    /// Waits for the limits of a model's rate, where it has some.
    async fn pass<'g>(
        &self,
        gate: &'g Gate,
        call: &Calling<'_>,
        sink: &mut Sink,
    ) -> Result<Option<(&'g Limiter, Passed)>, ProviderError> {
        let Some(limiter) = gate.limiter.as_deref() else { return Ok(None) };
        let input = rate::prompt_tokens(call.request, call.prepared);
        let output = call.config.int("max_tokens").and_then(|n| u64::try_from(n).ok());
        let tell = async |wait: Wait| sink.tell(wait.event(&call.config.name)).await;
        Ok(Some((limiter, limiter.pass(input, output, tell).await?)))
    }

    /// Tells that an answer is whole, and gives it to who records.
    pub(super) async fn answered(
        &self,
        ask: &Ask,
        config: &ModelConfig,
        request: &Request,
        answer: &Answer,
        cached: bool,
        sink: &mut Sink,
    ) -> Result<(), ProviderError> {
        let of_record = |sink: &Sink| {
            let recorded = self.events.wanted().recordings.then(|| {
                let constraint = ask.parser.as_ref().and_then(|parser| parser.constraint());
                Box::new(recorded(config, request, constraint.as_ref(), answer, sink))
            });
            let Answer { finish, usage, seconds, ref model, .. } = *answer;
            EventKind::ModelAnswered { finish, usage, seconds, cached, model: model.clone(), recorded }
        };
        Ok(sink.record(of_record).await?)
    }

    /// Tells that a model is called; attempt 0 means that its answer was kept from an earlier call.
    async fn called(
        &self,
        call: &Calling<'_>,
        attempt: u32,
        waited: Duration,
        sink: &mut Sink,
    ) -> Result<(), ProviderError> {
        let called = |sink: &Sink| {
            let prompt = shortened(sink.redact(&shown(call.prepared)));
            let (provider, model) = (call.config.spec.name, sink.redact(&call.config.shown_model()));
            let prompts = self.events.wanted().prompts;
            let facts = facts(call.config, call.provider, call.request, prompts, sink);
            let facts = Arc::new(CallFacts { waited: waited.as_secs_f64(), ..facts });
            EventKind::ModelCalled { provider, model, attempt, prompt, cached: attempt == 0, facts }
        };
        Ok(sink.record(called).await?)
    }

    /// The answer that is kept from an earlier call, passed on like one that comes.
    async fn kept(
        &self,
        call: &Calling<'_>,
        key: Option<&str>,
        sink: &mut Sink,
    ) -> Result<Option<Answer>, ProviderError> {
        let Some(key) = key else { return Ok(None) };
        let started = Instant::now();
        let mut answer = match cache::find(&self.models.cache, key) {
            Ok(Some(answer)) => answer,
            Ok(None) => return Ok(None),
            Err(why) => {
                let text = format!("a kept answer of `{}` is passed over: {why}", call.config.name);
                sink.notice(&text).await?;
                return Ok(None);
            }
        };
        self.called(call, 0, Duration::ZERO, sink).await?;
        if let Some(reasoning) = &answer.reasoning {
            sink.reasoning(reasoning).await?;
        }
        sink.text(&answer.text).await?;
        sink.finish().await?;
        sink.tool_calls(&answer.tool_calls).await?;
        answer.seconds = started.elapsed().as_secs_f64();
        Ok(Some(answer))
    }

    async fn one_try(&self, call: &Calling<'_>, sink: &mut Sink) -> Result<Answer, ProviderError> {
        let answer = call.provider.generate(call.request, call.prepared, sink);
        match call.config.duration("timeout") {
            None => answer.await,
            Some(limit) => match tokio::time::timeout(limit, answer).await {
                Ok(out) => out,
                Err(_) => {
                    let message = format!("no whole answer within {limit:?}");
                    Err(ProviderError::new(ErrorKind::TimedOut, message)
                        .help("`timeout:` on the model bounds one try, its stream included"))
                }
            },
        }
    }
}

/// An answer without the run's secrets: a server may repeat the key that it was sent.
fn veiled(answer: Answer, sink: &Sink) -> Answer {
    Answer {
        text: sink.redact(&answer.text),
        reasoning: answer.reasoning.map(|text| sink.redact(&text)),
        tool_calls: answer.tool_calls.into_iter().map(|call| call.map_texts(&|text| sink.redact(text))).collect(),
        model: sink.redact(&answer.model),
        ..answer
    }
}

/// An error without the run's secrets.
pub(super) fn clean(error: ProviderError, sink: &Sink) -> ProviderError {
    let message = sink.redact(&error.message);
    let help = error.help.iter().map(|h| sink.redact(h)).collect();
    ProviderError { message, help, ..error }
}

/// The wait before try `attempt + 1`: half a second, doubled each time, at most eight seconds; of that, from a half to the
/// whole by the frame, so that calls that fail together do not all come again together.
pub(super) fn backoff(attempt: u32, frame: FrameId) -> Duration {
    let whole = (FIRST_WAIT * 2f64.powi(attempt.min(16) as i32 - 1)).min(LONGEST_WAIT);
    // Neighbouring numbers are spread over the whole range (Knuth's multiplicative hash).
    let share = f64::from(frame.0.wrapping_mul(2_654_435_769)) / f64::from(u32::MAX);
    Duration::from_secs_f64(whole * (1.0 - share / 2.0))
}

/// The longest prompt in an event, in bytes.
const SHOWN: usize = 2_000;

/// A prepared call as events show it, before secrets are taken out and it is cut to [`SHOWN`].
fn shown(prepared: &Prepared) -> Cow<'_, str> {
    match prepared {
        Prepared::Http { body, .. } => Prepared::shown_body(body).to_string().into(),
        Prepared::Text { text, .. } => text.into(),
        Prepared::Script { prompt } => prompt.into(),
    }
}

/// A text as events show it. A secret is taken out before: cut in two it would not be known again.
fn shortened(mut text: String) -> String {
    if text.len() > SHOWN {
        let end = (0..=SHOWN).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
