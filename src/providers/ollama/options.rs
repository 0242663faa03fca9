//! The options of `ollama`, and how they go on the wire. Names, types and defaults are those of Ollama's `api.Options`.

use serde_json::{Map, Value as Json};

use super::super::sources::{OLLAMA_API, OLLAMA_CLOUD, OLLAMA_OPTIONS, OLLAMA_SERVER};
use super::super::{Effect, ErrorKind, ModelConfig, OptionKind, OptionSpec, OptionValue, ProviderError, tools};
use crate::value::Value;

const ANY_NUMBER: OptionKind = OptionKind::Float(f64::MIN, f64::MAX);
const fn at_least(low: i64) -> OptionKind {
    OptionKind::Int(low, i64::MAX)
}

const fn model(name: &'static str, kind: OptionKind, default: &'static str, doc: &'static str) -> OptionSpec {
    OptionSpec::new(name, kind, doc).default(default).wire(name)
}

const fn call(name: &'static str, kind: OptionKind, default: &'static str, doc: &'static str) -> OptionSpec {
    OptionSpec { effect: Effect::Call, ..OptionSpec::new(name, kind, doc).default(default) }
}

/// What goes under `options` of a request. Nothing is sent that the file does not say: defaults are the model's own
/// (its Modelfile), else the server's, which the texts here name.
pub static MODEL_OPTIONS: &[OptionSpec] = &[
    model("temperature", OptionKind::Float(0.0, f64::MAX), "0.8", "how freely tokens are chosen; 0 is the likeliest")
        .documented(&[OLLAMA_OPTIONS])
        .tried(&[OLLAMA_SERVER]),
    model("top_p", OptionKind::Float(0.0, 1.0), "0.9", "choose among the likeliest tokens that sum up to this")
        .documented(&[OLLAMA_OPTIONS])
        .tried(&[OLLAMA_SERVER]),
    model("top_k", at_least(0), "40", "choose among this many of the likeliest tokens")
        .documented(&[OLLAMA_OPTIONS])
        .tried(&[OLLAMA_SERVER]),
    model("min_p", OptionKind::Float(0.0, 1.0), "0", "drop tokens less likely than this share of the likeliest")
        .documented(&[OLLAMA_OPTIONS]),
    model("typical_p", OptionKind::Float(0.0, 1.0), "1", "locally typical sampling").documented(&[OLLAMA_OPTIONS]),
    OptionSpec::new("max_tokens", at_least(-2), "the longest answer in tokens; -1 is no limit")
        .default("-1")
        .wire("num_predict")
        .aliases(&["num_predict", "max_new_tokens", "n_predict"])
        .documented(&[OLLAMA_OPTIONS])
        .tried(&[OLLAMA_SERVER]),
    OptionSpec::new("stop", OptionKind::Texts, "texts that end the answer; they are no part of it")
        .wire("stop")
        .aliases(&["stop_sequences"])
        .documented(&[OLLAMA_OPTIONS])
        .tried(&[OLLAMA_SERVER]),
    model("seed", at_least(i64::MIN), "random", "the seed of the choice of tokens")
        .documented(&[OLLAMA_OPTIONS])
        .tried(&[OLLAMA_SERVER]),
    OptionSpec::new("repeat_penalty", OptionKind::Float(0.0, f64::MAX), "how much repeated tokens are held back")
        .default("1")
        .wire("repeat_penalty")
        .aliases(&["repetition_penalty"])
        .documented(&[OLLAMA_OPTIONS]),
    model("repeat_last_n", at_least(-1), "64", "how many tokens back `repeat_penalty` looks; -1 is all")
        .documented(&[OLLAMA_OPTIONS]),
    model("presence_penalty", ANY_NUMBER, "0", "how much tokens that stood before are held back")
        .documented(&[OLLAMA_OPTIONS]),
    model("frequency_penalty", ANY_NUMBER, "0", "the same, by how often they stood").documented(&[OLLAMA_OPTIONS]),
    model("num_ctx", at_least(1), "", "the context window in tokens; another one loads the model anew")
        .documented(&[OLLAMA_OPTIONS])
        .tried(&[OLLAMA_SERVER]),
    model("num_keep", at_least(-1), "4", "tokens of the prompt that stay when the window moves")
        .documented(&[OLLAMA_OPTIONS]),
    model("num_thread", at_least(0), "", "threads on the processor").documented(&[OLLAMA_OPTIONS]),
    model("num_gpu", at_least(-1), "", "layers on the graphics card; 0 is none").documented(&[OLLAMA_OPTIONS]),
    model("num_batch", at_least(1), "512", "tokens of the prompt that are read at a time")
        .documented(&[OLLAMA_OPTIONS]),
];

