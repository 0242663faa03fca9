//! `number`: the only number of an answer.
//!
//! A number is written in digits, with a sign, a decimal point and an exponent where it has them. Commas between groups
//! of three digits are read as such (`1,234` is 1234); any other comma between digits could mean two things and is
//! refused. Digits that are part of a word or joined to one by a hyphen (`v2`, `5km`, `gpt-4`) are no number.

use std::sync::Arc;

use super::answer;
use super::spec::{ParseError, ParserArgument, ParserSpec, REPAIR, Rule};
use crate::value::{Constraint, Type, Value};

/// The description of `number`.
pub static SPEC: ParserSpec = ParserSpec {
    name: "number",
    doc: "the only number in the answer",
    argument: ParserArgument::None,
    options: &[REPAIR],
    build: |_| Ok(Arc::new(Number)),
};

struct Number;

impl Rule for Number {
    fn parse(&self, text: &str) -> Result<Value, ParseError> {
        let (offset, body) = answer::body(text)?;
        let mut found = Digits { text: body, from: 0 };
        let Some((from, to)) = found.next() else {
            return Err(ParseError::new(format!("the answer holds no number: {}", answer::quoted(body))));
        };
        if let Some((second, _)) = found.next() {
            return Err(answer::at(
                text,
                offset + second,
                "the answer holds more than one number; a second begins here",
            ));
        }
        read(&body[from..to]).map_err(|why| answer::at(text, offset + from, why))
    }

    fn output_type(&self) -> Type {
        Type::Float
    }

    fn constraint(&self) -> Option<Constraint> {
        Some(Constraint::JsonSchema(self.output_type().json_schema()))
    }

    fn format_instructions(&self) -> String {
        "Answer with one number in digits and nothing else.".to_owned()
    }
}

/// The stretches of a text that are numbers, by byte range: sign, digits, points, commas, exponent.
struct Digits<'t> {
    text: &'t str,
    from: usize,
}

impl Iterator for Digits<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let digit = self.from + self.text[self.from..].find(|c: char| c.is_ascii_digit())?;
            let end = end_of_digits(self.text, digit);
            let start = start_of_digits(self.text, digit);
            self.from = end;
            let before = self.text[..start].chars().next_back();
            let after = self.text[end..].chars().next();
            // A sign that does not stand alone is a hyphen, and a hyphen after a word joins the digits to it.
            let hyphen = before.is_some_and(|c| c == '-' || c == '−' || c == '+');
            let word = |c: char| c.is_alphabetic() || c == '_';
            let joined = hyphen && self.text[..start].chars().nth_back(1).is_some_and(word);
            if !before.is_some_and(word) && !after.is_some_and(word) && !joined {
                return Some((start, end));
            }
        }
    }
}

/// Where the number begins whose first digit is at `digit`: at a point and a sign before it, if those are its own.
fn start_of_digits(text: &str, digit: usize) -> usize {
    let own = |at: usize| !text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ')');
    let mut start = digit;
    if text[..start].ends_with('.') && own(start - 1) && !text[..start - 1].ends_with('.') {
        start -= 1;
    }
    for sign in ['-', '+', '−'] {
        if text[..start].ends_with(sign) && own(start - sign.len_utf8()) {
            return start - sign.len_utf8();
        }
    }
    start
}

/// Where the number ends whose first digit is at `digit`. Points and commas belong to it while a digit follows.
fn end_of_digits(text: &str, digit: usize) -> usize {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut end = digit;
    while is_digit(end) || (matches!(bytes.get(end), Some(b'.' | b',')) && is_digit(end + 1)) {
        end += 1;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if is_digit(end + 1 + sign) {
            end += 1 + sign;
            while is_digit(end) {
                end += 1;
            }
        }
    }
    end
}

/// The number that `written` is.
fn read(written: &str) -> Result<Value, String> {
    let plain = written.replace('−', "-");
    let (mantissa, exponent) = match plain.find(['e', 'E']) {
        Some(at) => plain.split_at(at),
        None => (plain.as_str(), ""),
    };
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    if fraction.is_some_and(|f| f.contains(['.', ','])) || !grouped(whole) {
        return Err("points and commas of this number can be read in more than one way".to_owned());
    }
    let whole = whole.replace(',', "");
    if fraction.is_none() && exponent.is_empty() {
        return whole.parse().map(Value::Int).map_err(|_| "this number does not fit 64 bits".to_owned());
    }
    match format!("{whole}.{}{exponent}", fraction.unwrap_or("0")).parse::<f64>() {
        Ok(x) if x.is_finite() => Ok(Value::Float(x)),
        _ => Err("this number is too large".to_owned()),
    }
}

/// Whether commas, if any, part `whole` into groups of three digits after one to three that do not begin with 0.
fn grouped(whole: &str) -> bool {
    let mut groups = whole.trim_start_matches(['-', '+']).split(',');
    let first = groups.next().unwrap_or("");
    let rest: Vec<&str> = groups.collect();
    rest.is_empty() || (first.len() <= 3 && !first.starts_with('0') && rest.iter().all(|g| g.len() == 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_number() {
        for (text, wanted) in [
            ("42", Value::Int(42)),
            ("The answer is 42.", Value::Int(42)),
            ("-7", Value::Int(-7)),
            ("−7", Value::Int(-7)),
            ("It is **+7**", Value::Int(7)),
            (" 3.25\n", Value::Float(3.25)),
            (".5", Value::Float(0.5)),
            ("x = -.5", Value::Float(-0.5)),
            ("1e3", Value::Float(1000.0)),
            ("6.02E+23", Value::Float(6.02e23)),
            ("1,234", Value::Int(1234)),
            ("1,234,567.5", Value::Float(1_234_567.5)),
            ("$5", Value::Int(5)),
            ("42%", Value::Int(42)),
            ("So, 42, I think", Value::Int(42)),
            ("<think>maybe 9</think>8", Value::Int(8)),
            ("```\n12\n```", Value::Int(12)),
            ("gpt-4 and v2 say 3", Value::Int(3)),
            ("...7", Value::Int(7)),
            ("9223372036854775807", Value::Int(i64::MAX)),
        ] {
            assert_eq!(Number.parse(text).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn nothing_is_guessed() {
        for text in [
            "",
            "none",
            "five",
            "2 of 3",
            "1 - 2",
            "1-2",
            "2024-05-06",
            "1/2",
            "1,23",
            "0,123",
            "1,2,3",
            "12,34,567",
            "1.2.3",
            "3rd",
            "5km",
            "gpt-4",
            "9223372036854775808",
            "1e999",
            "42. Yes, 42.",
        ] {
            assert!(Number.parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_place_of_a_second_number() {
        assert_eq!(Number.parse("<think>1</think> 2 of 3").unwrap_err().at, Some(22));
    }

    #[test]
    fn a_megabyte_is_read_in_linear_time() {
        for text in ["1".repeat(1 << 20), "1,".repeat(1 << 19), "-".repeat(1 << 20), "a1".repeat(1 << 19)] {
            assert!(Number.parse(&text).is_err());
        }
    }
}
