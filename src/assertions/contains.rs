//! `contains` and its family: texts that stand somewhere in the text.
//!
//! Those with an `i` ignore the case of letters: both sides are taken in small letters, by Unicode's rules that depend
//! on no language. Accents and composed characters are not made alike.

use super::bound::Bound;
use super::outcome::{Check, Outcome, Subject, Undecided};
use super::places::{all_quoted, place, quoted};
use super::spec::{ArgumentKind, Arguments, AssertionSpec, BuildError, Part};
use super::texts::{listed, plain};

/// The description of `contains`.
pub static CONTAINS: AssertionSpec = AssertionSpec {
    name: "contains",
    doc: "the text or number stands in the text",
    argument: ArgumentKind::TextOrNumber,
    bound: Bound::None,
    build: |arguments| one("contains", arguments, false),
};

/// The description of `icontains`.
pub static ICONTAINS: AssertionSpec = AssertionSpec {
    name: "icontains",
    doc: "as `contains`, whatever the case of the letters",
    argument: ArgumentKind::TextOrNumber,
    bound: Bound::None,
    build: |arguments| one("icontains", arguments, true),
};

/// The description of `contains-any`.
pub static CONTAINS_ANY: AssertionSpec = AssertionSpec {
    name: "contains-any",
    doc: "at least one of the texts stands in the text",
    argument: ArgumentKind::Texts,
    bound: Bound::None,
    build: |arguments| several("contains-any", arguments, false, false),
};

/// The description of `contains-all`.
pub static CONTAINS_ALL: AssertionSpec = AssertionSpec {
    name: "contains-all",
    doc: "each of the texts stands in the text",
    argument: ArgumentKind::Texts,
    bound: Bound::None,
    build: |arguments| several("contains-all", arguments, false, true),
};

/// The description of `icontains-any`.
pub static ICONTAINS_ANY: AssertionSpec = AssertionSpec {
    name: "icontains-any",
    doc: "as `contains-any`, whatever the case of the letters",
    argument: ArgumentKind::Texts,
    bound: Bound::None,
    build: |arguments| several("icontains-any", arguments, true, false),
};

/// The description of `icontains-all`.
pub static ICONTAINS_ALL: AssertionSpec = AssertionSpec {
    name: "icontains-all",
    doc: "as `contains-all`, whatever the case of the letters",
    argument: ArgumentKind::Texts,
    bound: Bound::None,
    build: |arguments| several("icontains-all", arguments, true, true),
};

fn one(name: &'static str, arguments: &Arguments, any_case: bool) -> Result<Box<dyn Check>, BuildError> {
    let wanted = arguments.value.as_ref().and_then(plain).unwrap_or_default();
    if wanted.is_empty() {
        return Err(BuildError::new(
            Part::Argument,
            format!("`{name}` is given an empty text, which every text contains"),
        )
        .help("to ask for an empty text write equals \"\""));
    }
    Ok(Box::new(Contains { name, wanted, any_case }))
}

struct Contains {
    name: &'static str,
    wanted: String,
    any_case: bool,
}

impl Check for Contains {
    fn check(&self, subject: &Subject<'_>) -> Result<Outcome, Undecided> {
        let text = subject.text;
        let shown = quoted(&self.wanted);
        let exact = text.find(&self.wanted);
        let small = || text.to_lowercase().contains(&self.wanted.to_lowercase());
        let (pass, why) = match exact {
            Some(at) => (true, format!("{shown} stands at {}", place(text, at))),
            None if self.any_case && small() => (true, format!("{shown} stands in the text in other letters")),
            None if !self.any_case && small() => (
                false,
                format!("{shown} stands in the text with other capital letters alone; `icontains` ignores those"),
            ),
            None => (false, format!("{shown} does not stand in the text")),
        };
        let expected = format!("{} {shown}", self.name);
        Ok(Outcome { pass, score: None, expected, actual: text.to_owned(), why, comparable: false })
    }
}

fn several(name: &'static str, arguments: &Arguments, any_case: bool, all: bool) -> Result<Box<dyn Check>, BuildError> {
    let wanted = listed(arguments)?.unwrap_or_default();
    Ok(Box::new(Several { name, wanted, any_case, all }))
}

struct Several {
    name: &'static str,
    wanted: Vec<String>,
    any_case: bool,
    /// All of them, or at least one.
    all: bool,
}

impl Check for Several {
    fn check(&self, subject: &Subject<'_>) -> Result<Outcome, Undecided> {
        let lower = if self.any_case { subject.text.to_lowercase() } else { String::new() };
        let stands = |wanted: &&String| match self.any_case {
            true => lower.contains(&wanted.to_lowercase()),
            false => subject.text.contains(wanted.as_str()),
        };
        let (found, missing): (Vec<&String>, Vec<&String>) = self.wanted.iter().partition(stands);
        let list = |texts: &[&String]| all_quoted(texts.iter().map(|t| t.as_str()));
        let pass = if self.all { missing.is_empty() } else { !found.is_empty() };
        let why = match (found.is_empty(), missing.is_empty()) {
            (true, true) => "the list of texts is empty".to_owned(),
            (true, false) => format!("none of {} stands in the text", list(&missing)),
            (false, true) => format!("{} stands in the text", list(&found)),
            (false, false) => format!("{} stands in the text, {} does not", list(&found), list(&missing)),
        };
        let expected = format!("{} [{}]", self.name, all_quoted(self.wanted.iter().map(String::as_str)));
        Ok(Outcome { pass, score: None, expected, actual: subject.text.to_owned(), why, comparable: false })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, refused};
    use super::*;
    use crate::value::Value;

    #[test]
    fn one_text() {
        let outcome = check(&CONTAINS, "tuber".into(), "A\r\nnice tuber");
        assert!(outcome.pass && outcome.why.ends_with("line 2, column 6"), "{}", outcome.why);
        let outcome = check(&CONTAINS, "Tuber".into(), "a tuber");
        assert!(!outcome.pass && outcome.why.contains("`icontains`"), "{}", outcome.why);
        assert!(check(&ICONTAINS, "STRASSE".into(), "die Strasse").pass);
        assert!(!check(&ICONTAINS, "STRASSE".into(), "die Straße").pass);
        assert!(check(&CONTAINS, Value::Int(42), "The answer is 42.").pass);
        assert!(check(&CONTAINS, Value::Float(1.5), "1.5").pass);
        assert!(refused(&CONTAINS, "".into()).help.unwrap().contains("equals"));
        assert!(refused(&CONTAINS, Value::Bool(true)).message.contains("not bool true"));
    }

    #[test]
    fn several_texts() {
        let list = |texts: &[&str]| Value::list(texts.iter().map(|t| (*t).into()).collect());
        assert!(check(&CONTAINS_ANY, list(&["x", "b"]), "abc").pass);
        let outcome = check(&CONTAINS_ALL, list(&["x", "b"]), "abc");
        assert!(!outcome.pass);
        assert_eq!(outcome.why, "\"b\" stands in the text, \"x\" does not");
        assert_eq!(outcome.expected, "contains-all [\"x\", \"b\"]");
        assert!(check(&ICONTAINS_ALL, "A, C".into(), "abc").pass);
        assert!(!check(&ICONTAINS_ANY, list(&[]), "abc").pass);
        assert!(check(&CONTAINS_ALL, list(&[]), "abc").pass);
        assert!(refused(&CONTAINS_ALL, Value::list(vec![Value::Null])).message.contains("a list of texts"));
    }
}
