//! `bleu`: how much of the text's sequences of words stands in a reference.
//!
//! Papineni et al., "BLEU: a method for automatic evaluation of machine translation" (2002), of one sentence: the
//! geometric mean of the precisions of sequences of 1 to 4 words, times exp(1 - r/c) where the text (c words) is no
//! longer than the reference of the nearest length (r words). Precisions are clipped by the reference that has most.
//! As in promptfoo, a precision of 0 counts as 1e-7, and lengths of sequences that the text is too short for are left
//! out. Words stand between blanks; the case of letters does not count.

use super::bound::{Bound, Limit, Operator, Unit};
use super::ngrams::{counts, scored, shared, total, words};
use super::outcome::{Check, Outcome, Subject, Undecided};
use super::spec::{ArgumentKind, Arguments, AssertionSpec, BuildError};
use super::texts::references;

/// The description of `bleu`.
pub static SPEC: AssertionSpec = AssertionSpec {
    name: "bleu",
    doc: "the text is as near to a reference, by BLEU",
    argument: ArgumentKind::References,
    bound: Bound::Optional { operators: NEARER, unit: Unit::Share, default: Some(HALF) },
    build,
};

/// The operators of measures that grow with nearness.
pub(super) const NEARER: &[Operator] = &[Operator::AtLeast, Operator::Above];

/// The bound where none is written.
pub(super) const HALF: (Operator, f64) = (Operator::AtLeast, 0.5);

/// What stands in for a precision of 0, whose logarithm there is not.
const SMOOTH: f64 = 1e-7;

fn build(arguments: &Arguments) -> Result<Box<dyn Check>, BuildError> {
    let (operator, number) = arguments.bound.unwrap_or(HALF);
    let references = references(arguments);
    let limit = Limit { operator, number, unit: Unit::Share };
    Ok(Box::new(Bleu { words: references.iter().map(|r| words(r)).collect(), references, limit }))
}

struct Bleu {
    references: Vec<String>,
    words: Vec<Vec<String>>,
    limit: Limit,
}

impl Check for Bleu {
    fn check(&self, subject: &Subject<'_>) -> Result<Outcome, Undecided> {
        Ok(scored("bleu", &self.references, self.limit, score(subject.text, &self.words)))
    }
}

fn score(text: &str, references: &[Vec<String>]) -> f64 {
    if text.trim().is_empty() {
        return 0.0;
    }
    let text = words(text);
    let mut logarithms = Vec::new();
    for n in 1..=text.len().min(4) {
        let mine = counts(&text, n);
        let most = references.iter().map(|r| shared(&mine, &counts(r, n))).max().unwrap_or(0);
        let precision = most as f64 / total(text.len(), n) as f64;
        logarithms.push(if most == 0 { SMOOTH } else { precision }.ln());
    }
    let away = |words: &usize| (words.abs_diff(text.len()), *words);
    let nearest = references.iter().map(Vec::len).min_by_key(away).unwrap_or(0);
    let brevity = if text.len() > nearest { 1.0 } else { (1.0 - nearest as f64 / text.len() as f64).exp() };
    brevity * (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::super::Facts;
    use super::super::testing::{bounded, check, refused, subject};
    use super::*;
    use crate::value::Value;

    #[test]
    fn the_examples_of_the_paper() {
        let outcome = check(&SPEC, "The cat sat on the mat.".into(), "The dog sat on the mat.");
        assert!(outcome.pass && (outcome.score.unwrap() - 0.537_284_965_911_771).abs() < 1e-12);
        assert_eq!(outcome.why, "`bleu` is 0.5373");
        assert_eq!(check(&SPEC, "hello world".into(), " ").score, Some(0.0));
        assert_eq!(check(&SPEC, "a".into(), "A").score, Some(1.0));
        let both = Value::list(vec!["x y".into(), "a b c d".into()]);
        assert!(check(&SPEC, both, "a b c d").pass);
        assert!(check(&SPEC, "".into(), "a").score.unwrap() < 1e-6);
    }

    #[test]
    fn bounds_are_shares() {
        let strict = bounded(&SPEC, Some("a b".into()), (Operator::Above, 1.0)).unwrap();
        assert!(!strict.check(&subject("a b", &Facts::default())).unwrap().pass);
        assert!(bounded(&SPEC, Some("a".into()), (Operator::AtLeast, 70.0)).err().unwrap().message.contains("a share"));
        assert!(refused(&SPEC, Value::list(Vec::new())).help.is_some());
    }
}
