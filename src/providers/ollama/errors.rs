//! Failures of Ollama, in words, with what to do about them.

use serde_json::Value as Json;

use super::super::{ErrorKind, ProviderError};
use super::stream::Received;
use crate::net::{BaseUrl, ErrorText, Failure, FailureKind};

/// The server and the model, as messages name them.
pub struct Server {
    /// Where it is.
    pub base: BaseUrl,
    /// What said so, as ` (from OLLAMA_HOST)`; empty for the default.
    pub said_by: &'static str,
    /// The model's name as the file gives it.
    pub model: String,
    /// The context window that the file asks for, in tokens.
    pub num_ctx: Option<i64>,
    /// Whether nothing but loopback may be reached.
    pub offline: bool,
    /// Whether a key is sent.
    pub has_key: bool,
}

impl Server {
    /// Whether the model's name says that a local Ollama passes it on to its cloud.
    pub fn is_cloud(&self) -> bool {
        let model = self.model.to_ascii_lowercase();
        model.rsplit_once(':').is_some_and(|(_, tag)| tag == "cloud" || tag.ends_with("-cloud"))
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
    let mut error = ProviderError::new(kind, format!("Ollama: {}{}", failure.message, server.said_by));
    error.retry_after = failure.retry_after;
    match failure.kind {
        FailureKind::Offline => error.help("leave `--offline` out, or name a server on this machine with `base_url:`"),
        FailureKind::Unreachable => start(error),
        FailureKind::TimedOut => {
            error.help("a large model may take minutes to load: `idle_timeout: 10m` on the model waits longer")
        }
        _ => error,
    }
}

fn start(error: ProviderError) -> ProviderError {
    error
        .help("start it with `ollama serve`")
        .help("for a server elsewhere set OLLAMA_HOST, or `base_url: \"http://host:11434\"` on the model")
}

/// The body broke off, or no more of it came.
pub fn broke_off(failure: Failure, received: &Received, began: bool, server: &Server) -> ProviderError {
    match failure.kind {
        FailureKind::Cut => {
            let mut error = early_end(received, began, server);
            error.message.push_str(": ");
            error.message.push_str(&failure.message);
            error
        }
        _ => from_failure(failure, server),
    }
}

/// The body ended before the line that ends an answer.
pub fn early_end(received: &Received, began: bool, server: &Server) -> ProviderError {
    let kind = if began { ErrorKind::Broken } else { ErrorKind::Unreachable };
    let bytes = received.text.len();
    let message = if bytes == 0 && received.reasoning.is_empty() {
        format!("Ollama at {}: the stream ended early, with no piece of an answer", server.base)
    } else {
        format!("Ollama at {}: the stream ended early after {bytes} bytes of the answer", server.base)
    };
    ProviderError::new(kind, message)
        .help("the server's own log says why: it may have run out of memory or been stopped")
}

/// The prompt does not fit the context window, if that is what the server says.
pub fn context_overflow(text: &ErrorText, server: &Server) -> Option<ProviderError> {
    const WORDS: &[&str] =
        &["exceeds the available context", "longer than the context length", "exceeds the context length"];
    let named = text.label("type") == Some("exceed_context_size_error");
    if !named && !WORDS.iter().any(|w| text.message.contains(w)) {
        return None;
    }
    let counts = (text.count("n_prompt_tokens"), text.count("n_ctx"));
    let message = match counts {
        (Some(prompt), Some(window)) => {
            format!("the prompt has {prompt} tokens, the context window of {} holds {window}", server.model)
        }
        _ => format!("the prompt does not fit the context window of {}: {}", server.model, text.message),
    };
    let wider = match (counts.0, server.num_ctx) {
        // Room for an answer too.
        (Some(prompt), _) => (prompt + 256).next_power_of_two(),
        (None, Some(window)) => u64::try_from(window).unwrap_or(4096).saturating_mul(2),
        (None, None) => 8192,
    };
    Some(
        ProviderError::new(ErrorKind::Overflow, message)
            .help(format!("`num_ctx: {wider}` on the model widens the window, as far as the model and memory go"))
            .help("or say less: a prompt is never cut in silence"),
    )
}

/// A model that runs elsewhere, while nothing may leave this machine.
pub fn cloud(model: &str, host: Option<&str>) -> ProviderError {
    let place = host.map_or_else(|| "Ollama's cloud".to_owned(), |h| format!("{h}, not on this machine"));
    ProviderError::new(ErrorKind::Refused, format!("`{model}` runs on {place}, and the run is offline"))
        .help("leave `--offline` out, or take a model that `ollama list` shows with a size")
}

/// An answer that is no success. `tags` are the models that the server has, asked for after a 404.
pub fn refusal(
    status: u16,
    text: &ErrorText,
    kind: FailureKind,
    location: Option<&str>,
    tags: Option<&[String]>,
    server: &Server,
) -> ProviderError {
    if let Some(error) = context_overflow(text, server) {
        return error;
    }
    let error_kind = if kind == FailureKind::Busy { ErrorKind::Busy } else { ErrorKind::Refused };
    let words = if text.message.is_empty() { String::new() } else { format!(": {}", text.message) };
    let base = &server.base;
    let error = |what: &str| ProviderError::new(error_kind, format!("Ollama at {base} {what}{words}"));
    let known = text.details.is_some();
    match status {
        300..=399 => error(&format!("answered {status}, a redirect to {}", location.unwrap_or("nowhere")))
            .help("prompts are sent to no server that nobody named: `base_url:` on the model takes the new address"),
        401 if server.has_key => error("does not take the key (401)").help("check the secret behind `api_key:`"),
        401 => error("wants a key (401)").help("`secret NAME` in the file and `api_key: NAME` on the model send one"),
        403 if text.message.contains("cloud") => error("refused (403)").help(
            "this server may not use models of Ollama's cloud: take a model that `ollama list` shows with a size",
        ),
        403 => error("refused (403)")
            .help("an Ollama on loopback takes only hosts like localhost: a proxy before it has to set the header Host")
            .help("OLLAMA_ORIGINS on the server and `api_key:` on the model are the other keys to it"),
        404 if known => missing_model(error("has no such model (404)"), tags, server),
        404 | 405 => error(&format!("does not know the address ({status})"))
            .help("is this an Ollama? Its address answers `Ollama is running` in a browser; an old one wants an update")
            .help("`base_url:` is the address without `/api` and `/v1`"),
        400 if text.message.contains("does not support thinking") => error("refused (400)").help("leave `think:` out"),
        400 if text.message.contains("does not support") => {
            error("refused (400)").help("take a model that completes text: `ollama show NAME` lists what each can do")
        }
        429 => {
            error("has too many requests (429)").help("`retry: 3` on the model tries again after the wait it asks for")
        }
        503 => error("is busy (503)").help("`retry: 3` on the model tries again; OLLAMA_MAX_QUEUE sets its queue"),
        500 if text.message.contains("requires more system memory") => {
            error("failed (500)").help("take a smaller model, or a smaller `num_ctx:`")
        }
        500 if kind == FailureKind::Busy => error("failed (500)").help("its log says more: `ollama serve` prints it"),
        _ => error(&format!("answered {status}")),
    }
}

fn missing_model(mut error: ProviderError, tags: Option<&[String]>, server: &Server) -> ProviderError {
    let model = &server.model;
    match tags {
        None => {}
        Some([]) => error = error.help("there is no model on this server yet"),
        Some(names) => {
            if let Some(name) = meant(model, names) {
                error = error.help(format!("did you mean `{name}`?"));
            }
            let some: Vec<&str> = names.iter().take(10).map(String::as_str).collect();
            let more = names.len() - some.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            error = error.help(format!("models on this server: {}{more}", some.join(", ")));
        }
    }
    error.help(format!("`ollama pull {model}` fetches it"))
}

/// The model that was probably meant. Names without a tag mean the tag `latest`.
fn meant<'a>(model: &str, names: &'a [String]) -> Option<&'a str> {
    let stem = |name: &'a str| name.strip_suffix(":latest").unwrap_or(name);
    let family = model.split(':').next().unwrap_or(model);
    let sibling = names.iter().map(|n| stem(n)).find(|n| n.split(':').next() == Some(family));
    sibling.or_else(|| {
        crate::value::nearest(model.strip_suffix(":latest").unwrap_or(model), names.iter().map(|n| stem(n)))
    })
}

/// The names in an answer of `/api/tags`.
pub fn names(body: &[u8]) -> Option<Vec<String>> {
    let json: Json = serde_json::from_slice(body).ok()?;
    let models = json.get("models")?.as_array()?;
    Some(models.iter().filter_map(|m| m.get("name")?.as_str().map(str::to_owned)).collect())
}

/// The digest of a model in an answer of `/api/tags`. Names without a tag mean the tag `latest`.
pub fn digest_of(body: &[u8], model: &str) -> Option<String> {
    let json: Json = serde_json::from_slice(body).ok()?;
    let mut models = json.get("models")?.as_array()?.iter();
    let found = models.find(|m| m.get("name").and_then(Json::as_str).is_some_and(|name| same_model(name, model)))?;
    found.get("digest")?.as_str().map(str::to_owned)
}

/// Whether two names mean the same model: case does not count, and none without a tag means another than `latest`.
pub fn same_model(a: &str, b: &str) -> bool {
    let full = |name: &str| {
        let tagged = name.rsplit('/').next().is_some_and(|last| last.contains(':'));
        let name = name.to_ascii_lowercase();
        if tagged { name } else { format!("{name}:latest") }
    };
    full(a) == full(b)
}
