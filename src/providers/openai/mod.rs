//! OpenAI's API: `/chat/completions` for messages, `/completions` for raw text. One way to call it serves OpenAI itself and
//! every server that speaks it; what differs stands in [`dialect`].

pub(super) mod address;
mod body;
pub(super) mod dialect;
mod embed;
pub(super) mod errors;
pub(super) mod link;
mod options;
mod received;
#[cfg(test)]
pub(super) mod recorded_tests;
pub(super) mod schema;
pub(super) mod stream;
mod vectors;

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value as Json;

use self::address::Place;
use self::dialect::Dialect;
pub use self::embed::EMBEDDER;
use self::link::Link;
use self::received::Received;
use self::stream::Reading;
use super::instruct::{self, Instruct};
use super::loading::Sent;
use super::sources::{LLAMA_CPP_PYTHON, LLAMA_SERVER_BUILD, OLLAMA_V1, OPENAI_CHAT, VLLM_SERVER};
use super::spec::{CALL_OPTIONS, CONTROL_OPTIONS, RATE_OPTIONS, REPEATABLE, SERVER_OPTIONS};
use super::{
    BoxFuture, Caps, Enforcement, ErrorKind, ModelConfig, OptionKind, OptionSpec, Prepared, Provider, ProviderError,
    Spec, tools,
};
use crate::config::Context;
use crate::event::Sink;
use crate::net::BaseUrl;
use crate::value::{Answer, Constraint, Finish, Request, Secret, Value};

/// The tools that the model is told of.
static TOOLS: &[OptionSpec] = &[tools::option(&[OPENAI_CHAT], &[LLAMA_SERVER_BUILD])];

/// The description of `openai`.
pub static SPEC: Spec = Spec {
    name: "openai",
    doc: "a model of OpenAI's chat API, or of a server that speaks it (`base_url:`)",
    argument: OptionSpec::new("model", OptionKind::Text, "the model's name, as `gpt-4o-mini`")
        .wire("model")
        .documented(&[OPENAI_CHAT])
        .tried(&[LLAMA_SERVER_BUILD, VLLM_SERVER, OLLAMA_V1, LLAMA_CPP_PYTHON]),
    argument_required: true,
    instead: &[],
    options: &[
        options::MODEL_OPTIONS,
        options::PLACE_OPTIONS,
        instruct::OPTIONS,
        TOOLS,
        CONTROL_OPTIONS,
        SERVER_OPTIONS,
        RATE_OPTIONS,
        REPEATABLE,
        CALL_OPTIONS,
    ],
    explained: options::EXPLAINED,
    enforces: |constraint, said| {
        let named = said("dialect").and_then(|v| Dialect::from_name(&v.as_text()?));
        if said("instruct").is_some() {
            return Enforcement::Never(
                "text in a named format is completed, and a completion is held to nothing".to_owned(),
            );
        }
        enforces(constraint, named.unwrap_or(Dialect::Other))
    },
    build: super::Build::Model(build),
};

/// What `response_format` takes: JSON, and schemas whose objects are closed.
pub(super) fn enforces(constraint: &Constraint, dialect: Dialect) -> Enforcement {
    if let Some(why) = dialect.lacks(constraint) {
        return Enforcement::Never(why.to_owned());
    }
    match constraint {
        Constraint::JsonSchema(schema) if dialect.schema_form() == Some(dialect::SchemaForm::Strict) => {
            match schema::loose(schema) {
                None => Enforcement::Enforced,
                Some(why) => Enforcement::Never(format!("a strict `response_format` has no place for {why}")),
            }
        }
        _ => Enforcement::Enforced,
    }
}

/// A model behind a server that speaks OpenAI's API.
pub(super) struct Chat {
    link: Link,
    wire: options::Wire,
    instruct: Instruct,
    checks_control_tokens: bool,
    /// Whether the model that answers must be the one that was asked for.
    checks_model: bool,
    repeatable: bool,
}

fn build(config: &ModelConfig, context: &Arc<Context>) -> Result<Arc<dyn Provider>, ProviderError> {
    if config.model().trim().is_empty() {
        return Err(refused("`openai` needs a model's name").help("`openai(\"gpt-4o-mini\")`"));
    }
    let place = address::find(config, context)?;
    Ok(Arc::new(Chat::new(config, context, place)?))
}

impl Chat {
    /// A model at a place.
    ///
    /// # Errors
    /// An option that the server does not have.
    pub(super) fn new(config: &ModelConfig, context: &Arc<Context>, place: Place) -> Result<Self, ProviderError> {
        let dialect = place.dialect;
        let repeatable = config.bool("repeatable").unwrap_or(false);
        let mut wire = options::read(config, dialect)?;
        if repeatable {
            if !dialect.repeats() {
                return Err(super::options::not_repeatable(config.spec.name)
                    .help("`dialect: \"llama-server\"` can: it is told not to reuse what it read before"));
            }
            // Without a seed the server draws one.
            wire.options.entry("seed").or_insert(Json::from(0));
            wire.options.entry("cache_prompt").or_insert(Json::from(false));
        }
        let instruct = Instruct::of(config);
        if instruct.format().is_some() {
            in_format(instruct, &place, &mut wire)?;
        }
        let own = address::is_openai(&place.base);
        let allowed = config.bool("allow_control_tokens").unwrap_or(false);
        Ok(Self {
            link: Link::of(config, context, place),
            wire,
            instruct,
            checks_control_tokens: !allowed && !own,
            checks_model: dialect == Dialect::Gpt4All,
            repeatable,
        })
    }
}

