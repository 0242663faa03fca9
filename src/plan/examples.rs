//! `examples` of a prompt: rows of a data file or of a list, and what is said for each.

use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use super::lower::Lowerer;
use super::prompts::list;
use super::scope::field_names;
use super::templating::Place;
use super::{Cell, PromptPart, Ref, Rendering, rows};
use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{ExamplesEntry, ExamplesRows, Number, RoleText, Str};
use crate::template::{NameUse, PathPart, Template};
use crate::value::{Role, Type, Value};

/// Examples in a prompt.
#[derive(Debug)]
pub struct Examples {
    /// A list of maps.
    pub rows: Cell,
    /// How many of them are taken; none for all.
    pub take: Option<usize>,
    /// What is said for each row. Its names are fields of the row, which stands for the frame's input.
    pub roles: Vec<(Role, Arc<Rendering>)>,
    /// What messages call the rows.
    pub source: String,
    /// Where the rows are named.
    pub span: Span,
}

impl Examples {
    /// The rows that are taken of all.
    ///
    /// # Errors
    /// There are none, fewer than are taken, or one that lacks a field that is read.
    pub fn taken<'r>(&self, rows: &'r [Value]) -> Result<&'r [Value], Box<Diagnostic>> {
        let source = &self.source;
        let wrong = |message: String| Box::new(Diagnostic::error(Code::E231, self.span, message));
        let taken = match self.take {
            _ if rows.is_empty() => return Err(wrong(format!("{source} holds no examples"))),
            Some(n) if n > rows.len() => {
                let s = if rows.len() == 1 { "" } else { "s" };
                let message = format!("{source} holds {} example{s}, and {n} are taken", rows.len());
                let help = format!("write `take {}`, or leave it out for all", rows.len());
                return Err(Box::new(wrong(message).help(help)));
            }
            Some(n) => &rows[..n],
            None => rows,
        };
        for (i, row) in taken.iter().enumerate() {
            let Value::Map(map) = row else {
                let message = format!("example {} of {source} is {}, not a map of columns", i + 1, row.show(60));
                return Err(wrong(message));
            };
            for name in self.roles.iter().flat_map(|(_, rendering)| rendering.names.keys()) {
                if !map.contains_key(name) {
                    let known: Vec<String> = map.keys().cloned().collect();
                    let message = format!("example {} of {source} has no `{name}`", i + 1);
                    let diagnostic = wrong(message).did_you_mean(name, known.iter().map(String::as_str));
                    return Err(Box::new(diagnostic.help(format!("it has: {}", list(&known)))));
                }
            }
        }
        Ok(taken)
    }
}

/// What the rows of examples have: their columns, where these are known.
struct Columns {
    /// The names; none where they are known only at run time.
    names: Option<Vec<String>>,
    /// The type of a row.
    row: Type,
}

