//! What the sources promise of themselves: layers, no reader of the outside but `cli`, nothing left undone.

use std::path::PathBuf;

use libtest_mimic::Trial;
use regex::Regex;

use crate::{Outcome, files, root};

/// The trials.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("layers::a_module_uses_only_those_before_it", order),
        Trial::test("layers::only_cli_touches_the_outside", outside),
        Trial::test("layers::nothing_is_left_to_do", left_to_do),
        Trial::test("layers::sizes_are_told", sizes),
    ]
}

/// A source file: its path, its module, its text without comments.
struct Source {
    path: PathBuf,
    module: String,
    code: String,
}

fn sources() -> Result<Vec<Source>, String> {
    let src = root().join("src");
    let mut found = Vec::new();
    for path in files(&src, "rs") {
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let short = path.strip_prefix(&src).unwrap_or(&path).to_path_buf();
        let first = short.components().next().map(|c| c.as_os_str().to_string_lossy().into_owned());
        let module = first.unwrap_or_default().trim_end_matches(".rs").to_owned();
        found.push(Source { path: short, module, code: without_comments(&text) });
    }
    if found.len() < 10 { Err("the sources were not found".to_owned()) } else { Ok(found) }
}

/// The text with every line comment emptied, lines kept. A `//` inside a string is cut too, which hides nothing here.
fn without_comments(text: &str) -> String {
    let code = |line: &str| match line.find("//") {
        Some(at) if !line[..at].ends_with(':') => line[..at].to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

/// The modules in the order of `src/lib.rs`.
fn layers() -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(root().join("src/lib.rs"))?;
    let names = Regex::new(r"(?m)^pub mod (\w+);")?;
    Ok(names.captures_iter(&text).map(|c| c[1].to_owned()).collect())
}

fn order() -> Outcome {
    let layers = layers()?;
    let place = |name: &str| layers.iter().position(|l| l == name);
    // `crate::x`, and the grouped `use crate::{x, y::z}`.
    let single = Regex::new(r"\bcrate::(\w+)")?;
    let group = Regex::new(r"(?s)\bcrate::\{(.*?)\};")?;
    let member = Regex::new(r"(?:^|,)\s*(\w+)")?;
    let mut wrong = Vec::new();
    for source in sources()?.iter().filter(|s| s.module != "lib" && s.module != "main") {
        let own = place(&source.module).ok_or_else(|| format!("src/lib.rs does not list {}", source.module))?;
        let mut used: Vec<(usize, String)> =
            single.captures_iter(&source.code).map(|c| (c.get(0).map_or(0, |m| m.start()), c[1].to_owned())).collect();
        for found in group.captures_iter(&source.code) {
            let at = found.get(0).map_or(0, |m| m.start());
            // Inner groups, as `{a, b::{c, d}}`, are members of a module that is already named.
            let mut flat = found[1].to_owned();
            while let (Some(open), Some(close)) = (flat.find('{'), flat.rfind('}')) {
                if open >= close {
                    break;
                }
                flat.replace_range(open..=close, "");
            }
            used.extend(member.captures_iter(&flat).map(|c| (at, c[1].to_owned())));
        }
        for (at, name) in used {
            if let Some(layer) = place(&name)
                && layer > own
            {
                let line = source.code[..at].matches('\n').count() + 1;
                wrong.push(format!(
                    "src/{}:{line}: `{}` uses `{name}`, which is above it",
                    source.path.display(),
                    source.module
                ));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

fn outside() -> Outcome {
    let marks = Regex::new(
        r"\benv::vars?(_os)?\(|\beprintln!|\bprintln!|\beprint!|\bprint!|\bstdout\(\)|\bstdin\(\)|\bSystemTime::now",
    )?;
    report(|source| {
        // A module's own tests may do as they like.
        let tests = source.path.file_stem().is_some_and(|s| s.to_string_lossy().ends_with("tests"));
        let free = tests || matches!(source.module.as_str(), "cli" | "main");
        if free {
            Vec::new()
        } else {
            marks.find_iter(before_tests(&source.code)).map(|m| (m.start(), m.as_str().to_owned())).collect()
        }
    })
}

fn left_to_do() -> Outcome {
    let marks = Regex::new(r"\btodo!|\bunimplemented!|\bdbg!")?;
    report(|source| marks.find_iter(&source.code).map(|m| (m.start(), m.as_str().to_owned())).collect())
}

/// The code before a file's own tests, which may do as they like.
fn before_tests(code: &str) -> &str {
    code.find("#[cfg(test)]").map_or(code, |at| &code[..at])
}

fn report(find: impl Fn(&Source) -> Vec<(usize, String)>) -> Outcome {
    let mut wrong = Vec::new();
    for source in sources()? {
        for (at, what) in find(&source) {
            let line = source.code[..at].matches('\n').count() + 1;
            wrong.push(format!("src/{}:{line}: `{what}`", source.path.display()));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// Guides, not limits: files over 400 lines and functions over 60 are told, and fail nothing.
fn sizes() -> Outcome {
    let begin = Regex::new(r"^\s*(?:pub(?:\([^)]*\))? )?(?:const )?(?:async )?fn (\w+)")?;
    let all = sources()?;
    for source in &all {
        let code = before_tests(&source.code);
        let lines: Vec<&str> = code.lines().collect();
        if lines.len() > 400 {
            println!("note: src/{} has {} lines", source.path.display(), lines.len());
        }
        for (index, line) in lines.iter().enumerate() {
            let Some(name) = begin.captures(line) else { continue };
            let indent = line.len() - line.trim_start().len();
            let close = format!("{}}}", " ".repeat(indent));
            let length = lines[index..].iter().position(|l| *l == close).unwrap_or(0);
            if length > 60 {
                println!("note: src/{}:{}: `{}` has {length} lines", source.path.display(), index + 1, &name[1]);
            }
        }
    }
    if all.iter().any(|s| !s.code.trim().is_empty()) { Ok(()) } else { Err("the sources are empty".into()) }
}
