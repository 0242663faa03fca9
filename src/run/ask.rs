//! Asking a model: fallbacks, retries, time-outs, parsing and repair.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cache::{self, Unsaved};
use super::facts::{facts, recorded};
use super::fit::Fit;
use super::frame::Frame;
use super::rate::{self, Limiter, Passed, Wait};
use super::stages::{all_failed, unparsed, wrong_input};
use super::{Failure, Run, request};
use crate::diag::{Code, Diagnostic};
use crate::event::{CallFacts, EventKind, FrameId, Growing, Growth, NodeId, Sink};
use crate::parsers::{ParseError, Parser};
use crate::plan::{Ask, ModelId, Node};
use crate::providers::{Enforcement, ErrorKind, ModelConfig, Prepared, Provider, ProviderError};
use crate::source::Span;
use crate::value::{Answer, Finish, Message, Request, RequestInput, Role, Value};

/// The first wait before another try, in seconds; it doubles with every try.
const FIRST_WAIT: f64 = 0.5;

/// The longest wait that is not asked for by a server, in seconds.
const LONGEST_WAIT: f64 = 8.0;

/// An answer, how it is to be kept, and what read it as it came.
struct Answered {
    answer: Answer,
    unsaved: Option<Unsaved>,
    growing: Option<Box<dyn Growing>>,
}

/// A call that is ready to go.
struct Calling<'c> {
    config: &'c ModelConfig,
    provider: &'c dyn Provider,
    request: &'c Request,
    prepared: &'c Prepared,
}

/// What a call gives that nobody waits for any more.
fn stopped() -> ProviderError {
    ProviderError::new(ErrorKind::Cancelled, "the run was stopped")
}

impl<'a> Run<'a> {
    pub(super) async fn ask(&self, frame: &Rc<Frame>, id: NodeId, node: &Node, ask: &Ask) -> Result<Value, Failure> {
        let left = self.left(frame, node);
        let Some(input) = request::input(&left.value, left.tainted) else {
            return Err(wrong_input(node, &left.value, "a model takes messages or text"));
        };
        let wanted = ask.parser.as_ref().and_then(|p| p.constraint());
        let mut failed: Vec<Diagnostic> = Vec::new();
        for (i, model) in ask.models.iter().enumerate() {
            let last = i + 1 == ask.models.len();
            if ask.live && !ask.discardable && last {
                self.tell(frame, id, EventKind::Settled).await?;
            }
            let constraint = self.models.configs[model.0 as usize].held_to(wanted.clone());
            let request = Request { input: input.clone(), constraint };
            match self.answer(frame, id, ask, *model, &request).await {
                Ok(answered) => return self.parsed(frame, id, node, ask, *model, request, answered).await,
                Err(error) if error.kind == ErrorKind::Cancelled => return Err(Failure::Stopped),
                Err(error) => {
                    let diagnostic = self.failure(node, *model, error);
                    if !last {
                        self.tell(frame, id, EventKind::Discarded { error: diagnostic.message.clone() }).await?;
                    }
                    failed.push(diagnostic);
                }
            }
        }
        Err(all_failed(failed, node.span))
    }

