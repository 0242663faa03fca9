//! JUnit's XML, as CI servers read it: a suite for each file, a testcase for each case.

use std::fmt::Write;

use super::naming;
use crate::testing::summary::{Choice, Group, Summary, TestSummary, Verdict};

/// What a testcase came to.
enum Said {
    Passed,
    Skipped(String),
    Failure(&'static str, String, String),
    Error(&'static str, String, String),
}

/// A testcase.
struct Testcase<'s> {
    name: String,
    line: usize,
    seconds: f64,
    properties: Vec<(&'static str, &'s str)>,
    said: Said,
}

/// The whole report.
pub fn junit(summary: &Summary) -> String {
    let mut files: Vec<&str> = Vec::new();
    for test in &summary.tests {
        if !files.contains(&test.record.file.as_str()) {
            files.push(&test.record.file);
        }
    }
    let mut suites = String::new();
    let mut all = [0; 4];
    for file in files {
        let tests = summary.tests.iter().filter(|t| t.record.file == file);
        let cases: Vec<Testcase<'_>> = tests.flat_map(|test| testcases(test, summary.stopped.as_deref())).collect();
        let counts = suite(&mut suites, file, &cases);
        all.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
    }
    let [tests, failures, errors, skipped] = all;
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"chainrun\" tests=\"{tests}\" \
         failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{:.3}\">\n{suites}</testsuites>\n",
        summary.seconds
    )
}

fn suite(out: &mut String, file: &str, cases: &[Testcase<'_>]) -> [usize; 4] {
    let count = |is: fn(&Said) -> bool| cases.iter().filter(|case| is(&case.said)).count();
    let counts = [
        cases.len(),
        count(|said| matches!(said, Said::Failure(..))),
        count(|said| matches!(said, Said::Error(..))),
        count(|said| matches!(said, Said::Skipped(_))),
    ];
    let [tests, failures, errors, skipped] = counts;
    let seconds: f64 = cases.iter().map(|case| case.seconds).sum();
    let file = escaped(file);
    let _ = writeln!(
        out,
        "  <testsuite name=\"{file}\" file=\"{file}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" \
         skipped=\"{skipped}\" time=\"{seconds:.3}\">"
    );
    for case in cases {
        testcase(out, &file, case);
    }
    out.push_str("  </testsuite>\n");
    counts
}

fn testcase(out: &mut String, file: &str, case: &Testcase<'_>) {
    let _ = writeln!(
        out,
        "    <testcase classname=\"{file}\" name=\"{}\" file=\"{file}\" line=\"{}\" time=\"{:.3}\">",
        escaped(&case.name),
        case.line,
        case.seconds
    );
    out.push_str("      <properties>\n");
    for (name, value) in &case.properties {
        let _ = writeln!(out, "        <property name=\"{name}\" value=\"{}\"/>", escaped(value));
    }
    out.push_str("      </properties>\n");
    let _ = match &case.said {
        Said::Passed => Ok(()),
        Said::Skipped(why) => writeln!(out, "      <skipped message=\"{}\"/>", escaped(why)),
        Said::Failure(kind, why, details) => element(out, "failure", kind, why, details),
        Said::Error(kind, why, details) => element(out, "error", kind, why, details),
    };
    out.push_str("    </testcase>\n");
}

fn element(out: &mut String, name: &str, kind: &str, why: &str, details: &str) -> std::fmt::Result {
    writeln!(
        out,
        "      <{name} type=\"{kind}\" message=\"{}\">{}</{name}>",
        escaped(&naming::brief(why, 500)),
        content(details)
    )
}

fn testcases<'s>(test: &'s TestSummary, stopped: Option<&str>) -> Vec<Testcase<'s>> {
    let record = &test.record;
    let one = |name: String, said: Said| Testcase {
        name,
        line: record.line,
        seconds: 0.0,
        properties: properties(test, None, &[]),
        said,
    };
    if let Some(why) = &record.skip {
        return vec![one(record.test.clone(), Said::Skipped(why.clone()))];
    }
    let choices = test.choices();
    let groups = test.groups();
    let mut cases: Vec<Testcase<'s>> = groups
        .iter()
        .map(|group| Testcase {
            name: naming::case(&record.test, group.row, group.swapped),
            line: line(group).unwrap_or(record.line),
            seconds: group.runs.iter().map(|run| run.seconds).sum(),
            properties: properties(test, group.row, group.swapped),
            said: said(test, group, &choices),
        })
        .collect();
    let missing = record.cases.saturating_sub(groups.len());
    if missing > 0 {
        let why = format!("{missing} of {} cases were not run: {}", record.cases, stopped.unwrap_or("the run ended"));
        let name = if groups.is_empty() { record.test.clone() } else { format!("{} [not run]", record.test) };
        cases.push(one(name, Said::Error("unfinished", why, String::new())));
    }
    cases
}

fn said(test: &TestSummary, group: &Group<'_>, choices: &[Choice]) -> Said {
    let verdict = group.verdict(test.record.runs_pass.unwrap_or(1.0));
    if verdict == Verdict::Passed {
        return Said::Passed;
    }
    let why = naming::reason(group);
    if naming::is_outvoted(group, choices) {
        let share = test.record.rows_pass.unwrap_or(1.0) * 100.0;
        return Said::Skipped(format!("it did not pass, but {share:.0}% of the rows did, which is enough: {why}"));
    }
    let details = naming::telling(group).map(naming::details).unwrap_or_default();
    match verdict {
        Verdict::Broken => Said::Error("run", why, details),
        Verdict::Unrecorded => Said::Error("unrecorded", why, details),
        Verdict::Unfinished => {
            Said::Error("unfinished", format!("{} of {} runs ended", group.made(), group.all), details)
        }
        _ => Said::Failure("assertion", why, details),
    }
}

/// The line of the first expectation that was not met.
fn line(group: &Group<'_>) -> Option<usize> {
    naming::missed(naming::telling(group)?).next().map(|check| check.line)
}

fn properties<'s>(
    test: &'s TestSummary,
    row: Option<&'s str>,
    swapped: &'s [(String, String)],
) -> Vec<(&'static str, &'s str)> {
    let mut all = vec![("chain", test.record.chain.as_str())];
    all.extend(test.record.tags.iter().map(|tag| ("tag", tag.as_str())));
    all.extend(row.map(|row| ("row", row)));
    // The name of a swap is no fixed word: both stand in the values.
    all.extend(swapped.iter().flat_map(|(name, with)| [("swap", name.as_str()), ("with", with.as_str())]));
    all
}

/// A text as an attribute's value.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            c => push(&mut out, c),
        }
    }
    out
}

/// A text as an element's content.
fn content(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // A reader would make it a line feed.
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' => out.push(c),
            c => push(&mut out, c),
        }
    }
    out
}

fn push(out: &mut String, c: char) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        // Not even a reference may name these (XML 1.0, section 2.2).
        '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.extend(c.escape_unicode()),
        // Allowed, but discouraged; a reader may pass them on to a terminal.
        '\u{7f}'..='\u{9f}' => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_breaks_the_text() {
        assert_eq!(escaped("a<b>&\"\n\t\r"), "a&lt;b&gt;&amp;&quot;&#10;&#9;&#13;");
        assert_eq!(content("]]>\u{1b}[31m\u{0}\u{ffff}é\n"), "]]&gt;\\u{1b}[31m\\u{0}\\u{ffff}é\n");
    }
}
