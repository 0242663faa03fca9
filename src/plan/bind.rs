//! Binding: variables get their values, models their providers. After it nothing is missing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::cell::{OptionCell, Resolve};
use super::values::convert;
use super::{ModelEntry, ModelId, Plan, Ref, Variable};
use crate::config::{Context, Setting};
use crate::diag::{Code, Diagnostic, Severity};
use crate::providers::{self, Embedder, ErrorKind, ModelConfig, OptionKind, OptionValue, Provider, ProviderError};
use crate::source::Span;
use crate::store::Store;
use crate::value::{Role, Secret, Type, TypeError, Value};

/// A value given for a variable.
pub struct Given {
    /// The variable.
    pub name: String,
    /// Where its name stands on the command line or in a file.
    pub name_span: Span,
    /// The value.
    pub value: GivenValue,
    /// Where the value stands.
    pub value_span: Span,
}

/// A value as it was given.
pub enum GivenValue {
    /// Text, read by the variable's type.
    Text(String),
    /// A value that is read already.
    Value(Value),
    /// A file's text, with its path as given: for a list or map the format follows from the name.
    File(PathBuf, String),
    /// A folder or a pattern of files, for documents, and the folder that it is relative to.
    Files(PathBuf, String),
}

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

/// Gives every variable its value: the given one, else its default.
///
/// # Errors
/// Unknown names, values that do not fit, variables that are read and have none.
pub fn bind(plan: &Plan, given: &[Given]) -> Result<Vec<Value>, Vec<Diagnostic>> {
    let mut wrong = Vec::new();
    let mut values: Vec<Option<Value>> = vec![None; plan.variables.len()];
    let mut first: IndexMap<&str, Span> = IndexMap::new();
    for item in given {
        if let Some(before) = first.insert(&item.name, item.name_span) {
            let message = format!("the variable `{}` is given twice", item.name);
            wrong.push(Diagnostic::error(Code::E201, item.name_span, message).also(before, "first given here"));
            continue;
        }
        let mut known = false;
        for (i, variable) in plan.variables.iter().enumerate().filter(|(_, v)| v.name == item.name) {
            known = true;
            match value_of(variable, &item.value) {
                Ok(value) => values[i] = Some(value),
                Err(e) => {
                    let diagnostic = unfit(variable, &e, item.value_span);
                    wrong.push(diagnostic);
                }
            }
        }
        if !known {
            wrong.push(unknown(plan, item));
        }
    }
    let mut out = Vec::with_capacity(values.len());
    for (variable, value) in plan.variables.iter().zip(values) {
        match value.or_else(|| variable.default.clone()) {
            Some(value) => out.push(value),
            None if matches!(variable.ty, Type::Optional(_)) || !variable.used => out.push(Value::Null),
            None if wrong.iter().any(|d| d.code == Code::E303 && d.labels.iter().any(|l| l.span == variable.span)) => {
                out.push(Value::Null);
            }
            None => {
                wrong.push(missing(variable));
                out.push(Value::Null);
            }
        }
    }
    if wrong.is_empty() { Ok(out) } else { Err(wrong) }
}

fn unfit(variable: &Variable, error: &TypeError, span: Span) -> Diagnostic {
    let message = format!("the value of `{}` does not fit its type: {error}", variable.name);
    Diagnostic::error(Code::E303, span, message).also(variable.span, format!("declared as {}", variable.ty))
}

fn unknown(plan: &Plan, item: &Given) -> Diagnostic {
    let names: Vec<String> = plan.variables.iter().map(|v| v.name.clone()).collect();
    let diagnostic =
        Diagnostic::error(Code::E301, item.name_span, format!("the chain has no variable `{}`", item.name))
            .did_you_mean(&item.name, names.iter().map(String::as_str));
    if names.is_empty() {
        diagnostic.help("it reads no variables at all")
    } else {
        diagnostic.help(format!("its variables are: {}", super::prompts::list(&names)))
    }
}

fn missing(variable: &Variable) -> Diagnostic {
    let name = &variable.name;
    let mut diagnostic = Diagnostic::error(Code::E302, variable.span, format!("the variable `{name}` has no value"))
        .label(if variable.inferred { "read here" } else { "declared here" });
    if let Some(near) = &variable.resembles {
        diagnostic = diagnostic.help(format!("`{near}` is in reach here: did you mean that?"));
    }
    let example = match &variable.ty {
        Type::Int => "3",
        Type::Float => "0.5",
        Type::Bool => "true",
        Type::List(_) => "@items.yaml",
        _ => "…",
    };
    diagnostic.help(format!("give it: `--var {name}={example}`"))
}

