//! Recordings of tests: a server whose answers change from call to call, and the same answers without it.

use std::sync::atomic::{AtomicUsize, Ordering};

use libtest_mimic::Trial;
use serde_json::Value as Json;

use crate::Outcome;
use crate::process::{Call, Done, TempDir};
use crate::server::{Reply, Server};

/// The trials.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("recordings::what_is_recorded_comes_again_without_its_server", again),
        Trial::test("recordings::what_is_not_recorded_is_no_call_where_ci_is_set", missing),
        Trial::test("recordings::a_changed_prompt_makes_recordings_stale", stale),
        Trial::test("recordings::record_and_live_call", modes),
        Trial::test("recordings::runs_have_recordings_of_their_own", runs),
        Trial::test("recordings::no_run_is_made_that_turns_out_needless", spared),
        Trial::test("recordings::an_edited_recording_counts_as_changed", edited),
        Trial::test("recordings::calls_are_grouped_by_model", grouped),
        Trial::test("recordings::what_was_recorded_has_a_cost", cost),
        Trial::test("recordings::vectors_are_recorded_by_their_texts", vectors),
        Trial::test("recordings::a_judge_is_recorded_as_well", judged),
        Trial::test("recordings::time_is_the_recorded_one", latency),
        Trial::test("recordings::a_torn_file_is_told_and_left", torn),
        Trial::test("recordings::two_processes_at_once_lose_nothing", two),
        Trial::test("recordings::other_weights_make_them_stale", weights),
        #[cfg(unix)]
        Trial::test("recordings::a_kill_loses_no_case_that_ended", killed),
    ]
}

const FILE: &str = "t.recordings.jsonl";

fn ensure(met: bool, what: impl std::fmt::Display) -> Outcome {
    if met { Ok(()) } else { Err(what.to_string().into()) }
}

/// A server whose every answer is another.
fn server() -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |_| says(count.fetch_add(1, Ordering::SeqCst) + 1, 0))
}

fn says(number: usize, wait: u64) -> Reply {
    let line = format!(
        "{{\"model\":\"m\",\"message\":{{\"content\":\"answer {number}\"}},\"done\":true,\"done_reason\":\"stop\",\
         \"prompt_eval_count\":3,\"eval_count\":2}}\n"
    );
    Reply::stream("application/x-ndjson").pause(wait).piece(line).end()
}

/// A file with a model of the server, a chain and these tests.
fn file(server: &Server, tests: &str) -> String {
    format!(
        "secret KEY\nvar word: string = \"potato\"\nmodel m = ollama(\"m\", base_url: \"{}\", api_key: KEY, temperature: 0)\n\
         chain main = \"What is a {{{{ word }}}}?\" | m | text\n{tests}\n",
        server.url()
    )
}

const TWO: &str = "test \"one\" {\n  expect contains \"answer\"\n}\n\
                   test \"two\" {\n  word = \"tomato\"\n  expect contains \"answer\"\n}\n\
                   test \"mocked\" {\n  word = \"bean\"\n  mock m = \"green\"\n  expect equals \"green\"\n}";

fn call(temp: &TempDir) -> Result<Call, String> {
    Ok(Call::new(temp.path()).map_err(|e| e.to_string())?.args(["test", "t.chain"]))
}

fn run(temp: &TempDir, words: &[&str]) -> Result<Done, String> {
    call(temp)?.args(words).env("KEY", "s3cr3t").run()
}

fn in_ci(temp: &TempDir, words: &[&str]) -> Result<Done, String> {
    call(temp)?.args(words).env("CI", "true").run()
}

fn lines(temp: &TempDir) -> Result<Vec<Json>, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(temp.path().join(FILE))?;
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn outputs(temp: &TempDir, log: &str) -> Result<Vec<Json>, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(temp.path().join(log))?;
    let entries: Vec<Json> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let mut cases: Vec<Json> = entries.into_iter().filter(|e| e["entry"] == "case").collect();
    cases.sort_by_key(|c| (c["test"].to_string(), c["run"].as_u64()));
    Ok(cases.iter().map(|c| serde_json::json!([c["test"], c["run"], c["output"], c["status"]])).collect())
}

