//! The options of `openai`, and how they go on the wire. Names and ranges are those of OpenAI's API reference
//! (`chat/completions`); what its relatives add is in their own documentation.

use serde_json::{Map, Value as Json};

use super::super::sources::{
    LLAMA_CPP_PYTHON, LLAMA_SERVER, LLAMA_SERVER_BUILD, OLLAMA_V1, OPENAI_CHAT, OPENAI_KEYS, TGI_CHAT, VLLM,
    VLLM_SERVER,
};
use super::super::{Effect, ErrorKind, ModelConfig, OptionKind, OptionSpec, ProviderError, tools};
use super::dialect::{Dialect, NAMES};
use crate::value::Value;

const fn model(name: &'static str, kind: OptionKind, doc: &'static str) -> OptionSpec {
    OptionSpec::new(name, kind, doc).wire(name)
}

const fn call(name: &'static str, kind: OptionKind, default: &'static str, doc: &'static str) -> OptionSpec {
    OptionSpec { effect: Effect::Call, ..OptionSpec::new(name, kind, doc).default(default) }
}

/// What says how the model answers.
pub static MODEL_OPTIONS: &[OptionSpec] = &[
    model("temperature", OptionKind::Float(0.0, 2.0), "how freely tokens are chosen; 0 is the likeliest")
        .documented(&[OPENAI_CHAT])
        .tried(&[LLAMA_SERVER_BUILD, VLLM_SERVER, TGI_CHAT, OLLAMA_V1, LLAMA_CPP_PYTHON]),
    model("top_p", OptionKind::Float(0.0, 1.0), "choose among the likeliest tokens that sum up to this")
        .documented(&[OPENAI_CHAT]),
    model(
        "top_k",
        OptionKind::Int(0, i64::MAX),
        "choose among this many of the likeliest tokens; not at OpenAI itself",
    )
    .documented(&[LLAMA_SERVER, VLLM])
    .tried(&[VLLM_SERVER]),
    model("min_p", OptionKind::Float(0.0, 1.0), "drop tokens less likely than this share; not at OpenAI itself")
        .documented(&[LLAMA_SERVER, VLLM]),
    OptionSpec::new(
        "max_tokens",
        OptionKind::Int(1, i64::MAX),
        "the longest answer in tokens, reasoning included; `max_tokens` on the wire but at OpenAI itself",
    )
    .wire("max_completion_tokens")
    .aliases(&["max_completion_tokens", "max_new_tokens", "num_predict", "n_predict"])
    .documented(&[OPENAI_CHAT])
    .tried(&[LLAMA_SERVER_BUILD, VLLM_SERVER, TGI_CHAT, OLLAMA_V1, LLAMA_CPP_PYTHON]),
    OptionSpec::new("stop", OptionKind::Texts, "up to four texts that end the answer; they are no part of it")
        .wire("stop")
        .aliases(&["stop_sequences"])
        .documented(&[OPENAI_CHAT])
        .tried(&[LLAMA_SERVER_BUILD, VLLM_SERVER, OLLAMA_V1]),
    model(
        "seed",
        OptionKind::Int(i64::MIN, i64::MAX),
        "the seed of the choice of tokens, as far as the server heeds it",
    )
    .documented(&[OPENAI_CHAT])
    .tried(&[LLAMA_SERVER_BUILD, VLLM_SERVER, TGI_CHAT, OLLAMA_V1]),
    OptionSpec::new(
        "repeat_penalty",
        OptionKind::Float(0.0, f64::MAX),
        "how much repeated tokens are held back; not at OpenAI itself",
    )
    .wire("repeat_penalty")
    .aliases(&["repetition_penalty"])
    .documented(&[LLAMA_SERVER, VLLM]),
    model("presence_penalty", OptionKind::Float(-2.0, 2.0), "how much tokens that stood before are held back")
        .documented(&[OPENAI_CHAT]),
    model("frequency_penalty", OptionKind::Float(-2.0, 2.0), "the same, by how often they stood")
        .documented(&[OPENAI_CHAT]),
    model("logit_bias", OptionKind::Map, "what is added to the score of tokens, by their ids")
        .documented(&[OPENAI_CHAT]),
    model(
        "reasoning_effort",
        OptionKind::Choice(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        "how much the model thinks before it answers",
    )
    .documented(&[OPENAI_CHAT]),
    model("verbosity", OptionKind::Choice(&["low", "medium", "high"]), "how long answers are")
        .documented(&[OPENAI_CHAT]),
    model("service_tier", OptionKind::Text, "the tier that the call is billed under").documented(&[OPENAI_CHAT]),
    model("store", OptionKind::Bool, "keep the call in the account's own history").documented(&[OPENAI_CHAT]),
    model("metadata", OptionKind::Map, "what is kept beside a stored call").documented(&[OPENAI_CHAT]),
    model("prompt_cache_key", OptionKind::Text, "what groups calls whose prompts begin alike")
        .documented(&[OPENAI_CHAT]),
    OptionSpec::new("safety_identifier", OptionKind::Text, "a name for the person behind the call, best a digest")
        .wire("safety_identifier")
        .aliases(&["user"])
        .documented(&[OPENAI_CHAT]),
    OptionSpec::new("options", OptionKind::Map, "more of the server's options, sent as they stand")
        .documented(&[OPENAI_CHAT, LLAMA_SERVER, VLLM])
        .tried(&[LLAMA_SERVER_BUILD, VLLM_SERVER]),
];

/// What says which server it is, and who pays.
pub static PLACE_OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("dialect", OptionKind::Choice(NAMES), "which server speaks, where it is not OpenAI's own")
        .default("\"openai\" without an address, else what most servers know"),
    OptionSpec::new("base_url", OptionKind::Text, "where the server is, with its /v1")
        .default("OPENAI_BASE_URL, else the dialect's own address")
        .aliases(&["openai_api_base", "api_base"]),
    call("api_key", OptionKind::Secret, "", "a secret that is sent as `Authorization: Bearer`")
        .aliases(&["openai_api_key"])
        .documented(&[OPENAI_KEYS])
        .tried(&[LLAMA_SERVER_BUILD]),
    call("organization", OptionKind::Text, "", "the organization that is billed")
        .wire("OpenAI-Organization")
        .aliases(&["openai_organization", "org_id"])
        .documented(&[OPENAI_KEYS]),
    call("project", OptionKind::Text, "", "the project that is billed")
        .wire("OpenAI-Project")
        .documented(&[OPENAI_KEYS]),
];

