//! YAML as a tree in which each key and each value knows its place, so that a mistake in a configuration gets a caret.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Location, Spanned};

use crate::source::{FileId, Span};

/// A value with its place. Lists and maps stand where the key before them does.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub data: Data,
    /// Where it stands.
    pub span: Span,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Nothing.
    Null,
    /// `true` or `false`; `yes` and `no` are text.
    Bool(bool),
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys with their values, in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// The key.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

impl Data {
    /// What a message calls it.
    pub fn describe(&self) -> String {
        match self {
            Data::Null => "nothing".to_owned(),
            Data::Bool(value) => format!("{value}"),
            Data::Number(number) => format!("the number {number}"),
            Data::Text(text) => format!("the text \"{text}\""),
            Data::List(_) => "a list".to_owned(),
            Data::Map(_) => "a map".to_owned(),
        }
    }
}

/// Reads a text. A key that stands twice is an error.
///
/// # Errors
/// What is wrong, with its place.
pub fn read(file: FileId, text: &str) -> Result<Node, (Span, String)> {
    let options = serde_yaml::options! { strict_booleans: true };
    let whole = Span::new(file, 0, text.lines().next().map_or(0, str::len));
    match serde_yaml::from_str_with_options::<Option<Spanned<Raw>>>(text, options) {
        Ok(None) => Ok(Node { data: Data::Null, span: whole }),
        Ok(Some(raw)) => Ok(node(raw, whole, file, text)),
        Err(error) => {
            let error = error.without_snippet();
            let place = error.location().map_or(whole, |at| span(at, file, text).unwrap_or(whole));
            let message = error.to_string();
            let line = message.lines().next().unwrap_or_default();
            // The place is shown by its caret.
            Err((place, line.split(" at line ").next().unwrap_or_default().to_owned()))
        }
    }
}

/// The tree as it is read, with places as the reader gives them.
enum Raw {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Raw;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    #[allow(clippy::cast_precision_loss, reason = "settings are small numbers")]
    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Number(number as f64))
    }

    #[allow(clippy::cast_precision_loss, reason = "settings are small numbers")]
    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Raw::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut all = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            all.push(entry);
        }
        Ok(Raw::Map(all))
    }
}

fn node(raw: Spanned<Raw>, outer: Span, file: FileId, text: &str) -> Node {
    let own = span(raw.referenced, file, text).unwrap_or(outer);
    let (data, span) = match raw.value {
        Raw::Null => (Data::Null, outer),
        Raw::Bool(value) => (Data::Bool(value), own),
        Raw::Number(number) => (Data::Number(number), own),
        Raw::Text(text) => (Data::Text(text), own),
        Raw::List(items) => (Data::List(items.into_iter().map(|item| node(item, outer, file, text)).collect()), outer),
        Raw::Map(entries) => {
            let entries = entries.into_iter().map(|(key, value)| {
                let span = span(key.referenced, file, text).unwrap_or(outer);
                (Key { name: key.value, span }, node(value, span, file, text))
            });
            (Data::Map(entries.collect()), outer)
        }
    };
    Node { data, span }
}

/// The byte where a line and column begin, which are counted from 1 in characters.
fn offset(location: Location, text: &str) -> Option<usize> {
    let (line, column) = (usize::try_from(location.line()).ok()?, usize::try_from(location.column()).ok()?);
    let before: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let rest = text.get(before..)?;
    let within = rest.char_indices().nth(column.checked_sub(1)?).map_or(rest.len(), |(at, _)| at);
    Some(before + within)
}

/// The place of what the reader found, cut to its line.
fn span(location: Location, file: FileId, text: &str) -> Option<Span> {
    let start = match location.span().byte_offset() {
        Some(offset) => usize::try_from(offset).ok()?,
        None => offset(location, text)?,
    };
    let length = usize::try_from(location.span().byte_len().unwrap_or(1)).ok()?;
    let rest = text.get(start..)?;
    let line = rest.split(['\n', '\r']).next().unwrap_or_default();
    let length = length.clamp(1, line.len().max(1)).min(rest.len());
    Some(Span::new(file, start, start + length))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::source::Sources;

    fn tree(text: &str) -> (Sources, Result<Node, (Span, String)>) {
        let mut sources = Sources::new();
        let file = sources.add("chainrun.yaml", text);
        let read = read(file, text);
        (sources, read)
    }

    #[test]
    fn every_key_and_value_has_its_place() {
        let (sources, read) = tree("é: 1\nprices:\n  a:\n    'b c': { in: -0.5, \"out\": yes }\nlist:\n  - tru\n");
        let Data::Map(entries) = read.unwrap().data else { panic!() };
        assert_eq!(entries.iter().map(|(k, _)| sources.slice(k.span)).collect::<Vec<_>>(), ["é", "prices", "list"]);
        let Data::Map(a) = &entries[1].1.data else { panic!() };
        let Data::Map(b) = &a[0].1.data else { panic!() };
        assert_eq!((b[0].0.name.as_str(), sources.slice(b[0].0.span)), ("b c", "'b c'"));
        let Data::Map(pair) = &b[0].1.data else { panic!() };
        assert_eq!((&pair[0].1.data, sources.slice(pair[0].1.span)), (&Data::Number(-0.5), "-0.5"));
        assert_eq!((&pair[1].1.data, sources.slice(pair[1].1.span)), (&Data::Text("yes".to_owned()), "yes"));
        let Data::List(list) = &entries[2].1.data else { panic!() };
        assert_eq!(sources.slice(list[0].span), "tru");
    }

    #[test]
    fn nothing_is_nothing_and_what_is_no_yaml_has_its_place() {
        assert_eq!(tree("").1.unwrap().data, Data::Null);
        assert_eq!(tree("# only a remark\n").1.unwrap().data, Data::Null);
        for (text, line) in [("a: 1\nb: [1", 2), ("a: 1\na: 2", 2), ("a: *b", 1)] {
            let (sources, read) = tree(text);
            let (span, message) = read.unwrap_err();
            assert_eq!(sources.line_column(span).0, line, "{text}: {message}");
        }
    }
}
