//! The options and the argument of a model, checked against its provider's description.

use std::path::Path;

use indexmap::IndexMap;

use super::super::cell::{OptionCell, OptionEntry};
use super::super::data;
use super::super::lower::Lowerer;
use super::super::paths::{PathError, within};
use super::super::scope::Scope;
use super::super::templating::Place;
use super::super::values::{constant, convert, duration};
use super::{ModelEntry, Stand};
use crate::config::Origin;
use crate::diag::{Code, Diagnostic};
use crate::providers::{self, OptionKind, OptionSpec, OptionValue, Spec};
use crate::source::{Span, read_text};
use crate::syntax::ast::{Arg, Operand, OperandKind, Path as Named, Pipeline};
use crate::value::{Value, nearest};

impl Lowerer<'_> {
    pub(super) fn options(&mut self, entry: &mut ModelEntry, args: &[Arg], stand: &Stand) -> bool {
        let mut fine = true;
        let mut places: IndexMap<&'static str, Span> = IndexMap::new();
        for arg in args {
            let Some(name) = &arg.name else {
                fine &= self.argument(entry, arg, stand);
                continue;
            };
            let Some(option) = entry.spec.option(&name.name) else {
                let diagnostic = unknown_option(entry.spec, &name.name, name.span);
                self.error(diagnostic);
                fine = false;
                continue;
            };
            if let Some(first) = places.insert(option.name, name.span) {
                let message = format!("the option `{}` is given twice", option.name);
                self.error(Diagnostic::error(Code::E201, name.span, message).also(first, "first given here"));
                fine = false;
                continue;
            }
            match self.option(option, &arg.value, stand) {
                Some(cell) => {
                    let origin = match &stand.origin {
                        Origin::File(_) => Origin::File(self.sources.place(name.span)),
                        other => other.clone(),
                    };
                    entry.options.insert(option.name, OptionEntry { cell, span: arg.value.span, origin });
                }
                None => fine = false,
            }
        }
        fine
    }

    /// Whether a path that stands in a file lies in its project. One that is not there is for a run to miss.
    fn confined(&mut self, cell: &OptionCell, span: Span) -> bool {
        let OptionCell::Constant(OptionValue::Value(Value::Text(written))) = cell else { return true };
        match within(&self.settings.project, self.base(), written) {
            Err(error @ PathError::Outside(..)) => {
                self.error(error.diagnostic(written, span));
                false
            }
            // One that is not there yet may come.
            Ok(full) | Err(PathError::Io(_, full)) => {
                self.settings.reads.file(&full);
                true
            }
        }
    }

    fn argument(&mut self, entry: &mut ModelEntry, arg: &Arg, stand: &Stand) -> bool {
        let spec = &entry.spec.argument;
        if let Some((_, first)) = &entry.argument {
            let message = format!("`{}` takes one unnamed argument", entry.spec.name);
            let diagnostic = Diagnostic::error(Code::E210, arg.span, message).also(*first, "the first");
            self.error(diagnostic.help("options have names: `temperature: 0.1`"));
            return false;
        }
        match self.option(spec, &arg.value, stand) {
            Some(cell) => {
                let fine = !stand.in_file || spec.kind != OptionKind::Path || self.confined(&cell, arg.span);
                entry.argument = Some((cell, arg.span));
                fine
            }
            None => false,
        }
    }

    /// An option's value, checked as far as it is known.
    fn option(&mut self, spec: &'static OptionSpec, value: &Pipeline, stand: &Stand) -> Option<OptionCell> {
        let Some(operand) = value.single() else {
            self.error(Diagnostic::error(
                Code::E209,
                value.span,
                format!("`{}` wants {}", spec.name, spec.kind.describe()),
            ));
            return None;
        };
        let scope = Scope::default();
        let place = Place::new(&scope);
        match (&operand.kind, spec.kind) {
            (OperandKind::Number(number), kind)
                if matches!(kind, OptionKind::Duration | OptionKind::Limit)
                    || (kind == OptionKind::Any && !number.unit.is_empty()) =>
            {
                match duration(number).and_then(|d| bound(spec, d, number.span)) {
                    Ok(d) => return Some(OptionCell::Constant(OptionValue::Duration(d))),
                    Err(diagnostic) => {
                        self.error(diagnostic);
                        return None;
                    }
                }
            }
            (OperandKind::Text(text), OptionKind::Path) if text.text.contains("{{") || text.text.contains("{%") => {
                return self.no_variable(spec, operand.span);
            }
            (OperandKind::Expr(_), OptionKind::Path) => return self.no_variable(spec, operand.span),
            (OperandKind::Text(text), _) if text.text.contains("{{") || text.text.contains("{%") => {
                if !stand.in_file {
                    return self.no_template(operand.span);
                }
                return self.template(text, &place).map(OptionCell::Template);
            }
            (OperandKind::Expr(expr), _) => {
                if !stand.in_file {
                    return self.no_template(operand.span);
                }
                return self.expression(expr, &place).map(|(e, _)| OptionCell::Expression(e));
            }
            (OperandKind::Call { path, args: None }, _)
                if !matches!(path.text().as_str(), "true" | "false" | "none") =>
            {
                return self.secret(spec, path);
            }
            _ => {}
        }
        if spec.kind == OptionKind::Tools {
            return self.tools(spec, operand, stand);
        }
        let checked = constant(operand).and_then(|value| {
            convert(value, spec.kind)
                .map_err(|e| Diagnostic::error(Code::E209, operand.span, format!("`{}` {e}", spec.name)))
        });
        match checked {
            Ok(value) => Some(OptionCell::Constant(value)),
            Err(diagnostic) => {
                self.error(diagnostic);
                None
            }
        }
    }

    /// Definitions of tools: a list, or those of a file.
    fn tools(&mut self, spec: &OptionSpec, operand: &Operand, stand: &Stand) -> Option<OptionCell> {
        let (value, file) = match &operand.kind {
            OperandKind::Text(path) => (self.tools_file(&path.text, path.span, stand), Some(path.text.as_str())),
            _ => (constant(operand), None),
        };
        let checked = value.and_then(|value| match providers::tools::check(&value) {
            Ok(()) => Ok(value),
            Err((at, what)) => {
                // Of a list in the file the place is that of the tool.
                let span = match (&operand.kind, at) {
                    (OperandKind::List(items), Some(at)) => items.get(at).map(|item| item.span),
                    _ => None,
                };
                let place = match (file, at, span) {
                    (Some(file), Some(at), _) => format!("`{}`, `{file}`, item {at}: ", spec.name),
                    (Some(file), None, _) => format!("`{}`, `{file}` ", spec.name),
                    (None, Some(_), Some(_)) => format!("`{}`: ", spec.name),
                    (None, Some(at), None) => format!("`{}`, item {at}: ", spec.name),
                    (None, None, _) => format!("`{}` ", spec.name),
                };
                let diagnostic = Diagnostic::error(Code::E209, span.unwrap_or(operand.span), format!("{place}{what}"));
                Err(diagnostic.help(format!("a tool is {}", providers::tools::FORM)))
            }
        });
        match checked {
            Ok(value) => Some(OptionCell::Constant(OptionValue::Value(value))),
            Err(diagnostic) => {
                self.error(diagnostic);
                None
            }
        }
    }

    /// The value of a data file; one that a `.chain` file names lies in its project.
    fn tools_file(&self, written: &str, span: Span, stand: &Stand) -> Result<Value, Diagnostic> {
        let full = match stand.in_file {
            true => within(&self.settings.project, self.base(), written).map_err(|e| e.diagnostic(written, span))?,
            false => self.settings.cwd.join(written),
        };
        let wrong = |what: String| {
            Diagnostic::error(Code::E001, span, format!("`{written}` cannot be read: {what}"))
                .help("`tools:` is a list, or the path of a JSON or YAML file that holds one")
        };
        self.settings.reads.file(&full);
        let text = read_text(&full).map_err(|e| wrong(e.to_string()))?;
        data::read(Path::new(written), &text).map_err(|e| wrong(e.to_string()))
    }

    fn no_variable(&mut self, spec: &OptionSpec, span: Span) -> Option<OptionCell> {
        let message = format!("`{}` wants {}: no variable stands in it", spec.name, spec.kind.describe());
        let help = "`--model 'NAME=replay(\"FILE\")'` names another one on the command line";
        self.error(Diagnostic::error(Code::E209, span, message).help(help));
        None
    }

    fn no_template(&mut self, span: Span) -> Option<OptionCell> {
        self.error(Diagnostic::error(Code::E209, span, "outside a file an option is a plain value"));
        None
    }

    fn secret(&mut self, spec: &OptionSpec, path: &Named) -> Option<OptionCell> {
        let name = path.text();
        if self.declarations.secrets.contains_key(name.as_str()) {
            if spec.kind == OptionKind::Secret {
                return Some(OptionCell::Secret(name));
            }
            let message = format!("`{name}` is a secret, and `{}` would show it", spec.name);
            self.error(
                Diagnostic::error(Code::E215, path.span, message).help("secrets stand in options such as `api_key:`"),
            );
            return None;
        }
        let diagnostic = if self.declarations.variables.contains_key(name.as_str()) {
            Diagnostic::error(Code::E209, path.span, format!("`{name}` is a variable: write `{{{{ {name} }}}}`"))
        } else {
            let secrets = self.declarations.secrets.keys().copied();
            let diagnostic = Diagnostic::error(Code::E209, path.span, format!("`{name}` is no value"));
            match nearest(&name, secrets) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None if spec.kind == OptionKind::Secret => diagnostic.help(format!("declare it: `secret {name}`")),
                None => diagnostic.help(format!("a text stands in quotes: `\"{name}\"`")),
            }
        };
        self.error(diagnostic);
        None
    }
}

