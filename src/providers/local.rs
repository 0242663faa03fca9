//! `local`: a model inside this process, from a GGUF file or by a name of the catalog.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

mod options;

use super::instruct::{Format, Instruct};
use super::{
    BoxFuture, Caps, Enforcement, ErrorKind, ModelConfig, OptionKind, OptionSpec, Prepared, Provider, ProviderError,
    Spec,
};
use crate::config::Context;
use crate::engine::{Description, EngineError, Grammar, Job, Likelihood, Piece, Sampling, Service, Span, Turn};
use crate::event::Sink;
use crate::models::{self, Entry, PullEvent};
use crate::value::{Answer, Constraint, Finish, Message, Request, RequestInput, Usage, Value, nearest};

/// The description of `local`.
pub static SPEC: Spec = Spec {
    name: "local",
    doc: "a model inside this process, from a GGUF file",
    argument: OptionSpec::new(
        "model",
        OptionKind::Text,
        "a name that `chainrun models list` shows, or the path of a .gguf file, relative to the .chain file",
    ),
    argument_required: true,
    instead: &[],
    options: &[options::OPTIONS, super::instruct::OPTIONS, super::spec::CALL_OPTIONS],
    explained: options::EXPLAINED,
    enforces: |constraint, _| enforces(constraint),
    build: super::Build::Model(build),
};

/// Whatever has a grammar is enforced.
fn enforces(constraint: &Constraint) -> Enforcement {
    match Grammar::new(constraint) {
        Ok(_) => Enforcement::Enforced,
        Err(why) => Enforcement::Never(format!("the model inside the process has no mask for {why}")),
    }
}

/// Which file is meant.
enum Weights {
    /// A name of the catalog.
    Named(&'static Entry),
    /// A path.
    File(PathBuf),
    /// A name of a model that is not on this machine.
    Unknown(String),
}

struct Local {
    weights: Weights,
    model: String,
    sampling: Sampling,
    /// What is added to tokens, which the file names by number or text.
    bias: Vec<(String, f64)>,
    /// Whether to tell how likely tokens were, with so many of the likeliest.
    chances: Option<usize>,
    max_tokens: usize,
    context_size: Option<usize>,
    stop: Vec<String>,
    instruct: Instruct,
    threads: usize,
    context: Arc<Context>,
    service: Mutex<Option<Arc<Service>>>,
}

fn build(config: &ModelConfig, context: &Arc<Context>) -> Result<Arc<dyn Provider>, ProviderError> {
    check_device(config)?;
    if config.bool("repeatable") == Some(false) {
        return Err(ProviderError::new(
            ErrorKind::Refused,
            "`repeatable`: this engine always gives the same text again",
        )
        .help("leave it out; with `temperature:` another `seed:` gives another text"));
    }
    let size = |name| config.int(name).and_then(|n| usize::try_from(n).ok());
    // Half, as processors count two for one that computes; more than four gain little for models of this size.
    let threads = || std::thread::available_parallelism().map_or(1, |n| (n.get() / 2).clamp(1, 4));
    Ok(Arc::new(Local {
        weights: weights(config)?,
        model: config.model(),
        sampling: options::sampling(config),
        bias: options::bias(config)?,
        chances: options::chances(config)?,
        max_tokens: size("max_tokens").unwrap_or(options::MAX_TOKENS),
        context_size: size("num_ctx"),
        stop: Instruct::of(config).stops(config.texts("stop").unwrap_or_default()),
        instruct: Instruct::of(config),
        threads: size("threads").unwrap_or_else(threads),
        context: Arc::clone(context),
        service: Mutex::new(None),
    }))
}

fn check_device(config: &ModelConfig) -> Result<(), ProviderError> {
    let ok = match config.value("device") {
        None | Some(Value::Int(-1)) => return Ok(()),
        Some(v) => v.as_text().is_some_and(|t| ["cpu", "auto", "-1"].contains(&t.as_ref())),
    };
    if ok {
        return Ok(());
    }
    let message = "`device`: models run on the processor; no other device has been tried with this version";
    Err(ProviderError::new(ErrorKind::Weights, message).help("leave it out, or write `device: \"cpu\"`"))
}

/// What the argument means: a path where it looks like one, else a name.
fn weights(config: &ModelConfig) -> Result<Weights, ProviderError> {
    let model = config.model();
    if let Some(entry) = models::find(&model) {
        return Ok(Weights::Named(entry));
    }
    if model.to_lowercase().ends_with(".gguf") || model.contains(['/', '\\']) || model.starts_with('.') {
        return Ok(Weights::File(config.base.join(model.strip_prefix("./").unwrap_or(&model))));
    }
    // Near a known name it is a slip; else a model that may be on another machine.
    match nearest(&model, models::catalog().iter().map(|e| e.name)) {
        Some(name) => Err(unknown(&model).help(format!("did you mean `{name}`?"))),
        None => Ok(Weights::Unknown(model)),
    }
}

fn unknown(model: &str) -> ProviderError {
    ProviderError::new(ErrorKind::Weights, format!("no model on this machine is called `{model}`"))
}

impl Local {
    /// The file, where it is there.
    fn path(&self) -> Result<PathBuf, ProviderError> {
        let error = |message: String| ProviderError::new(ErrorKind::Weights, message);
        match &self.weights {
            Weights::Named(entry) => {
                let path = models::path_of(entry, &self.context);
                if path.is_file() {
                    return Ok(path);
                }
                let name = entry.name;
                Err(error(format!("the weights of `{name}` are not here"))
                    .help(format!("`chainrun models pull {name}` fetches them")))
            }
            Weights::Unknown(name) => {
                let known: Vec<&str> = models::catalog().iter().map(|e| e.name).collect();
                Err(unknown(name)
                    .help(format!("names that this version knows: {}", known.join(", ")))
                    .help("a file of yours runs by its path: `local(\"./file.gguf\")`"))
            }
            Weights::File(path) if path.is_file() => Ok(path.clone()),
            Weights::File(path) if path.join("config.json").is_file() => Ok(path.clone()),
            Weights::File(path) if path.is_dir() => {
                Err(error(format!("{} is a folder without `config.json`", path.display()))
                    .help("name the .gguf file in it, or a folder as the Hugging Face hub has them"))
            }
            Weights::File(path) => Err(error(format!("there is no file {}", path.display()))
                .help("paths are relative to the .chain file; `chainrun models list` shows models that go by name")),
        }
    }

