//! Models with a named format (`instruct:`): whether it has a form for the prompt before them, as far as that is known
//! before anything runs.

use super::cell::OptionCell;
use super::lower::Lowerer;
use super::scope::{Home, Scope};
use super::{ModelEntry, ModelId, NodeKind, PromptPart};
use crate::diag::{Code, Diagnostic, Severity};
use crate::providers::OptionValue;
use crate::providers::instruct::{self, Format};
use crate::source::Span;
use crate::syntax::ast::Str;
use crate::value::{Role, Value};

impl Lowerer<'_> {
    /// Reports prompts that a model's format has no form for, and warns of texts that hold the format's own marks.
    pub(super) fn check_format(&mut self, models: &[ModelId], scope: &Scope, span: Span) {
        let Some((Home::Slot(depth, slot), _)) = &scope.input else { return };
        let Some(node) = self.node_of(*depth, *slot) else { return };
        let kind = node.kind.clone();
        for id in models {
            let Some(format) = named(&self.models[id.0 as usize]) else { continue };
            match &kind {
                NodeKind::Text(rendering) => self.no_marks(format, &rendering.text),
                NodeKind::Prompt(parts) => {
                    for part in parts.iter() {
                        if let PromptPart::Message(_, rendering, _) = part {
                            self.no_marks(format, &rendering.text);
                        }
                    }
                    if let Some(what) = refused(format, parts) {
                        let message = format!("the format `{}` {what}", format.name);
                        self.error(
                            Diagnostic::error(Code::E211, span, message).also(first_text(parts, span), "the prompt"),
                        );
                    }
                }
                _ => {}
            }
        }
    }

    /// Warns of the format's marks that are words: tokens of templates are told of wherever they stand.
    fn no_marks(&mut self, format: &Format, text: &Str) {
        let Some((mark, range)) = format.first_in(&text.text) else { return };
        if crate::providers::control::first_in(&text.text).is_some() {
            return;
        }
        let message = format!("the text holds `{mark}`, and the format `{}` adds its marks again", format.name);
        let diagnostic = Diagnostic::new(Severity::Warning, Code::W501, Some(text.locate(&range)), message);
        self.error(diagnostic.help("a format written by hand goes out as it stands as `raw \"…\"`"));
    }
}

/// The format that a model's option names in the file itself.
fn named(entry: &ModelEntry) -> Option<&'static Format> {
    match &entry.options.get("instruct")?.cell {
        OptionCell::Constant(OptionValue::Value(Value::Text(name))) => instruct::find(name),
        _ => None,
    }
}

/// Why a format has no form for a prompt, where that is sure whatever its templates print.
fn refused(format: &Format, parts: &[PromptPart]) -> Option<String> {
    let mut roles = Vec::with_capacity(parts.len());
    let mut sure = true;
    for part in parts {
        match part {
            PromptPart::Message(role, rendering, _) if rendering.template.always_says() => roles.push(*role),
            PromptPart::Message(_, rendering, images) if rendering.template.is_plain() && images.is_empty() => {}
            _ => sure = false,
        }
    }
    if sure {
        return format.refuses(&roles);
    }
    // A system message that a format has no place for has none whatever else is said.
    let alone = [Role::System, Role::User];
    format.refuses(&alone).filter(|_| roles.contains(&Role::System))
}

/// Where a prompt says something first.
fn first_text(parts: &[PromptPart], span: Span) -> Span {
    let first = parts.iter().find_map(|part| match part {
        PromptPart::Message(_, rendering, _) => Some(rendering.text.span),
        _ => None,
    });
    first.unwrap_or(span)
}