/// A length of time, refused where it bounds something and is nothing.
fn bound(spec: &OptionSpec, length: std::time::Duration, span: Span) -> Result<std::time::Duration, Diagnostic> {
    if spec.kind == OptionKind::Limit && length.is_zero() {
        let message = format!("`{}` wants {}, found nothing", spec.name, spec.kind.describe());
        return Err(Diagnostic::error(Code::E209, span, message).help("without a bound, leave it out"));
    }
    Ok(length)
}

/// An option that a provider does not have.
fn unknown_option(spec: &'static Spec, name: &str, span: Span) -> Diagnostic {
    let diagnostic = Diagnostic::error(Code::E208, span, format!("`{}` has no option `{name}`", spec.name));
    if let Some((_, why)) = spec.explained.iter().find(|(n, _)| *n == name) {
        return diagnostic.help(*why);
    }
    let names = spec.all_options().flat_map(|o| std::iter::once(o.name).chain(o.aliases.iter().copied()));
    if let Some(near) = nearest(name, names) {
        return diagnostic.help(format!("did you mean `{near}`?"));
    }
    let others: Vec<&str> = providers::PROVIDERS.iter().filter(|s| s.option(name).is_some()).map(|s| s.name).collect();
    let known: Vec<&str> = spec.all_options().map(|o| o.name).collect();
    let diagnostic = if others.is_empty() {
        diagnostic
    } else {
        diagnostic.help(format!("`{name}` is an option of `{}`", others.join("`, `")))
    };
    let diagnostic = diagnostic.help(format!("its options are: {}", known.join(", ")));
    if spec.option("options").is_some() {
        diagnostic.help(format!("what chainrun does not know goes through as `options: {{ {name}: … }}`"))
    } else {
        diagnostic
    }
}
