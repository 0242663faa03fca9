//! Dates and times as text (RFC 3339).

use jiff::civil::{Date, Time};

/// Why `text` is no date and time of RFC 3339 (`2024-05-06T07:08:09Z`, `2024-05-06T07:08:09.5+09:00`); nothing where it
/// is one. The date and the time must exist; a second of 60 is a leap second and allowed.
pub fn not_rfc3339(text: &str) -> Option<&'static str> {
    let bytes = text.as_bytes();
    if !text.is_ascii() || !shaped(bytes, b"0000-00-00") {
        return Some("it does not begin with a date, as 2024-05-06");
    }
    let number = |from: usize, to: usize| text.get(from..to).and_then(|t| t.parse::<i16>().ok()).unwrap_or(-1);
    if Date::new(number(0, 4), number(5, 7) as i8, number(8, 10) as i8).is_err() {
        return Some("there is no such date");
    }
    if bytes.len() == 10 {
        return Some("it is a date without a time");
    }
    if !matches!(bytes.get(10), Some(b'T' | b't' | b' ')) || !shaped(&bytes[11..], b"00:00:00") {
        return Some("a time, as T07:08:09, must follow the date");
    }
    let second = match number(17, 19) {
        60 => 59,
        second => second,
    };
    if Time::new(number(11, 13) as i8, number(14, 16) as i8, second as i8, 0).is_err() {
        return Some("there is no such time");
    }
    let mut at = 19;
    if bytes.get(at) == Some(&b'.') {
        let digits = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return Some("digits must follow the point of the seconds");
        }
        at += 1 + digits;
    }
    match bytes.get(at..).unwrap_or_default() {
        b"" => Some("it has no offset from UTC, as Z or +09:00"),
        b"Z" | b"z" => None,
        [b'+' | b'-', rest @ ..] if rest.len() == 5 && shaped(rest, b"00:00") => {
            let fine = number(at + 1, at + 3) < 24 && number(at + 4, at + 6) < 60;
            if fine { None } else { Some("there is no such offset from UTC") }
        }
        _ => Some("an offset from UTC, as Z or +09:00, and nothing else must follow the time"),
    }
}

/// Whether `bytes` begin as `shape`, in which 0 stands for any digit.
fn shaped(bytes: &[u8], shape: &[u8]) -> bool {
    let fits = |(b, s): (&u8, &u8)| if *s == b'0' { b.is_ascii_digit() } else { b == s };
    bytes.len() >= shape.len() && bytes.iter().zip(shape).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rfc_3339_says() {
        for text in [
            "2024-05-06T07:08:09Z",
            "2024-02-29t23:59:60z",
            "1985-04-12 23:20:50.52+00:00",
            "1990-12-31T15:59:60-08:00",
        ] {
            assert_eq!(not_rfc3339(text), None, "{text}");
        }
        for (text, why) in [
            ("", "date"),
            ("soon", "date"),
            ("2023-02-29T00:00:00Z", "no such date"),
            ("2024-05-06", "without a time"),
            ("2024-05-06T", "must follow"),
            ("2024-05-06T24:00:00Z", "no such time"),
            ("2024-05-06T07:08:09", "no offset"),
            ("2024-05-06T07:08:09.Z", "digits"),
            ("2024-05-06T07:08:09+0900", "offset"),
            ("2024-05-06T07:08:09+24:00", "no such offset"),
            ("2024-05-06T07:08:09Z.", "nothing else"),
            ("２024-05-06T07:08:09Z", "date"),
        ] {
            assert!(not_rfc3339(text).is_some_and(|w| w.contains(why)), "{text}: {:?}", not_rfc3339(text));
        }
    }
}
