//! How sizes, times and the texts of a server stand in tables: as Ollama's own command writes them, and without control
//! characters, which a terminal would obey.

use serde_json::Value as Json;

/// A line of text: control characters, and those that turn its direction, become a mark.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if is_control(c) { '\u{fffd}' } else { c }).collect()
}

/// The lines of a text, each plain.
pub fn lines(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().map(|line| plain(&line.replace('\t', "    ")))
}

fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// JSON for people, on lines of its own. Control characters that JSON lets stand are escaped.
pub fn json(json: &Json) -> String {
    let text = serde_json::to_string_pretty(json).unwrap_or_default();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Line ends outside of strings are the form's own; inside they are escaped already.
        if c != '\n' && is_control(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// A number of bytes, as `2.0 GB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [(&str, f64); 4] = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)];
    let n = bytes as f64;
    match UNITS.iter().find(|(_, unit)| n >= *unit) {
        None => format!("{bytes} B"),
        Some((name, unit)) if n / unit >= 10.0 => format!("{:.0} {name}", (n / unit).floor()),
        Some((name, unit)) => format!("{:.1} {name}", n / unit),
    }
}

/// A digest as lists show it: twelve digits.
pub fn digest(text: &str) -> String {
    text.trim_start_matches("sha256:").chars().take(12).collect()
}

/// How far a time in RFC 3339 form lies from now, as `3 weeks ago` or `4 minutes from now`; empty for what is none.
/// A time that is more than a hundred years away never comes.
pub fn distance(time: &str, now: jiff::Timestamp) -> String {
    let Ok(time) = time.parse::<jiff::Timestamp>() else { return String::new() };
    let seconds = time.as_second() - now.as_second();
    if seconds > 100 * 365 * 86_400 {
        return "Forever".to_owned();
    }
    let length = length(seconds.unsigned_abs());
    if seconds > 0 { format!("{length} from now") } else { format!("{length} ago") }
}

fn length(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if days < 14 => format!("{days} days"),
        _ if days < 60 => format!("{} weeks", days / 7),
        _ if days < 730 => format!("{} months", days / 30),
        _ => format!("{} years", days / 365),
    }
}

/// Rows below a header, their columns aligned.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = header
        .iter()
        .enumerate()
        .map(|(i, title)| {
            let cells = rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count());
            cells.chain([title.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut out = String::new();
        for (cell, width) in cells.zip(&widths) {
            out.push_str(cell);
            out.push_str(&" ".repeat(width.saturating_sub(cell.chars().count()) + 4));
        }
        out.trim_end().to_owned()
    };
    let mut out = vec![line(&mut header.iter().copied())];
    out.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    out.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_ollama_writes_them() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1500, "1.5 KB"),
            (98_362_745, "98 MB"),
            (2_019_393_189, "2.0 GB"),
            (161_407_302, "161 MB"),
            (13_000_000_000, "13 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn times_from_now() {
        let now: jiff::Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        for (time, text) in [
            ("2026-11-25T12:00:00.9Z", "Less than a second ago"),
            ("2026-11-25T11:59:59Z", "1 second ago"),
            ("2026-11-25T20:59:01+09:00", "59 seconds ago"),
            ("2026-11-25T11:58:30Z", "About a minute ago"),
            ("2026-11-25T12:04:10.169322Z", "4 minutes from now"),
            ("2026-11-25T10:30:00Z", "About an hour ago"),
            ("2026-11-23T15:33:11.305005181Z", "44 hours ago"),
            ("2026-11-20T12:00:00Z", "5 days ago"),
            ("2026-11-01T12:00:00Z", "3 weeks ago"),
            ("2026-02-25T12:00:00Z", "9 months ago"),
            ("2020-11-25T12:00:00Z", "6 years ago"),
            ("2319-03-05T15:20:50.969169322Z", "Forever"),
            ("0001-01-01T00:00:00Z", "2027 years ago"),
            ("yesterday", ""),
        ] {
            assert_eq!(distance(time, now), text, "{time}");
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys() {
        assert_eq!(plain("a\u{1b}[31m\u{9b}b\n\u{202e}c"), "a\u{fffd}[31m\u{fffd}b\u{fffd}\u{fffd}c");
        assert_eq!(lines("a\tb\r\n\u{7}").collect::<Vec<_>>(), ["a    b", "\u{fffd}"]);
        let text = json(&Json::from("\u{1b}\u{9b}\u{7f}감"));
        assert_eq!(text, "\"\\u001b\\u009b\\u007f감\"");
        assert_eq!(serde_json::from_str::<Json>(&text).unwrap(), Json::from("\u{1b}\u{9b}\u{7f}감"));
    }

    #[test]
    fn columns_stand_below_each_other() {
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        assert_eq!(table(&["NAME", "ID"], &[row("감자:1b", "x"), row("a", "")]), "NAME     ID\n감자:1b    x\na");
    }
}
