//! The models that a server of Ollama has: listed, shown, removed, pulled.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::errors;
use super::link::Link;
use crate::config::Context;
use crate::net::{Call, ErrorText, Failure, FailureKind, LineError, Lines, Response};
use crate::providers::options::IDLE_TIMEOUT;
use crate::providers::{ErrorKind, ProviderError};

/// The longest wait for an answer that is there at once.
const QUICK: Duration = Duration::from_secs(30);

/// The most bytes of an answer. Long parts of `/api/show` are left out by the server.
const MOST: usize = 64 << 20;

/// The most bytes of one line of a pull.
const LINE: usize = 1 << 20;

/// A model that a server has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tag {
    /// Its name with its tag, as `llama3.2:latest`.
    pub name: String,
    /// SHA-256 of its manifest, in hexadecimal digits.
    pub digest: String,
    /// Bytes on disk.
    pub size: u64,
    /// When it last changed, in RFC 3339 form.
    pub modified_at: String,
    /// The number of its parameters, as `3.2B`.
    pub parameters: String,
    /// How its weights are stored, as `Q4_K_M`.
    pub quantization: String,
    /// Where it runs, for a model of the cloud.
    pub remote_host: String,
}

/// A model that a server holds in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Its name with its tag.
    pub name: String,
    /// SHA-256 of its manifest, in hexadecimal digits.
    pub digest: String,
    /// Bytes in memory.
    pub size: u64,
    /// Bytes of these on graphics cards.
    pub size_vram: u64,
    /// Its context window in tokens; 0 where the server does not say.
    pub context: u64,
    /// When it goes, in RFC 3339 form.
    pub expires_at: String,
}

/// What a server says of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// The kind of decoder, as `llama`.
    pub architecture: String,
    /// The number of its parameters, as `3.2B`.
    pub parameters: String,
    /// How its weights are stored, as `Q4_K_M`.
    pub quantization: String,
    /// The context window that it was made for, in tokens.
    pub context: Option<u64>,
    /// The length of its vectors.
    pub embedding: Option<u64>,
    /// What it can do, as `completion`.
    pub capabilities: Vec<String>,
    /// Its own options, a name and a value each.
    pub options: Vec<(String, String)>,
    /// Its chat template, in Go's template language.
    pub template: String,
    /// Its own system message.
    pub system: String,
    /// The text of its licence.
    pub licence: String,
    /// Where it runs, for a model of the cloud.
    pub remote_host: String,
    /// When it last changed, in RFC 3339 form.
    pub modified_at: String,
}

/// How far a pull is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pulling {
    /// What the server does now, in its own words.
    Status(String),
    /// A part of the model is fetched.
    Part {
        /// What it is called.
        name: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
}

/// A server and its models.
pub struct Library {
    host: Option<String>,
    context: Arc<Context>,
}

impl Library {
    /// The server at `host`, in any form that `OLLAMA_HOST` takes; else that of `OLLAMA_HOST`, else this machine.
    pub fn new(host: Option<String>, context: &Arc<Context>) -> Self {
        Self { host, context: Arc::clone(context) }
    }

    /// Where it is.
    ///
    /// # Errors
    /// The address is none.
    pub fn place(&self) -> Result<String, ProviderError> {
        Ok(self.link("", QUICK)?.server.base.to_string())
    }

    /// The models that it has.
    ///
    /// # Errors
    /// Nobody answers, or nobody that is an Ollama.
    pub async fn tags(&self) -> Result<Vec<Tag>, ProviderError> {
        let answer = self.get("/api/tags").await?;
        Ok(models(&answer, |m| {
            let details = m.get("details").cloned().unwrap_or_default();
            Tag {
                name: name_of(m),
                digest: text(m, "digest"),
                size: number(m, "size").unwrap_or(0),
                modified_at: text(m, "modified_at"),
                parameters: text(&details, "parameter_size"),
                quantization: text(&details, "quantization_level"),
                remote_host: text(m, "remote_host"),
            }
        }))
    }

