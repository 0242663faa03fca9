//! What answers: every provider of models, described by its [`Spec`] and made by its `build`.

pub mod control;
mod embed;
mod fake_embed;
mod fake_words;
pub mod instruct;
mod loading;
mod options;
mod sealed;
pub mod sources;
mod spec;
mod thinking;
pub mod tools;

pub mod fake;
pub mod gpt4all;
pub mod hf_endpoint;
#[cfg(feature = "local")]
pub mod local;
pub mod mock;
pub mod ollama;
pub mod openai;
pub mod replay;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use embed::{Batches, Embedder, Embeddings};
pub use options::{Extra, ModelConfig, OptionValue};
pub use sealed::{sealed, sealed_embedder};
pub use spec::{Build, Effect, Enforcement, OptionKind, OptionSpec, Said, Spec};

use crate::config::Context;
use crate::diag::Code;
use crate::event::Sink;
use crate::net::BaseUrl;
use crate::value::{Answer, Request, Secret};

/// A future that lives in its box.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What a provider can do with a model; pure.
#[derive(Clone, Debug, Default)]
pub struct Caps {
    /// Calls that may be in flight at a time.
    pub concurrency: usize,
    /// The context window in tokens, where known.
    pub context: Option<u64>,
}

/// A call, ready to go: what `explain` shows and what a digest is taken of.
#[derive(Clone, Debug, PartialEq)]
pub enum Prepared {
    /// A request over HTTP.
    Http {
        /// The whole address.
        url: String,
        /// The JSON body.
        body: serde_json::Value,
    },
    /// Text for a model inside the process.
    Text {
        /// The prompt as the model's template renders it.
        text: String,
        /// Its tokens.
        tokens: Vec<u32>,
    },
    /// A scripted answer.
    Script {
        /// The last user message or the raw text.
        prompt: String,
    },
}

impl Prepared {
    /// The JSON body as a person reads it: pictures by their length alone.
    pub fn shown_body(body: &serde_json::Value) -> serde_json::Value {
        use serde_json::Value as Json;
        let coded = |text: &str| {
            let data = text.starts_with("data:image/")
                || !text.contains(|c: char| !c.is_ascii_alphanumeric() && !"+/=".contains(c));
            text.len() > 256 && data
        };
        match body {
            Json::String(text) if coded(text) => Json::from(format!("[{} characters of base64]", text.len())),
            Json::Array(items) => items.iter().map(Self::shown_body).collect(),
            Json::Object(map) => map.iter().map(|(k, v)| (k.clone(), Self::shown_body(v))).collect(),
            other => other.clone(),
        }
    }
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderError {
    /// The kind, which decides whether another attempt may help.
    pub kind: ErrorKind,
    /// What went wrong, with the server's own words where there are any.
    pub message: String,
    /// What to do about it, a line each.
    pub help: Vec<String>,
    /// The wait that the server asked for.
    pub retry_after: Option<std::time::Duration>,
}

/// Kinds of failed calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Nothing answered at the address, or the connection broke before the first token: another attempt may help.
    Unreachable,
    /// No byte came in time: another attempt may help.
    TimedOut,
    /// The server said to come again (408, 409, 429, 502 to 504, a 500 of its own).
    Busy,
    /// The server refused (another 4xx, 501, a 500 that names a fault of the caller).
    Refused,
    /// The answer ended early or could not be read.
    Broken,
    /// The prompt cannot be sent: it is empty, or holds control tokens.
    Prompt,
    /// The prompt does not fit the context window.
    Overflow,
    /// The answer is larger than `max_response`.
    TooLarge,
    /// Weights are missing or cannot be read.
    Weights,
    /// The fake model was told to fail.
    Scripted,
    /// The recording does not have the prompt, or there is none.
    Unrecorded,
    /// The run was cancelled.
    Cancelled,
}

impl ErrorKind {
    /// The code of its diagnostic.
    pub fn code(self) -> Code {
        match self {
            ErrorKind::Unreachable | ErrorKind::TimedOut => Code::E402,
            ErrorKind::Busy | ErrorKind::Refused => Code::E403,
            ErrorKind::Broken | ErrorKind::TooLarge => Code::E404,
            ErrorKind::Prompt | ErrorKind::Overflow => Code::E406,
            ErrorKind::Weights => Code::E407,
            ErrorKind::Unrecorded => Code::E409,
            ErrorKind::Scripted | ErrorKind::Cancelled => Code::E401,
        }
    }

    /// Its name in events and traces.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Unreachable => "unreachable",
            ErrorKind::TimedOut => "timed_out",
            ErrorKind::Busy => "busy",
            ErrorKind::Refused => "refused",
            ErrorKind::Broken => "broken",
            ErrorKind::Prompt => "prompt",
            ErrorKind::Overflow => "overflow",
            ErrorKind::TooLarge => "too_large",
            ErrorKind::Weights => "weights",
            ErrorKind::Scripted => "scripted",
            ErrorKind::Unrecorded => "unrecorded",
            ErrorKind::Cancelled => "cancelled",
        }
    }
}

