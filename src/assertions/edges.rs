//! `starts-with` and `ends-with`: how the text begins and ends, to the letter.

use super::bound::Bound;
use super::outcome::{Check, Outcome, Subject, Undecided};
use super::places::quoted;
use super::spec::{ArgumentKind, Arguments, AssertionSpec, BuildError, Part};

/// The description of `starts-with`.
pub static STARTS_WITH: AssertionSpec = AssertionSpec {
    name: "starts-with",
    doc: "the text begins with this one",
    argument: ArgumentKind::Text,
    bound: Bound::None,
    build: |arguments| build("starts-with", arguments, true),
};

/// The description of `ends-with`.
pub static ENDS_WITH: AssertionSpec = AssertionSpec {
    name: "ends-with",
    doc: "the text ends with this one",
    argument: ArgumentKind::Text,
    bound: Bound::None,
    build: |arguments| build("ends-with", arguments, false),
};

fn build(name: &'static str, arguments: &Arguments, start: bool) -> Result<Box<dyn Check>, BuildError> {
    let wanted = arguments.text();
    if wanted.is_empty() {
        return Err(BuildError::new(
            Part::Argument,
            format!("`{name}` is given an empty text, so every text would do"),
        )
        .help("to ask for an empty text write equals \"\""));
    }
    Ok(Box::new(Edge { name, wanted, start }))
}

struct Edge {
    name: &'static str,
    wanted: String,
    start: bool,
}

impl Check for Edge {
    fn check(&self, subject: &Subject<'_>) -> Result<Outcome, Undecided> {
        let (text, wanted) = (subject.text, self.wanted.as_str());
        let pass = if self.start { text.starts_with(wanted) } else { text.ends_with(wanted) };
        let length = wanted.chars().count();
        let edge: String = match self.start {
            true => text.chars().take(length).collect(),
            false => text.chars().skip(text.chars().count().saturating_sub(length)).collect(),
        };
        let verb = if self.start { "begins" } else { "ends" };
        let blanks = match self.start {
            true => text.trim_start().starts_with(wanted),
            false => text.trim_end().ends_with(wanted),
        };
        let hint = if !pass && blanks { ", where blanks or line ends stand outside" } else { "" };
        let why = match text.is_empty() {
            true => "the text is empty".to_owned(),
            false => format!("the text {verb} with {}{hint}", quoted(&edge)),
        };
        let expected = format!("{} {}", self.name, quoted(wanted));
        Ok(Outcome { pass, score: None, expected, actual: text.to_owned(), why, comparable: false })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, refused};
    use super::*;
    use crate::value::Value;

    #[test]
    fn beginnings_and_ends() {
        assert!(check(&STARTS_WITH, "감".into(), "감자").pass);
        assert!(check(&ENDS_WITH, "자".into(), "감자").pass);
        let outcome = check(&ENDS_WITH, "end.".into(), "the end.\n");
        assert!(!outcome.pass);
        assert_eq!(outcome.why, "the text ends with \"nd.\\n\", where blanks or line ends stand outside");
        assert_eq!(check(&STARTS_WITH, "x".into(), "").why, "the text is empty");
        assert!(check(&STARTS_WITH, "longer than it".into(), "lo").why.contains("\"lo\""));
        assert!(refused(&STARTS_WITH, Value::Int(4)).help.unwrap().contains("starts-with \"4\""));
        assert!(refused(&ENDS_WITH, "".into()).message.contains("empty"));
    }
}
