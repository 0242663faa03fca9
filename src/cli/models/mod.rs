//! `chainrun models`: the models of the catalog, and those of an Ollama server. A name of the catalog is always the
//! catalog's, and `ollama:NAME` always the server's.

mod listing;
mod pulling;
mod removing;
mod showing;
mod words;

use std::sync::Arc;

use serde_json::Value as Json;

use super::arguments::{ModelsArgs, ModelsCommand};
use super::console::{Console, print_line};
use super::{FAILED, WRONG};
use crate::config::Context;
use crate::diag::Code;
use crate::models::{self, Entry};
use crate::providers::ProviderError;
use crate::providers::ollama::library::Library;

/// Runs the command.
pub fn models(args: &ModelsArgs, context: &Arc<Context>) -> u8 {
    let command = Command {
        console: Console::new(context, false),
        library: Library::new(args.host.clone(), context),
        named: args.host.is_some(),
        json: args.json,
        context: Arc::clone(context),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            command.console.write(&format!("error: no event loop can be made: {e}\n"));
            return FAILED;
        }
    };
    let done = runtime.block_on(async {
        match &args.command {
            ModelsCommand::List => command.list().await,
            ModelsCommand::Ps => command.ps().await,
            ModelsCommand::Show { name } => command.show(name).await,
            ModelsCommand::Rm { names } => command.remove(names).await,
            ModelsCommand::Pull { name } => command.pull(name).await,
        }
    });
    match done {
        Ok(()) => 0,
        Err(code) => code,
    }
}

/// What every one of them works with. An error is told when it comes; what goes on is the exit code.
struct Command {
    console: Console,
    library: Library,
    /// Whether the command line names the server.
    named: bool,
    json: bool,
    context: Arc<Context>,
}

/// What a name on the command line means.
enum Meant<'n> {
    /// A model of the catalog.
    Catalog(&'static Entry),
    /// A model of the server, by its name there.
    Server(&'n str),
}

impl Command {
    /// What a name means.
    ///
    /// # Errors
    /// It is empty.
    fn meant<'n>(&self, name: &'n str) -> Result<Meant<'n>, u8> {
        let on_server = name.strip_prefix("ollama:");
        if let (None, Some(entry)) = (on_server, models::find(name)) {
            return Ok(Meant::Catalog(entry));
        }
        let name = on_server.unwrap_or(name).trim();
        if name.is_empty() {
            self.console.write("error[E305]: no model is named\n  = help: as in `ollama:llama3.2:3b`\n");
            return Err(WRONG);
        }
        Ok(Meant::Server(name))
    }

    /// Tells of a failure; the exit code.
    fn failed(&self, error: &ProviderError) -> u8 {
        // A file says these as options of a model, the command line in its own way.
        const HERE: &[(&str, &str)] = &[
            ("`base_url: \"http://host:11434\"` on the model", "give `--host http://host:11434`"),
            ("`secret NAME` in the file and `api_key: NAME` on the model send one", "OLLAMA_API_KEY sends one"),
            ("the secret behind `api_key:`", "OLLAMA_API_KEY"),
            ("`api_key:` on the model", "OLLAMA_API_KEY here"),
            ("`base_url:` on the model", "`--host`"),
            ("`base_url:`", "`--host`"),
            ("`idle_timeout: 10m` on the model waits longer", "try again"),
        ];
        let here = |line: &String| HERE.iter().fold(line.clone(), |line, (from, to)| line.replace(from, to));
        self.error(error.kind.code(), &error.message, &error.help.iter().map(here).collect::<Vec<_>>())
    }

    fn error(&self, code: Code, message: &str, help: &[String]) -> u8 {
        let mut text = format!("error[{}]: {}\n", code.0, words::plain(message));
        for line in help {
            text.push_str(&format!("  = help: {}\n", words::plain(line)));
        }
        self.console.write(&text);
        FAILED
    }

    fn print_json(&self, json: &Json) {
        print_line(&words::json(json));
    }
}
