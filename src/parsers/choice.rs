//! Finding the one of some words that an answer names: what `enum` and `bool` share.

use unicode_normalization::UnicodeNormalization;

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The word with this index, and no other.
    One(usize),
    /// None of the words.
    None,
    /// These words, by index.
    Several(Vec<usize>),
}

/// A word or an answer without case and without the spaces, quotes and full stops around it.
pub(super) fn folded(text: &str) -> String {
    let edge =
        |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '.' | '“' | '”' | '‘' | '’' | '«' | '»' | '。');
    text.nfc().collect::<String>().trim_matches(edge).to_lowercase()
}

/// The word that `answer` is, else the one that stands in it as a whole word while no other does. A word inside a
/// longer one of `words` counts as the longer one alone.
pub(super) fn choose(words: &[&str], answer: &str) -> Choice {
    if let Some(i) = words.iter().position(|w| *w == answer.trim()) {
        return Choice::One(i);
    }
    let whole = folded(answer);
    let words: Vec<String> = words.iter().map(|w| folded(w)).collect();
    if let Some(i) = words.iter().position(|w| *w == whole) {
        return Choice::One(i);
    }
    let mut spans: Vec<(usize, usize, usize)> = Vec::new();
    for (i, word) in words.iter().enumerate().filter(|(_, w)| !w.is_empty()) {
        let found = whole.match_indices(word.as_str()).map(|(at, _)| (at, at + word.len()));
        spans.extend(found.filter(|(from, to)| stands_alone(&whole, *from, *to)).map(|(from, to)| (from, to, i)));
    }
    spans.sort_by_key(|(from, to, _)| (*from, std::cmp::Reverse(*to)));
    let mut reach = 0;
    let mut seen: Vec<usize> = Vec::new();
    for (_, to, word) in spans {
        if to > reach {
            reach = to;
            if !seen.contains(&word) {
                seen.push(word);
            }
        }
    }
    match seen.as_slice() {
        [] => Choice::None,
        [one] => Choice::One(*one),
        _ => Choice::Several(seen),
    }
}

/// Whether nothing joins `text[from..to]` to a longer word. A hyphen between letters joins: `bug-free` is no `bug`,
/// `non-positive` no `positive`.
fn stands_alone(text: &str, from: usize, to: usize) -> bool {
    let joins = |first: Option<char>, second: Option<char>| match first {
        Some('-' | '‐' | '‑') => second.is_some_and(char::is_alphanumeric),
        Some(c) => c.is_alphanumeric() || c == '_',
        None => false,
    };
    let mut before = text[..from].chars().rev();
    let mut after = text[to..].chars();
    !joins(before.next(), before.next()) && !joins(after.next(), after.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &[&str] = &["bug", "new bug", "question", "C++"];

    #[test]
    fn the_whole_answer_else_one_whole_word() {
        for (answer, wanted) in [
            ("bug", 0),
            (" \"Bug.\"\n", 0),
            ("I think it is a Bug.", 0),
            ("**bug**", 0),
            ("bug: bug", 0),
            ("A new bug!", 1),
            ("NEW BUG", 1),
            ("c++", 3),
            ("It is C++, I think", 3),
        ] {
            assert_eq!(choose(WORDS, answer), Choice::One(wanted), "{answer}");
        }
    }

    #[test]
    fn nothing_is_guessed() {
        for answer in ["", "debug", "bugs", "bug_free", "bug-free", "non-bug"] {
            assert_eq!(choose(WORDS, answer), Choice::None, "{answer}");
        }
        assert_eq!(choose(WORDS, "bug or question?"), Choice::Several(vec![0, 2]));
        assert_eq!(choose(WORDS, "a new bug, a bug"), Choice::Several(vec![1, 0]));
    }

    #[test]
    fn letters_are_compared_composed() {
        assert_eq!(choose(&["café"], "CAFE\u{301}"), Choice::One(0));
    }
}
