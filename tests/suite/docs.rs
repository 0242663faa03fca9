//! Every fence in `README.md` and `docs/*.md` is true. The pages of `docs/diagnostics` have a module of their own.
//!
//! | fence | what is done |
//! |---|---|
//! | `chain` | written to `main.chain` and checked: no error |
//! | `chain file=NAME` | the same under that name, for fences below it |
//! | `chain error=E204` | checked: an error of that code, and no other code |
//! | `chain run ARGS…` | checked and run with these arguments; the `text` fence that follows is its standard output |
//! | `console` | each line `$ …` runs in a shell; the lines below it are what a terminal shows: output, then messages. `…` alone stands for any lines |
//! | `sh` | not run (cargo, a server); every `--flag` of a `chainrun` line must exist |
//! | others with `file=NAME` | written under that name, for fences below it |
//! | others | nothing |
//!
//! A page's fences run in order in one folder of its own, which holds a copy of `pipelines/`.

use std::path::Path;

use libtest_mimic::Trial;
use regex::Regex;

use crate::process::{BINARY, Call, TempDir, difference, short};
use crate::{Outcome, files, root};

/// One trial for each page.
pub fn trials() -> Vec<Trial> {
    let mut pages = vec![root().join("README.md"), root().join("ARCHITECTURE.md")];
    let diagnostics = root().join("docs/diagnostics");
    pages.extend(files(&root().join("docs"), "md").into_iter().filter(|p| !p.starts_with(&diagnostics)));
    pages
        .into_iter()
        .map(|page| {
            let name = page.strip_prefix(root()).unwrap_or(&page).display().to_string();
            Trial::test(format!("docs::{name}"), move || check_page(&page))
        })
        .collect()
}

/// A fence of a page.
pub struct Fence {
    /// The line of its info string, from 1.
    pub line: usize,
    /// Its info string.
    pub info: String,
    /// What stands in it.
    pub text: String,
}

/// The fences of a page, in order.
///
/// # Errors
/// One is not closed.
pub fn fences(text: &str) -> Result<Vec<Fence>, String> {
    let mut found = Vec::new();
    let mut open: Option<Fence> = None;
    for (index, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => {
                open = Some(Fence { line: index + 1, info: info.trim().to_owned(), text: String::new() })
            }
            (Some(_), Some("")) => found.extend(open.take()),
            (Some(fence), _) => {
                fence.text.push_str(line);
                fence.text.push('\n');
            }
            (None, None) => {}
        }
    }
    match open {
        Some(fence) => Err(format!("the fence of line {} is not closed", fence.line)),
        None => Ok(found),
    }
}