/// What stands beside `options`, and what is not sent at all.
pub static OTHER_OPTIONS: &[OptionSpec] = &[
    KEEP_ALIVE,
    model("think", OptionKind::Any, "", "true, false, \"low\", \"medium\", \"high\": reasoning before the answer")
        .documented(&[OLLAMA_API])
        .tried(&["Ollama 0.32.15 (`false`, and what it refuses)"]),
    OptionSpec::new("logprobs", OptionKind::Bool, "tell how likely each token was, as events")
        .default("false")
        .wire("logprobs")
        .documented(&[OLLAMA_API])
        .tried(&[OLLAMA_SERVER]),
    model(
        "top_logprobs",
        OptionKind::Int(0, 20),
        "0",
        "with `logprobs`: so many of the likeliest tokens for each place",
    )
    .documented(&[OLLAMA_API])
    .tried(&[OLLAMA_SERVER]),
    OptionSpec::new("suffix", OptionKind::Text, "the text behind the gap that the model fills, for models of code")
        .wire("suffix")
        .documented(&[OLLAMA_API])
        .tried(&["Ollama 0.32.15 (its refusal alone)"]),
    OPTIONS,
    BASE_URL,
    API_KEY,
];

const BASE_URL: OptionSpec =
    call("base_url", OptionKind::Text, "OLLAMA_HOST, else http://127.0.0.1:11434", "where the server is");
const API_KEY: OptionSpec =
    call("api_key", OptionKind::Secret, "OLLAMA_API_KEY", "a secret that is sent as `Authorization: Bearer`")
        .documented(&[OLLAMA_CLOUD]);
const KEEP_ALIVE: OptionSpec = OptionSpec {
    wire: "keep_alive",
    ..call("keep_alive", OptionKind::Any, "5m", "how long the model stays loaded: 10m, seconds, or \"-1s\" for ever")
        .documented(&[OLLAMA_API])
        .tried(&[OLLAMA_SERVER])
};
const OPTIONS: OptionSpec = OptionSpec::new("options", OptionKind::Map, "more of Ollama's options, sent as they stand")
    .wire("options")
    .documented(&[OLLAMA_OPTIONS])
    .tried(&[OLLAMA_SERVER]);

/// The options of an embedder.
pub static EMBEDDING_OPTIONS: &[OptionSpec] = &[
    model("dimensions", at_least(1), "the model's", "the first so many dimensions alone, of models made for that")
        .documented(&[OLLAMA_API])
        .tried(&[OLLAMA_SERVER]),
    model("num_ctx", at_least(1), "", "the context window in tokens; another one loads the model anew")
        .documented(&[OLLAMA_OPTIONS]),
    model("num_thread", at_least(0), "", "threads on the processor").documented(&[OLLAMA_OPTIONS]),
    model("num_gpu", at_least(-1), "", "layers on the graphics card; 0 is none").documented(&[OLLAMA_OPTIONS]),
    model("num_batch", at_least(1), "512", "tokens that are read at a time").documented(&[OLLAMA_OPTIONS]),
    KEEP_ALIVE,
    OPTIONS,
    BASE_URL,
    API_KEY,
];

/// Options that Ollama once had. It ignores them in silence.
pub const REMOVED: &[&str] = &[
    "mirostat",
    "mirostat_eta",
    "mirostat_tau",
    "tfs_z",
    "penalize_newline",
    "numa",
    "low_vram",
    "f16_kv",
    "use_mlock",
    "vocab_only",
];

const GONE: &str = "Ollama dropped this option and ignores it: leave it out";

/// Spellings from elsewhere, each with what to do instead.
pub static EXPLAINED: &[(&str, &str)] = &[
    ("model", "the model's name is the first argument: `ollama(\"llama3.2:3b\")`"),
    ("streaming", "answers always stream where the result is text: leave it out"),
    ("stream", "answers always stream where the result is text: leave it out"),
    ("callbacks", "`chainrun FILE --callback COMMAND` gives a command what happens: leave it out"),
    ("callback_manager", "`chainrun FILE --callback COMMAND` gives a command what happens: leave it out"),
    ("verbose", "`chainrun explain` shows what is sent: leave it out"),
    ("model_kwargs", "options are written straight: `temperature: 0.2`; others go into `options: { … }`"),
    ("system", "a `system` block of the prompt says it"),
    ("template", "the model's own template is used; `raw \"…\"` sends a text as it stands"),
    ("raw", "`raw \"…\"` in place of a prompt sends a text as it stands"),
    ("format", "a parser behind the model asks for it: `| json(Type)`"),
    ("host", "it is called `base_url`"),
    ("headers", "`api_key:` takes a secret for the header Authorization; other headers cannot be sent"),
    ("request_timeout", "it is called `timeout`"),
    ("max_retries", "it is called `retry`"),
    ("num_retries", "it is called `retry`"),
    ("mirostat", GONE),
    ("mirostat_eta", GONE),
    ("mirostat_tau", GONE),
    ("tfs_z", GONE),
];

/// What the options of a model add to every request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wire {
    /// The object `options`.
    pub options: Map<String, Json>,
    /// `keep_alive`.
    pub keep_alive: Option<Json>,
    /// `think`.
    pub think: Option<Json>,
    /// `logprobs`.
    pub logprobs: Option<Json>,
    /// `top_logprobs`.
    pub top_logprobs: Option<Json>,
    /// The tools that the model is told of.
    pub tools: Option<Json>,
    /// The text behind the gap.
    pub suffix: Option<String>,
}