    /// The models that it holds in memory.
    ///
    /// # Errors
    /// Nobody answers, or nobody that is an Ollama.
    pub async fn loaded(&self) -> Result<Vec<Loaded>, ProviderError> {
        let answer = self.get("/api/ps").await?;
        Ok(models(&answer, |m| Loaded {
            name: name_of(m),
            digest: text(m, "digest"),
            size: number(m, "size").unwrap_or(0),
            size_vram: number(m, "size_vram").unwrap_or(0),
            context: number(m, "context_length").unwrap_or(0),
            expires_at: text(m, "expires_at"),
        }))
    }

    /// What it says of a model.
    ///
    /// # Errors
    /// It has no such model, or does not answer.
    pub async fn about(&self, model: &str) -> Result<About, ProviderError> {
        let link = self.link(model, QUICK)?;
        let url = link.server.base.at("/api/show");
        let mut response = link.send(&url, &json!({ "model": model })).await?;
        Ok(about(&object(&link, &mut response).await?))
    }

    /// Removes a model.
    ///
    /// # Errors
    /// It has no such model, or does not answer.
    pub async fn remove(&self, model: &str) -> Result<(), ProviderError> {
        let link = self.link(model, QUICK)?;
        let url = link.server.base.at("/api/delete");
        // Servers before 0.1.33 know the older name alone, later ones take either.
        let body = json!({ "model": model, "name": model });
        let call = Call { url: &url, body: Some(&body), bearer: link.key.as_ref(), idle: link.idle };
        let answer = link.client.delete(call).await;
        let mut response = answer.map_err(|f| errors::from_failure(f, &link.server))?;
        match response.status() {
            200 => Ok(()),
            _ => {
                let mut error = link.refusal(&mut response).await;
                // Who removes a model does not want to fetch it.
                error.help.retain(|help| !help.starts_with("`ollama pull"));
                Err(error)
            }
        }
    }

    /// Has it fetch a model. What was fetched of it before is not fetched again.
    ///
    /// # Errors
    /// It cannot, does not answer, or may not since nothing may leave this machine.
    pub async fn pull(&self, model: &str, report: &mut dyn FnMut(Pulling)) -> Result<(), ProviderError> {
        let link = self.link(model, IDLE_TIMEOUT)?;
        if link.server.offline {
            let message = format!("Ollama would fetch `{model}` from the network, and the command is offline");
            return Err(ProviderError::new(ErrorKind::Refused, message).help("leave `--offline` out"));
        }
        let url = link.server.base.at("/api/pull");
        let mut response = link.send(&url, &json!({ "model": model, "stream": true })).await?;
        if response.status() != 200 {
            return Err(link.refusal(&mut response).await);
        }
        let mut lines = Lines::new(LINE);
        loop {
            let piece = response.chunk().await.map_err(|failure| {
                broke_off(failure, &link)
                    .help(format!("`chainrun models pull ollama:{model}` goes on where it stopped"))
            })?;
            let at_end = piece.is_none();
            match piece {
                Some(piece) => lines.push(piece.as_ref()),
                // Half a line means that the stream was cut.
                None => match lines.finish().map_err(|e| no_line(&e, &link))? {
                    Some(line) if serde_json::from_str::<Json>(&line).is_err_and(|e| e.is_eof()) => {}
                    Some(line) if step(&line, &link, report)? => return Ok(()),
                    _ => {}
                },
            }
            while let Some(line) = lines.next_line().map_err(|e| no_line(&e, &link))? {
                if step(&line, &link, report)? {
                    return Ok(());
                }
            }
            if at_end {
                let message = format!("Ollama at {}: the pull of `{model}` ended early", link.server.base);
                return Err(ProviderError::new(ErrorKind::Broken, message)
                    .help(format!("`chainrun models pull ollama:{model}` goes on where it stopped")));
            }
        }
    }

