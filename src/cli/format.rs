//! A result in the format that was asked for.

use indexmap::IndexSet;
use serde_json::Value as Json;

use super::arguments::Format;
use crate::value::Value;

/// A value as standard output shows it; none for nothing.
///
/// # Errors
/// The value is no table, and a table was asked for.
pub fn text_of(value: &Value, format: Format, terminal: bool) -> Result<Option<String>, String> {
    Ok(match format {
        Format::Text => plain(value, terminal),
        Format::Json => Some(json_text(value, terminal)),
        Format::Jsonl => Some(match value {
            Value::List(items) => items.iter().map(|v| json_text(v, false) + "\n").collect(),
            other => json_text(other, false),
        }),
        Format::Csv => Some(table(&json(value))?),
        Format::Yaml => Some(serde_yaml::to_string(&json(value)).map_err(|e| e.to_string())?),
    })
}

/// A value as JSON in text.
fn json_text(value: &Value, indented: bool) -> String {
    let json = json(value);
    if indented { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) }.unwrap_or_default()
}

/// A value as JSON; a message counts as its text, but for one that asks for tools.
fn json(value: &Value) -> Json {
    match value {
        Value::Message(message) if message.calls.is_empty() => Json::from(message.text.as_str()),
        other => other.to_json(),
    }
}

fn plain(value: &Value, terminal: bool) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(b) => Some(b.to_string()),
        Value::Int(n) => Some(n.to_string()),
        Value::Float(_) => Some(value.to_json().to_string()),
        Value::Text(_) | Value::Message(_) | Value::Raw(_) => value.as_text().map(|t| t.into_owned()),
        Value::List(_) | Value::Map(_) | Value::Prompt(_) => Some(json_text(value, terminal)),
    }
}

/// A table: maps give a header of all their keys in the order in which they are met, lists give rows as they are, single
/// values one column. A single map or value is a table of one row.
fn table(value: &Json) -> Result<String, String> {
    let one = std::slice::from_ref(value);
    let rows = value.as_array().map_or(one, Vec::as_slice);
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    let mut write = |cells: Vec<String>| writer.write_record(cells).map_err(|e| e.to_string());
    if !rows.is_empty() && rows.iter().all(Json::is_object) {
        let header: IndexSet<&String> = rows.iter().filter_map(Json::as_object).flat_map(|m| m.keys()).collect();
        write(header.iter().map(|k| (*k).clone()).collect())?;
        for row in rows {
            write(header.iter().map(|k| row.get(k.as_str()).map_or_else(String::new, cell)).collect())?;
        }
    } else if rows.iter().any(Json::is_object) {
        return Err("some of its items are maps and some are not".to_owned());
    } else {
        for row in rows {
            match row {
                Json::Array(cells) => write(cells.iter().map(cell).collect())?,
                single => write(vec![cell(single)])?,
            }
        }
    }
    let bytes = writer.into_inner().map_err(|e| e.to_string())?;
    String::from_utf8(bytes).map_err(|e| e.to_string())
}

/// A cell: text as it is, nothing for null, else JSON.
fn cell(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(json: Json) -> Result<String, String> {
        table(&json)
    }

    #[test]
    fn tables() {
        let maps = serde_json::json!([{ "a": 1, "b": "x,y" }, { "b": null, "c": [1] }]);
        assert_eq!(csv(maps).unwrap(), "a,b,c\n1,\"x,y\",\n,,[1]\n");
        assert_eq!(csv(serde_json::json!([[1, "a"], [2]])).unwrap(), "1,a\n2\n");
        assert_eq!(csv(serde_json::json!("text")).unwrap(), "text\n");
        assert!(csv(serde_json::json!([{ "a": 1 }, 2])).is_err());
    }
}
