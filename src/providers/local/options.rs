//! The options of `local`, and what they make of the sampler. The steps of a choice stand in the order in which they are
//! taken; every default leaves its step out, but for the temperature, which is greedy.

use super::super::{ErrorKind, ModelConfig, OptionKind, OptionSpec, ProviderError};
use crate::engine::{Sampling, Span, Tokenizer};
use crate::value::Value;

/// The longest answer in tokens unless the file says otherwise.
pub const MAX_TOKENS: usize = 512;

/// The options of `local`.
pub static OPTIONS: &[OptionSpec] = &[
    OptionSpec::new(
        "temperature",
        OptionKind::Float(0.0, f64::MAX),
        "how freely tokens are chosen; 0 is the likeliest",
    )
    .default("0"),
    OptionSpec::new("top_k", OptionKind::Int(0, i64::MAX), "choose among this many of the likeliest tokens; 0 is all")
        .default("0"),
    OptionSpec::new(
        "typical_p",
        OptionKind::Float(0.0, 1.0),
        "choose among tokens about as surprising as expected that sum up to this",
    )
    .aliases(&["typ_p"])
    .default("1"),
    OptionSpec::new("top_p", OptionKind::Float(0.0, 1.0), "choose among the likeliest tokens that sum up to this")
        .default("1"),
    OptionSpec::new("min_p", OptionKind::Float(0.0, 1.0), "drop tokens less likely than this share of the likeliest")
        .default("0"),
    OptionSpec::new("max_tokens", OptionKind::Int(1, i64::MAX), "the longest answer in tokens")
        .aliases(&["max_new_tokens", "num_predict", "n_predict"])
        .default("512"),
    OptionSpec::new("stop", OptionKind::Texts, "texts that end the answer").aliases(&["stop_sequences"]),
    OptionSpec::new("seed", OptionKind::Int(i64::MIN, i64::MAX), "the seed of the choice of tokens").default("0"),
    OptionSpec::new("repeat_penalty", OptionKind::Float(0.001, 1000.0), "how much repeated tokens are held back")
        .aliases(&["repetition_penalty"])
        .default("1"),
    OptionSpec::new(
        "repeat_last_n",
        OptionKind::Int(-1, i64::MAX),
        "tokens of prompt and answer that the penalties look back at; -1 is all",
    )
    .aliases(&["penalty_last_n"])
    .default("64"),
    OptionSpec::new("presence_penalty", OptionKind::Float(-1000.0, 1000.0), "taken from the score of every used token")
        .default("0"),
    OptionSpec::new("frequency_penalty", OptionKind::Float(-1000.0, 1000.0), "the same for each time it was used")
        .default("0"),
    OptionSpec::new("logit_bias", OptionKind::Map, "what is added to the score of tokens, by their texts or numbers"),
    OptionSpec::new("logprobs", OptionKind::Bool, "tell how likely each token was, as events").default("false"),
    OptionSpec::new(
        "top_logprobs",
        OptionKind::Int(0, 20),
        "with `logprobs`: so many of the likeliest tokens for each place",
    )
    .default("0"),
    OptionSpec::new("num_ctx", OptionKind::Int(1, i64::MAX), "tokens of prompt and answer together")
        .aliases(&["ctx_size", "n_ctx"])
        .default("the model's"),
    OptionSpec::new("device", OptionKind::Any, "where it runs: \"cpu\", \"auto\" or -1, which all mean the processor")
        .default("\"auto\""),
    OptionSpec::new("threads", OptionKind::Int(1, 64), "threads that compute; the answer is the same with any number")
        .default("half of the processor's, at most 4"),
    OptionSpec::new("repeatable", OptionKind::Bool, "the same text to the same prompt; this engine knows no other way")
        .default("true"),
    OptionSpec::new("task", OptionKind::Choice(&["text-generation"]), "what the model does")
        .default("\"text-generation\""),
];

/// Spellings from elsewhere.
pub static EXPLAINED: &[(&str, &str)] = &[
    ("streaming", "answers always stream: leave it out"),
    ("stream", "answers always stream: leave it out"),
    ("callbacks", "`chainrun FILE --callback COMMAND` gives a command what happens: leave it out"),
    ("callback_manager", "`chainrun FILE --callback COMMAND` gives a command what happens: leave it out"),
    ("verbose", "`chainrun FILE --callback COMMAND` gives a command what happens: leave it out"),
    ("n_gpu_layers", "the model runs on the processor: leave it out"),
    ("n_threads", "it is called `threads` here"),
    ("device_map", "the model runs on the processor: leave it out"),
    ("do_sample", "`temperature: 0` takes the likeliest token, anything above chooses"),
    ("model_kwargs", "options are written straight: `temperature: 0.2`"),
    ("pipeline_kwargs", "options are written straight: `max_tokens: 100`"),
    ("tools", "a model inside the process is told of no tools; `ollama` and `openai` tell theirs"),
    ("idle_timeout", "the model runs inside the process: `timeout: 30s` bounds a call"),
    ("allow_control_tokens", "values are read as plain text, whatever they hold: leave it out"),
];

