//! Libraries: the files that `use` names, and the files that those use.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::paths::{plain, within};
use crate::diag::{Code, Diagnostic};
use crate::source::{Sources, Span};
use crate::syntax::ast::{DeclKind, File, Str};

/// How deep libraries may use libraries.
const DEEPEST: usize = 100;

/// A library's file.
#[derive(Debug)]
pub struct Library {
    /// Its tree.
    pub tree: File,
    /// What messages call it.
    pub shown: String,
    /// Folder that its paths are relative to.
    pub base: PathBuf,
}

/// The libraries of a file. The number of one counts from 1; the file itself is 0.
#[derive(Debug, Default)]
pub struct Libraries {
    /// Every library once, whatever uses it.
    pub files: Vec<Library>,
    /// The library that a `use` names, by the place of its path.
    pub uses: HashMap<Span, usize>,
    /// What is wrong with them and with their uses.
    pub diagnostics: Vec<Diagnostic>,
}

impl Libraries {
    /// Reads the libraries of a file that is called `shown` and stands in the folder `base`.
    pub fn load(file: &File, shown: &str, base: &Path, project: &Path, sources: &mut Sources) -> Self {
        let own = sources.get(file.id).path.as_ref().and_then(|p| p.canonicalize().ok()).unwrap_or_default();
        let mut loading = Loading {
            out: Libraries::default(),
            project,
            sources,
            known: HashMap::new(),
            open: vec![(own, shown.to_owned())],
        };
        loading.uses(file, shown, base);
        loading.out
    }
}

struct Loading<'a> {
    out: Libraries,
    project: &'a Path,
    sources: &'a mut Sources,
    /// Libraries by their true path.
    known: HashMap<PathBuf, usize>,
    /// The files whose uses are being read, outermost first.
    open: Vec<(PathBuf, String)>,
}

impl Loading<'_> {
    fn uses(&mut self, file: &File, shown: &str, base: &Path) {
        for decl in &file.decls {
            if let DeclKind::Use { path, .. } = &decl.kind {
                match self.library(path, shown, base) {
                    Ok(number) => {
                        self.out.uses.insert(path.span, number);
                    }
                    Err(diagnostic) => self.out.diagnostics.push(*diagnostic),
                }
            }
        }
    }

    fn library(&mut self, path: &Str, user: &str, base: &Path) -> Result<usize, Box<Diagnostic>> {
        let written = path.text.as_str();
        let wrong = |code, message: String| Box::new(Diagnostic::error(code, path.span, message));
        if written.contains("{{") || written.contains("{%") {
            return Err(wrong(Code::E104, "the path of a library is plain text, not a template".to_owned()));
        }
        let full = within(self.project, base, written).map_err(|e| Box::new(e.diagnostic(written, path.span)))?;
        if let Some(at) = self.open.iter().position(|(open, _)| *open == full) {
            let mut circle: Vec<&str> = self.open[at..].iter().map(|(_, shown)| shown.as_str()).collect();
            circle.push(&self.open[at].1);
            let message = format!("files use each other in a circle: {}", circle.join(" → "));
            let diagnostic = wrong(Code::E214, message);
            return Err(Box::new(diagnostic.help("move what both need into a third file")));
        }
        if let Some(number) = self.known.get(&full) {
            return Ok(*number);
        }
        if self.open.len() > DEEPEST {
            return Err(wrong(Code::E218, format!("libraries use libraries more than {DEEPEST} deep")));
        }
        let shown = plain(&Path::new(user).parent().unwrap_or(Path::new("")).join(written)).display().to_string();
        let id = self.sources.load(&shown, &full).map_err(|e| {
            let diagnostic = wrong(Code::E001, format!("the library `{written}` cannot be read: {e}"));
            Box::new(diagnostic.help("`use` names one `.chain` file"))
        })?;
        let text = self.sources.get(id).text.clone();
        let (tree, diagnostics) = crate::syntax::parse(id, &text);
        self.out.diagnostics.extend(diagnostics);
        let folder = full.parent().map(Path::to_path_buf).unwrap_or_default();
        self.open.push((full.clone(), shown.clone()));
        self.uses(&tree, &shown, &folder);
        self.open.pop();
        self.out.files.push(Library { tree, shown, base: folder });
        let number = self.out.files.len();
        self.known.insert(full, number);
        Ok(number)
    }
}
