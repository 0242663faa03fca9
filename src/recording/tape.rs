//! The recordings of a file's tests: an answer is found by the whole call, so that each other call is asked anew.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::{Map, Value as Json, json};

use super::nearest::alike;
use super::{Asked, ReadError, Recorded, entries};
use crate::store::{digest, write_whole};

/// The end of the name of a file's recordings, in the place of `chain`.
const END: &str = "recordings.jsonl";

/// A call: what an answer is found again by. No address and no secret is part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The model's name in the file; it does not count.
    pub name: String,
    /// The provider's name.
    pub provider: String,
    /// The model that is asked for.
    pub model: String,
    /// The options that change the answer, by their own names.
    pub options: Map<String, Json>,
    /// What is asked. Its `parser` is what the model is held to.
    pub asked: Asked,
    /// Which run of a case asks, from 1.
    pub run: u32,
    /// Which of the same calls of one run it is, from 1.
    pub time: u32,
}

impl Call {
    /// The digest that its answer is found by.
    pub fn key(&self) -> String {
        key(&self.provider, &self.model, &self.options, &self.asked, (self.run, self.time))
    }
}

impl Recorded {
    /// The same as the answer to a call; `weights` is the digest of the weights that answered, where it is known.
    #[must_use]
    pub fn answers(self, call: &Call, weights: Option<String>, seconds: f64) -> Self {
        // Milliseconds are as fine as anybody asks, and keep lines short.
        let seconds = call.asked.embed.is_none().then_some((seconds * 1000.0).round() / 1000.0);
        let answer = super::Kept { seconds, ..self.answer };
        let asked = call.asked.clone();
        Self { asked, run: call.run, time: call.time, weights, answer, ..self }
    }

    /// How long the answer took, in seconds.
    pub fn seconds(&self) -> f64 {
        self.answer.seconds.unwrap_or(0.0)
    }

    fn key(&self) -> String {
        key(&self.provider, &self.model, &self.options, &self.asked, (self.run, self.time))
    }

    /// What the lines of a file are sorted by: a changed prompt moves its own line alone.
    fn place(&self, key: &str) -> (String, String, String, u32, u32, String) {
        let prompt = self.asked.text();
        (self.provider.clone(), self.model.clone(), prompt, self.run, self.time, key.to_owned())
    }
}

fn key(provider: &str, model: &str, options: &Map<String, Json>, asked: &Asked, (run, time): (u32, u32)) -> String {
    let mut options: Vec<(&str, Json)> = options.iter().map(|(name, value)| (name.as_str(), plain(value))).collect();
    options.sort_by(|a, b| a.0.cmp(b.0));
    digest(json!([provider, model, options, asked.key(), run, time]).to_string().as_bytes())
}

/// A number in one form, as 0 for 0.0.
fn plain(value: &Json) -> Json {
    match value.as_f64() {
        #[allow(clippy::cast_possible_truncation, reason = "it is whole and small")]
        Some(number) if number.fract() == 0.0 && number.abs() < 1e15 => Json::from(number as i64),
        _ => value.clone(),
    }
}

/// What is recorded of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Its answer.
    Answer(Box<Recorded>),
    /// An answer of other weights: their digest.
    Stale(String),
    /// Nothing.
    Nothing,
}

/// The recordings of a file's tests. It is saved whole or not at all, and takes up what another process saved meanwhile.
pub struct Tape {
    path: PathBuf,
    entries: RefCell<IndexMap<String, Recorded>>,
    /// What this process put in or, where there is none, took out.
    changes: RefCell<IndexMap<String, Option<Recorded>>>,
    used: RefCell<HashSet<String>>,
    /// The bytes that were last read or written.
    seen: RefCell<String>,
    cleaned: Cell<bool>,
}

impl Tape {
    /// Where the recordings of the tests of the chain file at `file` lie.
    pub fn path_of(file: &Path) -> PathBuf {
        file.with_extension(END)
    }

