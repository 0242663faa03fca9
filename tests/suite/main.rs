//! One integration binary: what the `chainrun` command does, from outside.
//!
//! Every trial runs the built binary with a cleared environment, and compares. Case files, documents, pipelines and
//! conformance data become one trial each, so that `cargo test NAME` picks one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[cfg(unix)]
mod callbacks;
mod cases;
mod command;
mod conformance;
mod corpus;
mod diagnostics;
mod docs;
mod examples;
#[path = "../../fuzz/src"]
mod fuzz {
    pub mod front_end;
    pub mod parsers;
    pub mod tree;
}
#[cfg(feature = "local")]
mod families;
mod hostile;
mod layers;
#[cfg(feature = "local")]
mod model;
mod mutations;
#[path = "../support/ollama.rs"]
mod ollama;
mod otlp;
#[cfg(unix)]
mod outside;
mod pipelines;
mod printing;
mod process;
mod recordings;
mod reference;
mod replay;
mod review;
#[path = "../support/server.rs"]
mod server;
mod testing;
mod traces;
#[path = "../support/xml.rs"]
mod xml;

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Trial};

/// What a trial gives: nothing, or why it failed.
pub type Outcome = Result<(), libtest_mimic::Failed>;

/// The root of the package.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file with this extension below a folder, in order.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.filter_map(|e| Some(e.ok()?.path())) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn main() {
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = Vec::new();
    trials.extend(layers::trials());
    trials.extend(cases::trials());
    trials.extend(command::trials());
    trials.extend(diagnostics::trials());
    trials.extend(docs::trials());
    trials.extend(examples::trials());
    trials.extend(pipelines::trials());
    trials.extend(conformance::trials());
    trials.extend(corpus::trials());
    trials.extend(hostile::trials());
    trials.extend(mutations::trials());
    trials.extend(printing::trials());
    trials.extend(otlp::trials());
    trials.extend(reference::trials());
    trials.extend(recordings::trials());
    trials.extend(replay::trials());
    trials.extend(testing::trials());
    trials.extend(review::trials());
    trials.extend(traces::trials());
    #[cfg(unix)]
    trials.extend(callbacks::trials());
    #[cfg(unix)]
    trials.extend(outside::trials());
    #[cfg(feature = "local")]
    trials.extend(families::trials());
    #[cfg(feature = "local")]
    trials.extend(model::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
