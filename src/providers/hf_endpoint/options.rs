//! The options of `hf-endpoint`. Names and ranges are those of Text Generation Inference's API (`/generate`).

use super::super::sources::{HF_TOKENS, LLAMA_SERVER, ROUTER, TGI, TGI_CHAT, TGI_ROUTER, VLLM};
use super::super::{Effect, OptionKind, OptionSpec};

const fn model(name: &'static str, kind: OptionKind, doc: &'static str) -> OptionSpec {
    OptionSpec::new(name, kind, doc).wire(name)
}

const fn call(name: &'static str, kind: OptionKind, doc: &'static str) -> OptionSpec {
    OptionSpec { effect: Effect::Call, ..OptionSpec::new(name, kind, doc) }
}

/// The options that this provider has beside those of every server.
pub static OPTIONS: &[OptionSpec] = &[
    model("temperature", OptionKind::Float(0.0, f64::MAX), "how freely tokens are chosen; 0 is the likeliest")
        .documented(&[TGI])
        .tried(&[TGI_CHAT]),
    model("top_p", OptionKind::Float(0.0, 1.0), "choose among the likeliest tokens that sum up to this")
        .documented(&[TGI]),
    model("top_k", OptionKind::Int(1, i64::MAX), "choose among this many of the likeliest tokens")
        .documented(&[TGI])
        .tried(&["TGI 3.3.6-dev0's router (chat, which ignores it)"]),
    model("min_p", OptionKind::Float(0.0, 1.0), "drop tokens less likely than this share, where the server has it")
        .documented(&[VLLM, LLAMA_SERVER]),
    model("typical_p", OptionKind::Float(0.0, 1.0), "locally typical sampling").documented(&[TGI]),
    OptionSpec::new("max_tokens", OptionKind::Int(1, i64::MAX), "the longest answer in tokens")
        .wire("max_new_tokens")
        .aliases(&["max_new_tokens", "max_completion_tokens", "num_predict", "n_predict"])
        .documented(&[TGI])
        .tried(&[TGI_ROUTER]),
    OptionSpec::new("stop", OptionKind::Texts, "up to four texts that end the answer; they are no part of it")
        .wire("stop")
        .aliases(&["stop_sequences"])
        .documented(&[TGI])
        .tried(&["TGI 3.3.6-dev0's router (its limit of four)"]),
    model("seed", OptionKind::Int(0, i64::MAX), "the seed of the choice of tokens")
        .documented(&[TGI])
        .tried(&[TGI_CHAT]),
    OptionSpec::new("repeat_penalty", OptionKind::Float(0.001, f64::MAX), "how much repeated tokens are held back")
        .wire("repetition_penalty")
        .aliases(&["repetition_penalty"])
        .documented(&[TGI]),
    model("presence_penalty", OptionKind::Float(-2.0, 2.0), "how much tokens that stood before are held back")
        .documented(&[TGI]),
    model("frequency_penalty", OptionKind::Float(-2.0, 2.0), "the same, by how often they stood").documented(&[TGI]),
    model("do_sample", OptionKind::Bool, "choose tokens at all, instead of taking the likeliest").documented(&[TGI]),
    model("watermark", OptionKind::Bool, "mark the text as a machine's").documented(&[TGI]),
    model("adapter_id", OptionKind::Text, "the adapter that the server puts on its model").documented(&[TGI]),
    OptionSpec::new(
        "task",
        OptionKind::Choice(&["text-generation", "conversational"]),
        "text-generation sends rendered text, conversational sends messages",
    )
    .default("by what stands before it: messages or `raw`"),
    OptionSpec::new(
        "provider",
        OptionKind::Text,
        "the inference provider, as `groq`; \"fastest\" and \"cheapest\" choose",
    )
    .default("\"fastest\"")
    .documented(&[ROUTER]),
    OptionSpec::new("options", OptionKind::Map, "more of the server's parameters, sent as they stand")
        .documented(&[TGI])
        .tried(&[TGI_ROUTER]),
    OptionSpec::new("endpoint_url", OptionKind::Text, "where the endpoint is; without it, Hugging Face's router")
        .aliases(&["base_url", "inference_server_url"]),
    call("api_key", OptionKind::Secret, "a secret that is sent as `Authorization: Bearer`")
        .aliases(&["token", "hf_token", "huggingfacehub_api_token"])
        .documented(&[HF_TOKENS])
        .tried(&[TGI_ROUTER]),
    call("bill_to", OptionKind::Text, "the organization that is billed").wire("X-HF-Bill-To").documented(&[ROUTER]),
];

const TOOL_CHOICE: &str = "`options: { tool_choice: \"required\" }` sends it as it stands";
const STREAMS: &str = "answers always stream where the result is text: leave it out";
const CALLBACKS: &str = "`chainrun FILE --callback COMMAND` gives a command what happens: leave it out";
const FIRST: &str = "the repository is the first argument: `hf-endpoint(\"mistralai/Mistral-7B-Instruct-v0.3\")`; an address of one's own is `endpoint_url:`";

/// Spellings from elsewhere that are refused with a word on what to do instead.
pub static EXPLAINED: &[(&str, &str)] = &[
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
    ("tool_choice", TOOL_CHOICE),
    ("num_ctx", "the server's own setting says how much its window holds: leave it out"),
    ("device", "the model runs on a server; `local(…)` runs here"),
];
