//! `chainrun check FILE…`: everything that is wrong, without running anything.

use std::sync::Arc;

use super::WRONG;
use super::arguments::CheckArgs;
use super::console::{Console, print_line};
use super::load;
use crate::config::Context;
use crate::diag::{Code, Diagnostic, Severity};
use crate::plan::{self, Declarations};
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
    found.extend(plan::check(sources, &loaded.tree, &declarations, &settings));
    found.extend(plan::refused_models(sources, &declarations, &settings, context));
    if found.iter().any(|d| d.severity == Severity::Error) {
        return found;
    }
    let severity = if args.ready { Severity::Error } else { Severity::Note };
    for chain in declarations.chains() {
        let Ok((plan, _)) = plan::lower(sources, &declarations, &settings, &loaded.name, chain) else { continue };
        if args.signatures {
            print_line(&signature(&plan));
        }
        for diagnostic in missing(&plan, severity, context) {
            if !found.iter().any(|d| d.span == diagnostic.span && d.message == diagnostic.message) {
                found.push(diagnostic);
            }
        }
    }
    found
}

/// A chain as its callers see it: `meaning(word: string, tone: string = "plain") -> Meaning`.
fn signature(plan: &plan::Plan) -> String {
    let variable = |v: &plan::Variable| {
        let default = v.default.as_ref().map(|d| format!(" = {}", d.to_json())).unwrap_or_default();
        format!("{}: {}{default}", v.name, v.ty)
    };
    let variables: Vec<String> = plan.variables.iter().filter(|v| v.used).map(variable).collect();
    let input = if plan.stdin.is_some() { ", reads standard input" } else { "" };
    let result = match plan.result_type() {
        // What is printed of them is their text.
        crate::value::Type::Message | crate::value::Type::Raw => crate::value::Type::Text,
        other => other,
    };
    format!("{}({}) -> {result}{input}", plan.chain, variables.join(", "))
}

/// What the models of a plan need and this machine does not have: weights, tokens, servers' names.
fn missing(plan: &plan::Plan, severity: Severity, context: &Arc<Context>) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    for entry in &plan.models {
        for option in entry.options.values() {
            if let plan::OptionCell::Secret(name) = &option.cell
                && context.var(name).is_none()
            {
                let message = format!("the secret `{name}` is not set in the environment");
                out.push(
                    Diagnostic::new(severity, Code::E310, Some(option.span), message)
                        .help(format!("set it: `export {name}=…`")),
                );
            }
        }
        if let Some(provider) = plan::fixed_provider(entry, context) {
            match provider {
                Ok(provider) => {
                    if let Some(text) = provider.missing() {
                        out.push(Diagnostic::new(severity, Code::E310, Some(entry.span), text));
                    }
                }
                Err(diagnostic) => out.push(*diagnostic),
            }
        }
    }
    out
}
