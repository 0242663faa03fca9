//! Types as written, resolved.

use std::collections::HashMap;
use std::sync::Arc;

use super::declarations::{BUILT_IN_TYPES, Declarations, Named};
use super::lower::Settings;
use super::paths::within;
use crate::diag::{Code, Diagnostic};
use crate::source::read_text;
use crate::syntax::ast::{Path, TypeBody, TypeExpr, TypeKind};
use crate::value::{Field, Literal, Record, Recursive, Type, from_json_schema};

/// A declared type that was met.
#[derive(Clone, Debug)]
pub enum Met {
    /// It is being resolved: where it stands inside itself, its name stands for it.
    Resolving(Arc<Recursive>),
    /// It is known.
    Known(Type),
}

/// Declared types by name.
pub type TypeCache = HashMap<String, Met>;

/// The types of each file, by the file's number.
pub type TypeCaches = HashMap<usize, TypeCache>;

/// Resolves types as written against a file's declarations.
pub struct TypeResolver<'a, 'b> {
    /// The declarations of the file that is run, with its libraries.
    pub main: &'a Declarations<'a>,
    /// The types of the other files.
    pub caches: &'b mut TypeCaches,
    /// The file's declarations.
    pub declarations: &'a Declarations<'a>,
    /// Where the project and the file lie.
    pub settings: &'a Settings,
    /// Where what is wrong goes.
    pub diagnostics: &'b mut Vec<Diagnostic>,
    /// Declared types that are resolved already.
    pub cache: &'b mut TypeCache,
}

