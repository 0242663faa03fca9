//! `hf-endpoint`: models that Hugging Face serves, and text-generation servers of one's own. Its options are known and
//! checked; calls are yet to come.

use std::sync::Arc;

use super::spec::{CALL_OPTIONS, CONTROL_OPTIONS, REPEATABLE, SERVER_OPTIONS};
use super::unspoken::Unspoken;
use super::{Effect, Enforcement, ErrorKind, ModelConfig, OptionKind, OptionSpec, Provider, ProviderError, Spec};
use crate::config::Context;
use crate::net::BaseUrl;

/// The description of `hf-endpoint`.
pub static SPEC: Spec = Spec {
    name: "hf-endpoint",
    doc: "a model of Hugging Face's inference providers, or of an endpoint of one's own (`endpoint_url:`)",
    argument: OptionSpec::new(
        "model",
        OptionKind::Text,
        "the model's repository, as `mistralai/Mistral-7B-Instruct-v0.3`",
    )
    .wire("model"),
    argument_required: true,
    instead: &["endpoint_url"],
    options: &[OPTIONS, CONTROL_OPTIONS, SERVER_OPTIONS, REPEATABLE, CALL_OPTIONS],
    explained: EXPLAINED,
    // An endpoint's grammar takes all three kinds.
    enforces: |_, _| Enforcement::Enforced,
    build: super::Build::Model(build),
    spoken: false,
};

const fn model(name: &'static str, kind: OptionKind, doc: &'static str) -> OptionSpec {
    OptionSpec::new(name, kind, doc).wire(name)
}

const fn call(name: &'static str, kind: OptionKind, doc: &'static str) -> OptionSpec {
    OptionSpec { effect: Effect::Call, ..OptionSpec::new(name, kind, doc) }
}

static OPTIONS: &[OptionSpec] = &[
    model("temperature", OptionKind::Float(0.0, f64::MAX), "how freely tokens are chosen; 0 is the likeliest"),
    model("top_p", OptionKind::Float(0.0, 1.0), "choose among the likeliest tokens that sum up to this"),
    model("top_k", OptionKind::Int(1, i64::MAX), "choose among this many of the likeliest tokens"),
    model("min_p", OptionKind::Float(0.0, 1.0), "drop tokens less likely than this share, where the server has it"),
    model("typical_p", OptionKind::Float(0.0, 1.0), "locally typical sampling"),
    OptionSpec::new("max_tokens", OptionKind::Int(1, i64::MAX), "the longest answer in tokens")
        .wire("max_new_tokens")
        .aliases(&["max_new_tokens", "max_completion_tokens", "num_predict", "n_predict"]),
    OptionSpec::new("stop", OptionKind::Texts, "up to four texts that end the answer; they are no part of it")
        .wire("stop")
        .aliases(&["stop_sequences"]),
    model("seed", OptionKind::Int(0, i64::MAX), "the seed of the choice of tokens"),
    OptionSpec::new("repeat_penalty", OptionKind::Float(0.001, f64::MAX), "how much repeated tokens are held back")
        .wire("repetition_penalty")
        .aliases(&["repetition_penalty"]),
    model("presence_penalty", OptionKind::Float(-2.0, 2.0), "how much tokens that stood before are held back"),
    model("frequency_penalty", OptionKind::Float(-2.0, 2.0), "the same, by how often they stood"),
    model("do_sample", OptionKind::Bool, "choose tokens at all, instead of taking the likeliest"),
    model("watermark", OptionKind::Bool, "mark the text as a machine's"),
    model("adapter_id", OptionKind::Text, "the adapter that the server puts on its model"),
    OptionSpec::new(
        "task",
        OptionKind::Choice(&["text-generation", "conversational"]),
        "text-generation sends rendered text, conversational sends messages",
    )
    .default("by what stands before it: messages or `raw`"),
    OptionSpec::new(
        "instruct",
        OptionKind::Choice(&["mistral", "llama2", "llama3", "chatml", "zephyr", "gemma"]),
        "the format that messages are rendered in, for an endpoint without a template of its own",
    ),
    OptionSpec::new(
        "provider",
        OptionKind::Text,
        "the inference provider, as `groq`; \"fastest\" and \"cheapest\" choose",
    )
    .default("\"fastest\""),
    OptionSpec::new("options", OptionKind::Map, "more of the server's parameters, sent as they stand"),
    OptionSpec::new("endpoint_url", OptionKind::Text, "where the endpoint is; without it, Hugging Face's router")
        .aliases(&["base_url", "inference_server_url"]),
    call("api_key", OptionKind::Secret, "a secret that is sent as `Authorization: Bearer`").aliases(&[
        "token",
        "hf_token",
        "huggingfacehub_api_token",
    ]),
    call("bill_to", OptionKind::Text, "the organization that is billed").wire("X-HF-Bill-To"),
];

