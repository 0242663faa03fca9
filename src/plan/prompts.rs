//! Prompts and the values that they and their arguments are made of.

use super::declarations::Named;
use super::lower::Lowerer;
use super::scope::{Given, Scope};
use super::templating::{Place, template_error};
use super::{Cell, PromptPart};
use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{ExprLit, Operand, OperandKind, Pipeline, PromptBody, PromptEntry, Str};
use crate::template::Template;
use crate::value::{Role, Type, Value};

impl Lowerer<'_> {
    /// A value given to an option or argument: a literal, a template or an expression.
    pub(super) fn cell(&mut self, value: &Pipeline, scope: &Scope) -> Option<(Cell, Type)> {
        let Some(operand) = value.single() else {
            let diagnostic = Diagnostic::error(Code::E210, value.span, "an argument is a value, not a pipeline")
                .help("name the pipeline's value first, `… as x`, and give `{{ x }}`");
            self.error(diagnostic);
            return None;
        };
        self.operand_cell(operand, scope)
    }

    fn operand_cell(&mut self, operand: &Operand, scope: &Scope) -> Option<(Cell, Type)> {
        let place = Place::new(scope);
        match &operand.kind {
            OperandKind::Text(text) => {
                let rendering = self.template(text, &place)?;
                if rendering.template.is_plain() {
                    return Some((Cell::Constant(Value::from(text.text.as_str())), literal(&text.text)));
                }
                Some((Cell::Template(rendering), Type::Text))
            }
            OperandKind::Expr(expr) => {
                let (evaluation, ty) = self.expression(expr, &place)?;
                Some((Cell::Expression(evaluation), ty))
            }
            OperandKind::Call { path, args: None } if self.declarations.secrets.contains_key(path.text().as_str()) => {
                let message = format!("`{}` is a secret, and stands only in an option of a model", path.text());
                self.error(Diagnostic::error(Code::E215, path.span, message).help("as in `api_key: TOKEN`"));
                None
            }
            OperandKind::Call { path, args: None }
                if self.declarations.variables.contains_key(path.text().as_str()) =>
            {
                let message = format!("`{0}` is a variable: a value is read through `{{{{ {0} }}}}`", path.text());
                self.error(Diagnostic::error(Code::E203, path.span, message));
                None
            }
            _ => match super::values::constant(operand) {
                Ok(value) => {
                    let ty = type_of(&value);
                    Some((Cell::Constant(value), ty))
                }
                Err(diagnostic) => {
                    self.error(diagnostic);
                    None
                }
            },
        }
    }

    /// The parts of a declared prompt's block.
    pub(super) fn prompt_parts(&mut self, entries: &[PromptEntry], place: &Place) -> Option<Vec<PromptPart>> {
        let mut parts = Vec::with_capacity(entries.len());
        let mut fine = true;
        for entry in entries {
            match entry {
                PromptEntry::Role(role) => {
                    self.no_control_tokens(&role.text);
                    let template = self.template(&role.text, place).zip(self.pictures(role, place));
                    match (Role::from_name(&role.role.name).filter(|r| *r != Role::Tool), template) {
                        (Some(role), Some((template, pictures))) => {
                            parts.push(PromptPart::Message(role, template, pictures));
                        }
                        (None, _) => {
                            let message = format!("`{}` is no role", role.role.name);
                            let words = ["system", "user", "assistant", "messages", "examples"];
                            let diagnostic = Diagnostic::error(Code::E104, role.role.span, message)
                                .did_you_mean(&role.role.name, words.into_iter())
                                .help("roles are `system`, `user` and `assistant`");
                            self.error(diagnostic);
                            fine = false;
                        }
                        (Some(_), None) => fine = false,
                    }
                }
                PromptEntry::Messages(expr) => match self.messages(expr, place) {
                    Some(part) => parts.push(part),
                    None => fine = false,
                },
                PromptEntry::Splice(path) => match self.spliced(&path.text(), path.span, place) {
                    Some(more) => parts.extend(more),
                    None => fine = false,
                },
                PromptEntry::Examples(entry) => match self.examples(entry, place) {
                    Some(part) => parts.push(part),
                    None => fine = false,
                },
            }
        }
        fine.then_some(parts)
    }

    fn messages(&mut self, expr: &ExprLit, place: &Place) -> Option<PromptPart> {
        let wanted = Type::List(Box::new(Type::Message));
        let place = Place { scope: place.scope, ahead: None, infer: wanted.clone() };
        let (evaluation, ty) = self.expression(expr, &place)?;
        if !ty.fits(&wanted) && ty != Type::Prompt {
            let diagnostic =
                Diagnostic::error(Code::E211, expr.span, format!("`messages` wants [Message], found {ty}"))
                    .help("declare the variable as `[Message]`; an item is `{ role: user, text: … }`");
            self.error(diagnostic);
            return None;
        }
        Some(PromptPart::Messages(Cell::Expression(evaluation), expr.span))
    }

    fn spliced(&mut self, name: &str, span: Span, place: &Place) -> Option<Vec<PromptPart>> {
        let found = self.find(name);
        match found.map(|f| (f.span, f.named)) {
            Some((_, Named::Prompt(body))) => {
                let callee = found.map(|f| self.callee(name, &f))?;
                if self.circle(&callee.key, span) || self.using.len() > 100 {
                    return None;
                }
                self.using.push((callee.key, span));
                let parts = self.inside(callee.file, name, span, |s| match body {
                    PromptBody::Block(entries) => s.prompt_parts(entries, place),
                    PromptBody::Text(text) => {
                        s.no_control_tokens(text);
                        s.template(text, place).map(|t| vec![PromptPart::Message(Role::User, t, [].into())])
                    }
                    PromptBody::Raw(_) => {
                        let message = format!("`{name}` is a raw prompt, which has no messages");
                        s.error(Diagnostic::error(Code::E207, span, message));
                        None
                    }
                });
                self.using.pop();
                parts
            }
            Some((_, Named::Unreadable)) => None,
            Some((other, named)) => {
                let message = format!("`{name}` is {}; `messages` splices a prompt", named.a_kind());
                self.error(Diagnostic::error(Code::E207, span, message).also(other, "declared here"));
                None
            }
            None if self.reports_member(name, span) => None,
            None => {
                let prompts = self.declarations.named.iter().filter(|(_, (_, n))| matches!(n, Named::Prompt(_)));
                let names: Vec<&str> = prompts.map(|(n, _)| *n).collect();
                let diagnostic = Diagnostic::error(Code::E203, span, format!("there is no prompt `{name}`"))
                    .did_you_mean(name, names.into_iter())
                    .help(format!("the messages of a variable are spliced by `messages {{{{ {name} }}}}`"));
                self.error(diagnostic);
                None
            }
        }
    }

    /// Compiles the templates of a prompt that nothing uses: its names are not asked.
    pub(super) fn prompt_syntax(&mut self, body: &PromptBody) {
        let texts: Vec<&Str> = match body {
            PromptBody::Text(text) | PromptBody::Raw(text) => vec![text],
            PromptBody::Block(entries) => entries
                .iter()
                .flat_map(|e| match e {
                    PromptEntry::Role(role) => std::slice::from_ref(role),
                    PromptEntry::Examples(entry) => entry.roles.as_slice(),
                    _ => &[],
                })
                .map(|role| &role.text)
                .collect(),
        };
        for text in texts {
            if let Err(e) = Template::compile(&text.text) {
                self.error(template_error(e, text.span, |r| text.locate(r)));
            }
        }
    }

    /// An argument of a prompt, as its scope wants it.
    pub(super) fn given(&mut self, value: &Pipeline, scope: &Scope, span: Span) -> Option<Given> {
        let (cell, ty) = self.cell(value, scope)?;
        Some(Given { cell, ty, span })
    }
}

fn literal(text: &str) -> Type {
    Type::Literal(crate::value::Literal::Text(text.into()))
}

/// The type of a constant.
pub fn type_of(value: &Value) -> Type {
    use crate::value::Literal;
    match value {
        Value::Null => Type::Null,
        Value::Bool(b) => Type::Literal(Literal::Bool(*b)),
        Value::Int(n) => Type::Literal(Literal::Int(*n)),
        Value::Float(_) => Type::Float,
        Value::Text(t) => Type::Literal(Literal::Text(t.clone())),
        _ => Type::Any,
    }
}

/// Names as a list for a message.
pub fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort();
    sorted.dedup();
    sorted.iter().take(20).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}
