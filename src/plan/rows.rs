//! Rows of a data file that a file names: for examples and tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::data;
use super::paths::within;
use crate::diag::{Code, Diagnostic};
use crate::source::read_text;
use crate::syntax::ast::Str;
use crate::value::Value;

/// The true place of the data file that `written` names, confined to `project`. `whose` is what messages call its use.
pub fn place(project: &Path, base: &Path, written: &Str, whose: &str) -> Result<PathBuf, Box<Diagnostic>> {
    let text = written.text.as_str();
    if text.contains("{{") || text.contains("{%") {
        let message = format!("the path of {whose} is plain text, not a template");
        return Err(Box::new(Diagnostic::error(Code::E209, written.span, message)));
    }
    within(project, base, text).map_err(|e| Box::new(e.diagnostic(text, written.span)))
}

/// The rows of the data file at `full`, which `written` names. `rows` is what messages call them.
pub fn read(full: &Path, written: &Str, rows: &str) -> Result<Arc<Vec<Value>>, Box<Diagnostic>> {
    let name = written.text.as_str();
    let wrong = |code, message: String| Box::new(Diagnostic::error(code, written.span, message));
    if data::end(Path::new(name)).is_none() {
        let message = format!("`{name}` is no data file by its name");
        let ends = data::ENDS.iter().map(|e| format!("`.{e}`")).collect::<Vec<_>>().join(", ");
        return Err(Box::new(wrong(Code::E231, message).help(format!("names of data files end in {ends}"))));
    }
    let text = read_text(full).map_err(|e| wrong(Code::E001, format!("`{name}` cannot be read: {e}")))?;
    let value = data::read(Path::new(name), &text)
        .map_err(|e| wrong(Code::E231, format!("`{name}` cannot be read as data: {e}")))?;
    match value {
        Value::List(items) => Ok(items),
        Value::Null => Err(wrong(Code::E231, format!("`{name}` holds no {rows}"))),
        other => {
            let message = format!("`{name}` holds {}, and a list of maps is wanted", other.show(60));
            Err(wrong(Code::E231, message))
        }
    }
}