fn again() -> Outcome {
    let temp = TempDir::new()?;
    let server = server();
    temp.write("t.chain", file(&server, TWO))?;
    let first = run(&temp, &["--log", "one.jsonl"])?;
    ensure(first.code == Some(0) && first.out().contains("(0 replayed, 2 called)"), first.out() + &first.err())?;
    let asked = server.requests().len();
    let text = std::fs::read_to_string(temp.path().join(FILE))?;
    ensure(!text.contains("s3cr3t") && !text.contains("127.0.0.1") && !text.contains("green"), &text)?;
    let prompts: Vec<String> = lines(&temp)?.iter().map(|l| l["asked"]["messages"][0]["text"].to_string()).collect();
    ensure(prompts == ["\"What is a potato?\"", "\"What is a tomato?\""], &text)?;
    // Without the server, without the secret, and without one the other default.
    drop(server);
    let second = in_ci(&temp, &["--log", "two.jsonl"])?;
    ensure(second.code == Some(0) && second.out().contains("(2 replayed, 0 called)"), second.out() + &second.err())?;
    let third = call(&temp)?.args(["--log", "three.jsonl"]).run()?;
    ensure(third.code == Some(0) && third.out().contains("(2 replayed, 0 called)"), third.out() + &third.err())?;
    let first = outputs(&temp, "one.jsonl")?;
    ensure(first == outputs(&temp, "two.jsonl")? && first == outputs(&temp, "three.jsonl")?, "outputs differ")?;
    ensure(asked == 2, format!("{asked} requests"))?;
    ensure(std::fs::read_to_string(temp.path().join(FILE))? == text, "the recordings changed")
}

fn missing() -> Outcome {
    let temp = TempDir::new()?;
    let server = server();
    temp.write("t.chain", file(&server, TWO))?;
    let none = in_ci(&temp, &[])?;
    ensure(none.code == Some(5) && none.out().contains("is not recorded, and no other is"), none.out())?;
    ensure(run(&temp, &[])?.code == Some(0), "they are not recorded")?;
    let asked = server.requests().len();
    let text = file(&server, TWO).replace("What is a", "What might be a");
    temp.write("t.chain", text)?;
    let other = in_ci(&temp, &[])?;
    let out = other.out();
    ensure(other.code == Some(5) && out.contains("unrecorded \"one\" t.chain:5"), &out)?;
    ensure(out.contains("- user: What is a potato?") && out.contains("+ user: What might be a potato?"), &out)?;
    ensure(out.contains("`--recordings auto` calls the model and records it"), &out)?;
    // What stands in for a failure hides no recording that is missing.
    let chain = "\"What is a {{ word }}?\" | m | text";
    let text =
        file(&server, TWO).replace(chain, &format!("({}) ?? \"answer\"", chain.replace("| m", "| m(temperature: 1)")));
    temp.write("t.chain", text)?;
    let hidden = in_ci(&temp, &[])?;
    let out = hidden.out();
    ensure(hidden.code == Some(5) && out.contains("- temperature: 0") && out.contains("+ temperature: 1"), &out)?;
    ensure(server.requests().len() == asked, "the server was asked")
}

fn stale() -> Outcome {
    let temp = TempDir::new()?;
    let server = server();
    temp.write("t.chain", file(&server, TWO))?;
    ensure(run(&temp, &[])?.code == Some(0), "they are not recorded")?;
    temp.write("t.chain", file(&server, TWO).replace("\"tomato\"", "\"tomato (red)\""))?;
    // A part of the tests tells nothing of the others.
    let part = run(&temp, &["--filter", "two"])?;
    ensure(part.out().contains("(0 replayed, 1 called)") && !part.err().contains("recording"), part.err())?;
    temp.write("t.chain", file(&server, TWO).replace("\"tomato\"", "\"tomato (ripe)\""))?;
    let done = run(&temp, &[])?;
    let err = done.err();
    ensure(done.code == Some(0) && done.out().contains("(1 replayed, 1 called)"), done.out() + &err)?;
    ensure(err.contains("note: 2 recordings of t.recordings.jsonl answer nothing any more; `--prune` removes"), &err)?;
    ensure(err.contains("asked now: user: What is a tomato (ripe)?"), &err)?;
    ensure(lines(&temp)?.len() == 4, "they were removed")?;
    let pruned = in_ci(&temp, &["--prune"])?;
    ensure(
        pruned.code == Some(0) && pruned.err().contains("note: 2 recordings of t.recordings.jsonl are removed"),
        pruned.err(),
    )?;
    ensure(lines(&temp)?.len() == 2, "they were not removed")?;
    let refused = run(&temp, &["--prune", "--recordings", "live"])?;
    ensure(refused.code == Some(2) && refused.err().contains("`--prune` can remove none"), refused.err())
}

