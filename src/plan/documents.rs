//! Files that a chain reads: one as text, several as documents. What is checked before a run is where they are; they are
//! read when the run comes to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::NodeKind;
use super::glob;
use super::lower::Lowerer;
use super::paths::{PathError, within};
use super::reads::Reads;
use super::scope::{Home, Scope};
use crate::diag::{Code, Diagnostic};
use crate::source::{Span, read_text};
use crate::syntax::ast::{Arg, Operand, OperandKind, Str};
use crate::value::{Type, Value};

/// A file or the files of a pattern, as a file of the project names them.
#[derive(Debug)]
pub struct Files {
    /// The path or pattern as written.
    pub written: String,
    /// Where it stands.
    pub span: Span,
    /// Folder that it is relative to.
    pub base: PathBuf,
    /// Folder that it must not leave.
    pub project: PathBuf,
}

impl Files {
    /// The text of the one file.
    ///
    /// # Errors
    /// It is gone, leads out of the project by now, or is no UTF-8 text.
    pub fn text(&self) -> Result<Value, Box<Diagnostic>> {
        let path = within(&self.project, &self.base, &self.written)
            .map_err(|e| Box::new(at_run(e.diagnostic(&self.written, self.span))))?;
        if !path.is_file() {
            let message = format!("`{}` cannot be read: it is no regular file", self.written);
            return Err(Box::new(Diagnostic::error(Code::E430, self.span, message)));
        }
        let text = read_text(&path).map_err(|e| self.unread(&self.written, &e))?;
        Ok(Value::from(text))
    }

    /// The documents of the pattern, sorted by path.
    ///
    /// # Errors
    /// There are none by now, or one leads out of the project or is no UTF-8 text.
    pub fn documents(&self) -> Result<Value, Box<Diagnostic>> {
        let found = self.find().map_err(|d| Box::new(at_run(*d)))?;
        let read = |(shown, path): &(String, PathBuf)| {
            read_text(path).map(|text| document(shown, text)).map_err(|e| self.unread(shown, &e))
        };
        Ok(Value::list(found.iter().map(read).collect::<Result<_, _>>()?))
    }

    fn unread(&self, shown: &str, error: &crate::source::LoadError) -> Box<Diagnostic> {
        Box::new(Diagnostic::error(Code::E430, self.span, format!("`{shown}` cannot be read: {error}")))
    }

    /// The one file, which is there.
    fn check(&self) -> Result<(), Box<Diagnostic>> {
        let path = within(&self.project, &self.base, &self.written)
            .map_err(|e| Box::new(e.diagnostic(&self.written, self.span)))?;
        if path.is_file() {
            return Ok(());
        }
        let what = if path.is_dir() { "it is a directory" } else { "it is no regular file" };
        let message = format!("`{}` cannot be read: {what}", self.written);
        let diagnostic = Diagnostic::error(Code::E001, self.span, message);
        Err(Box::new(
            diagnostic.help(format!("several files are `files(\"{}/*\")`", self.written.trim_end_matches('/'))),
        ))
    }

    /// Tells what is read: the one file, or those of the pattern and where it looks for them.
    fn reach(&self, one: bool, reads: &Reads) {
        if one {
            if let Ok(path) = within(&self.project, &self.base, &self.written) {
                reads.file(&path);
            }
            return;
        }
        self.find().unwrap_or_default().iter().for_each(|(_, path)| reads.file(path));
        if let Ok(folder) = within(&self.project, &self.base, &self.fixed()) {
            reads.folder(&folder);
        }
    }

    /// The folder before the first part with a star.
    fn fixed(&self) -> String {
        self.written.split('/').take_while(|p| !glob::is_pattern(p)).collect::<Vec<_>>().join("/")
    }

    /// The files of the pattern by the path that is shown, with their true places.
    fn find(&self) -> Result<Vec<(String, PathBuf)>, Box<Diagnostic>> {
        let bad = |text: String| {
            let message = format!("`{}` is no pattern of files: {text}", self.written);
            Box::new(Diagnostic::error(Code::E209, self.span, message))
        };
        // The fixed part says whether the pattern leaves the project.
        if let Err(e @ PathError::Outside(..)) = within(&self.project, &self.base, &self.fixed()) {
            return Err(Box::new(e.diagnostic(&self.written, self.span)));
        }
        let found = glob::find(&self.base, &self.written).map_err(bad)?;
        if found.is_empty() {
            let message = format!("`{}` finds no file", self.written);
            let help = "paths are relative to the folder of the file in which they stand; `**` stands for any folders";
            return Err(Box::new(Diagnostic::error(Code::E001, self.span, message).help(help)));
        }
        let inside = |shown: String| match within(&self.project, &self.base, &shown) {
            Ok(path) => Ok((shown, path)),
            Err(e) => Err(Box::new(e.diagnostic(&shown, self.span))),
        };
        found.into_keys().map(inside).collect()
    }
}

