//! Embeddings and retrieval as stages: `embed`, `split`, `store` and `retrieve`, and the indexes that files declare.

use std::collections::HashSet;
use std::sync::Arc;

use super::asking::takes_text;
use super::composing::{Shape, Written, item_of};
use super::declarations::Named;
use super::lower::Lowerer;
use super::names::Found;
use super::scope::{Home, Scope};
use super::values::constant_pipeline;
use super::{BlockId, Cell, EmbedderId, NodeKind};
use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{Arg, OperandKind, Path, Pipeline, Stage};
use crate::value::{Type, Value};

/// An index, as a number into [`Plan::indexes`](super::Plan::indexes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IndexId(pub u32);

/// Documents by their vectors, as a file declares them.
#[derive(Clone, Debug)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// What gives its documents: the stages before `store`.
    pub block: BlockId,
    /// What makes their vectors, and those of queries.
    pub embedder: EmbedderId,
    /// Where its `store` stands.
    pub span: Span,
}

/// `split(chars: n, overlap: m)`.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    /// The longest piece, in characters.
    pub chars: usize,
    /// What a piece may repeat of the one before it, in characters; less than `chars`.
    pub overlap: usize,
}

/// `retrieve(index, query:, k:, min:)`.
#[derive(Clone, Debug)]
pub struct Retrieve {
    /// Where it searches.
    pub index: IndexId,
    /// What for; the value on its left where none is given.
    pub query: Option<Cell>,
    /// How many documents it gives at most.
    pub k: Cell,
    /// The lowest score that it gives.
    pub min: Option<Cell>,
    /// Where its options stand.
    pub span: Span,
}

/// Documents that a `retrieve` gives unless told.
const NEAREST: i64 = 4;

/// The longest piece that can be told, in characters.
const LONGEST: i64 = 1_000_000;

const SHAPES: &[Shape] = &[
    Shape { name: "embed", unnamed: &["an embedder"], options: &[], example: "embed(minilm)" },
    Shape { name: "store", unnamed: &["an embedder"], options: &[], example: "store(minilm)" },
    Shape { name: "split", unnamed: &[], options: &["chars", "overlap"], example: "split(chars: 800, overlap: 80)" },
    Shape {
        name: "retrieve",
        unnamed: &["an index"],
        options: &["query", "k", "min"],
        example: "retrieve(notes, query: {{ question }}, k: 4)",
    },
];

