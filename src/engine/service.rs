//! Loaded models as services: one thread a file takes jobs from a queue. Callers that name the same file share it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak, mpsc};
use std::time::SystemTime;

use super::error::EngineError;
use super::forward::{CHUNK, Kv, Runner, Want};
use super::gguf::Gguf;
use super::model::{Model, Shape};
use super::sampler::{Sampler, Sampling};
use super::template::ChatTemplate;
use super::tokenizer::{Decoder, Tokenizer};

/// What a file says besides its weights: enough to prepare a prompt.
pub struct Description {
    /// The shape of the decoder.
    pub shape: Shape,
    /// Its vocabulary.
    pub tokenizer: Tokenizer,
    /// Its chat template, where it has one: text, first and last token.
    template: Option<[String; 3]>,
    gguf: Gguf,
}

impl Description {
    /// Reads the file at `path` without its weights.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or holds a model that this engine does not run.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let gguf = Gguf::open(path)?;
        let shape = Shape::read(&gguf)?;
        let tokenizer = Tokenizer::read(&gguf)?;
        let token = |name: &str| {
            let id = gguf.uint(&format!("tokenizer.ggml.{name}_token_id"));
            id.map_or_else(String::new, |id| tokenizer.text(id as u32).to_owned())
        };
        let template = gguf.text("tokenizer.chat_template").map(|t| [t.to_owned(), token("bos"), token("eos")]);
        Ok(Self { shape, tokenizer, template, gguf })
    }

    /// The chat template, given a date for templates that ask for one.
    pub fn template(&self, date: Option<[i32; 3]>) -> Option<ChatTemplate> {
        self.template.as_ref().map(|[source, begin, end]| ChatTemplate::new(source, begin, end, date))
    }

    /// Loads the weights.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load(&self) -> Result<Model, EngineError> {
        Model::load(&self.gguf)
    }
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
}

/// What comes back of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// More of the answer.
    Text(String),
    /// The answer is complete.
    Done {
        /// Tokens of the answer.
        tokens: usize,
        /// Whether it ended by itself, not by a limit.
        stopped: bool,
    },
    /// It failed.
    Failed(EngineError),
}

type Reply = tokio::sync::mpsc::Sender<Piece>;

struct Order {
    job: Job,
    reply: Reply,
    cancelled: Arc<AtomicBool>,
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
            .spawn(move || serve(&about, &queue, threads))
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

/// The life of a model's thread.
fn serve(description: &Description, queue: &mpsc::Receiver<Order>, threads: usize) {
    let mut runner = Runner::new(threads);
    let mut kv = Kv::default();
    let mut model = None;
    while let Ok(order) = queue.recv() {
        if order.cancelled.load(Ordering::Relaxed) {
            continue;
        }
        let last = match load_once(description, &mut model)
            .and_then(|m| answer(m, description, &mut runner, &mut kv, &order))
        {
            Ok(done) => done,
            Err(error) => Piece::Failed(error),
        };
        // The reader may be gone: then nobody wants to know.
        let _ = order.reply.blocking_send(last);
    }
}

fn load_once<'m>(description: &Description, model: &'m mut Option<Model>) -> Result<&'m Model, EngineError> {
    let loaded = match model.take() {
        Some(loaded) => loaded,
        None => description.load()?,
    };
    Ok(model.insert(loaded))
}

/// Computes one answer. Keys and values of tokens that the last job had in common are used again; the contract makes
/// that invisible in the result.
fn answer(
    model: &Model,
    about: &Description,
    runner: &mut Runner,
    kv: &mut Kv,
    order: &Order,
) -> Result<Piece, EngineError> {
    let job = &order.job;
    let stop = || order.cancelled.load(Ordering::Relaxed);
    let shared = kv.tokens().iter().zip(&job.tokens).take_while(|(a, b)| a == b).count();
    kv.truncate(shared.min(job.tokens.len().saturating_sub(1)));
    let rest = job.tokens.get(kv.tokens().len()..).unwrap_or(&[]);
    let mut logits = runner.forward(model, kv, rest, Want::Last, CHUNK, &stop)?;
    let mut sampler = Sampler::new(job.sampling.clone(), &job.tokens);
    let mut text = Stops::new(&job.stop);
    let most = job.max_tokens.min(job.context.saturating_sub(job.tokens.len()));
    let send = |piece: String| {
        let sent = piece.is_empty() || order.reply.blocking_send(Piece::Text(piece)).is_ok();
        if sent { Ok(()) } else { Err(EngineError::Stopped) }
    };
    let mut count = 0;
    let mut stopped = false;
    while count < most {
        let token = sampler.next(&mut logits);
        if about.tokenizer.is_end(token) {
            stopped = true;
            break;
        }
        count += 1;
        let (piece, met) = text.push(about.tokenizer.bytes(token));
        send(piece)?;
        if met {
            return Ok(Piece::Done { tokens: count, stopped: true });
        }
        if count < most {
            logits = runner.forward(model, kv, &[token], Want::Last, CHUNK, &stop)?;
        }
    }
    let (piece, met) = text.finish();
    send(piece)?;
    Ok(Piece::Done { tokens: count, stopped: stopped || met })
}

