//! Declared names over files: what a name stands for, and the way into the library that declares it.

use super::declarations::{Declarations, Named};
use super::lower::Lowerer;
use super::models::Sort;
use super::scope::Scope;
use super::templating::Place;
use super::{Cell, Ref};
use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::Param;
use crate::template::{NameUse, PathPart};
use crate::value::{Field, Record, Type, Value};

/// A declaration that a name stands for.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    /// The number of the file that declares it.
    pub file: usize,
    /// What it is called there.
    pub name: &'a str,
    /// Where.
    pub span: Span,
    /// What it is.
    pub named: &'a Named<'a>,
}

/// A prompt or chain that is used.
#[derive(Clone)]
pub struct Callee {
    /// Its name at the place of use.
    pub name: String,
    /// The number of the file that declares it.
    pub file: usize,
    /// What it is called in messages about circles, one name for one declaration.
    pub key: String,
}

/// A way into another file: where its declaration is used.
pub struct Entry {
    /// The number of the file.
    pub file: usize,
    /// What is used, as written.
    pub name: String,
    /// Where.
    pub span: Span,
}

impl<'a> Lowerer<'a> {
    /// The file with this number.
    pub(super) fn numbered(&self, number: usize) -> &'a Declarations<'a> {
        self.main.numbered(number)
    }

