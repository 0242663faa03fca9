//! `chainrun test` and `chainrun report`: the log and every report of it.

use libtest_mimic::Trial;
use serde_json::Value as Json;

use crate::Outcome;
use crate::process::{Call, Done, TempDir};
use crate::xml;

/// The trials.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("testing::junit_is_well_formed_whatever_was_answered", junit),
        Trial::test("testing::a_report_of_the_log_is_the_report_of_the_run", again),
        Trial::test("testing::a_cut_log_is_told_as_far_as_it_goes", cut),
        Trial::test("testing::parts_fold_to_the_whole", parts),
        Trial::test("testing::github_actions_are_told_by_themselves", github),
        Trial::test("testing::reports_write_over_nothing", apart),
        Trial::test("testing::what_failed_runs_again", failed),
        Trial::test("testing::what_changed_runs_again", changed),
        Trial::test("testing::what_differs_from_a_commit_runs_again", since),
        Trial::test("testing::a_command_counts_as_changed", commands),
        Trial::test("testing::a_killed_run_goes_on_where_it_was", killed),
        Trial::test("testing::what_cannot_be_gone_on_with_is_told", no_resume),
        Trial::test("testing::workflows_run_in_a_fresh_project", workflows),
    ]
}

fn ensure(met: bool, what: impl std::fmt::Display) -> Outcome {
    if met { Ok(()) } else { Err(what.to_string().into()) }
}

fn run(temp: &TempDir, words: &[&str]) -> Result<Done, String> {
    Call::new(temp.path()).map_err(|e| e.to_string())?.args(words).run()
}

fn read(temp: &TempDir, name: &str) -> Result<String, libtest_mimic::Failed> {
    Ok(std::fs::read_to_string(temp.path().join(name)).map_err(|e| format!("{name}: {e}"))?)
}

fn json(text: &str) -> Result<Json, libtest_mimic::Failed> {
    Ok(serde_json::from_str(text).map_err(|e| format!("{e}: {text:.300}"))?)
}

/// One test of each kind, and answers that would end a line, an element, a comment or a script.
const ALL_KINDS: &str = r#"
model m = fake("a\u{1b}[31m\u{0}\r\n]]> <b>&amp;</b> \"q\" </script><!--\u{ffff}\t::error::x%0A")
chain main = "ask" | m | text
chain down = "ask" | fake(fail: "the server\u{7} burns") | text
test "passes" { expect contains "a" }
test "fails <&\"'>" { expect equals """
  one
  two
  """ }
test "breaks" for down { expect contains "a" }
test "waits" { expect snapshot }
test "rests" {
  skip "later, \"maybe\" <soon>"
  expect contains "a"
}
test "rows" from "rows.csv" as row {
  expect contains {{ row.text }}
  rows pass 50%
}
test "swaps" {
  swap m = [fake("x"), fake("</y>")]
  expect contains "x"
}
"#;

fn all_kinds() -> Result<TempDir, libtest_mimic::Failed> {
    let temp = TempDir::new()?;
    temp.write("all.chain", ALL_KINDS)?;
    temp.write("rows.csv", "id,text\none,script\ntwo,<never>\n")?;
    Ok(temp)
}

fn junit() -> Outcome {
    let temp = all_kinds()?;
    let done = run(&temp, &["test", "all.chain", "--report", "junit"])?;
    ensure(done.code == Some(3), done.err())?;
    let root = xml::read(&done.out())?;
    let names: Vec<&str> = root.all("testcase").iter().map(|case| case.get("name")).collect();
    let wanted = [
        "passes",
        "fails <&\"'>",
        "breaks",
        "waits",
        "rests",
        "rows [row one]",
        "rows [row two]",
        "swaps [m = fake(\"x\")]",
        "swaps [m = fake(\"</y>\")]",
    ];
    ensure(names == wanted, format!("{names:?}"))?;
    let counts: Vec<&str> = ["tests", "failures", "errors", "skipped"].iter().map(|name| root.get(name)).collect();
    ensure(counts == ["9", "2", "2", "2"], format!("{counts:?}"))?;
    let kinds = ["failure", "error", "skipped"].map(|kind| root.all(kind).len());
    ensure(kinds == [2, 2, 2], format!("{kinds:?}"))?;
    let failure = root.all("failure")[0];
    ensure(failure.text.contains("expected: one\ntwo") && failure.text.contains(r"\u{1b}[31m\u{0}"), &failure.text)?;
    let lines: Vec<&str> = root.all("testcase").iter().map(|case| case.get("line")).collect();
    ensure(lines[1] == "6" && root.all("testcase")[1].get("file") == "all.chain", format!("{lines:?}"))?;
    ensure(root.all("property").iter().any(|p| p.get("name") == "row" && p.get("value") == "two"), "no row")
}

