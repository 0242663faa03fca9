//! `chainrun FILE`: checks the file, builds the plan and runs it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::arguments::{Format, RunArgs};
use super::callback::{self, Words};
use super::command_line::{StandardInput, given};
use super::console::Console;
use super::format::text_of;
use super::load::{self, Loaded};
use super::records::Records;
use super::result::{Closed, Output};
use super::{FAILED, INTERRUPTED, MISSING, WRONG};
use crate::config::Context;
use crate::diag::{Code, Diagnostic, Severity};
use crate::event::{Event, EventKind, FrameId, channel_for};
use crate::plan::{self, Declarations, Execs, Models, Plan};
use crate::providers::OptionKind;
use crate::run::{Failure, Run};
use crate::source::{Sources, Span};
use crate::value::{Secret, Value, redact, redact_json};

/// A plan with its variables and models bound.
pub struct Ready {
    /// The plan.
    pub plan: Plan,
    /// The values of its variables.
    pub variables: Vec<Value>,
    /// Its models.
    pub models: Models,
}

/// Runs the command.
pub fn run(args: &RunArgs, context: &Arc<Context>) -> u8 {
    let mut sources = Sources::new();
    let console = Console::new(context, args.quiet);
    let mut input = StandardInput::default();
    let ready = match prepare(args, context, &mut sources, &console, &mut input) {
        Ok(ready) => ready,
        Err(code) => return code,
    };
    let callbacks = match callback::commands(&args.callbacks, &mut sources) {
        Ok(callbacks) => callbacks,
        Err(diagnostic) => {
            console.report(&[*diagnostic], &sources);
            return WRONG;
        }
    };
    let stdin = match standard_input(&ready.plan, &mut input) {
        Ok(value) => value,
        Err(diagnostic) => {
            console.report(&[*diagnostic], &sources);
            return WRONG;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            console.write(&format!("error: no event loop can be made: {e}\n"));
            return FAILED;
        }
    };
    let code = runtime.block_on(execute(args, context, &ready, stdin, &callbacks, &sources, &console));
    // A thread that waits for a stalled reader must not keep the program.
    runtime.shutdown_background();
    code
}

/// Loads, checks, lowers and binds; reports what is wrong.
pub fn prepare(
    args: &RunArgs,
    context: &Arc<Context>,
    sources: &mut Sources,
    console: &Console,
    input: &mut StandardInput,
) -> Result<Ready, u8> {
    let loaded = match (&args.expression, &args.file) {
        (Some(text), _) => load::expression(text, sources, context),
        (None, Some(path)) => load::file(path, sources, context).map_err(|d| {
            console.report(&[*d], sources);
            WRONG
        })?,
        (None, None) => return Err(WRONG),
    };
    let outcome = bound(args, &loaded, context, sources, input);
    match outcome {
        Ok((ready, notes)) => {
            console.report(&notes, sources);
            Ok(ready)
        }
        Err(wrong) => {
            console.report(&wrong, sources);
            Err(WRONG)
        }
    }
}

fn bound(
    args: &RunArgs,
    loaded: &Loaded,
    context: &Arc<Context>,
    sources: &mut Sources,
    input: &mut StandardInput,
) -> Result<(Ready, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut wrong = loaded.diagnostics.clone();
    let declarations = Declarations::collect(&loaded.tree, &loaded.libraries, &mut wrong);
    let mut settings = load::settings(&args.models, loaded, sources, context)?;
    if args.allow_exec {
        settings.exec = Execs::Allowed;
    }
    let checked = plan::check(sources, &loaded.tree, &declarations, &settings);
    wrong.extend(checked.diagnostics);
    wrong.extend(plan::refused_models(&checked.models, &checked.embedders, context));
    if wrong.iter().any(|d| d.severity == Severity::Error) {
        return Err(wrong);
    }
    let names = declarations.chains();
    let signatures = super::file_help::signatures(&loaded.tree, sources);
    let whole = Span::new(loaded.tree.id, 0, sources.get(loaded.tree.id).text.lines().next().map_or(0, str::len));
    let chain = load::chain(args, &names, &signatures, sources, whole).map_err(|d| vec![*d])?;
    let (plan, notes) = plan::lower(sources, &declarations, &settings, &loaded.name, &chain)?;
    let values = given(&args.vars, &args.vars_files, sources, context, input)?;
    let variables = plan::bind(&plan, &values)?;
    let models = plan::build_models(&plan, &variables, context)?;
    Ok((Ready { plan, variables, models }, notes))
}

