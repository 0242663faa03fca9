//! What the environment says about OpenTelemetry: the variables of its specification that this program follows.

use super::sampler::Sampler;
use crate::config::Context;
use crate::net::BaseUrl;

use std::time::Duration;

/// The port of a collector that takes HTTP.
const PORT: u16 = 4318;

/// The longest time for one request to a collector.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What runs are called unless told.
const NAME: &str = "chainrun";

/// Where spans are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The collector's address, its path included.
    pub base: BaseUrl,
    /// Headers that go with each request. They may hold keys.
    pub headers: Vec<(String, String)>,
    /// The longest time for one request.
    pub timeout: Duration,
}

/// The span of another program that this run is a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its trace, in 32 hexadecimal digits.
    pub trace: String,
    /// Its span, in 16 hexadecimal digits.
    pub span: String,
    /// Whether the trace is kept.
    pub sampled: bool,
}

/// The settings, and what is wrong with them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Where spans are sent; none where nothing says so.
    pub endpoint: Option<Endpoint>,
    /// The span that the run is a part of.
    pub parent: Option<Parent>,
    /// Whether the run's spans are sent.
    pub sampler: Sampler,
    /// Whether prompts and answers are part of spans.
    pub content: bool,
    /// What the run belongs to: `service.name` and others.
    pub resource: Vec<(String, String)>,
    /// What is wrong, in words.
    pub warnings: Vec<String>,
}

/// The address of a collector's traces, whole.
const OF_TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

/// The address of a collector, to which the path of traces is added.
const OF_ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

impl Settings {
    /// Whether the environment names a collector.
    pub fn names_collector(context: &Context) -> bool {
        first(context, &[OF_TRACES, OF_ALL]).is_some()
    }

    /// Reads them.
    pub fn read(context: &Context) -> Self {
        let mut out = Self { resource: resource(context), content: content(context), ..Self::default() };
        out.endpoint = match endpoint(context) {
            Ok(endpoint) => endpoint,
            Err(why) => {
                out.warnings.push(format!("{why}: no spans are sent"));
                None
            }
        };
        out.parent = match context.var("TRACEPARENT").map(|text| (parent(text), text)) {
            Some((None, text)) => {
                out.warnings.push(format!("TRACEPARENT is no parent, as in 00-…-…-01, and is passed over: `{text}`"));
                None
            }
            Some((parent, _)) => parent,
            None => None,
        };
        out.sampler = Sampler::read(context, &mut out.warnings);
        out
    }
}

/// The first of several variables that is set, with its name.
fn first<'c>(context: &'c Context, names: &[&'static str]) -> Option<(&'static str, &'c str)> {
    names.iter().find_map(|name| Some((*name, context.var(name)?)))
}

fn endpoint(context: &Context) -> Result<Option<Endpoint>, String> {
    let Some((name, text)) = first(context, &[OF_TRACES, OF_ALL]) else { return Ok(None) };
    if context.var("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    match context.var("OTEL_TRACES_EXPORTER") {
        None | Some("otlp") => {}
        Some("none") => return Ok(None),
        Some(other) => return Err(format!("OTEL_TRACES_EXPORTER is `{other}`, and there are `otlp` and `none`")),
    }
    let protocols = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
    match first(context, &protocols) {
        // A collector takes both forms at the same place.
        None | Some((_, "http/json" | "http/protobuf")) => {}
        Some((name, other)) => return Err(format!("{name} is `{other}`, and spans are sent as `http/json` alone")),
    }
    if text.contains('@') {
        return Err(format!("{name} holds a name or a password: keys stand in OTEL_EXPORTER_OTLP_HEADERS"));
    }
    if !text.starts_with("http://") && !text.starts_with("https://") {
        return Err(format!("{name} is no address of the form http://host:port: `{text}`"));
    }
    let base = BaseUrl::parse(text, PORT).map_err(|why| format!("{name}: {why}"))?;
    let base = if name == OF_TRACES { base } else { base.with_suffix("/v1/traces") };
    let headers = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
    let headers = match first(context, &headers) {
        Some((name, text)) => {
            pairs(text).ok_or_else(|| format!("{name} is no list of the form name=value,name=value"))?
        }
        None => Vec::new(),
    };
    let timeouts = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    let timeout = match first(context, &timeouts) {
        Some((name, text)) => match text.trim().parse::<u64>() {
            Ok(milliseconds) if milliseconds > 0 => Duration::from_millis(milliseconds),
            _ => return Err(format!("{name} is no number of milliseconds: `{text}`")),
        },
        None => TIMEOUT,
    };
    Ok(Some(Endpoint { base, headers, timeout }))
}

fn resource(context: &Context) -> Vec<(String, String)> {
    let mut out = vec![("service.name".to_owned(), NAME.to_owned())];
    let given = context.var("OTEL_RESOURCE_ATTRIBUTES").and_then(pairs).unwrap_or_default();
    let name = context.var("OTEL_SERVICE_NAME").map(|name| ("service.name".to_owned(), name.to_owned()));
    for (key, value) in given.into_iter().chain(name) {
        out.retain(|(k, _)| *k != key);
        out.push((key, value));
    }
    out
}

fn content(context: &Context) -> bool {
    let said = context.var("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT").unwrap_or_default();
    ["true", "span_only", "span_and_event"].iter().any(|word| said.eq_ignore_ascii_case(word))
}

