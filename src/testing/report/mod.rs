//! Reports: each a fold over the run log, and a pure function of what it comes to. A new one is a file and a line in
//! [`FORMATS`].

mod difference;
mod github;
mod html;
mod json;
mod junit;
mod markdown;
mod naming;
mod packed;
mod terminal;

pub use difference::difference;
pub use json::jsonl;
pub use terminal::{counts, terminal};

use super::summary::Summary;

/// What a report is made of.
pub struct Told<'r> {
    /// What the log comes to.
    pub summary: &'r Summary,
    /// The log's lines, where [`Format::lines`] asks for them.
    pub lines: &'r str,
    /// Where the files' paths begin, seen from the root of the repository; empty at its root.
    pub folder: &'r str,
}

/// A form of a report.
pub struct Format {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in a few words.
    pub doc: &'static str,
    /// Whether it is made of the log's lines.
    pub lines: bool,
    /// Makes it.
    pub write: fn(&Told<'_>) -> String,
}

/// The forms, besides that of a terminal.
pub const FORMATS: &[Format] = &[
    Format { name: "json", doc: "the summary as one JSON value", lines: false, write: |t| json::json(t.summary) },
    Format { name: "jsonl", doc: "the run log, JSON lines", lines: true, write: |t| t.lines.to_owned() },
    Format { name: "junit", doc: "JUnit's XML", lines: false, write: |t| junit::junit(t.summary) },
    Format { name: "html", doc: "one page for a browser", lines: false, write: |t| html::html(t.summary) },
    Format { name: "md", doc: "Markdown for a pull request", lines: false, write: |t| markdown::markdown(t.summary) },
    Format {
        name: "github",
        doc: "annotations of GitHub Actions",
        lines: false,
        write: |t| github::github(t.summary, t.folder),
    },
];

/// The form of a name.
pub fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}