/// Standard input as the chain's `input`, where the chain reads it.
pub fn standard_input(plan: &Plan, input: &mut StandardInput) -> Result<Option<Value>, Box<Diagnostic>> {
    let Some(span) = plan.stdin else { return Ok(None) };
    match input.text() {
        Ok(text) => Ok(Some(Value::from(text))),
        Err(e) => Err(Box::new(Diagnostic::error(Code::E302, span, e).label("the chain reads its input here"))),
    }
}

async fn execute(
    args: &RunArgs,
    context: &Arc<Context>,
    ready: &Ready,
    stdin: Option<Value>,
    callbacks: &[Words],
    sources: &Sources,
    console: &Console,
) -> u8 {
    let replayed = ready.models.configs.iter().filter(|config| config.spec.argument.kind == OptionKind::Path);
    let replayed: Vec<PathBuf> = replayed.map(|config| config.base.join(config.model())).collect();
    let records = match Records::open(args, callbacks, &replayed, context, console) {
        Ok(records) => records,
        Err(diagnostic) => {
            console.report(&[*diagnostic], sources);
            return WRONG;
        }
    };
    let (sender, reader) = channel_for(records.wanted());
    let mut reading = Reading {
        output: Output::open(),
        console,
        plan: &ready.plan,
        sources,
        format: args.format(),
        stream: !args.no_stream && !records.events_on_stdout,
        records,
        settled: false,
        printed: String::new(),
        limited: BTreeSet::new(),
        items: 0,
    };
    let run = Run::new(&ready.plan, &ready.variables, &ready.models, stdin, sender);
    let running = async move {
        let out = run.value(|span| sources.place(span)).await;
        drop(run);
        out
    };
    let outcome = tokio::select! {
        both = async { tokio::join!(running, reading.all(reader)) } => Some(both.0),
        () = interrupted() => None,
    };
    let Some(outcome) = outcome else {
        console.write("interrupted\n");
        wait_for(reading.records.stop()).await;
        return INTERRUPTED;
    };
    let seconds = context.started.elapsed().as_secs_f64();
    let (code, records) = reading.end(outcome, seconds, &ready.models.secrets).await;
    wait_for(records.end(Duration::MAX)).await;
    code
}

/// Waits for what the result does not depend on, unless the person does not want to.
async fn wait_for(end: impl Future<Output = ()>) {
    tokio::select! {
        () = end => {}
        () = interrupted() => {}
    }
}

/// Waits for Ctrl-C or, where there are such signals, a request to terminate.
pub async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Whether an event is told on standard error.
fn says(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::Discarded { .. }
            | EventKind::Retrying { .. }
            | EventKind::RateLimited { .. }
            | EventKind::Notice { .. }
            | EventKind::Warning { .. }
    )
}

/// The one reader of the events: it shows text, notices and progress, and writes the trace.
struct Reading<'a> {
    output: Output,
    console: &'a Console,
    plan: &'a Plan,
    sources: &'a Sources,
    records: Records<'a>,
    format: Format,
    stream: bool,
    /// Whether nothing can take the place of the text that streams any more.
    settled: bool,
    /// What standard output was given of the result.
    printed: String,
    /// Models of which it was said that they wait for a limit.
    limited: BTreeSet<String>,
    /// How many items of the result it was given.
    items: usize,
}

impl<'a> Reading<'a> {
    async fn all(&mut self, mut reader: mpsc::Receiver<Event>) {
        while let Some(event) = reader.recv().await {
            // Nobody reads the result: dropping the reader stops the run.
            if self.one(event).await.is_err() {
                return;
            }
            // What is there already goes out together.
            while let Ok(event) = reader.try_recv() {
                if self.one(event).await.is_err() {
                    return;
                }
            }
            if self.output.flush().await.is_err() {
                return;
            }
        }
    }

    async fn one(&mut self, event: Event) -> Result<(), Closed> {
        self.records.event(&event, &self.output).await?;
        if says(&event.kind) {
            // What was printed before it stands before it on a terminal too.
            self.output.flush().await?;
        }
        match &event.kind {
            EventKind::Settled => self.settled = true,
            EventKind::Token { text }
                if self.stream
                    && self.format == Format::Text
                    && self.is_live(&event)
                    && (self.settled || self.output.terminal) =>
            {
                self.output.write(text).await?;
                self.printed.push_str(text);
            }
            EventKind::Item { value, .. } if self.stream && self.format == Format::Jsonl => {
                self.output.write(&format!("{value}\n")).await?;
                self.items += 1;
            }
            EventKind::Discarded { error } => {
                if !self.printed.is_empty() {
                    self.output.write("\n").await?;
                    self.output.flush().await?;
                    self.console.note("what was printed above does not count: something else takes its place");
                }
                self.printed.clear();
                self.console.note(&format!("{error}; going on with the next"));
            }
            EventKind::Retrying { attempt, error, wait } => {
                self.console.note(&format!("try {attempt} failed: {error}; the next in {wait:.1} s"));
            }
            EventKind::RateLimited { model, limit, most, wait } => self.waits(model, limit, *most, *wait),
            EventKind::Notice { text } => self.console.note(text),
            EventKind::Warning { code, text, help } => {
                let span = event.node.map(|id| self.plan.node(id).span);
                let warning = Diagnostic::new(Severity::Warning, Code(code), span, text.clone());
                self.console.report(&[warning.help(*help)], self.sources);
            }
            EventKind::Progress { what, done, total } => self.console.progress(what, *done, *total),
            EventKind::Indexing { index, done, total } => self.console.count(index, *done as u64, *total as u64),
            _ => {}
        }
        Ok(())
    }