/// `name=value,name=value`, values percent-encoded.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=')?;
            let name = name.trim();
            (!name.is_empty()).then(|| (name.to_owned(), decoded(value.trim())))
        })
        .collect()
}

/// A text with its `%20`s decoded; what is no such form stays.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).filter(|_| *byte == b'%').and_then(|d| std::str::from_utf8(d).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// A parent as W3C's trace context writes it: `00-TRACE-SPAN-FLAGS`.
fn parent(text: &str) -> Option<Parent> {
    let parts: Vec<&str> = text.trim().split('-').collect();
    let [version, trace, span, flags, rest @ ..] = parts.as_slice() else { return None };
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let some = |text: &str| text.bytes().any(|b| b != b'0');
    let fits = hex(version, 2) && *version != "ff" && (*version != "00" || rest.is_empty());
    if !fits || !hex(trace, 32) || !hex(span, 16) || !hex(flags, 2) || !some(trace) || !some(span) {
        return None;
    }
    let sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
    Some(Parent { trace: (*trace).to_owned(), span: (*span).to_owned(), sampled })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn read(variables: &[(&str, &str)]) -> Settings {
        let env = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings::read(&Context::new(env, "/".into(), false, Instant::now()))
    }

    #[test]
    fn where_spans_are_sent() {
        let base = |variables: &[(&str, &str)]| read(variables).endpoint.map(|e| e.base.to_string());
        let (all, traces) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        assert_eq!(base(&[]), None);
        assert_eq!(base(&[(all, "http://h:4318")]).unwrap(), "http://h:4318/v1/traces");
        assert_eq!(base(&[(all, "https://h/otel/")]).unwrap(), "https://h:443/otel/v1/traces");
        assert_eq!(base(&[(all, "http://h:1"), (traces, "http://i:2/x")]).unwrap(), "http://i:2/x");
        assert_eq!(base(&[(all, "http://h:1"), ("OTEL_SDK_DISABLED", "true")]), None);
        assert_eq!(base(&[(all, "http://h:1"), ("OTEL_TRACES_EXPORTER", "none")]), None);
        assert!(base(&[(all, "http://h:1"), ("OTEL_SDK_DISABLED", "false")]).is_some());
        assert!(base(&[(all, "http://h:1"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]).is_some());
    }

    #[test]
    fn what_is_wrong_is_said_without_keys() {
        let of_h = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:1");
        for (variables, part) in [
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "h:4318")][..], "no address of the form"),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:s3cr3t@h")], "OTEL_EXPORTER_OTLP_HEADERS"),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:x")], "no port"),
            (&[of_h, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], "`http/json` alone"),
            (&[of_h, ("OTEL_TRACES_EXPORTER", "zipkin")], "`otlp` and `none`"),
            (&[of_h, ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")], "milliseconds"),
            (&[of_h, ("OTEL_EXPORTER_OTLP_HEADERS", "s3cr3t")], "name=value"),
        ] {
            let settings = read(variables);
            assert_eq!((settings.endpoint, settings.warnings.len()), (None, 1), "{variables:?}");
            assert!(settings.warnings[0].contains(part), "{}", settings.warnings[0]);
            assert!(!settings.warnings[0].contains("s3cr3t"), "{}", settings.warnings[0]);
        }
    }

    #[test]
    fn headers_and_resources() {
        let settings = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:1"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b=, x = 1 ,"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=first,team=a%2Cb"),
            ("OTEL_SERVICE_NAME", "second"),
        ]);
        let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let endpoint = settings.endpoint.unwrap();
        assert_eq!(endpoint.headers, [of("api-key", "a b="), of("x", "1")]);
        assert_eq!(endpoint.timeout, Duration::from_millis(1500));
        assert_eq!(settings.resource, [of("team", "a,b"), of("service.name", "second")]);
        assert_eq!(read(&[]).resource, [of("service.name", "chainrun")]);
    }

    #[test]
    fn parents_and_contents() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let of = |text: &str| parent(text).map(|p| (p.trace, p.span, p.sampled));
        let whole = |sampled| Some((trace.to_owned(), span.to_owned(), sampled));
        assert_eq!(of(&format!("00-{trace}-{span}-01")), whole(true));
        assert_eq!(of(&format!("00-{trace}-{span}-00")), whole(false));
        assert_eq!(of(&format!("01-{trace}-{span}-03-later")), whole(true));
        let upper = trace.to_uppercase();
        for bad in [
            "",
            "00",
            &format!("00-{trace}-{span}-01-more"),
            &format!("ff-{trace}-{span}-01"),
            &format!("00-{upper}-{span}-01"),
            &format!("00-{}-{span}-01", "0".repeat(32)),
            &format!("00-{trace}-{}-01", "0".repeat(16)),
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
        let of_h = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:1");
        let kept = |flags: &str| {
            let settings = read(&[of_h, ("TRACEPARENT", &format!("00-{trace}-{span}-{flags}"))]);
            settings.sampler.keeps(settings.parent.as_ref(), trace)
        };
        assert!(kept("01") && !kept("00"));
        assert_eq!(read(&[of_h, ("TRACEPARENT", "x")]).warnings.len(), 1);
        let content = |said| read(&[("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", said)]).content;
        assert!(content("true") && content("SPAN_ONLY") && !content("false") && !content("event_only") && !content(""));
    }
}
