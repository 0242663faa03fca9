//! Types of values.

use std::sync::Arc;

use super::{Recursive, Value};

/// A literal that is a type of its own: `"plain"`, `3`, `true`.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A text.
    Text(Arc<str>),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// A truth value.
    Bool(bool),
}

/// One field of a [`Record`].
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The field's name.
    pub name: String,
    /// Its type; an optional field has [`Type::Optional`].
    pub ty: Type,
    /// Its doc comment, sent as the schema's description.
    pub doc: Option<String>,
}

/// A map with known fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The declared name, where it has one.
    pub name: Option<String>,
    /// The fields in written order.
    pub fields: Vec<Field>,
    /// The declaration's doc comment.
    pub doc: Option<String>,
}

impl Record {
    /// The field called `name`.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// Not known before it runs.
    Any,
    /// Text.
    Text,
    /// A whole number of 64 bits.
    Int,
    /// A number; a whole one fits too.
    Float,
    /// A truth value.
    Bool,
    /// RFC 3339 text.
    DateTime,
    /// Nothing.
    Null,
    /// One value.
    Literal(Literal),
    /// A list.
    List(Box<Type>),
    /// A map with free text keys.
    Map(Box<Type>),
    /// The type or nothing.
    Optional(Box<Type>),
    /// The first of these that fits.
    Union(Vec<Type>),
    /// A map with known fields.
    Record(Arc<Record>),
    /// A declared type inside its own declaration.
    Recursive(Arc<Recursive>),
    /// One message: what a model answers, or an item of a history.
    Message,
    /// What a `prompt` gives: the messages of a conversation.
    Prompt,
    /// What `raw` gives: text that goes out as it stands.
    Raw,
}

/// A value that does not fit a type.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeError {
    /// Where in the value, as `.items[3].name`; empty for the value itself.
    pub path: String,
    /// What was wanted.
    pub expected: String,
    /// What was seen.
    pub found: String,
    /// A name that was probably meant, or another hint.
    pub help: Option<String>,
}

impl std::fmt::Display for TypeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.path.is_empty() {
            write!(f, "at {}: ", self.path.trim_start_matches('.'))?;
        }
        write!(f, "expected {}, found {}", self.expected, self.found)?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Literal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Literal::Text(t) => write!(f, "{}", serde_json::Value::from(&**t)),
            Literal::Int(n) => write!(f, "{n}"),
            Literal::Float(x) => write!(f, "{x}"),
            Literal::Bool(b) => write!(f, "{b}"),
        }
    }
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Type::Any => f.write_str("any"),
            Type::Text => f.write_str("string"),
            Type::Int => f.write_str("int"),
            Type::Float => f.write_str("float"),
            Type::Bool => f.write_str("bool"),
            Type::DateTime => f.write_str("datetime"),
            Type::Null => f.write_str("null"),
            Type::Literal(l) => write!(f, "{l}"),
            Type::List(t) => write!(f, "[{t}]"),
            Type::Map(t) => write!(f, "map({t})"),
            Type::Optional(t) => match &**t {
                Type::Union(_) => write!(f, "({t})?"),
                _ => write!(f, "{t}?"),
            },
            Type::Union(ts) => {
                for (i, t) in ts.iter().enumerate() {
                    if i > 0 {
                        f.write_str(" | ")?;
                    }
                    write!(f, "{t}")?;
                }
                Ok(())
            }
            Type::Record(r) => match &r.name {
                Some(name) => f.write_str(name),
                None => {
                    f.write_str("{ ")?;
                    for (i, field) in r.fields.iter().enumerate() {
                        if i > 0 {
                            f.write_str(", ")?;
                        }
                        write!(f, "{}: {}", field.name, field.ty)?;
                    }
                    f.write_str(" }")
                }
            },
            Type::Recursive(r) => f.write_str(&r.name),
            Type::Message => f.write_str("Message"),
            Type::Prompt => f.write_str("messages"),
            Type::Raw => f.write_str("raw text"),
        }
    }
}

impl Type {
    /// The built-in `Document`: a text, where it was read and, once retrieved, how near it is.
    pub fn document() -> Type {
        let field = |name: &str, ty| Field { name: name.to_owned(), ty, doc: None };
        let fields = vec![
            field("text", Type::Text),
            field("path", Type::Text),
            field("score", Type::Optional(Box::new(Type::Float))),
        ];
        Type::Record(Arc::new(Record { name: Some("Document".to_owned()), fields, doc: None }))
    }

