//! A value that is still being written: it is built up and tells how it grows.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use crate::event::Growth;
use crate::value::Value;

/// A container that is still open.
struct Open {
    held: Held,
    /// Bytes of the path up to this container.
    path: usize,
}

enum Held {
    List(Vec<Value>),
    /// The entries, and the key whose value comes next.
    Map(IndexMap<String, Value>, String),
}

impl Held {
    fn put(&mut self, value: Value) {
        match self {
            Held::List(items) => items.push(value),
            Held::Map(map, key) => drop(map.insert(std::mem::take(key), value)),
        }
    }

    fn is_key(&self, key: &str) -> bool {
        matches!(self, Held::Map(map, _) if map.contains_key(key))
    }
}

/// The value so far, and what of its growth was not told yet. All steps together take time linear in what is written.
#[derive(Default)]
pub(super) struct Tree {
    root: Option<Value>,
    open: Vec<Open>,
    /// The JSON Pointer of the value that was begun last.
    path: String,
    /// A text that is still being written.
    text: Option<String>,
    /// What of it was not told yet.
    fresh: String,
    /// A number that is still being written, as far as it is one.
    draft: Option<Value>,
    changes: Vec<Growth>,
}

impl Tree {
    /// Begins a list.
    pub(super) fn list(&mut self) {
        self.container(Held::List(Vec::new()), json!([]));
    }

    /// Begins a map.
    pub(super) fn map(&mut self) {
        self.container(Held::Map(IndexMap::new(), String::new()), json!({}));
    }

    /// Sets the key of the next value in a map; false where the map has it already.
    pub(super) fn key(&mut self, name: String) -> bool {
        match self.open.last_mut() {
            Some(open) if open.held.is_key(&name) => false,
            Some(Open { held: Held::Map(_, key), .. }) => {
                *key = name;
                true
            }
            _ => false,
        }
    }

    /// Puts a whole value.
    pub(super) fn put(&mut self, value: Value) {
        self.begin();
        if self.draft.take().as_ref() != Some(&value) {
            self.changes.push(Growth::Set { at: self.path.clone(), value: value.to_json() });
        }
        self.place(value);
    }

    /// Tells a number that may go on; [`Tree::put`] ends it.
    pub(super) fn draft(&mut self, value: Value) {
        if self.draft.as_ref() != Some(&value) {
            self.begin();
            self.changes.push(Growth::Set { at: self.path.clone(), value: value.to_json() });
            self.draft = Some(value);
        }
    }

    /// Begins a text.
    pub(super) fn begin_text(&mut self) {
        self.begin();
        self.changes.push(Growth::Set { at: self.path.clone(), value: json!("") });
        self.text = Some(String::new());
    }

    /// Adds to the text that is being written.
    pub(super) fn add(&mut self, c: char) {
        self.fresh.push(c);
    }

    /// Ends the text.
    pub(super) fn end_text(&mut self) {
        self.tell_text();
        if let Some(text) = self.text.take() {
            self.place(Value::from(text));
        }
    }

    /// Ends the innermost container.
    pub(super) fn close(&mut self) {
        if let Some(Open { held, .. }) = self.open.pop() {
            self.place(whole(held));
        }
    }

    /// The growth that was not told yet.
    pub(super) fn changes(&mut self) -> Vec<Growth> {
        self.tell_text();
        std::mem::take(&mut self.changes)
    }

    /// The value so far, open containers and texts closed.
    pub(super) fn value(&self) -> Option<Value> {
        if self.root.is_some() {
            return self.root.clone();
        }
        let text = self.text.as_ref().map(|t| Value::from(format!("{t}{}", self.fresh)));
        let mut inner = text.or_else(|| self.draft.clone());
        for open in self.open.iter().rev() {
            let mut held = match &open.held {
                Held::List(items) => Held::List(items.clone()),
                Held::Map(map, key) => Held::Map(map.clone(), key.clone()),
            };
            if let Some(value) = inner.take() {
                held.put(value);
            }
            inner = Some(whole(held));
        }
        inner
    }

    fn container(&mut self, held: Held, empty: Json) {
        self.begin();
        self.changes.push(Growth::Set { at: self.path.clone(), value: empty });
        self.open.push(Open { held, path: self.path.len() });
    }

    /// Sets the path to the value that begins.
    fn begin(&mut self) {
        let Some(open) = self.open.last() else {
            self.path.clear();
            return;
        };
        self.path.truncate(open.path);
        self.path.push('/');
        match &open.held {
            Held::List(items) => self.path.push_str(&items.len().to_string()),
            Held::Map(_, key) => self.path.push_str(&key.replace('~', "~0").replace('/', "~1")),
        }
    }

    fn place(&mut self, value: Value) {
        match self.open.last_mut() {
            Some(open) => open.held.put(value),
            None => self.root = Some(value),
        }
    }

    fn tell_text(&mut self) {
        let Some(text) = &mut self.text else { return };
        if self.fresh.is_empty() {
            return;
        }
        let fresh = std::mem::take(&mut self.fresh);
        match self.changes.last_mut() {
            // The text was begun since growth was told last.
            Some(Growth::Set { value: Json::String(begun), .. }) if text.is_empty() => begun.push_str(&fresh),
            _ => self.changes.push(Growth::Append { append: fresh.clone() }),
        }
        text.push_str(&fresh);
    }
}

fn whole(held: Held) -> Value {
    match held {
        Held::List(items) => Value::list(items),
        Held::Map(map, _) => Value::Map(Arc::new(map)),
    }
}

/// What told growth comes to: how a reader of events builds the value.
#[cfg(test)]
pub(super) fn grown(changes: &[Growth]) -> Json {
    let (mut value, mut last) = (Json::Null, String::new());
    for change in changes {
        match change {
            Growth::Set { at, value: new } => {
                last.clone_from(at);
                match at.rsplit_once('/') {
                    None => value = new.clone(),
                    Some((parent, key)) => match value.pointer_mut(parent).unwrap() {
                        Json::Array(items) if items.len() == key.parse::<usize>().unwrap() => items.push(new.clone()),
                        Json::Array(items) => items[key.parse::<usize>().unwrap()] = new.clone(),
                        Json::Object(map) => drop(map.insert(key.replace("~1", "/").replace("~0", "~"), new.clone())),
                        other => panic!("{other} holds nothing"),
                    },
                }
            }
            Growth::Append { append } => match value.pointer_mut(&last).unwrap() {
                Json::String(text) => text.push_str(append),
                other => panic!("{other} is no text"),
            },
        }
    }
    value
}
