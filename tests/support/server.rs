//! A small HTTP/1.1 server on loopback that answers what a test tells it: whole answers, streams in pieces with pauses,
//! bytes one by one, cuts, stalls, streams without an end. It records every request and when clients left.
//!
//! ```ignore
//! let server = Server::start(|request| match request.path.as_str() {
//!     "/api/chat" => Reply::stream("application/x-ndjson").piece("{…}\n").pause(50).end(),
//!     _ => Reply::text(404, "404 page not found"),
//! });
//! ```

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method, as `POST`.
    pub method: String,
    /// The path, with its query.
    pub path: String,
    /// Headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Seen {
    /// The first header of a name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What a server does, step by step, for one request.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    steps: Vec<Step>,
    chunked: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Bytes(Vec<u8>),
    Drip(Vec<u8>, Duration),
    Pause(Duration),
    Endless(Vec<u8>),
    Stall,
    Close,
}

impl Reply {
    /// A whole answer with headers of its own.
    pub fn new(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        Self { steps: vec![Step::Bytes(head.into_bytes()), Step::Bytes(body.to_vec())], chunked: false }
    }

    /// A whole answer of plain text.
    pub fn text(status: u16, body: &str) -> Self {
        Self::new(status, &[("Content-Type", "text/plain")], body)
    }

    /// A whole answer of JSON.
    pub fn json(status: u16, body: &str) -> Self {
        Self::new(status, &[("Content-Type", "application/json")], body)
    }

    /// A recorded answer, byte for byte, framing included; then the connection is closed.
    pub fn recorded(bytes: &[u8]) -> Self {
        Self { steps: vec![Step::Bytes(bytes.to_vec()), Step::Close], chunked: false }
    }

    /// The same, each byte a segment of its own, `gap` apart.
    pub fn recorded_drip(bytes: &[u8], gap: Duration) -> Self {
        Self { steps: vec![Step::Drip(bytes.to_vec(), gap), Step::Close], chunked: false }
    }

    /// The head of a chunked answer with status 200; [`Reply::piece`] and others go on with it.
    pub fn stream(content_type: &str) -> Self {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n");
        Self { steps: vec![Step::Bytes(head.into_bytes())], chunked: true }
    }

    /// A head as it stands; the body goes on without framing.
    pub fn head(head: &str) -> Self {
        Self { steps: vec![Step::Bytes(head.as_bytes().to_vec())], chunked: false }
    }

    /// A piece of the body.
    #[must_use]
    pub fn piece(mut self, piece: impl AsRef<[u8]>) -> Self {
        let piece = self.framed(piece.as_ref());
        self.steps.push(Step::Bytes(piece));
        self
    }

    /// A wait in milliseconds.
    #[must_use]
    pub fn pause(mut self, milliseconds: u64) -> Self {
        self.steps.push(Step::Pause(Duration::from_millis(milliseconds)));
        self
    }

    /// The proper end of a chunked body.
    #[must_use]
    pub fn end(mut self) -> Self {
        self.steps.push(Step::Bytes(b"0\r\n\r\n".to_vec()));
        self
    }

    /// The connection is closed here, in mid-answer.
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.steps.push(Step::Close);
        self
    }

    /// Nothing more comes, until the client leaves.
    #[must_use]
    pub fn stall(mut self) -> Self {
        self.steps.push(Step::Stall);
        self
    }

    /// This piece again and again, until the client leaves.
    #[must_use]
    pub fn endless(mut self, piece: impl AsRef<[u8]>) -> Self {
        let piece = self.framed(piece.as_ref());
        self.steps.push(Step::Endless(piece));
        self
    }

    fn framed(&self, piece: &[u8]) -> Vec<u8> {
        if !self.chunked {
            return piece.to_vec();
        }
        let mut out = format!("{:x}\r\n", piece.len()).into_bytes();
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
        out
    }
}

#[derive(Default)]
struct State {
    requests: Mutex<Vec<Seen>>,
    closed: Mutex<Vec<Instant>>,
    connections: AtomicU64,
    sent: AtomicU64,
    stop: AtomicBool,
}

/// The server. It stops when it is dropped.
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
}