const STREAMS: &str = "answers always stream where the result is text: leave it out";
const CALLBACKS: &str = "a chain has no callbacks; a run shows what happens by itself: leave it out";
const FIRST: &str = "the repository is the first argument: `hf-endpoint(\"mistralai/Mistral-7B-Instruct-v0.3\")`; an address of one's own is `endpoint_url:`";

static EXPLAINED: &[(&str, &str)] = &[
    ("model", FIRST),
    ("model_id", FIRST),
    ("repo_id", FIRST),
    ("streaming", STREAMS),
    ("stream", STREAMS),
    ("callbacks", CALLBACKS),
    ("callback_manager", CALLBACKS),
    ("verbose", "`chainrun explain` shows what is sent: leave it out"),
    ("model_kwargs", "options are written straight: `temperature: 0.2`; others go into `options: { … }`"),
    ("server_kwargs", "options are written straight: `timeout: 2m`; others go into `options: { … }`"),
    ("client", "chainrun makes its own connection: leave it out"),
    ("async_client", "chainrun makes its own connection: leave it out"),
    ("return_full_text", "the answer is always the new text alone: leave it out"),
    ("details", "they are always asked for where the server has them: leave it out"),
    ("truncate", "a prompt is never cut in silence; `overflow: \"truncate-oldest\"` drops the oldest messages"),
    ("best_of", "a call has one answer: leave it out"),
    ("n", "a call has one answer; a list of prompts and `each` give several"),
    ("max_length", "it counts the prompt too; `max_tokens:` bounds the answer"),
    ("request_timeout", "it is called `timeout`"),
    ("max_retries", "it is called `retry`"),
    ("num_retries", "it is called `retry`"),
    ("headers", "`api_key:` takes a secret for the header Authorization; other headers cannot be sent"),
    ("grammar", "a parser behind the model asks for it: `| json(Type)`"),
    ("response_format", "a parser behind the model asks for it: `| json(Type)`"),
    ("tools", "chainrun calls no tools"),
    ("num_ctx", "the server's own setting says how much its window holds: leave it out"),
    ("device", "the model runs on a server; `local(…)` runs here"),
];

/// The host that Hugging Face's hosted models had until 2025.
const OLD_HOST: &str = "api-inference.huggingface.co";

fn build(config: &ModelConfig, _: &Arc<Context>) -> Result<Arc<dyn Provider>, ProviderError> {
    let refused = |message: String| ProviderError::new(ErrorKind::Refused, message);
    let (model, url) = (config.model(), config.text("endpoint_url"));
    if config.argument.is_some() && model.trim().is_empty() {
        return Err(refused("`hf-endpoint` needs a model's repository".to_owned())
            .help("as in `hf-endpoint(\"mistralai/Mistral-7B-Instruct-v0.3\")`"));
    }
    if model.contains("://") {
        return Err(refused(format!("`{model}` is an address, not a repository"))
            .help(format!("write `hf-endpoint(endpoint_url: \"{model}\")`")));
    }
    if let Some(bad) = model.chars().find(|c| c.is_whitespace() || *c == '\\') {
        return Err(refused(format!("`{model}` is no repository: it holds {bad:?}"))
            .help("it is OWNER/NAME, as the address bar of huggingface.co shows it"));
    }
    if model.matches('/').count() > 1 {
        return Err(refused(format!("`{model}` is no repository: it is OWNER/NAME, with one slash"))
            .help("`local(\"./file.gguf\")` runs a file"));
    }
    if let Some(url) = &url {
        if url.contains(OLD_HOST) {
            return Err(refused(format!("`{OLD_HOST}` is no longer there: Hugging Face moved its models in 2025"))
                .help("leave `endpoint_url:` out and name the repository: `hf-endpoint(\"OWNER/NAME\")`"));
        }
        BaseUrl::parse(url, 80).map_err(|e| {
            refused(format!("`endpoint_url`: {e}")).help("an address is https://….endpoints.huggingface.cloud")
        })?;
        if config.options.contains_key("provider") {
            return Err(refused(
                "`provider:` chooses behind Hugging Face's router, and `endpoint_url:` goes past it".to_owned(),
            )
            .help("leave one of them out"));
        }
    }
    if config.bool("do_sample") == Some(false) && config.float("temperature").is_some_and(|t| t > 0.0) {
        return Err(refused("`do_sample: false` takes the likeliest token, and `temperature:` chooses".to_owned())
            .help("leave one of them out"));
    }
    if config.texts("stop").is_some_and(|s| s.len() > 4) {
        return Err(refused("`stop` takes at most four texts".to_owned()));
    }
    super::unspoken::check(config)?;
    Ok(Unspoken::provider("hf-endpoint", "Ollama serves many of the same models: `ollama(\"mistral\")`"))
}
