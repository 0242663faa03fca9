//! Patterns of paths: `*` and `?` within a name, `**` over folders, `[a-z]`, `{md,txt}`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The most files that a pattern may find, and the most entries of folders that are looked at.
pub const MOST: usize = 100_000;

/// The most patterns that braces may stand for.
const MOST_PATTERNS: usize = 1_000;

/// Whether a path holds a character that a pattern gives a meaning.
pub fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '[', '{'])
}

/// The files that a pattern finds below `base`, by their path as it is shown, sorted. Names that begin with a dot are
/// found only where the pattern writes the dot; `**` follows no link to a folder.
///
/// # Errors
/// What is wrong with the pattern, or that it finds too much.
pub fn find(base: &Path, pattern: &str) -> Result<BTreeMap<String, PathBuf>, String> {
    let mut walk = Walk { found: BTreeMap::new(), left: MOST };
    for pattern in alternatives(pattern)? {
        let (start, shown, rest) = match pattern.strip_prefix('/') {
            Some(rest) => (Path::new("/"), "/", rest),
            None => (base, "", pattern.as_str()),
        };
        let mut parts: Vec<&str> = rest.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
        parts.dedup_by(|a, b| *a == "**" && *b == "**");
        if parts.is_empty() {
            return Err("it names no file".to_owned());
        }
        if let Some(part) = parts.iter().find(|p| !is_closed(p)) {
            return Err(format!("the `[` in `{part}` is not closed"));
        }
        walk.folder(start, shown, &parts)?;
    }
    Ok(walk.found)
}

/// The patterns that the braces of one stand for.
fn alternatives(pattern: &str) -> Result<Vec<String>, String> {
    let (mut done, mut open) = (Vec::new(), vec![pattern.to_owned()]);
    while let Some(pattern) = open.pop() {
        let Some(start) = pattern.find('{') else {
            done.push(pattern);
            continue;
        };
        let Some(end) = closing(&pattern[start..]).map(|n| start + n) else {
            return Err("a `{` is not closed".to_owned());
        };
        for word in words(&pattern[start + 1..end]) {
            open.push(format!("{}{word}{}", &pattern[..start], &pattern[end + 1..]));
        }
        if open.len() + done.len() > MOST_PATTERNS {
            return Err(format!("its braces stand for more than {MOST_PATTERNS} patterns"));
        }
    }
    Ok(done)
}

/// Where the brace that begins a text closes.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (i, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(i),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The words between the commas of the outermost braces.
fn words(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut out) = (0, 0, Vec::new());
    for (i, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                out.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out
}

struct Walk {
    found: BTreeMap<String, PathBuf>,
    /// Entries that may still be looked at.
    left: usize,
}

impl Walk {
    fn folder(&mut self, folder: &Path, shown: &str, parts: &[&str]) -> Result<(), String> {
        let Some((part, rest)) = parts.split_first() else { return Ok(()) };
        let below = |name: &str| match shown {
            "" => name.to_owned(),
            "/" => format!("/{name}"),
            shown => format!("{shown}/{name}"),
        };
        if *part == "**" {
            // No folder at all, and a file at any depth where nothing stands behind.
            self.folder(folder, shown, if rest.is_empty() { &["*"] } else { rest })?;
            for (name, path) in self.entries(folder)? {
                let real = path.symlink_metadata().is_ok_and(|m| m.is_dir());
                if real && !name.starts_with('.') {
                    self.folder(&path, &below(&name), parts)?;
                }
            }
            return Ok(());
        }
        if !is_pattern(part) {
            return self.step(folder.join(part), below(part), rest);
        }
        let pattern: Vec<char> = part.chars().collect();
        for (name, path) in self.entries(folder)? {
            let hidden = name.starts_with('.') && !part.starts_with('.');
            if !hidden && matches(&pattern, &name.chars().collect::<Vec<_>>()) {
                self.step(path, below(&name), rest)?;
            }
        }
        Ok(())
    }

    fn step(&mut self, path: PathBuf, shown: String, rest: &[&str]) -> Result<(), String> {
        if !rest.is_empty() {
            return if path.is_dir() { self.folder(&path, &shown, rest) } else { Ok(()) };
        }
        if path.is_file() {
            self.found.insert(shown, path);
        }
        Ok(())
    }

    fn entries(&mut self, folder: &Path) -> Result<Vec<(String, PathBuf)>, String> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        for entry in entries.flatten() {
            self.left = self.left.checked_sub(1).ok_or_else(|| format!("it looks at more than {MOST} files"))?;
            out.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
        Ok(out)
    }
}

/// Whether every `[` of a part of a pattern is closed.
fn is_closed(part: &str) -> bool {
    let part: Vec<char> = part.chars().collect();
    let mut at = 0;
    while at < part.len() {
        if part[at] == '[' {
            match class_end(&part, at) {
                Some(end) => at = end,
                None => return false,
            }
        }
        at += 1;
    }
    true
}

/// Where the class that begins at `start` closes; a `]` right after the opening belongs to it.
fn class_end(pattern: &[char], start: usize) -> Option<usize> {
    let first = start + 1 + usize::from(matches!(pattern.get(start + 1), Some('!' | '^')));
    (first + 1..pattern.len()).find(|i| pattern[*i] == ']')
}

fn in_class(class: &[char], c: char) -> bool {
    let (negated, class) = match class.first() {
        Some('!' | '^') => (true, &class[1..]),
        _ => (false, class),
    };
    let mut at = 0;
    let mut found = false;
    while at < class.len() {
        if class.get(at + 1) == Some(&'-') && at + 2 < class.len() {
            found |= (class[at]..=class[at + 2]).contains(&c);
            at += 3;
        } else {
            found |= class[at] == c;
            at += 1;
        }
    }
    found != negated
}

/// Whether a name fits one part of a pattern. A `*` that took too little is given more: linear but for one star.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => {
                class_end(pattern, p).filter(|end| in_class(&pattern[p + 1..*end], name[n])).map(|end| end + 1)
            }
            Some(c) if *c == name[n] => Some(p + 1),
            _ => None,
        };
        match (step, star) {
            (Some(next), _) => (p, n) = (next, n + 1),
            (None, Some((at, taken))) => {
                star = Some((at, taken + 1));
                (p, n) = (at + 1, taken + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::{alternatives, is_closed, matches};

    fn fits(pattern: &str, name: &str) -> bool {
        matches(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
    }

    #[test]
    fn names_fit_or_not() {
        for (pattern, name) in [
            ("*", "a"),
            ("*.md", "a.md"),
            ("a*b*c", "a.b.b.c"),
            ("?x", "äx"),
            ("[a-c]1", "b1"),
            ("[!a-c]1", "d1"),
            ("[]]", "]"),
            ("[a-]", "-"),
            ("a**", "a"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*.md", "a.mdx"), ("?", ""), ("[a-c]", "d"), ("[!a]", "a"), ("a*b", "ac"), ("", "a")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_are_no_bomb() {
        let pattern = "*a".repeat(200) + "b";
        assert!(!fits(&pattern, &"a".repeat(5_000)));
    }

    #[test]
    fn braces_stand_for_alternatives() {
        let mut all = alternatives("{a,b{1,2}}.{x,y}").unwrap_or_default();
        all.sort();
        assert_eq!(all, ["a.x", "a.y", "b1.x", "b1.y", "b2.x", "b2.y"]);
        assert!(alternatives("{a,b").is_err());
        assert!(alternatives(&"{a,b}".repeat(12)).is_err());
        assert!(is_closed("a[b]c") && !is_closed("a[b"));
    }
}
