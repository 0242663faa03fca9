//! A collector of OpenTelemetry, which gets spans over HTTP.

use serde_json::Value as Json;

use super::settings::Endpoint;
use crate::config::Context;
use crate::net::{Call, Client, FailureKind, Redirects};

/// The most bytes of a collector's answer that are read.
const ANSWER: usize = 1 << 20;

/// The way to a collector.
pub struct Collector {
    client: Client,
    url: String,
    timeout: std::time::Duration,
}

impl Collector {
    /// The way to an endpoint. Opens nothing.
    ///
    /// # Errors
    /// The run is offline, and the collector is not on this machine.
    pub fn new(endpoint: &Endpoint, context: &Context) -> Result<Self, String> {
        if context.offline && !endpoint.base.is_loopback() {
            return Err(format!(
                "the collector at {}:{} is not on this machine, and the run is offline",
                endpoint.base.host(),
                endpoint.base.port()
            ));
        }
        let client = Client::new(context, Redirects::Refuse).with_headers(endpoint.headers.clone());
        Ok(Self { client, url: endpoint.base.to_string(), timeout: endpoint.timeout })
    }

    /// The longest time for one request.
    pub fn timeout(&self) -> std::time::Duration {
        self.timeout
    }

    /// Sends a request; one try.
    ///
    /// # Errors
    /// It was not taken, in words.
    pub async fn send(&self, request: &Json) -> Result<(), String> {
        let sent = tokio::time::timeout(self.timeout, self.post(request)).await;
        sent.unwrap_or_else(|_| Err(format!("it gave no answer within {:?}", self.timeout)))
    }

    async fn post(&self, request: &Json) -> Result<(), String> {
        let call = Call { url: &self.url, body: Some(request), bearer: None, idle: self.timeout };
        let mut response = self.client.send(call).await.map_err(|failure| match failure.kind {
            // Its words may name a header.
            FailureKind::Request if failure.message.contains("header") => {
                "a header of OTEL_EXPORTER_OTLP_HEADERS is none".to_owned()
            }
            _ => failure.message,
        })?;
        if !response.is_success() {
            let status = response.status();
            let (text, ..) = response.refusal().await;
            return Err(format!("it answered {status}: {}", text.message));
        }
        // What is not read says nothing: the spans were taken.
        let body = response.body(ANSWER).await.unwrap_or_default();
        match serde_json::from_slice::<Json>(&body).ok().and_then(|answer| rejected(&answer)) {
            Some(why) => Err(why),
            None => Ok(()),
        }
    }
}

/// What a collector says of spans that it did not take, though it took others.
fn rejected(answer: &Json) -> Option<String> {
    let partial = answer.get("partialSuccess")?;
    let count = match partial.get("rejectedSpans")? {
        Json::String(digits) => digits.parse::<u64>().ok()?,
        number => number.as_u64()?,
    };
    let why = partial.get("errorMessage").and_then(Json::as_str).unwrap_or_default();
    (count > 0).then(|| format!("it refused {count} spans: {why}"))
}
