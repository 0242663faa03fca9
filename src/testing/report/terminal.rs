//! The report of a terminal: short where all passed, exact where something did not.

use std::fmt::Write;

use super::difference::difference;
use super::naming::choice;
use crate::testing::log::{CaseRecord, CheckRecord, Status};
use crate::testing::summary::{Summary, TestSummary, Verdict};

/// The longest text that stands on a line of the report, in characters.
const SHORT: usize = 300;

/// How a text is painted.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
    fn red(self, text: &str) -> String {
        self.with("31;1", text)
    }
    fn green(self, text: &str) -> String {
        self.with("32;1", text)
    }
    fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }
    fn faint(self, text: &str) -> String {
        self.with("2", text)
    }
}

/// The whole report.
pub fn terminal(summary: &Summary, color: bool) -> String {
    let paint = Paint(color);
    let mut out = String::new();
    for test in &summary.tests {
        one(&mut out, test, paint);
    }
    for note in &summary.notes {
        let _ = writeln!(out, "{} {note}", paint.yellow("warning:"));
    }
    if let Some(why) = &summary.stopped {
        let _ = writeln!(out, "{} {why}", paint.yellow("stopped:"));
    }
    let passed = summary.code() == 0;
    let line = counts(summary);
    let _ = writeln!(out, "{}", if passed { paint.green(&line) } else { paint.red(&line) });
    out
}

/// The counts, in one line.
pub fn counts(summary: &Summary) -> String {
    let count = |verdict| summary.count(verdict);
    let mut parts = Vec::new();
    let mut part = |n: usize, what: &str| {
        if n > 0 {
            parts.push(format!("{n} {what}"));
        }
    };
    part(count(Verdict::Passed), "passed");
    part(count(Verdict::Failed), "failed");
    part(count(Verdict::Broken), "broken");
    part(count(Verdict::Unrecorded), "without a recording or an accepted snapshot");
    part(count(Verdict::Unfinished), "not finished");
    part(count(Verdict::Skipped), "skipped");
    let tests = summary.tests.len();
    let ran: usize = summary.tests.iter().flat_map(|t| &t.cases).filter(|c| c.status != Status::Spared).count();
    let cases = if ran == tests { String::new() } else { format!(", {ran} runs") };
    let warnings: usize = summary.tests.iter().map(TestSummary::warnings).sum();
    let warned = match warnings {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        n => format!(", {n} warnings"),
    };
    let s = if tests == 1 { "" } else { "s" };
    let runs = || summary.tests.iter().flat_map(|t| &t.cases);
    let (replayed, called): (u64, u64) =
        (runs().map(|c| c.replayed + c.vectors).sum(), runs().filter_map(|c| c.called).sum());
    let answered = match (replayed, called) {
        (0, 0) => String::new(),
        (replayed, called) => format!(" ({replayed} replayed, {called} called)"),
    };
    // What takes no time is not worth telling.
    let took = if summary.seconds >= 1.0 { format!(" in {:.1} s", summary.seconds) } else { String::new() };
    format!("{tests} test{s}{cases}: {}{warned}{answered}{took}", parts.join(", "))
}

fn one(out: &mut String, test: &TestSummary, paint: Paint) {
    let verdict = test.verdict();
    let record = &test.record;
    let place = format!("{}:{}", record.file, record.line);
    let name = format!("\"{}\"", clean(&record.test));
    match verdict {
        Verdict::Passed if is_plain(test) => return,
        Verdict::Passed => {
            let _ = writeln!(out, "{} {name} {}", paint.green("passed"), paint.faint(&place));
        }
        Verdict::Skipped => {
            let why = record.skip.as_deref().unwrap_or_default();
            let _ = writeln!(out, "{} {name} {}: {why}", paint.yellow("skipped"), paint.faint(&place));
            return;
        }
        Verdict::Unfinished => {
            let _ = writeln!(out, "{} {name} {}", paint.yellow("not finished"), paint.faint(&place));
        }
        Verdict::Failed => {
            let _ = writeln!(out, "{} {name} {}", paint.red("failed"), paint.faint(&place));
        }
        Verdict::Unrecorded => {
            let _ = writeln!(out, "{} {name} {}", paint.red("unrecorded"), paint.faint(&place));
        }
        Verdict::Broken => {
            let _ = writeln!(out, "{} {name} {}", paint.red("broken"), paint.faint(&place));
        }
    }
    rows(out, test);
    grid(out, test, paint);
    let share = record.runs_pass.unwrap_or(1.0);
    for group in test.groups() {
        if group.runs.len() > 1 || record.runs_pass.is_some() {
            let (low, high) = group.interval();
            let spared = group.runs.len() as u64 - group.made();
            let early = if spared > 0 { format!(", {spared} not needed") } else { String::new() };
            let _ = writeln!(
                out,
                "  {}{} of {} runs passed{early}; {:.0}% must; 95% interval {:.0}% to {:.0}%",
                label(group.row, group.swapped),
                group.passed(),
                group.made(),
                share * 100.0,
                low * 100.0,
                high * 100.0
            );
        }
        // What enough others outvoted is told by its count.
        let passed = verdict == Verdict::Passed || group.verdict(share) == Verdict::Passed;
        // Of a case that ran many times, the first run that did not pass says enough.
        let first = group.runs.iter().find(|r| !matches!(r.status, Status::Passed | Status::Spared));
        if let (Some(run), false) = (first, passed) {
            case(out, run, paint);
        }
        if let Some(run) = group.runs.iter().find(|r| r.checks.iter().any(|c| c.warn && !c.pass)) {
            for warning in run.checks.iter().filter(|c| c.warn && !c.pass) {
                check(out, run, warning, paint);
            }
        }
    }
}

