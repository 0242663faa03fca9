//! Models as files and the command line describe them: every option checked against the provider's description.

mod options;

use indexmap::IndexMap;

use super::cell::OptionCell;
use super::declarations::Named;
use super::lower::Lowerer;
use super::names::Found;
use super::{ModelEntry, ModelId};
use crate::config::Origin;
use crate::diag::{Code, Diagnostic};
use crate::providers::{self, OptionValue};
use crate::source::Span;
use crate::syntax::ast::{Arg, Operand, OperandKind, Path, Pipeline};
use crate::value::Value;

/// The model that a run uses where nobody names one.
pub const DEFAULT_MODEL: &str = "smollm2:135m";

/// Where an expression of a model stands: whose paths its paths are relative to.
#[derive(Clone)]
struct Stand {
    origin: Origin,
    /// Where variables and declared models may be read: in a file, not on the command line.
    in_file: bool,
}

impl Lowerer<'_> {
    /// Whether a name stands for a model here.
    pub(super) fn is_model_name(&self, path: &Path) -> bool {
        let name = path.text();
        match self.find(&name) {
            Some(found) => matches!(found.named, Named::Model(_)),
            None => name == "llm" || providers::find(&name).is_some() || name == "local",
        }
    }

    /// Reports overrides of models that the file does not declare.
    pub(super) fn check_overrides(&mut self) {
        let settings = self.settings;
        for change in &settings.overrides {
            let Some(name) = &change.name else {
                let stand = Stand { origin: change.origin.clone(), in_file: false };
                self.model_pipeline("llm", &change.pipeline, &stand);
                continue;
            };
            if name.name == "llm" || self.find(&name.name).is_some_and(|f| matches!(f.named, Named::Model(_))) {
                continue;
            }
            let names = self.model_names();
            let diagnostic =
                Diagnostic::error(Code::E301, name.span, format!("the file declares no model `{}`", name.name));
            let diagnostic = match names.iter().find(|n| n.rsplit('.').next() == Some(&name.name)) {
                Some(library) => diagnostic.help(format!("did you mean `{library}`?")),
                None => diagnostic.did_you_mean(&name.name, names.iter().map(String::as_str)),
            };
            let diagnostic = diagnostic.help(format!("it declares: {}", super::prompts::list(&names)));
            self.error(diagnostic);
        }
    }

    /// The models that an operand of a stage names, in the order in which they are tried.
    pub(super) fn model_choices(&mut self, operand: &Operand) -> Option<Vec<ModelId>> {
        let stand = Stand { origin: Origin::File(self.sources.place(operand.span)), in_file: true };
        self.model_operand(operand, "", &stand)
    }

    /// What the models of a name are kept under. The default model is the same in every file.
    pub(super) fn model_key(&self, name: &str) -> String {
        self.find(name).map_or_else(|| name.to_owned(), |f| format!("{}:{}", f.file, f.name))
    }

    /// The models of a declared name.
    pub(super) fn declared_model(&mut self, name: &str, span: Span) -> Option<Vec<ModelId>> {
        let found = self.find(name);
        let key = self.model_key(name);
        if let Some(ids) = self.model_ids.get(&key) {
            return (!ids.is_empty()).then(|| ids.clone());
        }
        // A model that names itself finds itself here, without models.
        self.model_ids.insert(key.clone(), Vec::new());
        let settings = self.settings;
        let change = settings.overrides.iter().rev().find(|o| match (&o.name, &found) {
            (Some(n), Some(found)) => {
                self.find_in(self.main, &n.name).is_some_and(|f| (f.file, f.name) == (found.file, found.name))
            }
            (Some(n), None) => n.name == name,
            (None, found) => name == "llm" && found.is_none(),
        });
        let ids = match (change, found) {
            (Some(change), _) => {
                let stand = Stand { origin: change.origin.clone(), in_file: false };
                self.model_pipeline(name, &change.pipeline, &stand)
            }
            (None, Some(Found { file, name: own, span: place, named: Named::Model(body) })) => {
                let stand = Stand { origin: Origin::File(self.sources.place(place)), in_file: true };
                let circle = self.key(file, own);
                if self.circle(&circle, span) {
                    return None;
                }
                self.using.push((circle, span));
                let ids = self.inside(file, name, span, |s| s.model_pipeline(own, body, &stand));
                self.using.pop();
                ids
            }
            (None, _) => self.default_model(span).map(|id| vec![id]),
        };
        self.model_ids.insert(key, ids.clone().unwrap_or_default());
        ids
    }

    fn default_model(&mut self, span: Span) -> Option<ModelId> {
        let Some(spec) = providers::find("local") else {
            let diagnostic =
                Diagnostic::error(Code::E206, span, "this build has no `local` provider, so `llm` must be named")
                    .help("`--model ollama:llama3.2`, or `model llm = …` in the file");
            self.error(diagnostic);
            return None;
        };
        let argument = OptionCell::Constant(OptionValue::Value(Value::from(DEFAULT_MODEL)));
        Some(self.add_model(ModelEntry {
            name: "llm".to_owned(),
            spec,
            argument: Some((argument, span)),
            options: IndexMap::new(),
            span,
            origin: Origin::Default,
            base: self.base().to_path_buf(),
        }))
    }

    fn add_model(&mut self, entry: ModelEntry) -> ModelId {
        self.models.push(entry);
        ModelId(self.models.len() as u32 - 1)
    }

    fn model_pipeline(&mut self, name: &str, pipeline: &Pipeline, stand: &Stand) -> Option<Vec<ModelId>> {
        let operands = match pipeline.stages.as_slice() {
            [stage] if stage.alias.is_none() => &stage.operands,
            _ => {
                let diagnostic =
                    Diagnostic::error(Code::E207, pipeline.span, "a model is a call or a name, not a pipeline")
                        .help("as in `ollama(\"mistral\")`, or `a ?? b`");
                self.error(diagnostic);
                return None;
            }
        };
        let mut all = Vec::new();
        let mut fine = true;
        for operand in operands {
            match self.model_operand(operand, name, stand) {
                Some(ids) => all.extend(ids),
                None => fine = false,
            }
        }
        fine.then_some(all)
    }

    fn model_operand(&mut self, operand: &Operand, name: &str, stand: &Stand) -> Option<Vec<ModelId>> {
        let (path, args) = match &operand.kind {
            OperandKind::Call { path, args } => (path, args.as_deref()),
            OperandKind::Group(inner) => return self.model_pipeline(name, inner, stand),
            _ => {
                let diagnostic =
                    Diagnostic::error(Code::E207, operand.span, "a model is a call of a provider or a name")
                        .help("as in `ollama(\"mistral\")`");
                self.error(diagnostic);
                return None;
            }
        };
        let callee = path.text();
        match self.find(&callee) {
            Some(Found { named: Named::Model(_), .. }) => return self.changed_model(&callee, path.span, args, stand),
            Some(Found { named: Named::Unreadable, .. }) => return None,
            Some(Found { span: other, named, .. }) => {
                let message = format!("`{callee}` is a {}, not a model", named.kind());
                self.error(Diagnostic::error(Code::E207, path.span, message).also(other, "declared here"));
                return None;
            }
            None if self.reports_member(&callee, path.span) => return None,
            None if callee == "llm" => return self.changed_model("llm", path.span, args, stand),
            None => {}
        }
        let Some(spec) = providers::find(&callee) else {
            let diagnostic = self.unknown_provider(&callee, path.span);
            self.error(diagnostic);
            return None;
        };
        let Some(args) = args else {
            let message = format!("`{callee}` is a provider, which wants brackets");
            let help = format!("write `{callee}({})`", if spec.argument_required { "\"…\"" } else { "…" });
            self.error(Diagnostic::error(Code::E207, path.span, message).help(help));
            return None;
        };
        let name = if name.is_empty() { callee.clone() } else { name.to_owned() };
        let base = if stand.in_file { self.base().to_path_buf() } else { self.settings.cwd.clone() };
        let mut entry = ModelEntry {
            name,
            spec,
            argument: None,
            options: IndexMap::new(),
            span: operand.span,
            origin: stand.origin.clone(),
            base,
        };
        let fine = self.options(&mut entry, args, stand);
        let enough = spec.instead.iter().any(|name| entry.options.contains_key(name));
        if fine && entry.argument.is_none() && spec.argument_required && !enough {
            let message = format!("`{callee}` needs its {}", spec.argument.name);
            let help = format!("as in `{callee}(\"…\")`: {}", spec.argument.doc);
            let mut diagnostic = Diagnostic::error(Code::E210, operand.span, message).help(help);
            for name in spec.instead {
                let doc = spec.option(name).map_or("", |o| o.doc);
                diagnostic = diagnostic.help(format!("or `{callee}({name}: \"…\")`: {doc}"));
            }
            self.error(diagnostic);
            return None;
        }
        fine.then(|| vec![self.add_model(entry)])
    }

    fn unknown_provider(&self, name: &str, span: Span) -> Diagnostic {
        if name == "local" {
            return Diagnostic::error(Code::E206, span, "this build has no `local` provider")
                .help("build chainrun with the feature `local`, which is on by default");
        }
        let models = self.declarations.named.iter().filter(|(_, (_, n))| matches!(n, Named::Model(_))).map(|(n, _)| *n);
        let known: Vec<&str> = providers::PROVIDERS.iter().map(|s| s.name).collect();
        Diagnostic::error(Code::E206, span, format!("there is no provider or model `{name}`"))
            .did_you_mean(name, known.iter().copied().chain(models))
            .help(format!("providers are: {}", known.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")))
    }

    /// A declared model, with other options where it is called with some.
    fn changed_model(&mut self, name: &str, span: Span, args: Option<&[Arg]>, stand: &Stand) -> Option<Vec<ModelId>> {
        let ids = self.declared_model(name, span)?;
        let Some(args) = args.filter(|a| !a.is_empty()) else { return Some(ids) };
        let mut out = Vec::with_capacity(ids.len());
        for id in ids {
            let mut entry = self.models[id.0 as usize].clone();
            let kept = std::mem::take(&mut entry.options);
            if let Some(arg) = args.iter().find(|a| a.name.is_none()) {
                let message = format!("`{name}` is declared already: here it takes options by name alone");
                self.error(
                    Diagnostic::error(Code::E210, arg.span, message).help(format!("as in `{name}(temperature: 0)`")),
                );
                return None;
            }
            if !self.options(&mut entry, args, stand) {
                return None;
            }
            for (key, value) in kept {
                entry.options.entry(key).or_insert(value);
            }
            out.push(self.add_model(entry));
        }
        Some(out)
    }
}
