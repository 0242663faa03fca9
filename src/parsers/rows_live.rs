//! Rows and items of an answer that is still being written: each comes out when it is whole.
//!
//! The streams take lines of prose for what they look like so far; the parser decides in the end.

use super::answer::{END_THINK, THINK};
use super::csv::bad_header;
use super::csv_rows::{Row, Rows};
use super::growing::Tree;
use super::list::{Style, after_bullet, after_number, by_comma};
use crate::event::{Growing, Growth};
use crate::value::Value;

/// Passes on what follows the reasoning at the beginning.
#[derive(Default)]
pub(super) struct Beginning {
    held: String,
    thinking: bool,
    passed: bool,
}

impl Beginning {
    pub(super) fn push(&mut self, piece: &str) -> String {
        if self.passed {
            return piece.to_owned();
        }
        self.held.push_str(piece);
        loop {
            if self.thinking {
                let Some(end) = self.held.find(END_THINK) else {
                    // Only what may be the beginning of the tag is needed further on.
                    let from = self.held.len().saturating_sub(END_THINK.len());
                    let from = (from..=self.held.len()).find(|i| self.held.is_char_boundary(*i)).unwrap_or(from);
                    self.held.drain(..from);
                    return String::new();
                };
                self.held.drain(..end + END_THINK.len());
                self.thinking = false;
            }
            let start = self.held.trim_start();
            if let Some(thought) = start.strip_prefix(THINK) {
                self.held = thought.to_owned();
                self.thinking = true;
            } else if THINK.starts_with(start) {
                return String::new();
            } else {
                self.passed = true;
                return std::mem::take(&mut self.held);
            }
        }
    }

    /// What was held back and turned out to be no tag.
    pub(super) fn finish(&mut self) -> String {
        if self.thinking { String::new() } else { std::mem::take(&mut self.held) }
    }
}

/// A place in an item, which is in double quotes when it begins with one; two in a row are one of the text.
#[derive(Clone, Copy, PartialEq)]
enum Quotes {
    /// Only blanks came.
    Before,
    Inside,
    /// Right behind a quote that closes, unless another follows.
    Closed,
    /// Further on, where quotes are text.
    Behind,
}

/// The items of a list in its style, from behind the reasoning on.
pub(super) struct Items {
    style: Style,
    tree: Tree,
    /// What of a line or of an item came so far.
    part: String,
    /// Where in double quotes `part` ends.
    quotes: Quotes,
    /// Whether the next line may go on with the last item.
    open: bool,
}

impl Items {
    pub(super) fn new(style: Style) -> Self {
        let mut tree = Tree::default();
        tree.list();
        Self { style, tree, part: String::new(), quotes: Quotes::Before, open: false }
    }

    fn take(&mut self, c: char) {
        if self.style != Style::Comma {
            self.part.push(c);
            if c == '\n' {
                self.line();
            }
            return;
        }
        if matches!(c, ',' | '\n') && self.quotes != Quotes::Inside {
            self.quotes = Quotes::Before;
            self.part.push(c);
            return self.between_commas();
        }
        self.quotes = match (self.quotes, c) {
            (Quotes::Before | Quotes::Closed, '"') => Quotes::Inside,
            (Quotes::Inside, '"') => Quotes::Closed,
            (Quotes::Before, c) if c.is_whitespace() => Quotes::Before,
            (Quotes::Inside, _) => Quotes::Inside,
            _ => Quotes::Behind,
        };
        self.part.push(c);
    }

    fn between_commas(&mut self) {
        let part = std::mem::take(&mut self.part);
        if !part.trim_start().starts_with("```") {
            self.put(by_comma(&part).unwrap_or_default());
        }
    }

    fn line(&mut self) {
        let line = std::mem::take(&mut self.part);
        let content = line.trim();
        let marked = match self.style {
            Style::Numbered => after_number(content),
            Style::Bullets => after_bullet(content),
            _ if content.is_empty() || content.starts_with("```") => return,
            _ => return self.put(vec![content.to_owned()]),
        };
        let goes_on = self.open && line.starts_with(char::is_whitespace) && !content.is_empty();
        match marked {
            Some(item) => {
                self.end_item();
                self.tree.begin_text();
                self.open = true;
                item.chars().for_each(|c| self.tree.add(c));
            }
            None if goes_on => " ".chars().chain(content.chars()).for_each(|c| self.tree.add(c)),
            None => self.end_item(),
        }
    }

    /// Ends the item that the next line might have gone on with.
    fn end_item(&mut self) {
        if std::mem::take(&mut self.open) {
            self.tree.end_text();
        }
    }

    fn put(&mut self, items: Vec<String>) {
        for item in items {
            self.tree.put(item.into());
        }
    }
}

