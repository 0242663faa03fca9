//! The make-believe model: it repeats what it was asked, calls the first tool that it is offered, and fills a schema.

use serde_json::{Value as Json, json};

/// What is asked of it.
#[derive(Default)]
pub struct Asked {
    /// All of the prompt.
    pub prompt: String,
    /// What was said last.
    pub last: String,
    /// The most tokens of the answer.
    pub limit: Option<u64>,
    /// Stop strings.
    pub stops: Vec<String>,
    /// The schema that the answer must fit; `true` for any JSON.
    pub schema: Option<Json>,
    /// Tools, as OpenAI and Ollama have them.
    pub tools: Json,
    /// Whether it thinks first.
    pub thinks: bool,
}

/// What it says.
pub struct Said {
    /// Its thoughts.
    pub thoughts: &'static str,
    /// The answer, token by token.
    pub tokens: Vec<String>,
    /// The tool that it wants called, with its arguments.
    pub call: Option<(String, Json)>,
    /// Whether the limit ended it.
    pub cut: bool,
    /// Tokens of the prompt.
    pub input: usize,
}

impl Said {
    /// The whole answer.
    pub fn text(&self) -> String {
        self.tokens.concat()
    }

    /// Tokens of the answer.
    pub fn output(&self) -> usize {
        self.tokens.len() + usize::from(self.call.is_some())
    }
}

/// The answer.
pub fn say(asked: &Asked) -> Said {
    let input = asked.prompt.split_whitespace().count();
    let thoughts = if asked.thinks { "They ask. 감자!" } else { "" };
    if let Some(function) = asked.tools.get(0).map(|tool| &tool["function"]) {
        let name = function["name"].as_str().unwrap_or_default().to_owned();
        let call = Some((name, sample(&function["parameters"], &function["parameters"])));
        return Said { thoughts, tokens: Vec::new(), call, cut: false, input };
    }
    let mut text = match &asked.schema {
        Some(schema) if schema.is_object() => sample(schema, schema).to_string(),
        Some(_) => json!({ "potato": "감자" }).to_string(),
        None => format!("You said: {} (감자 🥔)", asked.last),
    };
    if let Some(end) = asked.stops.iter().filter(|s| !s.is_empty()).filter_map(|s| text.find(s.as_str())).min() {
        text.truncate(end);
    }
    let mut tokens = split(&text);
    let limit = asked.limit.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
    let cut = tokens.len() > limit;
    tokens.truncate(limit);
    Said { thoughts, tokens, call: None, cut, input }
}

/// Words, each with the space before it.
fn split(text: &str) -> Vec<String> {
    let starts = text.char_indices().filter(|(at, c)| *at > 0 && *c == ' ').map(|(at, _)| at);
    let bounds: Vec<usize> = [0].into_iter().chain(starts).chain([text.len()]).collect();
    bounds.windows(2).map(|w| text[w[0]..w[1]].to_owned()).filter(|t| !t.is_empty()).collect()
}

/// A value that fits a schema.
fn sample(schema: &Json, root: &Json) -> Json {
    if let Some(place) = schema["$ref"].as_str().and_then(|r| r.strip_prefix('#')) {
        return sample(root.pointer(place).unwrap_or(&Json::Null), root);
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[key].get(0) {
            return sample(first, root);
        }
    }
    if let Some(one) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return one.clone();
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or("object");
    match kind {
        "string" => json!("Seoul"),
        "integer" => json!(7),
        "number" => json!(0.5),
        "boolean" => json!(true),
        "null" => Json::Null,
        "array" => json!([sample(&schema["items"], root)]),
        _ => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            fields.map(|(name, field)| (name.clone(), sample(field, root))).collect()
        }
    }
}

/// A text's vector: eight numbers, the same for the same text, of length 1.
pub fn vector(text: &str) -> Vec<f32> {
    let mut sums = [1f32; 8];
    for (at, byte) in text.bytes().enumerate() {
        sums[at % 8] += f32::from(byte);
    }
    let length = sums.iter().map(|x| x * x).sum::<f32>().sqrt();
    sums.iter().map(|x| x / length).collect()
}

/// Bytes as text.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = |chunk: &[u8]| {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        let digit = move |at: usize| {
            if at > chunk.len() { '=' } else { char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]) }
        };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(digits).collect()
}