    fn link(&self, model: &str, idle: Duration) -> Result<Link, ProviderError> {
        Link::at_host(self.host.as_deref(), model, idle, &self.context)
    }

    async fn get(&self, path: &str) -> Result<Map<String, Json>, ProviderError> {
        let link = self.link("", QUICK)?;
        let url = link.server.base.at(path);
        let call = Call { url: &url, body: None, bearer: link.key.as_ref(), idle: link.idle };
        let answer = link.client.send(call).await;
        let mut response = answer.map_err(|f| errors::from_failure(f, &link.server))?;
        object(&link, &mut response).await
    }
}

/// A name with its tag, as a server lists it: none means `latest`.
pub fn with_tag(name: &str) -> String {
    let tagged = name.rsplit('/').next().is_some_and(|last| last.contains(':'));
    if tagged { name.to_owned() } else { format!("{name}:latest") }
}

/// Whether the pull is done.
fn step(line: &str, link: &Link, report: &mut dyn FnMut(Pulling)) -> Result<bool, ProviderError> {
    let Ok(Json::Object(json)) = serde_json::from_str(line) else { return Err(no_answer(line, link)) };
    if json.get("error").is_some_and(|e| !e.is_null()) {
        return Err(not_pulled(&ErrorText::from_json(&Json::Object(json)).message, link));
    }
    let status = json.get("status").and_then(Json::as_str).unwrap_or_default();
    if status == "success" {
        return Ok(true);
    }
    let count = |key: &str| json.get(key).and_then(Json::as_u64);
    match (count("total"), count("completed")) {
        (Some(total), done) => {
            report(Pulling::Part { name: status.to_owned(), done: done.unwrap_or(0), total });
        }
        (None, _) => report(Pulling::Status(status.to_owned())),
    }
    Ok(false)
}

/// Why a server did not fetch a model.
fn not_pulled(words: &str, link: &Link) -> ProviderError {
    let (model, base) = (&link.server.model, &link.server.base);
    let error = ProviderError::new(ErrorKind::Refused, format!("Ollama at {base} did not pull `{model}`: {words}"));
    let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    if has(&["file does not exist", "not found"]) {
        error.help("its library has no such model or tag: https://ollama.com/library lists them")
    } else if has(&["digest mismatch", "digest"]) {
        error.help("what came was damaged and is not kept: pull again")
    } else if has(&["newer version"]) {
        error.help("update Ollama on that machine")
    } else if has(&["no such host", "dial tcp", "connection refused", "timeout"]) {
        error.help("it is the server that has no way to the network: HTTPS_PROXY in its environment names a proxy")
    } else if has(&["no space"]) {
        error.help("the server's disk is full: `chainrun models rm NAME` makes room")
    } else {
        error
    }
}

/// The object that an answer is.
async fn object(link: &Link, response: &mut Response) -> Result<Map<String, Json>, ProviderError> {
    if response.status() != 200 {
        return Err(link.refusal(response).await);
    }
    let body = response.body(MOST).await.map_err(|failure| broke_off(failure, link))?;
    match serde_json::from_slice(&body) {
        Ok(Json::Object(json)) if json.get("error").is_none_or(Json::is_null) => Ok(json),
        Ok(json @ Json::Object(_)) => {
            let message = format!("Ollama at {} failed: {}", link.server.base, ErrorText::from_json(&json).message);
            Err(ProviderError::new(ErrorKind::Refused, message))
        }
        _ => Err(no_answer(&String::from_utf8_lossy(&body), link)),
    }
}

/// An answer that began and did not end.
fn broke_off(failure: Failure, link: &Link) -> ProviderError {
    let cut = failure.kind == FailureKind::Cut;
    let error = errors::from_failure(failure, &link.server);
    if cut { ProviderError { kind: ErrorKind::Broken, ..error } } else { error }
}

