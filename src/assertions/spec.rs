//! The description of an assertion, and what one is made from.

use super::bound::{Bound, Limit, Operator, Unit};
use super::outcome::Check;
use crate::value::{Type, Value};

/// What an assertion takes behind its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    /// Nothing.
    None,
    /// Any value.
    Any,
    /// A text.
    Text,
    /// A text or a number.
    TextOrNumber,
    /// A list of texts and numbers, or a text with commas between them.
    Texts,
    /// The same, or nothing.
    OptionalTexts,
    /// A text, or a list of texts of which the nearest counts.
    References,
    /// A whole number, where no bound stands instead.
    Number,
    /// A type in brackets, as `json(Meaning)`, or nothing.
    Type,
    /// A type in brackets, a JSON Schema, or nothing.
    TypeOrSchema,
    /// A JSON Schema.
    Schema,
    /// A regular expression.
    Pattern,
}

impl ArgumentKind {
    /// What messages and documents call it.
    pub fn describe(self) -> &'static str {
        match self {
            ArgumentKind::None => "nothing",
            ArgumentKind::Any => "a value",
            ArgumentKind::Text => "a text",
            ArgumentKind::TextOrNumber => "a text or a number",
            ArgumentKind::Texts => "a list of texts, or a text with commas between them",
            ArgumentKind::OptionalTexts => "a list of texts, a text with commas between them, or nothing",
            ArgumentKind::References => "a text, or a list of texts",
            ArgumentKind::Number => "a whole number",
            ArgumentKind::Type => "a type in brackets, or nothing",
            ArgumentKind::TypeOrSchema => "a type in brackets, a JSON Schema, or nothing",
            ArgumentKind::Schema => "a JSON Schema",
            ArgumentKind::Pattern => "a regular expression in quotes",
        }
    }

    /// Whether the argument may be left out. That of [`ArgumentKind::Number`] may where a bound stands.
    pub fn is_optional(self) -> bool {
        use ArgumentKind::{None, Number, OptionalTexts, Type, TypeOrSchema};
        matches!(self, None | Number | OptionalTexts | Type | TypeOrSchema)
    }

    /// Whether a type in brackets may stand there.
    pub fn takes_type(self) -> bool {
        matches!(self, ArgumentKind::Type | ArgumentKind::TypeOrSchema)
    }

    /// Whether `value` can be the argument.
    pub fn takes(self, value: &Value) -> bool {
        let text = |v: &Value| v.as_text().is_some();
        let plain = |v: &Value| text(v) || matches!(v, Value::Int(_) | Value::Float(_));
        match self {
            ArgumentKind::None | ArgumentKind::Type => false,
            ArgumentKind::Any => true,
            ArgumentKind::Text | ArgumentKind::Pattern => text(value),
            ArgumentKind::TextOrNumber => plain(value),
            ArgumentKind::Texts | ArgumentKind::OptionalTexts => match value {
                Value::List(items) => items.iter().all(plain),
                value => text(value),
            },
            ArgumentKind::References => match value {
                Value::List(items) => !items.is_empty() && items.iter().all(text),
                value => text(value),
            },
            ArgumentKind::Number => matches!(value, Value::Int(n) if *n >= 0),
            ArgumentKind::TypeOrSchema | ArgumentKind::Schema => matches!(value, Value::Map(_) | Value::Bool(_)),
        }
    }
}

/// An assertion's description, which checks, completions and documents read.
pub struct AssertionSpec {
    /// Its name in files.
    pub name: &'static str,
    /// When it is met, in one line.
    pub doc: &'static str,
    /// What stands behind its name.
    pub argument: ArgumentKind,
    /// The bound that stands behind that.
    pub bound: Bound,
    /// Makes what looks at subjects; the arguments are checked against this description before.
    pub(super) build: fn(&Arguments) -> Result<Box<dyn Check>, BuildError>,
}

/// What an assertion is made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arguments {
    /// What stands behind its name.
    pub value: Option<Value>,
    /// The type in brackets.
    pub ty: Option<Type>,
    /// The bound; lengths of time in seconds, shares as parts of 1.
    pub bound: Option<(Operator, f64)>,
}

impl Arguments {
    /// The argument as text, empty where there is none.
    pub(super) fn text(&self) -> String {
        self.value.as_ref().and_then(Value::as_text).map(std::borrow::Cow::into_owned).unwrap_or_default()
    }

    /// The bound, in the unit of the assertion.
    pub(super) fn limit(&self, unit: Unit) -> Option<Limit> {
        self.bound.map(|(operator, number)| Limit { operator, number, unit })
    }
}

/// Which part of an assertion an error speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The whole of it.
    Whole,
    /// Its argument.
    Argument,
    /// Its bound.
    Bound,
}

