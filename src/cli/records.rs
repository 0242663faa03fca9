//! What is kept or passed on of a run besides its result: the events, the trace.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::arguments::RunArgs;
use super::callback::{Callback, Words};
use super::console::Console;
use super::result::{Closed, Output};
use super::telemetry::Telemetry;
use crate::config::Context;
use crate::diag::{Code, Diagnostic, Severity};
use crate::event::{Event, EventKind, Wanted};
use crate::trace::{Clock, Fold, line};

/// How long a callback may read nothing, and how long it may go on after the run, unless told.
const CALLBACK_WAIT: Duration = Duration::from_secs(30);

/// How long it may go on after a run that was interrupted: the person waits.
const AFTER_STOP: Duration = Duration::from_secs(2);

/// A file of JSON lines.
pub struct Lines {
    file: BufWriter<File>,
    what: &'static str,
}

/// Everything that is kept of a run.
pub struct Records<'a> {
    console: &'a Console,
    /// Whether the events are what stands on standard output.
    pub events_on_stdout: bool,
    events: Option<Lines>,
    callbacks: Vec<Callback>,
    recording: Option<Lines>,
    trace: Option<Lines>,
    telemetry: Option<Telemetry>,
    fold: Option<Fold>,
    clock: Clock,
}

impl<'a> Records<'a> {
    /// Opens what the command line asks for. The files that the run has `read` are none to write.
    ///
    /// # Errors
    /// What cannot be written or started.
    pub fn open(
        args: &RunArgs,
        callbacks: &[Words],
        read: &[PathBuf],
        context: &Context,
        console: &'a Console,
    ) -> Result<Self, Box<Diagnostic>> {
        let events_on_stdout = args.events.as_deref().is_some_and(is_stdout);
        // What is read is none to write.
        let read = read.iter().map(|path| ("replay", path));
        let files = [
            ("FILE", &args.file),
            ("--events", &args.events),
            ("--trace", &args.trace),
            ("--otlp", &args.otlp),
            ("--record", &args.record),
        ];
        let files = files.iter().filter_map(|(flag, path)| Some((*flag, path.as_ref()?)));
        apart(read.chain(files), context)?;
        let open = |flag: &'static str, path: &Option<PathBuf>, what| match path {
            Some(path) => Lines::create(flag, path, what, context).map(Some),
            None => Ok(None),
        };
        let trace = open("--trace", &args.trace, "trace")?;
        let telemetry = Telemetry::open(open("--otlp", &args.otlp, "spans")?, context, console);
        let content = telemetry.as_ref().is_some_and(Telemetry::content);
        let fold = (trace.is_some() || telemetry.is_some()).then(|| Fold::new(content));
        let events = if events_on_stdout { None } else { open("--events", &args.events, "events")? };
        let wait = args.callback_wait.unwrap_or(CALLBACK_WAIT);
        let callbacks: Result<Vec<Callback>, _> = callbacks.iter().map(|words| Callback::start(words, wait)).collect();
        Ok(Self {
            console,
            events_on_stdout,
            events,
            callbacks: callbacks?,
            recording: open("--record", &args.record, "recording")?,
            trace,
            telemetry,
            fold,
            clock: Clock::new(SystemTime::now(), Instant::now()),
        })
    }

    /// What the run has to tell for it.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            record: self.of_events() || self.fold.is_some() || self.recording.is_some(),
            recordings: self.recording.is_some(),
            prompts: self.telemetry.as_ref().is_some_and(Telemetry::content),
        }
    }

    /// Whether the events themselves are kept.
    pub fn of_events(&self) -> bool {
        self.events_on_stdout || self.events.is_some() || !self.callbacks.is_empty()
    }

    /// Takes an event in.
    ///
    /// # Errors
    /// Nobody reads standard output any more.
    pub async fn event(&mut self, event: &Event, output: &Output) -> Result<(), Closed> {
        if self.of_events()
            && let Ok(mut line) = serde_json::to_string(event)
        {
            line.push('\n');
            if self.events_on_stdout {
                output.write(&line).await?;
            }
            self.events = written(self.events.take(), &line, self.console);
            for callback in &mut self.callbacks {
                callback.line(line.as_bytes(), self.console).await;
            }
        }
        if let (EventKind::ModelAnswered { recorded: Some(recorded), .. }, Some(_)) = (&event.kind, &self.recording)
            && let Ok(line) = serde_json::to_string(recorded)
        {
            self.recording = written(self.recording.take(), &format!("{line}\n"), self.console);
        }
        if let Some(fold) = &mut self.fold {
            fold.event(event);
            self.spans();
        }
        Ok(())
    }

    /// The run was stopped before its end.
    pub async fn stop(mut self) {
        if let Some(fold) = &mut self.fold {
            fold.stop(Instant::now());
            self.spans();
        }
        self.flush();
        self.end(AFTER_STOP).await;
    }

    /// Writes what waits to be written.
    pub fn flush(&mut self) {
        for lines in [&mut self.events, &mut self.trace, &mut self.recording] {
            if let Some(mut open) = lines.take()
                && open.flushed(self.console)
            {
                *lines = Some(open);
            }
        }
        if let Some(telemetry) = &mut self.telemetry {
            telemetry.flush(self.console);
        }
    }

    /// Waits for what gets the events, a bounded time and at most `wait`.
    pub async fn end(self, wait: Duration) {
        let ends = self.callbacks.into_iter().map(|callback| callback.end(wait, self.console));
        let sent = async {
            if let Some(telemetry) = self.telemetry {
                telemetry.end(wait, self.console).await;
            }
        };
        tokio::join!(futures_util::future::join_all(ends), sent);
    }

    fn spans(&mut self) {
        let Some(fold) = &mut self.fold else { return };
        for span in fold.take() {
            if self.trace.is_some() {
                let text = format!("{}\n", line(&span, &self.clock));
                self.trace = written(self.trace.take(), &text, self.console);
            }
            if let Some(telemetry) = &mut self.telemetry {
                telemetry.span(&span, &self.clock, self.console);
            }
        }
    }
}

