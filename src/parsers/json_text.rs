//! Reading one JSON value (RFC 8259) from the middle of a text, with the place where it breaks off.
//!
//! Stricter than the usual readers in one thing, a key given twice is an error, and more tolerant in one, since it can
//! mean only one thing: a line break or a tab may stand unescaped in a string.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::value::Value;

/// Brackets in each other that are followed; no answer that is meant needs more, and each costs stack.
const DEPTH: usize = 128;

/// Why and where a value breaks off.
#[derive(Debug, PartialEq)]
pub(super) struct Broken {
    /// The byte in the text.
    pub at: usize,
    /// What is wrong there.
    pub message: String,
    /// What may help.
    pub help: Option<&'static str>,
    /// Whether something that is JSON came before, so that this is a broken value rather than a bracket in prose.
    pub begun: bool,
}

/// Reads the value that begins at byte `at` of `text`; gives it and the byte after it.
pub(super) fn read(text: &str, at: usize) -> Result<(Value, usize), Broken> {
    let mut reader = Reader { text, at, tokens: 0, path: String::new(), wanted: None, place: None };
    match reader.value(DEPTH) {
        Ok(value) => Ok((value, reader.at)),
        Err(broken) if broken.at >= text.len() => Err(in_its_field(text, at, broken)),
        Err(broken) => Err(broken),
    }
}

/// A value's end is missing: says in which field it breaks off. Paths are kept track of in this second reading alone.
fn in_its_field(text: &str, at: usize, mut broken: Broken) -> Broken {
    let nowhere = Some("\0");
    let mut reader = Reader { text, at, tokens: 0, path: String::new(), wanted: nowhere, place: None };
    // Where the reading ends early, the path stays at the place.
    let ends = reader.value(DEPTH).is_ok();
    if let (false, false, Some(rest)) =
        (ends, reader.path.is_empty(), broken.message.strip_prefix("the JSON breaks off"))
    {
        broken.message = format!("the JSON breaks off at {}{rest}", reader.path);
    }
    broken
}

