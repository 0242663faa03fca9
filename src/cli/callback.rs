//! `--callback CMD`: a command that gets the events of the run on its standard input, as they happen.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};

use super::console::Console;
use crate::diag::{Code, Diagnostic};
use crate::run::{ProcessGroup, how};
use crate::source::{Sources, Span};

/// The wait for a command that closed its input, to learn how it ended.
const GRACE: Duration = Duration::from_secs(1);

/// A command as the command line has it.
pub struct Words {
    words: Vec<String>,
    place: Span,
}

/// Splits the commands of the command line into words.
///
/// # Errors
/// A quote that is not closed, or no word at all.
pub fn commands(texts: &[String], sources: &mut Sources) -> Result<Vec<Words>, Box<Diagnostic>> {
    const FLAG: &str = "--callback ";
    let read = |text: &String| {
        let file = sources.add("command line", format!("{FLAG}{text}"));
        let place = Span::new(file, FLAG.len(), FLAG.len() + text.len());
        match split(text) {
            Ok(words) => Ok(Words { words, place }),
            Err(why) => Err(Box::new(
                Diagnostic::error(Code::E305, place, why)
                    .help("it is a program and its arguments, as in `--callback 'jq -c .event'`; no shell reads it")
                    .help("for pipes and variables, name a shell: `--callback 'sh -c \"…\"'`"),
            )),
        }
    };
    texts.iter().map(read).collect()
}

/// The words of a command: spaces part them, quotes and backslashes keep what they hold together. Nothing is expanded.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        None => return Err(format!("the {letter} is not closed")),
                        Some(end) if end == letter => break,
                        Some('\\') if letter == '"' => match letters.next() {
                            Some(kept @ ('"' | '\\')) => word.push(kept),
                            Some(other) => word.extend(['\\', other]),
                            None => return Err("the \" is not closed".to_owned()),
                        },
                        Some(other) => word.push(other),
                    }
                }
            }
            '\\' => match letters.next() {
                Some(kept) => word.get_or_insert_default().push(kept),
                None => return Err("nothing stands behind the \\".to_owned()),
            },
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    if words.first().is_none_or(String::is_empty) { Err("no command is named".to_owned()) } else { Ok(words) }
}

/// A command that runs.
pub struct Callback {
    program: String,
    child: Child,
    group: ProcessGroup,
    /// Its standard input, while it gets events.
    stdin: Option<ChildStdin>,
    /// The longest time in which it reads nothing, and the longest that it may go on after the run.
    wait: Duration,
}

impl Callback {
    /// Starts it. What it prints goes to standard error: standard output holds the result alone.
    ///
    /// # Errors
    /// There is no such program, or the system refuses it.
    pub fn start(words: &Words, wait: Duration) -> Result<Self, Box<Diagnostic>> {
        let program = words.words.first().cloned().unwrap_or_default();
        let mut command = Command::new(&program);
        command.args(words.words.iter().skip(1));
        command.stdin(Stdio::piped()).stdout(std::io::stderr()).stderr(Stdio::inherit()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|e| {
            let why = match e.kind() {
                std::io::ErrorKind::NotFound => "there is no such program".to_owned(),
                _ => e.to_string(),
            };
            let message = format!("the callback `{program}` cannot be started: {why}");
            let diagnostic = Diagnostic::error(Code::E305, words.place, message);
            diagnostic.help("a name is looked up in PATH, a path is relative to the working folder")
        })?;
        let stdin = child.stdin.take();
        Ok(Self { program, group: ProcessGroup::of(child.id()), child, stdin, wait })
    }

    /// Gives it a line. A command that reads nothing for too long, or has ended, gets nothing any more, which is said
    /// once; the run goes on.
    pub async fn line(&mut self, line: &[u8], console: &Console) {
        let Some(stdin) = &mut self.stdin else { return };
        let mut rest = line;
        while !rest.is_empty() {
            match tokio::time::timeout(self.wait, stdin.write(rest)).await {
                Ok(Ok(n)) if n > 0 => rest = &rest[n..],
                Ok(_) => {
                    self.stdin = None;
                    let status = tokio::time::timeout(GRACE, self.child.wait()).await;
                    let how = match status {
                        Ok(Ok(status)) if !status.success() => how(status),
                        Ok(_) => "ended before the run did".to_owned(),
                        Err(_) => "closed its input".to_owned(),
                    };
                    console.warn(&format!("the callback `{}` {how}: it gets no more events", self.program));
                    self.group.leave();
                    return;
                }
                Err(_) => {
                    self.stdin = None;
                    self.stop();
                    let text =
                        format!("the callback `{}` read nothing for {:?} and was stopped", self.program, self.wait);
                    console.warn(&text);
                    return;
                }
            }
        }
    }

    /// Ends its input and waits until it has ended, within bounds.
    pub async fn end(mut self, wait: Duration, console: &Console) {
        if self.stdin.take().is_none() {
            return;
        }
        let wait = wait.min(self.wait);
        match tokio::time::timeout(wait, self.child.wait()).await {
            Ok(status) => {
                self.group.leave();
                if let Ok(status) = status.as_ref().map(failed)
                    && let Some(how) = status
                {
                    console.warn(&format!("the callback `{}` {how}", self.program));
                }
            }
            Err(_) => {
                self.stop();
                let text =
                    format!("the callback `{}` still ran {:?} after the run and was stopped", self.program, wait);
                console.warn(&text);
            }
        }
    }

    fn stop(&mut self) {
        let _ = self.child.start_kill();
        self.group.kill();
    }
}

fn failed(status: &ExitStatus) -> Option<String> {
    (!status.success()).then(|| how(*status))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::split;

    #[test]
    fn words_of_a_command() {
        for (text, words) in [
            ("jq -c .event", &["jq", "-c", ".event"][..]),
            ("  a\tb\n", &["a", "b"]),
            ("sh -c 'cat > \"x y\"'", &["sh", "-c", "cat > \"x y\""]),
            (r#"a "b \"c\" \d" e\ f '' "#, &["a", "b \"c\" \\d", "e f", ""]),
            ("a'b'\"c\"d", &["abcd"]),
            ("echo $HOME *", &["echo", "$HOME", "*"]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
        for text in ["", "  ", "''", "a 'b", "a \"b", "a \"b\\", "a\\"] {
            assert!(split(text).is_err(), "{text}");
        }
    }
}
