//! `gpt4all`: models of GPT4All. A file runs inside the process, as with `local`; `server:` asks the desktop program.

use std::sync::Arc;

use super::sources::GPT4ALL;
use super::spec::{CALL_OPTIONS, CONTROL_OPTIONS, RATE_OPTIONS, REPEATABLE, SERVER_OPTIONS};
use super::{
    Effect, Enforcement, ErrorKind, ModelConfig, OptionKind, OptionSpec, OptionValue, Provider, ProviderError, Spec,
    openai, openai::dialect::Dialect,
};
use crate::config::{Context, Origin, Setting};
use crate::value::{Constraint, Value};

/// The description of `gpt4all`.
pub static SPEC: Spec = Spec {
    name: "gpt4all",
    doc: "a model of GPT4All: a file of its folder, or its desktop program's server (`server:`)",
    argument: OptionSpec::new("model", OptionKind::Text, "the model's file, or its name as GPT4All shows it")
        .wire("model")
        .documented(&[GPT4ALL]),
    argument_required: true,
    instead: &[],
    options: &[
        OPTIONS,
        super::instruct::OPTIONS,
        CONTROL_OPTIONS,
        SERVER_OPTIONS,
        RATE_OPTIONS,
        REPEATABLE,
        CALL_OPTIONS,
    ],
    explained: EXPLAINED,
    enforces: |constraint, said| match said("server") {
        None | Some(Value::Bool(false)) => inside_enforces(constraint),
        Some(_) => {
            Dialect::Gpt4All.lacks(constraint).map_or(Enforcement::Enforced, |why| Enforcement::Never(why.to_owned()))
        }
    },
    build: super::Build::Model(build),
};

/// The longest answer of the server, in tokens, unless the file says otherwise: as long as that of `local`.
const MAX_TOKENS: i64 = 512;

#[cfg(feature = "local")]
fn inside_enforces(constraint: &Constraint) -> Enforcement {
    (super::local::SPEC.enforces)(constraint, &|_| None)
}

#[cfg(not(feature = "local"))]
fn inside_enforces(_: &Constraint) -> Enforcement {
    Enforcement::CheckedAlone("this build runs no file inside the process")
}

const fn model(name: &'static str, kind: OptionKind, doc: &'static str) -> OptionSpec {
    OptionSpec::new(name, kind, doc)
}

/// Options that GPT4All's server refuses, or leaves to the desktop program.
const FILE_ONLY: &[&str] = &["top_k", "stop", "seed", "repeat_penalty", "num_ctx", "threads", "device", "instruct"];

/// Options that only mean something with a server.
const SERVER_ONLY: &[&str] = &["idle_timeout", "allow_control_tokens", "requests_per_minute", "tokens_per_minute"];

static OPTIONS: &[OptionSpec] = &[
    model("temperature", OptionKind::Float(0.0, 2.0), "how freely tokens are chosen; 0 is the likeliest")
        .wire("temperature")
        .aliases(&["temp"])
        .documented(&[GPT4ALL]),
    model("top_p", OptionKind::Float(0.0, 1.0), "choose among the likeliest tokens that sum up to this")
        .wire("top_p")
        .documented(&[GPT4ALL]),
    model("min_p", OptionKind::Float(0.0, 1.0), "drop tokens less likely than this share of the likeliest")
        .wire("min_p")
        .documented(&[GPT4ALL]),
    model("top_k", OptionKind::Int(0, i64::MAX), "choose among this many of the likeliest tokens; not with a server"),
    model(
        "max_tokens",
        OptionKind::Int(1, i64::MAX),
        "the longest answer in tokens; the server's own 16 is never left to it",
    )
    .wire("max_tokens")
    .default("512")
    .aliases(&["max_new_tokens", "n_predict", "num_predict"])
    .documented(&[GPT4ALL]),
    model("stop", OptionKind::Texts, "texts that end the answer; not with a server").aliases(&["stop_sequences"]),
    model("seed", OptionKind::Int(i64::MIN, i64::MAX), "the seed of the choice of tokens; not with a server"),
    model(
        "repeat_penalty",
        OptionKind::Float(0.001, 1000.0),
        "how much repeated tokens are held back; not with a server",
    )
    .aliases(&["repetition_penalty"]),
    model("num_ctx", OptionKind::Int(1, i64::MAX), "the context window in tokens; not with a server")
        .aliases(&["n_ctx"]),
    model("threads", OptionKind::Int(1, 1024), "threads that compute; not with a server")
        .aliases(&["n_threads", "num_thread"]),
    model("device", OptionKind::Choice(&["cpu", "auto"]), "where it runs; not with a server").default("\"auto\""),
    OptionSpec {
        effect: Effect::Call,
        ..model("server", OptionKind::Any, "true, or the address of GPT4All's server: http://localhost:4891/v1")
            .default("false: the file runs inside the process")
            .aliases(&["base_url"])
    },
];

