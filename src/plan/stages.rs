//! Pipelines and their stages.

use std::collections::HashSet;
use std::sync::Arc;

use indexmap::IndexMap;

use super::declarations::{Named, has_hyphen, reserved};
use super::lower::Lowerer;
use super::scope::{Binding, Home, Scope};
use super::templating::Place;
use super::{BlockId, Extend, Node, NodeKind, Ref};
use crate::diag::{Code, Diagnostic};
use crate::parsers::{self, Parser};
use crate::source::Span;
use crate::syntax::ast::{Ident, MapEntry, Operand, OperandKind, Pipeline, Stage};
use crate::value::{Field, Record, Type};

/// The single names that the stages of a pipeline use.
pub fn used_in<'a>(pipeline: &'a Pipeline, out: &mut HashSet<&'a str>) {
    for operand in pipeline.stages.iter().flat_map(|s| &s.operands) {
        match &operand.kind {
            OperandKind::Call { path, args } => {
                out.extend(path.single().map(|p| p.name.as_str()));
                for arg in args.iter().flatten() {
                    used_in(&arg.value, out);
                }
            }
            OperandKind::Group(inner) => used_in(inner, out),
            OperandKind::Map(entries) => {
                for entry in entries {
                    if let MapEntry::Pair(_, value) = entry {
                        used_in(value, out);
                    }
                }
            }
            OperandKind::Match(matched) => {
                for arm in &matched.arms {
                    used_in(&arm.body, out);
                }
            }
            _ => {}
        }
    }
}