/// How tokens are chosen, as the file says. What is added to single tokens needs the vocabulary.
pub fn sampling(config: &ModelConfig) -> Sampling {
    let default = Sampling::default();
    let number = |name, default| config.float(name).unwrap_or(default);
    let size = |name| config.int(name).and_then(|n| usize::try_from(n).ok());
    Sampling {
        temperature: number("temperature", default.temperature),
        top_k: size("top_k").unwrap_or(default.top_k),
        typical_p: number("typical_p", default.typical_p),
        top_p: number("top_p", default.top_p),
        min_p: number("min_p", default.min_p),
        repeat_penalty: number("repeat_penalty", default.repeat_penalty),
        repeat_last_n: match config.int("repeat_last_n") {
            None => default.repeat_last_n,
            Some(n) => usize::try_from(n).unwrap_or(usize::MAX),
        },
        presence_penalty: number("presence_penalty", default.presence_penalty),
        frequency_penalty: number("frequency_penalty", default.frequency_penalty),
        logit_bias: Vec::new(),
        seed: config.int("seed").unwrap_or(0) as u64,
    }
}

/// Whether to tell how likely tokens were, with so many of the likeliest.
///
/// # Errors
/// So many are named, but none are to be told.
pub fn chances(config: &ModelConfig) -> Result<Option<usize>, ProviderError> {
    let count = config.int("top_logprobs").and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    match config.bool("logprobs") {
        Some(true) => Ok(Some(count)),
        _ if count == 0 => Ok(None),
        _ => Err(ProviderError::new(ErrorKind::Refused, "`top_logprobs` says nothing without `logprobs: true`")
            .help("add `logprobs: true`, or leave `top_logprobs` out")),
    }
}

/// The largest number that is added to a token's score or taken from it: more than any two logits differ by.
const MOST_BIAS: f64 = 10_000.0;

/// What is added to which tokens, as the file names them.
///
/// # Errors
/// A value is no number of use.
pub fn bias(config: &ModelConfig) -> Result<Vec<(String, f64)>, ProviderError> {
    let Some(Value::Map(map)) = config.value("logit_bias") else { return Ok(Vec::new()) };
    let number = |(token, value): (&String, &Value)| {
        let number = match value {
            Value::Int(n) => Some(*n as f64),
            Value::Float(x) => Some(*x),
            _ => None,
        };
        match number.filter(|n| n.abs() <= MOST_BIAS) {
            Some(number) => Ok((token.clone(), number)),
            None => Err(ProviderError::new(
                ErrorKind::Refused,
                format!("`logit_bias`: `{token}` has {}, not a number from -10000 to 10000", value.show(40)),
            )),
        }
    };
    map.iter().map(number).collect()
}

/// The tokens that are meant: a number is that token's, any other text is the one token that it is.
///
/// # Errors
/// There is no such token, or the text is several.
pub fn biased(bias: &[(String, f64)], tokenizer: &Tokenizer) -> Result<Vec<(u32, f64)>, ProviderError> {
    let refused = |message: String| ProviderError::new(ErrorKind::Refused, format!("`logit_bias`: {message}"));
    let token = |text: &str| {
        if text.bytes().all(|b| b.is_ascii_digit()) {
            let count = tokenizer.len();
            let number = text.parse::<u32>().ok().filter(|n| (*n as usize) < count);
            return number.ok_or_else(|| refused(format!("there is no token {text}; the model has {count}")));
        }
        let mut tokens = tokenizer.encode(&[Span::new(text, true)]);
        let around = tokenizer.encode(&[]);
        tokens.retain(|t| !around.contains(t));
        match tokens[..] {
            [token] => Ok(token),
            _ => {
                let shown = |t: &u32| format!("`{}` ({t})", String::from_utf8_lossy(tokenizer.bytes(*t)));
                let parts: Vec<String> = tokens.iter().map(shown).collect();
                Err(refused(format!("`{text}` is {} tokens: {}", tokens.len(), parts.join(", ")))
                    .help("name each by its number"))
            }
        }
    };
    bias.iter().map(|(text, bias)| Ok((token(text)?, *bias))).collect()
}
