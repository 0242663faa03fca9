//! Failures of servers that speak OpenAI's API, in words, with what to do about them.

use serde_json::Value as Json;

use super::super::{ErrorKind, ProviderError};
use super::address::KEY;
use super::dialect::Dialect;
use crate::net::{BaseUrl, ErrorText, Failure, FailureKind};

/// The server and the model, as messages name them.
pub struct Server {
    /// Where it is.
    pub base: BaseUrl,
    /// What said so, as ` (from OPENAI_BASE_URL)`; empty for the default.
    pub said_by: &'static str,
    /// What it speaks.
    pub dialect: Dialect,
    /// The model's name as the file gives it.
    pub model: String,
    /// Whether a key is sent.
    pub has_key: bool,
}

impl Server {
    /// The server and its address, as `vLLM at http://127.0.0.1:8000/v1`.
    pub fn at(&self) -> String {
        format!("{} at {}", self.dialect.title(), self.base)
    }

    fn is_openai(&self) -> bool {
        super::address::is_openai(&self.base)
    }
}

/// A failure of HTTP before the answer began.
pub fn from_failure(failure: Failure, server: &Server) -> ProviderError {
    let kind = match failure.kind {
        FailureKind::Offline | FailureKind::Request | FailureKind::Refused => ErrorKind::Refused,
        FailureKind::Unreachable | FailureKind::Cut => ErrorKind::Unreachable,
        FailureKind::TimedOut => ErrorKind::TimedOut,
        FailureKind::Busy => ErrorKind::Busy,
        FailureKind::Broken => ErrorKind::Broken,
    };
    let message = format!("{}: {}{}", server.dialect.title(), failure.message, server.said_by);
    let mut error = ProviderError::new(kind, message);
    error.retry_after = failure.retry_after;
    match failure.kind {
        FailureKind::Offline => {
            let option = server.dialect.place_option();
            error.help(format!("leave `--offline` out, or name a server on this machine with `{option}:`"))
        }
        FailureKind::Unreachable => start(error, server),
        FailureKind::TimedOut => error.help("`idle_timeout: 10m` on the model waits longer"),
        _ => error,
    }
}

fn start(error: ProviderError, server: &Server) -> ProviderError {
    let how = match server.dialect {
        Dialect::LlamaServer => "start it with `llama-server -m FILE.gguf`",
        Dialect::Vllm => "start it with `vllm serve MODEL`",
        Dialect::LmStudio => "start it with `lms server start`, or in LM Studio's developer tab",
        Dialect::Ollama => "start it with `ollama serve`",
        Dialect::Gpt4All => "start GPT4All and switch on its local API server in the settings",
        Dialect::Tgi => "start it with `text-generation-launcher --model-id MODEL`",
        Dialect::OpenAi | Dialect::Other | Dialect::Router | Dialect::Endpoint => {
            "is the address right, and the network there?"
        }
    };
    let option = server.dialect.place_option();
    let error = error.help(how);
    if server.dialect == Dialect::Router {
        return error;
    }
    let path = if server.dialect == Dialect::Endpoint { "" } else { "/v1" };
    error.help(format!("for another address `{option}: \"http://host:port{path}\"` on the model"))
}

/// The body broke off, or no more of it came.
pub fn broke_off(failure: Failure, bytes: usize, began: bool, server: &Server) -> ProviderError {
    match failure.kind {
        FailureKind::Cut => {
            let mut error = early_end(bytes, began, server);
            error.message.push_str(": ");
            error.message.push_str(&failure.message);
            error
        }
        _ => from_failure(failure, server),
    }
}

/// The body ended before the event that ends an answer.
pub fn early_end(bytes: usize, began: bool, server: &Server) -> ProviderError {
    let kind = if began { ErrorKind::Broken } else { ErrorKind::Unreachable };
    let message = if bytes == 0 && !began {
        format!("{}: the stream ended early, with no piece of an answer", server.at())
    } else {
        format!("{}: the stream ended early after {bytes} bytes of the answer", server.at())
    };
    let error = ProviderError::new(kind, message);
    if server.is_openai() { error } else { error.help("the server's own log says why") }
}

/// The prompt does not fit the context window, if that is what the server says.
pub fn context_overflow(text: &ErrorText, server: &Server) -> Option<ProviderError> {
    const WORDS: &[&str] = &[
        "exceeds the available context",
        "maximum context length",
        "context length exceeded",
        "exceeds the context",
        "context window",
        // TGI.
        "`inputs` must have less than",
        "`inputs` tokens + `max_new_tokens` must be",
    ];
    let named = text.label("code") == Some("context_length_exceeded")
        || text.label("type") == Some("exceed_context_size_error");
    if !named && !WORDS.iter().any(|w| text.message.contains(w)) {
        return None;
    }
    let message = match (text.count("n_prompt_tokens"), text.count("n_ctx")) {
        (Some(prompt), Some(window)) => {
            format!("the prompt has {prompt} tokens, the context window of {} holds {window}", server.model)
        }
        _ => format!("the prompt does not fit the context window of {}: {}", server.model, text.message),
    };
    let error = ProviderError::new(ErrorKind::Overflow, message);
    let wider = match server.dialect {
        Dialect::LlamaServer => "`llama-server -c 8192` widens the window, as far as the model and memory go",
        Dialect::Vllm => "`vllm serve --max-model-len` widens the window, as far as the model and memory go",
        Dialect::Tgi => "`--max-input-tokens` and `--max-total-tokens` of the server widen the window",
        Dialect::LmStudio => "the model's context length in LM Studio widens the window",
        _ => "a smaller `max_tokens:` leaves more of the window to the prompt",
    };
    Some(error.help(wider).help("or say less: a prompt is never cut in silence"))
}