fn modes() -> Outcome {
    let temp = TempDir::new()?;
    let server = server();
    temp.write("t.chain", file(&server, TWO))?;
    let live = run(&temp, &["--recordings", "live"])?;
    ensure(live.code == Some(0) && !live.out().contains("called"), live.out())?;
    ensure(!temp.path().join(FILE).exists(), "`live` wrote")?;
    ensure(run(&temp, &[])?.code == Some(0), "they are not recorded")?;
    let before = lines(&temp)?;
    let anew = run(&temp, &["--recordings", "record"])?;
    ensure(anew.code == Some(0) && anew.out().contains("(0 replayed, 2 called)"), anew.out() + &anew.err())?;
    let after = lines(&temp)?;
    let asked = |lines: &[Json]| lines.iter().map(|l| l["asked"].clone()).collect::<Vec<_>>();
    ensure(before != after && asked(&before) == asked(&after), "they were not made anew")?;
    let wrong = run(&temp, &["--recordings", "relpay"])?;
    ensure(wrong.code == Some(2) && wrong.err().contains("replay"), wrong.err())
}

fn runs() -> Outcome {
    let temp = TempDir::new()?;
    let server = server();
    // Two calls that are the same in one run, in three runs.
    let text = "chain twice = \"Say\" | m | text as a | \"Say\" | m | text as b | \"{{ a }}, {{ b }}\"\n\
                test \"twice\" for twice {\n  expect {{ output != \"\" }}\n  runs 3 pass 100%\n}";
    temp.write("t.chain", file(&server, text))?;
    let first = run(&temp, &["--log", "one.jsonl"])?;
    ensure(first.code == Some(0) && first.out().contains("(0 replayed, 6 called)"), first.out() + &first.err())?;
    let all = lines(&temp)?;
    let keys: Vec<_> = all.iter().map(|l| (l["run"].as_u64(), l["time"].as_u64())).collect();
    let (two, three) = (Some(2), Some(3));
    ensure(
        keys == [(None, None), (None, two), (two, None), (two, two), (three, None), (three, two)],
        format!("{keys:?}"),
    )?;
    drop(server);
    let second = in_ci(&temp, &["--log", "two.jsonl"])?;
    ensure(second.code == Some(0) && second.out().contains("(6 replayed, 0 called)"), second.out() + &second.err())?;
    ensure(outputs(&temp, "one.jsonl")? == outputs(&temp, "two.jsonl")?, "the runs differ")
}

/// However many runs are made at a time, no more calls are made than one after the other would, and a replay needs no other.
fn spared() -> Outcome {
    for (expect, calls) in [("contains \"answer\"", 10), ("contains \"never\"", 11)] {
        let temp = TempDir::new()?;
        let server = server();
        let tests: String = (0..3)
            .map(|n| format!("test \"t{n}\" {{\n  word = \"w{n}\"\n  runs 20 pass 50%\n  expect {expect}\n}}\n"))
            .collect();
        temp.write("t.chain", file(&server, &tests))?;
        let first = run(&temp, &["--jobs", "16"])?;
        let code = Some(i32::from(expect.contains("never")));
        ensure(first.code == code, first.out() + &first.err())?;
        let asked = server.requests().len();
        ensure(asked == 3 * calls, format!("{asked} calls instead of {}", 3 * calls))?;
        drop(server);
        for jobs in ["1", "5", "100"] {
            let again = in_ci(&temp, &["--jobs", jobs])?;
            let wanted = format!("({asked} replayed, 0 called)");
            ensure(again.code == code && again.out().contains(&wanted), again.out() + &again.err())?;
        }
    }
    Ok(())
}