    /// Says that a model waits for a limit, the first time.
    fn waits(&mut self, model: &str, limit: &str, most: u64, wait: f64) {
        if self.limited.insert(model.to_owned()) {
            let what = limit.trim_end_matches(if most == 1 { "s_per_minute" } else { "_per_minute" });
            let limit = format!("its limit of {most} {what} a minute");
            self.console.note(&format!("`{model}` waits {wait:.1} s for {limit}; later waits are not said"));
        }
    }

    /// Whether an event belongs to the model whose text is the result.
    fn is_live(&self, event: &Event) -> bool {
        let Some(node) = event.node else { return false };
        matches!(&self.plan.node(node).kind, plan::NodeKind::Ask(ask) if ask.live)
    }

    async fn end(mut self, outcome: Result<Value, Failure>, seconds: f64, secrets: &[Secret]) -> (u8, Records<'a>) {
        let error = match &outcome {
            Err(Failure::Failed(d)) => Some(d.message.clone()),
            Err(Failure::Stopped) => Some("nobody read the result".to_owned()),
            Ok(_) => None,
        };
        // Made where somebody reads it: a long list is copied by it.
        let shown = outcome.as_ref().ok().filter(|_| self.records.of_events());
        let value = shown.map(|value| redact_json(value.to_json(), secrets));
        let error = error.map(|text| redact(&text, secrets));
        let kind = EventKind::RunFinished { ok: error.is_none(), error, value, seconds };
        let _ = self.records.event(&Event::now(FrameId(0), None, kind), &self.output).await;
        self.records.flush();
        let code = match outcome {
            Ok(value) => {
                let code = if self.records.events_on_stdout { 0 } else { self.print(&value).await };
                self.output.finish().await;
                code
            }
            // `| head -1` took what it wanted.
            Err(Failure::Stopped) => 0,
            Err(Failure::Failed(diagnostic)) => {
                if !self.printed.is_empty() && !self.printed.ends_with('\n') {
                    let _ = self.output.write("\n").await;
                }
                self.output.finish().await;
                let code = if diagnostic.code == Code::E409 { MISSING } else { FAILED };
                self.console.report(&[*diagnostic], self.sources);
                code
            }
        };
        (code, self.records)
    }

    async fn print(&mut self, value: &Value) -> u8 {
        let rest = match value {
            Value::List(items) if self.items > 0 => Value::list(items.iter().skip(self.items).cloned().collect()),
            whole => whole.clone(),
        };
        let value = &rest;
        let (text, code) = match text_of(value, self.format, self.output.terminal) {
            Ok(Some(text)) => (text, 0),
            Ok(None) => {
                self.console.note("the result is nothing (null)");
                return 0;
            }
            Err(why) => {
                // What was worked out is not lost.
                self.console
                    .write(&format!("error[E410]: the result does not fit the format: {why}; here it is as JSON\n"));
                (text_of(value, Format::Json, self.output.terminal).ok().flatten().unwrap_or_default(), FAILED)
            }
        };
        let rest = match text.strip_prefix(self.printed.as_str()) {
            Some(rest) => rest.to_owned(),
            None => format!("\n{text}"),
        };
        if let (Value::Message(message), Format::Text, false) = (value, self.format, code == FAILED)
            && !message.calls.is_empty()
        {
            let names: Vec<String> = message.calls.iter().map(|call| format!("`{}`", call.name)).collect();
            let names = names.join(", ");
            self.console
                .note(&format!("the model asks for tools, {names}, which text does not show: `--format json` does"));
        }
        let newline = if text.ends_with('\n') { "" } else { "\n" };
        let newline = if self.format == Format::Jsonl && rest.is_empty() { "" } else { newline };
        let _ = self.output.write(&format!("{rest}{newline}")).await;
        code
    }
}
