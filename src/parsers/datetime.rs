//! `datetime`: the only date and time in the answer.
//!
//! Without `format:` it is RFC 3339 (`2024-05-06T07:08:09Z`), given as text with `T` and `Z` in capitals. A format has
//! the conversions of strftime; what it lacks is not made up, so the value is a date (`2024-05-06`), a date and time, or
//! RFC 3339 where the format has an offset.

use std::sync::Arc;

use jiff::fmt::strtime::BrokenDownTime;
use regex::Regex;

use super::answer;
use super::spec::{
    Arguments, BuildError, OptionKind, ParseError, ParserArgument, ParserOption, ParserSpec, REPAIR, Rule,
};
use crate::value::{Type, Value, not_rfc3339};

/// The description of `datetime`.
pub static SPEC: ParserSpec = ParserSpec {
    name: "datetime",
    doc: "the only date and time in the answer, as RFC 3339 unless a format is given",
    argument: ParserArgument::None,
    options: &[FORMAT, REPAIR],
    build,
};

const FORMAT: ParserOption = ParserOption {
    name: "format",
    kind: OptionKind::Text,
    default: "RFC 3339",
    doc: "how the date is written, in strftime's conversions, as \"%d/%m/%Y\"",
};

/// The conversions that a format may have, with the patterns of what they take.
const CONVERSIONS: &[(&str, &str)] = &[
    ("Y", "[0-9]{4}"),
    ("y", "[0-9]{2}"),
    ("m", "[0-9]{1,2}"),
    ("d", "[0-9]{1,2}"),
    ("e", " ?[0-9]{1,2}"),
    ("j", "[0-9]{1,3}"),
    ("B", "[A-Za-z]+"),
    ("b", "[A-Za-z]{3}"),
    ("A", "[A-Za-z]+"),
    ("a", "[A-Za-z]{3}"),
    ("H", "[0-9]{1,2}"),
    ("I", "[0-9]{1,2}"),
    ("M", "[0-9]{1,2}"),
    ("S", "[0-9]{1,2}"),
    ("f", "[0-9]{1,9}"),
    (".f", r"(?:\.[0-9]{1,9})?"),
    ("p", "[AaPp][Mm]"),
    ("z", "[+-][0-9]{4}"),
    (":z", "[+-][0-9]{2}:[0-9]{2}"),
    ("F", "[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    ("T", "[0-9]{1,2}:[0-9]{2}:[0-9]{2}"),
    ("R", "[0-9]{1,2}:[0-9]{2}"),
    ("D", "[0-9]{1,2}/[0-9]{1,2}/[0-9]{2}"),
    ("%", "%"),
];

/// Conversions of the time of day.
const TIME: &[&str] = &["H", "I", "M", "S", "f", ".f", "p", "T", "R"];

/// A date, and what may follow it in RFC 3339 or near it: what is near is refused with a reason.
const RFC_3339: &str =
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?)?";

struct DateTime {
    /// What looks like one in an answer.
    pattern: Regex,
    format: Option<Format>,
}

struct Format {
    written: String,
    time: bool,
    offset: bool,
    /// A date and time in it, to show.
    example: String,
}

fn build(arguments: &Arguments<'_>) -> Result<Arc<dyn Rule>, BuildError> {
    let unreadable = |e: &dyn std::fmt::Display| {
        BuildError::new(format!("the format of `datetime` cannot be read: {e}")).option("format")
    };
    let Some(written) = arguments.text("format") else {
        return Ok(Arc::new(DateTime { pattern: Regex::new(RFC_3339).map_err(|e| unreadable(&e))?, format: None }));
    };
    let (pattern, conversions) = pattern(written)?;
    let has = |names: &[&str]| conversions.iter().any(|c| names.contains(c));
    let mut rule = DateTime {
        pattern: Regex::new(&pattern).map_err(|e| unreadable(&e))?,
        format: Some(Format {
            written: written.to_owned(),
            time: has(TIME),
            offset: has(&["z", ":z"]),
            example: String::new(),
        }),
    };
    let mut sample = BrokenDownTime::from(jiff::civil::date(2024, 11, 26).at(17, 8, 9, 500_000_000));
    sample.set_offset(Some(jiff::tz::Offset::UTC));
    let example = sample.to_string(written).map_err(|e| unreadable(&e))?;
    if has(&["I"]) != has(&["p"]) {
        return Err(BuildError::new("in a format, `%I` (hours to 12) and `%p` (AM or PM) go together").option("format"));
    }
    if let Err(error) = rule.parse(&example) {
        let why = error.message.lines().next().unwrap_or_default().to_owned();
        return Err(BuildError::new(format!(
            "the format of `datetime` does not say a whole date and time: of {example:?} it reads that {why}"
        ))
        .option("format")
        .help("it needs the year, the month and the day, and the hour if minutes: as \"%Y-%m-%d %H:%M\""));
    }
    if let Some(format) = &mut rule.format {
        format.example = example;
    }
    Ok(Arc::new(rule))
}

