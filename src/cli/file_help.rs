//! `chainrun FILE --help`: the file's own doc, its variables and chains.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;

use crate::source::Sources;
use crate::syntax::ast::{DeclKind, File, Param};

const COMMANDS: &[&str] = &["check", "test", "report", "explain", "models", "cache", "completions", "man", "help"];

/// Prints a file's help where the words ask for it. Gives the exit code then.
pub fn try_help(words: &[OsString]) -> Option<u8> {
    let words: Vec<&str> = words.iter().skip(1).map(|w| w.to_str().unwrap_or_default()).collect();
    if !words.iter().any(|w| matches!(*w, "--help" | "-h")) {
        return None;
    }
    let file = words.iter().find(|w| !w.starts_with('-'))?;
    if COMMANDS.contains(file) || !Path::new(file).is_file() {
        return None;
    }
    let mut sources = Sources::new();
    let id = sources.load(*file, Path::new(file)).ok()?;
    let text = sources.get(id).text.clone();
    let (tree, _) = crate::syntax::parse(id, &text);
    super::console::print_line(&help(file, &tree, &sources));
    Some(0)
}

/// The command that a first word was probably meant as: it is no file, no option and no command.
pub fn meant_command(words: &[OsString]) -> Option<&'static str> {
    let word = words.get(1)?.to_str()?;
    if word.starts_with('-') || COMMANDS.contains(&word) || Path::new(word).exists() {
        return None;
    }
    crate::value::nearest(word, COMMANDS.iter().copied()).and_then(|near| COMMANDS.iter().copied().find(|c| *c == near))
}

fn help(file: &str, tree: &File, sources: &Sources) -> String {
    let mut out = String::new();
    if let Some(doc) = &tree.doc {
        let _ = writeln!(out, "{doc}\n");
    }
    let _ = writeln!(out, "Usage: chainrun {file} [--var NAME=VALUE]…\n");
    let variables: Vec<(&Param, Option<&str>)> = tree
        .decls
        .iter()
        .filter_map(|d| match &d.kind {
            DeclKind::Var(param) => Some((param, d.doc.as_deref())),
            _ => None,
        })
        .collect();
    if !variables.is_empty() {
        let _ = writeln!(out, "Variables:");
        for (param, doc) in variables {
            let doc = doc.map(|d| format!("  {}", d.replace('\n', " "))).unwrap_or_default();
            let _ = writeln!(out, "  {}{doc}", parameter(param, sources));
        }
        out.push('\n');
    }
    let _ = writeln!(out, "Chains:\n{}", signatures(tree, sources));
    let indexes = indexes(tree, sources);
    if !indexes.is_empty() {
        let _ = writeln!(out, "Indexes:\n{indexes}");
    }
    let _ = write!(out, "`chainrun --help` lists every option.");
    out
}

fn parameter(param: &Param, sources: &Sources) -> String {
    let default = param.default.as_ref().map(|d| format!(" = {}", sources.slice(d.span))).unwrap_or_default();
    format!("{}: {}{default}", param.name.name, sources.slice(param.ty.span))
}

/// The indexes of a file with what they are made of, a line each.
fn indexes(tree: &File, sources: &Sources) -> String {
    let mut out = String::new();
    for decl in &tree.decls {
        if let DeclKind::Index { name, body } = &decl.kind {
            let made = sources.slice(body.span).split_whitespace().collect::<Vec<_>>().join(" ");
            let doc = decl.doc.as_ref().map(|d| format!("  {}", d.replace('\n', " "))).unwrap_or_default();
            let _ = writeln!(out, "  {} = {made}{doc}", name.name);
        }
    }
    out
}

/// The chains of a file with their parameters and results, a line each.
pub fn signatures(tree: &File, sources: &Sources) -> String {
    let mut out = String::new();
    for decl in &tree.decls {
        match &decl.kind {
            DeclKind::Chain { name, params, result, .. } => {
                let params = params
                    .as_ref()
                    .map(|p| format!("({})", p.iter().map(|p| parameter(p, sources)).collect::<Vec<_>>().join(", ")))
                    .unwrap_or_default();
                let result = result.as_ref().map(|t| format!(" -> {}", sources.slice(t.span))).unwrap_or_default();
                let doc = decl.doc.as_ref().map(|d| format!("  {}", d.replace('\n', " "))).unwrap_or_default();
                let _ = writeln!(out, "  {}{params}{result}{doc}", name.name);
            }
            DeclKind::Bare(_) => {
                let _ = writeln!(out, "  main");
            }
            _ => {}
        }
    }
    out
}
