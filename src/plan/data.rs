//! Data files: YAML, JSON, JSON lines and CSV, by the end of the name.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::value::Value;

/// Ends of names of data files.
pub const ENDS: &[&str] = &["yaml", "yml", "json", "jsonl", "ndjson", "csv"];

/// What is wrong with a data file.
#[derive(Debug)]
pub struct DataError {
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for DataError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// The end of a data file's name, in small letters.
pub fn end(path: &Path) -> Option<&'static str> {
    let end = path.extension()?.to_str()?.to_lowercase();
    ENDS.iter().copied().find(|e| *e == end)
}

/// A file's text as a value. A name without a known end is read as YAML, of which JSON is a part.
///
/// # Errors
/// What is wrong with the text, with its line.
pub fn read(path: &Path, text: &str) -> Result<Value, DataError> {
    match end(path) {
        Some("jsonl" | "ndjson") => lines(text),
        Some("csv") => table(text),
        Some("json") => serde_json::from_str(text)
            .map(|json| Value::from_json(&json))
            .map_err(|e| DataError { line: Some(e.line()), message: without_line(&e) }),
        _ => crate::config::yaml(text).map(|json| Value::from_json(&json)).map_err(|e| yaml_error(&e)),
    }
}

fn yaml_error(text: &str) -> DataError {
    let first = text.lines().next().unwrap_or_default();
    // The reader says "line 3 column 5" somewhere in its words.
    let line = first.split_once("line ").and_then(|(_, rest)| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    let message = match (line, first.split_once(": ").and_then(|(_, rest)| rest.split_once(": "))) {
        (Some(_), Some((place, message))) if place.starts_with("line ") => message,
        _ => first,
    };
    DataError { line, message: message.to_owned() }
}

/// What JSON's reader says, without the line, which is said already.
fn without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned()
}

fn lines(text: &str) -> Result<Value, DataError> {
    let mut items = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let json: serde_json::Value = serde_json::from_str(line)
            .map_err(|e| DataError { line: Some(i + 1), message: format!("no JSON: {}", without_line(&e)) })?;
        items.push(Value::from_json(&json));
    }
    Ok(Value::list(items))
}

fn table(text: &str) -> Result<Value, DataError> {
    let wrong = |e: csv::Error| {
        let line = e.position().and_then(|p| usize::try_from(p.line()).ok());
        let message = match e.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("the row has {len} cells, and the header {expected_len}")
            }
            _ => e.to_string(),
        };
        DataError { line, message }
    };
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(wrong)?.clone();
    if let Some((_, name)) = header.iter().enumerate().find(|(i, name)| header.iter().take(*i).any(|n| n == *name)) {
        return Err(DataError { line: Some(1), message: format!("the column `{name}` is there twice") });
    }
    let mut items = Vec::new();
    for row in reader.records() {
        let row = row.map_err(wrong)?;
        let map: IndexMap<String, Value> =
            header.iter().zip(row.iter()).map(|(k, v)| (k.to_owned(), Value::from(v))).collect();
        items.push(Value::Map(Arc::new(map)));
    }
    Ok(Value::list(items))
}

#[cfg(test)]
mod tests {
    use super::read;
    use std::path::Path;

    fn wrong(name: &str, text: &str) -> String {
        match read(Path::new(name), text) {
            Ok(value) => value.show(200),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn one_table_in_four_formats() {
        let want = r#"[{"a":"x","b":"1"}]"#;
        for (name, text) in [
            ("t.csv", "a,b\nx,1\n"),
            ("t.jsonl", "{\"a\":\"x\",\"b\":\"1\"}\n\n"),
            ("t.json", "[{\"a\":\"x\",\"b\":\"1\"}]"),
            ("t.yaml", "- a: x\n  b: \"1\"\n"),
        ] {
            assert_eq!(wrong(name, text), want, "{name}");
        }
    }

    #[test]
    fn faults_have_their_line() {
        assert!(wrong("t.csv", "a,b\nx,1\ny\n").starts_with("line 3: the row has 1 cells"));
        assert!(wrong("t.csv", "a,a\nx,1\n").starts_with("line 1: the column `a` is there twice"));
        assert!(wrong("t.jsonl", "{}\n{\n").starts_with("line 2: "));
        assert!(wrong("t.json", "[1,\n2,\n").starts_with("line 3: "));
        assert!(wrong("t.yaml", "- a: x\n- b: [1\n").contains("line "));
    }
}
