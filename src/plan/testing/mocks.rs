//! `mock NAME = value`: what stands in for a model or a step.

use super::values::{Known, TestValue};
use crate::diag::{Code, Diagnostic};
use crate::plan::values::duration;
use crate::source::Span;
use crate::syntax::ast::{Arg, Operand, OperandKind, Path, Str};
use crate::template::Scope;
use crate::value::{Duration, Value};

/// What stands in for a model or a step.
pub struct Mock {
    /// The name of the model or step.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    /// What it gives.
    pub value: MockValue,
}

/// What a mock gives, as written.
#[derive(Clone)]
pub enum MockValue {
    /// This, every time.
    Value(TestValue),
    /// One after the other.
    List(Vec<MockValue>),
    /// Every row of a data file, one after the other.
    Rows(Vec<Value>),
    /// A failure.
    Fail(TestValue),
    /// The same, later.
    Delay(Duration, Box<MockValue>),
    /// An answer that `max_tokens` cut.
    Truncated(TestValue),
}

/// What a mock gives to one call.
#[derive(Clone, Debug)]
pub enum MockAnswer {
    /// A value.
    Value(Value),
    /// An answer that `max_tokens` cut.
    Truncated(Value),
    /// A failure, and why.
    Fail(String),
    /// The same, later.
    Delay(Duration, Box<MockAnswer>),
}

impl MockValue {
    /// The answers, and whether the only one answers every call.
    ///
    /// # Errors
    /// A template or expression that fails.
    pub fn answers(&self, scope: &dyn Scope) -> Result<(Vec<MockAnswer>, bool), Box<Diagnostic>> {
        Ok(match self {
            MockValue::List(items) => {
                (items.iter().map(|item| item.answer(scope)).collect::<Result<Vec<_>, _>>()?, false)
            }
            MockValue::Rows(rows) => (rows.iter().cloned().map(MockAnswer::Value).collect(), false),
            one => (vec![one.answer(scope)?], true),
        })
    }

    fn answer(&self, scope: &dyn Scope) -> Result<MockAnswer, Box<Diagnostic>> {
        let text = |value: &TestValue| {
            let value = value.value(scope)?;
            Ok::<_, Box<Diagnostic>>(value.as_text().map_or_else(|| value.show(200), |t| t.into_owned()))
        };
        Ok(match self {
            MockValue::Value(value) => MockAnswer::Value(value.value(scope)?),
            MockValue::Truncated(value) => MockAnswer::Truncated(value.value(scope)?),
            MockValue::Fail(why) => MockAnswer::Fail(text(why)?),
            MockValue::Delay(wait, inner) => MockAnswer::Delay(*wait, Box::new(inner.answer(scope)?)),
            // A list within a list is one answer that is a list.
            MockValue::List(items) => {
                let values = items.iter().map(|item| match item.answer(scope)? {
                    MockAnswer::Value(value) => Ok(value),
                    _ => Ok(Value::Null),
                });
                MockAnswer::Value(Value::list(values.collect::<Result<Vec<_>, Box<Diagnostic>>>()?))
            }
            MockValue::Rows(rows) => MockAnswer::Value(Value::list(rows.clone())),
        })
    }
}

/// What reads the data file that a string names.
pub type ReadRows<'r> = &'r mut dyn FnMut(&Str) -> Result<Vec<Value>, Box<Diagnostic>>;

/// Reads the value of a mock. `file` reads the data file that a string names.
pub fn mock_value(
    operand: &Operand,
    known: &Known,
    file: ReadRows<'_>,
    out: &mut Vec<Diagnostic>,
) -> Option<MockValue> {
    match &operand.kind {
        OperandKind::Call { path, args: Some(args) } => call(path, args, operand.span, known, file, out),
        OperandKind::List(items) => {
            let mut all = Vec::with_capacity(items.len());
            for item in items {
                let Some(item) = item.single() else {
                    out.push(Diagnostic::error(Code::E209, item.span, "a pipeline is no answer of a mock"));
                    return None;
                };
                all.push(mock_value(item, known, file, out)?);
            }
            Some(MockValue::List(all))
        }
        _ => known.value(operand, out).map(MockValue::Value),
    }
}

const CALLS: &[&str] = &["fail", "delay", "truncated", "file"];

fn call(
    path: &Path,
    args: &[Arg],
    span: Span,
    known: &Known,
    file: ReadRows<'_>,
    out: &mut Vec<Diagnostic>,
) -> Option<MockValue> {
    let name = path.text();
    let operands: Option<Vec<&Operand>> =
        args.iter().map(|a| if a.name.is_none() { a.value.single() } else { None }).collect();
    let made = match (name.as_str(), operands.as_deref()) {
        ("fail", Some([why])) => return known.value(why, out).map(MockValue::Fail),
        ("truncated", Some([text])) => return known.value(text, out).map(MockValue::Truncated),
        ("delay", Some([Operand { kind: OperandKind::Number(number), .. }, inner])) => match duration(number) {
            Ok(wait) => {
                let inner = mock_value(inner, known, file, out)?;
                if matches!(inner, MockValue::List(_) | MockValue::Rows(_)) {
                    let message = "`delay` waits before one answer";
                    out.push(Diagnostic::error(Code::E209, span, message).help("write `[delay(1s, \"a\"), \"b\"]`"));
                    return None;
                }
                Ok(MockValue::Delay(wait, Box::new(inner)))
            }
            Err(diagnostic) => Err(Box::new(diagnostic)),
        },
        ("file", Some([Operand { kind: OperandKind::Text(path), .. }])) => file(path).map(MockValue::Rows),
        (known_name, _) if CALLS.contains(&known_name) => {
            let help = match known_name {
                "fail" => "as in `fail(\"connection refused\")`",
                "delay" => "as in `delay(1s, \"A tuber.\")`",
                "truncated" => "as in `truncated(\"A tub\")`",
                _ => "as in `file(\"answers.jsonl\")`",
            };
            Err(Box::new(Diagnostic::error(Code::E210, span, format!("`{name}` is called wrongly")).help(help)))
        }
        _ => Err(Box::new(
            Diagnostic::error(Code::E209, path.span, format!("`{name}` gives nothing that a mock could"))
                .did_you_mean(&name, CALLS.iter().copied())
                .help("a mock is a value, a list of answers, `fail(…)`, `delay(…)`, `truncated(…)` or `file(…)`"),
        )),
    };
    match made {
        Ok(value) => Some(value),
        Err(diagnostic) => {
            out.push(*diagnostic);
            None
        }
    }
}
