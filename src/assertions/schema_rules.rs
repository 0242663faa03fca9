//! The rules that a JSON Schema comes to: drafts 2020-12, 2019-09, 7 and 6, without what needs other documents.

use fancy_regex::Regex;

use super::bound::Operator;
use super::formats::Format;
use crate::value::Value;

/// A schema by its number in a schema's list.
pub(super) type Id = usize;

/// One rule of a schema.
pub(super) enum Rule {
    Types(Vec<&'static str>),
    Enum(Vec<Value>),
    Const(Value),
    Number(Operator, f64),
    MultipleOf(f64),
    MinLength(usize),
    MaxLength(usize),
    Pattern(Box<Regex>, String),
    Format(&'static Format),
    Items { prefix: Vec<Id>, rest: Option<Id> },
    Contains { item: Id, min: usize, max: Option<usize> },
    MinItems(usize),
    MaxItems(usize),
    Unique,
    Properties { named: Vec<(String, Id)>, patterns: Vec<(Regex, Id)>, rest: Option<Id> },
    PropertyNames(Id),
    Required(Vec<String>),
    MinProperties(usize),
    MaxProperties(usize),
    DependentRequired(String, Vec<String>),
    DependentSchema(String, Id),
    All(Vec<Id>),
    Any(Vec<Id>),
    One(Vec<Id>),
    Not(Id),
    If { test: Id, then: Option<Id>, otherwise: Option<Id> },
}

/// What one schema says: nothing and everything for the schemas `false` and `true`.
pub(super) enum Node {
    Always(bool),
    Rules(Vec<Rule>),
}

/// Why a schema is none, and where (a JSON Pointer).
pub(super) struct Fault {
    pub at: String,
    pub message: String,
}
