//! Embeddings: `/embeddings` of OpenAI and of servers that speak its API.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::super::embed::numbers;
use super::super::loading::{Refusal, Sent};
use super::super::sources::{LLAMA_SERVER_BUILD, OLLAMA_V1, OPENAI_EMBEDDINGS};
use super::super::spec::{EMBEDDER_OPTIONS, RATE_OPTIONS, SERVER_OPTIONS};
use super::super::{
    Batches, BoxFuture, Build, Effect, Embedder, Embeddings, Enforcement, ErrorKind, ModelConfig, OptionKind,
    OptionSpec, ProviderError, Spec,
};
use super::dialect::Dialect;
use super::link::Link;
use super::{address, options, refused};
use crate::config::Context;
use crate::event::Sink;
use crate::net::BaseUrl;
use crate::value::{Secret, Usage, Value, from_base64};

/// The description of `openai` as an embedder.
pub static EMBEDDER: Spec = Spec {
    name: "openai",
    doc: "an embedding model of OpenAI's API, or of a server that speaks it (`base_url:`)",
    argument: OptionSpec::new("model", OptionKind::Text, "the model's name, as `text-embedding-3-small`")
        .wire("model")
        .documented(&[OPENAI_EMBEDDINGS])
        .tried(&[LLAMA_SERVER_BUILD, OLLAMA_V1]),
    argument_required: true,
    instead: &[],
    options: &[MODEL_OPTIONS, options::PLACE_OPTIONS, SERVER_OPTIONS, RATE_OPTIONS, EMBEDDER_OPTIONS],
    explained: EXPLAINED,
    enforces: |_, _| Enforcement::Never("an embedder answers nothing".to_owned()),
    build: Build::Embedder(build),
};

static MODEL_OPTIONS: &[OptionSpec] = &[
    OptionSpec::new(
        "dimensions",
        OptionKind::Int(1, i64::MAX),
        "the first so many dimensions alone, of models made for that",
    )
    .default("the model's")
    .wire("dimensions")
    .documented(&[OPENAI_EMBEDDINGS])
    .tried(&[OLLAMA_V1]),
    OptionSpec {
        effect: Effect::Call,
        ..OptionSpec::new("encoding_format", OptionKind::Choice(&["float", "base64"]), "how vectors travel")
            .default("\"base64\" from OpenAI itself, else the server's")
            .wire("encoding_format")
            .documented(&[OPENAI_EMBEDDINGS])
            .tried(&[LLAMA_SERVER_BUILD])
    },
    OptionSpec::new("options", OptionKind::Map, "more of the server's options, sent as they stand")
        .documented(&[OPENAI_EMBEDDINGS]),
];

/// Spellings from elsewhere, each with what to do instead.
static EXPLAINED: &[(&str, &str)] = &[
    ("model", "the model's name is the first argument: `openai(\"text-embedding-3-small\")`"),
    ("deployment", "the model's name is the first argument: `openai(\"text-embedding-3-small\")`"),
    ("temperature", "an embedder draws nothing: leave it out"),
    ("seed", "an embedder draws nothing: leave it out"),
    ("max_tokens", "an embedder writes nothing: leave it out"),
    ("chunk_size", "it is called `batch`"),
    ("truncate", "a text that does not fit is an error, never cut: leave it out; `split(chars: 800)` makes pieces"),
    ("embedding_ctx_length", "a text that does not fit is an error: leave it out; `split(chars: 800)` makes pieces"),
    ("check_embedding_ctx_length", "a text that does not fit is an error, said by the server: leave it out"),
    ("normalize", "vectors are compared by their direction, whatever their length: leave it out"),
    ("show_progress_bar", "a run shows by itself how far it is: leave it out"),
    ("skip_empty", "every text has its vector: leave it out"),
    ("azure_endpoint", "Azure's own addresses are not spoken to; one that ends in /v1 goes into `base_url:`"),
    ("model_kwargs", "options that chainrun does not know go into `options: { … }`"),
    ("headers", "`api_key:` takes a secret for the header Authorization; other headers cannot be sent"),
    ("default_headers", "`api_key:` takes a secret for the header Authorization; other headers cannot be sent"),
    ("max_retries", "it is called `retry`"),
    ("request_timeout", "it is called `timeout`"),
];

