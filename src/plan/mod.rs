//! The plan: a chain with every name resolved, every template compiled, every type and option checked. A plan that
//! exists can run.

mod asking;
mod bind;
mod cell;
mod checking;
mod composing;
mod composition;
mod constraints;
mod data;
mod declarations;
mod documents;
mod examples;
mod exec;
mod formats;
mod glob;
mod library;
mod live;
mod lower;
mod making;
mod matching;
mod models;
mod names;
mod parsing;
mod paths;
mod pictures;
mod prompts;
mod reads;
mod retrieval;
mod rows;
mod scope;
mod sharing;
mod signatures;
mod spreading;
mod stages;
mod templating;
pub mod testing;
mod types;
mod uses;
mod values;
mod variables;

use std::sync::Arc;

use indexmap::IndexMap;

pub use bind::{Given, GivenValue, bind, from_text};
pub use cell::{OptionCell, OptionEntry, Resolve, evaluate};
pub use checking::{Checked, check};
pub use composition::{Arm, Each, Extend, Match, OnError, Repeat, Require, Test};
pub use declarations::Declarations;
pub use documents::{Files, document};
pub use examples::Examples;
pub use exec::Exec;
pub use glob::is_pattern;
pub use library::{Libraries, Library};
pub use lower::{Execs, Override, Settings, lower};
pub use making::{
    Fixed, Making, Models, build_models, build_models_so, fixed_embedder, fixed_provider, refused_models,
};
pub use paths::{plain, project};
pub use pictures::Picture;
pub use reads::{Reached, Reads};
pub use retrieval::{Index, IndexId, Retrieve, Split, check_number};
pub use signatures::{Signature, signatures};

use crate::event::NodeId;
use crate::parsers::Parser;
use crate::providers::Spec;
use crate::source::Span;
use crate::template::{Expression, Template};
use crate::value::{Duration, Role, Type, Value};

/// A block, as an index into [`Plan::blocks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockId(pub u32);

/// A model, as an index into [`Plan::models`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModelId(pub u32);

/// An embedder, as an index into [`Plan::embedders`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EmbedderId(pub u32);

/// A chain, ready to run once variables and models are bound.
pub struct Plan {
    /// The file's name as given.
    pub file: String,
    /// The chain that runs.
    pub chain: String,
    /// Its variables: the file's, or the chain's parameters.
    pub variables: Vec<Variable>,
    /// Secrets of the environment, with the places of their declarations.
    pub secrets: Vec<(String, Span)>,
    /// Stages of all blocks.
    pub nodes: Vec<Node>,
    /// Blocks of stages.
    pub blocks: Vec<Block>,
    /// Models that stages ask.
    pub models: Vec<ModelEntry>,
    /// Embedders that stages and indexes use.
    pub embedders: Vec<ModelEntry>,
    /// Indexes that stages read.
    pub indexes: Vec<Index>,
    /// The block that runs first.
    pub entry: BlockId,
    /// Whether the chain reads standard input, and where.
    pub stdin: Option<Span>,
    /// Folder that paths in the file are relative to.
    pub base: std::path::PathBuf,
    /// The stages that have a name: uses of prompts and chains, and what `as` names.
    pub labels: Vec<(String, NodeId)>,
    /// The models of each declared name that the chain uses.
    pub named_models: Vec<(String, Vec<ModelId>)>,
}

/// A variable of the running chain.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// The value where none is given.
    pub default: Option<Value>,
    /// Its doc comment.
    pub doc: Option<String>,
    /// Where it is declared or, if inferred, first used.
    pub span: Span,
    /// Whether the running chain reads it.
    pub used: bool,
    /// Whether it was inferred from a free name.
    pub inferred: bool,
    /// A field or name in reach that resembles an inferred one.
    pub resembles: Option<String>,
}

/// Stages that run one after the other in one frame.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// The stages; the value of the last is the block's.
    pub nodes: Vec<NodeId>,
    /// The declared type of the result, which every value is checked against.
    pub result: Option<(Type, Span)>,
}

/// Where a value comes from, seen from a frame. `up` counts frames outwards.
#[derive(Clone, Debug, PartialEq)]
pub enum Ref {
    /// A variable of the run.
    Variable(usize),
    /// The value of a stage: its number in its block.
    Slot {
        /// Frames outwards.
        up: u32,
        /// The stage's number in its block.
        slot: u32,
    },
    /// What the frame's block was given on its left.
    Input {
        /// Frames outwards.
        up: u32,
    },
    /// An argument that the frame's block was called with.
    Argument {
        /// Frames outwards.
        up: u32,
        /// Its number.
        index: u32,
    },
    /// The text of the failure that made `??` go on to this frame.
    Failure {
        /// Frames outwards.
        up: u32,
    },
    /// Standard input.
    Stdin,
}

/// How a value is made when it is needed.
#[derive(Clone, Debug)]
pub enum Cell {
    /// A value that is known.
    Constant(Value),
    /// A value that something else made.
    Ref(Ref),
    /// A field of one.
    Field(Ref, String),
    /// A template's text.
    Template(Arc<Rendering>),
    /// An expression's value.
    Expression(Arc<Evaluation>),
}

/// A template with its names resolved.
#[derive(Debug)]
pub struct Rendering {
    /// The template.
    pub template: Arc<Template>,
    /// Where each of its names comes from.
    pub names: IndexMap<String, Cell>,
    /// The string in the file.
    pub text: crate::syntax::ast::Str,
}

