//! The items of a list that is still being written: those of a JSON list where the answer begins as one, else those of
//! its style.

use super::json_live::Live;
use super::list::Style;
use super::rows_live::{Beginning, Items};
use crate::event::{Growing, Growth};
use crate::value::Value;

/// The stream of `list`.
pub(super) struct Listed {
    beginning: Beginning,
    style: Style,
    /// What reads the answer, once its first character says so.
    reader: Option<Box<dyn Growing>>,
    /// Blanks before that character.
    held: String,
}

impl Listed {
    pub(super) fn new(style: Style) -> Self {
        Self { beginning: Beginning::default(), style, reader: None, held: String::new() }
    }

    fn read(&mut self, piece: &str) -> Vec<Growth> {
        if let Some(reader) = &mut self.reader {
            return reader.push(piece);
        }
        self.held.push_str(piece);
        match self.held.trim_start().chars().next() {
            None => Vec::new(),
            Some('[') => self.begin(Box::new(Live::default())),
            Some(_) => self.begin(Box::new(Items::new(self.style))),
        }
    }

    fn begin(&mut self, reader: Box<dyn Growing>) -> Vec<Growth> {
        let held = std::mem::take(&mut self.held);
        self.reader.insert(reader).push(&held)
    }
}

impl Growing for Listed {
    fn push(&mut self, piece: &str) -> Vec<Growth> {
        let piece = self.beginning.push(piece);
        self.read(&piece)
    }

    fn finish(&mut self) -> Vec<Growth> {
        let held = self.beginning.finish();
        let mut growth = self.read(&held);
        if self.reader.is_none() {
            growth.extend(self.begin(Box::new(Items::new(self.style))));
        }
        growth.extend(self.reader.iter_mut().flat_map(|reader| reader.finish()));
        growth
    }

    fn value(&self) -> Option<Value> {
        self.reader.as_ref().and_then(|reader| reader.value())
    }
}
