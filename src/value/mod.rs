//! Values that flow through a chain, their types, and what is said to a model.

mod constraint;
mod data;
mod datetime;
mod image;
mod message;
mod recursive;
mod schema;
mod schema_import;
mod secret;
mod shown;
mod tool;
mod types;
mod veil;

pub use constraint::Constraint;
pub use data::{Duration, Value, nearest};
pub use datetime::not_rfc3339;
pub use image::{Image, base64, from_base64, media_type};
pub use message::{Answer, Finish, Message, Request, RequestInput, Role, Segment, Tainted, Usage};
pub use recursive::Recursive;
pub use schema_import::{SchemaError, from_json_schema};
pub use secret::{Secret, redact, redact_json};
pub use tool::{ToolCall, ToolReply};
pub use types::{Field, Literal, Record, Type, TypeError};
pub use veil::Veil;
