//! `tests/cases`: a `.chain` file with its neighbours. `tests/cases/README.md` says how they are written.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use regex::Regex;

use crate::process::{Call, Done, TempDir, difference, short};
use crate::{Outcome, files, root};

/// One trial for each case.
pub fn trials() -> Vec<Trial> {
    let folder = root().join("tests/cases");
    let found = files(&folder, "chain");
    let mut trials: Vec<Trial> = found
        .into_iter()
        .filter(|file| !below_data(&folder, file))
        .map(|file| {
            let name = file.strip_prefix(&folder).unwrap_or(&file).with_extension("");
            let default = if name.starts_with("syntax") || name.starts_with("check") { &["check"][..] } else { &[] };
            let name = format!("cases::{}", name.display().to_string().replace(['/', '\\'], "::"));
            Trial::test(name, move || Case { beside: file.with_extension(""), file, default }.run())
        })
        .collect();
    trials.push(Trial::test("cases::every_neighbour_has_its_case", neighbours));
    trials
}

/// Files that cases read stand two levels down, as `check/data/…`.
fn below_data(folder: &Path, file: &Path) -> bool {
    file.strip_prefix(folder).is_ok_and(|p| p.components().count() > 2)
}

/// A neighbour whose case is gone checks nothing.
fn neighbours() -> Outcome {
    let folder = root().join("tests/cases");
    for extension in ["args", "stdin", "env", "stdout", "stderr", "events", "exit"] {
        for file in files(&folder, extension) {
            if !below_data(&folder, &file) && !file.with_extension("chain").exists() {
                return Err(format!("{} has no .chain beside it", file.display()).into());
            }
        }
    }
    Ok(())
}

/// A case: its file, where its neighbours stand, and what is said before the file where `.args` is missing.
pub struct Case {
    /// The `.chain` file.
    pub file: PathBuf,
    /// The neighbours' path, without extension.
    pub beside: PathBuf,
    /// The words before the file's name, unless `.args` says all.
    pub default: &'static [&'static str],
}

/// A diagnostic, expected or shown.
#[derive(Clone, Debug, PartialEq)]
struct Shown {
    severity: String,
    code: String,
    /// The line in the case's file; none for a place elsewhere.
    line: Option<usize>,
    message: String,
}

impl Case {
    /// Runs it and compares, or rewrites its neighbours under `UPDATE=1`.
    pub fn run(self) -> Outcome {
        let folder = self.file.parent().ok_or("a case stands in a folder")?.to_path_buf();
        let temp = TempDir::new()?;
        let events = temp.path().join("events.jsonl");
        let wants_events = self.beside.with_extension("events").exists();
        let mut call = Call::new(&folder)?.args(self.args()?);
        if wants_events {
            call = call.args([Path::new("--events"), &events]);
        }
        if let Ok(stdin) = std::fs::read(self.beside.with_extension("stdin")) {
            call = call.stdin(stdin);
        }
        for line in self.neighbour("env").unwrap_or_default().lines() {
            let (name, value) = line.split_once('=').ok_or_else(|| format!(".env has {line:?}: NAME=value"))?;
            call = call.env(name, value);
        }
        let done = call.run()?;
        let events = if wants_events { Some(normal_events(&std::fs::read_to_string(&events)?)?) } else { None };
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let expected = expected(&text)?;
        let code = match self.neighbour("exit") {
            Some(text) => text.trim().parse()?,
            None => default_code(&expected),
        };
        if std::env::var_os("UPDATE").is_some_and(|v| v == "1") {
            return self.update(&done, events);
        }
        self.compare_diagnostics(&expected, &done)?;
        if done.code != Some(code) {
            return Err(format!("exit {:?}, expected {code}\n{}", done.code, short(&done.stderr)).into());
        }
        self.compare("stdout", Some(&done.out()), self.runs() && code == 0)?;
        self.compare("stderr", Some(&done.err()), false)?;
        self.compare("events", events.as_deref(), false)
    }

    /// Whether the case's result counts.
    fn runs(&self) -> bool {
        self.default.is_empty()
    }

    fn neighbour(&self, extension: &str) -> Option<String> {
        std::fs::read_to_string(self.beside.with_extension(extension)).ok()
    }

