//! How many rows of each label passed, where a test over a data set expects labels.

use indexmap::IndexMap;

use super::log::{CheckRecord, Status};
use super::summary::TestSummary;

/// The most labels, and the most characters of one: what is more is no label.
const MOST: (usize, usize) = (20, 40);

/// Of each text: rows that met it, and all of its rows.
type Counts<'c> = IndexMap<&'c str, (u64, u64)>;

/// How many of the rows with a label met the expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// The label.
    pub name: String,
    /// Rows that met it.
    pub met: u64,
    /// All its rows.
    pub all: u64,
}

impl TestSummary {
    /// The labels that the rows of a test with `rows pass` expect, with their counts: those of its first `equals` whose
    /// wanted texts are short and come again. Nothing where there is none.
    pub fn labels(&self) -> Vec<Label> {
        if self.record.rows_pass.is_none() {
            return Vec::new();
        }
        let mut places: IndexMap<(usize, usize), Counts<'_>> = IndexMap::new();
        for case in self.cases.iter().filter(|case| case.status != Status::Spared) {
            for check in case.checks.iter().filter(|check| is_equality(check)) {
                let counts = places.entry((check.line, check.column)).or_default();
                let count = counts.entry(check.expected.trim()).or_default();
                count.0 += u64::from(check.pass);
                count.1 += 1;
            }
        }
        let is_label = |counts: &Counts<'_>| {
            let short = |name: &str| !name.contains('\n') && name.chars().count() <= MOST.1;
            let again = counts.values().any(|(_, all)| *all > 1);
            (2..=MOST.0).contains(&counts.len()) && again && counts.keys().all(|name| short(name))
        };
        let Some(counts) = places.into_values().find(is_label) else { return Vec::new() };
        let label = |(name, (met, all)): (&str, (u64, u64))| Label { name: name.to_owned(), met, all };
        counts.into_iter().map(label).collect()
    }
}

fn is_equality(check: &CheckRecord) -> bool {
    check.comparable && check.text.split_whitespace().take_while(|word| *word != "{{").any(|word| word == "equals")
}
