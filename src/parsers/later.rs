//! Names that are parsers of the language, but not of this version: they are told from misspelled ones.

use super::spec::{BuildError, ParserArgument, ParserSpec};

const fn later(name: &'static str, doc: &'static str) -> ParserSpec {
    ParserSpec {
        name,
        doc,
        argument: ParserArgument::None,
        options: &[],
        later: true,
        // Never reached: `later` is looked at first.
        build: |_| Err(BuildError::new("not yet in this version")),
    }
}

/// The description of `yaml`.
pub static YAML: ParserSpec = later("yaml", "a YAML value");

/// The description of `xml`.
pub static XML: ParserSpec = later("xml", "a map of tag to text, map or list");

/// The description of `csv`.
pub static CSV: ParserSpec = later("csv", "a list of maps by header");

/// The description of `code`.
pub static CODE: ParserSpec = later("code", "the first code fence");

/// The description of `datetime`.
pub static DATETIME: ParserSpec = later("datetime", "a date and time, RFC 3339");
