//! `gleu`: the smaller of precision and recall of sequences of words.
//!
//! Wu et al., "Google's Neural Machine Translation System" (2016), section 7.3: all sequences of 1 to 4 words of text and
//! reference are matched, and the matches divided by the larger number of sequences. Of several references the nearest
//! counts. As in promptfoo, full stops at the end of a word and the case of letters do not count, and texts of the same
//! words have 1.

use super::bleu::{HALF, NEARER};
use super::bound::{Bound, Limit, Unit};
use super::ngrams::{counts, scored, shared, total, words};
use super::outcome::{Check, Outcome, Subject, Undecided};
use super::spec::{ArgumentKind, Arguments, AssertionSpec, BuildError};
use super::texts::references;

/// The description of `gleu`.
pub static SPEC: AssertionSpec = AssertionSpec {
    name: "gleu",
    doc: "the text is as near to a reference, by Google's GLEU",
    argument: ArgumentKind::References,
    bound: Bound::Optional { operators: NEARER, unit: Unit::Share, default: Some(HALF) },
    build,
};

fn build(arguments: &Arguments) -> Result<Box<dyn Check>, BuildError> {
    let (operator, number) = arguments.bound.unwrap_or(HALF);
    let references = references(arguments);
    let limit = Limit { operator, number, unit: Unit::Share };
    Ok(Box::new(Gleu { words: references.iter().map(|r| bare(r)).collect(), references, limit }))
}

struct Gleu {
    references: Vec<String>,
    words: Vec<Vec<String>>,
    limit: Limit,
}

impl Check for Gleu {
    fn check(&self, subject: &Subject<'_>) -> Result<Outcome, Undecided> {
        let empty = subject.text.trim().is_empty();
        let text = bare(subject.text);
        let best = self.words.iter().map(|r| score(&text, r)).fold(0.0, f64::max);
        Ok(scored("gleu", &self.references, self.limit, if empty { 0.0 } else { best }))
    }
}

/// The words without the full stops at their ends.
fn bare(text: &str) -> Vec<String> {
    words(text).iter().map(|w| w.trim_end_matches('.').to_owned()).collect()
}

fn score(text: &[String], reference: &[String]) -> f64 {
    if text == reference {
        return 1.0;
    }
    let (mut both, mut mine, mut theirs) = (0, 0, 0);
    for n in 1..=4 {
        both += shared(&counts(text, n), &counts(reference, n));
        mine += total(text.len(), n);
        theirs += total(reference.len(), n);
    }
    both as f64 / mine.max(theirs) as f64
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;
    use crate::value::Value;

    #[test]
    fn sequences_of_one_to_four_words() {
        // 1-grams: 1 of 2; 2-grams: none of 1; together 1 of 3.
        let outcome = check(&SPEC, "hello world".into(), "Hello there");
        assert_eq!((outcome.pass, outcome.score), (false, Some(1.0 / 3.0)));
        assert_eq!(check(&SPEC, "the cat.".into(), "The cat").score, Some(1.0));
        assert_eq!(check(&SPEC, "a".into(), "").score, Some(0.0));
        assert_eq!(check(&SPEC, Value::list(vec!["x".into(), "a b".into()]), "a b").score, Some(1.0));
    }
}
