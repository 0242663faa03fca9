//! Indexes: built when a stage that runs first reads one, then searched.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use indexmap::IndexMap;

use super::embed::{Wanted, dimensions_differ};
use super::frame::Frame;
use super::stages::{Placed, wrong_input};
use super::{Failure, Run};
use crate::diag::{Code, Diagnostic};
use crate::event::{EventKind, NodeId};
use crate::index::{self, Vectors};
use crate::plan::{Index, IndexId, Node, Retrieve, Split, check_number, document, evaluate};
use crate::source::Span;
use crate::value::{Type, Value};

/// An index as it is searched.
pub(super) struct Built {
    /// Its documents.
    documents: Vec<Value>,
    /// The vector of each.
    vectors: Vectors,
}

/// What became of building an index: a failure is kept, so that the chains that read it do not fail at it one by one.
pub(super) type Outcome = Result<Arc<Built>, Box<Diagnostic>>;

/// `split(…)`: documents in pieces.
///
/// # Errors
/// The value is no documents, in words.
pub fn split(split: Split, value: &Value) -> Result<Value, String> {
    let mut out = Vec::new();
    for whole in documents(value)? {
        let Value::Map(map) = &whole else { continue };
        let text = map.get("text").and_then(Value::as_text).unwrap_or_default();
        for piece in index::split(&text, split.chars, split.overlap) {
            let mut map = (**map).clone();
            map.insert("text".to_owned(), Value::from(piece));
            out.push(Value::Map(Arc::new(map)));
        }
    }
    Ok(Value::list(out))
}

/// A value as documents: a list of them or of texts, or one. A text is a document without a path.
///
/// # Errors
/// What is neither, in words.
fn documents(value: &Value) -> Result<Vec<Value>, String> {
    let ty = Type::document();
    let one = |value: &Value| match value.as_text() {
        Some(text) if !matches!(value, Value::Map(_)) => Ok(document("", text.into_owned())),
        _ => ty.accept(value).map_err(|e| e.to_string()),
    };
    match value {
        Value::List(items) => {
            items.iter().enumerate().map(|(i, item)| one(item).map_err(|e| format!("item [{i}]: {e}"))).collect()
        }
        value => Ok(vec![one(value)?]),
    }
}

/// The documents that `store` keeps of a value: white space has no meaning that a vector could hold, and some servers
/// refuse it.
///
/// # Errors
/// The value is no documents, in words.
pub fn stored(value: &Value) -> Result<Vec<Value>, String> {
    let mut all = documents(value)?;
    all.retain(|document| !text_of(document).trim().is_empty());
    Ok(all)
}

fn text_of(document: &Value) -> String {
    match document {
        Value::Map(map) => map.get("text").and_then(Value::as_text).unwrap_or_default().into_owned(),
        _ => String::new(),
    }
}

