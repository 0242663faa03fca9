//! The two sorts of things that providers make: models that answer, and embedders.

use crate::plan::declarations::Named;
use crate::providers::{self, Spec};
use crate::syntax::ast::Pipeline;

/// What a call of a provider describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A model that answers.
    Model,
    /// A model that turns texts into vectors.
    Embedder,
}

impl Sort {
    /// What a declaration describes; none where it is neither.
    pub fn of(named: &Named) -> Option<Sort> {
        match named {
            Named::Model(_) => Some(Sort::Model),
            Named::Embedder(_) => Some(Sort::Embedder),
            _ => None,
        }
    }

    /// The right side of a declaration of this sort.
    pub fn body<'a>(self, named: &Named<'a>) -> Option<&'a Pipeline> {
        match (self, named) {
            (Sort::Model, Named::Model(body)) | (Sort::Embedder, Named::Embedder(body)) => Some(body),
            _ => None,
        }
    }

    /// The provider of this sort that is called `name`.
    pub fn spec(self, name: &str) -> Option<&'static Spec> {
        match self {
            Sort::Model => providers::find(name),
            Sort::Embedder => providers::find_embedder(name),
        }
    }

    /// What a message calls it.
    pub fn a_noun(self) -> &'static str {
        match self {
            Sort::Model => "a model",
            Sort::Embedder => "an embedder",
        }
    }

    /// A call that describes one.
    pub fn example(self) -> &'static str {
        match self {
            Sort::Model => "ollama(\"mistral\")",
            Sort::Embedder => "ollama(\"all-minilm\")",
        }
    }

    /// What else may stand in the place of a call, after the example.
    pub fn or_else(self) -> &'static str {
        match self {
            Sort::Model => ", or `a ?? b`",
            Sort::Embedder => "",
        }
    }

    /// An option that every one of them takes.
    pub fn an_option(self) -> &'static str {
        match self {
            Sort::Model => "temperature: 0",
            Sort::Embedder => "batch: 16",
        }
    }
}
