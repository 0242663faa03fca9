//! The description of a provider: names, options, types and defaults. Checking, suggestions, help and the reference
//! pages all read it.

use std::sync::Arc;

use super::sources::Source;
use super::{Embedder, ModelConfig, Provider, ProviderError};
use crate::config::Context;
use crate::value::{Constraint, Value};

/// What kind of value an option takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OptionKind {
    /// Text.
    Text,
    /// A file's path, written out.
    Path,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A whole number in a range, both ends included.
    Int(i64, i64),
    /// A number in a range, both ends included.
    Float(f64, f64),
    /// A truth value.
    Bool,
    /// A number with a unit, as `30s`.
    Duration,
    /// The same, longer than nothing: a bound.
    Limit,
    /// Text or a list of texts.
    Texts,
    /// A size in bytes, as `"64 MiB"`, or a whole number of bytes.
    Size,
    /// A map that goes through to the server as it stands.
    Map,
    /// A list of definitions of tools, or the path of a file that holds one.
    Tools,
    /// A secret, by its bare name.
    Secret,
    /// Anything.
    Any,
}

impl OptionKind {
    /// What a message calls it.
    pub fn describe(self) -> String {
        match self {
            OptionKind::Text => "text".to_owned(),
            OptionKind::Path => "a path in quotes".to_owned(),
            OptionKind::Choice(words) => words.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(" | "),
            OptionKind::Int(low, high) => match (low, high) {
                (i64::MIN, i64::MAX) => "int".to_owned(),
                (low, i64::MAX) => format!("int of at least {low}"),
                (low, high) => format!("int from {low} to {high}"),
            },
            OptionKind::Float(low, high) if high == f64::MAX && low == f64::MIN => "number".to_owned(),
            OptionKind::Float(low, high) if high == f64::MAX => format!("number of at least {low}"),
            OptionKind::Float(low, high) => format!("number from {low} to {high}"),
            OptionKind::Bool => "bool: true or false".to_owned(),
            OptionKind::Duration => "a duration with its unit, as 30s (ms, s, m, h)".to_owned(),
            OptionKind::Limit => "a duration above 0 with its unit, as 30s (ms, s, m, h)".to_owned(),
            OptionKind::Texts => "text or a list of texts".to_owned(),
            OptionKind::Size => "a size, as \"64 MiB\"".to_owned(),
            OptionKind::Map => "a map, as { key: value }".to_owned(),
            OptionKind::Tools => "a list of tools, or the path of a file that holds one".to_owned(),
            OptionKind::Secret => "a secret's bare name".to_owned(),
            OptionKind::Any => "any value".to_owned(),
        }
    }
}

/// Who acts on an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It changes what is asked of the model, so it belongs to a call's digest.
    Model,
    /// It changes how the call is made: retries, time-outs, limits.
    Call,
}

/// One option of a provider.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: OptionKind,
    /// The default as messages show it; empty where the server decides.
    pub default: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
    /// Other spellings that are accepted.
    pub aliases: &'static [&'static str],
    /// What it is called on the wire; empty where it is not sent.
    pub wire: &'static str,
    /// Who acts on it.
    pub effect: Effect,
    /// Where the makers of the servers say what it means; empty where it is chainrun's own.
    pub documented: &'static [Source],
    /// The real servers at which it was tried, with their versions; with none, what is known of it is documentation alone.
    pub tried: &'static [&'static str],
}

/// Whether a provider makes an answer obey a constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// It does.
    Enforced,
    /// The model's answers are written: nothing needs to be enforced, and nothing is said of it.
    Written,
    /// It does not yet, and why; the answer is checked all the same.
    CheckedAlone(&'static str),
    /// It cannot, and why.
    Never(String),
}

/// What an option says, by its name; null where that is not known before the run.
pub type Said<'a> = &'a dyn Fn(&str) -> Option<Value>;

/// Says whether a provider makes an answer obey a constraint, with the model's options; pure.
pub type Enforces = fn(&Constraint, Said<'_>) -> Enforcement;

/// Makes something from a checked configuration; opens nothing.
type Make<T> = fn(&ModelConfig, &Arc<Context>) -> Result<Arc<T>, ProviderError>;

/// What a description is of, and how that is made from a checked configuration; opens nothing.
#[derive(Clone, Copy)]
pub enum Build {
    /// A model that answers.
    Model(Make<dyn Provider>),
    /// A model that turns texts into vectors.
    Embedder(Make<dyn Embedder>),
}

/// A provider's description.
pub struct Spec {
    /// Its name in files, as `hf-endpoint`.
    pub name: &'static str,
    /// What it is, in one line.
    pub doc: &'static str,
    /// What the first, unnamed argument is called in messages: `model`, or `answer` for `fake`.
    pub argument: OptionSpec,
    /// Whether the first argument must stand.
    pub argument_required: bool,
    /// Options that say enough by themselves, so that the first argument may be missing.
    pub instead: &'static [&'static str],
    /// Its options, the shared ones among them.
    pub options: &'static [&'static [OptionSpec]],
    /// Spellings from elsewhere that are refused with a word on what to do instead.
    pub explained: &'static [(&'static str, &'static str)],
    /// Which constraints it makes an answer obey.
    pub enforces: Enforces,
    /// Makes the provider or embedder. Options are checked against this description before.
    pub build: Build,
}

