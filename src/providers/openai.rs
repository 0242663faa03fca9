//! `openai`: OpenAI's chat API and the servers that speak it. Its options are known and checked; calls are yet to come.

use std::sync::Arc;

use super::spec::{CALL_OPTIONS, CONTROL_OPTIONS, REPEATABLE, SERVER_OPTIONS};
use super::unspoken::Unspoken;
use super::{Effect, Enforcement, ErrorKind, ModelConfig, OptionKind, OptionSpec, Provider, ProviderError, Spec};
use crate::config::Context;
use crate::net::BaseUrl;
use crate::value::Constraint;

/// The description of `openai`.
pub static SPEC: Spec = Spec {
    name: "openai",
    doc: "a model of OpenAI's chat API, or of a server that speaks it (`base_url:`)",
    argument: OptionSpec::new("model", OptionKind::Text, "the model's name, as `gpt-4o-mini`").wire("model"),
    argument_required: true,
    instead: &[],
    options: &[OPTIONS, CONTROL_OPTIONS, SERVER_OPTIONS, REPEATABLE, CALL_OPTIONS],
    explained: EXPLAINED,
    enforces,
    build: super::Build::Model(build),
    spoken: false,
};

const fn model(name: &'static str, kind: OptionKind, doc: &'static str) -> OptionSpec {
    OptionSpec::new(name, kind, doc).wire(name)
}

const fn call(name: &'static str, kind: OptionKind, default: &'static str, doc: &'static str) -> OptionSpec {
    OptionSpec { effect: Effect::Call, ..OptionSpec::new(name, kind, doc).default(default) }
}

/// Options that only the relatives of OpenAI's own service have.
const RELATIVES: &[&str] = &["top_k", "min_p", "repeat_penalty"];

static OPTIONS: &[OptionSpec] = &[
    model("temperature", OptionKind::Float(0.0, 2.0), "how freely tokens are chosen; 0 is the likeliest"),
    model("top_p", OptionKind::Float(0.0, 1.0), "choose among the likeliest tokens that sum up to this"),
    model(
        "top_k",
        OptionKind::Int(0, i64::MAX),
        "choose among this many of the likeliest tokens; not at OpenAI itself",
    ),
    model("min_p", OptionKind::Float(0.0, 1.0), "drop tokens less likely than this share; not at OpenAI itself"),
    OptionSpec::new("max_tokens", OptionKind::Int(1, i64::MAX), "the longest answer in tokens, reasoning included")
        .wire("max_completion_tokens")
        .aliases(&["max_completion_tokens", "max_new_tokens", "num_predict", "n_predict"]),
    OptionSpec::new("stop", OptionKind::Texts, "up to four texts that end the answer; they are no part of it")
        .wire("stop")
        .aliases(&["stop_sequences"]),
    model(
        "seed",
        OptionKind::Int(i64::MIN, i64::MAX),
        "the seed of the choice of tokens, as far as the server heeds it",
    ),
    OptionSpec::new(
        "repeat_penalty",
        OptionKind::Float(0.0, f64::MAX),
        "how much repeated tokens are held back; not at OpenAI itself",
    )
    .wire("repeat_penalty")
    .aliases(&["repetition_penalty"]),
    model("presence_penalty", OptionKind::Float(-2.0, 2.0), "how much tokens that stood before are held back"),
    model("frequency_penalty", OptionKind::Float(-2.0, 2.0), "the same, by how often they stood"),
    model("logit_bias", OptionKind::Map, "what is added to the score of tokens, by their ids"),
    model(
        "reasoning_effort",
        OptionKind::Choice(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        "how much the model thinks before it answers",
    ),
    model("verbosity", OptionKind::Choice(&["low", "medium", "high"]), "how long answers are"),
    model("service_tier", OptionKind::Text, "the tier that the call is billed under"),
    model("store", OptionKind::Bool, "keep the call in the account's own history"),
    model("metadata", OptionKind::Map, "what is kept beside a stored call"),
    model("prompt_cache_key", OptionKind::Text, "what groups calls whose prompts begin alike"),
    OptionSpec::new("safety_identifier", OptionKind::Text, "a name for the person behind the call, best a digest")
        .wire("safety_identifier")
        .aliases(&["user"]),
    OptionSpec::new("options", OptionKind::Map, "more of the server's options, sent as they stand"),
    OptionSpec::new("base_url", OptionKind::Text, "where the server is, with its /v1")
        .default("OPENAI_BASE_URL, else https://api.openai.com/v1")
        .aliases(&["openai_api_base", "api_base"]),
    call("api_key", OptionKind::Secret, "", "a secret that is sent as `Authorization: Bearer`")
        .aliases(&["openai_api_key"]),
    call("organization", OptionKind::Text, "", "the organization that is billed")
        .wire("OpenAI-Organization")
        .aliases(&["openai_organization", "org_id"]),
    call("project", OptionKind::Text, "", "the project that is billed").wire("OpenAI-Project"),
];

static EXPLAINED: &[(&str, &str)] = &[
    ("model", "the model's name is the first argument: `openai(\"gpt-4o-mini\")`"),
    ("model_name", "the model's name is the first argument: `openai(\"gpt-4o-mini\")`"),
    ("azure_endpoint", "Azure's own addresses are not spoken to; one that ends in /v1 goes into `base_url:`"),
    ("azure_deployment", "Azure's own addresses are not spoken to; one that ends in /v1 goes into `base_url:`"),
    ("api_version", "Azure's own addresses are not spoken to; one that ends in /v1 goes into `base_url:`"),
    ("streaming", "answers always stream where the result is text: leave it out"),
    ("stream", "answers always stream where the result is text: leave it out"),
    ("stream_usage", "token counts are always asked for: leave it out"),
    ("stream_options", "token counts are always asked for: leave it out"),
    ("callbacks", "a chain has no callbacks; a run shows what happens by itself: leave it out"),
    ("callback_manager", "a chain has no callbacks; a run shows what happens by itself: leave it out"),
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
    ("tools", "chainrun calls no tools"),
    ("tool_choice", "chainrun calls no tools"),
    ("functions", "chainrun calls no tools"),
    ("parallel_tool_calls", "chainrun calls no tools"),
    ("num_ctx", "the server's own setting says how much its window holds: leave it out"),
    ("openai_proxy", "HTTPS_PROXY in the environment names a proxy"),
    ("tiktoken_model_name", "nothing is counted on this side: leave it out"),
];

/// What `response_format` takes: JSON, and schemas of the strict subset, whose objects are closed.
fn enforces(constraint: &Constraint) -> Enforcement {
    match constraint {
        Constraint::Json => Enforcement::Enforced,
        Constraint::JsonSchema(schema) => match loose(schema) {
            None => Enforcement::Enforced,
            Some(why) => Enforcement::Never(format!("a strict `response_format` has no place for {why}")),
        },
        Constraint::Regex(_) => Enforcement::Never("`response_format` takes no regular expression".to_owned()),
    }
}

/// The part of a schema that the strict subset does not have: maps with free keys, and values of any shape.
fn loose(schema: &serde_json::Value) -> Option<&'static str> {
    match schema {
        serde_json::Value::Object(map) if map.keys().all(|k| k == "description") => Some("values of type `any`"),
        serde_json::Value::Object(map) if map.get("additionalProperties").is_some_and(|a| a.is_object()) => {
            Some("`map(…)`, an object with any keys")
        }
        serde_json::Value::Object(map) => {
            let named = ["properties", "$defs"].into_iter().filter_map(|key| map.get(key)?.as_object());
            let fields = named.flat_map(|p| p.values());
            let parts = map.get("anyOf").and_then(|a| a.as_array()).into_iter().flatten();
            fields.chain(parts).chain(map.get("items")).find_map(loose)
        }
        _ => None,
    }
}

