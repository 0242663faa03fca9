//! What `ollama` makes of servers that refuse, stop, stall or never end, and of readers that are slow or leave.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/ollama.rs"]
mod ollama;
#[path = "support/server.rs"]
mod server;

use std::time::{Duration, Instant};

use chainrun::event::{self, FrameId, NodeId, Sink};
use chainrun::providers::{ErrorKind, OptionValue, ProviderError};
use ollama::{DONE, NDJSON, Setup, piece, recorded, runtime, says, text_of};
use server::{Reply, Seen, Server, dead_url};

#[test]
fn nobody_at_the_address() {
    let url = dead_url();
    let error = Setup::at(&url).error();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(error.message.contains(&url) && error.message.contains("connection refused"), "{error:?}");
    assert!(error.help[0].contains("ollama serve"));
    assert!(error.help[1].contains("OLLAMA_HOST") && error.help[1].contains("base_url"));
}

#[test]
fn a_missing_model() {
    let server = Server::start(|seen: &Seen| match seen.path.as_str() {
        "/api/tags" => Reply::recorded(&recorded("tags")),
        _ => Reply::recorded(&recorded("err_no_model_chat")),
    });
    let error = Setup { model: "smolm2", ..Setup::at(&server.url()) }.error();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.message.contains("model 'smollm2' not found"), "{error:?}");
    assert_eq!(error.help[0], "did you mean `smollm2`?");
    assert!(error.help[1].contains("smollm2:latest, tuber:latest"), "{error:?}");
    assert_eq!(error.help.last().unwrap(), "`ollama pull smolm2` fetches it");
    let error = Setup { model: "tuber:135m", ..Setup::at(&server.url()) }.error();
    assert_eq!(error.help[0], "did you mean `tuber`?");
    let bare = Server::start(|seen: &Seen| match seen.path.as_str() {
        "/api/tags" => Reply::json(200, "{\"models\":[]}"),
        _ => Reply::recorded(&recorded("err_no_model_chat")),
    });
    assert_eq!(Setup::at(&bare.url()).error().help[0], "there is no model on this server yet");
}

#[test]
fn refusals_in_words() {
    let ask = |reply: Reply| {
        let server = Server::always(reply);
        let error = Setup::at(&server.url()).error();
        assert_eq!(server.requests().len(), 1, "{error:?}");
        error
    };
    let help = |error: &ProviderError| error.help.join("\n");
    let error = ask(Reply::recorded(&recorded("err_404_route")));
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(help(&error).contains("is this an Ollama?"), "{error:?}");
    let error = ask(Reply::recorded(&recorded("err_host_header")));
    assert!(error.message.contains("403") && help(&error).contains("header Host"), "{error:?}");
    let error = ask(Reply::json(401, "{\"error\":\"unauthorized\"}"));
    assert!(error.message.contains("wants a key (401): unauthorized") && help(&error).contains("api_key"), "{error:?}");
    let error = ask(Reply::recorded(&recorded("err_option_type")));
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.message.contains("option \"temperature\" must be of type float32"), "{error:?}");
    let error = ask(Reply::recorded(&recorded("err_chat_too_long_truncate_false_stream")));
    assert_eq!(error.kind, ErrorKind::Overflow);
    assert!(error.message.contains("1121 tokens") && error.message.contains("256"), "{error:?}");
    assert!(help(&error).contains("`num_ctx: 2048`"), "{error:?}");
    let error = ask(Reply::new(307, &[("Location", "http://elsewhere.example/api/chat")], ""));
    assert!(error.kind == ErrorKind::Refused && error.message.contains("elsewhere.example"), "{error:?}");
    let error = ask(Reply::text(502, "<html>Bad Gateway</html>"));
    assert!(error.message.contains("502") && error.message.contains("Bad Gateway"), "{error:?}");
}

