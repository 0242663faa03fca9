//! `match`: arms for values, or for conditions.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;

use super::lower::Lowerer;
use super::prompts::type_of;
use super::scope::{Home, Scope};
use super::templating::Place;
use super::values::constant;
use super::{Arm, Cell, Match, NodeKind, Test};
use crate::diag::{Code, Diagnostic};
use crate::parsers::Parser;
use crate::source::Span;
use crate::syntax::ast::{self, MatchExpr, Operand, OperandKind, Pattern};
use crate::value::{Literal, Type, Value};

/// What a `match` compares its arms with.
struct Over {
    ty: Type,
    /// Every value of the type by its identity, where it has only a few.
    values: Option<IndexMap<String, Value>>,
}

impl Over {
    fn new(ty: Type) -> Self {
        let values = closed(&ty).map(|all| all.into_iter().map(|v| (Test::identity(&v), v)).collect());
        Self { ty, values }
    }
}

impl Lowerer<'_> {
    pub(super) fn match_stage(
        &mut self,
        written: &MatchExpr,
        span: Span,
        scope: &Scope,
        ahead: Option<&Parser>,
    ) -> Option<(Home, Type)> {
        let subject = written.subject.as_ref().map(|expr| self.expression(expr, &Place::new(scope)));
        let mut fine = !matches!(subject, Some(None));
        let subject = subject.flatten();
        let over = subject.as_ref().map(|(_, ty)| Over::new(ty.clone()));
        let over = over.as_ref();
        let mut arms = Vec::with_capacity(written.arms.len());
        let mut ty: Option<Type> = None;
        for (i, arm) in written.arms.iter().enumerate() {
            let test = match (&written.subject, over) {
                // What the subject is cannot be told, which is reported.
                (Some(_), None) => None,
                _ => self.test(&arm.pattern, over, scope),
            };
            fine &= test.is_some();
            match (self.ending_block(&arm.body, scope, false, ahead), test) {
                (Some((block, out)), Some(test)) => {
                    ty = Some(match ty {
                        Some(before) => before.join(out),
                        None => out,
                    });
                    arms.push(Arm { key: key(&test, i), test, block });
                }
                _ => fine = false,
            }
        }
        if !fine || !self.complete(written, &arms, over, span) {
            return None;
        }
        let subject = subject.map(|(evaluation, _)| Cell::Expression(evaluation));
        let kind = NodeKind::Match(Arc::new(Match { subject, arms }));
        Some(self.place_node(span, kind, ty?, scope))
    }

    /// When an arm is taken; `over` is the type of what is compared, where the arms are values.
    fn test(&mut self, pattern: &Pattern, over: Option<&Over>, scope: &Scope) -> Option<Test> {
        match (pattern, over) {
            (Pattern::Rest(_), _) => Some(Test::Rest),
            (Pattern::Condition(expr), None) => self.condition(expr, &Place::new(scope), "an arm").map(Test::If),
            (Pattern::Condition(expr), Some(_)) => {
                let diagnostic = Diagnostic::error(
                    Code::E209,
                    expr.span,
                    "an arm of `match {{ … }}` is a literal, not an expression",
                )
                .help("conditions stand in a `match` without a value: `match { {{ … }} => …, _ => … }`");
                self.error(diagnostic);
                None
            }
            (Pattern::Value(operand), None) => {
                let diagnostic =
                    Diagnostic::error(Code::E209, operand.span, "an arm of a `match` without a value is a condition")
                        .help("write `{{ … }} => …`, or say what is compared: `match {{ … }} { … }`");
                self.error(diagnostic);
                None
            }
            (Pattern::Value(operand), Some(over)) => self.arm_value(operand, over).map(Test::Is),
        }
    }

    /// The value of an arm, which must be one that the subject can have.
    fn arm_value(&mut self, operand: &Operand, over: &Over) -> Option<Value> {
        if let OperandKind::Text(text) = &operand.kind
            && (text.text.contains("{{") || text.text.contains("{%"))
        {
            let diagnostic = Diagnostic::error(Code::E209, operand.span, "an arm is a plain value, not a template")
                .help("conditions stand in a `match` without a value: `match { {{ … }} => …, _ => … }`");
            self.error(diagnostic);
            return None;
        }
        let value = match constant(operand) {
            Ok(value) => value,
            Err(diagnostic) => {
                self.error(diagnostic);
                return None;
            }
        };
        let fits = match &over.values {
            Some(values) => values.contains_key(&Test::identity(&value)),
            None => fits(&type_of(&value), &over.ty),
        };
        if fits {
            return Some(value);
        }
        let message = format!("{} is no value of {}", value.show(60), over.ty);
        let mut diagnostic = Diagnostic::error(Code::E221, operand.span, message);
        if let Some(values) = &over.values {
            if let Value::Text(text) = &value {
                let words = values.values().filter_map(|v| match v {
                    Value::Text(t) => Some(&**t),
                    _ => None,
                });
                diagnostic = diagnostic.did_you_mean(text, words);
            }
            diagnostic = diagnostic.help(format!("its values are: {}", shown(values.values())));
        }
        self.error(diagnostic);
        None
    }

    /// Whether every value finds an arm and every arm a value.
    fn complete(&mut self, written: &MatchExpr, arms: &[Arm], over: Option<&Over>, span: Span) -> bool {
        let mut seen: HashMap<String, Span> = HashMap::new();
        let mut fine = true;
        let mut rest: Option<Span> = None;
        for (arm, pattern) in arms.iter().zip(written.arms.iter().map(|a| &a.pattern)) {
            if let Some(rest) = rest {
                let diagnostic = Diagnostic::error(Code::E221, pattern.span(), "nothing reaches this arm")
                    .also(rest, "`_` takes whatever no arm before it took");
                self.error(diagnostic.help("put `_` last"));
                fine = false;
                break;
            }
            match &arm.test {
                Test::Rest => rest = Some(pattern.span()),
                Test::Is(value) => {
                    if let Some(first) = seen.insert(Test::identity(value), pattern.span()) {
                        let message = format!("the arm {} is given twice", value.show(60));
                        let diagnostic = Diagnostic::error(Code::E201, pattern.span(), message);
                        self.error(diagnostic.also(first, "first given here"));
                        fine = false;
                    }
                }
                Test::If(_) => {}
            }
        }
        if rest.is_some() || !fine {
            return fine;
        }
        let place = written.subject.as_ref().map_or(Span { end: span.start + 5, ..span }, |s| s.span);
        let diagnostic = match over {
            Some(Over { ty, values: Some(values) }) => {
                let missing: Vec<&Value> =
                    values.iter().filter(|(key, _)| !seen.contains_key(*key)).map(|(_, v)| v).collect();
                if missing.is_empty() {
                    return true;
                }
                let message = format!("the `match` over {ty} has no arm for {}", shown(missing.iter().copied()));
                Diagnostic::error(Code::E221, place, message)
                    .help(format!("add {}, or `_ => …` for the rest", to_add(&missing)))
            }
            Some(Over { ty, values: None }) => {
                let message = format!("no list of arms holds every {ty}, so the last one must be `_`");
                Diagnostic::error(Code::E221, place, message).help("add `_ => …`")
            }
            None => Diagnostic::error(Code::E221, place, "every condition may be false, so the last arm must be `_`")
                .help("add `_ => …`"),
        };
        self.error(diagnostic);
        false
    }

    /// A condition: an expression that is true or false.
    pub(super) fn condition(
        &mut self,
        expr: &ast::ExprLit,
        place: &Place,
        what: &str,
    ) -> Option<Arc<super::Evaluation>> {
        let (evaluation, ty) = self.expression(expr, place)?;
        if !may_be_bool(&ty) {
            let message = format!("{what} wants a condition, true or false, found {ty}");
            let help = "compare it, as in `{{ input != \"\" }}`";
            self.error(Diagnostic::error(Code::E211, expr.span, message).help(help));
            return None;
        }
        Some(evaluation)
    }
}

