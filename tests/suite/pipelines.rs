//! Every ready-made pipeline is checked, and run with a model that repeats what it is asked.

use libtest_mimic::Trial;

use crate::cases::Case;
use crate::process::{Call, short};
use crate::{Outcome, files, root};

/// Two trials for each file of `pipelines/`; the neighbours of the second stand in `tests/pipelines/`.
pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for file in files(&root().join("pipelines"), "chain") {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let checked = file.clone();
        trials.push(Trial::test(format!("pipelines::{name}::check"), move || check(&checked)));
        let beside = root().join("tests/pipelines").join(&name);
        trials.push(Trial::test(format!("pipelines::{name}::run"), move || {
            if !beside.with_extension("args").exists() {
                return Err(format!("tests/pipelines/{}.args is missing", beside.display()).into());
            }
            Case { file, beside, default: &[] }.run()
        }));
    }
    trials.push(Trial::test("pipelines::tests", tests));
    trials
}

/// Every file has tests, and they pass without a server, a token or weights. What a model on this machine can answer it
/// did answer: the recordings lie beside the file. The others say that their model is mocked.
fn tests() -> Outcome {
    for file in files(&root().join("pipelines"), "chain") {
        let recorded = file.with_extension("recordings.jsonl").exists();
        let says_so = std::fs::read_to_string(&file)?.contains("mocked");
        if !recorded && !says_so {
            return Err(format!("{}: no recordings, and no word of mocks", file.display()).into());
        }
        let call = Call::new(&root().join("pipelines"))?.env("CI", "true").args(["test", "--offline"]).arg(&file);
        let done = call.run()?;
        if done.code != Some(0) {
            let (out, err) = (short(&done.stdout), short(&done.stderr));
            return Err(format!("{}: exit {:?}\n{out}{err}", file.display(), done.code).into());
        }
    }
    Ok(())
}

fn check(file: &std::path::Path) -> Outcome {
    let done = Call::new(&root().join("pipelines"))?.arg("check").arg(file).run()?;
    match done.code {
        Some(0) if !done.err().contains("warning") => Ok(()),
        code => Err(format!("exit {code:?}\n{}", short(&done.stderr)).into()),
    }
}
