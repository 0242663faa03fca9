//! `chainrun explain E204`: the page of a diagnostic, as plain text.

use std::fmt::Write;
use std::sync::Arc;

use super::WRONG;
use super::arguments::RunArgs;
use super::console::{Console, print_line};
use crate::config::Context;
use crate::diag::{CODES, Code, Diagnostic};
use crate::source::{Sources, Span};

/// The code that is asked for: the word has the form of one. A file of that name is written as `./E204`.
pub fn asked(args: &RunArgs) -> Option<&str> {
    let word = args.file.as_ref()?.to_str()?;
    has_form_of_code(word).then_some(word)
}

/// Whether a word is written as a code is.
pub fn has_form_of_code(word: &str) -> bool {
    let digits = word.strip_prefix(['E', 'e', 'W', 'w']).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Prints the page of a code.
pub fn print(word: &str, args: &RunArgs, context: &Arc<Context>) -> u8 {
    match find(word, args) {
        Ok(page) => {
            print_line(plain(page).trim_end());
            0
        }
        Err((message, help)) => {
            let mut sources = Sources::new();
            let line = sources.add("command line", format!("explain {word}"));
            let span = Span::new(line, 8, 8 + word.len());
            let diagnostic = Diagnostic::error(Code::E305, span, message).help(help);
            Console::new(context, args.quiet).report(&[diagnostic], &sources);
            WRONG
        }
    }
}

/// The page, or what is wrong and what to type instead.
fn find(word: &str, args: &RunArgs) -> Result<&'static str, (String, String)> {
    let code = word.to_uppercase();
    let Some((_, page)) = CODES.iter().find(|(known, _)| known.0 == code) else {
        return Err((format!("there is no diagnostic `{code}`"), suggestion(&code)));
    };
    let alone = RunArgs { file: args.file.clone(), quiet: args.quiet, offline: args.offline, ..RunArgs::default() };
    if *args != alone {
        let help = format!("write `chainrun explain {code}` for the code, `chainrun explain ./{word}` for a file");
        return Err((format!("`{code}` is the code of a diagnostic, and takes no options of a run"), help));
    }
    Ok(page)
}

/// The nearest code; else those of the same hundred, or all.
fn suggestion(code: &str) -> String {
    let names = || CODES.iter().map(|(known, _)| known.0);
    if let Some(near) = crate::value::nearest(code, names()) {
        return format!("did you mean `{near}`? A file of that name is written `./{code}`");
    }
    let hundred: String = code.chars().take(2).collect();
    let mut shown: Vec<&str> = names().filter(|n| n.starts_with(&hundred)).collect();
    if shown.is_empty() {
        shown = names().collect();
    }
    format!("the codes are {}", shown.join(" "))
}

/// The width of prose, in columns; examples keep their lines.
const WIDTH: usize = 80;

/// A page without its marks: the title bare, each fence an indented block under a line that says what it is.
fn plain(page: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    let mut paragraph: Vec<&str> = Vec::new();
    for line in page.lines() {
        let fence = line.strip_prefix("```");
        if inside && fence.is_none() {
            let _ = writeln!(out, "    {line}");
            continue;
        }
        if fence.is_none() && !line.is_empty() {
            paragraph.extend(line.strip_prefix("# ").unwrap_or(line).split(' '));
            continue;
        }
        wrapped(&mut out, &std::mem::take(&mut paragraph));
        if let Some(info) = fence {
            inside = !inside;
            if let Some(heading) = heading(info).filter(|_| inside) {
                let _ = writeln!(out, "{heading}\n");
            }
        } else {
            out.push('\n');
        }
    }
    wrapped(&mut out, &paragraph);
    out
}

/// Words in lines of at most [`WIDTH`] columns.
fn wrapped(out: &mut String, words: &[&str]) {
    let mut column = 0;
    for word in words {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > WIDTH {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    if column > 0 {
        out.push('\n');
    }
}

/// What a fence is, by its info string: `chain wrong run --var n=x`, `text file=notes.md`, `console wrong`.
fn heading(info: &str) -> Option<String> {
    let words: Vec<&str> = info.split_whitespace().collect();
    if let Some(name) = words.iter().find_map(|w| w.strip_prefix("file=")) {
        return Some(format!("With {name}:"));
    }
    let kind = match *words.get(1)? {
        "wrong" => "Wrong",
        "right" => "Right",
        _ => return None,
    };
    Some(match words.get(2..)? {
        [] => format!("{kind}:"),
        ["run"] => format!("{kind}, in a run:"),
        ["run", arguments @ ..] => format!("{kind}, in a run with {}:", arguments.join(" ")),
        arguments => format!("{kind}, under {}:", arguments.join(" ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_plain_text() {
        let page = "# E1: a title\n\nOne\ntwo.\n\n```text file=a.md\n# kept  as it is\n```\n\n```chain wrong run --var n=x\nb\n```\n";
        let expected = "E1: a title\n\nOne two.\n\nWith a.md:\n\n    # kept  as it is\n\nWrong, in a run with --var n=x:\n\n    b\n";
        assert_eq!(plain(page), expected);
    }

    #[test]
    fn prose_of_every_page_fits_a_terminal() {
        for (code, page) in CODES {
            let text = plain(page);
            assert!(text.starts_with(&format!("{code}: ")) && !text.contains("```"), "{text}");
            let wide = text.lines().find(|l| !l.starts_with("    ") && l.chars().count() > WIDTH);
            assert_eq!(wide, None, "{code}");
        }
    }

    #[test]
    fn an_unknown_code_is_answered_with_known_ones() {
        assert!(suggestion("E299").starts_with("did you mean `E209`?"));
        assert_eq!(suggestion("W5099"), "the codes are W501 W502 W503");
        assert!(suggestion("E999").contains("E001 E101"));
    }
}