/// Arguments that an assertion cannot be made from.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildError {
    /// What it speaks of.
    pub part: Part,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl BuildError {
    /// An error of `part`.
    pub fn new(part: Part, message: impl Into<String>) -> Self {
        Self { part, message: message.into(), help: None }
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }
}

impl AssertionSpec {
    /// Checks the argument against the description.
    pub(super) fn check_argument(&self, arguments: &Arguments) -> Result<(), BuildError> {
        let name = self.name;
        let takes = self.argument.describe();
        let wrong = |seen: String| BuildError::new(Part::Argument, format!("`{name}` takes {takes}, not {seen}"));
        match (&arguments.value, &arguments.ty) {
            (Some(_), Some(_)) => {
                Err(BuildError::new(Part::Argument, format!("`{name}` takes either a type or a value, not both")))
            }
            (None, Some(ty)) if !self.argument.takes_type() => {
                Err(wrong(format!("the type {ty}")).help("`json` is the assertion that takes a type, as json(Meaning)"))
            }
            (Some(value), None) if !self.argument.takes(value) => {
                let error = wrong(format!("{} {}", value.kind(), value.show(60)));
                Err(match (self.argument, value) {
                    (ArgumentKind::None, _) => error.help(format!("write `{name}` alone")),
                    (ArgumentKind::Type, _) => error.help("`schema` is the assertion that takes a JSON Schema"),
                    (ArgumentKind::References, Value::List(_)) => error.help("give at least one text, and texts alone"),
                    (ArgumentKind::Text | ArgumentKind::Pattern, Value::Int(_) | Value::Float(_) | Value::Bool(_)) => {
                        error.help(format!("put it in quotes: {name} \"{}\"", value.show(60)))
                    }
                    _ => error,
                })
            }
            (None, None) if !self.argument.is_optional() => {
                Err(BuildError::new(Part::Whole, format!("`{name}` takes {takes}, and there is none"))
                    .help(self.example()))
            }
            _ => Ok(()),
        }
    }

    /// Checks the bound against the description, and gives the one that holds.
    pub(super) fn check_bound(&self, arguments: &Arguments) -> Result<Option<(Operator, f64)>, BuildError> {
        let name = self.name;
        let refused = |message: String| BuildError::new(Part::Bound, message);
        let Some((operators, unit)) = self.bound.form() else {
            return match arguments.bound {
                None => Ok(None),
                Some((operator, _)) => {
                    Err(refused(format!("`{name}` takes no bound, so `{operator}` cannot stand behind it")))
                }
            };
        };
        let Some((operator, number)) = arguments.bound else {
            let said = self.argument == ArgumentKind::Number && arguments.value.is_some();
            return match self.bound.default() {
                None if !said => {
                    let message = format!("`{name}` takes a bound, and there is none");
                    Err(BuildError::new(Part::Whole, message).help(self.example()))
                }
                default => Ok(default),
            };
        };
        if self.argument == ArgumentKind::Number && arguments.value.is_some() {
            return Err(refused(format!("`{name}` takes either a number or a bound, not both")));
        }
        if !operators.contains(&operator) {
            let list = operators.iter().map(|o| format!("`{o}`")).collect::<Vec<_>>().join(" or ");
            return Err(refused(format!("the bound of `{name}` is written with {list}, not `{operator}`"))
                .help(format!("for the opposite write not {name} …")));
        }
        if !unit.takes(number) {
            return Err(refused(format!("the bound of `{name}` is {}, not {number}", unit.describe())));
        }
        Ok(Some((operator, number)))
    }

    /// How it is written, for example.
    pub fn example(&self) -> String {
        let argument = match self.argument {
            ArgumentKind::None | ArgumentKind::Type | ArgumentKind::TypeOrSchema | ArgumentKind::OptionalTexts => "",
            ArgumentKind::Number => "",
            ArgumentKind::Any | ArgumentKind::Text | ArgumentKind::TextOrNumber | ArgumentKind::References => " \"…\"",
            ArgumentKind::Texts => " [\"…\", \"…\"]",
            ArgumentKind::Schema => " { type: \"object\" }",
            ArgumentKind::Pattern => " \"[0-9]+\"",
        };
        let bound = match self.bound.form() {
            Some((operators, unit)) => {
                let operator = self.bound.default().map(|(o, _)| o).or(operators.first().copied());
                let number = match unit {
                    Unit::Count => "20",
                    Unit::Share => "0.7",
                    Unit::Duration => "5s",
                    Unit::Amount => "0.01",
                };
                operator.map(|o| format!(" {o} {number}")).unwrap_or_default()
            }
            None => String::new(),
        };
        format!("as {}{argument}{bound}", self.name)
    }
}
