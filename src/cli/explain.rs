//! `chainrun explain FILE`: every effective option with where it came from, and the prompts as they would be sent.

use std::fmt::Write;
use std::sync::Arc;

use super::arguments::RunArgs;
use super::command_line::StandardInput;
use super::console::{Console, print_line};
use super::run::{Ready, prepare};
use super::{FAILED, WRONG};
use crate::config::Context;
use crate::net::{BaseUrl, Proxies};
use crate::parsers::Parser;
use crate::plan::Ask;
use crate::providers::{Enforcement, ModelConfig, OptionValue, Prepared};
use crate::run::{Explained, ExplainedIndex, control_stages, explain as walk, explain_indexes};
use crate::source::Sources;
use crate::value::{Constraint, Request, RequestInput, Value};

/// Runs the command.
pub fn explain(args: &RunArgs, context: &Arc<Context>) -> u8 {
    let mut sources = Sources::new();
    let console = Console::new(context, args.quiet);
    let mut input = StandardInput::default();
    // No command is run here.
    let args = &RunArgs { allow_exec: true, ..args.clone() };
    let ready = match prepare(args, context, &mut sources, &console, &mut input) {
        Ok(ready) => ready,
        Err(code) => return code,
    };
    // A terminal is no input; the prompts that read it are shown as waiting for it.
    let stdin = ready.plan.stdin.and_then(|_| input.text().ok()).map(Value::from);
    let walked = walk(&ready.plan, &ready.variables, stdin.as_ref())
        .and_then(|calls| Ok((calls, explain_indexes(&ready.plan, &ready.variables)?)));
    let (calls, (indexes, made_by)) = match walked {
        Ok(walked) => walked,
        Err(diagnostic) => {
            console.report(&[*diagnostic], &sources);
            return if ready.plan.asks().next().is_some() { FAILED } else { WRONG };
        }
    };
    print_line(page(&ready, &[made_by, calls].concat(), &indexes, &sources, context).trim_end());
    0
}

fn page(
    ready: &Ready,
    calls: &[Explained],
    indexes: &[ExplainedIndex],
    sources: &Sources,
    context: &Context,
) -> String {
    let mut out = String::new();
    let plan = &ready.plan;
    let _ = writeln!(out, "chain {} of {} gives {}", plan.chain, plan.file, plan.result_type());
    for (variable, value) in plan.variables.iter().zip(&ready.variables).filter(|(v, _)| v.used) {
        let _ = writeln!(out, "  {}: {} = {}", variable.name, variable.ty, value.show(80));
    }
    hosts(&mut out, ready, calls, context);
    for (span, text) in control_stages(plan, &ready.models) {
        let _ = writeln!(out, "\nstage at {}\n  {text}", sources.place(span));
    }
    for index in indexes {
        let _ = writeln!(out, "\nindex {} at {}", index.name, sources.place(index.span));
        let files = match index.files {
            0 => String::new(),
            1 => " of 1 file".to_owned(),
            n => format!(" of {n} files"),
        };
        let _ = match index.pieces {
            Some(1) => writeln!(out, "  holds 1 piece{files}"),
            Some(n) => writeln!(out, "  holds {n} pieces{files}"),
            None => writeln!(out, "  its pieces wait for the answer of a model"),
        };
        let _ = writeln!(out, "  embedder: {}", ready.models.embedders[index.embedder.0 as usize].0.name);
    }
    for (config, embedder) in &ready.models.embedders {
        out.push('\n');
        let batches = embedder.batches();
        options(&mut out, "embedder", config);
        let _ = writeln!(out, "    {} texts in a batch, {} batches at a time", batches.texts, batches.at_once);
    }
    for call in calls {
        let _ = writeln!(out, "\ncall at {}", sources.place(call.span));
        for (i, model) in call.ask.models.iter().enumerate() {
            let config = &ready.models.configs[model.0 as usize];
            if i > 0 {
                let _ = writeln!(out, "  where that fails:");
            }
            options(&mut out, "model", config);
        }
        if let Some(parser) = &call.ask.parser {
            answer(&mut out, parser, &call.ask, ready);
        }
        match (&call.request, &call.waits) {
            (Some(request), _) => prompt(&mut out, request, ready, call),
            (None, Some(waits)) => {
                let _ = writeln!(out, "  prompt: waits for {waits}");
            }
            (None, None) => {}
        }
    }
    out
}

