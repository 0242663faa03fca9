//! The one HTTP client.

use std::net::IpAddr;
use std::sync::{Once, OnceLock};
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url, redirect};

use super::{ErrorText, Failure, FailureKind, Proxies, Reply, classify};
use crate::config::Context;
use crate::value::Secret;

/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The most bytes of an error body that are read.
pub const ERROR_BODY: usize = 64 << 10;

/// What happens when a server points elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// It is an answer like another, which no model gives: a prompt is never sent to a server that nobody named.
    Refuse,
    /// Up to ten hops, for downloads. The key stays with the first host; offline, every hop must be loopback.
    Follow,
}

/// One request.
pub struct Call<'a> {
    /// The whole address.
    pub url: &'a str,
    /// The JSON body; with one a request that is sent is a POST, without one a GET.
    pub body: Option<&'a serde_json::Value>,
    /// The key for `Authorization: Bearer`.
    pub bearer: Option<&'a Secret>,
    /// The longest wait for the answer's head, and then for each piece of its body.
    pub idle: Duration,
}

/// The client. Making one opens and reads nothing; what TLS needs is loaded by the first request that needs it.
pub struct Client {
    offline: bool,
    redirects: Redirects,
    headers: Vec<(String, String)>,
    proxies: Proxies,
    plain: OnceLock<Result<reqwest::Client, String>>,
    full: OnceLock<Result<reqwest::Client, String>>,
}

impl Client {
    /// A client with the context's proxies and its offline rule.
    pub fn new(context: &Context, redirects: Redirects) -> Self {
        Self {
            offline: context.offline,
            redirects,
            headers: Vec::new(),
            proxies: Proxies::new(context),
            plain: OnceLock::new(),
            full: OnceLock::new(),
        }
    }

    /// The same, which sends headers of its own with every request. No message repeats their values.
    #[must_use]
    pub fn with_headers(mut self, headers: Vec<(impl Into<String>, String)>) -> Self {
        self.headers = headers.into_iter().map(|(name, value)| (name.into(), value)).collect();
        self
    }

    /// Sends a request and waits for the answer's head, whatever its status.
    ///
    /// # Errors
    /// Offline and not loopback (before a socket opens), nothing answers, no head within [`Call::idle`].
    pub async fn send(&self, call: Call<'_>) -> Result<Response, Failure> {
        let method = if call.body.is_some() { Method::POST } else { Method::GET };
        self.request(method, call).await
    }

    /// The same, as a DELETE.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn delete(&self, call: Call<'_>) -> Result<Response, Failure> {
        self.request(Method::DELETE, call).await
    }

    async fn request(&self, method: Method, call: Call<'_>) -> Result<Response, Failure> {
        let url = Url::parse(call.url)
            .map_err(|e| Failure::new(FailureKind::Request, format!("`{}` is no address: {e}", call.url)))?;
        let near = is_loopback(&url);
        if self.offline && !near {
            return Err(offline(&url));
        }
        let mut request = build(self.client(&url, near)?, method, &call)?;
        for (name, value) in &self.headers {
            request = request.header(name, header(name, value)?);
        }
        let place = place(&url);
        match tokio::time::timeout(call.idle, request.send()).await {
            Ok(Ok(inner)) => match self.coded(&inner) {
                Some(coding) => Err(coded(&place, coding, inner.status().as_u16())),
                None => Ok(Response { inner, place, idle: call.idle }),
            },
            Ok(Err(error)) => {
                let proxy = if near { None } else { self.proxies.variable(url.scheme()) };
                Err(unsent(&error, &place, proxy))
            }
            Err(_) => Err(silent(&place, call.idle)),
        }
    }

    /// How a body is packed, where it is although nobody asked for that. What is downloaded stays as it is.
    fn coded<'r>(&self, response: &'r reqwest::Response) -> Option<&'r str> {
        let coding = response.headers().get(CONTENT_ENCODING)?.to_str().unwrap_or("an unknown way").trim();
        let plain = coding.is_empty() || coding.eq_ignore_ascii_case("identity");
        (self.redirects == Redirects::Refuse && !plain).then_some(coding)
    }

    /// The client for an address. Without TLS a client is made in microseconds, with the system's roots in tens of
    /// milliseconds.
    fn client(&self, url: &Url, near: bool) -> Result<&reqwest::Client, Failure> {
        let plain = url.scheme() == "http"
            && self.redirects == Redirects::Refuse
            && (near || self.proxies.variable("http").is_none());
        let slot = if plain { &self.plain } else { &self.full };
        slot.get_or_init(|| self.make(plain)).as_ref().map_err(|e| Failure::new(FailureKind::Request, e.clone()))
    }

    fn make(&self, plain: bool) -> Result<reqwest::Client, String> {
        static PROVIDER: Once = Once::new();
        // An error here means that one is installed already.
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("chainrun/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(self.policy())
            // The environment is read by `cli` alone; its proxies come through the context.
            .no_proxy();
        builder = if plain { builder.tls_certs_only([]) } else { self.proxies.apply(builder)? };
        builder.build().map_err(|e| format!("cannot set up HTTP: {}", cause(&e)))
    }

    fn policy(&self) -> redirect::Policy {
        if self.redirects == Redirects::Refuse {
            return redirect::Policy::none();
        }
        let only_near = self.offline;
        redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() > 10 {
                attempt.error("more than ten redirects")
            } else if only_near && !is_loopback(attempt.url()) {
                let place = place(attempt.url());
                attempt.error(format!("it redirects to {place}, which is not on this machine, and the run is offline"))
            } else {
                attempt.follow()
            }
        })
    }
}