    /// Whether every value of the type is text.
    pub fn is_text(&self) -> bool {
        match self {
            Type::Text | Type::DateTime | Type::Literal(Literal::Text(_)) => true,
            Type::Union(ts) => !ts.is_empty() && ts.iter().all(Type::is_text),
            _ => false,
        }
    }

    /// The texts of a union of text literals, in written order.
    pub fn text_literals(&self) -> Option<Vec<Arc<str>>> {
        match self {
            Type::Literal(Literal::Text(t)) => Some(vec![t.clone()]),
            Type::Union(ts) => {
                let mut all = Vec::new();
                for t in ts {
                    all.extend(t.text_literals()?);
                }
                Some(all)
            }
            _ => None,
        }
    }

    /// The union of two types: nothing is listed twice, and `any` swallows all.
    pub fn join(self, other: Type) -> Type {
        if self == other {
            return self;
        }
        let mut all: Vec<Type> = Vec::new();
        for t in [self, other] {
            let parts = match t {
                Type::Any => return Type::Any,
                Type::Union(ts) => ts,
                t => vec![t],
            };
            for part in parts {
                if !all.contains(&part) {
                    all.push(part);
                }
            }
        }
        Type::Union(all)
    }

    /// Whether a value of this type may stand where `wanted` is asked. What is known only at run time may.
    pub fn fits(&self, wanted: &Type) -> bool {
        self.fits_assuming(wanted, &mut Vec::new())
    }

    /// As [`Type::fits`]. A pair of types that is being compared further out is taken to fit: then it does unless some
    /// other part does not.
    fn fits_assuming(&self, wanted: &Type, assumed: &mut Vec<(*const Type, *const Type)>) -> bool {
        if let (Type::Recursive(_), _) | (_, Type::Recursive(_)) = (self, wanted) {
            let (a, b) = (self.unfolded(), wanted.unfolded());
            let pair: (*const Type, *const Type) = (a, b);
            if std::ptr::eq(a, b) || assumed.contains(&pair) {
                return true;
            }
            assumed.push(pair);
            return a.fits_assuming(b, assumed);
        }
        match (self, wanted) {
            (Type::Any, _) | (_, Type::Any) => true,
            (Type::Union(ts), _) => ts.iter().all(|t| t.fits_assuming(wanted, assumed)),
            (Type::Optional(a), Type::Optional(b)) => a.fits_assuming(b, assumed),
            (Type::Optional(a), _) => a.fits_assuming(wanted, assumed) && Type::Null.fits_assuming(wanted, assumed),
            (_, Type::Union(ts)) => ts.iter().any(|t| self.fits_assuming(t, assumed)),
            (Type::Null, Type::Optional(_)) => true,
            (_, Type::Optional(t)) => self.fits_assuming(t, assumed),
            (Type::Literal(Literal::Text(_)) | Type::DateTime, Type::Text) => true,
            (Type::Int | Type::Literal(Literal::Int(_) | Literal::Float(_)), Type::Float) => true,
            (Type::Literal(Literal::Int(_)), Type::Int) => true,
            (Type::Literal(Literal::Bool(_)), Type::Bool) => true,
            (Type::List(a), Type::List(b)) | (Type::Map(a), Type::Map(b)) => a.fits_assuming(b, assumed),
            (Type::Record(r), Type::Map(t)) => r.fields.iter().all(|f| f.ty.fits_assuming(t, assumed)),
            (Type::Record(a), Type::Record(b)) => {
                a == b
                    || (a.fields.iter().all(|f| b.field(&f.name).is_some())
                        && b.fields.iter().all(|f| match a.field(&f.name) {
                            Some(mine) => mine.ty.fits_assuming(&f.ty, assumed),
                            None => matches!(f.ty, Type::Optional(_)),
                        }))
            }
            _ => self == wanted,
        }
    }

    /// Checks `value` against the type and gives it in the type's form (a whole number for `float` becomes one).
    ///
    /// # Errors
    /// The first place that does not fit.
    pub fn accept(&self, value: &Value) -> Result<Value, TypeError> {
        super::data::accept(self, value, "")
    }
}