/// Reads a model's options.
///
/// # Errors
/// A value that Ollama would refuse, or an option that is given twice.
pub fn read(config: &ModelConfig) -> Result<Wire, ProviderError> {
    let mut options = Map::new();
    for spec in MODEL_OPTIONS {
        let Some(value) = config.value(spec.name) else { continue };
        let json = match spec.kind {
            // Ollama takes a list alone.
            OptionKind::Texts => Json::from(config.texts(spec.name).unwrap_or_default()),
            _ => value.to_json(),
        };
        options.insert(spec.wire.to_owned(), json);
    }
    if let Some(Value::Map(extra)) = config.value("options") {
        for (key, value) in extra.iter() {
            merge(&mut options, key, value)?;
        }
    }
    let top_logprobs = config.int("top_logprobs").map(Json::from);
    if top_logprobs.is_some() && config.bool("logprobs") != Some(true) {
        return Err(refused("`top_logprobs` does nothing without `logprobs`".to_owned()).help("add `logprobs: true`"));
    }
    Ok(Wire {
        options,
        keep_alive: keep_alive(config)?,
        think: think(config)?,
        logprobs: config.bool("logprobs").map(Json::from),
        top_logprobs,
        tools: tools::of(config),
        suffix: config.text("suffix"),
    })
}

fn merge(options: &mut Map<String, Json>, key: &str, value: &Value) -> Result<(), ProviderError> {
    let spec = MODEL_OPTIONS.iter().find(|o| o.wire == key || o.name == key || o.aliases.contains(&key));
    if let Some(spec) = spec {
        if options.contains_key(spec.wire) {
            let message = format!("`{}` is given twice: by itself and as `{key}` inside `options`", spec.name);
            return Err(refused(message).help("leave one of them out"));
        }
        if spec.wire != key {
            let message = format!("Ollama does not know `{key}` inside `options`: there it is `{}`", spec.wire);
            return Err(refused(message).help(format!("write `{}:` beside `options`", spec.name)));
        }
    }
    options.insert(key.to_owned(), value.to_json());
    Ok(())
}

fn keep_alive(config: &ModelConfig) -> Result<Option<Json>, ProviderError> {
    let value = match config.options.get("keep_alive").map(|s| &s.value) {
        None => return Ok(None),
        Some(OptionValue::Duration(d)) if d.subsec_nanos() == 0 => Json::from(format!("{}s", d.as_secs())),
        Some(OptionValue::Duration(d)) => Json::from(format!("{}ms", d.as_millis())),
        Some(OptionValue::Value(value)) => value.to_json(),
        Some(_) => Json::Null,
    };
    match &value {
        Json::Number(_) => Ok(Some(value)),
        Json::String(text) if go_duration(text) => Ok(Some(value)),
        other => Err(refused(format!("`keep_alive` is {other}, which is no length of time")).help(
            "a number of seconds, or text as \"10m\" or \"1h30m\"; \"-1s\" keeps the model for ever, 0 unloads it",
        )),
    }
}

/// Whether Go's `time.ParseDuration` takes a text: numbers with units, as `1h30m`.
fn go_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let mut parts = 0;
    while !rest.is_empty() {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let digits = &rest[..rest.len() - number.len()];
        let units = ["ns", "us", "µs", "ms", "s", "m", "h"];
        let after = units
            .iter()
            .find_map(|unit| number.strip_prefix(unit).filter(|after| !after.starts_with(|c: char| c.is_alphabetic())));
        match after {
            Some(after) if digits.contains(|c: char| c.is_ascii_digit()) && digits.matches('.').count() < 2 => {
                rest = after;
            }
            _ => return false,
        }
        parts += 1;
    }
    parts > 0
}

fn think(config: &ModelConfig) -> Result<Option<Json>, ProviderError> {
    match config.value("think") {
        None => Ok(None),
        Some(Value::Bool(on)) => Ok(Some(Json::from(*on))),
        Some(Value::Text(level)) if matches!(&**level, "low" | "medium" | "high" | "max") => {
            Ok(Some(Json::from(&**level)))
        }
        Some(other) => Err(refused(format!("`think` is {}", other.show(60)))
            .help("true, false, \"low\", \"medium\" or \"high\"; levels are for models that have them")),
    }
}

fn refused(message: String) -> ProviderError {
    ProviderError::new(ErrorKind::Refused, message)
}

#[cfg(test)]
mod tests {
    use super::go_duration;

    #[test]
    fn durations_of_go() {
        for good in ["10m", "1h30m", "300ms", "-1s", "0", "1.5h", "24h", "5us", "5µs"] {
            assert!(go_duration(good), "{good}");
        }
        for bad in ["", "-1", "10", "10 m", "m", "1d", "1.2.3s", "ten minutes", "-"] {
            assert!(!go_duration(bad), "{bad}");
        }
    }
}
