//! Every page of `docs/diagnostics` is true: its wrong example gives the code, its right one does not.
//!
//! | fence | what is done |
//! |---|---|
//! | `chain wrong ARGS…` | written to `main.chain`; it gives the code of the page and no other, with the exit code that fits |
//! | `chain right ARGS…` | the same; no error, no warning, not the code, exit code 0 |
//! | `console wrong` | a transcript that shows the code, see `docs.rs` |
//! | `console` | a transcript |
//! | others with `file=NAME` | written under that name, for fences below it |
//!
//! `ARGS` is empty or `check ARGS…` for `chainrun check main.chain ARGS…`, `run ARGS…` for `chainrun main.chain ARGS…`.

use std::path::Path;

use libtest_mimic::Trial;
use regex::Regex;

use crate::docs::{Fence, console, fences};
use crate::process::{Call, TempDir};
use crate::{Outcome, files, root};

/// Codes that no example of a page can show, and why.
const NOT_SHOWN: &[(&str, &str)] =
    &[("E403", "a server must run to refuse a call"), ("E440", "a server must change its model")];

/// One trial for each page, and what holds of all.
pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = files(&root().join("docs/diagnostics"), "md")
        .into_iter()
        .filter(|page| cfg!(feature = "local") || !page.ends_with("E407.md"))
        .map(|page| Trial::test(format!("diagnostics::{}", code_of(&page)), move || check_page(&page)))
        .collect();
    trials.push(Trial::test("diagnostics::every_page_has_a_code", every_page_has_a_code));
    trials.push(Trial::test("diagnostics::what_is_not_shown_is_there", not_shown_is_there));
    trials
}

fn code_of(page: &Path) -> String {
    page.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// That every code has a page is held by the compiler: the pages are compiled in by the list of codes.
fn every_page_has_a_code() -> Outcome {
    let known: Vec<&str> = chainrun::diag::CODES.iter().map(|(code, _)| code.0).collect();
    let pages = files(&root().join("docs/diagnostics"), "md");
    let stray: Vec<String> = pages.iter().map(|p| code_of(p)).filter(|c| !known.contains(&c.as_str())).collect();
    if stray.is_empty() && pages.len() == known.len() {
        Ok(())
    } else {
        Err(format!("{} pages for {} codes; of no code: {stray:?}", pages.len(), known.len()).into())
    }
}

fn not_shown_is_there() -> Outcome {
    for (code, _) in NOT_SHOWN {
        if !chainrun::diag::CODES.iter().any(|(known, _)| known.0 == *code) {
            return Err(format!("{code} is no code any more").into());
        }
    }
    Ok(())
}

fn check_page(page: &Path) -> Outcome {
    let code = code_of(page);
    let text = std::fs::read_to_string(page)?;
    if !text.starts_with(&format!("# {code}: ")) {
        return Err(format!("its title is not `# {code}: …`").into());
    }
    let temp = TempDir::new()?;
    let (mut wrong, mut right) = (0, 0);
    for fence in fences(&text)? {
        let words: Vec<&str> = fence.info.split_whitespace().collect();
        let result = match words.as_slice() {
            ["chain", "wrong", args @ ..] => {
                wrong += 1;
                example(&temp, &fence, args, &code, true)
            }
            ["chain", "right", args @ ..] => {
                right += 1;
                example(&temp, &fence, args, &code, false)
            }
            ["console", "wrong"] if fence.text.contains(&format!("[{code}]")) => {
                wrong += 1;
                console(&temp, &fence.text)
            }
            ["console"] => console(&temp, &fence.text),
            [_, name] if name.starts_with("file=") => {
                temp.write(&name["file=".len()..], &fence.text)?;
                Ok(())
            }
            ["text"] => Ok(()),
            _ => Err(format!("`{}` is no fence of such a page", fence.info)),
        };
        result.map_err(|why| format!("line {}: {why}", fence.line))?;
    }
    let wanted = if NOT_SHOWN.iter().any(|(c, _)| *c == code) { 0 } else { 1 };
    if (wrong, right) != (wanted, wanted) {
        return Err(format!("{wrong} wrong and {right} right examples, expected {wanted} of each").into());
    }
    Ok(())
}

/// Calls the program on an example, which is to tell the code, or not to. Notes of other codes say what this machine
/// lacks, and count for nothing.
fn example(temp: &TempDir, fence: &Fence, args: &[&str], code: &str, wrong: bool) -> Result<(), String> {
    let io = |e: std::io::Error| e.to_string();
    temp.write("main.chain", &fence.text).map_err(io)?;
    let call = Call::new(temp.path()).map_err(io)?;
    let done = match args {
        ["run", args @ ..] => call.arg("main.chain").args(args).run()?,
        ["check", args @ ..] => call.args(["check", "main.chain"]).args(args).run()?,
        [] => call.args(["check", "main.chain"]).run()?,
        _ => return Err(format!("{args:?} begins with neither `run` nor `check`")),
    };
    let told = Regex::new(r"(?m)^(error|warning|note)\[(\w+)\]").map_err(|e| e.to_string())?;
    let err = done.err();
    let mut seen: Vec<&str> = told
        .captures_iter(&err)
        .filter(|c| &c[1] != "note" || &c[2] == code)
        .filter_map(|c| Some(c.get(2)?.as_str()))
        .collect();
    seen.dedup();
    let (wanted, exit) = if wrong { (vec![code], exit_code(code)) } else { (Vec::new(), 0) };
    if seen != wanted || done.code != Some(exit) {
        return Err(format!("told {seen:?} with exit {:?}, expected {wanted:?} with {exit}\n{err}", done.code));
    }
    Ok(())
}

/// 5 for what a recording lacks, 3 for what else fails in a run, 0 for a warning, 2 for the rest.
fn exit_code(code: &str) -> i32 {
    match code.as_bytes() {
        [b'W', ..] => 0,
        _ if code == "E409" => 5,
        [b'E', b'4', ..] => 3,
        _ => 2,
    }
}
