//! Ollama, by its own API: `/api/chat` for messages, `/api/generate` for raw text. `/v1` is not used: it overrides a
//! model's own options and loses errors in mid-stream.

mod body;
mod embed;
mod errors;
pub mod library;
mod link;
mod options;
#[cfg(test)]
mod recorded_tests;
mod repeatable;
mod shown;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::Value as Json;

pub use self::embed::EMBEDDER;
use self::link::Link;
use self::options::Wire;
use self::shown::Shown;
use super::instruct::{self, Instruct};
use super::sources::{OLLAMA_API, OLLAMA_SERVER};
use super::spec::{CALL_OPTIONS, CONTROL_OPTIONS, RATE_OPTIONS, REPEATABLE, SERVER_OPTIONS};
use super::{
    BoxFuture, Caps, Enforcement, ErrorKind, ModelConfig, OptionKind, OptionSpec, Prepared, Provider, ProviderError,
    Spec, tools,
};
use crate::config::Context;
use crate::event::Sink;
use crate::net::BaseUrl;
use crate::value::{Answer, Constraint, Finish, Image, Request, RequestInput, Secret, Usage};

/// The tools that the model is told of.
static TOOLS: &[OptionSpec] = &[tools::option(&[OLLAMA_API], &[OLLAMA_SERVER])];

/// The description of `ollama`.
pub static SPEC: Spec = Spec {
    name: "ollama",
    doc: "a model that Ollama serves, on this machine or another",
    argument: OptionSpec::new("model", OptionKind::Text, "the model's name, as `ollama list` shows it")
        .wire("model")
        .documented(&[OLLAMA_API])
        .tried(&[OLLAMA_SERVER]),
    argument_required: true,
    instead: &[],
    options: &[
        options::MODEL_OPTIONS,
        options::OTHER_OPTIONS,
        instruct::OPTIONS,
        TOOLS,
        CONTROL_OPTIONS,
        SERVER_OPTIONS,
        RATE_OPTIONS,
        REPEATABLE,
        CALL_OPTIONS,
    ],
    explained: options::EXPLAINED,
    enforces: |constraint, _| enforces(constraint),
    build: super::Build::Model(build),
};

fn enforces(constraint: &Constraint) -> Enforcement {
    match constraint {
        Constraint::Json | Constraint::JsonSchema(_) => Enforcement::Enforced,
        Constraint::Regex(_) => Enforcement::Never("Ollama takes no regular expression".to_owned()),
    }
}

struct Ollama {
    link: Link,
    wire: Wire,
    instruct: Instruct,
    allow_control_tokens: bool,
    /// Whether the model is loaded anew for each call.
    repeatable: bool,
    /// Options that the server will ignore, until the person was told.
    ignored: Vec<String>,
    told: AtomicBool,
    told_window: AtomicBool,
}

fn build(config: &ModelConfig, context: &Arc<Context>) -> Result<Arc<dyn Provider>, ProviderError> {
    let model = config.model();
    if model.trim().is_empty() {
        return Err(ProviderError::new(ErrorKind::Refused, "`ollama` needs a model's name")
            .help("`ollama(\"llama3.2:3b\")`; `ollama list` shows what is there"));
    }
    let repeatable = config.bool("repeatable").unwrap_or(false);
    let mut wire = options::read(config)?;
    if repeatable {
        // Without a seed the server draws one.
        wire.options.entry("seed").or_insert(Json::from(0));
    }
    if wire.suffix.is_some() && wire.tools.is_some() {
        return Err(ProviderError::new(ErrorKind::Refused, "`suffix` fills a gap, and `tools` are for a conversation")
            .help("leave one of them out"));
    }
    let instruct = Instruct::of(config);
    in_format(instruct, &mut wire)?;
    let ignored = wire.options.keys().filter(|k| options::REMOVED.contains(&k.as_str())).cloned().collect();
    let num_ctx = wire.options.get("num_ctx").and_then(Json::as_i64);
    Ok(Arc::new(Ollama {
        link: Link::of(config, context, num_ctx)?,
        wire,
        instruct,
        allow_control_tokens: config.bool("allow_control_tokens").unwrap_or(false),
        repeatable,
        ignored,
        told: AtomicBool::new(false),
        told_window: AtomicBool::new(false),
    }))
}

/// What a named format changes in the options: its text goes past the server's template, and its ends are stop strings.
///
/// # Errors
/// An option that only the server's template gives a meaning.
fn in_format(instruct: Instruct, wire: &mut Wire) -> Result<(), ProviderError> {
    if instruct.format().is_none() {
        return Ok(());
    }
    let given = [("suffix", wire.suffix.is_some()), ("think", wire.think.is_some()), ("tools", wire.tools.is_some())];
    if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
        let message = format!("`{name}` is the matter of the server's template, and `instruct` goes past it");
        return Err(ProviderError::new(ErrorKind::Refused, message).help("leave one of them out"));
    }
    let given = wire.options.get("stop").and_then(Json::as_array).into_iter().flatten();
    let stops = instruct.stops(given.filter_map(|stop| stop.as_str().map(str::to_owned)).collect());
    if !stops.is_empty() {
        wire.options.insert("stop".to_owned(), Json::from(stops));
    }
    Ok(())
}

impl Provider for Ollama {
    fn caps(&self) -> Caps {
        // How many it answers at a time is the server's matter (OLLAMA_NUM_PARALLEL): the others wait there.
        let context = self.link.server.num_ctx.and_then(|n| u64::try_from(n).ok());
        Caps { concurrency: if self.repeatable { 1 } else { 4 }, context }
    }