    /// The recordings at `path`; none where there is no such file.
    ///
    /// # Errors
    /// It cannot be read, or a line is none of a recording.
    pub fn open(path: PathBuf) -> Result<Self, ReadError> {
        let text = text_of(&path).map_err(ReadError::Io)?;
        let entries = parse(&text)?;
        Ok(Self {
            path,
            entries: RefCell::new(entries),
            changes: RefCell::default(),
            used: RefCell::default(),
            seen: RefCell::new(text),
            cleaned: Cell::new(false),
        })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The answer to a call. `weights` is the digest of the weights that would answer now, where it is known.
    pub fn find(&self, call: &Call, weights: Option<&str>) -> Found {
        let key = call.key();
        let entries = self.entries.borrow();
        let Some(found) = entries.get(&key) else { return Found::Nothing };
        self.used.borrow_mut().insert(key);
        match (&found.weights, weights) {
            (Some(then), Some(now)) if then != now => Found::Stale(then.clone()),
            _ => Found::Answer(Box::new(found.clone())),
        }
    }

    /// Puts an answer in.
    pub fn add(&self, recorded: Recorded) {
        let key = recorded.key();
        self.used.borrow_mut().insert(key.clone());
        self.entries.borrow_mut().insert(key.clone(), recorded.clone());
        self.changes.borrow_mut().insert(key, Some(recorded));
    }

    /// The recorded call that is most like this one: of its own model, where there is one.
    pub fn nearest(&self, call: &Call) -> Option<Recorded> {
        let text = call.asked.text();
        let entries = self.entries.borrow();
        let own = |e: &&Recorded| e.asked.embed.is_some() == call.asked.embed.is_some();
        let nearness = |e: &&Recorded| {
            let same = (e.provider == call.provider, e.model == call.model, e.name == call.name);
            (same.0 && same.1, alike(&e.asked.text(), &text), same.2, e.run == call.run, e.time == call.time)
        };
        entries.values().filter(own).max_by_key(nearness).cloned()
    }

    /// The answers that nothing asked for since it was opened, in the order of the file.
    pub fn unused(&self) -> Vec<Recorded> {
        let (entries, used) = (self.entries.borrow(), self.used.borrow());
        entries.iter().filter(|(key, _)| !used.contains(*key)).map(|(_, e)| e.clone()).collect()
    }

    /// Takes out what `which` says of, and tells how many that were.
    pub fn remove(&self, which: &[Recorded]) -> usize {
        let mut removed = 0;
        for recorded in which {
            let key = recorded.key();
            removed += usize::from(self.entries.borrow_mut().shift_remove(&key).is_some());
            self.changes.borrow_mut().insert(key, None);
        }
        removed
    }

    /// Writes what changed: whole or not at all, with what another process saved since.
    ///
    /// # Errors
    /// It cannot be written, or what another process left there is no recording.
    pub fn save(&self) -> Result<(), ReadError> {
        if self.changes.borrow().is_empty() {
            return Ok(());
        }
        // Whoever holds the folder's lock reads and writes alone. Where folders cannot be locked, files are still whole.
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let _lock = File::open(folder).and_then(|folder| folder.lock().map(|()| folder)).ok();
        if !self.cleaned.replace(true) {
            self.clean(folder);
        }
        let text = text_of(&self.path).map_err(ReadError::Io)?;
        if text != *self.seen.borrow() {
            let mut entries = parse(&text)?;
            for (key, change) in self.changes.borrow().iter() {
                match change {
                    Some(recorded) => drop(entries.insert(key.clone(), recorded.clone())),
                    None => drop(entries.shift_remove(key)),
                }
            }
            *self.entries.borrow_mut() = entries;
        }
        let mut entries = self.entries.borrow_mut();
        entries.sort_by_cached_key(|key, recorded| recorded.place(key));
        let mut text = String::new();
        for recorded in entries.values() {
            let line = serde_json::to_string(recorded).map_err(|e| ReadError::Io(io::Error::other(e)))?;
            text.push_str(&line);
            text.push('\n');
        }
        // What has no line any more needs no file.
        match text.is_empty() {
            true => std::fs::remove_file(&self.path).or_else(absent).map_err(ReadError::Io)?,
            false => write_whole(&self.path, text.as_bytes()).map_err(ReadError::Io)?,
        }
        *self.seen.borrow_mut() = text;
        self.changes.borrow_mut().clear();
        Ok(())
    }

    /// Removes what a process left that was killed while it wrote. Called with the lock, when nobody writes.
    fn clean(&self, folder: &Path) {
        let Some(name) = self.path.file_name().map(|n| format!("{}.part-", n.to_string_lossy())) else { return };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for left in entries.filter(|e| e.file_name().to_string_lossy().starts_with(&name)) {
            let _ = std::fs::remove_file(left.path());
        }
    }
}

fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn text_of(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path).or_else(|e| absent(e).map(|()| String::new()))
}