/// Who sees the prompts and the texts to be embedded: for each model its server, whether a proxy stands between, and where the server passes them on.
fn hosts(out: &mut String, ready: &Ready, calls: &[Explained], context: &Context) {
    let proxies = Proxies::new(context);
    let mut lines: Vec<String> = Vec::new();
    for model in calls.iter().flat_map(|call| &call.ask.models) {
        let at = model.0 as usize;
        let (config, provider) = (&ready.models.configs[at], &ready.models.providers[at]);
        let line = format!("  {}: {}", config.name, host(provider.server(), provider.beyond(), &proxies));
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    if !lines.is_empty() {
        let _ = writeln!(out, "\nprompts go to\n{}", lines.join("\n"));
    }
    if !ready.models.embedders.is_empty() {
        let _ = writeln!(out, "\ntexts to be embedded go to");
    }
    for (config, embedder) in &ready.models.embedders {
        let _ = writeln!(out, "  {}: {}", config.name, host(embedder.server(), None, &proxies));
    }
}

/// A server, and what stands before and behind it.
fn host(server: Option<&BaseUrl>, beyond: Option<&str>, proxies: &Proxies) -> String {
    let Some(base) = server else { return "this process".to_owned() };
    let proxy = proxies.towards(base).map(|(name, place)| format!(", through the proxy {place} of {name}"));
    let beyond = beyond.map(|who| format!(", which passes them on to {who}"));
    format!("{}:{}{}{}", base.host(), base.port(), beyond.unwrap_or_default(), proxy.unwrap_or_default())
}

/// What the parser gives, and what each model is held to.
fn answer(out: &mut String, parser: &Parser, ask: &Ask, ready: &Ready) {
    let ty = parser.output_type();
    let Some(constraint) = parser.constraint() else {
        let _ = writeln!(out, "  answer: {ty} (parsed alone)");
        return;
    };
    let mut sent = false;
    for model in &ask.models {
        let at = model.0 as usize;
        let (config, provider) = (&ready.models.configs[at], &ready.models.providers[at]);
        let enforcement = config.enforces(&constraint);
        let told = config.bool("constrain") != Some(false);
        sent |= told && enforcement == Enforcement::Enforced;
        let how = match enforcement {
            _ if !told => "checked alone: `constrain: false`".to_owned(),
            Enforcement::Enforced if provider.server().is_none() => "held to it token by token, and checked".to_owned(),
            Enforcement::Enforced => "asked of the server, and checked".to_owned(),
            Enforcement::Written => "checked alone: the answer is written".to_owned(),
            Enforcement::CheckedAlone(why) => format!("checked alone: {why}"),
            Enforcement::Never(why) => format!("checked alone: {why}"),
        };
        let who = if ask.models.len() > 1 { format!(" of {}", config.name) } else { String::new() };
        let _ = writeln!(out, "  answer{who}: {ty} ({how})");
    }
    match constraint {
        Constraint::JsonSchema(schema) if sent => drop(writeln!(out, "  schema: {schema}")),
        Constraint::Regex(pattern) if sent => drop(writeln!(out, "  pattern: {pattern}")),
        _ => {}
    }
}

fn options(out: &mut String, noun: &str, config: &ModelConfig) {
    let argument = config.argument.as_ref().map(|v| v.show(80)).unwrap_or_default();
    let _ = writeln!(out, "  {noun} {} = {}({argument})", config.name, config.spec.name);
    for spec in config.spec.all_options() {
        let set = config.options.get(spec.name);
        let shown = match set.map(|s| &s.value) {
            Some(OptionValue::Value(value)) => value.show(80),
            Some(OptionValue::Duration(d)) => format!("{d:?}"),
            Some(OptionValue::Size(n)) => format!("{n} bytes"),
            Some(OptionValue::Secret(_)) => "[secret]".to_owned(),
            None if spec.default.is_empty() => continue,
            None => spec.default.to_owned(),
        };
        let _ = writeln!(out, "    {}: {shown}  ({})", spec.name, config.origin(spec.name));
    }
}

fn prompt(out: &mut String, request: &Request, ready: &Ready, call: &Explained) {
    match &request.input {
        RequestInput::Messages(messages) => {
            for message in messages {
                let _ = writeln!(out, "  {}:", message.role.name());
                indented(out, &message.text);
                for image in &message.images {
                    let _ = writeln!(out, "    [{}: {}, {} bytes]", image.path, image.media_type, image.bytes.len());
                }
            }
        }
        RequestInput::Raw(segments) => {
            let _ = writeln!(out, "  raw:");
            indented(out, &segments.iter().map(|s| s.text.as_str()).collect::<String>());
        }
    }
    let Some(at) = call.ask.models.first().map(|m| m.0 as usize) else { return };
    let constraint = ready.models.configs[at].held_to(request.constraint.clone());
    let request = &Request { constraint, ..request.clone() };
    match ready.models.providers[at].prepare(request) {
        Ok(Prepared::Http { url, body }) => {
            let _ = writeln!(out, "  sent: POST {url}");
            indented(out, &serde_json::to_string_pretty(&Prepared::shown_body(&body)).unwrap_or_default());
        }
        Ok(Prepared::Text { text, tokens }) => {
            let _ = writeln!(out, "  rendered by the model's template ({} tokens):", tokens.len());
            indented(out, &text);
        }
        Ok(Prepared::Script { .. }) => {}
        Err(e) => {
            let _ = writeln!(out, "  not ready: {}", e.message);
        }
    }
}

fn indented(out: &mut String, text: &str) {
    for line in text.lines() {
        let _ = writeln!(out, "    {line}");
    }
}
