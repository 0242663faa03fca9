//! Templates, expressions and prompts: every name in them resolved.

use std::ops::Range;
use std::sync::Arc;

use indexmap::IndexMap;

use super::declarations::Named;
use super::lower::{Lowerer, ambiguous};
use super::scope::{Given, Meaning, Scope, field_names};
use super::{Cell, Evaluation, PromptPart, Ref, Rendering};
use crate::diag::{Code, Diagnostic, Severity};
use crate::parsers::Parser;
use crate::source::Span;
use crate::syntax::ast::{ExprLit, Operand, OperandKind, Pipeline, PromptBody, PromptEntry, Str};
use crate::template::{Expression, NameUse, PathPart, Template, TemplateError};
use crate::value::{Role, Type, Value};

/// What a template stands in: its scope, and the parser that stands behind the model after it.
pub struct Place<'s> {
    /// The names in reach.
    pub scope: &'s Scope,
    /// The parser ahead, which gives `format_instructions`.
    pub ahead: Option<&'s Parser>,
    /// The type of a name that nothing declares.
    pub infer: Type,
}

impl<'s> Place<'s> {
    /// A place in `scope` with nothing ahead.
    pub fn new(scope: &'s Scope) -> Self {
        Self { scope, ahead: None, infer: Type::Text }
    }
}

pub fn template_error(error: TemplateError, whole: Span, locate: impl Fn(&Range<usize>) -> Span) -> Diagnostic {
    let span = error.range.as_ref().map_or(whole, locate);
    error.help.into_iter().fold(Diagnostic::error(Code::E110, span, error.message), Diagnostic::help)
}

