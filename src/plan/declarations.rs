//! What a file declares: one space of names for models, prompts, chains and types, one for variables and secrets.

use std::path::PathBuf;

use indexmap::IndexMap;

use super::library::Libraries;
use crate::diag::{Code, Diagnostic};
use crate::parsers;
use crate::providers;
use crate::source::Span;
use crate::syntax::ast::{Decl, DeclKind, File, Ident, Param, Pipeline, PromptBody, TypeBody, TypeExpr};

/// Names that nothing may be called.
pub const RESERVED: &[&str] =
    &["input", "output", "error", "format_instructions", "as", "match", "raw", "true", "false", "none"];

/// Built-in stages that run a pipeline of their own or stop one.
pub const CONTROL_STAGES: &[&str] = &["each", "repeat", "timeout", "require"];

/// Built-in stages that are neither models nor parsers.
pub const STAGES: &[&str] = &["fill", "file", "files", "exec", "embed", "retrieve", "split", "store"];

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
    /// An embedder.
    Embedder(&'a Pipeline),
    /// An index.
    Index(&'a Pipeline),
    /// A prompt.
    Prompt(&'a PromptBody),
    /// A chain.
    Chain(ChainDecl<'a>),
    /// A type.
    Type(&'a TypeBody, Option<&'a str>),
    /// A library, by its number.
    Library(usize),
    /// A declaration of a library, by the library's number and its name there.
    Imported(usize, &'a str),
    /// Something that could not be read, or that this version does not have: uses of it are no further errors.
    Unreadable,
}

impl Named<'_> {
    /// What a message calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Named::Model(_) => "model",
            Named::Embedder(_) => "embedder",
            Named::Index(_) => "index",
            Named::Prompt(_) => "prompt",
            Named::Chain(_) => "chain",
            Named::Type(..) => "type",
            Named::Library(_) => "library",
            Named::Imported(..) | Named::Unreadable => "declaration",
        }
    }

    /// How a template comes to a value of what is called `name`.
    pub fn to_a_value(&self, name: &str) -> String {
        match self {
            Named::Model(_) => format!("ask it and name the answer: `… | {name} as answer`"),
            Named::Embedder(_) => format!("name the vector that it makes: `… | embed({name}) as vector`"),
            Named::Index(_) => {
                format!("name the documents that it gives: `retrieve({name}, query: {{{{ … }}}}) as found`")
            }
            _ => format!("run it as a stage and name its value: `{name} as …`"),
        }
    }

    /// Whether it could not be read.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Named::Unreadable)
    }

    /// The same with its article.
    pub fn a_kind(&self) -> String {
        let kind = self.kind();
        format!("{} {kind}", if kind.starts_with(['e', 'i']) { "an" } else { "a" })
    }
}

