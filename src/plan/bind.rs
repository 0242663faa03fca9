//! Binding: variables get their values.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::{Plan, Variable};
use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::value::{Role, Type, TypeError, Value};

/// A value given for a variable.
pub struct Given {
    /// The variable.
    pub name: String,
    /// Where its name stands on the command line or in a file.
    pub name_span: Span,
    /// The value.
    pub value: GivenValue,
    /// Where the value stands.
    pub value_span: Span,
}

/// A value as it was given.
pub enum GivenValue {
    /// Text, read by the variable's type.
    Text(String),
    /// A value that is read already.
    Value(Value),
    /// A file's text, with its path as given: for a list or map the format follows from the name.
    File(PathBuf, String),
    /// A folder or a pattern of files, for documents, and the folder that it is relative to.
    Files(PathBuf, String),
}

/// Gives every variable its value: the given one, else its default.
///
/// # Errors
/// Unknown names, values that do not fit, variables that are read and have none.
pub fn bind(plan: &Plan, given: &[Given]) -> Result<Vec<Value>, Vec<Diagnostic>> {
    let mut wrong = Vec::new();
    let mut values: Vec<Option<Value>> = vec![None; plan.variables.len()];
    let mut first: IndexMap<&str, Span> = IndexMap::new();
    for item in given {
        if let Some(before) = first.insert(&item.name, item.name_span) {
            let message = format!("the variable `{}` is given twice", item.name);
            wrong.push(Diagnostic::error(Code::E201, item.name_span, message).also(before, "first given here"));
            continue;
        }
        let mut known = false;
        for (i, variable) in plan.variables.iter().enumerate().filter(|(_, v)| v.name == item.name) {
            known = true;
            match value_of(variable, &item.value) {
                Ok(value) => values[i] = Some(value),
                Err(e) => {
                    let diagnostic = unfit(variable, &e, item.value_span);
                    wrong.push(diagnostic);
                }
            }
        }
        if !known {
            wrong.push(unknown(plan, item));
        }
    }
    let mut out = Vec::with_capacity(values.len());
    for (variable, value) in plan.variables.iter().zip(values) {
        match value.or_else(|| variable.default.clone()) {
            Some(value) => out.push(value),
            None if matches!(variable.ty, Type::Optional(_)) || !variable.used => out.push(Value::Null),
            None if wrong.iter().any(|d| d.code == Code::E303 && d.labels.iter().any(|l| l.span == variable.span)) => {
                out.push(Value::Null);
            }
            None => {
                wrong.push(missing(variable));
                out.push(Value::Null);
            }
        }
    }
    if wrong.is_empty() { Ok(out) } else { Err(wrong) }
}

fn unfit(variable: &Variable, error: &TypeError, span: Span) -> Diagnostic {
    let message = format!("the value of `{}` does not fit its type: {error}", variable.name);
    Diagnostic::error(Code::E303, span, message).also(variable.span, format!("declared as {}", variable.ty))
}

fn unknown(plan: &Plan, item: &Given) -> Diagnostic {
    let names: Vec<String> = plan.variables.iter().map(|v| v.name.clone()).collect();
    let diagnostic =
        Diagnostic::error(Code::E301, item.name_span, format!("the chain has no variable `{}`", item.name))
            .did_you_mean(&item.name, names.iter().map(String::as_str));
    if names.is_empty() {
        diagnostic.help("it reads no variables at all")
    } else {
        diagnostic.help(format!("its variables are: {}", super::prompts::list(&names)))
    }
}

fn missing(variable: &Variable) -> Diagnostic {
    let name = &variable.name;
    let mut diagnostic = Diagnostic::error(Code::E302, variable.span, format!("the variable `{name}` has no value"))
        .label(if variable.inferred { "read here" } else { "declared here" });
    if let Some(near) = &variable.resembles {
        diagnostic = diagnostic.help(format!("`{near}` is in reach here: did you mean that?"));
    }
    let example = match &variable.ty {
        Type::Int => "3",
        Type::Float => "0.5",
        Type::Bool => "true",
        Type::List(_) => "@items.yaml",
        _ => "…",
    };
    diagnostic.help(format!("give it: `--var {name}={example}`"))
}

fn value_of(variable: &Variable, given: &GivenValue) -> Result<Value, TypeError> {
    let value = match given {
        GivenValue::Text(text) => from_text(&variable.ty, text)?,
        GivenValue::Value(value) => variable.ty.accept(value)?,
        GivenValue::File(path, text) => of_file(&variable.ty, path, text)?,
        GivenValue::Files(cwd, written) => {
            let wrong = |found: String, help: Option<&str>| TypeError {
                path: String::new(),
                expected: variable.ty.to_string(),
                found,
                help: help.map(str::to_owned),
            };
            if !is_documents(&variable.ty) {
                let help = "folders and patterns of files are for variables of type `[Document]`";
                return Err(wrong(format!("the files of `{written}`"), Some(help)));
            }
            super::documents::named(cwd, written).map_err(|e| wrong(e, None))?
        }
    };
    no_system_message(&value)?;
    Ok(value)
}

