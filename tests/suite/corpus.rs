//! What the fuzz targets read, read again: the inputs that cover most and those that once failed (`fuzz/corpus`).

use libtest_mimic::Trial;

use crate::{Outcome, fuzz, root};

/// What reads one input; it panics where something is wrong.
type Target = fn(&[u8]);

/// The trials, one a target.
pub fn trials() -> Vec<Trial> {
    let targets = [("front_end", fuzz::front_end::run as Target), ("parsers", fuzz::parsers::run)];
    targets.map(|(name, target)| Trial::test(format!("corpus::{name}"), move || replay(name, target))).into()
}

fn replay(name: &str, target: Target) -> Outcome {
    let mut inputs = 0;
    for entry in std::fs::read_dir(root().join("fuzz/corpus").join(name))? {
        let data = std::fs::read(entry?.path())?;
        target(&data);
        inputs += 1;
    }
    // An empty folder would prove nothing.
    if inputs < 50 { Err(format!("only {inputs} inputs").into()) } else { Ok(()) }
}