impl<'a> TypeResolver<'a, '_> {
    /// The type that `ty` says; `any` where it is wrong, which is reported.
    pub fn resolve(&mut self, ty: &TypeExpr) -> Type {
        match &ty.kind {
            TypeKind::Name(path) => self.named(path),
            TypeKind::Apply(path, of) if path.text() == "schema" => self.schema(path, of),
            TypeKind::Apply(path, of) => {
                let of = self.resolve(of);
                match path.text().as_str() {
                    "map" => Type::Map(Box::new(of)),
                    other => {
                        let message = format!("`{other}` takes no type in brackets");
                        self.diagnostics.push(
                            Diagnostic::error(Code::E205, path.span, message)
                                .help("`map(T)` and `schema(\"file\")` do"),
                        );
                        Type::Any
                    }
                }
            }
            TypeKind::Text(text) => Type::Literal(Literal::Text(text.text.as_str().into())),
            TypeKind::Number(number) => {
                if number.unit.is_empty() {
                    if let Ok(n) = number.digits.parse() {
                        return Type::Literal(Literal::Int(n));
                    }
                    if let Ok(x) = number.digits.parse() {
                        return Type::Literal(Literal::Float(x));
                    }
                }
                let message = format!("`{}{}` is no number", number.digits, number.unit);
                self.diagnostics.push(Diagnostic::error(Code::E205, number.span, message));
                Type::Any
            }
            TypeKind::List(of) => Type::List(Box::new(self.resolve(of))),
            TypeKind::Optional(of) => Type::Optional(Box::new(self.resolve(of))),
            TypeKind::Union(of) => {
                let mut all = Vec::new();
                for t in of {
                    match self.resolve(t) {
                        Type::Union(parts) => all.extend(parts),
                        t => all.push(t),
                    }
                }
                Type::Union(all)
            }
        }
    }

    /// `schema("x.schema.json")`: the type that a JSON Schema in the project describes.
    fn schema(&mut self, path: &Path, of: &TypeExpr) -> Type {
        let TypeKind::Text(written) = &of.kind else {
            let diagnostic = Diagnostic::error(Code::E205, path.span, "`schema` takes the path of a JSON Schema");
            self.diagnostics.push(diagnostic.help("as in `type Meaning = schema(\"meaning.schema.json\")`"));
            return Type::Any;
        };
        let base = if self.declarations.id == 0 { &self.settings.base } else { &self.declarations.base };
        let name = written.text.rsplit('/').next().unwrap_or_default().split('.').next().unwrap_or_default();
        let read = within(&self.settings.project, base, &written.text)
            .map_err(|e| e.diagnostic(&written.text, written.span))
            .and_then(|full| {
                let wrong = |what: String| Diagnostic::error(Code::E205, written.span, what);
                self.settings.reads.file(&full);
                let text = read_text(&full).map_err(|e| wrong(format!("`{}` cannot be read: {e}", written.text)))?;
                let json =
                    serde_json::from_str(&text).map_err(|e| wrong(format!("`{}` is no JSON: {e}", written.text)))?;
                from_json_schema(&json, name).map_err(|e| {
                    let at = if e.at.is_empty() { String::new() } else { format!(" at {}", e.at) };
                    wrong(format!("`{}`{at}: {}", written.text, e.message))
                })
            });
        read.unwrap_or_else(|diagnostic| {
            self.diagnostics.push(diagnostic);
            Type::Any
        })
    }

    fn named(&mut self, path: &Path) -> Type {
        let name = path.text();
        match name.as_str() {
            "string" => return Type::Text,
            "int" => return Type::Int,
            "float" => return Type::Float,
            "bool" => return Type::Bool,
            "datetime" => return Type::DateTime,
            "any" => return Type::Any,
            "null" => return Type::Null,
            "true" => return Type::Literal(Literal::Bool(true)),
            "false" => return Type::Literal(Literal::Bool(false)),
            "Message" => return Type::Message,
            "map" => return Type::Map(Box::new(Type::Any)),
            "Document" => return Type::document(),
            _ => {}
        }
        match self.declarations.named.get(name.as_str()) {
            Some((_, Named::Type(body, doc))) => self.declared(&name, body, *doc, path),
            Some((_, Named::Unreadable)) => Type::Any,
            Some((_, Named::Imported(number, of))) => self.of_library(*number, of, path),
            Some((span, other)) => {
                let message = format!("`{name}` is {}, not a type", other.a_kind());
                self.diagnostics.push(Diagnostic::error(Code::E207, path.span, message).also(*span, "declared here"));
                Type::Any
            }
            None if matches!(name.split_once('.'), Some((first, _)) if matches!(self.declarations.named.get(first), Some((_, Named::Unreadable)))) => {
                Type::Any
            }
            None if self.library(&name).is_some() => match self.library(&name) {
                Some((number, of)) => self.of_library(number, &of, path),
                None => Type::Any,
            },
            None => {
                let declared = self.declarations.named.iter().filter(|(_, (_, n))| matches!(n, Named::Type(..)));
                let names = BUILT_IN_TYPES.iter().copied().chain(declared.map(|(n, _)| *n));
                let diagnostic = Diagnostic::error(Code::E205, path.span, format!("there is no type `{name}`"))
                    .did_you_mean(&name, names)
                    .help("built in are `string`, `int`, `float`, `bool`, `datetime`, `any`, `[T]`, `map(T)` and `T?`");
                self.diagnostics.push(diagnostic);
                Type::Any
            }
        }
    }

    /// The library and the member that a dotted name says.
    fn library(&self, name: &str) -> Option<(usize, String)> {
        let (library, member) = name.split_once('.')?;
        match self.declarations.named.get(library) {
            Some((_, Named::Library(number))) => Some((*number, member.to_owned())),
            _ => None,
        }
    }

    /// A type that a library declares, resolved in its file.
    fn of_library(&mut self, number: usize, name: &str, path: &Path) -> Type {
        let library: &'a Declarations<'a> = self.main.numbered(number);
        let (name, body, doc) = match library.member(name) {
            Some((name, _, Named::Type(body, doc))) => (name, *body, *doc),
            Some((_, _, Named::Unreadable)) => return Type::Any,
            Some((_, span, other)) => {
                let message = format!("`{}` is {}, not a type", path.text(), other.a_kind());
                self.diagnostics.push(Diagnostic::error(Code::E207, path.span, message).also(span, "declared here"));
                return Type::Any;
            }
            None => {
                self.diagnostics.extend(library.no_member(name, path.span));
                return Type::Any;
            }
        };
        let mut cache = self.caches.remove(&number).unwrap_or_default();
        let mut inner = TypeResolver {
            main: self.main,
            caches: &mut *self.caches,
            declarations: library,
            settings: self.settings,
            diagnostics: &mut *self.diagnostics,
            cache: &mut cache,
        };
        let ty = inner.declared(name, body, doc, path);
        self.caches.insert(number, cache);
        ty
    }

    fn declared(&mut self, name: &str, body: &TypeBody, doc: Option<&str>, path: &Path) -> Type {
        match self.cache.get(name) {
            Some(Met::Known(ty)) => return ty.clone(),
            Some(Met::Resolving(itself)) => return Type::Recursive(Arc::clone(itself)),
            None => {}
        }
        let itself = Recursive::new(name);
        self.cache.insert(name.to_owned(), Met::Resolving(Arc::clone(&itself)));
        let ty = self.body(name, body, doc);
        let ty = self.ends(name, ty, &itself, path);
        // Where it was met inside itself, somebody holds the name.
        if Arc::strong_count(&itself) > 2 {
            itself.resolve(ty.clone());
        }
        self.cache.insert(name.to_owned(), Met::Known(ty.clone()));
        ty
    }

    /// Reports a type that no value can have, since it holds itself with nothing between or without end.
    fn ends(&mut self, name: &str, ty: Type, itself: &Recursive, path: &Path) -> Type {
        if !ty.is_bare(itself) && ty.ends_without(itself) {
            return ty;
        }
        let span = self.declarations.named.get(name).map_or(path.span, |(span, _)| *span);
        let message = format!("no value of the type `{name}` ends: it always holds another");
        let help = format!("let it stop: `{name}?` for one that may be absent, `[{name}]` for a list");
        self.diagnostics.push(Diagnostic::error(Code::E205, span, message).help(help));
        Type::Any
    }

    fn body(&mut self, name: &str, body: &TypeBody, doc: Option<&str>) -> Type {
        match body {
            TypeBody::Alias(ty) => self.resolve(ty),
            TypeBody::Record(fields) => {
                let mut out: Vec<Field> = Vec::with_capacity(fields.len());
                for field in fields {
                    if let Some(first) = fields.iter().find(|f| f.name.name == field.name.name)
                        && first.name.span != field.name.span
                    {
                        let message = format!("the field `{}` is given twice", field.name.name);
                        let diagnostic = Diagnostic::error(Code::E201, field.name.span, message);
                        self.diagnostics.push(diagnostic.also(first.name.span, "first given here"));
                        continue;
                    }
                    let ty = self.resolve(&field.ty);
                    out.push(Field { name: field.name.name.clone(), ty, doc: field.doc.clone() });
                }
                Type::Record(Arc::new(Record { name: Some(name.to_owned()), fields: out, doc: doc.map(str::to_owned) }))
            }
        }
    }
}
