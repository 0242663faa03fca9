//! What the tests of the assertions share.

use super::{Arguments, AssertionSpec, BuildError, Check, Facts, Operator, Outcome, Subject, build};
use crate::value::{Type, Value};

/// A text and facts as a subject.
pub fn subject<'a>(text: &'a str, facts: &'a Facts) -> Subject<'a> {
    Subject { text, facts }
}

/// What the assertion with this value says of a text.
pub fn check(spec: &AssertionSpec, value: Value, text: &str) -> Outcome {
    run(spec, Arguments { value: Some(value), ..Arguments::default() }, text)
}

/// What the assertion with this type, or nothing, says of a text.
pub fn check_type(spec: &AssertionSpec, ty: Option<Type>, text: &str) -> Outcome {
    run(spec, Arguments { ty, ..Arguments::default() }, text)
}

fn run(spec: &AssertionSpec, arguments: Arguments, text: &str) -> Outcome {
    build(spec, &arguments).unwrap().check(&subject(text, &Facts::default())).unwrap()
}

/// The error of an assertion that cannot be made of the value.
pub fn refused(spec: &AssertionSpec, value: Value) -> BuildError {
    build(spec, &Arguments { value: Some(value), ..Arguments::default() }).err().unwrap()
}

/// The assertion with a value and a bound.
pub fn bounded(
    spec: &AssertionSpec,
    value: Option<Value>,
    bound: (Operator, f64),
) -> Result<Box<dyn Check>, BuildError> {
    build(spec, &Arguments { value, ty: None, bound: Some(bound) })
}
