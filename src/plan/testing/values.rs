//! Values in a test: constants, templates and expressions over names that are known before it runs.

use std::ops::Range;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::diag::{Code, Diagnostic};
use crate::plan::prompts::list;
use crate::plan::templating::template_error;
use crate::plan::values::constant;
use crate::source::Span;
use crate::syntax::ast::{ExprLit, MapEntry, Operand, OperandKind, Pipeline, Str};
use crate::template::{Expression, NameUse, PathPart, Scope, Template, TemplateError};
use crate::value::{Value, nearest};

/// How a value of a test is made.
#[derive(Clone)]
pub enum TestValue {
    /// It is known.
    Constant(Value),
    /// A template.
    Template(Arc<(Template, Str)>),
    /// An expression.
    Expression(Arc<(Expression, ExprLit)>),
    /// A list of such.
    List(Vec<TestValue>),
    /// A map of such.
    Map(Vec<(String, TestValue)>),
}

/// The names that a place of a test may read.
#[derive(Clone, Default)]
pub struct Known {
    /// What the row is called, and its columns where these are known.
    pub row: Option<(String, Option<Vec<String>>)>,
    /// Other names.
    pub names: Vec<String>,
}

impl Known {
    /// The error of a name, or a column, that is unknown here.
    fn check(&self, used: &NameUse, locate: &dyn Fn(&Range<usize>) -> Span) -> Option<Diagnostic> {
        let name = used.name();
        if let Some((row, columns)) = &self.row
            && name == row
        {
            let (Some(columns), Some(part)) = (columns, used.path.get(1).and_then(PathPart::text)) else { return None };
            if columns.iter().any(|c| c == part) {
                return None;
            }
            let diagnostic =
                Diagnostic::error(Code::E212, locate(&used.range), format!("a row has no column `{part}`"))
                    .did_you_mean(part, columns.iter().map(String::as_str));
            return Some(diagnostic.help(format!("it has: {}", list(columns))));
        }
        if self.names.iter().any(|n| n == name) {
            return None;
        }
        let mut known: Vec<String> = self.row.iter().map(|(row, _)| row.clone()).chain(self.names.clone()).collect();
        let diagnostic = Diagnostic::error(Code::E204, locate(&used.name_range), format!("`{name}` is nothing here"));
        let column = self.row.as_ref().and_then(|(row, columns)| {
            let columns = columns.as_deref().unwrap_or_default();
            columns.iter().any(|c| c == name).then(|| format!("{row}.{name}"))
        });
        let diagnostic = match column {
            Some(column) => diagnostic.help(format!("a column is read as `{column}`")),
            None => match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic,
            },
        };
        known.dedup();
        Some(
            diagnostic.help(match known.as_slice() {
                [] => "nothing has a name here: a test reads other names only where it has `from \"rows.csv\" as row`"
                    .to_owned(),
                known => format!("what has a name here: {}", list(known)),
            }),
        )
    }

    fn all(&self, names: &[NameUse], locate: &dyn Fn(&Range<usize>) -> Span, out: &mut Vec<Diagnostic>) -> bool {
        let before = out.len();
        out.extend(names.iter().filter_map(|used| self.check(used, locate)));
        before == out.len()
    }

    /// Compiles an expression whose names are known here.
    pub fn expression(&self, text: &ExprLit, out: &mut Vec<Diagnostic>) -> Option<Arc<(Expression, ExprLit)>> {
        match Expression::compile(&text.text) {
            Ok(expression) => {
                self.all(expression.names(), &|r| text.locate(r), out).then(|| Arc::new((expression, text.clone())))
            }
            Err(e) => {
                out.push(template_error(e, text.span, |r| text.locate(r)));
                None
            }
        }
    }

    fn template(&self, text: &Str, out: &mut Vec<Diagnostic>) -> Option<TestValue> {
        match Template::compile(&text.text) {
            Ok(template) if template.is_plain() => Some(TestValue::Constant(Value::from(text.text.as_str()))),
            Ok(template) => self
                .all(template.names(), &|r| text.locate(r), out)
                .then(|| TestValue::Template(Arc::new((template, text.clone())))),
            Err(e) => {
                out.push(template_error(e, text.span, |r| text.locate(r)));
                None
            }
        }
    }

    /// The value that an operand stands for.
    pub fn value(&self, operand: &Operand, out: &mut Vec<Diagnostic>) -> Option<TestValue> {
        match &operand.kind {
            OperandKind::Text(text) => self.template(text, out),
            OperandKind::Expr(text) => {
                let compiled = self.expression(text, out)?;
                Some(match compiled.0.literal() {
                    Some(value) => TestValue::Constant(value.clone()),
                    None => TestValue::Expression(compiled),
                })
            }
            OperandKind::List(items) => {
                let items: Vec<Option<TestValue>> = items.iter().map(|p| self.piped(p, out)).collect();
                items.into_iter().collect::<Option<Vec<_>>>().map(TestValue::List).map(TestValue::folded)
            }
            OperandKind::Map(entries) => {
                let mut all = Vec::with_capacity(entries.len());
                for entry in entries {
                    match entry {
                        MapEntry::Pair(key, value) => all.push(self.piped(value, out).map(|v| (key.name.clone(), v))),
                        MapEntry::Spread(_) => {
                            out.push(Diagnostic::error(Code::E209, operand.span, "`..` is no value of a test"));
                            return None;
                        }
                    }
                }
                all.into_iter().collect::<Option<Vec<_>>>().map(TestValue::Map).map(TestValue::folded)
            }
            OperandKind::Group(inner) => self.piped(inner, out),
            _ => match constant(operand) {
                Ok(value) => Some(TestValue::Constant(value)),
                Err(diagnostic) => {
                    out.push(diagnostic);
                    None
                }
            },
        }
    }

    fn piped(&self, pipeline: &Pipeline, out: &mut Vec<Diagnostic>) -> Option<TestValue> {
        match pipeline.single() {
            Some(operand) => self.value(operand, out),
            None => {
                out.push(Diagnostic::error(Code::E209, pipeline.span, "a pipeline is no value"));
                None
            }
        }
    }
}

