//! Pipelines and their stages.

use std::collections::HashSet;
use std::sync::Arc;

use indexmap::IndexMap;

use super::declarations::{ChainDecl, LATER_STAGES, Named, has_hyphen, later, reserved};
use super::lower::Lowerer;
use super::prompts::{Place, list, type_of};
use super::scope::{Binding, Home, Scope};
use super::{Argument, Ask, BlockId, Cell, ModelId, Node, NodeKind, PromptPart, Ref};
use crate::diag::{Code, Diagnostic};
use crate::parsers::{self, Parser};
use crate::source::Span;
use crate::syntax::ast::{
    Arg, Ident, MapEntry, Operand, OperandKind, Path, Pipeline, PromptBody, Stage, TypeExpr, TypeKind,
};
use crate::value::{Field, Record, Type, Value};

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
            _ => {}
        }
    }
}

/// A parser as a stage names it.
struct ParserStage {
    parser: Arc<Parser>,
    span: Span,
}

impl Lowerer<'_> {
    /// Lowers the stages of a pipeline into the innermost block. Gives the type of the value at its end.
    pub(super) fn pipeline(&mut self, pipeline: &Pipeline, scope: &mut Scope) -> Option<Type> {
        let mut fine = true;
        let mut at = 0;
        let mut last = Type::Any;
        while let Some(stage) = pipeline.stages.get(at) {
            let next = pipeline.stages.get(at + 1);
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
                let ahead = self.parser_ahead(&pipeline.stages[at + 1..]);
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
                    let alias = pipeline.stages.get(at - 1).and_then(|s| s.alias.as_ref());
                    let home = Home::Slot(depth, 0);
                    if let Some(alias) = alias {
                        self.bind_alias(alias, &home, &Type::Any, scope);
                    }
                    scope.input = Some((home, Type::Any));
                    last = Type::Any;
                }
            }
        }
        fine.then_some(last)
    }

    fn bind_alias(&mut self, alias: &Ident, home: &Home, ty: &Type, scope: &mut Scope) -> bool {
        if reserved(alias, &mut self.diagnostics) || has_hyphen(alias, &mut self.diagnostics) {
            return false;
        }
        let fine = self.not_hidden(&alias.name, alias.span, scope);
        if fine {
            let binding = Binding { name: alias.name.clone(), home: home.clone(), ty: ty.clone(), span: alias.span };
            scope.names.push(binding);
        }
        fine
    }

    /// Whether every operand of a stage is a model.
    fn is_models(&self, stage: &Stage) -> bool {
        stage.operands.iter().all(|o| matches!(&o.kind, OperandKind::Call { path, .. } if self.is_model_name(path)))
    }

    fn is_parser(&self, stage: &Stage) -> bool {
        match stage.operands.as_slice() {
            [Operand { kind: OperandKind::Call { path, .. }, .. }] => parsers::find(&path.text()).is_some(),
            _ => false,
        }
    }

    /// The parser that stands right behind the next model of these stages.
    fn parser_ahead(&mut self, stages: &[Stage]) -> Option<Arc<Parser>> {
        let model = stages.iter().position(|s| self.is_models(s))?;
        let stage = stages.get(model + 1).filter(|s| self.is_parser(s))?;
        let before = self.diagnostics.len();
        let parser = self.parser_stage(stage.operands.first()?);
        self.diagnostics.truncate(before);
        parser.map(|p| p.parser)
    }

    /// Lowers a stage that is no model. Gives the home and type of its value.
    fn stage(&mut self, stage: &Stage, scope: &Scope, ahead: Option<&Parser>) -> Option<(Home, Type)> {
        match stage.operands.as_slice() {
            [operand] => self.operand(operand, scope, ahead),
            operands => self.fallbacks(operands, stage.span, scope, ahead),
        }
    }

    fn operand(&mut self, operand: &Operand, scope: &Scope, ahead: Option<&Parser>) -> Option<(Home, Type)> {
        let place = Place { scope, ahead, infer: Type::Text };
        let span = operand.span;
        let (kind, ty) = match &operand.kind {
            OperandKind::Text(text) => (NodeKind::Text(self.template(text, &place)?), Type::Text),
            OperandKind::Raw(text) => (NodeKind::Raw(self.template(text, &place)?), Type::Raw),
            OperandKind::Expr(expr) => {
                let (evaluation, ty) = self.expression(expr, &place)?;
                (NodeKind::Expression(evaluation), ty)
            }
            OperandKind::Group(inner) => {
                let (block, ty) = self.inner_block(inner, scope, false)?;
                (NodeKind::Call { block, arguments: Arc::new(Vec::new()) }, ty)
            }
            OperandKind::Map(entries) => return self.map(entries, span, scope),
            OperandKind::Call { path, args } => return self.call(path, args.as_deref(), span, scope, ahead),
            OperandKind::Match(span) => {
                self.error(later(*span, "`match`"));
                return None;
            }
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

    fn place_node(&mut self, span: Span, kind: NodeKind, ty: Type, scope: &Scope) -> (Home, Type) {
        let input = self.input_ref(scope);
        let home = self.push(Node { span, kind, ty: ty.clone(), input });
        (home, ty)
    }

    /// The value on the left, for stages that hand it on. Standard input is read where it is needed.
    fn input_ref(&self, scope: &Scope) -> Option<Ref> {
        match &scope.input {
            Some((Home::Stdin, _)) | None => None,
            Some((home, _)) => Some(home.seen_from(self.depth())),
        }
    }

    /// The value on the left, for stages that need it.
    fn needed_input(&mut self, scope: &Scope, span: Span, what: &str) -> Option<(Ref, Type)> {
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

    /// Lowers a pipeline as a block of its own: a group, a branch, an operand.
    fn inner_block(&mut self, pipeline: &Pipeline, scope: &Scope, failure: bool) -> Option<(BlockId, Type)> {
        if !self.may_nest(pipeline.span) {
            return None;
        }
        self.begin();
        let mut inner = scope.clone();
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

    fn map(&mut self, entries: &[MapEntry], span: Span, scope: &Scope) -> Option<(Home, Type)> {
        let mut branches: Vec<(String, BlockId)> = Vec::with_capacity(entries.len());
        let mut fields: Vec<Field> = Vec::with_capacity(entries.len());
        let mut seen: IndexMap<&str, Span> = IndexMap::new();
        let mut fine = true;
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
                MapEntry::Spread(span) => {
                    self.error(later(*span, "`..` in a map"));
                    fine = false;
                }
            }
        }
        if entries.is_empty() {
            self.error(
                Diagnostic::error(Code::E104, span, "an empty map does nothing").help("give it a branch: `{ a: … }`"),
            );
            fine = false;
        }
        if !fine {
            return None;
        }
        let ty = Type::Record(Arc::new(Record { name: None, fields, doc: None }));
        Some(self.place_node(span, NodeKind::Map(Arc::new(branches)), ty, scope))
    }

    fn fallbacks(
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

    fn is_prompt(&self, operand: &Operand) -> bool {
        match &operand.kind {
            OperandKind::Raw(_) => true,
            OperandKind::Call { path, .. } => matches!(self.named(path), Some(Named::Prompt(_))),
            _ => false,
        }
    }

    fn operand_block(
        &mut self,
        operand: &Operand,
        scope: &Scope,
        failure: bool,
        ahead: Option<&Parser>,
    ) -> Option<(BlockId, Type)> {
        if let OperandKind::Group(inner) = &operand.kind {
            return self.inner_block(inner, scope, failure);
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

    fn ask(
        &mut self,
        stage: &Stage,
        merge: Option<&Stage>,
        behind: Option<&Stage>,
        scope: &Scope,
    ) -> Option<(Home, Type)> {
        let mut models = Vec::new();
        let mut fine = true;
        for operand in &stage.operands {
            match self.model_choices(operand) {
                Some(ids) => models.extend(ids),
                None => fine = false,
            }
        }
        let operand = behind.and_then(|s| s.operands.first());
        let parser = operand.and_then(|o| self.parser_stage(o));
        if operand.is_some() && parser.is_none() {
            fine = false;
        }
        if merge.is_none()
            && let Some(p) = &parser
            && p.parser.repair() > 0
        {
            let diagnostic = Diagnostic::error(
                Code::E209,
                p.span,
                "`repair:` asks the model again, so the parser must stand right behind it",
            )
            .help("give the parsed value a name instead of the message: `llm | json(…) as m`");
            self.error(diagnostic);
            fine = false;
        }
        let before = self.diagnostics.len();
        let lowered = self.ask_node(models, parser.as_ref(), merge, stage.span, scope);
        if lowered.is_none() && self.diagnostics.len() == before && fine {
            return None;
        }
        if fine { lowered } else { None }
    }

    fn ask_node(
        &mut self,
        models: Vec<ModelId>,
        parser: Option<&ParserStage>,
        merge: Option<&Stage>,
        span: Span,
        scope: &Scope,
    ) -> Option<(Home, Type)> {
        let (input, ty) = self.needed_input(scope, span, "a model")?;
        if !can_be_asked(&ty) {
            let diagnostic = Diagnostic::error(Code::E211, span, format!("a model takes messages or text, found {ty}"))
                .help("put a prompt between: `… | \"{{ input }}\" | llm`");
            self.error(diagnostic);
            return None;
        }
        let out = match (merge, parser) {
            (Some(_), Some(p)) => p.parser.output_type(),
            _ => Type::Message,
        };
        let ask = Ask {
            models,
            parser: parser.map(|p| p.parser.clone()),
            parser_span: parser.map(|p| p.span),
            parse_later: merge.is_none() && parser.is_some(),
            live: false,
            discardable: false,
        };
        let home = self.push(Node { span, kind: NodeKind::Ask(Arc::new(ask)), ty: out.clone(), input: Some(input) });
        Some((home, out))
    }

    pub(super) fn named(&self, path: &Path) -> Option<&Named<'_>> {
        self.declarations.named.get(path.text().as_str()).map(|(_, named)| named)
    }

    /// A name with or without arguments, which is no model.
    fn call(
        &mut self,
        path: &Path,
        args: Option<&[Arg]>,
        span: Span,
        scope: &Scope,
        ahead: Option<&Parser>,
    ) -> Option<(Home, Type)> {
        let name = path.text();
        let declarations = self.declarations;
        match declarations.named.get(name.as_str()) {
            Some((_, Named::Prompt(body))) => return self.prompt_stage(&name, body, args, span, scope, ahead),
            Some((_, Named::Chain(chain))) => return self.chain_stage(&name, chain, args, span, scope),
            Some((_, Named::Unreadable)) => return None,
            Some((other, named @ (Named::Type(..) | Named::Model(_)))) => {
                let message = format!("`{name}` is a {}, not a stage", named.kind());
                self.error(Diagnostic::error(Code::E207, path.span, message).also(*other, "declared here"));
                return None;
            }
            None => {}
        }
        if parsers::find(&name).is_some() {
            return self.parser_node(path, args, span, scope);
        }
        if name == "fill" {
            return self.fill(args, span, scope);
        }
        if LATER_STAGES.contains(&name.as_str()) {
            self.error(later(path.span, &format!("`{name}`")));
            return None;
        }
        let diagnostic = self.unknown_stage(path, &name, args.is_some());
        self.error(diagnostic);
        None
    }

    fn unknown_stage(&self, path: &Path, name: &str, called: bool) -> Diagnostic {
        let declarations = self.declarations;

        if let Some((param, _)) = declarations.variables.get(name) {
            let message = format!("`{name}` is a variable, and a bare name is always a stage");
            return Diagnostic::error(Code::E203, path.span, message)
                .also(param.name.span, "declared here")
                .help(format!("a value is read through `{{{{ {name} }}}}`"));
        }
        if let Some(declared) = declarations.secrets.get(name) {
            let message = format!("`{name}` is a secret, which is no stage");
            return Diagnostic::error(Code::E215, path.span, message)
                .also(*declared, "declared here")
                .help("it stands bare in an option of a model alone: `api_key: TOKEN`");
        }
        if name == "input" {
            return Diagnostic::error(Code::E203, path.span, "`input` is a value, and a bare name is always a stage")
                .help("write `{{ input }}`");
        }
        let code = if called { Code::E206 } else { Code::E203 };
        let what = if called { "provider, parser, prompt or chain" } else { "prompt, model, chain or parser" };
        let declared = declarations.named.iter().filter(|(_, (_, n))| !matches!(n, Named::Type(..)));
        let mut names: Vec<String> = declared.map(|(n, _)| (*n).to_owned()).collect();
        let built_in = parsers::names().chain(crate::providers::PROVIDERS.iter().map(|s| s.name));
        names.extend(built_in.chain(["fill", "llm"]).map(str::to_owned));
        let diagnostic = Diagnostic::error(code, path.span, format!("there is no {what} `{name}`"));
        let near = crate::value::nearest(name, names.iter().map(String::as_str));
        match near {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help(format!("declare it, or write the text in quotes: `\"{name}\"`")),
        }
    }

    fn prompt_stage(
        &mut self,
        name: &str,
        body: &PromptBody,
        args: Option<&[Arg]>,
        span: Span,
        scope: &Scope,
        ahead: Option<&Parser>,
    ) -> Option<(Home, Type)> {
        let mut inner = scope.clone();
        let mut fine = true;
        for arg in self.named_arguments(args, &format!("the prompt `{name}`")) {
            match self.given(&arg.1.value, scope, arg.1.span) {
                Some(given) => {
                    inner.given.insert(arg.0.name.clone(), given);
                }
                None => fine = false,
            }
        }
        if self.circle(name, span) {
            return None;
        }
        self.using.push((name.to_owned(), span));
        self.asked.push(HashSet::new());
        let place = Place { scope: &inner, ahead, infer: Type::Text };
        let lowered = match body {
            PromptBody::Text(text) => self.template(text, &place).map(|t| (NodeKind::Text(t), Type::Text)),
            PromptBody::Raw(text) => self.template(text, &place).map(|t| (NodeKind::Raw(t), Type::Raw)),
            PromptBody::Block(entries) => self.prompt_parts(entries, &place).map(|parts| {
                let parts: Vec<PromptPart> = parts;
                (NodeKind::Prompt(Arc::new(parts)), Type::Prompt)
            }),
        };
        let asked = self.asked.pop().unwrap_or_default();
        self.using.pop();
        fine &= self.unused_arguments(args, &asked, &format!("the prompt `{name}`"));
        let (kind, ty) = lowered?;
        if !fine {
            return None;
        }
        Some(self.place_node(span, kind, ty, scope))
    }

    /// The named arguments of a prompt or chain; unnamed and repeated ones are reported.
    fn named_arguments<'p>(&mut self, args: Option<&'p [Arg]>, whose: &str) -> Vec<(&'p Ident, &'p Arg)> {
        let mut out: Vec<(&Ident, &Arg)> = Vec::new();
        for arg in args.unwrap_or_default() {
            let Some(name) = &arg.name else {
                let diagnostic =
                    Diagnostic::error(Code::E210, arg.span, format!("{whose} takes its arguments by name"))
                        .help("as in `define(word: {{ x }})`");
                self.error(diagnostic);
                continue;
            };
            match out.iter().find(|(n, _)| n.name == name.name) {
                Some((first, _)) => {
                    let message = format!("the argument `{}` is given twice", name.name);
                    let first = first.span;
                    self.error(Diagnostic::error(Code::E201, name.span, message).also(first, "first given here"));
                }
                None => out.push((name, arg)),
            }
        }
        out
    }

    /// Reports arguments that nothing asked for.
    fn unused_arguments(&mut self, args: Option<&[Arg]>, asked: &HashSet<String>, whose: &str) -> bool {
        let mut fine = true;
        for name in args.unwrap_or_default().iter().filter_map(|a| a.name.as_ref()) {
            if asked.contains(&name.name) {
                continue;
            }
            let mut names: Vec<String> = asked.iter().cloned().collect();
            names.sort();
            let diagnostic = Diagnostic::error(Code::E210, name.span, format!("{whose} reads no `{}`", name.name))
                .did_you_mean(&name.name, names.iter().map(String::as_str))
                .help(format!("it reads: {}", list(&names)));
            self.error(diagnostic);
            fine = false;
        }
        fine
    }

    fn chain_stage(
        &mut self,
        name: &str,
        chain: &ChainDecl,
        args: Option<&[Arg]>,
        span: Span,
        scope: &Scope,
    ) -> Option<(Home, Type)> {
        let whose = format!("the chain `{name}`");
        let given = self.named_arguments(args, &whose);
        let depth = self.depth() + 1;
        let mut inner = Scope { closed: scope.closed, ..Scope::default() };
        let mut arguments = Vec::new();
        let mut fine = true;
        match chain.params {
            Some(params) => {
                inner.closed = true;
                let params = self.distinct_parameters(params);
                for (name, arg) in &given {
                    if !params.iter().any(|p| p.name.name == name.name) {
                        let names: Vec<String> = params.iter().map(|p| p.name.name.clone()).collect();
                        let diagnostic = Diagnostic::error(
                            Code::E210,
                            arg.span,
                            format!("{whose} has no parameter `{}`", name.name),
                        )
                        .did_you_mean(&name.name, names.iter().map(String::as_str))
                        .help(format!("its parameters are: {}", list(&names)));
                        self.error(diagnostic);
                        fine = false;
                    }
                }
                for param in params {
                    match self.parameter_value(param, &given, span, scope, &whose) {
                        Some(argument) => {
                            let home = Home::Argument(depth, arguments.len() as u32);
                            let binding = Binding {
                                name: param.name.name.clone(),
                                home,
                                ty: argument.ty.clone(),
                                span: param.name.span,
                            };
                            inner.names.push(binding);
                            arguments.push(argument);
                        }
                        None => {
                            fine = false;
                            let ty = self.resolve_type(&param.ty);
                            let home = Home::Argument(depth, 0);
                            inner.names.push(Binding {
                                name: param.name.name.clone(),
                                home,
                                ty,
                                span: param.name.span,
                            });
                        }
                    }
                }
            }
            None => {
                inner.input = match &scope.input {
                    Some((Home::Stdin, ty)) => Some((Home::Stdin, ty.clone())),
                    Some((_, ty)) => Some((Home::Input(depth), ty.clone())),
                    None => None,
                };
                for (name, arg) in &given {
                    match self.cell(&arg.value, scope) {
                        Some((cell, ty)) => {
                            let home = Home::Argument(depth, arguments.len() as u32);
                            inner.names.push(Binding { name: name.name.clone(), home, ty: ty.clone(), span: arg.span });
                            arguments.push(Argument { name: name.name.clone(), cell, ty, span: arg.span });
                        }
                        None => fine = false,
                    }
                }
            }
        }
        self.asked.push(HashSet::new());
        let lowered = self.used_chain(name, chain, span, inner, scope);
        let asked = self.asked.pop().unwrap_or_default();
        if let Some(outer) = self.asked.last_mut() {
            outer.extend(asked.iter().cloned());
        }
        if chain.params.is_none() && lowered.is_some() {
            fine &= self.unused_arguments(args, &asked, &whose);
        }
        let (block, ty) = lowered?;
        if !fine {
            return None;
        }
        let kind = NodeKind::Call { block, arguments: Arc::new(arguments) };
        Some(self.place_node(span, kind, ty, scope))
    }

    /// A parameter's value: the argument, else the name at the place of use, else the default.
    fn parameter_value(
        &mut self,
        param: &crate::syntax::ast::Param,
        given: &[(&Ident, &Arg)],
        span: Span,
        scope: &Scope,
        whose: &str,
    ) -> Option<Argument> {
        let name = &param.name.name;
        let ty = self.resolve_type(&param.ty);
        let (cell, found, place) = match given.iter().find(|(n, _)| n.name == *name) {
            Some((_, arg)) => {
                let (cell, found) = self.cell(&arg.value, scope)?;
                (cell, found, arg.span)
            }
            None => match self.name_in_reach(name, span, scope) {
                Some((cell, found)) => (cell, found, span),
                None => match self.parameter(param, None).default {
                    Some(value) => (Cell::Constant(value.clone()), type_of(&value), param.name.span),
                    None if param.default.is_some() => return None,
                    None => {
                        let diagnostic = Diagnostic::error(Code::E210, span, format!("{whose} needs `{name}`: {ty}"))
                            .also(param.name.span, "declared here, without a default")
                            .help(format!(
                                "give it: `{}({name}: {{{{ … }}}})`",
                                whose.trim_start_matches("the chain ").trim_matches('`')
                            ));
                        self.error(diagnostic);
                        return None;
                    }
                },
            },
        };
        let as_text = found == Type::Message && ty == Type::Text;
        if !as_text && !found.fits(&ty) {
            let message = format!("`{name}` is declared as {ty}, and is given {found}");
            self.error(Diagnostic::error(Code::E211, place, message).also(param.ty.span, "declared here"));
            return None;
        }
        Some(Argument { name: name.clone(), cell, ty, span: place })
    }

    /// A name at the place of use, if it means anything there.
    fn name_in_reach(&mut self, name: &str, span: Span, scope: &Scope) -> Option<(Cell, Type)> {
        use super::scope::Meaning;
        let depth = self.depth();
        let declared = self.declarations.variables.contains_key(name) && !scope.closed;
        match scope.meaning(name) {
            Meaning::Given(given) => Some((given.cell, given.ty)),
            Meaning::Both(other) => {
                self.error(super::lower::ambiguous(name, span, other, "and this name was made here"));
                None
            }
            Meaning::Home(home, ty) => Some((Cell::Ref(home.seen_from(depth)), ty)),
            Meaning::Field(home, ty) => {
                if declared && let Some(other) = self.variable_span(name) {
                    self.error(super::lower::ambiguous(name, span, other, "and a variable is called so"));
                    return None;
                }
                Some((Cell::Field(home.seen_from(depth), name.to_owned()), ty))
            }
            Meaning::Unknown if declared => {
                self.variable(name, span, &Type::Text, &[]).map(|(i, ty)| (Cell::Ref(Ref::Variable(i)), ty))
            }
            Meaning::Unknown => None,
        }
    }

    fn fill(&mut self, args: Option<&[Arg]>, span: Span, scope: &Scope) -> Option<(Home, Type)> {
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

    fn parser_node(&mut self, path: &Path, args: Option<&[Arg]>, span: Span, scope: &Scope) -> Option<(Home, Type)> {
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

    fn parser_stage(&mut self, operand: &Operand) -> Option<ParserStage> {
        let OperandKind::Call { path, args } = &operand.kind else { return None };
        let parser = self.parser_call(path, args.as_deref(), operand.span)?;
        Some(ParserStage { parser, span: operand.span })
    }

    /// A parser with its arguments.
    fn parser_call(&mut self, path: &Path, args: Option<&[Arg]>, span: Span) -> Option<Arc<Parser>> {
        let name = path.text();
        let spec = parsers::find(&name)?;
        if spec.later {
            self.error(later(path.span, &format!("the parser `{name}`")));
            return None;
        }
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
    fn type_argument(&mut self, operand: &Operand) -> Option<Type> {
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

/// Whether a model takes a value of this type.
fn can_be_asked(ty: &Type) -> bool {
    match ty {
        Type::Prompt | Type::Raw => true,
        Type::Union(all) => all.iter().all(can_be_asked),
        ty => takes_text(ty),
    }
}

/// Whether a parser takes a value of this type.
fn takes_text(ty: &Type) -> bool {
    match ty {
        Type::Any | Type::Message => true,
        Type::Union(all) => all.iter().all(takes_text),
        ty => ty.is_text(),
    }
}