impl Lines {
    fn create(flag: &'static str, path: &Path, what: &'static str, context: &Context) -> Result<Self, Box<Diagnostic>> {
        let wrong = |message: String| Diagnostic::new(Severity::Error, Code::E001, None, message);
        if is_stdout(path) {
            let diagnostic = wrong(format!("`{flag}` wants a file: standard output holds the result"));
            return Err(Box::new(diagnostic.help("`--events -` alone writes there, in the result's place")));
        }
        match File::create(context.cwd.join(path)) {
            Ok(file) => Ok(Self { file: BufWriter::new(file), what }),
            Err(e) => Err(Box::new(wrong(format!("`{}` of `{flag}` cannot be written: {e}", path.display())))),
        }
    }

    /// Writes what waits to be written. Gives whether it was.
    pub fn flushed(&mut self, console: &Console) -> bool {
        match self.file.flush() {
            Ok(()) => true,
            Err(e) => {
                console.warn(&format!("the {} cannot be written: {e}", self.what));
                false
            }
        }
    }
}

/// Writes a line; a file that takes no more is told once and left.
pub fn written(lines: Option<Lines>, line: &str, console: &Console) -> Option<Lines> {
    let mut lines = lines?;
    match lines.file.write_all(line.as_bytes()) {
        Ok(()) => Some(lines),
        Err(e) => {
            console.warn(&format!("the {} cannot be written any more: {e}", lines.what));
            None
        }
    }
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Refuses one file for two things.
fn apart<'f>(files: impl Iterator<Item = (&'f str, &'f PathBuf)>, context: &Context) -> Result<(), Box<Diagnostic>> {
    let mut seen: Vec<(&str, PathBuf)> = Vec::new();
    for (flag, path) in files.filter(|(_, path)| !is_stdout(path)) {
        let full = crate::plan::plain(&context.cwd.join(path));
        // What is no file, as /dev/stderr, takes the lines of several.
        let other = seen.iter().find(|(first, other)| *other == full && !is_device(other) && *first != flag);
        if let Some((first, _)) = other {
            let message = format!("`{first}` and `{flag}` name the same file: `{}`", path.display());
            let diagnostic = Diagnostic::new(Severity::Error, Code::E305, None, message);
            return Err(Box::new(diagnostic.help("each writes a file of its own")));
        }
        seen.push((flag, full));
    }
    Ok(())
}

fn is_device(path: &Path) -> bool {
    path.metadata().is_ok_and(|about| !about.is_file())
}