/// The declarations of one file by name.
#[derive(Default)]
pub struct Declarations<'a> {
    /// The file's number: 0, or a library's.
    pub id: usize,
    /// The file; none for an empty collection.
    pub file: Option<&'a File>,
    /// What messages call a library.
    pub shown: &'a str,
    /// Folder that a library's paths are relative to.
    pub base: PathBuf,
    /// The declarations of every library, in the order of their numbers; only beside the file that is run.
    pub libraries: Vec<Declarations<'a>>,
    /// Models, embedders, prompts, chains, indexes and types.
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
    /// Collects the declarations of a file and its libraries, and reports what is wrong with the libraries' texts,
    /// names that are given twice, reserved or not to be had.
    pub fn collect(file: &'a File, libraries: &'a Libraries, diagnostics: &mut Vec<Diagnostic>) -> Self {
        diagnostics.extend(libraries.diagnostics.iter().cloned());
        let mut all = Self::of_file(file, libraries, diagnostics);
        for (i, library) in libraries.files.iter().enumerate() {
            let mut its = Self::of_file(&library.tree, libraries, diagnostics);
            (its.id, its.shown, its.base) = (i + 1, &library.shown, library.base.clone());
            all.libraries.push(its);
        }
        all.check_imports(diagnostics);
        all
    }

    /// Declares what another file declares too.
    pub fn add(&mut self, file: &'a File, libraries: &Libraries, diagnostics: &mut Vec<Diagnostic>) {
        for decl in &file.decls {
            self.declare(decl, libraries, diagnostics);
        }
    }

    fn of_file(file: &'a File, libraries: &Libraries, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut all = Declarations { file: Some(file), ..Declarations::default() };
        for decl in &file.decls {
            all.declare(decl, libraries, diagnostics);
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

    fn declare(&mut self, decl: &'a Decl, libraries: &Libraries, diagnostics: &mut Vec<Diagnostic>) {
        let doc = decl.doc.as_deref();
        match &decl.kind {
            DeclKind::Var(param) => {
                self.declares_variables = true;
                self.variable(param, doc, diagnostics);
            }
            DeclKind::Secret { name } => self.secret(name, diagnostics),
            DeclKind::Type { name, body } => self.name(name, Named::Type(body, doc), diagnostics),
            DeclKind::Model { name, body } => self.name(name, Named::Model(body), diagnostics),
            DeclKind::Embedder { name, body } => self.name(name, Named::Embedder(body), diagnostics),
            DeclKind::Index { name, body } => self.name(name, Named::Index(body), diagnostics),
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
                let Some(number) = libraries.uses.get(&path.span) else {
                    for name in alias.iter().chain(names) {
                        self.unreadable(Some(name));
                    }
                    return;
                };
                if let Some(alias) = alias {
                    self.name(alias, Named::Library(*number), diagnostics);
                }
                for name in names {
                    self.name(name, Named::Imported(*number, &name.name), diagnostics);
                }
            }
            // Tests are looked at by themselves: nothing else names them.
            DeclKind::Test(_) => {}
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

    /// Reports names that a `use` takes from a library which does not declare them, and libraries called like a variable:
    /// templates read both.
    fn check_imports(&mut self, diagnostics: &mut Vec<Diagnostic>) {
        let mut missing: Vec<(usize, &'a str)> = Vec::new();
        for file in std::iter::once(&*self).chain(&self.libraries) {
            for (name, (span, named)) in &file.named {
                match named {
                    Named::Imported(number, _) => {
                        let library = &self.libraries[number - 1];
                        if library.member(name).is_none() {
                            missing.push((file.id, name));
                            diagnostics.extend(library.no_member(name, *span));
                        }
                    }
                    Named::Library(_) => {
                        let variable = file.variables.get(name).map(|(p, _)| p.name.span);
                        if let Some(first) = variable.or_else(|| file.secrets.get(name).copied()) {
                            let ident = Ident { name: (*name).to_owned(), span: *span };
                            diagnostics.push(twice(&ident, first));
                        }
                    }
                    _ => {}
                }
            }
        }
        for (id, name) in missing {
            let file = if id == 0 { &mut *self } else { &mut self.libraries[id - 1] };
            if let Some((_, named)) = file.named.get_mut(name) {
                *named = Named::Unreadable;
            }
        }
    }

    /// What a library itself declares as `name`; what it uses of others it does not hand on.
    pub fn member(&self, name: &str) -> Option<(&'a str, Span, &Named<'a>)> {
        let (_, key, (span, named)) = self.named.get_full(name)?;
        (!matches!(named, Named::Library(_) | Named::Imported(..))).then_some((*key, *span, named))
    }

    /// What to say of a name that a library does not declare; nothing where a broken declaration may be it.
    pub fn no_member(&self, name: &str, span: Span) -> Option<Diagnostic> {
        if self.incomplete {
            return None;
        }
        let message = format!("the library `{}` declares no `{name}`", self.shown);
        let diagnostic = Diagnostic::error(Code::E203, span, message);
        if let Some((param, _)) = self.variables.get(name) {
            return Some(
                diagnostic
                    .also(param.name.span, "it is a variable there")
                    .help(format!("a template reads it as `{{{{ lib.{name} }}}}` after `use \"…\" as lib`")),
            );
        }
        if let Some((other, _)) = self.named.get(name) {
            let help = "a library hands on nothing that it uses itself: `use` that file here too";
            return Some(diagnostic.also(*other, "it comes from another library").help(help));
        }
        let names: Vec<String> =
            self.named.keys().filter(|n| self.member(n).is_some()).map(|n| (*n).to_owned()).collect();
        Some(
            diagnostic
                .did_you_mean(name, names.iter().map(String::as_str))
                .help(format!("it declares: {}", super::prompts::list(&names))),
        )
    }

    /// The file with this number.
    pub fn numbered(&self, number: usize) -> &Declarations<'a> {
        number.checked_sub(1).and_then(|i| self.libraries.get(i)).unwrap_or(self)
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
    } else if STAGES.contains(&name) || CONTROL_STAGES.contains(&name) {
        Some("a built-in stage")
    } else if BUILT_IN_TYPES.contains(&name) {
        Some("a built-in type")
    } else {
        None
    }
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
