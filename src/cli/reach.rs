//! What a test reaches: a digest of it all, so that another digest means another test.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::arguments::TestArgs;
use crate::config::Context;
use crate::plan::Reached;
use crate::plan::testing::Test;
use crate::recording::Tape;
use crate::source::Sources;
use crate::store::digest;
use crate::syntax::ast::{DeclKind, File};
use crate::testing::{ACCEPTED, slug};

/// What the tests of one file reach.
#[derive(Default)]
pub struct Reach {
    /// The digest of what every test of the file reaches: its text without tests, libraries, files, models in the place of others.
    common: String,
    /// The text of each test by where its name begins.
    texts: HashMap<u32, String>,
    /// Digests of accepted snapshots by their names.
    snapshots: Vec<(String, String)>,
    /// Digests of files that were read.
    known: HashMap<PathBuf, String>,
    /// What every test of the file reaches besides.
    all: Reached,
}

impl Reach {
    /// What the tests of the file at `path` reach. `reached` are the files of its chains.
    pub fn new(
        path: &Path,
        tree: &File,
        sources: &Sources,
        reached: Reached,
        args: &TestArgs,
        context: &Context,
    ) -> Self {
        let mut reach = Self { all: reached, ..Self::default() };
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = path.with_file_name("snapshots").join(stem);
        reach.snapshots(&folder);
        let mut parts = vec![env!("CARGO_PKG_VERSION").to_owned()];
        parts.extend(args.models.iter().cloned());
        parts.extend(context.var("CHAINRUN_MODEL").map(str::to_owned));
        let mut rest = String::new();
        let mut from = 0;
        for source in tree.decls.iter().filter(|decl| matches!(decl.kind, DeclKind::Test(_))) {
            let DeclKind::Test(test) = &source.kind else { continue };
            reach.texts.insert(test.name.span.start, digest(sources.slice(source.span).as_bytes()));
            let text = &sources.get(source.span.file).text;
            rest.push_str(text.get(from..source.span.start as usize).unwrap_or_default().trim());
            from = source.span.end as usize;
        }
        if let Some(main) = sources.files().find(|(_, file)| *file == path).map(|(id, _)| id) {
            rest.push_str(sources.get(main).text.get(from..).unwrap_or_default().trim());
        }
        parts.push(rest);
        for (id, file) in sources.files().filter(|(_, file)| *file != path) {
            parts.push(file.display().to_string());
            parts.push(sources.get(id).text.to_string());
            reach.all.files.insert(file.to_path_buf());
        }
        reach.all.files.insert(path.to_path_buf());
        // The text of the file itself counts without its other tests.
        let files: Vec<PathBuf> = reach.all.files.iter().filter(|file| *file != path).cloned().collect();
        parts.extend(files.iter().map(|file| reach.file(file)));
        reach.common = joined(&parts);
        // Recordings are no part of the digest: a run that goes on after a kill recorded some of its calls already.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        reach.all.files.insert(Tape::path_of(&real));
        reach
    }

    fn snapshots(&mut self, folder: &Path) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        self.all.folders.insert(folder.to_path_buf());
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.extension().is_some_and(|end| end == ACCEPTED)
                && let (Some(name), Ok(bytes)) = (path.file_name().and_then(|name| name.to_str()), std::fs::read(&path))
            {
                self.snapshots.push((name.to_owned(), digest(&bytes)));
            }
        }
        self.snapshots.sort();
    }

    /// A file's path with the digest of its bytes.
    fn file(&mut self, path: &Path) -> String {
        if let Some(known) = self.known.get(path) {
            return known.clone();
        }
        let bytes = std::fs::read(path).map(|bytes| digest(&bytes)).unwrap_or_else(|_| "missing".to_owned());
        let told = format!("{} {bytes}", path.display());
        self.known.insert(path.to_path_buf(), told.clone());
        told
    }

    /// The digest of everything that a test reaches.
    pub fn digest(&mut self, test: &Test) -> String {
        let mut parts = vec![self.common.clone()];
        parts.extend(self.texts.get(&test.span.start).cloned());
        let files: Vec<PathBuf> = test.reached.files.iter().cloned().collect();
        parts.extend(files.iter().map(|file| self.file(file)));
        let name = slug(&test.name);
        let own = self.snapshots.iter().filter(|(file, _)| file.starts_with(&name));
        parts.extend(own.map(|(file, digest)| format!("{file} {digest}")));
        joined(&parts)
    }

    /// Whether more is reached than anyone can tell, and why.
    pub fn unknown(&self, test: &Test) -> Option<&'static str> {
        self.all.unknown.or(test.reached.unknown)
    }

    /// Whether a test reaches one of `changed`, which are files at their true places.
    pub fn meets(&self, test: &Test, changed: &dyn Fn(&Path) -> bool, all: &BTreeSet<PathBuf>) -> bool {
        let both = self.all.clone().and(&test.reached);
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        both.files.iter().any(|file| changed(&real(file)))
            || both.folders.iter().any(|folder| all.iter().any(|file| file.starts_with(real(folder))))
    }

    /// The files that the tests reach.
    pub fn files<'t>(&'t self, tests: impl Iterator<Item = &'t Test>) -> BTreeSet<PathBuf> {
        let own = tests.flat_map(|test| test.reached.files.iter().cloned());
        self.all.files.iter().cloned().chain(own).collect()
    }
}

/// One digest of several texts; where one ends counts.
fn joined(parts: &[String]) -> String {
    let mut all = String::new();
    for part in parts {
        all.push_str(&format!("{} {part}\n", part.len()));
    }
    digest(all.as_bytes())
}
