//! Words of the command line as sources, so that a mistake in one gets a caret.

use std::io::Read;
use std::path::Path;

use crate::config::{Context, Origin};
use crate::diag::{Code, Diagnostic};
use crate::plan::{self, Given, GivenValue, Override};
use crate::providers;
use crate::source::{FileId, LoadError, Sources, Span, decode, read_text};
use crate::syntax::ast::{Arg, Ident, Operand, OperandKind, Pipeline, Stage, Str};
use crate::syntax::parse_pipeline;
use crate::value::Value;

/// What messages call the command line.
const NAME: &str = "command line";

/// Standard input, which can be read once.
#[derive(Default)]
pub struct StandardInput {
    taken: bool,
}

impl StandardInput {
    /// Reads it whole.
    ///
    /// # Errors
    /// It is a terminal, taken already, or no UTF-8.
    pub fn text(&mut self) -> Result<String, String> {
        use std::io::IsTerminal;
        if self.taken {
            return Err("standard input is read twice".to_owned());
        }
        self.taken = true;
        let mut stdin = std::io::stdin().lock();
        if stdin.is_terminal() {
            return Err("standard input is a terminal: pipe something in, as in `git diff | chainrun …`".to_owned());
        }
        let mut bytes = Vec::new();
        stdin.read_to_end(&mut bytes).map_err(|e| format!("standard input cannot be read: {e}"))?;
        decode(bytes).map_err(|e| format!("standard input cannot be read: {e}"))
    }
}

/// The values that `--var` and `--vars` give.
pub fn given(
    vars: &[String],
    files: &[std::path::PathBuf],
    sources: &mut Sources,
    context: &Context,
    stdin: &mut StandardInput,
) -> Result<Vec<Given>, Vec<Diagnostic>> {
    let (mut out, mut wrong) = (Vec::new(), Vec::new());
    for path in files {
        match from_file(path, sources, context) {
            Ok(values) => out.extend(values),
            Err(diagnostic) => wrong.push(*diagnostic),
        }
    }
    // A `--var` counts more than a file.
    let mut named: Vec<Given> = Vec::new();
    for word in vars {
        match variable(word, sources, context, stdin) {
            Ok(value) => named.push(value),
            Err(diagnostic) => wrong.push(*diagnostic),
        }
    }
    out.retain(|g: &Given| !named.iter().any(|n| n.name == g.name));
    out.extend(named);
    if wrong.is_empty() { Ok(out) } else { Err(wrong) }
}

const FLAG: &str = "--var ";

fn variable(
    word: &str,
    sources: &mut Sources,
    context: &Context,
    stdin: &mut StandardInput,
) -> Result<Given, Box<Diagnostic>> {
    let file = sources.add(NAME, format!("{FLAG}{word}"));
    let whole = Span::new(file, FLAG.len(), FLAG.len() + word.len());
    let Some((name, value)) = word.split_once('=') else {
        let diagnostic = Diagnostic::error(Code::E305, whole, format!("`{word}` gives no value"));
        return Err(Box::new(diagnostic.help(format!("write `--var {word}=VALUE`"))));
    };
    let name_span = Span::new(file, FLAG.len(), FLAG.len() + name.len());
    let start = FLAG.len() + name.len() + 1;
    let value_span = Span::new(file, start, start + value.len());
    let value = match value.strip_prefix('@') {
        None => GivenValue::Text(value.to_owned()),
        Some(rest) if rest.starts_with('@') => GivenValue::Text(rest.to_owned()),
        Some("-") => GivenValue::File(
            "-".into(),
            stdin.text().map_err(|e| Box::new(Diagnostic::error(Code::E001, value_span, e)))?,
        ),
        Some(path) => {
            let full = context.cwd.join(path);
            match read_text(&full) {
                Ok(text) => GivenValue::File(path.into(), text),
                Err(LoadError::Directory) => GivenValue::Files(context.cwd.clone(), path.to_owned()),
                Err(LoadError::Io(_)) if plan::is_pattern(path) && !full.exists() => {
                    GivenValue::Files(context.cwd.clone(), path.to_owned())
                }
                Err(e) => {
                    let diagnostic = Diagnostic::error(Code::E001, value_span, format!("`{path}` cannot be read: {e}"))
                        .help(format!("for the text itself, double the @: `--var '{name}=@@{path}'`"));
                    return Err(Box::new(diagnostic));
                }
            }
        }
    };
    let name = crate::syntax::nfc(name.trim());
    Ok(Given { name, name_span, value, value_span })
}

