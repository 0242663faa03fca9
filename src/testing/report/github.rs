//! Annotations of GitHub Actions: workflow commands, one a line.

use std::fmt::Write;

use super::naming;
use crate::testing::log::CaseRecord;
use crate::testing::summary::{Summary, TestSummary, Verdict};

/// The longest expected and actual text of an annotation, in characters.
const TEXT: usize = 1_000;

/// The whole report. `folder` is where the files' paths begin, seen from the repository; empty at its root.
pub fn github(summary: &Summary, folder: &str) -> String {
    let mut out = String::new();
    for test in &summary.tests {
        one(&mut out, test, folder);
    }
    for note in &summary.notes {
        let _ = writeln!(out, "::warning title=chainrun test::{}", data(note));
    }
    if let Some(why) = &summary.stopped {
        let _ = writeln!(out, "::error title=chainrun test::{}", data(&format!("the tests were stopped: {why}")));
    }
    out
}

fn one(out: &mut String, test: &TestSummary, folder: &str) {
    let choices = test.choices();
    let share = test.record.runs_pass.unwrap_or(1.0);
    for group in test.groups() {
        let outvoted = naming::is_outvoted(&group, &choices);
        if group.verdict(share) != Verdict::Passed
            && !outvoted
            && let Some(run) = naming::telling(&group)
        {
            let name = naming::case(&test.record.test, group.row, group.swapped);
            failed(out, run, &name, folder);
        }
        for run in &group.runs {
            for check in run.checks.iter().filter(|c| c.warn && !c.pass) {
                let place = place(folder, run, check.line, Some(check.column), &test.record.test);
                let _ = writeln!(out, "::warning {place}::{}", data(&check.why));
            }
        }
    }
}

fn failed(out: &mut String, run: &CaseRecord, name: &str, folder: &str) {
    if run.checks.is_empty() {
        let why = run.error.as_deref().unwrap_or("the run failed");
        let place = place(folder, run, run.line, None, name);
        let _ = writeln!(out, "::error {place}::{}", data(&format!("the run failed: {why}")));
    }
    for check in naming::missed(run) {
        let mut message = format!("{}\n{}", check.text, check.why);
        if !check.expected.is_empty() || !check.actual.is_empty() {
            let cut = |text: &str| -> String { text.chars().take(TEXT).collect() };
            let _ = write!(message, "\nexpected: {}\nactual: {}", cut(&check.expected), cut(&check.actual));
        }
        let place = place(folder, run, check.line, Some(check.column), name);
        let _ = writeln!(out, "::error {place}::{}", data(&message));
    }
}

fn place(folder: &str, run: &CaseRecord, line: usize, column: Option<usize>, title: &str) -> String {
    let file = match folder {
        "" => run.file.clone(),
        folder => format!("{folder}/{}", run.file),
    };
    let column = column.map(|n| format!(",col={n}")).unwrap_or_default();
    format!("file={},line={line}{column},title={}", property(&file), property(&naming::brief(title, 200)))
}

/// A message as a command takes it.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property's value as a command takes it.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_a_command() {
        assert_eq!(data("100%\r\n::error::x"), "100%25%0D%0A::error::x");
        assert_eq!(property("a:b,c%\n"), "a%3Ab%2Cc%25%0A");
    }
}
