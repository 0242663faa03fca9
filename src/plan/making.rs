//! Models and embedders of a plan: their options filled in, their providers made.

use std::sync::Arc;

use indexmap::IndexMap;

use super::cell::{OptionCell, Resolve};
use super::values::convert;
use super::{ModelEntry, ModelId, Plan, Ref};
use crate::config::{Context, Setting};
use crate::diag::{Code, Diagnostic, Severity};
use crate::providers::{self, Embedder, ErrorKind, ModelConfig, OptionKind, OptionValue, Provider, ProviderError};
use crate::source::Span;
use crate::store::Store;
use crate::value::{Secret, Value};

/// The providers of a plan's models.
pub struct Models {
    /// A configuration for each model of the plan.
    pub configs: Vec<ModelConfig>,
    /// A provider for each.
    pub providers: Vec<Arc<dyn Provider>>,
    /// A configuration and an embedder for each embedder of the plan.
    pub embedders: Vec<(ModelConfig, Arc<dyn Embedder>)>,
    /// Secrets that nothing may print.
    pub secrets: Arc<[Secret]>,
    /// Where answers are kept that a model says `cache: true` of.
    pub cache: Store,
    /// Where the vectors of indexes are kept.
    pub vectors: Store,
}

/// Variables alone, for options of models.
struct Variables<'a>(&'a [Value]);

impl Resolve for Variables<'_> {
    fn resolve(&self, reference: &Ref) -> Option<Value> {
        match reference {
            Ref::Variable(i) => self.0.get(*i).cloned(),
            _ => None,
        }
    }
}

/// How models are made.
pub struct Making<'m> {
    /// What stands in the place of a model: nothing of that model is read then.
    pub stands_in: &'m dyn Fn(ModelId) -> Option<(ModelConfig, Arc<dyn Provider>)>,
    /// What changes in a model's configuration before it is made.
    pub change: &'m dyn Fn(&mut ModelConfig),
    /// Whether what a model lacks (a secret, say) fails its first call, and not the making: it may never be called.
    pub lenient: bool,
}

impl Default for Making<'_> {
    fn default() -> Self {
        Self { stands_in: &|_| None, change: &|_| {}, lenient: false }
    }
}

/// Fills in the options of every model and makes its provider. No socket is opened.
///
/// # Errors
/// Options that do not fit, secrets that are missing, what a provider cannot be made of.
pub fn build_models(plan: &Plan, variables: &[Value], context: &Arc<Context>) -> Result<Models, Vec<Diagnostic>> {
    build_models_so(plan, variables, context, &Making::default())
}

/// The same, in the way that `making` says.
///
/// # Errors
/// As [`build_models`].
pub fn build_models_so(
    plan: &Plan,
    variables: &[Value],
    context: &Arc<Context>,
    making: &Making<'_>,
) -> Result<Models, Vec<Diagnostic>> {
    let mut wrong = Vec::new();
    let (mut configs, mut providers) = (Vec::new(), Vec::new());
    let mut embedders = Vec::new();
    let mut secrets: Vec<Secret> = Vec::new();
    for (i, entry) in plan.models.iter().enumerate() {
        if let Some((config, provider)) = (making.stands_in)(ModelId(i as u32)) {
            configs.push(config);
            providers.push(provider);
            continue;
        }
        match ready(plan, entry, variables, context, making, &mut secrets, providers::build, providers::sealed) {
            Ok((config, provider)) => {
                secrets.extend(provider.secrets());
                configs.push(config);
                providers.push(provider);
            }
            Err(diagnostic) => wrong.push(*diagnostic),
        }
    }
    for entry in &plan.embedders {
        let (build, sealed) = (providers::build_embedder, providers::sealed_embedder);
        match ready(plan, entry, variables, context, making, &mut secrets, build, sealed) {
            Ok((config, embedder)) => {
                secrets.extend(embedder.secrets());
                embedders.push((config, embedder));
            }
            Err(diagnostic) => wrong.push(*diagnostic),
        }
    }
    // One may hold another: the longest is taken out first.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
    let cache = Store::new(context.cache_dir.clone());
    let vectors = Store::new(context.vectors_dir());
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(Models { configs, providers, embedders, secrets: secrets.into(), cache, vectors })
}

/// A model or embedder with its configuration. A lenient making gives one that fails when it is called in the place of
/// one that lacks something.
#[allow(clippy::too_many_arguments, reason = "models and embedders are made in the same way by functions of their own")]
fn ready<T: ?Sized>(
    plan: &Plan,
    entry: &ModelEntry,
    variables: &[Value],
    context: &Arc<Context>,
    making: &Making<'_>,
    secrets: &mut Vec<Secret>,
    build: Build<T>,
    sealed: fn(ProviderError) -> Arc<T>,
) -> Result<(ModelConfig, Arc<T>), Box<Diagnostic>> {
    let mut of = |entry: &ModelEntry| {
        let mut config = config(&plan.secrets, entry, variables, context, secrets)?;
        (making.change)(&mut config);
        Ok::<_, Box<Diagnostic>>(config)
    };
    let lacking = match of(entry) {
        Ok(config) => match made(entry, &config, context, build) {
            Ok(made) => return Ok((config, made)),
            Err(lacking) => lacking,
        },
        Err(lacking) => lacking,
    };
    if !making.lenient {
        return Err(lacking);
    }
    // A secret that is not set counts as given for what else the configuration says.
    let mut unread = entry.clone();
    for option in unread.options.values_mut() {
        if matches!(&option.cell, OptionCell::Secret(name) if context.var(name).is_none()) {
            option.cell = OptionCell::Constant(OptionValue::Secret(Secret::new("unread")));
        }
    }
    let Ok(config) = of(&unread) else { return Err(lacking) };
    let error = ProviderError::new(ErrorKind::Refused, lacking.message.clone());
    let error = lacking.help.iter().fold(error, |error, line| error.help(line.clone()));
    Ok((config, sealed(error)))
}