/// The byte where the value at `path` (as `.items[3].name`) begins in the value that begins at `at`.
pub(super) fn locate(text: &str, at: usize, path: &str) -> Option<usize> {
    let mut reader = Reader { text, at, tokens: 0, path: String::new(), wanted: Some(path), place: None };
    reader.value(DEPTH).ok()?;
    reader.place
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    /// Tokens read, opening brackets aside.
    tokens: usize,
    path: String,
    wanted: Option<&'t str>,
    place: Option<usize>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn broken(&self, at: usize, message: impl Into<String>) -> Broken {
        let end = at >= self.text.len();
        let help = end.then_some("was the answer cut by `max_tokens`?");
        Broken { at, message: message.into(), help, begun: end || self.tokens > 0 }
    }

    /// The error that something else than what `wanted` says stands here.
    fn unexpected(&self, wanted: &str) -> Broken {
        let found = match self.text[self.at..].chars().next() {
            None => "the end of the answer".to_owned(),
            Some(c) if c.is_control() => format!("`{}`", c.escape_default()),
            Some(c) => format!("`{c}`"),
        };
        let mut broken = self.broken(self.at, format!("the JSON breaks off: expected {wanted}, found {found}"));
        if matches!(self.peek(), Some(b'\'')) {
            broken.help = Some("JSON takes double quotes alone");
        }
        broken
    }

    fn value(&mut self, depth: usize) -> Result<Value, Broken> {
        self.space();
        if self.wanted == Some(self.path.as_str()) {
            self.place.get_or_insert(self.at);
        }
        match self.peek() {
            Some(b'{' | b'[') if depth == 0 => {
                let message = format!("the JSON is nested deeper than {DEPTH}");
                Err(Broken { begun: true, ..self.broken(self.at, message) })
            }
            Some(b'{') => self.object(depth - 1),
            Some(b'[') => self.array(depth - 1),
            Some(b'"') => self.string().map(Value::from),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                for (word, value) in [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)]
                {
                    if self.text[self.at..].starts_with(word) {
                        self.at += word.len();
                        self.tokens += 1;
                        return Ok(value);
                    }
                }
                Err(self.unexpected("a value"))
            }
        }
    }

    /// Whether the bracket ends here (true) or an entry follows; `first` says that none came before.
    fn ends(&mut self, close: u8, first: bool) -> Result<bool, Broken> {
        self.space();
        if self.peek() == Some(close) {
            self.at += 1;
            self.tokens += 1;
            return Ok(true);
        }
        if first {
            return Ok(false);
        }
        if self.peek() != Some(b',') {
            return Err(self.unexpected(if close == b'}' { "a comma or `}`" } else { "a comma or `]`" }));
        }
        self.at += 1;
        self.space();
        if self.peek() == Some(close) {
            let mut broken = self.unexpected(if close == b'}' { "a key" } else { "a value" });
            broken.help = Some("a comma must not stand before the closing bracket");
            return Err(broken);
        }
        Ok(false)
    }

    fn array(&mut self, depth: usize) -> Result<Value, Broken> {
        self.at += 1;
        let mut items = Vec::new();
        let length = self.path.len();
        while !self.ends(b']', items.is_empty())? {
            if self.wanted.is_some() {
                self.path.push_str(&format!("[{}]", items.len()));
            }
            items.push(self.value(depth)?);
            self.path.truncate(length);
        }
        Ok(Value::list(items))
    }

    fn object(&mut self, depth: usize) -> Result<Value, Broken> {
        self.at += 1;
        let mut map = IndexMap::new();
        let length = self.path.len();
        while !self.ends(b'}', map.is_empty())? {
            let key_at = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in double quotes"));
            }
            let key = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("a colon after the key"));
            }
            self.at += 1;
            if map.contains_key(&key) {
                return Err(self.broken(key_at, format!("the key `{key}` stands twice in one object")));
            }
            if self.wanted.is_some() {
                self.path.push('.');
                self.path.push_str(&key);
            }
            let value = self.value(depth)?;
            self.path.truncate(length);
            map.insert(key, value);
        }
        Ok(Value::Map(Arc::new(map)))
    }

    fn string(&mut self) -> Result<String, Broken> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(stop) = rest.find(['"', '\\']) else {
                let end = self.text.len();
                return Err(self.broken(end, "the JSON breaks off inside a string"));
            };
            out.push_str(&rest[..stop]);
            self.at += stop + 1;
            if rest.as_bytes().get(stop) == Some(&b'"') {
                self.tokens += 1;
                return Ok(out);
            }
            out.push(self.escape()?);
        }
    }

    /// The character of the escape whose backslash was just read.
    fn escape(&mut self) -> Result<char, Broken> {
        let at = self.at - 1;
        let Some(letter) = self.peek() else {
            return Err(self.broken(self.at, "the JSON breaks off inside a string"));
        };
        let plain = match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.code_point(at),
            _ => return Err(self.broken(at, "JSON has no such escape").begun()),
        };
        self.at += 1;
        Ok(plain)
    }

    /// The character of `\uXXXX`, two of them where they are a surrogate pair; the backslash is at `at`.
    fn code_point(&mut self, at: usize) -> Result<char, Broken> {
        let first = self.hex()?;
        let code = match first {
            0xD800..=0xDBFF if self.text[self.at..].starts_with("\\u") => {
                self.at += 1;
                match self.hex()? {
                    second @ 0xDC00..=0xDFFF => 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00),
                    _ => first,
                }
            }
            _ => first,
        };
        char::from_u32(code).ok_or_else(|| self.broken(at, "this escape is half of a character").begun())
    }

    /// Four hexadecimal digits after a `u`.
    fn hex(&mut self) -> Result<u32, Broken> {
        self.at += 1;
        let digits = self.text.get(self.at..self.at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|d| u32::from_str_radix(d, 16).ok()) {
            Some(code) => {
                self.at += 4;
                Ok(code)
            }
            None => {
                let short = self.text.len() < self.at + 4;
                let at = if short { self.text.len() } else { self.at };
                Err(self.broken(at, "expected four hexadecimal digits after `\\u`").begun())
            }
        }
    }

    fn digits(&mut self) -> Result<(), Broken> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.unexpected("a digit"));
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value, Broken> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let zero = self.peek() == Some(b'0');
        let whole = self.at;
        self.digits()?;
        if zero && self.at > whole + 1 {
            return Err(self.broken(start, "a number in JSON does not begin with 0").begun());
        }
        let mut float = false;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
            float = true;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
            float = true;
        }
        self.tokens += 1;
        let written = &self.text[start..self.at];
        if let (false, Ok(n)) = (float, written.parse()) {
            return Ok(Value::Int(n));
        }
        // A whole number that 64 bits do not hold becomes a float, as everywhere in the language.
        match written.parse::<f64>() {
            Ok(x) if x.is_finite() => Ok(Value::Float(x)),
            _ => Err(self.broken(start, "this number is too large")),
        }
    }
}

