//! Everything that goes wrong with servers × every provider × streamed or not: the right error or the right answer, no hang,
//! no text lost, no secret told. The faults are done to what `protocol` says, which other people's clients take for a
//! real server's answers.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/ollama.rs"]
mod call;
#[path = "support/protocol/mod.rs"]
mod protocol;
#[path = "support/server.rs"]
mod server;
#[path = "support/ways.rs"]
mod ways;

use std::time::Duration;

use chainrun::providers::ErrorKind::{Broken, Busy, Refused, TimedOut, TooLarge, Unreachable};
use chainrun::value::Value;
use protocol::{Answer, KEY};
use serde_json::{Value as Json, json};
use server::{Reply, Server, dead_url};
use ways::Way::{Gpt4All, HfChat, HfEmbed, HfText, OllamaChat, OllamaEmbed, OllamaGenerate, OpenAiChat, OpenAiEmbed};
use ways::{Fault, IDLE, STREAMED, all, begun, bounded, head, honest, kind, right, serve, text_in, under};

#[test]
fn nothing_wrong() {
    for (way, streamed) in all() {
        right(way, streamed);
    }
}

#[test]
fn nobody_answers_or_not_in_http() {
    for (way, streamed) in all() {
        let seen = way.ask(&dead_url(), None);
        kind(way, streamed, &seen, &[Unreachable], "refused");
        let seen = under(way, streamed, |_| Reply::default().cut());
        kind(way, streamed, &seen, &[Unreachable], "closed");
        let seen = under(way, streamed, |_| Reply::recorded(b"SSH-2.0-potato\r\n"));
        kind(way, streamed, &seen, &[Broken], "no HTTP");
    }
}

#[test]
fn silence() {
    for (way, streamed) in all() {
        let seen = under(way, streamed, |_| Reply::default().stall());
        kind(way, streamed, &seen, &[TimedOut], "before the head");
        let seen = under(way, streamed, |_| Reply::head("HTTP/1.1 200 OK\r\nContent-Ty").stall());
        kind(way, streamed, &seen, &[TimedOut], "in the head");
        let seen = under(way, streamed, |honest| begun(honest, 4).stall());
        kind(way, streamed, &seen, &[TimedOut], "in the answer");
        assert!(seen.time >= IDLE, "{way:?}: {:?}", seen.time);
        if streamed {
            assert!(seen.told.starts_with("You said:"), "{way:?} loses text: {:?}", seen.told);
        }
    }
}

#[test]
fn answers_that_are_cut() {
    for (way, streamed) in all() {
        for properly in [false, true] {
            let end = move |reply: Reply| if properly { reply.end() } else { reply.cut() };
            if !streamed {
                // Inside a character too: the body of a completion has one.
                for tail in [1, 2, 4, 20] {
                    let seen = under(way, streamed, move |honest| {
                        let body = honest.pieces.concat();
                        head(honest, body.len()).piece(&body.as_bytes()[..body.len() - tail]).cut()
                    });
                    kind(way, streamed, &seen, &[Unreachable], "cut whole");
                    assert_eq!(seen.told, "", "{way:?}");
                }
                continue;
            }
            let seen = under(way, streamed, move |honest| {
                let next = &honest.pieces[4];
                end(begun(honest, 4).piece(&next.as_bytes()[..next.len() / 2]))
            });
            kind(way, streamed, &seen, &[Broken], "cut in a line");
            assert!(seen.all.contains("ended early"), "{way:?}: {}", seen.all);
            let at = if matches!(way, OpenAiChat | HfChat) { 3 } else { 4 };
            let tokens = ["You", " said:", " What", " about"];
            assert_eq!(seen.told, tokens[..at].concat(), "{way:?} loses text");
            let seen = under(way, streamed, move |honest| {
                let at = honest.pieces.iter().position(|piece| piece.contains('감')).unwrap();
                let inside = honest.pieces[at].find('감').unwrap() + 1;
                end(begun(honest, at).piece(&honest.pieces[at].as_bytes()[..inside]))
            });
            kind(way, streamed, &seen, &[Broken], "cut in a character");
            assert_eq!(seen.told, "You said: What about it?", "{way:?} loses text");
            let seen = under(way, streamed, move |honest| end(begun(honest, 0)));
            kind(way, streamed, &seen, &[Unreachable], "nothing came");
            let seen = under(way, streamed, move |honest| end(begun(honest, 0).piece(&honest.pieces[0][..12])));
            kind(way, streamed, &seen, &[Unreachable], "half a piece came");
        }
    }
}

#[test]
fn text_in_pieces_is_the_text() {
    for way in STREAMED {
        let server = serve(true, Answer::reply);
        way.ask(&server.url(), None).result.unwrap();
        let honest = honest(&server.requests()[0], true);
        assert_eq!(text_in(&honest.pieces), "You said: What about it? (감자 🥔)", "{way:?}");
    }
}

