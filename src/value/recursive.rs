//! A declared type where it stands inside its own declaration.

use std::sync::{Arc, OnceLock};

use super::Type;

/// A type that holds itself, by its name. It is made before what it stands for is known.
pub struct Recursive {
    /// The declared name.
    pub name: String,
    ty: OnceLock<Type>,
}

impl Recursive {
    /// The name of a type that is being resolved.
    pub fn new(name: &str) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), ty: OnceLock::new() })
    }

    /// Says what it stands for; only the first time counts.
    pub fn resolve(&self, ty: Type) {
        let _ = self.ty.set(ty);
    }

    /// What it stands for; anything while it is being resolved.
    pub fn ty(&self) -> &Type {
        self.ty.get().unwrap_or(&Type::Any)
    }
}

// What it stands for holds it again: the name is all that is shown and compared.
impl std::fmt::Debug for Recursive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recursive({})", self.name)
    }
}

impl PartialEq for Recursive {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.name == other.name
    }
}

impl Type {
    /// The type itself, where it is a name for one.
    pub fn unfolded(&self) -> &Type {
        match self {
            Type::Recursive(r) => r.ty(),
            other => other,
        }
    }

    /// Whether the type is `itself`, without a list, a map or a field between.
    pub fn is_bare(&self, itself: &Recursive) -> bool {
        match self {
            Type::Recursive(r) => std::ptr::eq(&**r, itself),
            Type::Optional(of) => of.is_bare(itself),
            Type::Union(all) => all.iter().any(|t| t.is_bare(itself)),
            _ => false,
        }
    }

    /// Whether some value of the type ends although one of `itself` does not.
    pub fn ends_without(&self, itself: &Recursive) -> bool {
        match self {
            Type::Recursive(r) => !std::ptr::eq(&**r, itself),
            Type::Union(all) => all.iter().any(|t| t.ends_without(itself)),
            Type::Record(record) => record.fields.iter().all(|f| f.ty.ends_without(itself)),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Field, Record, Value};
    use super::*;

    fn tree(name: &str) -> Type {
        let itself = Recursive::new(name);
        let kids = Type::List(Box::new(Type::Recursive(Arc::clone(&itself))));
        let field = |name: &str, ty| Field { name: name.to_owned(), ty, doc: None };
        let fields = vec![field("name", Type::Text), field("kids", kids)];
        let ty = Type::Record(Arc::new(Record { name: Some(name.to_owned()), fields, doc: None }));
        itself.resolve(ty.clone());
        ty
    }

    #[test]
    fn values_are_checked_at_any_depth() {
        let json = serde_json::json!({ "name": "a", "kids": [{ "name": "b", "kids": [{ "name": 3, "kids": [] }] }] });
        let error = tree("Tree").accept(&Value::from_json(&json)).unwrap_err();
        assert_eq!(error.path, ".kids[0].kids[0].name");
    }

    #[test]
    fn two_that_look_alike_fit() {
        assert!(tree("Tree").fits(&tree("Other")));
        assert!(!tree("Tree").fits(&Type::Map(Box::new(Type::Text))));
    }

    #[test]
    fn the_schema_names_it() {
        let schema = tree("Tree").json_schema();
        let reference = serde_json::json!({ "$ref": "#/$defs/Tree" });
        assert_eq!(schema["properties"]["kids"]["items"], reference);
        assert_eq!(schema["$defs"]["Tree"]["properties"]["kids"]["items"], reference);
    }
}
