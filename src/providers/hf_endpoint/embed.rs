//! Embeddings: feature extraction behind Hugging Face's router (`hf-inference`), and at endpoints that run Text Embeddings
//! Inference.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::super::embed::numbers;
use super::super::loading::{Refusal, Sent};
use super::super::openai::address::Place;
use super::super::openai::dialect::Dialect;
use super::super::openai::link::Link;
use super::super::sources::{FEATURES, HF_TOKENS, ROUTER, TEI};
use super::super::spec::{EMBEDDER_OPTIONS, RATE_OPTIONS, SERVER_OPTIONS};
use super::super::{
    Batches, BoxFuture, Build, Effect, Embedder, Embeddings, Enforcement, ErrorKind, ModelConfig, OptionKind,
    OptionSpec, ProviderError, Spec,
};
use super::place::Where;
use super::{check, place, refused};
use crate::config::Context;
use crate::event::Sink;
use crate::net::BaseUrl;
use crate::value::{Secret, Usage, Value};

/// The description of `hf-endpoint` as an embedder.
pub static EMBEDDER: Spec = Spec {
    name: "hf-endpoint",
    doc: "an embedding model behind Hugging Face's router, or of an endpoint of one's own (`endpoint_url:`)",
    argument: OptionSpec::new(
        "model",
        OptionKind::Text,
        "the model's repository, as `sentence-transformers/all-MiniLM-L6-v2`",
    ),
    argument_required: true,
    instead: &["endpoint_url"],
    options: &[OPTIONS, SERVER_OPTIONS, RATE_OPTIONS, EMBEDDER_OPTIONS],
    explained: EXPLAINED,
    enforces: |_, _| Enforcement::Never("an embedder answers nothing".to_owned()),
    build: Build::Embedder(build),
};

const fn call(name: &'static str, kind: OptionKind, doc: &'static str) -> OptionSpec {
    OptionSpec { effect: Effect::Call, ..OptionSpec::new(name, kind, doc) }
}

static OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("prompt_name", OptionKind::Text, "the prompt of the model's own that goes before each text")
        .wire("prompt_name")
        .documented(&[FEATURES, TEI]),
    OptionSpec::new(
        "pooling",
        OptionKind::Choice(&["mean"]),
        "one vector of those of a text's tokens, where the server gives one for each token",
    )
    .default("none: such an answer is an error"),
    OptionSpec::new("options", OptionKind::Map, "more of the server's parameters, sent as they stand")
        .documented(&[FEATURES, TEI]),
    OptionSpec::new("endpoint_url", OptionKind::Text, "where the endpoint is; without it, Hugging Face's router")
        .aliases(&["base_url", "inference_server_url"]),
    call("api_key", OptionKind::Secret, "a secret that is sent as `Authorization: Bearer`")
        .aliases(&["token", "hf_token", "huggingfacehub_api_token"])
        .documented(&[HF_TOKENS]),
    call("bill_to", OptionKind::Text, "the organization that is billed").wire("X-HF-Bill-To").documented(&[ROUTER]),
];

const FIRST: &str = "the repository is the first argument: `hf-endpoint(\"sentence-transformers/all-MiniLM-L6-v2\")`; an address of one's own is `endpoint_url:`";

/// Spellings from elsewhere, each with what to do instead.
static EXPLAINED: &[(&str, &str)] = &[
    ("model", FIRST),
    ("repo_id", FIRST),
    ("model_name", FIRST),
    ("provider", "behind the router `hf-inference` alone makes vectors: leave it out"),
    ("task", "an embedder has one task, feature extraction: leave it out"),
    ("model_kwargs", "options that chainrun does not know go into `options: { … }`"),
    ("encode_kwargs", "options that chainrun does not know go into `options: { … }`"),
    ("temperature", "an embedder draws nothing: leave it out"),
    ("max_tokens", "an embedder writes nothing: leave it out"),
    ("truncate", "a text that does not fit is an error, never cut: leave it out; `split(chars: 800)` makes pieces"),
    ("normalize", "vectors are compared by their direction, whatever their length: leave it out"),
    ("headers", "`api_key:` takes a secret for the header Authorization; other headers cannot be sent"),
    ("max_retries", "it is called `retry`"),
    ("request_timeout", "it is called `timeout`"),
    ("device", "the model runs on a server"),
];

