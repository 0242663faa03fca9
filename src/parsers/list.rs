//! `list`: a list of texts.
//!
//! - `comma`: items stand between commas and line breaks; one in double quotes may hold both, and `""` is a quote in it.
//!   An item may be empty, but a comma at the end of a line opens no further one.
//! - `lines`: every line that is not blank is an item.
//! - `numbered` (`1.`, `1)`) and `bullets` (`-`, `*`, `+`, `•`): every marked line begins an item, and an indented line
//!   right below continues it. Lines before the first item are prose, and so are those after a blank line that follows
//!   the last; any other unmarked line is an error, since it cannot be told whether it is an item.
//!
//! Whatever the style, an answer that is a JSON list of texts is that list: so answers a model that is held to a schema.
//!
//! An empty answer is an empty list. An answer without any marker where there should be some is an error.

use std::sync::Arc;

use super::answer;
use super::json_text::read;
use super::list_live::Listed;
use super::spec::{
    Arguments, BuildError, OptionKind, ParseError, ParserArgument, ParserOption, ParserSpec, REPAIR, Rule,
};
use crate::event::Growing;
use crate::value::{Constraint, Type, Value};

/// The description of `list`.
pub static SPEC: ParserSpec = ParserSpec {
    name: "list",
    doc: "a list of texts, separated by commas unless told",
    argument: ParserArgument::None,
    options: &[STYLE, REPAIR],
    build,
};

const STYLE: ParserOption = ParserOption {
    name: "style",
    kind: OptionKind::Choice(&["comma", "lines", "numbered", "bullets"]),
    default: "\"comma\"",
    doc: "how the items are written",
};

/// How the items of a list are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Between commas and line breaks.
    Comma,
    /// Each on a line.
    Lines,
    /// Behind a number each.
    Numbered,
    /// Behind a bullet each.
    Bullets,
}

struct List {
    style: Style,
}

fn build(arguments: &Arguments<'_>) -> Result<Arc<dyn Rule>, BuildError> {
    let style = match arguments.text("style") {
        Some("lines") => Style::Lines,
        Some("numbered") => Style::Numbered,
        Some("bullets") => Style::Bullets,
        _ => Style::Comma,
    };
    Ok(Arc::new(List { style }))
}

impl Rule for List {
    fn parse(&self, text: &str) -> Result<Value, ParseError> {
        let (offset, body) = answer::body(text)?;
        if let Some(items) = json_texts(body) {
            return Ok(items);
        }
        let items = match self.style {
            Style::Comma => by_comma(body),
            Style::Lines => Ok(body.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect()),
            Style::Numbered => by_marker(body, after_number, "a number, as `1.`"),
            Style::Bullets => by_marker(body, after_bullet, "a bullet, as `-`"),
        };
        match items {
            Ok(items) => Ok(Value::list(items.into_iter().map(Value::from).collect())),
            Err((at, why)) => Err(answer::at(text, offset + at, why)),
        }
    }

    fn stream(&self) -> Option<Box<dyn Growing>> {
        Some(Box::new(Listed::new(self.style)))
    }

    fn output_type(&self) -> Type {
        Type::List(Box::new(Type::Text))
    }

    fn constraint(&self) -> Option<Constraint> {
        Some(Constraint::JsonSchema(self.output_type().json_schema()))
    }

    fn format_instructions(&self) -> String {
        let how = match self.style {
            Style::Comma => "on one line, separated by commas; put an item that holds a comma in double quotes",
            Style::Lines => "one a line, without numbers or bullets",
            Style::Numbered => "as a numbered list: `1. ` before the first item, one a line",
            Style::Bullets => "as a list with `- ` before each item, one a line",
        };
        format!("Answer with the items alone, {how}.")
    }
}

/// The list, where all of `body` is a JSON list of texts.
fn json_texts(body: &str) -> Option<Value> {
    let (value, end) = body.starts_with('[').then(|| read(body, 0).ok()).flatten()?;
    let texts = matches!(&value, Value::List(items) if items.iter().all(|item| matches!(item, Value::Text(_))));
    (texts && end == body.len()).then_some(value)
}

/// Items, or the byte in the body where they break off and why.
pub(super) type Found = Result<Vec<String>, (usize, String)>;

pub(super) fn by_comma(body: &str) -> Found {
    let mut items = Vec::new();
    let mut from = 0;
    while from < body.len() {
        let start = from + spaces(&body[from..]);
        let quoted = body[start..].starts_with('"');
        let search = if quoted { end_of_quote(body, start)? } else { start };
        let end = body[search..].find([',', '\n']).map_or(body.len(), |i| search + i);
        let raw = body[start..end].trim();
        // Nothing before the end of a line is no item: the line is blank, or it ends in a comma.
        if !raw.is_empty() || body[end..].starts_with(',') {
            let alone = quoted && body[search..end].trim().is_empty();
            items.push(if alone { unquoted(raw) } else { raw.to_owned() });
        }
        from = end + 1;
    }
    Ok(items)
}

/// Bytes of spaces at the beginning of `text`, line breaks not among them.
fn spaces(text: &str) -> usize {
    text.len() - text.trim_start_matches(|c: char| c.is_whitespace() && c != '\n').len()
}