fn edited() -> Outcome {
    let temp = TempDir::new()?;
    let server = server();
    temp.write("t.chain", file(&server, TWO))?;
    // What is kept of a run lies in the user's folder.
    let home = temp.path().join("home");
    let run = |words: &[&str]| call(&temp)?.args(words).env("KEY", "s3cr3t").env("CHAINRUN_HOME", &home).run();
    ensure(run(&[])?.code == Some(0), "the first run fails")?;
    let done = run(&["--changed"])?;
    ensure(done.code == Some(4), done.out() + &done.err())?;
    let text = std::fs::read_to_string(temp.path().join(FILE))?;
    temp.write(FILE, text.replacen("\"text\":\"answer", "\"text\":\"reply", 1))?;
    let done = run(&["--changed"])?;
    ensure(done.code == Some(1) && done.out().contains("reply"), done.out() + &done.err())?;
    temp.write(FILE, text)?;
    let done = run(&["--changed"])?;
    ensure(done.code == Some(0), done.out() + &done.err())
}

/// A server that holds one model at a time swaps as rarely as can be: over the rows, choices and files of the tests.
fn grouped() -> Outcome {
    let temp = TempDir::new()?;
    let server = Server::start(|_| says(1, 5));
    temp.write("rows.jsonl", (0..6).map(|n| format!("{{\"id\": \"{n}\"}}\n")).collect::<String>())?;
    let url = server.url();
    for (name, model) in [("a", "one"), ("b", "two"), ("c", "one")] {
        let text = format!(
            "model m = ollama(\"{model}\", base_url: \"{url}\")\nchain main(word: string) = \"{name} {{{{ word }}}}?\" | m | text\n\
             test \"rows\" from \"rows.jsonl\" as row {{\n  word = {{{{ row.id }}}}\n  expect contains \"answer\"\n}}\n"
        );
        temp.write(format!("{name}.chain").as_str(), text)?;
    }
    let swap = format!(
        "model m = ollama(\"one\", base_url: \"{url}\")\nmodel n = ollama(\"two\", base_url: \"{url}\")\n\
         chain main(word: string) = \"d {{{{ word }}}}?\" | m | text\n\
         test \"rows\" from \"rows.jsonl\" as row {{\n  word = {{{{ row.id }}}}\n  swap m = [n, m]\n  expect contains \"answer\"\n}}\n"
    );
    temp.write("d.chain", swap)?;
    let words = ["test", "a.chain", "b.chain", "c.chain", "--recordings", "live"];
    let done = Call::new(temp.path())?.args(words).run()?;
    ensure(done.code == Some(0), done.out() + &done.err())?;
    let asked = |from: usize| -> Vec<String> {
        let requests = server.requests();
        requests[from..].iter().filter_map(|r| r.json()["model"].as_str().map(str::to_owned)).collect()
    };
    let swaps = |models: &[String]| models.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let models = asked(0);
    ensure(models.len() == 18 && swaps(&models) == 1, format!("{models:?}"))?;
    let done = Call::new(temp.path())?.args(["test", "d.chain", "--recordings", "live"]).run()?;
    ensure(done.code == Some(0), done.out() + &done.err())?;
    let models = asked(18);
    ensure(models.len() == 12 && swaps(&models) == 1, format!("{models:?}"))
}

/// What a recorded call cost: 3 tokens of its prompt and 2 of its answer.
fn cost() -> Outcome {
    let temp = TempDir::new()?;
    let server = server();
    let text = "test \"one\" {\n  expect cost <= 0.000023\n  expect cost >= 0.000023\n}\n\
                test \"twice\" {\n  expect cost < 0.00001\n}";
    temp.write("t.chain", file(&server, text))?;
    let done = run(&temp, &[])?;
    let lines =
        "prices:\n          currency: USD\n          ollama:\n            \"m\": { input: INPUT, output: OUTPUT }";
    let err = done.err().replace("  | ", "    ");
    ensure(done.code == Some(2) && err.contains("error[E306]: `m` has no price"), &err)?;
    ensure(lines.lines().all(|line| err.contains(line.trim())), &err)?;
    temp.write("chainrun.yaml", "prices:\n  currency: USD\n  ollama:\n    \"m\": { input: INPUT, output: OUTPUT }\n")?;
    let done = run(&temp, &[])?;
    ensure(
        done.code == Some(2) && done.err().contains("`input` wants a number, found the text \"INPUT\""),
        done.err(),
    )?;
    temp.write("chainrun.yaml", "prices:\n  currency: USD\n  ollama:\n    \"m\": { input: 1, output: 10 }\n")?;
    for again in [run(&temp, &[])?, in_ci(&temp, &[])?] {
        let out = again.out();
        ensure(
            again.code == Some(1) && out.contains("`cost` is 0.000023 USD") && out.contains("1 passed, 1 failed"),
            &out,
        )?;
    }
    Ok(())
}