fn build(config: &ModelConfig, context: &Arc<Context>) -> Result<Arc<dyn Provider>, ProviderError> {
    let refused = |message: String| ProviderError::new(ErrorKind::Refused, message);
    if config.model().trim().is_empty() {
        return Err(refused("`openai` needs a model's name".to_owned()).help("`openai(\"gpt-4o-mini\")`"));
    }
    let said = config.text("base_url").or_else(|| context.var("OPENAI_BASE_URL").map(str::to_owned));
    if let Some(text) = &said {
        BaseUrl::parse(text, 80).map_err(|e| {
            refused(format!("`base_url`: {e}")).help("an address is https://host/v1, or http://127.0.0.1:8080/v1")
        })?;
    }
    if let (None, Some(name)) = (&said, RELATIVES.iter().find(|name| config.options.contains_key(*name))) {
        return Err(refused(format!("OpenAI's own service has no `{name}`"))
            .help("leave it out; a server of another maker, named by `base_url:`, may have it"));
    }
    if config.texts("stop").is_some_and(|s| s.len() > 4) {
        return Err(refused("`stop` takes at most four texts".to_owned()));
    }
    super::unspoken::check(config)?;
    Ok(Unspoken::provider("openai", "Ollama serves many open models: `ollama(\"llama3.2:3b\")`"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_strict_schema_has_no_place_for() {
        let of = |schema: serde_json::Value| enforces(&Constraint::JsonSchema(schema));
        let closed =
            json!({ "type": "object", "properties": { "a": { "type": "string" } }, "additionalProperties": false });
        assert_eq!(of(closed), Enforcement::Enforced);
        assert_eq!(of(json!({ "type": "array", "items": { "type": "integer" } })), Enforcement::Enforced);
        for loose in [
            json!({}),
            json!({ "type": "object", "additionalProperties": { "type": "string" } }),
            json!({ "type": "array", "items": { "description": "anything" } }),
            json!({ "type": "object", "properties": { "a": { "anyOf": [{ "type": "null" }, {}] } } }),
            json!({ "$ref": "#/$defs/T", "$defs": { "T": { "type": "array", "items": {} } } }),
        ] {
            assert!(matches!(of(loose.clone()), Enforcement::Never(_)), "{loose}");
        }
    }
}
