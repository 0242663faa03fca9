//! The way to a server that speaks OpenAI's API: address, key, and what its refusals say.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value as Json;

use super::super::loading::{self, Refusal, Sent};
use super::super::{ErrorKind, ModelConfig, ProviderError, hf_endpoint};
use super::address::{self, Place};
use super::body;
use super::dialect::Dialect;
use super::errors::{self, Server};
use crate::config::Context;
use crate::event::Sink;
use crate::net::{Call, Client, FailureKind, Redirects, Response};
use crate::value::Secret;

/// The longest wait for what is only needed to word an error.
const ASIDE: Duration = Duration::from_secs(3);

/// The most bytes of `/models`.
const ASIDE_BODY: usize = 8 << 20;

/// A server and the model that is asked for.
pub struct Link {
    client: Client,
    /// The server and the model, as messages name them.
    pub server: Server,
    key: Option<Secret>,
    key_from_environment: bool,
    offline: bool,
    idle: Duration,
    /// Whether an endpoint turned out to be a TGI.
    is_tgi: AtomicBool,
}

impl Link {
    /// The way to a place.
    pub fn of(config: &ModelConfig, context: &Arc<Context>, place: Place) -> Self {
        let own_headers = place.key_from_environment && !place.dialect.is_hugging_face();
        let header = |option: &str, variable: &str, name: &'static str| {
            let from_environment = || context.var(variable).filter(|_| own_headers).map(str::to_owned);
            config.text(option).or_else(from_environment).map(|value| (name, value.trim().to_owned()))
        };
        let headers = [
            header("organization", "OPENAI_ORG_ID", "OpenAI-Organization"),
            header("project", "OPENAI_PROJECT_ID", "OpenAI-Project"),
        ];
        let headers = headers.into_iter().flatten().chain(place.headers).collect();
        Self {
            client: Client::new(context, Redirects::Refuse).with_headers(headers),
            server: Server {
                base: place.base,
                said_by: place.said_by,
                dialect: place.dialect,
                model: config.model(),
                has_key: place.key.is_some(),
            },
            key: place.key,
            key_from_environment: place.key_from_environment,
            offline: context.offline,
            idle: config.idle_timeout(),
            is_tgi: AtomicBool::new(false),
        }
    }

    /// Sends a request, and waits while the server loads its model. `other` is the form of the body that a TGI takes: an
    /// endpoint that turns out to be one gets it.
    ///
    /// # Errors
    /// There is no key, the run is offline, or nothing answers.
    pub async fn send(
        &self,
        url: &str,
        body: &Json,
        other: Option<&Json>,
        sink: &mut Sink,
    ) -> Result<Sent, ProviderError> {
        if self.offline {
            self.stays_here()?;
        } else if self.lacks_key() {
            return Err(errors::no_key(&self.server));
        }
        let words = |failure| errors::from_failure(failure, &self.server);
        let call = |body| Call { url, body: Some(body), bearer: self.key.as_ref(), idle: self.idle };
        let known = other.filter(|_| self.is_tgi.load(Ordering::Relaxed));
        match (loading::send(&self.client, call(known.unwrap_or(body)), sink, words).await?, other) {
            (Sent::Refusal(refusal), Some(other))
                if known.is_none() && body::wants_tgi(refusal.status, &refusal.text.message) =>
            {
                self.is_tgi.store(true, Ordering::Relaxed);
                loading::send(&self.client, call(other), sink, words).await
            }
            (sent, _) => Ok(sent),
        }
    }

    /// The key, where the environment alone gave it.
    pub fn secrets(&self) -> Vec<Secret> {
        self.key.iter().filter(|_| self.key_from_environment).cloned().collect()
    }

    /// What keeps a call from succeeding.
    pub fn missing(&self) -> Option<String> {
        self.lacks_key().then(|| errors::no_key_sentence(&self.server))
    }

    /// Whether the call cannot succeed for want of a key.
    fn lacks_key(&self) -> bool {
        let base = &self.server.base;
        let router = self.server.dialect == Dialect::Router && hf_endpoint::is_hugging_face(base);
        self.key.is_none() && (address::is_openai(base) || router)
    }

    /// Offline: a local Ollama passes some models on to its cloud, and its `/v1` does not say so.
    fn stays_here(&self) -> Result<(), ProviderError> {
        let model = self.server.model.to_ascii_lowercase();
        let cloud = model.rsplit_once(':').is_some_and(|(_, tag)| tag == "cloud" || tag.ends_with("-cloud"));
        if cloud || self.server.dialect == Dialect::Ollama {
            let message =
                format!("whether `{}` runs on this machine is not known, and the run is offline", self.server.model);
            return Err(ProviderError::new(ErrorKind::Refused, message)
                .help("`ollama(\"…\")` asks the server first; or leave `--offline` out"));
        }
        Ok(())
    }

    /// What an answer that is no success says.
    pub async fn refusal(&self, refusal: Refusal) -> ProviderError {
        let Refusal { status, text, kind, wait, location } = refusal;
        let names = if status == 404 && text.details.is_some() { self.models().await } else { None };
        let mut error = errors::refusal(status, &text, kind, location.as_deref(), names.as_deref(), &self.server);
        error.retry_after = wait;
        if let (FailureKind::Refused, Some(wait)) = (kind, wait) {
            error.help.insert(0, format!("it asks for a wait of {} s, which is not waited for", wait.as_secs()));
        }
        error
    }

    /// The names of the server's models, where it tells them.
    pub async fn models(&self) -> Option<Vec<String>> {
        let url = self.server.base.at("/models");
        let call = Call { url: &url, body: None, bearer: self.key.as_ref(), idle: ASIDE };
        let mut response = self.client.send(call).await.ok().filter(Response::is_success)?;
        errors::names(&response.body(ASIDE_BODY).await.ok()?)
    }
}
