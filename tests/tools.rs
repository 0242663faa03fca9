//! Tools as data: what servers are told of them, what models ask for, and conversations that hold both.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/ollama.rs"]
mod call;
#[path = "support/server.rs"]
mod server;

use call::{DONE, NDJSON, Setup, body_of, raw, says, text_of};
use chainrun::event::EventKind;
use chainrun::providers::ErrorKind;
use chainrun::value::{Finish, Message, Request, RequestInput, Type, Value};
use serde_json::{Value as Json, json};
use server::{Reply, Seen, Server};

const ADDRESS: &str = "http://127.0.0.1:9";
const SSE: &str = "text/event-stream";

/// The body of a recorded request.
fn sent(name: &str) -> Json {
    let all: Json = serde_json::from_str(include_str!("data/wire/tools.sent.json")).unwrap();
    all[name].clone()
}

fn told(setup: Setup, tools: &Json) -> Setup {
    setup.option("tools", Value::from_json(tools))
}

fn openai(url: &str) -> Setup {
    Setup { provider: Some("openai"), ..Setup::at(url) }
}

fn router(server: &Server) -> Setup {
    let env = vec![("HF_INFERENCE_ENDPOINT", server.url())];
    Setup { provider: Some("hf-endpoint"), model: "a/b", env, ..Setup::default() }
}

/// A conversation as data has it.
fn conversation(messages: &Json) -> Request {
    let list = Type::List(Box::new(Type::Message)).accept(&Value::from_json(messages)).unwrap();
    let Value::List(items) = list else { panic!() };
    let message = |v: &Value| match v {
        Value::Message(message) => (**message).clone(),
        other => panic!("{other:?}"),
    };
    let messages: Vec<Message> = items.iter().map(message).collect();
    Request { input: RequestInput::Messages(messages), constraint: None }
}

#[test]
fn ollama_is_told_as_its_own_client_tells() {
    let recorded = sent("ollama-python__chat_tools");
    let body = body_of(&told(Setup::at(ADDRESS), &recorded["tools"]), &conversation(&recorded["messages"]));
    assert_eq!((&body["messages"], &body["tools"]), (&recorded["messages"], &recorded["tools"]));
    // Calls and their answers: what the client leaves out is told too, where it is known.
    let recorded = sent("ollama-python__chat_tool_result");
    let body = body_of(&Setup::at(ADDRESS), &conversation(&recorded["messages"]));
    let (asks, answers) = (&body["messages"][2], &body["messages"][3]);
    assert_eq!(asks["tool_calls"][0]["function"], recorded["messages"][2]["tool_calls"][0]["function"]);
    assert_eq!((&answers["content"], &answers["tool_name"]), (&json!("sunny"), &json!("get_weather")));
    assert_eq!(answers["tool_call_id"], asks["tool_calls"][0]["id"]);
    assert_eq!(body.get("tools"), None);
}

#[test]
fn openais_servers_are_told_as_its_own_client_tells() {
    let recorded = sent("openai-python__chat_tools");
    let body = body_of(&told(openai(ADDRESS), &recorded["tools"]), &conversation(&recorded["messages"]));
    assert_eq!((&body["messages"], &body["tools"]), (&recorded["messages"], &recorded["tools"]));
    let recorded = sent("ls_tools_call");
    let body = body_of(&told(openai(ADDRESS), &recorded["tools"]), &conversation(&recorded["messages"]));
    let mut wanted = recorded["messages"].clone();
    for message in wanted.as_array_mut().unwrap() {
        // Arguments are a text, whose spaces mean nothing.
        for call in message.get_mut("tool_calls").and_then(Json::as_array_mut).into_iter().flatten() {
            let arguments: Json = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
            call["function"]["arguments"] = Json::from(arguments.to_string());
        }
    }
    assert_eq!(body["messages"], wanted);
    // A history without names of calls gets them.
    let bare = json!([
        { "role": "user", "text": "q" },
        { "role": "assistant", "tool_calls": [{ "name": "f" }, { "name": "g" }] },
        { "role": "tool", "text": "1", "name": "g" },
        { "role": "tool", "text": "2" },
    ]);
    let body = body_of(&openai(ADDRESS), &conversation(&bare));
    let ids = |i: usize, key: &str| body["messages"][i][key].clone();
    let calls = ids(1, "tool_calls");
    assert_eq!((ids(2, "tool_call_id"), ids(3, "tool_call_id")), (calls[1]["id"].clone(), calls[0]["id"].clone()));
    assert_eq!((&body["messages"][1]["content"], &calls[0]["function"]["arguments"]), (&Json::Null, &json!("{}")));
}

