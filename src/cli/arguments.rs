//! The words of the command line. Parser, help, completions and the man page follow from this one place.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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
    after_help = "Exit codes: 0 ok, 2 usage or .chain error, 3 a run failed, 130 interrupted.\n\
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
            _ => false,
        }
    }
}

/// Commands besides running a file.
#[derive(Subcommand)]
pub enum Command {
    /// Report everything that is wrong with files, without running anything
    Check(CheckArgs),
    /// Print every effective option with its origin and the rendered prompts, no model is called;
    /// or, for the code of a diagnostic as E204, what it means
    #[command(
        after_help = "`chainrun explain E204` prints what the code of a diagnostic means, with a wrong and a right \
                            example.\nA file of such a name is written with its path: ./E204"
    )]
    Explain(ExplainArgs),
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
    /// Fetch a model of the catalog
    Pull {
        /// Its name, as `smollm2:135m`
        name: String,
    },
    /// List the catalog and what is on this machine
    List,
}