    fn service(&self) -> Result<Arc<Service>, ProviderError> {
        let mut kept = self.service.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(service) = &*kept {
            return Ok(Arc::clone(service));
        }
        let path = self.path()?;
        let service = Service::open(&path, self.threads).map_err(|e| self.error(e))?;
        Ok(Arc::clone(kept.insert(service)))
    }

    fn error(&self, error: EngineError) -> ProviderError {
        let kind = match error {
            EngineError::Io(_) | EngineError::Damaged(_) | EngineError::Unsupported(_) => ErrorKind::Weights,
            EngineError::Prompt(_) => ErrorKind::Prompt,
            EngineError::Memory(_) => ErrorKind::Weights,
            EngineError::Full | EngineError::NotFinite | EngineError::Constraint(_) => ErrorKind::Broken,
            EngineError::Stopped => ErrorKind::Cancelled,
        };
        ProviderError::new(kind, format!("`{}`: {error}", self.model))
    }

    /// Tokens of prompt and answer together.
    fn window(&self, about: &Description) -> Result<usize, ProviderError> {
        let most = about.shape.context;
        match self.context_size {
            Some(n) if n > most => Err(ProviderError::new(
                ErrorKind::Prompt,
                format!("`num_ctx: {n}`: `{}` has a context of {most} tokens", self.model),
            )),
            chosen => Ok(chosen.unwrap_or(most)),
        }
    }

    /// Refuses a prompt that leaves no room for an answer, with what each part takes.
    fn check_size(&self, about: &Description, request: &Request, count: usize) -> Result<(), ProviderError> {
        let window = self.window(about)?;
        if count < window {
            return Ok(());
        }
        let message =
            format!("the prompt has {count} tokens, and the context of `{}` is {window} with the answer", self.model);
        let mut error = ProviderError::new(ErrorKind::Overflow, message);
        if let RequestInput::Messages(messages) = &request.input {
            for m in messages {
                let tokens = about.tokenizer.encode_text(&m.text).len();
                error = error.help(format!("the {} message has {tokens} tokens", m.role.name()));
            }
        }
        Err(error)
    }

