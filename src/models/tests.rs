//! Downloads from a small server of our own.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;

use super::*;
use crate::config::Context;

/// The digest of 100,000 bytes `i % 251`.
const BODY_DIGEST: &str = "cd2df694e424bc7968cc37f47751019e5ca0cd1bdf2e479ea537c3a1c32ee1aa";

fn body() -> Vec<u8> {
    (0..100_000u32).map(|i| (i % 251) as u8).collect()
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("chainrun-models-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn entry(sha256: &'static str) -> Entry {
    const HUB: &[Source] = &[Source::Hub { repository: "o/r", revision: "main", file: "f.gguf" }];
    Entry { name: "test:1", doc: "", licence: "MIT", size: 100_000, sha256, sources: HUB }
}

fn context(models_dir: PathBuf, port: u16, offline: bool) -> Context {
    let env = BTreeMap::from([
        ("HF_ENDPOINT".to_owned(), format!("http://127.0.0.1:{port}")),
        ("HF_TOKEN".to_owned(), "hush".to_owned()),
    ]);
    let mut context = Context::new(env, PathBuf::new(), offline, std::time::Instant::now());
    context.models_dir = models_dir;
    context
}

/// Answers requests; the first answer ends after `cut` bytes. Gives the requests' heads.
fn server(cut: usize, requests: usize) -> (u16, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let mut heads = Vec::new();
        for i in 0..requests {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            let from: Option<usize> =
                head.split("range: bytes=").nth(1).map(|r| r.split('-').next().unwrap().parse().unwrap());
            let body = body().split_off(from.unwrap_or(0));
            let status = if from.is_some() { "206 Partial Content" } else { "200 OK" };
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).unwrap();
            stream.write_all(&body[..if i == 0 { body.len().min(cut) } else { body.len() }]).unwrap();
            heads.push(head);
        }
        heads
    });
    (port, thread)
}

#[tokio::test]
async fn a_cut_download_goes_on_where_it_ended() {
    let dir = folder("cut");
    let (port, thread) = server(40_000, 2);
    let mut events = Vec::new();
    let path = pull(&entry(BODY_DIGEST), &context(dir.clone(), port, false), &mut |e| events.push(e)).await.unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
    let heads = thread.join().unwrap();
    assert!(heads[0].starts_with("get /o/r/resolve/main/f.gguf "), "{}", heads[0]);
    assert!(!heads[0].contains("range:") && heads[1].contains("range: bytes=40000-"), "{heads:?}");
    assert!(heads.iter().all(|h| !h.contains("hush")), "the token went to a host that is not the hub's");
    assert_eq!(events.last(), Some(&PullEvent::Progress { done: 100_000, total: 100_000 }));
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn other_bytes_are_refused_and_removed() {
    let dir = folder("digest");
    let (port, thread) = server(usize::MAX, 1);
    let error = pull(&entry("00"), &context(dir.clone(), port, false), &mut |_| ()).await.unwrap_err();
    assert!(error.message.contains("other bytes arrived"), "{error}");
    let left: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert!(left.iter().all(|f| f.to_string_lossy().ends_with(".lock")), "{left:?}");
    thread.join().unwrap();
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn offline_says_what_to_type() {
    let error = pull(&entry(BODY_DIGEST), &context(folder("off"), 1, true), &mut |_| ()).await.unwrap_err();
    assert!(error.help.iter().any(|h| h.contains("chainrun models pull test:1")), "{error:?}");
    assert!(error.help.iter().any(|h| h.contains("local(\"./file.gguf\")")), "{error:?}");
}
