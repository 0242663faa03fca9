//! `json` and `contains-json`: the text is JSON, or holds some.

use super::bound::Bound;
use super::outcome::{Check, Outcome, Subject, Undecided};
use super::schema_check::{Schema, compile};
use super::spec::{ArgumentKind, Arguments, AssertionSpec, BuildError};
use crate::parsers::{json_document, json_values};
use crate::value::{Type, Value};

/// The description of `json`.
pub static JSON: AssertionSpec = AssertionSpec {
    name: "json",
    doc: "the whole text is one JSON value, of the type where one is given",
    argument: ArgumentKind::Type,
    bound: Bound::None,
    build: |arguments| Ok(Box::new(Whole { ty: arguments.ty.clone() })),
};

/// The description of `contains-json`.
pub static CONTAINS_JSON: AssertionSpec = AssertionSpec {
    name: "contains-json",
    doc: "an object or a list of JSON stands in the text, of the type or by the schema where one is given",
    argument: ArgumentKind::TypeOrSchema,
    bound: Bound::None,
    build: contains,
};

struct Whole {
    ty: Option<Type>,
}

impl Check for Whole {
    fn check(&self, subject: &Subject<'_>) -> Result<Outcome, Undecided> {
        let found = json_document(subject.text).map_err(|e| format!("the text is no JSON: {}", e.message));
        let fits = found.and_then(|value| match &self.ty {
            Some(ty) => ty.accept(&value).map(|_| ()).map_err(|e| format!("the JSON is no {ty}: {e}")),
            None => Ok(()),
        });
        let expected = self.ty.as_ref().map_or("json".to_owned(), |ty| format!("json({ty})"));
        let why = match (&fits, &self.ty) {
            (Err(why), _) => why.clone(),
            (Ok(()), Some(ty)) => format!("the text is JSON of the type {ty}"),
            (Ok(()), None) => "the text is JSON".to_owned(),
        };
        let actual = subject.text.to_owned();
        Ok(Outcome { pass: fits.is_ok(), score: None, expected, actual, why, comparable: false })
    }
}

enum Form {
    Any,
    Type(Type),
    Schema(Schema),
}

impl Form {
    /// Why `value` is not of the form.
    fn misfit(&self, value: &Value) -> Result<Option<String>, Undecided> {
        match self {
            Form::Any => Ok(None),
            Form::Type(ty) => Ok(ty.accept(value).err().map(|e| format!("it is no {ty}: {e}"))),
            Form::Schema(schema) => schema.misfit(value),
        }
    }
}

fn contains(arguments: &Arguments) -> Result<Box<dyn Check>, BuildError> {
    let form = match (&arguments.ty, &arguments.value) {
        (Some(ty), _) => Form::Type(ty.clone()),
        (None, Some(schema)) => Form::Schema(compile("contains-json", schema)?),
        (None, None) => Form::Any,
    };
    Ok(Box::new(Contains { form }))
}

struct Contains {
    form: Form,
}

impl Check for Contains {
    fn check(&self, subject: &Subject<'_>) -> Result<Outcome, Undecided> {
        let values = json_values(subject.text);
        let (mut first, mut fitting) = (None, None);
        for value in &values {
            match self.form.misfit(value)? {
                Some(why) => first = first.or_else(|| Some(format!("{}: {why}", value.show(60)))),
                None => {
                    fitting = Some(value);
                    break;
                }
            }
        }
        let why = match (fitting, values.len()) {
            (Some(value), _) => format!("the text holds {}", value.show(60)),
            (None, 0) => "no object and no list of JSON stands in the text".to_owned(),
            (None, 1) => format!("the only JSON in the text does not fit: {}", first.unwrap_or_default()),
            (None, n) => format!("none of the {n} JSON values fits; the first is {}", first.unwrap_or_default()),
        };
        let expected = match &self.form {
            Form::Any => "contains-json".to_owned(),
            Form::Type(ty) => format!("contains-json({ty})"),
            Form::Schema(schema) => format!("contains-json {}", schema.shown),
        };
        let actual = subject.text.to_owned();
        Ok(Outcome { pass: fitting.is_some(), score: None, expected, actual, why, comparable: false })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, check_type, refused};
    use super::*;
    use serde_json::json;

    #[test]
    fn the_whole_text() {
        assert!(check_type(&JSON, None, "{\"a\": 1}\r\n").pass);
        let outcome = check_type(&JSON, None, "```json\n{}\n```");
        assert!(!outcome.pass && outcome.why.contains("no JSON"), "{}", outcome.why);
        let list = Type::List(Box::new(Type::Int));
        assert!(check_type(&JSON, Some(list.clone()), "[1, 2]").pass);
        let outcome = check_type(&JSON, Some(list), "[1, \"2\"]");
        assert_eq!(outcome.expected, "json([int])");
        assert!(outcome.why.contains("at [1]: expected int"), "{}", outcome.why);
        assert!(refused(&JSON, Value::from_json(&json!({}))).help.unwrap().contains("`schema`"));
    }

    #[test]
    fn somewhere_in_the_text() {
        let text = "see {\"a\": \"x\"} and {\"a\": 2}";
        assert!(check_type(&CONTAINS_JSON, None, text).pass);
        assert!(!check_type(&CONTAINS_JSON, None, "only 42").pass);
        let schema = Value::from_json(&json!({"properties": {"a": {"type": "integer"}}}));
        assert!(check(&CONTAINS_JSON, schema.clone(), text).pass);
        let outcome = check(&CONTAINS_JSON, schema, "{\"a\": \"x\"}");
        assert!(!outcome.pass && outcome.why.contains("the only JSON"), "{}", outcome.why);
        let map = Type::Map(Box::new(Type::Int));
        assert!(check_type(&CONTAINS_JSON, Some(map), text).pass);
    }
}