/// Fields of a request that are made of the texts and the other options.
const OURS: &[&str] = &["inputs", "truncate", "prompt_name"];

struct HfEmbedder {
    link: Link,
    url: String,
    /// What goes beside the texts.
    wire: Map<String, Json>,
    pools: bool,
    batches: Batches,
    /// What its vectors are known by.
    identity: String,
}

fn build(config: &ModelConfig, context: &Arc<Context>) -> Result<Arc<dyn Embedder>, ProviderError> {
    check(config)?;
    let place = place::find(config, context)?;
    if place.router && place.model.is_empty() {
        return Err(refused("`hf-endpoint` needs a model's repository")
            .help("as in `hf-endpoint(\"sentence-transformers/all-MiniLM-L6-v2\")`"));
    }
    if place.router && place.model.contains(|c: char| !(c.is_ascii_alphanumeric() || "-_./".contains(c))) {
        let error = refused(format!("`{}` is no repository with an embedding model", place.model));
        return Err(match place.model.split_once(':') {
            Some((model, _)) => {
                error.help(format!("behind the router `hf-inference` alone makes vectors: `hf-endpoint(\"{model}\")`"))
            }
            None => error.help("it is OWNER/NAME, as the address bar of huggingface.co shows it"),
        });
    }
    let url = address(&place)?;
    let mut wire = Map::new();
    if let Some(Value::Map(extra)) = config.value("options") {
        for (key, value) in extra.iter() {
            if OURS.contains(&key.as_str()) {
                return Err(refused(format!("`{key}` has no place inside `options`"))
                    .help("`prompt_name:` stands beside `options`; a text is never cut"));
            }
            wire.insert(key.clone(), value.to_json());
        }
    }
    if let Some(name) = config.text("prompt_name") {
        wire.insert("prompt_name".to_owned(), Json::from(name));
    }
    let pools = config.text("pooling").is_some();
    let identity = json!({
        "provider": "hf-endpoint", "url": url, "model": place.model, "pooling": pools, "options": wire,
    });
    let mut config = config.clone();
    config.argument = Some(Value::from(place.model.clone()));
    let batches = Batches { texts: config.batch(), at_once: 4 };
    let dialect = if place.router { Dialect::Router } else { Dialect::Endpoint };
    let place = Place {
        base: place.base,
        dialect,
        said_by: place.said_by,
        key: place.token,
        key_from_environment: place.token_found,
        headers: place.headers,
    };
    let link = Link::of(&config, context, place);
    Ok(Arc::new(HfEmbedder { link, url, wire, pools, batches, identity: identity.to_string() }))
}

/// Where texts go: behind the router to the model's feature extraction, at an endpoint to the address as it is given.
fn address(place: &Where) -> Result<String, ProviderError> {
    if place.router {
        let base = place.base.clone().without_suffix("/v1");
        return Ok(base.at(&format!("/hf-inference/models/{}/pipeline/feature-extraction", place.model)));
    }
    let path = place.base.prefix();
    if path.ends_with("/v1") || path.ends_with("/embeddings") {
        return Err(refused(format!("{} is an address of OpenAI's API", place.base))
            .help("`openai(\"MODEL\", base_url: …)` as an embedder speaks to it")
            .help("feature extraction is at the address that stands before /v1"));
    }
    Ok(place.base.to_string())
}

impl Embedder for HfEmbedder {
    fn batches(&self) -> Batches {
        self.batches
    }

    fn identity(&self) -> BoxFuture<'_, Result<String, ProviderError>> {
        Box::pin(async move { Ok(self.identity.clone()) })
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        sink: &'a mut Sink,
    ) -> BoxFuture<'a, Result<Embeddings, ProviderError>> {
        Box::pin(async move { self.ask(texts, sink).await.map_err(|error| error.redacted(sink)) })
    }

    fn server(&self) -> Option<&BaseUrl> {
        Some(&self.link.server.base)
    }

    fn secrets(&self) -> Vec<Secret> {
        self.link.secrets()
    }

    fn missing(&self) -> Option<String> {
        self.link.missing()
    }
}

