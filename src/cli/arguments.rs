//! The words of the command line. Parser, help, completions and the man page follow from this one place.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::reports::Wanted;

/// chainrun: run prompt chains, checked before the first token is spent.
#[derive(Parser)]
#[command(
    name = "chainrun",
    version,
    about = "Run prompt chains: strict, reproducible, offline first",
    long_about = None,
    args_conflicts_with_subcommands = true,
    subcommand_precedence_over_arg = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 ok, 2 usage or .chain error, 3 a run failed,\n5 a prompt that a recording does not have, 130 interrupted.\n\
                  A file called like a subcommand is written with its path: ./check"
)]
pub struct Cli {
    /// Running a file.
    #[command(flatten)]
    pub run: RunArgs,
    /// Another command.
    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Cli {
    /// Whether nothing but loopback may be reached.
    pub fn offline(&self) -> bool {
        match &self.command {
            None => self.run.offline,
            Some(Command::Explain(args)) => args.run.offline,
            Some(Command::Models(args)) => args.offline,
            Some(Command::Test(args)) => args.offline,
            _ => false,
        }
    }
}

/// Commands besides running a file.
#[derive(Subcommand)]
pub enum Command {
    /// Report everything that is wrong with files, without running anything
    Check(CheckArgs),
    /// Run the tests of files
    #[command(
        after_help = "Exit codes: 0 all passed, 1 an assertion failed, 2 usage or .chain error, 3 a run failed, \
                            4 no test selected,\n5 a recording missing or a snapshot pending, 6 a budget spent, \
                            130 interrupted. Of several the first of 130, 2, 3, 6, 5, 1."
    )]
    Test(Box<TestArgs>),
    /// Make reports of the logs that `chainrun test --log` wrote; of several logs, as parts of the same tests, one
    #[command(after_help = "The exit code is that of the tests.")]
    Report(ReportArgs),
    /// Go through snapshots that wait to be accepted, those below the working folder where nothing is named
    #[command(after_help = "Exit codes: 0 none waits any more, 2 usage or .chain error, 3 a file cannot be changed, \
                            5 some still wait.")]
    Review(ReviewArgs),
    /// Print every effective option with its origin and the rendered prompts, no model is called;
    /// or, for the code of a diagnostic as E204, what it means
    #[command(
        after_help = "`chainrun explain E204` prints what the code of a diagnostic means, with a wrong and a right \
                            example.\nA file of such a name is written with its path: ./E204"
    )]
    Explain(Box<ExplainArgs>),
    /// Fetch and list models
    Models(ModelsArgs),
    /// Tell how much is kept of answers (`cache: true` on a model) and of vectors, or remove it
    Cache(CacheArgs),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
}

/// What runs, and with what.
#[derive(Args, Clone, Default, PartialEq, Eq)]
pub struct RunArgs {
    /// The .chain file to run
    #[arg(value_name = "FILE", required_unless_present = "expression")]
    pub file: Option<PathBuf>,
    /// Run this pipeline instead of a file
    #[arg(short = 'e', long = "expression", value_name = "PIPELINE", conflicts_with = "file")]
    pub expression: Option<String>,
    /// The chain to run; else `main`, else the only one
    #[arg(long, value_name = "NAME")]
    pub chain: Option<String>,
    /// A variable: NAME=VALUE, NAME=@FILE, NAME=@- (standard input); @@ is a literal @
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub vars: Vec<String>,
    /// Variables from a YAML or JSON file
    #[arg(long = "vars", value_name = "FILE")]
    pub vars_files: Vec<PathBuf>,
    /// The default model, or another model or embedder in the place of NAME: an expression or PROVIDER:MODEL
    #[arg(long = "model", value_name = "[NAME=]MODEL")]
    pub models: Vec<String>,
    /// Let `exec` run the commands that the file names
    #[arg(long)]
    pub allow_exec: bool,
    /// How the result is printed
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: Option<Format>,
    /// Print the result as JSON; short for --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Write every event of the run as JSON lines to FILE; `-` is standard output, which then holds nothing else
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Write the run, each stage and each call as JSON lines to FILE, each once it is done, with its times
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Write OpenTelemetry spans to FILE as JSON lines; OTEL_EXPORTER_OTLP_ENDPOINT sends them to a collector
    #[arg(long, value_name = "FILE")]
    pub otlp: Option<PathBuf>,
    /// Record what models answer to FILE as JSON lines; `replay("FILE")` is a model that gives it again
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Start a command and write every event of the run on its standard input as it happens; may stand several times
    #[arg(long = "callback", value_name = "COMMAND")]
    pub callbacks: Vec<String>,
    /// How long a callback may read nothing, and how long it may go on after the run: 500ms, 5m; 30s unless told
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "callbacks")]
    pub callback_wait: Option<Duration>,
    /// Print the result when it is whole
    #[arg(long)]
    pub no_stream: bool,
    /// Print errors alone on standard error
    #[arg(short, long)]
    pub quiet: bool,
    /// Reach nothing but this machine
    #[arg(long)]
    pub offline: bool,
}

