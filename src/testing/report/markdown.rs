//! Markdown for a pull request: counts, what did not pass, the grids of swaps.

use std::fmt::Write;

use super::naming;
use super::terminal::counts;
use crate::testing::summary::{Summary, TestSummary, Verdict};

/// The most rows of the table of what did not pass: a comment has a bound of its own.
const MOST: usize = 200;

/// The longest text in a cell, in characters.
const CELL: usize = 300;

/// The whole report.
pub fn markdown(summary: &Summary) -> String {
    let mut out = String::new();
    let mark = if summary.code() == 0 { "✅" } else { "❌" };
    let _ = writeln!(out, "### {mark} chainrun test\n\n{}", counts(summary));
    if let Some(why) = &summary.stopped {
        let _ = writeln!(out, "\nStopped: {}", text(why));
    }
    for note in &summary.notes {
        let _ = writeln!(out, "\nWarning: {}", text(note));
    }
    table(&mut out, summary);
    for test in &summary.tests {
        grid(&mut out, test);
        labels(&mut out, test);
    }
    let skipped: Vec<_> = summary.tests.iter().filter(|t| t.record.skip.is_some()).collect();
    if !skipped.is_empty() {
        out.push_str("\n<details><summary>Skipped</summary>\n\n");
        for test in skipped {
            let why = test.record.skip.as_deref().unwrap_or_default();
            let _ = writeln!(out, "- {}: {}", text(&test.record.test), text(why));
        }
        out.push_str("\n</details>\n");
    }
    out
}

/// What did not pass.
fn table(out: &mut String, summary: &Summary) {
    let mut rows = Vec::new();
    for test in &summary.tests {
        let choices = test.choices();
        let share = test.record.runs_pass.unwrap_or(1.0);
        for group in test.groups() {
            let verdict = group.verdict(share);
            // What is not finished has a row for its whole test.
            if matches!(verdict, Verdict::Passed | Verdict::Unfinished) || naming::is_outvoted(&group, &choices) {
                continue;
            }
            let missed = naming::telling(&group).and_then(|run| naming::missed(run).next());
            let line = missed.map_or(test.record.line, |check| check.line);
            let (expected, actual) =
                missed.map(|check| (check.expected.as_str(), check.actual.as_str())).unwrap_or_default();
            rows.push(format!(
                "| {} | {} | {}:{line} | {} | {} | {} |",
                verdict.name(),
                text(&naming::case(&test.record.test, group.row, group.swapped)),
                text(&test.record.file),
                text(&naming::reason(&group)),
                code(expected),
                code(actual)
            ));
        }
        if test.verdict() == Verdict::Unfinished {
            let record = &test.record;
            rows.push(format!(
                "| unfinished | {} | {}:{} | | | |",
                text(&record.test),
                text(&record.file),
                record.line
            ));
        }
    }
    if rows.is_empty() {
        return;
    }
    out.push_str("\n| | test | place | why | expected | actual |\n|---|---|---|---|---|---|\n");
    for row in rows.iter().take(MOST) {
        let _ = writeln!(out, "{row}");
    }
    if rows.len() > MOST {
        let _ = writeln!(out, "\n{} more are not shown.", rows.len() - MOST);
    }
}

/// The choices of a test's swaps: with two swaps, one down and one across; else a list.
fn grid(out: &mut String, test: &TestSummary) {
    let choices = test.choices();
    if choices.len() < 2 {
        return;
    }
    let cell = |verdict: Verdict, passed: u64, all: u64| {
        let mark = if verdict == Verdict::Passed { "✅" } else { "❌" };
        format!("{mark} {passed}/{all}")
    };
    let _ = writeln!(out, "\n**{}**\n", text(&test.record.test));
    let names: Vec<&str> =
        choices.first().map(|c| c.swapped.iter().map(|(n, _)| n.as_str()).collect()).unwrap_or_default();
    let [down, across] = names[..] else {
        let _ = writeln!(out, "| {} | rows passed |\n|---|---|", text(&names.join(", ")));
        for choice in &choices {
            let words: Vec<&str> = choice.swapped.iter().map(|(_, with)| with.as_str()).collect();
            let shown = cell(choice.verdict, choice.passed, choice.all);
            let _ = writeln!(out, "| {} | {shown} |", code(&words.join(", ")));
        }
        return;
    };
    let (mut lines, mut columns): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for choice in &choices {
        for (list, (_, with)) in [&mut lines, &mut columns].into_iter().zip(&choice.swapped) {
            if !list.contains(&with.as_str()) {
                list.push(with);
            }
        }
    }
    let head: Vec<String> = columns.iter().map(|c| code(c)).collect();
    let _ = writeln!(out, "| {} ↓ {} → | {} |", text(down), text(across), head.join(" | "));
    let _ = writeln!(out, "|---|{}", "---|".repeat(columns.len()));
    for line in &lines {
        let cells = columns.iter().map(|column| {
            let found = choices.iter().find(|c| c.swapped[0].1 == *line && c.swapped[1].1 == *column);
            found.map(|c| cell(c.verdict, c.passed, c.all)).unwrap_or_default()
        });
        let _ = writeln!(out, "| {} | {} |", code(line), cells.collect::<Vec<_>>().join(" | "));
    }
}

/// How many rows of each label passed.
fn labels(out: &mut String, test: &TestSummary) {
    let labels = test.labels();
    if labels.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n**{}**\n\n| label | rows passed |\n|---|---|", text(&test.record.test));
    for label in labels {
        let mark = if label.met == label.all { "✅" } else { "❌" };
        let _ = writeln!(out, "| {} | {mark} {}/{} |", code(&label.name), label.met, label.all);
    }
}

/// A text that opens no markup, on one line.
fn text(text: &str) -> String {
    let mut out = String::new();
    for c in naming::brief(text, CELL).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A name after it would be told of the pull request.
            '@' => out.push_str("&#64;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '~' | '#' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// A text as it stands.
fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let shown = text.replace('\n', "⏎");
    let mut out = String::from("<code>");
    for c in naming::brief(&shown, CELL).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // Inside `<code>` other markup still counts.
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '~' | '@' | '!' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out + "</code>"
}
