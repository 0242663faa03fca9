//! What a file declares: one space of names for models, prompts, chains and types, one for variables and secrets.

use indexmap::IndexMap;

use crate::diag::{Code, Diagnostic};
use crate::parsers;
use crate::providers;
use crate::source::Span;
use crate::syntax::ast::{Decl, DeclKind, File, Ident, Param, Pipeline, PromptBody, TypeBody, TypeExpr};

/// Names that nothing may be called.
pub const RESERVED: &[&str] =
    &["input", "output", "error", "format_instructions", "as", "match", "raw", "true", "false", "none"];

/// Built-in stages that this version does not have yet.
pub const LATER_STAGES: &[&str] =
    &["each", "require", "repeat", "timeout", "file", "files", "embed", "retrieve", "split", "store", "exec", "schema"];

/// Names of built-in types.
pub const BUILT_IN_TYPES: &[&str] =
    &["string", "int", "float", "bool", "datetime", "any", "map", "Message", "Document", "null"];

/// A declared chain.
pub struct ChainDecl<'a> {
    /// Its name; none for the bare pipeline.
    pub name: Option<&'a Ident>,
    /// Its parameters, where it has brackets.
    pub params: Option<&'a [Param]>,
    /// The declared type of its result.
    pub result: Option<&'a TypeExpr>,
    /// Its stages.
    pub body: &'a Pipeline,
    /// Its doc comment.
    pub doc: Option<&'a str>,
}

/// What a name of the shared space stands for.
pub enum Named<'a> {
    /// A model.
    Model(&'a Pipeline),
    /// A prompt.
    Prompt(&'a PromptBody),
    /// A chain.
    Chain(ChainDecl<'a>),
    /// A type.
    Type(&'a TypeBody, Option<&'a str>),
    /// Something that could not be read, or that this version does not have: uses of it are no further errors.
    Unreadable,
}

impl Named<'_> {
    /// What a message calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Named::Model(_) => "model",
            Named::Prompt(_) => "prompt",
            Named::Chain(_) => "chain",
            Named::Type(..) => "type",
            Named::Unreadable => "declaration",
        }
    }
}

/// The declarations of one file by name.
#[derive(Default)]
pub struct Declarations<'a> {
    /// Models, prompts, chains and types.
    pub named: IndexMap<&'a str, (Span, Named<'a>)>,
    /// Variables.
    pub variables: IndexMap<&'a str, (&'a Param, Option<&'a str>)>,
    /// Secrets.
    pub secrets: IndexMap<&'a str, Span>,
    /// The bare pipeline.
    pub bare: Option<ChainDecl<'a>>,
    /// Whether a variable is declared, broken ones included: then all are.
    pub declares_variables: bool,
    /// Whether something could not be read, so that a missing name may be its.
    pub incomplete: bool,
}

impl<'a> Declarations<'a> {
    /// Collects a file's declarations and reports names that are given twice, reserved or not to be had yet.
    pub fn collect(file: &'a File, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut all = Declarations::default();
        for decl in &file.decls {
            all.declare(decl, diagnostics);
        }
        if let (Some(bare), Some((name, (span, _)))) =
            (&all.bare, all.named.iter().find(|(_, (_, n))| matches!(n, Named::Chain(_))))
        {
            diagnostics.push(
                Diagnostic::error(
                    Code::E216,
                    bare.body.span,
                    "a file holds either one bare pipeline or chains, not both",
                )
                .label("a bare pipeline")
                .also(*span, format!("the chain `{name}`"))
                .help("give the pipeline a name: `chain main = …`"),
            );
        }
        all
    }

    fn declare(&mut self, decl: &'a Decl, diagnostics: &mut Vec<Diagnostic>) {
        let doc = decl.doc.as_deref();
        match &decl.kind {
            DeclKind::Var(param) => {
                self.declares_variables = true;
                self.variable(param, doc, diagnostics);
            }
            DeclKind::Secret { name } => self.secret(name, diagnostics),
            DeclKind::Type { name, body } => self.name(name, Named::Type(body, doc), diagnostics),
            DeclKind::Model { name, body } => self.name(name, Named::Model(body), diagnostics),
            DeclKind::Prompt { name, body } => self.name(name, Named::Prompt(body), diagnostics),
            DeclKind::Chain { name, params, result, body } => {
                let chain =
                    ChainDecl { name: Some(name), params: params.as_deref(), result: result.as_ref(), body, doc };
                self.name(name, Named::Chain(chain), diagnostics);
            }
            DeclKind::Bare(body) => match &self.bare {
                Some(first) => diagnostics.push(
                    Diagnostic::error(Code::E216, body.span, "a file holds one bare pipeline, and this is the second")
                        .also(first.body.span, "the first")
                        .help("give both a name: `chain first = …`, `chain second = …`"),
                ),
                None => self.bare = Some(ChainDecl { name: None, params: None, result: None, body, doc }),
            },
            DeclKind::Use { path, alias, names } => {
                self.incomplete = true;
                diagnostics.push(later(path.span, "`use`"));
                for name in alias.iter().chain(names) {
                    self.named.entry(&name.name).or_insert((name.span, Named::Unreadable));
                }
            }
            DeclKind::Later { keyword, name } => {
                let span = name.as_ref().map_or(decl.span, |n| n.span);
                diagnostics.push(later(span, &format!("`{keyword}`")));
                self.unreadable(name.as_ref());
            }
            DeclKind::Broken { keyword, name } => {
                self.declares_variables |= *keyword == Some("var");
                self.unreadable(name.as_ref());
            }
        }
    }