impl Lowerer<'_> {
    /// Examples of a prompt.
    pub(super) fn examples(&mut self, entry: &ExamplesEntry, place: &Place) -> Option<PromptPart> {
        let take = match &entry.take {
            Some(number) => Some(self.take(number)?),
            None => None,
        };
        let (rows, columns, source, span) = match &entry.rows {
            ExamplesRows::File(path) => {
                let rows = self.table(path)?;
                let maps = rows.iter().filter_map(|row| match row {
                    Value::Map(map) => Some(map.keys()),
                    _ => None,
                });
                let names: IndexSet<String> = maps.flatten().cloned().collect();
                let names = (!names.is_empty()).then(|| names.into_iter().collect());
                let columns = Columns { names, row: Type::Any };
                (Cell::Constant(Value::List(rows)), columns, format!("`{}`", path.text), path.span)
            }
            ExamplesRows::List(expr) => {
                let wanted = Type::List(Box::new(Type::Map(Box::new(Type::Any))));
                let inner = Place { scope: place.scope, ahead: None, infer: wanted.clone() };
                let (evaluation, ty) = self.expression(expr, &inner)?;
                if !ty.fits(&wanted) {
                    let message = format!("`examples` wants a list of maps, found {ty}");
                    let diagnostic = Diagnostic::error(Code::E211, expr.span, message);
                    self.error(diagnostic.help("one map is one example: `[{ text: …, label: … }]`"));
                    return None;
                }
                let row = match ty {
                    Type::List(of) => *of,
                    _ => Type::Any,
                };
                let names = matches!(row, Type::Record(_)).then(|| field_names(&row));
                (Cell::Expression(evaluation), Columns { names, row }, "the list".to_owned(), expr.span)
            }
        };
        let mut roles = Vec::with_capacity(entry.roles.len());
        let mut fine = true;
        for role in &entry.roles {
            match self.example_role(role, &columns, &source) {
                Some(role) => roles.push(role),
                None => fine = false,
            }
        }
        let examples = Examples { rows, take, roles, source, span };
        if fine
            && let Cell::Constant(Value::List(rows)) = &examples.rows
            && let Err(diagnostic) = examples.taken(rows)
        {
            self.error(*diagnostic);
            return None;
        }
        fine.then(|| PromptPart::Examples(Arc::new(examples)))
    }

    fn take(&mut self, number: &Number) -> Option<usize> {
        match number.digits.parse::<usize>() {
            Ok(n) if n > 0 && number.unit.is_empty() => Some(n),
            _ => {
                let message = format!("`take` wants a whole number from 1, found `{}{}`", number.digits, number.unit);
                self.error(Diagnostic::error(Code::E209, number.span, message));
                None
            }
        }
    }

    /// The rows of a data file.
    fn table(&mut self, path: &Str) -> Option<Arc<Vec<Value>>> {
        match self.read_table(path) {
            Ok(rows) => Some(rows),
            Err(diagnostic) => {
                self.error(*diagnostic);
                None
            }
        }
    }

    fn read_table(&mut self, path: &Str) -> Result<Arc<Vec<Value>>, Box<Diagnostic>> {
        let full = rows::place(&self.settings.project, self.base(), path, "`examples`").map_err(|diagnostic| {
            let help = "rows that the pipeline makes stand as `examples {{ rows }} { … }`";
            if diagnostic.code == Code::E209 { Box::new(diagnostic.help(help)) } else { diagnostic }
        })?;
        self.settings.reads.file(&full);
        if let Some(rows) = self.tables.get(&full) {
            return Ok(rows.clone());
        }
        let rows = rows::read(&full, path, "examples")?;
        self.tables.insert(full, rows.clone());
        Ok(rows)
    }

    /// What is said for each row, in which the columns alone are names.
    fn example_role(&mut self, said: &RoleText, columns: &Columns, source: &str) -> Option<(Role, Arc<Rendering>)> {
        self.no_control_tokens(&said.text);
        let role = Role::from_name(&said.role.name).filter(|r| matches!(r, Role::User | Role::Assistant));
        if role.is_none() {
            let message = format!("`{}` is no role of an example", said.role.name);
            let diagnostic = Diagnostic::error(Code::E104, said.role.span, message)
                .did_you_mean(&said.role.name, ["user", "assistant"].into_iter());
            self.error(diagnostic.help("an example is what `user` and `assistant` say"));
        }
        if let Some(image) = said.images.first() {
            let diagnostic = Diagnostic::error(Code::E104, image.span, "an example shows no picture");
            self.error(diagnostic.help("write `user \"…\" image(\"photo.png\")` outside `examples`"));
            return None;
        }
        let template = match Template::compile(&said.text.text) {
            Ok(template) => template,
            Err(e) => {
                self.error(super::templating::template_error(e, said.text.span, |r| said.text.locate(r)));
                return None;
            }
        };
        let mut names = IndexMap::new();
        let mut fine = true;
        for name_use in template.names() {
            let Some(PathPart::Name(name)) = name_use.path.first() else { continue };
            fine &= self.column(name, name_use, said, columns, source);
            names.insert(name.clone(), Cell::Field(Ref::Input { up: 0 }, name.clone()));
        }
        let rendering = Rendering { template: Arc::new(template), names, text: said.text.clone() };
        role.filter(|_| fine).map(|role| (role, Arc::new(rendering)))
    }

    fn column(&mut self, name: &str, name_use: &NameUse, said: &RoleText, columns: &Columns, source: &str) -> bool {
        let Some(known) = &columns.names else { return true };
        if !known.iter().any(|n| n == name) {
            let span = said.text.locate(&name_use.name_range);
            let message = format!("{source} has no column `{name}`");
            let diagnostic = Diagnostic::error(Code::E204, span, message)
                .did_you_mean(name, known.iter().map(String::as_str))
                .help(format!("inside `examples` the columns alone are names: {}", list(known)));
            self.error(diagnostic);
            return false;
        }
        match super::scope::field_of_all(&columns.row, name) {
            Some(ty) => self.fields(name_use, &ty, &|r| said.text.locate(r)).is_some(),
            None => true,
        }
    }
}
