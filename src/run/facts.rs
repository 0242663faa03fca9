//! What traces and recordings know of a call besides its events.

use crate::event::{CallFacts, Said, Server, Sink};
use crate::net::BaseUrl;
use crate::providers::{Effect, ModelConfig, OptionValue, Provider};
use crate::recording::{Asked, Recorded};
use crate::value::{Answer, Constraint, Request, RequestInput};

/// The facts of a call; its whole prompt only where `prompts` says that somebody shows it.
pub fn facts(
    config: &ModelConfig,
    provider: &dyn Provider,
    request: &Request,
    prompts: bool,
    sink: &Sink,
) -> CallFacts {
    CallFacts {
        name: config.name.clone(),
        raw: matches!(request.input, RequestInput::Raw(_)),
        server: provider.server().map(server),
        options: options(config, sink),
        waited: 0.0,
        messages: if prompts { messages(request, sink) } else { Vec::new() },
    }
}

/// Where a server is.
pub fn server(base: &BaseUrl) -> Server {
    Server { address: base.host().trim_matches(['[', ']']).to_owned(), port: base.port() }
}

/// An answer as a recording has it. `constraint` is what the parser behind the model takes.
pub fn recorded(
    config: &ModelConfig,
    request: &Request,
    constraint: Option<&Constraint>,
    answer: &Answer,
    sink: &Sink,
) -> Recorded {
    let asked = Asked::of(request, constraint).map(|text| sink.redact(text));
    let options = options(config, sink).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let model = sink.redact(&config.shown_model());
    Recorded::new((&config.name, config.spec.name, &model), options, asked, answer, sink.lengths().to_vec())
}

/// The options that change an answer, as the file or the command line gives them. A text that holds a secret shows none.
fn options(config: &ModelConfig, sink: &Sink) -> Vec<(&'static str, serde_json::Value)> {
    let of_model = |name: &str| config.spec.option(name).is_some_and(|spec| spec.effect == Effect::Model);
    let shown = config.options.iter().filter(|(name, _)| of_model(name));
    shown
        .filter_map(|(name, setting)| match &setting.value {
            OptionValue::Value(value) => Some((*name, sink.redact_json(value.to_json()))),
            OptionValue::Duration(length) => Some((*name, length.as_secs_f64().into())),
            OptionValue::Size(bytes) => Some((*name, (*bytes).into())),
            OptionValue::Secret(_) => None,
        })
        .collect()
}

fn messages(request: &Request, sink: &Sink) -> Vec<Said> {
    let said = |role: &'static str, text: &str| Said { role, text: sink.redact(text) };
    match &request.input {
        RequestInput::Messages(messages) => messages.iter().map(|m| said(m.role.name(), &m.text)).collect(),
        RequestInput::Raw(segments) => {
            vec![said("user", &segments.iter().map(|s| s.text.as_str()).collect::<String>())]
        }
    }
}