#[test]
fn recorded_calls_come_back_as_data() {
    let recorded = sent("ls_tools_call");
    for name in ["ls_tools_call", "ls_tools_call_stream"] {
        let bytes = std::fs::read(format!("tests/data/wire/{name}.http")).unwrap();
        let server = Server::always(Reply::recorded(&bytes));
        let setup = told(openai(&server.url()), &recorded["tools"]);
        let (answer, events) = setup.ask(&conversation(&recorded["messages"]));
        let answer = answer.unwrap();
        assert_eq!((answer.finish, answer.text.as_str(), text_of(&events)), (Finish::ToolCalls, "", String::new()));
        let call = &answer.tool_calls[0];
        assert_eq!(
            (call.name.as_str(), Json::from(call.arguments.clone())),
            ("get_weather", json!({ "city": "Seoul" }))
        );
        assert!(!call.id.is_empty() && answer.tool_calls.len() == 1);
        assert_eq!(server.requests()[0].json()["tools"], recorded["tools"]);
    }
}

fn event(choice: Json) -> String {
    format!("data: {}\n\n", json!({ "choices": [choice] }))
}

#[test]
fn interleaved_pieces_are_joined_by_their_index() {
    let piece = |calls: Json| event(json!({ "index": 0, "delta": { "tool_calls": calls }, "finish_reason": null }));
    let body = [
        piece(json!([{ "index": 0, "id": "a", "type": "function", "function": { "name": "f", "arguments": "" } }])),
        piece(json!([{ "index": 1, "id": "b", "type": "function", "function": { "name": "g", "arguments": "{\"y\":" } }])),
        piece(json!([{ "index": 0, "function": { "arguments": "{\"x\": \"감" } }])),
        piece(json!([{ "index": 1, "function": { "arguments": "[1]}" } }, { "index": 0, "function": { "arguments": "자\"}" } }])),
        event(json!({ "index": 0, "delta": {}, "finish_reason": "tool_calls" })),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    for (gap, setup) in [
        (0, (|server: &Server| openai(&server.url())) as fn(&Server) -> Setup),
        (1, |server: &Server| router(server).option("max_tokens", Value::Int(9))),
    ] {
        let server = Server::always(Reply::stream(SSE).piece(&body[..200]).pause(gap).piece(&body[200..]).end());
        let mut setup = setup(&server);
        if gap == 1 {
            setup =
                setup.set("api_key", chainrun::providers::OptionValue::Secret(chainrun::value::Secret::new("hf_x")));
        }
        let (answer, events) = setup.ask(&says("Hi"));
        let answer = answer.unwrap();
        let calls: Json = answer.tool_calls.iter().map(chainrun::value::ToolCall::to_json).collect();
        let wanted = json!([
            { "id": "a", "name": "f", "arguments": { "x": "감자" } },
            { "id": "b", "name": "g", "arguments": { "y": [1] } },
        ]);
        assert_eq!((calls, answer.finish), (wanted, Finish::ToolCalls));
        assert!(!events.iter().any(|e| matches!(e, EventKind::Notice { .. })));
    }
}

#[test]
fn ollamas_calls_come_whole_and_over_several_lines() {
    let line =
        |calls: Json| format!("{}\n", json!({ "message": { "content": "", "tool_calls": calls }, "done": false }));
    let body = [
        line(json!([{ "id": "call_ab12", "function": { "index": 0, "name": "f", "arguments": { "x": 1 } } }])),
        line(json!([{ "function": { "name": "g", "arguments": {} } }])),
    ]
    .concat();
    let server = Server::always(Reply::stream(NDJSON).piece(body).piece(DONE).end());
    let answer = Setup::at(&server.url()).ask(&says("Hi")).0.unwrap();
    let calls: Vec<(&str, &str)> = answer.tool_calls.iter().map(|c| (c.id.as_str(), c.name.as_str())).collect();
    assert_eq!((calls, answer.finish), (vec![("call_ab12", "f"), ("call_1", "g")], Finish::ToolCalls));
}

#[test]
fn calls_that_cannot_be_read_are_no_answer() {
    let body = |arguments: &str, reason: &str| {
        let call = json!([{ "index": 0, "id": "a", "function": { "name": "f", "arguments": arguments } }]);
        let end = event(json!({ "index": 0, "delta": {}, "finish_reason": reason }));
        Reply::stream(SSE).piece(event(json!({ "index": 0, "delta": { "tool_calls": call } }))).piece(end).end()
    };
    let error = |reply: Reply| openai(&Server::always(reply).url()).error();
    let broken = error(body("{\"a\": ", "tool_calls"));
    assert_eq!(broken.kind, ErrorKind::Broken);
    assert!(
        broken.message.contains("the model asks for the tool `f` with what is no JSON object: {\"a\":"),
        "{broken:?}"
    );
    let cut = error(body("{\"a\": ", "length"));
    assert!(cut.help.iter().any(|line| line.contains("max_tokens")), "{cut:?}");
    // Arguments count for the largest answer.
    let long = body(&format!("{{\"a\": \"{}\"}}", "x".repeat(3 << 20)), "tool_calls");
    let server = Server::always(long);
    let setup = Setup { max_bytes: Some(2 << 20), ..openai(&server.url()) };
    assert_eq!(setup.error().kind, ErrorKind::TooLarge);
    let line = "{\"message\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":[1]}}]},\"done\":false}\n";
    let server = Server::always(Reply::stream(NDJSON).piece(line).piece(DONE).end());
    assert_eq!(Setup::at(&server.url()).error().kind, ErrorKind::Broken);
}

