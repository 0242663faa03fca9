//! What the fuzz targets read, read again: the inputs that cover most and those that once failed (`fuzz/corpus`).

use libtest_mimic::Trial;

use crate::{Outcome, fuzz, root};

/// The trials, one a target.
pub fn trials() -> Vec<Trial> {
    let targets: [(&str, fn(&[u8])); 2] = [("front_end", fuzz::front_end::run), ("parsers", fuzz::parsers::run)];
    targets.map(|(name, target)| Trial::test(format!("corpus::{name}"), move || replay(name, target))).into()
}

fn replay(name: &str, target: fn(&[u8])) -> Outcome {
    let mut inputs = 0;
    for entry in std::fs::read_dir(root().join("fuzz/corpus").join(name))? {
        let path = entry?.path();
        let data = std::fs::read(&path)?;
        println!("{}", path.display());
        target(&data);
        inputs += 1;
    }
    // An empty folder would prove nothing.
    if inputs < 50 { Err(format!("only {inputs} inputs").into()) } else { Ok(()) }
}
