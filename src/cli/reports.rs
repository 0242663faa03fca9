//! `--report FORMAT[=FILE]`: which reports are asked for, and where they go.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::console::{Console, print_line};
use crate::config::Context;
use crate::testing::report::{FORMATS, Format, Told, find};

/// A report that is asked for.
#[derive(Clone)]
pub struct Wanted {
    /// Its form.
    pub format: &'static Format,
    /// Its file; without one it stands on standard output.
    pub file: Option<PathBuf>,
}

/// Reads `FORMAT[=FILE]`.
///
/// # Errors
/// A form that does not exist, or a file without a name.
pub fn read(text: &str) -> Result<Wanted, String> {
    let (name, file) = match text.split_once('=') {
        Some((name, "")) => return Err(format!("`{name}=` names no file")),
        Some((name, "-")) => (name, None),
        Some((name, file)) => (name, Some(PathBuf::from(file))),
        None => (text, None),
    };
    let Some(format) = find(name) else {
        let names: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
        let near = crate::value::nearest(name, names.iter().copied());
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Err(format!("there is no report `{name}`{near} (there are {})", names.join(", ")));
    };
    Ok(Wanted { format, file })
}

/// Whether a report takes the place of the terminal's.
pub fn on_stdout(wanted: &[Wanted]) -> bool {
    wanted.iter().any(|report| report.file.is_none())
}

/// Refuses reports that would write over each other or over what is `read`, before anything runs for them.
///
/// # Errors
/// Which ones.
pub fn check<'p>(
    wanted: &[Wanted],
    read: impl Iterator<Item = &'p Path>,
    log: Option<&Path>,
    context: &Context,
) -> Result<(), String> {
    if wanted.iter().filter(|report| report.file.is_none()).count() > 1 {
        return Err(
            "two reports cannot share standard output: give one a file, as in `--report junit=junit.xml`".into()
        );
    }
    let full = |path: &Path| crate::plan::plain(&context.cwd.join(path));
    let mut taken: Vec<PathBuf> = read.map(full).collect();
    for path in wanted.iter().filter_map(|report| report.file.as_deref()).chain(log) {
        let place = full(path);
        let shown = path.display();
        if taken.contains(&place) && !is_device(&place) {
            return Err(format!("`{shown}` is read or written by something else: a report needs a file of its own"));
        }
        if place.is_dir() {
            return Err(format!("`{shown}` is a folder: name a file in it"));
        }
        if let Some(folder) = place.parent().filter(|folder| !folder.is_dir()) {
            return Err(format!("`{shown}` cannot be written: there is no folder `{}`", folder.display()));
        }
        taken.push(place);
    }
    Ok(())
}

fn is_device(path: &Path) -> bool {
    path.metadata().is_ok_and(|about| !about.is_file() && !about.is_dir())
}

/// Writes the reports. Gives whether all could be.
pub fn write(wanted: &[Wanted], told: &Told<'_>, context: &Context, console: &Console) -> bool {
    let mut all = true;
    for report in wanted {
        let text = (report.format.write)(told);
        let Some(path) = &report.file else {
            print_line(text.trim_end());
            continue;
        };
        if let Err(e) = std::fs::write(context.cwd.join(path), text) {
            console.write(&format!("error[E001]: `{}` cannot be written: {e}\n", path.display()));
            all = false;
        }
    }
    all
}

/// What GitHub Actions shows by itself: annotations of the log, and a page of the job.
pub fn on_github(wanted: &[Wanted], told: &Told<'_>, context: &Context, console: &Console) {
    if context.var("GITHUB_ACTIONS") != Some("true") {
        return;
    }
    let made = |name: &str| find(name).map(|format| (format.write)(told)).unwrap_or_default();
    if !wanted.iter().any(|report| report.format.name == "github") {
        let annotations = made("github");
        match annotations.trim_end() {
            "" => {}
            // GitHub reads both, and a report on standard output must stay whole.
            text if on_stdout(wanted) => console.write(&format!("{text}\n")),
            text => print_line(text),
        }
    }
    let Some(page) = context.var("GITHUB_STEP_SUMMARY") else { return };
    let opened = std::fs::File::options().create(true).append(true).open(context.cwd.join(page));
    if let Err(e) = opened.and_then(|mut file| file.write_all(made("md").as_bytes())) {
        console.warn(&format!("the summary of the job, `{page}`, cannot be written: {e}"));
    }
}

/// Where the working folder lies, seen from the root of the repository; empty at its root.
pub fn folder(context: &Context) -> String {
    let Some(root) = context.var("GITHUB_WORKSPACE") else { return String::new() };
    let below = context.cwd.strip_prefix(root).map(|below| below.display().to_string());
    below.unwrap_or_default().replace('\\', "/")
}
