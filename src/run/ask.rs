//! Asking a model: fallbacks, retries, time-outs, parsing and repair.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::frame::Frame;
use super::stages::{all_failed, unparsed, wrong_input};
use super::{Failure, Run, request};
use crate::diag::{Code, Diagnostic};
use crate::event::{EventKind, NodeId, Sink};
use crate::plan::{Ask, ModelId, Node};
use crate::providers::{ErrorKind, ModelConfig, Prepared, Provider, ProviderError};
use crate::value::{Answer, Finish, Message, Request, RequestInput, Role, Value};

/// The first wait before another try, in seconds; it doubles with every try.
const FIRST_WAIT: f64 = 0.5;

/// The longest wait that is not asked for by a server, in seconds.
const LONGEST_WAIT: f64 = 8.0;

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
            match self.answer(frame, id, *model, &request).await {
                Ok(answer) => return self.parsed(frame, id, node, ask, *model, request, answer).await,
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
        mut answer: Answer,
    ) -> Result<Value, Failure> {
        let parser = match &ask.parser {
            Some(parser) if !ask.parse_later => parser,
            _ => {
                let mut message = Message::new(Role::Assistant, answer.text.clone());
                message.answer = Some(Arc::new(answer));
                return Ok(Value::Message(Arc::new(message)));
            }
        };
        let name = &self.models.configs[model.0 as usize].name;
        let mut rounds = parser.repair();
        loop {
            let error = match parser.parse(&answer.text) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let span = ask.parser_span.unwrap_or(node.span);
            let RequestInput::Messages(messages) = &mut request.input else {
                return Err(unparsed(error, span, Some(name)));
            };
            if rounds == 0 {
                return Err(unparsed(error, span, Some(name)));
            }
            rounds -= 1;
            let text = format!("the answer of `{name}` does not parse and is asked for again: {}", error.message);
            self.tell(frame, id, EventKind::Notice { text }).await?;
            messages.push(Message::new(Role::Assistant, answer.text.clone()));
            let again = format!("Your answer could not be read: {}\n{}", error.message, parser.format_instructions());
            messages.push(Message::new(Role::User, again));
            answer = match self.answer(frame, id, model, &request).await {
                Ok(answer) => answer,
                Err(error) if error.kind == ErrorKind::Cancelled => return Err(Failure::Stopped),
                Err(error) => return Err(Failure::Failed(Box::new(self.failure(node, model, error)))),
            };
        }
    }

    /// One model's answer, with the tries that its `retry` allows.
    async fn answer(
        &self,
        frame: &Frame,
        id: NodeId,
        model: ModelId,
        request: &Request,
    ) -> Result<Answer, ProviderError> {
        let at = model.0 as usize;
        let (config, provider) = (&self.models.configs[at], &self.models.providers[at]);
        let cancelled = |_| ProviderError::new(ErrorKind::Cancelled, "the run was stopped");
        let _permit = self.permits[at]
            .acquire()
            .await
            .map_err(|_| ProviderError::new(ErrorKind::Cancelled, "the run was stopped"))?;
        let mut attempt = 1;
        loop {
            let mut sink =
                Sink::new(self.events.clone(), frame.id, id, self.models.secrets.clone(), config.max_response());
            provider.fetch(&mut sink).await?;
            let prepared = provider.prepare(request)?;
            let called = EventKind::ModelCalled {
                provider: config.spec.name,
                model: config.shown_model(),
                attempt,
                prompt: sink.redact(&shown(&prepared)),
            };
            self.events.send(frame.id, Some(id), called).await.map_err(cancelled)?;
            let error = match self.one_try(config, provider.as_ref(), request, &prepared, &mut sink).await {
                Ok(answer) => {
                    self.answered(frame, id, config, &answer).await.map_err(cancelled)?;
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let again = matches!(error.kind, ErrorKind::Unreachable | ErrorKind::TimedOut | ErrorKind::Busy);
            if !again || sink.began() || attempt > config.retry() {
                let message = sink.redact(&error.message);
                let help = error.help.iter().map(|h| sink.redact(h)).collect();
                return Err(ProviderError { message, help, ..error });
            }
            let wait = error.retry_after.unwrap_or_else(|| backoff(attempt));
            let retrying =
                EventKind::Retrying { attempt, error: sink.redact(&error.message), wait: wait.as_secs_f64() };
            self.events.send(frame.id, Some(id), retrying).await.map_err(cancelled)?;
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    async fn one_try(
        &self,
        config: &ModelConfig,
        provider: &dyn Provider,
        request: &Request,
        prepared: &Prepared,
        sink: &mut Sink,
    ) -> Result<Answer, ProviderError> {
        let call = provider.generate(request, prepared, sink);
        match config.duration("timeout") {
            None => call.await,
            Some(limit) => match tokio::time::timeout(limit, call).await {
                Ok(out) => out,
                Err(_) => {
                    let message = format!("no whole answer within {limit:?}");
                    Err(ProviderError::new(ErrorKind::TimedOut, message)
                        .help("`timeout:` on the model bounds one try, its stream included"))
                }
            },
        }
    }

    async fn answered(
        &self,
        frame: &Frame,
        id: NodeId,
        config: &ModelConfig,
        answer: &Answer,
    ) -> Result<(), crate::event::Stopped> {
        let kind = EventKind::ModelAnswered { finish: answer.finish, usage: answer.usage, seconds: answer.seconds };
        self.events.send(frame.id, Some(id), kind).await?;
        if answer.finish == Finish::Length {
            let count = answer.usage.output.map(|n| format!(" after {n} tokens")).unwrap_or_default();
            let text = format!(
                "the answer of `{}` was cut{count}: `max_tokens:` on the model allows more, within its context window",
                config.name
            );
            self.events.send(frame.id, Some(id), EventKind::Notice { text }).await?;
        }
        Ok(())
    }

    /// A failed call with its stage, its place, its provider and what to do.
    fn failure(&self, node: &Node, model: ModelId, error: ProviderError) -> Diagnostic {
        let config = &self.models.configs[model.0 as usize];
        let code = match error.kind {
            ErrorKind::Unreachable | ErrorKind::TimedOut => Code::E402,
            ErrorKind::Busy | ErrorKind::Refused => Code::E403,
            ErrorKind::Broken | ErrorKind::TooLarge => Code::E404,
            ErrorKind::Prompt => Code::E406,
            ErrorKind::Weights => Code::E407,
            ErrorKind::Unspoken | ErrorKind::Scripted | ErrorKind::Cancelled => Code::E401,
        };
        let who = if config.name == config.spec.name {
            format!("`{}`", config.name)
        } else {
            format!("`{}` ({})", config.name, config.spec.name)
        };
        let diagnostic = Diagnostic::error(code, node.span, format!("the model {who} failed: {}", error.message));
        error.help.into_iter().fold(diagnostic, Diagnostic::help)
    }
}

/// The wait before try `attempt + 1`: half a second, doubled each time, at most eight seconds.
fn backoff(attempt: u32) -> Duration {
    Duration::from_secs_f64((FIRST_WAIT * 2f64.powi(attempt.min(16) as i32 - 1)).min(LONGEST_WAIT))
}

/// The longest prompt in an event, in bytes.
const SHOWN: usize = 2_000;

/// A prepared call as events show it.
fn shown(prepared: &Prepared) -> String {
    let mut text = match prepared {
        Prepared::Http { body, .. } => body.to_string(),
        Prepared::Text { text, .. } => text.clone(),
        Prepared::Script { prompt } => prompt.clone(),
    };
    if text.len() > SHOWN {
        let end = (0..=SHOWN).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
