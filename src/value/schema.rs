//! The JSON Schema of a type (draft 2020-12, the subset that constrained decoders share).

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::types::Record;
use super::{Literal, Recursive, Type};

impl Type {
    /// The JSON Schema that the type's values obey. Objects are closed and list their properties in written order,
    /// since decoders that obey a schema write them in that order.
    ///
    /// A type that holds itself stands in `$defs` under its name and is referred to by it.
    pub fn json_schema(&self) -> Json {
        let mut definitions = Definitions::default();
        let mut schema = definitions.schema(self);
        let mut at = 0;
        let mut defined = Map::new();
        while let Some(named) = definitions.named.get(at).cloned() {
            let body = definitions.schema(named.ty());
            defined.insert(named.name.clone(), body);
            at += 1;
        }
        if !defined.is_empty() {
            schema["$defs"] = Json::Object(defined);
        }
        schema
    }
}

/// Types that the schema refers to by their names, in the order in which they are met.
#[derive(Default)]
struct Definitions {
    named: Vec<Arc<Recursive>>,
}

impl Definitions {
    fn schema(&mut self, ty: &Type) -> Json {
        match ty {
            Type::Any => json!({}),
            Type::Text | Type::Raw => json!({ "type": "string" }),
            Type::Int => json!({ "type": "integer" }),
            Type::Float => json!({ "type": "number" }),
            Type::Bool => json!({ "type": "boolean" }),
            Type::DateTime => json!({ "type": "string", "format": "date-time" }),
            Type::Null => json!({ "type": "null" }),
            Type::Literal(literal) => literals(&[literal]),
            Type::List(item) => json!({ "type": "array", "items": self.schema(item) }),
            Type::Map(value) => json!({ "type": "object", "additionalProperties": self.schema(value) }),
            Type::Optional(_) | Type::Union(_) => self.any_of(ty),
            Type::Record(record) => self.object(record),
            Type::Recursive(itself) => {
                if !self.named.contains(itself) {
                    self.named.push(Arc::clone(itself));
                }
                json!({ "$ref": format!("#/$defs/{}", itself.name) })
            }
            Type::Message => message(),
            Type::Prompt => json!({ "type": "array", "items": message() }),
        }
    }

    fn object(&mut self, record: &Record) -> Json {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in &record.fields {
            let mut schema = self.schema(&field.ty);
            describe(&mut schema, field.doc.as_deref());
            properties.insert(field.name.clone(), schema);
            if !matches!(field.ty, Type::Optional(_)) {
                required.push(Json::from(field.name.as_str()));
            }
        }
        let mut schema = json!({ "type": "object" });
        describe(&mut schema, record.doc.as_deref());
        schema["properties"] = Json::Object(properties);
        schema["required"] = Json::Array(required);
        schema["additionalProperties"] = Json::Bool(false);
        schema
    }

    /// The schema of a union or of an optional type. Literals become one `enum`, which stands where the first of them does.
    fn any_of(&mut self, ty: &Type) -> Json {
        let mut parts = Vec::new();
        flatten(ty, &mut parts);
        let words: Vec<&Literal> = parts.iter().filter_map(|t| literal(t)).collect();
        let mut schemas: Vec<Json> = Vec::new();
        let mut listed = false;
        for part in parts {
            let schema = match literal(part) {
                Some(_) if listed => continue,
                Some(_) => {
                    listed = true;
                    literals(&words)
                }
                None => self.schema(part),
            };
            if !schemas.contains(&schema) {
                schemas.push(schema);
            }
        }
        match schemas.len() {
            1 => schemas.remove(0),
            // `any` beside something is still anything.
            _ if schemas.contains(&json!({})) => json!({}),
            _ => json!({ "anyOf": schemas }),
        }
    }
}

fn message() -> Json {
    json!({
        "type": "object",
        "properties": {
            "role": { "type": "string", "enum": ["system", "user", "assistant", "tool"] },
            "text": { "type": "string" },
        },
        "required": ["role", "text"],
        "additionalProperties": false,
    })
}

/// A field's own doc says more than that of its type, so it replaces it.
fn describe(schema: &mut Json, doc: Option<&str>) {
    if let Some(doc) = doc.map(str::trim).filter(|d| !d.is_empty()) {
        schema["description"] = Json::from(doc);
    }
}

