//! OpenAI's API: `/chat/completions` for messages, `/completions` for raw text. One way to call it serves OpenAI itself and
//! every server that speaks it; what differs stands in [`dialect`].

pub(super) mod address;
mod body;
pub(super) mod dialect;
pub(super) mod errors;
mod options;
mod received;
#[cfg(test)]
pub(super) mod recorded_tests;
pub(super) mod schema;
pub(super) mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use self::address::Place;
use self::dialect::Dialect;
use self::errors::Server;
use self::received::Received;
use self::stream::Reading;
use super::loading::{self, Refusal, Sent};
use super::spec::{CALL_OPTIONS, CONTROL_OPTIONS, REPEATABLE, SERVER_OPTIONS};
use super::{
    BoxFuture, Caps, Enforcement, ErrorKind, ModelConfig, OptionKind, OptionSpec, Prepared, Provider, ProviderError,
    Spec,
};
use crate::config::Context;
use crate::event::Sink;
use crate::net::{Call, Client, FailureKind, Redirects, Response};
use crate::value::{Answer, Constraint, Finish, Request, Secret, Value};

/// The longest wait for what is only needed to word an error.
const ASIDE: Duration = Duration::from_secs(3);

/// The most bytes of `/models`.
const ASIDE_BODY: usize = 8 << 20;

/// The description of `openai`.
pub static SPEC: Spec = Spec {
    name: "openai",
    doc: "a model of OpenAI's chat API, or of a server that speaks it (`base_url:`)",
    argument: OptionSpec::new("model", OptionKind::Text, "the model's name, as `gpt-4o-mini`").wire("model"),
    argument_required: true,
    instead: &[],
    options: &[
        options::MODEL_OPTIONS,
        options::PLACE_OPTIONS,
        CONTROL_OPTIONS,
        SERVER_OPTIONS,
        REPEATABLE,
        CALL_OPTIONS,
    ],
    explained: options::EXPLAINED,
    enforces: |constraint, said| {
        let named = said("dialect").and_then(|v| Dialect::from_name(&v.as_text()?));
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
    client: Client,
    server: Server,
    wire: options::Wire,
    key: Option<Secret>,
    key_from_environment: bool,
    checks_control_tokens: bool,
    /// Whether the model that answers must be the one that was asked for.
    checks_model: bool,
    repeatable: bool,
    offline: bool,
    idle: Duration,
    /// Whether an endpoint turned out to be a TGI.
    is_tgi: AtomicBool,
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
        let header = |option: &str, variable: &str, name: &'static str| {
            let from_environment = || {
                context
                    .var(variable)
                    .filter(|_| place.key_from_environment && !dialect.is_hugging_face())
                    .map(str::to_owned)
            };
            config.text(option).or_else(from_environment).map(|value| (name, value.trim().to_owned()))
        };
        let headers = [
            header("organization", "OPENAI_ORG_ID", "OpenAI-Organization"),
            header("project", "OPENAI_PROJECT_ID", "OpenAI-Project"),
        ];
        let own = address::is_openai(&place.base);
        let allowed = config.bool("allow_control_tokens").unwrap_or(false);
        Ok(Self {
            client: Client::new(context, Redirects::Refuse)
                .with_headers(headers.into_iter().flatten().chain(place.headers).collect()),
            checks_control_tokens: !allowed && !own,
            checks_model: dialect == Dialect::Gpt4All,
            server: Server {
                base: place.base,
                said_by: place.said_by,
                dialect,
                model: config.model(),
                has_key: place.key.is_some(),
            },
            wire,
            key: place.key,
            key_from_environment: place.key_from_environment,
            repeatable,
            offline: context.offline,
            idle: config.idle_timeout(),
            is_tgi: AtomicBool::new(false),
        })
    }

    /// Whether the call cannot succeed for want of a key.
    fn lacks_key(&self) -> bool {
        self.key.is_none()
            && (address::is_openai(&self.server.base)
                || self.server.dialect == Dialect::Router && super::hf_endpoint::is_hugging_face(&self.server.base))
    }
}

impl Provider for Chat {
    fn caps(&self) -> Caps {
        let concurrency = match self.server.dialect {
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
            super::control::check(request, None)?;
        }
        let (path, body) = body::of(request, &self.server.model, self.server.dialect, &self.wire)?;
        Ok(Prepared::Http { url: self.server.base.at(path), body })
    }

    fn generate<'a>(
        &'a self,
        request: &'a Request,
        prepared: &'a Prepared,
        sink: &'a mut Sink,
    ) -> BoxFuture<'a, Result<Answer, ProviderError>> {
        Box::pin(async move {
            match self.ask(request, prepared, sink).await {
                Ok(answer) => Ok(answer),
                // A server's own words may repeat what it was sent.
                Err(mut error) => {
                    error.message = sink.redact(&error.message);
                    error.help = error.help.iter().map(|line| sink.redact(line)).collect();
                    Err(error)
                }
            }
        })
    }

    fn secrets(&self) -> Vec<Secret> {
        self.key.iter().filter(|_| self.key_from_environment).cloned().collect()
    }

    fn missing(&self) -> Option<String> {
        self.lacks_key().then(|| errors::no_key_sentence(&self.server))
    }
}

