//! The environment that every template runs in.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use indexmap::IndexMap;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value as Inner;
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior};

use super::convert::{self, MessageObject};
use super::{NameUse, Scope, TemplateError, error};
use crate::value::Value;

/// The name of the only template of an environment.
pub(super) const NAME: &str = "template";
/// The most text that a template may give.
pub(super) const MOST_OUTPUT: usize = 64 << 20;
/// The steps that a template may take.
const FUEL: u64 = 10_000_000;
/// A comment's delimiters can be changed, not turned off: a sequence that no template holds leaves `{#` as text.
pub(super) const COMMENT_START: &str = "\u{10FFFE}\u{10FFFF}\u{10FFFE}";
const COMMENT_END: &str = "\u{10FFFF}\u{10FFFE}\u{10FFFF}";
/// How the formatter says that null was printed.
pub(super) const NULL_PRINTED: &str = "null was printed";

/// The filter that lets an operator, a filter or a test work on a message as on its text.
pub(super) const AS_TEXT: &str = "__text";
/// The filter that gives what would be printed, for `~`.
pub(super) const AS_PRINTED: &str = "__printed";
/// A name without a value: what a missing `else` gives.
pub(super) const MISSING: &str = "__missing";

/// The functions that templates have.
pub(super) const FUNCTIONS: [&str; 5] = ["range", "dict", "namespace", "cycler", "joiner"];
/// The filters that templates have.
#[rustfmt::skip]
pub(super) const FILTERS: [&str; 48] = [
    "safe", "escape", "e", "lower", "upper", "title", "capitalize", "replace", "length", "count", "dictsort",
    "items", "reverse", "trim", "join", "split", "lines", "default", "d", "round", "abs", "int", "float", "attr",
    "first", "last", "min", "max", "sort", "list", "string", "bool", "batch", "slice", "sum", "indent", "select",
    "reject", "selectattr", "rejectattr", "map", "groupby", "unique", "chain", "zip", "pprint", "format", "tojson",
];
/// The tests (`is …`) that templates have.
#[rustfmt::skip]
pub(super) const TESTS: [&str; 38] = [
    "undefined", "defined", "none", "safe", "escaped", "boolean", "odd", "even", "divisibleby", "number", "integer",
    "int", "float", "string", "sequence", "iterable", "mapping", "startingwith", "endingwith", "lower", "upper",
    "sameas", "eq", "equalto", "ne", "lt", "lessthan", "le", "gt", "greaterthan", "ge", "in", "true", "false",
    "filter", "test", "==", "!=",
];

/// Additions to a template's text that the reader never sees, with the places where they go.
#[derive(Clone, Debug, Default)]
pub(super) struct Edits(Vec<(usize, &'static str)>);

impl Edits {
    /// Adds `text` at `at`; of two at one place the first added stands first.
    pub(super) fn insert(&mut self, at: usize, text: &'static str) {
        self.0.push((at, text));
    }

    /// Puts the additions in order.
    pub(super) fn sort(&mut self) {
        self.0.sort_by_key(|(at, _)| *at);
    }

    /// `text` with the additions.
    pub(super) fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.0.is_empty() {
            return text.into();
        }
        let mut out = String::with_capacity(text.len() + self.0.len() * 16);
        let mut from = 0;
        for (at, added) in &self.0 {
            out.push_str(text.get(from..*at).unwrap_or_default());
            out.push_str(added);
            from = *at;
        }
        out.push_str(text.get(from..).unwrap_or_default());
        out.into()
    }

    /// A range of the text with additions as a range of the text as written.
    pub(super) fn original(&self, range: Range<usize>) -> Range<usize> {
        let back = |at: usize| {
            let mut shift = 0;
            for (place, added) in &self.0 {
                if place + shift >= at {
                    break;
                }
                // A place within an addition counts as the place where it was added.
                shift += added.len().min(at - place - shift);
            }
            at - shift
        };
        back(range.start)..back(range.end)
    }
}

/// A message of minijinja's without the names that only the additions use.
pub(super) fn without_additions(detail: &str) -> String {
    detail.replace(&format!("|{AS_TEXT}"), "").replace(&format!("|{AS_PRINTED}"), "")
}

/// The syntax: Jinja's, without comments, and blocks that leave no blank lines.
pub(super) fn syntax() -> SyntaxConfig {
    static SYNTAX: OnceLock<SyntaxConfig> = OnceLock::new();
    let build = || {
        SyntaxConfig::builder()
            .comment_delimiters(COMMENT_START, COMMENT_END)
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true)
            .build()
            .unwrap_or_default()
    };
    SYNTAX.get_or_init(build).clone()
}

