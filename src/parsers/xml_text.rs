//! Reading one XML element from the middle of a text, with the place where it breaks off.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::value::Value;

/// Elements in each other that are followed; each costs stack.
const DEPTH: usize = 128;

/// Why and where an element breaks off.
#[derive(Debug, PartialEq)]
pub(super) struct Broken {
    /// The byte in the text.
    pub at: usize,
    /// What is wrong there.
    pub message: String,
    /// What may help.
    pub help: Option<&'static str>,
}

/// Whether `rest` begins with the opening tag of an element.
pub(super) fn begins(rest: &str) -> bool {
    rest.strip_prefix('<').and_then(|r| r.chars().next()).is_some_and(name_start)
}

/// Reads the element that begins at byte `at` of `text`; gives its tag, what it holds, and the byte after it.
pub(super) fn read(text: &str, at: usize) -> Result<(String, Value, usize), Broken> {
    let mut reader = Reader { text, at };
    let (tag, value) = reader.element(DEPTH)?;
    Ok((tag, value, reader.at))
}

fn name_start(c: char) -> bool {
    c == '_' || unicode_ident::is_xid_start(c)
}

fn name_char(c: char) -> bool {
    matches!(c, '-' | '.' | ':' | '_') || unicode_ident::is_xid_continue(c)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn broken<T>(&self, at: usize, message: impl Into<String>) -> Result<T, Broken> {
        let help = (at >= self.text.len()).then_some("was the answer cut by `max_tokens`?");
        Err(Broken { at, message: message.into(), help })
    }

    fn name(&mut self) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !name_char(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// An element from its `<`.
    fn element(&mut self, depth: usize) -> Result<(String, Value), Broken> {
        let open = self.at;
        if depth == 0 {
            return self.broken(open, format!("the XML is nested deeper than {DEPTH}"));
        }
        self.at += 1;
        let tag = self.name();
        loop {
            self.space();
            let rest = self.rest();
            if rest.starts_with("/>") {
                self.at += 2;
                return Ok((tag.to_owned(), Value::Null));
            }
            if rest.starts_with('>') {
                self.at += 1;
                return Ok((tag.to_owned(), self.content(tag, open, depth)?));
            }
            match rest.chars().next() {
                None => return self.broken(self.text.len(), format!("the tag `<{tag}` is never closed")),
                Some(c) if name_start(c) => self.attribute()?,
                Some(c) => return self.broken(self.at, format!("expected `>` after `<{tag}`, found `{c}`")),
            }
        }
    }

    fn attribute(&mut self) -> Result<(), Broken> {
        let name = self.name();
        self.space();
        if !self.rest().starts_with('=') {
            return self.broken(self.at, format!("expected `=` after the attribute `{name}`"));
        }
        self.at += 1;
        self.space();
        let Some(quote) = self.rest().chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            return self.broken(self.at, format!("the value of the attribute `{name}` stands in quotes"));
        };
        match self.rest()[1..].find(quote) {
            Some(end) => {
                self.at += end + 2;
                Ok(())
            }
            None => self.broken(self.text.len(), format!("the value of the attribute `{name}` is never closed")),
        }
    }

    /// What stands between `<tag>` and `</tag>`, the closing tag included.
    fn content(&mut self, tag: &str, open: usize, depth: usize) -> Result<Value, Broken> {
        let mut text = String::new();
        let mut text_at = None;
        let mut inner: IndexMap<String, Vec<Value>> = IndexMap::new();
        loop {
            let rest = self.rest();
            let end = rest.find(['<', '&']).unwrap_or(rest.len());
            if !rest[..end].trim().is_empty() {
                text_at.get_or_insert(self.at + end - rest[..end].trim_start().len());
            }
            text.push_str(&rest[..end]);
            self.at += end;
            let rest = self.rest();
            if rest.is_empty() {
                return self.broken(self.text.len(), format!("the element `<{tag}>` is never closed"));
            } else if rest.starts_with('&') {
                text_at.get_or_insert(self.at);
                text.push(self.entity()?);
            } else if rest.starts_with("</") {
                self.closing(tag, open)?;
                break;
            } else if let Some(data) = rest.strip_prefix("<![CDATA[") {
                let Some(end) = data.find("]]>") else {
                    return self.broken(self.text.len(), "the CDATA section is never closed");
                };
                text_at.get_or_insert(self.at);
                text.push_str(&data[..end]);
                self.at += "<![CDATA[]]>".len() + end;
            } else if rest.starts_with("<!--") {
                self.skip("-->", "the comment is never closed")?;
            } else if rest.starts_with("<?") {
                self.skip("?>", "the processing instruction is never closed")?;
            } else if begins(rest) {
                let (name, value) = self.element(depth - 1)?;
                inner.entry(name).or_default().push(value);
            } else {
                return self.broken(self.at, "`<` begins no tag here; in text it is written `&lt;`");
            }
        }
        match (inner.is_empty(), text_at) {
            (true, None) if text.is_empty() => Ok(Value::Null),
            (true, _) => Ok(Value::from(text)),
            (false, None) => {
                let one =
                    |mut values: Vec<Value>| if values.len() == 1 { values.remove(0) } else { Value::list(values) };
                Ok(Value::Map(Arc::new(inner.into_iter().map(|(k, v)| (k, one(v))).collect())))
            }
            (false, Some(at)) => self.broken(at, format!("text stands beside elements in `<{tag}>`")),
        }
    }

    fn skip(&mut self, end: &str, message: &str) -> Result<(), Broken> {
        match self.rest().find(end) {
            Some(step) => {
                self.at += step + end.len();
                Ok(())
            }
            None => self.broken(self.text.len(), message),
        }
    }

    fn closing(&mut self, tag: &str, open: usize) -> Result<(), Broken> {
        let at = self.at;
        self.at += 2;
        let name = self.name();
        self.space();
        if self.rest().is_empty() {
            return self.broken(self.text.len(), format!("the tag `</{name}` is never closed"));
        }
        if name != tag {
            let line = self.text[..open].matches('\n').count() + 1;
            return self.broken(at, format!("`</{name}>` closes nothing: `<{tag}>` is open since line {line}"));
        }
        if !self.rest().starts_with('>') {
            return self.broken(self.at, format!("expected `>` after `</{name}`"));
        }
        self.at += 1;
        Ok(())
    }

    fn entity(&mut self) -> Result<char, Broken> {
        let at = self.at;
        let rest = &self.rest()[1..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '#').unwrap_or(rest.len());
        if end == 0 || !rest[end..].starts_with(';') {
            return self.broken(at, "`&` begins an entity; in text it is written `&amp;`");
        }
        let name = &rest[..end];
        let code = match name.strip_prefix("#x") {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => name.strip_prefix('#').and_then(|n| n.parse().ok()),
        };
        let found = match name {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "apos" => Some('\''),
            "quot" => Some('"'),
            _ => code.filter(|c| *c != 0).and_then(char::from_u32),
        };
        match found {
            Some(c) => {
                self.at += end + 2;
                Ok(c)
            }
            None => self.broken(at, format!("XML has no entity `&{name};`")),
        }
    }
}