fn no_line(error: &LineError, link: &Link) -> ProviderError {
    match error {
        LineError::TooLong(limit) => {
            let message = format!("{} sent a line of more than {} MiB", link.server.base, limit >> 20);
            ProviderError::new(ErrorKind::TooLarge, message)
        }
        LineError::NotUtf8(line) => no_answer(line, link),
    }
}

fn no_answer(body: &str, link: &Link) -> ProviderError {
    let body = body.trim();
    let mut shown: String = body.chars().take(200).collect();
    if shown.len() < body.len() {
        shown.push('…');
    }
    let message = format!("{}{} sent what is no answer of Ollama: {shown}", link.server.base, link.server.said_by);
    ProviderError::new(ErrorKind::Broken, message).help("is this Ollama's own address, or a proxy's?")
}

/// The list `models` of an answer.
fn models<T>(answer: &Map<String, Json>, read: impl Fn(&Json) -> T) -> Vec<T> {
    let list = answer.get("models").and_then(Json::as_array);
    list.into_iter().flatten().filter(|m| m.is_object()).map(read).collect()
}

fn name_of(model: &Json) -> String {
    let name = text(model, "name");
    if name.is_empty() { text(model, "model") } else { name }
}

fn text(json: &Json, key: &str) -> String {
    json.get(key).and_then(Json::as_str).unwrap_or_default().to_owned()
}

fn number(json: &Json, key: &str) -> Option<u64> {
    json.get(key).and_then(Json::as_u64)
}

fn about(answer: &Map<String, Json>) -> About {
    let empty = Json::Null;
    let part = |key: &str| answer.get(key).unwrap_or(&empty);
    let whole = |key: &str| part(key).as_str().unwrap_or_default().to_owned();
    let (details, info) = (part("details"), part("model_info"));
    let named = text(info, "general.architecture");
    let architecture = if named.is_empty() { text(details, "family") } else { named };
    let list = |json: &Json| {
        let items = json.as_array().into_iter().flatten();
        items.filter_map(|c| c.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    About {
        context: number(info, &format!("{architecture}.context_length")),
        embedding: number(info, &format!("{architecture}.embedding_length")),
        architecture,
        parameters: text(details, "parameter_size"),
        quantization: text(details, "quantization_level"),
        capabilities: list(part("capabilities")),
        options: options(&whole("parameters")),
        template: whole("template"),
        system: whole("system"),
        // Of several, old servers send a list.
        licence: match part("license") {
            Json::Array(_) => list(part("license")).join("\n\n"),
            _ => whole("license"),
        },
        remote_host: whole("remote_host"),
        modified_at: whole("modified_at"),
    }
}

/// A model's own options: a name and a value a line, text in quotes.
fn options(text: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let (name, value) = line.split_once(char::is_whitespace)?;
        let value = value.trim();
        let quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
        let value = quoted.then(|| serde_json::from_str(value).ok()).flatten().unwrap_or_else(|| value.to_owned());
        Some((name.to_owned(), value))
    };
    text.lines().filter_map(|l| line(l.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_options() {
        assert_eq!(with_tag("llama3.2"), "llama3.2:latest");
        assert_eq!(with_tag("host:5000/me/llama3.2"), "host:5000/me/llama3.2:latest");
        assert_eq!(with_tag("llama3.2:1b"), "llama3.2:1b");
        let text = "stop                           \"<|im_start|>\"\nnum_ctx 4096\n\nstop \"a\\\"b\"\nodd";
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(options(text), [pair("stop", "<|im_start|>"), pair("num_ctx", "4096"), pair("stop", "a\"b")]);
    }

    #[test]
    fn what_a_server_leaves_out() {
        let empty = Map::new();
        assert_eq!(about(&empty), About::default());
        let answer = json!({ "models": [{}, null, 3, { "model": "a:b", "size": "big", "details": null }] });
        let names = models(answer.as_object().unwrap(), name_of);
        assert_eq!(names, ["", "a:b"]);
    }
}
