//! `csv`: rows of values between commas; maps by the header, or lists.
//!
//! All values are text. Every row has as many as the first. Prose is told from rows by its place: a line before the
//! first row that ends in a colon, or that stands apart by a blank line and has another number of values; and what
//! follows a blank line after the rows, where no line of it has their number of values.

use std::sync::Arc;

use indexmap::IndexMap;

use super::answer;
use super::csv_rows::{Row, rows};
use super::rows_live::Table;
use super::spec::{
    Arguments, BuildError, OptionKind, ParseError, ParserArgument, ParserOption, ParserSpec, REPAIR, Rule,
};
use crate::event::Growing;
use crate::value::{Type, Value};

/// The description of `csv`.
pub static SPEC: ParserSpec = ParserSpec {
    name: "csv",
    doc: "a list of maps by the header, or of lists",
    argument: ParserArgument::None,
    options: &[HEADER, REPAIR],
    build,
};

const HEADER: ParserOption = ParserOption {
    name: "header",
    kind: OptionKind::Bool,
    default: "true",
    doc: "the first row names the columns; without one, each row is a list",
};

struct Csv {
    header: bool,
}

fn build(arguments: &Arguments<'_>) -> Result<Arc<dyn Rule>, BuildError> {
    Ok(Arc::new(Csv { header: arguments.bool("header").unwrap_or(true) }))
}

impl Rule for Csv {
    fn parse(&self, text: &str) -> Result<Value, ParseError> {
        let (offset, body) = answer::body(text)?;
        let wrong = |at: usize, why: &str| answer::at(text, offset + at, why);
        let all = rows(body).map_err(|(at, why)| wrong(at, why))?;
        let all = without_prose(body, all).map_err(|(at, why)| wrong(at, why))?;
        let Some(first) = all.first() else {
            return Err(ParseError::new("the answer is empty, where CSV was expected"));
        };
        let width = first.values.len();
        if let Some(other) = all.iter().find(|r| r.values.len() != width) {
            let message =
                format!("this row has {}, the first has {width}", counted(other.values.len(), "value", "values"));
            return Err(wrong(other.at, &message).help("a value that holds a comma stands in double quotes"));
        }
        if !self.header {
            return Ok(Value::list(all.into_iter().map(|r| list(r.values)).collect()));
        }
        if let Some(why) = bad_header(&first.values) {
            return Err(wrong(first.at, &why));
        }
        let names = first.values.clone();
        Ok(Value::list(all.into_iter().skip(1).map(|r| by_name(&names, r.values)).collect()))
    }

    fn stream(&self) -> Option<Box<dyn Growing>> {
        Some(Box::new(Table::new(self.header)))
    }

    fn output_type(&self) -> Type {
        let row = if self.header { Type::Map(Box::new(Type::Text)) } else { Type::List(Box::new(Type::Text)) };
        Type::List(Box::new(row))
    }

    fn format_instructions(&self) -> String {
        let header = if self.header { "the first row names the columns" } else { "no header" };
        format!(
            "Answer with comma-separated values (CSV) alone: one row a line, {header}; put a value that holds a comma in double quotes."
        )
    }
}

fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

pub(super) fn list(values: Vec<String>) -> Value {
    Value::list(values.into_iter().map(Value::from).collect())
}

pub(super) fn by_name(names: &[String], values: Vec<String>) -> Value {
    let pairs = names.iter().cloned().zip(values.into_iter().map(Value::from));
    Value::Map(Arc::new(pairs.collect::<IndexMap<_, _>>()))
}

/// Why a header names no columns.
pub(super) fn bad_header(names: &[String]) -> Option<String> {
    let mut seen = std::collections::HashSet::new();
    if names.iter().any(String::is_empty) {
        return Some("a column of the header has no name".to_owned());
    }
    names.iter().find(|n| !seen.insert(n.as_str())).map(|n| format!("the column `{n}` stands twice in the header"))
}

/// The rows without prose before and after them.
fn without_prose(body: &str, mut all: Vec<Row>) -> Result<Vec<Row>, (usize, &'static str)> {
    if let [first, second, ..] = all.as_slice() {
        let line = body[first.at..].lines().next().unwrap_or_default().trim_end();
        if line.ends_with([':', '：']) || (second.apart && second.values.len() != first.values.len()) {
            all.remove(0);
            if let Some(first) = all.first_mut() {
                first.apart = false;
            }
        }
    }
    let width = all.first().map_or(0, |r| r.values.len());
    let Some(apart) = all.iter().position(|r| r.apart) else { return Ok(all) };
    let last_fit = all.iter().rposition(|r| r.values.len() == width).unwrap_or(0);
    let prose = (last_fit + 1..all.len()).find(|i| all.get(*i).is_some_and(|r| r.apart));
    if width == 1 {
        let at = all.get(apart).map_or(0, |r| r.at);
        return Err((at, "a blank line stands before this row, so it cannot be told from prose"));
    }
    if let Some(prose) = prose {
        all.truncate(prose);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(header: bool, text: &str) -> String {
        Csv { header }.parse(text).map_or_else(|e| e.message, |v| v.to_json().to_string())
    }

    #[test]
    fn what_stands_around_is_no_matter() {
        for text in [
            "name,age\nKim,3\n",
            "name, age\r\nKim, 3",
            "Sure, here it is:\n```csv\nname,age\nKim,3\n```\nBye, now.",
            "Sure, here it is:\nname,age\nKim,3",
            "Here is the table\n\nname,age\nKim,3\n\nI hope, truly, it helps.\nBye.",
            "<think>a,b</think>name,age\n\"Kim\",\"3\"",
        ] {
            assert_eq!(show(true, text), r#"[{"name":"Kim","age":"3"}]"#, "{text}");
        }
        assert_eq!(show(false, "a,b\n\n1,2"), r#"[["a","b"],["1","2"]]"#);
        assert_eq!(show(true, "name"), "[]");
        assert_eq!(show(true, "name\nKim\nLee"), r#"[{"name":"Kim"},{"name":"Lee"}]"#);
    }

    #[test]
    fn nothing_is_guessed() {
        for (text, wanted) in [
            ("", "empty"),
            ("a,b\n1,2,3", "this row has 3 values, the first has 2 (line 2, column 1"),
            ("a,b\n1", "this row has 1 value, the first has 2"),
            ("a,a\n1,2", "stands twice"),
            ("a,\n1,2", "no name"),
            ("a,b\n1,\"2", "never closed"),
            ("a,b\n1,2\n\n3\n4,5", "this row has 1 value"),
            ("name\nKim\n\nHope this helps", "cannot be told from prose"),
        ] {
            assert!(show(true, text).contains(wanted), "{text}: {}", show(true, text));
        }
    }
}