/// An answer that is no success. `models` are those that the server has, asked for after a 404.
pub fn refusal(
    status: u16,
    text: &ErrorText,
    kind: FailureKind,
    location: Option<&str>,
    models: Option<&[String]>,
    server: &Server,
) -> ProviderError {
    if let Some(error) = context_overflow(text, server) {
        return error;
    }
    if server.dialect.is_hugging_face()
        && let Some(error) = super::super::hf_endpoint::refusal(status, text, kind, server)
    {
        return error;
    }
    let error_kind = if kind == FailureKind::Busy { ErrorKind::Busy } else { ErrorKind::Refused };
    let words = if text.message.is_empty() { String::new() } else { format!(": {}", text.message) };
    let error = |what: &str| ProviderError::new(error_kind, format!("{} {what}{words}", server.at()));
    let known = text.details.is_some();
    let about = |part: &str| text.message.contains(part);
    match status {
        300..=399 => {
            error(&format!("answered {status}, a redirect to {}", location.unwrap_or("nowhere"))).help(format!(
                "prompts are sent to no server that nobody named: `{}:` on the model takes the new address",
                server.dialect.place_option()
            ))
        }
        401 if server.dialect == Dialect::Gpt4All && !words.is_empty() => error("wants a key (401)").help(
            "GPT4All wants none, so this is another server: `openai(\"…\", base_url: …, api_key: …)` speaks to it",
        ),
        401 if server.dialect == Dialect::Gpt4All => {
            error("answers nobody (401)").help("switch on `Enable Local API Server` in GPT4All's settings")
        }
        401 => key(error(if server.has_key { "does not take the key (401)" } else { "wants a key (401)" }), server),
        403 => error("refused (403)").help("the key's account or project may not use this model"),
        404 if about("not a chat model") => error("refused (404)").help("a `raw` prompt goes to its completions"),
        404 if about("This is a chat model") => {
            error("refused (404)").help("it takes messages alone: leave `raw` out, or take a model that completes text")
        }
        404 if known && !about("Not Found") && !about("File Not Found") => {
            missing_model(error("has no such model (404)"), models, server)
        }
        404 | 405 => error(&format!("does not know the address ({status})"))
            .help(format!("`{}:` is the address up to its version: https://host/v1", server.dialect.place_option())),
        400 if about("max_completion_tokens") => {
            error("refused (400)").help("`dialect: \"openai\"` on the model sends `max_completion_tokens`")
        }
        400 | 422 if about("response_format") || about("schema") || about("grammar") => error(&refused(status))
            .help("`constrain: false` on the model asks without a schema; the answer is checked all the same"),
        429 if kind != FailureKind::Busy && about("quota") => error("is not paid for (429)")
            .help("the account's billing page says what is left; another try changes nothing"),
        429 => {
            error("has too many requests (429)").help("`retry: 3` on the model tries again after the wait it asks for")
        }
        503 if about("Loading model") => {
            error("still loads the model (503)").help("`retry: 5` on the model tries again")
        }
        503 => error("is busy (503)").help("`retry: 3` on the model tries again"),
        400 | 422 => error(&refused(status)),
        500 if text.message.is_empty() && server.dialect == Dialect::Gpt4All => {
            error("failed (500)").help("GPT4All could not load the model: it says why in its window")
        }
        _ => error(&format!("answered {status}")),
    }
}

fn refused(status: u16) -> String {
    format!("refused ({status})")
}

fn key(error: ProviderError, server: &Server) -> ProviderError {
    if server.has_key {
        return error.help(format!("check the secret behind `api_key:`, or {KEY}"));
    }
    error.help("`secret NAME` in the file and `api_key: NAME` on the model send one")
}

fn missing_model(mut error: ProviderError, models: Option<&[String]>, server: &Server) -> ProviderError {
    let names = match models {
        None | Some([]) => return error,
        Some(names) => names,
    };
    if let Some(name) = crate::value::nearest(&server.model, names.iter().map(String::as_str)) {
        error = error.help(format!("did you mean `{name}`?"));
    }
    let some: Vec<&str> = names.iter().take(10).map(String::as_str).collect();
    let more = names.len() - some.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    error.help(format!("models on this server: {}{more}", some.join(", ")))
}

/// The ids in an answer of `/models`.
pub fn names(body: &[u8]) -> Option<Vec<String>> {
    let json: Json = serde_json::from_slice(body).ok()?;
    let models = json.get("data")?.as_array()?;
    Some(models.iter().filter_map(|m| m.get("id")?.as_str().map(str::to_owned)).collect())
}

/// The call needs a key that nobody gave.
pub fn no_key(server: &Server) -> ProviderError {
    if server.dialect.is_hugging_face() {
        return super::super::hf_endpoint::no_token();
    }
    ProviderError::new(ErrorKind::Refused, no_key_sentence(server))
        .help(format!("set it: `export {KEY}=…`; or `secret NAME` in the file and `api_key: NAME` on the model"))
        .help("a server of your own is named by `base_url:`")
}

/// The same as one sentence.
pub fn no_key_sentence(server: &Server) -> String {
    if server.dialect.is_hugging_face() {
        return super::super::hf_endpoint::NO_TOKEN.to_owned();
    }
    format!("OpenAI's service wants a key, and {KEY} is not set in the environment")
}