impl Lowerer<'_> {
    /// `embed`, `split`, `store` or `retrieve` as a stage.
    pub(super) fn retrieval(&mut self, path: &Path, args: &[Arg], span: Span, scope: &Scope) -> Option<(Home, Type)> {
        let name = path.text();
        let shape = SHAPES.iter().find(|s| s.name == name)?;
        if name == "store" {
            let diagnostic = Diagnostic::error(Code::E233, path.span, "`store` ends an index, and stands nowhere else");
            self.error(diagnostic.help(format!("declare one: {INDEX}")));
            return None;
        }
        let written = self.written(shape, args, span)?;
        match name.as_str() {
            "embed" => self.embed(&written, span, scope),
            "split" => self.split(shape, &written, span, scope),
            _ => self.retrieve(&written, span, scope),
        }
    }

    fn embed(&mut self, written: &Written, span: Span, scope: &Scope) -> Option<(Home, Type)> {
        let embedder = self.embedder(&written.unnamed.first()?.value);
        let (_, ty) = self.needed_input(scope, span, "`embed`")?;
        let vector = Type::List(Box::new(Type::Float));
        let out = match &ty {
            Type::Any => Type::Any,
            ty if takes_text(ty) => vector,
            ty if item_of(ty).is_some_and(|item| takes_text(&item)) => Type::List(Box::new(vector)),
            ty => {
                let message = format!("`embed` takes text or a list of texts, found {ty}");
                let diagnostic = Diagnostic::error(Code::E211, span, message);
                self.error(match item_of(ty) {
                    Some(_) => {
                        diagnostic.help("the texts alone: `{{ input | map(attribute='text') | list }} | embed(…)`")
                    }
                    None => diagnostic.help("put a text between: `… | \"{{ input }}\" | embed(…)`"),
                });
                return None;
            }
        };
        Some(self.place_node(span, NodeKind::Embed(embedder?), out, scope))
    }

    fn split(&mut self, shape: &Shape, written: &Written, span: Span, scope: &Scope) -> Option<(Home, Type)> {
        let chars = self.size(shape, written, "chars", 1);
        if !written.options.contains_key("chars") {
            self.missing(shape, "`chars:`, the longest piece", span);
        }
        let overlap = match written.options.get("overlap") {
            Some(_) => self.size(shape, written, "overlap", 0),
            None => Some(0),
        };
        if let (Some(chars), Some(overlap), Some(arg)) = (chars, overlap, written.options.get("overlap"))
            && overlap >= chars
        {
            let message = format!("`overlap` wants less than `chars`, which is {chars}, found {overlap}");
            let diagnostic = Diagnostic::error(Code::E209, arg.value.span, message);
            self.error(diagnostic.help("a tenth of it is usual: `split(chars: 800, overlap: 80)`"));
            return None;
        }
        if scope.input.is_none() {
            let diagnostic = Diagnostic::error(Code::E211, span, "`split` needs documents or text on its left");
            self.error(diagnostic.help("as in `files(\"notes/**/*.md\") | split(chars: 800)`"));
            return None;
        }
        let (_, ty) = self.needed_input(scope, span, "`split`")?;
        let split = Split { chars: chars?, overlap: overlap? };
        self.takes_documents("split", &ty, span)?;
        Some(self.place_node(span, NodeKind::Split(split), Type::List(Box::new(Type::document())), scope))
    }

    /// An option that is a whole number known before anything runs.
    fn size(&mut self, shape: &Shape, written: &Written, option: &str, least: i64) -> Option<usize> {
        let arg = written.options.get(option)?;
        let diagnostic = match constant_pipeline(&arg.value) {
            Ok(Value::Int(n)) if (least..=LONGEST).contains(&n) => return usize::try_from(n).ok(),
            Ok(other) => {
                let found = other.show(60);
                let message = format!("`{option}` wants a whole number from {least} to {LONGEST}, found {found}");
                Diagnostic::error(Code::E209, arg.value.span, message).help(format!("as in `{}`", shape.example))
            }
            Err(_) => {
                let message = format!("`{option}` wants a whole number that is known before anything runs");
                Diagnostic::error(Code::E209, arg.value.span, message).help(format!("as in `{}`", shape.example))
            }
        };
        self.error(diagnostic);
        None
    }

    /// Reports a value that is neither documents nor text.
    fn takes_documents(&mut self, name: &str, ty: &Type, span: Span) -> Option<()> {
        let document = Type::document();
        let one = |ty: &Type| takes_text(ty) || ty.fits(&document);
        if one(ty) || item_of(ty).is_some_and(|item| one(&item)) {
            return Some(());
        }
        let message = format!("`{name}` takes documents or texts, found {ty}");
        let help = "`files(\"notes/**/*.md\")` gives documents; a document has `text` and `path`";
        self.error(Diagnostic::error(Code::E211, span, message).help(help));
        None
    }

    fn retrieve(&mut self, written: &Written, span: Span, scope: &Scope) -> Option<(Home, Type)> {
        let index = self.index_argument(&written.unnamed.first()?.value);
        let query = match written.options.get("query") {
            Some(arg) => {
                let (cell, ty) = self.cell(&arg.value, scope)?;
                if !takes_text(&ty) {
                    let message = format!("`query` wants text, found {ty}");
                    self.error(Diagnostic::error(Code::E211, arg.value.span, message));
                    return None;
                }
                Some(cell)
            }
            None => {
                self.query_on_the_left(span, scope)?;
                None
            }
        };
        let k = match written.options.get("k") {
            Some(arg) => self.number(&arg.value, "k", scope)?,
            None => Cell::Constant(Value::Int(NEAREST)),
        };
        let min = match written.options.get("min") {
            Some(arg) => Some(self.number(&arg.value, "min", scope)?),
            None => None,
        };
        let ty = Type::List(Box::new(Type::document()));
        let retrieve = Retrieve { index: index?, query, k, min, span };
        Some(self.place_node(span, NodeKind::Retrieve(Arc::new(retrieve)), ty, scope))
    }

    /// What `retrieve` looks for where it has no `query:`.
    fn query_on_the_left(&mut self, span: Span, scope: &Scope) -> Option<()> {
        let help = "`retrieve(notes, query: {{ question }})`, or text on its left: `{{ question }} | retrieve(notes)`";
        if scope.input.is_none() {
            let diagnostic = Diagnostic::error(Code::E210, span, "`retrieve` needs `query:`, what it looks for");
            self.error(diagnostic.help(help));
            return None;
        }
        let (_, ty) = self.needed_input(scope, span, "`retrieve`")?;
        if !takes_text(&ty) {
            let message = format!("`retrieve` without `query:` looks for the text on its left, found {ty}");
            self.error(Diagnostic::error(Code::E211, span, message).help(help));
            return None;
        }
        Some(())
    }

    /// `k` or `min`: checked as far as it is known.
    fn number(&mut self, value: &Pipeline, name: &str, scope: &Scope) -> Option<Cell> {
        let (cell, ty) = self.cell(value, scope)?;
        let wanted = if name == "k" { Type::Int } else { Type::Float };
        let wrong = match &cell {
            Cell::Constant(value) => check_number(name, value).err(),
            _ if !ty.fits(&wanted) => Some(format!("`{name}` wants {wanted}, found {ty}")),
            _ => None,
        };
        match wrong {
            None => Some(cell),
            Some(message) => {
                self.error(Diagnostic::error(Code::E209, value.span, message));
                None
            }
        }
    }

    /// The index that the argument of `retrieve` names.
    fn index_argument(&mut self, argument: &Pipeline) -> Option<IndexId> {
        let Some(OperandKind::Call { path, args: None }) = argument.single().map(|o| &o.kind) else {
            let diagnostic = Diagnostic::error(Code::E207, argument.span, "`retrieve` wants the name of an index");
            self.error(diagnostic.help(format!("declare one: {INDEX}")));
            return None;
        };
        let name = path.text();
        match self.find(&name) {
            Some(Found { named: Named::Index(body), file, name: own, .. }) => {
                self.inside(file, &name, path.span, |s| s.index(file, own, body, path.span))
            }
            Some(found) if found.named.is_unreadable() => None,
            Some(found) => {
                let message = format!("`{name}` is {}, not an index", found.named.a_kind());
                self.error(Diagnostic::error(Code::E207, path.span, message).also(found.span, "declared here"));
                None
            }
            None if self.reports_member(&name, path.span) => None,
            None => {
                let declared = self.declarations.named.iter().filter(|(_, (_, n))| matches!(n, Named::Index(_)));
                let names: Vec<String> = declared.map(|(n, _)| (*n).to_owned()).collect();
                let diagnostic = Diagnostic::error(Code::E203, path.span, format!("there is no index `{name}`"))
                    .did_you_mean(&name, names.iter().map(String::as_str));
                self.error(match names.as_slice() {
                    [] => diagnostic.help(format!("declare it: {INDEX}")),
                    names => diagnostic.help(format!("indexes are: {}", super::prompts::list(names))),
                });
                None
            }
        }
    }

    /// A declared index, lowered once for a plan: what it reads is the file's, whatever chain uses it.
    pub(super) fn index(&mut self, file: usize, name: &str, body: &Pipeline, span: Span) -> Option<IndexId> {
        let key = self.key(file, name);
        if self.circle(&key, span) || !self.may_nest(span) {
            return None;
        }
        if let Some(known) = self.index_ids.get(&key) {
            return *known;
        }
        self.using.push((key.clone(), span));
        self.asked.push(HashSet::new());
        let made = self.index_body(name, body);
        self.asked.pop();
        self.using.pop();
        let id = made.map(|index| {
            self.indexes.push(index);
            IndexId(self.indexes.len() as u32 - 1)
        });
        self.index_ids.insert(key, id);
        id
    }

    fn index_body(&mut self, name: &str, body: &Pipeline) -> Option<Index> {
        let Some((last, before)) = body.stages.split_last().filter(|(last, _)| is_store(last)) else {
            let place = body.stages.last().map_or(body.span, |s| s.span);
            let diagnostic =
                Diagnostic::error(Code::E233, place, "an index ends in `store`, and this is another stage");
            self.error(diagnostic.help(format!("as in {INDEX}")));
            return None;
        };
        if let Some(alias) = &last.alias {
            let diagnostic =
                Diagnostic::error(Code::E233, alias.span, "nothing comes after `store` that could read a name");
            self.error(diagnostic.help("leave `as` out: chains read the index with `retrieve`"));
            return None;
        }
        let Some(OperandKind::Call { args, .. }) = last.operands.first().map(|o| &o.kind) else { return None };
        let shape = SHAPES.iter().find(|s| s.name == "store")?;
        let written = self.written(shape, args.as_deref().unwrap_or_default(), last.span);
        let embedder = written.and_then(|w| self.embedder(&w.unnamed.first()?.value));
        if before.is_empty() {
            let diagnostic = Diagnostic::error(Code::E233, last.span, "an index without documents");
            self.error(diagnostic.help(format!("say what is stored: {INDEX}")));
            return None;
        }
        self.begin();
        let mut scope = Scope::default();
        let ty = self.stages(before, body.span, &mut scope);
        let fine = ty.and_then(|ty| self.takes_documents("store", &ty, last.span));
        let block = self.end(None)?;
        fine?;
        Some(Index { name: name.to_owned(), block, embedder: embedder?, span: last.span })
    }
}

/// How an index is declared.
const INDEX: &str = "`index notes = files(\"notes/**/*.md\") | split(chars: 800, overlap: 80) | store(minilm)`";

fn is_store(stage: &Stage) -> bool {
    match stage.operands.as_slice() {
        [one] => matches!(&one.kind, OperandKind::Call { path, .. } if path.text() == "store"),
        _ => false,
    }
}

/// Whether a value can be `k` or `min`.
///
/// # Errors
/// What is wanted, and what was found.
pub fn check_number(name: &str, value: &Value) -> Result<(), String> {
    let (fine, wants) = match (name, value) {
        ("k", Value::Int(n)) => (*n >= 1, "a whole number from 1"),
        ("k", _) => (false, "a whole number from 1"),
        (_, Value::Int(n)) => ((-1..=1).contains(n), "a score from -1 to 1"),
        (_, Value::Float(x)) => ((-1.0..=1.0).contains(x), "a score from -1 to 1"),
        _ => (false, "a score from -1 to 1"),
    };
    if fine { Ok(()) } else { Err(format!("`{name}` wants {wants}, found {}", value.show(60))) }
}