static EXPLAINED: &[(&str, &str)] = &[
    ("model", "the model's file or name is the first argument: `gpt4all(\"./mistral-7b-instruct.Q4_0.gguf\")`"),
    ("model_path", "the whole path is the first argument: `gpt4all(\"./models/file.gguf\")`"),
    ("model_folder_path", "the whole path is the first argument: `gpt4all(\"./models/file.gguf\")`"),
    ("backend", "GGUF is the one format: leave it out"),
    ("model_type", "GGUF is the one format: leave it out"),
    ("n_parts", "a file is one part: leave it out"),
    ("n_batch", "the prompt is read in pieces that fit: leave it out"),
    ("num_batch", "the prompt is read in pieces that fit: leave it out"),
    ("repeat_last_n", "`repeat_penalty` looks 64 tokens back: leave it out"),
    ("f16_kv", "leave it out"),
    ("logits_all", "leave it out"),
    ("vocab_only", "leave it out"),
    ("use_mlock", "leave it out"),
    ("embedding", "a chain's model answers in text: leave it out"),
    ("echo", "the answer is always the new text alone: leave it out"),
    ("allow_download", "nothing is fetched but by `chainrun models pull`: leave it out"),
    ("streaming", "answers always stream where they can: leave it out"),
    ("stream", "answers always stream where they can: leave it out"),
    ("callbacks", "`chainrun FILE --callback COMMAND` gives a command what happens: leave it out"),
    ("callback_manager", "`chainrun FILE --callback COMMAND` gives a command what happens: leave it out"),
    ("verbose", "`chainrun explain` shows what is sent: leave it out"),
    ("api_key", "GPT4All's server takes no key: leave it out"),
    ("request_timeout", "it is called `timeout`"),
    ("max_retries", "it is called `retry`"),
    ("n", "a call has one answer: leave it out"),
    ("tools", "GPT4All tells its models of no tools: leave it out"),
    ("response_format", "GPT4All holds no answer to a schema: leave it out"),
    ("options", "GPT4All refuses every option that it does not know: leave it out"),
    ("presence_penalty", "GPT4All refuses it: leave it out"),
    ("frequency_penalty", "GPT4All refuses it: leave it out"),
];

fn build(config: &ModelConfig, context: &Arc<Context>) -> Result<Arc<dyn Provider>, ProviderError> {
    let refused = |message: String| ProviderError::new(ErrorKind::Refused, message);
    if config.model().trim().is_empty() {
        return Err(refused("`gpt4all` needs a model's file or name".to_owned()));
    }
    let server = config.value("server").filter(|v| !matches!(v, Value::Bool(false)));
    let (wrong, why, help) = match server {
        Some(_) => (FILE_ONLY, "GPT4All's server refuses", "leave it out: the desktop program's own settings say it"),
        None => {
            (SERVER_ONLY, "a file that runs inside the process has no use for", "leave it out, or write `server: true`")
        }
    };
    if let Some(name) = wrong.iter().find(|name| config.options.contains_key(*name)) {
        return Err(refused(format!("{why} `{name}`")).help(help));
    }
    let Some(server) = server else { return inside(config, context) };
    let mut config = config.clone();
    // The server's own limit is 16 tokens.
    config
        .options
        .entry("max_tokens")
        .or_insert_with(|| Setting { value: OptionValue::Value(Value::Int(MAX_TOKENS)), origin: Origin::Default });
    let place = openai::gpt4all(server)?;
    Ok(Arc::new(openai::Chat::new(&config, context, place)?))
}

/// The file inside the process, as `local` runs it.
#[cfg(feature = "local")]
fn inside(config: &ModelConfig, context: &Arc<Context>) -> Result<Arc<dyn Provider>, ProviderError> {
    let spec = &super::local::SPEC;
    let options = config.options.iter().filter(|(name, _)| **name != "server");
    let options = options.filter_map(|(name, set)| Some((spec.option(name)?.name, set.clone()))).collect();
    super::build(&ModelConfig { spec, options, ..config.clone() }, context)
}

/// A build without the engine runs no file.
#[cfg(not(feature = "local"))]
fn inside(_: &ModelConfig, _: &Arc<Context>) -> Result<Arc<dyn Provider>, ProviderError> {
    Err(ProviderError::new(ErrorKind::Weights, "this build of chainrun runs no file inside the process")
        .help("`server: true` asks GPT4All's desktop program"))
}