impl ProviderError {
    /// An error without help.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), help: Vec::new(), retry_after: None }
    }

    /// Adds a line of help.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// The same without secrets: a server's own words may repeat what it was sent.
    #[must_use]
    pub fn redacted(mut self, sink: &Sink) -> Self {
        self.message = sink.redact(&self.message);
        self.help = self.help.iter().map(|line| sink.redact(line)).collect();
        self
    }
}

impl From<crate::event::SinkClosed> for ProviderError {
    fn from(closed: crate::event::SinkClosed) -> Self {
        match closed {
            crate::event::SinkClosed::Stopped => Self::new(ErrorKind::Cancelled, "the run was stopped"),
            crate::event::SinkClosed::TooLarge(limit) => {
                Self::new(ErrorKind::TooLarge, format!("the answer is larger than {} MiB", limit >> 20)).help(
                    "`max_response: \"256 MiB\"` on the model raises the limit; `max_tokens:` keeps answers short",
                )
            }
        }
    }
}

/// A model that can be asked.
pub trait Provider: Send + Sync {
    /// What it can do; pure.
    fn caps(&self) -> Caps;

    /// Makes a call ready without making it. Opens no socket and computes no token, but may read local files.
    ///
    /// # Errors
    /// The request is one that the provider cannot send.
    fn prepare(&self, request: &Request) -> Result<Prepared, ProviderError>;

    /// Fetches what the model needs and this machine does not have, where the provider does so by itself.
    ///
    /// # Errors
    /// It cannot be had.
    fn fetch<'a>(&'a self, _sink: &'a mut Sink) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async { Ok(()) })
    }

    /// Makes the call: pieces of the answer go to `sink` as they come, the whole comes back. Dropping the future
    /// cancels the call.
    fn generate<'a>(
        &'a self,
        request: &'a Request,
        prepared: &'a Prepared,
        sink: &'a mut Sink,
    ) -> BoxFuture<'a, Result<Answer, ProviderError>>;

    /// The server that sees the prompt; none for a model inside this process.
    fn server(&self) -> Option<&BaseUrl> {
        None
    }

    /// Where its server passes the prompt on to, where that is known.
    fn beyond(&self) -> Option<&'static str> {
        None
    }

    /// What the weights are known by: their digest, or what changes when they do. None where only a server knows.
    fn weights(&self) -> Option<String> {
        None
    }

    /// Secrets that it took from the environment by itself, where no file names them: nothing may print them.
    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }

    /// What keeps the model from running now: missing weights, token or server name. Reads local files only.
    fn missing(&self) -> Option<String> {
        None
    }
}

/// Every provider, in the order in which messages list them.
pub static PROVIDERS: &[&Spec] = &[
    &fake::SPEC,
    &replay::SPEC,
    #[cfg(feature = "local")]
    &local::SPEC,
    &ollama::SPEC,
    &openai::SPEC,
    &hf_endpoint::SPEC,
    &gpt4all::SPEC,
];

/// Every embedder, in the order in which messages list them. Most names are those of providers.
pub static EMBEDDERS: &[&Spec] = &[&fake_embed::EMBEDDER, &ollama::EMBEDDER, &openai::EMBEDDER, &hf_endpoint::EMBEDDER];

/// The provider called `name`.
pub fn find(name: &str) -> Option<&'static Spec> {
    PROVIDERS.iter().copied().find(|s| s.name == name)
}

/// The embedder called `name`.
pub fn find_embedder(name: &str) -> Option<&'static Spec> {
    EMBEDDERS.iter().copied().find(|s| s.name == name)
}

/// Makes a provider from its checked configuration. Opens nothing.
///
/// # Errors
/// What the provider's own check found, as text for the option it names.
pub fn build(config: &ModelConfig, context: &Arc<Context>) -> Result<Arc<dyn Provider>, ProviderError> {
    match config.spec.build {
        Build::Model(build) => build(config, context),
        Build::Embedder(_) => Err(other_kind(config, "an embedder, and answers nothing")),
    }
}

/// Makes an embedder from its checked configuration. Opens nothing.
///
/// # Errors
/// What the embedder's own check found, as text for the option it names.
pub fn build_embedder(config: &ModelConfig, context: &Arc<Context>) -> Result<Arc<dyn Embedder>, ProviderError> {
    match config.spec.build {
        Build::Embedder(build) => build(config, context),
        Build::Model(_) => Err(other_kind(config, "a model, and makes no vectors")),
    }
}

fn other_kind(config: &ModelConfig, what: &str) -> ProviderError {
    ProviderError::new(ErrorKind::Refused, format!("`{}` is {what}", config.name))
}
