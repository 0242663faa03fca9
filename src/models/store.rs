//! Models on disk: one file a catalog entry, in the folder of [`Context::models_dir`].

use std::path::PathBuf;

use super::catalog::{Entry, catalog};
use crate::config::Context;

/// A model that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its catalog entry.
    pub entry: &'static Entry,
    /// Its file.
    pub path: PathBuf,
}

/// Where an entry's file lies, or would lie. The name has a part of the digest, so that a new digest is a new file.
pub fn path_of(entry: &Entry, context: &Context) -> PathBuf {
    let name = entry.name.replace([':', '/'], "-");
    let digest = entry.sha256.get(..12).unwrap_or(entry.sha256);
    context.models_dir.join(format!("{name}-{digest}.gguf"))
}

/// The models of the catalog that are there. Files get their final name only after their digest was checked, so the
/// size is a sufficient sign.
pub fn installed(context: &Context) -> Vec<Installed> {
    let there = |e: &&'static Entry| path_of(e, context).metadata().is_ok_and(|m| m.is_file() && m.len() == e.size);
    catalog().iter().filter(there).map(|entry| Installed { entry, path: path_of(entry, context) }).collect()
}