impl TestValue {
    /// The same, as a constant where all parts are.
    fn folded(self) -> Self {
        let known = match &self {
            TestValue::List(items) => items
                .iter()
                .map(TestValue::constant)
                .collect::<Option<Vec<_>>>()
                .map(|all| Value::list(all.into_iter().cloned().collect())),
            TestValue::Map(entries) => entries
                .iter()
                .map(|(k, v)| Some((k.clone(), v.constant()?.clone())))
                .collect::<Option<IndexMap<_, _>>>()
                .map(|map| Value::Map(Arc::new(map))),
            _ => None,
        };
        known.map_or(self, TestValue::Constant)
    }

    /// The value, where it is known before a run.
    pub fn constant(&self) -> Option<&Value> {
        match self {
            TestValue::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// The value over `scope`.
    ///
    /// # Errors
    /// A template or expression that fails, with its place.
    pub fn value(&self, scope: &dyn Scope) -> Result<Value, Box<Diagnostic>> {
        Ok(match self {
            TestValue::Constant(value) => value.clone(),
            TestValue::Template(of) => {
                let (template, text) = &**of;
                let rendered = template.render(scope).map_err(|e| failed(e, text.span, |r| text.locate(r)))?;
                Value::from(rendered.text())
            }
            TestValue::Expression(of) => evaluated(of, scope)?,
            TestValue::List(items) => Value::list(items.iter().map(|v| v.value(scope)).collect::<Result<Vec<_>, _>>()?),
            TestValue::Map(entries) => {
                let map = entries.iter().map(|(k, v)| Ok((k.clone(), v.value(scope)?)));
                Value::Map(Arc::new(map.collect::<Result<IndexMap<_, _>, Box<Diagnostic>>>()?))
            }
        })
    }
}

/// The value of an expression of a test.
///
/// # Errors
/// What fails, with its place.
pub fn evaluated(of: &(Expression, ExprLit), scope: &dyn Scope) -> Result<Value, Box<Diagnostic>> {
    let (expression, text) = of;
    expression.eval(scope).map_err(|e| failed(e, text.span, |r| text.locate(r)))
}

fn failed(error: TemplateError, whole: Span, locate: impl Fn(&Range<usize>) -> Span) -> Box<Diagnostic> {
    let diagnostic = template_error(error, whole, locate);
    Box::new(Diagnostic { code: Code::E408, ..diagnostic })
}
