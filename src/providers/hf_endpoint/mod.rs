//! `hf-endpoint`: models behind Hugging Face's router, and inference endpoints of one's own. Messages go to OpenAI's API
//! there; raw text goes to text generation, which endpoints that run TGI have.

mod embed;
mod errors;
mod generate;
mod options;
mod place;
mod received;
#[cfg(test)]
mod recorded_tests;

use std::sync::Arc;

pub use self::embed::EMBEDDER;
pub use self::errors::{NO_TOKEN, no_token, refusal};
use self::generate::Generate;
use self::place::Where;
pub use self::place::is_hugging_face;
use super::instruct::{self, Instruct};
use super::openai::{Chat, dialect::Dialect};
use super::sources::{ROUTER, TGI, TGI_CHAT};
use super::spec::{CALL_OPTIONS, CONTROL_OPTIONS, RATE_OPTIONS, REPEATABLE, SERVER_OPTIONS};
use super::{
    BoxFuture, Caps, Enforcement, ErrorKind, ModelConfig, OptionKind, OptionSpec, Prepared, Provider, ProviderError,
    Said, Spec, tools,
};
use crate::config::Context;
use crate::event::Sink;
use crate::net::BaseUrl;
use crate::value::{Answer, Constraint, Request, RequestInput, Secret, Value};

/// The tools that the model is told of.
static TOOLS: &[OptionSpec] = &[tools::option(&[TGI, ROUTER], &["TGI 3.3.6-dev0's router (its refusal alone)"])];

/// The description of `hf-endpoint`.
pub static SPEC: Spec = Spec {
    name: "hf-endpoint",
    doc: "a model of Hugging Face's inference providers, or of an endpoint of one's own (`endpoint_url:`)",
    argument: OptionSpec::new(
        "model",
        OptionKind::Text,
        "the model's repository, as `mistralai/Mistral-7B-Instruct-v0.3`",
    )
    .wire("model")
    .documented(&[ROUTER, TGI])
    .tried(&[TGI_CHAT]),
    argument_required: true,
    instead: &["endpoint_url"],
    options: &[
        options::OPTIONS,
        instruct::OPTIONS,
        TOOLS,
        CONTROL_OPTIONS,
        SERVER_OPTIONS,
        RATE_OPTIONS,
        REPEATABLE,
        CALL_OPTIONS,
    ],
    explained: options::EXPLAINED,
    enforces,
    build: super::Build::Model(build),
};

/// The two values of `task`.
const GENERATION: &str = "text-generation";
const CONVERSATION: &str = "conversational";

/// What an answer can be held to. Which kind of call it is may not be known, so both must be able to.
fn enforces(constraint: &Constraint, said: Said<'_>) -> Enforcement {
    let generates =
        said("instruct").is_some() || said("task").is_some_and(|v| v.as_text().is_some_and(|t| t == GENERATION));
    let dialect = if said("endpoint_url").is_some() { Dialect::Endpoint } else { Dialect::Router };
    match constraint {
        Constraint::Regex(_) if generates => Enforcement::Enforced,
        _ => super::openai::enforces(constraint, dialect),
    }
}

fn refused(message: impl Into<String>) -> ProviderError {
    ProviderError::new(ErrorKind::Refused, message)
}

/// What is wrong with options that go together.
fn check(config: &ModelConfig) -> Result<(), ProviderError> {
    let model = config.model();
    if config.argument.is_some() && model.trim().is_empty() {
        return Err(refused("`hf-endpoint` needs a model's repository")
            .help("as in `hf-endpoint(\"mistralai/Mistral-7B-Instruct-v0.3\")`"));
    }
    if model.contains("://") {
        return Err(refused(format!("`{model}` is an address, not a repository"))
            .help(format!("write `hf-endpoint(endpoint_url: \"{model}\")`")));
    }
    if let Some(bad) = model.chars().find(|c| c.is_whitespace() || *c == '\\') {
        return Err(refused(format!("`{model}` is no repository: it holds {bad:?}"))
            .help("it is OWNER/NAME, as the address bar of huggingface.co shows it"));
    }
    if model.matches('/').count() > 1 {
        return Err(refused(format!("`{model}` is no repository: it is OWNER/NAME, with one slash"))
            .help("`local(\"./file.gguf\")` runs a file"));
    }
    if config.bool("do_sample") == Some(false) && config.float("temperature").is_some_and(|t| t > 0.0) {
        return Err(refused("`do_sample: false` takes the likeliest token, and `temperature:` chooses")
            .help("leave one of them out"));
    }
    let stops = Instruct::of(config).stops(config.texts("stop").unwrap_or_default());
    if stops.len() > 4 {
        let error = refused("`stop` takes at most four texts");
        return Err(match Instruct::of(config).format() {
            Some(format) if !format.ends.is_empty() => {
                error.help(format!("`{}` is one of them, by `instruct:`", format.ends.join("`, `")))
            }
            _ => error,
        });
    }
    if config.bool("repeatable") == Some(true) {
        return Err(super::options::not_repeatable(config.spec.name));
    }
    twice(config)
}

