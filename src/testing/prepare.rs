//! The cases of a test: every choice of its swaps with every row, values bound, so that what is wrong with one is known
//! before the first runs.

use indexmap::IndexMap;

use super::statistics::wilson;
use crate::diag::Diagnostic;
use crate::plan::testing::{Rows, Test};
use crate::plan::{Given, GivenValue, Plan, bind};
use crate::value::Value;

/// A test with its cases.
pub struct Prepared<'t> {
    /// The test.
    pub test: &'t Test,
    /// Its cases.
    pub cases: Vec<Case>,
}

impl Prepared<'_> {
    /// How many runs it comes to.
    pub fn runs(&self) -> usize {
        if self.test.skip.is_some() { 0 } else { self.cases.len() * self.test.runs.map_or(1, |(n, _)| n as usize) }
    }

    /// What to say of a test whose runs are too few to show the share that must pass.
    pub fn too_few(&self) -> Option<String> {
        let (runs, share) = self.test.runs?;
        let (low, _) = wilson(u64::from(runs), u64::from(runs));
        (low < share && share < 1.0).then(|| {
            format!(
                "{runs} runs of \"{}\" are too few to show {:.0}%: even if all pass, the share may be as low as {:.0}%",
                self.test.name,
                share * 100.0,
                low * 100.0
            )
        })
    }
}

/// A case of a test, ready to run.
#[derive(Clone)]
pub struct Case {
    /// Its place among the cases of its test, from 0.
    pub number: usize,
    /// Which choice of the swaps, as an index into the test's variants.
    pub variant: usize,
    /// What tells its row from the others.
    pub row: Option<String>,
    /// The names that its expressions read besides the variables: the row.
    pub names: IndexMap<String, Value>,
    /// The values of the plan's variables.
    pub variables: Vec<Value>,
    /// Standard input.
    pub stdin: Option<Value>,
}

/// Binds the cases of a test.
///
/// # Errors
/// Values that do not fit, each with its place and row.
pub fn prepare(test: &Test) -> Result<Prepared<'_>, Vec<Diagnostic>> {
    let (mut cases, mut wrong) = (Vec::new(), Vec::new());
    for (at, variant) in test.variants.iter().enumerate() {
        match &test.rows {
            None => match case(test, at, &variant.plan, None, IndexMap::new()) {
                Ok(case) => cases.push(case),
                Err(found) => wrong.extend(found),
            },
            Some(rows) => {
                let ids = ids(rows);
                for (i, (row, id)) in rows.rows.iter().zip(ids).enumerate() {
                    let names = IndexMap::from([(rows.name.clone(), row.clone())]);
                    match case(test, at, &variant.plan, Some(id), names) {
                        Ok(case) => cases.push(case),
                        Err(found) => wrong.extend(found.into_iter().map(|d| {
                            let help = format!("this is row {} of `{}`", i + 1, rows.file);
                            d.help(help)
                        })),
                    }
                }
            }
        }
        if !wrong.is_empty() {
            break;
        }
    }
    cases.iter_mut().enumerate().for_each(|(i, case)| case.number = i);
    if wrong.is_empty() { Ok(Prepared { test, cases }) } else { Err(wrong) }
}

/// What tells the rows from each other; rows that hold the same are counted.
fn ids(rows: &Rows) -> Vec<String> {
    let mut seen: IndexMap<String, usize> = IndexMap::new();
    let id = |row: &Value| {
        let id = Rows::id(row);
        let times = seen.entry(id.clone()).and_modify(|n| *n += 1).or_insert(1);
        if *times > 1 { format!("{id} ({times})") } else { id }
    };
    rows.rows.iter().map(id).collect()
}

fn case(
    test: &Test,
    variant: usize,
    plan: &Plan,
    row: Option<String>,
    names: IndexMap<String, Value>,
) -> Result<Case, Vec<Diagnostic>> {
    let untyped = test.rows.as_ref().is_some_and(|rows| rows.untyped);
    let mut given = Vec::with_capacity(test.values.len());
    let mut wrong = Vec::new();
    for (name, span, value) in &test.values {
        // A variable that only another choice of the swaps reads is none here.
        if !plan.variables.iter().any(|v| v.name == *name) {
            continue;
        }
        match value.value(&names) {
            Ok(value) => given.push(Given {
                name: name.clone(),
                name_span: *span,
                // Cells of CSV are texts, read as the variable's type says.
                value: match value {
                    Value::Text(text) if untyped => GivenValue::Text(text.to_string()),
                    value => GivenValue::Value(value),
                },
                value_span: *span,
            }),
            Err(diagnostic) => wrong.push(*diagnostic),
        }
    }
    let stdin = match test.input.as_ref().map(|value| value.value(&names)) {
        None => None,
        Some(Ok(value)) => Some(Value::from(super::verdict::shown(&value))),
        Some(Err(diagnostic)) => {
            wrong.push(*diagnostic);
            None
        }
    };
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let variables = bind(plan, &given)?;
    Ok(Case { number: 0, variant, row, names, variables, stdin })
}