    /// The value of an answer: parsed where the parser stands right behind the model, asked again where it repairs.
    #[allow(clippy::too_many_arguments, reason = "a call, its place and its answer belong together")]
    async fn parsed(
        &self,
        frame: &Rc<Frame>,
        id: NodeId,
        node: &Node,
        ask: &Ask,
        model: ModelId,
        mut request: Request,
        mut answered: Answered,
    ) -> Result<Value, Failure> {
        let parser = match &ask.parser {
            Some(parser) if !ask.parse_later => parser,
            _ => {
                self.keep(frame, id, answered.unsaved).await?;
                self.warn_of_cut(frame, id, model, &answered.answer).await?;
                let mut message = Message::new(Role::Assistant, answered.answer.text.clone());
                message.calls.clone_from(&answered.answer.tool_calls);
                message.answer = Some(Arc::new(answered.answer));
                return Ok(Value::Message(Arc::new(message)));
            }
        };
        let config = &self.models.configs[model.0 as usize];
        let unread =
            |error| unparsed(error, ask.parser_span.unwrap_or(node.span), Some(&config.name), unheld(config, parser));
        let mut rounds = parser.repair();
        loop {
            let error = match parser.parse(&answered.answer.text) {
                Ok(value) => {
                    self.keep(frame, id, answered.unsaved).await?;
                    self.whole(frame, id, answered.growing, &value).await?;
                    self.warn_of_cut(frame, id, model, &answered.answer).await?;
                    self.tell_of_calls(frame, id, parser, &answered.answer).await?;
                    return Ok(value);
                }
                Err(error) => with_cut(error, Some(&answered.answer)),
            };
            if !answered.answer.tool_calls.is_empty() {
                return Err(unread(without_answer(error, &answered.answer)));
            }
            let RequestInput::Messages(messages) = &mut request.input else {
                return Err(unread(error));
            };
            if rounds == 0 {
                return Err(unread(error));
            }
            rounds -= 1;
            let text =
                format!("the answer of `{}` does not parse and is asked for again: {}", config.name, error.message);
            self.tell(frame, id, EventKind::Notice { text }).await?;
            messages.push(Message::new(Role::Assistant, answered.answer.text));
            let again = format!("Your answer could not be read: {}\n{}", error.message, parser.format_instructions());
            messages.push(Message::new(Role::User, again));
            answered = match self.answer(frame, id, ask, model, &request).await {
                Ok(answered) => answered,
                Err(error) if error.kind == ErrorKind::Cancelled => return Err(Failure::Stopped),
                Err(error) => return Err(Failure::Failed(Box::new(self.failure(node, model, error)))),
            };
        }
    }

    /// Keeps an answer that is worth it: one that its parser took.
    async fn keep(&self, frame: &Frame, id: NodeId, unsaved: Option<Unsaved>) -> Result<(), Failure> {
        match unsaved.map(|unsaved| unsaved.save(&self.models.cache)) {
            Some(Err(text)) => self.tell(frame, id, EventKind::Notice { text }).await,
            _ => Ok(()),
        }
    }