/// The pattern of what `format` takes, and its conversions.
fn pattern(format: &str) -> Result<(String, Vec<&'static str>), BuildError> {
    let mut pattern = String::new();
    let mut conversions = Vec::new();
    let mut rest = format;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c.is_whitespace() {
            pattern.push_str(r"\s+");
            rest = rest.trim_start();
            continue;
        }
        if c != '%' {
            pattern.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
            continue;
        }
        let Some((name, takes)) = CONVERSIONS.iter().find(|(name, _)| rest.starts_with(name)) else {
            let seen: String = rest.chars().take(1).collect();
            let all: Vec<String> = CONVERSIONS.iter().map(|(name, _)| format!("%{name}")).collect();
            return Err(BuildError::new(format!("a format of `datetime` has no `%{seen}`"))
                .option("format")
                .help(format!("it has {}", all.join(" "))));
        };
        rest = &rest[name.len()..];
        conversions.push(*name);
        pattern.push_str(takes);
    }
    Ok((pattern, conversions))
}

impl Rule for DateTime {
    fn parse(&self, text: &str) -> Result<Value, ParseError> {
        let (offset, rest) = answer::without_thinking(text)?;
        let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let mut found = self.pattern.find_iter(rest).filter(|m| {
            !m.is_empty() && !word(rest[..m.start()].chars().next_back()) && !word(rest[m.end()..].chars().next())
        });
        let Some(first) = found.next() else {
            let error = ParseError::new(format!("the answer holds no {}: {}", self.what(), answer::quoted(rest)));
            return Err(error.help(format!("as {}", self.example())));
        };
        if let Some(second) = found.next() {
            let message = "the answer holds more than one date; a second begins here";
            return Err(answer::at(text, offset + second.start(), message));
        }
        let wrong = |why: &str| {
            let message = format!("this is no {}: {why}", self.what());
            answer::at(text, offset + first.start(), message).help(format!("as {}", self.example()))
        };
        match &self.format {
            None => match not_rfc3339(first.as_str()) {
                Some(why) => Err(wrong(why)),
                None => {
                    let upper = first.as_str().to_uppercase();
                    Ok(upper.replacen(' ', "T", 1).into())
                }
            },
            Some(format) => format.read(first.as_str()).map(Value::from).ok_or_else(|| wrong("there is no such time")),
        }
    }

    fn output_type(&self) -> Type {
        match &self.format {
            Some(format) if !(format.offset && format.time) => Type::Text,
            _ => Type::DateTime,
        }
    }

    fn format_instructions(&self) -> String {
        match &self.format {
            None => {
                "Answer with one date and time in RFC 3339 form, as 2024-11-26T17:08:09Z, and nothing else.".to_owned()
            }
            Some(format) => {
                let what = if format.time { "date and time" } else { "date" };
                format!(
                    "Answer with one {what} in the form {}, as {}, and nothing else.",
                    format.written, format.example
                )
            }
        }
    }
}

impl DateTime {
    fn what(&self) -> String {
        match &self.format {
            None => "datetime of RFC 3339".to_owned(),
            Some(format) => format!("datetime in the form `{}`", format.written),
        }
    }

