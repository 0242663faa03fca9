//! `test: { redact: [...] }`: what of a value is not compared with its snapshot.

use super::{Configuration, Reader};
use crate::config::tree::{Data, Key, Node};
use crate::testing::Redaction;

pub const EXAMPLE: &str = "write `test: { redact: [{ pattern: '[0-9]{4}-[0-9]{2}-[0-9]{2}', with: \"[date]\" }] }`";

/// Reads the section.
pub fn read(reader: &mut Reader<'_>, _key: &Key, node: &Node, configuration: &mut Configuration) {
    for (key, node) in reader.map(node, "test").unwrap_or_default() {
        if key.name != "redact" {
            reader.unknown(key, format!("there is no setting `test: {}`", key.name), &["redact"]);
            continue;
        }
        let Data::List(list) = &node.data else {
            reader.wrong(node.span, format!("`redact` wants a list, found {}", node.data.describe()));
            continue;
        };
        configuration.redactions.extend(list.iter().filter_map(|one| redaction(reader, key, one)));
    }
}

fn redaction(reader: &mut Reader<'_>, redact: &Key, node: &Node) -> Option<Redaction> {
    let Data::Map(entries) = &node.data else {
        let message = format!("{} is no redaction: it wants `pattern` and `with`", node.data.describe());
        reader.wrong(node.span, message);
        return None;
    };
    let (mut pattern, mut with) = (None, None);
    for (key, value) in entries {
        match key.name.as_str() {
            "pattern" => pattern = Some((reader.text(value, "pattern")?, value.span)),
            "with" => with = Some(reader.text(value, "with")?),
            other => {
                reader.unknown(key, format!("a redaction has no `{other}`"), &["pattern", "with"]);
                return None;
            }
        }
    }
    match (pattern, with) {
        (None, _) => reader.wrong(redact.span, "a redaction has no `pattern`"),
        (Some((_, span)), None) => reader.wrong(span, "this redaction has no `with`, which takes its place"),
        (Some((pattern, span)), Some(with)) => match Redaction::new(pattern, with) {
            Ok(made) => return Some(made),
            Err(why) => reader.wrong(span, why),
        },
    }
    None
}
