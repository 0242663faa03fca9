//! The names of the snapshots that tests look at, known without running them.

use std::collections::HashSet;
use std::path::Path;

use super::prepare::{Case, Prepared};
use super::snapshots::{ACCEPTED, PENDING, slug, with_step};
use crate::plan::testing::{Claim, ClaimKind, Step, Test};

/// The names of the snapshots that some tests look at.
pub struct SnapshotNames(HashSet<String>);

impl SnapshotNames {
    /// Whether a test looks at the snapshot in this file, accepted or waiting.
    pub fn looks_at(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.strip_suffix(&format!(".{PENDING}")).or_else(|| name.strip_suffix(&format!(".{ACCEPTED}")));
        let Some(stem) = stem else { return true };
        // A step that runs several times has a snapshot for each time, and how often that is, only a run tells.
        let counted = stem.rsplit_once("--").filter(|(_, n)| n.parse::<u32>().is_ok_and(|n| n > 1));
        self.0.contains(stem) || counted.is_some_and(|(name, _)| self.0.contains(name))
    }
}

/// The snapshots that these tests look at.
pub fn snapshot_names(tests: &[Prepared<'_>]) -> SnapshotNames {
    let mut names = HashSet::new();
    for prepared in tests {
        let mut steps: Vec<Option<&Step>> = Vec::new();
        for expectation in &prepared.test.expectations {
            collect(&expectation.claim, expectation.at.as_ref(), &mut steps);
        }
        for case in &prepared.cases {
            let runs: Vec<Option<u32>> = match prepared.test.runs {
                Some((runs, _)) => (1..=runs).map(Some).collect(),
                None => vec![None],
            };
            for run in runs {
                let name = case_name(prepared.test, case, run);
                names.extend(steps.iter().map(|step| with_step(&name, *step)));
            }
        }
    }
    SnapshotNames(names)
}

fn collect<'c>(claim: &'c Claim, step: Option<&'c Step>, out: &mut Vec<Option<&'c Step>>) {
    match &claim.kind {
        ClaimKind::Snapshot => out.push(step),
        // What a run failed with is no step's.
        ClaimKind::Fails(inner) => inner.iter().for_each(|claim| collect(claim, None, out)),
        ClaimKind::Group(_, claims) => claims.iter().for_each(|claim| collect(claim, step, out)),
        _ => {}
    }
}

/// What tells a case from all others of the file, for the names of its snapshots.
pub fn case_name(test: &Test, case: &Case, run: Option<u32>) -> String {
    let mut name = slug(&test.name);
    for swapped in &test.variants[case.variant].swapped {
        name.push_str(&format!("--{}", slug(&format!("{}={}", swapped.name, swapped.with))));
    }
    if let Some(row) = &case.row {
        name.push_str(&format!("--{}", slug(row)));
    }
    if let Some(run) = run {
        name.push_str(&format!("--run-{run}"));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_known_by_its_name() {
        let names = SnapshotNames(HashSet::from(["one".to_owned(), "one--m".to_owned()]));
        for known in ["one.snap", "one.snap.new", "one--m.snap", "one--m--2.snap", "one--3.snap.new", "notes.txt"] {
            assert!(names.looks_at(Path::new(known)), "{known}");
        }
        for unknown in ["two.snap", "one--n.snap", "one--1.snap", "one--m--x.snap.new"] {
            assert!(!names.looks_at(Path::new(unknown)), "{unknown}");
        }
    }
}