/// Whether there is nothing to say of a test that passed.
fn is_plain(test: &TestSummary) -> bool {
    let choices = test.choices();
    let all = choices.iter().all(|choice| choice.passed == choice.all);
    test.warnings() == 0 && test.record.runs_pass.is_none() && all && choices.len() < 2
}

/// How many rows passed, and of each label.
fn rows(out: &mut String, test: &TestSummary) {
    let Some(share) = test.record.rows_pass else { return };
    if let [choice] = test.choices().as_slice() {
        let _ = writeln!(out, "  {} of {} rows passed; {:.0}% must", choice.passed, choice.all, share * 100.0);
    }
    let labels: Vec<String> =
        test.labels().iter().map(|of| format!("{} {} of {}", clean(&of.name), of.met, of.all)).collect();
    if !labels.is_empty() {
        let _ = writeln!(out, "  by label: {}", labels.join(", "));
    }
}

/// The choices of swaps as a table.
fn grid(out: &mut String, test: &TestSummary, paint: Paint) {
    let choices = test.choices();
    if choices.len() < 2 {
        return;
    }
    let names: Vec<String> = choices.iter().map(|c| choice(&c.swapped)).collect();
    let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
    for (name, choice) in names.iter().zip(&choices) {
        let mark = match choice.verdict {
            Verdict::Passed => paint.green("passed"),
            _ => paint.red("failed"),
        };
        let pad = " ".repeat(width - name.chars().count());
        let _ = writeln!(out, "  {name}{pad}  {}/{}  {mark}", choice.passed, choice.all);
    }
}

fn label(row: Option<&str>, swapped: &[(String, String)]) -> String {
    let mut parts = Vec::new();
    if !swapped.is_empty() {
        parts.push(choice(swapped));
    }
    parts.extend(row.map(|row| format!("row {}", short(row))));
    if parts.is_empty() { String::new() } else { format!("{}: ", parts.join(", ")) }
}

fn case(out: &mut String, case: &CaseRecord, paint: Paint) {
    let mut label = label(case.row.as_deref(), &case.swapped);
    if let Some(run) = case.run {
        label = format!("{label}run {run}: ");
    }
    if let Some(error) = case.error.as_deref().filter(|_| case.status == Status::Broken) {
        let _ = writeln!(out, "  {label}{} {}", paint.red("the run failed:"), clean(error));
    } else if !label.is_empty() {
        let _ = writeln!(out, "  {label}");
    }
    for failed in case.checks.iter().filter(|c| !c.pass && !c.warn) {
        check(out, case, failed, paint);
    }
}

fn check(out: &mut String, case: &CaseRecord, check: &CheckRecord, paint: Paint) {
    let number = check.line.to_string();
    let margin = " ".repeat(number.len());
    let carets = "^".repeat(check.text.chars().count().clamp(1, 100));
    let paint_kind = |text: &str| if check.warn { paint.yellow(text) } else { paint.red(text) };
    let _ = writeln!(out, "  {margin} {} {}:{}:{}", paint.faint("-->"), case.file, check.line, check.column);
    let _ = writeln!(out, "  {} {} {}", paint.faint(&number), paint.faint("|"), clean(&check.text));
    let _ = writeln!(out, "  {margin} {} {} {}", paint.faint("|"), paint_kind(&carets), clean(&check.why));
    if check.expected.is_empty() && check.actual.is_empty() {
        return;
    }
    let lines = if check.comparable { difference(&check.expected, &check.actual) } else { Vec::new() };
    let one_line = !check.expected.contains('\n') && !check.actual.contains('\n');
    if lines.is_empty() || one_line {
        let _ = writeln!(out, "  {margin} {} expected: {}", paint.faint("="), short(&check.expected));
        let _ = writeln!(out, "  {margin} {} actual:   {}", paint.faint("="), short(&check.actual));
        return;
    }
    for line in lines.iter().map(|line| clean(line)) {
        let painted = match line.as_bytes().first() {
            Some(b'-') => paint.red(&line),
            Some(b'+') => paint.green(&line),
            _ => line,
        };
        let _ = writeln!(out, "  {margin} {} {painted}", paint.faint("|"));
    }
}

/// A text without what a terminal would obey; lines stay.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// A text on one line, without what a terminal would obey.
fn short(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(SHORT) {
        match c {
            '\n' => out.push('⏎'),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    if text.chars().nth(SHORT).is_some() {
        out.push('…');
    }
    out
}
