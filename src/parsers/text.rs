//! `text`: the answer as it is.

use std::sync::Arc;

use super::spec::{ParseError, ParserArgument, ParserSpec, Rule};
use crate::value::{Type, Value};

/// The description of `text`.
pub static SPEC: ParserSpec = ParserSpec {
    name: "text",
    doc: "the answer's text as it is",
    argument: ParserArgument::None,
    options: &[],
    build: |_| Ok(Arc::new(Text)),
};

struct Text;

impl Rule for Text {
    fn parse(&self, text: &str) -> Result<Value, ParseError> {
        Ok(text.into())
    }

    fn output_type(&self) -> Type {
        Type::Text
    }

    fn format_instructions(&self) -> String {
        "Answer in plain text.".to_owned()
    }
}
