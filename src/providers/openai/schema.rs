//! Schemas as `response_format` takes them: the strict subset, and values that travel in an object.

use serde_json::{Map, Value as Json, json};

use super::dialect::SchemaForm;

/// The field of the object that a value travels in.
const FIELD: &str = "value";

/// Whether a schema is one of an object, which can stand at the root.
pub fn is_object(schema: &Json) -> bool {
    schema.get("type").and_then(Json::as_str) == Some("object")
}

/// Whether a value of the schema travels in an object to be sent in this form.
pub fn travels(schema: &Json, form: SchemaForm) -> bool {
    form != SchemaForm::Any && !is_object(schema)
}

/// The field `response_format` that holds an answer to a schema.
pub fn response_format(schema: &Json, form: SchemaForm) -> Json {
    let mut schema = schema.clone();
    if form == SchemaForm::Strict {
        require_all(&mut schema);
    }
    if travels(&schema, form) {
        schema = in_object(schema);
    }
    match form {
        SchemaForm::Value => json!({ "type": "json_object", "value": schema }),
        _ => {
            json!({ "type": "json_schema", "json_schema": { "name": "answer", "schema": schema, "strict": true } })
        }
    }
}

/// An object with the value as its one field. Definitions stay at the root, where references look for them.
fn in_object(mut schema: Json) -> Json {
    let definitions = schema.as_object_mut().and_then(|map| map.shift_remove("$defs"));
    let mut out = json!({
        "type": "object",
        "properties": { FIELD: schema },
        "required": [FIELD],
        "additionalProperties": false,
    });
    if let Some(definitions) = definitions {
        out["$defs"] = definitions;
    }
    out
}

/// Makes every field of every object required, as strict schemas want it. A field that may be missing may be null too.
fn require_all(schema: &mut Json) {
    let Json::Object(map) = schema else { return };
    if let Some(Json::Object(properties)) = map.get("properties") {
        let names: Vec<Json> = properties.keys().map(|k| Json::from(k.as_str())).collect();
        map.insert("required".to_owned(), Json::Array(names));
    }
    for key in ["properties", "$defs"] {
        if let Some(Json::Object(named)) = map.get_mut(key) {
            named.values_mut().for_each(require_all);
        }
    }
    if let Some(Json::Array(parts)) = map.get_mut("anyOf") {
        parts.iter_mut().for_each(require_all);
    }
    if let Some(items) = map.get_mut("items") {
        require_all(items);
    }
}

/// The part of a schema that the strict subset does not have: maps with free keys, and values of any shape.
pub fn loose(schema: &Json) -> Option<&'static str> {
    match schema {
        Json::Object(map) if map.keys().all(|k| k == "description") => Some("values of type `any`"),
        Json::Object(map) if map.get("additionalProperties").is_some_and(Json::is_object) => {
            Some("`map(…)`, an object with any keys")
        }
        Json::Object(map) => {
            let named = ["properties", "$defs"].into_iter().filter_map(|key| map.get(key)?.as_object());
            let fields = named.flat_map(Map::values);
            let parts = map.get("anyOf").and_then(Json::as_array).into_iter().flatten();
            fields.chain(parts).chain(map.get("items")).find_map(loose)
        }
        _ => None,
    }
}

/// Takes a value out of the object that it travels in, as its pieces come. Text that does not begin as such an object
/// passes as it is.
#[derive(Default)]
pub struct Unwrap {
    state: State,
    /// What came before it is clear what the text is.
    held: String,
}

#[derive(Default)]
enum State {
    /// The beginning of the object, as far as it came.
    #[default]
    Before,
    /// Inside the value.
    Value { depth: u32, in_string: bool, escaped: bool },
    /// Behind the object.
    After,
    /// The text is none.
    Other,
}

impl Unwrap {
    /// What a piece of the answer adds to the value.
    pub fn push(&mut self, piece: &str) -> String {
        match self.state {
            State::Before => {
                self.held.push_str(piece);
                match beginning(&self.held) {
                    Beginning::Unclear => String::new(),
                    Beginning::Other => {
                        self.state = State::Other;
                        std::mem::take(&mut self.held)
                    }
                    Beginning::At(start) => {
                        self.state = State::Value { depth: 0, in_string: false, escaped: false };
                        let held = std::mem::take(&mut self.held);
                        self.value(held.get(start..).unwrap_or_default())
                    }
                }
            }
            State::Value { .. } => self.value(piece),
            State::After => String::new(),
            State::Other => piece.to_owned(),
        }
    }

