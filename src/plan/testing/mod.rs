//! Tests as they can run: names resolved, data read, claims compiled.

mod asked;
mod asks;
mod claims;
mod collect;
mod costs;
mod counts;
mod mocks;
mod values;
mod variants;

use std::sync::Arc;

pub use asked::{AskedChains, GRADES};
pub use claims::{Ask, Claim, ClaimKind, Expectation, Limit, Part, Step};
pub use collect::collect;
pub use mocks::{Mock, MockAnswer, MockValue};
pub use values::{TestValue, evaluated};
pub use variants::{Swapped, Variant};

use crate::plan::Reached;
use crate::source::Span;
use crate::value::Value;

/// A test, ready to run.
pub struct Test {
    /// Its name.
    pub name: String,
    /// Where its name stands.
    pub span: Span,
    /// The chain that it runs.
    pub chain: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Why it is skipped, where it is.
    pub skip: Option<String>,
    /// Where it says `only`.
    pub only: Option<Span>,
    /// The rows whose every one is a case.
    pub rows: Option<Rows>,
    /// Values of variables, and where each name stands.
    pub values: Vec<(String, Span, TestValue)>,
    /// Standard input, where the chain reads it.
    pub input: Option<TestValue>,
    /// What stands in for models and steps.
    pub mocks: Vec<Mock>,
    /// The plans that it runs: one, or one for each choice of its swaps.
    pub variants: Vec<Variant>,
    /// What must hold, and what is warned of.
    pub expectations: Vec<Expectation>,
    /// How often each case runs, and the share of these runs that must pass.
    pub runs: Option<(u32, f64)>,
    /// The share of rows that must pass; all where nothing is said.
    pub rows_pass: Option<f64>,
    /// The files that it reaches by itself, those of its chains aside.
    pub reached: Reached,
}

/// The rows of a test's data.
pub struct Rows {
    /// The file as written.
    pub file: String,
    /// What a row is called in the test.
    pub name: String,
    /// The rows: maps.
    pub rows: Arc<Vec<Value>>,
    /// Whether cells are untyped text, as in CSV.
    pub untyped: bool,
}

impl Rows {
    /// What tells a row from the others: its `id`, else what it holds.
    pub fn id(row: &Value) -> String {
        let Value::Map(map) = row else { return row.show(80) };
        match map.get("id").and_then(|id| id.as_text().map(|t| t.into_owned()).or_else(|| Some(id.show(80)))) {
            Some(id) if !id.is_empty() => id,
            _ => map
                .values()
                .map(|v| v.as_text().map_or_else(|| v.show(40), |t| t.chars().take(40).collect()))
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
}
