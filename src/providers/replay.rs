//! `replay`: a model whose answers are those of a recording that `--record FILE` made of a run. It stands in for any
//! model, so it takes the options that all models share.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Instant;

use super::fake;
use super::spec::{CALL_OPTIONS, RATE_OPTIONS, REPEATABLE, SERVER_OPTIONS};
use super::{
    BoxFuture, Caps, Effect, Enforcement, ErrorKind, ModelConfig, OptionKind, OptionSpec, OptionValue, Prepared,
    Provider, ProviderError, Spec,
};
use crate::config::Context;
use crate::event::Sink;
use crate::recording::{Asked, Missing, ReadError, Recording};
use crate::value::{Answer, Request};

/// The description of `replay`.
pub static SPEC: Spec = Spec {
    name: "replay",
    doc: "answers of a recording that `--record FILE` made of a run",
    argument: OptionSpec::new(
        "recording",
        OptionKind::Path,
        "the recording's path, relative to the .chain file, or on the command line to the working folder",
    ),
    argument_required: true,
    instead: &[],
    options: &[OPTIONS, SERVER_OPTIONS, RATE_OPTIONS, REPEATABLE, CALL_OPTIONS],
    explained: &[],
    // What is recorded was held to what it is, or was not.
    enforces: |_, _| Enforcement::Written,
    build: super::Build::Model(build),
};

const FILTER: &str = "the answer must have been recorded with it";

static OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("max_tokens", OptionKind::Int(1, i64::MAX), FILTER).aliases(&[
        "num_predict",
        "max_new_tokens",
        "n_predict",
    ]),
    OptionSpec::new("stop", OptionKind::Texts, FILTER).aliases(&["stop_sequences"]),
    OptionSpec::new("temperature", OptionKind::Float(0.0, f64::MAX), FILTER),
    OptionSpec::new("top_p", OptionKind::Float(0.0, 1.0), FILTER),
    OptionSpec::new("top_k", OptionKind::Int(0, i64::MAX), FILTER),
    OptionSpec::new("min_p", OptionKind::Float(0.0, 1.0), FILTER),
    OptionSpec::new("seed", OptionKind::Int(i64::MIN, i64::MAX), FILTER),
];

/// The most characters of a prompt that a message shows.
const SHOWN: usize = 60;

/// Calls that are answered at a time.
const CONCURRENCY: usize = 64;

/// Recordings that something of the run uses: models that share one share what was given of it.
static KNOWN: LazyLock<Mutex<HashMap<PathBuf, Weak<Recording>>>> = LazyLock::new(Mutex::default);

struct Replay {
    /// The path as it is written.
    path: String,
    /// The recording; none where there is no such file.
    recording: Option<Arc<Recording>>,
    /// Options that the answer must have been recorded with.
    options: Vec<(&'static str, serde_json::Value)>,
}

fn build(config: &ModelConfig, _: &Arc<Context>) -> Result<Arc<dyn Provider>, ProviderError> {
    let refused = |message: String| ProviderError::new(ErrorKind::Refused, message);
    let path = config.model();
    let recording = match known(&config.base.join(&path)) {
        Ok(recording) => Some(recording),
        Err(ReadError::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(ReadError::Io(e)) => return Err(refused(format!("the recording `{path}` cannot be read: {e}"))),
        Err(ReadError::Line { line, why }) => {
            return Err(refused(format!("line {line} of the recording `{path}` is none: {why}")));
        }
    };
    let of_model = |name: &str| SPEC.option(name).is_some_and(|spec| spec.effect == Effect::Model);
    let options = config.options.iter().filter(|(name, _)| of_model(name));
    let options = options.filter_map(|(name, setting)| match &setting.value {
        OptionValue::Value(value) => Some((*name, value.to_json())),
        _ => None,
    });
    Ok(Arc::new(Replay { path, recording, options: options.collect() }))
}

fn known(path: &Path) -> Result<Arc<Recording>, ReadError> {
    let mut all = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, recording| recording.strong_count() > 0);
    if let Some(recording) = all.get(path).and_then(Weak::upgrade) {
        return Ok(recording);
    }
    let recording = Arc::new(Recording::read(path)?);
    all.insert(path.to_path_buf(), Arc::downgrade(&recording));
    Ok(recording)
}

impl Provider for Replay {
    fn caps(&self) -> Caps {
        Caps { concurrency: CONCURRENCY, context: None }
    }