/// Spellings from elsewhere that are refused with a word on what to do instead.
pub static EXPLAINED: &[(&str, &str)] = &[
    ("model", "the model's name is the first argument: `openai(\"gpt-4o-mini\")`"),
    ("model_name", "the model's name is the first argument: `openai(\"gpt-4o-mini\")`"),
    ("azure_endpoint", "Azure's own addresses are not spoken to; one that ends in /v1 goes into `base_url:`"),
    ("azure_deployment", "Azure's own addresses are not spoken to; one that ends in /v1 goes into `base_url:`"),
    ("api_version", "Azure's own addresses are not spoken to; one that ends in /v1 goes into `base_url:`"),
    ("streaming", "answers always stream where the result is text: leave it out"),
    ("stream", "answers always stream where the result is text: leave it out"),
    ("stream_usage", "token counts are always asked for: leave it out"),
    ("stream_options", "token counts are always asked for: leave it out"),
    ("callbacks", "`chainrun FILE --callback COMMAND` gives a command what happens: leave it out"),
    ("callback_manager", "`chainrun FILE --callback COMMAND` gives a command what happens: leave it out"),
    ("verbose", "`chainrun explain` shows what is sent: leave it out"),
    ("model_kwargs", "options are written straight: `temperature: 0.2`; others go into `options: { … }`"),
    ("extra_body", "options that chainrun does not know go into `options: { … }`"),
    ("extra_headers", "`api_key:` takes a secret for the header Authorization; other headers cannot be sent"),
    ("default_headers", "`api_key:` takes a secret for the header Authorization; other headers cannot be sent"),
    ("headers", "`api_key:` takes a secret for the header Authorization; other headers cannot be sent"),
    ("request_timeout", "it is called `timeout`"),
    ("max_retries", "it is called `retry`"),
    ("num_retries", "it is called `retry`"),
    ("n", "a call has one answer; a list of prompts and `each` give several"),
    ("best_of", "a call has one answer: leave it out"),
    ("logprobs", "the scores of tokens are not kept: leave it out"),
    ("top_logprobs", "the scores of tokens are not kept: leave it out"),
    ("response_format", "a parser behind the model asks for it: `| json(Type)`"),
    ("tool_choice", "`options: { tool_choice: \"required\" }` sends it as it stands"),
    ("functions", "they are called `tools`, each as `{ type: \"function\", function: { … } }`"),
    ("parallel_tool_calls", "`options: { parallel_tool_calls: false }` sends it as it stands"),
    ("num_ctx", "the server's own setting says how much its window holds: leave it out"),
    ("openai_proxy", "HTTPS_PROXY in the environment names a proxy"),
    ("tiktoken_model_name", "nothing is counted on this side: leave it out"),
];