/// A length of time as `30s`.
fn duration(text: &str) -> Result<Duration, String> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" => return Err(format!("it wants a unit: {text}s, {text}ms, {text}m or {text}h")),
        other => return Err(format!("`{other}` is no unit of time: ms, s, m, h")),
    };
    let count: f64 = digits.parse().map_err(|_| "it begins with a number, as in 30s".to_owned())?;
    let total = count * seconds;
    if total > 0.0 && total <= 1e9 { Ok(Duration::from_secs_f64(total)) } else { Err("it is out of range".to_owned()) }
}

impl RunArgs {
    /// How the result is printed.
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format.unwrap_or_default() }
    }
}

/// How a result is printed.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text as it is, lists and maps as JSON
    #[default]
    Text,
    /// One JSON value
    Json,
    /// One JSON value a line: each item of a list, as soon as it is done
    Jsonl,
    /// A table with a header: a list of maps, of lists or of single values
    Csv,
    /// YAML
    Yaml,
}

/// What is checked.
#[derive(Args)]
pub struct CheckArgs {
    /// The .chain files
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Missing weights, tokens and servers are errors, not notes
    #[arg(long)]
    pub ready: bool,
    /// Print each chain with its variables and the type of its result
    #[arg(long)]
    pub signatures: bool,
    /// Print errors alone
    #[arg(short, long)]
    pub quiet: bool,
}

/// Which tests run, and how.
#[derive(Args)]
pub struct TestArgs {
    /// The .chain files, or folders of them
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Run the tests whose name holds this text
    #[arg(long, value_name = "TEXT")]
    pub filter: Vec<String>,
    /// Run the tests with this tag
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Run the I-th of N parts of the tests
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,
    /// Run the tests that did not pass the last time
    #[arg(long, conflicts_with = "changed")]
    pub failed: bool,
    /// Run the tests that reach something else than when they last passed, or than at the commit REF
    #[arg(long, value_name = "git:REF", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub changed: Option<String>,
    /// Cases that run at a time
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Stop at the first case that does not pass
    #[arg(long)]
    pub fail_fast: bool,
    /// Stop when this is spent: tokens=N, calls=N, time=10m, with commas between
    #[arg(long, value_name = "LIMITS")]
    pub budget: Option<String>,
    /// Accept every snapshot as it is now
    #[arg(long)]
    pub accept: bool,
    /// Where answers come from; without it `replay` where CI is set, else `auto`
    #[arg(long, value_name = "MODE", value_enum)]
    pub recordings: Option<RecordingsMode>,
    /// Remove recordings that no test asks for any more
    #[arg(long, conflicts_with_all = ["filter", "tag", "shard"])]
    pub prune: bool,
    /// Write the run log, JSON lines, to FILE
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Go on with the run whose log this is: finished cases are not run again, and the log is added to
    #[arg(long, value_name = "RUN.jsonl", conflicts_with = "log")]
    pub resume: Option<PathBuf>,
    /// Report as json, jsonl, junit, html, md or github to FILE, else to standard output; may stand several times
    #[arg(long = "report", value_name = "FORMAT[=FILE]", value_parser = super::reports::read)]
    pub reports: Vec<Wanted>,
    /// The default model, or another in the place of NAME: an expression or PROVIDER:MODEL
    #[arg(long = "model", value_name = "[NAME=]MODEL")]
    pub models: Vec<String>,
    /// Let `exec` run the commands that the files name
    #[arg(long)]
    pub allow_exec: bool,
    /// Print what did not pass, and nothing else
    #[arg(short, long)]
    pub quiet: bool,
    /// Reach nothing but this machine
    #[arg(long)]
    pub offline: bool,
}

