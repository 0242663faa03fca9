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
    let data = json(page[start..].split("</script>").next().unwrap_or_default())?;
    ensure(data["summary"] == json(&read(&temp, "json.1")?)?, "the page holds another summary")?;
    let lines = &data["differences"]["1/0/0/0"];
    ensure(lines[0] == "- one" && lines[1] == "- two", lines)
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
