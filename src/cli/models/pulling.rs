//! `chainrun models pull`: the catalog's models are fetched here, others by the Ollama server.

use serde_json::json;

use super::super::WRONG;
use super::super::console::{Console, print_line};
use super::{Command, Meant, words};
use crate::diag::Code;
use crate::models::{self, Entry, PullEvent};
use crate::providers::ollama::library::{Pulling, with_tag};
use crate::value::nearest;

impl Command {
    /// Fetches a model.
    pub async fn pull(&self, name: &str) -> Result<(), u8> {
        match self.meant(name)? {
            Meant::Catalog(entry) => self.pull_entry(entry).await,
            Meant::Server(on_server) if name.starts_with("ollama:") => self.pull_by_server(on_server).await,
            Meant::Server(_) => Err(self.unknown(name)),
        }
    }

    async fn pull_entry(&self, entry: &'static Entry) -> Result<(), u8> {
        let mut said = |event: PullEvent| show(entry, &event, &self.console);
        let path = models::pull(entry, &self.context, &mut said)
            .await
            .map_err(|e| self.error(Code::E407, &e.message, &e.help))?;
        if self.json {
            self.print_json(&json!({
                "name": entry.name, "source": "catalog", "digest": entry.sha256, "size": entry.size,
                "path": path.display().to_string(),
            }));
        } else {
            print_line(&path.display().to_string());
        }
        Ok(())
    }

    async fn pull_by_server(&self, name: &str) -> Result<(), u8> {
        let place = self.library.place().map_err(|error| self.failed(&error))?;
        if !self.context.offline {
            self.console.note(&format!("Ollama at {place} fetches `{}`", words::plain(name)));
        }
        let mut last = String::new();
        let mut report = |news: Pulling| match news {
            Pulling::Part { name, done, total } => {
                let name = words::plain(&name);
                if name != last {
                    self.console.note(&format!("{name}, {}", words::size(total)));
                    last.clone_from(&name);
                }
                self.console.progress(&name, done, Some(total));
            }
            Pulling::Status(status) => {
                let status = words::plain(&status);
                if status != last {
                    self.console.note(&status);
                    last = status;
                }
            }
        };
        self.library.pull(name, &mut report).await.map_err(|error| self.failed(&error))?;
        let name = with_tag(name);
        if self.json {
            self.print_json(&json!({ "name": name, "source": "ollama", "server": place }));
        } else {
            print_line(&words::plain(&name));
        }
        Ok(())
    }

    /// A bare name that the catalog does not have: whether Ollama is meant is not guessed.
    fn unknown(&self, name: &str) -> u8 {
        let names: Vec<&str> = models::catalog().iter().map(|e| e.name).collect();
        let near = nearest(name, names.iter().copied()).map(|n| format!("did you mean `{n}`?"));
        let more = [
            format!("it has: {}", names.join(", ")),
            format!("`chainrun models pull ollama:{name}` has the Ollama server fetch its model of that name"),
            "another model is a file of your own: `local(\"./file.gguf\")`".to_owned(),
        ];
        let help: Vec<String> = near.into_iter().chain(more).collect();
        self.error(Code::E305, &format!("the catalog has no model `{name}`"), &help);
        WRONG
    }
}

fn show(entry: &Entry, event: &PullEvent, console: &Console) {
    match event {
        PullEvent::Trying(source) => {
            console.note(&format!("fetching `{}` ({} bytes, {}) from: {source}", entry.name, entry.size, entry.licence))
        }
        PullEvent::Progress { done, total } => console.progress(entry.name, *done, Some(*total)),
        PullEvent::Failed(source, reason) => console.note(&format!("{source} gave nothing: {reason}")),
        PullEvent::Waiting => console.note("another process fetches the same model; waiting for it"),
    }
}