fn vectors() -> Outcome {
    let temp = TempDir::new()?;
    let count = AtomicUsize::new(0);
    let server = Server::start(move |seen| match seen.path.as_str() {
        "/api/embed" => {
            let texts = seen.json()["input"].as_array().map_or(1, Vec::len);
            let vector = || vec![1.0 / (count.fetch_add(1, Ordering::SeqCst) + 3) as f32, 0.5];
            let vectors: Vec<Vec<f32>> = (0..texts).map(|_| vector()).collect();
            Reply::json(200, &serde_json::json!({ "model": "e", "embeddings": vectors }).to_string())
        }
        _ => Reply::text(404, "404 page not found"),
    });
    let text = format!(
        "embedder e = ollama(\"e\", base_url: \"{}\", cache: true)\nvar words: [string] = [\"a\", \"b\", \"a\"]\n\
         chain main = {{{{ words }}}} | embed(e) | {{{{ input | string }}}}\n\
         test \"one\" {{\n  expect contains \"[\"\n}}\n\
         test \"two\" {{\n  words = [\"b\", \"c\"]\n  expect contains \"[\"\n}}\n",
        server.url()
    );
    temp.write("t.chain", &text)?;
    let first = run(&temp, &["--log", "one.jsonl", "--jobs", "1"])?;
    ensure(first.code == Some(0) && first.out().contains("(1 replayed, 3 called)"), first.out() + &first.err())?;
    let all = lines(&temp)?;
    ensure(
        all.len() == 3 && all[0]["asked"]["embed"] == "a" && all[0]["answer"]["vector"][1] == 0.5,
        format!("{all:?}"),
    )?;
    drop(server);
    let second = in_ci(&temp, &["--log", "two.jsonl"])?;
    ensure(second.code == Some(0) && second.out().contains("(4 replayed, 0 called)"), second.out() + &second.err())?;
    ensure(outputs(&temp, "one.jsonl")? == outputs(&temp, "two.jsonl")?, "the vectors differ")?;
    temp.write("t.chain", text.replace("[\"b\", \"c\"]", "[\"b\", \"d\"]"))?;
    let other = in_ci(&temp, &[])?;
    ensure(
        other.code == Some(5) && other.out().contains("this call of `e` (ollama \"e\") is not recorded"),
        other.out(),
    )
}

fn judged() -> Outcome {
    let temp = TempDir::new()?;
    let server = Server::start(|seen| match String::from_utf8_lossy(&seen.body).contains("You judge") {
        true => {
            let content = serde_json::json!({ "reason": "it says so", "grade": "fully" }).to_string();
            let message = serde_json::json!({ "model": "m", "message": { "content": content }, "done": true, "done_reason": "stop" });
            Reply::stream("application/x-ndjson").piece(format!("{message}\n")).end()
        }
        false => says(1, 0),
    });
    let text = "test \"one\" {\n  expect judge \"is an answer\" by m\n}";
    temp.write("t.chain", file(&server, text))?;
    let first = run(&temp, &[])?;
    ensure(first.code == Some(0) && first.out().contains("(0 replayed, 2 called)"), first.out() + &first.err())?;
    let changed = file(&server, &text.replace("is an answer", "is a good answer"));
    let same = file(&server, text);
    drop(server);
    let second = in_ci(&temp, &[])?;
    ensure(second.code == Some(0) && second.out().contains("(2 replayed, 0 called)"), second.out() + &second.err())?;
    temp.write("t.chain", changed)?;
    let other = in_ci(&temp, &[])?;
    ensure(other.code == Some(5) && other.out().contains("+ user: Statement: is a good answer"), other.out())?;
    temp.write("t.chain", same)?;
    ensure(in_ci(&temp, &[])?.code == Some(0), "the recordings changed")
}