/// Fields of a request that are made of the texts and the other options.
const OURS: &[&str] = &["model", "input", "dimensions", "encoding_format"];

struct OpenAiEmbedder {
    link: Link,
    /// What goes beside the texts and the model's name.
    wire: Map<String, Json>,
    dimensions: Option<usize>,
    batches: Batches,
    /// What its vectors are known by.
    identity: String,
}

fn build(config: &ModelConfig, context: &Arc<Context>) -> Result<Arc<dyn Embedder>, ProviderError> {
    let model = config.model();
    if model.trim().is_empty() {
        return Err(refused("`openai` needs a model's name").help("`openai(\"text-embedding-3-small\")`"));
    }
    let place = address::find(config, context)?;
    match place.dialect {
        Dialect::Gpt4All => {
            return Err(refused("GPT4All's server has no embeddings")
                .help("`ollama(\"nomic-embed-text\")` makes vectors on this machine"));
        }
        Dialect::Ollama => {
            return Err(refused("Ollama's /v1 cuts a text that does not fit, and does not say so")
                .help(format!("`ollama({model:?})` speaks Ollama's own API, which has it refuse such a text")));
        }
        _ => {}
    }
    let dimensions = config.int("dimensions");
    let mut wire = Map::new();
    if let Some(Value::Map(extra)) = config.value("options") {
        for (key, value) in extra.iter() {
            if OURS.contains(&key.as_str()) {
                return Err(refused(format!("`{key}` has no place inside `options`")).help("write it beside `options`"));
            }
            wire.insert(key.clone(), value.to_json());
        }
    }
    let identity = json!({
        "provider": "openai", "server": place.base.to_string(), "model": model, "dimensions": dimensions, "options": wire,
    });
    if let Some(dimensions) = dimensions {
        wire.insert("dimensions".to_owned(), Json::from(dimensions));
    }
    let own = (place.dialect == Dialect::OpenAi).then(|| "base64".to_owned());
    if let Some(format) = config.text("encoding_format").or(own) {
        wire.insert("encoding_format".to_owned(), Json::from(format));
    }
    let at_once = if matches!(place.dialect, Dialect::LlamaServer | Dialect::LmStudio) { 2 } else { 4 };
    Ok(Arc::new(OpenAiEmbedder {
        link: Link::of(config, context, place),
        wire,
        dimensions: dimensions.and_then(|n| usize::try_from(n).ok()),
        batches: Batches { texts: config.batch(), at_once },
        identity: identity.to_string(),
    }))
}

impl Embedder for OpenAiEmbedder {
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

impl OpenAiEmbedder {
    async fn ask(&self, texts: &[String], sink: &mut Sink) -> Result<Embeddings, ProviderError> {
        let server = &self.link.server;
        let mut body = Map::new();
        body.insert("model".to_owned(), Json::from(server.model.as_str()));
        body.insert("input".to_owned(), Json::from(texts));
        body.extend(self.wire.clone());
        let mut response = match self.link.send(&server.base.at("/embeddings"), &Json::from(body), None, sink).await? {
            Sent::Answer(response) => response,
            Sent::Refusal(refusal) => return Err(self.refusal(refusal, texts).await),
        };
        let json = self.link.embeddings(&mut response, texts.len()).await?;
        let made = Embeddings {
            vectors: self.vectors(&json, texts.len())?,
            model: json.get("model").and_then(Json::as_str).unwrap_or(&server.model).to_owned(),
            usage: Usage {
                input: json.pointer("/usage/prompt_tokens").and_then(Json::as_u64),
                output: None,
                cached: None,
            },
        };
        made.check(texts.len()).map_err(|why| self.link.broken(&why))?;
        match (self.dimensions, made.vectors.first()) {
            (Some(asked), Some(first)) if asked != first.len() => {
                Err(refused(format!("`{}` gives {} dimensions, not {asked}", server.model, first.len()))
                    .help("leave `dimensions:` out: the server ignores it, or the model has but one number of them"))
            }
            _ => Ok(made),
        }
    }

