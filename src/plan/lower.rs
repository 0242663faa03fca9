//! Lowering: the one place that resolves names. A file's tree goes in, a [`Plan`] or diagnostics come out.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use super::declarations::{ChainDecl, Declarations};
use super::names::{Callee, Entry};
use super::scope::{Binding, Home, Scope};
use super::types::{TypeCaches, TypeResolver};
use super::{Block, BlockId, Index, IndexId, ModelEntry, ModelId, Node, Plan, Reads, Variable, live};
use crate::config::{Origin, Prices};
use crate::diag::{Code, Diagnostic, Severity};
use crate::event::NodeId;
use crate::source::{Sources, Span};
use crate::syntax::ast::{Ident, Pipeline, TypeExpr};
use crate::template::Template;
use crate::value::{Type, Value};

/// Stages that a chain may expand to, so that chains that use chains stay bounded.
const MAX_NODES: usize = 100_000;

/// Blocks that may be open at a time.
const MAX_BLOCKS: usize = 300;

/// A model that the command line, a configuration or the environment puts in the place of a declared one.
pub struct Override {
    /// The declared model; none for the default model `llm`.
    pub name: Option<Ident>,
    /// The model as an expression.
    pub pipeline: Pipeline,
    /// Who says so.
    pub origin: Origin,
}

/// What lowering is told from outside the file.
#[derive(Default)]
pub struct Settings {
    /// Models that take another's place; a later one wins.
    pub overrides: Vec<Override>,
    /// Folder that paths in the file are relative to.
    pub base: PathBuf,
    /// Folder that paths in the file must not leave.
    pub project: PathBuf,
    /// What becomes of a command of `exec`.
    pub exec: Execs,
    /// Folder that paths on the command line are relative to.
    pub cwd: PathBuf,
    /// The files that are reached, as they are met.
    pub reads: Reads,
    /// What models cost.
    pub prices: Arc<Prices>,
}

/// What becomes of a command of `exec`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Execs {
    /// It is an error.
    #[default]
    Refused,
    /// It is told of.
    Noted,
    /// It may run.
    Allowed,
}

/// A block under construction.
#[derive(Default)]
struct OpenBlock {
    nodes: Vec<NodeId>,
}

/// Lowers one file.
pub(super) struct Lowerer<'a> {
    pub(super) sources: &'a Sources,
    /// The file that is run or checked, with its libraries.
    pub(super) main: &'a Declarations<'a>,
    /// The file whose variables are the run's: that one or, where a library is checked by itself, the library.
    pub(super) root: &'a Declarations<'a>,
    /// The file whose declaration is being lowered.
    pub(super) declarations: &'a Declarations<'a>,
    /// The ways into the libraries that are being lowered, outermost first.
    pub(super) entries: Vec<Entry>,
    /// Whether missing variables are passed over: a library's are given where it is used.
    pub(super) lenient: bool,
    /// Data files that were read, by their true place.
    pub(super) tables: HashMap<PathBuf, Arc<Vec<Value>>>,
    /// Templates by their text: a prompt that several chains use is compiled once.
    pub(super) templates: HashMap<String, Arc<Template>>,
    pub(super) settings: &'a Settings,
    pub(super) diagnostics: Vec<Diagnostic>,
    types: TypeCaches,
    pub(super) variables: Vec<Variable>,
    /// How many of them, the first, the file declares: they stay from chain to chain.
    pub(super) declared: usize,
    /// Those of them that the present chain reads.
    pub(super) touched: Vec<usize>,
    pub(super) variable_index: HashMap<String, usize>,
    pub(super) nodes: Vec<Node>,
    pub(super) blocks: Vec<Block>,
    pub(super) models: Vec<ModelEntry>,
    pub(super) embedders: Vec<ModelEntry>,
    pub(super) indexes: Vec<Index>,
    /// The indexes that were read, by [`Lowerer::key`]; none for one with a mistake.
    pub(super) index_ids: HashMap<String, Option<IndexId>>,
    /// The models and embedders of declared names.
    pub(super) model_ids: HashMap<String, Vec<ModelId>>,
    labels: Vec<(String, NodeId)>,
    open: Vec<OpenBlock>,
    /// Chains and prompts that are being lowered, innermost last.
    pub(super) using: Vec<(String, Span)>,
    /// Names that the innermost used chain or prompt asked for.
    pub(super) asked: Vec<HashSet<String>>,
    pub(super) visited: HashSet<String>,
    pub(super) stdin: Option<Span>,
    /// Bare names that were read as fields: an inferred variable of the same name makes them ambiguous.
    pub(super) field_uses: Vec<(String, Span)>,
    too_large: bool,
}

