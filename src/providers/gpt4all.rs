//! `gpt4all`: models of GPT4All, by file or by the server of its desktop program. Its options are known and checked; calls
//! are yet to come.

use std::sync::Arc;

use super::spec::{CALL_OPTIONS, CONTROL_OPTIONS, REPEATABLE, SERVER_OPTIONS};
use super::unspoken::Unspoken;
use super::{Effect, Enforcement, ErrorKind, ModelConfig, OptionKind, OptionSpec, Provider, ProviderError, Spec};
use crate::config::Context;
use crate::net::BaseUrl;
use crate::value::Constraint;

/// The description of `gpt4all`.
pub static SPEC: Spec = Spec {
    name: "gpt4all",
    doc: "a model of GPT4All: a file of its folder, or its desktop program's server (`server:`)",
    argument: OptionSpec::new("model", OptionKind::Text, "the model's file, or its name as GPT4All shows it")
        .wire("model"),
    argument_required: true,
    instead: &[],
    options: &[OPTIONS, CONTROL_OPTIONS, SERVER_OPTIONS, REPEATABLE, CALL_OPTIONS],
    explained: EXPLAINED,
    enforces: |constraint| {
        let what = match constraint {
            Constraint::Regex(_) => "a regular expression",
            Constraint::Json | Constraint::JsonSchema(_) => "a schema",
        };
        Enforcement::Never(format!("GPT4All holds no answer to {what}"))
    },
    build: super::Build::Model(build),
    spoken: false,
};

const fn model(name: &'static str, kind: OptionKind, doc: &'static str) -> OptionSpec {
    OptionSpec::new(name, kind, doc)
}

/// Options that GPT4All's server refuses, or leaves to the desktop program.
const FILE_ONLY: &[&str] =
    &["top_k", "stop", "seed", "repeat_penalty", "repeat_last_n", "num_ctx", "num_batch", "threads", "device"];

/// Options that only mean something with a server.
const SERVER_ONLY: &[&str] = &["idle_timeout", "allow_control_tokens"];

static OPTIONS: &[OptionSpec] = &[
    model("temperature", OptionKind::Float(0.0, 2.0), "how freely tokens are chosen; 0 is the likeliest")
        .wire("temperature")
        .default("0.7")
        .aliases(&["temp"]),
    model("top_p", OptionKind::Float(0.0, 1.0), "choose among the likeliest tokens that sum up to this").wire("top_p"),
    model("min_p", OptionKind::Float(0.0, 1.0), "drop tokens less likely than this share of the likeliest")
        .wire("min_p"),
    model("top_k", OptionKind::Int(0, i64::MAX), "choose among this many of the likeliest tokens; not with a server"),
    model(
        "max_tokens",
        OptionKind::Int(1, i64::MAX),
        "the longest answer in tokens; the server's own 16 is never left to it",
    )
    .wire("max_tokens")
    .default("512")
    .aliases(&["max_new_tokens", "n_predict", "num_predict"]),
    model("stop", OptionKind::Texts, "texts that end the answer; not with a server").aliases(&["stop_sequences"]),
    model("seed", OptionKind::Int(i64::MIN, i64::MAX), "the seed of the choice of tokens; not with a server"),
    model(
        "repeat_penalty",
        OptionKind::Float(0.001, 1000.0),
        "how much repeated tokens are held back; not with a server",
    )
    .aliases(&["repetition_penalty"]),
    model(
        "repeat_last_n",
        OptionKind::Int(0, i64::MAX),
        "how many tokens back `repeat_penalty` looks; not with a server",
    ),
    model("num_ctx", OptionKind::Int(1, i64::MAX), "the context window in tokens; not with a server")
        .aliases(&["n_ctx"]),
    model("num_batch", OptionKind::Int(1, i64::MAX), "tokens of the prompt that are read at a time; not with a server")
        .aliases(&["n_batch"]),
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
    ("f16_kv", "leave it out"),
    ("logits_all", "leave it out"),
    ("vocab_only", "leave it out"),
    ("use_mlock", "leave it out"),
    ("embedding", "a chain's model answers in text: leave it out"),
    ("echo", "the answer is always the new text alone: leave it out"),
    ("allow_download", "nothing is fetched but by `chainrun models pull`: leave it out"),
    ("streaming", "answers always stream where they can: leave it out"),
    ("stream", "answers always stream where they can: leave it out"),
    ("callbacks", "a chain has no callbacks; a run shows what happens by itself: leave it out"),
    ("callback_manager", "a chain has no callbacks; a run shows what happens by itself: leave it out"),
    ("verbose", "`chainrun explain` shows what is sent: leave it out"),
    ("api_key", "GPT4All's server takes no key: leave it out"),
    ("request_timeout", "it is called `timeout`"),
    ("max_retries", "it is called `retry`"),
    ("n", "a call has one answer: leave it out"),
    ("tools", "chainrun calls no tools"),
    ("response_format", "GPT4All holds no answer to a schema: leave it out"),
    ("options", "GPT4All refuses every option that it does not know: leave it out"),
    ("presence_penalty", "GPT4All refuses it: leave it out"),
    ("frequency_penalty", "GPT4All refuses it: leave it out"),
];

fn build(config: &ModelConfig, _: &Arc<Context>) -> Result<Arc<dyn Provider>, ProviderError> {
    let refused = |message: String| ProviderError::new(ErrorKind::Refused, message);
    if config.model().trim().is_empty() {
        return Err(refused("`gpt4all` needs a model's file or name".to_owned()));
    }
    let server = match config.value("server") {
        None => false,
        Some(crate::value::Value::Bool(on)) => *on,
        Some(value) => {
            let text = value.as_text().unwrap_or_default();
            BaseUrl::parse(&text, 4891).map_err(|e| refused(format!("`server`: {e}")).help("write `server: true`"))?;
            true
        }
    };
    let (wrong, why, help) = if server {
        (FILE_ONLY, "GPT4All's server refuses", "leave it out: the desktop program's own settings say it")
    } else {
        (SERVER_ONLY, "a file that runs inside the process has no use for", "leave it out, or write `server: true`")
    };
    if let Some(name) = wrong.iter().find(|name| config.options.contains_key(*name)) {
        return Err(refused(format!("{why} `{name}`")).help(help));
    }
    if server {
        super::unspoken::check(config)?;
    }
    Ok(Unspoken::provider("gpt4all", "a GGUF file runs inside the process: `local(\"./file.gguf\")`"))
}
