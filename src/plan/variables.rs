//! Variables of the run: the file's, a chain's parameters, and those that free names imply.

use super::Variable;
use super::declarations::{has_hyphen, reserved};
use super::lower::{Lowerer, ambiguous};
use super::values::constant;
use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::Param;
use crate::value::{Type, nearest};

impl Lowerer<'_> {
    /// Bare names that were read as fields while a variable of that name was inferred.
    pub(super) fn ambiguous_fields(&mut self) {
        let uses = std::mem::take(&mut self.field_uses);
        for (name, span) in uses {
            let Some(index) = self.variable_index.get(&name) else { continue };
            let variable = &self.variables[*index];
            if variable.inferred {
                let diagnostic = ambiguous(&name, span, variable.span, "read here as a variable");
                self.error(diagnostic);
            }
        }
    }

    /// The parameters of a chain, the second of a name reported and left out.
    pub(super) fn distinct_parameters<'p>(&mut self, params: &'p [Param]) -> Vec<&'p Param> {
        let mut out: Vec<&Param> = Vec::new();
        for param in params {
            if reserved(&param.name, &mut self.diagnostics) || has_hyphen(&param.name, &mut self.diagnostics) {
                continue;
            }
            match out.iter().find(|p| p.name.name == param.name.name) {
                Some(first) => {
                    let message = format!("the parameter `{}` is given twice", param.name.name);
                    let first = first.name.span;
                    self.error(Diagnostic::error(Code::E201, param.name.span, message).also(first, "first given here"));
                }
                None => out.push(param),
            }
        }
        out
    }

    /// Puts the variables that the present file declares in the place of all.
    pub(super) fn declare_variables(&mut self) {
        self.forget_variables(0);
        for (param, doc) in self.declarations.variables.values() {
            let variable = self.parameter(param, *doc);
            self.add_variable(variable);
        }
        self.declared = self.variables.len();
    }

    /// Forgets all variables but the first `kept`.
    pub(super) fn forget_variables(&mut self, kept: usize) {
        for variable in self.variables.drain(kept..) {
            // A parameter does not take the place of the file's variable of its name.
            if self.variable_index.get(&variable.name).is_some_and(|at| *at >= kept) {
                self.variable_index.remove(&variable.name);
            }
        }
    }

    /// A variable or parameter with its type and its default, checked.
    pub(super) fn parameter(&mut self, param: &Param, doc: Option<&str>) -> Variable {
        let ty = self.resolve_type(&param.ty);
        let mut default = None;
        if let Some(operand) = &param.default {
            match constant(operand) {
                Ok(value) => match ty.accept(&value) {
                    Ok(value) => default = Some(value),
                    Err(e) => {
                        let message = format!("the default of `{}` does not fit its type: {e}", param.name.name);
                        let diagnostic = Diagnostic::error(Code::E209, operand.span, message);
                        self.error(diagnostic.also(param.ty.span, format!("declared as {ty}")));
                    }
                },
                Err(diagnostic) => self.error(diagnostic),
            }
        }
        Variable {
            name: param.name.name.clone(),
            ty,
            default,
            doc: doc.map(str::to_owned),
            span: param.name.span,
            used: false,
            inferred: false,
            resembles: None,
        }
    }

    pub(super) fn add_variable(&mut self, variable: Variable) -> usize {
        let index = self.variables.len();
        self.variable_index.insert(variable.name.clone(), index);
        self.variables.push(variable);
        index
    }

    /// The variable `name`, marked as used. A file without `var` infers it, with the type that its place asks for.
    pub(super) fn variable(&mut self, name: &str, span: Span, infer: &Type, known: &[String]) -> Option<(usize, Type)> {
        if let Some(index) = self.variable_index.get(name).copied() {
            let variable = &mut self.variables[index];
            if !std::mem::replace(&mut variable.used, true) && index < self.declared {
                self.touched.push(index);
            }
            if variable.inferred && variable.ty == Type::Text && *infer != Type::Text {
                variable.ty = infer.clone();
            }
            return Some((index, variable.ty.clone()));
        }
        if self.root.declares_variables && !self.lenient {
            return None;
        }
        let resembles = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        let variable = Variable {
            name: name.to_owned(),
            ty: infer.clone(),
            default: None,
            doc: None,
            span,
            used: true,
            inferred: true,
            resembles,
        };
        Some((self.add_variable(variable), infer.clone()))
    }

    /// Adds a variable that a library asks for.
    pub(super) fn infer_variable(&mut self, variable: Variable) {
        self.add_variable(Variable { inferred: true, ..variable });
    }

    /// Whether `name` is a variable already, declared or inferred, and where.
    pub(super) fn variable_span(&self, name: &str) -> Option<Span> {
        self.variable_index.get(name).map(|i| self.variables[*i].span)
    }

    /// Names of the variables.
    pub(super) fn variable_names(&self) -> Vec<String> {
        self.variables.iter().map(|v| v.name.clone()).collect()
    }
}