/// Text on its way out: holds back what may be the beginning of a stop string.
pub struct Stops<'a> {
    stops: &'a [String],
    decoder: Decoder,
    held: String,
}

impl<'a> Stops<'a> {
    /// Nothing yet.
    pub fn new(stops: &'a [String]) -> Self {
        Self { stops, decoder: Decoder::default(), held: String::new() }
    }

    /// The text that is safe to pass on after some more bytes, and whether a stop string was met.
    pub fn push(&mut self, bytes: &[u8]) -> (String, bool) {
        let text = self.decoder.push(bytes);
        self.held.push_str(&text);
        self.release(false)
    }

    /// The rest.
    pub fn finish(&mut self) -> (String, bool) {
        let text = self.decoder.finish();
        self.held.push_str(&text);
        self.release(true)
    }

    fn release(&mut self, all: bool) -> (String, bool) {
        let stops = self.stops.iter().filter(|s| !s.is_empty());
        if let Some(at) = stops.clone().filter_map(|s| self.held.find(s.as_str())).min() {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let begins = |at: usize| stops.clone().any(|s| s.starts_with(&self.held[at..]));
        let longest = stops.clone().map(String::len).max().unwrap_or(0);
        let from = self.held.len().saturating_sub(longest);
        let keep = (from..self.held.len()).find(|at| self.held.is_char_boundary(*at) && begins(*at));
        match keep {
            Some(at) if !all => {
                let rest = self.held.split_off(at);
                (std::mem::replace(&mut self.held, rest), false)
            }
            _ => (std::mem::take(&mut self.held), false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_strings_are_met_across_pieces() {
        let stops = ["\nEND".to_owned(), "x".to_owned()];
        let mut s = Stops::new(&stops);
        assert_eq!(s.push(b"one\nE"), ("one".into(), false));
        assert_eq!(s.push(b"Q\n"), ("\nEQ".into(), false));
        assert_eq!(s.push(b"EN"), (String::new(), false));
        assert_eq!(s.push(b"D more"), (String::new(), true));
        let mut s = Stops::new(&stops);
        assert_eq!(s.push(b"\nEN"), (String::new(), false));
        assert_eq!(s.finish(), ("\nEN".into(), false));
    }

    /// However the bytes of an answer are cut into tokens, the text is the same, every piece holds whole characters, and a
    /// stop string ends it at the same place.
    #[test]
    fn cuts_between_tokens_do_not_matter() {
        let text = "감자 🥔👩‍🌾 e\u{301} 👋🏽 STOP더";
        let stops = ["STOP".to_owned(), "TOP더!".to_owned()];
        let mut state = 1_u32;
        for _ in 0..2000 {
            let mut s = Stops::new(&stops);
            let (mut out, mut at, mut ended) = (String::new(), 0, false);
            while at < text.len() && !ended {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let end = (at + 1 + (state >> 24) as usize % 7).min(text.len());
                let (piece, met) = s.push(&text.as_bytes()[at..end]);
                assert!(!piece.contains('\u{fffd}') && text.contains(&piece));
                out.push_str(&piece);
                (at, ended) = (end, met);
            }
            assert!(ended);
            assert_eq!(out, "감자 🥔👩‍🌾 e\u{301} 👋🏽 ");
        }
    }

    #[test]
    fn characters_come_whole() {
        let mut s = Stops::new(&[]);
        assert_eq!(s.push(&[0xed, 0x95]), (String::new(), false));
        assert_eq!(s.push(&[0x9c]), ("한".into(), false));
        assert_eq!(s.push(&[0xff, b'a', 0xed]), ("\u{fffd}a".into(), false));
        assert_eq!(s.finish(), ("\u{fffd}".into(), false));
    }
}
