//! Printing a tree and reading the text gives the tree.

use chainrun::diag::Diagnostic;
use chainrun::source::FileId;
use chainrun::syntax::ast::File;
use regex::Regex;

/// Holds that `file`, read from `source` without an error, comes back from its printed text; gives that text.
pub fn comes_back(file: &File, source: &str) -> String {
    let printed = chainrun::syntax::print(file, source);
    let (again, found) = chainrun::syntax::parse(FileId(0), &printed);
    let messages: Vec<&str> = found.iter().map(|d: &Diagnostic| d.message.as_str()).collect();
    assert!(messages.is_empty(), "the printed text has errors: {messages:?}\n{printed}");
    assert_eq!(shape(file), shape(&again), "another tree comes back\n{printed}");
    printed
}

/// A tree without the places of its parts and without comments.
fn shape(file: &File) -> String {
    let places = Regex::new(r"Span \{[^}]*\}|map: \[[^\]]*\]|start: \d+").expect("a pattern");
    let File { doc, decls, comments: _, id: _ } = file;
    places.replace_all(&format!("{doc:?} {decls:?}"), "").into_owned()
}
