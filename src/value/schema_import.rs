//! A type from a JSON Schema (draft 2020-12 and draft 7, the part that types can say).

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::{Field, Literal, Record, Recursive, Type};

/// What a schema says that no type does, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemaError {
    /// The place as a JSON Pointer; empty for the root.
    pub at: String,
    /// What is wrong there.
    pub message: String,
}

/// Words that say nothing of values.
const NOTES: &[&str] = &[
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
];

/// Schemas nested deeper than this are refused.
const MOST_NESTED: usize = 100;

/// The type that a schema describes. Objects are closed, as all types are: `additionalProperties` is `false`, missing or,
/// for an object without properties, the type of its entries. `name` is the type's name.
///
/// # Errors
/// A word that no type can say, a reference that leads nowhere, or a schema that no value can obey.
pub fn from_json_schema(schema: &Json, name: &str) -> Result<Type, SchemaError> {
    let mut reader = Reader { root: schema, open: HashMap::new(), depth: 0 };
    reader.reference("#", name, "")
}

struct Reader<'s> {
    root: &'s Json,
    /// References that are being read.
    open: HashMap<String, Arc<Recursive>>,
    depth: usize,
}

impl<'s> Reader<'s> {
    /// The schema that a reference names; met inside itself, its name stands for it.
    fn reference(&mut self, reference: &str, name: &str, at: &str) -> Result<Type, SchemaError> {
        if let Some(itself) = self.open.get(reference) {
            return Ok(Type::Recursive(Arc::clone(itself)));
        }
        let pointer = reference.strip_prefix('#').unwrap_or(reference);
        let Some(schema) = reference.strip_prefix('#').and_then(|p| self.root.pointer(p)) else {
            return Err(wrong(at, format!("`$ref: {reference}` leads nowhere in this file")));
        };
        let itself = Recursive::new(name);
        self.open.insert(reference.to_owned(), Arc::clone(&itself));
        let read = self.schema(schema, Some(name), pointer);
        self.open.remove(reference);
        let ty = read?;
        if ty.is_bare(&itself) || !ty.ends_without(&itself) {
            return Err(wrong(pointer, "no value of it ends: it always holds another".to_owned()));
        }
        if Arc::strong_count(&itself) > 1 {
            itself.resolve(ty.clone());
        }
        Ok(ty)
    }

    fn schema(&mut self, schema: &'s Json, name: Option<&str>, at: &str) -> Result<Type, SchemaError> {
        self.depth += 1;
        let ty = match schema {
            _ if self.depth > MOST_NESTED => Err(wrong(at, format!("nested deeper than {MOST_NESTED}"))),
            Json::Bool(true) => Ok(Type::Any),
            Json::Object(words) => self.object_of_words(words, name, at),
            _ => Err(wrong(at, "a schema is an object".to_owned())),
        };
        self.depth -= 1;
        ty
    }

    fn object_of_words(
        &mut self,
        words: &'s Map<String, Json>,
        name: Option<&str>,
        at: &str,
    ) -> Result<Type, SchemaError> {
        if let Some(reference) = words.get("$ref") {
            only(words, &["$ref"], at)?;
            let reference = reference.as_str().ok_or_else(|| wrong(at, "`$ref` is a text".to_owned()))?;
            let name = reference.rsplit('/').next().filter(|n| *n != "#").unwrap_or("Root");
            return self.reference(reference, name, at);
        }
        if let Some(values) = words.get("enum") {
            only(words, &["enum", "type"], at)?;
            let values = values.as_array().filter(|v| !v.is_empty());
            let values = values.ok_or_else(|| wrong(at, "`enum` is a list of values".to_owned()))?;
            return Ok(union(values.iter().map(|v| literal(v, at)).collect::<Result<_, _>>()?));
        }
        if let Some(value) = words.get("const") {
            only(words, &["const", "type"], at)?;
            return literal(value, at);
        }
        for word in ["anyOf", "oneOf"] {
            if let Some(of) = words.get(word) {
                only(words, &[word], at)?;
                let of = of.as_array().filter(|v| !v.is_empty());
                let of = of.ok_or_else(|| wrong(at, format!("`{word}` is a list of schemas")))?;
                let parts = of.iter().enumerate().map(|(i, s)| self.schema(s, None, &format!("{at}/{word}/{i}")));
                return Ok(union(parts.collect::<Result<_, _>>()?));
            }
        }
        match words.get("type") {
            None if words.contains_key("properties") => self.typed("object", words, name, at),
            None => only(words, &[], at).map(|()| Type::Any),
            Some(Json::String(ty)) => self.typed(ty, words, name, at),
            Some(Json::Array(types)) => {
                let mut parts = Vec::new();
                for ty in types {
                    let ty = ty.as_str().ok_or_else(|| wrong(at, "`type` names types".to_owned()))?;
                    // The words of one kind say nothing of the others.
                    parts.push(match ty {
                        "null" => Type::Null,
                        other => self.typed(other, words, name, at)?,
                    });
                }
                Ok(union(parts))
            }
            Some(_) => Err(wrong(at, "`type` is a name or a list of names".to_owned())),
        }
    }

