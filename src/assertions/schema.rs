//! `schema`: the text is JSON that a JSON Schema accepts.
//!
//! Which words of schemas are read stands in [`super::schema_compiler`]; `format` is checked. Nothing is fetched.

use super::bound::Bound;
use super::outcome::{Check, Outcome, Subject, Undecided};
use super::schema_check::{Schema, compile};
use super::spec::{ArgumentKind, Arguments, AssertionSpec, BuildError};
use crate::parsers::json_document;
use crate::value::Value;

/// The description of `schema`.
pub static SPEC: AssertionSpec = AssertionSpec {
    name: "schema",
    doc: "the whole text is one JSON value that the JSON Schema accepts",
    argument: ArgumentKind::Schema,
    bound: Bound::None,
    build,
};

fn build(arguments: &Arguments) -> Result<Box<dyn Check>, BuildError> {
    let schema = compile("schema", arguments.value.as_ref().unwrap_or(&Value::Null))?;
    Ok(Box::new(Whole { schema }))
}

struct Whole {
    schema: Schema,
}

impl Check for Whole {
    fn check(&self, subject: &Subject<'_>) -> Result<Outcome, Undecided> {
        let misfit = match json_document(subject.text) {
            Ok(value) => self.schema.misfit(&value)?,
            Err(error) => Some(format!("the text is no JSON: {}", error.message)),
        };
        Ok(Outcome {
            pass: misfit.is_none(),
            score: None,
            expected: format!("schema {}", self.schema.shown),
            actual: subject.text.to_owned(),
            why: misfit.unwrap_or_else(|| "the schema accepts the text".to_owned()),
            comparable: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, refused};
    use super::*;
    use serde_json::json;

    fn value(json: serde_json::Value) -> Value {
        Value::from_json(&json)
    }

    #[test]
    fn faults_are_told_with_their_places() {
        let schema = value(json!({"type": "object", "required": ["a"], "properties": {"b": {"type": "integer"}}}));
        assert!(check(&SPEC, schema.clone(), "{\"a\": 1, \"b\": 2}").pass);
        let outcome = check(&SPEC, schema.clone(), "{\"b\": \"x\"}");
        assert_eq!(outcome.why, "the key `a` is missing; at b: integer was wanted, found string \"x\"");
        assert!(check(&SPEC, schema, "{").why.contains("no JSON"));
        let many = check(&SPEC, value(json!({"items": {"type": "string"}})), "[1,2,3,4,5,6,7]");
        assert!(many.why.ends_with("and 2 more"), "{}", many.why);
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for (schema, wanted) in [
            (json!({"type": "objekt"}), "`type` takes one or more of null, boolean"),
            (json!({"requried": ["a"]}), "did you mean `required`?"),
            (json!({"properties": {"a": {"minimum": "3"}}}), "at /properties/a/minimum: `minimum` takes a number"),
            (json!({"$ref": "https://example.com/s.json"}), "leads out of the schema"),
            (json!({"$ref": "#/$defs/a"}), "leads nowhere"),
            (json!({"allOf": [{"$ref": "#"}]}), "refers to itself without end"),
            (json!({"pattern": "["}), "cannot be read"),
            (json!({"format": "dat"}), "one of date-time, date"),
            (json!({"unevaluatedProperties": false}), "is no word that is read here"),
            (json!({"items": 3}), "a schema is an object, true or false, not 3"),
        ] {
            let error = refused(&SPEC, value(schema));
            assert!(error.message.contains(wanted), "{}", error.message);
        }
        assert!(refused(&SPEC, "x".into()).message.contains("takes a JSON Schema"));
        assert!(!check(&SPEC, Value::Bool(false), "1").pass);
    }
}
