//! Reads a parsed template: its names, what it may not use, what is added to it.

use std::ops::Range;

use minijinja::machinery::ast::{BinOpKind, Call, CallArg, Expr, Macro, Spanned, Stmt};
use minijinja::machinery::{self, Span};
use minijinja::value::{Value as Inner, ValueKind};

use super::direct::Direct;
use super::engine::{self, Edits};
use super::error::{self, meant};
use super::{NameUse, PathPart, TemplateError};

/// What was found in a template or an expression.
pub(super) struct Found {
    pub(super) names: Vec<NameUse>,
    pub(super) bound: Vec<(String, Range<usize>)>,
    pub(super) edits: Edits,
    /// The template, where it needs no engine.
    pub(super) direct: Option<Direct>,
    /// The path that an expression is, where it is nothing else.
    pub(super) path: Option<Vec<PathPart>>,
    /// The value of an expression that is a literal.
    pub(super) literal: Option<Inner>,
}

/// Reads a template.
pub(super) fn template(text: &str) -> Result<Found, TemplateError> {
    let tree = machinery::parse(text, engine::NAME, engine::syntax())
        .map_err(|e| error::compile_time(&e, text, &Edits::default()))?;
    let mut walk = Walk::new(text);
    walk.statement(&tree);
    walk.found.direct = Direct::of(&tree, text);
    walk.end()
}

/// Reads an expression.
pub(super) fn expression(text: &str) -> Result<Found, TemplateError> {
    let tree = machinery::parse_expr(text).map_err(|e| error::compile_time(&e, text, &Edits::default()))?;
    let mut walk = Walk::new(text);
    walk.expression(&tree);
    walk.found.path = path(&tree).map(|p| p.path);
    walk.found.literal = literal(&tree);
    walk.end()
}

fn literal(tree: &Expr<'_>) -> Option<Inner> {
    match tree {
        Expr::Const(c) => Some(c.value.clone()),
        Expr::UnaryOp(op) => match &op.expr {
            Expr::Const(c) if c.value.is_number() => tree.as_const(),
            _ => None,
        },
        Expr::List(_) | Expr::Map(_) => tree.as_const(),
        _ => None,
    }
}

pub(super) fn range(span: Span) -> Range<usize> {
    span.start_offset as usize..span.end_offset as usize
}

/// The path that `tree` is, if it is one.
pub(super) fn path(tree: &Expr<'_>) -> Option<NameUse> {
    let mut parts = Vec::new();
    let mut last: Option<Range<usize>> = None;
    let mut at = tree;
    let name = loop {
        match at {
            Expr::Var(v) => break v,
            Expr::GetAttr(a) => {
                let end = range(a.span()).end;
                last.get_or_insert(end.saturating_sub(a.name.len())..end);
                parts.push(PathPart::Field(a.name.to_owned()));
                at = &a.expr;
            }
            Expr::GetItem(i) => {
                let key = literal(&i.subscript_expr)?;
                last.get_or_insert(range(i.subscript_expr.span()));
                parts.push(match key.kind() {
                    ValueKind::String => PathPart::Key(key.as_str()?.to_owned()),
                    ValueKind::Number if key.is_integer() => PathPart::Index(key.as_i64()?),
                    _ => return None,
                });
                at = &i.expr;
            }
            _ => return None,
        }
    };
    parts.push(PathPart::Name(name.id.to_owned()));
    parts.reverse();
    let name_range = range(name.span());
    let last_range = last.unwrap_or_else(|| name_range.clone());
    let end = range(tree.span()).end;
    Some(NameUse { path: parts, range: name_range.start..end, name_range, last_range })
}

struct Walk<'t> {
    text: &'t str,
    scopes: Vec<Vec<String>>,
    found: Found,
    fault: Option<TemplateError>,
}

impl<'t> Walk<'t> {
    fn new(text: &'t str) -> Self {
        let found = Found {
            names: Vec::new(),
            bound: Vec::new(),
            edits: Edits::default(),
            direct: None,
            path: None,
            literal: None,
        };
        Walk { text, scopes: vec![Vec::new()], found, fault: None }
    }

