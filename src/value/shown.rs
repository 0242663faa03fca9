//! The beginning of a value as JSON, for messages and events: no more is made than is shown.

use std::io::{Error, ErrorKind, Result, Write};

use super::{Message, Value};

/// The value as JSON; of one that is longer than `most` characters, so many and `…`.
pub(super) fn shown(value: &Value, most: usize) -> String {
    let mut out = Beginning { text: String::new(), left: most };
    if out.value(value).is_err() {
        out.text.push('…');
    }
    out.text
}

/// The text so far, and how many characters it may still take. A write that is too long for it fails.
struct Beginning {
    text: String,
    left: usize,
}

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        // The writer of JSON cuts its text between characters.
        let text = std::str::from_utf8(bytes).map_err(|e| Error::new(ErrorKind::InvalidData, e))?;
        match text.char_indices().nth(self.left) {
            None => {
                self.text.push_str(text);
                self.left -= text.chars().count();
                Ok(bytes.len())
            }
            Some((end, _)) => {
                self.text.push_str(&text[..end]);
                self.left = 0;
                Err(ErrorKind::WriteZero.into())
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Beginning {
    fn value(&mut self, value: &Value) -> Result<()> {
        match value {
            Value::Text(text) => self.quoted(text),
            Value::Message(message) => self.message(message),
            Value::List(items) => self.list(items.iter(), Self::value),
            Value::Prompt(messages) => self.list(messages.iter(), Self::message),
            Value::Map(map) => {
                self.write_all(b"{")?;
                for (i, (key, value)) in map.iter().enumerate() {
                    if i > 0 {
                        self.write_all(b",")?;
                    }
                    self.quoted(key)?;
                    self.write_all(b":")?;
                    self.value(value)?;
                }
                self.write_all(b"}")
            }
            other => self.write_all(other.to_json().to_string().as_bytes()),
        }
    }

    fn list<'v, T: 'v>(
        &mut self,
        items: impl Iterator<Item = &'v T>,
        one: impl Fn(&mut Self, &T) -> Result<()>,
    ) -> Result<()> {
        self.write_all(b"[")?;
        for (i, item) in items.enumerate() {
            if i > 0 {
                self.write_all(b",")?;
            }
            one(self, item)?;
        }
        self.write_all(b"]")
    }

    fn message(&mut self, message: &Message) -> Result<()> {
        if !message.calls.is_empty() || message.reply.is_some() {
            let json = Value::Message(std::sync::Arc::new(message.clone())).to_json();
            return self.write_all(json.to_string().as_bytes());
        }
        self.write_all(b"{\"role\":")?;
        self.quoted(message.role.name())?;
        self.write_all(b",\"text\":")?;
        self.quoted(&message.text)?;
        self.write_all(b"}")
    }

    /// A string; what cannot be shown of a long one is not read.
    fn quoted(&mut self, text: &str) -> Result<()> {
        let end = text.char_indices().nth(self.left).map_or(text.len(), |(at, _)| at);
        // Quoted, a text that was cut is longer than what is left.
        serde_json::to_writer(&mut *self, &text[..end]).map_err(Error::from)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use indexmap::IndexMap;

    use super::*;
    use crate::value::Role;

    #[test]
    fn a_long_value_is_shown_as_its_json_begins() {
        let short = Value::list(vec![Value::Int(1), Value::from("a\"b"), Value::Null]);
        assert_eq!(short.show(60), "[1,\"a\\\"b\",null]");
        let map = IndexMap::from([("k\n".to_owned(), Value::from("xé\"\u{1}".repeat(100)))]);
        let said = vec![Message::new(Role::System, "tab\there"), Message::new(Role::User, "ü")];
        let long = Value::list(vec![
            Value::Map(Arc::new(map)),
            Value::Prompt(Arc::new(said)),
            Value::Float(0.5),
            Value::list(vec![Value::Int(7); 300]),
        ]);
        let whole = long.to_json().to_string();
        let length = whole.chars().count();
        for most in 0..length {
            let expected: String = whole.chars().take(most).chain(['…']).collect();
            assert_eq!(long.show(most), expected);
        }
        assert_eq!(long.show(length), whole);
    }
}