impl Server {
    /// Starts a server on a free port of 127.0.0.1. `answer` says what a request gets. What a client asks about a model
    /// before its first call (`/api/show`) is not among them: the answer is an old server's, and it is not recorded.
    pub fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::begin(answer, false)
    }

    /// The same, where every request is for `answer` to answer.
    pub fn whole(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::begin(answer, true)
    }

    fn begin(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static, whole: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let (shared, answer) = (Arc::clone(&state), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                let (shared, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                shared.connections.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || serve(stream.unwrap(), &shared, &*answer, whole));
            }
        });
        Self { address, state }
    }

    /// A server that gives every request the same answer.
    pub fn always(reply: Reply) -> Self {
        Self::start(move |_| reply.clone())
    }

    /// Its address, as `http://127.0.0.1:40000`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests so far, in their order.
    pub fn requests(&self) -> Vec<Seen> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Connections so far, those without a request included.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// When clients left in mid-answer.
    pub fn closed(&self) -> Vec<Instant> {
        self.state.closed.lock().unwrap().clone()
    }

    /// Bytes that the system took from this server so far.
    pub fn bytes_sent(&self) -> u64 {
        self.state.sent.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        drop(TcpStream::connect(self.address));
    }
}

/// An address where nothing listens.
pub fn dead_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Answers requests of a connection until either side has enough.
fn serve(mut stream: TcpStream, state: &State, answer: &dyn Fn(&Seen) -> Reply, whole: bool) {
    stream.set_nodelay(true).unwrap();
    let mut pending = Vec::new();
    while let Some(seen) = read_request(&mut stream, &mut pending) {
        let aside = !whole && seen.path.ends_with("/api/show");
        let reply = if aside { Reply::text(404, "404 page not found") } else { answer(&seen) };
        if !aside {
            state.requests.lock().unwrap().push(seen);
        }
        for step in &reply.steps {
            if !take(&mut stream, state, step) {
                return;
            }
        }
    }
}

/// Does a step; whether the connection still stands.
fn take(stream: &mut TcpStream, state: &State, step: &Step) -> bool {
    let open = match step {
        Step::Bytes(bytes) => write(stream, state, bytes),
        Step::Drip(bytes, gap) => bytes.chunks(1).all(|byte| {
            std::thread::sleep(*gap);
            write(stream, state, byte)
        }),
        Step::Pause(time) => wait(stream, state, Some(Instant::now() + *time)),
        Step::Stall => wait(stream, state, None),
        Step::Endless(bytes) => {
            while write(stream, state, bytes) {}
            false
        }
        Step::Close => {
            drop(stream.shutdown(std::net::Shutdown::Both));
            return false;
        }
    };
    if !open && !state.stop.load(Ordering::SeqCst) {
        state.closed.lock().unwrap().push(Instant::now());
    }
    open
}

/// Writes all bytes, as slowly as the client reads them; whether it is still there.
fn write(stream: &mut TcpStream, state: &State, mut bytes: &[u8]) -> bool {
    stream.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return false,
            Ok(n) => {
                state.sent.fetch_add(n as u64, Ordering::SeqCst);
                bytes = &bytes[n..];
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                if state.stop.load(Ordering::SeqCst) || gone(stream) {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
    true
}

/// Waits until a time, or for ever; false when the client leaves before.
fn wait(stream: &TcpStream, state: &State, until: Option<Instant>) -> bool {
    while until.is_none_or(|t| Instant::now() < t) {
        if state.stop.load(Ordering::SeqCst) || gone(stream) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// Whether the client closed its end.
fn gone(stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    match stream.peek(&mut [0]) {
        Ok(n) => n == 0,
        Err(e) => !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted),
    }
}

/// The next request; none when the client closes.
fn read_request(stream: &mut TcpStream, pending: &mut Vec<u8>) -> Option<Seen> {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let end = loop {
        if let Some(at) = pending.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        more(stream, pending)?;
    };
    let head = String::from_utf8_lossy(&pending[..end]).into_owned();
    pending.drain(..end + 4);
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(n, _)| n == "content-length").map_or(0, |(_, v)| v.parse().unwrap());
    while pending.len() < length {
        more(stream, pending)?;
    }
    let body = pending.drain(..length).collect();
    Some(Seen { method, path, headers, body })
}

fn more(stream: &mut TcpStream, pending: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(0) | Err(_) => None,
        Ok(n) => {
            pending.extend_from_slice(&buffer[..n]);
            Some(())
        }
    }
}
