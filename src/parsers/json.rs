//! `json`: a JSON value, of a type where one is given.

use std::sync::Arc;

use indexmap::IndexMap;

use super::answer;
use super::json_live::Live;
use super::json_scan::find;
use super::json_text::locate;
use super::spec::{
    Arguments, BuildError, OptionKind, ParseError, ParserArgument, ParserOption, ParserSpec, REPAIR, Rule,
};
use crate::event::Growing;
use crate::value::{Constraint, Type, TypeError, Value};

/// The description of `json`.
pub static SPEC: ParserSpec = ParserSpec {
    name: "json",
    doc: "the only JSON value in the answer, of the type where one is given",
    argument: ParserArgument::OptionalType,
    options: &[REPAIR, EXTRA, CONSTRAIN],
    build,
};

const EXTRA: ParserOption = ParserOption {
    name: "extra",
    kind: OptionKind::Choice(&["error", "drop"]),
    default: "\"error\"",
    doc: "what to do with keys that the type lacks",
};

const CONSTRAIN: ParserOption = ParserOption {
    name: "constrain",
    kind: OptionKind::Bool,
    default: "true",
    doc: "have the model's server enforce the form of the answer",
};

struct Json {
    /// `Any` where no type is given.
    ty: Type,
    drop_extra: bool,
    constrain: bool,
}

fn build(arguments: &Arguments<'_>) -> Result<Arc<dyn Rule>, BuildError> {
    let drop_extra = arguments.text("extra") == Some("drop");
    if drop_extra && arguments.ty.is_none() {
        return Err(BuildError::new(
            "`extra` says what to do with keys that the type lacks, but `json` has no type here",
        )
        .option("extra")
        .help("give it one, as json(Meaning, extra: \"drop\")"));
    }
    Ok(Arc::new(Json {
        ty: arguments.ty.clone().unwrap_or(Type::Any),
        drop_extra,
        constrain: arguments.bool("constrain").unwrap_or(true),
    }))
}

impl Rule for Json {
    fn parse(&self, text: &str) -> Result<Value, ParseError> {
        let (start, value) = find(text)?;
        let value = if self.drop_extra { dropped(&self.ty, &value) } else { value };
        self.ty.accept(&value).map_err(|error| self.misfit(text, start, error))
    }

    fn stream(&self) -> Option<Box<dyn Growing>> {
        Some(Box::new(Live::default()))
    }

    fn output_type(&self) -> Type {
        self.ty.clone()
    }

    fn constraint(&self) -> Option<Constraint> {
        match &self.ty {
            _ if !self.constrain => None,
            Type::Any => Some(Constraint::Json),
            ty => Some(Constraint::JsonSchema(ty.json_schema())),
        }
    }

    fn format_instructions(&self) -> String {
        match &self.ty {
            Type::Any => "Answer with JSON alone: no other text, no code fence.".to_owned(),
            ty => format!(
                "Answer with JSON alone: no other text, no code fence. It must obey this JSON Schema:\n{}",
                ty.json_schema()
            ),
        }
    }
}

impl Json {
    fn misfit(&self, text: &str, start: usize, mut error: TypeError) -> ParseError {
        let help = error.help.take();
        let mut place = locate(text, start, &error.path);
        if place.is_none() {
            // A missing field has no place of its own; its object has.
            let parent = error.path.rfind(['.', '[']).map_or("", |i| &error.path[..i]);
            place = locate(text, start, parent);
        }
        let message = match &self.ty {
            Type::Record(_) => format!("the JSON is no {}: {error}", self.ty),
            _ => format!("the JSON is not of the type {}: {error}", self.ty),
        };
        let error = answer::at(text, place.unwrap_or(start), message);
        match help {
            Some(help) => error.help(help),
            None => error,
        }
    }
}

