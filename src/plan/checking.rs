//! Checking a file as a whole: every declaration of it, whichever chain will run.

use std::collections::HashSet;

use super::ModelEntry;
use super::declarations::{Declarations, Named};
use super::lower::{Lowerer, Settings, distinct};
use super::models::Sort;
use crate::diag::Diagnostic;
use crate::source::Sources;
use crate::syntax::ast::{DeclKind, File, Ident, TypeExpr};

/// What [`check`] found.
pub struct Checked {
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// The models that can be read: first those that the file's chains ask, then what else is declared.
    pub models: Vec<ModelEntry>,
    /// How many of them the file's chains ask.
    pub asked: usize,
    /// The embedders, in the same order.
    pub embedders: Vec<ModelEntry>,
    /// How many of them the file's chains and their indexes use.
    pub embedding: usize,
}

/// Checks every declaration of a file, whichever chain will run.
///
/// Libraries are checked as well. What their chains read and do not declare is given where they are used.
pub fn check(sources: &Sources, file: &File, declarations: &Declarations, settings: &Settings) -> Checked {
    let mut lowerer = Lowerer::new(sources, declarations, settings);
    lowerer.check_overrides();
    let (asked, embedding) = check_file(&mut lowerer, file, declarations);
    for library in &declarations.libraries {
        (lowerer.root, lowerer.declarations, lowerer.lenient) = (library, library, true);
        if let Some(file) = library.file {
            check_file(&mut lowerer, file, library);
        }
    }
    let Lowerer { diagnostics, models, embedders, .. } = lowerer;
    Checked { diagnostics: distinct(diagnostics), models, asked, embedders, embedding }
}

/// Gives the numbers of models and of embedders that were read before those that no chain of the file uses.
fn check_file<'a>(lowerer: &mut Lowerer<'a>, file: &File, declarations: &'a Declarations<'a>) -> (usize, usize) {
    lowerer.declare_variables();
    let used = used_names(file);
    let chains = declarations.chains();
    let (inner, outer): (Vec<&str>, Vec<&str>) = chains.into_iter().partition(|c| used.contains(c));
    for name in outer.into_iter().chain(inner) {
        if lowerer.visited.contains(&lowerer.key(declarations.id, name)) {
            continue;
        }
        if let Some(chain) = declarations.chain(name) {
            lowerer.root(name, chain);
            let hints = super::sharing::hints(&lowerer.nodes, &lowerer.blocks, &lowerer.models);
            lowerer.diagnostics.extend(hints);
            lowerer.reset();
        }
    }
    let used = (lowerer.models.len(), lowerer.embedders.len());
    for (name, (span, named)) in &declarations.named {
        match named {
            Named::Model(_) => {
                lowerer.declared_model(name, *span, Sort::Model);
            }
            Named::Embedder(_) => {
                lowerer.declared_model(name, *span, Sort::Embedder);
            }
            Named::Index(body) => {
                lowerer.index(declarations.id, name, body, *span);
                lowerer.reset();
            }
            Named::Prompt(body) => lowerer.prompt_syntax(body),
            Named::Type(..) => {
                let path = crate::syntax::ast::Path {
                    parts: vec![Ident { name: (*name).to_owned(), span: *span }],
                    span: *span,
                };
                lowerer.resolve_type(&TypeExpr { span: *span, kind: crate::syntax::ast::TypeKind::Name(path) });
            }
            Named::Chain(_) | Named::Library(_) | Named::Imported(..) | Named::Unreadable => {}
        }
    }
    used
}

/// The names that pipelines of a file use as stages.
fn used_names(file: &File) -> HashSet<&str> {
    let mut out = HashSet::new();
    for decl in &file.decls {
        match &decl.kind {
            DeclKind::Chain { body, .. } | DeclKind::Index { body, .. } | DeclKind::Bare(body) => {
                super::stages::used_in(body, &mut out)
            }
            _ => {}
        }
    }
    out
}