    fn example(&self) -> &str {
        self.format.as_ref().map_or("2024-11-26T17:08:09Z", |f| &f.example)
    }
}

impl Format {
    fn read(&self, text: &str) -> Option<String> {
        let parts = BrokenDownTime::parse(&self.written, text).ok()?;
        let date = parts.to_date().ok()?;
        if !self.time {
            return Some(date.to_string());
        }
        let time = parts.to_time().ok()?;
        if !self.offset {
            return Some(date.to_datetime(time).to_string());
        }
        let seconds = parts.offset()?.seconds();
        let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
        Some(match seconds {
            0 => format!("{date}T{time}Z"),
            _ => format!("{date}T{time}{sign}{:02}:{:02}", minutes / 60, minutes % 60),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parsers::{Parser, build as make, find};

    fn parser(format: Option<&str>) -> Result<Parser, BuildError> {
        let options = format.map(|f| ("format".to_owned(), Value::from(f)));
        make(find("datetime").unwrap(), None, None, &options.into_iter().collect())
    }

    fn show(format: Option<&str>, text: &str) -> String {
        let read = parser(format).unwrap().parse(text);
        read.map_or_else(|e| e.message, |v| v.as_text().unwrap_or_default().into_owned())
    }

    #[test]
    fn rfc_3339() {
        for text in [
            "2024-05-06T07:08:09Z",
            "It was 2024-05-06 07:08:09z.",
            "<think>2023-01-01T00:00:00Z</think>\n```\n2024-05-06T07:08:09Z\n```",
        ] {
            assert_eq!(show(None, text), "2024-05-06T07:08:09Z", "{text}");
        }
        for (text, why) in [
            ("whenever you like", "no datetime"),
            ("2024-05-06", "without a time"),
            ("2024-05-06T07:08", "a time, as"),
            ("2024-05-06T07:08:09", "no offset"),
            ("2024-02-30T07:08:09Z", "no such date"),
            ("2024-05-06T07:08:09Z or 2024-05-07T07:08:09Z", "more than one"),
        ] {
            assert!(show(None, text).contains(why), "{text}: {}", show(None, text));
        }
    }

    #[test]
    fn formats() {
        for (format, text, wanted) in [
            ("%Y-%m-%d", " 2023-07-04 \n", "2023-07-04"),
            ("%d/%m/%Y %H:%M", "on 04/07/2023 14:30.", "2023-07-04T14:30:00"),
            ("%B %d, %Y", "July 04, 2023", "2023-07-04"),
            ("%Y-%m-%dT%H:%M:%S.%fZ", "2023-07-04T14:30:00.000000Z", "2023-07-04T14:30:00"),
            ("%Y-%m-%d %H:%M %z", "2023-07-04 14:30 +0900", "2023-07-04T14:30:00+09:00"),
            ("%Y-%m-%d %H:%M %z", "2023-07-04 14:30 -0330", "2023-07-04T14:30:00-03:30"),
            ("%b %e %Y, %I:%M %p", "Jul 4 2023, 2:30 PM", "2023-07-04T14:30:00"),
        ] {
            assert_eq!(show(Some(format), text), wanted, "{text}");
        }
        assert!(show(Some("%Y-%m-%d"), "2023-02-30").contains("no such time"));
        assert!(show(Some("%Y-%m-%d"), "04/07/2023").contains("no datetime in the form"));
        assert!(show(Some("%d/%m/%Y"), "04/07/20233").contains("no datetime in the form"));
        assert_eq!(parser(Some("%F")).unwrap().output_type(), Type::Text);
        assert_eq!(parser(Some("%F %T%:z")).unwrap().output_type(), Type::DateTime);
    }

    #[test]
    fn formats_are_checked() {
        for (format, why) in [
            ("%Q", "has no `%Q`"),
            ("%", "has no `%`"),
            ("%H:%M", "whole date"),
            ("%Y-%m", "whole date"),
            ("%F %I:%M", "go together"),
            ("soon", "whole date"),
        ] {
            let error = parser(Some(format)).unwrap_err();
            assert!(error.message.contains(why), "{format}: {}", error.message);
        }
    }
}
