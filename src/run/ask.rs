//! Asking a model: fallbacks, parsing and repair.

use std::rc::Rc;
use std::sync::Arc;

use super::cache::Unsaved;
use super::frame::Frame;
use super::stages::{all_failed, unparsed, wrong_input};
use super::tries::Answered;
use super::{Failure, Run, request};
use crate::diag::{Code, Diagnostic};
use crate::event::{EventKind, Growing, Growth, NodeId};
use crate::parsers::{ParseError, Parser};
use crate::plan::{Ask, ModelId, Node};
use crate::providers::{Enforcement, ErrorKind, ModelConfig, ProviderError};
use crate::source::Span;
use crate::value::{Answer, Finish, Message, Request, RequestInput, Role, Value};

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
            // Whoever waits for this answer asks for itself, and does not wait for the repair.
            drop(answered.leading);
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