#[test]
fn odd_framing_is_no_fault() {
    for (way, streamed) in all() {
        let right = right(way, streamed);
        let same = |fault: Fault<'static>, what: &str| {
            let seen = under(way, streamed, fault);
            assert_eq!(seen.result.as_ref().ok(), Some(&right), "{way:?}, streamed {streamed}, {what}: {}", seen.all);
            if !way.embeds() {
                assert_eq!(seen.told, "You said: What about it? (감자 🥔)", "{way:?}, {what}");
            }
        };
        same(&|honest| Reply::recorded_drip(&bare(honest, &honest.pieces.concat()), Duration::ZERO), "single bytes");
        same(&|honest| Reply::recorded(&bare(honest, &honest.pieces.concat())), "in one piece, without a length");
        same(&|honest| Reply::recorded(&bare(honest, &honest.pieces.concat().replace('\n', "\r\n"))), "CRLF");
        same(&|honest| Reply::recorded(&bare(honest, honest.pieces.concat().trim_end())), "no last line end");
        same(&pinged, "comments and pings");
        same(&nulls, "nulls and unknown fields");
        if streamed && way != HfText && !matches!(way, OllamaChat | OllamaGenerate) {
            same(&usage_alone, "a usage chunk without choices");
        }
    }
}

/// An answer whose end is that of the connection.
fn bare(honest: &Answer, body: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {}\r\nConnection: close\r\n\r\n", honest.content_type);
    [head.as_bytes(), body.as_bytes()].concat()
}

/// Servers say that they live: comments in events, empty lines between lines, white space before a whole answer.
fn pinged(honest: &Answer) -> Reply {
    let ping = match honest.content_type {
        "text/event-stream" => ": ping\n\n:\n\nretry: 10\nid: 7\nevent: message\n",
        _ => "\n  \n",
    };
    let reply = Reply::stream(honest.content_type);
    honest.pieces.iter().fold(reply, |reply, piece| reply.piece(ping).piece(piece)).end()
}

/// Everything that may be missing is there, and null.
fn nulls(honest: &Answer) -> Reply {
    let more = |piece: &String| {
        let (mark, text) = piece.strip_prefix("data: ").map_or(("", piece.as_str()), |text| ("data: ", text));
        let Ok(mut json) = serde_json::from_str::<Json>(text) else { return piece.clone() };
        let fields = [
            "error",
            "remote_host",
            "tool_calls",
            "thinking",
            "reasoning",
            "images",
            "potato",
            "logprobs",
            "signin_url",
        ];
        for place in ["", "/message", "/choices/0", "/choices/0/delta", "/choices/0/message", "/0", "/token"] {
            for field in fields {
                if let Some(Json::Object(map)) = json.pointer_mut(place) {
                    map.entry(field).or_insert(Json::Null);
                }
            }
        }
        format!("{mark}{json}{}", &text[text.trim_end().len()..])
    };
    Answer { pieces: honest.pieces.iter().map(more).collect(), ..honest.clone() }.reply()
}

fn usage_alone(honest: &Answer) -> Reply {
    let empty = "data: {\"choices\":[],\"usage\":null}\n\n".to_owned();
    let pieces = honest.pieces.iter().flat_map(|piece| [empty.clone(), piece.clone()]).collect();
    Answer { pieces, ..honest.clone() }.reply()
}

#[test]
fn errors_behind_a_status_of_success() {
    let shapes = [
        json!({ "error": { "message": "the potato is out", "type": "server_error", "code": 500 } }),
        json!({ "error": "the potato is out" }),
        json!({ "error": "the potato is out", "error_type": "generation" }),
        json!({ "error": format!("the potato is out; you sent {KEY}") }),
    ];
    for (way, streamed) in all() {
        for shape in shapes.clone() {
            let line = shape.clone();
            let seen = under(way, streamed, move |honest| match honest.content_type {
                "text/event-stream" => {
                    Reply::stream("text/event-stream").piece(format!("data: {line}\n\ndata: [DONE]\n\n")).end()
                }
                _ => Reply::json(200, &format!("{line}\n")),
            });
            kind(way, streamed, &seen, &[Refused, Busy], "an error in place of an answer");
            assert!(seen.all.contains("the potato is out"), "{way:?}: {}", seen.all);
            if !streamed {
                continue;
            }
            let seen = under(way, streamed, move |honest| match honest.content_type {
                "text/event-stream" => begun(honest, 4).piece(format!("data: {shape}\n\ndata: [DONE]\n\n")).end(),
                _ => begun(honest, 4).piece(format!("{shape}\n")).end(),
            });
            kind(way, streamed, &seen, &[Broken], "an error in mid-answer");
            assert!(
                seen.all.contains("the potato is out") && seen.told.starts_with("You said:"),
                "{way:?}: {}",
                seen.all
            );
        }
    }
}

