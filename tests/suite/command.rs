//! What the command does that one file with neighbours cannot say: pipes, signals, times, pages.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::Outcome;
use crate::process::{BINARY, Call, Done, TempDir, short};

/// The trials.
pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        Trial::test("command::events_on_stdout_are_json_lines_alone", events_on_stdout),
        Trial::test("command::a_file_called_like_a_subcommand", like_a_subcommand),
        Trial::test("command::a_file_called_like_a_code", like_a_code),
        Trial::test("command::branches_run_at_the_same_time", at_the_same_time),
        Trial::test("command::a_failing_branch_cancels_the_other", cancelled_branch),
        Trial::test("command::a_reader_that_leaves_is_no_error", closed_pipe),
        Trial::test("command::text_that_may_be_replaced_waits", waits),
        Trial::test("command::completions", completions),
        Trial::test("command::man_page", man),
        Trial::test("command::help_names_every_command", help),
        Trial::test("command::nothing_given_is_a_usage_error", nothing),
        Trial::test("command::no_color_on_a_pipe", no_color),
        Trial::test("command::explain_calls_no_model", explain_calls_nothing),
        Trial::test("command::explain_hides_secrets", secrets),
        Trial::test("command::check_reads_no_network", check_is_local),
    ];
    #[cfg(unix)]
    trials.push(Trial::test("command::ctrl_c_ends_with_130", interrupt));
    trials
}

fn ensure(holds: bool, why: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(why.into().into()) }
}

/// Runs a file with arguments, `{}` standing for it.
fn run(text: &str, args: &[&str]) -> Result<Done, String> {
    let temp = TempDir::new().map_err(|e| e.to_string())?;
    temp.write("main.chain", text).map_err(|e| e.to_string())?;
    let args = args.iter().map(|a| if *a == "{}" { "main.chain" } else { a });
    Call::new(temp.path()).map_err(|e| e.to_string())?.args(args).run()
}

fn events_on_stdout() -> Outcome {
    let done = run("chain main = \"q\" | fake(\"a b c\") | text\n", &["{}", "--events", "-"])?;
    ensure(done.code == Some(0), done.err())?;
    let mut said = String::new();
    for line in done.out().lines() {
        let event: Value = serde_json::from_str(line).map_err(|e| format!("{line}: {e}"))?;
        if event["event"] == "token" {
            said.push_str(event["text"].as_str().unwrap_or_default());
        }
    }
    ensure(said == "a b c", done.out())
}

fn like_a_subcommand() -> Outcome {
    let temp = TempDir::new()?;
    temp.write("check", "chain main = \"a file called check\"\n")?;
    let done = Call::new(temp.path())?.arg("./check").run()?;
    ensure(done.code == Some(0) && done.out() == "a file called check\n", format!("{}{}", done.out(), done.err()))
}

fn like_a_code() -> Outcome {
    let temp = TempDir::new()?;
    temp.write("E204", "chain main = \"a file called E204\"\n")?;
    let file = Call::new(temp.path())?.args(["explain", "./E204"]).run()?;
    ensure(file.code == Some(0) && file.out().starts_with("chain main of ./E204"), file.out() + &file.err())?;
    let code = Call::new(temp.path())?.args(["explain", "E204"]).run()?;
    ensure(code.code == Some(0) && code.out().starts_with("E204: unknown variable\n"), code.out() + &code.err())
}

fn at_the_same_time() -> Outcome {
    let file =
        "chain main = { a: \"q\" | fake(\"x\", delay: 500ms) | text, b: \"q\" | fake(\"y\", delay: 500ms) | text }\n";
    let done = run(file, &["{}"])?;
    ensure(done.code == Some(0) && done.out() == "{\"a\":\"x\",\"b\":\"y\"}\n", done.err())?;
    ensure(done.took < Duration::from_millis(800), format!("took {:?}", done.took))
}

fn cancelled_branch() -> Outcome {
    let file = "chain main = { a: \"q\" | fake(\"x\", delay: 30s) | text, b: \"q\" | fake(fail: \"broken\") | text }\n";
    let done = run(file, &["{}"])?;
    ensure(done.code == Some(3) && done.err().contains("broken"), done.err())?;
    ensure(done.took < Duration::from_secs(5), format!("took {:?}", done.took))
}

/// A child with piped output, for trials that look at it while it runs.
fn child(temp: &TempDir, text: &str) -> Result<std::process::Child, String> {
    temp.write("main.chain", text).map_err(|e| e.to_string())?;
    let mut command = Command::new(BINARY);
    command.env_clear().env("HOME", temp.path()).current_dir(temp.path()).arg("main.chain");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|e| e.to_string())
}

