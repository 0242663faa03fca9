//! Any answer through a parser, whole and in pieces. The first byte chooses the parser, the second how long the pieces
//! are.

use chainrun::event::Growth;
use chainrun::parsers::{self, Parser};
use chainrun::value::{Literal, Type, Value};
use indexmap::IndexMap;
use serde_json::Value as Json;

/// The longest answer that is tried.
const LONGEST: usize = 4096;

/// A parser with its arguments: the name, a pattern or text, options.
type Choice = (&'static str, Option<&'static str>, &'static [(&'static str, &'static str)]);

const CHOICES: &[Choice] = &[
    ("text", None, &[]),
    ("json", None, &[]),
    ("json", None, &[("type", "record")]),
    ("list", None, &[]),
    ("list", None, &[("style", "lines")]),
    ("list", None, &[("style", "numbered")]),
    ("list", None, &[("style", "bullets")]),
    ("csv", None, &[]),
    ("csv", None, &[("header", "false")]),
    ("xml", None, &[]),
    ("yaml", None, &[]),
    ("code", None, &[]),
    ("code", Some("python"), &[]),
    ("regex", Some("(?P<a>[a-z]+):(?P<b>.*)"), &[]),
    ("regex", Some("(?P<a>[a-z]+)"), &[("full", "true")]),
    ("enum", None, &[]),
    ("number", None, &[]),
    ("bool", None, &[]),
    ("datetime", None, &[]),
    ("datetime", None, &[("format", "%Y-%m-%d")]),
];

/// Reads one answer.
pub fn run(data: &[u8]) {
    let [choice, size, answer @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(&answer[..answer.len().min(LONGEST)]) else { return };
    let parser = parser(CHOICES[usize::from(*choice) % CHOICES.len()]);
    let whole = parser.parse(text);
    if let Err(error) = &whole {
        assert!(!error.message.is_empty(), "an error without words");
        assert!(error.at.is_none_or(|at| text.is_char_boundary(at)), "{}: its place is none", error.message);
    }
    let pieces = streamed(&parser, text, usize::from(*size).max(1));
    let at_once = streamed(&parser, text, text.len().max(1));
    // A number that breaks off is told as far as a piece had it; so is one of a JSON list that turns out to be none, and
    // a line of words to `list`.
    let broken = whole.is_err() || (parser.name() == "list" && text.trim_start().starts_with('['));
    assert!(broken || pieces == at_once, "pieces of {size} tell {pieces:?}, the whole {at_once:?}");
    // What tells nothing of an answer leaves it to the end. A fence, the end of reasoning that nothing opened, and prose
    // before a table show too late what the lines were: then the result takes the place of what was told.
    let has = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    let late = match parser.name() {
        // Within a string that is open, the end of reasoning is text until the answer ends there.
        "json" => has(&["</think>"]),
        "csv" => has(&["</think>", "```", ":"]) || text.lines().any(|line| line.trim().is_empty()),
        // A list that begins as JSON and turns out to be none is told as far as it was.
        _ => has(&["</think>", "```", "["]),
    };
    if let (Ok(whole), Some(told), false) = (&whole, &pieces, late) {
        assert_eq!(floats(told), floats(&whole.to_json()), "what was told differs from the value");
    }
}

/// A value whose numbers are floats: a type may make an int of what was told as a float.
fn floats(value: &Json) -> Json {
    match value {
        Json::Number(n) => Json::from(n.as_f64()),
        Json::Array(items) => items.iter().map(floats).collect(),
        Json::Object(map) => Json::Object(map.iter().map(|(k, v)| (k.clone(), floats(v))).collect()),
        other => other.clone(),
    }
}

fn parser((name, text, options): Choice) -> Parser {
    let spec = parsers::find(name).expect("a parser of the table");
    let mut ty = (name == "enum").then(words);
    let mut given = IndexMap::new();
    for (option, value) in options {
        match (*option, *value) {
            ("type", _) => ty = Some(Type::List(Box::new(Type::Int))),
            (name, "true" | "false") => drop(given.insert(name.to_owned(), Value::Bool(*value == "true"))),
            (name, value) => drop(given.insert(name.to_owned(), Value::from(value))),
        }
    }
    parsers::build(spec, ty, text, &given).expect("arguments that the parser takes")
}

fn words() -> Type {
    Type::Union(["bug", "bug report", "yes"].map(|w| Type::Literal(Literal::Text(w.into()))).into())
}

/// The value that the growth of a streamed answer comes to at its end; none where nothing was told.
fn streamed(parser: &Parser, text: &str, size: usize) -> Option<Json> {
    let mut growing = parser.stream()?;
    let mut seen = Seen::default();
    let mut from = 0;
    while from < text.len() {
        let mut to = (from + size).min(text.len());
        while !text.is_char_boundary(to) {
            to += 1;
        }
        seen.take(growing.push(&text[from..to]));
        from = to;
    }
    seen.take(growing.finish());
    let value = growing.value().map(|v| v.to_json());
    assert_eq!(seen.value, value.clone().unwrap_or_default(), "the growth comes to another value");
    value
}

/// What a reader of the events has.
#[derive(Default)]
struct Seen {
    value: Json,
    last: String,
}

impl Seen {
    fn take(&mut self, changes: Vec<Growth>) {
        for change in changes {
            match change {
                Growth::Set { at, value } => {
                    self.set(&at, value);
                    self.last = at;
                }
                Growth::Append { append } => match self.value.pointer_mut(&self.last) {
                    Some(Json::String(text)) => text.push_str(&append),
                    other => panic!("{other:?} is no text that could go on"),
                },
            }
        }
    }

    fn set(&mut self, at: &str, new: Json) {
        let Some((parent, key)) = at.rsplit_once('/') else {
            self.value = new;
            return;
        };
        match self.value.pointer_mut(parent) {
            Some(Json::Array(items)) => match key.parse::<usize>() {
                Ok(i) if i == items.len() => items.push(new),
                Ok(i) if i < items.len() => items[i] = new,
                _ => panic!("{at} is no place of a list of {}", items.len()),
            },
            Some(Json::Object(map)) => drop(map.insert(key.replace("~1", "/").replace("~0", "~"), new)),
            other => panic!("{at}: {other:?} holds nothing"),
        }
    }
}
