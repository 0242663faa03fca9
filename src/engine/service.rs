//! Loaded models as services: one thread a file takes jobs from a queue. Callers that name the same file share it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak, mpsc};
use std::time::SystemTime;

use super::checkpoint::Checkpoint;
use super::constraint::Grammar;
use super::error::EngineError;
use super::gguf::Gguf;
use super::hub::{self, Hub};
use super::model::Model;
use super::sampler::Sampling;
use super::scheduler::{Order, Scheduler};
use super::shape::Shape;
use super::template::ChatTemplate;
use super::tokenizer::Tokenizer;
use super::tokenizer_config::chat_template;

/// Where a chat template comes from.
enum Template {
    None,
    /// Text, first and last token.
    Text([String; 3]),
    /// The texts of `chat_template.jinja` and `tokenizer_config.json`.
    Folder(Option<String>, Option<String>),
}

/// What a file says besides its weights: enough to prepare a prompt.
pub struct Description {
    /// The shape of the decoder.
    pub shape: Shape,
    /// Its vocabulary.
    pub tokenizer: Tokenizer,
    template: Template,
    checkpoint: Checkpoint,
}

impl Description {
    /// Reads the file or folder at `path` without its weights.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or holds a model that this engine does not run.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let checkpoint = Checkpoint::open(path)?;
        let shape = checkpoint.shape()?;
        let (tokenizer, template) = match &checkpoint {
            Checkpoint::Gguf(gguf) => of_gguf(gguf)?,
            Checkpoint::Hub(hub) => of_folder(path, hub)?,
        };
        Ok(Self { shape, tokenizer, template, checkpoint })
    }

    /// The chat template, given a date for templates that ask for one.
    pub fn template(&self, date: Option<[i32; 3]>) -> Option<ChatTemplate> {
        match &self.template {
            Template::None => None,
            Template::Text([source, begin, end]) => Some(ChatTemplate::new(source, begin, end, date)),
            // That it can be read was seen when the folder was opened.
            Template::Folder(jinja, config) => chat_template(jinja.as_deref(), config.as_deref(), date).ok().flatten(),
        }
    }

    /// Loads the weights with some threads.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load(&self, threads: usize) -> Result<Model, EngineError> {
        Model::load(&self.checkpoint, threads)
    }

    /// Bytes of all weights in their files.
    pub fn weight_bytes(&self) -> u64 {
        self.checkpoint.bytes()
    }
}

fn of_gguf(gguf: &Gguf) -> Result<(Tokenizer, Template), EngineError> {
    let tokenizer = Tokenizer::read(gguf)?;
    let token = |name: &str| {
        let id = gguf.uint(&format!("tokenizer.ggml.{name}_token_id"));
        id.map_or_else(String::new, |id| tokenizer.text(id as u32).to_owned())
    };
    let template = match gguf.text("tokenizer.chat_template") {
        Some(text) => Template::Text([text.to_owned(), token("bos"), token("eos")]),
        None => Template::None,
    };
    Ok((tokenizer, template))
}

fn of_folder(path: &Path, hub: &Hub) -> Result<(Tokenizer, Template), EngineError> {
    let text = |name: &str| hub::text(&path.join(name));
    let Some(tokenizer) = text("tokenizer.json")? else {
        return Err(EngineError::Unsupported("a folder without `tokenizer.json`".to_owned()));
    };
    // What ends an answer stands in the newer file, or in the older one: a number or a list of numbers.
    let generation = text("generation_config.json")?.and_then(|t| serde_json::from_str::<serde_json::Value>(&t).ok());
    let ends = generation.as_ref().and_then(|g| g.get("eos_token_id")).or_else(|| hub.config.get("eos_token_id"));
    let ends: Vec<u32> = match ends {
        Some(serde_json::Value::Array(all)) => {
            all.iter().filter_map(serde_json::Value::as_u64).map(|n| n as u32).collect()
        }
        Some(one) => one.as_u64().map(|n| n as u32).into_iter().collect(),
        None => Vec::new(),
    };
    let (jinja, config) = (text("chat_template.jinja")?, text("tokenizer_config.json")?);
    let template = match chat_template(jinja.as_deref(), config.as_deref(), None)? {
        Some(_) => Template::Folder(jinja, config),
        None => Template::None,
    };
    Ok((Tokenizer::from_json(&tokenizer, &ends)?, template))
}