impl Run<'_> {
    pub(super) fn split(&self, frame: &Frame, node: &Node, how: Split) -> Result<Value, Failure> {
        let left = self.left(frame, node).value;
        split(how, &left).map_err(|why| wrong_input(node, &left, &format!("`split` takes documents or texts ({why})")))
    }

    pub(super) async fn retrieve(
        &self,
        frame: &Rc<Frame>,
        id: NodeId,
        node: &Node,
        retrieve: &Retrieve,
        place: Placed<'_>,
    ) -> Result<Value, Failure> {
        let query = self.query(frame, node, retrieve)?;
        let k = self.number(frame, "k", &retrieve.k, node.span)?;
        let min = match &retrieve.min {
            Some(cell) => Some(self.number(frame, "min", cell, node.span)?),
            None => None,
        };
        let index = &self.plan.indexes[retrieve.index.0 as usize];
        let built = self.built(frame, id, retrieve.index, index, place).await?;
        if built.vectors.is_empty() {
            return Ok(Value::list(Vec::new()));
        }
        let (embedder, keep) = (index.embedder, self.keeps_vectors(index.embedder));
        let texts = [query];
        let made =
            self.vectors(frame, id, Wanted { embedder, texts: &texts, keep, index: None, span: node.span }).await?;
        let query = made.vectors.first().cloned().unwrap_or_default();
        if query.len() != built.vectors.dimensions() {
            let config = &self.models.embedders[embedder.0 as usize].0;
            return Err(dimensions_differ(config, built.vectors.dimensions(), query.len(), node.span));
        }
        let found = built.vectors.nearest(&query, k as usize, min);
        Ok(Value::list(found.iter().map(|near| scored(&built.documents[near.place], near.score)).collect()))
    }

    fn query(&self, frame: &Frame, node: &Node, retrieve: &Retrieve) -> Result<String, Failure> {
        let value = match &retrieve.query {
            Some(cell) => evaluate(cell, &self.reach(frame))?,
            None => self.left(frame, node).value,
        };
        let text = value.as_text().map(std::borrow::Cow::into_owned);
        let text = text.ok_or_else(|| wrong_input(node, &value, "`retrieve` looks for a text"))?;
        if text.trim().is_empty() {
            let diagnostic = Diagnostic::error(Code::E211, node.span, "`retrieve` looks for a text, and it is empty");
            return Err(Failure::Failed(Box::new(diagnostic)));
        }
        Ok(text)
    }

    fn number(&self, frame: &Frame, name: &str, cell: &crate::plan::Cell, span: Span) -> Result<f64, Failure> {
        let value = evaluate(cell, &self.reach(frame))?;
        let wrong = |why| Failure::Failed(Box::new(Diagnostic::error(Code::E211, span, why)));
        check_number(name, &value).map_err(wrong)?;
        match value {
            Value::Int(n) => Ok(n as f64),
            Value::Float(x) => Ok(x),
            _ => Ok(0.0),
        }
    }

    /// An index, built by the first stage that reads it; others wait for that.
    async fn built(
        &self,
        frame: &Rc<Frame>,
        id: NodeId,
        number: IndexId,
        index: &Index,
        place: Placed<'_>,
    ) -> Result<Arc<Built>, Failure> {
        let build = || async {
            match self.build(frame, id, index, place).await {
                Ok(built) => Ok(Ok(Arc::new(built))),
                Err(Failure::Failed(diagnostic)) => Ok(Err(diagnostic)),
                Err(Failure::Stopped) => Err(Failure::Stopped),
            }
        };
        match self.indexes[number.0 as usize].get_or_try_init(build).await? {
            Ok(built) => Ok(built.clone()),
            Err(diagnostic) => Err(Failure::Failed(diagnostic.clone())),
        }
    }

    async fn build(&self, frame: &Rc<Frame>, id: NodeId, index: &Index, place: Placed<'_>) -> Result<Built, Failure> {
        let started = Instant::now();
        let key = format!("index {}", index.name);
        let inner = self.open(Some(frame), index.block, &key, None, Vec::new(), None).await?;
        let source = self.block(inner, place).await?;
        let wrong = |why: String| {
            let message = format!("`store` takes documents or texts: {why}");
            Failure::Failed(Box::new(Diagnostic::error(Code::E211, index.span, message)))
        };
        let documents = stored(&source).map_err(wrong)?;
        let texts: Vec<String> = documents.iter().map(text_of).collect();
        let wanted =
            Wanted { embedder: index.embedder, texts: &texts, keep: true, index: Some(&index.name), span: index.span };
        let made = self.vectors(frame, id, wanted).await?;
        let mut vectors = Vectors::new(made.vectors.first().map_or(0, |v| v.len()));
        made.vectors.iter().for_each(|vector| vectors.push(vector));
        if documents.is_empty() {
            let text = format!("the index `{}` holds no text", index.name);
            self.tell(frame, id, EventKind::Notice { text }).await?;
        }
        let built = || EventKind::Indexed {
            index: index.name.clone(),
            pieces: documents.len(),
            embedded: made.made,
            kept: made.kept,
            dimensions: vectors.dimensions(),
            seconds: started.elapsed().as_secs_f64(),
        };
        self.record(frame, id, built).await?;
        Ok(Built { documents, vectors })
    }
}

/// A document with its score.
fn scored(document: &Value, score: f64) -> Value {
    let mut map = match document {
        Value::Map(map) => (**map).clone(),
        _ => IndexMap::new(),
    };
    map.insert("score".to_owned(), Value::Float(score));
    Value::Map(Arc::new(map))
}