    /// One model's answer, which whoever follows the run is told.
    async fn answer(
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
        let _permit = self.permits[at].acquire().await.map_err(|_| stopped())?;
        let mut fit = Fit::new(config, request);
        let mut attempt = 1;
        loop {
            let mut sink =
                Sink::new(self.events.clone(), frame.id, id, self.models.secrets.clone(), config.max_response())
                    .aside(!ask.live)
                    .growing(|| ask.reader().and_then(Parser::stream));
            provider.fetch(&mut sink).await?;
            let prepared = match provider.prepare(fit.request()) {
                Ok(prepared) => prepared,
                Err(error) => {
                    fit.shorten(clean(error, &sink), &mut sink).await?;
                    continue;
                }
            };
            let key = cache::key(config, provider.as_ref(), fit.request(), &prepared);
            let call = Calling { config, provider: provider.as_ref(), request: fit.request(), prepared: &prepared };
            if let Some(answer) = self.kept(&call, key.as_deref(), &mut sink).await? {
                self.answered(ask, config, request, &answer, true, &mut sink).await?;
                return Ok(Answered { answer, unsaved: None, growing: sink.take_growing() });
            }
            let passed = self.pass(at, &call, &mut sink).await?;
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
                    self.answered(ask, config, request, &answer, false, &mut sink).await?;
                    return Ok(Answered { answer, unsaved, growing: sink.take_growing() });
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

    /// Waits for the limits of a model's rate, where it has some.
    async fn pass(
        &self,
        model: usize,
        call: &Calling<'_>,
        sink: &mut Sink,
    ) -> Result<Option<(&Limiter, Passed)>, ProviderError> {
        let Some(limiter) = self.limiters.get(model).and_then(Option::as_deref) else { return Ok(None) };
        let input = rate::prompt_tokens(call.request, call.prepared);
        let output = call.config.int("max_tokens").and_then(|n| u64::try_from(n).ok());
        let model = call.config.name.clone();
        let tell = async |wait: Wait| {
            let Wait { length, limit, most } = wait;
            sink.tell(EventKind::RateLimited { model, limit, most, wait: length.as_secs_f64() }).await
        };
        Ok(Some((limiter, limiter.pass(input, output, tell).await?)))
    }

    /// Tells that an answer is whole, and gives it to who records.
    async fn answered(
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

    /// Tells what completes the growing value, so that it ends as the parsed one.
    async fn whole(
        &self,
        frame: &Frame,
        id: NodeId,
        growing: Option<Box<dyn Growing>>,
        value: &Value,
    ) -> Result<(), Failure> {
        let Some(mut growing) = growing else { return Ok(()) };
        for growth in growing.finish() {
            self.tell(frame, id, EventKind::Partial(growth)).await?;
        }
        if growing.value().as_ref() != Some(value) {
            let growth = Growth::Set { at: String::new(), value: value.to_json() };
            self.tell(frame, id, EventKind::Partial(growth)).await?;
        }
        Ok(())
    }

    /// Says that an answer which goes on was cut.
    async fn warn_of_cut(&self, frame: &Frame, id: NodeId, model: ModelId, answer: &Answer) -> Result<(), Failure> {
        if answer.finish != Finish::Length {
            return Ok(());
        }
        let name = &self.models.configs[model.0 as usize].name;
        let text = format!("the answer of `{name}` was cut{}", after(answer));
        self.tell(frame, id, EventKind::Warning { code: Code::W502.0, text, help: MORE_TOKENS }).await
    }

    /// Tells that a parser took the text of an answer that asks for tools too.
    async fn tell_of_calls(&self, frame: &Frame, id: NodeId, parser: &Parser, answer: &Answer) -> Result<(), Failure> {
        if answer.tool_calls.is_empty() {
            return Ok(());
        }
        let (names, parser) = (called_tools(answer), parser.name());
        let text = format!("the model asks for {names}, which `{parser}` leaves out: its message has `.tool_calls`");
        self.tell(frame, id, EventKind::Notice { text }).await
    }

    /// A failed call with its stage, its place, its provider and what to do.
    fn failure(&self, node: &Node, model: ModelId, error: ProviderError) -> Diagnostic {
        call_failure("model", &self.models.configs[model.0 as usize], node.span, error)
    }
}

/// A failed call of a model or an embedder, with its place, its provider and what to do.
pub(super) fn call_failure(noun: &str, config: &ModelConfig, span: Span, error: ProviderError) -> Diagnostic {
    let code = error.kind.code();
    let who = if config.name == config.spec.name {
        format!("`{}`", config.name)
    } else {
        format!("`{}` ({})", config.name, config.spec.name)
    };
    let diagnostic = Diagnostic::error(code, span, format!("the {noun} {who} failed: {}", error.message));
    error.help.into_iter().fold(diagnostic, Diagnostic::help)
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

/// What helps where an answer is cut.
const MORE_TOKENS: &str = "`max_tokens:` on the model allows more, within its context window";

/// After how many tokens an answer ended, where that is known.
fn after(answer: &Answer) -> String {
    answer.usage.output.map(|n| format!(" after {n} tokens")).unwrap_or_default()
}

/// What `error` says, and whether the answer was cut: known from the model, it needs not be asked.
pub(super) fn with_cut(mut error: ParseError, answer: Option<&Answer>) -> ParseError {
    let Some(answer) = answer.filter(|a| a.finish != Finish::Other) else { return error };
    error.help.retain(|line| !line.starts_with("was the answer cut"));
    if answer.finish == Finish::Length {
        error.help.insert(0, format!("the answer was cut{}: {MORE_TOKENS}", after(answer)));
    }
    error
}

/// The tools that an answer asks for, for a message.
fn called_tools(answer: &Answer) -> String {
    let names: Vec<String> = answer.tool_calls.iter().map(|call| format!("`{}`", call.name)).collect();
    if let [one] = names.as_slice() { format!("the tool {one}") } else { format!("the tools {}", names.join(", ")) }
}

/// The error of a parser before which the model asked for tools: to ask again would not change that.
fn without_answer(mut error: ParseError, answer: &Answer) -> ParseError {
    error.help.insert(0, format!("the model asks for {} instead of answering", called_tools(answer)));
    error.help.insert(1, "without a parser the answer is a message, whose `.tool_calls` has them".to_owned());
    error
}

/// Why nothing but the parser looked after the form of a model's answer, where something else could have.
fn unheld(config: &ModelConfig, parser: &Parser) -> Option<String> {
    let why = match config.enforces(&parser.constraint()?) {
        Enforcement::Enforced | Enforcement::Written if config.bool("constrain") != Some(false) => return None,
        Enforcement::Written => return None,
        Enforcement::Enforced => "the file says `constrain: false`".to_owned(),
        Enforcement::CheckedAlone(why) => why.to_owned(),
        Enforcement::Never(why) => why,
    };
    Some(format!("the answer was checked alone: {why}"))
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
