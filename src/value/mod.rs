//! Values that flow through a chain, their types, and what is said to a model.

mod constraint;
mod message;
mod schema;
mod secret;
mod types;
mod value;

pub use constraint::Constraint;
pub use message::{Answer, Finish, Message, Request, RequestInput, Role, Segment, Tainted, Usage};
pub use secret::{Secret, redact};
pub use types::{Field, Literal, Record, Type, TypeError};
pub use value::{Duration, Value, nearest};
