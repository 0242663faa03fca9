//! What a chain reads and runs outside of itself: links, pipes, files that change, commands that are cancelled.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::Outcome;
use crate::process::{BINARY, Call, TempDir};

/// One trial for each of them.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("outside::links_do_not_leave_the_project", links),
        Trial::test("outside::the_nearest_mark_makes_the_project", mark),
        Trial::test("outside::what_is_no_file_is_not_read", pipe),
        Trial::test("outside::a_cancelled_run_kills_its_command", cancelled),
    ]
}

fn ensure(met: bool, what: &str) -> Outcome {
    if met { Ok(()) } else { Err(what.to_owned().into()) }
}

fn check(temp: &TempDir, file: &str, text: &str) -> Result<String, libtest_mimic::Failed> {
    temp.write(file, text)?;
    let done = Call::new(temp.path())?.args(["check", file]).run()?;
    Ok(done.err())
}

fn links() -> Outcome {
    let (outer, temp) = (TempDir::new()?, TempDir::new()?);
    let secret = outer.write("secret.txt", "s")?;
    outer.write("lib.chain", "chain c = \"x\"\n")?;
    symlink(&secret, temp.path().join("link.txt"))?;
    symlink(outer.path(), temp.path().join("folder"))?;
    for text in [
        "chain main = file(\"link.txt\")\n",
        "chain main = file(\"folder/secret.txt\")\n",
        "chain main = files(\"*.txt\")\n",
        "chain main = files(\"folder/*\")\n",
        "use \"folder/lib.chain\" as lib\nchain main = lib.c\n",
    ] {
        let err = check(&temp, "main.chain", text)?;
        ensure(err.contains("error[E230]") && err.contains("over a link"), &format!("{text}{err}"))?;
    }
    // `**` follows no link to a folder.
    temp.write("inner/a.md", "a")?;
    symlink(temp.path(), temp.path().join("inner/circle"))?;
    temp.write("main.chain", "chain main = files(\"**/*.md\") as all | {{ all | length }}\n")?;
    let done = Call::new(temp.path())?.arg("main.chain").run()?;
    ensure(done.out() == "1\n", &format!("{}{}", done.out(), done.err()))
}

fn mark() -> Outcome {
    let temp = TempDir::new()?;
    temp.write("shared/a.txt", "one")?;
    let text = "chain main = file(\"../shared/a.txt\")\n";
    let err = check(&temp, "sub/main.chain", text)?;
    ensure(err.contains("error[E230]"), &err)?;
    temp.write("chainrun.yaml", "")?;
    let err = check(&temp, "sub/main.chain", text)?;
    ensure(err.contains("sub/main.chain: ok"), &err)?;
    // The folder from which it is run counts for nothing.
    temp.write("apart/chainrun.yaml", "")?;
    let done = Call::new(&temp.path().join("apart"))?.args(["check", "../sub/main.chain"]).run()?;
    ensure(done.code == Some(0), &done.err())
}

fn pipe() -> Outcome {
    let temp = TempDir::new()?;
    let made = Command::new("mkfifo").arg(temp.path().join("pipe.txt")).status()?;
    ensure(made.success(), "mkfifo failed")?;
    let err = check(&temp, "main.chain", "chain main = file(\"pipe.txt\")\n")?;
    ensure(err.contains("error[E001]") && err.contains("no regular file"), &err)?;
    let err = check(&temp, "main.chain", "chain main = files(\"*.txt\")\n")?;
    ensure(err.contains("finds no file"), &err)
}

fn cancelled() -> Outcome {
    let temp = TempDir::new()?;
    let text = "chain main = \"x\" | exec(\"sh\", \"-c\", \"sleep 300 & echo $! > pid; wait\")\n";
    let file = temp.write("main.chain", text)?;
    let mut child = Command::new(BINARY)
        .args(["--allow-exec".as_ref(), file.as_os_str()])
        .current_dir(temp.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let begun = Instant::now();
    let asleep = loop {
        let pid = std::fs::read_to_string(temp.path().join("pid")).unwrap_or_default();
        if pid.ends_with('\n') {
            break pid.trim().to_owned();
        }
        if begun.elapsed() > Duration::from_secs(20) {
            let _ = child.kill();
            return Err("the command did not start".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    ensure(Command::new("kill").args(["-INT", &child.id().to_string()]).status()?.success(), "kill failed")?;
    let code = child.wait()?.code();
    ensure(code == Some(130), &format!("exit {code:?}"))?;
    // The grandchild is gone, or a zombie that nobody has collected yet.
    while begun.elapsed() < Duration::from_secs(30) {
        let state = Command::new("ps").args(["-o", "stat=", "-p", &asleep]).output()?;
        let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
        if state.is_empty() || state.starts_with('Z') {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(format!("the process {asleep} still runs").into())
}