fn again() -> Outcome {
    let temp = all_kinds()?;
    let mut words = vec!["test", "all.chain", "--log", "run.jsonl"];
    let asked: Vec<String> =
        ["json", "jsonl", "junit", "md", "github", "html"].iter().map(|form| format!("{form}={form}.1")).collect();
    words.extend(asked.iter().flat_map(|form| ["--report", form.as_str()]));
    let done = run(&temp, &words)?;
    ensure(done.code == Some(3) && done.out().contains("7 tests"), done.out())?;
    ensure(!done.out().contains(['\u{1b}', '\u{7}', '\r', '\0']), "the terminal would obey the answer")?;
    for form in ["json", "jsonl", "junit", "md", "github", "html"] {
        let told = run(&temp, &["report", "run.jsonl", "--report", form])?;
        ensure(told.code == Some(3), told.err())?;
        let first = read(&temp, &format!("{form}.1"))?;
        ensure(first.trim_end() == told.out().trim_end(), format!("{form} differs:\n{first}\n{}", told.out()))?;
    }
    ensure(read(&temp, "jsonl.1")? == read(&temp, "run.jsonl")?, "the log differs")?;
    let terminal = run(&temp, &["report", "run.jsonl"])?;
    ensure(terminal.out() == done.out(), terminal.out())?;
    let page = read(&temp, "html.1")?;
    let scripts = page.matches("</script>").count();
    ensure(scripts == 2 && !page.contains("<!--"), format!("{scripts} scripts end"))?;
    let start = page.find("id=\"data\">").ok_or("no data")? + "id=\"data\">".len();
    let packed = json(page[start..].split("</script>").next().unwrap_or_default())?;
    let data = unpacked(&packed["data"], &packed);
    ensure(data["summary"] == json(&read(&temp, "json.1")?)?, "the page holds another summary")?;
    let lines = &data["differences"]["1/0/0/0"];
    ensure(lines[0] == "- one" && lines[1] == "- two", lines)
}

/// The data of a page, as its script unpacks it.
fn unpacked(value: &Json, all: &Json) -> Json {
    let Json::Array(items) = value else { return value.clone() };
    match (items[0].as_u64(), items.len()) {
        (None, _) => items[1..].iter().map(|item| unpacked(item, all)).collect(),
        (Some(at), 1) => all["texts"][at as usize].clone(),
        (Some(at), _) => {
            let keys = all["shapes"][at as usize].as_array().into_iter().flatten().filter_map(Json::as_str);
            let values = items[1..].iter().map(|item| unpacked(item, all));
            Json::Object(keys.map(str::to_owned).zip(values).collect())
        }
    }
}

fn cut() -> Outcome {
    let temp = all_kinds()?;
    run(&temp, &["test", "all.chain", "--log", "run.jsonl"])?;
    let log = std::fs::read(temp.path().join("run.jsonl"))?;
    let first = log.iter().position(|b| *b == b'\n').ok_or("no line")? + 1;
    // The line of the end is the last one.
    let end = log[..log.len() - 1].iter().rposition(|b| *b == b'\n').ok_or("no line")? + 1;
    for part in (0..24).map(|n| first + (end - first) * n / 23) {
        temp.write("cut.jsonl", &log[..part])?;
        let done = run(&temp, &["report", "cut.jsonl", "--report", "json"])?;
        let summary = json(&done.out())?;
        let ended = log[..part].split(|b| *b == b'\n').filter(|line| line.starts_with(b"{\"entry\":\"case\""));
        let whole = ended.filter(|line| line.ends_with(b"}")).count();
        let told: usize = summary["tests"].as_array().map_or(0, |tests| {
            tests
                .iter()
                .flat_map(|t| t["cases"].as_array())
                .flatten()
                .map(|c| c["runs"].as_array().map_or(0, Vec::len))
                .sum()
        });
        let cut_line = part > 0 && log[part - 1] != b'\n';
        ensure(told == whole || (cut_line && told + 1 == whole), format!("{told} cases told of {whole}"))?;
        ensure(
            summary["stopped"].as_str().is_some_and(|why| why.contains("ends before the tests")),
            &summary["stopped"],
        )?;
        ensure(done.err().contains("was cut") == cut_line, done.err())?;
    }
    temp.write("none.jsonl", &log[..first - 1])?;
    let done = run(&temp, &["report", "none.jsonl"])?;
    ensure(done.code == Some(2) && done.err().contains("is no run log: it holds no whole line"), done.err())?;
    let done = run(&temp, &["report", "all.chain"])?;
    ensure(done.code == Some(2) && done.err().contains("`all.chain` is no run log: line 1"), done.err())
}

