//! Uses of prompts and chains, and their arguments.

use std::collections::HashSet;
use std::sync::Arc;

use super::declarations::{CONTROL_STAGES, ChainDecl, Named, STAGES};
use super::lower::Lowerer;
use super::names::Callee;
use super::prompts::{list, type_of};
use super::scope::{Binding, Home, Scope};
use super::templating::Place;
use super::{Argument, Cell, NodeKind, PromptPart, Ref};
use crate::diag::{Code, Diagnostic};
use crate::parsers::{self, Parser};
use crate::source::Span;
use crate::syntax::ast::{Arg, Ident, Path, PromptBody};
use crate::value::{Type, nearest};

impl Lowerer<'_> {
    /// A name with or without arguments, which is no model.
    pub(super) fn call(
        &mut self,
        path: &Path,
        args: Option<&[Arg]>,
        span: Span,
        scope: &Scope,
        ahead: Option<&Parser>,
    ) -> Option<(Home, Type)> {
        let name = path.text();
        if let Some(found) = self.find(&name) {
            let callee = self.callee(&name, &found);
            match found.named {
                Named::Prompt(body) => return self.prompt_stage(&callee, body, args, span, scope, ahead),
                Named::Chain(chain) => return self.chain_stage(&callee, chain, args, span, scope),
                Named::Unreadable => return None,
                named => {
                    let message = format!("`{name}` is {}, not a stage", named.a_kind());
                    let mut diagnostic =
                        Diagnostic::error(Code::E207, path.span, message).also(found.span, "declared here");
                    diagnostic = match named {
                        Named::Library(_) => diagnostic.help(format!("name what it declares: `{name}.…`")),
                        Named::Embedder(_) => diagnostic.help(format!("`… | embed({name})` makes a text's vector")),
                        Named::Index(_) => {
                            diagnostic.help(format!("`retrieve({name}, query: {{{{ … }}}}, k: 4)` reads it"))
                        }
                        _ => diagnostic,
                    };
                    self.error(diagnostic);
                    return None;
                }
            }
        }
        if self.reports_member(&name, path.span) {
            return None;
        }
        if parsers::find(&name).is_some() {
            return self.parser_node(path, args, span, scope);
        }
        match name.as_str() {
            "fill" => return self.fill(args, span, scope),
            "file" | "files" => return self.files_stage(&name, args, span, scope),
            "exec" => return self.exec_stage(args, span, scope),
            "embed" | "split" | "store" | "retrieve" => {
                return self.retrieval(path, args.unwrap_or_default(), span, scope);
            }
            _ => {}
        }
        if CONTROL_STAGES.contains(&name.as_str()) {
            return self.control(&name, args.unwrap_or_default(), span, scope);
        }
        let diagnostic = self.unknown_stage(path, &name, args.is_some());
        self.error(diagnostic);
        None
    }

    pub(super) fn unknown_stage(&self, path: &Path, name: &str, called: bool) -> Diagnostic {
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
        let declared =
            declarations.named.iter().filter(|(_, (_, n))| !matches!(n, Named::Type(..) | Named::Library(_)));
        let mut names: Vec<String> = declared.map(|(n, _)| (*n).to_owned()).collect();
        let built_in = parsers::names().chain(crate::providers::PROVIDERS.iter().map(|s| s.name));
        let built_in = built_in.chain(CONTROL_STAGES.iter().copied()).chain(STAGES.iter().copied());
        names.extend(built_in.chain(["llm"]).map(str::to_owned));
        let diagnostic = Diagnostic::error(code, path.span, format!("there is no {what} `{name}`"));
        let near = crate::value::nearest(name, names.iter().map(String::as_str));
        match near {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help(format!("declare it, or write the text in quotes: `\"{name}\"`")),
        }
    }

    pub(super) fn prompt_stage(
        &mut self,
        callee: &Callee,
        body: &PromptBody,
        args: Option<&[Arg]>,
        span: Span,
        scope: &Scope,
        ahead: Option<&Parser>,
    ) -> Option<(Home, Type)> {
        let name = &callee.name;
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
        if self.circle(&callee.key, span) {
            return None;
        }
        self.using.push((callee.key.clone(), span));
        self.asked.push(HashSet::new());
        let place = Place { scope: &inner, ahead, infer: Type::Text };
        let lowered = self.inside(callee.file, name, span, |s| s.prompt_body(body, &place));
        let asked = self.asked.pop().unwrap_or_default();
        self.using.pop();
        fine &= self.unused_arguments(args, &asked, &format!("the prompt `{name}`"));
        let (kind, ty) = lowered?;
        if !fine {
            return None;
        }
        let placed = self.place_node(span, kind, ty, scope);
        self.label(name, &placed.0);
        Some(placed)
    }

    fn prompt_body(&mut self, body: &PromptBody, place: &Place) -> Option<(NodeKind, Type)> {
        match body {
            PromptBody::Text(text) => {
                self.no_control_tokens(text);
                self.template(text, place).map(|t| (NodeKind::Text(t), Type::Text))
            }
            PromptBody::Raw(text) => self.template(text, place).map(|t| (NodeKind::Raw(t), Type::Raw)),
            PromptBody::Block(entries) => self.prompt_parts(entries, place).map(|parts| {
                let parts: Vec<PromptPart> = parts;
                (NodeKind::Prompt(Arc::new(parts)), Type::Prompt)
            }),
        }
    }

    /// The named arguments of a prompt or chain; unnamed and repeated ones are reported.
    pub(super) fn named_arguments<'p>(&mut self, args: Option<&'p [Arg]>, whose: &str) -> Vec<(&'p Ident, &'p Arg)> {
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
    pub(super) fn unused_arguments(&mut self, args: Option<&[Arg]>, asked: &HashSet<String>, whose: &str) -> bool {
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

    pub(super) fn chain_stage(
        &mut self,
        callee: &Callee,
        chain: &ChainDecl,
        args: Option<&[Arg]>,
        span: Span,
        scope: &Scope,
    ) -> Option<(Home, Type)> {
        let name = &callee.name;
        let whose = format!("the chain `{name}`");
        let given = self.named_arguments(args, &whose);
        let depth = self.depth() + 1;
        let mut inner = Scope { closed: scope.closed, closed_in: scope.closed_in, ..Scope::default() };
        let mut arguments = Vec::new();
        let mut fine = true;
        match chain.params {
            Some(params) => {
                (inner.closed, inner.closed_in) = (true, callee.file);
                let params = self.distinct_parameters(params);
                let mut unknown = Vec::new();
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
                        unknown.push(name.name.as_str());
                        fine = false;
                    }
                }
                for param in params {
                    // Its argument was given under a name that is wrong by a letter, which is said above.
                    let misspelled = !given.iter().any(|(n, _)| n.name == param.name.name)
                        && unknown.iter().any(|u| nearest(u, [param.name.name.as_str()].into_iter()).is_some());
                    let value = match misspelled {
                        true => None,
                        false => self.parameter_value(param, &given, span, scope, callee),
                    };
                    match value {
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
                            let ty = self.inside(callee.file, name, span, |s| s.resolve_type(&param.ty));
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
        let lowered = self.used_chain(callee, chain, span, inner, scope);
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
        let placed = self.place_node(span, kind, ty, scope);
        self.label(name, &placed.0);
        Some(placed)
    }

    /// A parameter's value: the argument, else the name at the place of use, else the default.
    pub(super) fn parameter_value(
        &mut self,
        param: &crate::syntax::ast::Param,
        given: &[(&Ident, &Arg)],
        span: Span,
        scope: &Scope,
        callee: &Callee,
    ) -> Option<Argument> {
        let name = &param.name.name;
        let declared = self.inside(callee.file, &callee.name, span, |s| s.parameter(param, None));
        let ty = declared.ty;
        let (cell, found, place) = match given.iter().find(|(n, _)| n.name == *name) {
            Some((_, arg)) => {
                let (cell, found) = self.cell(&arg.value, scope)?;
                (cell, found, arg.span)
            }
            None => match self.name_in_reach(name, span, scope) {
                Some((cell, found)) => (cell, found, span),
                None => match declared.default {
                    Some(value) => (Cell::Constant(value.clone()), type_of(&value), param.name.span),
                    None if param.default.is_some() => return None,
                    None => {
                        let chain = &callee.name;
                        let message = format!("the chain `{chain}` needs `{name}`: {ty}");
                        let diagnostic = Diagnostic::error(Code::E210, span, message)
                            .also(param.name.span, "declared here, without a default")
                            .help(format!("give it: `{chain}({name}: {{{{ … }}}})`"));
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
    pub(super) fn name_in_reach(&mut self, name: &str, span: Span, scope: &Scope) -> Option<(Cell, Type)> {
        use super::scope::Meaning;
        let depth = self.depth();
        let declared =
            !scope.closed && (self.root.variables.contains_key(name) || self.declarations.variables.contains_key(name));
        match scope.meaning(name) {
            Meaning::Given(given) => Some((given.cell, given.ty)),
            Meaning::Both(other) => {
                self.error(super::lower::ambiguous(name, span, other, "and this name was made here"));
                None
            }
            Meaning::Home(home, ty) => Some((Cell::Ref(home.seen_from(depth)), ty)),
            Meaning::Field(home, ty) => {
                if !scope.closed
                    && let Some(other) = self.root.variables.get(name).map(|(p, _)| p.name.span)
                {
                    self.error(super::lower::ambiguous(name, span, other, "and a variable is called so"));
                    return None;
                }
                Some((Cell::Field(home.seen_from(depth), name.to_owned()), ty))
            }
            Meaning::Unknown if declared => {
                if self.in_library() {
                    return self.library_name(name, span, &Place::new(scope));
                }
                self.variable(name, span, &Type::Text, &[]).map(|(i, ty)| (Cell::Ref(Ref::Variable(i)), ty))
            }
            Meaning::Unknown => None,
        }
    }
}
