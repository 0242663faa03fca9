//! `each`, `repeat`, `timeout` and `require` as stages.

use std::sync::Arc;

use indexmap::IndexMap;

use super::lower::Lowerer;
use super::prompts::list;
use super::scope::{Home, Scope};
use super::templating::Place;
use super::values::{constant_pipeline, duration};
use super::{Each, NodeKind, OnError, Repeat, Require};
use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{Arg, ExprLit, Operand, OperandKind, Pipeline};
use crate::value::{Literal, Type, Value};

/// What a stage takes in its brackets.
pub(super) struct Shape {
    pub name: &'static str,
    /// Its unnamed arguments, in order; all must be given.
    pub unnamed: &'static [&'static str],
    pub options: &'static [&'static str],
    pub example: &'static str,
}

const SHAPES: &[Shape] = &[
    Shape {
        name: "each",
        unnamed: &["a pipeline"],
        options: &["concurrency", "on_error"],
        example: "each(label, concurrency: 4)",
    },
    Shape {
        name: "repeat",
        unnamed: &["a pipeline"],
        options: &["until", "max"],
        example: "repeat(improve, until: {{ … }}, max: 3)",
    },
    Shape { name: "timeout", unnamed: &["a pipeline", "a duration"], options: &[], example: "timeout(ask, 30s)" },
    Shape {
        name: "require",
        unnamed: &["a condition", "a text that says why"],
        options: &[],
        example: "require({{ … }}, \"why\")",
    },
];

/// The most rounds and the most items in flight that can be told.
const MOST: i64 = 10_000;

/// Arguments as they are given.
pub(super) struct Written<'a> {
    pub unnamed: Vec<&'a Arg>,
    pub options: IndexMap<&'a str, &'a Arg>,
}