impl HfEmbedder {
    async fn ask(&self, texts: &[String], sink: &mut Sink) -> Result<Embeddings, ProviderError> {
        let server = &self.link.server;
        let mut body = self.wire.clone();
        body.insert("inputs".to_owned(), Json::from(texts));
        // Some servers cut a text that does not fit unless told.
        body.insert("truncate".to_owned(), Json::from(false));
        let mut response = match self.link.send(&self.url, &Json::from(body), None, sink).await? {
            Sent::Answer(response) => response,
            Sent::Refusal(refusal) => return Err(self.refusal(refusal, texts).await),
        };
        let tokens = response.header("x-compute-tokens").and_then(|n| n.trim().parse().ok());
        let json = self.link.embeddings(&mut response, texts.len()).await?;
        let made = Embeddings {
            vectors: self.vectors(&json, texts.len())?,
            model: server.model.clone(),
            usage: Usage { input: tokens, output: None, cached: None },
        };
        made.check(texts.len()).map_err(|why| self.link.broken(&why))?;
        Ok(made)
    }

    /// `[[…]]`, a vector for each text; `[…]`, that of one text; `[[[…]]]`, those of each text's tokens.
    fn vectors(&self, json: &Json, texts: usize) -> Result<Vec<Vec<f32>>, ProviderError> {
        let Json::Array(rows) = json else { return Err(self.link.broken("an answer without vectors")) };
        let first = |row: &Json| row.as_array().and_then(|items| items.first()).is_some_and(Json::is_array);
        let vector = |row: &Json| numbers(row).ok_or_else(|| self.link.broken("a vector that is no list of numbers"));
        if rows.first().is_some_and(Json::is_number) && texts == 1 {
            return Ok(vec![vector(json)?]);
        }
        if rows.first().is_some_and(first) {
            return rows.iter().map(|tokens| self.pooled(tokens)).collect();
        }
        // The vectors of one text's tokens, if they are more than the texts.
        if texts == 1 && rows.len() > 1 {
            return Ok(vec![self.pooled(json)?]);
        }
        rows.iter().map(vector).collect()
    }

    /// The mean of the vectors of a text's tokens, where the file asks for it.
    fn pooled(&self, tokens: &Json) -> Result<Vec<f32>, ProviderError> {
        let rows: Option<Vec<Vec<f32>>> = tokens.as_array().and_then(|rows| rows.iter().map(numbers).collect());
        let rows = rows.ok_or_else(|| self.link.broken("a vector that is no list of numbers"))?;
        if !self.pools {
            let message = format!(
                "{} gave {} vectors for a text, one for each of its tokens, and none for the text itself",
                self.link.server.at(),
                rows.len()
            );
            return Err(refused(message)
                .help("`pooling: \"mean\"` on the embedder makes one of them")
                .help("an embedding model gives one by itself: `sentence-transformers/all-MiniLM-L6-v2` is one"));
        }
        let dimensions = rows.first().map_or(0, Vec::len);
        if rows.iter().any(|row| row.len() != dimensions) {
            return Err(self.link.broken("vectors of different dimensions for the tokens of a text"));
        }
        let mut sums = vec![0f64; dimensions];
        for row in &rows {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        let count = rows.len() as f64;
        Ok(sums.iter().map(|sum| (sum / count) as f32).collect())
    }

    async fn refusal(&self, refusal: Refusal, texts: &[String]) -> ProviderError {
        let status = refusal.status;
        let said = refusal.text.message.clone();
        let error = self.link.refusal(refusal).await;
        if said.contains("batch size") {
            return error.help("`batch: 16` on the embedder sends fewer texts at a time");
        }
        if error.kind == ErrorKind::Overflow || said.contains("must have less than") {
            return self.link.text_too_long(texts, &said);
        }
        if matches!(status, 404 | 405) && self.link.server.dialect == Dialect::Endpoint {
            return error
                .help("Text Embeddings Inference has feature extraction at its root and at /embed")
                .help("`openai(\"MODEL\", base_url: …)` as an embedder speaks to servers of OpenAI's API");
        }
        error
    }
}