impl Lowerer<'_> {
    /// Lowers the stages of a pipeline into the innermost block. Gives the type of the value at its end.
    pub(super) fn pipeline(&mut self, pipeline: &Pipeline, scope: &mut Scope) -> Option<Type> {
        self.stages(&pipeline.stages, pipeline.span, scope)
    }

    /// The same for stages of a pipeline at `span`.
    pub(super) fn stages(&mut self, stages: &[Stage], span: Span, scope: &mut Scope) -> Option<Type> {
        let mut fine = true;
        let mut at = 0;
        // The next model from here, looked for once: long pipelines stay linear.
        let mut model = 0;
        let mut last = Type::Any;
        while let Some(stage) = stages.get(at) {
            let next = stages.get(at + 1);
            let lowered = if self.is_models(stage) {
                let merge = next.filter(|n| stage.alias.is_none() && self.is_parser(n));
                let behind = next.filter(|n| self.is_parser(n));
                let out = self.ask(stage, merge, behind, scope);
                if let Some(parser) = merge {
                    at += 1;
                    out.map(|ty| (ty, parser.alias.as_ref(), parser.span))
                } else {
                    out.map(|ty| (ty, stage.alias.as_ref(), stage.span))
                }
            } else {
                if model <= at {
                    let after = stages[at + 1..].iter().position(|s| self.is_models(s));
                    model = after.map_or(stages.len(), |n| at + 1 + n);
                }
                let ahead = match stages.get(model) {
                    Some(_) => self.parser_of(stages.get(model + 1)),
                    None => scope.ahead.clone(),
                };
                self.stage(stage, scope, ahead.as_deref()).map(|ty| (ty, stage.alias.as_ref(), stage.span))
            };
            at += 1;
            let depth = self.depth();
            match lowered {
                Some(((home, ty), alias, _)) => {
                    if let Some(alias) = alias {
                        fine &= self.bind_alias(alias, &home, &ty, scope);
                    }
                    scope.input = Some((home, ty.clone()));
                    last = ty;
                }
                None => {
                    fine = false;
                    let alias = stages.get(at - 1).and_then(|s| s.alias.as_ref());
                    let home = Home::Slot(depth, 0);
                    if let Some(alias) = alias {
                        self.bind_alias(alias, &home, &Type::Any, scope);
                    }
                    scope.input = Some((home, Type::Any));
                    last = Type::Any;
                }
            }
        }
        // Only where every stage passes its input on does standard input come out at the end.
        if let Some((Home::Stdin, _)) = &scope.input {
            self.stdin.get_or_insert(span);
        }
        fine.then_some(last)
    }

    pub(super) fn bind_alias(&mut self, alias: &Ident, home: &Home, ty: &Type, scope: &mut Scope) -> bool {
        if reserved(alias, &mut self.diagnostics) || has_hyphen(alias, &mut self.diagnostics) {
            return false;
        }
        let fine = self.not_hidden(&alias.name, alias.span, scope);
        self.label(&alias.name, home);
        if fine {
            let binding = Binding { name: alias.name.clone(), home: home.clone(), ty: ty.clone(), span: alias.span };
            scope.names.push(binding);
        }
        fine
    }

    /// Whether every operand of a stage is a model.
    pub(super) fn is_models(&self, stage: &Stage) -> bool {
        stage.operands.iter().all(|o| matches!(&o.kind, OperandKind::Call { path, .. } if self.is_model_name(path)))
    }

    pub(super) fn is_parser(&self, stage: &Stage) -> bool {
        match stage.operands.as_slice() {
            [Operand { kind: OperandKind::Call { path, .. }, .. }] => parsers::find(&path.text()).is_some(),
            _ => false,
        }
    }

    /// The parser that a stage is.
    fn parser_of(&mut self, stage: Option<&Stage>) -> Option<Arc<Parser>> {
        let stage = stage.filter(|s| self.is_parser(s))?;
        let before = self.diagnostics.len();
        let parser = self.parser_stage(stage.operands.first()?);
        self.diagnostics.truncate(before);
        parser.map(|p| p.parser)
    }

    /// Lowers a stage that is no model. Gives the home and type of its value.
    pub(super) fn stage(&mut self, stage: &Stage, scope: &Scope, ahead: Option<&Parser>) -> Option<(Home, Type)> {
        match stage.operands.as_slice() {
            [operand] => self.operand(operand, scope, ahead),
            operands => self.fallbacks(operands, stage.span, scope, ahead),
        }
    }

    pub(super) fn operand(&mut self, operand: &Operand, scope: &Scope, ahead: Option<&Parser>) -> Option<(Home, Type)> {
        let place = Place { scope, ahead, infer: Type::Text };
        let span = operand.span;
        let (kind, ty) = match &operand.kind {
            OperandKind::Text(text) => {
                self.no_control_tokens(text);
                (NodeKind::Text(self.template(text, &place)?), Type::Text)
            }
            OperandKind::Raw(text) => (NodeKind::Raw(self.template(text, &place)?), Type::Raw),
            OperandKind::Expr(expr) => {
                let (evaluation, ty) = self.expression(expr, &place)?;
                (NodeKind::Expression(evaluation), ty)
            }
            OperandKind::Group(inner) => {
                let (block, ty) = self.ending_block(inner, scope, false, ahead)?;
                (NodeKind::Call { block, arguments: Arc::new(Vec::new()) }, ty)
            }
            OperandKind::Map(entries) => return self.map(entries, span, scope),
            OperandKind::Call { path, args } => return self.call(path, args.as_deref(), span, scope, ahead),
            OperandKind::Match(matched) => return self.match_stage(matched, span, scope, ahead),
            OperandKind::Number(number) => {
                let message = format!("the number `{}{}` is no stage", number.digits, number.unit);
                let help = format!("a value is a stage as an expression: `{{{{ {} }}}}`", number.digits);
                self.error(Diagnostic::error(Code::E203, span, message).help(help));
                return None;
            }
            OperandKind::List(_) => {
                let diagnostic = Diagnostic::error(Code::E203, span, "a list is no stage");
                self.error(diagnostic.help("a value is a stage as an expression: `{{ [1, 2] }}`"));
                return None;
            }
        };
        Some(self.place_node(span, kind, ty, scope))
    }

    pub(super) fn place_node(&mut self, span: Span, kind: NodeKind, ty: Type, scope: &Scope) -> (Home, Type) {
        let input = self.input_ref(scope);
        let home = self.push(Node { span, kind, ty: ty.clone(), input });
        (home, ty)
    }

    /// The value on the left, for stages that hand it on. Standard input is read where it is needed.
    pub(super) fn input_ref(&self, scope: &Scope) -> Option<Ref> {
        match &scope.input {
            Some((Home::Stdin, _)) | None => None,
            Some((home, _)) => Some(home.seen_from(self.depth())),
        }
    }

    /// The value on the left, for stages that need it.
    pub(super) fn needed_input(&mut self, scope: &Scope, span: Span, what: &str) -> Option<(Ref, Type)> {
        match &scope.input {
            Some((home, ty)) => {
                if *home == Home::Stdin {
                    self.stdin.get_or_insert(span);
                }
                Some((home.seen_from(self.depth()), ty.clone()))
            }
            None => {
                let diagnostic = Diagnostic::error(Code::E211, span, format!("{what} needs something on its left"))
                    .help("begin the pipeline with a prompt: `\"…\" | llm`");
                self.error(diagnostic);
                None
            }
        }
    }

    /// Lowers a pipeline as a block of its own, as a branch.
    pub(super) fn inner_block(&mut self, pipeline: &Pipeline, scope: &Scope, failure: bool) -> Option<(BlockId, Type)> {
        self.ending_block(pipeline, scope, failure, None)
    }

    /// Lowers a pipeline as a block whose value goes on as that of its stage: a group, an operand, an arm. `ahead` is
    /// the parser behind the model that comes next.
    pub(super) fn ending_block(
        &mut self,
        pipeline: &Pipeline,
        scope: &Scope,
        failure: bool,
        ahead: Option<&Parser>,
    ) -> Option<(BlockId, Type)> {
        if !self.may_nest(pipeline.span) {
            return None;
        }
        self.begin();
        let mut inner = Scope { ahead: ahead.cloned().map(Arc::new), ..scope.clone() };
        let depth = self.depth();
        inner.input = match &scope.input {
            Some((Home::Stdin, ty)) => Some((Home::Stdin, ty.clone())),
            Some((_, ty)) => Some((Home::Input(depth), ty.clone())),
            None => None,
        };
        if failure {
            inner.failure = Some(Home::Failure(depth));
        }
        let ty = self.pipeline(pipeline, &mut inner);
        self.end(None).zip(ty)
    }

    /// Lowers the body of a stage that repeats it or bounds it, as a block of its own whose `input` is of type `input`.
    /// `more` lowers what sees the names that the body made.
    pub(super) fn body_block<T>(
        &mut self,
        body: &Pipeline,
        scope: &Scope,
        input: Type,
        more: impl FnOnce(&mut Self, &Scope) -> Option<T>,
    ) -> Option<(BlockId, Type, T)> {
        // The brackets of `repeat((a | b as x), …)` group nothing further.
        let body = match body.single() {
            Some(Operand { kind: OperandKind::Group(inner), .. }) => inner,
            _ => body,
        };
        if !self.may_nest(body.span) {
            return None;
        }
        self.begin();
        let mut inner = Scope { ahead: None, ..scope.clone() };
        inner.input = Some((Home::Input(self.depth()), input));
        let ty = self.pipeline(body, &mut inner);
        let more = if ty.is_some() { more(self, &inner) } else { None };
        let block = self.end(None)?;
        Some((block, ty?, more?))
    }

    pub(super) fn map(&mut self, entries: &[MapEntry], span: Span, scope: &Scope) -> Option<(Home, Type)> {
        let spread = self.spreads(entries, scope);
        let mut branches: Vec<(String, BlockId)> = Vec::with_capacity(entries.len());
        let mut fields: Vec<Field> = Vec::with_capacity(entries.len());
        let mut seen: IndexMap<&str, Span> = IndexMap::new();
        let mut fine = spread.is_some();
        for entry in entries {
            match entry {
                MapEntry::Pair(key, value) => {
                    if let Some(first) = seen.insert(&key.name, key.span) {
                        let message = format!("the key `{}` is given twice", key.name);
                        self.error(Diagnostic::error(Code::E201, key.span, message).also(first, "first given here"));
                        fine = false;
                    }
                    match self.inner_block(value, scope, false) {
                        Some((block, ty)) => {
                            branches.push((key.name.clone(), block));
                            fields.push(Field { name: key.name.clone(), ty, doc: None });
                        }
                        None => fine = false,
                    }
                }
                MapEntry::Spread(_) => {}
            }
        }
        if entries.is_empty() {
            self.error(
                Diagnostic::error(Code::E104, span, "an empty map does nothing").help("give it a branch: `{ a: … }`"),
            );
            fine = false;
        }
        let spread = spread.filter(|_| fine)?;
        if !spread.maps.is_empty() {
            let ty = spread.with(fields);
            let extend = Extend { maps: spread.maps, branches: Arc::new(branches) };
            return Some(self.place_node(span, NodeKind::Extend(Arc::new(extend)), ty, scope));
        }
        let ty = Type::Record(Arc::new(Record { name: None, fields, doc: None }));
        Some(self.place_node(span, NodeKind::Map(Arc::new(branches)), ty, scope))
    }

    pub(super) fn fallbacks(
        &mut self,
        operands: &[Operand],
        span: Span,
        scope: &Scope,
        ahead: Option<&Parser>,
    ) -> Option<(Home, Type)> {
        let prompts = operands.iter().map(|o| self.is_prompt(o)).collect::<Vec<_>>();
        if let (Some(at), Some(other)) = (prompts.iter().position(|p| *p), prompts.iter().position(|p| !*p)) {
            let diagnostic = Diagnostic::error(
                Code::E217,
                operands[at].span,
                "`??` binds tighter than `|`: this prompt stands on one side of it alone",
            )
            .also(operands[other].span, "and this is no prompt")
            .help("bracket the pipelines: `(ask | a | text) ?? (ask | b | text)`");
            self.error(diagnostic);
            return None;
        }
        let mut blocks = Vec::with_capacity(operands.len());
        let mut ty: Option<Type> = None;
        let mut fine = true;
        for (i, operand) in operands.iter().enumerate() {
            match self.operand_block(operand, scope, i > 0, ahead) {
                Some((block, t)) => {
                    blocks.push(block);
                    ty = Some(match ty {
                        Some(before) => before.join(t),
                        None => t,
                    });
                }
                None => fine = false,
            }
        }
        if !fine {
            return None;
        }
        Some(self.place_node(span, NodeKind::Try(Arc::new(blocks)), ty?, scope))
    }

    pub(super) fn is_prompt(&self, operand: &Operand) -> bool {
        match &operand.kind {
            OperandKind::Raw(_) => true,
            OperandKind::Call { path, .. } => {
                self.find(&path.text()).is_some_and(|f| matches!(f.named, Named::Prompt(_)))
            }
            _ => false,
        }
    }

    pub(super) fn operand_block(
        &mut self,
        operand: &Operand,
        scope: &Scope,
        failure: bool,
        ahead: Option<&Parser>,
    ) -> Option<(BlockId, Type)> {
        if let OperandKind::Group(inner) = &operand.kind {
            return self.ending_block(inner, scope, failure, ahead);
        }
        if !self.may_nest(operand.span) {
            return None;
        }
        self.begin();
        let mut inner = scope.clone();
        let depth = self.depth();
        if let Some((home, _)) = &mut inner.input
            && *home != Home::Stdin
        {
            *home = Home::Input(depth);
        }
        if failure {
            inner.failure = Some(Home::Failure(depth));
        }
        let is_model = matches!(&operand.kind, OperandKind::Call { path, .. } if self.is_model_name(path));
        let lowered = if is_model {
            self.model_choices(operand).and_then(|models| self.ask_node(models, None, None, operand.span, &inner))
        } else {
            self.operand(operand, &inner, ahead)
        };
        self.end(None).zip(lowered.map(|(_, ty)| ty))
    }
}
