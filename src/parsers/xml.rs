//! `xml`: the only XML element of the answer, as a map of its tag to what it holds.
//!
//! An element that holds text is that text, an empty one null, one that holds elements a map of their tags; a tag that
//! occurs more than once has a list. Attributes, comments and processing instructions are passed over.

use std::sync::Arc;

use indexmap::IndexMap;

use super::answer;
use super::spec::{ParseError, ParserArgument, ParserSpec, REPAIR, Rule};
use super::xml_text::{Broken, begins, read};
use crate::value::{Type, Value};

/// The description of `xml`.
pub static SPEC: ParserSpec = ParserSpec {
    name: "xml",
    doc: "the only XML element in the answer: a map of tag to text, map or list",
    argument: ParserArgument::None,
    options: &[REPAIR],
    build: |_| Ok(Arc::new(Xml)),
};

struct Xml;

impl Rule for Xml {
    fn parse(&self, text: &str) -> Result<Value, ParseError> {
        let (offset, rest) = answer::without_thinking(text)?;
        let broken = |b: Broken| {
            let error = answer::at(text, b.at, b.message);
            b.help.into_iter().fold(error, ParseError::help)
        };
        let Some(start) = next_element(text, offset).map_err(broken)? else {
            let why = if rest.trim().is_empty() { "is empty, where XML was expected" } else { "holds no XML element" };
            let shown = if rest.trim().is_empty() { String::new() } else { format!(": {}", answer::quoted(rest)) };
            return Err(ParseError::new(format!("the answer {why}{shown}")));
        };
        let (tag, value, end) = read(text, start).map_err(broken)?;
        if let Some(second) = next_element(text, end).map_err(broken)? {
            return Err(answer::at(text, second, "the answer holds more than one XML element; a second begins here"));
        }
        Ok(Value::Map(Arc::new(IndexMap::from([(tag, value)]))))
    }

    fn output_type(&self) -> Type {
        Type::Map(Box::new(Type::Any))
    }

    fn format_instructions(&self) -> String {
        "Answer with one XML element alone, which holds all others: no other text, no attributes, every tag closed."
            .to_owned()
    }
}

/// The byte of the next `<` that begins an element, from byte `from`.
fn next_element(text: &str, from: usize) -> Result<Option<usize>, Broken> {
    let (mut at, mut comments) = (from, true);
    while let Some(step) = text[at..].find('<') {
        at += step;
        let rest = &text[at..];
        if begins(rest) {
            return Ok(Some(at));
        }
        if rest.starts_with("<!DOCTYPE") {
            let message = "a DOCTYPE is not read, since entities that it declares could stand for anything".to_owned();
            return Err(Broken { at, message, help: None });
        }
        // A comment may hold what looks like an element. One that never ends is prose, and so is every later one.
        let comment = rest.strip_prefix("<!--").filter(|_| comments);
        at += match comment.map(|r| r.find("-->")) {
            Some(Some(end)) => end + "<!---->".len(),
            Some(None) => {
                comments = false;
                1
            }
            None => 1,
        };
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        Xml.parse(text).map_or_else(|e| e.message, |v| v.to_json().to_string())
    }

    #[test]
    fn elements_are_maps() {
        for (text, wanted) in [
            ("<r><city>Seoul</city></r>", r#"{"r":{"city":"Seoul"}}"#),
            ("<a><b>1</b><c/><b>2</b></a>", r#"{"a":{"b":["1","2"],"c":null}}"#),
            ("<a k=\"v > w\" l='x'>1</a >", r#"{"a":"1"}"#),
            ("<a> x &lt; &amp;&#65;&#x42; <![CDATA[<b>]]></a>", r#"{"a":" x < &AB <b>"}"#),
            ("<?xml version=\"1.0\"?>\n<!-- <z/> --><a>\n  <b/>\n</a>", r#"{"a":{"b":null}}"#),
            ("Sure:\n```xml\n<a>x</a>\n```\nIf 1 < 2, good.", r#"{"a":"x"}"#),
            ("<think><b>no</b></think><도시>서울</도시>", r#"{"도시":"서울"}"#),
        ] {
            assert_eq!(show(text), wanted, "{text}");
        }
    }

    #[test]
    fn nothing_is_invented() {
        for (text, wanted) in [
            ("", "empty"),
            ("foo", "no XML element"),
            ("<a><b></a>", "`</a>` closes nothing: `<b>` is open"),
            ("<a><b>1", "`<b>` is never closed"),
            ("<foo></foo", "never closed"),
            ("<a>x</a><b>y</b>", "more than one"),
            ("<a>text<b>1</b></a>", "text stands beside elements"),
            ("<a>&nbsp;</a>", "no entity"),
            ("<a>1 & 2</a>", "`&`"),
            ("<a k=v>1</a>", "quotes"),
            ("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", "DOCTYPE"),
        ] {
            assert!(show(text).contains(wanted), "{text}: {}", show(text));
        }
        assert!(show(&"<a>".repeat(1000)).contains("nested deeper"));
    }

    #[test]
    fn a_megabyte_is_read_in_linear_time() {
        for piece in ["<", "<a>", "<a/>", "<!--", "&", "<a b='", "</a>", "<![CDATA["] {
            let text = piece.repeat((1 << 20) / piece.len());
            let began = std::time::Instant::now();
            let _ = show(&text);
            let _ = show(&format!("<r>{text}</r>"));
            assert!(began.elapsed() < std::time::Duration::from_secs(3), "{piece}");
        }
    }
}
