//! `chainrun check FILE…`: everything that is wrong, without running anything.

use std::collections::HashSet;
use std::sync::Arc;

use super::WRONG;
use super::arguments::CheckArgs;
use super::console::{Console, print_line};
use super::load;
use crate::config::Context;
use crate::diag::{Code, Diagnostic, Severity};
use crate::plan::{self, Declarations, ModelEntry, OptionCell};
use crate::source::Sources;

/// Runs the command.
pub fn check(args: &CheckArgs, context: &Arc<Context>) -> u8 {
    let console = Console::new(context, args.quiet);
    let mut wrong = false;
    for path in &args.files {
        let mut sources = Sources::new();
        let diagnostics = match load::file(path, &mut sources, context) {
            Ok(loaded) => all(&loaded, args, &mut sources, context),
            Err(diagnostic) => vec![*diagnostic],
        };
        let failed = console.report(&diagnostics, &sources);
        if !failed {
            console.write(&if args.quiet { String::new() } else { format!("{}: ok\n", path.display()) });
        }
        wrong |= failed;
    }
    if wrong { WRONG } else { 0 }
}

fn all(loaded: &load::Loaded, args: &CheckArgs, sources: &mut Sources, context: &Arc<Context>) -> Vec<Diagnostic> {
    let mut found = loaded.diagnostics.clone();
    let declarations = Declarations::collect(&loaded.tree, &loaded.libraries, &mut found);
    let mut settings = match load::settings(&[], loaded, sources, context) {
        Ok(settings) => settings,
        Err(wrong) => {
            found.extend(wrong);
            return found;
        }
    };
    // What a person may allow is no mistake in the file.
    settings.exec = plan::Execs::Noted;
    let checked = plan::check(sources, &loaded.tree, &declarations, &settings);
    found.extend(checked.diagnostics);
    let made: Vec<_> = checked.models.iter().map(|entry| plan::fixed_provider(entry, context)).collect();
    let embedders: Vec<_> = checked.embedders.iter().map(|entry| plan::fixed_embedder(entry, context)).collect();
    found.extend(made.iter().flatten().filter_map(|made| made.as_ref().err().map(|d| (**d).clone())));
    found.extend(embedders.iter().flatten().filter_map(|made| made.as_ref().err().map(|d| (**d).clone())));
    if found.iter().any(|d| d.severity == Severity::Error) {
        return found;
    }
    let asked = plan::testing::AskedChains::of(&loaded.tree, sources);
    let (tests, wrong) =
        plan::testing::collect(sources, &loaded.tree, &loaded.libraries, &settings, &loaded.name, &asked);
    found.extend(wrong);
    // Values that do not fit a variable are known before anything runs, too.
    found.extend(tests.iter().filter_map(|test| crate::testing::prepare(test).err()).flatten());
    if found.iter().any(|d| d.severity == Severity::Error) {
        return found;
    }
    let severity = if args.ready { Severity::Error } else { Severity::Note };
    let mut told = HashSet::new();
    let models = checked.models.iter().zip(made.iter().map(|made| made.as_ref()?.as_ref().ok()?.missing()));
    let embedders = checked.embedders.iter().zip(embedders.iter().map(|made| made.as_ref()?.as_ref().ok()?.missing()));
    for (entry, lacks) in models.take(checked.asked).chain(embedders.take(checked.embedding)) {
        let missing = missing(entry, lacks, severity, context);
        found.extend(missing.into_iter().filter(|d| told.insert((d.span, d.message.clone()))));
    }
    if args.signatures {
        for found in plan::signatures(sources, &declarations, &settings) {
            print_line(&signature(&found));
        }
    }
    found
}

/// A chain as its callers see it: `meaning(word: string, tone: string = "plain") -> Meaning`.
fn signature(found: &plan::Signature) -> String {
    let variable = |v: &plan::Variable| {
        let default = v.default.as_ref().map(|d| format!(" = {}", d.to_json())).unwrap_or_default();
        format!("{}: {}{default}", v.name, v.ty)
    };
    let variables: Vec<String> = found.variables.iter().map(variable).collect();
    let input = if found.reads_stdin { ", reads standard input" } else { "" };
    let result = match &found.result {
        // What is printed of them is their text.
        crate::value::Type::Message | crate::value::Type::Raw => &crate::value::Type::Text,
        other => other,
    };
    format!("{}({}) -> {result}{input}", found.chain, variables.join(", "))
}

/// What a model or embedder needs and this machine does not have: secrets, and what it `lacks` by its own account.
fn missing(entry: &ModelEntry, lacks: Option<String>, severity: Severity, context: &Context) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    for option in entry.options.values() {
        if let OptionCell::Secret(name) = &option.cell
            && context.var(name).is_none()
        {
            let message = format!("the secret `{name}` is not set in the environment");
            out.push(
                Diagnostic::new(severity, Code::E310, Some(option.span), message)
                    .help(format!("set it: `export {name}=…`")),
            );
        }
    }
    if let Some(text) = lacks {
        out.push(Diagnostic::new(severity, Code::E310, Some(entry.span), text));
    }
    out
}
