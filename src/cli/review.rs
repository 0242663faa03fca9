//! `chainrun review`: goes through snapshots that wait to be accepted.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arguments::ReviewArgs;
use super::console::{Console, print_line};
use super::{FAILED, MISSING, WRONG, test_files};
use crate::config::Context;
use crate::source::Sources;
use crate::testing::{ACCEPTED, PENDING, Prepared, prepare, report, snapshot_names};

/// Lines of a new value that are shown at first; `w` shows all.
const SHOWN: usize = 40;

/// The folder of snapshots, beside the files whose tests take them.
const FOLDER: &str = "snapshots";

/// A snapshot that waits.
struct Pending {
    path: PathBuf,
    /// Where it goes once it is accepted.
    accepted: PathBuf,
}

/// What becomes of one.
enum Choice {
    Accept,
    Reject,
    Skip,
    Quit,
}

/// Runs the command.
pub fn review(args: &ReviewArgs, context: &Arc<Context>) -> u8 {
    let console = Console::new(context, false);
    let folders = match folders(&args.paths, context) {
        Ok(folders) => folders,
        Err(why) => {
            console.write(&format!("error: {why}\n"));
            return WRONG;
        }
    };
    if args.prune {
        return prune(&folders, context, &console);
    }
    let pending: Vec<Pending> = folders.keys().flat_map(|folder| pending(folder)).collect();
    if pending.is_empty() {
        print_line("no snapshot waits to be accepted");
        return 0;
    }
    match each(args, context, &pending) {
        Ok(0) => 0,
        Ok(1) => {
            console.note("1 snapshot still waits to be accepted");
            MISSING
        }
        Ok(left) => {
            console.note(&format!("{left} snapshots still wait to be accepted"));
            MISSING
        }
        Err(why) => {
            console.write(&format!("error: {why}\n"));
            FAILED
        }
    }
}

/// The folders of snapshots that the words mean, each with the file whose tests take them.
fn folders(words: &[PathBuf], context: &Context) -> Result<BTreeMap<PathBuf, PathBuf>, String> {
    let mut all = BTreeMap::new();
    let here = [PathBuf::from(".")];
    for word in if words.is_empty() { &here[..] } else { words } {
        let full = context.cwd.join(word);
        if full.is_dir() {
            inside(&full, &mut all).map_err(|e| format!("`{}` cannot be read: {e}", word.display()))?;
        } else if word.extension().is_some_and(|end| end == "chain") && full.is_file() {
            all.insert(of_file(&full), full);
        } else {
            let help = "name a .chain file, or a folder in which files and their snapshots lie";
            return Err(format!("there is no .chain file and no folder `{}`: {help}", word.display()));
        }
    }
    Ok(all)
}

fn of_file(file: &Path) -> PathBuf {
    file.with_file_name(FOLDER).join(file.file_stem().unwrap_or_default())
}

fn inside(folder: &Path, all: &mut BTreeMap<PathBuf, PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        // Links are not followed, so that a circle of folders ends.
        if !entry.file_type()?.is_dir() || name.to_string_lossy().starts_with('.') {
            continue;
        }
        if name == "target" || name == "node_modules" {
            continue;
        }
        if name == FOLDER {
            for of in std::fs::read_dir(entry.path())? {
                let of = of?.path();
                if of.is_dir() {
                    let file = folder.join(of.file_name().unwrap_or_default());
                    let mut file = file.into_os_string();
                    file.push(".chain");
                    all.insert(of, file.into());
                }
            }
        } else {
            inside(&entry.path(), all)?;
        }
    }
    Ok(())
}

/// The files of a folder whose names end so, in order.
fn ending(folder: &Path, end: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let end = format!(".{end}");
    let mut all: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    all.retain(|path| path.file_name().is_some_and(|n| n.to_string_lossy().ends_with(&end)));
    all.sort();
    all
}

fn pending(folder: &Path) -> Vec<Pending> {
    let all = ending(folder, PENDING).into_iter();
    all.map(|path| Pending { accepted: path.with_extension(""), path }).collect()
}

