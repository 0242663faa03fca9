//! What a run is given from outside: environment, folders, clock, settings. `cli` makes the [`Context`] and hands it
//! down; nothing else reads the environment or the clock.

mod prices;
pub mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

pub use prices::{EVERY, Price, Prices};

/// Where a setting's value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything: the provider's own default.
    Default,
    /// The `.chain` file, at `file:line:column`.
    File(String),
    /// The command line.
    CommandLine,
    /// A variable of the environment.
    Environment(&'static str),
    /// A configuration file.
    Config(PathBuf),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(place) => f.write_str(place),
            Origin::CommandLine => f.write_str("command line"),
            Origin::Environment(name) => write!(f, "environment: {name}"),
            Origin::Config(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

/// What the outside gives to a run.
#[derive(Clone, Debug)]
pub struct Context {
    /// The environment's variables.
    pub env: BTreeMap<String, String>,
    /// The working folder.
    pub cwd: PathBuf,
    /// Where chainrun keeps models: `CHAINRUN_HOME/models`, else the user's data folder.
    pub models_dir: PathBuf,
    /// Where answers are kept that a model says `cache: true` of: `cache` beside `models`.
    pub cache_dir: PathBuf,
    /// Nothing but loopback may be reached.
    pub offline: bool,
    /// When the process began: the zero of every duration.
    pub started: Instant,
}

impl Context {
    /// A variable of the environment that is set and not empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// Where the vectors of indexes are kept: `vectors` inside the folder of kept answers.
    pub fn vectors_dir(&self) -> PathBuf {
        self.cache_dir.join("vectors")
    }

    /// A context from an environment and a working folder.
    pub fn new(env: BTreeMap<String, String>, cwd: PathBuf, offline: bool, started: Instant) -> Self {
        let data = data_dir(&env);
        Self { models_dir: data.join("models"), cache_dir: data.join("cache"), env, cwd, offline, started }
    }
}

/// `CHAINRUN_HOME`, else the user's data folder for chainrun (XDG base directory specification).
fn data_dir(env: &BTreeMap<String, String>) -> PathBuf {
    let set = |name: &str| env.get(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(home) = set("CHAINRUN_HOME") {
        return home;
    }
    if let Some(data) = set("XDG_DATA_HOME") {
        return data.join("chainrun");
    }
    match set("HOME").or_else(|| set("USERPROFILE")) {
        Some(home) => home.join(".local/share/chainrun"),
        None => Path::new(".chainrun").to_path_buf(),
    }
}

/// YAML text as JSON; `yes` and `no` stay text.
///
/// # Errors
/// What is wrong with the text, with its line.
pub fn yaml(text: &str) -> Result<serde_json::Value, String> {
    let options = serde_yaml::options! { strict_booleans: true };
    serde_yaml::from_str_with_options(text, options).map_err(|e| e.to_string())
}
