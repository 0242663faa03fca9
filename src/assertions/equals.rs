//! `equals`: the whole text is the value.
//!
//! A text must be the same character for character, blanks and line ends too. A number or a truth value is compared as
//! it prints. For a list, a map or null the text must be JSON (see [`crate::parsers::json_document`]) of the same value:
//! the order of keys does not count, and 1 is 1.0.

use super::bound::Bound;
use super::outcome::{Check, Outcome, Subject, Undecided};
use super::places::{place, quoted};
use super::spec::{ArgumentKind, Arguments, AssertionSpec, BuildError};
use super::texts::plain;
use crate::parsers::json_document;
use crate::value::Value;

/// The description of `equals`.
pub static SPEC: AssertionSpec = AssertionSpec {
    name: "equals",
    doc: "the whole text is this one, or is JSON of this list or map",
    argument: ArgumentKind::Any,
    bound: Bound::None,
    build,
};

fn build(arguments: &Arguments) -> Result<Box<dyn Check>, BuildError> {
    let value = arguments.value.clone().unwrap_or(Value::Null);
    let text = match &value {
        Value::Bool(b) => Some(b.to_string()),
        value => plain(value),
    };
    Ok(match text {
        Some(wanted) => Box::new(Text { wanted }),
        None => Box::new(Data { wanted: value }),
    })
}

struct Text {
    wanted: String,
}

impl Check for Text {
    fn check(&self, subject: &Subject<'_>) -> Result<Outcome, Undecided> {
        let pass = self.wanted == subject.text;
        Ok(Outcome {
            pass,
            score: None,
            expected: self.wanted.clone(),
            actual: subject.text.to_owned(),
            why: if pass { "the texts are the same".to_owned() } else { difference(&self.wanted, subject.text) },
            comparable: true,
        })
    }
}

/// Where `text` leaves `wanted`, which it is not.
fn difference(wanted: &str, text: &str) -> String {
    if wanted.trim() == text.trim() {
        return "the texts differ in blanks at the beginning or the end alone".to_owned();
    }
    if wanted.replace("\r\n", "\n") == text.replace("\r\n", "\n") {
        return "the texts differ in the ends of lines alone: one has CR LF, the other LF".to_owned();
    }
    let same = wanted.chars().zip(text.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum::<usize>();
    let seen = |text: &str| match text[same..].chars().next() {
        Some(c) => quoted(c.encode_utf8(&mut [0; 4])),
        None => "the end".to_owned(),
    };
    let case = if wanted.to_lowercase() == text.to_lowercase() { "; they differ in capital letters alone" } else { "" };
    format!("the texts part at {}: {} was wanted, found {}{case}", place(text, same), seen(wanted), seen(text))
}

struct Data {
    wanted: Value,
}

impl Check for Data {
    fn check(&self, subject: &Subject<'_>) -> Result<Outcome, Undecided> {
        let found = json_document(subject.text);
        let pass = found.as_ref().is_ok_and(|value| same(value, &self.wanted));
        let why = match &found {
            Ok(_) if pass => "the values are the same".to_owned(),
            Ok(_) => "the values are not the same".to_owned(),
            Err(error) => format!("the text is no JSON: {}", error.message),
        };
        // Both in one form, so that a difference shows what differs.
        let form = |value: &Value| serde_json::to_string_pretty(&value.to_json()).unwrap_or_default();
        let actual = found.as_ref().map_or_else(|_| subject.text.to_owned(), form);
        Ok(Outcome { pass, score: None, expected: form(&self.wanted), actual, why, comparable: true })
    }
}

/// Whether two values of JSON are the same.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(n), Value::Float(x)) | (Value::Float(x), Value::Int(n)) => {
            // Beyond 2^53 several whole numbers are one float; there only a float equals a float.
            x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0 && *n == *x as i64
        }
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_held_to_the_letter() {
        assert!(check(&SPEC, "".into(), "").pass);
        let cases = [
            ("A tuber.", "A tuber!", "the texts part at line 1, column 8: \".\" was wanted, found \"!\""),
            ("a\nb", "a\nbc", "line 2, column 2: the end was wanted, found \"c\""),
            ("a\nb", "a\r\nb", "ends of lines"),
            ("a", " a\n", "blanks at the beginning or the end"),
            ("감자", "감", "line 1, column 2: \"자\" was wanted, found the end"),
            ("Potato", "potato", "capital letters alone"),
        ];
        for (wanted, text, why) in cases {
            let outcome = check(&SPEC, wanted.into(), text);
            assert!(!outcome.pass && outcome.why.contains(why), "{}", outcome.why);
        }
    }

    #[test]
    fn data_is_held_by_value() {
        let value = |v: serde_json::Value| Value::from_json(&v);
        assert!(check(&SPEC, value(json!({"a": 1, "b": [2.0]})), " {\"b\": [2], \"a\": 1.0}\n").pass);
        assert!(!check(&SPEC, value(json!([1, 2])), "[2, 1]").pass);
        assert!(check(&SPEC, Value::Null, "null").pass);
        assert!(check(&SPEC, Value::Int(42), "42").pass && !check(&SPEC, Value::Int(42), " 42").pass);
        assert!(check(&SPEC, Value::Bool(true), "true").pass);
        assert!(!check(&SPEC, value(json!(9_007_199_254_740_993_i64)), "9007199254740993.0").pass);
        let outcome = check(&SPEC, value(json!({})), "{");
        assert!(outcome.why.contains("no JSON"), "{}", outcome.why);
    }
}
