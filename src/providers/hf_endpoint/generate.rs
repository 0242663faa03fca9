//! Text generation: raw text to an endpoint that runs Text Generation Inference, at the address as it is given.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json, json};

use super::super::instruct::Instruct;
use super::super::loading::{self, Refusal, Sent};
use super::super::openai::dialect::{Dialect, SchemaForm};
use super::super::openai::errors::{self, Server};
use super::super::openai::schema;
use super::super::{BoxFuture, Caps, Effect, ErrorKind, ModelConfig, Prepared, Provider, ProviderError};
use super::place::Where;
use super::received::{Reader, Received};
use super::refused;
use crate::config::Context;
use crate::event::Sink;
use crate::net::{Call, Client, FailureKind, Redirects, Response};
use crate::value::{Answer, Constraint, Finish, Request, RequestInput, Secret, Value};

/// Fields of a request that are made of the prompt, the parser and what chainrun needs.
const OURS: &[(&str, &str)] = &[
    ("inputs", "the prompt left of the model is sent"),
    ("stream", "answers always stream where they can"),
    ("details", "they are always asked for"),
    ("return_full_text", "the answer is always the new text alone"),
    ("grammar", "a parser behind the model asks for it: `| json(Type)`"),
    ("best_of", "a call has one answer"),
];

/// Options that a chat has and text generation has not: it would pass over them in silence.
const CHAT_ONLY: &[&str] = &["min_p", "presence_penalty"];

/// A model behind text generation.
pub struct Generate {
    client: Client,
    server: Server,
    parameters: Map<String, Json>,
    instruct: Instruct,
    stops: Vec<String>,
    token: Option<Secret>,
    token_found: bool,
    checks_control_tokens: bool,
    idle: Duration,
}

impl Generate {
    /// A model at a place.
    ///
    /// # Errors
    /// An option that text generation does not have; an address of another API.
    pub fn new(config: &ModelConfig, context: &Arc<Context>, place: Where) -> Result<Self, ProviderError> {
        if config.options.contains_key("tools") {
            return Err(super::super::tools::no_template());
        }
        let path = place.base.prefix();
        if path.ends_with("/v1") || path.ends_with("/completions") {
            let message = format!("{} is an address of OpenAI's API, which has no text generation", place.base);
            return Err(refused(message)
                .help("a `raw` prompt goes to the address that stands before /v1")
                .help("`openai(\"MODEL\", base_url: …)` completes raw text at servers that speak OpenAI's API"));
        }
        Ok(Self {
            client: Client::new(context, Redirects::Refuse).with_headers(place.headers),
            parameters: parameters(config)?,
            instruct: Instruct::of(config),
            stops: stops(config),
            checks_control_tokens: !config.bool("allow_control_tokens").unwrap_or(false),
            idle: config.idle_timeout(),
            server: Server {
                base: place.base,
                said_by: place.said_by,
                dialect: Dialect::Endpoint,
                model: place.model,
                has_key: place.token.is_some(),
            },
            token: place.token,
            token_found: place.token_found,
        })
    }
}

/// The options as `parameters` has them. Nothing is sent that the file does not say, but what makes the answer the new
/// text alone, with its counts.
fn parameters(config: &ModelConfig) -> Result<Map<String, Json>, ProviderError> {
    let mut out = Map::new();
    if let Some(name) = CHAT_ONLY.iter().find(|name| config.options.contains_key(*name)) {
        return Err(
            refused(format!("text generation has no `{name}`")).help("leave it out; messages to an endpoint take it")
        );
    }
    let sent = config.spec.all_options().filter(|spec| spec.effect == Effect::Model && !spec.wire.is_empty());
    for spec in sent {
        let Some(value) = config.value(spec.name) else { continue };
        let value = match spec.name {
            "stop" => continue,
            // Both must lie below 1, which changes nothing.
            "top_p" | "typical_p" if config.float(spec.name) == Some(1.0) => continue,
            // Refused there; see below.
            "temperature" if config.float("temperature") == Some(0.0) => continue,
            _ => value.to_json(),
        };
        out.insert(spec.wire.to_owned(), value);
    }
    let stops = stops(config);
    if !stops.is_empty() {
        out.insert("stop".to_owned(), Json::from(stops));
    }
    if let Some(temperature) = config.float("temperature") {
        // Without it a temperature of 1 chooses nothing.
        out.entry("do_sample").or_insert(Json::from(temperature > 0.0));
    }
    if let Some(Value::Map(extra)) = config.value("options") {
        for (key, value) in extra.iter() {
            if let Some((_, why)) = OURS.iter().find(|(name, _)| name == key) {
                return Err(refused(format!("`{key}` has no place inside `options`")).help(*why));
            }
            out.insert(key.clone(), value.to_json());
        }
    }
    // The root of an endpoint gives the prompt again unless told not to.
    out.insert("return_full_text".to_owned(), Json::from(false));
    out.insert("details".to_owned(), Json::from(true));
    Ok(out)
}

/// The texts that end an answer.
fn stops(config: &ModelConfig) -> Vec<String> {
    Instruct::of(config).stops(config.texts("stop").unwrap_or_default())
}

