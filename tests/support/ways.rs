//! Every call of every provider, against `protocol` with a fault, and what must hold of all outcomes.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use chainrun::providers::{ErrorKind, OptionValue, ProviderError};
use chainrun::value::{Request, Secret, Value};
use serde_json::{Value as Json, json};

use crate::call::{Setup, raw, says, text_of};
use crate::protocol::{self, Answer, KEY};
use crate::server::{Reply, Seen, Server};

/// A call of a provider.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    OllamaChat,
    OllamaGenerate,
    OllamaEmbed,
    OpenAiChat,
    OpenAiCompletion,
    OpenAiEmbed,
    HfChat,
    HfText,
    HfEmbed,
    Gpt4All,
}

pub use Way::{
    Gpt4All, HfChat, HfEmbed, HfText, OllamaChat, OllamaEmbed, OllamaGenerate, OpenAiChat, OpenAiCompletion,
    OpenAiEmbed,
};

/// Calls whose answers stream; each can be answered whole too.
pub const STREAMED: &[Way] = &[OllamaChat, OllamaGenerate, OpenAiChat, OpenAiCompletion, HfChat, HfText];
/// Calls whose answers come whole.
pub const WHOLE: &[Way] = &[Gpt4All, OllamaEmbed, OpenAiEmbed, HfEmbed];

/// Every way, with whether its answer streams.
pub fn all() -> Vec<(Way, bool)> {
    let both = STREAMED.iter().flat_map(|way| [(*way, true), (*way, false)]);
    both.chain(WHOLE.iter().map(|way| (*way, false))).collect()
}

/// What came of a call.
pub struct Outcome {
    /// The answer, in words that can be compared.
    pub result: Result<String, ProviderError>,
    /// The text that a person saw.
    pub told: String,
    /// All that was said.
    pub all: String,
    pub time: Duration,
}

pub const IDLE: Duration = Duration::from_millis(400);
/// What a machine that has other things to do may add.
pub const PATIENCE: Duration = Duration::from_secs(20);

impl Way {
    pub fn setup(self, url: &str) -> Setup {
        let at = |provider, model, option, base: &str| {
            let base = format!("{url}{base}");
            Setup { provider: Some(provider), model, ..Setup::default() }.option(option, Value::from(base))
        };
        let setup = match self {
            OllamaChat | OllamaGenerate => at("ollama", "potato", "base_url", "/ollama"),
            OllamaEmbed => at("ollama", "vectors", "base_url", "/ollama"),
            OpenAiChat | OpenAiCompletion => at("openai", "potato", "base_url", "/openai/v1"),
            OpenAiEmbed => at("openai", "vectors", "base_url", "/openai/v1"),
            HfChat | HfText => at("hf-endpoint", "", "endpoint_url", "/tgi"),
            HfEmbed => at("hf-endpoint", "", "endpoint_url", "/tei"),
            Gpt4All => at("gpt4all", "potato", "server", "/gpt4all"),
        };
        let setup = Setup { secrets: vec![KEY], ..setup }.set("idle_timeout", OptionValue::Duration(IDLE));
        // GPT4All's server takes no key.
        if self == Gpt4All { setup } else { setup.set("api_key", OptionValue::Secret(Secret::new(KEY))) }
    }

    pub fn request(self) -> Request {
        match self {
            OllamaGenerate | OpenAiCompletion | HfText => raw("What about it?"),
            _ => says("What about it?"),
        }
    }

    pub fn embeds(self) -> bool {
        matches!(self, OllamaEmbed | OpenAiEmbed | HfEmbed)
    }

    pub fn ask(self, url: &str, max_bytes: Option<u64>) -> Outcome {
        let setup = Setup { max_bytes, ..self.setup(url) };
        let began = Instant::now();
        let (result, events) = if self.embeds() {
            (setup.embed(&["a potato", "감자"]).map(|made| format!("{:?} {:?}", made.vectors, made.usage)), Vec::new())
        } else {
            let (result, events) = setup.ask(&self.request());
            (result.map(|a| format!("{} {:?} {:?} {:?}", a.text, a.finish, a.usage, a.tool_calls)), events)
        };
        let time = began.elapsed();
        let all = format!("{result:?} {events:?}");
        Outcome { result, told: text_of(&events), all, time }
    }
}