    async fn pull(&self, entry: &'static Entry, sink: &mut Sink) -> Result<(), ProviderError> {
        let (events, mut news) = tokio::sync::mpsc::channel(64);
        // Where the reader is slow, news of progress are dropped: later ones say more.
        let mut report = move |event| drop(events.try_send(event));
        let work = models::pull(entry, &self.context, &mut report);
        tokio::pin!(work);
        let result = loop {
            tokio::select! {
                Some(event) = news.recv() => show(entry, event, sink).await?,
                result = &mut work => break result,
            }
        };
        result.map(drop).map_err(|e| {
            let error = ProviderError::new(ErrorKind::Weights, e.message);
            e.help.into_iter().fold(error, ProviderError::help)
        })
    }
}

/// What tells a file, or a folder's files, from what they were: size and time of the last change.
fn stamp(path: &std::path::Path) -> Option<String> {
    let mut files: Vec<PathBuf> = match std::fs::read_dir(path) {
        Ok(entries) => entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.is_file()).collect(),
        Err(_) => vec![path.to_owned()],
    };
    files.sort();
    let one = |path: PathBuf| {
        let about = std::fs::metadata(&path).ok()?;
        let changed = about.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(format!("{} {} {}", path.display(), about.len(), changed.as_nanos()))
    };
    Some(files.into_iter().map(one).collect::<Option<Vec<_>>>()?.join("; "))
}

/// Tells the person what a fetch does.
async fn show(entry: &Entry, event: PullEvent, sink: &mut Sink) -> Result<(), ProviderError> {
    match event {
        PullEvent::Trying(source) => {
            let (name, size, licence) = (entry.name, entry.size / 1_000_000, entry.licence);
            sink.notice(&format!("fetching {name} ({size} MB, licence {licence}) from {source}")).await?;
        }
        PullEvent::Progress { done, total } => sink.progress(entry.name, done, Some(total)).await?,
        PullEvent::Failed(source, reason) => sink.notice(&format!("{source} gave nothing: {reason}")).await?,
        PullEvent::Waiting => sink.notice(&format!("waiting for another process that fetches {}", entry.name)).await?,
    }
    Ok(())
}

/// The stretches of a prompt in a named format. The vocabulary says whether a sequence has a first token, and writes it once.
///
/// # Errors
/// The format has no form for the conversation.
fn in_format(about: &Description, format: &Format, messages: &[Message]) -> Result<Vec<Span>, ProviderError> {
    let begins = about.tokenizer.control_in(format.begin) == Some(format.begin);
    let begin = begins.then(|| Span::new(format.begin, true));
    let segments = format.segments(messages)?;
    Ok(begin.into_iter().chain(segments.iter().map(|s| Span::new(s.text.as_str(), !s.from_value))).collect())
}

/// The stretches of a prompt. Only the model's template and the file's own raw text may hold control tokens.
fn spans(about: &Description, request: &Request) -> Result<Vec<Span>, EngineError> {
    match &request.input {
        RequestInput::Raw(segments) => Ok(segments.iter().map(|s| Span::new(s.text.as_str(), !s.from_value)).collect()),
        RequestInput::Messages(messages) => match about.template(None) {
            Some(template) => {
                let turn = |m: &Message| Turn { role: m.role.name().to_owned(), text: m.text.clone() };
                let turns: Vec<Turn> = messages.iter().map(turn).collect();
                template.render(&turns, |text| about.tokenizer.control_in(text).is_some())
            }
            None => Ok(vec![Span::new(plain(messages), false)]),
        },
    }
}

/// How likely a token was, as events have it.
fn likelihood(token: &Likelihood) -> serde_json::Value {
    let one = |token: &str, logprob: f64| serde_json::json!({ "token": token, "logprob": logprob });
    let mut out = one(&token.token, token.logprob);
    out["top_logprobs"] = token.top.iter().map(|(token, logprob)| one(token, *logprob)).collect();
    out
}

/// Messages for a model without a chat template.
fn plain(messages: &[Message]) -> String {
    match messages {
        [one] => one.text.clone(),
        _ => messages.iter().map(|m| format!("{}: {}", m.role.name(), m.text)).collect::<Vec<_>>().join("\n\n"),
    }
}

impl Provider for Local {
    fn caps(&self) -> Caps {
        let service = self.service.lock().unwrap_or_else(PoisonError::into_inner);
        let context = service.as_ref().map(|s| s.description.shape.context as u64);
        Caps { concurrency: crate::engine::MOST_ACTIVE, context }
    }

