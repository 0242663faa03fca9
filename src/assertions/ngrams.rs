//! Words and sequences of words that two texts share, for the measures of translation and summary.

use std::collections::HashMap;
use std::hash::Hash;

use super::bound::Limit;
use super::outcome::Outcome;
use super::places::all_quoted;

/// The words of a text in small letters: what stands between blanks. A text without any has one empty word.
pub(super) fn words(text: &str) -> Vec<String> {
    let words: Vec<String> = text.to_lowercase().split_whitespace().map(str::to_owned).collect();
    if words.is_empty() { vec![String::new()] } else { words }
}

/// How often each sequence of `n` items stands in `items`.
pub(super) fn counts<T: Hash + Eq>(items: &[T], n: usize) -> HashMap<&[T], usize> {
    let mut found = HashMap::new();
    for gram in items.windows(n) {
        *found.entry(gram).or_insert(0) += 1;
    }
    found
}

/// How many sequences of `n` items two texts share, each as often as the one that has it less often.
pub(super) fn shared<T: Hash + Eq>(a: &HashMap<&[T], usize>, b: &HashMap<&[T], usize>) -> usize {
    a.iter().map(|(gram, n)| *n.min(b.get(gram).unwrap_or(&0))).sum()
}

/// How many sequences of `n` items stand in so many.
pub(super) fn total(items: usize, n: usize) -> usize {
    (items + 1).saturating_sub(n)
}

/// The outcome of a measure from 0 to 1.
pub(super) fn scored(name: &str, references: &[String], limit: Limit, score: f64) -> Outcome {
    let shown = match references {
        [one] => all_quoted(std::iter::once(one.as_str())),
        all => format!("[{}]", all_quoted(all.iter().map(String::as_str))),
    };
    let actual = limit.unit.show(score);
    Outcome {
        pass: limit.holds(score),
        score: Some(score),
        expected: format!("{name} {shown} {limit}"),
        why: format!("`{name}` is {actual}"),
        actual,
        comparable: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_counted_and_clipped() {
        let (a, b) = (words("the the the"), words("The cat the"));
        assert_eq!(shared(&counts(&a, 1), &counts(&b, 1)), 2);
        assert_eq!(shared(&counts(&a, 2), &counts(&b, 2)), 0);
        assert_eq!([total(3, 1), total(3, 4), total(0, 1)], [3, 0, 0]);
        assert_eq!(words(" \n"), [""]);
    }
}
