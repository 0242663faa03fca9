//! Paths written in a file: relative to it, and confined to its project.

use std::path::{Component, Path, PathBuf};

use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::value::nearest;

/// The project of a folder: the nearest one upwards with `chainrun.yaml` or `.git`, else itself.
pub fn project(base: &Path) -> PathBuf {
    // Of `a/../b` the folder `a` is no parent.
    let base = real(base);
    let found = base.ancestors().find(|d| d.join("chainrun.yaml").is_file() || d.join(".git").exists());
    found.unwrap_or(&base).to_path_buf()
}

/// Why a path cannot be used.
#[derive(Debug)]
pub enum PathError {
    /// It leads out of the project, which is named; over a link where `true`.
    Outside(PathBuf, bool),
    /// There is no such file, or the system refuses it.
    Io(std::io::Error, PathBuf),
}

/// `path` without `.` and `..`, as text says it and no link is asked.
pub fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => match out.components().next_back() {
                Some(Component::Normal(_)) => {
                    out.pop();
                }
                Some(Component::RootDir | Component::Prefix(_)) => {}
                _ => out.push(".."),
            },
            other => out.push(other),
        }
    }
    out
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

/// The true place of `written`, which stands in a file in the folder `base`.
///
/// # Errors
/// It leads out of `project`, directly or over a link, or it is not there.
pub fn within(project: &Path, base: &Path, written: &str) -> Result<PathBuf, PathError> {
    let project = real(project);
    let full = plain(&real(base).join(written));
    if !full.starts_with(&project) {
        return Err(PathError::Outside(project, false));
    }
    match full.canonicalize() {
        Ok(path) if path.starts_with(&project) => Ok(path),
        Ok(_) => Err(PathError::Outside(project, true)),
        Err(e) => Err(PathError::Io(e, full)),
    }
}

impl PathError {
    /// What is wrong, at the place of the path.
    pub fn diagnostic(self, written: &str, span: Span) -> Diagnostic {
        match self {
            PathError::Outside(project, linked) => {
                let how = if linked { ", over a link" } else { "" };
                let message = format!("`{written}` leads out of the project{how}");
                let help = format!(
                    "the project is `{}`: the nearest folder with `chainrun.yaml` or `.git`, else the file's own",
                    project.display()
                );
                Diagnostic::error(Code::E230, span, message)
                    .help(help)
                    .help("copy the file into the project, or put a `chainrun.yaml` into the folder that holds both")
            }
            PathError::Io(error, full) => {
                let error = crate::source::LoadError::Io(error);
                let message = format!("`{written}` cannot be read: {error}");
                let diagnostic = Diagnostic::error(Code::E001, span, message);
                match neighbour(&full) {
                    Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                    None => diagnostic.help("paths are relative to the folder of the file in which they stand"),
                }
            }
        }
    }
}

/// The file in the same folder that was probably meant.
fn neighbour(full: &Path) -> Option<String> {
    let name = full.file_name()?.to_str()?;
    let entries = std::fs::read_dir(full.parent()?).ok()?;
    let names: Vec<String> = entries.take(1000).filter_map(|e| e.ok()?.file_name().into_string().ok()).collect();
    nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::plain;
    use std::path::Path;

    #[test]
    fn dots_are_taken_out() {
        assert_eq!(plain(Path::new("/a/./b/../c")), Path::new("/a/c"));
        assert_eq!(plain(Path::new("/../a")), Path::new("/a"));
        assert_eq!(plain(Path::new("../a/../../b")), Path::new("../../b"));
    }
}
