//! Places and excerpts in messages about a text.

/// Characters of an excerpt.
const SHOWN: usize = 60;

/// A text in quotes, as JSON, shortened.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN + 1).collect();
    if shown.chars().count() > SHOWN {
        shown.pop();
        shown.push('…');
    }
    serde_json::Value::from(shown).to_string()
}

/// Texts in quotes, as a list in prose.
pub(super) fn all_quoted<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    texts.map(quoted).collect::<Vec<_>>().join(", ")
}

/// Line and column of byte `at`, as `line 2, column 5`; columns count characters.
pub(super) fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    format!("line {line}, column {}", before[start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters() {
        assert_eq!(place("감자\r\nis", 10), "line 2, column 3");
        assert_eq!(place("", 0), "line 1, column 1");
    }

    #[test]
    fn excerpts_are_short() {
        assert_eq!(quoted("a\n\"b\""), r#""a\n\"b\"""#);
        assert_eq!(quoted(&"x".repeat(100)).chars().count(), SHOWN + 3);
        assert_eq!(quoted(&"x".repeat(SHOWN)).chars().count(), SHOWN + 2);
    }
}