impl Spec {
    /// All options.
    pub fn all_options(&self) -> impl Iterator<Item = &'static OptionSpec> {
        self.options.iter().flat_map(|group| group.iter())
    }

    /// The model's name that the first argument says; none where it is something else, as an answer of `fake`.
    pub fn model_name(&self, argument: Option<&Value>) -> Option<String> {
        let named = self.name != super::fake::SPEC.name && self.name != super::replay::SPEC.name;
        argument.filter(|_| named)?.as_text().map(std::borrow::Cow::into_owned)
    }

    /// The option called `name`, by its own name or another accepted spelling.
    pub fn option(&self, name: &str) -> Option<&'static OptionSpec> {
        self.all_options().find(|o| o.name == name || o.aliases.contains(&name))
    }
}

const fn option(name: &'static str, kind: OptionKind, doc: &'static str) -> OptionSpec {
    let (documented, tried): (&[Source], &[&str]) = (&[], &[]);
    OptionSpec { name, kind, default: "", doc, aliases: &[], wire: "", effect: Effect::Model, documented, tried }
}

const fn call(name: &'static str, kind: OptionKind, default: &'static str, doc: &'static str) -> OptionSpec {
    OptionSpec { default, effect: Effect::Call, ..option(name, kind, doc) }
}

impl OptionSpec {
    /// A description of an option that belongs to the model.
    pub const fn new(name: &'static str, kind: OptionKind, doc: &'static str) -> Self {
        option(name, kind, doc)
    }

    /// The same under other spellings too.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// The same with a default.
    #[must_use]
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    /// The same with its name on the wire.
    #[must_use]
    pub const fn wire(mut self, wire: &'static str) -> Self {
        self.wire = wire;
        self
    }

    /// The same with where its servers' makers say what it means.
    #[must_use]
    pub const fn documented(mut self, documented: &'static [Source]) -> Self {
        self.documented = documented;
        self
    }

    /// The same with the real servers at which it was tried.
    #[must_use]
    pub const fn tried(mut self, tried: &'static [&'static str]) -> Self {
        self.tried = tried;
        self
    }
}

/// Options of every provider: how a call is made, and what becomes of its answer.
pub static CALL_OPTIONS: &[OptionSpec] = &[
    call("retry", OptionKind::Int(0, 100), "0", "tries after the first, for failures that another try may mend"),
    call("timeout", OptionKind::Limit, "off", "the longest time for one try, its stream included"),
    call("max_response", OptionKind::Size, "64 MiB", "the largest answer"),
    call("cache", OptionKind::Bool, "false", "keep answers on disk and give them again to the same call"),
    call(
        "constrain",
        OptionKind::Bool,
        "where it can",
        "have the model held to what the parser takes: false never asks for it, true is an error where it cannot be had",
    ),
    call(
        "overflow",
        OptionKind::Choice(&["error", "truncate-oldest"]),
        "\"error\"",
        "what becomes of a prompt that does not fit the context window",
    ),
];

/// Options of every embedder.
pub static EMBEDDER_OPTIONS: &[OptionSpec] = &[
    call("batch", OptionKind::Int(1, 1000), "32", "texts that go in one request"),
    call("retry", OptionKind::Int(0, 100), "0", "tries after the first, for failures that another try may mend"),
    call("timeout", OptionKind::Limit, "off", "the longest time for one try"),
    call(
        "cache",
        OptionKind::Bool,
        "false",
        "keep the vectors of `embed` and of queries on disk; those of an index's documents are always kept",
    ),
];

/// The option of every provider whose answers change unless something is done about it.
pub static REPEATABLE: &[OptionSpec] =
    &[call("repeatable", OptionKind::Bool, "false", "the same text to the same prompt, by whatever means there are")];

/// Options of every provider that is a server.
pub static SERVER_OPTIONS: &[OptionSpec] =
    &[call("idle_timeout", OptionKind::Limit, "5m", "the longest time without a byte from the server")];

/// Options of every model and embedder of a server: how much it is asked.
pub static RATE_OPTIONS: &[OptionSpec] = &[
    call("requests_per_minute", OptionKind::Int(1, i64::MAX), "off", "the most requests that begin in any minute"),
    call(
        "tokens_per_minute",
        OptionKind::Int(1, i64::MAX),
        "off",
        "the most tokens of prompts and answers in any minute",
    ),
];

/// The option of every server that tokenises rendered text itself.
pub static CONTROL_OPTIONS: &[OptionSpec] = &[call(
    "allow_control_tokens",
    OptionKind::Bool,
    "false",
    "let values hold control tokens of a chat template, which the server obeys",
)];
