//! The two ends that `benches/http_calls.py` puts programs between: a server that answers at once, and a bare client.
//!
//! `http server [--delay MILLISECONDS]` prints its port and speaks OpenAI's chat completions on it until it is ended. The
//! model's name `cN` asks for an answer of N pieces; asked for a stream it sends an event for each. It reads of a request what
//! it needs and writes bytes that are made before, so that it is faster than whatever asks it.
//!
//! `http client URL MODEL CALLS IN_FLIGHT` makes the same calls as `chainrun` with `reqwest` and nothing around it: one body
//! sent, the whole answer read, nothing parsed. It prints the seconds that all took.

#![allow(clippy::print_stdout, reason = "a program whose answers go to standard output")]

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match words.as_slice() {
        ["server"] => runtime.block_on(serve(Duration::ZERO)),
        ["server", "--delay", milliseconds] => runtime.block_on(serve(Duration::from_millis(milliseconds.parse()?))),
        ["client", url, model, calls, in_flight] => {
            let seconds = runtime.block_on(ask(url, model, calls.parse()?, in_flight.parse()?))?;
            println!("{seconds}");
            Ok(())
        }
        // `cargo bench` without words: that both ends work is all it says; `benches/http_calls.py` measures.
        [] => runtime.block_on(both()),
        _ => Err("http server [--delay MILLISECONDS] | http client URL MODEL CALLS IN_FLIGHT".into()),
    }
}

async fn both() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    tokio::spawn(accept(listener, Duration::ZERO));
    let seconds = ask(&url, "c4", 10_000, 64).await?;
    println!("bare client and server in one thread: {:.0} calls/s", 10_000.0 / seconds);
    Ok(())
}

async fn serve(delay: Duration) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    accept(listener, delay).await
}

/// Answers by the number of their pieces, whole and as a stream.
#[derive(Default)]
struct Answers(HashMap<(usize, bool), Arc<[u8]>>);

async fn accept(listener: TcpListener, delay: Duration) -> Outcome {
    let answers = Arc::new(std::sync::Mutex::new(Answers::default()));
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let answers = answers.clone();
        tokio::spawn(async move {
            // A client that goes away ends its connection.
            let _ = connection(socket, delay, &answers).await;
        });
    }
}

async fn connection(mut socket: TcpStream, delay: Duration, answers: &std::sync::Mutex<Answers>) -> Outcome {
    let mut seen: Vec<u8> = Vec::with_capacity(16 << 10);
    loop {
        let (end, length) = loop {
            if let Some(at) = find(&seen, b"\r\n\r\n") {
                break (at + 4, content_length(&seen[..at])?);
            }
            if socket.read_buf(&mut seen).await? == 0 {
                return Ok(());
            }
        };
        while seen.len() < end + length {
            if socket.read_buf(&mut seen).await? == 0 {
                return Ok(());
            }
        }
        let body = &seen[end..end + length];
        let streams = find(body, b"\"stream\":true").or_else(|| find(body, b"\"stream\": true")).is_some();
        let answer = answers.lock().map_err(|_| "a thread failed")?.of(pieces(body), streams);
        seen.drain(..end + length);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        socket.write_all(&answer).await?;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn content_length(head: &[u8]) -> Outcome<usize> {
    let head = std::str::from_utf8(head)?;
    let value = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    };
    Ok(head.lines().find_map(value).transpose()?.unwrap_or(0))
}

/// The number in the model's name `cN`.
fn pieces(body: &[u8]) -> usize {
    let at = find(body, b"\"c").map_or(0, |at| at + 2);
    let digits: String = body[at..].iter().map(|b| char::from(*b)).take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(1)
}

impl Answers {
    fn of(&mut self, pieces: usize, streams: bool) -> Arc<[u8]> {
        self.0.entry((pieces, streams)).or_insert_with(|| made(pieces, streams).into()).clone()
    }
}

/// The bytes of an answer, as a real server frames them: each event of a stream in a chunk of its own.
fn made(pieces: usize, streams: bool) -> Vec<u8> {
    let usage = format!("{{\"prompt_tokens\":8,\"completion_tokens\":{pieces},\"total_tokens\":{}}}", pieces + 8);
    if !streams {
        let text = "word ".repeat(pieces);
        let body = format!(
            "{{\"id\":\"x\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"c{pieces}\",\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\"finish_reason\":\"stop\"}}],\"usage\":{usage}}}"
        );
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
        return [head, body].concat().into_bytes();
    }
    let mut out = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let mut event = |data: &str| {
        let event = format!("data: {data}\n\n");
        out.extend(format!("{:x}\r\n{event}\r\n", event.len()).into_bytes());
    };
    let chunk = |choices: &str| {
        format!(
            "{{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"c{pieces}\",\"choices\":{choices}"
        )
    };
    let said =
        chunk("[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"word \"},\"finish_reason\":null}]}");
    (0..pieces).for_each(|_| event(&said));
    event(&chunk("[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}"));
    event(&chunk(&format!("[],\"usage\":{usage}}}")));
    event("[DONE]");
    out.extend(b"0\r\n\r\n");
    out
}

/// Makes calls, so many at a time, and gives the seconds that all took.
async fn ask(url: &str, model: &str, calls: usize, in_flight: usize) -> Outcome<f64> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{url}/chat/completions");
    let body = format!(
        "{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"What is the meaning of potato?\"}}],\"stream\":true,\"stream_options\":{{\"include_usage\":true}}}}"
    );
    let began = Instant::now();
    let all = stream::iter(0..calls).map(|_| {
        let request = client.post(&url).header("content-type", "application/json").body(body.clone());
        async move {
            let mut response = request.send().await?.error_for_status()?;
            let mut bytes = 0;
            while let Some(chunk) = response.chunk().await? {
                bytes += chunk.len();
            }
            Ok::<usize, reqwest::Error>(bytes)
        }
    });
    let mut all = std::pin::pin!(all.buffer_unordered(in_flight));
    while let Some(outcome) = all.next().await {
        outcome?;
    }
    Ok(began.elapsed().as_secs_f64())
}