#[test]
fn what_may_be_tried_again() {
    let kind = |reply: Reply| Setup::at(&Server::always(reply).url()).error();
    for status in [408, 409, 429, 500, 502, 503, 504] {
        assert_eq!(kind(Reply::text(status, "later")).kind, ErrorKind::Busy, "{status}");
    }
    for status in [400, 401, 403, 404, 405, 410, 413, 422, 451, 499, 501] {
        assert_eq!(kind(Reply::text(status, "no")).kind, ErrorKind::Refused, "{status}");
    }
    assert_eq!(kind(Reply::recorded(&recorded("queue_7"))).kind, ErrorKind::Busy);
    assert_eq!(kind(Reply::recorded(&recorded("runner_killed_chat"))).kind, ErrorKind::Busy);
    let error = kind(Reply::new(429, &[("Retry-After", "1.5")], ""));
    assert_eq!((error.kind, error.retry_after), (ErrorKind::Busy, Some(Duration::from_millis(1500))));
    let error = kind(Reply::new(429, &[("Retry-After", "300")], ""));
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.help[0].contains("300 s"), "{error:?}");
}

#[test]
fn streams_that_end_early() {
    let ask = |reply: Reply| Setup::at(&Server::always(reply).url()).ask(&says("Hi"));
    let (error, events) = ask(Reply::recorded(&recorded("server_killed_stream")));
    let error = error.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Broken);
    let bytes = text_of(&events).len();
    assert!(bytes > 0 && error.message.contains(&format!("ended early after {bytes} bytes")), "{error:?}");
    let (error, events) = ask(Reply::recorded(&recorded("runner_killed_generate_stream")));
    let error = error.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Broken);
    assert!(error.message.contains("unexpected EOF") && !events.is_empty(), "{error:?}");
    for (reply, kind) in [
        // A proper end of the body that is none of the answer.
        (Reply::stream(NDJSON).piece(piece("a")).end(), ErrorKind::Broken),
        (Reply::stream(NDJSON).end(), ErrorKind::Unreachable),
        (Reply::stream(NDJSON).cut(), ErrorKind::Unreachable),
        (Reply::stream(NDJSON).piece("{\"model\":\"sm").cut(), ErrorKind::Unreachable),
        (Reply::stream(NDJSON).piece(piece("a")).piece("{\"mod").end(), ErrorKind::Broken),
        (Reply::stream(NDJSON).piece("{\"error\":\"runner died\"}\n").end(), ErrorKind::Busy),
        (Reply::stream(NDJSON).piece("{\"error\":\"invalid format\"}\n").end(), ErrorKind::Refused),
        (Reply::default().cut(), ErrorKind::Unreachable),
    ] {
        let shown = format!("{reply:?}");
        let error = ask(reply).0.unwrap_err();
        assert_eq!(error.kind, kind, "{error:?} {shown}");
    }
    let error = ask(Reply::stream(NDJSON).piece("<html>\n").end()).0.unwrap_err();
    assert!(error.kind == ErrorKind::Broken && error.message.contains("<html>"), "{error:?}");
    let error = ask(Reply::recorded(b"SSH-2.0-potato\r\n")).0.unwrap_err();
    assert!(error.kind == ErrorKind::Broken && error.message.contains("does not speak HTTP"), "{error:?}");
}

#[test]
fn silence_is_a_time_out() {
    let idle = || OptionValue::Duration(Duration::from_millis(100));
    let ask = |reply: Reply| Setup::at(&Server::always(reply).url()).set("idle_timeout", idle()).error();
    assert_eq!(ask(Reply::default().stall()).kind, ErrorKind::TimedOut);
    let error = ask(Reply::stream(NDJSON).piece(piece("a")).stall());
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert!(error.message.contains("100ms") && error.help[0].contains("idle_timeout"), "{error:?}");
    // Slow is not silent: no time-out bounds the whole.
    let mut slow = Reply::stream(NDJSON);
    for _ in 0..6 {
        slow = slow.piece(piece("a")).pause(50);
    }
    let server = Server::always(slow.piece(DONE).end());
    let (answer, _) = Setup::at(&server.url()).set("idle_timeout", idle()).ask(&says("Hi"));
    assert_eq!(answer.unwrap().text, "aaaaaa");
}