    fn end(mut self) -> Result<Found, TemplateError> {
        self.found.edits.sort();
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(self.found),
        }
    }

    fn is_bound(&self, name: &str) -> bool {
        self.scopes.iter().flatten().any(|n| n == name)
    }

    /// Keeps the fault that stands first in the text's reading order.
    fn fail(&mut self, message: String, range: Range<usize>, hint: Option<String>) {
        self.fault.get_or_insert(TemplateError::new(message).at(range).hint(hint));
    }

    /// The range of a name that the tree gives as a piece of the text.
    fn piece(&self, name: &str) -> Range<usize> {
        let start = (name.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        match self.text.get(start..start + name.len()) {
            Some(found) if found == name => start..start + name.len(),
            _ => 0..0,
        }
    }

    fn declare(&mut self, name: &str) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(name.to_owned());
        }
    }

    fn bind(&mut self, target: &Expr<'_>) {
        match target {
            Expr::Var(v) => {
                self.declare(v.id);
                self.found.bound.push((v.id.to_owned(), range(v.span())));
            }
            Expr::List(l) => l.items.iter().for_each(|t| self.bind(t)),
            Expr::Tuple(l) => l.items.iter().for_each(|t| self.bind(t)),
            // A field of a namespace is set, which reads the namespace.
            Expr::GetAttr(a) => self.expression(&a.expr),
            _ => {}
        }
    }

    fn inside(&mut self, body: impl FnOnce(&mut Self)) {
        self.scopes.push(Vec::new());
        body(self);
        self.scopes.pop();
    }

    fn statements(&mut self, all: &[Stmt<'_>]) {
        all.iter().for_each(|s| self.statement(s));
    }

    fn off(&mut self, tag: &str, span: Span) {
        self.fail(format!("`{tag}` is off: a template stands for itself"), range(span), None);
    }

    fn statement(&mut self, node: &Stmt<'_>) {
        match node {
            Stmt::Template(t) => self.statements(&t.children),
            Stmt::EmitExpr(e) => self.expression(&e.expr),
            Stmt::EmitRaw(_) | Stmt::Continue(_) | Stmt::Break(_) => {}
            Stmt::ForLoop(f) => {
                self.expression(&f.iter);
                self.inside(|w| {
                    w.declare("loop");
                    w.bind(&f.target);
                    f.filter_expr.iter().for_each(|e| w.expression(e));
                    w.statements(&f.body);
                });
                self.inside(|w| w.statements(&f.else_body));
            }
            Stmt::IfCond(i) => {
                self.expression(&i.expr);
                // An `if` has no scope of its own: what it sets stays.
                self.statements(&i.true_body);
                self.statements(&i.false_body);
            }
            Stmt::WithBlock(b) => self.inside(|w| {
                for (target, value) in &b.assignments {
                    w.expression(value);
                    w.bind(target);
                }
                w.statements(&b.body);
            }),
            Stmt::Set(s) => {
                self.expression(&s.expr);
                self.bind(&s.target);
            }
            Stmt::SetBlock(s) => {
                self.inside(|w| w.statements(&s.body));
                s.filter.iter().for_each(|f| self.expression(f));
                self.bind(&s.target);
            }
            Stmt::FilterBlock(f) => {
                self.expression(&f.filter);
                self.inside(|w| w.statements(&f.body));
            }
            Stmt::Macro(m) => {
                self.declare(m.name);
                let at = self.piece(m.name);
                self.found.bound.push((m.name.to_owned(), at));
                self.macro_body(m);
            }
            Stmt::CallBlock(c) => {
                self.call(&c.call);
                self.macro_body(&c.macro_decl);
            }
            Stmt::Do(d) => self.call(&d.call),
            Stmt::AutoEscape(s) => self.off("autoescape", s.span()),
            Stmt::Block(s) => self.off("block", s.span()),
            Stmt::Import(s) => self.off("import", s.span()),
            Stmt::FromImport(s) => self.off("from", s.span()),
            Stmt::Extends(s) => self.off("extends", s.span()),
            Stmt::Include(s) => self.off("include", s.span()),
        }
    }

    fn macro_body(&mut self, m: &Macro<'_>) {
        self.inside(|w| {
            w.declare("caller");
            m.defaults.iter().for_each(|e| w.expression(e));
            m.args.iter().for_each(|a| w.bind(a));
            w.statements(&m.body);
        });
    }

    fn name_use(&mut self, found: NameUse) {
        let name = found.name();
        if self.is_bound(name) {
            return;
        }
        if name == "self" || name == "super" {
            let message = format!("`{name}` is off: a template stands for itself");
            return self.fail(message, found.name_range, None);
        }
        self.found.names.push(found);
    }

    fn expression(&mut self, node: &Expr<'_>) {
        if let Some(found) = path(node) {
            return self.name_use(found);
        }
        match node {
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::GetAttr(a) => self.expression(&a.expr),
            Expr::GetItem(i) => {
                self.expression(&i.expr);
                self.expression(&i.subscript_expr);
            }
            Expr::Slice(s) => {
                self.expression(&s.expr);
                if let Some(found) = path(&s.expr) {
                    self.found.edits.insert(found.range.start, "(");
                    self.found.edits.insert(found.range.end, "|__text)");
                }
                [&s.start, &s.stop, &s.step].into_iter().flatten().for_each(|e| self.expression(e));
            }
            Expr::UnaryOp(u) => self.expression(&u.expr),
            Expr::BinOp(b) => {
                let addition = match b.op {
                    BinOpKind::ScAnd | BinOpKind::ScOr => None,
                    BinOpKind::Concat => Some("|__printed"),
                    _ => Some("|__text"),
                };
                self.operand(&b.left, addition);
                self.operand(&b.right, addition);
            }
            Expr::Compare(c) => {
                self.operand(&c.expr, Some("|__text"));
                c.ops.iter().for_each(|op| self.operand(&op.expr, Some("|__text")));
            }
            Expr::IfExpr(i) => {
                self.expression(&i.test_expr);
                self.expression(&i.true_expr);
                match &i.false_expr {
                    Some(e) => self.expression(e),
                    None => self.found.edits.insert(range(i.span()).end, " else __missing"),
                }
            }
            Expr::Filter(f) => {
                let keeps = matches!(f.name, "attr" | "default" | "d" | "tojson" | "string" | "pprint" | "safe");
                f.expr.iter().for_each(|e| self.operand(e, (!keeps).then_some("|__text")));
                self.known("filter", f.name, f.span(), &engine::FILTERS);
                self.arguments(&f.args);
            }
            Expr::Test(t) => {
                let keeps = matches!(t.name, "defined" | "undefined" | "none");
                self.operand(&t.expr, (!keeps).then_some("|__text"));
                self.known("test", t.name, t.span(), &engine::TESTS);
                self.arguments(&t.args);
            }
            Expr::Call(c) => self.call(c),
            Expr::List(l) => l.items.iter().for_each(|e| self.expression(e)),
            Expr::Tuple(l) => l.items.iter().for_each(|e| self.expression(e)),
            Expr::Map(m) => m.keys.iter().zip(&m.values).for_each(|(k, v)| {
                self.expression(k);
                self.expression(v);
            }),
        }
    }

    /// An operand; `addition` goes behind it where it may be a message. Only an operand that ends where its span
    /// does can take one.
    fn operand(&mut self, node: &Expr<'_>, addition: Option<&'static str>) {
        self.expression(node);
        let ends = matches!(node, Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_) | Expr::Call(_) | Expr::Filter(_));
        if let Some(addition) = addition.filter(|_| ends) {
            self.found.edits.insert(range(node.span()).end, addition);
        }
    }

    fn known(&mut self, what: &str, name: &str, span: Span, all: &[&str]) {
        if !all.contains(&name) {
            let piece = self.piece(name);
            let at = if piece.is_empty() { range(span) } else { piece };
            self.fail(format!("there is no {what} `{name}`"), at, meant(name, all.iter().copied()));
        }
    }

    fn call(&mut self, c: &Spanned<Call<'_>>) {
        match &c.expr {
            Expr::Var(v) if self.is_bound(v.id) || engine::FUNCTIONS.contains(&v.id) => {}
            Expr::Var(v) => {
                let bound = self.scopes.iter().flatten().map(String::as_str);
                let hint = match v.id {
                    "debug" => Some("`debug` is off".to_owned()),
                    "now" => Some("the time is no part of a template yet".to_owned()),
                    name => meant(name, engine::FUNCTIONS.into_iter().chain(bound)),
                };
                self.fail(format!("there is no function `{}`", v.id), range(v.span()), hint);
            }
            // A method: what it is called on is read.
            Expr::GetAttr(a) => self.expression(&a.expr),
            callee => self.expression(callee),
        }
        self.arguments(&c.args);
    }

    fn arguments(&mut self, all: &[CallArg<'_>]) {
        for argument in all {
            match argument {
                CallArg::Pos(e) | CallArg::Kwarg(_, e) | CallArg::PosSplat(e) | CallArg::KwargSplat(e) => {
                    self.expression(e);
                }
            }
        }
    }
}
