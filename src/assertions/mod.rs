//! Assertions: what a test can ask of a text and of the run that made it. One assertion or one family a file, one line
//! in [`ASSERTIONS`]; checks, completions and `docs/testing.md` read the same table.
//!
//! Everything here is pure: no files, no network, no clock. `not` is the caller's ([`Outcome::negated`]); an assertion
//! that cannot be decided is an error ([`Undecided`]) with and without it.

mod bits;
mod bleu;
mod bound;
mod contains;
mod edges;
mod equals;
mod finish;
mod formats;
mod gleu;
mod group;
mod json;
mod levenshtein;
mod matches;
mod measures;
mod ngrams;
mod outcome;
mod places;
mod refusal;
mod rouge;
mod schema;
mod schema_check;
mod schema_compiler;
mod schema_rules;
mod spec;
mod texts;
mod treebank;
mod xml;
mod xml_document;
mod xml_reader;

#[cfg(test)]
mod conformance_tests;
#[cfg(test)]
mod schema_suite_tests;
#[cfg(test)]
mod testing;

pub use bound::{Bound, OPERATORS, Operator, Unit};
pub use group::{Group, Member};
pub use measures::COST;
pub use outcome::{Check, Cost, Facts, Outcome, Subject, Undecided};
pub use spec::{ArgumentKind, Arguments, AssertionSpec, BuildError, Part};

/// Every assertion, in the order in which messages and documents list them.
pub static ASSERTIONS: &[&AssertionSpec] = &[
    &equals::SPEC,
    &contains::CONTAINS,
    &contains::ICONTAINS,
    &contains::CONTAINS_ANY,
    &contains::CONTAINS_ALL,
    &contains::ICONTAINS_ANY,
    &contains::ICONTAINS_ALL,
    &edges::STARTS_WITH,
    &edges::ENDS_WITH,
    &matches::SPEC,
    &json::JSON,
    &json::CONTAINS_JSON,
    &schema::SPEC,
    &xml::XML,
    &xml::CONTAINS_XML,
    &levenshtein::SPEC,
    &rouge::ROUGE_1,
    &rouge::ROUGE_L,
    &bleu::SPEC,
    &gleu::SPEC,
    &measures::WORDS,
    &refusal::SPEC,
    &measures::LATENCY,
    &measures::TOKENS_INPUT,
    &measures::TOKENS_OUTPUT,
    &measures::TOKENS_TOTAL,
    &measures::COST,
    &measures::CALLS,
    &finish::SPEC,
];

/// The assertion called `name`.
pub fn find(name: &str) -> Option<&'static AssertionSpec> {
    ASSERTIONS.iter().copied().find(|spec| spec.name == name)
}

/// The names of all assertions.
pub fn names() -> impl Iterator<Item = &'static str> {
    ASSERTIONS.iter().map(|spec| spec.name)
}

/// Makes what looks at subjects.
///
/// # Errors
/// An argument or a bound that is missing, of the wrong kind, or that nothing can be made of.
pub fn build(spec: &AssertionSpec, arguments: &Arguments) -> Result<Box<dyn Check>, BuildError> {
    spec.check_argument(arguments)?;
    let bound = spec.check_bound(arguments)?;
    (spec.build)(&Arguments { bound, ..arguments.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_told_apart() {
        for name in names() {
            assert_eq!(find(name).unwrap().name, name);
        }
        assert_eq!(names().collect::<std::collections::BTreeSet<_>>().len(), ASSERTIONS.len());
        assert!(find("contian").is_none());
    }

    #[test]
    fn the_page_says_what_the_descriptions_say() {
        let page = include_str!("../../docs/testing.md");
        let (_, page) = page.split_once("\n## Assertions\n").unwrap();
        let rows: Vec<&str> = page.lines().filter(|l| l.starts_with("| `")).take(ASSERTIONS.len()).collect();
        assert_eq!(rows.len(), ASSERTIONS.len());
        for (spec, row) in ASSERTIONS.iter().zip(rows) {
            let (takes, bound) = (spec.argument.describe(), spec.bound.describe());
            assert_eq!(row, format!("| `{}` | {takes} | {bound} | {} |", spec.name, spec.doc));
        }
    }

    #[test]
    fn what_is_missing_or_too_much_is_told() {
        let message = |spec: &AssertionSpec, arguments: &Arguments| build(spec, arguments).err().unwrap();
        let none = Arguments::default();
        assert_eq!(message(find("contains").unwrap(), &none).help.as_deref(), Some("as contains \"…\""));
        assert_eq!(message(find("cost").unwrap(), &none).help.as_deref(), Some("as cost < 0.01"));
        let bound = Arguments { bound: Some((Operator::Below, 3.0)), ..Arguments::default() };
        assert!(message(find("refusal").unwrap(), &bound).message.contains("takes no bound"));
        let ty = Arguments { ty: Some(crate::value::Type::Int), ..Arguments::default() };
        assert!(message(find("words").unwrap(), &ty).help.unwrap().contains("json(Meaning)"));
    }
}
