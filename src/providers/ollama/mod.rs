//! Ollama, by its own API: `/api/chat` for messages, `/api/generate` for raw text. `/v1` is not used: it overrides a
//! model's own options and loses errors in mid-stream.

mod errors;
mod options;
mod repeatable;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json, json};

use self::errors::Server;
use self::options::Wire;
use super::spec::{CALL_OPTIONS, CONTROL_OPTIONS, REPEATABLE, SERVER_OPTIONS};
use super::{
    BoxFuture, Caps, Enforcement, ErrorKind, ModelConfig, OptionKind, OptionSpec, Prepared, Provider, ProviderError,
    Spec,
};
use crate::config::Context;
use crate::event::Sink;
use crate::net::{BaseUrl, Call, Client, FailureKind, Redirects, Response};
use crate::value::{Answer, Constraint, Finish, Request, RequestInput, Secret, Usage};

/// Ollama's port unless told otherwise.
const PORT: u16 = 11434;

/// The longest wait for what is only needed to word an error.
const ASIDE: Duration = Duration::from_secs(3);

/// The most bytes of `/api/tags` and `/api/show`.
const ASIDE_BODY: usize = 8 << 20;

/// The description of `ollama`.
pub static SPEC: Spec = Spec {
    name: "ollama",
    doc: "a model that Ollama serves, on this machine or another",
    argument: OptionSpec::new("model", OptionKind::Text, "the model's name, as `ollama list` shows it").wire("model"),
    argument_required: true,
    instead: &[],
    options: &[
        options::MODEL_OPTIONS,
        options::OTHER_OPTIONS,
        CONTROL_OPTIONS,
        SERVER_OPTIONS,
        REPEATABLE,
        CALL_OPTIONS,
    ],
    explained: options::EXPLAINED,
    enforces: |constraint, _| enforces(constraint),
    build,
    spoken: true,
};

fn enforces(constraint: &Constraint) -> Enforcement {
    match constraint {
        Constraint::Json | Constraint::JsonSchema(_) => Enforcement::Enforced,
        Constraint::Regex(_) => Enforcement::Never("Ollama takes no regular expression".to_owned()),
    }
}

struct Ollama {
    client: Client,
    server: Server,
    wire: Wire,
    key: Option<Secret>,
    allow_control_tokens: bool,
    /// Whether the model is loaded anew for each call.
    repeatable: bool,
    idle: Duration,
    /// Options that the server will ignore, until the person was told.
    ignored: Vec<String>,
    told: AtomicBool,
    /// Whether the server said that the model is its own; asked offline only.
    local: AtomicBool,
}

fn build(config: &ModelConfig, context: &Arc<Context>) -> Result<Arc<dyn Provider>, ProviderError> {
    let model = config.model();
    if model.trim().is_empty() {
        return Err(ProviderError::new(ErrorKind::Refused, "`ollama` needs a model's name")
            .help("`ollama(\"llama3.2:3b\")`; `ollama list` shows what is there"));
    }
    let (base, said_by) = address(config, context)?;
    let key = config.secret("api_key");
    let repeatable = config.bool("repeatable").unwrap_or(false);
    let mut wire = options::read(config)?;
    if repeatable {
        // Without a seed the server draws one.
        wire.options.entry("seed").or_insert(Json::from(0));
    }
    let ignored = wire.options.keys().filter(|k| options::REMOVED.contains(&k.as_str())).cloned().collect();
    let server = Server {
        base,
        said_by,
        model,
        num_ctx: wire.options.get("num_ctx").and_then(Json::as_i64),
        offline: context.offline,
        has_key: key.is_some(),
    };
    Ok(Arc::new(Ollama {
        client: Client::new(context, Redirects::Refuse),
        server,
        wire,
        key,
        allow_control_tokens: config.bool("allow_control_tokens").unwrap_or(false),
        repeatable,
        idle: config.idle_timeout(),
        ignored,
        told: AtomicBool::new(false),
        local: AtomicBool::new(false),
    }))
}