fn latency() -> Outcome {
    let temp = TempDir::new()?;
    let server = Server::start(|_| says(1, 400));
    // Three calls beside each other take no longer than one.
    let text = "chain all = { a: \"1\" | m | text, b: \"2\" | m | text, c: \"3\" | m | text }\n\
                test \"long\" for all {\n  expect latency >= 400ms\n  expect latency < 1100ms\n}\n\
                test \"short\" {\n  warn latency < 100ms\n  expect contains \"answer\"\n}";
    temp.write("t.chain", file(&server, text))?;
    let first = run(&temp, &[])?;
    ensure(first.code == Some(0), first.out() + &first.err())?;
    drop(server);
    let second = in_ci(&temp, &[])?;
    ensure(second.code == Some(0) && second.out().contains("(4 replayed, 0 called)"), second.out())?;
    ensure(second.out().contains("recorded time"), second.out())
}

fn torn() -> Outcome {
    let temp = TempDir::new()?;
    let server = server();
    temp.write("t.chain", file(&server, TWO))?;
    ensure(run(&temp, &[])?.code == Some(0), "they are not recorded")?;
    let text = std::fs::read_to_string(temp.path().join(FILE))?;
    let asked = server.requests().len();
    let marks = text.replacen('\n', "\n=======\n", 1);
    for (bad, place, help) in [
        (&text[..text.len() - 20], ":2:1", "`--recordings auto` calls the model again"),
        (&marks, ":2:1", "take git's marks out"),
    ] {
        temp.write(FILE, bad)?;
        let done = run(&temp, &[])?;
        let err = done.err();
        ensure(done.code == Some(2) && err.contains("error[E001]: this line is no recording"), &err)?;
        ensure(err.contains(&format!("t.recordings.jsonl{place}")) && err.contains(help), &err)?;
        ensure(std::fs::read_to_string(temp.path().join(FILE))? == bad, "the file changed")?;
        ensure(run(&temp, &["--recordings", "live"])?.code == Some(0), "`live` reads them")?;
    }
    // Both sides of a merge: of two answers to one call the first counts.
    let both = format!("{text}{}", text.replace("answer ", "other "));
    temp.write(FILE, both)?;
    let done = in_ci(&temp, &[])?;
    ensure(done.code == Some(0), done.out() + &done.err())?;
    ensure(server.requests().len() >= asked, "nothing was asked")
}

fn two() -> Outcome {
    let temp = TempDir::new()?;
    let server = Server::start(|_| says(1, 20));
    let rows: String = (0..24).map(|n| format!("{{\"id\": \"{n}\"}}\n")).collect();
    temp.write("rows.jsonl", rows)?;
    let text = "test \"rows\" from \"rows.jsonl\" as row {\n  word = {{ row.id }}\n  expect contains \"answer\"\n}\n\
                test \"more\" from \"rows.jsonl\" as row {\n  word = {{ \"x\" ~ row.id }}\n  expect contains \"answer\"\n}";
    temp.write("t.chain", file(&server, text))?;
    let each = ["rows", "more", "rows"].map(|name| {
        let call = call(&temp).map(|c| c.args(["--filter", name]).env("KEY", "s3cr3t"));
        std::thread::spawn(move || call.and_then(Call::run))
    });
    for thread in each {
        let done = thread.join().map_err(|_| "a thread died")??;
        ensure(done.code == Some(0), done.out() + &done.err())?;
    }
    ensure(lines(&temp)?.len() == 48, format!("{} lines", lines(&temp)?.len()))?;
    let left: Vec<_> = std::fs::read_dir(temp.path())?.flatten().map(|e| e.file_name()).collect();
    ensure(left.len() == 3, format!("{left:?}"))?;
    let done = in_ci(&temp, &[])?;
    ensure(done.code == Some(0) && done.out().contains("(48 replayed, 0 called)"), done.out())
}