    /// The vectors in the order of the texts, whatever the order in which they came.
    fn vectors(&self, json: &Json, texts: usize) -> Result<Vec<Vec<f32>>, ProviderError> {
        let Some(rows) = json.get("data").and_then(Json::as_array) else {
            return Err(self.link.broken("an answer without vectors"));
        };
        if rows.len() != texts {
            return Err(self.link.broken(&format!("{} vectors for {texts} texts", rows.len())));
        }
        let mut vectors = vec![None; texts];
        for (place, row) in rows.iter().enumerate() {
            let index = row.get("index").and_then(Json::as_u64).map_or(Some(place), |n| usize::try_from(n).ok());
            let slot = index.and_then(|i| vectors.get_mut(i)).filter(|slot| slot.is_none());
            let Some(slot) = slot else {
                return Err(self
                    .link
                    .broken(&format!("an index that is none of its texts, or twice: {}", row["index"])));
            };
            *slot = Some(self.vector(&row["embedding"])?);
        }
        Ok(vectors.into_iter().flatten().collect())
    }

    fn vector(&self, json: &Json) -> Result<Vec<f32>, ProviderError> {
        let vector = match json {
            Json::Array(rows) if rows.first().is_some_and(Json::is_array) => return Err(self.unpooled(rows.len())),
            Json::Array(_) => numbers(json),
            Json::String(text) => from_base64(text).filter(|bytes| bytes.len() % 4 == 0).map(|bytes| {
                let (numbers, _) = bytes.as_chunks::<4>();
                numbers.iter().map(|four| f32::from_le_bytes(*four)).collect()
            }),
            _ => None,
        };
        vector.ok_or_else(|| self.link.broken("a vector that is neither a list of numbers nor base64"))
    }

    /// A vector for each token, which is none for the text.
    fn unpooled(&self, tokens: usize) -> ProviderError {
        let server = &self.link.server;
        let message = format!(
            "{} gave `[[…]]`: {tokens} vectors, one for each token of the text, and none for the text itself",
            server.at()
        );
        refused(message)
            .help("`llama-server --embeddings --pooling mean` makes one of them; or take an embedding model")
    }

    async fn refusal(&self, refusal: Refusal, texts: &[String]) -> ProviderError {
        let status = refusal.status;
        let error = self.link.refusal(refusal).await;
        let about = |part: &str| error.message.contains(part);
        if error.kind == ErrorKind::Overflow || about("too large to process") || about("too large to be processed") {
            return self.too_long(texts, &error.message);
        }
        if about("Pooling type 'none'") {
            return error.help("`--pooling mean` has it make one vector of those of a text's tokens");
        }
        if status == 501 || about("support embeddings") || about("support Embeddings") {
            return error
                .help("take an embedding model; `llama-server` wants `--embeddings --pooling mean`")
                .help("`openai(\"text-embedding-3-small\")` is one of OpenAI's own");
        }
        if status == 404 && error.help.iter().any(|line| line.contains("`base_url:`")) {
            return error.help("some servers have `/embeddings` only while they serve an embedding model");
        }
        error
    }

    fn too_long(&self, texts: &[String], said: &str) -> ProviderError {
        let error = self.link.text_too_long(texts, said);
        if self.link.server.dialect == Dialect::LlamaServer {
            return error.help("`llama-server -c 8192 -b 8192 -ub 8192` takes longer ones, as far as the model goes");
        }
        error
    }
}
