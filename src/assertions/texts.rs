//! Texts that stand behind an assertion's name.

use super::spec::{Arguments, BuildError, Part};
use crate::value::Value;

/// A value that counts as text or is a number, as it prints.
pub(super) fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Int(_) | Value::Float(_) => Some(value.to_json().to_string()),
        value => value.as_text().map(std::borrow::Cow::into_owned),
    }
}

/// The texts of a list, or those between the commas of a text. None where there is no argument.
///
/// # Errors
/// A text with commas whose quotes are not closed.
pub(super) fn listed(arguments: &Arguments) -> Result<Option<Vec<String>>, BuildError> {
    match &arguments.value {
        None => Ok(None),
        Some(Value::List(items)) => Ok(Some(items.iter().filter_map(plain).collect())),
        Some(value) => split(&value.as_text().unwrap_or_default()).map(Some),
    }
}

/// A text, or the texts of a list.
pub(super) fn references(arguments: &Arguments) -> Vec<String> {
    match &arguments.value {
        Some(Value::List(items)) => items.iter().filter_map(plain).collect(),
        Some(value) => plain(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// What stands between the commas of `text`, trimmed; empty stretches do not count. One in double quotes is taken as it
/// stands, commas too; in it `""` and `\"` are a quote, `\\` is a backslash.
fn split(text: &str) -> Result<Vec<String>, BuildError> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        if rest.is_empty() {
            return Ok(found);
        }
        if rest.starts_with('"') {
            let (field, after) = quoted_field(rest).ok_or_else(|| {
                BuildError::new(Part::Argument, "a quote in the list of texts is never closed")
                    .help("a list in brackets needs no quotes within quotes: [\"a, b\", \"c\"]")
            })?;
            found.push(field);
            rest = after.trim_start();
            if let Some(c) = rest.chars().next().filter(|c| *c != ',') {
                return Err(BuildError::new(
                    Part::Argument,
                    format!("in the list of texts a comma is wanted after the closing quote, found `{c}`"),
                )
                .help("a list in brackets needs no quotes within quotes: [\"a, b\", \"c\"]"));
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            found.push(rest[..end].trim_end().to_owned());
            rest = &rest[end..];
        }
    }
}

/// What stands between the quote that `text` begins with and its end, and what comes after.
fn quoted_field(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        match (c, next) {
            ('\\', Some(n @ ('"' | '\\'))) | ('"', Some(n @ '"')) => {
                field.push(n);
                chars.next();
            }
            ('"', _) => return Some((field, &text[at + 1..])),
            _ => field.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_split_at_commas() {
        for (text, wanted) in [
            ("a , b", vec!["a", "b"]),
            ("\"Hello, world\",x", vec!["Hello, world", "x"]),
            (r#""a""b",c"#, vec!["a\"b", "c"]),
            (r#""a\"b\\" , c d "#, vec!["a\"b\\", "c d"]),
            ("  ,,", vec![]),
            ("", vec![]),
            ("세계,감자", vec!["세계", "감자"]),
            ("a\"b", vec!["a\"b"]),
            ("\"\"", vec![""]),
        ] {
            assert_eq!(split(text).unwrap(), wanted, "{text}");
        }
        assert!(split("\"a").unwrap_err().message.contains("never closed"));
        assert!(split("\"a\" b").unwrap_err().message.contains("found `b`"));
    }
}