fn literal(ty: &Type) -> Option<&Literal> {
    match ty {
        Type::Literal(literal) => Some(literal),
        _ => None,
    }
}

/// The alternatives of nested unions in order; null, which comes from `T?`, last.
fn flatten<'a>(ty: &'a Type, parts: &mut Vec<&'a Type>) {
    match ty {
        Type::Union(types) => types.iter().for_each(|t| flatten(t, parts)),
        Type::Optional(inner) => {
            flatten(inner, parts);
            parts.push(&Type::Null);
        }
        other => parts.push(other),
    }
}

fn literals(all: &[&Literal]) -> Json {
    let mut values: Vec<Json> = Vec::new();
    for value in all.iter().map(|l| literal_json(l)) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    let name = |v: &Json| match v {
        Json::String(_) => "string",
        Json::Bool(_) => "boolean",
        Json::Number(n) if n.is_f64() => "number",
        _ => "integer",
    };
    let kind = values.first().map(name).unwrap_or("string");
    if values.iter().all(|v| name(v) == kind) {
        json!({ "type": kind, "enum": values })
    } else {
        json!({ "enum": values })
    }
}

fn literal_json(literal: &Literal) -> Json {
    match literal {
        Literal::Text(t) => Json::from(&**t),
        Literal::Int(n) => Json::from(*n),
        Literal::Float(x) => Json::from(*x),
        Literal::Bool(b) => Json::from(*b),
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::value::Field;

    fn word(text: &str) -> Type {
        Type::Literal(Literal::Text(text.into()))
    }

    fn field(name: &str, ty: Type, doc: Option<&str>) -> Field {
        Field { name: name.to_owned(), ty, doc: doc.map(str::to_owned) }
    }

    #[test]
    fn a_record_is_a_closed_object_in_written_order() {
        let ty = Type::Record(Arc::new(Record {
            name: Some("Meaning".to_owned()),
            doc: Some("What a word means.".to_owned()),
            fields: vec![
                field("definition", Type::Text, Some("one sentence, no jargon")),
                field("part", Type::Union(vec![word("noun"), word("verb")]), None),
                field("also", Type::List(Box::new(Type::Text)), None),
                field("confidence", Type::Optional(Box::new(Type::Float)), Some("0 to 1")),
            ],
        }));
        let schema = r#"{"type":"object","description":"What a word means.","properties":{"definition":{"type":"string","description":"one sentence, no jargon"},"part":{"type":"string","enum":["noun","verb"]},"also":{"type":"array","items":{"type":"string"}},"confidence":{"anyOf":[{"type":"number"},{"type":"null"}],"description":"0 to 1"}},"required":["definition","part","also"],"additionalProperties":false}"#;
        // Compared as text: the order of properties is part of it.
        assert_eq!(ty.json_schema().to_string(), schema);
    }

    #[test]
    fn unions_gather_literals_and_flatten() {
        let ty = Type::Union(vec![word("a"), Type::Int, word("b"), Type::Optional(Box::new(word("a")))]);
        let wanted =
            json!({ "anyOf": [{ "type": "string", "enum": ["a", "b"] }, { "type": "integer" }, { "type": "null" }] });
        assert_eq!(ty.json_schema(), wanted);
        let mixed = Type::Union(vec![word("a"), Type::Literal(Literal::Int(1))]);
        assert_eq!(mixed.json_schema(), json!({ "enum": ["a", 1] }));
        assert_eq!(Type::Union(vec![Type::Int, Type::Any]).json_schema(), json!({}));
    }

    #[test]
    fn maps_and_scalars() {
        assert_eq!(
            Type::Map(Box::new(Type::Bool)).json_schema(),
            json!({ "type": "object", "additionalProperties": { "type": "boolean" } })
        );
        assert_eq!(Type::DateTime.json_schema(), json!({ "type": "string", "format": "date-time" }));
        assert_eq!(Type::Any.json_schema(), json!({}));
        assert_eq!(word("x").json_schema(), json!({ "type": "string", "enum": ["x"] }));
    }
}
