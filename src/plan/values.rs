//! Values written in a file: constants of defaults and options, and the conversion of an option's value to its kind.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::diag::{Code, Diagnostic};
use crate::providers::{OptionKind, OptionValue};
use crate::source::Span;
use crate::syntax::ast::{MapEntry, Number, Operand, OperandKind, Pipeline};
use crate::template::{Expression, Scope};
use crate::value::{Duration, Value, nearest};

/// A scope without names, for constants.
pub struct NoNames;

impl Scope for NoNames {
    fn get(&self, _: &str) -> Option<Value> {
        None
    }
    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The value of a literal, a list or map of literals, or an expression without names.
///
/// # Errors
/// Anything else, with its place.
pub fn constant(operand: &Operand) -> Result<Value, Diagnostic> {
    let wrong = |what: &str| {
        Diagnostic::error(Code::E209, operand.span, format!("{what} is no value"))
            .help("write a literal, as `\"text\"`, `3`, `true`, `[1, 2]`")
    };
    match &operand.kind {
        OperandKind::Text(text) => {
            if text.text.contains("{{") || text.text.contains("{%") {
                let diagnostic = Diagnostic::error(Code::E209, text.span, "a default is a plain value, not a template");
                return Err(diagnostic
                    .help("for the characters `{{` themselves write `{{ '{{' }}` in the template that uses it"));
            }
            Ok(Value::from(text.text.as_str()))
        }
        OperandKind::Number(number) => number_value(number),
        OperandKind::List(items) => Ok(Value::list(items.iter().map(constant_pipeline).collect::<Result<_, _>>()?)),
        OperandKind::Map(entries) => constant_map(entries, operand.span),
        OperandKind::Expr(expr) => {
            let at = |e: crate::template::TemplateError| {
                let span = e.range.as_ref().map_or(expr.span, |r| expr.locate(r));
                e.help.into_iter().fold(Diagnostic::error(Code::E110, span, e.message), Diagnostic::help)
            };
            let compiled = Expression::compile(&expr.text).map_err(at)?;
            if let Some(name) = compiled.names().first() {
                let place = expr.locate(&name.name_range);
                return Err(Diagnostic::error(Code::E209, place, "a default cannot read other names"));
            }
            compiled.eval(&NoNames).map_err(at)
        }
        OperandKind::Call { path, args: None } => match path.text().as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "none" => Ok(Value::Null),
            name => Err(wrong(&format!("`{name}`")).help(format!("a text stands in quotes: `\"{name}\"`"))),
        },
        OperandKind::Call { path, .. } => Err(wrong(&format!("the call `{}(…)`", path.text()))),
        OperandKind::Group(inner) => constant_pipeline(inner),
        OperandKind::Raw(_) => Err(wrong("a raw prompt")),
        OperandKind::Match(_) => Err(wrong("`match`")),
    }
}

/// The value of a pipeline that is one constant.
pub fn constant_pipeline(pipeline: &Pipeline) -> Result<Value, Diagnostic> {
    match pipeline.single() {
        Some(operand) => constant(operand),
        None => Err(Diagnostic::error(Code::E209, pipeline.span, "a pipeline is no value")),
    }
}

fn constant_map(entries: &[MapEntry], span: Span) -> Result<Value, Diagnostic> {
    let mut map = IndexMap::new();
    for entry in entries {
        match entry {
            MapEntry::Pair(key, value) => {
                if map.insert(key.name.clone(), constant_pipeline(value)?).is_some() {
                    let message = format!("the key `{}` is given twice", key.name);
                    return Err(Diagnostic::error(Code::E201, key.span, message));
                }
            }
            MapEntry::Spread(_) => return Err(Diagnostic::error(Code::E209, span, "`..` is no value")),
        }
    }
    Ok(Value::Map(Arc::new(map)))
}

fn number_value(number: &Number) -> Result<Value, Diagnostic> {
    if !number.unit.is_empty() {
        let message = format!("`{}{}` is a number with a unit, and none is asked for here", number.digits, number.unit);
        return Err(Diagnostic::error(Code::E209, number.span, message).help(format!("write `{}`", number.digits)));
    }
    if let Ok(n) = number.digits.parse::<i64>() {
        return Ok(Value::Int(n));
    }
    match number.digits.parse::<f64>() {
        Ok(x) if x.is_finite() => Ok(Value::Float(x)),
        _ => {
            let message = format!("`{}` is larger than any number here", number.digits);
            Err(Diagnostic::error(Code::E209, number.span, message))
        }
    }
}