#[test]
fn what_is_no_answer() {
    let page = "<!doctype html>\n<html><head><title>Welcome</title></head></html>\n";
    for (way, streamed) in all() {
        let seen = under(way, streamed, |honest| Reply::new(200, &[("Content-Type", honest.content_type)], ""));
        kind(way, streamed, &seen, &[Unreachable, Broken], "an empty body");
        let seen = under(way, streamed, move |_| Reply::new(200, &[("Content-Type", "text/html")], page));
        kind(way, streamed, &seen, &[Broken], "a page");
        let packed = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xff, 0xfe];
        let seen = under(way, streamed, move |_| Reply::new(200, &[("Content-Encoding", "gzip")], packed));
        kind(way, streamed, &seen, &[Broken], "packed");
        assert!(seen.all.contains("packed as `gzip`"), "{way:?}: {}", seen.all);
        for body in [
            "{}",
            "[]",
            "null",
            "7",
            "\"text\"",
            "{\"choices\":[{}]}",
            "{\"message\":null,\"done\":null}",
            "[{}]",
            "[[]]",
            "{\"data\":[null,null]}",
        ] {
            let seen = under(way, streamed, move |honest| match honest.content_type {
                "text/event-stream" => Reply::stream("text/event-stream").piece(format!("data: {body}\n\n")).end(),
                kind => Reply::new(200, &[("Content-Type", kind)], format!("{body}\n")),
            });
            kind(way, streamed, &seen, &[Broken, Unreachable, Refused], body);
        }
    }
}

#[test]
fn every_status_with_every_body() {
    const SAID: &str = "no potato today";
    let key = KEY;
    let bodies = [
        ("application/json", json!({ "error": { "message": SAID, "type": "x", "code": null } }).to_string()),
        ("application/json", json!({ "error": SAID }).to_string()),
        ("application/json", json!({ "error": format!("{SAID}: {key}"), "error_type": "validation" }).to_string()),
        ("application/json", json!({ "object": "error", "message": SAID }).to_string()),
        ("application/json", json!({ "detail": SAID }).to_string()),
        ("application/json", json!({ "detail": [{ "loc": ["body"], "msg": SAID, "type": "missing" }] }).to_string()),
        ("text/plain", SAID.to_owned()),
        ("text/html", format!("<html><head><title>{SAID}</title></head><body>{key}</body></html>")),
        ("application/json", String::new()),
    ];
    for way in [OllamaChat, OpenAiChat, HfChat, HfText, Gpt4All, OllamaEmbed, OpenAiEmbed, HfEmbed] {
        for status in [
            400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 413, 415, 422, 424, 425, 429, 451, 499, 500, 501, 502,
            503, 504, 520, 529,
        ] {
            for (kind_of, body) in &bodies {
                let (kind_of, sent) = (*kind_of, body.clone());
                let seen = under(way, true, move |_| Reply::new(status, &[("Content-Type", kind_of)], &sent));
                let again = matches!(status, 408 | 409 | 429 | 500 | 502..=504);
                let what = format!("{status} {body}");
                kind(way, true, &seen, if again { &[Busy] } else { &[Refused] }, &what);
                assert!(body.is_empty() || seen.all.contains(SAID), "{way:?}, {what}: {}", seen.all);
                assert!(seen.all.contains(&status.to_string()), "{way:?}, {what}: {}", seen.all);
            }
        }
    }
}

#[test]
fn waits_that_nobody_waits_for() {
    for way in [OllamaChat, OpenAiChat, HfChat, HfText, Gpt4All, OllamaEmbed, OpenAiEmbed, HfEmbed] {
        for (value, wanted) in [
            ("86400", Refused),
            ("99999999999999999999999999", Refused),
            ("1e300", Refused),
            ("Fri, 31 Dec 2027 23:59:59 GMT", Refused),
            ("-5", Busy),
            ("soon", Busy),
            ("NaN", Busy),
            ("", Busy),
        ] {
            for status in [429, 503] {
                let date = ("Date", "Fri, 31 Dec 2027 20:59:59 GMT");
                let seen = under(way, true, move |_| Reply::new(status, &[date, ("Retry-After", value)], "later"));
                kind(way, true, &seen, &[wanted], value);
            }
        }
    }
}

