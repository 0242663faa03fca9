//! What changed since a commit, as the `git` command tells.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a repository had at a commit, and what differs now.
struct Repository {
    /// Its files at the commit.
    had: BTreeSet<PathBuf>,
    /// Files that differ or are gone.
    differ: BTreeSet<PathBuf>,
}

/// Changes since one commit, in the repositories that the files of tests lie in.
pub struct Changes {
    reference: String,
    repositories: HashMap<PathBuf, Repository>,
    roots: HashMap<PathBuf, PathBuf>,
}

impl Changes {
    /// Changes since the commit that `reference` names.
    pub fn since(reference: &str) -> Self {
        Self { reference: reference.to_owned(), repositories: HashMap::new(), roots: HashMap::new() }
    }

    /// Asks git about the repository of a file.
    ///
    /// # Errors
    /// There is no git, no repository or no such commit.
    pub fn ask(&mut self, file: &Path) -> Result<(), String> {
        let folder = file.parent().unwrap_or(Path::new("."));
        if self.roots.contains_key(folder) {
            return Ok(());
        }
        let root = git(folder, &["rev-parse", "--show-toplevel"])?;
        let root = PathBuf::from(root.trim_end_matches(['\n', '\r']));
        let root = root.canonicalize().unwrap_or(root);
        self.roots.insert(folder.to_path_buf(), root.clone());
        if self.repositories.contains_key(&root) {
            return Ok(());
        }
        let commit = format!("{}^{{commit}}", self.reference);
        let commit = git(&root, &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])
            .map_err(|_| format!("`git:{}` names no commit of {}", self.reference, root.display()))?;
        let commit = commit.trim();
        let paths = |out: String| out.split('\0').filter(|name| !name.is_empty()).map(|name| root.join(name)).collect();
        let had = paths(git(&root, &["ls-tree", "-r", "-z", "--name-only", "--full-tree", commit])?);
        let diff = ["diff", "-z", "--name-only", "--no-renames", "--no-ext-diff", "--no-textconv", commit, "--"];
        let differ = paths(git(&root, &diff)?);
        self.repositories.insert(root, Repository { had, differ });
        Ok(())
    }

    /// Whether a file, at its true place, is another one than at the commit. One that was not there and is not is the same.
    pub fn changed(&self, file: &Path) -> bool {
        let holds = self.repositories.iter().filter(|(root, _)| file.starts_with(root));
        // Of nested repositories the inner one has the file.
        let inner = holds.max_by_key(|(root, _)| root.components().count());
        inner.is_none_or(|(_, of)| of.differ.contains(file) || (!of.had.contains(file) && file.exists()))
    }

    /// Everything that differs or is gone.
    pub fn all(&self) -> BTreeSet<PathBuf> {
        self.repositories.values().flat_map(|of| of.differ.iter().cloned()).collect()
    }
}

fn git(folder: &Path, words: &[&str]) -> Result<String, String> {
    let mut command = Command::new("git");
    // A repository's own settings start no command.
    command.arg("-C").arg(folder).args(["-c", "core.fsmonitor=false", "--no-pager"]).args(words);
    let done = command.output().map_err(|e| format!("`--changed git:REF` needs the `git` command: {e}"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(format!("`git {}` failed: {}", words[0], said.lines().next().unwrap_or("it says nothing")))
}
