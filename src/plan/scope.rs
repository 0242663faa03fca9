//! Which names a place sees, and where their values come from.

use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;

use super::{Cell, Ref};
use crate::parsers::Parser;
use crate::source::Span;
use crate::value::Type;

/// A value in reach of a place, addressed from the outermost frame inwards.
#[derive(Clone, Debug, PartialEq)]
pub enum Home {
    /// A variable of the run.
    Variable(usize),
    /// A stage of the block at a depth.
    Slot(u32, u32),
    /// What the block at a depth was given on its left.
    Input(u32),
    /// An argument of the block at a depth.
    Argument(u32, u32),
    /// The failure that opened the block at a depth.
    Failure(u32),
    /// Standard input.
    Stdin,
}

impl Home {
    /// The reference to it from a block at `depth`.
    pub fn seen_from(&self, depth: u32) -> Ref {
        match *self {
            Home::Variable(i) => Ref::Variable(i),
            Home::Slot(at, slot) => Ref::Slot { up: depth - at, slot },
            Home::Input(at) => Ref::Input { up: depth - at },
            Home::Argument(at, index) => Ref::Argument { up: depth - at, index },
            Home::Failure(at) => Ref::Failure { up: depth - at },
            Home::Stdin => Ref::Stdin,
        }
    }
}

/// A name that was made on the way: an `as`, a parameter, an argument.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The name.
    pub name: String,
    /// Its value's home.
    pub home: Home,
    /// Its value's type.
    pub ty: Type,
    /// Where it was made.
    pub span: Span,
}

/// A name given to a prompt as an argument, whose value is made at the place of use.
#[derive(Clone, Debug)]
pub struct Given {
    /// How the value is made, seen from [`Given::depth`].
    pub cell: Cell,
    /// Its type.
    pub ty: Type,
    /// Where it is given.
    pub span: Span,
}

/// What a place sees.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Names made on the way, oldest first.
    pub names: Vec<Binding>,
    /// Arguments of the prompt that is being lowered.
    pub given: IndexMap<String, Given>,
    /// The value on the left, with its type.
    pub input: Option<(Home, Type)>,
    /// The text of the failure, right of `??`.
    pub failure: Option<Home>,
    /// What the place of use sees, for a chain without parameters.
    pub outer: Option<Rc<Scope>>,
    /// The parser behind the model that asks what the block gives, where the block has no model after that stage.
    pub ahead: Option<Arc<Parser>>,
    /// Whether variables of the file are out of sight: a chain with parameters.
    pub closed: bool,
    /// The number of the file whose chain closed it.
    pub closed_in: usize,
}

/// What a name means at a place.
pub enum Meaning {
    /// A value with its home.
    Home(Home, Type),
    /// A field of the value on the left.
    Field(Home, Type),
    /// An argument of the prompt.
    Given(Given),
    /// A name made on the way and a field of the value on the left at once.
    Both(Span),
    /// Nothing.
    Unknown,
}

impl Scope {
    /// The name made on the way that is called `name`, here or, for a chain without parameters, at its place of use.
    pub fn binding(&self, name: &str) -> Option<&Binding> {
        self.names.iter().rev().find(|b| b.name == name)
    }

    /// The type of the field `name` of the value on the left; a message's fields are never bare.
    pub fn field(&self, name: &str) -> Option<(&Home, Type)> {
        let (home, ty) = self.input.as_ref()?;
        field_of_all(ty, name).map(|t| (home, t))
    }

    /// What `name` means here.
    pub fn meaning(&self, name: &str) -> Meaning {
        if let Some(given) = self.given.get(name) {
            return Meaning::Given(given.clone());
        }
        let field = self.field(name);
        match (self.binding(name), field) {
            (Some(b), Some(_)) => Meaning::Both(b.span),
            (Some(b), None) => Meaning::Home(b.home.clone(), b.ty.clone()),
            (None, Some((home, ty))) => Meaning::Field(home.clone(), ty),
            (None, None) => self.outer.as_ref().map_or(Meaning::Unknown, |outer| outer.meaning(name)),
        }
    }

    /// Every name in reach that is not a variable, for suggestions.
    pub fn known(&self) -> Vec<String> {
        let mut all: Vec<String> = self.names.iter().map(|b| b.name.clone()).collect();
        all.extend(self.given.keys().cloned());
        if let Some((_, ty)) = &self.input {
            all.push("input".to_owned());
            all.extend(field_names(ty));
        }
        if self.failure.is_some() {
            all.push("error".to_owned());
        }
        if let Some(outer) = &self.outer {
            all.extend(outer.known());
        }
        all
    }
}

/// The type of a field that every alternative of `ty` has.
pub fn field_of_all(ty: &Type, name: &str) -> Option<Type> {
    match ty.unfolded() {
        Type::Record(record) => record.field(name).map(|f| f.ty.clone()),
        Type::Union(all) => {
            let mut out: Option<Type> = None;
            for part in all {
                let t = field_of_all(part, name)?;
                out = Some(match out {
                    Some(before) => before.join(t),
                    None => t,
                });
            }
            out
        }
        _ => None,
    }
}

/// The names of a type's fields.
pub fn field_names(ty: &Type) -> Vec<String> {
    match ty.unfolded() {
        Type::Record(record) => record.fields.iter().map(|f| f.name.clone()).collect(),
        Type::Union(all) => all.iter().flat_map(field_names).collect(),
        Type::Message => MESSAGE_FIELDS.iter().map(|(n, _)| (*n).to_owned()).collect(),
        Type::Optional(of) => field_names(of),
        _ => Vec::new(),
    }
}

/// The fields of a message, with their types' names.
pub const MESSAGE_FIELDS: &[(&str, Type)] = &[
    ("text", Type::Text),
    ("role", Type::Text),
    ("model", Type::Text),
    ("finish", Type::Text),
    ("tokens", Type::Any),
    ("seconds", Type::Float),
    ("reasoning", Type::Any),
    ("content", Type::Text),
    ("tool_calls", Type::Any),
];