/// The end of a child within some seconds.
fn end(mut child: std::process::Child, seconds: u64) -> Result<(Option<i32>, String), String> {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(seconds) {
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            let mut err = String::new();
            if let Some(mut pipe) = child.stderr.take() {
                pipe.read_to_string(&mut err).map_err(|e| e.to_string())?;
            }
            return Ok((status.code(), err));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(format!("no end within {seconds} s"))
}

/// As `chainrun … | head -1`: a model that would go on for a minute stops when nobody reads.
fn closed_pipe() -> Outcome {
    let temp = TempDir::new()?;
    let answer = "line\\n".repeat(20_000);
    let mut child = child(&temp, &format!("chain main = \"q\" | fake(\"{answer}\", chunks: 20000) | text\n"))?;
    let out = child.stdout.take().ok_or("no output")?;
    let mut first = String::new();
    BufReader::with_capacity(16, out).read_line(&mut first)?;
    let (code, err) = end(child, 20)?;
    ensure(
        first == "line\n" && code == Some(0) && err.is_empty(),
        format!("first {first:?}, exit {code:?}, stderr {err:?}"),
    )
}

/// The first model breaks off after it began: nothing of it reaches a pipe.
fn waits() -> Outcome {
    let file = "model broken = fake(\"thrown away, all of it\", max_response: \"4\")\nchain main = \"q\" | broken ?? fake(\"whole\") | text\n";
    let done = run(file, &["{}"])?;
    ensure(done.code == Some(0) && done.out() == "whole\n", format!("{:?}\n{}", done.out(), done.err()))
}

fn completions() -> Outcome {
    for shell in ["bash", "zsh", "fish"] {
        let done = run("\"x\"\n", &["completions", shell])?;
        ensure(
            done.code == Some(0) && done.out().contains("chainrun") && done.out().contains("events"),
            short(&done.stdout),
        )?;
    }
    Ok(())
}

fn man() -> Outcome {
    let done = run("\"x\"\n", &["man"])?;
    ensure(
        done.code == Some(0) && done.out().contains(".TH chainrun") && done.out().contains("\\-\\-var"),
        short(&done.stdout),
    )
}

fn help() -> Outcome {
    let done = run("\"x\"\n", &["--help"])?;
    let out = done.out();
    let named = [
        "check",
        "explain",
        "models",
        "completions",
        "--var",
        "--vars",
        "--model",
        "--events",
        "--json",
        "--no-stream",
        "--offline",
    ];
    ensure(done.code == Some(0) && named.iter().all(|n| out.contains(n)), out)
}

fn nothing() -> Outcome {
    let done = run("\"x\"\n", &[])?;
    ensure(done.code == Some(2) && done.err().contains("Usage"), format!("exit {:?}\n{}", done.code, done.err()))
}

fn no_color() -> Outcome {
    let done = run("chain main = nowhere\n", &["{}"])?;
    ensure(done.code == Some(2) && !done.err().contains('\u{1b}'), done.err())
}

fn explain_calls_nothing() -> Outcome {
    let done = run("chain main = \"q\" | fake(fail: \"called\", delay: 60s) | text\n", &["explain", "{}"])?;
    ensure(done.code == Some(0) && done.took < Duration::from_secs(10), format!("exit {:?}\n{}", done.code, done.err()))
}

fn secrets() -> Outcome {
    let temp = TempDir::new()?;
    let file = "secret TOKEN\nmodel m = ollama(\"llama3.2\", api_key: TOKEN)\nchain main = \"q\" | m | text\n";
    temp.write("main.chain", file)?;
    let done = Call::new(temp.path())?.env("TOKEN", "sesame-open-12345").args(["explain", "main.chain"]).run()?;
    let all = format!("{}{}", done.out(), done.err());
    ensure(done.code == Some(0) && all.contains("api_key") && !all.contains("sesame"), all)
}

/// A name that resolves nowhere costs `check` nothing.
fn check_is_local() -> Outcome {
    let file =
        "model m = ollama(\"llama3.2\", base_url: \"http://name.invalid:11434\")\nchain main = \"q\" | m | text\n";
    let done = run(file, &["check", "{}"])?;
    ensure(done.code == Some(0) && done.took < Duration::from_secs(2), format!("exit {:?}\n{}", done.code, done.err()))
}

#[cfg(unix)]
fn interrupt() -> Outcome {
    let temp = TempDir::new()?;
    let child = child(&temp, "chain main = \"q\" | fake(\"x\", delay: 60s) | text\n")?;
    std::thread::sleep(Duration::from_millis(500));
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
    ensure(status.success(), "kill failed")?;
    let (code, err) = end(child, 10)?;
    ensure(code == Some(130), format!("exit {code:?}\n{err}"))
}
