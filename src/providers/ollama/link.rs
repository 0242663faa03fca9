//! The way to a server of Ollama, which chat, embeddings and `chainrun models` share: its address, its key, short
//! questions beside a call, refusals in words.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::sync::OnceCell;

use super::errors::{self, Server};
use super::shown::Shown;
use crate::config::Context;
use crate::net::{BaseUrl, Call, Client, FailureKind, Redirects, Response};
use crate::providers::{ErrorKind, ModelConfig, ProviderError};
use crate::value::Secret;

/// Ollama's port unless told otherwise.
const PORT: u16 = 11434;

/// The longest wait for what is asked beside a call.
const ASIDE: Duration = Duration::from_secs(3);

/// The most bytes of `/api/tags` and `/api/show`.
const ASIDE_BODY: usize = 8 << 20;

/// Failures that the call itself would meet too.
const IN_VAIN: &[FailureKind] = &[FailureKind::Offline, FailureKind::Request, FailureKind::Unreachable];

/// What `/api/show` says, asked once for a model of a server while anything of the run uses it.
type About = OnceCell<Option<Shown>>;

/// Servers and models with what is known of them. A run's end lets go of it: the model may change until the next.
type Known = Mutex<HashMap<(String, String), Weak<About>>>;

static KNOWN: LazyLock<Known> = LazyLock::new(Known::default);

/// A server, and the model of it that is meant.
pub struct Link {
    /// The HTTP client.
    pub client: Client,
    /// The server and the model, as messages name them.
    pub server: Server,
    /// The key that is sent.
    pub key: Option<Secret>,
    /// Whether the key came from the environment, where no file names it.
    pub own_key: bool,
    /// The longest silence.
    pub idle: Duration,
    about: Arc<About>,
}

impl Link {
    /// The way to the server that a configuration names. Opens nothing.
    ///
    /// # Errors
    /// An address that is none.
    pub fn of(config: &ModelConfig, context: &Context, num_ctx: Option<i64>) -> Result<Self, ProviderError> {
        let base_url = config.text("base_url");
        let (given, idle) = (config.secret("api_key"), config.idle_timeout());
        Self::new(base_url.as_deref(), given, config.model(), num_ctx, idle, context)
    }

