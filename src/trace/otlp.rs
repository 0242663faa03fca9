//! Spans as OpenTelemetry writes them: OTLP's JSON form, named by its semantic conventions, those for generative AI
//! among them.

use serde_json::{Value as Json, json};

use super::settings::Settings;
use super::span::{CallSpan, Clock, Detail, Outcome, Span};
use crate::event::Server;
use crate::store::digest;

/// Kinds of spans: one inside the program.
const INTERNAL: u8 = 1;
/// One that waits for a server.
const CLIENT: u8 = 3;
/// The status of a span that failed.
const ERROR: u8 = 2;

/// The numbers of a trace and its spans.
pub struct Ids {
    trace: String,
    /// What the numbers of spans are made of, so that no two runs have the same.
    seed: String,
    parent: Option<String>,
}

impl Ids {
    /// The numbers of a run: in the trace of its parent, else in one of its own. `seed` is different for each run.
    pub fn new(settings: &Settings, seed: &str) -> Self {
        let seed = digest(seed.as_bytes());
        let trace = settings.parent.as_ref().map_or_else(|| seed[..32].to_owned(), |parent| parent.trace.clone());
        Self { trace, seed, parent: settings.parent.as_ref().map(|parent| parent.span.clone()) }
    }

    /// The number of the trace.
    pub fn trace(&self) -> &str {
        &self.trace
    }

    fn span(&self, id: u64) -> String {
        let mut out = digest(format!("{}-{id}", self.seed).as_bytes());
        out.truncate(16);
        out
    }
}

/// One request to a collector, or one line of a file: an `ExportTraceServiceRequest`.
pub fn request(spans: Vec<Json>, settings: &Settings) -> Json {
    let version = env!("CARGO_PKG_VERSION");
    let sdk =
        [("telemetry.sdk.language", "rust"), ("telemetry.sdk.name", "chainrun"), ("telemetry.sdk.version", version)];
    let own = sdk.iter().map(|(key, value)| attribute(key, json!({ "stringValue": value })));
    let given = settings.resource.iter().map(|(key, value)| attribute(key, json!({ "stringValue": value })));
    let resource: Vec<Json> = given.chain(own).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{ "scope": { "name": "chainrun", "version": version }, "spans": spans }],
    }] })
}

/// A span; with `content`, prompt and answer are part of it.
pub fn span(span: &Span, clock: &Clock, ids: &Ids, content: bool) -> Json {
    let mut attributes = Attributes(Vec::new());
    let (name, kind) = match &span.detail {
        Detail::Run { file, chain } => {
            attributes.text("chainrun.chain", chain);
            attributes.text("code.file.path", file);
            (format!("run {chain}"), INTERNAL)
        }
        Detail::Stage { stage, place, path } => {
            attributes.text("chainrun.stage", stage);
            attributes.place(place);
            if !path.is_empty() {
                attributes.texts("chainrun.path", path.iter().map(AsRef::as_ref));
            }
            (format!("{stage} {place}"), INTERNAL)
        }
        Detail::Call(call) => {
            of_call(&mut attributes, call, content);
            let kind = if call.facts.server.is_some() { CLIENT } else { INTERNAL };
            (format!("{} {}", operation(call), call.model), kind)
        }
        Detail::Embedding { facts, dimensions, usage, cached, .. } => {
            attributes.text("gen_ai.operation.name", "embeddings");
            attributes.provider(facts.provider);
            attributes.text("gen_ai.request.model", &facts.model);
            attributes.int("gen_ai.embeddings.dimension.count", &json!(dimensions));
            if let Some(tokens) = usage.input {
                attributes.int("gen_ai.usage.input_tokens", &json!(tokens));
            }
            attributes.server(facts.server.as_ref());
            attributes.text("chainrun.model", &facts.name);
            if *cached {
                attributes.add("chainrun.cached", json!({ "boolValue": true }));
            }
            let kind = if facts.server.is_some() { CLIENT } else { INTERNAL };
            (format!("embeddings {}", facts.model), kind)
        }
    };
    let mut status = json!({});
    match &span.outcome {
        Outcome::Ok => {}
        Outcome::Cancelled => attributes.add("chainrun.cancelled", json!({ "boolValue": true })),
        Outcome::Failed { error, reason } => {
            attributes.text("error.type", reason);
            status = json!({ "code": ERROR, "message": error });
        }
    }
    let parent = span.parent.map(|id| ids.span(id)).or_else(|| ids.parent.clone()).unwrap_or_default();
    json!({
        "traceId": ids.trace,
        "spanId": ids.span(span.id),
        "parentSpanId": parent,
        "name": name,
        "kind": kind,
        "startTimeUnixNano": clock.nanoseconds(span.start).to_string(),
        "endTimeUnixNano": clock.nanoseconds(span.end).to_string(),
        "attributes": attributes.0,
        "status": status,
    })
}

/// The conventions' name for what a call does.
fn operation(call: &CallSpan) -> &'static str {
    if call.facts.raw { "text_completion" } else { "chat" }
}