/// The option `base_url`, else `OLLAMA_HOST`, else this machine; and what a message says about where it came from.
fn address(config: &ModelConfig, context: &Context) -> Result<(BaseUrl, &'static str), ProviderError> {
    let bad = |name: &str, why: String| {
        ProviderError::new(ErrorKind::Refused, format!("{name}: {why}"))
            .help("an address is http://host:port, with the port 11434 for an Ollama that nobody moved")
    };
    if let Some(text) = config.text("base_url") {
        let base = BaseUrl::parse(&text, PORT).map_err(|e| bad("`base_url`", e))?;
        return Ok((base.without_suffix("/v1"), " (from `base_url`)"));
    }
    match context.var("OLLAMA_HOST") {
        Some(text) => {
            let base = BaseUrl::from_ollama_host(text, PORT).map_err(|e| bad("OLLAMA_HOST", e))?;
            Ok((base, " (from OLLAMA_HOST)"))
        }
        None => Ok((BaseUrl::from_ollama_host("", PORT).map_err(|e| bad("the default address", e))?, "")),
    }
}

impl Provider for Ollama {
    fn caps(&self) -> Caps {
        // How many it answers at a time is the server's matter (OLLAMA_NUM_PARALLEL): the others wait there.
        let context = self.server.num_ctx.and_then(|n| u64::try_from(n).ok());
        Caps { concurrency: if self.repeatable { 1 } else { 4 }, context }
    }

    fn prepare(&self, request: &Request) -> Result<Prepared, ProviderError> {
        if !self.allow_control_tokens {
            super::control::check(request)?;
        }
        let mut body = Map::new();
        body.insert("model".to_owned(), Json::from(self.server.model.as_str()));
        let path = match &request.input {
            RequestInput::Messages(messages) => {
                let messages: Vec<Json> =
                    messages.iter().map(|m| json!({ "role": m.role.name(), "content": m.text })).collect();
                if messages.is_empty() {
                    return Err(nothing_to_say("the prompt has no message"));
                }
                body.insert("messages".to_owned(), Json::from(messages));
                "/api/chat"
            }
            RequestInput::Raw(segments) => {
                let prompt: String = segments.iter().map(|s| s.text.as_str()).collect();
                if prompt.is_empty() {
                    return Err(nothing_to_say("the raw prompt is empty"));
                }
                body.insert("prompt".to_owned(), Json::from(prompt));
                body.insert("raw".to_owned(), Json::from(true));
                "/api/generate"
            }
        };
        body.insert("stream".to_owned(), Json::from(true));
        // Without these a prompt that does not fit is cut in silence.
        body.insert("truncate".to_owned(), Json::from(false));
        body.insert("shift".to_owned(), Json::from(false));
        match &request.constraint {
            Some(Constraint::JsonSchema(schema)) => drop(body.insert("format".to_owned(), schema.clone())),
            Some(Constraint::Json) => drop(body.insert("format".to_owned(), Json::from("json"))),
            // Ollama has no constraint of this kind; the parser checks the answer.
            Some(Constraint::Regex(_)) | None => {}
        }
        if !self.wire.options.is_empty() {
            body.insert("options".to_owned(), Json::from(self.wire.options.clone()));
        }
        if let Some(keep_alive) = &self.wire.keep_alive {
            body.insert("keep_alive".to_owned(), keep_alive.clone());
        }
        if let Some(think) = &self.wire.think {
            body.insert("think".to_owned(), think.clone());
        }
        Ok(Prepared::Http { url: self.server.base.at(path), body: Json::from(body) })
    }