impl Broken {
    fn begun(mut self) -> Self {
        self.begun = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        match read(text, 0) {
            Ok((value, end)) if end == text.len() => value.to_json().to_string(),
            Ok((_, end)) => format!("ends at {end}"),
            Err(broken) => format!("{}: {}", broken.at, broken.message),
        }
    }

    #[test]
    fn reads_what_serde_json_reads() {
        for text in [
            r#"{"b":[1,-2.5,1e3,"a\n\"\\\/\u00e9\ud83d\ude00",true,false,null],"a":{}}"#,
            " [ ] ",
            "[-1, 0.5, 9223372036854775807, 9223372036854775808]",
        ] {
            let wanted: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(read(text, 0).unwrap().0, Value::from_json(&wanted), "{text}");
        }
    }

    #[test]
    fn says_where_it_breaks() {
        for (text, wanted) in [
            (r#"{"a": tru"#, "6: the JSON breaks off: expected a value, found `t`"),
            (r#"{"a": 1"#, "7: the JSON breaks off: expected a comma or `}`, found the end of the answer"),
            (r#"{"a": "b"#, "8: the JSON breaks off at .a inside a string"),
            (r#"{"a": [1, {"b": "c"#, "18: the JSON breaks off at .a[1].b inside a string"),
            (
                r#"{"a": [1, {"b": 2"#,
                "17: the JSON breaks off at .a[1]: expected a comma or `}`, found the end of the answer",
            ),
            (r#"{"a": 1, "b"#, "11: the JSON breaks off inside a string"),
            (r#"{"a":1,"a":2}"#, "7: the key `a` stands twice in one object"),
            ("[1,]", "3: the JSON breaks off: expected a value, found `]`"),
            ("[01]", "1: a number in JSON does not begin with 0"),
            (r#"["\ud800"]"#, "2: this escape is half of a character"),
            (r#"["\x"]"#, "2: JSON has no such escape"),
            (r#"["\u12"#, "6: expected four hexadecimal digits after `\\u`"),
            ("[1e999]", "1: this number is too large"),
            ("[1.]", "3: the JSON breaks off: expected a digit, found `]`"),
        ] {
            assert_eq!(show(text), wanted, "{text}");
        }
    }

    #[test]
    fn places_of_values() {
        let text = r#"x {"a": [1, {"b":  "c"}]}"#;
        assert_eq!(locate(text, 2, ".a[1].b"), Some(19));
        assert_eq!(locate(text, 2, ""), Some(2));
        assert_eq!(locate(text, 2, ".c"), None);
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(read(&deep(DEPTH), 0).is_ok());
        assert!(read(&deep(DEPTH + 1), 0).unwrap_err().message.contains("nested"));
    }
}