    fn typed(
        &mut self,
        ty: &str,
        words: &'s Map<String, Json>,
        name: Option<&str>,
        at: &str,
    ) -> Result<Type, SchemaError> {
        match ty {
            "string" => match words.get("format").map(Json::as_str) {
                Some(Some("date-time")) => only(words, &["type", "format"], at).map(|()| Type::DateTime),
                _ => only(words, &["type"], at).map(|()| Type::Text),
            },
            "integer" => only(words, &["type"], at).map(|()| Type::Int),
            "number" => only(words, &["type"], at).map(|()| Type::Float),
            "boolean" => only(words, &["type"], at).map(|()| Type::Bool),
            "null" => only(words, &["type"], at).map(|()| Type::Null),
            "array" => {
                only(words, &["type", "items"], at)?;
                let of = match words.get("items") {
                    Some(items) => self.schema(items, None, &format!("{at}/items"))?,
                    None => Type::Any,
                };
                Ok(Type::List(Box::new(of)))
            }
            "object" => self.object(words, name, at),
            other => Err(wrong(at, format!("there is no type `{other}` in JSON Schema"))),
        }
    }

    fn object(&mut self, words: &'s Map<String, Json>, name: Option<&str>, at: &str) -> Result<Type, SchemaError> {
        only(words, &["type", "properties", "required", "additionalProperties"], at)?;
        let more = words.get("additionalProperties");
        let Some(properties) = words.get("properties") else {
            let of = match more {
                None | Some(Json::Bool(true)) => Type::Any,
                Some(Json::Bool(false)) => return Ok(record(name, Vec::new(), words)),
                Some(schema) => self.schema(schema, None, &format!("{at}/additionalProperties"))?,
            };
            return Ok(Type::Map(Box::new(of)));
        };
        if !matches!(more, None | Some(Json::Bool(false))) {
            let message = "`additionalProperties` beside `properties`: a type has either named fields or free keys";
            return Err(wrong(at, message.to_owned()));
        }
        let properties = properties.as_object().ok_or_else(|| wrong(at, "`properties` is an object".to_owned()))?;
        let required: Vec<&str> = match words.get("required") {
            None => Vec::new(),
            Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
            Some(_) => return Err(wrong(at, "`required` is a list of names".to_owned())),
        };
        if let Some(missing) = required.iter().find(|n| !properties.contains_key(**n)) {
            return Err(wrong(at, format!("`required` names `{missing}`, which is no property")));
        }
        let mut fields = Vec::with_capacity(properties.len());
        for (key, schema) in properties {
            let place = format!("{at}/properties/{}", key.replace('~', "~0").replace('/', "~1"));
            let ty = self.schema(schema, None, &place)?;
            let ty = if required.contains(&key.as_str()) { ty } else { optional(ty) };
            fields.push(Field { name: key.clone(), ty, doc: text(schema.get("description")) });
        }
        Ok(record(name, fields, words))
    }
}

fn record(name: Option<&str>, fields: Vec<Field>, words: &Map<String, Json>) -> Type {
    let doc = text(words.get("description"));
    Type::Record(Arc::new(Record { name: name.map(str::to_owned), fields, doc }))
}

fn text(value: Option<&Json>) -> Option<String> {
    value.and_then(Json::as_str).map(str::to_owned)
}

