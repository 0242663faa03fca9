//! `rouge-1` and `rouge-l`: words that the text and a reference share.
//!
//! Lin, "ROUGE: a package for automatic evaluation of summaries" (2004), as the harmonic mean of precision and recall:
//! ROUGE-1 of single words, each as often as the text that has it less often; ROUGE-L of the longest sequence of words
//! that both have in this order, over the whole text as one sequence. Words are those of the Penn Treebank, the case of
//! letters does not count. Of several references the nearest counts.

use super::bits;
use super::bleu::NEARER;
use super::bound::{Bound, Limit, Operator, Unit};
use super::ngrams::{counts, scored, shared};
use super::outcome::{Check, Outcome, Subject, Undecided};
use super::spec::{ArgumentKind, Arguments, AssertionSpec, BuildError};
use super::texts::references;
use super::treebank::tokens;

const DEFAULT: (Operator, f64) = (Operator::AtLeast, 0.75);
const BOUND: Bound = Bound::Optional { operators: NEARER, unit: Unit::Share, default: Some(DEFAULT) };

/// Pairs of words that are compared, in words of 64, before a text is too long.
const WORK: usize = 1_000_000_000;

/// The description of `rouge-1`.
pub static ROUGE_1: AssertionSpec = AssertionSpec {
    name: "rouge-1",
    doc: "the text shares as many words with a reference, by ROUGE-1",
    argument: ArgumentKind::References,
    bound: BOUND,
    build: |arguments| build("rouge-1", arguments, single),
};

/// The description of `rouge-l`.
pub static ROUGE_L: AssertionSpec = AssertionSpec {
    name: "rouge-l",
    doc: "the text shares as long a sequence of words with a reference, by ROUGE-L",
    argument: ArgumentKind::References,
    bound: BOUND,
    build: |arguments| build("rouge-l", arguments, longest),
};

/// How many words two texts share.
type Overlap = fn(&[String], &[String]) -> Result<usize, Undecided>;

fn build(name: &'static str, arguments: &Arguments, overlap: Overlap) -> Result<Box<dyn Check>, BuildError> {
    let (operator, number) = arguments.bound.unwrap_or(DEFAULT);
    let references = references(arguments);
    let tokens = references.iter().map(|r| tokens(&r.to_lowercase())).collect();
    let limit = Limit { operator, number, unit: Unit::Share };
    Ok(Box::new(Rouge { name, references, tokens, limit, overlap }))
}

struct Rouge {
    name: &'static str,
    references: Vec<String>,
    tokens: Vec<Vec<String>>,
    limit: Limit,
    overlap: Overlap,
}

impl Check for Rouge {
    fn check(&self, subject: &Subject<'_>) -> Result<Outcome, Undecided> {
        let text = tokens(&subject.text.to_lowercase());
        let mut best = 0.0_f64;
        for reference in &self.tokens {
            let both = (self.overlap)(&text, reference)? as f64;
            if both > 0.0 {
                // The harmonic mean of both / text and both / reference.
                best = best.max(2.0 * both / (text.len() + reference.len()) as f64);
            }
        }
        Ok(scored(self.name, &self.references, self.limit, best))
    }
}

fn single(text: &[String], reference: &[String]) -> Result<usize, Undecided> {
    Ok(shared(&counts(text, 1), &counts(reference, 1)))
}

fn longest(text: &[String], reference: &[String]) -> Result<usize, Undecided> {
    let (short, long) = (text.len().min(reference.len()), text.len().max(reference.len()));
    if (short / 64 + 1).saturating_mul(long) > WORK {
        return Err(Undecided::new(format!("texts of {long} and {short} words are too long for ROUGE-L"))
            .help("`rouge-1` takes texts of any length"));
    }
    let text: Vec<&str> = text.iter().map(String::as_str).collect();
    let reference: Vec<&str> = reference.iter().map(String::as_str).collect();
    Ok(bits::common(&text, &reference))
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;
    use crate::value::Value;

    #[test]
    fn words_and_sequences() {
        let near = |spec, wanted: &str, text| check(spec, wanted.into(), text).score.unwrap();
        assert!((near(&ROUGE_1, "The cat sat on the mat.", "The cat sat.") - 8.0 / 11.0).abs() < 1e-12);
        assert_eq!(near(&ROUGE_1, "hello world", "world hello"), 1.0);
        assert_eq!(near(&ROUGE_L, "hello world", "world hello"), 0.5);
        assert_eq!(near(&ROUGE_L, "a b c d", "a x b y"), 0.5);
        assert_eq!(near(&ROUGE_1, "the cat sat on the mat", "the cat sat on the mat"), 1.0);
        assert_eq!([near(&ROUGE_1, "", ""), near(&ROUGE_L, "a", " ")], [0.0, 0.0]);
        let both = Value::list(vec!["x".into(), "a b".into()]);
        assert!(check(&ROUGE_L, both, "A B").pass);
    }

    #[test]
    fn long_texts_take_no_long_time() {
        let began = std::time::Instant::now();
        let text: String = (0..40_000).map(|n| format!("w{} ", n % 977)).collect();
        let other: String = (0..40_000).map(|n| format!("w{} ", n % 491)).collect();
        assert!(check(&ROUGE_L, text.as_str().into(), &other).score.unwrap() > 0.0);
        assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
    }
}
