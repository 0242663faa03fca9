//! Values that are made when they are needed: templates, expressions, references and options of models.

use std::cell::RefCell;
use std::sync::Arc;

use indexmap::IndexMap;

use super::{Cell, Evaluation, Ref, Rendering};
use crate::config::Origin;
use crate::diag::{Code, Diagnostic};
use crate::providers::OptionValue;
use crate::source::Span;
use crate::template::{Rendered, Scope, TemplateError};
use crate::value::Value;

/// How an option's value is made.
#[derive(Clone)]
pub enum OptionCell {
    /// It is known and checked.
    Constant(OptionValue),
    /// A template, checked once its variables are bound.
    Template(Arc<Rendering>),
    /// An expression, checked once its variables are bound.
    Expression(Arc<Evaluation>),
    /// A secret of the environment.
    Secret(String),
}

/// An option of a model.
#[derive(Clone)]
pub struct OptionEntry {
    /// How its value is made.
    pub cell: OptionCell,
    /// Where it stands.
    pub span: Span,
    /// Who says so.
    pub origin: Origin,
}

/// Where a [`Ref`] leads, in a frame or before a run.
pub trait Resolve {
    /// The value, if there is one yet.
    fn resolve(&self, reference: &Ref) -> Option<Value>;
}

/// The names of a template or expression as a scope.
struct CellScope<'a> {
    names: &'a IndexMap<String, Cell>,
    resolve: &'a dyn Resolve,
    /// What went wrong while a name's value was made: the template engine has no door for it.
    failed: RefCell<Option<Diagnostic>>,
}

impl Scope for CellScope<'_> {
    fn get(&self, name: &str) -> Option<Value> {
        match evaluate(self.names.get(name)?, self.resolve) {
            Ok(value) => Some(value),
            Err(diagnostic) => {
                self.failed.borrow_mut().get_or_insert(*diagnostic);
                None
            }
        }
    }

    fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }
}

/// The value of a cell.
///
/// # Errors
/// A template or expression that fails, with its place.
pub fn evaluate(cell: &Cell, resolve: &dyn Resolve) -> Result<Value, Box<Diagnostic>> {
    match cell {
        Cell::Constant(value) => Ok(value.clone()),
        Cell::Ref(reference) => Ok(resolve.resolve(reference).unwrap_or(Value::Null)),
        Cell::Field(reference, name) => match resolve.resolve(reference) {
            Some(Value::Map(map)) => Ok(map.get(name).cloned().unwrap_or(Value::Null)),
            _ => Ok(Value::Null),
        },
        Cell::Template(rendering) => {
            let rendered = rendering.render(resolve)?;
            Ok(Value::from(rendered.segments.iter().map(|s| s.text.as_str()).collect::<String>()))
        }
        Cell::Expression(evaluation) => evaluation.eval(resolve),
    }
}

impl Rendering {
    /// The template's text, its values kept apart.
    ///
    /// # Errors
    /// What failed, with its place.
    pub fn render(&self, resolve: &dyn Resolve) -> Result<Rendered, Box<Diagnostic>> {
        let scope = CellScope { names: &self.names, resolve, failed: RefCell::new(None) };
        let out = self.template.render(&scope);
        if let Some(diagnostic) = scope.failed.into_inner() {
            return Err(Box::new(diagnostic));
        }
        out.map_err(|e| Box::new(failure(e, self.text.span, |r| self.text.locate(r))))
    }
}

impl Evaluation {
    /// The expression's value.
    ///
    /// # Errors
    /// What failed, with its place.
    pub fn eval(&self, resolve: &dyn Resolve) -> Result<Value, Box<Diagnostic>> {
        let scope = CellScope { names: &self.names, resolve, failed: RefCell::new(None) };
        let out = self.expression.eval(&scope);
        if let Some(diagnostic) = scope.failed.into_inner() {
            return Err(Box::new(diagnostic));
        }
        out.map_err(|e| Box::new(failure(e, self.text.span, |r| self.text.locate(r))))
    }
}

fn failure(error: TemplateError, whole: Span, locate: impl Fn(&std::ops::Range<usize>) -> Span) -> Diagnostic {
    let span = error.range.as_ref().map_or(whole, locate);
    error.help.into_iter().fold(Diagnostic::error(Code::E408, span, error.message), Diagnostic::help)
}