    /// What a name, as written in the present file, stands for: a declaration of the file or of a library.
    pub(super) fn find(&self, name: &str) -> Option<Found<'a>> {
        self.find_in(self.declarations, name)
    }

    pub(super) fn find_in(&self, file: &'a Declarations<'a>, name: &str) -> Option<Found<'a>> {
        let of = |number: usize, name: &str| {
            let (name, span, named) = self.numbered(number).member(name)?;
            Some(Found { file: number, name, span, named })
        };
        match file.named.get_full(name) {
            Some((_, _, (_, Named::Imported(number, name)))) => of(*number, name),
            Some((_, name, (span, named))) => Some(Found { file: file.id, name, span: *span, named }),
            None => {
                let (library, name) = name.split_once('.')?;
                match file.named.get(library) {
                    Some((_, Named::Library(number))) => of(*number, name),
                    _ => None,
                }
            }
        }
    }

    /// The models and embedders in the file's reach, as it and the command line write them: `mistral`, `lib.mistral`.
    pub(super) fn model_names(&self) -> Vec<String> {
        let is_model = |name: &str| self.find(name).is_some_and(|f| Sort::of(f.named).is_some());
        let mut names = Vec::new();
        for (name, (_, named)) in &self.declarations.named {
            match named {
                Named::Library(number) => {
                    let members = self.numbered(*number).named.keys().map(|member| format!("{name}.{member}"));
                    names.extend(members.filter(|member| is_model(member)));
                }
                _ if is_model(name) => names.push((*name).to_owned()),
                _ => {}
            }
        }
        names
    }

    /// The library in which a dotted name was sought.
    pub(super) fn library_of(&self, name: &str) -> Option<(usize, &'a Declarations<'a>)> {
        let (library, _) = name.split_once('.')?;
        match self.declarations.named.get(library) {
            Some((_, Named::Library(number))) => Some((*number, self.numbered(*number))),
            _ => None,
        }
    }

    /// Reports a member that a library does not have. Gives whether the name is one of a library.
    pub(super) fn reports_member(&mut self, name: &str, span: Span) -> bool {
        let Some((_, library)) = self.library_of(name) else { return self.is_unreadable(name) };
        let member = name.split_once('.').map_or("", |(_, member)| member);
        if let Some(diagnostic) = library.no_member(member, span) {
            self.error(diagnostic);
        }
        true
    }

    /// Whether a dotted name seeks in a library that could not be read, which is reported already.
    pub(super) fn is_unreadable(&self, name: &str) -> bool {
        let first = name.split_once('.').map_or("", |(first, _)| first);
        matches!(self.declarations.named.get(first), Some((_, Named::Unreadable)))
    }

    /// A declaration as something that is used.
    pub(super) fn callee(&self, written: &str, found: &Found) -> Callee {
        Callee { name: written.to_owned(), file: found.file, key: self.key(found.file, found.name) }
    }

    /// One name for one declaration, whatever it is called where it is used.
    pub(super) fn key(&self, file: usize, name: &str) -> String {
        if file == 0 { name.to_owned() } else { format!("{}:{name}", self.numbered(file).shown) }
    }

    /// Does something in the file that declares what is used at `span`.
    pub(super) fn inside<T>(&mut self, file: usize, name: &str, span: Span, act: impl FnOnce(&mut Self) -> T) -> T {
        if file == self.declarations.id {
            return act(self);
        }
        let declarations = self.numbered(file);
        let before = std::mem::replace(&mut self.declarations, declarations);
        self.entries.push(Entry { file, name: name.to_owned(), span });
        let out = act(self);
        self.entries.pop();
        self.declarations = before;
        out
    }

    /// Folder that paths in the present file are relative to.
    pub(super) fn base(&self) -> &'a std::path::Path {
        if self.declarations.id == 0 { &self.settings.base } else { &self.declarations.base }
    }

    /// Whether names are read in a library, on behalf of the file that uses it.
    pub(super) fn in_library(&self) -> bool {
        self.declarations.id != self.root.id
    }

    /// The declarations of a variable by the libraries on the way here, outermost first; a chain with parameters hides
    /// those of its own file.
    fn library_variables(&self, name: &str, scope: &Scope) -> Vec<(usize, &'a Param, Option<&'a str>)> {
        let files = self.entries.iter().map(|e| e.file).filter(|f| *f != self.root.id);
        files
            .filter(|file| !(scope.closed && scope.closed_in == *file))
            .filter_map(|file| self.numbered(file).variables.get(name).map(|(param, doc)| (file, *param, *doc)))
            .collect()
    }

    /// What a free name of a library means: the name at its place of use, else the library's own default.
    pub(super) fn library_name(&mut self, name: &str, span: Span, place: &Place) -> Option<(Cell, Type)> {
        let scope = place.scope;
        let declared = self.library_variables(name, scope);
        if !scope.closed {
            if !self.root.variables.contains_key(name)
                && let Some((file, param, doc)) = declared.first()
                && !self.root.declares_variables
                && self.variable_span(name).is_none()
            {
                // A file without `var` asks for what its libraries need, in their words.
                let variable = self.inside(*file, name, span, |s| s.parameter(param, *doc));
                self.infer_variable(variable);
            }
            let known = scope.known();
            if let Some((index, ty)) = self.variable(name, span, &place.infer, &known) {
                return self.fits_library(name, &ty, span, scope).then_some((Cell::Ref(Ref::Variable(index)), ty));
            }
        }
        for (file, param, doc) in &declared {
            let variable = self.inside(*file, name, span, |s| s.parameter(param, *doc));
            match variable.default {
                Some(value) => return Some((Cell::Constant(value), variable.ty)),
                None if matches!(variable.ty, Type::Optional(_)) => {
                    return Some((Cell::Constant(Value::Null), variable.ty));
                }
                None => {}
            }
        }
        let diagnostic = self.missing_in_library(name, span, scope, &declared);
        self.error(diagnostic);
        None
    }

    fn missing_in_library(
        &self,
        name: &str,
        span: Span,
        scope: &Scope,
        declared: &[(usize, &Param, Option<&str>)],
    ) -> Diagnostic {
        let known = scope.known();
        let Some(entry) = self.entries.iter().find(|e| e.file != self.root.id) else {
            return Diagnostic::error(Code::E204, span, format!("unknown variable `{name}`"));
        };
        let used = &entry.name;
        let diagnostic =
            Diagnostic::error(Code::E210, entry.span, format!("`{used}` needs `{name}`, which is nothing here"));
        let diagnostic = match declared.first() {
            Some((_, param, _)) => diagnostic.also(param.name.span, "declared here, without a default"),
            None => diagnostic.also(span, "read here"),
        };
        let diagnostic = diagnostic.did_you_mean(name, known.iter().map(String::as_str));
        if scope.closed {
            diagnostic.help(format!("give it: `{used}({name}: {{{{ … }}}})`"))
        } else {
            diagnostic.help(format!("give it: `{used}({name}: {{{{ … }}}})`, or declare it: `var {name}: string`"))
        }
    }

    /// Whether a value that a library reads as `name` has the type that the library's `var` gives to it.
    pub(super) fn fits_library(&mut self, name: &str, ty: &Type, span: Span, scope: &Scope) -> bool {
        for (file, param, _) in self.library_variables(name, scope) {
            let wanted = self.inside(file, name, span, |s| s.resolve_type(&param.ty));
            let as_text = *ty == Type::Message && wanted == Type::Text;
            if !as_text && !ty.fits(&wanted) {
                let entry = self.entries.iter().find(|e| e.file == file);
                let (used, at) = entry.map_or((name, span), |e| (e.name.as_str(), e.span));
                let message = format!("`{used}` reads `{name}` as {wanted}, and it is {ty} here");
                let diagnostic = Diagnostic::error(Code::E211, at, message).also(param.ty.span, "declared here");
                self.error(diagnostic);
                return false;
            }
        }
        true
    }

    /// `lib.voice` in a template: a variable of a library, with its default.
    pub(super) fn library_value(
        &mut self,
        name_use: &NameUse,
        number: usize,
        locate: &impl Fn(&std::ops::Range<usize>) -> Span,
    ) -> Option<(Cell, Type)> {
        let library = self.numbered(number);
        let Some(PathPart::Name(alias)) = name_use.path.first() else { return None };
        let mut known: Vec<String> = library.variables.keys().map(|n| (*n).to_owned()).collect();
        known.sort();
        let Some(PathPart::Field(name) | PathPart::Key(name)) = name_use.path.get(1) else {
            let message = format!("`{alias}` is a library, which is no value");
            let diagnostic = Diagnostic::error(Code::E204, locate(&name_use.name_range), message)
                .help(format!("a template reads its variables: {}", super::prompts::list(&known)));
            self.error(diagnostic);
            return None;
        };
        let range = if name_use.path.len() == 2 { &name_use.last_range } else { &name_use.range };
        let Some((param, doc)) = library.variables.get(name.as_str()) else {
            if library.incomplete {
                return None;
            }
            let message = format!("the library `{}` has no variable `{name}`", library.shown);
            let diagnostic = Diagnostic::error(Code::E204, locate(range), message)
                .did_you_mean(name, known.iter().map(String::as_str));
            let diagnostic = match library.member(name) {
                Some((_, span, named)) => diagnostic
                    .also(span, format!("`{name}` is {}, which no template can read", named.a_kind()))
                    .help(named.to_a_value(&format!("{alias}.{name}"))),
                None => diagnostic.help(format!("its variables are: {}", super::prompts::list(&known))),
            };
            self.error(diagnostic);
            return None;
        };
        let variable = self.inside(number, name, locate(range), |s| s.parameter(param, *doc));
        let value = match variable.default {
            Some(value) => value,
            None if matches!(variable.ty, Type::Optional(_)) => Value::Null,
            None => {
                let message = format!("`{alias}.{name}` has no value: the variable has no default");
                let diagnostic = Diagnostic::error(Code::E204, locate(range), message);
                self.error(diagnostic.also(param.name.span, "declared here"));
                return None;
            }
        };
        let field = Field { name: name.clone(), ty: variable.ty, doc: None };
        let record = Record { name: Some(library.shown.to_owned()), fields: vec![field], doc: None };
        let map = std::iter::once((name.clone(), value)).collect();
        Some((Cell::Constant(Value::Map(std::sync::Arc::new(map))), Type::Record(std::sync::Arc::new(record))))
    }

    /// The library that a name of a template stands for.
    pub(super) fn library_named(&self, name: &str, scope: &Scope) -> Option<usize> {
        match self.declarations.named.get(name) {
            Some((_, Named::Library(number))) if scope.binding(name).is_none() => Some(*number),
            _ => None,
        }
    }
}