/// The units of a duration, with their lengths in seconds.
const UNITS: &[(&str, f64)] = &[("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// A number with its unit as a duration.
pub fn duration(number: &Number) -> Result<Duration, Diagnostic> {
    if number.unit.is_empty() {
        let message = format!("`{}` is a duration without its unit", number.digits);
        return Err(Diagnostic::error(Code::E209, number.span, message)
            .help(format!("write `{0}s`, `{0}ms`, `{0}m` or `{0}h`", number.digits)));
    }
    let Some((_, seconds)) = UNITS.iter().find(|(u, _)| *u == number.unit) else {
        let message = format!("`{}` is no unit of time", number.unit);
        return Err(Diagnostic::error(Code::E209, number.span, message).help("units are `ms`, `s`, `m` and `h`"));
    };
    let count: f64 = number.digits.parse().unwrap_or(-1.0);
    let total = count * seconds;
    if !(0.0..=1e9).contains(&total) {
        return Err(Diagnostic::error(Code::E209, number.span, "this duration is out of range"));
    }
    Ok(Duration::from_secs_f64(total))
}

/// `value` as an option of `kind` wants it.
///
/// # Errors
/// What is wrong, as the end of "`name` wants …".
pub fn convert(value: Value, kind: OptionKind) -> Result<OptionValue, String> {
    let wants = || format!("wants {}, found {}", kind.describe(), shown(&value));
    let ok = match (kind, &value) {
        (OptionKind::Text, Value::Text(_)) | (OptionKind::Bool, Value::Bool(_)) | (OptionKind::Any, _) => true,
        (OptionKind::Map, Value::Map(_)) => true,
        (OptionKind::Path, Value::Text(_)) => true,
        (OptionKind::Choice(words), Value::Text(text)) => {
            if !words.contains(&&**text) {
                let near = nearest(text, words.iter().copied());
                let hint = near.map(|n| format!("; did you mean \"{n}\"?")).unwrap_or_default();
                return Err(format!("{}{hint}", wants()));
            }
            true
        }
        (OptionKind::Int(low, high), Value::Int(n)) => (low..=high).contains(n),
        (OptionKind::Float(low, high), Value::Int(n)) => (low..=high).contains(&(*n as f64)),
        (OptionKind::Float(low, high), Value::Float(x)) => (low..=high).contains(x),
        (OptionKind::Texts, Value::Text(_)) => true,
        (OptionKind::Texts, Value::List(items)) => items.iter().all(|v| matches!(v, Value::Text(_))),
        // A variable has no number with a unit: its text does for one.
        (OptionKind::Duration | OptionKind::Limit, Value::Text(text)) => {
            let length = text_duration(text).filter(|d| kind == OptionKind::Duration || !d.is_zero());
            return length.map(OptionValue::Duration).ok_or_else(wants);
        }
        (OptionKind::Tools, _) => {
            return match crate::providers::tools::check(&value) {
                Ok(()) => Ok(OptionValue::Value(value)),
                Err((Some(at), what)) => Err(format!("item {at}: {what}")),
                Err((None, what)) => Err(what),
            };
        }
        (OptionKind::Size, Value::Int(n)) if *n > 0 => return Ok(OptionValue::Size(*n as u64)),
        (OptionKind::Size, Value::Text(text)) => {
            return size(text).map(OptionValue::Size).ok_or_else(wants);
        }
        _ => false,
    };
    if ok { Ok(OptionValue::Value(value)) } else { Err(wants()) }
}

/// A duration as text, as `30s`.
fn text_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (_, seconds) = UNITS.iter().find(|(unit, _)| *unit == &text[digits.len()..])?;
    let total = digits.parse::<f64>().ok()? * seconds;
    (0.0..=1e9).contains(&total).then(|| Duration::from_secs_f64(total))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        _ => format!("{} ({})", value.show(60), value.kind()),
    }
}

/// A size in bytes, as `64 MiB` or `1 GB`.
fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
    let factor: u64 = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    digits.parse::<u64>().ok().filter(|n| *n > 0)?.checked_mul(factor)
}
