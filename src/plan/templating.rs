//! Templates and expressions: every name in them resolved.

use std::ops::Range;
use std::sync::Arc;

use indexmap::IndexMap;

use super::declarations::Named;
use super::lower::{Lowerer, ambiguous};
use super::prompts::{list, type_of};
use super::scope::{Meaning, Scope, field_names};
use super::{Cell, Evaluation, Ref, Rendering};
use crate::diag::{Code, Diagnostic, Severity};
use crate::parsers::Parser;
use crate::source::Span;
use crate::syntax::ast::{ExprLit, Str};
use crate::template::{Expression, NameUse, PathPart, Template, TemplateError};
use crate::value::{Type, Value};

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
        let template = match self.templates.get(&text.text) {
            Some(template) => template.clone(),
            None => match Template::compile(&text.text) {
                Ok(template) => {
                    let template = Arc::new(template);
                    self.templates.insert(text.text.clone(), template.clone());
                    template
                }
                Err(e) => {
                    self.error(template_error(e, text.span, |r| text.locate(r)));
                    return None;
                }
            },
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
                .also(*other, format!("`{name}` is {}, which no template can read", named.a_kind()))
                .help(named.to_a_value(name)),
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
}

/// The type of a field, by a path in a template.
fn field_type(ty: &Type, name: &str) -> Option<Type> {
    match ty {
        Type::Any => Some(Type::Any),
        Type::Map(of) => Some((**of).clone()),
        Type::Message if name == "tool_calls" => Some(Type::List(Box::new(crate::value::ToolCall::ty()))),
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