impl Growing for Items {
    fn push(&mut self, piece: &str) -> Vec<Growth> {
        piece.chars().for_each(|c| self.take(c));
        self.tree.changes()
    }

    fn finish(&mut self) -> Vec<Growth> {
        match self.style {
            Style::Comma => self.between_commas(),
            _ => self.line(),
        }
        self.end_item();
        self.tree.close();
        self.tree.changes()
    }

    fn value(&self) -> Option<Value> {
        self.tree.value()
    }
}

/// The stream of `csv`.
pub(super) struct Table {
    header: bool,
    names: Option<Vec<String>>,
    beginning: Beginning,
    rows: Rows,
    /// Whether the rows broke off.
    broken: bool,
    tree: Tree,
}

impl Table {
    pub(super) fn new(header: bool) -> Self {
        let mut tree = Tree::default();
        tree.list();
        Self { header, names: None, beginning: Beginning::default(), rows: Rows::default(), broken: false, tree }
    }

    fn read(&mut self, piece: &str) {
        for c in piece.chars() {
            if self.broken {
                break;
            }
            match self.rows.push(c) {
                Ok(Some(row)) => self.row(row),
                Ok(None) => {}
                Err(_) => self.broken = true,
            }
        }
    }

    fn row(&mut self, row: Row) {
        let prose = row.values.first().is_some_and(|v| v.starts_with("```"))
            || (self.names.is_none() && row.values.last().is_some_and(|v| v.ends_with(':')));
        if prose {
            return;
        }
        let names = match &self.names {
            Some(names) if names.len() != row.values.len() => return,
            Some(names) => names.clone(),
            None => {
                self.broken |= self.header && bad_header(&row.values).is_some();
                self.names = Some(row.values.clone());
                if self.header {
                    return;
                }
                Vec::new()
            }
        };
        self.tree.put(if self.header { super::csv::by_name(&names, row.values) } else { super::csv::list(row.values) });
    }
}

impl Growing for Table {
    fn push(&mut self, piece: &str) -> Vec<Growth> {
        let piece = self.beginning.push(piece);
        self.read(&piece);
        self.tree.changes()
    }

    fn finish(&mut self) -> Vec<Growth> {
        let held = self.beginning.finish();
        self.read(&held);
        if let (false, Ok(Some(row))) = (self.broken, self.rows.finish()) {
            self.row(row);
        }
        self.tree.close();
        self.tree.changes()
    }

    fn value(&self) -> Option<Value> {
        self.tree.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parsers::growing::grown;
    use crate::parsers::{Parser, build, find};

    fn parser(name: &str, option: (&str, Value)) -> Parser {
        build(find(name).unwrap(), None, None, &[(option.0.to_owned(), option.1)].into_iter().collect()).unwrap()
    }

    #[test]
    fn every_split_ends_in_the_unstreamed_result() {
        for (name, option, texts) in [
            (
                "list",
                ("style", Value::from("comma")),
                vec![
                    "a, \"b, c\" , , d",
                    "<think>x,</think>\"a\"\"\nb\",\n5\" x",
                    "a\nb\n",
                    "\"a\".\"\"b\nc",
                    "[\"a\", \"b, c\"]",
                    " <think>x</think> [\"é\"] ",
                    "",
                ],
            ),
            ("list", ("style", "lines".into()), vec!["a\n\n b \nc", "```\na\nb\n```", "<", "<thin"]),
            (
                "list",
                ("style", "numbered".into()),
                vec!["Here:\n1. a\n2) b\n   and more\n\nBye", "<think>1. x</think>\n1. é\n"],
            ),
            ("list", ("style", "bullets".into()), vec!["- a\n* b", "```\n- a\n```"]),
            ("csv", ("header", Value::Bool(true)), vec!["Sure:\na,b\n1,\"x\ny\"\n2,3", "```csv\na\n1\n```"]),
            ("csv", ("header", Value::Bool(false)), vec!["a,b\n\n1,2"]),
        ] {
            let parser = parser(name, option);
            for text in texts {
                let whole = parser.parse(text).unwrap();
                for (at, _) in text.char_indices().chain([(text.len(), 'x')]) {
                    let mut stream = parser.stream().unwrap();
                    let mut changes = stream.push(&text[..at]);
                    changes.extend(stream.push(&text[at..]));
                    changes.extend(stream.finish());
                    assert_eq!(grown(&changes), whole.to_json(), "{text} at {at}");
                    assert_eq!(stream.value(), Some(whole.clone()), "{text} at {at}");
                }
            }
        }
    }

    #[test]
    fn items_come_when_they_are_whole() {
        let mut stream = parser("list", ("style", "comma".into())).stream().unwrap();
        assert_eq!(stream.push("tuber, le").len(), 2);
        assert_eq!(stream.value().unwrap().to_json(), serde_json::json!(["tuber"]));
        assert_eq!(stream.push("af"), []);
    }
}
