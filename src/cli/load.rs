//! From a path or an expression to a checked tree.

use std::path::{Path, PathBuf};

use crate::config::Context;
use crate::diag::{Code, Diagnostic, Severity};
use crate::source::{FileId, Sources, Span};
use crate::syntax::ast::File;
use crate::value::nearest;

use super::arguments::RunArgs;
use super::command_line::overrides;
use super::configuration::configuration;
use super::page::has_form_of_code;
use crate::plan::{Execs, Libraries, Reads, Settings, project};

/// A file's tree, with what is wrong with its text.
pub struct Loaded {
    /// The file.
    pub tree: File,
    /// What messages call it.
    pub name: String,
    /// What is wrong with its text.
    pub diagnostics: Vec<Diagnostic>,
    /// Folder that its paths are relative to.
    pub base: PathBuf,
    /// The files that it uses.
    pub libraries: Libraries,
}

/// Reads and parses a file.
///
/// # Errors
/// It cannot be read.
pub fn file(path: &Path, sources: &mut Sources, context: &Context) -> Result<Loaded, Box<Diagnostic>> {
    let shown = path.display().to_string();
    let full = context.cwd.join(path);
    let id = match sources.load(&shown, &full) {
        Ok(id) => id,
        Err(e) => {
            let commands = ["check", "test", "report", "review", "explain", "models", "completions", "man"];
            let message = format!("`{shown}` cannot be read: {e}");
            let mut diagnostic = Diagnostic::new(Severity::Error, Code::E001, None, message);
            if let Some(near) = nearest(&shown, commands.into_iter()) {
                diagnostic = diagnostic.help(format!("did you mean the command `{near}`?"));
            }
            if has_form_of_code(&shown) {
                diagnostic = diagnostic.help(format!("`chainrun explain {shown}` tells what the diagnostic means"));
            }
            return Err(Box::new(files_nearby(path, &full).into_iter().fold(diagnostic, Diagnostic::help)));
        }
    };
    let base = full.parent().map(Path::to_path_buf).unwrap_or_default();
    Ok(parsed(id, shown, base, sources))
}

/// What to type in place of a path that cannot be read: files of its folder or, where it is a folder, in it.
fn files_nearby(path: &Path, full: &Path) -> Option<String> {
    let inside = full.is_dir();
    let (shown, folder) = if inside { (path, full) } else { (path.parent()?, full.parent()?) };
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok().filter(|e| e.path().is_file())?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".chain"))
        .collect();
    names.sort();
    let written = |name: &str| format!("`{}`", shown.join(name).display());
    if inside {
        names.truncate(8);
        let all: Vec<String> = names.iter().map(|n| written(n)).collect();
        return (!all.is_empty()).then(|| format!("its pipelines are: {}", all.join(", ")));
    }
    let wanted = path.file_name()?.to_str()?;
    let stem = |name: &str| name.strip_suffix(".chain").unwrap_or(name).to_owned();
    let stems: Vec<String> = names.iter().map(|n| stem(n)).collect();
    let near = nearest(&stem(wanted), stems.iter().map(String::as_str))?;
    Some(format!("did you mean {}?", written(&format!("{near}.chain"))))
}

/// Parses a pipeline of the command line.
pub fn expression(text: &str, sources: &mut Sources, context: &Context) -> Loaded {
    let id = sources.add("-e", text);
    parsed(id, "-e".to_owned(), context.cwd.clone(), sources)
}

fn parsed(id: FileId, name: String, base: PathBuf, sources: &mut Sources) -> Loaded {
    let text = sources.get(id).text.clone();
    let (tree, diagnostics) = crate::syntax::parse(id, &text);
    let libraries = Libraries::load(&tree, &name, &base, &project(&base), sources);
    Loaded { tree, name, diagnostics, base, libraries }
}

/// What lowering is told besides the file: models of the command line, the environment and the configuration.
///
/// # Errors
/// A model that cannot be read, or a configuration that is not valid.
pub fn settings(
    words: &[String],
    loaded: &Loaded,
    sources: &mut Sources,
    context: &Context,
) -> Result<Settings, Vec<Diagnostic>> {
    let project = project(&loaded.base);
    let configuration = configuration(&project, sources)?;
    let overrides = overrides(words, configuration.model, sources, context)?;
    Ok(Settings {
        overrides,
        base: loaded.base.clone(),
        project,
        exec: Execs::Refused,
        cwd: context.cwd.clone(),
        reads: Reads::default(),
        prices: configuration.prices.into(),
    })
}

/// The chain that runs: the one asked for, else `main`, else the only one.
///
/// # Errors
/// There is none, or there are several.
pub fn chain(
    args: &RunArgs,
    names: &[&str],
    signatures: &str,
    sources: &mut Sources,
    place: Span,
) -> Result<String, Box<Diagnostic>> {
    if let Some(wanted) = &args.chain {
        if names.contains(&wanted.as_str()) {
            return Ok(wanted.clone());
        }
        let line = sources.add("command line", format!("--chain {wanted}"));
        let span = Span::new(line, 8, 8 + wanted.len());
        let diagnostic = Diagnostic::error(Code::E220, span, format!("the file has no chain `{wanted}`"))
            .did_you_mean(wanted, names.iter().copied())
            .help(format!("its chains are:\n{}", signatures.trim_end()));
        return Err(Box::new(diagnostic));
    }
    match names {
        [] => Err(Box::new(
            Diagnostic::error(Code::E216, place, "the file has nothing to run")
                .help("write a pipeline, as `\"What is {{ word }}?\" | llm | text`, or a chain: `chain main = …`"),
        )),
        [only] => Ok((*only).to_owned()),
        names if names.contains(&"main") => Ok("main".to_owned()),
        _ => Err(Box::new(
            Diagnostic::new(Severity::Error, Code::E220, None, "the file has several chains and none is called `main`")
                .help(format!("name one with --chain:\n{}", signatures.trim_end())),
        )),
    }
}
