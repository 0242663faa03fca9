//! Any text through the scanner, the grammar, the checks and the lowering of every chain, to a plan or to diagnostics
//! whose places lie in the text and that can be shown.

use std::path::PathBuf;

use chainrun::diag::{Diagnostic, Severity, render_all};
use chainrun::plan::{self, Declarations, Execs, Libraries, Settings};
use chainrun::source::{Sources, Span};

use super::tree;

/// The longest text that is tried: what is slow by size alone is measured elsewhere.
const LONGEST: usize = 4096;

/// Checks one text.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(&data[..data.len().min(LONGEST)]) else { return };
    let mut sources = Sources::new();
    let id = sources.add("fuzz.chain", text);
    let (tree, mut found) = chainrun::syntax::parse(id, text);
    if found.is_empty() {
        tree::comes_back(&tree, text);
    }
    // A folder that is not there: the file reaches no other.
    let base = PathBuf::from("/nonexistent");
    let libraries = Libraries::load(&tree, "fuzz.chain", &base, &base, &mut sources);
    let declarations = Declarations::collect(&tree, &libraries, &mut found);
    let settings =
        Settings { base: base.clone(), project: base.clone(), cwd: base, exec: Execs::Noted, ..Settings::default() };
    found.extend(plan::check(&sources, &tree, &declarations, &settings).diagnostics);
    if !found.iter().any(|d| d.severity == Severity::Error) {
        for chain in declarations.chains() {
            // A chain that others use need not run by itself.
            match plan::lower(&sources, &declarations, &settings, "fuzz.chain", chain) {
                Ok((plan, notes)) => {
                    let _ = plan.result_type().to_string();
                    found.extend(notes);
                }
                Err(refused) => found.extend(refused),
            }
        }
    }
    for diagnostic in &found {
        shown(diagnostic, &sources);
    }
    let _ = render_all(&found, &sources, true);
}

/// Holds the places of a diagnostic to the text.
fn shown(diagnostic: &Diagnostic, sources: &Sources) {
    assert!(!diagnostic.message.is_empty(), "a diagnostic without words");
    for span in diagnostic.span.iter().copied().chain(diagnostic.labels.iter().map(|l| l.span)) {
        let Span { file, start, end } = span;
        let text = &sources.get(file).text;
        let whole = text.get(start as usize..end as usize).is_some();
        assert!(whole, "{}: {start}..{end} is no range of the text", diagnostic.message);
    }
}