/// What a fault makes of an honest answer.
pub type Fault<'a> = &'a (dyn Fn(&Answer) -> Reply + Send + Sync);

/// The honest answer to a request, streamed or not whatever it asks for.
pub fn honest(seen: &Seen, streamed: bool) -> Answer {
    let mut seen = seen.clone();
    if let Ok(Json::Object(mut body)) = serde_json::from_slice(&seen.body)
        && !streamed
    {
        body.insert("stream".to_owned(), json!(false));
        seen.body = Json::Object(body).to_string().into_bytes();
    }
    protocol::answer(&seen)
}

pub fn serve(streamed: bool, fault: impl Fn(&Answer) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |seen| {
        let honest = honest(seen, streamed);
        // What is asked beside a call that failed is answered.
        if seen.path.ends_with("/api/tags") { honest.reply() } else { fault(&honest) }
    })
}

/// The outcome of a fault; what must hold of all is held here.
pub fn under(way: Way, streamed: bool, fault: impl Fn(&Answer) -> Reply + Send + Sync + 'static) -> Outcome {
    bounded(way, streamed, None, fault)
}

pub fn bounded(
    way: Way,
    streamed: bool,
    max: Option<u64>,
    fault: impl Fn(&Answer) -> Reply + Send + Sync + 'static,
) -> Outcome {
    let seen = way.ask(&serve(streamed, fault).url(), max);
    assert!(!seen.all.contains(KEY), "{way:?}: the key is told: {}", seen.all);
    assert!(seen.time < IDLE + PATIENCE, "{way:?} hangs: {:?}", seen.time);
    if let Err(error) = &seen.result {
        assert!(!error.message.is_empty() && error.message.len() < 2000, "{way:?}: {error:?}");
        assert!(error.help.iter().all(|line| !line.is_empty()), "{way:?}: {error:?}");
    }
    seen
}

/// The answer of a server that does nothing wrong.
pub fn right(way: Way, streamed: bool) -> String {
    let seen = under(way, streamed, Answer::reply);
    let right = seen.result.unwrap_or_else(|e| panic!("{way:?}, streamed {streamed}: {e:?}"));
    if !way.embeds() {
        assert!(right.starts_with("You said: What about it? (감자 🥔) Stop"), "{way:?}: {right}");
        assert_eq!(seen.told, "You said: What about it? (감자 🥔)", "{way:?}");
    }
    right
}

pub fn kind(way: Way, streamed: bool, seen: &Outcome, kinds: &[ErrorKind], what: &str) {
    let error =
        seen.result.as_ref().err().unwrap_or_else(|| panic!("{way:?}, streamed {streamed}, {what}: {}", seen.all));
    assert!(kinds.contains(&error.kind), "{way:?}, streamed {streamed}, {what}: {error:?}");
}

/// The text in pieces of a stream.
pub fn text_in(pieces: &[String]) -> String {
    let text = |piece: &String| {
        let json: Json = serde_json::from_str(piece.trim_start_matches("data: ").trim()).unwrap_or_default();
        let places = ["/message/content", "/response", "/choices/0/delta/content", "/choices/0/text", "/token/text"];
        let found = places.iter().find_map(|place| json.pointer(place)?.as_str().map(str::to_owned));
        found.filter(|_| json.pointer("/token/special") != Some(&json!(true))).unwrap_or_default()
    };
    pieces.iter().map(text).collect()
}

/// The first pieces of an answer, or the first half of a whole one.
pub fn begun(honest: &Answer, pieces: usize) -> Reply {
    let body = honest.pieces.concat();
    if honest.streamed {
        return honest.pieces.iter().take(pieces).fold(Reply::stream(honest.content_type), Reply::piece);
    }
    head(honest, body.len()).piece(&body.as_bytes()[..body.len() / 2])
}

pub fn head(honest: &Answer, length: usize) -> Reply {
    Reply::head(&format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {length}\r\n\r\n",
        honest.content_type
    ))
}