/// What was found wrong before a run, found wrong in one.
fn at_run(diagnostic: Diagnostic) -> Diagnostic {
    Diagnostic { code: Code::E430, ..diagnostic }
}

/// A text with its path, as `files` gives it.
pub fn document(path: &str, text: String) -> Value {
    let fields = [("text".to_owned(), Value::from(text)), ("path".to_owned(), Value::from(path))];
    Value::Map(Arc::new(IndexMap::from(fields)))
}

/// The documents that the command line names: a folder, a pattern or one file. Nothing confines them.
///
/// # Errors
/// What cannot be read, in words.
pub fn named(cwd: &Path, written: &str) -> Result<Value, String> {
    let path = cwd.join(written);
    let found: Vec<(String, PathBuf)> = if path.is_file() {
        vec![(written.to_owned(), path)]
    } else {
        let pattern =
            if path.is_dir() { format!("{}/**/*", written.trim_end_matches('/')) } else { written.to_owned() };
        let pattern = pattern.strip_prefix("./").unwrap_or(&pattern);
        glob::find(cwd, pattern).map_err(|e| format!("no pattern of files: {e}"))?.into_iter().collect()
    };
    if found.is_empty() {
        return Err(format!("nothing: `{written}` finds no file"));
    }
    let read = |(shown, path): &(String, PathBuf)| match read_text(path) {
        Ok(text) => Ok(document(shown, text)),
        Err(e) => Err(format!("a file that cannot be read, `{shown}`: {e}")),
    };
    Ok(Value::list(found.iter().map(read).collect::<Result<_, _>>()?))
}

impl Lowerer<'_> {
    /// `file("p")` and `files("pattern")`.
    pub(super) fn files_stage(
        &mut self,
        name: &str,
        args: Option<&[Arg]>,
        span: Span,
        scope: &Scope,
    ) -> Option<(Home, Type)> {
        let text = self.one_path(name, args, span)?;
        let files = Files {
            written: text.text.clone(),
            span: text.span,
            base: self.base().to_path_buf(),
            project: self.settings.project.clone(),
        };
        let one = name == "file";
        let checked = if one { files.check() } else { files.find().map(drop) };
        files.reach(one, &self.settings.reads);
        if let Err(diagnostic) = checked {
            self.error(*diagnostic);
            return None;
        }
        let files = Arc::new(files);
        let (kind, ty) = match one {
            true => (NodeKind::File(files), Type::Text),
            false => (NodeKind::Files(files), Type::List(Box::new(Type::document()))),
        };
        Some(self.place_node(span, kind, ty, scope))
    }

    /// The one argument of a stage that reads files: a plain text.
    fn one_path<'p>(&mut self, name: &str, args: Option<&'p [Arg]>, span: Span) -> Option<&'p Str> {
        let example = if name == "file" { "`file(\"notes.md\")`" } else { "`files(\"notes/**/*.md\")`" };
        let wrong =
            |span, message: String| Diagnostic::error(Code::E210, span, message).help(format!("as in {example}"));
        let diagnostic = match args {
            Some([Arg { name: None, value, .. }]) => match value.single() {
                Some(Operand { kind: OperandKind::Text(text), .. })
                    if !text.text.contains("{{") && !text.text.contains("{%") =>
                {
                    return Some(text);
                }
                Some(Operand { kind: OperandKind::Text(_) | OperandKind::Expr(_), .. }) => {
                    let message = format!("the path of `{name}` is plain text: it is checked before anything runs");
                    wrong(value.span, message)
                        .help("a file that changes from run to run is a variable: `--var text=@notes.md`")
                }
                _ => wrong(value.span, format!("`{name}` takes a path in quotes")),
            },
            Some([arg, ..]) => match &arg.name {
                Some(option) => {
                    let message = format!("`{name}` has no option `{}`", option.name);
                    Diagnostic::error(Code::E208, option.span, message)
                        .help(format!("it takes a path alone: {example}"))
                }
                None => wrong(
                    arg.span.to(args.and_then(<[Arg]>::last).map_or(span, |a| a.span)),
                    format!("`{name}` takes one path"),
                ),
            },
            _ => wrong(span, format!("`{name}` needs a path")),
        };
        self.error(diagnostic);
        None
    }
}