/// A summary without what differs between two runs: times, and what was noted of a selection.
fn lasting(mut summary: Json) -> Json {
    fn strip(value: &mut Json) {
        match value {
            Json::Object(map) => {
                map.remove("seconds");
                map.values_mut().for_each(strip);
            }
            Json::Array(list) => list.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut summary);
    summary
}

fn parts() -> Outcome {
    let temp = all_kinds()?;
    run(&temp, &["test", "all.chain", "--report", "json=whole.json"])?;
    let mut logs = Vec::new();
    for n in 1..=3 {
        let (shard, log) = (format!("{n}/3"), format!("{n}.jsonl"));
        let done = run(&temp, &["test", "all.chain", "--shard", &shard, "--log", &log])?;
        if done.code != Some(4) {
            logs.push(log);
        }
    }
    ensure(logs.len() > 1, "the tests fell into one part")?;
    let mut words: Vec<&str> = vec!["report", "--report", "json"];
    words.extend(logs.iter().rev().map(String::as_str));
    let done = run(&temp, &words)?;
    ensure(done.code == Some(3), done.err())?;
    let (whole, parts) = (lasting(json(&read(&temp, "whole.json")?)?), lasting(json(&done.out())?));
    ensure(whole == parts, format!("{whole:#}\n{parts:#}"))
}

fn github() -> Outcome {
    let temp = all_kinds()?;
    temp.write("summary.md", "before\n")?;
    let call = |words: &[&str]| -> Result<Done, String> {
        let call = Call::new(temp.path()).map_err(|e| e.to_string())?.args(words);
        let parent = temp.path().parent().ok_or("no folder above")?;
        let call = call.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", temp.path().join("summary.md"));
        call.env("GITHUB_WORKSPACE", parent.canonicalize().map_err(|e| e.to_string())?).run()
    };
    let done = call(&["test", "all.chain"])?;
    let out = done.out();
    ensure(out.contains("failed \"fails") && out.lines().any(|l| l.starts_with("::error file=")), &out)?;
    let folder = temp.path().file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let error = out.lines().find(|l| l.contains("title=fails")).ok_or("no annotation")?;
    ensure(error.starts_with(&format!("::error file={folder}/all.chain,line=6,col=")), error)?;
    ensure(error.contains("%0Aexpected: one%0Atwo%0Aactual: a") && error.contains("%250A"), error)?;
    ensure(!out.lines().any(|l| l.starts_with("::error::x")), &out)?;
    let page = read(&temp, "summary.md")?;
    ensure(
        page.starts_with("before\n### ❌ chainrun test\n\n7 tests") && page.contains("| failed | fails &lt;"),
        &page,
    )?;
    // A report on standard output stays whole.
    let done = call(&["test", "all.chain", "--report", "junit"])?;
    xml::read(&done.out())?;
    ensure(done.err().contains("::error file="), done.err())
}

fn apart() -> Outcome {
    let temp = all_kinds()?;
    for (words, why) in [
        (&["--report", "junit=all.chain"][..], "`all.chain` is read or written by something else"),
        (&["--report", "junit=./x", "--log", "x"], "`x` is read or written by something else"),
        (&["--report", "md", "--report", "json"], "two reports cannot share standard output"),
        (&["--report", "md=nowhere/x.md"], "`nowhere/x.md` cannot be written: there is no folder"),
        (&["--report", "md=."], "`.` is a folder"),
        (&["--report", "md="], "`md=` names no file"),
        (&["--report", "htlm"], "did you mean `html`?"),
    ] {
        let done = run(&temp, &[&["test", "all.chain"], words].concat())?;
        ensure(done.code == Some(2) && done.err().contains(why), format!("{words:?}: {}", done.err()))?;
    }
    ensure(read(&temp, "all.chain")? == ALL_KINDS, "the tests were written over")
}

/// The names of the tests that ran, as the log tells.
fn ran(temp: &TempDir, words: &[&str]) -> Result<(Option<i32>, Vec<String>, String), libtest_mimic::Failed> {
    let _ = std::fs::remove_file(temp.path().join("ran.jsonl"));
    let home = temp.path().join("home");
    let call = Call::new(temp.path())?.args(words).args(["--log", "ran.jsonl"]).env("CHAINRUN_HOME", &home);
    let done = call.run()?;
    let log = read(temp, "ran.jsonl").unwrap_or_default();
    let mut names = Vec::new();
    for line in log.lines() {
        let entry = json(line)?;
        if entry["entry"] == "case" {
            names.push(entry["test"].as_str().unwrap_or_default().to_owned());
        }
    }
    names.sort();
    names.dedup();
    Ok((done.code, names, done.err()))
}

/// Two files: tests of chains, rows, a library, a schema, documents.
fn reaching() -> Result<TempDir, libtest_mimic::Failed> {
    let temp = TempDir::new()?;
    temp.write("chainrun.yaml", "")?;
    temp.write("lib.chain", "chain voice = \"calm\"\n")?;
    temp.write("notes/a.md", "a note")?;
    temp.write("a.csv", "text\na\n")?;
    temp.write("b.csv", "text\na\n")?;
    temp.write("s.json", "{\"type\":\"string\"}")?;
    let text = "use \"lib.chain\" as lib\n\
        chain main = \"a\" | fake(echo: true) | text\n\
        test \"plain\" { expect contains \"a\" }\n\
        test \"rows\" from \"a.csv\" as row { expect contains {{ row.text }} }\n\
        test \"other rows\" from \"b.csv\" as row { expect contains {{ row.text }} }\n\
        test \"bad\" { expect contains \"z\" }\n\
        test \"never\" {\n  skip \"later\"\n  expect contains \"z\"\n}\n";
    temp.write("one.chain", text)?;
    let text = "chain main = files(\"notes/*.md\") as notes | \"{{ notes[0].text }}\" | fake(echo: true) | text\n\
        test \"notes\" { expect contains \"note\" }\n";
    temp.write("two.chain", text)?;
    Ok(temp)
}

fn failed() -> Outcome {
    let temp = reaching()?;
    let words = ["test", "one.chain", "two.chain", "--failed"];
    let (code, names, err) = ran(&temp, &words)?;
    ensure(code == Some(4) && names.is_empty() && err.contains("no run of these files is kept"), err)?;
    let (code, names, _) = ran(&temp, &words[..3])?;
    ensure(code == Some(1) && names.len() == 5, format!("{names:?}"))?;
    let (code, names, _) = ran(&temp, &words)?;
    ensure(code == Some(1) && names == ["bad"], format!("{names:?}"))?;
    let text = read(&temp, "one.chain")?.replace("contains \"z\" }\n", "contains \"a\" }\n");
    temp.write("one.chain", text)?;
    // A run of other tests forgets no failure.
    let (code, ..) = ran(&temp, &["test", "one.chain", "--filter", "plain"])?;
    ensure(code == Some(0), "the plain test did not pass")?;
    let (code, names, _) = ran(&temp, &words)?;
    ensure(code == Some(0) && names == ["bad"], format!("{names:?}"))?;
    let (code, names, err) = ran(&temp, &words)?;
    ensure(code == Some(4) && names.is_empty(), format!("{names:?}"))?;
    ensure(err.contains("none of the 6 tests is one that failed in its last run"), err)
}

fn changed() -> Outcome {
    let temp = reaching()?;
    let text = read(&temp, "one.chain")?.replace("contains \"z\" }\n", "contains \"a\" }\n");
    temp.write("one.chain", &text)?;
    let words = ["test", "one.chain", "two.chain", "--changed"];
    let all = ["bad", "notes", "other rows", "plain", "rows"];
    let (code, names, err) = ran(&temp, &words)?;
    ensure(code == Some(0) && names == all, format!("{names:?} {err}"))?;
    let (code, names, err) = ran(&temp, &words)?;
    ensure(
        code == Some(4) && names.is_empty() && err.contains("none of the 6 tests is one that reaches what changed"),
        err,
    )?;
    let change = |file: &str, text: &str, wanted: &[&str]| -> Outcome {
        temp.write(file, text)?;
        let (_, names, err) = ran(&temp, &words)?;
        ensure(names == wanted, format!("after {file}: {names:?}\n{err}"))
    };
    change("a.csv", "text,n\na,1\n", &["rows"])?;
    // It fails, and so it stays changed.
    change("a.csv", "text\nb\n", &["rows"])?;
    change("notes/b.md", "more", &["notes", "rows"])?;
    change("a.csv", "text\na\n", &["rows"])?;
    change("notes/a.md", "another note", &["notes"])?;
    change("notes/c.md", "a new note", &["notes"])?;
    change("lib.chain", "chain voice = \"loud\"\n", &["bad", "other rows", "plain", "rows"])?;
    change("one.chain", &text.replace("\"plain\" {", "\"plain\" { warn words < 9\n"), &["plain"])?;
    change("one.chain", &text.replace("\"a\" | fake", "\"a a\" | fake"), &["bad", "other rows", "plain", "rows"])?;
    let (code, names, _) = ran(&temp, &words)?;
    ensure(code == Some(4) && names.is_empty(), format!("{names:?}"))
}

fn git(temp: &TempDir, words: &[&str]) -> Outcome {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=trunk"];
    let done = Call::of("git", temp.path())?.args(identity).args(words).run()?;
    ensure(done.code == Some(0), format!("git {words:?}: {}", done.err()))
}

fn since() -> Outcome {
    let temp = reaching()?;
    git(&temp, &["init", "--quiet"])?;
    git(&temp, &["add", "."])?;
    git(&temp, &["commit", "--quiet", "-m", "first"])?;
    let words = ["test", "one.chain", "two.chain", "--changed", "git:HEAD"];
    let (code, names, err) = ran(&temp, &words)?;
    ensure(code == Some(4) && names.is_empty() && err.contains("what differs from the commit `HEAD`"), err)?;
    temp.write("b.csv", "text\na\na\n")?;
    let (_, names, err) = ran(&temp, &words)?;
    ensure(names == ["other rows"], format!("{names:?} {err}"))?;
    // A file that comes, and one that goes.
    temp.write("notes/b.md", "more")?;
    let (_, names, _) = ran(&temp, &words)?;
    ensure(names == ["notes", "other rows"], format!("{names:?}"))?;
    git(&temp, &["add", "."])?;
    git(&temp, &["commit", "--quiet", "-m", "second"])?;
    std::fs::remove_file(temp.path().join("notes/b.md"))?;
    let (_, names, _) = ran(&temp, &words)?;
    ensure(names == ["notes"], format!("{names:?}"))?;
    let (_, names, _) = ran(&temp, &["test", "one.chain", "--changed=git:HEAD~1"])?;
    ensure(names == ["other rows"], format!("{names:?}"))?;
    for (word, why) in [
        ("git:nowhere", "`git:nowhere` names no commit of"),
        ("git:--help", "`git:--help` names no commit of"),
        ("git:", "`--changed git:` names no commit"),
    ] {
        let done = run(&temp, &["test", "one.chain", "--changed", word])?;
        ensure(done.code == Some(2) && done.err().contains(why), done.err())?;
    }
    let done = run(&temp, &["test", "one.chain", "git:HEAD"])?;
    ensure(done.code == Some(2) && done.err().contains("write `--changed git:HEAD`"), done.err())?;
    let done = run(&temp, &["test", "one.chain", "--changed=HEAD"])?;
    ensure(done.code == Some(2) && done.err().contains("or `--changed git:HEAD`"), done.err())?;
    let bare = TempDir::new()?;
    bare.write("one.chain", "chain main = \"a\"\ntest \"a\" { expect contains \"a\" }\n")?;
    let done = run(&bare, &["test", "one.chain", "--changed", "git:HEAD"])?;
    ensure(done.code == Some(2) && done.err().contains("`git rev-parse` failed"), done.err())
}

fn commands() -> Outcome {
    let temp = TempDir::new()?;
    let text = "chain main = exec(\"cat\")\ntest \"runs\" {\n  input = \"x\"\n  expect equals \"x\"\n}\n";
    temp.write("one.chain", text)?;
    for _ in 0..2 {
        let (code, names, err) = ran(&temp, &["test", "one.chain", "--changed", "--allow-exec"])?;
        ensure(code == Some(0) && names == ["runs"], format!("{names:?} {err}"))?;
        ensure(err.contains("\"runs\" counts as changed: it runs a command"), err)?;
    }
    Ok(())
}

/// Numbers that look like any, the same for a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn killed() -> Outcome {
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos() as u64 | 1;
    println!("seed {seed}");
    let mut random = Random(seed);
    let temp = TempDir::new()?;
    let rows: String = (0..60).map(|n| format!("{n},w{n}\n")).collect();
    temp.write("rows.csv", format!("id,word\n{rows}"))?;
    let text = "chain main(word: string) = \"{{ word }}\" | fake(echo: true, delay: 30ms) | text\n\
        test \"rows\" from \"rows.csv\" as row {\n  word = {{ row.word }}\n  expect not contains \"7\"\n}\n\
        test \"often\" {\n  word = \"a\"\n  runs 5 pass 100%\n  expect contains \"a\"\n}\n";
    temp.write("slow.chain", text)?;
    let undisturbed = run(&temp, &["test", "slow.chain", "--jobs", "2", "--report", "json"])?;
    ensure(undisturbed.code == Some(1), undisturbed.err())?;
    let mut finished = 0;
    for round in 0..8 {
        let words = if round == 0 { ["--log", "run.jsonl"] } else { ["--resume", "run.jsonl"] };
        let mut command = std::process::Command::new(crate::process::BINARY);
        command.args(["test", "slow.chain", "--jobs", "2"]).args(words).current_dir(temp.path());
        command.env_clear().env("HOME", temp.path());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = command.spawn()?;
        // The first kill comes when some cases are finished; the others at any moment.
        let started = std::time::Instant::now();
        while round == 0 && read(&temp, "run.jsonl").unwrap_or_default().matches("\"entry\":\"case\"").count() < 2 {
            ensure(started.elapsed().as_secs() < 30, "no case finished in 30 s")?;
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        std::thread::sleep(std::time::Duration::from_millis(random.below(120)));
        child.kill()?;
        child.wait()?;
        let log = read(&temp, "run.jsonl")?;
        let whole = log.rfind('\n').map_or(0, |at| at + 1);
        let mut cases = 0;
        for line in log[..whole].lines() {
            cases += usize::from(json(line).map_err(|e| format!("seed {seed}: {e:?}"))?["entry"] == "case");
        }
        ensure(cases >= finished, format!("seed {seed}: {finished} cases were finished, {cases} are left"))?;
        finished = cases;
    }
    ensure(finished > 0 && finished < 65, format!("seed {seed}: {finished} cases were finished by kills"))?;
    // A line that a kill tore.
    let mut log = read(&temp, "run.jsonl")?;
    log.push_str("{\"entry\":\"case\",\"file\":\"slow");
    temp.write("run.jsonl", log)?;
    let done = run(&temp, &["test", "slow.chain", "--jobs", "2", "--resume", "run.jsonl", "--report", "json"])?;
    ensure(done.code == Some(1) && done.err().contains("was cut, and is taken off"), done.err())?;
    let (whole, resumed) = (lasting(json(&undisturbed.out())?), lasting(json(&done.out())?));
    ensure(whole == resumed, format!("seed {seed}\n{whole:#}\n{resumed:#}"))?;
    let log = read(&temp, "run.jsonl")?;
    let cases = log.lines().filter(|line| line.contains("\"entry\":\"case\"")).count();
    ensure(cases == 65, format!("seed {seed}: 65 cases took {cases} runs"))?;
    let again = run(&temp, &["test", "slow.chain", "--resume", "run.jsonl", "--report", "json"])?;
    ensure(again.err().contains("every case was finished before") && again.code == Some(1), again.err())?;
    ensure(lasting(json(&again.out())?) == whole, "a finished run changed")
}

/// The command lines of a workflow, in order: `run:` of GitHub's steps, the items of GitLab's `script:`.
fn lines_of(workflow: &Json, out: &mut Vec<String>) {
    match workflow {
        Json::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("run", Json::String(line)) => out.push(line.clone()),
                    ("script", Json::Array(lines)) => {
                        out.extend(lines.iter().filter_map(|l| Some(l.as_str()?.to_owned())))
                    }
                    _ => lines_of(value, out),
                }
            }
        }
        Json::Array(items) => items.iter().for_each(|item| lines_of(item, out)),
        _ => {}
    }
}

