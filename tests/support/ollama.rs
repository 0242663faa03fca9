//! Calls of `ollama`, written short.

#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use chainrun::config::{Context, Origin, Setting};
use chainrun::event::{self, EventKind, FrameId, NodeId, Sink};
use chainrun::providers::{
    self, Embedder, Embeddings, ModelConfig, OptionValue, Prepared, Provider, ProviderError, Spec,
};
use chainrun::value::{Answer, Message, Request, RequestInput, Role, Secret, Segment, Value};
use serde_json::{Value as Json, json};

/// The type of a stream.
pub const NDJSON: &str = "application/x-ndjson";
/// The last line of a chat.
pub const DONE: &str = "{\"model\":\"smollm2\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\
                    \"done_reason\":\"stop\",\"prompt_eval_count\":3,\"eval_count\":2}\n";

/// A model's configuration, written short.
#[derive(Default)]
pub struct Setup {
    /// The provider; `ollama` without.
    pub provider: Option<&'static str>,
    /// The model's name.
    pub model: &'static str,
    /// Options by name.
    pub options: Vec<(&'static str, OptionValue)>,
    /// The environment.
    pub env: Vec<(&'static str, String)>,
    /// The offline rule.
    pub offline: bool,
    /// What the sink redacts.
    pub secrets: Vec<&'static str>,
    /// The largest answer; 64 MiB without.
    pub max_bytes: Option<u64>,
}

impl Setup {
    /// The model `smollm2` of the server at `url`.
    pub fn at(url: &str) -> Self {
        Self { model: "smollm2", ..Self::default() }.option("base_url", Value::from(url))
    }

    /// The same with an option.
    pub fn option(mut self, name: &'static str, value: Value) -> Self {
        self.options.push((name, OptionValue::Value(value)));
        self
    }

    /// The same with an option that is no value of the language.
    pub fn set(mut self, name: &'static str, value: OptionValue) -> Self {
        self.options.push((name, value));
        self
    }

    /// Makes the provider.
    pub fn build(&self) -> Result<Arc<dyn Provider>, ProviderError> {
        let (config, context) = self.config(providers::find(self.provider.unwrap_or("ollama")).unwrap());
        providers::build(&config, &context)
    }

    /// Makes the embedder.
    pub fn embedder(&self) -> Result<Arc<dyn Embedder>, ProviderError> {
        let (config, context) = self.config(providers::find_embedder(self.provider.unwrap_or("ollama")).unwrap());
        providers::build_embedder(&config, &context)
    }

    fn config(&self, spec: &'static Spec) -> (ModelConfig, Arc<Context>) {
        let env: BTreeMap<String, String> = self.env.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        let context = Arc::new(Context::new(env, "/".into(), self.offline, Instant::now()));
        let setting = |v: &OptionValue| Setting { value: v.clone(), origin: Origin::Default };
        let config = ModelConfig {
            spec,
            name: "llm".to_owned(),
            argument: (!self.model.is_empty()).then(|| Value::from(self.model)),
            options: self.options.iter().map(|(k, v)| (*k, setting(v))).collect(),
            base: "/".into(),
        };
        (config, context)
    }

    /// The vectors of texts.
    pub fn embed(&self, texts: &[&str]) -> Result<Embeddings, ProviderError> {
        let embedder = self.embedder()?;
        runtime(async {
            let (sender, _reader) = event::channel();
            let secrets: Vec<Secret> = self.secrets.iter().map(|s| Secret::new(*s)).collect();
            let mut sink = Sink::new(sender, FrameId(0), NodeId(0), secrets.into(), 64 << 20);
            let texts: Vec<String> = texts.iter().map(|t| (*t).to_owned()).collect();
            embedder.embed(&texts, &mut sink).await
        })
    }

    /// Makes a call and gives its events too, read as they come.
    pub fn ask(&self, request: &Request) -> (Result<Answer, ProviderError>, Vec<EventKind>) {
        let provider = match self.build() {
            Ok(provider) => provider,
            Err(e) => return (Err(e), Vec::new()),
        };
        runtime(async {
            let (sender, mut reader) = event::channel();
            let secrets: Vec<Secret> = self.secrets.iter().map(|s| Secret::new(*s)).collect();
            let max = self.max_bytes.unwrap_or(64 << 20);
            let mut sink = Sink::new(sender, FrameId(0), NodeId(0), secrets.into(), max);
            let call = async {
                let prepared = provider.prepare(request)?;
                let answer = provider.generate(request, &prepared, &mut sink).await;
                drop(sink);
                answer
            };
            let drain = async {
                let mut events = Vec::new();
                while let Some(event) = reader.recv().await {
                    events.push(event.kind);
                }
                events
            };
            tokio::join!(call, drain)
        })
    }

    /// The error of a call that must fail.
    pub fn error(&self) -> ProviderError {
        self.ask(&says("Hi")).0.unwrap_err()
    }
}

/// Runs a future on one thread.
pub fn runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A conversation of one message.
pub fn says(text: &str) -> Request {
    Request { input: RequestInput::Messages(vec![Message::new(Role::User, text)]), constraint: None }
}

/// A raw prompt of the file's own text.
pub fn raw(text: &str) -> Request {
    let segment = Segment { text: text.to_owned(), from_value: false };
    Request { input: RequestInput::Raw(vec![segment]), constraint: None }
}

/// The pieces of an answer, joined.
pub fn text_of(events: &[EventKind]) -> String {
    events.iter().filter_map(|e| if let EventKind::Token { text } = e { Some(text.as_str()) } else { None }).collect()
}

/// A line of a chat's stream.
pub fn piece(text: &str) -> String {
    format!("{}\n", json!({ "model": "smollm2", "message": { "role": "assistant", "content": text }, "done": false }))
}

/// A recorded answer of Ollama.
pub fn recorded(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/wire/ollama032_{name}.http", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The body that a request is sent with.
pub fn body_of(setup: &Setup, request: &Request) -> Json {
    match setup.build().unwrap().prepare(request).unwrap() {
        Prepared::Http { body, .. } => body,
        other => panic!("{other:?}"),
    }
}
