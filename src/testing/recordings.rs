//! Recorded calls of a file's tests: which answer is replayed, which call is made and recorded, and what is missing.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::clock::Clock;
use crate::providers::{BoxFuture, ErrorKind, ProviderError};
use crate::recording::{Call, Found, ReadError, Recorded, Tape};
use crate::run::{Playback, Recordable, Ticket};

/// Where answers come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recorder {
    /// From recordings alone: what is not recorded is an error, and nothing is called.
    Replay,
    /// From recordings; what is not recorded is called, and recorded.
    Auto,
    /// From models, each call once, and recorded.
    Record,
    /// From models; recordings are neither read nor written.
    #[default]
    Live,
}

/// The recordings of the tests of one file.
pub struct Recordings {
    mode: Recorder,
    tape: Tape,
    /// What was recorded by this process: asked again, it is not called again.
    made: RefCell<HashSet<String>>,
    /// What keeps the same call from being made by two cases at once.
    turns: RefCell<HashMap<String, Arc<Mutex<()>>>>,
    /// Calls that were made since nothing was recorded of them, with what was nearest.
    anew: RefCell<Vec<Call>>,
}

/// An answer that nothing asks for any more.
pub struct Unused {
    /// The answer.
    pub recorded: Recorded,
    /// What is asked in its place, where something alike is.
    pub now: Option<String>,
}

impl Recordings {
    /// The recordings of the tests of the chain file at `file`.
    ///
    /// # Errors
    /// They cannot be read. `Live` reads nothing.
    pub fn of(file: &Path, mode: Recorder) -> Result<Option<Rc<Self>>, ReadError> {
        if mode == Recorder::Live {
            return Ok(None);
        }
        let tape = Tape::open(Tape::path_of(file))?;
        let (made, turns, anew) = (RefCell::default(), RefCell::default(), RefCell::default());
        Ok(Some(Rc::new(Self { mode, tape, made, turns, anew })))
    }

    /// Writes what was recorded, so that nothing of a case that ended is lost.
    ///
    /// # Errors
    /// The file cannot be written, in words.
    pub fn save(&self) -> Result<(), String> {
        let path = self.tape.path().display();
        self.tape.save().map_err(|e| match e {
            ReadError::Io(e) => format!("the recordings {path} cannot be written: {e}"),
            ReadError::Line { line, why } => {
                format!("the recordings {path} changed meanwhile, and line {line} is none: {why}; nothing is written")
            }
        })
    }

    /// The answers that nothing asked for, with what is asked now in their places.
    pub fn unused(&self) -> Vec<Unused> {
        let mut anew = self.anew.borrow().clone();
        let with_now = |recorded: Recorded| {
            let old = recorded.asked.text();
            let own =
                |call: &Call| call.name == recorded.name && (call.run, call.time) == (recorded.run, recorded.time);
            let near = anew.iter().position(|call| own(call) && similar(&call.asked.text(), &old));
            let now = near.map(|at| anew.remove(at).asked.text());
            Unused { recorded, now }
        };
        self.tape.unused().into_iter().map(with_now).collect()
    }

    /// Takes answers out; [`Recordings::save`] writes that.
    pub fn remove(&self, which: &[Unused]) {
        self.tape.remove(&which.iter().map(|u| u.recorded.clone()).collect::<Vec<_>>());
    }

    /// Where answers come from.
    pub fn mode(&self) -> Recorder {
        self.mode
    }

    /// Their file.
    pub fn path(&self) -> &Path {
        self.tape.path()
    }

    fn turn(&self, key: &str) -> Arc<Mutex<()>> {
        self.turns.borrow_mut().entry(key.to_owned()).or_default().clone()
    }

    async fn playback(&self, asked: Recordable) -> (Playback, Option<Miss>) {
        let Recordable { call, weights } = asked;
        let key = call.key();
        // An embedder is asked for many texts at once, and waits for no other.
        let turn = match call.asked.embed {
            Some(_) => None,
            None => Some(self.turn(&key).lock_owned().await),
        };
        let found = match self.mode == Recorder::Record && !self.made.borrow().contains(&key) {
            true => Found::Nothing,
            false => self.tape.find(&call, weights.as_deref()),
        };
        let stale = match found {
            Found::Answer(recorded) => return (Playback::Answer(recorded), None),
            Found::Stale(then) => Some((then, weights.clone().unwrap_or_default())),
            Found::Nothing => None,
        };
        if self.mode != Recorder::Replay {
            self.anew.borrow_mut().push(call.clone());
            let ticket = Ticket { call, weights, held: Box::new(turn) };
            return (Playback::Make(Box::new(ticket)), None);
        }
        let near = if stale.is_some() { None } else { self.tape.nearest(&call) };
        let miss = Miss::of(&call, near.as_ref(), stale);
        let error = ProviderError::new(ErrorKind::Unrecorded, miss.why.clone());
        (Playback::Missing(error), Some(miss))
    }

    fn record(&self, ticket: &Ticket, answer: Recorded, seconds: f64) {
        self.made.borrow_mut().insert(ticket.call.key());
        self.tape.add(answer.answers(&ticket.call, ticket.weights.clone(), seconds));
    }
}