/// Lowers the chain called `chain` to a plan.
///
/// # Errors
/// Everything that is wrong with what the chain uses.
pub fn lower(
    sources: &Sources,
    declarations: &Declarations,
    settings: &Settings,
    file: &str,
    chain: &str,
) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut lowerer = Lowerer::new(sources, declarations, settings);
    lowerer.check_overrides();
    let Some(decl) = declarations.chain(chain) else { return Err(lowerer.diagnostics) };
    lowerer.declare_variables();
    let entry = lowerer.root(chain, decl);
    let diagnostics = distinct(std::mem::take(&mut lowerer.diagnostics));
    match entry {
        Some(entry) if diagnostics.iter().all(|d| d.severity != Severity::Error) => {
            live::mark(&mut lowerer.nodes, &lowerer.blocks, entry, false);
            let files = std::iter::once(declarations).chain(&declarations.libraries);
            let secrets = files.flat_map(|d| d.secrets.iter()).map(|(n, s)| ((*n).to_owned(), *s)).collect();
            let named_models = declarations.named.keys().copied().chain(["llm"]).filter_map(|name| {
                let ids = lowerer.model_ids.get(&lowerer.model_key(name)).filter(|ids| !ids.is_empty())?;
                Some((name.to_owned(), ids.clone()))
            });
            let named_models = named_models.collect();
            let plan = Plan {
                file: file.to_owned(),
                chain: chain.to_owned(),
                variables: lowerer.variables,
                secrets,
                nodes: lowerer.nodes,
                blocks: lowerer.blocks,
                models: lowerer.models,
                embedders: lowerer.embedders,
                indexes: lowerer.indexes,
                entry,
                stdin: lowerer.stdin,
                base: settings.base.clone(),
                labels: lowerer.labels,
                named_models,
            };
            Ok((plan, diagnostics))
        }
        _ => Err(diagnostics),
    }
}

/// The diagnostics without repetitions: a chain that is used twice is lowered twice.
pub(super) fn distinct(all: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut seen = HashSet::new();
    all.into_iter().filter(|d| seen.insert((d.code, d.span, d.message.clone()))).collect()
}

impl<'a> Lowerer<'a> {
    pub(super) fn new(sources: &'a Sources, declarations: &'a Declarations<'a>, settings: &'a Settings) -> Self {
        Self {
            sources,
            main: declarations,
            root: declarations,
            declarations,
            entries: Vec::new(),
            lenient: false,
            tables: HashMap::new(),
            templates: HashMap::new(),
            settings,
            diagnostics: Vec::new(),
            types: TypeCaches::new(),
            variables: Vec::new(),
            declared: 0,
            touched: Vec::new(),
            variable_index: HashMap::new(),
            nodes: Vec::new(),
            blocks: Vec::new(),
            models: Vec::new(),
            embedders: Vec::new(),
            indexes: Vec::new(),
            index_ids: HashMap::new(),
            model_ids: HashMap::new(),
            labels: Vec::new(),
            open: Vec::new(),
            using: Vec::new(),
            asked: vec![HashSet::new()],
            visited: HashSet::new(),
            stdin: None,
            field_uses: Vec::new(),
            too_large: false,
        }
    }