    fn prepare(&self, request: &Request) -> Result<Prepared, ProviderError> {
        Ok(Prepared::Script { prompt: fake::last_prompt(request) })
    }

    fn generate<'a>(
        &'a self,
        request: &'a Request,
        _: &'a Prepared,
        sink: &'a mut Sink,
    ) -> BoxFuture<'a, Result<Answer, ProviderError>> {
        Box::pin(self.give(request, sink))
    }

    fn missing(&self) -> Option<String> {
        self.recording.is_none().then(|| format!("there is no recording `{}`", self.path))
    }
}

impl Replay {
    async fn give(&self, request: &Request, sink: &mut Sink) -> Result<Answer, ProviderError> {
        let started = Instant::now();
        let Some(recording) = &self.recording else {
            let message = format!("there is no recording `{}`", self.path);
            return Err(ProviderError::new(ErrorKind::Unrecorded, message).help(again(&self.path)));
        };
        // Recordings hold no secret, so none is looked for in them.
        let asked = Asked::of(request, request.constraint.as_ref()).map(|text| sink.redact(text));
        let recorded = recording.answer(&asked, &self.options).map_err(|missing| self.unrecorded(&asked, &missing))?;
        if let Some(reasoning) = &recorded.answer.reasoning {
            sink.reasoning(reasoning).await?;
        }
        for piece in recorded.pieces() {
            sink.text(piece).await?;
        }
        Ok(recorded.answer(started.elapsed().as_secs_f64()))
    }

    /// The error of a prompt without an answer, with what is nearest to it.
    fn unrecorded(&self, asked: &Asked, missing: &Missing<'_>) -> ProviderError {
        let path = &self.path;
        let error = |message: String| ProviderError::new(ErrorKind::Unrecorded, message);
        let prompt = shown(&asked.text(), 0);
        let error = match missing {
            Missing::Prompt(None) => error(format!("the recording `{path}` is empty")),
            Missing::Prompt(Some(near)) => {
                let (asked, near) = (asked.text(), near.text());
                let at = asked.bytes().zip(near.bytes()).take_while(|(a, b)| a == b).count();
                error(format!("the recording `{path}` has no answer to `{prompt}`")).help(format!(
                    "the nearest prompt that it has differs here: `{}`, asked is `{}`",
                    shown(&near, at),
                    shown(&asked, at)
                ))
            }
            Missing::Parser => {
                error(format!("the recording `{path}` has `{prompt}` for a parser that takes something else"))
                    .help("the type behind the model changed since it was made")
            }
            Missing::Options(differ) => {
                let asked = |name: &str| self.options.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string());
                let each = differ.iter().map(|(name, own)| {
                    let own = own.map_or("none".to_owned(), ToString::to_string);
                    format!("`{name}` is {} and was {own}", asked(name).unwrap_or_default())
                });
                let each: Vec<String> = each.collect();
                error(format!("the recording `{path}` has `{prompt}` with other options: {}", each.join(", ")))
            }
        };
        error.help(again(path))
    }
}

fn again(path: &str) -> String {
    format!("`--record {path}` without `replay` records it anew")
}

/// A stretch of a text around a place, in one line.
fn shown(text: &str, at: usize) -> String {
    let start =
        (0..=at.saturating_sub(SHOWN / 3).min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    let rest = &text[start..];
    let end = rest.char_indices().nth(SHOWN).map_or(rest.len(), |(end, _)| end);
    let middle = rest[..end].replace('\n', "⏎");
    let (before, after) = (if start > 0 { "…" } else { "" }, if end < rest.len() { "…" } else { "" });
    format!("{before}{middle}{after}")
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_stretch_of_a_prompt() {
        assert_eq!(shown("short", 0), "short");
        assert_eq!(shown("a\nb", 3), "a⏎b");
        let long = "감".repeat(200);
        let middle = shown(&long, 300);
        assert!(middle.starts_with("…감") && middle.ends_with("감…") && middle.chars().count() <= 62, "{middle}");
        assert!(shown(&long, 10_000).starts_with('…'));
    }
}
