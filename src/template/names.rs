//! Names and paths in templates.

use std::ops::Range;

/// One step of a path such as `m.items[0]["first-name"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPart {
    /// The name that the path begins with.
    Name(String),
    /// `.field`.
    Field(String),
    /// `["key"]`.
    Key(String),
    /// `[0]` or `.0`; a negative index counts from the end.
    Index(i64),
}

impl PathPart {
    /// The text of a name, a field or a key.
    pub fn text(&self) -> Option<&str> {
        match self {
            PathPart::Name(t) | PathPart::Field(t) | PathPart::Key(t) => Some(t),
            PathPart::Index(_) => None,
        }
    }
}

/// A use of a free name in a template or expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameUse {
    /// The steps; the first is always a [`PathPart::Name`].
    pub path: Vec<PathPart>,
    /// The bytes of the whole path in the text.
    pub range: Range<usize>,
    /// The bytes of the first name.
    pub name_range: Range<usize>,
    /// The bytes of the last step: the field, or what stands in the brackets.
    pub last_range: Range<usize>,
}

impl NameUse {
    /// The name that the path begins with.
    pub fn name(&self) -> &str {
        self.path.first().and_then(PathPart::text).unwrap_or_default()
    }
}