fn check_page(page: &Path) -> Outcome {
    let text = std::fs::read_to_string(page).map_err(|e| format!("{}: {e}", page.display()))?;
    let temp = TempDir::new()?;
    for file in files(&root().join("pipelines"), "chain") {
        let name = file.strip_prefix(root()).unwrap_or(&file).display().to_string();
        temp.write(&name, std::fs::read(&file)?)?;
    }
    let all = fences(&text)?;
    let mut wrong = Vec::new();
    for (index, fence) in all.iter().enumerate() {
        let output = all.get(index + 1).filter(|f| f.info == "text").map(|f| f.text.as_str());
        let mut words = fence.info.split_whitespace();
        let result = match words.next() {
            Some("chain") => chain(&temp, fence, words.collect(), output),
            Some("console") => console(&temp, &fence.text),
            Some("sh") => shell(&fence.text),
            _ => match words.find_map(|w| w.strip_prefix("file=")) {
                Some(name) => temp.write(name, &fence.text).map(drop).map_err(|e| e.to_string()),
                None => Ok(()),
            },
        };
        if let Err(why) = result {
            wrong.push(format!("line {}: {why}", fence.line));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n\n").into()) }
}

fn chain(temp: &TempDir, fence: &Fence, words: Vec<&str>, output: Option<&str>) -> Result<(), String> {
    let io = |e: std::io::Error| e.to_string();
    let name = words.iter().find_map(|w| w.strip_prefix("file=")).unwrap_or("main.chain");
    temp.write(name, &fence.text).map_err(io)?;
    let done = Call::new(temp.path()).map_err(io)?.args(["check", name]).run()?;
    let codes = Regex::new(r"(?m)^error\[(E\d+)\]").map_err(|e| e.to_string())?;
    let err = done.err();
    let shown: Vec<&str> = codes.captures_iter(&err).filter_map(|c| Some(c.get(1)?.as_str())).collect();
    let wanted: Vec<&str> = words.iter().filter_map(|w| w.strip_prefix("error=")).collect();
    let known = shown.iter().all(|c| wanted.contains(c)) && wanted.iter().all(|c| shown.contains(c));
    if !known || done.code != Some(if wanted.is_empty() { 0 } else { 2 }) {
        return Err(format!("check: exit {:?}, expected {wanted:?}\n{err}", done.code));
    }
    let Some(at) = words.iter().position(|w| *w == "run") else { return Ok(()) };
    let done = Call::new(temp.path()).map_err(io)?.arg(name).args(&words[at + 1..]).run()?;
    let output = output.ok_or("no `text` fence follows")?;
    if done.code != Some(0) || done.out() != output {
        return Err(format!("run: exit {:?}, {}\n{}", done.code, difference(output, &done.out()), short(&done.stderr)));
    }
    Ok(())
}

/// Runs the `$ …` lines of a transcript and compares what each gives.
///
/// # Errors
/// A line gives something else.
pub fn console(temp: &TempDir, text: &str) -> Result<(), String> {
    let folder = Path::new(BINARY).parent().ok_or("no folder")?;
    let path = std::env::join_paths(
        std::iter::once(folder.to_path_buf())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let path = path.map_err(|e| e.to_string())?;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let command = line.strip_prefix("$ ").ok_or_else(|| format!("{line:?} follows no `$ …` line"))?;
        let mut wanted = String::new();
        while let Some(line) = lines.next_if(|l| !l.starts_with("$ ")) {
            wanted.push_str(line);
            wanted.push('\n');
        }
        let call = Call::of("sh", temp.path()).map_err(|e| e.to_string())?;
        let done = call.env("PATH", &path).args(["-c", command]).run()?;
        let got = format!("{}{}", done.out(), done.err());
        if !alike(&wanted, &got) {
            return Err(format!("{command}\n{}", difference(&wanted, &got)));
        }
    }
    Ok(())
}

/// Whether two texts are the same, where a line `…` stands for any lines.
fn alike(wanted: &str, got: &str) -> bool {
    let form: Vec<String> = wanted
        .lines()
        .map(|l| if l.trim() == "…" { "(?:.*\n)*".to_owned() } else { regex::escape(l) + "\n" })
        .collect();
    let ended = if got.is_empty() || got.ends_with('\n') { got.to_owned() } else { format!("{got}\n") };
    Regex::new(&format!("^{}$", form.concat())).is_ok_and(|r| r.is_match(&ended))
}

/// The flags of each `chainrun` line exist.
fn shell(text: &str) -> Result<(), String> {
    let flags = Regex::new(r"(?:^|\s)(--[a-z][a-z-]*)").map_err(|e| e.to_string())?;
    let joined = text.replace("\\\n", " ");
    for line in joined.lines().filter(|l| !l.trim_start().starts_with('#')) {
        let ours = match (line.find("cargo run"), line.find("chainrun ")) {
            (Some(at), _) => line[at..].split_once(" -- ").map(|(_, rest)| rest),
            (None, Some(at)) => Some(&line[at + "chainrun ".len()..]),
            (None, None) => None,
        };
        let Some(ours) = ours else { continue };
        let used: Vec<&str> = flags.captures_iter(ours).filter_map(|c| Some(c.get(1)?.as_str())).collect();
        let command: Vec<&str> = ours
            .split_whitespace()
            .take_while(|w| {
                matches!(
                    *w,
                    "check" | "test" | "report" | "explain" | "models" | "pull" | "list" | "ps" | "show" | "rm"
                )
            })
            .collect();
        let temp = TempDir::new().map_err(|e| e.to_string())?;
        let done = Call::new(temp.path()).map_err(|e| e.to_string())?.args(&command).arg("--help").run()?;
        for flag in used {
            if !done.out().contains(flag) {
                return Err(format!("{line}\n{flag} is no option of `chainrun {}`", command.join(" ")));
            }
        }
    }
    Ok(())
}
