//! `chainrun review`: snapshots that wait, answers to what is asked, and what is left.

use libtest_mimic::Trial;

use crate::Outcome;
use crate::process::{Call, Done, TempDir};

/// The trials.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("review::each_is_accepted_rejected_or_skipped", asked),
        Trial::test("review::all_at_once", all),
        Trial::test("review::what_no_test_looks_at_is_removed", pruned),
        Trial::test("review::what_changes_each_time_is_not_compared", redacted),
        Trial::test("review::a_configuration_is_checked", configuration),
        Trial::test("review::mistakes_are_told", mistakes),
    ]
}

fn ensure(met: bool, what: impl std::fmt::Display) -> Outcome {
    if met { Ok(()) } else { Err(what.to_string().into()) }
}

fn call(temp: &TempDir, words: &[&str]) -> Result<Call, String> {
    Ok(Call::new(temp.path()).map_err(|e| e.to_string())?.args(words))
}

fn run(temp: &TempDir, words: &[&str]) -> Result<Done, String> {
    call(temp, words)?.run()
}

const TEXT: &str = "model m = fake(echo: true)\nprompt ask { user \"What is a {{ word }}?\" }\nvar word: string = \"potato\"\n\
                    chain main = ask | m | text\n\
                    test \"one\" {\n  expect snapshot\n}\n\
                    test \"two\" {\n  word = \"tomato\"\n  expect snapshot\n  expect at m.prompt snapshot\n}\n";

/// The file names in the folder of snapshots, in order.
fn names(temp: &TempDir) -> Result<Vec<String>, std::io::Error> {
    let folder = temp.path().join("snapshots/t");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut all: Vec<String> =
        std::fs::read_dir(folder)?.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    all.sort();
    Ok(all)
}

fn asked() -> Outcome {
    let temp = TempDir::new()?;
    temp.write("t.chain", TEXT)?;
    let first = run(&temp, &["test", "t.chain"])?;
    ensure(first.code == Some(5) && first.out().contains("`chainrun review`"), first.out())?;
    // One that nobody answers stays as it is.
    let none = run(&temp, &["review"])?;
    ensure(none.code == Some(5) && none.err().contains("3 snapshots still wait"), none.err())?;
    let done = call(&temp, &["review", "t.chain"])?.stdin("x\nw\na\nskip\nr\n").run()?;
    let out = done.out();
    ensure(done.code == Some(5) && done.err().contains("1 snapshot still waits to be accepted"), &out)?;
    ensure(out.contains("1/3 new snapshots/t/one.snap") && out.contains("| + What is a potato?"), &out)?;
    ensure(out.contains("`x` is none of a, r, s, w, q") && out.contains("accepted snapshots/t/one.snap"), &out)?;
    let left = names(&temp)?;
    ensure(left.len() == 2 && left[0] == "one.snap" && left[1].ends_with(".snap.new"), format!("{left:?}"))?;
    // A value that changed is shown beside the accepted one.
    temp.write("t.chain", TEXT.replace("What is", "What really is"))?;
    let changed = run(&temp, &["test", "t.chain", "--filter", "one"])?;
    ensure(changed.code == Some(1), changed.out())?;
    let done = call(&temp, &["review"])?.stdin("a\nq\n").run()?;
    let out = done.out();
    ensure(out.contains("1/2 changed snapshots/t/one.snap"), &out)?;
    ensure(out.contains("| - What is a potato?") && out.contains("| + What really is a potato?"), &out)?;
    ensure(done.code == Some(5) && run(&temp, &["test", "t.chain", "--filter", "one"])?.code == Some(0), &out)
}

fn all() -> Outcome {
    let temp = TempDir::new()?;
    temp.write("t.chain", TEXT)?;
    let ci = call(&temp, &["test", "t.chain"])?.env("CI", "true").run()?;
    ensure(ci.code == Some(5) && names(&temp)?.is_empty(), "a snapshot was written where CI is set")?;
    ensure(run(&temp, &["test", "t.chain"])?.code == Some(5), "nothing waits")?;
    let list = run(&temp, &["review", "--list"])?;
    ensure(
        list.code == Some(5) && list.out().lines().count() == 3 && list.out().contains("new snapshots/t/"),
        list.out(),
    )?;
    let rejected = run(&temp, &["review", ".", "--reject"])?;
    ensure(rejected.code == Some(0) && names(&temp)?.is_empty(), rejected.out() + &rejected.err())?;
    ensure(run(&temp, &["test", "t.chain"])?.code == Some(5), "nothing waits")?;
    let accepted = run(&temp, &["review", "--accept"])?;
    ensure(accepted.code == Some(0) && accepted.out().lines().count() == 3, accepted.out() + &accepted.err())?;
    let ci = call(&temp, &["test", "t.chain"])?.env("CI", "true").run()?;
    ensure(ci.code == Some(0), ci.out())?;
    let nothing = run(&temp, &["review"])?;
    ensure(nothing.code == Some(0) && nothing.out() == "no snapshot waits to be accepted\n", nothing.out())
}