/// A wish for an answer.
pub struct Job {
    /// The prompt.
    pub tokens: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Tokens of the answer at most.
    pub max_tokens: usize,
    /// Tokens of prompt and answer at most.
    pub context: usize,
    /// Texts that end the answer and are not part of it.
    pub stop: Vec<String>,
    /// What the answer must obey.
    pub grammar: Option<Grammar>,
    /// Whether to tell how likely each token was, with so many of the likeliest in its place.
    pub chances: Option<usize>,
}

/// How likely a token was among those that were allowed in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Likelihood {
    /// Its text.
    pub token: String,
    /// The natural logarithm of its probability.
    pub logprob: f64,
    /// The likeliest tokens in its place, likewise.
    pub top: Vec<(String, f64)>,
}

/// What comes back of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// More of the answer.
    Text(String),
    /// How likely the next tokens of the answer were; before their text.
    Likely(Vec<Likelihood>),
    /// The answer is complete.
    Done {
        /// Tokens of the answer.
        tokens: usize,
        /// Tokens of the prompt whose keys and values were there already.
        cached: usize,
        /// Whether it ended by itself, not by a limit.
        stopped: bool,
    },
    /// It failed.
    Failed(EngineError),
}

/// A running job: read its pieces; dropping it cancels the job.
pub struct Running {
    pieces: tokio::sync::mpsc::Receiver<Piece>,
    cancelled: Arc<AtomicBool>,
}

impl Running {
    /// The next piece; nothing after [`Piece::Done`] or [`Piece::Failed`].
    pub async fn next(&mut self) -> Option<Piece> {
        self.pieces.recv().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// Pieces that may wait for a slow reader.
const BUFFER: usize = 64;

/// A model file in use.
pub struct Service {
    /// What the file says.
    pub description: Arc<Description>,
    orders: mpsc::Sender<Order>,
}

/// A file as it was when it was opened.
type Key = (PathBuf, u64, Option<SystemTime>, usize);

static SERVICES: OnceLock<Mutex<HashMap<Key, Weak<Service>>>> = OnceLock::new();

impl Service {
    /// The service of a file; several callers get the same one while any of them holds it. The weights are read with the
    /// first job.
    ///
    /// # Errors
    /// As [`Description::open`].
    pub fn open(path: &Path, threads: usize) -> Result<Arc<Self>, EngineError> {
        let real = path.canonicalize().map_err(|e| EngineError::io(path, &e))?;
        let about = real.metadata().map_err(|e| EngineError::io(path, &e))?;
        let key = (real, about.len(), about.modified().ok(), threads);
        let mut services = SERVICES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(service) = services.get(&key).and_then(Weak::upgrade) {
            return Ok(service);
        }
        services.retain(|_, s| s.strong_count() > 0);
        // The same file with another number of threads has the same description.
        let same = services.iter().find(|(k, _)| (&k.0, k.1, k.2) == (&key.0, key.1, key.2));
        let description = match same.and_then(|(_, s)| s.upgrade()) {
            Some(service) => Arc::clone(&service.description),
            None => Arc::new(Description::open(&key.0)?),
        };
        let (orders, queue) = mpsc::channel();
        let about = Arc::clone(&description);
        std::thread::Builder::new()
            .name("model".to_owned())
            .spawn(move || Scheduler::new(about, threads).serve(&queue))
            .map_err(|e| EngineError::Io(format!("no thread for the model: {e}")))?;
        let service = Arc::new(Self { description, orders });
        services.insert(key, Arc::downgrade(&service));
        Ok(service)
    }

    /// Puts a job into the queue.
    pub fn start(&self, job: Job) -> Running {
        let (reply, pieces) = tokio::sync::mpsc::channel(BUFFER);
        let cancelled = Arc::new(AtomicBool::new(false));
        // Where the thread is gone, the reply's end is dropped here and the reader sees the end at once.
        let _ = self.orders.send(Order { job, reply, cancelled: Arc::clone(&cancelled) });
        Running { pieces, cancelled }
    }
}