    fn prepare(&self, request: &Request) -> Result<Prepared, ProviderError> {
        if let RequestInput::Messages(messages) = &request.input
            && let Some(image) = messages.iter().find_map(|m| m.images.first())
        {
            let message = format!("a model inside the process sees no pictures, and the prompt shows `{}`", image.path);
            return Err(ProviderError::new(ErrorKind::Prompt, message)
                .help("take a model of a server that does: `ollama(\"gemma3\")`"));
        }
        if let RequestInput::Messages(messages) = &request.input {
            super::tools::none_in(messages, "a model inside the process")?;
        }
        let service = self.service()?;
        let about = &service.description;
        let spans = match (&request.input, self.instruct.format()) {
            (RequestInput::Messages(messages), Some(format)) => in_format(about, format, messages)?,
            _ => spans(about, request).map_err(|e| self.error(e))?,
        };
        let tokens = about.tokenizer.encode(&spans);
        if tokens.is_empty() {
            return Err(ProviderError::new(ErrorKind::Prompt, "the prompt is empty"));
        }
        self.check_size(about, request, tokens.len())?;
        options::biased(&self.bias, &about.tokenizer)?;
        Ok(Prepared::Text { text: spans.into_iter().map(|s| s.text).collect(), tokens })
    }

    fn fetch<'a>(&'a self, sink: &'a mut Sink) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move {
            match &self.weights {
                Weights::Named(entry) if self.path().is_err() && entry.size <= models::SELF_FETCH_LIMIT => {
                    self.pull(entry, sink).await
                }
                _ => self.path().map(drop),
            }
        })
    }

    fn generate<'a>(
        &'a self,
        request: &'a Request,
        prepared: &'a Prepared,
        sink: &'a mut Sink,
    ) -> BoxFuture<'a, Result<Answer, ProviderError>> {
        Box::pin(async move {
            let Prepared::Text { tokens, .. } = prepared else {
                return Err(ProviderError::new(ErrorKind::Prompt, "the call was prepared for another provider"));
            };
            let start = Instant::now();
            let service = self.service()?;
            let bias = options::biased(&self.bias, &service.description.tokenizer)?;
            let grammar = request.constraint.as_ref().map(Grammar::new).transpose();
            let job = Job {
                tokens: tokens.clone(),
                sampling: Sampling { logit_bias: bias, ..self.sampling.clone() },
                max_tokens: self.max_tokens,
                context: self.window(&service.description)?,
                stop: self.stop.clone(),
                grammar: grammar.map_err(|why| ProviderError::new(ErrorKind::Refused, why.to_string()))?,
                chances: self.chances,
            };
            let mut running = service.start(job);
            let mut text = String::new();
            while let Some(piece) = running.next().await {
                match piece {
                    Piece::Text(piece) => {
                        sink.text(&piece).await?;
                        text.push_str(&piece);
                    }
                    Piece::Likely(tokens) => sink.logprobs(&tokens.iter().map(likelihood).collect()).await?,
                    Piece::Done { tokens: count, cached, stopped } => {
                        return Ok(Answer {
                            text,
                            reasoning: None,
                            tool_calls: Vec::new(),
                            model: self.model.clone(),
                            finish: if stopped { Finish::Stop } else { Finish::Length },
                            usage: Usage {
                                input: Some(tokens.len() as u64),
                                output: Some(count as u64),
                                cached: Some(cached as u64),
                            },
                            seconds: start.elapsed().as_secs_f64(),
                        });
                    }
                    Piece::Failed(error) => return Err(self.error(error)),
                }
            }
            // The thread is gone: the next call starts another.
            *self.service.lock().unwrap_or_else(PoisonError::into_inner) = None;
            Err(ProviderError::new(ErrorKind::Broken, format!("`{}`: the model's thread ended", self.model)))
        })
    }

    fn weights(&self) -> Option<String> {
        match &self.weights {
            Weights::Unknown(_) => None,
            Weights::Named(entry) => Some(entry.sha256.to_owned()),
            // To read a whole file for its digest would take longer than many an answer.
            Weights::File(path) => stamp(path),
        }
    }

    fn missing(&self) -> Option<String> {
        let error = self.path().err()?;
        Some(match error.help.first() {
            Some(help) => format!("{}; {help}", error.message),
            None => error.message,
        })
    }
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