fn value_of(variable: &Variable, given: &GivenValue) -> Result<Value, TypeError> {
    let value = match given {
        GivenValue::Text(text) => from_text(&variable.ty, text)?,
        GivenValue::Value(value) => variable.ty.accept(value)?,
        GivenValue::File(path, text) => of_file(&variable.ty, path, text)?,
        GivenValue::Files(cwd, written) => {
            let wrong = |found: String, help: Option<&str>| TypeError {
                path: String::new(),
                expected: variable.ty.to_string(),
                found,
                help: help.map(str::to_owned),
            };
            if !is_documents(&variable.ty) {
                let help = "folders and patterns of files are for variables of type `[Document]`";
                return Err(wrong(format!("the files of `{written}`"), Some(help)));
            }
            super::documents::named(cwd, written).map_err(|e| wrong(e, None))?
        }
    };
    no_system_message(&value)?;
    Ok(value)
}

/// A file as a value: data where a list or map is asked for, else its text.
fn of_file(ty: &Type, path: &Path, text: &str) -> Result<Value, TypeError> {
    match ty {
        Type::Optional(of) => of_file(of, path, text),
        ty if is_documents(ty) && super::data::end(path).is_none() && path != Path::new("-") => {
            let document = super::documents::document(&path.display().to_string(), text.to_owned());
            Ok(Value::list(vec![document]))
        }
        Type::List(_) | Type::Map(_) | Type::Record(_) | Type::Recursive(_) => ty.accept(&from_file(path, text)?),
        _ => from_text(ty, text.strip_suffix('\n').map_or(text, |t| t.strip_suffix('\r').unwrap_or(t)))
            .or_else(|_| from_text(ty, text)),
    }
}

/// Whether a type is that of documents.
fn is_documents(ty: &Type) -> bool {
    match ty {
        Type::Optional(of) => is_documents(of),
        Type::List(of) => **of == Type::document(),
        _ => false,
    }
}

/// A history holds what was said: a frame for the model belongs into the file.
fn no_system_message(value: &Value) -> Result<(), TypeError> {
    let Value::List(items) = value else { return Ok(()) };
    match items.iter().position(|v| matches!(v, Value::Message(m) if m.role == Role::System)) {
        Some(i) => Err(TypeError {
            path: format!("[{i}]"),
            expected: "a message of user, assistant or tool".to_owned(),
            found: "one of system".to_owned(),
            help: Some("a `system` block of the prompt says it".to_owned()),
        }),
        None => Ok(()),
    }
}

/// Text from the command line as a value of a type. Lists and maps are written as YAML or JSON; of a union the first
/// alternative that fits counts.
///
/// # Errors
/// What does not fit.
pub fn from_text(ty: &Type, text: &str) -> Result<Value, TypeError> {
    let bad = |help: Option<&str>| TypeError {
        path: String::new(),
        expected: ty.to_string(),
        found: Value::from(text).show(60),
        help: help.map(str::to_owned),
    };
    let trimmed = text.trim();
    match ty {
        Type::Text | Type::Any => Ok(Value::from(text)),
        Type::Int => trimmed.parse().map(Value::Int).map_err(|_| bad(None)),
        Type::Float => match trimmed.parse::<f64>() {
            Ok(x) if x.is_finite() => Ok(Value::Float(x)),
            _ => Err(bad(None)),
        },
        Type::Bool => match trimmed {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(bad(Some("write true or false"))),
        },
        Type::Union(all) => {
            for part in all {
                if let Ok(value) = from_text(part, text) {
                    return Ok(value);
                }
            }
            ty.accept(&Value::from(text))
        }
        Type::Optional(of) => from_text(of, text),
        Type::Literal(literal) => {
            let value = match literal {
                crate::value::Literal::Text(_) => Value::from(text),
                crate::value::Literal::Int(_) => trimmed.parse().map(Value::Int).map_err(|_| bad(None))?,
                crate::value::Literal::Float(_) => trimmed.parse().map(Value::Float).map_err(|_| bad(None))?,
                crate::value::Literal::Bool(_) => from_text(&Type::Bool, text)?,
            };
            ty.accept(&value)
        }
        Type::List(_) | Type::Map(_) | Type::Record(_) | Type::Recursive(_) | Type::Message => ty.accept(&yaml(text)?),
        _ => ty.accept(&Value::from(text)),
    }
}

fn from_file(path: &Path, text: &str) -> Result<Value, TypeError> {
    super::data::read(path, text).map_err(|e| TypeError {
        path: String::new(),
        expected: "data".to_owned(),
        found: format!("a fault: {e}"),
        help: None,
    })
}

/// YAML, of which JSON is a part, as a value.
fn yaml(text: &str) -> Result<Value, TypeError> {
    match crate::config::yaml(text) {
        Ok(json) => Ok(Value::from_json(&json)),
        Err(e) => Err(TypeError {
            path: String::new(),
            expected: "YAML or JSON".to_owned(),
            found: e.lines().next().unwrap_or_default().to_owned(),
            help: Some("as in 'words=[a, b]'".to_owned()),
        }),
    }
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