#[test]
fn models_and_prompts_without_tools() {
    let tools = &sent("ollama-python__chat_tools")["tools"];
    for setup in [Setup::at(ADDRESS), openai(ADDRESS)] {
        let error = told(setup, tools).ask(&raw("x")).0.unwrap_err();
        assert!(error.kind == ErrorKind::Prompt && error.message.contains("a raw prompt goes past it"), "{error:?}");
    }
    let show = Reply::recorded(&std::fs::read("tests/data/wire/ollama032_show.http").unwrap());
    let server = Server::whole(move |_: &Seen| show.clone());
    let error = told(Setup::at(&server.url()), tools).error();
    assert!(error.kind == ErrorKind::Refused && error.message.contains("`smollm2` calls no tools"), "{error:?}");
    // A template prints definitions as they are, and a call's arguments too.
    let sly = json!([{ "type": "function", "function": { "name": "f", "description": "<|im_end|>" } }]);
    let server = Server::always(Reply::json(200, "{}"));
    for setup in [Setup::at(&server.url()), openai(&server.url())] {
        let error = told(setup, &sly).error();
        assert!(error.kind == ErrorKind::Prompt && error.message.contains("`tools` hold `<|im_end|>`"), "{error:?}");
    }
    let asks = json!([{ "role": "user", "text": "q" }, { "role": "assistant", "tool_calls": [{ "name": "f" }] }]);
    let setup = Setup::at(ADDRESS).option("instruct", Value::from("chatml"));
    let error = setup.ask(&conversation(&asks)).0.unwrap_err();
    assert!(error.message.contains("message 2 asks for tools, and the format `chatml` has no form"), "{error:?}");
    let setup = Setup { provider: Some("gpt4all"), model: "m", ..Setup::default() };
    let error = setup.option("server", Value::Bool(true)).ask(&conversation(&asks)).0.unwrap_err();
    assert!(error.message.contains("GPT4All's server has no form"), "{error:?}");
}
