//! The command line: one file a command. The only user of standard output, environment, clock and signals.

#![allow(clippy::print_stderr, reason = "the command line is where messages leave the program")]

mod again;
mod arguments;
mod cache;
mod callback;
mod check;
mod command_line;
mod configuration;
mod console;
mod explain;
mod file_help;
mod format;
mod git;
mod load;
mod models;
mod page;
mod reach;
mod recordings;
mod records;
mod report;
mod reports;
mod result;
mod review;
mod run;
mod run_log;
mod selection;
mod telemetry;
mod test;
mod test_files;
mod test_run;
mod verdicts;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::{CommandFactory, Parser};

use crate::config::Context;
use arguments::{Cli, Command};

/// The file, the command line or a configuration is wrong.
const WRONG: u8 = 2;
/// A run failed.
const FAILED: u8 = 3;
/// A recording does not have what was asked.
const MISSING: u8 = 5;
/// The run was interrupted.
const INTERRUPTED: u8 = 130;

/// Deep files recurse deeply: 64 MiB hold the deepest that the language allows.
const STACK: usize = 64 << 20;

/// Runs the program.
pub fn main() -> ExitCode {
    let worker = std::thread::Builder::new().name("chainrun".to_owned()).stack_size(STACK).spawn(start);
    match worker.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => ExitCode::from(code),
        _ => ExitCode::from(FAILED),
    }
}

/// The first word after the program's name.
fn near_word(words: &[std::ffi::OsString]) -> String {
    words.get(1).map(|w| w.to_string_lossy().into_owned()).unwrap_or_default()
}

fn start() -> u8 {
    let started = Instant::now();
    let words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if let Some(code) = file_help::try_help(&words) {
        return code;
    }
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(e) => {
            if let Some(near) = file_help::meant_command(&words) {
                eprintln!(
                    "error: there is no file and no command `{}`: did you mean `chainrun {near}`?",
                    near_word(&words)
                );
                return WRONG;
            }
            let code = if e.use_stderr() { WRONG } else { 0 };
            // A closed pipe is no reason to complain.
            let _ = e.print();
            return code;
        }
    };
    let env: BTreeMap<String, String> =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
    let cwd = std::env::current_dir().unwrap_or_else(|_| ".".into());
    let offline = cli.offline() || env.get("CHAINRUN_OFFLINE").is_some_and(|v| !v.is_empty() && v != "0");
    let context = Arc::new(Context::new(env, cwd, offline, started));
    match cli.command {
        None => run::run(&cli.run, &context),
        Some(Command::Check(args)) => check::check(&args, &context),
        Some(Command::Test(args)) => test::test(*args, &context),
        Some(Command::Report(args)) => report::report(&args, &context),
        Some(Command::Review(args)) => review::review(&args, &context),
        Some(Command::Explain(args)) => match page::asked(&args.run) {
            Some(word) => page::print(word, &args.run, &context),
            None => explain::explain(&args.run, &context),
        },
        Some(Command::Models(args)) => models::models(&args, &context),
        Some(Command::Cache(args)) => cache::cache(&args, &context),
        Some(Command::Completions { shell }) => {
            let mut command = Cli::command();
            clap_complete::generate(shell, &mut command, "chainrun", &mut std::io::stdout());
            0
        }
        Some(Command::Man) => match clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout()) {
            Ok(()) => 0,
            Err(_) => FAILED,
        },
    }
}
