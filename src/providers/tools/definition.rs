//! Definitions of tools, in the form of OpenAI's API, checked before anything runs.

use indexmap::IndexMap;

use crate::value::{Value, nearest};

/// The form of a definition, for messages.
pub const FORM: &str = "`{ type: \"function\", function: { name: \"…\", description: \"…\", parameters: { type: \"object\", properties: { … } } } }`";

/// Keys of a function.
const KEYS: [&str; 4] = ["name", "description", "parameters", "strict"];

/// The longest name of a function, in characters.
const LONGEST_NAME: usize = 64;

/// What is wrong with a list of definitions: the place in the list, from 0, where it is in one of them, and what.
///
/// # Errors
/// The first mistake.
pub fn check(value: &Value) -> Result<(), (Option<usize>, String)> {
    let Value::List(items) = value else {
        return Err((None, format!("wants a list of tools, found {} ({})", value.show(60), value.kind())));
    };
    if items.is_empty() {
        return Err((None, "names no tool: leave it out".to_owned()));
    }
    let mut names: Vec<&str> = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let name = definition(item).map_err(|what| (Some(i), what))?;
        if names.contains(&name) {
            return Err((Some(i), format!("a tool is called `{name}` already")));
        }
        names.push(name);
    }
    Ok(())
}

/// The name of a tool, whose definition is checked.
fn definition(item: &Value) -> Result<&str, String> {
    let tool = map(item, "a tool")?;
    match tool.get("type") {
        Some(Value::Text(kind)) if &**kind == "function" => {}
        Some(other) => return Err(format!("`type` is \"function\", found {}", other.show(60))),
        None if tool.contains_key("name") => {
            return Err("the function stands below `function`, beside `type: \"function\"`".to_owned());
        }
        None => return Err("`type: \"function\"` is missing".to_owned()),
    }
    known(tool, &["type", "function"])?;
    let function = map(tool.get("function").unwrap_or(&Value::Null), "`function`")?;
    known(function, &KEYS)?;
    let name = match function.get("name") {
        Some(Value::Text(name)) => &**name,
        Some(other) => return Err(format!("`name` wants text, found {}", other.show(60))),
        None => return Err("the function has no `name`".to_owned()),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.';
    if name.is_empty() || name.chars().count() > LONGEST_NAME || !name.chars().all(fits) {
        return Err(format!(
            "`{name}` is no name of a function: 1 to {LONGEST_NAME} letters, digits, `_`, `-` and `.`"
        ));
    }
    let of = |what: String| format!("{what} (of `{name}`)");
    match function.get("description") {
        None | Some(Value::Text(_)) => {}
        Some(other) => return Err(of(format!("`description` wants text, found {}", other.show(60)))),
    }
    match function.get("strict") {
        None | Some(Value::Bool(_)) => {}
        Some(other) => return Err(of(format!("`strict` wants true or false, found {}", other.show(60)))),
    }
    if let Some(schema) = function.get("parameters") {
        parameters(schema).map_err(of)?;
    }
    Ok(name)
}

/// The schema of a function's arguments: an object.
fn parameters(schema: &Value) -> Result<(), String> {
    let schema = map(schema, "`parameters`")?;
    match schema.get("type") {
        Some(Value::Text(kind)) if &**kind == "object" => {}
        Some(other) => return Err(format!("`parameters` has `type: \"object\"`, found {}", other.show(60))),
        None => return Err("`parameters` is a JSON Schema with `type: \"object\"`".to_owned()),
    }
    let empty = IndexMap::new();
    let properties = match schema.get("properties") {
        None => &empty,
        Some(properties) => map(properties, "`properties`")?,
    };
    for (name, property) in properties {
        match property {
            Value::Map(_) | Value::Bool(_) => {}
            other => return Err(format!("the property `{name}` wants a schema, found {}", other.show(60))),
        }
    }
    match schema.get("required") {
        None => Ok(()),
        Some(Value::List(names)) => names.iter().try_for_each(|name| match name {
            Value::Text(name) if properties.contains_key(&**name) => Ok(()),
            Value::Text(name) => {
                let near = nearest(name, properties.keys().map(String::as_str));
                let hint = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
                Err(format!("`required` names `{name}`, which `properties` lacks{hint}"))
            }
            other => Err(format!("`required` is a list of names, found {}", other.show(60))),
        }),
        Some(other) => Err(format!("`required` is a list of names, found {}", other.show(60))),
    }
}

fn map<'v>(value: &'v Value, what: &str) -> Result<&'v IndexMap<String, Value>, String> {
    match value {
        Value::Map(map) => Ok(map),
        Value::Null => Err(format!("{what} is missing")),
        other => Err(format!("{what} is a map, found {} ({})", other.show(60), other.kind())),
    }
}

fn known(map: &IndexMap<String, Value>, keys: &[&str]) -> Result<(), String> {
    match map.keys().find(|key| !keys.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let near = nearest(key, keys.iter().copied());
            let hint = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            Err(format!("there is no key `{key}` here{hint}"))
        }
    }
}