/// A project with some tests, committed, as a runner checks it out.
fn fresh() -> Result<TempDir, libtest_mimic::Failed> {
    let temp = TempDir::new()?;
    let tests: String = (0..12).map(|n| format!("test \"number {n}\" {{ expect contains \"a\" }}\n")).collect();
    temp.write("chains/one.chain", format!("chain main = \"a\" | fake(echo: true) | text\n{tests}"))?;
    git(&temp, &["init", "--quiet"])?;
    git(&temp, &["add", "."])?;
    git(&temp, &["commit", "--quiet", "-m", "first"])?;
    git(&temp, &["update-ref", "refs/remotes/origin/trunk", "HEAD"])?;
    Ok(temp)
}

fn workflows() -> Outcome {
    let page = std::fs::read_to_string(crate::root().join("docs/ci.md"))?;
    let folder = std::path::Path::new(crate::process::BINARY).parent().ok_or("no folder")?.to_path_buf();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path)))?;
    let mut ran = 0;
    for fence in crate::docs::fences(&page)?.iter().filter(|fence| fence.info.starts_with("yaml")) {
        let workflow = chainrun::config::yaml(&fence.text)?;
        let mut lines = Vec::new();
        lines_of(&workflow, &mut lines);
        let all = lines.len();
        lines.retain(|line| !line.starts_with("cargo install "));
        ensure(!lines.is_empty() && lines.len() < all, format!("line {}: what is installed and run?", fence.line))?;
        let temp = fresh()?;
        for line in lines {
            let mut call = Call::of("sh", temp.path())?.env("PATH", &path).args(["-ec", &line]).env("CI", "true");
            for (name, value) in [("CI_NODE_INDEX", "1"), ("CI_NODE_TOTAL", "2"), ("PART", "1")] {
                call = call.env(name, value);
            }
            if fence.info == "yaml github" {
                let page = temp.path().join("summary.md");
                call = call.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", page);
                call = call.env("GITHUB_WORKSPACE", temp.path()).env("GITHUB_BASE_REF", "trunk");
            }
            let done = call.run()?;
            ensure(done.code == Some(0), format!("line {}: {line}\n{}{}", fence.line, done.out(), done.err()))?;
            ran += 1;
        }
        if fence.text.contains("junit.xml") {
            xml::read(&read(&temp, "junit.xml")?)?;
        }
    }
    ensure(ran >= 8, format!("{ran} lines ran"))
}

fn no_resume() -> Outcome {
    let temp = reaching()?;
    run(&temp, &["test", "two.chain", "--log", "two.jsonl"])?;
    for (words, why) in [
        (["one.chain", "two.jsonl"], "`two.jsonl` is the log of other tests: those of `two.chain`"),
        (["two.chain", "lib.chain"], "`lib.chain` is no run log to go on with: line 1"),
        (["two.chain", "nowhere"], "`nowhere` cannot be read"),
        (["two.chain", "two.chain"], "`two.chain` is read or written by something else"),
    ] {
        let done = run(&temp, &["test", words[0], "--resume", words[1]])?;
        ensure(done.code == Some(2) && done.err().contains(why), format!("{words:?}: {}", done.err()))?;
    }
    // What changed since is run again.
    temp.write("notes/a.md", "another note")?;
    let done = run(&temp, &["test", "two.chain", "--resume", "two.jsonl"])?;
    ensure(done.code == Some(0) && done.err().contains("1 finished cases are of tests that changed"), done.err())?;
    let log = read(&temp, "two.jsonl")?;
    let cases = log.lines().filter(|line| line.contains("\"entry\":\"case\"")).count();
    ensure(cases == 2, format!("{cases} cases ran"))
}
