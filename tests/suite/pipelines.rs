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

/// Every file has tests, and they pass without a server, a token or weights.
fn tests() -> Outcome {
    for file in files(&root().join("pipelines"), "chain") {
        let done = Call::new(&root().join("pipelines"))?.args(["test", "--offline"]).arg(&file).run()?;
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
