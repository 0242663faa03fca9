//! What stands in for a model in a test: answers one after the other, failures and waits among them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{BoxFuture, Caps, ErrorKind, Prepared, Provider, ProviderError};
use crate::event::Sink;
use crate::value::{Answer, Finish, Request, RequestInput, Role, Usage};

/// What a mocked model does at one call.
#[derive(Clone, Debug)]
pub enum Scripted {
    /// It answers, and says why it stopped.
    Text(String, Finish),
    /// It fails.
    Fail(String),
    /// It does the same, later.
    Delay(Duration, Box<Scripted>),
}

/// A mocked model. It is asked like any other, and is not tried again.
pub struct Mock {
    name: String,
    answers: Vec<Scripted>,
    /// Whether the only answer answers every call.
    always: bool,
    calls: AtomicUsize,
}

impl Mock {
    /// A model called `name` that gives `answers` one after the other or, where `always`, the first of them to all calls.
    pub fn new(name: &str, answers: Vec<Scripted>, always: bool) -> Self {
        Self { name: name.to_owned(), answers, always, calls: AtomicUsize::new(0) }
    }

    fn answer(&self) -> Result<Scripted, ProviderError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let at = if self.always { 0 } else { call };
        self.answers.get(at).cloned().ok_or_else(|| {
            let n = self.answers.len();
            let s = if n == 1 { "" } else { "s" };
            let message = format!("the mock of `{}` has {n} answer{s}, and this is call {}", self.name, call + 1);
            ProviderError::new(ErrorKind::Scripted, message)
                .help("give it an answer for each call, or one value, which answers every call")
        })
    }
}

impl Provider for Mock {
    fn caps(&self) -> Caps {
        Caps { concurrency: 64, context: None }
    }

    fn prepare(&self, request: &Request) -> Result<Prepared, ProviderError> {
        let prompt = match &request.input {
            RequestInput::Messages(messages) => {
                messages.iter().rfind(|m| m.role == Role::User).map(|m| m.text.clone()).unwrap_or_default()
            }
            RequestInput::Raw(segments) => segments.iter().map(|s| s.text.as_str()).collect(),
        };
        Ok(Prepared::Script { prompt })
    }

    fn generate<'a>(
        &'a self,
        _request: &'a Request,
        prepared: &'a Prepared,
        sink: &'a mut Sink,
    ) -> BoxFuture<'a, Result<Answer, ProviderError>> {
        Box::pin(async move {
            let mut answer = self.answer()?;
            let mut waited = Duration::ZERO;
            while let Scripted::Delay(wait, inner) = answer {
                tokio::time::sleep(wait).await;
                waited += wait;
                answer = *inner;
            }
            match answer {
                Scripted::Text(text, finish) => {
                    sink.text(&text).await?;
                    let words = |text: &str| Some(text.split_whitespace().count() as u64);
                    let input = match prepared {
                        Prepared::Script { prompt } => words(prompt),
                        _ => None,
                    };
                    let usage = Usage { input, output: words(&text), cached: None };
                    let seconds = waited.as_secs_f64();
                    Ok(Answer {
                        text,
                        reasoning: None,
                        tool_calls: Vec::new(),
                        model: self.name.clone(),
                        finish,
                        usage,
                        seconds,
                    })
                }
                Scripted::Fail(why) => Err(ProviderError::new(ErrorKind::Scripted, why)),
                Scripted::Delay(..) => Err(ProviderError::new(ErrorKind::Scripted, "the mock has no answer")),
            }
        })
    }
}