/// Goes through them, and tells how many still wait.
fn each(args: &ReviewArgs, context: &Context, all: &[Pending]) -> Result<usize, String> {
    let mut left = 0;
    for (i, one) in all.iter().enumerate() {
        let name = shown(&one.accepted, context);
        let kind = if one.accepted.exists() { "changed" } else { "new" };
        let choice = if args.list {
            print_line(&format!("{kind} {name}"));
            Choice::Skip
        } else if args.accept {
            Choice::Accept
        } else if args.reject {
            Choice::Reject
        } else {
            print_line(&format!("{}/{} {kind} {name}", i + 1, all.len()));
            print_line(&difference(one, Some(SHOWN))?);
            asked(one)?
        };
        match choice {
            Choice::Accept => {
                std::fs::rename(&one.path, &one.accepted).map_err(|e| format!("{name} cannot be accepted: {e}"))?;
                print_line(&format!("accepted {name}"));
            }
            Choice::Reject => {
                std::fs::remove_file(&one.path).map_err(|e| format!("{name} cannot be rejected: {e}"))?;
                print_line(&format!("rejected {name}"));
            }
            Choice::Skip => left += 1,
            Choice::Quit => return Ok(left + all.len() - i),
        }
    }
    Ok(left)
}

/// A path as the person would write it.
fn shown(path: &Path, context: &Context) -> String {
    let cwd = context.cwd.as_path();
    let short = path.strip_prefix(cwd).unwrap_or(path);
    short.strip_prefix(".").unwrap_or(short).display().to_string()
}

/// Asks what becomes of one: the first letter of a line says so. The end of the input quits.
fn asked(one: &Pending) -> Result<Choice, String> {
    let mut line = String::new();
    loop {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(b"[a]ccept, [r]eject, [s]kip, [w]hole value, [q]uit: ").and_then(|()| out.flush());
        drop(out);
        line.clear();
        let read = std::io::stdin().lock().read_line(&mut line);
        if read.map_err(|e| format!("standard input cannot be read: {e}"))? == 0 {
            print_line("");
            return Ok(Choice::Quit);
        }
        match line.trim().to_lowercase().as_str() {
            "a" | "accept" => return Ok(Choice::Accept),
            "r" | "reject" => return Ok(Choice::Reject),
            "s" | "skip" => return Ok(Choice::Skip),
            "q" | "quit" => return Ok(Choice::Quit),
            "w" | "whole" => print_line(&difference(one, None)?),
            other => print_line(&format!("`{}` is none of a, r, s, w, q", plain(other))),
        }
    }
}

/// What a snapshot changes, each line behind a bar.
fn difference(one: &Pending, most: Option<usize>) -> Result<String, String> {
    let read = |path: &Path| match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(format!("{} cannot be read: {e}", path.display())),
    };
    let (old, new) = (read(&one.accepted)?, read(&one.path)?);
    let mut lines = match most {
        Some(_) => report::difference(&old, &new),
        None => new.lines().map(|line| format!("  {line}")).collect(),
    };
    let more = lines.len().saturating_sub(most.unwrap_or(usize::MAX));
    lines.truncate(lines.len() - more);
    if more > 0 {
        lines.push(format!("… {more} more lines"));
    }
    Ok(lines.iter().map(|line| format!("  | {}", plain(line))).collect::<Vec<_>>().join("\n"))
}

/// A line without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            c if c.is_control() && c != '\t' => out.extend(c.escape_default()),
            c => out.push(c),
        }
        out
    })
}

/// Removes the snapshots that no test looks at.
fn prune(folders: &BTreeMap<PathBuf, PathBuf>, context: &Arc<Context>, console: &Console) -> u8 {
    let mut removed = 0;
    for (folder, file) in folders {
        let Some(names) = names(file, context, console) else {
            console.write("error: nothing is removed: which snapshots its tests look at is not known\n");
            return WRONG;
        };
        let all = ending(folder, ACCEPTED).into_iter().chain(ending(folder, PENDING));
        for path in all.filter(|path| !names.looks_at(path)) {
            let name = shown(&path, context);
            if let Err(e) = std::fs::remove_file(&path) {
                console.write(&format!("error: {name} cannot be removed: {e}\n"));
                return FAILED;
            }
            print_line(&format!("removed {name}"));
            removed += 1;
        }
        // A folder that holds something else stays.
        let _ = std::fs::remove_dir(folder);
    }
    if removed == 0 {
        print_line("every snapshot is looked at by a test");
    }
    0
}

/// The snapshots that the tests of a file look at; none where that is not known.
fn names(file: &Path, context: &Arc<Context>, console: &Console) -> Option<crate::testing::SnapshotNames> {
    let mut sources = Sources::new();
    if !file.exists() {
        return Some(snapshot_names(&[]));
    }
    let (tests, found) = test_files::tests(file, &[], true, &mut sources, context);
    if console.report(&found, &sources) {
        return None;
    }
    let mut prepared: Vec<Prepared<'_>> = Vec::new();
    for one in &tests {
        match prepare(one) {
            Ok(ready) => prepared.push(ready),
            Err(found) => {
                console.report(&found, &sources);
                return None;
            }
        }
    }
    Some(snapshot_names(&prepared))
}