fn build(client: &reqwest::Client, method: Method, call: &Call<'_>) -> Result<reqwest::RequestBuilder, Failure> {
    let mut request = match call.body {
        Some(body) => {
            let bytes = serde_json::to_vec(body)
                .map_err(|e| Failure::new(FailureKind::Request, format!("the request is no JSON: {e}")))?;
            client.request(method, call.url).header(CONTENT_TYPE, "application/json").body(bytes)
        }
        None => client.request(method, call.url),
    };
    if let Some(secret) = call.bearer {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", secret.expose())).map_err(|_| {
            Failure::new(FailureKind::Request, "the key holds a character that no header can carry, a line end perhaps")
        })?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    Ok(request)
}

fn header(name: &str, value: &str) -> Result<HeaderValue, Failure> {
    let wrong =
        |_| Failure::new(FailureKind::Request, format!("the header {name} holds a character that it cannot carry"));
    HeaderValue::from_str(value).map_err(wrong)
}

/// An answer whose head is here.
pub struct Response {
    inner: reqwest::Response,
    place: String,
    idle: Duration,
}

impl Response {
    /// The status.
    pub fn status(&self) -> u16 {
        self.inner.status().as_u16()
    }

    /// Whether the status is one of success.
    pub fn is_success(&self) -> bool {
        self.inner.status().is_success()
    }

    /// The text of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// The length of the body in bytes, where the server told it.
    pub fn length(&self) -> Option<u64> {
        self.inner.content_length()
    }

    /// The next piece of the body; none at its end. The server is read no faster than this is called.
    ///
    /// # Errors
    /// The body breaks off, or no byte comes within [`Call::idle`].
    pub async fn chunk(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, Failure> {
        match tokio::time::timeout(self.idle, self.inner.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => {
                let message = format!("the connection to {} broke: {}", self.place, cause(&error));
                Err(Failure::new(FailureKind::Cut, message))
            }
            Err(_) => Err(silent(&self.place, self.idle)),
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Response::chunk`]; the body has more than `limit` bytes.
    pub async fn body(&mut self, limit: usize) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(piece) = self.chunk().await? {
            body.extend_from_slice(piece.as_ref());
            if body.len() > limit {
                let message = format!("{} answered more than {limit} bytes", self.place);
                return Err(Failure::new(FailureKind::Broken, message));
            }
        }
        Ok(body)
    }

    /// What the body of an error says, and whether another attempt may help. Reads at most [`ERROR_BODY`] bytes; a body
    /// that breaks off or is late counts as far as it came.
    pub async fn refusal(&mut self) -> (ErrorText, FailureKind, Option<Duration>) {
        // Who said no already is not waited for.
        self.idle = self.idle.min(Duration::from_secs(10));
        let mut body = Vec::new();
        while let Ok(Some(piece)) = self.chunk().await {
            body.extend_from_slice(piece.as_ref());
            if body.len() >= ERROR_BODY {
                body.truncate(ERROR_BODY);
                break;
            }
        }
        let text = ErrorText::read(&String::from_utf8_lossy(&body));
        let reply = Reply {
            status: self.status(),
            retry_after: self.header("retry-after"),
            retry_after_ms: self.header("retry-after-ms"),
            should_retry: self.header("x-should-retry"),
            rate_limit: self.header("ratelimit"),
            date: self.header("date"),
        };
        let (kind, wait) = classify(&reply, &text);
        (text, kind, wait)
    }
}

/// Whether an address is on this machine for certain. Names other than `localhost` are not: what they mean is for the
/// resolver to say.
pub fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Scheme, host and port, without the path.
fn place(url: &Url) -> String {
    let port = url.port_or_known_default().map(|p| format!(":{p}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

fn offline(url: &Url) -> Failure {
    let message = format!("{} is not on this machine, and the run is offline", place(url));
    Failure::new(FailureKind::Offline, message)
}

fn coded(place: &str, coding: &str, status: u16) -> Failure {
    let message = format!(
        "{place} answered ({status}) packed as `{coding}`, although it was asked for plain text: a proxy before it, perhaps"
    );
    Failure::new(FailureKind::Broken, message)
}

fn silent(place: &str, idle: Duration) -> Failure {
    Failure::new(FailureKind::TimedOut, format!("{place} sent no byte for {idle:?}"))
}

/// A request that got no head.
fn unsent(error: &reqwest::Error, place: &str, proxy: Option<&str>) -> Failure {
    let through = proxy.map(|name| format!(", through the proxy of {name}")).unwrap_or_default();
    let why = cause(error);
    if error.is_connect() && error.is_timeout() {
        let message = format!("{place} took no connection within {CONNECT_TIMEOUT:?}{through}");
        return Failure::new(FailureKind::TimedOut, message);
    }
    let kind = if error.is_builder() || error.is_redirect() || is_tls(error) {
        FailureKind::Request
    } else if why.contains("HTTP version") || why.contains("invalid HTTP") {
        FailureKind::Broken
    } else {
        FailureKind::Unreachable
    };
    let message = match kind {
        FailureKind::Broken => format!("what answers at {place} does not speak HTTP: {why}{through}"),
        FailureKind::Request if is_tls(error) => {
            format!(
                "no secure connection to {place}: {why}{through}; is it an http:// address, or its certificate bad?"
            )
        }
        _ if error.is_connect() => format!("cannot connect to {place}: {why}{through}"),
        _ => format!("{place} gave no answer: {why}{through}"),
    };
    Failure::new(kind, message)
}

/// The innermost cause: the outer layers say `error sending request` and the address again.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let text = deepest.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    if text == "Connection refused" { "connection refused".to_owned() } else { text.to_owned() }
}

/// Whether TLS itself said no: a bad certificate stays one.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        // The source of an I/O error is its content's source: the content itself is asked for by another name.
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(content) => Some(content),
            None => error.source(),
        };
    }
    false
}
