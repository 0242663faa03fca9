//! Prompts of models inside this process whose calls have less in common than they could: such a model computes what calls
//! share from their beginning once, and a value early in a prompt cuts that short.

use super::{Ask, Block, Cell, ModelEntry, Node, NodeKind, PromptPart, Ref, Rendering};
use crate::diag::{Code, Diagnostic, Severity};
use crate::source::Span;
use crate::template::Template;

/// Characters behind a value from which on the order matters: some two pages of keys and values.
const WORTH_IT: usize = 240;

/// A note for each prompt with a value before much text that is the same in every call.
pub fn hints(nodes: &[Node], blocks: &[Block], models: &[ModelEntry]) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    for block in blocks {
        for id in &block.nodes {
            let node = &nodes[id.0 as usize];
            let NodeKind::Ask(ask) = &node.kind else { continue };
            let Some(model) = inside(ask, models) else { continue };
            let Some(Ref::Slot { up: 0, slot }) = node.input else { continue };
            let prompt = block.nodes.get(slot as usize).map(|id| &nodes[id.0 as usize].kind);
            let (first, behind) = match prompt {
                Some(NodeKind::Text(r) | NodeKind::Raw(r)) => split(&[r.as_ref()]),
                Some(NodeKind::Prompt(parts)) => match renderings(parts) {
                    Some(all) => split(&all),
                    None => continue,
                },
                _ => continue,
            };
            if let Some((name, span)) = first.filter(|_| behind >= WORTH_IT) {
                out.push(hint(&name, span, behind, model));
            }
        }
    }
    out
}

fn hint(name: &str, span: Span, behind: usize, model: &str) -> Diagnostic {
    let message = format!(
        "`{name}` stands before {behind} characters that are the same in every call, and `{model}` computes those behind a value anew for each"
    );
    Diagnostic::new(Severity::Note, Code::W503, Some(span), message).help("put what is the same first, and values last")
}

/// The first model of a call that runs inside this process.
fn inside<'m>(ask: &Ask, models: &'m [ModelEntry]) -> Option<&'m str> {
    let all = ask.models.iter().filter_map(|id| models.get(id.0 as usize));
    all.filter(|m| m.spec.name == "local").map(|m| m.name.as_str()).next()
}

/// The texts of a prompt in order; nothing where it holds messages or examples, whose length is not known.
fn renderings<'p>(parts: &'p [PromptPart]) -> Option<Vec<&'p Rendering>> {
    let text = |part: &'p PromptPart| match part {
        PromptPart::Message(_, rendering, _) => Some(rendering.as_ref()),
        PromptPart::Messages(..) | PromptPart::Examples(_) => None,
    };
    parts.iter().map(text).collect()
}

/// The first value in some texts, and the characters of the file behind it.
fn split(texts: &[&Rendering]) -> (Option<(String, Span)>, usize) {
    let (mut first, mut behind) = (None, 0);
    for text in texts {
        let (template, names) = (&text.template, &text.names);
        let changes = |name: &str| !matches!(names.get(name), Some(Cell::Constant(_)));
        let value = template.names().iter().filter(|n| changes(n.name())).min_by_key(|n| n.range.start);
        let from = match (&first, value) {
            (Some(_), _) => 0,
            (None, Some(value)) => {
                first = Some((value.name().to_owned(), text.text.locate(&value.range)));
                value.range.end
            }
            (None, None) => continue,
        };
        behind += own_characters(template, from);
    }
    (first, behind)
}

/// Characters of a template's own text from a byte on, without its `{{ … }}`, `{% … %}` and `{# … #}`.
fn own_characters(template: &Template, from: usize) -> usize {
    let mut rest = &template.text()[from..];
    // The value itself stands inside of braces.
    if from > 0 {
        rest = rest.find('}').map_or("", |at| rest[at..].trim_start_matches(['}', '%']));
    }
    let mut count = 0;
    while let Some(open) = rest.find("{{").into_iter().chain(rest.find("{%")).chain(rest.find("{#")).min() {
        count += rest[..open].chars().count();
        let close = match &rest[open..open + 2] {
            "{{" => "}}",
            "{%" => "%}",
            _ => "#}",
        };
        rest = rest[open..].find(close).map_or("", |at| &rest[open + at + 2..]);
    }
    count + rest.chars().count()
}
