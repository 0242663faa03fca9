//! Assertions: what a test can ask of a text and of the run that made it. One assertion or one family a file, one line
//! in [`ASSERTIONS`]; checks, completions and `docs/testing.md` read the same table.
//!
//! Everything here is pure: no files, no network, no clock. `not` is the caller's ([`Outcome::negated`]); an assertion
//! that cannot be decided is an error ([`Undecided`]) with and without it.

mod bound;
mod contains;
mod edges;
mod equals;
mod finish;
mod matches;
mod measures;
mod outcome;
mod places;
mod spec;
mod texts;

#[cfg(test)]
mod testing;

pub use bound::{Bound, OPERATORS, Operator, Unit};
pub use outcome::{Check, Facts, Outcome, Subject, Undecided};
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
    &measures::WORDS,
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