fn pruned() -> Outcome {
    let temp = TempDir::new()?;
    temp.write("t.chain", TEXT)?;
    ensure(run(&temp, &["test", "t.chain", "--accept"])?.code == Some(0), "they are not accepted")?;
    let none = run(&temp, &["review", "--prune"])?;
    ensure(none.code == Some(0) && none.out() == "every snapshot is looked at by a test\n", none.out())?;
    temp.write("snapshots/t/notes.txt", "mine")?;
    temp.write("snapshots/gone/one.snap", "x\n")?;
    temp.write("t.chain", TEXT.replace("test \"one\"", "test \"first\""))?;
    let told = run(&temp, &["test", "t.chain"])?;
    ensure(told.err().contains("`chainrun review --prune` removes it"), told.err())?;
    // Of a file that is wrong it is not known what its tests look at.
    temp.write("t.chain", TEXT.replace("chain main", "chian main"))?;
    let wrong = run(&temp, &["review", "t.chain", "--prune"])?;
    ensure(wrong.code == Some(2) && wrong.err().contains("nothing is removed"), wrong.err())?;
    temp.write("t.chain", TEXT.replace("test \"one\"", "test \"first\""))?;
    let done = run(&temp, &["review", "--prune"])?;
    let out = done.out();
    ensure(done.code == Some(0) && out == "removed snapshots/gone/one.snap\nremoved snapshots/t/one.snap\n", &out)?;
    ensure(names(&temp)?.len() == 4 && !temp.path().join("snapshots/gone").exists(), format!("{:?}", names(&temp)?))
}

fn redacted() -> Outcome {
    let temp = TempDir::new()?;
    let text = |number: u32| {
        format!(
            "model m = fake(\"made on 2026-01-{number} by call {number}\")\nchain main = \"x\" | m | text\n\
             test \"one\" {{\n  expect snapshot\n}}\n"
        )
    };
    let yaml = "test:\n  redact:\n    - pattern: '[0-9]{4}-[0-9]{2}-[0-9]{2}'\n      with: \"[date]\"\n\
                \x20   - { pattern: \"call [0-9]+\", with: \"call $1\" }\n";
    temp.write("chainrun.yaml", yaml)?;
    temp.write("t.chain", text(10))?;
    ensure(run(&temp, &["test", "t.chain", "--accept"])?.code == Some(0), "it is not accepted")?;
    let kept = std::fs::read_to_string(temp.path().join("snapshots/t/one.snap"))?;
    ensure(kept == "made on [date] by call $1\n", &kept)?;
    temp.write("t.chain", text(23))?;
    let done = run(&temp, &["test", "t.chain"])?;
    ensure(done.code == Some(0), done.out())?;
    temp.write("chainrun.yaml", "model: ollama:m\n")?;
    let done = run(&temp, &["test", "t.chain"])?;
    ensure(done.code == Some(1) && done.out().contains("made on 2026-01-23"), done.out() + &done.err())
}

fn configuration() -> Outcome {
    let temp = TempDir::new()?;
    temp.write("t.chain", TEXT)?;
    for (yaml, place, message) in [
        ("test: { redact: [{ pattern: \"a[\", with: x }] }", ":1:29", "`a[` is no regular expression: unclosed"),
        ("test:\n  redact:\n    - pattern: x*\n      with: y", ":3:16", "matches the empty text"),
        ("test: { redcat: [] }", ":1:9", "there is no setting `test: redcat`"),
        ("test: { redact: [{ pattern: ab, wiht: y }] }", ":1:33", "a redaction has no `wiht`"),
        ("test: { redact: [{ pattern: ab }] }", ":1:29", "has no `with`"),
        ("test: { redact: [{ with: y }] }", ":1:9", "has no `pattern`"),
        ("test: { redact: [ab] }", ":1:18", "is no redaction"),
        ("test: { redact: { pattern: ab } }", ":1:9", "wants a list"),
        ("test: yes", ":1:7", "`test` wants keys with values, found the text \"yes\""),
        ("model: [a]", ":1:1", "`model` wants text, found a list"),
        ("model: a\nmodel: b", ":2:1", "duplicate mapping key"),
        ("model: \"a", ":1:8", "it is no YAML: unclosed quote"),
        ("[a]", ":1:1", "it holds no settings, but a list"),
        ("prices: {}", ":1:1", "the prices have no `currency`"),
        ("prices: { currency: dollars }", ":1:21", "`dollars` is no currency"),
        ("prices: { currency: USD, opnai: {} }", ":1:26", "there is no provider `opnai`"),
        ("prices: { currency: USD, openai: { m: { input: 1 } } }", ":1:36", "the price of `m` has no `output`"),
        ("prices: { currency: USD, openai: { m: { input: 1, ouput: 2 } } }", ":1:51", "a price has no `ouput`"),
        ("prices:\n  currency: USD\n  openai:\n    m: { input: -1, output: 2 }", ":4:17", "a price is 0 or more"),
        ("prices:\n  currency: USD\n  openai:\n    m: { input: .nan, output: 2 }", ":4:17", "non-finite float"),
        ("prices: { currency: USD, openai: { m: { input: \"1\", output: 2 } } }", ":1:48", "wants a number"),
        ("prices: { currency: USD, openai: { m: 3 } }", ":1:39", "wants keys with values, found the number 3"),
        ("tests: {}", ":1:1", "there is no setting `tests`"),
    ] {
        temp.write("chainrun.yaml", yaml)?;
        for words in [["test", "t.chain"], ["check", "t.chain"]] {
            let done = run(&temp, &words)?;
            let err = done.err();
            let told = err.contains("error[E304]") && err.contains(message);
            ensure(done.code == Some(2) && told, format!("{yaml}: {words:?}: {err}"))?;
            ensure(err.contains(&format!("chainrun.yaml{place}\n")), format!("{yaml}: {err}"))?;
        }
    }
    Ok(())
}

fn mistakes() -> Outcome {
    let temp = TempDir::new()?;
    temp.write("t.chain", TEXT)?;
    let done = run(&temp, &["review", "u.chain"])?;
    ensure(done.code == Some(2) && done.err().contains("no .chain file and no folder `u.chain`"), done.err())?;
    for both in [["--accept", "--reject"], ["--list", "--prune"], ["--reject", "--list"]] {
        let done = run(&temp, &["review", both[0], both[1]])?;
        ensure(done.code == Some(2) && done.err().contains("cannot be used with"), done.err())?;
    }
    Ok(())
}
