//! A project's `chainrun.yaml`, read strictly: a key that does not exist or a value that does not fit is an error with its
//! place. Each section is one line of [`SECTIONS`] and one file.

mod default_model;
mod prices;
mod redactions;

use std::path::{Path, PathBuf};

use crate::config::tree::{self, Data, Key, Node};
use crate::config::{Origin, Prices};
use crate::diag::{Code, Diagnostic};
use crate::plan::project;
use crate::source::{Sources, Span};
use crate::testing::Redaction;

/// The file's name.
pub const FILE: &str = "chainrun.yaml";

/// The settings of a project.
#[derive(Default)]
pub struct Configuration {
    /// The default model.
    pub model: Option<(String, Origin)>,
    /// What of a value is not compared with its snapshot.
    pub redactions: Vec<Redaction>,
    /// What models cost.
    pub prices: Prices,
}

/// A section of the file.
struct Section {
    name: &'static str,
    /// What to write.
    example: &'static str,
    read: fn(&mut Reader<'_>, &Key, &Node, &mut Configuration),
}

const SECTIONS: [Section; 3] = [
    Section { name: "model", example: default_model::EXAMPLE, read: default_model::read },
    Section { name: "test", example: redactions::EXAMPLE, read: redactions::read },
    Section { name: "prices", example: prices::EXAMPLE, read: prices::read },
];

/// Reads sections, and gathers what is wrong with them.
struct Reader<'r> {
    path: &'r Path,
    example: &'static str,
    wrong: Vec<Diagnostic>,
}

impl Reader<'_> {
    /// Tells of a mistake, with what to write instead.
    fn wrong(&mut self, span: Span, message: impl Into<String>) {
        self.wrong.push(wrong(span, message).help(self.example));
    }

    /// Tells of a key that is none of `known`.
    fn unknown(&mut self, key: &Key, message: String, known: &[&str]) {
        let diagnostic = wrong(key.span, message).did_you_mean(&key.name, known.iter().copied());
        self.wrong.push(diagnostic.help(self.example));
    }

    /// The entries of a map; `what` is what messages call it.
    fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Key, Node)]> {
        match &node.data {
            Data::Map(entries) => Some(entries),
            other => {
                self.wrong(node.span, format!("`{what}` wants keys with values, found {}", other.describe()));
                None
            }
        }
    }

    /// Text.
    fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.data {
            Data::Text(text) => Some(text),
            other => {
                self.wrong(node.span, format!("`{what}` wants text, found {}", other.describe()));
                None
            }
        }
    }
}

fn wrong(span: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(Code::E304, span, message)
}

/// The settings of the project of the file at `path`.
///
/// # Errors
/// As for [`configuration`].
pub fn of_file(path: &Path, sources: &mut Sources) -> Result<Configuration, Vec<Diagnostic>> {
    let base = path.parent().map(Path::to_path_buf).unwrap_or_default();
    configuration(&project(&base), sources)
}

/// The settings of the project in the folder `root`: none where it has no such file.
///
/// # Errors
/// A file that cannot be read, a key that does not exist, a value that does not fit: all of them.
pub fn configuration(root: &Path, sources: &mut Sources) -> Result<Configuration, Vec<Diagnostic>> {
    let path: PathBuf = root.join(FILE);
    if !path.is_file() {
        return Ok(Configuration::default());
    }
    let shown = path.display().to_string();
    let file = sources.load(&shown, &path).map_err(|e| {
        let line = sources.add("command line", shown.as_str());
        vec![wrong(Span::new(line, 0, shown.len()), format!("`{shown}` cannot be read: {e}"))]
    })?;
    let text = sources.get(file).text.clone();
    let root = tree::read(file, &text).map_err(|(span, why)| vec![wrong(span, format!("it is no YAML: {why}"))])?;
    let mut configuration = Configuration::default();
    let mut reader = Reader { path: &path, example: default_model::EXAMPLE, wrong: Vec::new() };
    let entries = match &root.data {
        Data::Null => return Ok(configuration),
        Data::Map(entries) => entries,
        other => {
            reader.wrong(root.span, format!("it holds no settings, but {}", other.describe()));
            return Err(reader.wrong);
        }
    };
    for (key, node) in entries {
        match SECTIONS.iter().find(|section| section.name == key.name) {
            Some(section) => {
                reader.example = section.example;
                (section.read)(&mut reader, key, node, &mut configuration);
            }
            None => {
                let names = SECTIONS.map(|section| section.name);
                let diagnostic = wrong(key.span, format!("there is no setting `{}`", key.name));
                let all = names.map(|name| format!("`{name}`")).join(", ");
                let diagnostic = diagnostic.did_you_mean(&key.name, names.into_iter());
                reader.wrong.push(diagnostic.help(format!("the settings are: {all}")));
            }
        }
    }
    if reader.wrong.is_empty() { Ok(configuration) } else { Err(reader.wrong) }
}
