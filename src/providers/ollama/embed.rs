//! Ollama's embeddings: `/api/embed`, and `/api/embeddings` of servers before 0.3.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value as Json, json};
use tokio::sync::OnceCell;

use super::errors;
use super::link::Link;
use super::options;
use super::stream;
use crate::config::Context;
use crate::event::Sink;
use crate::net::BaseUrl;
use crate::net::Response;
use crate::providers::embed::{longest, numbers};
use crate::providers::sources::{OLLAMA_API, OLLAMA_SERVER};
use crate::providers::spec::{EMBEDDER_OPTIONS, RATE_OPTIONS, SERVER_OPTIONS};
use crate::providers::{
    Batches, BoxFuture, Build, Embedder, Embeddings, Enforcement, ErrorKind, ModelConfig, OptionKind, OptionSpec,
    ProviderError, Spec,
};
use crate::value::{Secret, Usage};

/// The description of `ollama` as an embedder.
pub static EMBEDDER: Spec = Spec {
    name: "ollama",
    doc: "an embedding model that Ollama serves, on this machine or another",
    argument: OptionSpec::new("model", OptionKind::Text, "the model's name, as `ollama list` shows it")
        .wire("model")
        .documented(&[OLLAMA_API])
        .tried(&[OLLAMA_SERVER]),
    argument_required: true,
    instead: &[],
    options: &[options::EMBEDDING_OPTIONS, SERVER_OPTIONS, RATE_OPTIONS, EMBEDDER_OPTIONS],
    explained: EXPLAINED,
    enforces: |_, _| Enforcement::Never("an embedder answers nothing".to_owned()),
    build: Build::Embedder(build),
};

/// Spellings from elsewhere, each with what to do instead.
static EXPLAINED: &[(&str, &str)] = &[
    ("model", "the model's name is the first argument: `ollama(\"all-minilm\")`"),
    ("temperature", "an embedder draws nothing: leave it out"),
    ("seed", "an embedder draws nothing: leave it out"),
    ("max_tokens", "an embedder writes nothing: leave it out"),
    ("truncate", "a text that does not fit is an error, never cut: leave it out; `split(chars: 800)` makes pieces"),
    ("normalize", "vectors are compared by their direction, whatever their length: leave it out"),
    ("show_progress", "a run shows by itself how far it is: leave it out"),
    ("headers", "`api_key:` takes a secret for the header Authorization; other headers cannot be sent"),
    ("host", "it is called `base_url`"),
    ("max_retries", "it is called `retry`"),
    ("request_timeout", "it is called `timeout`"),
];

struct OllamaEmbedder {
    link: Link,
    /// What goes beside the texts.
    wire: Map<String, Json>,
    dimensions: Option<usize>,
    batches: Batches,
    /// Whether the server knows `/api/embeddings` alone.
    old: AtomicBool,
    identity: OnceCell<String>,
}

fn build(config: &ModelConfig, context: &Arc<Context>) -> Result<Arc<dyn Embedder>, ProviderError> {
    if config.model().trim().is_empty() {
        return Err(ProviderError::new(ErrorKind::Refused, "`ollama` needs a model's name")
            .help("`ollama(\"all-minilm\")`; `ollama list` shows what is there"));
    }
    let read = options::read(config)?;
    let num_ctx = read.options.get("num_ctx").and_then(Json::as_i64);
    let dimensions = config.int("dimensions").and_then(|n| usize::try_from(n).ok());
    let mut wire = Map::new();
    if !read.options.is_empty() {
        wire.insert("options".to_owned(), Json::from(read.options));
    }
    if let Some(keep_alive) = read.keep_alive {
        wire.insert("keep_alive".to_owned(), keep_alive);
    }
    if let Some(dimensions) = dimensions {
        wire.insert("dimensions".to_owned(), Json::from(dimensions));
    }
    Ok(Arc::new(OllamaEmbedder {
        link: Link::of(config, context, num_ctx)?,
        wire,
        dimensions,
        batches: Batches { texts: config.batch(), at_once: 2 },
        old: AtomicBool::new(false),
        identity: OnceCell::new(),
    }))
}

impl Embedder for OllamaEmbedder {
    fn batches(&self) -> Batches {
        self.batches
    }

    fn identity(&self) -> BoxFuture<'_, Result<String, ProviderError>> {
        Box::pin(async move { self.identity.get_or_try_init(|| self.known_by()).await.cloned() })
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        sink: &'a mut Sink,
    ) -> BoxFuture<'a, Result<Embeddings, ProviderError>> {
        Box::pin(async move { self.ask(texts).await.map_err(|error| error.redacted(sink)) })
    }

    fn server(&self) -> Option<&BaseUrl> {
        Some(&self.link.server.base)
    }

    fn secrets(&self) -> Vec<Secret> {
        self.link.key.iter().filter(|_| self.link.own_key).cloned().collect()
    }
}

impl OllamaEmbedder {
    /// The model by the digest that the server lists it with, where it does, and what else changes its vectors.
    async fn known_by(&self) -> Result<String, ProviderError> {
        self.link.stays_here().await?;
        let model = &self.link.server.model;
        let tags = self.link.aside("/api/tags", None).await?;
        let digest = tags.and_then(|body| errors::digest_of(&body, model));
        // Without a digest, another server may have another model under the name.
        let server = digest.is_none().then(|| self.link.server.base.to_string());
        let known = json!({
            "provider": "ollama",
            "model": model,
            "digest": digest,
            "server": server,
            "dimensions": self.dimensions,
            "options": self.wire.get("options"),
        });
        Ok(known.to_string())
    }

