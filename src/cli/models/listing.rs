//! `chainrun models list` and `ps`.

use serde_json::{Value as Json, json};

use super::super::console::print_line;
use super::{Command, words};
use crate::models::{self, Entry};
use crate::providers::ErrorKind;
use crate::providers::ollama::library::{Loaded, Tag};

impl Command {
    /// Lists the catalog and the models of the server. Where no server is named and none answers, the catalog alone.
    pub async fn list(&self) -> Result<(), u8> {
        let tags = match self.library.tags().await {
            Ok(tags) => tags,
            Err(error) if self.named || error.kind != ErrorKind::Unreachable => return Err(self.failed(&error)),
            Err(error) => {
                let message = words::plain(&error.message);
                self.console.note(&format!("the models of Ollama are not listed: {message}"));
                Vec::new()
            }
        };
        let installed = models::installed(&self.context);
        let path = |entry: &Entry| installed.iter().find(|i| i.entry == entry).map(|i| i.path.display().to_string());
        if self.json {
            let ours = models::catalog().iter().map(|entry| of_catalog(entry, path(entry)));
            self.print_json(&ours.chain(tags.iter().map(of_server)).collect());
            return Ok(());
        }
        let now = jiff::Timestamp::now();
        let ours = models::catalog().iter().map(|entry| {
            let place = match path(entry) {
                Some(path) => format!("here, {path}"),
                None => format!("not here; `chainrun models pull {}` fetches it", entry.name),
            };
            let (digest, size) = (words::digest(entry.sha256), words::size(entry.size));
            vec![entry.name.to_owned(), digest, size, String::new(), place]
        });
        let theirs = tags.iter().map(|tag| {
            let cloud = !tag.remote_host.is_empty();
            let place = if cloud { format!("Ollama, runs at {}", tag.remote_host) } else { "Ollama".to_owned() };
            let size = if cloud { "-".to_owned() } else { words::size(tag.size) };
            let modified = words::distance(&tag.modified_at, now);
            vec![
                words::plain(&tag.name),
                words::plain(&words::digest(&tag.digest)),
                size,
                modified,
                words::plain(&place),
            ]
        });
        let rows: Vec<Vec<String>> = ours.chain(theirs).collect();
        print_line(&words::table(&["NAME", "ID", "SIZE", "MODIFIED", "WHERE"], &rows));
        Ok(())
    }

    /// Lists what the server holds in memory.
    pub async fn ps(&self) -> Result<(), u8> {
        let loaded = self.library.loaded().await.map_err(|error| self.failed(&error))?;
        if self.json {
            self.print_json(&loaded.iter().map(in_memory).collect());
            return Ok(());
        }
        let now = jiff::Timestamp::now();
        let rows: Vec<Vec<String>> = loaded
            .iter()
            .map(|model| {
                let context = if model.context == 0 { String::new() } else { model.context.to_string() };
                let until = words::distance(&model.expires_at, now);
                let until = if until.ends_with("ago") { "Stopping...".to_owned() } else { until };
                let digest = words::plain(&words::digest(&model.digest));
                vec![words::plain(&model.name), digest, words::size(model.size), processor(model), context, until]
            })
            .collect();
        print_line(&words::table(&["NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"], &rows));
        Ok(())
    }
}

/// Which share of a model is computed where.
fn processor(model: &Loaded) -> String {
    match (model.size, model.size_vram) {
        (0, _) => "Unknown".to_owned(),
        (_, 0) => "100% CPU".to_owned(),
        (size, on_card) if on_card >= size => "100% GPU".to_owned(),
        (size, on_card) => {
            let cpu = ((size - on_card) as f64 / size as f64 * 100.0).round();
            format!("{cpu:.0}%/{:.0}% CPU/GPU", 100.0 - cpu)
        }
    }
}

/// An entry of the catalog as JSON.
fn of_catalog(entry: &Entry, path: Option<String>) -> Json {
    json!({
        "name": entry.name, "source": "catalog", "digest": entry.sha256, "size": entry.size, "modified_at": null,
        "parameters": null, "quantization": null, "remote_host": null, "path": path,
    })
}

/// A model of the server as JSON.
fn of_server(tag: &Tag) -> Json {
    json!({
        "name": tag.name, "source": "ollama", "digest": tag.digest, "size": tag.size,
        "modified_at": given(&tag.modified_at), "parameters": given(&tag.parameters),
        "quantization": given(&tag.quantization), "remote_host": given(&tag.remote_host), "path": null,
    })
}

/// A loaded model as JSON.
fn in_memory(model: &Loaded) -> Json {
    json!({
        "name": model.name, "digest": model.digest, "size": model.size, "size_vram": model.size_vram,
        "processor": processor(model), "context_length": Some(model.context).filter(|n| *n > 0),
        "expires_at": given(&model.expires_at),
    })
}

/// A text; null where there is none.
pub fn given(text: &str) -> Option<&str> {
    Some(text).filter(|t| !t.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_the_processors() {
        let share = |size, size_vram| processor(&Loaded { size, size_vram, ..Loaded::default() });
        assert_eq!(share(100, 0), "100% CPU");
        assert_eq!(share(100, 100), "100% GPU");
        assert_eq!(share(1000, 520), "48%/52% CPU/GPU");
        assert_eq!(share(0, 0), "Unknown");
    }
}
