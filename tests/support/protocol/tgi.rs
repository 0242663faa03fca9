//! Text Generation Inference's router, and vectors as Text Embeddings Inference gives them.

use serde_json::{Value as Json, json};

use super::model::{Asked, Said, say, vector};
use super::ollama::strings;
use super::openai::{Of, SSE, route_of};
use super::{Answer, event, text_of};
use crate::server::Seen;

pub fn answer(seen: &Seen, route: &str) -> Answer {
    let json = seen.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    match (seen.method.as_str(), route) {
        ("GET", "/health") => Answer::whole(200, "text/plain", ""),
        ("GET", "/info") => {
            Answer::json(200, &json!({ "model_id": "potato", "max_input_tokens": 512, "version": "3.3.7" }))
        }
        ("POST", "/" | "/generate" | "/generate_stream") if !json => {
            Answer::whole(415, "text/plain; charset=utf-8", "Expected request with `Content-Type: application/json`")
        }
        ("POST", "/" | "/generate" | "/generate_stream") => generate(seen, route),
        ("POST", "/v1/chat/completions" | "/v1/completions") => chat(seen, &route[3..]),
        ("GET", "/v1/models") => route_of(Of::Tgi, seen, "/models"),
        ("GET", "/" | "/generate" | "/v1/chat/completions") => Answer::whole(405, "text/plain", ""),
        _ => Answer::whole(404, "text/plain", ""),
    }
}

fn chat(seen: &Seen, route: &str) -> Answer {
    let body = serde_json::from_slice::<Json>(&seen.body).unwrap_or_default();
    if body["response_format"]["type"] == "json_schema" && body["response_format"]["value"].is_null() {
        let message = "Failed to deserialize the JSON body into the target type: response_format: missing field `value` at line 1 column 262";
        return Answer::whole(422, "text/plain; charset=utf-8", message);
    }
    route_of(Of::Tgi, seen, route)
}

fn generate(seen: &Seen, route: &str) -> Answer {
    let Ok(body) = serde_json::from_slice::<Json>(&seen.body) else {
        return Answer::whole(
            400,
            "text/plain; charset=utf-8",
            "Failed to parse the request body as JSON: EOF while parsing",
        );
    };
    let Some(prompt) = body["inputs"].as_str() else {
        let message =
            "Failed to deserialize the JSON body into the target type: missing field `inputs` at line 1 column 2";
        return Answer::whole(422, "text/plain; charset=utf-8", message);
    };
    let given = &body["parameters"];
    let stream = route == "/generate_stream" || (route == "/" && body["stream"] == json!(true));
    if let Some(message) = invalid(given) {
        let error = json!({ "error": format!("Input validation error: {message}"), "error_type": "validation" });
        return match stream {
            true => Answer::stream(SSE, vec![event(&error)]),
            false => Answer::json(422, &error),
        };
    }
    let said = say(&Asked {
        prompt: prompt.to_owned(),
        last: prompt.to_owned(),
        limit: given["max_new_tokens"].as_u64(),
        stops: strings(&given["stop"]),
        schema: given["grammar"].get("value").filter(|value| value.is_object()).cloned(),
        ..Asked::default()
    });
    // The root gives the prompt back unless told not to.
    let full = given["return_full_text"].as_bool().unwrap_or(route == "/");
    let text = if full { format!("{prompt}{}", said.text()) } else { said.text() };
    if stream {
        return streamed(&said, &text);
    }
    let mut answer = json!({ "generated_text": text });
    if given["details"] == json!(true) {
        answer["details"] = details(&said);
        let tokens = said.tokens.iter().map(|t| json!({ "id": 49, "text": t, "logprob": -0.25, "special": false }));
        answer["details"]["tokens"] = tokens.collect();
        answer["details"]["prefill"] = json!([]);
    }
    Answer::json(200, &if route == "/" { json!([answer]) } else { answer })
}

fn invalid(given: &Json) -> Option<&'static str> {
    let outside = |key: &str, fits: fn(f64) -> bool| given[key].as_f64().is_some_and(|x| !fits(x));
    if outside("temperature", |t| t > 0.0) {
        return Some("`temperature` must be strictly positive");
    }
    if outside("top_p", |p| p > 0.0 && p < 1.0) {
        return Some("`top_p` must be > 0.0 and < 1.0");
    }
    (strings(&given["stop"]).len() > 4).then_some("`stop` supports up to 4 stop sequences. Given: 5")
}

fn details(said: &Said) -> Json {
    let reason = if said.cut { "length" } else { "eos_token" };
    json!({ "finish_reason": reason, "generated_tokens": said.output(), "seed": null, "input_length": said.input })
}

fn streamed(said: &Said, text: &str) -> Answer {
    let token = |index: usize, text: &str, special: bool| {
        let token = json!({ "id": 49, "text": text, "logprob": -0.25, "special": special });
        json!({ "index": index, "token": token, "generated_text": null, "details": null })
    };
    let mut events: Vec<Json> = said.tokens.iter().enumerate().map(|(at, t)| token(at + 1, t, false)).collect();
    if !said.cut {
        events.push(token(events.len() + 1, "</s>", true));
    }
    if let Some(last) = events.last_mut() {
        last["generated_text"] = json!(text);
        last["details"] = details(said);
    }
    Answer::stream(SSE, events.iter().map(event).collect())
}

/// Vectors of texts; the text `too long` does not fit.
pub fn vectors(seen: &Seen) -> Answer {
    let body = serde_json::from_slice::<Json>(&seen.body).unwrap_or_default();
    let texts = match &body["inputs"] {
        Json::String(one) => vec![one.clone()],
        list => strings(list),
    };
    if texts.is_empty() {
        let message = "`inputs` cannot be empty";
        return Answer::json(422, &json!({ "error": message, "error_type": "validation" }));
    }
    if texts.iter().any(|text| text.contains("too long")) && text_of(&body, "truncation_direction").is_empty() {
        let message = "Input validation error: `inputs` must have less than 512 tokens. Given: 600";
        return Answer::json(413, &json!({ "error": message, "error_type": "Validation" }));
    }
    Answer::json(200, &json!(texts.iter().map(|text| vector(text)).collect::<Vec<_>>()))
}