/// The environment without a template, made once.
pub(super) fn base() -> &'static Environment<'static> {
    static BASE: OnceLock<Environment<'static>> = OnceLock::new();
    BASE.get_or_init(|| {
        let mut env = Environment::new();
        env.set_syntax(syntax());
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        env.set_formatter(print);
        env.set_debug(true);
        env.set_fuel(Some(FUEL));
        env.set_recursion_limit(200);
        env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        env.remove_global("debug");
        env.add_function("cycler", minijinja_contrib::globals::cycler);
        env.add_function("joiner", minijinja_contrib::globals::joiner);
        env.add_filter(AS_TEXT, as_text);
        env.add_filter(AS_PRINTED, as_printed);
        env.add_filter("string", as_printed);
        env.add_filter("tojson", to_json);
        env
    })
}

/// An environment with the template `text` in it.
pub(super) fn load(text: &str, edits: &Edits) -> Result<Environment<'static>, TemplateError> {
    let mut env = base().clone();
    env.add_template_owned(NAME, edits.apply(text).into_owned()).map_err(|e| error::compile_time(&e, text, edits))?;
    Ok(env)
}

/// The values of the names that a template uses. What is missing stays undefined.
pub(super) fn context(names: &[NameUse], scope: &dyn Scope) -> Inner {
    let mut found = IndexMap::new();
    for name in names.iter().map(NameUse::name) {
        if !found.contains_key(name)
            && let Some(value) = scope.get(name)
        {
            found.insert(name.to_owned(), value);
        }
    }
    convert::to_engine(&Value::Map(Arc::new(found)))
}

fn wrong(why: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}

/// Prints a value: text as it is, lists, maps and booleans as JSON, never null.
fn print(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Inner) -> Result<(), Error> {
    let text = as_printed_text(state, value)?;
    out.write_str(&text).map_err(Error::from)
}

fn as_printed_text(state: &State<'_, '_>, value: &Inner) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let text = convert::printed(value).map_err(|why| wrong(format!("the value {why}")))?;
    let text = text.ok_or_else(|| wrong(NULL_PRINTED))?;
    // What is printed costs as many steps as keep it within the most that a template may give.
    state.consume_fuel(FUEL.saturating_mul(text.len() as u64) / MOST_OUTPUT as u64)?;
    Ok(text)
}

fn as_text(value: Inner) -> Inner {
    match value.downcast_object_ref::<MessageObject>() {
        Some(m) => Inner::from(m.0.text.as_str()),
        None => value,
    }
}

fn as_printed(state: &State<'_, '_>, value: Inner) -> Result<Inner, Error> {
    match value.as_str().is_some() || value.is_undefined() {
        true => Ok(value),
        false => Ok(Inner::from(as_printed_text(state, &value)?)),
    }
}

/// `tojson`, without the escapes that HTML wants.
fn to_json(
    state: &State<'_, '_>,
    value: Inner,
    indent: Option<Inner>,
    more: minijinja::value::Kwargs,
) -> Result<Inner, Error> {
    let indent = match indent {
        Some(given) => Some(given),
        None => more.get::<Option<Inner>>("indent")?,
    };
    more.assert_all_used()?;
    let json = convert::from_engine(&value).map_err(|why| wrong(format!("the value {why}")))?.to_json();
    let text = match indent.filter(Inner::is_true) {
        None => json.to_string(),
        Some(width) => {
            let width = if width.is_number() { width.as_usize().unwrap_or(2).min(16) } else { 2 };
            pretty(&json, width)?
        }
    };
    state.consume_fuel(text.len() as u64 / 4)?;
    Ok(Inner::from(text))
}

fn pretty(json: &serde_json::Value, width: usize) -> Result<String, Error> {
    use serde::Serialize;
    let indent = " ".repeat(width);
    let mut out = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    json.serialize(&mut serde_json::Serializer::with_formatter(&mut out, format)).map_err(|e| wrong(e.to_string()))?;
    String::from_utf8(out).map_err(|e| wrong(e.to_string()))
}