/// An expression with its names resolved.
#[derive(Debug)]
pub struct Evaluation {
    /// The expression.
    pub expression: Expression,
    /// Where each of its names comes from.
    pub names: IndexMap<String, Cell>,
    /// The expression in the file.
    pub text: crate::syntax::ast::ExprLit,
}

/// A stage.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it does.
    pub kind: NodeKind,
    /// The type of its value.
    pub ty: Type,
    /// The value on its left.
    pub input: Option<Ref>,
}

/// What a stage does.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// `"…"`: text.
    Text(Arc<Rendering>),
    /// `raw "…"`.
    Raw(Arc<Rendering>),
    /// A declared prompt: messages.
    Prompt(Arc<Vec<PromptPart>>),
    /// `{{ … }}`.
    Expression(Arc<Evaluation>),
    /// Messages as text.
    Fill,
    /// Asks a model, and parses what it answers.
    Ask(Arc<Ask>),
    /// `file("…")`: its text.
    File(Arc<Files>),
    /// `files("…")`: documents.
    Files(Arc<Files>),
    /// `embed(…)`: a text's vector, or those of a list of texts.
    Embed(EmbedderId),
    /// `split(…)`: documents in pieces.
    Split(Split),
    /// `retrieve(…)`: the documents of an index that are nearest to a query.
    Retrieve(Arc<Retrieve>),
    /// `exec("…")`: a command.
    Exec(Arc<Exec>),
    /// A parser that stands behind no model.
    Parse(Arc<Parser>),
    /// `{ a: …, b: … }`: every branch gets the same input, all run at the same time.
    Map(Arc<Vec<(String, BlockId)>>),
    /// `{ ..input, a: … }`: a map with entries added or replaced.
    Extend(Arc<Extend>),
    /// `x ?? y`: the first that does not fail.
    Try(Arc<Vec<BlockId>>),
    /// `match`: the first arm that fits.
    Match(Arc<Match>),
    /// `each(…)`: a pipeline for every item of a list.
    Each(Arc<Each>),
    /// `repeat(…)`: a pipeline over and over.
    Repeat(Arc<Repeat>),
    /// `timeout(…)`: a pipeline that fails when it takes longer.
    Timeout {
        /// What runs.
        block: BlockId,
        /// How long it may take.
        limit: Duration,
    },
    /// `require(…)`: what is on its left, or a failure.
    Require(Arc<Require>),
    /// A used chain or a group.
    Call {
        /// What runs.
        block: BlockId,
        /// What it is called with.
        arguments: Arc<Vec<Argument>>,
    },
}

/// An argument of a call.
#[derive(Clone, Debug)]
pub struct Argument {
    /// The parameter's name.
    pub name: String,
    /// The value.
    pub cell: Cell,
    /// The parameter's type.
    pub ty: Type,
    /// Where it is given.
    pub span: Span,
}

/// A part of a prompt.
#[derive(Clone, Debug)]
pub enum PromptPart {
    /// A message; one that renders empty and shows no picture is not sent.
    Message(Role, Arc<Rendering>, Arc<[Picture]>),
    /// A list of messages.
    Messages(Cell, Span),
    /// Examples: their roles once for each row.
    Examples(Arc<Examples>),
}

/// A call of a model with its fallbacks and its parser.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The models, in the order in which they are tried.
    pub models: Vec<ModelId>,
    /// What parses the answer.
    pub parser: Option<Arc<Parser>>,
    /// Where the parser stands.
    pub parser_span: Option<Span>,
    /// Whether the parser stands behind a name (`llm as m | json`) and parses later.
    pub parse_later: bool,
    /// Whether the answer's text is the run's result, so that it is shown as it comes.
    pub live: bool,
    /// Whether an enclosing `??` can put something else in its place.
    pub discardable: bool,
}

impl Ask {
    /// The parser that stands right behind the model and reads its answers as they come.
    pub fn reader(&self) -> Option<&Parser> {
        self.parser.as_deref().filter(|_| !self.parse_later)
    }
}

/// A model or embedder as the file describes it; variables in its options are not yet filled in.
#[derive(Clone)]
pub struct ModelEntry {
    /// The declared name, else the provider's.
    pub name: String,
    /// The provider.
    pub spec: &'static Spec,
    /// The first, unnamed argument.
    pub argument: Option<(OptionCell, Span)>,
    /// The options by their own names.
    pub options: IndexMap<&'static str, OptionEntry>,
    /// Where it is described.
    pub span: Span,
    /// Who says so: the file, the command line, the environment.
    pub origin: crate::config::Origin,
    /// Folder that paths in it are relative to.
    pub base: std::path::PathBuf,
}

impl Plan {
    /// The stage `id`.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// The block `id`.
    pub fn block(&self, id: BlockId) -> &Block {
        &self.blocks[id.0 as usize]
    }

    /// The type of the chain's value.
    pub fn result_type(&self) -> Type {
        result_type(&self.blocks, &self.nodes, self.entry)
    }

    /// Every call of a model, in the order of the file.
    pub fn asks(&self) -> impl Iterator<Item = (NodeId, &Ask)> {
        self.nodes.iter().enumerate().filter_map(|(i, n)| match &n.kind {
            NodeKind::Ask(ask) => Some((NodeId(i as u32), &**ask)),
            _ => None,
        })
    }
}

/// The type of a block's value.
fn result_type(blocks: &[Block], nodes: &[Node], id: BlockId) -> Type {
    let block = &blocks[id.0 as usize];
    match (&block.result, block.nodes.last()) {
        (Some((ty, _)), _) => ty.clone(),
        (None, Some(last)) => nodes[last.0 as usize].ty.clone(),
        (None, None) => Type::Null,
    }
}