/// What a named format changes in the options.
///
/// # Errors
/// The server completes no raw text.
fn in_format(instruct: Instruct, place: &Place, wire: &mut options::Wire) -> Result<(), ProviderError> {
    if wire.tools.is_some() {
        return Err(refused("`tools` are told by the server's chat template, and `instruct` goes past it")
            .help("leave one of them out"));
    }
    let leave = "leave `instruct:` out: the model's own template is put around messages there";
    if address::is_openai(&place.base) {
        return Err(refused("`instruct`: OpenAI's own models have a format that is not sent as text").help(leave));
    }
    match place.dialect {
        Dialect::Ollama => {
            return Err(refused("`instruct`: Ollama's /v1 puts a chat template around every text")
                .help("`ollama(\"…\", instruct: …)` sends it as it stands"));
        }
        Dialect::Gpt4All => {
            return Err(refused("`instruct`: GPT4All's server takes no stop strings, which end an answer in a format")
                .help(leave));
        }
        _ => {}
    }
    let given = wire.options.get("stop").and_then(Json::as_array).into_iter().flatten();
    let stops = instruct.stops(given.filter_map(|stop| stop.as_str().map(str::to_owned)).collect());
    if !stops.is_empty() {
        wire.options.insert("stop".to_owned(), Json::from(stops));
    }
    Ok(())
}

impl Provider for Chat {
    fn caps(&self) -> Caps {
        let concurrency = match self.link.server.dialect {
            _ if self.repeatable => 1,
            Dialect::Gpt4All => 1,
            // How many it answers at a time is the server's matter: the others wait there.
            Dialect::LlamaServer | Dialect::Ollama | Dialect::LmStudio => 4,
            Dialect::OpenAi | Dialect::Other | Dialect::Vllm | Dialect::Tgi | Dialect::Router | Dialect::Endpoint => 8,
        };
        Caps { concurrency, context: None }
    }

    fn prepare(&self, request: &Request) -> Result<Prepared, ProviderError> {
        if self.checks_control_tokens {
            super::control::check(request, None, self.instruct.format())?;
            if let Some(tools) = &self.wire.tools {
                super::control::check_tools(tools, None)?;
            }
        }
        let request = self.instruct.spoken(request)?;
        let (path, body) = body::of(&request, &self.link.server.model, self.link.server.dialect, &self.wire)?;
        Ok(Prepared::Http { url: self.link.server.base.at(path), body })
    }

    fn generate<'a>(
        &'a self,
        request: &'a Request,
        prepared: &'a Prepared,
        sink: &'a mut Sink,
    ) -> BoxFuture<'a, Result<Answer, ProviderError>> {
        Box::pin(async move { self.ask(request, prepared, sink).await.map_err(|error| error.redacted(sink)) })
    }

    fn server(&self) -> Option<&BaseUrl> {
        Some(&self.link.server.base)
    }

    fn beyond(&self) -> Option<&'static str> {
        (self.link.server.dialect == Dialect::Router).then_some("an inference provider")
    }

    fn secrets(&self) -> Vec<Secret> {
        self.link.secrets()
    }

    fn missing(&self) -> Option<String> {
        self.link.missing()
    }
}

impl Chat {
    async fn ask(&self, request: &Request, prepared: &Prepared, sink: &mut Sink) -> Result<Answer, ProviderError> {
        let Prepared::Http { url, body } = prepared else {
            return Err(refused("the call was made ready for another provider"));
        };
        let started = Instant::now();
        let other = if self.link.server.dialect == Dialect::Endpoint { body::for_tgi(body) } else { None };
        let mut response = match self.link.send(url, body, other.as_ref(), sink).await? {
            Sent::Answer(response) => response,
            Sent::Refusal(refusal) => return Err(self.link.refusal(refusal).await),
        };
        let wrapped = self.instruct.format().is_none() && body::travels(request, self.link.server.dialect);
        let reading = Reading { wrapped, thinking: body::is_chat(request) };
        let received = stream::read(&mut response, sink, &self.link.server, reading).await?;
        self.check_model(&received, sink).await?;
        Ok(Answer {
            text: received.text,
            reasoning: Some(received.reasoning).filter(|r| !r.is_empty()),
            tool_calls: received.calls,
            model: received.model.unwrap_or_else(|| self.link.server.model.clone()),
            finish: received.finish.unwrap_or(Finish::Other),
            usage: received.usage,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// GPT4All answers with its default model where it has none of the name.
    async fn check_model(&self, received: &Received, sink: &mut Sink) -> Result<(), ProviderError> {
        let asked = &self.link.server.model;
        let Some(answered) = received.model.as_ref().filter(|_| self.checks_model) else { return Ok(()) };
        if answered.eq_ignore_ascii_case(asked) {
            return Ok(());
        }
        if asked.to_ascii_lowercase().ends_with(".gguf") {
            // A file's name is not what the server answers with.
            return Ok(sink.notice(&format!("`{asked}` was answered by the model `{answered}`")).await?);
        }
        let error = refused(format!("{} answered with `{answered}`, not with `{asked}`", self.link.server.at()));
        let names = self.link.models().await.map(|names| names.join(", ")).unwrap_or_default();
        let error = error.help("it takes its default model where it has none of the name");
        Err(if names.is_empty() { error } else { error.help(format!("models on this server: {names}")) })
    }
}

fn refused(message: impl Into<String>) -> ProviderError {
    ProviderError::new(ErrorKind::Refused, message)
}

/// The place of GPT4All's server: `server: true`, or its address.
///
/// # Errors
/// The address is none.
pub(super) fn gpt4all(server: &Value) -> Result<Place, ProviderError> {
    address::gpt4all(server)
}
