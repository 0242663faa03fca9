//! Which tests of the command line's files run.

use std::path::{Path, PathBuf};

use super::arguments::TestArgs;
use crate::diag::{Code, Diagnostic};
use crate::plan::testing::Test;
use crate::testing::Budget;

/// The `.chain` files that the words name: files as they are, folders with all in them, in order.
///
/// # Errors
/// A folder that cannot be read, or that holds none.
pub fn files(words: &[PathBuf], cwd: &Path) -> Result<Vec<PathBuf>, String> {
    let mut all = Vec::new();
    for word in words {
        if !cwd.join(word).is_dir() {
            all.push(word.clone());
            continue;
        }
        let mut found = Vec::new();
        inside(&cwd.join(word), word, &mut found).map_err(|e| format!("`{}` cannot be read: {e}", word.display()))?;
        if found.is_empty() {
            return Err(format!("`{}` holds no .chain file", word.display()));
        }
        found.sort();
        all.extend(found);
    }
    let mut seen = std::collections::HashSet::new();
    all.retain(|path| seen.insert(cwd.join(path)));
    Ok(all)
}

fn inside(folder: &Path, shown: &Path, out: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let kind = entry.file_type()?;
        // Links are not followed, so that a circle of folders ends.
        if kind.is_dir() && !name.to_string_lossy().starts_with('.') && name != "target" && name != "node_modules" {
            inside(&entry.path(), &shown.join(&name), out)?;
        } else if kind.is_file() && Path::new(&name).extension().is_some_and(|e| e == "chain") {
            out.push(shown.join(&name));
        }
    }
    Ok(())
}

/// A part of all tests: the `i`-th of `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    i: u64,
    n: u64,
}

impl Shard {
    /// Reads `i/n`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse::<u64>().ok()?, n.parse::<u64>().ok()?)));
        match parts {
            Some((i, n)) if (1..=n).contains(&i) => Ok(Self { i, n }),
            _ => Err(format!("`--shard {text}` is no part: write I/N, as 1/4, with I from 1 to N")),
        }
    }

    /// Whether a test belongs to it: by its name, so that a test that is added moves no other.
    pub fn holds(self, file: &str, test: &str) -> bool {
        let digest = crate::store::digest(format!("{file}\0{test}").as_bytes());
        u64::from_str_radix(&digest[..15], 16).unwrap_or(0) % self.n == self.i - 1
    }
}

/// Reads `tokens=N,calls=N,time=10m`.
///
/// # Errors
/// What is wrong with it.
pub fn budget(text: &str) -> Result<Budget, String> {
    let mut budget = Budget::default();
    for part in text.split(',').map(str::trim) {
        let wrong =
            |what: &str| format!("`--budget`: {what}; write tokens=N, calls=N or time=10m, with commas between");
        let (name, value) = part.split_once('=').ok_or_else(|| wrong(&format!("`{part}` is no limit")))?;
        let count = || value.parse::<u64>().map_err(|_| wrong(&format!("`{value}` is no whole number")));
        match name {
            "tokens" => budget.tokens = Some(count()?),
            "calls" => budget.calls = Some(count()?),
            "time" => {
                budget.seconds = Some(seconds(value).ok_or_else(|| wrong(&format!("`{value}` is no length of time")))?);
            }
            _ => return Err(wrong(&format!("there is no limit `{name}`"))),
        }
    }
    Ok(budget)
}

fn seconds(text: &str) -> Option<f64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (digits, unit) = text.split_at(at);
    let scale = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    digits.parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0).map(|n| n * scale)
}

/// Whether a test is selected by name, tag and part.
pub fn selected(args: &TestArgs, shard: Option<Shard>, file: &str, test: &Test) -> bool {
    let named = args.filter.is_empty() || args.filter.iter().any(|text| test.name.contains(text.as_str()));
    let tagged = args.tag.is_empty() || args.tag.iter().any(|tag| test.tags.contains(tag));
    named && tagged && shard.is_none_or(|shard| shard.holds(file, &test.name))
}

/// The error of a tag that no test has.
pub fn unknown_tags(args: &TestArgs, known: &[String]) -> Option<String> {
    let unknown = args.tag.iter().find(|tag| !known.contains(tag))?;
    let near = crate::value::nearest(unknown, known.iter().map(String::as_str));
    let help = match near {
        Some(near) => format!(": did you mean `{near}`?"),
        None if known.is_empty() => ": no test has tags".to_owned(),
        None => format!(": there are {}", known.iter().map(|t| format!("`{t}`")).collect::<Vec<_>>().join(", ")),
    };
    Some(format!("no test has the tag `{unknown}`{help}"))
}

/// The errors of `only` where nobody watches: it would hide every other test.
pub fn refused_only(tests: &[Test]) -> Vec<Diagnostic> {
    let all = tests.iter().filter_map(|test| test.only);
    all.map(|span| {
        Diagnostic::error(Code::E240, span, "`only` leaves out every other test, which is refused where CI is set")
            .help("take it out before the file is committed")
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_is_in_one_part() {
        let parts: Vec<Shard> = ["1/3", "2/3", "3/3"].iter().map(|t| Shard::read(t).unwrap()).collect();
        let mut sizes = [0; 3];
        for n in 0..300 {
            let name = format!("test {n}");
            let held: Vec<usize> = (0..3).filter(|i| parts[*i].holds("a.chain", &name)).collect();
            assert_eq!(held.len(), 1);
            sizes[held[0]] += 1;
        }
        assert!(sizes.iter().all(|n| (60..140).contains(n)), "{sizes:?}");
        for wrong in ["0/3", "4/3", "1", "a/b", "1/0"] {
            assert!(Shard::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn budgets_are_read() {
        let read = budget("tokens=1000, calls=5,time=1.5m").unwrap();
        assert_eq!(read, Budget { tokens: Some(1000), calls: Some(5), seconds: Some(90.0) });
        for wrong in ["tokens", "tokens=a", "time=5", "time=5d", "money=3"] {
            assert!(budget(wrong).is_err(), "{wrong}");
        }
    }
}