impl Lowerer<'_> {
    /// Compiles a template and resolves its names.
    pub(super) fn template(&mut self, text: &Str, place: &Place) -> Option<Arc<Rendering>> {
        let template = match Template::compile(&text.text) {
            Ok(template) => template,
            Err(e) => {
                self.error(template_error(e, text.span, |r| text.locate(r)));
                return None;
            }
        };
        let mut fine = true;
        for (name, range) in template.bound() {
            fine &= self.not_hidden(name, text.locate(range), place.scope);
        }
        let names = self.names(template.names(), |r| text.locate(r), place);
        match (names, fine) {
            (Some(names), true) => Some(Arc::new(Rendering { template, names, text: text.clone() })),
            _ => None,
        }
    }

    /// Warns of control tokens in a text that goes through a model's own chat template: it adds them itself.
    pub(super) fn no_control_tokens(&mut self, text: &Str) {
        let Some((token, range)) = crate::providers::control::first_in(&text.text) else { return };
        let message =
            format!("the text holds the control token `{token}`, and the model's own format adds its tokens again");
        let diagnostic = Diagnostic::new(Severity::Warning, Code::W501, Some(text.locate(&range)), message);
        self.error(diagnostic.help("a format written by hand goes out as it stands as `raw \"…\"`"));
    }

    /// Compiles an expression and resolves its names. Gives its type too: known for a path, `any` else.
    pub(super) fn expression(&mut self, text: &ExprLit, place: &Place) -> Option<(Arc<Evaluation>, Type)> {
        let expression = match Expression::compile(&text.text) {
            Ok(expression) => expression,
            Err(e) => {
                self.error(template_error(e, text.span, |r| text.locate(r)));
                return None;
            }
        };
        let names = self.names(expression.names(), |r| text.locate(r), place)?;
        let ty = match (expression.path().is_some(), expression.names().first()) {
            (true, Some(first)) => self.path_type(first, |r| text.locate(r), place).unwrap_or(Type::Any),
            _ => expression
                .names()
                .is_empty()
                .then(|| expression.eval(&super::values::NoNames).ok().map(|v| type_of(&v)))
                .flatten()
                .unwrap_or(Type::Any),
        };
        Some((Arc::new(Evaluation { expression, names, text: text.clone() }), ty))
    }

    fn names(
        &mut self,
        uses: &[NameUse],
        locate: impl Fn(&Range<usize>) -> Span,
        place: &Place,
    ) -> Option<IndexMap<String, Cell>> {
        let mut out = IndexMap::new();
        let mut fine = true;
        for name_use in uses {
            let Some(PathPart::Name(name)) = name_use.path.first() else { continue };
            let span = locate(&name_use.name_range);
            match self.value_named(name_use, name, span, &locate, place) {
                Some((cell, ty)) => {
                    fine &= self.fields(name_use, &ty, &locate).is_some();
                    out.insert(name.clone(), cell);
                }
                None => fine = false,
            }
        }
        fine.then_some(out)
    }

    fn path_type(&mut self, name_use: &NameUse, locate: impl Fn(&Range<usize>) -> Span, place: &Place) -> Option<Type> {
        let Some(PathPart::Name(name)) = name_use.path.first() else { return None };
        let before = self.diagnostics.len();
        let (_, ty) = self.value_named(name_use, name, locate(&name_use.name_range), &locate, place)?;
        let ty = self.fields(name_use, &ty, &locate);
        self.diagnostics.truncate(before);
        ty
    }

    /// What the first name of a path means: a library, or a value in reach.
    fn value_named(
        &mut self,
        name_use: &NameUse,
        name: &str,
        span: Span,
        locate: &impl Fn(&Range<usize>) -> Span,
        place: &Place,
    ) -> Option<(Cell, Type)> {
        let Some(number) = self.library_named(name, place.scope) else {
            if name_use.path.len() > 1 && self.is_unreadable(&format!("{name}.")) && place.scope.binding(name).is_none()
            {
                return None;
            }
            let (cell, ty) = self.name(name, span, place)?;
            return (!self.in_library() || self.fits_library(name, &ty, span, place.scope)).then_some((cell, ty));
        };
        if place.scope.field(name).is_some()
            && let Some((other, _)) = self.declarations.named.get(name)
        {
            self.error(ambiguous(name, span, *other, "and a library is called so"));
            return None;
        }
        self.library_value(name_use, number, locate)
    }

    /// What a bare name of a template means, and its type.
    fn name(&mut self, name: &str, span: Span, place: &Place) -> Option<(Cell, Type)> {
        let scope = place.scope;
        let depth = self.depth();
        if let Some(asked) = self.asked.last_mut() {
            asked.insert(name.to_owned());
        }
        match name {
            "input" => return self.input_name(span, scope),
            "format_instructions" => return self.instructions(span, place),
            "output" => {
                let message = "`output` is the result of a test's run, and this is no test";
                self.error(Diagnostic::error(Code::E204, span, message));
                return None;
            }
            "error" => {
                let mut at = Some(scope);
                while let Some(scope) = at {
                    if let Some(home) = &scope.failure {
                        return Some((Cell::Ref(home.seen_from(depth)), Type::Text));
                    }
                    at = scope.outer.as_deref();
                }
                let message = "`error` is known only right of `??`, where it is the text of what failed";
                self.error(Diagnostic::error(Code::E204, span, message));
                return None;
            }
            _ => {}
        }
        match scope.meaning(name) {
            Meaning::Given(given) => Some((given.cell, given.ty)),
            Meaning::Both(other) => {
                self.error(ambiguous(name, span, other, "and this name was made here"));
                None
            }
            Meaning::Home(home, ty) => Some((Cell::Ref(home.seen_from(depth)), ty)),
            Meaning::Field(home, ty) => {
                if !scope.closed
                    && let Some((param, _)) = self.root.variables.get(name)
                {
                    let other = param.name.span;
                    self.error(ambiguous(name, span, other, "and a variable is called so"));
                    return None;
                }
                self.field_uses.push((name.to_owned(), span));
                Some((Cell::Field(home.seen_from(depth), name.to_owned()), ty))
            }
            Meaning::Unknown => self.variable_name(name, span, place),
        }
    }

    fn input_name(&mut self, span: Span, scope: &Scope) -> Option<(Cell, Type)> {
        match &scope.input {
            Some((home, ty)) => {
                if *home == super::scope::Home::Stdin {
                    self.stdin.get_or_insert(span);
                }
                Some((Cell::Ref(home.seen_from(self.depth())), ty.clone()))
            }
            None => {
                let diagnostic = Diagnostic::error(Code::E204, span, "there is no `input` here").help(
                    "a chain with parameters sees its parameters alone; at its beginning nothing stands on the left",
                );
                self.error(diagnostic);
                None
            }
        }
    }

    fn instructions(&mut self, span: Span, place: &Place) -> Option<(Cell, Type)> {
        match place.ahead {
            Some(parser) => Some((Cell::Constant(Value::from(parser.format_instructions())), Type::Text)),
            None => {
                let message = "`format_instructions` is known only before a model with a parser right behind it";
                self.error(Diagnostic::error(Code::E204, span, message).help("as in `ask | llm | json(T)`"));
                None
            }
        }
    }

    fn variable_name(&mut self, name: &str, span: Span, place: &Place) -> Option<(Cell, Type)> {
        let scope = place.scope;
        let secrets = [&self.declarations.secrets, &self.root.secrets];
        if let Some(declared) = secrets.into_iter().find_map(|s| s.get(name)) {
            let diagnostic =
                Diagnostic::error(Code::E215, span, format!("`{name}` is a secret, and no template may read it"))
                    .also(*declared, "declared here")
                    .help(format!("a secret stands bare in an option of a model: `api_key: {name}`"));
            self.error(diagnostic);
            return None;
        }
        if self.in_library() {
            return self.library_name(name, span, place);
        }
        if !scope.closed {
            let known = scope.known();
            if let Some((index, ty)) = self.variable(name, span, &place.infer, &known) {
                return Some((Cell::Ref(Ref::Variable(index)), ty));
            }
        }
        let diagnostic = self.unknown_name(name, span, scope);
        self.error(diagnostic);
        None
    }

    fn unknown_name(&self, name: &str, span: Span, scope: &Scope) -> Diagnostic {
        let mut known = scope.known();
        let message = format!("unknown variable `{name}`");
        if scope.closed {
            let hidden = self.declarations.variables.get(name);
            let diagnostic =
                Diagnostic::error(Code::E204, span, message).did_you_mean(name, known.iter().map(String::as_str));
            return match hidden {
                Some((param, _)) => diagnostic
                    .also(param.name.span, "the file's variable is out of sight here")
                    .help(format!("a chain with parameters sees those alone: add the parameter `{name}`")),
                None => diagnostic.help(format!("in reach are: {}", list(&known))),
            };
        }
        known.extend(self.variable_names());
        let diagnostic =
            Diagnostic::error(Code::E204, span, message).did_you_mean(name, known.iter().map(String::as_str));
        match self.declarations.named.get(name) {
            Some((other, named)) if !matches!(named, Named::Unreadable) => diagnostic
                .also(*other, format!("`{name}` is a {}, which no template can read", named.kind()))
                .help(format!("run it as a stage and name its value: `{name} as …`")),
            _ => diagnostic.help(format!("declare it: `var {name}: string`; in reach are: {}", list(&known))),
        }
    }

    /// The type at the end of a path of fields.
    pub(super) fn fields(
        &mut self,
        name_use: &NameUse,
        ty: &Type,
        locate: &impl Fn(&Range<usize>) -> Span,
    ) -> Option<Type> {
        let mut ty = ty.clone();
        let last = name_use.path.len().saturating_sub(1);
        for (i, part) in name_use.path.iter().enumerate().skip(1) {
            ty = match (&ty, part) {
                (Type::List(of), PathPart::Index(_)) => (**of).clone(),
                (Type::Prompt, PathPart::Index(_)) => Type::Message,
                (_, PathPart::Index(_)) => Type::Any,
                (_, PathPart::Name(field) | PathPart::Field(field) | PathPart::Key(field)) => {
                    match field_type(&ty, field) {
                        Some(ty) => ty,
                        None => {
                            let range = if i == last { &name_use.last_range } else { &name_use.range };
                            let span = locate(range);
                            let names = field_names(&ty);
                            let mut diagnostic =
                                Diagnostic::error(Code::E212, span, format!("{ty} has no field `{field}`"))
                                    .did_you_mean(field, names.iter().map(String::as_str));
                            if !names.is_empty() {
                                diagnostic = diagnostic.help(format!("its fields are: {}", list(&names)));
                            }
                            self.error(diagnostic);
                            return None;
                        }
                    }
                }
            };
        }
        Some(ty)
    }

    /// Reports a name that is made on the way and is in reach already.
    pub(super) fn not_hidden(&mut self, name: &str, span: Span, scope: &Scope) -> bool {
        let other = scope
            .binding(name)
            .map(|b| b.span)
            .or_else(|| scope.given.get(name).map(|g| g.span))
            .or_else(|| match self.declarations.named.get(name) {
                Some((span, Named::Library(_))) => Some(*span),
                _ => None,
            })
            .or_else(|| match scope.closed {
                true => None,
                // A library's own names must not depend on the variables of who uses it.
                false if self.in_library() => self.declarations.variables.get(name).map(|(p, _)| p.name.span),
                false => self.variable_span(name),
            });
        match other {
            Some(other) => {
                let diagnostic = Diagnostic::error(
                    Code::E213,
                    span,
                    format!("`{name}` is in reach already, and no name hides another"),
                )
                .also(other, "made or first read here")
                .help("choose another name");
                self.error(diagnostic);
                false
            }
            None => true,
        }
    }

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
                    let template = self.template(&role.text, place);
                    match (Role::from_name(&role.role.name).filter(|r| *r != Role::Tool), template) {
                        (Some(role), Some(template)) => parts.push(PromptPart::Message(role, template)),
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
                        s.template(text, place).map(|t| vec![PromptPart::Message(Role::User, t)])
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
                let message = format!("`{name}` is a {}; `messages` splices a prompt", named.kind());
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

/// The type of a field, by a path in a template.
fn field_type(ty: &Type, name: &str) -> Option<Type> {
    match ty {
        Type::Any => Some(Type::Any),
        Type::Map(of) => Some((**of).clone()),
        Type::Message => super::scope::MESSAGE_FIELDS.iter().find(|(n, _)| *n == name).map(|(_, ty)| ty.clone()),
        Type::Optional(of) => field_type(of, name).map(|_| Type::Any),
        Type::Union(all) => {
            let mut out: Option<Type> = None;
            for part in all {
                let t = field_type(part, name)?;
                out = Some(match out {
                    Some(before) => before.join(t),
                    None => t,
                });
            }
            out
        }
        other => super::scope::field_of_all(other, name),
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
