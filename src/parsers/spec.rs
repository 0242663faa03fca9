//! The description of a parser, and what one is given and gives back.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::event::Growing;
use crate::value::{Constraint, Type, Value, nearest};

/// What a parser takes as its first, unnamed argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParserArgument {
    /// Nothing.
    None,
    /// A type, or nothing.
    OptionalType,
    /// A type that is a union of texts.
    Words,
    /// A pattern in quotes.
    Pattern,
    /// A text in quotes, or nothing.
    OptionalText,
}

/// What kind of value a parser's option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// A truth value.
    Bool,
    /// A whole number in a range, both ends included.
    Int(i64, i64),
    /// Any text.
    Text,
    /// One of these texts.
    Choice(&'static [&'static str]),
}

impl OptionKind {
    /// What a message calls it.
    pub fn describe(self) -> String {
        match self {
            OptionKind::Bool => "true or false".to_owned(),
            OptionKind::Text => "a text in quotes".to_owned(),
            OptionKind::Int(low, high) => format!("an int from {low} to {high}"),
            OptionKind::Choice(words) => words.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(" | "),
        }
    }

    fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (OptionKind::Bool, Value::Bool(_)) | (OptionKind::Text, Value::Text(_)) => true,
            (OptionKind::Int(low, high), Value::Int(n)) => (low..=high).contains(n),
            (OptionKind::Choice(words), Value::Text(t)) => words.contains(&&**t),
            _ => false,
        }
    }
}

/// One option of a parser.
#[derive(Clone, Copy, Debug)]
pub struct ParserOption {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: OptionKind,
    /// The default as messages show it.
    pub default: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
}

/// The option of every parser that can refuse an answer.
pub(super) const REPAIR: ParserOption = ParserOption {
    name: "repair",
    kind: OptionKind::Int(0, 10),
    default: "0",
    doc: "how often to ask again, showing the model its answer and what was wrong with it",
};

/// A parser's description.
pub struct ParserSpec {
    /// Its name in files.
    pub name: &'static str,
    /// What it gives, in one line.
    pub doc: &'static str,
    /// Its first, unnamed argument.
    pub argument: ParserArgument,
    /// Its named options.
    pub options: &'static [ParserOption],
    /// Makes what reads answers. Options are checked against this description before.
    pub build: fn(&Arguments<'_>) -> Result<Arc<dyn Rule>, BuildError>,
}

impl ParserSpec {
    /// The option called `name`.
    pub fn option(&self, name: &str) -> Option<&'static ParserOption> {
        self.options.iter().find(|o| o.name == name)
    }

    pub(super) fn check_argument(&self, has_type: bool, has_pattern: bool) -> Result<(), BuildError> {
        let name = self.name;
        let refused = |message: String, help: &str| Err(BuildError::new(message).help(help));
        match self.argument {
            ParserArgument::None if has_type || has_pattern => {
                Err(BuildError::new(format!("`{name}` takes no argument without a name")))
            }
            ParserArgument::OptionalType if has_pattern => {
                refused(format!("`{name}` takes a type, not a text"), "write the name of a declared type, or `[T]`")
            }
            ParserArgument::OptionalText if has_type => {
                refused(format!("`{name}` takes a text in quotes, not a type"), "as code(\"python\")")
            }
            ParserArgument::Words if has_pattern || !has_type => refused(
                format!("`{name}` takes a type that lists the words"),
                "declare one, as type Label = \"bug\" | \"question\", and write enum(Label)",
            ),
            ParserArgument::Pattern if has_type || !has_pattern => refused(
                format!("`{name}` takes a pattern in quotes"),
                "name what it is to give, as regex(\"(?P<year>[0-9]{4})\")",
            ),
            _ => Ok(()),
        }
    }

    pub(super) fn check_option(&self, name: &str, value: &Value) -> Result<(), BuildError> {
        let Some(option) = self.option(name) else {
            let error = BuildError::new(format!("`{}` has no option `{name}`", self.name)).option(name);
            let names = self.options.iter().map(|o| o.name);
            let help = match nearest(name, names.clone()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if self.options.is_empty() => "it takes no options".to_owned(),
                None => format!("it has {}", names.map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")),
            };
            return Err(error.help(help));
        };
        if option.kind.takes(value) {
            return Ok(());
        }
        let message = format!("`{name}` takes {}, not {}", option.kind.describe(), value.show(60));
        let error = BuildError::new(message).option(name);
        match (option.kind, value) {
            (OptionKind::Choice(words), Value::Text(t)) => match nearest(t, words.iter().copied()) {
                Some(meant) => Err(error.help(format!("did you mean \"{meant}\"?"))),
                None => Err(error),
            },
            _ => Err(error),
        }
    }
}

/// The checked arguments of a parser.
pub struct Arguments<'a> {
    /// The type that stands first.
    pub ty: Option<Type>,
    /// The pattern or text that stands first.
    pub pattern: Option<&'a str>,
    /// The named options.
    pub options: &'a IndexMap<String, Value>,
}

impl Arguments<'_> {
    /// The whole number of an option.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.options.get(name) {
            Some(Value::Int(n)) => Some(*n),
            _ => None,
        }
    }

    /// The truth value of an option.
    pub fn bool(&self, name: &str) -> Option<bool> {
        match self.options.get(name) {
            Some(Value::Bool(b)) => Some(*b),
            _ => None,
        }
    }

    /// The text of an option.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.options.get(name) {
            Some(Value::Text(t)) => Some(t),
            _ => None,
        }
    }
}

/// Arguments that a parser cannot be made from.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildError {
    /// The option at fault; `None` for the first, unnamed argument or the parser itself.
    pub option: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl BuildError {
    /// An error of the first argument.
    pub fn new(message: impl Into<String>) -> Self {
        Self { option: None, message: message.into(), help: None }
    }

    /// The same, of an option.
    #[must_use]
    pub fn option(mut self, name: &str) -> Self {
        self.option = Some(name.to_owned());
        self
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }
}

/// An answer that a parser does not take.
#[derive(Clone, Debug, PartialEq)]
pub struct ParseError {
    /// What is wrong. Where a place is known, two more lines show it: an excerpt of the answer and a caret below.
    pub message: String,
    /// Where in the answer, in bytes.
    pub at: Option<usize>,
    /// What may help, a line each.
    pub help: Vec<String>,
}

impl ParseError {
    /// An error of the whole answer.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), at: None, help: Vec::new() }
    }

    /// Adds a line of help.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }
}

/// How one parser reads answers.
pub trait Rule: Send + Sync {
    /// Reads an answer, in time linear in its length.
    ///
    /// # Errors
    /// The answer is not what the rule takes.
    fn parse(&self, text: &str) -> Result<Value, ParseError>;

    /// The type of every value that `parse` gives.
    fn output_type(&self) -> Type;

    /// What would make a model's answer obey the rule.
    fn constraint(&self) -> Option<Constraint> {
        None
    }

    /// What to tell a model.
    fn format_instructions(&self) -> String;

    /// What reads an answer that is still being written, where the rule can tell a part of its value.
    fn stream(&self) -> Option<Box<dyn Growing>> {
        None
    }
}
