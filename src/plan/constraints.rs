//! Whether a model can be held to what the parser behind it takes: known before anything runs.

use super::cell::OptionCell;
use super::lower::Lowerer;
use super::parsing::ParserStage;
use super::{ModelEntry, ModelId};
use crate::diag::{Code, Diagnostic};
use crate::providers::{Enforcement, OptionValue};
use crate::value::{Constraint, Value};

impl Lowerer<'_> {
    /// Reports models that cannot be held to the parser's type: all of them for `json(T)`, else those that are told to.
    pub(super) fn check_constraint(&mut self, models: &[ModelId], stage: &ParserStage) {
        let Some(constraint) = stage.parser.constraint() else { return };
        for id in models {
            let entry = &self.models[id.0 as usize];
            let found = match told(entry) {
                Ok(Some(false)) => None,
                Ok(told) => unenforced(entry, stage, &constraint, told == Some(true)),
                Err(diagnostic) => Some(*diagnostic),
            };
            if let Some(diagnostic) = found
                && !self.diagnostics.iter().any(|d| d.span == diagnostic.span && d.message == diagnostic.message)
            {
                self.error(diagnostic);
            }
        }
    }
}

/// What the option `constrain` says; it must be known before anything runs.
fn told(entry: &ModelEntry) -> Result<Option<bool>, Box<Diagnostic>> {
    let Some(option) = entry.options.get("constrain") else { return Ok(None) };
    match &option.cell {
        OptionCell::Constant(OptionValue::Value(Value::Bool(on))) => Ok(Some(*on)),
        _ => Err(Box::new(
            Diagnostic::error(Code::E209, option.span, "`constrain` is decided before anything runs")
                .help("write true or false"),
        )),
    }
}

/// Whether a model is made to obey a constraint, by the options whose values stand in the file; others are null, for they
/// are given all the same.
fn enforces(entry: &ModelEntry, constraint: &Constraint) -> Enforcement {
    (entry.spec.enforces)(constraint, &|name| match &entry.options.get(name)?.cell {
        OptionCell::Constant(OptionValue::Value(value)) => Some(value.clone()),
        _ => Some(Value::Null),
    })
}

/// The error of a model that does not hold its answers to a parser's constraint and should.
fn unenforced(entry: &ModelEntry, stage: &ParserStage, constraint: &Constraint, insists: bool) -> Option<Diagnostic> {
    let parser = &stage.parser;
    // Free JSON is asked for where it can be; a type is a promise.
    let promised = insists || (parser.name() == "json" && matches!(constraint, Constraint::JsonSchema(_)));
    let why = match enforces(entry, constraint) {
        Enforcement::Enforced | Enforcement::Written => return None,
        Enforcement::CheckedAlone(_) if !insists => return None,
        Enforcement::CheckedAlone(why) => why.to_owned(),
        Enforcement::Never(_) if !promised => return None,
        Enforcement::Never(why) => why,
    };
    let what = format!("`{}` cannot be held to what `{}` takes here: {why}", entry.spec.name, parser.name());
    Some(
        Diagnostic::error(Code::E222, stage.span, what)
            .also(entry.span, "the model")
            .help("`constrain: false` on the model asks without it; the answer is checked all the same"),
    )
}
