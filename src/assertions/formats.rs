//! The formats of JSON Schema: what a text or a number must look like.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::value::{Value, not_rfc3339};

/// A format.
pub(super) struct Format {
    pub name: &'static str,
    /// Whether a value that it speaks of has it; any other value does.
    pub has: fn(&Value) -> bool,
}

const FORMATS: &[Format] = &[
    Format { name: "date-time", has: |v| text(v, |t| not_rfc3339(t).is_none()) },
    Format { name: "date", has: |v| text(v, |t| t.len() == 10 && not_rfc3339(&format!("{t}T00:00:00Z")).is_none()) },
    Format { name: "time", has: |v| text(v, |t| not_rfc3339(&format!("2000-01-01T{t}")).is_none()) },
    Format { name: "email", has: |v| text(v, email) },
    Format { name: "hostname", has: |v| text(v, hostname) },
    Format { name: "ipv4", has: |v| text(v, |t| t.parse::<Ipv4Addr>().is_ok()) },
    Format { name: "ipv6", has: |v| text(v, |t| t.parse::<Ipv6Addr>().is_ok()) },
    Format { name: "uri", has: |v| text(v, uri) },
    Format { name: "uri-reference", has: |v| text(v, characters_of_uri) },
    Format { name: "uuid", has: |v| text(v, uuid) },
    Format { name: "regex", has: |v| text(v, |t| fancy_regex::Regex::new(t).is_ok()) },
    Format { name: "json-pointer", has: |v| text(v, pointer) },
    Format { name: "int32", has: |v| number(v, f64::from(i32::MIN), f64::from(i32::MAX)) },
    Format { name: "int64", has: |v| number(v, i64::MIN as f64, i64::MAX as f64) },
    Format { name: "float", has: |_| true },
    Format { name: "double", has: |_| true },
    Format { name: "password", has: |_| true },
];

/// The format called `name`.
pub(super) fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|f| f.name == name)
}

/// The names of all formats, for messages.
pub(super) fn names() -> String {
    FORMATS.iter().map(|f| f.name).collect::<Vec<_>>().join(", ")
}

fn text(value: &Value, has: fn(&str) -> bool) -> bool {
    match value {
        Value::Text(t) => has(t),
        _ => true,
    }
}

fn number(value: &Value, low: f64, high: f64) -> bool {
    match value {
        Value::Int(n) => (low..=high).contains(&(*n as f64)),
        Value::Float(x) => x.fract() == 0.0 && (low..=high).contains(x),
        _ => true,
    }
}

fn email(text: &str) -> bool {
    let Some((local, host)) = text.rsplit_once('@') else { return false };
    let atoms = |t: &str| {
        t.split('.').all(|part| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c))
        })
    };
    let quoted = local.len() > 1 && local.starts_with('"') && local.ends_with('"');
    (atoms(local) || quoted) && hostname(host)
}

fn hostname(text: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn uri(text: &str) -> bool {
    let scheme = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_alphabetic())
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    };
    text.split_once(':').is_some_and(|(s, _)| scheme(s)) && characters_of_uri(text)
}

fn characters_of_uri(text: &str) -> bool {
    let bytes = text.as_bytes();
    let hex = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_hexdigit);
    bytes.iter().enumerate().all(|(i, b)| match b {
        b'%' => hex(i + 1) && hex(i + 2),
        b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
        b => b.is_ascii_graphic(),
    })
}

fn uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

fn pointer(text: &str) -> bool {
    let escapes = text.split('~').skip(1).all(|t| t.starts_with(['0', '1']));
    (text.is_empty() || text.starts_with('/')) && escapes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_format() {
        for (name, good, bad) in [
            ("date", "2024-02-29", "2024-02-30"),
            ("date-time", "2024-02-29T01:02:03Z", "2024-02-29"),
            ("time", "01:02:03Z", "25:00:00Z"),
            ("email", "a@b.c", "a@b@c d"),
            ("hostname", "a-b.example", "-a.example"),
            ("ipv4", "127.0.0.1", "127.0.0.256"),
            ("ipv6", "::1", "12345::"),
            ("uri", "https://a.b/c?d=%20", "a b:c"),
            ("uri-reference", "/a#b", "\\a"),
            ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2eb8aa08aa9811eab4aa73b441d16380"),
            ("regex", "^a+$", "["),
            ("json-pointer", "/a~1b/0", "a~2"),
        ] {
            let has = find(name).unwrap().has;
            assert!(has(&good.into()) && !has(&bad.into()) && has(&Value::Null), "{name}");
        }
        assert!(!(find("int32").unwrap().has)(&Value::Int(1 << 40)));
        assert!(find("dat").is_none() && names().contains("uuid"));
    }
}