/// Fields of a request that are made of the prompt, the parser and the model's name.
const OURS: &[(&str, &str)] = &[
    ("model", "the model's name is the first argument"),
    ("messages", "the prompt left of the model is sent"),
    ("prompt", "the prompt left of the model is sent"),
    ("stream", "answers always stream where they can"),
    ("stream_options", "token counts are always asked for"),
    ("response_format", "a parser behind the model asks for it: `| json(Type)`"),
    ("n", "a call has one answer"),
    ("tools", "it stands beside `options`: `tools: [ … ]`"),
];

/// Options as they go on the wire.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wire {
    /// What stands beside the prompt, without the limit of tokens.
    pub options: Map<String, Json>,
    /// The tools that the model is told of.
    pub tools: Option<Json>,
    /// The longest answer in tokens, whose name depends on what is asked.
    pub max_tokens: Option<i64>,
}

/// Reads the options that the server gets. Nothing is sent that the file does not say.
///
/// # Errors
/// An option that the server does not have, that stands twice, or that chainrun sends itself.
pub fn read(config: &ModelConfig, dialect: Dialect) -> Result<Wire, ProviderError> {
    let mut wire = Wire { max_tokens: config.int("max_tokens"), tools: tools::of(config), ..Wire::default() };
    if dialect == Dialect::Gpt4All && wire.tools.is_some() {
        return Err(unknown(dialect, "tools"));
    }
    let sent = config.spec.all_options().filter(|spec| spec.effect == Effect::Model && !spec.wire.is_empty());
    for spec in sent {
        let Some(value) = config.value(spec.name) else { continue };
        let Some(name) = dialect.wire(spec.name) else { return Err(unknown(dialect, spec.name)) };
        match spec.name {
            "max_tokens" => {}
            // One text would do too, but not every server takes it.
            "stop" => drop(wire.options.insert(name.to_owned(), Json::from(config.texts("stop").unwrap_or_default()))),
            _ => drop(wire.options.insert(name.to_owned(), value.to_json())),
        }
    }
    if dialect == Dialect::OpenAi && config.texts("stop").is_some_and(|s| s.len() > 4) {
        return Err(refused("`stop` takes at most four texts".to_owned()));
    }
    if let Some(Value::Map(extra)) = config.value("options") {
        for (key, value) in extra.iter() {
            if let Some((_, why)) = OURS.iter().find(|(name, _)| name == key) {
                return Err(refused(format!("`{key}` has no place inside `options`")).help(*why));
            }
            let given = config.spec.option(key).is_some_and(|spec| config.options.contains_key(spec.name));
            if given || wire.options.contains_key(key) {
                let message = format!("`{key}` is given twice: by itself and inside `options`");
                return Err(refused(message).help("leave one of them out"));
            }
            wire.options.insert(key.clone(), value.to_json());
        }
    }
    Ok(wire)
}

/// An option that a server has not.
fn unknown(dialect: Dialect, option: &str) -> ProviderError {
    match dialect {
        Dialect::OpenAi => refused(format!("OpenAI's own service has no `{option}`"))
            .help("leave it out; a server of another maker, named by `base_url:`, may have it"),
        Dialect::Gpt4All => refused(format!("GPT4All's server refuses `{option}`"))
            .help("leave it out: the desktop program's own settings say it"),
        Dialect::Ollama => refused(format!("Ollama's /v1 ignores `{option}`"))
            .help("`ollama(\"…\")` speaks Ollama's own API, which has more of its options"),
        other => refused(format!("{} has no `{option}`", other.title()))
            .help(format!("leave it out; `options: {{ {option}: … }}` sends it all the same")),
    }
}

fn refused(message: String) -> ProviderError {
    ProviderError::new(ErrorKind::Refused, message)
}