    fn generate<'a>(
        &'a self,
        _request: &'a Request,
        prepared: &'a Prepared,
        sink: &'a mut Sink,
    ) -> BoxFuture<'a, Result<Answer, ProviderError>> {
        Box::pin(async move {
            match self.ask(prepared, sink).await {
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
}

/// Ollama takes an empty request as the order to load a model, and answers nothing.
fn nothing_to_say(message: &str) -> ProviderError {
    ProviderError::new(ErrorKind::Prompt, message).help("a block whose text is empty is not sent")
}

impl Ollama {
    async fn ask(&self, prepared: &Prepared, sink: &mut Sink) -> Result<Answer, ProviderError> {
        let Prepared::Http { url, body } = prepared else {
            return Err(ProviderError::new(ErrorKind::Refused, "the call was made ready for another provider"));
        };
        let started = Instant::now();
        if self.server.offline {
            self.stays_here().await?;
        }
        self.tell_ignored(sink).await?;
        // Held until the answer is whole.
        let _alone = if self.repeatable { Some(self.fresh().await?) } else { None };
        let call = Call { url, body: Some(body), bearer: self.key.as_ref(), idle: self.idle };
        let mut response = self.client.send(call).await.map_err(|f| errors::from_failure(f, &self.server))?;
        if response.status() != 200 {
            return Err(self.refusal(&mut response).await);
        }
        let received = stream::read(&mut response, sink, &self.server).await?;
        let (finish, usage) = received.end.unwrap_or((Finish::Other, Usage::default()));
        Ok(Answer {
            text: received.text,
            reasoning: Some(received.reasoning).filter(|r| !r.is_empty()),
            model: received.model.unwrap_or_else(|| self.server.model.clone()),
            finish,
            usage,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Tells once which options the server will ignore.
    async fn tell_ignored(&self, sink: &mut Sink) -> Result<(), ProviderError> {
        if self.ignored.is_empty() || self.told.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let text = format!("Ollama dropped these options and ignores them: {}", self.ignored.join(", "));
        Ok(sink.notice(&text).await?)
    }

    /// Offline: refuses a model that a local Ollama would pass on to its cloud. Its name may tell, else the server.
    async fn stays_here(&self) -> Result<(), ProviderError> {
        let model = self.server.model.to_ascii_lowercase();
        if model.rsplit_once(':').is_some_and(|(_, tag)| tag == "cloud" || tag.ends_with("-cloud")) {
            return Err(errors::cloud(&self.server.model, None));
        }
        if self.local.load(Ordering::Relaxed) {
            return Ok(());
        }
        let body = json!({ "model": self.server.model });
        // A server that cannot tell gets the call itself, whose error says more.
        let Some(answer) = self.aside("/api/show", Some(&body)).await? else { return Ok(()) };
        let shown: Json = serde_json::from_slice(&answer).unwrap_or_default();
        match shown.get("remote_host").and_then(Json::as_str).filter(|h| !h.is_empty()) {
            Some(host) => Err(errors::cloud(&self.server.model, Some(host))),
            None => {
                self.local.store(true, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    async fn refusal(&self, response: &mut Response) -> ProviderError {
        let status = response.status();
        let (text, kind, wait) = response.refusal().await;
        let tags = match (status, &text.details) {
            (404, Some(_)) => self.aside("/api/tags", None).await.ok().flatten(),
            _ => None,
        };
        let tags = tags.and_then(|body| errors::names(&body));
        let location = response.header("location");
        let mut error = errors::refusal(status, &text, kind, location, tags.as_deref(), &self.server);
        error.retry_after = wait;
        if let (FailureKind::Refused, Some(wait)) = (kind, wait) {
            error.help.insert(0, format!("it asks for a wait of {} s, which is not waited for", wait.as_secs()));
        }
        error
    }

    /// A short request beside the call itself; nothing where it does not succeed.
    ///
    /// # Errors
    /// The offline rule forbids it.
    async fn aside(&self, path: &str, body: Option<&Json>) -> Result<Option<Vec<u8>>, ProviderError> {
        let url = self.server.base.at(path);
        let call = Call { url: &url, body, bearer: self.key.as_ref(), idle: ASIDE };
        let mut response = match self.client.send(call).await {
            Ok(response) if response.is_success() => response,
            Err(failure) if failure.kind == FailureKind::Offline => {
                return Err(errors::from_failure(failure, &self.server));
            }
            _ => return Ok(None),
        };
        Ok(response.body(ASIDE_BODY).await.ok())
    }
}