    fn name(&self) -> String {
        self.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn args(&self) -> Result<Vec<String>, String> {
        let name = self.name();
        match self.neighbour("args") {
            Some(text) => Ok(text.lines().map(|l| l.replace("{}", &name)).collect()),
            None => Ok(self.default.iter().map(|s| (*s).to_owned()).chain([name]).collect()),
        }
    }

    fn compare(&self, extension: &str, got: Option<&str>, wanted: bool) -> Outcome {
        let Some(got) = got else { return Ok(()) };
        match self.neighbour(extension) {
            Some(text) if text == got => Ok(()),
            Some(text) => Err(format!(".{extension} differs at {}", difference(&text, got)).into()),
            None if wanted => {
                Err(format!("no .{extension} beside it: UPDATE=1 writes it\n{}", short(got.as_bytes())).into())
            }
            None => Ok(()),
        }
    }

    fn compare_diagnostics(&self, expected: &[Shown], done: &Done) -> Outcome {
        let name = self.name();
        let mut shown = shown(&done.err(), &name);
        for want in expected {
            let found = shown.iter().position(|d| {
                d.severity == want.severity
                    && d.code == want.code
                    && d.line == want.line
                    && d.message.contains(&want.message)
            });
            match found {
                Some(at) => drop(shown.remove(at)),
                None => return Err(format!("expected and missing: {want:?}\n{}", short(&done.stderr)).into()),
            }
        }
        match shown.iter().find(|d| d.severity != "note") {
            Some(extra) => Err(format!("not expected: {extra:?}\n{}", short(&done.stderr)).into()),
            None => Ok(()),
        }
    }

    fn update(&self, done: &Done, events: Option<String>) -> Outcome {
        let code = done.code.ok_or_else(|| format!("ended by a signal: {}", short(&done.stderr)))?;
        if self.runs() && code == 0 || self.beside.with_extension("stdout").exists() {
            std::fs::write(self.beside.with_extension("stdout"), &done.stdout)?;
        }
        if self.beside.with_extension("stderr").exists() {
            std::fs::write(self.beside.with_extension("stderr"), &done.stderr)?;
        }
        if let Some(events) = events {
            std::fs::write(self.beside.with_extension("events"), events)?;
        }
        if self.beside.with_extension("exit").exists() {
            std::fs::write(self.beside.with_extension("exit"), format!("{code}\n"))?;
        }
        Ok(())
    }
}

/// The exit code that goes with the expected errors: 3 where a run fails, 2 for any other.
fn default_code(expected: &[Shown]) -> i32 {
    let errors: Vec<&Shown> = expected.iter().filter(|d| d.severity == "error").collect();
    match errors.as_slice() {
        [] => 0,
        all if all.iter().all(|d| d.code.starts_with("E4")) => 3,
        _ => 2,
    }
}

/// The diagnostics that a case expects, from its comments.
fn expected(text: &str) -> Result<Vec<Shown>, String> {
    let form =
        Regex::new(r"#\s*(error|warning|note)( elsewhere| \+\d+)?: \[([EW]\d+)\](.*)$").map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(parts) = form.captures(line) else { continue };
        let alone = line.trim_start().starts_with('#');
        let place = parts.get(2).map(|p| p.as_str().trim());
        let at = match place {
            Some("elsewhere") => None,
            Some(shift) => Some(index + 1 + shift.trim_start_matches('+').parse::<usize>().map_err(|e| e.to_string())?),
            None if alone => Some(following(text, index)),
            None => Some(index + 1),
        };
        found.push(Shown {
            severity: parts[1].to_owned(),
            code: parts[3].to_owned(),
            line: at,
            message: parts[4].trim().to_owned(),
        });
    }
    Ok(found)
}

/// The number of the line below that is not itself a comment of this kind.
fn following(text: &str, index: usize) -> usize {
    let below = text.lines().skip(index + 1);
    let comments = below.take_while(|l| {
        let l = l.trim_start();
        l.starts_with("# error") || l.starts_with("# warning") || l.starts_with("# note")
    });
    index + 2 + comments.count()
}

/// The diagnostics on standard error.
fn shown(stderr: &str, file: &str) -> Vec<Shown> {
    let (Ok(title), Ok(place)) = (
        Regex::new(r"^(error|warning|note)\[([EW]\d+)\]: (.*)$"),
        Regex::new(r"^\s*(?:-->|:::|╭▸) (.+?):(\d+):(\d+)$"),
    ) else {
        return Vec::new();
    };
    let mut found: Vec<Shown> = Vec::new();
    let mut placed = true;
    for line in stderr.lines() {
        if let Some(parts) = title.captures(line) {
            let (severity, code, message) = (parts[1].to_owned(), parts[2].to_owned(), parts[3].to_owned());
            found.push(Shown { severity, code, line: None, message });
            placed = false;
        } else if let (false, Some(parts), Some(last)) = (placed, place.captures(line), found.last_mut()) {
            placed = true;
            if &parts[1] == file {
                last.line = parts[2].parse().ok();
            }
        }
    }
    found
}

/// Events without what differs from run to run: times and the version.
fn normal_events(text: &str) -> Result<String, String> {
    let mut out = String::new();
    for line in text.lines() {
        let mut event: serde_json::Value = serde_json::from_str(line).map_err(|e| format!("{line}: {e}"))?;
        for key in ["seconds", "wait", "version"] {
            if let Some(value) = event.get_mut(key) {
                *value = serde_json::Value::Null;
            }
        }
        out.push_str(&event.to_string());
        out.push('\n');
    }
    Ok(out)
}