    fn unreadable(&mut self, name: Option<&'a Ident>) {
        self.incomplete = true;
        if let Some(name) = name {
            self.named.entry(&name.name).or_insert((name.span, Named::Unreadable));
        }
    }

    fn variable(&mut self, param: &'a Param, doc: Option<&'a str>, diagnostics: &mut Vec<Diagnostic>) {
        let name = &param.name;
        if reserved(name, diagnostics) || has_hyphen(name, diagnostics) {
            return;
        }
        let before = self.variables.get(name.name.as_str()).map(|(p, _)| p.name.span);
        match before.or_else(|| self.secrets.get(name.name.as_str()).copied()) {
            Some(first) => diagnostics.push(twice(name, first)),
            None => {
                self.variables.insert(&name.name, (param, doc));
            }
        }
    }

    fn secret(&mut self, name: &'a Ident, diagnostics: &mut Vec<Diagnostic>) {
        if reserved(name, diagnostics) {
            return;
        }
        let before = self.variables.get(name.name.as_str()).map(|(p, _)| p.name.span);
        match before.or_else(|| self.secrets.get(name.name.as_str()).copied()) {
            Some(first) => diagnostics.push(twice(name, first)),
            None => {
                self.secrets.insert(&name.name, name.span);
            }
        }
    }

    fn name(&mut self, name: &'a Ident, named: Named<'a>, diagnostics: &mut Vec<Diagnostic>) {
        if reserved(name, diagnostics) || has_hyphen(name, diagnostics) {
            return;
        }
        if let Some(what) = built_in(&name.name) {
            diagnostics.push(
                Diagnostic::error(Code::E202, name.span, format!("`{}` is {what} already", name.name))
                    .help("choose another name: built-in names cannot be declared anew"),
            );
            return;
        }
        match self.named.get(name.name.as_str()) {
            Some((first, _)) => diagnostics.push(twice(name, *first)),
            None => {
                self.named.insert(&name.name, (name.span, named));
            }
        }
    }

    /// The chain called `name`; the bare pipeline is called `main`.
    pub fn chain(&self, name: &str) -> Option<&ChainDecl<'a>> {
        match self.named.get(name) {
            Some((_, Named::Chain(chain))) => Some(chain),
            _ if name == "main" => self.bare.as_ref(),
            _ => None,
        }
    }

    /// The names of all chains, in written order.
    pub fn chains(&self) -> Vec<&str> {
        let bare = self.bare.iter().map(|_| "main");
        let named = self.named.iter().filter(|(_, (_, n))| matches!(n, Named::Chain(_))).map(|(name, _)| *name);
        bare.chain(named).collect()
    }
}

/// What a built-in name is, with its article.
pub fn built_in(name: &str) -> Option<&'static str> {
    if parsers::find(name).is_some() {
        Some("a parser")
    } else if providers::find(name).is_some() || name == "local" {
        Some("a provider")
    } else if name == "fill" || LATER_STAGES.contains(&name) {
        Some("a built-in stage")
    } else if BUILT_IN_TYPES.contains(&name) {
        Some("a built-in type")
    } else {
        None
    }
}

/// A part of the language that is still to come.
pub fn later(span: Span, what: &str) -> Diagnostic {
    Diagnostic::error(Code::E107, span, format!("{what} is not in this version of chainrun yet"))
}

/// A second declaration of a name.
fn twice(name: &Ident, first: Span) -> Diagnostic {
    Diagnostic::error(Code::E201, name.span, format!("`{}` is declared twice", name.name))
        .label("declared again here")
        .also(first, "first declared here")
}

/// Reports a reserved name.
pub fn reserved(name: &Ident, diagnostics: &mut Vec<Diagnostic>) -> bool {
    let is = RESERVED.contains(&name.name.as_str()) || name.name == "tool";
    if is {
        diagnostics.push(
            Diagnostic::error(Code::E202, name.span, format!("`{}` is reserved", name.name))
                .help("choose another name"),
        );
    }
    is
}

/// Reports a hyphen: templates would read it as a minus.
pub fn has_hyphen(name: &Ident, diagnostics: &mut Vec<Diagnostic>) -> bool {
    let is = name.name.contains('-');
    if is {
        diagnostics.push(
            Diagnostic::error(
                Code::E202,
                name.span,
                format!("`{}` has a hyphen, which templates read as minus", name.name),
            )
            .help(format!("call it `{}`", name.name.replace('-', "_"))),
        );
    }
    is
}