/// Whether one prompt can have become the other: most of their lines or words are the same.
fn similar(a: &str, b: &str) -> bool {
    similar::TextDiff::from_words(a, b).ratio() >= 0.5
}

/// What records a call.
const ANEW: &str = "`--recordings auto` calls the model and records it";

/// A call that is not recorded.
#[derive(Clone, Debug)]
pub struct Miss {
    /// Why, in words.
    pub why: String,
    /// The nearest call that is recorded, as text.
    pub nearest: String,
    /// The call, as text.
    pub asked: String,
}

impl Miss {
    fn of(call: &Call, near: Option<&Recorded>, stale: Option<(String, String)>) -> Self {
        let who = format!("`{}` ({} {:?})", call.name, call.provider, call.model);
        if let Some((then, now)) = stale {
            let short = |digest: &str| digest.chars().take(12).collect::<String>();
            let why = format!(
                "the recording of this call of {who} is stale: the weights {} answered, and they are {} now; {ANEW}",
                short(&then),
                short(&now)
            );
            return Self { why, nearest: String::new(), asked: String::new() };
        }
        let asked = shown(&call.provider, &call.model, &call.options, &call.asked, (call.run, call.time));
        match near {
            None => {
                let why = format!("this call of {who} is not recorded, and no other is; {ANEW}");
                Self { why, nearest: String::new(), asked }
            }
            Some(near) => {
                let nearest = shown(&near.provider, &near.model, &near.options, &near.asked, (near.run, near.time));
                let why = format!("this call of {who} is not recorded; {ANEW}; the nearest that is differs so");
                Self { why, nearest, asked }
            }
        }
    }
}

/// A call as a person compares it with another.
fn shown(
    provider: &str,
    model: &str,
    options: &serde_json::Map<String, serde_json::Value>,
    asked: &crate::recording::Asked,
    (run, time): (u32, u32),
) -> String {
    let mut all: Vec<String> = options.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    all.sort();
    let mut lines = vec![format!("{provider} {model:?}")];
    lines.extend(all);
    if let Some(parser) = &asked.parser {
        lines.push(format!("held to {parser}"));
    }
    if run > 1 {
        lines.push(format!("run {run}"));
    }
    if time > 1 {
        lines.push(format!("time {time} of this call"));
    }
    lines.push(asked.text());
    lines.join("\n")
}

/// How many calls of a run were answered, and by what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of models, by recordings.
    pub replayed: u64,
    /// Texts whose vectors were recorded.
    pub vectors: u64,
    /// Calls of models and texts of embedders that were really made.
    pub called: u64,
}

/// The recordings as one run of a case uses them.
pub struct Deck {
    recordings: Rc<Recordings>,
    run: u32,
    clock: Rc<Clock>,
    /// How often each call was asked.
    times: RefCell<HashMap<String, u32>>,
    misses: RefCell<Vec<Miss>>,
    replayed: Cell<u64>,
    vectors: Cell<u64>,
    called: Cell<u64>,
}

impl Deck {
    /// For the run of this number, from 1.
    pub fn new(recordings: Rc<Recordings>, run: Option<u32>, clock: Rc<Clock>) -> Self {
        let (times, misses) = (RefCell::default(), RefCell::default());
        Self {
            recordings,
            run: run.unwrap_or(1),
            clock,
            times,
            misses,
            replayed: Cell::new(0),
            vectors: Cell::new(0),
            called: Cell::new(0),
        }
    }

    /// What was missing.
    pub fn misses(&self) -> Vec<Miss> {
        self.misses.borrow().clone()
    }

    /// How many calls were answered, and by what.
    pub fn counts(&self) -> Counts {
        Counts { replayed: self.replayed.get(), vectors: self.vectors.get(), called: self.called.get() }
    }

    /// What is recorded of a call. A recorded answer takes the time that it took, of the run's own clock.
    pub fn recorded(&self, mut asked: Recordable) -> BoxFuture<'_, Playback> {
        Box::pin(async move {
            // The vector of a text is the same in every run.
            let is_vector = asked.call.asked.embed.is_some();
            if !is_vector {
                asked.call.run = self.run;
                let mut times = self.times.borrow_mut();
                let time = times.entry(asked.call.key()).or_insert(0);
                *time += 1;
                asked.call.time = *time;
            }
            let (playback, miss) = self.recordings.playback(asked).await;
            self.misses.borrow_mut().extend(miss);
            match playback {
                Playback::Answer(recorded) if is_vector => {
                    self.vectors.set(self.vectors.get() + 1);
                    Playback::Answer(recorded)
                }
                Playback::Answer(recorded) => {
                    self.replayed.set(self.replayed.get() + 1);
                    self.clock.pass(recorded.seconds()).await;
                    Playback::Answer(recorded)
                }
                Playback::Make(mut ticket) => {
                    ticket.held = Box::new((ticket.held, self.clock.busy()));
                    Playback::Make(ticket)
                }
                playback => playback,
            }
        })
    }

    /// A call that was not recorded was answered.
    pub fn record(&self, ticket: &Ticket, answer: Recorded, seconds: f64) {
        self.called.set(self.called.get() + 1);
        self.recordings.record(ticket, answer, seconds);
    }
}