/// Options that the conventions know, by their names there. Whole numbers are told from others.
const OPTIONS: &[(&str, &str, bool)] = &[
    ("temperature", "gen_ai.request.temperature", false),
    ("top_p", "gen_ai.request.top_p", false),
    ("top_k", "gen_ai.request.top_k", false),
    ("frequency_penalty", "gen_ai.request.frequency_penalty", false),
    ("presence_penalty", "gen_ai.request.presence_penalty", false),
    ("max_tokens", "gen_ai.request.max_tokens", true),
    ("seed", "gen_ai.request.seed", true),
];

fn of_call(attributes: &mut Attributes, call: &CallSpan, content: bool) {
    let facts = &call.facts;
    attributes.text("gen_ai.operation.name", operation(call));
    attributes.provider(call.provider);
    attributes.text("gen_ai.request.model", &call.model);
    for (option, name, whole) in OPTIONS {
        match facts.option(option) {
            Some(value) if *whole && value.is_i64() => attributes.int(name, value),
            Some(value) if !whole && value.is_number() => {
                attributes.add(name, json!({ "doubleValue": value.as_f64() }))
            }
            _ => {}
        }
    }
    match facts.option("stop") {
        Some(Json::String(text)) => attributes.texts("gen_ai.request.stop_sequences", std::iter::once(text.as_str())),
        Some(Json::Array(all)) => {
            attributes.texts("gen_ai.request.stop_sequences", all.iter().filter_map(Json::as_str));
        }
        _ => {}
    }
    if let Some(model) = &call.answered_by {
        attributes.text("gen_ai.response.model", model);
    }
    if let Some(finish) = call.finish {
        attributes.texts("gen_ai.response.finish_reasons", std::iter::once(finish.name()));
    }
    if let Some(first) = call.first_token {
        attributes.add("gen_ai.response.time_to_first_chunk", json!({ "doubleValue": first.as_secs_f64() }));
    }
    let counts = [
        ("gen_ai.usage.input_tokens", call.usage.input),
        ("gen_ai.usage.cache_read.input_tokens", call.usage.cached),
        ("gen_ai.usage.output_tokens", call.usage.output),
    ];
    for (name, count) in counts {
        if let Some(count) = count {
            attributes.int(name, &json!(count));
        }
    }
    attributes.server(facts.server.as_ref());
    attributes.text("chainrun.model", &facts.name);
    attributes.int("chainrun.tries", &json!(call.tries));
    if call.cached {
        attributes.add("chainrun.cached", json!({ "boolValue": true }));
    }
    if content {
        attributes.text("gen_ai.input.messages", &asked(call).to_string());
        attributes.text("gen_ai.output.messages", &answered(call).to_string());
    }
}

fn asked(call: &CallSpan) -> Json {
    let said = call.facts.messages.iter();
    said.map(|said| json!({ "role": said.role, "parts": [{ "type": "text", "content": said.text }] })).collect()
}

fn answered(call: &CallSpan) -> Json {
    let finish = call.finish.map_or("error", crate::value::Finish::name);
    let part = json!({ "type": "text", "content": call.answer });
    json!([{ "role": "assistant", "parts": [part], "finish_reason": finish }])
}

/// A list of attributes in OTLP's form.
struct Attributes(Vec<Json>);

impl Attributes {
    fn add(&mut self, key: &str, value: Json) {
        self.0.push(attribute(key, value));
    }

    fn text(&mut self, key: &str, text: &str) {
        self.add(key, json!({ "stringValue": text }));
    }

    /// A whole number, which JSON's form of OTLP writes as text.
    fn int(&mut self, key: &str, number: &Json) {
        self.add(key, json!({ "intValue": number.to_string() }));
    }

    fn texts<'t>(&mut self, key: &str, texts: impl Iterator<Item = &'t str>) {
        let values: Vec<Json> = texts.map(|text| json!({ "stringValue": text })).collect();
        self.add(key, json!({ "arrayValue": { "values": values } }));
    }

    fn provider(&mut self, name: &str) {
        self.text("gen_ai.provider.name", if name == "hf-endpoint" { "huggingface" } else { name });
    }

    fn server(&mut self, server: Option<&Server>) {
        if let Some(server) = server {
            self.text("server.address", &server.address);
            self.int("server.port", &json!(server.port));
        }
    }

    /// `file:line:column`.
    fn place(&mut self, place: &str) {
        let mut parts = place.rsplitn(3, ':');
        let (column, line, file) = (parts.next(), parts.next(), parts.next());
        if let (Some(file), Some(Ok(line)), Some(Ok(column))) =
            (file, line.map(str::parse::<u64>), column.map(str::parse::<u64>))
        {
            self.text("code.file.path", file);
            self.int("code.line.number", &json!(line));
            self.int("code.column.number", &json!(column));
        }
    }
}

fn attribute(key: &str, value: Json) -> Json {
    json!({ "key": key, "value": value })
}
