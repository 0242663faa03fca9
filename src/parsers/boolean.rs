//! `bool`: yes or no.

use std::sync::Arc;

use super::answer;
use super::choice::{Choice, choose};
use super::spec::{ParseError, ParserArgument, ParserSpec, REPAIR, Rule};
use crate::value::{Constraint, Type, Value};

/// The description of `bool`.
pub static SPEC: ParserSpec = ParserSpec {
    name: "bool",
    doc: "true for yes and true, false for no and false",
    argument: ParserArgument::None,
    options: &[REPAIR],
    build: |_| Ok(Arc::new(Boolean)),
};

/// Two spellings of the same truth are two words all the same: the rule is that of `enum`.
const WORDS: &[&str] = &["yes", "true", "no", "false"];

/// How many of [`WORDS`], from the first, mean true.
const TRUE: usize = 2;

struct Boolean;

impl Rule for Boolean {
    fn parse(&self, text: &str) -> Result<Value, ParseError> {
        let (_, body) = answer::body(text)?;
        match choose(WORDS, body) {
            Choice::One(i) => Ok(Value::Bool(i < TRUE)),
            Choice::Several(_) => Err(ParseError::new(format!(
                "the answer has more than one of yes, no, true and false: {}",
                answer::quoted(body)
            ))),
            Choice::None => {
                Err(ParseError::new(format!("the answer is none of yes, no, true and false: {}", answer::quoted(body))))
            }
        }
    }

    fn output_type(&self) -> Type {
        Type::Bool
    }

    fn constraint(&self) -> Option<Constraint> {
        Some(Constraint::JsonSchema(self.output_type().json_schema()))
    }

    fn format_instructions(&self) -> String {
        "Answer with yes or no and nothing else.".to_owned()
    }
}