/// The answers of a file by their keys. Of two to one call, as a merge of two branches leaves them, the first counts.
fn parse(text: &str) -> Result<IndexMap<String, Recorded>, ReadError> {
    let mut all = IndexMap::new();
    for entry in entries(text) {
        let (_, recorded) = entry?;
        all.entry(recorded.key()).or_insert(recorded);
    }
    Ok(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::value::{Answer, Finish, Usage};

    fn call(prompt: &str, run: u32, time: u32) -> Call {
        let asked = Asked { messages: None, raw: Some(prompt.to_owned()), parser: None, embed: None };
        let options = [("temperature".to_owned(), json!(0))].into_iter().collect();
        let (provider, model) = ("ollama".to_owned(), "x".to_owned());
        Call { name: "m".to_owned(), provider, model, options, asked, run, time }
    }

    fn answer(call: &Call, text: &str, weights: Option<&str>) -> Recorded {
        let answer = Answer {
            text: text.to_owned(),
            reasoning: None,
            tool_calls: Vec::new(),
            model: "x".to_owned(),
            finish: Finish::Stop,
            usage: Usage::default(),
            seconds: 0.0,
        };
        let of = (call.name.as_str(), call.provider.as_str(), call.model.as_str());
        let made = Recorded::new(of, call.options.clone(), call.asked.clone(), &answer, Vec::new());
        made.answers(call, weights.map(str::to_owned), 1.2345)
    }

    fn text(found: Found) -> Option<String> {
        match found {
            Found::Answer(recorded) => recorded.answer.text,
            _ => None,
        }
    }

    fn path(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("chainrun-tape-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder.join("a.recordings.jsonl")
    }

    #[test]
    fn what_is_saved_is_found_by_the_whole_call() {
        let path = path("whole");
        let tape = Tape::open(path.clone()).unwrap();
        for call in [call("b", 1, 1), call("a", 2, 1), call("a", 1, 2), call("a", 1, 1)] {
            tape.add(answer(&call, &format!("{}{}", call.run, call.time), Some("w")));
        }
        tape.save().unwrap();
        let saved = std::fs::read_to_string(&path).unwrap();
        let prompts: Vec<Json> =
            saved.lines().map(|l| serde_json::from_str::<Json>(l).unwrap()["answer"]["text"].clone()).collect();
        assert_eq!(prompts, ["11", "12", "21", "11"], "{saved}");
        let again = Tape::open(path.clone()).unwrap();
        assert_eq!(text(again.find(&call("a", 1, 2), Some("w"))).as_deref(), Some("12"));
        assert_eq!(text(again.find(&call("a", 2, 1), None)).as_deref(), Some("21"));
        assert_eq!(again.find(&call("a", 1, 1), Some("v")), Found::Stale("w".to_owned()));
        assert_eq!(again.find(&call("a", 1, 3), None), Found::Nothing);
        let zero = Call { options: [("temperature".to_owned(), json!(0.0))].into_iter().collect(), ..call("a", 1, 1) };
        assert_eq!(text(again.find(&zero, None)).as_deref(), Some("11"));
        let held = Asked { parser: Some(json!("json")), ..call("a", 1, 1).asked };
        let others = [
            Call { provider: "openai".to_owned(), ..call("a", 1, 1) },
            Call { model: "y".to_owned(), ..call("a", 1, 1) },
            Call { options: Map::new(), ..call("a", 1, 1) },
            Call { asked: held, ..call("a", 1, 1) },
        ];
        assert!(others.iter().all(|call| again.find(call, None) == Found::Nothing));
        let unused = again.unused();
        assert_eq!(unused.iter().map(|e| e.asked.text()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(again.remove(&unused), 1);
        again.save().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn two_at_once_lose_nothing() {
        let path = path("two");
        let (one, other) = (Tape::open(path.clone()).unwrap(), Tape::open(path.clone()).unwrap());
        std::fs::write(path.with_file_name("a.recordings.jsonl.part-1-1"), "torn").unwrap();
        one.add(answer(&call("a", 1, 1), "one", None));
        one.save().unwrap();
        other.add(answer(&call("b", 1, 1), "two", None));
        other.save().unwrap();
        one.add(answer(&call("c", 1, 1), "three", None));
        one.save().unwrap();
        let all = Tape::open(path.clone()).unwrap();
        assert_eq!(all.unused().len(), 3);
        // A process takes up what the other saved.
        assert_eq!(text(one.find(&call("b", 1, 1), None)).as_deref(), Some("two"));
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        // What is no recording any more is not written over.
        std::fs::write(&path, "<<<<<<< ours\n").unwrap();
        one.add(answer(&call("d", 1, 1), "four", None));
        assert!(matches!(one.save(), Err(ReadError::Line { line: 1, .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "<<<<<<< ours\n");
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn the_nearest_call_is_one_of_the_same_model() {
        let tape = Tape::open(path("near")).unwrap();
        let other = Call { model: "y".to_owned(), ..call("What is a tomato?", 1, 1) };
        for call in [&other, &call("What is a potato?", 1, 1), &call("Hello", 1, 1)] {
            tape.add(answer(call, "x", None));
        }
        let near = tape.nearest(&call("What is a tomato, now?", 1, 1)).unwrap();
        assert_eq!((near.model.as_str(), near.asked.text().as_str()), ("x", "What is a potato?"));
        std::fs::remove_dir_all(tape.path().parent().unwrap()).unwrap();
    }
}