    /// Forgets the chain that was lowered; declared variables, types and models stay.
    pub(super) fn reset(&mut self) {
        self.forget_variables(self.declared);
        for index in self.touched.drain(..) {
            if let Some(variable) = self.variables.get_mut(index) {
                variable.used = false;
            }
        }
        self.nodes.clear();
        self.labels.clear();
        self.blocks.clear();
        self.indexes.clear();
        self.index_ids.clear();
        self.open.clear();
        self.using.clear();
        self.asked = vec![HashSet::new()];
        self.field_uses.clear();
        self.stdin = None;
        self.too_large = false;
    }

    /// Forgets the models that were read.
    pub(super) fn forget_models(&mut self) {
        self.models.clear();
        self.embedders.clear();
        self.model_ids.clear();
    }

    pub(super) fn error(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    pub(super) fn resolve_type(&mut self, ty: &TypeExpr) -> Type {
        let mut cache = self.types.remove(&self.declarations.id).unwrap_or_default();
        let mut resolver = TypeResolver {
            declarations: self.declarations,
            settings: self.settings,
            diagnostics: &mut self.diagnostics,
            cache: &mut cache,
            main: self.main,
            caches: &mut self.types,
        };
        let resolved = resolver.resolve(ty);
        self.types.insert(self.declarations.id, cache);
        resolved
    }

    /// Lowers a chain as the one that runs; the variables of its file are declared already.
    pub(super) fn root(&mut self, name: &str, chain: &ChainDecl) -> Option<BlockId> {
        let span = chain.name.map_or(chain.body.span, |n| n.span);
        // What a library's chain will be given is not known where it is checked by itself.
        let given = if self.lenient { Type::Any } else { Type::Text };
        let mut scope = Scope { input: Some((Home::Stdin, given)), ..Scope::default() };
        if let Some(params) = chain.params {
            scope = Scope { closed: true, closed_in: self.declarations.id, ..Scope::default() };
            for param in self.distinct_parameters(params) {
                let variable = self.parameter(param, None);
                let (ty, span) = (variable.ty.clone(), variable.span);
                // Models' options still read the file's variable of the same name, so the index keeps that one.
                let home = Home::Variable(self.variables.len());
                self.variables.push(Variable { used: true, ..variable });
                scope.names.push(Binding { name: param.name.name.clone(), home, ty, span });
            }
        }
        let key = self.key(self.declarations.id, name);
        self.visited.insert(key.clone());
        self.using.push((key, span));
        let block = self.body(chain, &mut scope);
        self.using.pop();
        self.ambiguous_fields();
        block.map(|(id, _)| id)
    }

    /// Lowers a chain's body to a block.
    pub(super) fn body(&mut self, chain: &ChainDecl, scope: &mut Scope) -> Option<(BlockId, Type)> {
        self.begin();
        let ty = self.pipeline(chain.body, scope);
        let Some(result) = chain.result else { return self.end(None).zip(ty) };
        let wanted = self.resolve_type(result);
        if let Some(ty) = &ty
            && !fits_result(ty, &wanted)
        {
            let message = format!("the chain gives {ty}, and is declared to give {wanted}");
            let last = chain.body.stages.last().map_or(chain.body.span, |s| s.span);
            self.error(Diagnostic::error(Code::E211, last, message).also(result.span, "declared here"));
        }
        self.end(Some((wanted.clone(), result.span))).map(|id| (id, wanted))
    }

    /// The type of a block's value.
    pub(super) fn result_type(&self, id: BlockId) -> Type {
        super::result_type(&self.blocks, &self.nodes, id)
    }

    /// Opens a block.
    pub(super) fn begin(&mut self) {
        self.open.push(OpenBlock::default());
    }

    /// Whether another block may be opened; says so once if not.
    pub(super) fn may_nest(&mut self, span: Span) -> bool {
        if self.open.len() < MAX_BLOCKS && self.nodes.len() < MAX_NODES {
            return true;
        }
        if !self.too_large {
            self.too_large = true;
            let message = format!(
                "chains that use chains expand to more than {MAX_NODES} stages or nest deeper than {MAX_BLOCKS}"
            );
            self.error(Diagnostic::error(Code::E218, span, message));
        }
        false
    }

    /// Closes the innermost block.
    pub(super) fn end(&mut self, result: Option<(Type, Span)>) -> Option<BlockId> {
        let block = self.open.pop()?;
        self.blocks.push(Block { nodes: block.nodes, result });
        Some(BlockId(self.blocks.len() as u32 - 1))
    }

    /// The depth of the innermost block.
    pub(super) fn depth(&self) -> u32 {
        (self.open.len() as u32).saturating_sub(1)
    }

    /// Adds a stage to the innermost block; gives the home of its value.
    pub(super) fn push(&mut self, node: Node) -> Home {
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(node);
        let depth = self.depth();
        match self.open.last_mut() {
            Some(block) => {
                block.nodes.push(id);
                Home::Slot(depth, block.nodes.len() as u32 - 1)
            }
            None => Home::Slot(0, 0),
        }
    }

    /// Gives the stage with this home a name by which tests know it.
    pub(super) fn label(&mut self, name: &str, home: &Home) {
        if let Home::Slot(depth, slot) = home
            && let Some(id) = self.open.get(*depth as usize).and_then(|b| b.nodes.get(*slot as usize))
        {
            self.labels.push((name.to_owned(), *id));
        }
    }

    /// The stage of an open block whose value stands at a depth and a slot.
    pub(super) fn node_of(&self, depth: u32, slot: u32) -> Option<&Node> {
        let id = self.open.get(depth as usize)?.nodes.get(slot as usize)?;
        self.nodes.get(id.0 as usize)
    }

    /// Lowers a used chain: its body anew for this place, since its free names mean what they mean here.
    pub(super) fn used_chain(
        &mut self,
        callee: &Callee,
        chain: &ChainDecl,
        span: Span,
        mut inner: Scope,
        outer: &Scope,
    ) -> Option<(BlockId, Type)> {
        let key = &callee.key;
        if self.circle(key, span) || !self.may_nest(span) {
            return None;
        }
        self.visited.insert(key.clone());
        if chain.params.is_none() {
            inner.outer = Some(Rc::new(outer.clone()));
        }
        self.using.push((key.clone(), span));
        let out = self.inside(callee.file, &callee.name, span, |s| s.body(chain, &mut inner));
        self.using.pop();
        out
    }

    /// Reports a chain or prompt that uses itself, over others or not.
    pub(super) fn circle(&mut self, name: &str, span: Span) -> bool {
        let Some(at) = self.using.iter().position(|(n, _)| n == name) else { return false };
        let path: Vec<&str> = self.using[at..].iter().map(|(n, _)| n.as_str()).chain([name]).collect();
        let message = format!("`{name}` uses itself: {}", path.join(" → "));
        self.error(Diagnostic::error(Code::E214, span, message).help("chains cannot run in a circle"));
        true
    }
}

/// A bare name that could mean two things.
pub(super) fn ambiguous(name: &str, span: Span, other: Span, what: &str) -> Diagnostic {
    Diagnostic::error(Code::E213, span, format!("`{name}` could mean two things here"))
        .label(format!("a field of `input` is called `{name}`"))
        .also(other, what)
        .help(format!("write `input.{name}` for the field, or rename the other"))
}

/// Whether a value of type `ty` may be a result of type `wanted`: a message counts as its text.
fn fits_result(ty: &Type, wanted: &Type) -> bool {
    let as_text = match ty {
        Type::Message | Type::Raw => &Type::Text,
        other => other,
    };
    ty.fits(wanted) || as_text.fits(wanted)
}
