//! Commands of `exec`: JSON on standard input, JSON on standard output, no shell between.

use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::frame::Frame;
use super::process::{ProcessGroup, how};
use super::{Failure, Run};
use crate::diag::{Code, Diagnostic};
use crate::plan::{Exec, Node, evaluate};
use crate::value::{Value, redact};

/// How much of what a command writes on standard error is kept: its end, in bytes.
const KEPT: usize = 4_096;

/// What a command left behind.
struct Ended {
    status: std::io::Result<ExitStatus>,
    out: Option<Vec<u8>>,
    err: Vec<u8>,
}

impl Run<'_> {
    /// Runs a command on the value on its left. Dropping the future kills it.
    pub(super) async fn exec(&self, frame: &Frame, node: &Node, exec: &Exec) -> Result<Value, Failure> {
        let fail = |message: String| Diagnostic::error(Code::E431, node.span, message);
        let failed = |diagnostic: Diagnostic| Failure::Failed(Box::new(diagnostic));
        let program = &exec.program;
        let mut command = self.command(frame, exec)?;
        let child = command.spawn().map_err(|e| {
            let why = match e.kind() {
                std::io::ErrorKind::NotFound => "there is no such program".to_owned(),
                _ => e.to_string(),
            };
            failed(
                fail(format!("the command `{program}` cannot be started: {why}"))
                    .help("a name is looked up in PATH, a path is relative to the project; no shell reads the command"),
            )
        })?;
        let group = ProcessGroup::of(child.id());
        let input = self.left(frame, node).value.to_json().to_string();
        let talk = talk(child, &group, input.into_bytes(), exec.max_response);
        let Ok(ended) = tokio::time::timeout(exec.timeout, talk).await else {
            group.kill();
            let message = format!("the command `{program}` did not end within {:?} and was killed", exec.timeout);
            return Err(failed(fail(message).help("`exec(…, timeout: 5m)` gives it more time")));
        };
        let Some(out) = ended.out else {
            let message =
                format!("the command `{program}` printed more than {} bytes and was killed", exec.max_response);
            return Err(failed(fail(message).help("`exec(…, max_response: \"1 GiB\")` allows more")));
        };
        let err = redact(String::from_utf8_lossy(&ended.err).trim_end(), &self.models.secrets);
        let status = ended.status.map_err(|e| failed(fail(format!("the command `{program}` was lost: {e}"))))?;
        if !status.success() {
            let last = err.lines().next_back().map(|l| format!(": {}", Value::from(l.trim()).show(200)));
            let message = format!("the command `{program}` {}{}", how(status), last.unwrap_or_default());
            return Err(failed(said(fail(message), &err)));
        }
        match serde_json::from_slice(&out) {
            Ok(json) => Ok(Value::from_json(&json)),
            Err(e) => {
                let text = redact(&String::from_utf8_lossy(&out), &self.models.secrets);
                let found = match text.trim() {
                    "" => "it printed nothing".to_owned(),
                    text => format!("{e}: it printed {}", Value::from(text).show(80)),
                };
                let diagnostic = fail(format!("the output of the command `{program}` is no JSON: {found}"));
                Err(failed(said(diagnostic, &err).help("text is JSON in quotes, as `jq -Rs .` gives it")))
            }
        }
    }

    /// The command, ready to start: its own process group, without the secrets of the run.
    fn command(&self, frame: &Frame, exec: &Exec) -> Result<Command, Failure> {
        let mut command = if exec.program.contains('/') {
            Command::new(exec.folder.join(&exec.program))
        } else {
            Command::new(&exec.program)
        };
        for (cell, span) in &exec.arguments {
            let value = evaluate(cell, &self.reach(frame))?;
            let text = match &value {
                Value::Int(n) => n.to_string(),
                Value::Float(x) => format!("{x:?}"),
                Value::Bool(b) => b.to_string(),
                other => match other.as_text() {
                    Some(text) if !text.contains('\0') => text.into_owned(),
                    _ => {
                        let message = format!("an argument of `exec` is text, found {}", value.kind());
                        let diagnostic = Diagnostic::error(Code::E211, *span, message)
                            .help("what is larger goes to its standard input, as JSON");
                        return Err(Failure::Failed(Box::new(diagnostic)));
                    }
                },
            };
            command.arg(text);
        }
        for (secret, _) in &self.plan.secrets {
            command.env_remove(secret);
        }
        command.current_dir(&exec.folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        Ok(command)
    }
}

/// Writes a command's input and reads what it prints, until it ends. What it left running in its group ends with it.
async fn talk(mut child: Child, group: &ProcessGroup, input: Vec<u8>, most: u64) -> Ended {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async move {
        if let Some(mut stdin) = stdin {
            // A command that does not read its input is no failure.
            let _ = stdin.write_all(&input).await;
        }
    };
    let out = async {
        let out = bounded(stdout, most).await;
        if out.is_none() {
            group.kill();
        }
        out
    };
    let ended = async {
        let status = child.wait().await;
        group.kill();
        status
    };
    let ((), out, err, status) = tokio::join!(write, out, tail(stderr), ended);
    Ended { status, out, err }
}

/// Everything of a stream; none where it is more than `most` bytes.
async fn bounded(stream: Option<impl AsyncRead + Unpin>, most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // A stream that breaks has ended.
        let _ = stream.take(most.saturating_add(1)).read_to_end(&mut bytes).await;
    }
    (bytes.len() as u64 <= most).then_some(bytes)
}

/// The end of a stream.
async fn tail(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else { return kept };
    let mut piece = vec![0; 8_192];
    while let Ok(n) = stream.read(&mut piece).await {
        if n == 0 {
            break;
        }
        kept.extend_from_slice(&piece[..n]);
        if kept.len() > KEPT {
            kept.drain(..kept.len() - KEPT);
        }
    }
    kept
}

/// Adds what a command wrote on standard error, where that is more than a line.
fn said(diagnostic: Diagnostic, err: &str) -> Diagnostic {
    match err.lines().count() {
        0 | 1 => diagnostic,
        _ => diagnostic.help(format!("its standard error ends in\n{err}")),
    }
}