/// A file as a value: data where a list or map is asked for, else its text.
fn of_file(ty: &Type, path: &Path, text: &str) -> Result<Value, TypeError> {
    match ty {
        Type::Optional(of) => of_file(of, path, text),
        ty if is_documents(ty) && super::data::end(path).is_none() && path != Path::new("-") => {
            let document = super::documents::document(&path.display().to_string(), text.to_owned());
            Ok(Value::list(vec![document]))
        }
        Type::List(_) | Type::Map(_) | Type::Record(_) | Type::Recursive(_) => ty.accept(&from_file(path, text)?),
        _ => from_text(ty, text.strip_suffix('\n').map_or(text, |t| t.strip_suffix('\r').unwrap_or(t)))
            .or_else(|_| from_text(ty, text)),
    }
}

/// Whether a type is that of documents.
fn is_documents(ty: &Type) -> bool {
    match ty {
        Type::Optional(of) => is_documents(of),
        Type::List(of) => **of == Type::document(),
        _ => false,
    }
}

/// A history holds what was said: a frame for the model belongs into the file.
fn no_system_message(value: &Value) -> Result<(), TypeError> {
    let Value::List(items) = value else { return Ok(()) };
    match items.iter().position(|v| matches!(v, Value::Message(m) if m.role == Role::System)) {
        Some(i) => Err(TypeError {
            path: format!("[{i}]"),
            expected: "a message of user, assistant or tool".to_owned(),
            found: "one of system".to_owned(),
            help: Some("a `system` block of the prompt says it".to_owned()),
        }),
        None => Ok(()),
    }
}

/// Text from the command line as a value of a type. Lists and maps are written as YAML or JSON; of a union the first
/// alternative that fits counts.
///
/// # Errors
/// What does not fit.
pub fn from_text(ty: &Type, text: &str) -> Result<Value, TypeError> {
    let bad = |help: Option<&str>| TypeError {
        path: String::new(),
        expected: ty.to_string(),
        found: Value::from(text).show(60),
        help: help.map(str::to_owned),
    };
    let trimmed = text.trim();
    match ty {
        Type::Text | Type::Any => Ok(Value::from(text)),
        Type::Int => trimmed.parse().map(Value::Int).map_err(|_| bad(None)),
        Type::Float => match trimmed.parse::<f64>() {
            Ok(x) if x.is_finite() => Ok(Value::Float(x)),
            _ => Err(bad(None)),
        },
        Type::Bool => match trimmed {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(bad(Some("write true or false"))),
        },
        Type::Union(all) => {
            for part in all {
                if let Ok(value) = from_text(part, text) {
                    return Ok(value);
                }
            }
            ty.accept(&Value::from(text))
        }
        Type::Optional(of) => from_text(of, text),
        Type::Literal(literal) => {
            let value = match literal {
                crate::value::Literal::Text(_) => Value::from(text),
                crate::value::Literal::Int(_) => trimmed.parse().map(Value::Int).map_err(|_| bad(None))?,
                crate::value::Literal::Float(_) => trimmed.parse().map(Value::Float).map_err(|_| bad(None))?,
                crate::value::Literal::Bool(_) => from_text(&Type::Bool, text)?,
            };
            ty.accept(&value)
        }
        Type::List(_) | Type::Map(_) | Type::Record(_) | Type::Recursive(_) | Type::Message => ty.accept(&yaml(text)?),
        _ => ty.accept(&Value::from(text)),
    }
}

fn from_file(path: &Path, text: &str) -> Result<Value, TypeError> {
    super::data::read(path, text).map_err(|e| TypeError {
        path: String::new(),
        expected: "data".to_owned(),
        found: format!("a fault: {e}"),
        help: None,
    })
}

/// YAML, of which JSON is a part, as a value.
fn yaml(text: &str) -> Result<Value, TypeError> {
    match crate::config::yaml(text) {
        Ok(json) => Ok(Value::from_json(&json)),
        Err(e) => Err(TypeError {
            path: String::new(),
            expected: "YAML or JSON".to_owned(),
            found: e.lines().next().unwrap_or_default().to_owned(),
            help: Some("as in 'words=[a, b]'".to_owned()),
        }),
    }
}