/// An option that stands by itself and again inside `options`.
fn twice(config: &ModelConfig) -> Result<(), ProviderError> {
    let Some(Value::Map(extra)) = config.value("options") else { return Ok(()) };
    for spec in config.spec.all_options().filter(|o| config.options.contains_key(o.name)) {
        if let Some(key) = extra.keys().find(|k| k.as_str() == spec.name || k.as_str() == spec.wire) {
            let message = format!("`{}` is given twice: by itself and as `{key}` inside `options`", spec.name);
            return Err(refused(message).help("leave one of them out"));
        }
    }
    Ok(())
}

fn build(config: &ModelConfig, context: &Arc<Context>) -> Result<Arc<dyn Provider>, ProviderError> {
    check(config)?;
    let place = place::find(config, context)?;
    let task = config.text("task");
    let task = task.as_deref();
    let mut config = config.clone();
    config.argument = Some(Value::from(place.model.clone()));
    if Instruct::of(&config).format().is_some() {
        return in_format(&config, context, place, task);
    }
    let chat = Chat::new(&config, context, place.chat());
    let Where { router, .. } = place;
    // What a chat does not know text generation may: the error waits for a call that is one.
    let (chat, generate) = if router {
        if task == Some(GENERATION) {
            return Err(no_generation());
        }
        (Ok(chat?), Err(no_generation()))
    } else {
        let generate = Generate::new(&config, context, place);
        match task {
            Some(CONVERSATION) => (Ok(chat?), Err(not_the_task(CONVERSATION, "messages"))),
            Some(_) => (Err(not_the_task(GENERATION, "a `raw` prompt")), Ok(generate?)),
            None => (chat, generate),
        }
    };
    if let (Err(error), Err(_)) = (&chat, &generate) {
        return Err(error.clone());
    }
    Ok(Arc::new(Endpoint { chat, generate }))
}

/// An endpoint that is sent messages as text of a named format.
fn in_format(
    config: &ModelConfig,
    context: &Arc<Context>,
    place: Where,
    task: Option<&str>,
) -> Result<Arc<dyn Provider>, ProviderError> {
    if config.options.contains_key("tools") {
        return Err(refused("`tools` are told by the server's chat template, and `instruct` goes past it")
            .help("leave one of them out"));
    }
    if place.router {
        return Err(refused("`instruct`: Hugging Face's router takes messages alone, and no text in a format")
            .help("leave it out: the model's own template is put around messages there")
            .help("an endpoint of one's own (`endpoint_url:`) takes such text, and so does `local(…)`"));
    }
    if task == Some(CONVERSATION) {
        let message = format!("`task: \"{CONVERSATION}\"` sends messages, and `instruct` sends them as text");
        return Err(refused(message).help("leave one of them out"));
    }
    Ok(Arc::new(Generate::new(config, context, place)?))
}

fn no_generation() -> ProviderError {
    refused("Hugging Face's router takes messages alone, and no raw text")
        .help("leave `raw` out: the model's own template is put around messages there")
        .help("an endpoint of one's own (`endpoint_url:`) takes raw text, and so does `local(…)`")
}

fn not_the_task(task: &str, takes: &str) -> ProviderError {
    refused(format!("`task: \"{task}\"` takes {takes} alone"))
        .help("leave `task:` out: what stands before the model decides")
}

/// A model behind Hugging Face's router or an endpoint: one way for messages, one for raw text.
struct Endpoint {
    chat: Result<Chat, ProviderError>,
    generate: Result<Generate, ProviderError>,
}

impl Endpoint {
    fn of(&self, request: &Request) -> Result<&dyn Provider, ProviderError> {
        match &request.input {
            RequestInput::Messages(_) => self.chat.as_ref().map(|p| p as &dyn Provider).map_err(Clone::clone),
            RequestInput::Raw(_) => self.generate.as_ref().map(|p| p as &dyn Provider).map_err(Clone::clone),
        }
    }

    fn any(&self) -> Option<&dyn Provider> {
        let chat = self.chat.as_ref().ok().map(|p| p as &dyn Provider);
        chat.or_else(|| self.generate.as_ref().ok().map(|p| p as &dyn Provider))
    }
}

impl Provider for Endpoint {
    fn caps(&self) -> Caps {
        self.any().map(Provider::caps).unwrap_or_default()
    }

    fn prepare(&self, request: &Request) -> Result<Prepared, ProviderError> {
        self.of(request)?.prepare(request)
    }

    fn generate<'a>(
        &'a self,
        request: &'a Request,
        prepared: &'a Prepared,
        sink: &'a mut Sink,
    ) -> BoxFuture<'a, Result<Answer, ProviderError>> {
        match self.of(request) {
            Ok(provider) => provider.generate(request, prepared, sink),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn server(&self) -> Option<&BaseUrl> {
        self.any()?.server()
    }

    fn beyond(&self) -> Option<&'static str> {
        self.any()?.beyond()
    }

    fn secrets(&self) -> Vec<Secret> {
        self.any().map(Provider::secrets).unwrap_or_default()
    }

    fn missing(&self) -> Option<String> {
        self.any()?.missing()
    }
}