    /// The way to `model` at the server of `base_url`, else `OLLAMA_HOST`, else this machine.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(
        base_url: Option<&str>,
        given: Option<Secret>,
        model: String,
        num_ctx: Option<i64>,
        idle: Duration,
        context: &Context,
    ) -> Result<Self, ProviderError> {
        let place = address(base_url, context)?;
        let own = if given.is_none() { environment_key(&place.0, base_url.is_some(), context) } else { None };
        Ok(Self::made(place, given, own, model, num_ctx, idle, context))
    }

    /// The way to the server that the command line names, in any form that `OLLAMA_HOST` takes; else as a file without
    /// `base_url` has it. Who names a server here may send it the environment's key.
    ///
    /// # Errors
    /// An address that is none.
    pub fn at_host(host: Option<&str>, model: &str, idle: Duration, context: &Context) -> Result<Self, ProviderError> {
        let place = match host {
            None => address(None, context)?,
            Some(text) => {
                let base = BaseUrl::from_ollama_host(text, PORT).map_err(|e| {
                    ProviderError::new(ErrorKind::Refused, format!("--host: {e}"))
                        .help("an address is http://host:port, with the port 11434 for an Ollama that nobody moved")
                })?;
                (base, " (from --host)")
            }
        };
        let own = environment_key(&place.0, false, context);
        Ok(Self::made(place, None, own, model.to_owned(), None, idle, context))
    }

    fn made(
        (base, said_by): (BaseUrl, &'static str),
        given: Option<Secret>,
        own: Option<Secret>,
        model: String,
        num_ctx: Option<i64>,
        idle: Duration,
        context: &Context,
    ) -> Self {
        let own_key = own.is_some();
        let key = given.or(own);
        let about = known(&base, &model);
        let server = Server { base, said_by, model, num_ctx, offline: context.offline, has_key: key.is_some() };
        Self { client: Client::new(context, Redirects::Refuse), server, key, own_key, idle, about }
    }

    /// Sends what is asked of the server itself.
    ///
    /// # Errors
    /// No answer's head came.
    pub async fn send(&self, url: &str, body: &Json) -> Result<Response, ProviderError> {
        let call = Call { url, body: Some(body), bearer: self.key.as_ref(), idle: self.idle };
        self.client.send(call).await.map_err(|f| errors::from_failure(f, &self.server))
    }

    /// What the server says of the model; none where it cannot tell: an old one, or a model that it does not have. Asked
    /// once, whoever asks first.
    ///
    /// # Errors
    /// Nobody is at the address, or the offline rule forbids to ask.
    pub async fn about(&self) -> Result<Option<&Shown>, ProviderError> {
        let about = self.about.get_or_try_init(|| async {
            let body = json!({ "model": self.server.model });
            let answer = self.question("/api/show", Some(&body)).await?;
            Ok::<_, ProviderError>(answer.and_then(|body| Shown::read(&body)))
        });
        Ok(about.await?.as_ref())
    }

    /// Offline: refuses a model that a local Ollama would pass on to its cloud. Its name may tell, else the server.
    ///
    /// # Errors
    /// It would leave this machine.
    pub async fn stays_here(&self) -> Result<(), ProviderError> {
        if !self.server.offline {
            return Ok(());
        }
        if self.server.is_cloud() {
            return Err(errors::cloud(&self.server.model, None));
        }
        // A server that cannot tell gets the call itself, whose error says more.
        match self.about().await?.and_then(|shown| shown.remote_host.as_deref()) {
            Some(host) => Err(errors::cloud(&self.server.model, Some(host))),
            None => Ok(()),
        }
    }

    /// The error of an answer that is no success.
    pub async fn refusal(&self, response: &mut Response) -> ProviderError {
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
    pub async fn aside(&self, path: &str, body: Option<&Json>) -> Result<Option<Vec<u8>>, ProviderError> {
        match self.question(path, body).await {
            Err(error) if error.kind == ErrorKind::Unreachable => Ok(None),
            answer => answer,
        }
    }

    /// The same, where an address at which nobody answers is an error: the call itself would find nobody either.
    async fn question(&self, path: &str, body: Option<&Json>) -> Result<Option<Vec<u8>>, ProviderError> {
        let url = self.server.base.at(path);
        let call = Call { url: &url, body, bearer: self.key.as_ref(), idle: ASIDE.min(self.idle) };
        let mut response = match self.client.send(call).await {
            Ok(response) if response.is_success() => response,
            Err(failure) if IN_VAIN.contains(&failure.kind) => {
                return Err(errors::from_failure(failure, &self.server));
            }
            _ => return Ok(None),
        };
        Ok(response.body(ASIDE_BODY).await.ok())
    }
}

/// What is known of a model by anything that lives.
fn known(base: &BaseUrl, model: &str) -> Arc<About> {
    let mut all = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, about| about.strong_count() > 0);
    let place = all.entry((base.to_string(), model.to_owned())).or_default();
    place.upgrade().unwrap_or_else(|| {
        let about = Arc::new(About::new());
        *place = Arc::downgrade(&about);
        about
    })
}

/// The option `base_url`, else `OLLAMA_HOST`, else this machine; and what a message says about where it came from.
fn address(base_url: Option<&str>, context: &Context) -> Result<(BaseUrl, &'static str), ProviderError> {
    let bad = |name: &str, why: String| {
        ProviderError::new(ErrorKind::Refused, format!("{name}: {why}"))
            .help("an address is http://host:port, with the port 11434 for an Ollama that nobody moved")
    };
    if let Some(text) = base_url {
        let base = BaseUrl::parse(text, PORT).map_err(|e| bad("`base_url`", e))?;
        return Ok((base.without_suffix("/v1"), " (from `base_url`)"));
    }
    let default = || BaseUrl::from_ollama_host("", PORT).map_err(|e| bad("the default address", e));
    match context.var("OLLAMA_HOST") {
        Some(text) => {
            let base = BaseUrl::from_ollama_host(text, PORT).map_err(|e| bad("OLLAMA_HOST", e))?;
            Ok((base, " (from OLLAMA_HOST)"))
        }
        None => Ok((default()?, "")),
    }
}

/// `OLLAMA_API_KEY`, for servers that the person named (`OLLAMA_HOST`, this machine) and for Ollama's own: a file's
/// `base_url` gets no key that the file does not name, wherever the file is from.
fn environment_key(base: &BaseUrl, by_file: bool, context: &Context) -> Option<Secret> {
    let key = context.var("OLLAMA_API_KEY").map(str::trim).filter(|key| !key.is_empty())?;
    let named = || context.var("OLLAMA_HOST").and_then(|text| BaseUrl::from_ollama_host(text, PORT).ok());
    let ollamas = base.is_https() && (base.host() == "ollama.com" || base.host().ends_with(".ollama.com"));
    let fine = !by_file || base.is_loopback() || ollamas || named().is_some_and(|known| known == *base);
    fine.then(|| Secret::new(key))
}
