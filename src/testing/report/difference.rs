//! What differs between two texts, line by line.

use similar::{ChangeTag, TextDiff};

/// Lines that agree and stand around those that differ.
const AROUND: usize = 2;

/// The most lines of a difference that are shown.
const MOST: usize = 60;

/// The lines that differ: `-` before what was expected, `+` before what was seen, a space before what agrees.
pub fn difference(expected: &str, actual: &str) -> Vec<String> {
    let diff = TextDiff::from_lines(expected, actual);
    let mut lines = Vec::new();
    for (i, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if i > 0 {
            lines.push("…".to_owned());
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            let text = change.value();
            let text = text.strip_suffix('\n').unwrap_or(text);
            lines.push(format!("{sign} {text}"));
        }
    }
    let more = lines.len().saturating_sub(MOST);
    if more > 0 {
        lines.truncate(MOST);
        lines.push(format!("… {more} more lines"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn lines_that_differ_stand_with_their_neighbours() {
        let lines = difference("a\nb\nc\nd\ne\nf\n", "a\nb\nc\nD\ne\nf\n");
        assert_eq!(lines, ["  b", "  c", "- d", "+ D", "  e", "  f"]);
        assert!(difference("same", "same").is_empty());
        assert_eq!(difference("x", "y"), ["- x", "+ y"]);
    }
}