/// Which logs are reported, and how.
#[derive(Args)]
pub struct ReportArgs {
    /// The logs
    #[arg(value_name = "RUN.jsonl", required = true)]
    pub logs: Vec<PathBuf>,
    /// Report as json, jsonl, junit, html, md or github to FILE, else to standard output; may stand several times
    #[arg(long = "report", value_name = "FORMAT[=FILE]", value_parser = super::reports::read)]
    pub reports: Vec<Wanted>,
}

/// Which snapshots are gone through, and how.
#[derive(Args)]
pub struct ReviewArgs {
    /// The .chain files, or folders of them
    #[arg(value_name = "FILE")]
    pub paths: Vec<PathBuf>,
    /// Accept all
    #[arg(long, conflicts_with_all = ["reject", "list", "prune"])]
    pub accept: bool,
    /// Reject all
    #[arg(long, conflicts_with_all = ["list", "prune"])]
    pub reject: bool,
    /// List them, and ask nothing
    #[arg(long, conflicts_with = "prune")]
    pub list: bool,
    /// Remove the snapshots that no test looks at any more
    #[arg(long)]
    pub prune: bool,
}

/// Where the answers of models come from in tests.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingsMode {
    /// From recordings alone: what is not recorded is an error, and nothing is called
    Replay,
    /// From recordings; what is not recorded is called, and recorded
    Auto,
    /// From models, and recorded anew
    Record,
    /// From models; recordings are neither read nor written
    Live,
}

/// What is explained.
#[derive(Args)]
pub struct ExplainArgs {
    /// What would run
    #[command(flatten)]
    pub run: RunArgs,
}

/// Models on this machine.
#[derive(Args)]
pub struct ModelsArgs {
    /// What to do
    #[command(subcommand)]
    pub command: ModelsCommand,
    /// The Ollama server, as OLLAMA_HOST names it: HOST, HOST:PORT or a whole address
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub host: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Reach nothing but this machine
    #[arg(long, global = true)]
    pub offline: bool,
}

/// Kept answers.
#[derive(Args)]
pub struct CacheArgs {
    /// What to do; without it, their numbers, sizes and folders
    #[command(subcommand)]
    pub command: Option<CacheCommand>,
}

/// What to do with kept answers.
#[derive(Subcommand)]
pub enum CacheCommand {
    /// Remove them
    Clear {
        /// Of these alone
        what: Option<Kept>,
    },
}

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kept {
    /// Answers of models
    Answers,
    /// Vectors of embedders
    Vectors,
}

/// What to do with models.
#[derive(Subcommand)]
pub enum ModelsCommand {
    /// List the models of the catalog and those of the Ollama server
    List,
    /// List the models that the Ollama server holds in memory
    Ps,
    /// Show a model: what it is, what it can do, its template, its licence
    Show {
        /// A name of the catalog, else of the Ollama server; `ollama:NAME` is always the server's
        name: String,
    },
    /// Remove models from this machine, or from the Ollama server
    Rm {
        /// Names of the catalog, else of the Ollama server; `ollama:NAME` is always the server's
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Fetch a model of the catalog, or have the Ollama server fetch one (`ollama:NAME`)
    Pull {
        /// Its name, as `smollm2:135m` or `ollama:llama3.2:3b`
        name: String,
    },
}