    /// What is left when no more comes.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// The part of a piece before the object's closing brace.
    fn value(&mut self, piece: &str) -> String {
        let State::Value { depth, in_string, escaped } = &mut self.state else { return String::new() };
        for (at, byte) in piece.bytes().enumerate() {
            if *in_string {
                match byte {
                    _ if *escaped => *escaped = false,
                    b'\\' => *escaped = true,
                    b'"' => *in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => *in_string = true,
                b'{' | b'[' => *depth += 1,
                b'}' | b']' if *depth > 0 => *depth -= 1,
                b'}' => {
                    self.state = State::After;
                    return piece[..at].trim_end().to_owned();
                }
                _ => {}
            }
        }
        piece.to_owned()
    }
}

enum Beginning {
    /// Too little came to tell.
    Unclear,
    /// It is no such object.
    Other,
    /// The value begins at this byte.
    At(usize),
}

/// Whether a text begins with `{"value":`, with white space anywhere between.
fn beginning(text: &str) -> Beginning {
    let mut rest = text;
    for part in ["{", "\"value\"", ":"] {
        rest = rest.trim_start();
        match rest.strip_prefix(part) {
            Some(after) => rest = after,
            None if part.starts_with(rest) => return Beginning::Unclear,
            None => return Beginning::Other,
        }
    }
    let value = rest.trim_start();
    if value.is_empty() { Beginning::Unclear } else { Beginning::At(text.len() - value.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_strict_schema_has_no_place_for() {
        let closed =
            json!({ "type": "object", "properties": { "a": { "type": "string" } }, "additionalProperties": false });
        assert_eq!(loose(&closed), None);
        assert_eq!(loose(&json!({ "type": "array", "items": { "type": "integer" } })), None);
        for open in [
            json!({}),
            json!({ "type": "object", "additionalProperties": { "type": "string" } }),
            json!({ "type": "array", "items": { "description": "anything" } }),
            json!({ "type": "object", "properties": { "a": { "anyOf": [{ "type": "null" }, {}] } } }),
            json!({ "$ref": "#/$defs/T", "$defs": { "T": { "type": "array", "items": {} } } }),
        ] {
            assert!(loose(&open).is_some(), "{open}");
        }
    }

    #[test]
    fn strict_schemas_require_every_field_and_have_an_object_at_the_root() {
        let person = json!({
            "type": "object",
            "properties": { "a": { "type": "string" }, "b": { "anyOf": [{ "type": "number" }, { "type": "null" }] } },
            "required": ["a"], "additionalProperties": false,
        });
        let list = json!({ "type": "array", "items": person });
        let sent = response_format(&list, SchemaForm::Strict);
        assert_eq!(sent["type"], "json_schema");
        let root = &sent["json_schema"]["schema"];
        assert_eq!((&root["type"], &root["required"]), (&json!("object"), &json!(["value"])));
        assert_eq!(root["properties"]["value"]["items"]["required"], json!(["a", "b"]));
        let plain = response_format(&list, SchemaForm::Any);
        assert_eq!(plain["json_schema"]["schema"], list);
        let value = response_format(&person, SchemaForm::Value);
        assert_eq!(value, json!({ "type": "json_object", "value": person }));
        let tree = json!({ "$ref": "#/$defs/T", "$defs": { "T": { "type": "object", "properties": { "k": { "type": "array", "items": { "$ref": "#/$defs/T" } } }, "required": [], "additionalProperties": false } } });
        let sent = response_format(&tree, SchemaForm::Strict);
        let root = &sent["json_schema"]["schema"];
        assert_eq!(root["properties"]["value"], json!({ "$ref": "#/$defs/T" }));
        assert_eq!(root["$defs"]["T"]["required"], json!(["k"]));
    }

    #[test]
    fn values_are_taken_out_wherever_the_text_is_split() {
        for (text, value) in [
            ("{\"value\": 3}", "3"),
            (" {\n \"value\" : [1, {\"a\": \"}\\\"]\"}, []] \n} \n", "[1, {\"a\": \"}\\\"]\"}, []]"),
            ("{\"value\":\"감자 \\\\\"}", "\"감자 \\\\\""),
            ("{\"value\":{\"value\":{}}}", "{\"value\":{}}"),
            // Cut by the limit of tokens.
            ("{\"value\": [1, 2", "[1, 2"),
            ("{\"val", "{\"val"),
            // No such object: the server did not hold the model to it.
            ("three", "three"),
            ("{\"values\": 3}", "{\"values\": 3}"),
            ("[1]", "[1]"),
            ("", ""),
        ] {
            for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                let mut unwrap = Unwrap::default();
                let mut out = unwrap.push(&text[..at]);
                out.push_str(&unwrap.push(&text[at..]));
                out.push_str(&unwrap.finish());
                assert_eq!(out.trim_end(), value, "{text} split at {at}");
            }
            let mut unwrap = Unwrap::default();
            let mut out: String = text.chars().map(|c| unwrap.push(c.encode_utf8(&mut [0; 4]))).collect();
            out.push_str(&unwrap.finish());
            assert_eq!(out.trim_end(), value, "{text} letter by letter");
        }
    }
}