/// `value` without the keys that the records of `ty` lack. Of a union, the first alternative that then fits counts.
fn dropped(ty: &Type, value: &Value) -> Value {
    match (ty.unfolded(), value) {
        (Type::Record(record), Value::Map(map)) => {
            let kept = map.iter().filter_map(|(k, v)| Some((k.clone(), dropped(&record.field(k)?.ty, v))));
            Value::Map(Arc::new(kept.collect::<IndexMap<_, _>>()))
        }
        (Type::Map(ty), Value::Map(map)) => {
            Value::Map(Arc::new(map.iter().map(|(k, v)| (k.clone(), dropped(ty, v))).collect()))
        }
        (Type::List(ty), Value::List(items)) => Value::list(items.iter().map(|v| dropped(ty, v)).collect()),
        (Type::Optional(ty), value) => dropped(ty, value),
        (Type::Union(types), value) => {
            // One that fits as it is loses nothing, whatever stands before it.
            if ty.accept(value).is_ok() {
                return value.clone();
            }
            types
                .iter()
                .map(|t| (t, dropped(t, value)))
                .find(|(t, v)| t.accept(v).is_ok())
                .map_or(value.clone(), |(_, v)| v)
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parsers::{Parser, build as make, find as named};
    use crate::value::{Field, Literal, Record};

    fn record(name: &str, fields: &[(&str, Type)]) -> Type {
        let fields = fields.iter().map(|(n, ty)| Field { name: (*n).to_owned(), ty: ty.clone(), doc: None }).collect();
        Type::Record(Arc::new(Record { name: Some(name.to_owned()), fields, doc: None }))
    }

    fn person() -> Type {
        record("Person", &[("name", Type::Text), ("age", Type::Optional(Box::new(Type::Int)))])
    }

    fn parser(ty: Option<Type>, options: &[(&str, Value)]) -> Parser {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        make(named("json").unwrap(), ty, None, &options).unwrap()
    }

    fn show(parser: &Parser, text: &str) -> String {
        parser.parse(text).map_or_else(|e| e.message, |v| v.to_json().to_string())
    }

    #[test]
    fn the_type_is_checked_at_its_place() {
        let json = parser(Some(Type::List(Box::new(person()))), &[]);
        assert_eq!(show(&json, r#"[{"name": "Kim"}]"#), r#"[{"name":"Kim"}]"#);
        let error = json.parse("Here:\n[{\"name\": \"Kim\", \"age\": \"three\"}]").unwrap_err();
        assert_eq!(error.at, Some(30));
        assert!(
            error.message.contains("at [0].age: expected int, found string \"three\" (line 2, column 25"),
            "{}",
            error.message
        );
        assert!(show(&json, "[{\"age\": 3}]").contains("[0].name: expected string, found nothing"));
    }

    #[test]
    fn unknown_keys_are_errors_unless_dropped() {
        let error = parser(Some(person()), &[]).parse(r#"{"name": "Kim", "agee": 3}"#).unwrap_err();
        assert!(error.message.contains("agee"));
        assert_eq!(error.help, ["did you mean `age`?"]);
        let drop = parser(Some(person()), &[("extra", "drop".into())]);
        assert_eq!(show(&drop, r#"{"name": "Kim", "note": "x"}"#), r#"{"name":"Kim"}"#);
        assert!(
            make(named("json").unwrap(), None, None, &IndexMap::from([("extra".to_owned(), "drop".into())])).is_err()
        );
    }

    #[test]
    fn dropping_picks_the_alternative_that_fits() {
        let kind = |k: &str| Type::Literal(Literal::Text(k.into()));
        let circle = record("Circle", &[("kind", kind("circle")), ("r", Type::Float)]);
        let square = record("Square", &[("kind", kind("square")), ("side", Type::Float)]);
        let drop = parser(Some(Type::Union(vec![circle, square])), &[("extra", "drop".into())]);
        assert_eq!(show(&drop, r#"{"kind": "square", "r": 1, "side": 2}"#), r#"{"kind":"square","side":2.0}"#);
    }

    #[test]
    fn constraints_and_instructions() {
        let json = parser(Some(person()), &[]);
        assert_eq!(json.constraint(), Some(Constraint::JsonSchema(person().json_schema())));
        assert!(json.format_instructions().contains(r#""required":["name"]"#));
        assert_eq!(json.output_type(), person());
        assert_eq!(parser(None, &[]).constraint(), Some(Constraint::Json));
        assert_eq!(parser(Some(person()), &[("constrain", Value::Bool(false))]).constraint(), None);
    }
}