    async fn ask(&self, texts: &[String]) -> Result<Embeddings, ProviderError> {
        self.link.stays_here().await?;
        self.fits_model().await?;
        let made =
            if self.old.load(Ordering::Relaxed) { self.one_by_one(texts).await? } else { self.batch(texts).await? };
        let base = &self.link.server.base;
        let broken = |why: String| ProviderError::new(ErrorKind::Broken, format!("Ollama at {base}: {why}"));
        made.check(texts.len()).map_err(broken)?;
        match (self.dimensions, made.vectors.first()) {
            (Some(asked), Some(first)) if asked != first.len() => {
                let message = format!("`{}` gives {} dimensions, not {asked}", self.link.server.model, first.len());
                Err(ProviderError::new(ErrorKind::Refused, message)
                    .help("the server ignores `dimensions:` of more than the model has, or of a model that has but one number"))
            }
            _ => Ok(made),
        }
    }

    async fn fits_model(&self) -> Result<(), ProviderError> {
        let Some(shown) = self.link.about().await?.filter(|s| s.lacks("embedding")) else { return Ok(()) };
        // Servers of before 0.30 make vectors with any model; one that says no says so itself.
        if shown.lacks("completion") {
            let model = &self.link.server.model;
            let message = format!("`{model}` makes no vectors: Ollama says it can do {}", shown.abilities());
            return Err(no_embedder(ProviderError::new(ErrorKind::Refused, message)));
        }
        Ok(())
    }

    async fn batch(&self, texts: &[String]) -> Result<Embeddings, ProviderError> {
        let mut body = self.wire.clone();
        body.insert("model".to_owned(), Json::from(self.link.server.model.as_str()));
        body.insert("input".to_owned(), Json::from(texts));
        // Without this a text that does not fit is cut in silence.
        body.insert("truncate".to_owned(), Json::from(false));
        let mut response = self.link.send(&self.link.server.base.at("/api/embed"), &Json::from(body)).await?;
        if response.status() == 404 && is_plain(&response) {
            self.old.store(true, Ordering::Relaxed);
            return self.one_by_one(texts).await;
        }
        let json = self.answer(&mut response, texts).await?;
        let rows = json.get("embeddings").and_then(Json::as_array);
        let vectors = rows.and_then(|rows| rows.iter().map(numbers).collect::<Option<Vec<_>>>());
        self.embeddings(&json, vectors)
    }

    /// The way of servers before 0.3: a request for each text.
    async fn one_by_one(&self, texts: &[String]) -> Result<Embeddings, ProviderError> {
        let url = self.link.server.base.at("/api/embeddings");
        let mut all = Embeddings { model: self.link.server.model.clone(), ..Embeddings::default() };
        for text in texts {
            let mut body = self.wire.clone();
            body.shift_remove("dimensions");
            body.insert("model".to_owned(), Json::from(self.link.server.model.as_str()));
            body.insert("prompt".to_owned(), Json::from(text.as_str()));
            let mut response = self.link.send(&url, &Json::from(body)).await?;
            let json = self.answer(&mut response, std::slice::from_ref(text)).await?;
            let made = self.embeddings(&json, json.get("embedding").and_then(numbers).map(|v| vec![v]))?;
            all.vectors.extend(made.vectors);
        }
        Ok(all)
    }

    async fn answer(&self, response: &mut Response, texts: &[String]) -> Result<Json, ProviderError> {
        let server = &self.link.server;
        if response.status() != 200 {
            let status = response.status();
            let error = self.link.refusal(response).await;
            return Err(match error.kind {
                ErrorKind::Overflow => self.too_long(texts),
                _ if status == 501 || error.message.contains("not support embeddings") => no_embedder(error),
                _ => error,
            });
        }
        let limit = (texts.len() + 1) * VECTOR;
        let body = response.body(limit).await.map_err(|f| errors::from_failure(f, server))?;
        let json: Json = serde_json::from_slice(&body).map_err(|e| {
            let message = format!("Ollama at {} sent what is no answer of embeddings: {e}", server.base);
            ProviderError::new(ErrorKind::Broken, message)
        })?;
        match json.get("error").is_some_and(|e| !e.is_null()) {
            true => Err(stream::error_line(&json, false, server)),
            false => Ok(json),
        }
    }

    fn embeddings(&self, json: &Json, vectors: Option<Vec<Vec<f32>>>) -> Result<Embeddings, ProviderError> {
        let server = &self.link.server;
        let Some(vectors) = vectors else {
            let message = format!("Ollama at {} sent an answer without vectors", server.base);
            return Err(ProviderError::new(ErrorKind::Broken, message));
        };
        let model = json.get("model").and_then(Json::as_str).unwrap_or(&server.model).to_owned();
        let usage = Usage { input: json.get("prompt_eval_count").and_then(Json::as_u64), output: None, cached: None };
        Ok(Embeddings { vectors, model, usage })
    }

    fn too_long(&self, texts: &[String]) -> ProviderError {
        let model = &self.link.server.model;
        let message = format!("a text does not fit the context window of `{model}`: {}", longest(texts));
        ProviderError::new(ErrorKind::Overflow, message)
            .help("`split(chars: 800)` before it makes pieces; a text is never cut in silence")
            .help("`num_ctx:` on the embedder widens the window, as far as the model goes")
    }
}

/// The most bytes of a vector as JSON: 65,536 numbers of 20 bytes.
const VECTOR: usize = 65_536 * 20;

/// Whether an answer is none of Ollama's own errors, which are JSON.
fn is_plain(response: &Response) -> bool {
    !response.header("content-type").is_some_and(|t| t.contains("json"))
}

fn no_embedder(error: ProviderError) -> ProviderError {
    error
        .help("take an embedding model: `ollama pull all-minilm`, or nomic-embed-text, bge-m3")
        .help("`ollama show NAME` lists what a model can do")
}
