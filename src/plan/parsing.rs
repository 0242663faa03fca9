//! Parsers and `fill` as stages.

use std::sync::Arc;

use indexmap::IndexMap;

use super::asking::{can_be_asked, takes_text};
use super::lower::Lowerer;
use super::prompts::list;
use super::scope::{Home, Scope};
use super::{Node, NodeKind};
use crate::diag::{Code, Diagnostic};
use crate::parsers::{self, Parser};
use crate::source::Span;
use crate::syntax::ast::{Arg, Operand, OperandKind, Path, TypeExpr, TypeKind};
use crate::value::{Type, Value};

/// A parser as a stage names it.
pub(super) struct ParserStage {
    /// The parser.
    pub(super) parser: Arc<Parser>,
    /// Where it stands.
    pub(super) span: Span,
}

impl Lowerer<'_> {
    pub(super) fn fill(&mut self, args: Option<&[Arg]>, span: Span, scope: &Scope) -> Option<(Home, Type)> {
        if args.is_some_and(|a| !a.is_empty()) {
            self.error(Diagnostic::error(Code::E210, span, "`fill` takes no arguments"));
            return None;
        }
        let (input, ty) = self.needed_input(scope, span, "`fill`")?;
        if !can_be_asked(&ty) {
            let message = format!("`fill` takes a prompt's messages, found {ty}");
            self.error(Diagnostic::error(Code::E211, span, message));
            return None;
        }
        let home = self.push(Node { span, kind: NodeKind::Fill, ty: Type::Text, input: Some(input) });
        Some((home, Type::Text))
    }

    pub(super) fn parser_node(
        &mut self,
        path: &Path,
        args: Option<&[Arg]>,
        span: Span,
        scope: &Scope,
    ) -> Option<(Home, Type)> {
        let parser = self.parser_call(path, args, span);
        let (input, ty) = self.needed_input(scope, span, &format!("the parser `{}`", path.text()))?;
        let parser = parser?;
        if !takes_text(&ty) {
            let message = format!("`{}` parses a message or text, found {ty}", path.text());
            let mut diagnostic = Diagnostic::error(Code::E211, span, message);
            if ty == Type::Prompt || ty == Type::Raw {
                diagnostic = diagnostic.help("a model is missing between the prompt and the parser: `… | llm | text`; the prompt's own text is what `fill` gives");
            }
            self.error(diagnostic);
            return None;
        }
        if parser.repair() > 0 {
            self.error(Diagnostic::error(
                Code::E209,
                span,
                "`repair:` asks a model again, and no model stands right before this parser",
            ));
            return None;
        }
        let out = parser.output_type();
        let home = self.push(Node { span, kind: NodeKind::Parse(parser), ty: out.clone(), input: Some(input) });
        Some((home, out))
    }

    pub(super) fn parser_stage(&mut self, operand: &Operand) -> Option<ParserStage> {
        let OperandKind::Call { path, args } = &operand.kind else { return None };
        let parser = self.parser_call(path, args.as_deref(), operand.span)?;
        Some(ParserStage { parser, span: operand.span })
    }

    /// A parser with its arguments.
    pub(super) fn parser_call(&mut self, path: &Path, args: Option<&[Arg]>, span: Span) -> Option<Arc<Parser>> {
        let name = path.text();
        let spec = parsers::find(&name)?;
        let (mut ty, mut pattern, mut fine) = (None, None, true);
        let mut options: IndexMap<String, Value> = IndexMap::new();
        let mut places: IndexMap<String, Span> = IndexMap::new();
        let mut positional: Option<Span> = None;
        for arg in args.unwrap_or_default() {
            let Some(option) = &arg.name else {
                if let Some(first) = positional.replace(arg.span) {
                    let message = format!("`{name}` takes one unnamed argument at most");
                    self.error(Diagnostic::error(Code::E210, arg.span, message).also(first, "the first"));
                    fine = false;
                    continue;
                }
                match arg.value.single() {
                    Some(Operand { kind: OperandKind::Text(text), .. }) => pattern = Some(text.text.clone()),
                    Some(operand) => match self.type_argument(operand) {
                        Some(t) => ty = Some(t),
                        None => fine = false,
                    },
                    None => {
                        let message = format!("`{name}` takes a type or a text here");
                        self.error(
                            Diagnostic::error(Code::E210, arg.span, message)
                                .help("name a union first: `type Label = …`"),
                        );
                        fine = false;
                    }
                }
                continue;
            };
            if let Some(first) = places.insert(option.name.clone(), option.span) {
                let message = format!("`{}` is given twice", option.name);
                self.error(Diagnostic::error(Code::E201, option.span, message).also(first, "first given here"));
                fine = false;
            }
            if !spec.options.iter().any(|o| o.name == option.name) {
                let names: Vec<String> = spec.options.iter().map(|o| o.name.to_owned()).collect();
                let diagnostic =
                    Diagnostic::error(Code::E208, option.span, format!("`{name}` has no option `{}`", option.name))
                        .did_you_mean(&option.name, names.iter().map(String::as_str))
                        .help(format!("its options are: {}", list(&names)));
                self.error(diagnostic);
                fine = false;
                continue;
            }
            match super::values::constant_pipeline(&arg.value) {
                Ok(value) => {
                    options.insert(option.name.clone(), value);
                    places.insert(option.name.clone(), arg.value.span);
                }
                Err(diagnostic) => {
                    self.error(diagnostic);
                    fine = false;
                }
            }
        }
        if !fine {
            return None;
        }
        match parsers::build(spec, ty, pattern.as_deref(), &options) {
            Ok(parser) => Some(Arc::new(parser)),
            Err(e) => {
                let place = e.option.as_ref().and_then(|o| places.get(o).copied()).or(positional).unwrap_or(span);
                let diagnostic = Diagnostic::error(Code::E209, place, e.message);
                self.error(e.help.into_iter().fold(diagnostic, Diagnostic::help));
                None
            }
        }
    }

    /// A type as an argument: a name or `[T]`.
    pub(super) fn type_argument(&mut self, operand: &Operand) -> Option<Type> {
        let ty = type_expression(operand);
        match ty {
            Some(ty) => {
                let before = self.diagnostics.len();
                let resolved = self.resolve_type(&ty);
                (self.diagnostics.len() == before).then_some(resolved)
            }
            None => {
                let diagnostic = Diagnostic::error(Code::E210, operand.span, "a type is asked for here")
                    .help("write its name, or `[T]`; name a union first: `type Label = \"bug\" | \"question\"`");
                self.error(diagnostic);
                None
            }
        }
    }
}

/// An operand read as a type.
fn type_expression(operand: &Operand) -> Option<TypeExpr> {
    let kind = match &operand.kind {
        OperandKind::Call { path, args: None } => TypeKind::Name(path.clone()),
        OperandKind::Call { path, args: Some(args) } => match args.as_slice() {
            [Arg { name: None, value, .. }] => {
                TypeKind::Apply(path.clone(), Box::new(type_expression(value.single()?)?))
            }
            _ => return None,
        },
        OperandKind::List(items) => match items.as_slice() {
            [item] => TypeKind::List(Box::new(type_expression(item.single()?)?)),
            _ => return None,
        },
        _ => return None,
    };
    Some(TypeExpr { span: operand.span, kind })
}
