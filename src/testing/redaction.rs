//! What of a value is not compared with its snapshot: dates, numbers of calls, whatever is another each time.

use regex::Regex;

/// A pattern, and what takes the place of what it matches.
#[derive(Clone, Debug)]
pub struct Redaction {
    pattern: Regex,
    with: String,
}

impl Redaction {
    /// `with` in the place of what `pattern` matches, as it is written.
    ///
    /// # Errors
    /// The pattern is none, or matches everywhere.
    pub fn new(pattern: &str, with: &str) -> Result<Self, String> {
        let made = Regex::new(pattern).map_err(|e| {
            let why = e.to_string();
            let last = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!("`{pattern}` is no regular expression: {last}")
        })?;
        if made.is_match("") {
            return Err(format!("`{pattern}` matches the empty text, so it would stand between all letters"));
        }
        Ok(Self { pattern: made, with: with.to_owned() })
    }
}

/// `text` with what these say in the places of what they match, one after the other.
pub fn redacted(text: &str, redactions: &[Redaction]) -> String {
    redactions.iter().fold(text.to_owned(), |text, redaction| {
        redaction.pattern.replace_all(&text, regex::NoExpand(&redaction.with)).into_owned()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_matches_is_replaced_as_it_is_written() {
        let all = [Redaction::new("[0-9]+ ms", "[time]").unwrap(), Redaction::new("id-(.)", "$1").unwrap()];
        assert_eq!(redacted("12 ms, id-7, 3 ms", &all), "[time], $1, [time]");
        assert_eq!(redacted("", &all), "");
        for (wrong, part) in [("[", "unclosed character class"), ("x*", "empty text")] {
            let why = Redaction::new(wrong, "").unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }
}
