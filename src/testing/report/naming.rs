//! What reports call a case, and what they say of one that did not pass.

use std::fmt::Write;

use super::difference::difference;
use crate::testing::log::{CaseRecord, CheckRecord, Status};
use crate::testing::summary::{Choice, Group, Verdict};

/// A choice of the swaps as words: `mistral = gpt2, tone = plain`.
pub fn choice(swapped: &[(String, String)]) -> String {
    swapped.iter().map(|(name, with)| format!("{name} = {with}")).collect::<Vec<_>>().join(", ")
}

/// The name of a case: its test's, its choice of the swaps and its row in brackets.
pub fn case(test: &str, row: Option<&str>, swapped: &[(String, String)]) -> String {
    let mut parts = Vec::new();
    if !swapped.is_empty() {
        parts.push(choice(swapped));
    }
    parts.extend(row.map(|row| format!("row {row}")));
    if parts.is_empty() { test.to_owned() } else { format!("{test} [{}]", parts.join(", ")) }
}

/// Whether a group that did not pass does no harm: enough of the other rows of its choice passed.
pub fn is_outvoted(group: &Group<'_>, choices: &[Choice]) -> bool {
    choices.iter().any(|choice| choice.swapped == group.swapped && choice.verdict == Verdict::Passed)
}

/// The run that shows best why a group did not pass: the first that did not.
pub fn telling<'s>(group: &Group<'s>) -> Option<&'s CaseRecord> {
    group.runs.iter().find(|r| !matches!(r.status, Status::Passed | Status::Spared)).copied()
}

/// The expectations of a run that were not met and do not only warn.
pub fn missed(run: &CaseRecord) -> impl Iterator<Item = &CheckRecord> {
    run.checks.iter().filter(|check| !check.pass && !check.warn)
}

/// Why a group did not pass, in one line.
pub fn reason(group: &Group<'_>) -> String {
    let Some(run) = telling(group) else {
        return format!("{} of {} runs ended", group.runs.len(), group.all);
    };
    let why = match (&run.error, run.status) {
        (Some(error), Status::Broken) => format!("the run failed: {error}"),
        _ => missed(run).next().map(|check| check.why.clone()).unwrap_or_default(),
    };
    match group.runs.len() {
        1 => why,
        _ => format!("{} of {} runs passed; {why}", group.passed(), group.made()),
    }
}

/// Everything that a run missed, whole: places, reasons, what was expected and seen.
pub fn details(run: &CaseRecord) -> String {
    let mut out = String::new();
    if let (Some(error), Status::Broken) = (&run.error, run.status) {
        let _ = writeln!(out, "{}:{}: the run failed: {error}", run.file, run.line);
    }
    for check in missed(run) {
        let _ = writeln!(out, "{}:{}:{}: {}", run.file, check.line, check.column, check.text);
        let _ = writeln!(out, "{}", check.why);
        if !check.expected.is_empty() || !check.actual.is_empty() {
            let _ = writeln!(out, "expected: {}\nactual: {}", check.expected, check.actual);
        }
        if check.comparable && (check.expected.contains('\n') || check.actual.contains('\n')) {
            for line in difference(&check.expected, &check.actual) {
                let _ = writeln!(out, "{line}");
            }
        }
    }
    out
}

/// A text of one line that is not too long for a table or a title.
pub fn brief(text: &str, most: usize) -> String {
    let flat: String = text.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(most).is_some() { format!("{flat}…") } else { flat }
}