impl Chat {
    async fn ask(&self, request: &Request, prepared: &Prepared, sink: &mut Sink) -> Result<Answer, ProviderError> {
        let Prepared::Http { url, body } = prepared else {
            return Err(refused("the call was made ready for another provider"));
        };
        if self.offline {
            self.stays_here()?;
        } else if self.lacks_key() {
            return Err(errors::no_key(&self.server));
        }
        let started = Instant::now();
        let mut response = match self.send(url, body, sink).await? {
            Sent::Answer(response) => response,
            Sent::Refusal(refusal) => return Err(self.refusal(refusal).await),
        };
        let reading =
            Reading { wrapped: body::travels(request, self.server.dialect), thinking: body::is_chat(request) };
        let received = stream::read(&mut response, sink, &self.server, reading).await?;
        self.check_model(&received, sink).await?;
        Ok(Answer {
            text: received.text,
            reasoning: Some(received.reasoning).filter(|r| !r.is_empty()),
            model: received.model.unwrap_or_else(|| self.server.model.clone()),
            finish: received.finish.unwrap_or(Finish::Other),
            usage: received.usage,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Sends the body. An endpoint that turns out to be a TGI gets its form of a schema.
    async fn send(&self, url: &str, body: &Json, sink: &mut Sink) -> Result<Sent, ProviderError> {
        let words = |failure| errors::from_failure(failure, &self.server);
        let call = |body| Call { url, body: Some(body), bearer: self.key.as_ref(), idle: self.idle };
        let other = if self.server.dialect == Dialect::Endpoint { body::for_tgi(body) } else { None };
        let known = other.as_ref().filter(|_| self.is_tgi.load(Ordering::Relaxed));
        match loading::send(&self.client, call(known.unwrap_or(body)), sink, words).await? {
            Sent::Refusal(refusal)
                if known.is_none() && body::wants_tgi(refusal.status, &refusal.text.message) && other.is_some() =>
            {
                self.is_tgi.store(true, Ordering::Relaxed);
                loading::send(&self.client, call(other.as_ref().unwrap_or(body)), sink, words).await
            }
            sent => Ok(sent),
        }
    }

    /// Offline: a local Ollama passes some models on to its cloud, and its `/v1` does not say so.
    fn stays_here(&self) -> Result<(), ProviderError> {
        let model = self.server.model.to_ascii_lowercase();
        let cloud = model.rsplit_once(':').is_some_and(|(_, tag)| tag == "cloud" || tag.ends_with("-cloud"));
        if cloud || self.server.dialect == Dialect::Ollama {
            let message =
                format!("whether `{}` runs on this machine is not known, and the run is offline", self.server.model);
            return Err(refused(message).help("`ollama(\"…\")` asks the server first; or leave `--offline` out"));
        }
        Ok(())
    }

    /// GPT4All answers with its default model where it has none of the name.
    async fn check_model(&self, received: &Received, sink: &mut Sink) -> Result<(), ProviderError> {
        let asked = &self.server.model;
        let Some(answered) = received.model.as_ref().filter(|_| self.checks_model) else { return Ok(()) };
        if answered.eq_ignore_ascii_case(asked) {
            return Ok(());
        }
        if asked.to_ascii_lowercase().ends_with(".gguf") {
            // A file's name is not what the server answers with.
            return Ok(sink.notice(&format!("`{asked}` was answered by the model `{answered}`")).await?);
        }
        let error = refused(format!("{} answered with `{answered}`, not with `{asked}`", self.server.at()));
        let names = self.models().await.map(|names| names.join(", ")).unwrap_or_default();
        let error = error.help("it takes its default model where it has none of the name");
        Err(if names.is_empty() { error } else { error.help(format!("models on this server: {names}")) })
    }

    async fn refusal(&self, refusal: Refusal) -> ProviderError {
        let Refusal { status, text, kind, wait, location } = refusal;
        let names = if status == 404 && text.details.is_some() { self.models().await } else { None };
        let location = location.as_deref();
        let mut error = errors::refusal(status, &text, kind, location, names.as_deref(), &self.server);
        error.retry_after = wait;
        if let (FailureKind::Refused, Some(wait)) = (kind, wait) {
            error.help.insert(0, format!("it asks for a wait of {} s, which is not waited for", wait.as_secs()));
        }
        error
    }

    /// The names of the server's models, where it tells them.
    async fn models(&self) -> Option<Vec<String>> {
        let url = self.server.base.at("/models");
        let call = Call { url: &url, body: None, bearer: self.key.as_ref(), idle: ASIDE };
        let mut response = self.client.send(call).await.ok().filter(Response::is_success)?;
        errors::names(&response.body(ASIDE_BODY).await.ok()?)
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