#[test]
fn more_than_anyone_wants() {
    let max = Some(10_000);
    for (way, streamed) in all() {
        let seen = bounded(way, streamed, max, move |honest| match streamed {
            true => honest.pieces[..3]
                .iter()
                .fold(Reply::stream(honest.content_type), Reply::piece)
                .endless(&honest.pieces[3]),
            false => head(honest, 1 << 30).piece("[\"").endless("potato ".repeat(1000)),
        });
        kind(way, streamed, &seen, &[TooLarge, Broken], "1 GB");
        let seen = bounded(way, streamed, max, |honest| {
            Reply::stream(honest.content_type).endless("data: no line end ".repeat(1000))
        });
        kind(way, streamed, &seen, &[TooLarge, Broken], "a line without an end");
        let lines = (0..50).map(|i| format!("X-Potato-{i}: {}\r\n", "a".repeat(200))).collect::<String>();
        let seen = under(way, streamed, move |_| Reply::head("HTTP/1.1 200 OK\r\n").endless(&lines));
        kind(way, streamed, &seen, &[Unreachable, Broken], "a head without an end");
        let seen = under(way, streamed, |_| Reply::head("HTTP/1.1 400 X\r\n\r\n").endless("word ".repeat(1000)));
        kind(way, streamed, &seen, &[Refused], "an error without an end");
    }
}

#[test]
fn no_key_goes_to_another_host() {
    let other = Server::always(Reply::json(200, "{}"));
    for (way, streamed) in all() {
        for status in [301, 302, 303, 307, 308] {
            let target = format!("{}/elsewhere", other.url());
            let seen = under(way, streamed, move |_| Reply::new(status, &[("Location", target.as_str())], ""));
            kind(way, streamed, &seen, &[Refused], "sent elsewhere");
        }
    }
    assert_eq!(other.connections(), 0);
}

#[test]
fn calls_of_tools_whole_streamed_and_interleaved() {
    let parameters = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let tool = |name: &str| json!({ "type": "function", "function": { "name": name, "parameters": parameters } });
    for (way, streamed) in all().into_iter().filter(|(way, _)| matches!(way, OllamaChat | OpenAiChat | HfChat)) {
        let asked = |server: &Server| {
            let setup = way.setup(&server.url()).option("tools", Value::from_json(&json!([tool("f"), tool("g")])));
            let answer = setup.ask(&way.request()).0.unwrap_or_else(|e| panic!("{way:?}, streamed {streamed}: {e:?}"));
            assert_eq!(answer.finish.name(), "tool_calls", "{way:?}");
            answer.tool_calls.iter().map(|c| format!("{} {}", c.name, c.arguments_text())).collect::<Vec<_>>()
        };
        assert_eq!(asked(&serve(streamed, Answer::reply)), ["f {\"city\":\"Seoul\"}"], "{way:?}, streamed {streamed}");
        let both = asked(&serve(streamed, move |honest| two_calls(honest, way == OllamaChat)));
        assert_eq!(both, ["f {\"city\":\"Seoul\"}", "g {\"city\":\"감자\"}"], "{way:?}, streamed {streamed}");
    }
}

/// The same answer with a second call, whose pieces stand between those of the first.
fn two_calls(honest: &Answer, ollama: bool) -> Reply {
    let second = |arguments: Json, name: bool| {
        let mut call = json!({ "index": 1, "function": { "arguments": arguments } });
        if name {
            (call["id"], call["function"]["name"]) = (json!("call_2"), json!("g"));
        }
        call
    };
    if ollama || !honest.streamed {
        // Ollama's calls come whole, in one line or in several.
        let arguments = if ollama { json!({ "city": "감자" }) } else { json!("{\"city\":\"감자\"}") };
        let more = |piece: &String| {
            let mut json: Json = serde_json::from_str(piece).unwrap();
            for place in ["/message/tool_calls", "/choices/0/message/tool_calls"] {
                if let Some(Json::Array(calls)) = json.pointer_mut(place) {
                    calls.push(second(arguments.clone(), true));
                }
            }
            format!("{json}\n")
        };
        return Answer { pieces: honest.pieces.iter().map(more).collect(), ..honest.clone() }.reply();
    }
    let delta = |call: Json| {
        let choice = json!({ "index": 0, "delta": { "tool_calls": [call] }, "finish_reason": null });
        format!("data: {}\n\n", json!({ "choices": [choice] }))
    };
    let mut mine = [
        delta(second(json!("{\"ci"), true)),
        delta(second(json!("ty\":\"감"), false)),
        delta(second(json!("자\"}"), false)),
    ]
    .into_iter();
    let pieces = honest.pieces.iter().flat_map(|piece| {
        let after = piece.contains("tool_calls\":[").then(|| mine.next()).flatten();
        [Some(piece.clone()), after].into_iter().flatten()
    });
    Answer { pieces: pieces.collect(), ..honest.clone() }.reply()
}