/// What tells an arm from its siblings.
fn key(test: &Test, at: usize) -> String {
    match test {
        Test::Is(Value::Text(text)) => text.to_string(),
        Test::Is(value) => value.show(60),
        Test::If(_) => (at + 1).to_string(),
        Test::Rest => "_".to_owned(),
    }
}

/// Every value of a type that has only a few.
fn closed(ty: &Type) -> Option<Vec<Value>> {
    Some(match ty {
        Type::Literal(Literal::Text(text)) => vec![Value::Text(text.clone())],
        Type::Literal(Literal::Int(n)) => vec![Value::Int(*n)],
        Type::Literal(Literal::Float(x)) => vec![Value::Float(*x)],
        Type::Literal(Literal::Bool(b)) => vec![Value::Bool(*b)],
        Type::Bool => vec![Value::Bool(true), Value::Bool(false)],
        Type::Null => vec![Value::Null],
        Type::Optional(of) => closed(of)?.into_iter().chain([Value::Null]).collect(),
        Type::Union(all) => {
            let mut out = Vec::new();
            for ty in all {
                out.extend(closed(ty)?);
            }
            out
        }
        _ => return None,
    })
}

/// Whether a literal's type may be that of a value of `over`; a message counts as its text.
fn fits(literal: &Type, over: &Type) -> bool {
    match over {
        Type::Message => literal.is_text(),
        Type::Union(all) => all.iter().any(|t| fits(literal, t)),
        Type::Optional(of) => *literal == Type::Null || fits(literal, of),
        over => literal.fits(over),
    }
}

fn may_be_bool(ty: &Type) -> bool {
    match ty {
        Type::Any | Type::Bool | Type::Literal(Literal::Bool(_)) => true,
        Type::Optional(of) => may_be_bool(of),
        Type::Union(all) => all.iter().any(may_be_bool),
        _ => false,
    }
}

/// Values as a message lists them; null is written `none`.
fn shown<'v>(values: impl Iterator<Item = &'v Value>) -> String {
    let one = |v: &Value| if *v == Value::Null { "`none`".to_owned() } else { format!("`{}`", v.show(60)) };
    values.map(one).collect::<Vec<_>>().join(", ")
}

/// Missing arms as they are to be written.
fn to_add(values: &[&Value]) -> String {
    let one = |v: &&Value| match v {
        Value::Null => "`none => …`".to_owned(),
        v => format!("`{} => …`", v.show(60)),
    };
    values.iter().map(one).collect::<Vec<_>>().join(", ")
}