#[test]
fn answers_have_a_limit() {
    let server = Server::always(Reply::stream(NDJSON).endless(piece(&"potato ".repeat(100))));
    let setup = Setup { max_bytes: Some(10_000), ..Setup::at(&server.url()) };
    assert_eq!(setup.error().kind, ErrorKind::TooLarge);
    let server = Server::always(Reply::stream(NDJSON).endless("no line end here ".repeat(100)));
    let setup = Setup { max_bytes: Some(10_000), ..Setup::at(&server.url()) };
    assert_eq!(setup.error().kind, ErrorKind::TooLarge);
    // An error body without an end.
    let server = Server::always(Reply::head("HTTP/1.1 400 X\r\n\r\n").endless("word ".repeat(1000)));
    let error = Setup::at(&server.url()).error();
    assert!(error.kind == ErrorKind::Refused && error.message.len() < 700, "{error:?}");
}

#[test]
fn a_slow_reader_slows_the_server() {
    let server = Server::always(Reply::stream(NDJSON).endless(piece(&"potato ".repeat(1000))));
    let provider = Setup::at(&server.url()).build().unwrap();
    runtime(async {
        let (sender, mut reader) = event::channel();
        let mut sink = Sink::new(sender, FrameId(0), NodeId(0), Vec::new().into(), u64::MAX);
        let request = says("Hi");
        let prepared = provider.prepare(&request).unwrap();
        let call = provider.generate(&request, &prepared, &mut sink);
        let reading = async {
            // One event, then nothing: the buffers fill and everything stands.
            reader.recv().await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            let before = server.bytes_sent();
            tokio::time::sleep(Duration::from_secs(1)).await;
            (before, server.bytes_sent())
        };
        tokio::select! {
            result = call => panic!("{result:?}"),
            (before, after) = reading => {
                assert_eq!(before, after, "the server goes on");
                // 256 waiting events of 7 kB and the system's buffers for a socket.
                assert!(after < 24 << 20, "{after} bytes");
            }
        }
    });
}

#[test]
fn dropping_the_call_closes_the_connection() {
    let server = Server::always(Reply::stream(NDJSON).piece(piece("a")).stall());
    let provider = Setup::at(&server.url()).build().unwrap();
    runtime(async {
        let (sender, mut reader) = event::channel();
        let mut sink = Sink::new(sender, FrameId(0), NodeId(0), Vec::new().into(), 1 << 20);
        let request = says("Hi");
        let prepared = provider.prepare(&request).unwrap();
        let call = provider.generate(&request, &prepared, &mut sink);
        tokio::select! {
            result = call => panic!("{result:?}"),
            event = reader.recv() => assert!(event.is_some()),
        }
        let dropped = Instant::now();
        while server.closed().is_empty() {
            assert!(dropped.elapsed() < Duration::from_secs(5), "the connection stays open");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let time = server.closed()[0].saturating_duration_since(dropped);
        assert!(time < Duration::from_millis(200), "{time:?}");
    });
}

#[test]
fn a_reader_that_leaves_stops_the_call() {
    let server = Server::always(Reply::stream(NDJSON).endless(piece("a")));
    let provider = Setup::at(&server.url()).build().unwrap();
    let error = runtime(async {
        let (sender, mut reader) = event::channel();
        let mut sink = Sink::new(sender, FrameId(0), NodeId(0), Vec::new().into(), 1 << 30);
        let request = says("Hi");
        let prepared = provider.prepare(&request).unwrap();
        let leave = async {
            reader.recv().await;
            drop(reader);
        };
        tokio::join!(provider.generate(&request, &prepared, &mut sink), leave).0.unwrap_err()
    });
    assert_eq!(error.kind, ErrorKind::Cancelled);
}

#[test]
fn tls_that_is_none() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        drop(stream.read(&mut [0; 4096]));
        drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
    let error = Setup::at(&url).error();
    // Another attempt would meet the same server.
    assert_eq!(error.kind, ErrorKind::Refused, "{error:?}");
}
