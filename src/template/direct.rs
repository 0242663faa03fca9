//! Templates of text and paths alone, as most are: rendered without the engine, and with the same outcome.

use minijinja::machinery::ast::Stmt;

use super::{PathPart, Rendered, Scope, convert, engine, walk};
use crate::value::{Tainted, Value};

/// The most text that is made here: what is longer the engine makes, which counts its steps.
const MOST: usize = engine::MOST_OUTPUT / 2;

/// A template that is text and `{{ path }}` in turn.
#[derive(Debug)]
pub(super) struct Direct {
    /// The names that its paths begin with, each once: the value of one may be costly.
    names: Vec<String>,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Path {
        /// The name's place among the names.
        name: usize,
        /// The steps behind the name.
        rest: Vec<PathPart>,
        /// The path as written.
        source: String,
    },
}

impl Direct {
    /// What `tree` is, where it is nothing else.
    pub(super) fn of(tree: &Stmt<'_>, text: &str) -> Option<Self> {
        let Stmt::Template(template) = tree else { return None };
        let mut out = Direct { names: Vec::new(), pieces: Vec::new() };
        for child in &template.children {
            out.pieces.push(match child {
                Stmt::EmitRaw(raw) => Piece::Text(raw.raw.to_owned()),
                Stmt::EmitExpr(emit) => {
                    let mut path = walk::path(&emit.expr)?.path.into_iter();
                    let first = path.next()?.text()?.to_owned();
                    let name = out.names.iter().position(|n| *n == first).unwrap_or_else(|| {
                        out.names.push(first);
                        out.names.len() - 1
                    });
                    let source = text.get(walk::range(emit.span()))?.trim().to_owned();
                    Piece::Path { name, rest: path.collect(), source }
                }
                _ => return None,
            });
        }
        // A name is looked for among those before it.
        (out.names.len() <= 64).then_some(out)
    }

    /// Whether some of its own text is more than white space.
    pub(super) fn always_says(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Text(text) if !text.trim().is_empty()))
    }

    /// What it gives; none where a path leads nowhere or to what is not simply printed: the engine makes that, and says
    /// what is wrong.
    pub(super) fn render(&self, scope: &dyn Scope) -> Option<Rendered> {
        let values = self.names.iter().map(|name| scope.get(name)).collect::<Option<Vec<Value>>>()?;
        let mut out = Rendered::default();
        let mut length = 0;
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => {
                    length += text.len();
                    out.push(text, false);
                }
                Piece::Path { name, rest, source } => {
                    let root = values.get(*name)?;
                    let found;
                    let value = match rest.as_slice() {
                        [] => root,
                        rest => {
                            found = convert::walk(root.clone(), rest)?;
                            &found
                        }
                    };
                    let number;
                    let printed = match value {
                        Value::Text(text) => &**text,
                        Value::Message(message) => message.text.as_str(),
                        Value::Int(n) => {
                            number = n.to_string();
                            number.as_str()
                        }
                        _ => return None,
                    };
                    length += printed.len();
                    // What prints nothing is nothing that a control token could come from.
                    if !printed.is_empty() {
                        out.push(printed, true);
                        out.tainted.push(Tainted { name: source.clone(), text: printed.to_owned() });
                    }
                }
            }
            if length > MOST {
                return None;
            }
        }
        Some(out)
    }
}
