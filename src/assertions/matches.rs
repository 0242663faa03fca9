//! `matches`: a regular expression has a match somewhere in the text.
//!
//! The syntax is that of the crate `fancy-regex`: that of the parser `regex`, with look-around and references to groups
//! besides. `\d`, `\w` and `\b` know all of Unicode, `.` is one character. Without look-around and references the time is
//! linear in the text; with them it is bounded, and a pattern that needs more is an error.

use fancy_regex::{Regex, RegexBuilder};

use super::bound::Bound;
use super::outcome::{Check, Outcome, Subject, Undecided};
use super::places::{place, quoted};
use super::spec::{ArgumentKind, Arguments, AssertionSpec, BuildError, Part};

/// The description of `matches`.
pub static SPEC: AssertionSpec = AssertionSpec {
    name: "matches",
    doc: "the regular expression has a match somewhere in the text",
    argument: ArgumentKind::Pattern,
    bound: Bound::None,
    build,
};

/// Steps back that one search may take.
const STEPS: usize = 1_000_000;

fn build(arguments: &Arguments) -> Result<Box<dyn Check>, BuildError> {
    let written = arguments.text();
    if written.is_empty() {
        return Err(BuildError::new(Part::Argument, "`matches` is given an empty pattern, which matches every text")
            .help("to ask for an empty text write equals \"\""));
    }
    let regex = RegexBuilder::new(&written).backtrack_limit(STEPS).build().map_err(|error| unreadable(&error))?;
    Ok(Box::new(Matches { regex, written }))
}

fn unreadable(error: &fancy_regex::Error) -> BuildError {
    let text = error.to_string();
    // The crate shows the pattern with a caret in several lines and says why in the last one.
    let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    BuildError::new(Part::Argument, format!("the pattern of `matches` cannot be read: {why}"))
        .help("a character that means itself is written with a backslash, as \\[ or \\.")
}

struct Matches {
    regex: Regex,
    written: String,
}

impl Check for Matches {
    fn check(&self, subject: &Subject<'_>) -> Result<Outcome, Undecided> {
        let found = self.regex.find(subject.text).map_err(|error| {
            Undecided::new(format!("the pattern {} takes too long on this text: {error}", quoted(&self.written)))
                .help("a pattern without look-around and without references to groups never does")
        })?;
        let why = match &found {
            Some(m) => format!("{} at {} matches", quoted(m.as_str()), place(subject.text, m.start())),
            None => "nothing in the text matches".to_owned(),
        };
        let expected = format!("matches {}", quoted(&self.written));
        let actual = subject.text.to_owned();
        Ok(Outcome { pass: found.is_some(), score: None, expected, actual, why, comparable: false })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, refused, subject};
    use super::super::{Arguments, build as make};
    use super::*;

    #[test]
    fn patterns_are_searched() {
        let outcome = check(&SPEC, r"\d{2}".into(), "The answer\nis 42.");
        assert!(outcome.pass);
        assert_eq!(outcome.why, "\"42\" at line 2, column 4 matches");
        assert!(check(&SPEC, "(?=.*H)(?=.*w)".into(), "Hello world").pass);
        assert!(check(&SPEC, r"(\w)\1".into(), "hello").pass && !check(&SPEC, r"(\w)\1".into(), "helo").pass);
        assert!(check(&SPEC, "^$".into(), "").pass && !check(&SPEC, ".".into(), "\n").pass);
        assert!(check(&SPEC, r"^\p{L}+$".into(), "감자").pass);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert!(refused(&SPEC, "[".into()).message.contains("cannot be read"));
        assert!(refused(&SPEC, "".into()).message.contains("empty"));
    }

    #[test]
    fn a_pattern_that_takes_too_long_is_told() {
        let arguments = Arguments { value: Some(r"^(a|a)*\1b$".into()), ..Arguments::default() };
        let pattern = make(&SPEC, &arguments).unwrap();
        let facts = super::super::Facts::default();
        let undecided = pattern.check(&subject(&"a".repeat(5000), &facts)).unwrap_err();
        assert!(undecided.message.contains("takes too long"), "{}", undecided.message);
    }
}
