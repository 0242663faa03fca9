//! `..` in maps.

use std::sync::Arc;

use indexmap::IndexMap;

use super::Cell;
use super::lower::Lowerer;
use super::scope::Scope;
use super::templating::Place;
use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{ExprLit, MapEntry, Spread, SpreadOf};
use crate::value::{Field, Record, Type};

/// The maps that a map takes over.
pub(super) struct Spreads {
    /// The maps with their places.
    pub(super) maps: Vec<(Cell, Span)>,
    /// Their fields, where the types of all are known.
    fields: Option<IndexMap<String, Field>>,
}

impl Spreads {
    /// The type of the map with `added` in it.
    pub(super) fn with(&self, added: Vec<Field>) -> Type {
        let Some(mut fields) = self.fields.clone() else { return Type::Map(Box::new(Type::Any)) };
        fields.extend(added.into_iter().map(|f| (f.name.clone(), f)));
        Type::Record(Arc::new(Record { name: None, fields: fields.into_values().collect(), doc: None }))
    }
}

impl Lowerer<'_> {
    /// The spreads among the entries of a map; they stand before the others.
    pub(super) fn spreads(&mut self, entries: &[MapEntry], scope: &Scope) -> Option<Spreads> {
        let mut out = Spreads { maps: Vec::new(), fields: Some(IndexMap::new()) };
        let mut fine = true;
        let mut pair: Option<Span> = None;
        for entry in entries {
            match entry {
                MapEntry::Pair(key, _) => pair = pair.or(Some(key.span)),
                MapEntry::Spread(spread) => {
                    if let Some(pair) = pair {
                        let diagnostic = Diagnostic::error(
                            Code::E104,
                            spread.span,
                            "a spread stands before the entries that it would replace",
                        )
                        .also(pair, "this entry stands before it")
                        .help("write `{ ..input, a: … }`: the entries behind it are added or replace its own");
                        self.error(diagnostic);
                        fine = false;
                    }
                    match self.spread(spread, scope) {
                        Some((cell, ty)) => {
                            out.maps.push((cell, spread.span));
                            out.fields = match (out.fields, ty.unfolded()) {
                                (Some(mut fields), Type::Record(record)) => {
                                    fields.extend(record.fields.iter().map(|f| (f.name.clone(), f.clone())));
                                    Some(fields)
                                }
                                _ => None,
                            };
                        }
                        None => fine = false,
                    }
                }
            }
        }
        fine.then_some(out)
    }

    fn spread(&mut self, spread: &Spread, scope: &Scope) -> Option<(Cell, Type)> {
        let expr = match &spread.of {
            SpreadOf::Expr(expr) => expr.clone(),
            SpreadOf::Name(path) if path.text() == "input" => {
                ExprLit { text: "input".to_owned(), start: path.span.start, span: path.span }
            }
            SpreadOf::Name(path) => {
                let name = path.text();
                let message = format!("`..{name}` spreads a bare name, and only `input` is a value that stands so");
                let diagnostic = Diagnostic::error(Code::E203, path.span, message);
                self.error(diagnostic.help(format!("a value is read through `{{{{ }}}}`: `..{{{{ {name} }}}}`")));
                return None;
            }
        };
        let (evaluation, ty) = self.expression(&expr, &Place::new(scope))?;
        if !is_map(&ty) {
            let mut diagnostic =
                Diagnostic::error(Code::E211, expr.span, format!("only a map can be spread, found {ty}"));
            diagnostic = match &ty {
                Type::Optional(of) if is_map(of) => diagnostic
                    .help(format!("it may be absent: `..{{{{ {} or {{}} }}}}` stands in for that", expr.text.trim())),
                _ => diagnostic.help("give the value a key: `{ value: {{ … }} }`"),
            };
            self.error(diagnostic);
            return None;
        }
        Some((Cell::Expression(evaluation), ty))
    }
}

/// Whether every value of a type may be a map.
fn is_map(ty: &Type) -> bool {
    match ty.unfolded() {
        Type::Any | Type::Record(_) | Type::Map(_) => true,
        Type::Union(all) => all.iter().all(is_map),
        _ => false,
    }
}