/// A field that may be absent; null where it is there means the same.
fn optional(ty: Type) -> Type {
    match ty {
        Type::Optional(of) => Type::Optional(of),
        Type::Union(parts) => {
            let rest: Vec<Type> = parts.into_iter().filter(|t| *t != Type::Null).collect();
            Type::Optional(Box::new(union(rest)))
        }
        other => Type::Optional(Box::new(other)),
    }
}

fn union(mut parts: Vec<Type>) -> Type {
    if parts.len() == 1 { parts.remove(0) } else { Type::Union(parts) }
}

fn literal(value: &Json, at: &str) -> Result<Type, SchemaError> {
    Ok(match value {
        Json::Null => Type::Null,
        Json::Bool(b) => Type::Literal(Literal::Bool(*b)),
        Json::String(text) => Type::Literal(Literal::Text(text.as_str().into())),
        Json::Number(n) => match n.as_i64() {
            Some(n) => Type::Literal(Literal::Int(n)),
            None => Type::Literal(Literal::Float(n.as_f64().unwrap_or_default())),
        },
        _ => return Err(wrong(at, "only texts, numbers, true, false and null can be listed".to_owned())),
    })
}

/// Refuses words that would be lost.
fn only(words: &Map<String, Json>, known: &[&str], at: &str) -> Result<(), SchemaError> {
    let list = ["type", "items", "properties", "required", "additionalProperties"];
    // Beside a list of types, each type has its own words.
    let several = words.get("type").is_some_and(Json::is_array);
    let kept = |w: &str| NOTES.contains(&w) || known.contains(&w) || (several && list.contains(&w));
    match words.keys().find(|w| !kept(w)) {
        Some(word) => Err(wrong(at, format!("`{word}` says something that no type here can"))),
        None => Ok(()),
    }
}

fn wrong(at: &str, message: String) -> SchemaError {
    SchemaError { at: at.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_types_own_schema_comes_back() {
        let schema = json!({
            "type": "object", "description": "A node.",
            "properties": {
                "name": { "type": "string", "description": "what it is called" },
                "kind": { "type": "string", "enum": ["a", "b"] },
                "kids": { "type": "array", "items": { "$ref": "#/$defs/Node" } },
                "at": { "type": "string", "format": "date-time" },
                "note": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
            },
            "required": ["name", "kind", "kids", "at"], "additionalProperties": false,
        });
        let whole = json!({ "$ref": "#/$defs/Node", "$defs": { "Node": schema } });
        let ty = from_json_schema(&whole, "Node").unwrap();
        let Type::Record(record) = &ty else { panic!("{ty}") };
        assert_eq!(record.field("kind").unwrap().ty.to_string(), "\"a\" | \"b\"");
        assert_eq!(record.field("note").unwrap().ty.to_string(), "string?");
        assert_eq!(ty.json_schema()["properties"], schema["properties"]);
    }

    #[test]
    fn what_no_type_says_is_refused_with_its_place() {
        let of = |schema: Json| from_json_schema(&schema, "T").unwrap_err();
        let error = of(json!({ "properties": { "a": { "type": "integer", "minimum": 3 } } }));
        assert_eq!(error.at, "/properties/a");
        assert!(error.message.contains("`minimum`"), "{error:?}");
        assert!(of(json!({ "allOf": [] })).message.contains("`allOf`"));
        assert!(of(json!({ "$ref": "#/$defs/no" })).message.contains("nowhere"));
        assert!(of(json!({ "$ref": "other.json" })).message.contains("nowhere"));
        assert!(
            of(json!({ "type": "object", "properties": { "t": { "$ref": "#" } }, "required": ["t"] }))
                .message
                .contains("ends")
        );
        let mut deep = json!({});
        for _ in 0..120 {
            deep = json!({ "type": "array", "items": deep });
        }
        assert!(of(deep).message.contains("deeper"));
    }

    #[test]
    fn maps_and_kinds() {
        let of = |schema: Json| from_json_schema(&schema, "T").unwrap().to_string();
        assert_eq!(of(json!({ "type": "object", "additionalProperties": { "type": "number" } })), "map(float)");
        assert_eq!(of(json!({ "type": ["string", "null"] })), "string | null");
        assert_eq!(of(json!({ "const": 3 })), "3");
        assert_eq!(of(json!(true)), "any");
    }
}