/// The byte after the quote that closes the one at `open`; two quotes in a row are one of the text.
fn end_of_quote(body: &str, open: usize) -> Result<usize, (usize, String)> {
    let mut from = open + 1;
    loop {
        let Some(at) = body[from..].find('"') else {
            return Err((open, "this quote is never closed".to_owned()));
        };
        from += at + 1;
        if !body[from..].starts_with('"') {
            return Ok(from);
        }
        from += 1;
    }
}

fn unquoted(raw: &str) -> String {
    let inner = raw.strip_prefix('"').and_then(|r| r.strip_suffix('"')).unwrap_or(raw);
    inner.replace("\"\"", "\"")
}

fn by_marker(body: &str, after_marker: fn(&str) -> Option<&str>, wanted: &str) -> Found {
    let mut items: Vec<String> = Vec::new();
    let mut blank = false;
    // The first line of what may be prose after the list; it is not if another item follows.
    let mut prose: Option<usize> = None;
    let mut offset = 0;
    let unmarked = |at| Err((at, format!("this line does not begin with {wanted}")));
    for line in body.split_inclusive('\n') {
        let at = offset + (line.len() - line.trim_start().len());
        offset += line.len();
        let content = line.trim();
        if content.is_empty() {
            blank = true;
        } else if let Some(item) = after_marker(content) {
            if let Some(at) = prose {
                return unmarked(at);
            }
            items.push(item.to_owned());
            blank = false;
        } else if let Some(last) = items.last_mut() {
            if prose.is_some() {
                continue;
            }
            if blank {
                prose = Some(at);
            } else if line.starts_with(char::is_whitespace) {
                last.push(' ');
                last.push_str(content);
            } else {
                return unmarked(at);
            }
        }
    }
    if items.is_empty() && !body.is_empty() {
        return Err((0, format!("no line of the answer begins with {wanted}")));
    }
    Ok(items)
}

pub(super) fn after_number(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    if rest.len() == line.len() {
        return None;
    }
    after_space(rest.strip_prefix(['.', ')'])?)
}

pub(super) fn after_bullet(line: &str) -> Option<&str> {
    after_space(line.strip_prefix(['-', '*', '+', '•'])?)
}

/// The item behind a marker: a space must stand between them, so `1.5` and `-a` are no items.
fn after_space(rest: &str) -> Option<&str> {
    let item = rest.trim_start();
    (item.len() < rest.len() && !item.is_empty()).then_some(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(style: Style, text: &str) -> Result<Vec<String>, ParseError> {
        match (List { style }).parse(text)? {
            Value::List(items) => Ok(items.iter().filter_map(|v| v.as_text().map(|t| t.into_owned())).collect()),
            other => Ok(vec![other.show(100)]),
        }
    }

    #[test]
    fn by_commas() {
        for (text, wanted) in [
            ("a, b, c", vec!["a", "b", "c"]),
            ("a,\nb,\nc,", vec!["a", "b", "c"]),
            ("a, , b", vec!["a", "", "b"]),
            (",a", vec!["", "a"]),
            ("\"x, y\" , z", vec!["x, y", "z"]),
            ("\"War, and Peace\" by Tolstoy, b", vec!["\"War, and Peace\" by Tolstoy", "b"]),
            ("5\" pipe, b", vec!["5\" pipe", "b"]),
            ("\"\"", vec![""]),
            ("\"a\nb\", c", vec!["a\nb", "c"]),
            ("a\r\n\r\nb", vec!["a", "b"]),
            ("<think>x, y</think>```\na, b\n```", vec!["a", "b"]),
            ("", vec![]),
            (" \n", vec![]),
            ("[\"a, b\", \"c\"]", vec!["a, b", "c"]),
            ("[\"a\", 1]", vec!["[\"a\"", "1]"]),
            ("[a], b", vec!["[a]", "b"]),
        ] {
            assert_eq!(read(Style::Comma, text).unwrap(), wanted, "{text:?}");
        }
        assert_eq!(read(Style::Comma, "a, \"b, c").unwrap_err().at, Some(3));
    }

    #[test]
    fn by_lines() {
        assert_eq!(read(Style::Lines, " a, b\n\n c \n").unwrap(), ["a, b", "c"]);
        assert!(read(Style::Lines, "").unwrap().is_empty());
    }

    #[test]
    fn by_numbers_and_bullets() {
        assert_eq!(
            read(Style::Numbered, "Here:\n1. a\n2) b\n   and more\n\n10. c\n\nBye!").unwrap(),
            ["a", "b and more", "c"]
        );
        assert_eq!(read(Style::Bullets, "- a\n  * b\n• c\n+ d").unwrap(), ["a", "b", "c", "d"]);
        assert!(read(Style::Numbered, "").unwrap().is_empty());
        for text in ["1. a\nb\n2. c", "1. a\n\nand\n\n2. c", "1. a\nBye", "1.5 litres", "a, b", "1."] {
            assert!(read(Style::Numbered, text).is_err(), "{text:?}");
        }
        assert_eq!(read(Style::Numbered, "1. a\nb\n2. c").unwrap_err().at, Some(5));
        assert!(read(Style::Bullets, "**bold**").is_err());
    }

    #[test]
    fn a_megabyte_is_read_in_linear_time() {
        for text in [",".repeat(1 << 20), "\"\",".repeat(1 << 18), "\"".repeat(1 << 20), "```\n".repeat(1 << 18)] {
            let _ = read(Style::Comma, &text);
            let _ = read(Style::Bullets, &text);
        }
        assert_eq!(read(Style::Bullets, &"- a\n".repeat(1 << 18)).unwrap().len(), 1 << 18);
    }
}