fn from_file(path: &Path, sources: &mut Sources, context: &Context) -> Result<Vec<Given>, Box<Diagnostic>> {
    let shown = path.display().to_string();
    let line = sources.add(NAME, format!("--vars {shown}"));
    let place = Span::new(line, 7, 7 + shown.len());
    let wrong = |text: String| Box::new(Diagnostic::error(Code::E001, place, text));
    let file =
        sources.load(&shown, &context.cwd.join(path)).map_err(|e| wrong(format!("`{shown}` cannot be read: {e}")))?;
    let text = sources.get(file).text.clone();
    let json = crate::config::yaml(&text).map_err(|e| wrong(format!("`{shown}` is no YAML or JSON: {e}")))?;
    let serde_json::Value::Object(map) = json else {
        return Err(wrong(format!("`{shown}` holds no variables")).help_boxed("write one a line: `word: potato`"));
    };
    Ok(map
        .iter()
        .map(|(name, value)| {
            let span = key_place(file, &text, name);
            let value = GivenValue::Value(Value::from_json(value));
            Given { name: name.clone(), name_span: span, value, value_span: span }
        })
        .collect())
}

/// The place of a top-level key: the first line that begins with it, else the file's first line.
pub fn key_place(file: FileId, text: &str, name: &str) -> Span {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let inner = line.trim_start_matches([' ', '{', '"', '\'']);
        if inner.starts_with(name) {
            let start = at + line.len() - inner.len();
            return Span::new(file, start, start + name.len());
        }
        at += line.len();
    }
    match text.find(name) {
        Some(start) => Span::new(file, start, start + name.len()),
        None => Span::new(file, 0, text.lines().next().map_or(0, str::len)),
    }
}

trait HelpBoxed {
    fn help_boxed(self, text: &str) -> Self;
}

impl HelpBoxed for Box<Diagnostic> {
    fn help_boxed(self, text: &str) -> Self {
        Box::new(self.help(text))
    }
}

/// The models that configuration, environment and command line put in the place of others, weakest first.
pub fn overrides(
    words: &[String],
    configured: Option<(String, Origin)>,
    sources: &mut Sources,
    context: &Context,
) -> Result<Vec<Override>, Vec<Diagnostic>> {
    let (mut out, mut wrong) = (Vec::new(), Vec::new());
    let mut add =
        |name: &str, text: &str, origin: Origin, sources: &mut Sources| match model(name, text, origin, sources) {
            Ok(change) => out.push(change),
            Err(diagnostics) => wrong.extend(diagnostics),
        };
    if let Some((text, origin)) = configured {
        let name = match &origin {
            Origin::Config(path) => path.display().to_string(),
            _ => NAME.to_owned(),
        };
        add(&name, &text, origin, sources);
    }
    if let Some(text) = context.var("CHAINRUN_MODEL") {
        add("CHAINRUN_MODEL", text, Origin::Environment("CHAINRUN_MODEL"), sources);
    }
    for word in words {
        add("--model", word, Origin::CommandLine, sources);
    }
    if wrong.is_empty() { Ok(out) } else { Err(wrong) }
}

/// `[NAME=]EXPR` or `[NAME=]PROVIDER:MODEL`.
fn model(source: &str, text: &str, origin: Origin, sources: &mut Sources) -> Result<Override, Vec<Diagnostic>> {
    let file = sources.add(source, text);
    let name_length = text.find('=').filter(|at| {
        let name = &text[..*at];
        !name.is_empty() && name.chars().all(|c| c == '.' || unicode_ident::is_xid_continue(c))
    });
    let (name, start) = match name_length {
        Some(at) if origin == Origin::CommandLine => {
            (Some(Ident { name: crate::syntax::nfc(&text[..at]), span: Span::new(file, 0, at) }), at + 1)
        }
        _ => (None, 0),
    };
    let span = Span::new(file, start, text.len());
    let rest = &text[start..];
    if rest.trim().is_empty() {
        let diagnostic = Diagnostic::error(Code::E305, Span::new(file, 0, text.len()), "no model is named");
        return Err(vec![
            diagnostic.help("as in `--model ollama:llama3.2` or `--model 'ollama(\"llama3.2\", temperature: 0)'`"),
        ]);
    }
    let pipeline = match short_form(rest, span) {
        Some(pipeline) => pipeline,
        None => parse_pipeline(file, text, span)?,
    };
    Ok(Override { name, pipeline, origin })
}

/// `ollama:llama3.2:3b` is short for `ollama("llama3.2:3b")`.
fn short_form(text: &str, span: Span) -> Option<Pipeline> {
    let (provider, model) = text.split_once(':')?;
    if providers::find(provider).is_none() || model.is_empty() {
        return None;
    }
    let start = span.start + provider.len() as u32;
    let head = Span { end: start, ..span };
    let tail = Span { start: start + 1, ..span };
    let one = |kind, span| Operand { span, kind };
    let pipeline = |operand: Operand| Pipeline {
        span: operand.span,
        stages: vec![Stage { span: operand.span, operands: vec![operand], alias: None }],
    };
    let text = Str { text: model.to_owned(), map: vec![(0, tail.start)], span: tail };
    let argument = Arg { name: None, value: pipeline(one(OperandKind::Text(text), tail)), span: tail };
    let path = crate::syntax::ast::Path { parts: vec![Ident { name: provider.to_owned(), span: head }], span: head };
    Some(pipeline(one(OperandKind::Call { path, args: Some(vec![argument]) }, span)))
}