/// What holds an answer to what the parser takes; none where nothing does.
fn grammar(constraint: &Constraint) -> Option<Json> {
    match constraint {
        Constraint::JsonSchema(schema) => {
            let value = schema::response_format(schema, SchemaForm::Value)["value"].take();
            Some(json!({ "type": "json", "value": value }))
        }
        Constraint::Regex(pattern) => Some(json!({ "type": "regex", "value": pattern })),
        Constraint::Json => None,
    }
}

/// Whether the answer's value will travel in an object.
fn travels(request: &Request) -> bool {
    matches!(&request.constraint, Some(Constraint::JsonSchema(schema)) if schema::travels(schema, SchemaForm::Value))
}

impl Provider for Generate {
    fn caps(&self) -> Caps {
        Caps { concurrency: 8, context: None }
    }

    fn prepare(&self, request: &Request) -> Result<Prepared, ProviderError> {
        if self.checks_control_tokens {
            super::super::control::check(request, None, self.instruct.format())?;
        }
        let request = self.instruct.spoken(request)?;
        let RequestInput::Raw(segments) = &request.input else {
            return Err(refused("text generation takes raw text alone"));
        };
        let prompt: String = segments.iter().map(|s| s.text.as_str()).collect();
        if prompt.is_empty() {
            return Err(ProviderError::new(ErrorKind::Prompt, "the raw prompt is empty")
                .help("a block whose text is empty is not sent"));
        }
        let mut parameters = self.parameters.clone();
        if let Some(grammar) = request.constraint.as_ref().and_then(grammar) {
            parameters.insert("grammar".to_owned(), grammar);
        }
        let body = json!({ "inputs": prompt, "parameters": parameters, "stream": true });
        Ok(Prepared::Http { url: self.server.base.to_string(), body })
    }

    fn generate<'a>(
        &'a self,
        request: &'a Request,
        prepared: &'a Prepared,
        sink: &'a mut Sink,
    ) -> BoxFuture<'a, Result<Answer, ProviderError>> {
        Box::pin(async move { self.ask(request, prepared, sink).await.map_err(|error| error.redacted(sink)) })
    }

    fn secrets(&self) -> Vec<Secret> {
        self.token.iter().filter(|_| self.token_found).cloned().collect()
    }
}

impl Generate {
    async fn ask(&self, request: &Request, prepared: &Prepared, sink: &mut Sink) -> Result<Answer, ProviderError> {
        let Prepared::Http { url, body } = prepared else {
            return Err(refused("the call was made ready for another provider"));
        };
        let started = Instant::now();
        let call = Call { url, body: Some(body), bearer: self.token.as_ref(), idle: self.idle };
        let words = |failure| errors::from_failure(failure, &self.server);
        let mut response = match loading::send(&self.client, call, sink, words).await? {
            Sent::Answer(response) => response,
            Sent::Refusal(refusal) => return Err(self.refusal(refusal)),
        };
        let received = self.read(&mut response, sink, travels(request)).await?;
        Ok(Answer {
            text: received.text,
            reasoning: None,
            tool_calls: Vec::new(),
            model: self.server.model.clone(),
            finish: received.finish.unwrap_or(Finish::Other),
            usage: received.usage,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Reads the answer to its end and passes its pieces on.
    async fn read(&self, response: &mut Response, sink: &mut Sink, wrapped: bool) -> Result<Received, ProviderError> {
        let events = response.header("content-type").is_some_and(|t| t.contains("event-stream"));
        let count = |name: &str| response.header(name).and_then(|n| n.trim().parse::<u64>().ok());
        let mut received = Received::new(self.stops.clone(), wrapped);
        (received.usage.input, received.usage.output) = (count("x-prompt-tokens"), count("x-generated-tokens"));
        let mut reader = Reader::new(&self.server, received, events, sink.max_bytes());
        loop {
            match response.chunk().await {
                Ok(Some(piece)) => {
                    if reader.push(piece.as_ref(), sink).await? {
                        return reader.end(sink).await;
                    }
                }
                Ok(None) => return reader.end(sink).await,
                Err(failure) => {
                    reader.received.flush(sink).await?;
                    let bytes = reader.received.text.len();
                    return Err(errors::broke_off(failure, bytes, sink.began(), &self.server));
                }
            }
        }
    }

    fn refusal(&self, refusal: Refusal) -> ProviderError {
        let Refusal { status, text, kind, wait, location } = refusal;
        let unknown = matches!(status, 404 | 405)
            || status == 422 && text.message.contains("field") && !text.message.contains("parameters");
        let mut error = if unknown {
            let message = format!("the endpoint at {} has no text generation ({status})", self.server.base);
            let message = if text.message.is_empty() { message } else { format!("{message}: {}", text.message) };
            refused(message)
                .help("TGI has it at its root and at /generate; vLLM and llama.cpp have not: leave `raw` out, for messages")
                .help("`openai(\"MODEL\", base_url: …)` completes raw text at servers that speak OpenAI's API")
        } else {
            errors::refusal(status, &text, kind, location.as_deref(), None, &self.server)
        };
        error.retry_after = wait;
        if let (FailureKind::Refused, Some(wait)) = (kind, wait) {
            error.help.insert(0, format!("it asks for a wait of {} s, which is not waited for", wait.as_secs()));
        }
        error
    }
}