fn weights() -> Outcome {
    let temp = TempDir::new()?;
    // Weights of the catalog are known by their name: none are here, and none are opened.
    let line = |weights: &str| {
        format!(
            "{{\"recording\":1,\"name\":\"m\",\"provider\":\"local\",\"model\":\"smollm2:135m\",\"asked\":{{\"messages\":\
             [{{\"role\":\"user\",\"text\":\"What?\"}}]}},{weights}\"answer\":{{\"text\":\"A tuber.\"}}}}\n"
        )
    };
    let text = "model m = local(\"smollm2:135m\")\nchain main = \"What?\" | m | text\n\
                test \"one\" {\n  expect contains \"tuber\"\n}\n";
    temp.write("t.chain", text)?;
    temp.write(FILE, line(""))?;
    let done = in_ci(&temp, &[])?;
    ensure(done.code == Some(0) && done.out().contains("(1 replayed, 0 called)"), done.out() + &done.err())?;
    temp.write(FILE, line(&format!("\"weights\":\"{}\",", "0".repeat(64))))?;
    let done = in_ci(&temp, &[])?;
    ensure(done.code == Some(5) && done.out().contains("is stale: the weights 000000000000 answered"), done.out())
}

/// Kills at this many moments, of which this many come after the first case that ended.
#[cfg(unix)]
const KILLS: (usize, usize) = (100, 80);

#[cfg(unix)]
fn killed() -> Outcome {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};
    let temp = TempDir::new()?;
    let server = Server::start(|_| says(1, 3));
    let rows: String = (0..300).map(|n| format!("{{\"id\": \"{n}\"}}\n")).collect();
    temp.write("rows.jsonl", rows)?;
    let text = "test \"rows\" from \"rows.jsonl\" as row {\n  word = {{ row.id }}\n  expect contains \"answer\"\n}";
    temp.write("t.chain", file(&server, text))?;
    let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos() | 1;
    let mut state = u64::from(seed);
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Duration::from_micros(state % below)
    };
    let mut after = 0;
    for kill in 0..KILLS.0 {
        let _ = std::fs::remove_file(temp.path().join("log.jsonl"));
        let early = kill % 10 == 9;
        let ended = kill_at(&temp, early, random(60_000))?;
        after += usize::from(!ended.is_empty());
        let kept = if temp.path().join(FILE).exists() { lines(&temp)? } else { Vec::new() };
        let prompts: std::collections::HashSet<&str> =
            kept.iter().filter_map(|l| l["asked"]["messages"][0]["text"].as_str()).collect();
        for row in &ended {
            let held = prompts.contains(format!("What is a {row}?").as_str());
            ensure(held, format!("seed {seed}, kill {kill}: the recording of row {row} is lost"))?;
        }
        // What is recorded is replayed, so that the runs go on where they were killed, until nothing is left to record.
        if kept.len() > 250 {
            std::fs::remove_file(temp.path().join(FILE))?;
        }
    }
    println!("note: seed {seed}: {after} of {} kills came after a case had ended", KILLS.0);
    ensure(after >= KILLS.1, format!("seed {seed}: only {after} kills came after a case had ended"))
}

/// Runs the tests, and kills them: `wait` after the start, or else after the first case that ended. Gives the rows of the
/// cases that ended.
#[cfg(unix)]
fn kill_at(temp: &TempDir, early: bool, wait: std::time::Duration) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    use std::process::{Command, Stdio};
    let log = temp.path().join("log.jsonl");
    let mut child = Command::new(crate::process::BINARY)
        .args(["test", "t.chain", "--log", "log.jsonl"])
        .current_dir(temp.path())
        .env("KEY", "s3cr3t")
        .env_remove("CI")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let began = std::time::Instant::now();
    let ended = |text: &str| text.contains("\"entry\":\"case\"");
    while !early && !ended(&std::fs::read_to_string(&log).unwrap_or_default()) && began.elapsed().as_secs() < 20 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    std::thread::sleep(wait);
    child.kill()?;
    child.wait()?;
    // The last line may be cut, and a case of which nothing can be read did not end.
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let entries = text.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
    let cases = entries.filter(|entry| entry["entry"] == "case");
    Ok(cases.filter_map(|case| case["row"].as_str().map(str::to_owned)).collect())
}
