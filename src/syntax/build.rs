//! From the grammar's pairs to the tree.

use pest::iterators::Pair;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::ast::*;
use super::rules::is_keyword;
use super::{Rule, doc_above, strings};
use crate::diag::{Code, Diagnostic};
use crate::source::{FileId, Span};

/// Text in Unicode's normal form C.
pub fn nfc(text: &str) -> String {
    if is_nfc_quick(text.chars()) == IsNormalized::Yes { text.to_owned() } else { text.nfc().collect() }
}

/// Builds the tree of one declaration.
pub struct Builder<'a> {
    pub file: FileId,
    /// Where the declaration begins in the file.
    pub base: u32,
    /// The whole file.
    pub text: &'a str,
    pub comments: &'a [Comment],
    pub diagnostics: &'a mut Vec<Diagnostic>,
}

pub(super) type P<'i> = Pair<'i, Rule>;

impl Builder<'_> {
    pub(super) fn span(&self, pair: &P) -> Span {
        let span = pair.as_span();
        // Rules may take trailing blanks with them; they are no part of the place.
        let end = span.start() + span.as_str().trim_end().len();
        Span::new(self.file, self.base as usize + span.start(), self.base as usize + end)
    }

    pub(super) fn ident(&self, pair: &P) -> Ident {
        Ident { name: nfc(pair.as_str()), span: self.span(pair) }
    }

    pub(super) fn path(&self, pair: P) -> Path {
        let span = self.span(&pair);
        Path { parts: pair.into_inner().map(|p| self.ident(&p)).collect(), span }
    }

    pub(super) fn str(&mut self, pair: &P) -> Str {
        let span = self.span(pair);
        strings::literal(pair.as_str(), span, self.diagnostics)
    }

    pub(super) fn expr(&self, pair: &P) -> ExprLit {
        let span = self.span(pair);
        let text = pair.as_str();
        ExprLit { text: text[2..text.len() - 2].to_owned(), start: span.start + 2, span }
    }

    pub(super) fn number(&self, pair: &P) -> Number {
        let unit = pair.clone().into_inner().next().map(|u| u.as_str().to_owned());
        let text = pair.as_str();
        let unit = unit.unwrap_or_else(|| {
            let digits = text.trim_end_matches(|c: char| c.is_alphabetic() || c == '%');
            let exponent = digits.len() < text.len() && text.parse::<f64>().is_ok();
            if exponent { String::new() } else { text[digits.len()..].to_owned() }
        });
        Number { digits: text[..text.len() - unit.len()].to_owned(), unit, span: self.span(pair) }
    }

    /// The pair of a whole declaration or bare pipeline.
    pub fn declaration(&mut self, pair: P) -> DeclKind {
        let broken = DeclKind::Broken { keyword: None, name: None };
        let Some(inner) = pair.into_inner().find(|p| p.as_rule() != Rule::EOI) else { return broken };
        let rule = inner.as_rule();
        if rule == Rule::pipeline {
            return DeclKind::Bare(self.pipeline(inner));
        }
        let mut parts = inner.into_inner().filter(|p| !is_keyword(p.as_rule()));
        let Some(first) = parts.next() else { return broken };
        let rest: Vec<P> = parts.collect();
        match rule {
            Rule::use_decl => self.use_decl(&first, rest),
            Rule::var_decl => match self.param_of(&first, rest) {
                Some(param) => DeclKind::Var(param),
                None => broken,
            },
            Rule::secret_decl => DeclKind::Secret { name: self.ident(&first) },
            Rule::type_decl => self.type_decl(&first, rest).unwrap_or(broken),
            Rule::model_decl => match rest.into_iter().next() {
                Some(body) => DeclKind::Model { name: self.ident(&first), body: self.pipeline(body) },
                None => broken,
            },
            Rule::embedder_decl => match rest.into_iter().next() {
                Some(body) => DeclKind::Embedder { name: self.ident(&first), body: self.pipeline(body) },
                None => broken,
            },
            Rule::index_decl => match rest.into_iter().next() {
                Some(body) => DeclKind::Index { name: self.ident(&first), body: self.pipeline(body) },
                None => broken,
            },
            Rule::prompt_decl => match rest.into_iter().next() {
                Some(body) => DeclKind::Prompt { name: self.ident(&first), body: self.prompt_body(body) },
                None => broken,
            },
            Rule::test_decl => self.test_decl(&first, rest),
            _ => self.chain_decl(&first, rest).unwrap_or(broken),
        }
    }

    fn use_decl(&mut self, first: &P, rest: Vec<P>) -> DeclKind {
        let path = self.str(first);
        let (mut alias, mut names) = (None, Vec::new());
        for part in rest {
            match part.as_rule() {
                Rule::selection => names = part.into_inner().map(|p| self.ident(&p)).collect(),
                _ => alias = Some(self.ident(&part)),
            }
        }
        DeclKind::Use { path, alias, names }
    }

    fn type_decl(&mut self, first: &P, rest: Vec<P>) -> Option<DeclKind> {
        let name = self.ident(first);
        let body = rest.into_iter().next()?;
        let body = match body.as_rule() {
            Rule::record => TypeBody::Record(body.into_inner().filter_map(|f| self.field(f)).collect()),
            _ => TypeBody::Alias(self.type_expr(body)),
        };
        Some(DeclKind::Type { name, body })
    }

    fn field(&mut self, pair: P) -> Option<FieldDecl> {
        let span = self.span(&pair);
        let doc = doc_above(self.text, self.comments, span.start);
        let mut inner = pair.into_inner();
        let name = inner.next()?;
        let name = if name.as_rule() == Rule::string {
            let s = self.str(&name);
            Ident { name: s.text, span: s.span }
        } else {
            self.ident(&name)
        };
        Some(FieldDecl { name, ty: self.type_expr(inner.next()?), doc })
    }

    fn chain_decl(&mut self, first: &P, rest: Vec<P>) -> Option<DeclKind> {
        let name = self.ident(first);
        let (mut params, mut result, mut body) = (None, None, None);
        for part in rest {
            match part.as_rule() {
                Rule::params => {
                    let mut list = Vec::new();
                    for p in part.into_inner() {
                        let mut inner = p.into_inner();
                        if let Some(name) = inner.next() {
                            list.extend(self.param_of(&name, inner.collect()));
                        }
                    }
                    params = Some(list);
                }
                Rule::result => result = part.into_inner().next().map(|t| self.type_expr(t)),
                _ => body = Some(self.pipeline(part)),
            }
        }
        Some(DeclKind::Chain { name, params, result, body: body? })
    }

    fn param_of(&mut self, name: &P, rest: Vec<P>) -> Option<Param> {
        let name = self.ident(name);
        let mut rest = rest.into_iter();
        let ty = self.type_expr(rest.next()?);
        let default = rest.next().and_then(|d| d.into_inner().next()).map(|o| self.operand(o));
        Some(Param { name, ty, default })
    }

    fn prompt_body(&mut self, pair: P) -> PromptBody {
        match pair.as_rule() {
            Rule::string => PromptBody::Text(self.str(&pair)),
            Rule::raw => PromptBody::Raw(self.raw(pair)),
            _ => PromptBody::Block(pair.into_inner().filter_map(|e| self.prompt_entry(e)).collect()),
        }
    }

    fn raw(&mut self, pair: P) -> Str {
        let span = self.span(&pair);
        match pair.into_inner().find(|p| p.as_rule() == Rule::string) {
            Some(s) => self.str(&s),
            None => Str { text: String::new(), map: Vec::new(), span },
        }
    }

    fn prompt_entry(&mut self, inner: P) -> Option<PromptEntry> {
        let span = self.span(&inner);
        match inner.as_rule() {
            Rule::messages => {
                let what = inner.into_inner().find(|p| !is_keyword(p.as_rule()))?;
                Some(match what.as_rule() {
                    Rule::expression => PromptEntry::Messages(self.expr(&what)),
                    _ => PromptEntry::Splice(self.path(what)),
                })
            }
            Rule::examples => self.examples(inner, span).map(PromptEntry::Examples),
            _ => self.role(inner).map(PromptEntry::Role),
        }
    }

    fn role(&mut self, pair: P) -> Option<RoleText> {
        let mut parts = pair.into_inner();
        let role = self.ident(&parts.next()?);
        let text = self.str(&parts.next()?);
        let paths = parts.filter_map(|image| image.into_inner().find(|p| p.as_rule() == Rule::string));
        let images = paths.map(|path| self.str(&path)).collect();
        Some(RoleText { role, text, images })
    }

    fn examples(&mut self, pair: P, span: Span) -> Option<ExamplesEntry> {
        let (mut rows, mut take, mut roles) = (None, None, Vec::new());
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::string => rows = Some(ExamplesRows::File(self.str(&part))),
                Rule::expression => rows = Some(ExamplesRows::List(self.expr(&part))),
                Rule::take => {
                    take = part.into_inner().find(|p| p.as_rule() == Rule::number).map(|n| self.number(&n));
                }
                Rule::role => roles.extend(self.role(part)),
                _ => {}
            }
        }
        Some(ExamplesEntry { rows: rows?, take, roles, span })
    }

    pub(super) fn pipeline(&mut self, pair: P) -> Pipeline {
        let span = self.span(&pair);
        let mut stages: Vec<Stage> = Vec::new();
        for part in pair.into_inner() {
            let whole = self.span(&part);
            match (part.as_rule(), stages.last_mut()) {
                (Rule::fallback, Some(stage)) => {
                    let operand = part.into_inner().next().map(|o| self.operand(o));
                    stage.span = stage.span.to(whole);
                    stage.operands.extend(operand);
                    if let Some(alias) = &stage.alias {
                        self.diagnostics.push(fallback_after_alias(alias, whole));
                    }
                }
                (Rule::alias, Some(stage)) => {
                    let Some(name) = part.into_inner().last().map(|n| self.ident(&n)) else { continue };
                    stage.span = stage.span.to(whole);
                    if let Some(first) = &stage.alias {
                        self.diagnostics.push(second_alias(first, &name));
                    }
                    stage.alias = Some(name);
                }
                _ => stages.push(Stage { operands: vec![self.operand(part)], alias: None, span: whole }),
            }
        }
        Pipeline { stages, span }
    }

    pub(super) fn operand(&mut self, inner: P) -> Operand {
        let span = self.span(&inner);
        let kind = match inner.as_rule() {
            Rule::expression => OperandKind::Expr(self.expr(&inner)),
            Rule::string => OperandKind::Text(self.str(&inner)),
            Rule::raw => OperandKind::Raw(self.raw(inner)),
            Rule::number => OperandKind::Number(self.number(&inner)),
            Rule::list => OperandKind::List(inner.into_inner().map(|p| self.pipeline(p)).collect()),
            Rule::map => OperandKind::Map(self.map(inner)),
            Rule::group => match inner.into_inner().next() {
                Some(p) => OperandKind::Group(Box::new(self.pipeline(p))),
                None => OperandKind::List(Vec::new()),
            },
            Rule::match_ => OperandKind::Match(Box::new(self.match_(inner))),
            _ => self.call(inner),
        };
        Operand { span, kind }
    }

    fn match_(&mut self, pair: P) -> MatchExpr {
        let (mut subject, mut arms) = (None, Vec::new());
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::expression => subject = Some(self.expr(&part)),
                Rule::arm => arms.extend(self.arm(part)),
                _ => {}
            }
        }
        MatchExpr { subject, arms }
    }

    fn arm(&mut self, pair: P) -> Option<Arm> {
        let mut inner = pair.into_inner();
        let pattern = inner.next()?;
        let span = self.span(&pattern);
        let pattern = match pattern.as_rule() {
            Rule::expression => Pattern::Condition(self.expr(&pattern)),
            Rule::string => Pattern::Value(Operand { span, kind: OperandKind::Text(self.str(&pattern)) }),
            Rule::number => Pattern::Value(Operand { span, kind: OperandKind::Number(self.number(&pattern)) }),
            _ if pattern.as_str() == "_" => Pattern::Rest(span),
            _ => Pattern::Value(Operand { span, kind: OperandKind::Call { path: self.path(pattern), args: None } }),
        };
        Some(Arm { pattern, body: self.pipeline(inner.next()?) })
    }

    fn call(&mut self, pair: P) -> OperandKind {
        let span = self.span(&pair);
        let mut inner = pair.into_inner();
        let path = inner.next().map_or(Path { parts: Vec::new(), span }, |p| self.path(p));
        let args = inner.next().map(|a| a.into_inner().filter_map(|p| self.arg(p)).collect());
        OperandKind::Call { path, args }
    }

    pub(super) fn arg(&mut self, pair: P) -> Option<Arg> {
        let span = self.span(&pair);
        let (mut name, mut value) = (None, None);
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::arg_name => name = part.into_inner().next().map(|n| self.ident(&n)),
                _ => value = Some(self.pipeline(part)),
            }
        }
        Some(Arg { name, value: value?, span })
    }

    fn map(&mut self, pair: P) -> Vec<MapEntry> {
        let mut entries = Vec::new();
        let mut parts = pair.into_inner();
        while let Some(first) = parts.next() {
            if first.as_rule() == Rule::spread {
                entries.extend(self.spread(first));
            } else {
                let (key, value) = (first.into_inner().next(), parts.next());
                entries.extend(key.zip(value).map(|(k, v)| MapEntry::Pair(self.key(&k), self.pipeline(v))));
            }
        }
        entries
    }

    fn spread(&mut self, pair: P) -> Option<MapEntry> {
        let span = self.span(&pair);
        let of = pair.into_inner().next()?;
        let of = match of.as_rule() {
            Rule::expression => SpreadOf::Expr(self.expr(&of)),
            _ => SpreadOf::Name(self.path(of)),
        };
        Some(MapEntry::Spread(Spread { of, span }))
    }

    fn key(&mut self, pair: &P) -> Ident {
        if pair.as_rule() != Rule::string {
            return self.ident(pair);
        }
        let s = self.str(pair);
        if s.text.contains("{{") {
            self.diagnostics.push(Diagnostic::error(Code::E104, s.span, "a key is plain text, not a template"));
        }
        Ident { name: s.text, span: s.span }
    }

    fn type_expr(&mut self, pair: P) -> TypeExpr {
        let span = self.span(&pair);
        let mut parts: Vec<TypeExpr> = Vec::new();
        for part in pair.into_inner() {
            if part.as_rule() != Rule::optional {
                parts.push(self.type_atom(part));
                continue;
            }
            let mark = self.span(&part);
            match parts.pop() {
                Some(TypeExpr { span, kind: kind @ TypeKind::Optional(_) }) => {
                    parts.push(TypeExpr { span: span.to(mark), kind });
                }
                Some(ty) => {
                    parts.push(TypeExpr { span: ty.span.to(mark), kind: TypeKind::Optional(Box::new(ty)) });
                }
                None => {}
            }
        }
        match parts.len() {
            1 => parts.remove(0),
            _ => TypeExpr { span, kind: TypeKind::Union(parts) },
        }
    }

    fn type_atom(&mut self, atom: P) -> TypeExpr {
        let span = self.span(&atom);
        let kind = match atom.as_rule() {
            Rule::string => TypeKind::Text(self.str(&atom)),
            Rule::number => TypeKind::Number(self.number(&atom)),
            rule => {
                let mut inner = atom.into_inner();
                let first = inner.next();
                match (rule, first) {
                    (Rule::type_list, Some(t)) => TypeKind::List(Box::new(self.type_expr(t))),
                    (Rule::type_group, Some(t)) => return self.type_expr(t),
                    (Rule::type_call, Some(p)) => {
                        let path = self.path(p);
                        match inner.next() {
                            Some(t) => TypeKind::Apply(path, Box::new(self.type_expr(t))),
                            None => TypeKind::Name(path),
                        }
                    }
                    _ => TypeKind::Union(Vec::new()),
                }
            }
        };
        TypeExpr { span, kind }
    }
}

fn second_alias(first: &Ident, second: &Ident) -> Diagnostic {
    Diagnostic::error(Code::E104, second.span, "a value gets one name")
        .also(first.span, format!("it is `{}` already", first.name))
}

fn fallback_after_alias(alias: &Ident, fallback: Span) -> Diagnostic {
    let message = format!("`??` cannot follow `as {}`: the name is given to what all of `a ?? b` comes to", alias.name);
    Diagnostic::error(Code::E104, fallback, message)
        .help(format!("write `a ?? b as {0}`, or put the named part in brackets: `(a as {0}) ?? b`", alias.name))
}