impl Lowerer<'_> {
    pub(super) fn control(&mut self, name: &str, args: &[Arg], span: Span, scope: &Scope) -> Option<(Home, Type)> {
        let shape = SHAPES.iter().find(|s| s.name == name)?;
        let written = self.written(shape, args, span);
        match name {
            "each" => self.each(shape, written?, span, scope),
            "repeat" => self.repeat(shape, written?, span, scope),
            "timeout" => self.timeout(written?, span, scope),
            _ => self.require(written?, span, scope),
        }
    }

    /// The arguments of a stage: the right number, and no option that it does not have.
    pub(super) fn written<'a>(&mut self, shape: &Shape, args: &'a [Arg], span: Span) -> Option<Written<'a>> {
        let name = shape.name;
        let mut out = Written { unnamed: Vec::new(), options: IndexMap::new() };
        let mut fine = true;
        for arg in args {
            let Some(option) = &arg.name else {
                if out.unnamed.len() == shape.unnamed.len() {
                    let takes = match shape.unnamed {
                        [] => "its options by name".to_owned(),
                        unnamed => unnamed.join(" and "),
                    };
                    let message = format!("`{name}` takes {takes}, and this is one too many");
                    let help = format!("as in `{}`", shape.example);
                    self.error(Diagnostic::error(Code::E210, arg.span, message).help(help));
                    fine = false;
                } else {
                    out.unnamed.push(arg);
                }
                continue;
            };
            if !shape.options.contains(&option.name.as_str()) {
                let names: Vec<String> = shape.options.iter().map(|o| (*o).to_owned()).collect();
                let diagnostic =
                    Diagnostic::error(Code::E208, option.span, format!("`{name}` has no option `{}`", option.name))
                        .did_you_mean(&option.name, shape.options.iter().copied())
                        .help(match names.as_slice() {
                            [] => format!("it has none: as in `{}`", shape.example),
                            names => format!("its options are: {}", list(names)),
                        });
                self.error(diagnostic);
                fine = false;
                continue;
            }
            if let Some(first) = out.options.get(option.name.as_str()) {
                let first = first.name.as_ref().map_or(first.span, |n| n.span);
                let message = format!("`{}` is given twice", option.name);
                self.error(Diagnostic::error(Code::E201, option.span, message).also(first, "first given here"));
                fine = false;
                continue;
            }
            out.options.insert(&option.name, arg);
        }
        // An option that there is not is probably what is missing, by a name.
        if fine && let Some(what) = shape.unnamed.get(out.unnamed.len()) {
            self.missing(shape, what, span);
            fine = false;
        }
        fine.then_some(out)
    }

    pub(super) fn missing(&mut self, shape: &Shape, what: &str, span: Span) {
        let diagnostic = Diagnostic::error(Code::E210, span, format!("`{}` needs {what}", shape.name));
        self.error(diagnostic.help(format!("as in `{}`", shape.example)));
    }

    fn each(&mut self, shape: &Shape, written: Written, span: Span, scope: &Scope) -> Option<(Home, Type)> {
        let body = &written.unnamed.first()?.value;
        let mut fine = true;
        let item = match self.needed_input(scope, span, "`each`") {
            Some((_, ty)) => item_of(&ty).or_else(|| {
                self.no_list(&ty, span);
                None
            }),
            None => None,
        };
        fine &= item.is_some();
        let concurrency = self.whole_number(shape, &written, "concurrency", &mut fine);
        let on_error = match written.options.get("on_error") {
            Some(arg) => self.on_error(&arg.value),
            None => Some(OnError::Fail),
        };
        let body = self.body_block(body, scope, item.unwrap_or(Type::Any), |_, _| Some(()));
        let ((block, ty, ()), on_error) = body.zip(on_error).filter(|_| fine)?;
        let of = match (on_error, ty) {
            (OnError::Null, ty @ (Type::Optional(_) | Type::Any | Type::Null)) => ty,
            (OnError::Null, ty) => Type::Optional(Box::new(ty)),
            (_, ty) => ty,
        };
        let each = Each { block, concurrency: concurrency.map(|n| n as usize), on_error, live: false };
        Some(self.place_node(span, NodeKind::Each(Arc::new(each)), Type::List(Box::new(of)), scope))
    }

    fn no_list(&mut self, ty: &Type, span: Span) {
        let diagnostic = Diagnostic::error(Code::E211, span, format!("`each` takes a list, found {ty}"));
        let help = match ty {
            Type::Optional(of) if item_of(of).is_some() => "it may be absent: `{{ … or [] }}` stands in for that",
            ty if super::asking::takes_text(ty) => {
                "text becomes a list by a parser: `… | list(style: \"lines\") | each(…)`"
            }
            _ => "give it a list: `{{ words }} | each(…)`",
        };
        self.error(diagnostic.help(help));
    }

    fn on_error(&mut self, value: &Pipeline) -> Option<OnError> {
        let words: Vec<&str> = OnError::WORDS.iter().map(|(w, _)| *w).collect();
        let given = match constant_pipeline(value) {
            Ok(given) => given,
            Err(diagnostic) => {
                self.error(diagnostic);
                return None;
            }
        };
        let found = OnError::WORDS.iter().find(|(w, _)| matches!(&given, Value::Text(t) if &**t == *w));
        if found.is_none() {
            let message = format!("`on_error` wants \"fail\", \"skip\" or \"null\", found {}", given.show(60));
            let diagnostic = Diagnostic::error(Code::E209, value.span, message);
            self.error(match &given {
                Value::Text(text) => diagnostic.did_you_mean(text, words.into_iter()),
                _ => diagnostic,
            });
        }
        found.map(|(_, on_error)| *on_error)
    }

    /// An option that is a whole number from 1, if it is given.
    fn whole_number(&mut self, shape: &Shape, written: &Written, option: &str, fine: &mut bool) -> Option<u32> {
        let arg = written.options.get(option)?;
        match constant_pipeline(&arg.value) {
            Ok(Value::Int(n)) if (1..=MOST).contains(&n) => return u32::try_from(n).ok(),
            Ok(other) => {
                let message = format!("`{option}` wants a whole number from 1 to {MOST}, found {}", other.show(60));
                let help = format!("as in `{}`", shape.example);
                self.error(Diagnostic::error(Code::E209, arg.value.span, message).help(help));
            }
            Err(diagnostic) => self.error(diagnostic),
        }
        *fine = false;
        None
    }

    fn repeat(&mut self, shape: &Shape, written: Written, span: Span, scope: &Scope) -> Option<(Home, Type)> {
        let body = &written.unnamed.first()?.value;
        let input = self.needed_input(scope, span, "`repeat`").map(|(_, ty)| widened(ty));
        let mut fine = input.is_some();
        let max = self.whole_number(shape, &written, "max", &mut fine);
        if !written.options.contains_key("max") {
            self.missing(shape, "`max:`, the most rounds that it may take", span);
        }
        let until = match written.options.get("until") {
            Some(arg) => self.expression_argument(&arg.value, "`until`"),
            None => {
                self.missing(shape, "`until:`, the condition that ends it", span);
                None
            }
        };
        let place = body.span;
        let before = input.clone().unwrap_or(Type::Any);
        let lowered = self.body_block(body, scope, before.clone(), |this, inner| match until {
            Some(expr) => this.condition(expr, &Place::new(inner), "`until`"),
            None => None,
        });
        let ((block, after, until), max) = lowered.zip(max).filter(|_| fine)?;
        let ty = match (&before, &after) {
            (Type::Any, _) => after.clone(),
            _ => before.clone(),
        };
        if !after.fits(&before) {
            let message = format!("a round gives {after}, and the next one takes {before}, as the first did");
            let mut diagnostic = Diagnostic::error(Code::E211, place, message);
            diagnostic = match (&before, &after) {
                (before, Type::Message) if before.is_text() => diagnostic.help("end the round with `| text`"),
                (Type::Message, after) if after.is_text() => diagnostic.help("put `| text` before `repeat`"),
                _ => diagnostic.help("a round must give what it takes"),
            };
            self.error(diagnostic);
            return None;
        }
        let kind = NodeKind::Repeat(Arc::new(Repeat { block, until, max, ty: before }));
        Some(self.place_node(span, kind, ty, scope))
    }

    fn timeout(&mut self, written: Written, span: Span, scope: &Scope) -> Option<(Home, Type)> {
        let (body, limit) = (&written.unnamed.first()?.value, &written.unnamed.get(1)?.value);
        let limit = match limit.single() {
            Some(Operand { kind: OperandKind::Number(number), .. }) => duration(number).and_then(|limit| {
                if limit.is_zero() {
                    return Err(Diagnostic::error(Code::E209, number.span, "nothing ends within no time"));
                }
                Ok(limit)
            }),
            _ => Err(Diagnostic::error(Code::E209, limit.span, "`timeout` wants a duration here")
                .help("as in `30s`, `400ms`, `2m` or `1h`")),
        };
        let inner = self.inner_block(body, scope, false);
        let limit = match limit {
            Ok(limit) => limit,
            Err(diagnostic) => {
                self.error(diagnostic);
                return None;
            }
        };
        let (block, ty) = inner?;
        Some(self.place_node(span, NodeKind::Timeout { block, limit }, ty, scope))
    }

    fn require(&mut self, written: Written, span: Span, scope: &Scope) -> Option<(Home, Type)> {
        let (condition, why) = (&written.unnamed.first()?.value, &written.unnamed.get(1)?.value);
        let condition = self
            .expression_argument(condition, "`require`")
            .and_then(|expr| self.condition(expr, &Place::new(scope), "`require`"));
        let (cell, ty) = self.cell(why, scope)?;
        if !ty.fits(&Type::Text) {
            let message = format!("`require` says why in a text, found {ty}");
            self.error(Diagnostic::error(Code::E209, why.span, message));
            return None;
        }
        let kind = NodeKind::Require(Arc::new(Require { condition: condition?, why: cell }));
        let Some((home, ty)) = scope.input.clone() else {
            return Some(self.place_node(span, kind, Type::Null, scope));
        };
        let input = Some(home.seen_from(self.depth()));
        self.push(super::Node { span, kind, ty: ty.clone(), input });
        // What goes on is what came: later stages read it where it was made.
        Some((home, ty))
    }

    /// An argument that must be an expression.
    fn expression_argument<'a>(&mut self, value: &'a Pipeline, whose: &str) -> Option<&'a ExprLit> {
        match value.single() {
            Some(Operand { kind: OperandKind::Expr(expr), .. }) => Some(expr),
            _ => {
                let message = format!("{whose} wants a condition here");
                let help = "a condition is an expression: `{{ input | length > 3 }}`";
                self.error(Diagnostic::error(Code::E209, value.span, message).help(help));
                None
            }
        }
    }
}

/// The type of the items of a list; none where it is no list.
pub(super) fn item_of(ty: &Type) -> Option<Type> {
    match ty.unfolded() {
        Type::Any => Some(Type::Any),
        Type::List(of) => Some((**of).clone()),
        Type::Union(all) => {
            let mut out: Option<Type> = None;
            for part in all {
                let item = item_of(part)?;
                out = Some(match out {
                    Some(before) => before.join(item),
                    None => item,
                });
            }
            out
        }
        _ => None,
    }
}

/// The type of a constant without its value: a round may change it.
fn widened(ty: Type) -> Type {
    match ty {
        Type::Literal(Literal::Text(_)) => Type::Text,
        Type::Literal(Literal::Int(_)) => Type::Int,
        Type::Literal(Literal::Float(_)) => Type::Float,
        Type::Literal(Literal::Bool(_)) => Type::Bool,
        other => other,
    }
}