    fn prepare(&self, request: &Request) -> Result<Prepared, ProviderError> {
        let request = self.instruct.spoken(request)?;
        let (path, body) = body::of(&self.link.server.model, &self.wire, &request)?;
        Ok(Prepared::Http { url: self.link.server.base.at(path), body })
    }

    fn server(&self) -> Option<&BaseUrl> {
        Some(&self.link.server.base)
    }

    fn beyond(&self) -> Option<&'static str> {
        self.link.server.is_cloud().then_some("Ollama's cloud")
    }

    fn secrets(&self) -> Vec<Secret> {
        self.link.key.iter().filter(|_| self.link.own_key).cloned().collect()
    }

    fn generate<'a>(
        &'a self,
        request: &'a Request,
        prepared: &'a Prepared,
        sink: &'a mut Sink,
    ) -> BoxFuture<'a, Result<Answer, ProviderError>> {
        Box::pin(async move { self.ask(request, prepared, sink).await.map_err(|error| error.redacted(sink)) })
    }
}

impl Ollama {
    async fn ask(&self, request: &Request, prepared: &Prepared, sink: &mut Sink) -> Result<Answer, ProviderError> {
        let Prepared::Http { url, body } = prepared else {
            return Err(ProviderError::new(ErrorKind::Refused, "the call was made ready for another provider"));
        };
        let started = Instant::now();
        self.link.stays_here().await?;
        self.fits_model(request, sink).await?;
        self.tell_ignored(sink).await?;
        // Held until the answer is whole.
        let _alone = if self.repeatable { Some(self.fresh().await?) } else { None };
        let mut response = self.link.send(url, body).await?;
        if response.status() != 200 {
            return Err(self.link.refusal(&mut response).await);
        }
        let received = stream::read(&mut response, sink, &self.link.server).await?;
        let (finish, usage) = received.end.unwrap_or((Finish::Other, Usage::default()));
        Ok(Answer {
            text: received.text,
            reasoning: Some(received.reasoning).filter(|r| !r.is_empty()),
            tool_calls: received.calls,
            model: received.model.unwrap_or_else(|| self.link.server.model.clone()),
            finish,
            usage,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Refuses what the server says the model cannot do, and values that hold its control tokens.
    async fn fits_model(&self, request: &Request, sink: &mut Sink) -> Result<(), ProviderError> {
        let shown = match self.link.about().await {
            Ok(shown) => shown,
            Err(error) => {
                // Nobody is there to tell: a value that most templates would obey is the nearer mistake.
                if !self.allow_control_tokens {
                    super::control::check(request, None, self.instruct.format())?;
                }
                return Err(error);
            }
        };
        if !self.allow_control_tokens {
            let own = shown.and_then(|s| s.control.as_deref());
            super::control::check(request, own, self.instruct.format())?;
            if let Some(tools) = &self.wire.tools {
                super::control::check_tools(tools, own)?;
            }
        }
        let Some(shown) = shown else { return Ok(()) };
        let model = &self.link.server.model;
        let can = shown.abilities();
        let lacks = |what: &str| {
            ProviderError::new(ErrorKind::Refused, format!("`{model}` {what}: Ollama says it can do {can}"))
        };
        if shown.lacks("completion") {
            let error = lacks("completes no text");
            return Err(if shown.lacks("embedding") {
                error.help("take a model that completes text: `ollama show NAME` lists what each can do")
            } else {
                error.help(format!("it makes vectors: `embedder NAME = ollama(\"{model}\")`"))
            });
        }
        let thinks = self.wire.think.as_ref().is_some_and(|think| think.as_bool() != Some(false));
        if thinks && shown.lacks("thinking") {
            return Err(lacks("does not think before it answers").help("leave `think:` out"));
        }
        if let (Some(image), true) = (pictures(request), shown.lacks("vision")) {
            let message = format!("sees no pictures, and the prompt shows `{}`", image.path);
            return Err(
                lacks(&message).help("take a model with `vision`, as gemma3 or llava: `ollama show NAME` tells")
            );
        }
        if self.wire.tools.is_some() && shown.lacks("tools") {
            return Err(lacks("calls no tools").help(
                "leave `tools:` out, or take a model with `tools`, as llama3.2 or qwen3: `ollama show NAME` tells",
            ));
        }
        if self.wire.suffix.is_some() && shown.lacks("insert") {
            return Err(
                lacks("fills no gap").help("leave `suffix:` out, or take a model with `insert`, as qwen2.5-coder")
            );
        }
        self.tell_window(shown, sink).await
    }

    /// Tells once where the file asks for a wider window than the model was made for.
    async fn tell_window(&self, shown: &Shown, sink: &mut Sink) -> Result<(), ProviderError> {
        let asked = self.link.server.num_ctx.and_then(|n| u64::try_from(n).ok());
        let (Some(asked), Some(made)) = (asked, shown.context) else { return Ok(()) };
        if asked <= made || self.told_window.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let model = &self.link.server.model;
        let text = format!("`num_ctx: {asked}` is more than `{model}` was made for: {made} tokens");
        Ok(sink.notice(&text).await?)
    }

    /// Tells once which options the server will ignore.
    async fn tell_ignored(&self, sink: &mut Sink) -> Result<(), ProviderError> {
        if self.ignored.is_empty() || self.told.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let text = format!("Ollama dropped these options and ignores them: {}", self.ignored.join(", "));
        Ok(sink.notice(&text).await?)
    }
}

/// The first picture of a request.
fn pictures(request: &Request) -> Option<&Image> {
    match &request.input {
        RequestInput::Messages(messages) => messages.iter().find_map(|m| m.images.first()),
        RequestInput::Raw(_) => None,
    }
}
