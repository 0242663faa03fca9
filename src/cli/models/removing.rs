//! `chainrun models rm`.

use std::io::ErrorKind;

use serde_json::{Value as Json, json};

use super::super::console::print_line;
use super::{Command, Meant, words};
use crate::diag::Code;
use crate::models::{self, Entry};
use crate::providers::ollama::library::with_tag;

impl Command {
    /// Removes models, one after the other. What cannot be removed is told, and the others are all the same.
    pub async fn remove(&self, names: &[String]) -> Result<(), u8> {
        let mut code = Ok(());
        let mut removed: Vec<Json> = Vec::new();
        for name in names {
            let done = match self.meant(name)? {
                Meant::Catalog(entry) => self.remove_file(entry).map(|()| (entry.name.to_owned(), "catalog")),
                Meant::Server(name) => match self.library.remove(name).await {
                    Ok(()) => Ok((with_tag(name), "ollama")),
                    Err(error) => Err(self.failed(&error)),
                },
            };
            match done {
                Ok((name, source)) => {
                    if !self.json {
                        print_line(&format!("deleted `{}`", words::plain(&name)));
                    }
                    removed.push(json!({ "name": name, "source": source, "deleted": true }));
                }
                Err(failed) => code = Err(failed),
            }
        }
        if self.json {
            self.print_json(&Json::from(removed));
        }
        code
    }

    fn remove_file(&self, entry: &Entry) -> Result<(), u8> {
        let path = models::path_of(entry, &self.context);
        std::fs::remove_file(&path).map_err(|e| {
            let (name, path) = (entry.name, path.display());
            let (message, help) = match e.kind() {
                ErrorKind::NotFound => (
                    format!("the weights of `{name}` are not here: there is no file {path}"),
                    format!("a model of Ollama with this name is `ollama:{name}`"),
                ),
                _ => (format!("{path} cannot be removed: {e}"), format!("`{name}` is this file alone")),
            };
            self.error(Code::E407, &message, &[help])
        })
    }
}
