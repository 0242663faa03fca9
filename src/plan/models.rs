//! Models and embedders as files and the command line describe them: every option checked against the provider's
//! description.

mod options;
mod sort;

use indexmap::IndexMap;

use super::cell::OptionCell;
use super::lower::Lowerer;
use super::names::Found;
use super::{EmbedderId, ModelEntry, ModelId};
use crate::config::Origin;
use crate::diag::{Code, Diagnostic};
use crate::providers::{self, OptionValue};
use crate::source::Span;
use crate::syntax::ast::{Arg, Operand, OperandKind, Path, Pipeline};
use crate::value::Value;
pub(super) use sort::Sort;

/// The model that a run uses where nobody names one.
pub const DEFAULT_MODEL: &str = "smollm2:135m";

/// Where an expression of a model stands: whose paths its paths are relative to.
#[derive(Clone)]
struct Stand {
    origin: Origin,
    /// Where variables and declared models may be read: in a file, not on the command line.
    in_file: bool,
    /// What is described.
    sort: Sort,
}

impl Lowerer<'_> {
    /// Whether a name stands for a model here.
    pub(super) fn is_model_name(&self, path: &Path) -> bool {
        let name = path.text();
        match self.find(&name) {
            Some(found) => Sort::of(found.named) == Some(Sort::Model),
            None => name == "llm" || providers::find(&name).is_some() || name == "local",
        }
    }

    /// Reports overrides of models and embedders that the file does not declare.
    pub(super) fn check_overrides(&mut self) {
        let settings = self.settings;
        for change in &settings.overrides {
            let Some(name) = &change.name else {
                let stand = Stand { origin: change.origin.clone(), in_file: false, sort: Sort::Model };
                self.model_pipeline("llm", &change.pipeline, &stand);
                continue;
            };
            if name.name == "llm" || self.find(&name.name).is_some_and(|f| Sort::of(f.named).is_some()) {
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
        let origin = Origin::File(self.sources.place(operand.span));
        self.model_operand(operand, "", &Stand { origin, in_file: true, sort: Sort::Model })
    }

    /// What the models of a name are kept under. The default model is the same in every file.
    pub(super) fn model_key(&self, name: &str) -> String {
        self.find(name).map_or_else(|| name.to_owned(), |f| format!("{}:{}", f.file, f.name))
    }

    /// The embedder that an argument of a stage names.
    pub(super) fn embedder(&mut self, argument: &Pipeline) -> Option<EmbedderId> {
        let origin = Origin::File(self.sources.place(argument.span));
        let ids = self.model_pipeline("", argument, &Stand { origin, in_file: true, sort: Sort::Embedder })?;
        ids.first().map(|id| EmbedderId(id.0))
    }

    /// The models, or the one embedder, of a declared name.
    pub(super) fn declared_model(&mut self, name: &str, span: Span, sort: Sort) -> Option<Vec<ModelId>> {
        let found = self.find(name);
        let key = self.model_key(name);
        let shown = found.map_or_else(|| name.to_owned(), |f| self.key(f.file, f.name));
        if self.circle(&shown, span) {
            return None;
        }
        if let Some(ids) = self.model_ids.get(&key) {
            return (!ids.is_empty()).then(|| ids.clone());
        }
        let settings = self.settings;
        let change = settings.overrides.iter().rev().find(|o| match (&o.name, &found) {
            (Some(n), Some(found)) => {
                self.find_in(self.main, &n.name).is_some_and(|f| (f.file, f.name) == (found.file, found.name))
            }
            (Some(n), None) => n.name == name,
            (None, found) => name == "llm" && found.is_none(),
        });
        self.using.push((shown, span));
        let ids = match (change, found) {
            (Some(change), _) => {
                let stand = Stand { origin: change.origin.clone(), in_file: false, sort };
                self.model_pipeline(name, &change.pipeline, &stand)
            }
            (None, Some(Found { file, name: own, span: place, named })) => {
                let stand = Stand { origin: Origin::File(self.sources.place(place)), in_file: true, sort };
                sort.body(named).and_then(|body| self.inside(file, name, span, |s| s.model_pipeline(own, body, &stand)))
            }
            (None, None) => self.default_model(span).map(|id| vec![id]),
        };
        self.using.pop();
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
        let entry = ModelEntry {
            name: "llm".to_owned(),
            spec,
            argument: Some((argument, span)),
            options: IndexMap::new(),
            span,
            origin: Origin::Default,
            base: self.base().to_path_buf(),
        };
        Some(self.add_model(entry, Sort::Model))
    }

    /// The models that were read, or the embedders.
    fn entries(&mut self, sort: Sort) -> &mut Vec<ModelEntry> {
        match sort {
            Sort::Model => &mut self.models,
            Sort::Embedder => &mut self.embedders,
        }
    }

    fn add_model(&mut self, entry: ModelEntry, sort: Sort) -> ModelId {
        let entries = self.entries(sort);
        entries.push(entry);
        ModelId(entries.len() as u32 - 1)
    }

    fn model_pipeline(&mut self, name: &str, pipeline: &Pipeline, stand: &Stand) -> Option<Vec<ModelId>> {
        let operands = match pipeline.stages.as_slice() {
            [stage] if stage.alias.is_none() => &stage.operands,
            _ => {
                let message = format!("{} is a call or a name, not a pipeline", stand.sort.a_noun());
                let help = format!("as in `{}`{}", stand.sort.example(), stand.sort.or_else());
                self.error(Diagnostic::error(Code::E207, pipeline.span, message).help(help));
                return None;
            }
        };
        if let (Sort::Embedder, [_, second, ..]) = (stand.sort, operands.as_slice()) {
            let diagnostic = Diagnostic::error(Code::E207, second.span, "an embedder has no `??`")
                .help("vectors of two embedders cannot be compared; `retry: 3` on the embedder tries again");
            self.error(diagnostic);
            return None;
        }
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
                let message = format!("{} is a call of a provider or a name", stand.sort.a_noun());
                let help = format!("as in `{}`", stand.sort.example());
                self.error(Diagnostic::error(Code::E207, operand.span, message).help(help));
                return None;
            }
        };
        let callee = path.text();
        match self.find(&callee) {
            Some(Found { named, .. }) if Sort::of(named) == Some(stand.sort) => {
                return self.changed_model(&callee, path.span, args, stand);
            }
            Some(Found { named, .. }) if named.is_unreadable() => return None,
            Some(Found { span: other, named, .. }) => {
                let message = format!("`{callee}` is {}, not {}", named.a_kind(), stand.sort.a_noun());
                let diagnostic = Diagnostic::error(Code::E207, path.span, message).also(other, "declared here");
                let help = match (stand.sort, Sort::of(named)) {
                    (Sort::Embedder, Some(_)) => "declare one that makes vectors: `embedder NAME = …`",
                    (Sort::Model, Some(_)) => "declare one that answers: `model NAME = …`",
                    _ => "",
                };
                self.error(if help.is_empty() { diagnostic } else { diagnostic.help(help) });
                return None;
            }
            None if self.reports_member(&callee, path.span) => return None,
            None if callee == "llm" && stand.sort == Sort::Model => {
                return self.changed_model("llm", path.span, args, stand);
            }
            None => {}
        }
        let Some(spec) = stand.sort.spec(&callee) else {
            let diagnostic = match stand.sort {
                Sort::Model => self.unknown_provider(&callee, path.span),
                Sort::Embedder => self.unknown_embedder(&callee, path.span),
            };
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
        fine.then(|| vec![self.add_model(entry, stand.sort)])
    }

    fn unknown_provider(&self, name: &str, span: Span) -> Diagnostic {
        if name == "local" {
            return Diagnostic::error(Code::E206, span, "this build has no `local` provider")
                .help("build chainrun with the feature `local`, which is on by default");
        }
        let models =
            self.declarations.named.iter().filter(|(_, (_, n))| Sort::of(n) == Some(Sort::Model)).map(|(n, _)| *n);
        let known: Vec<&str> = providers::PROVIDERS.iter().map(|s| s.name).collect();
        Diagnostic::error(Code::E206, span, format!("there is no provider or model `{name}`"))
            .did_you_mean(name, known.iter().copied().chain(models))
            .help(format!("providers are: {}", known.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")))
    }

    fn unknown_embedder(&self, name: &str, span: Span) -> Diagnostic {
        let known: Vec<&str> = providers::EMBEDDERS.iter().map(|s| s.name).collect();
        let all = known.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        if name == "local" {
            return Diagnostic::error(Code::E107, span, "`local` makes no vectors in this version of chainrun yet")
                .help("`ollama(\"all-minilm\")` makes them on this machine")
                .help("`--model NAME=EXPR` puts another embedder in the place of a declared one");
        }
        if providers::find(name).is_some() {
            return Diagnostic::error(Code::E206, span, format!("`{name}` makes no vectors"))
                .help(format!("embedders are: {all}"));
        }
        let declared = self.declarations.named.iter().filter(|(_, (_, n))| Sort::of(n) == Some(Sort::Embedder));
        Diagnostic::error(Code::E206, span, format!("there is no embedder `{name}`"))
            .did_you_mean(name, known.iter().copied().chain(declared.map(|(n, _)| *n)))
            .help(format!("embedders are: {all}"))
    }

    /// A declared model, with other options where it is called with some.
    fn changed_model(&mut self, name: &str, span: Span, args: Option<&[Arg]>, stand: &Stand) -> Option<Vec<ModelId>> {
        let ids = self.declared_model(name, span, stand.sort)?;
        let Some(args) = args.filter(|a| !a.is_empty()) else { return Some(ids) };
        let mut out = Vec::with_capacity(ids.len());
        for id in ids {
            let mut entry = self.entries(stand.sort)[id.0 as usize].clone();
            let kept = std::mem::take(&mut entry.options);
            if let Some(arg) = args.iter().find(|a| a.name.is_none()) {
                let message = format!("`{name}` is declared already: here it takes options by name alone");
                let help = format!("as in `{name}({})`", stand.sort.an_option());
                self.error(Diagnostic::error(Code::E210, arg.span, message).help(help));
                return None;
            }
            if !self.options(&mut entry, args, stand) {
                return None;
            }
            for (key, value) in kept {
                entry.options.entry(key).or_insert(value);
            }
            out.push(self.add_model(entry, stand.sort));
        }
        Some(out)
    }
}