/// The provider of a model whose options need no variable; none for another. A secret counts as given: its value is not
/// read.
pub fn fixed_provider(entry: &ModelEntry, context: &Arc<Context>) -> Option<Fixed<dyn Provider>> {
    fixed(entry, context, providers::build)
}

/// The same of an embedder.
pub fn fixed_embedder(entry: &ModelEntry, context: &Arc<Context>) -> Option<Fixed<dyn Embedder>> {
    fixed(entry, context, providers::build_embedder)
}

/// What options that need no variable make, or why they make nothing.
pub type Fixed<T> = Result<Arc<T>, Box<Diagnostic>>;

/// What makes something of a checked configuration.
type Build<T> = fn(&ModelConfig, &Arc<Context>) -> Result<Arc<T>, ProviderError>;

fn fixed<T: ?Sized>(entry: &ModelEntry, context: &Arc<Context>, build: Build<T>) -> Option<Fixed<T>> {
    let fixed = |cell: &OptionCell| matches!(cell, OptionCell::Constant(_) | OptionCell::Secret(_));
    if !entry.argument.iter().all(|(c, _)| fixed(c)) || !entry.options.values().all(|o| fixed(&o.cell)) {
        return None;
    }
    let mut entry = entry.clone();
    for option in entry.options.values_mut().filter(|o| matches!(o.cell, OptionCell::Secret(_))) {
        option.cell = OptionCell::Constant(OptionValue::Secret(Secret::new("unread")));
    }
    let made =
        config(&[], &entry, &[], context, &mut Vec::new()).and_then(|config| made(&entry, &config, context, build));
    Some(made)
}

/// What is wrong with models and embedders whose options do not go together.
pub fn refused_models(models: &[ModelEntry], embedders: &[ModelEntry], context: &Arc<Context>) -> Vec<Diagnostic> {
    let made = models.iter().filter_map(|entry| fixed_provider(entry, context)?.err());
    made.chain(embedders.iter().filter_map(|entry| fixed_embedder(entry, context)?.err())).map(|d| *d).collect()
}

fn made<T: ?Sized>(entry: &ModelEntry, config: &ModelConfig, context: &Arc<Context>, build: Build<T>) -> Fixed<T> {
    build(config, context).map_err(|e| {
        let span = entry.argument.as_ref().map_or(entry.span, |(_, s)| *s);
        let diagnostic = Diagnostic::error(Code::E209, span, e.message);
        Box::new(e.help.into_iter().fold(diagnostic, Diagnostic::help))
    })
}

fn config(
    declared: &[(String, Span)],
    entry: &ModelEntry,
    variables: &[Value],
    context: &Arc<Context>,
    secrets: &mut Vec<Secret>,
) -> Result<ModelConfig, Box<Diagnostic>> {
    let mut argument = None;
    if let Some((cell, span)) = &entry.argument
        && let OptionValue::Value(value) = option(
            declared,
            cell,
            entry.spec.argument.name,
            entry.spec.argument.kind,
            *span,
            variables,
            context,
            secrets,
        )?
    {
        argument = Some(value);
    }
    let mut options = IndexMap::new();
    for (name, given) in &entry.options {
        let kind = entry.spec.option(name).map_or(OptionKind::Any, |o| o.kind);
        let value = option(declared, &given.cell, name, kind, given.span, variables, context, secrets)?;
        options.insert(*name, Setting { value, origin: given.origin.clone() });
    }
    Ok(ModelConfig { spec: entry.spec, name: entry.name.clone(), argument, options, base: entry.base.clone() })
}

#[allow(clippy::too_many_arguments, reason = "an option's value needs its kind, its place and where values come from")]
fn option(
    declared: &[(String, Span)],
    cell: &OptionCell,
    name: &str,
    kind: OptionKind,
    span: Span,
    variables: &[Value],
    context: &Arc<Context>,
    secrets: &mut Vec<Secret>,
) -> Result<OptionValue, Box<Diagnostic>> {
    let value = match cell {
        OptionCell::Constant(value) => return Ok(value.clone()),
        OptionCell::Secret(secret) => {
            let Some(text) = context.var(secret) else {
                let declared = declared.iter().find(|(n, _)| n == secret).map(|(_, s)| *s);
                let message = format!("the secret `{secret}` is not set in the environment");
                let mut diagnostic = Diagnostic::error(Code::E302, span, message);
                if let Some(declared) = declared {
                    diagnostic = diagnostic.also(declared, "declared here");
                }
                return Err(Box::new(diagnostic.help(format!("set it: `export {secret}=…`"))));
            };
            let secret = Secret::new(text.trim());
            secrets.push(secret.clone());
            return Ok(OptionValue::Secret(secret));
        }
        OptionCell::Template(rendering) => {
            let rendered = rendering.render(&Variables(variables))?;
            Value::from(rendered.segments.iter().map(|s| s.text.as_str()).collect::<String>())
        }
        OptionCell::Expression(evaluation) => evaluation.eval(&Variables(variables))?,
    };
    convert(value, kind)
        .map_err(|e| Box::new(Diagnostic::new(Severity::Error, Code::E209, Some(span), format!("`{name}` {e}"))))
}
