//! Templates and expressions: minijinja's language, made strict, with the place of every name.

mod convert;
mod direct;
mod engine;
mod error;
mod guard;
mod names;
mod walk;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

use std::ops::Range;
use std::sync::OnceLock;

use minijinja::Environment;

pub use error::TemplateError;
pub use names::{NameUse, PathPart};

use crate::value::{Segment, Tainted, Value};
use direct::Direct;
use engine::Edits;

/// Where a template's free names get their values.
pub trait Scope {
    /// The value of `name`.
    fn get(&self, name: &str) -> Option<Value>;

    /// The names that are in reach, for messages.
    fn names(&self) -> Vec<String>;
}

impl Scope for indexmap::IndexMap<String, Value> {
    fn get(&self, name: &str) -> Option<Value> {
        indexmap::IndexMap::get(self, name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// What a template gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rendered {
    /// The text, with what values printed kept apart; neighbours of one kind are merged.
    pub segments: Vec<Segment>,
    /// What each `{{ … }}` printed, in order, with its source.
    pub tainted: Vec<Tainted>,
}

impl Rendered {
    /// The whole text.
    pub fn text(&self) -> String {
        self.segments.iter().map(|s| s.text.as_str()).collect()
    }

    fn push(&mut self, text: &str, from_value: bool) {
        if text.is_empty() {
            return;
        }
        match self.segments.last_mut() {
            Some(last) if last.from_value == from_value => last.text.push_str(text),
            _ => self.segments.push(Segment { text: text.to_owned(), from_value }),
        }
    }
}

/// A string with `{{ … }}` and `{% … %}` in it, compiled.
#[derive(Debug)]
pub struct Template {
    text: String,
    names: Vec<NameUse>,
    bound: Vec<(String, Range<usize>)>,
    edits: Edits,
    /// Whether there is no template part at all.
    plain: bool,
    direct: Option<Direct>,
    /// Loaded when first needed, where there is a direct way: parsed, such a text has no fault that loading could find.
    engine: OnceLock<Environment<'static>>,
}

impl Template {
    /// Compiles `text`.
    ///
    /// # Errors
    /// The first fault, with its place in `text`.
    pub fn compile(text: &str) -> Result<Self, TemplateError> {
        let mut template = Template {
            text: text.to_owned(),
            names: Vec::new(),
            bound: Vec::new(),
            edits: Edits::default(),
            plain: true,
            direct: None,
            engine: OnceLock::new(),
        };
        if !text.contains("{{") && !text.contains("{%") {
            return Ok(template);
        }
        guard::check(text, false)?;
        let found = walk::template(text)?;
        (template.plain, template.direct) = (false, found.direct);
        (template.names, template.bound, template.edits) = (found.names, found.bound, found.edits);
        if template.direct.is_none() {
            template.engine()?;
        }
        Ok(template)
    }

    fn engine(&self) -> Result<&Environment<'static>, TemplateError> {
        match self.engine.get() {
            Some(engine) => Ok(engine),
            None => {
                let loaded = engine::load(&self.text, &self.edits)?;
                Ok(self.engine.get_or_init(|| loaded))
            }
        }
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every use of a free name, in the order in which they are read.
    pub fn names(&self) -> &[NameUse] {
        &self.names
    }

    /// The names that the template makes itself (`for`, `set`, `with`, `macro`), with their places.
    pub fn bound(&self) -> &[(String, Range<usize>)] {
        &self.bound
    }

    /// Whether the text has no template part at all.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whether the text is not empty whatever its values are, as far as that can be seen.
    pub fn always_says(&self) -> bool {
        match &self.direct {
            Some(direct) => direct.always_says(),
            None => self.plain && !self.text.trim().is_empty(),
        }
    }

    /// Renders the template.
    ///
    /// # Errors
    /// What fails first: an undefined name, a printed null, a filter that cannot take its value, a limit.
    pub fn render(&self, scope: &dyn Scope) -> Result<Rendered, TemplateError> {
        if self.plain {
            let mut out = Rendered::default();
            out.push(&self.text, false);
            return Ok(out);
        }
        match self.direct.as_ref().and_then(|direct| direct.render(scope)) {
            Some(out) => Ok(out),
            None => self.engine_render(scope),
        }
    }

    fn engine_render(&self, scope: &dyn Scope) -> Result<Rendered, TemplateError> {
        let mut out = Rendered::default();
        let env = self.engine()?;
        let words = |e| error::run_time(&e, &self.text, &self.edits, &self.names, scope);
        let template = env.get_template(engine::NAME).map_err(words)?;
        let (text, spans) = template.render_with_spans(engine::context(&self.names, scope)).map_err(words)?;
        if text.len() > engine::MOST_OUTPUT {
            return Err(TemplateError::new("the template gives more than 64 MiB of text"));
        }
        let mut at = 0;
        for span in spans.iter().filter(|s| s.kind() == minijinja::OutputSpanKind::Expression) {
            let range = span.output_range();
            out.push(text.get(at..range.start).unwrap_or_default(), false);
            let printed = text.get(range.clone()).unwrap_or_default();
            out.push(printed, true);
            let source = self.text.get(self.edits.original(span.source_range()));
            let name = source.map(str::trim).filter(|s| !s.is_empty()).unwrap_or("a value");
            out.tainted.push(Tainted { name: name.to_owned(), text: printed.to_owned() });
            at = range.end;
        }
        out.push(text.get(at..).unwrap_or_default(), false);
        Ok(out)
    }
}

/// An expression on its own, compiled.
#[derive(Debug)]
pub struct Expression {
    text: String,
    names: Vec<NameUse>,
    path: Option<Vec<PathPart>>,
    literal: Option<Value>,
    edits: Edits,
    compiled: minijinja::Expression<'static, 'static>,
}

impl Expression {
    /// Compiles what stands between `{{` and `}}`.
    ///
    /// # Errors
    /// The first fault, with its place in `text`.
    pub fn compile(text: &str) -> Result<Self, TemplateError> {
        guard::check(text, true)?;
        let found = walk::expression(text)?;
        let compiled = engine::base()
            .compile_expression_owned(found.edits.apply(text).into_owned())
            .map_err(|e| error::compile_time(&e, text, &found.edits))?;
        Ok(Expression {
            text: text.to_owned(),
            names: found.names,
            path: found.path,
            literal: found.literal.and_then(|v| convert::from_engine(&v).ok()),
            edits: found.edits,
            compiled,
        })
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every use of a free name, in the order in which they are read.
    pub fn names(&self) -> &[NameUse] {
        &self.names
    }

    /// The path, where the whole expression is a name, a field or an index path.
    pub fn path(&self) -> Option<&[PathPart]> {
        self.path.as_deref()
    }

    /// The value, where the whole expression is a literal.
    pub fn literal(&self) -> Option<&Value> {
        self.literal.as_ref()
    }

    /// Evaluates the expression.
    ///
    /// # Errors
    /// What fails first; also a result that is undefined.
    pub fn eval(&self, scope: &dyn Scope) -> Result<Value, TemplateError> {
        // A path gives the very value that it leads to, a raw prompt as well, and costs no conversion.
        if let Some(value) = self.path.as_deref().and_then(|path| convert::follow(path, scope)) {
            return Ok(value);
        }
        let words = |e| error::run_time(&e, &self.text, &self.edits, &self.names, scope);
        let value = self.compiled.eval(engine::context(&self.names, scope)).map_err(words)?;
        if value.is_undefined() {
            return Err(error::undefined(self.text.trim(), None, &self.names, &self.text, scope));
        }
        convert::from_engine(&value).map_err(|why| TemplateError::new(format!("`{}` {why}", self.text.trim())))
    }
}
