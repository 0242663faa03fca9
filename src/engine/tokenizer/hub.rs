//! Vocabularies as `tokenizer.json` describes them. The package `tokenizers` does the words; control tokens are found here,
//! so that those in values stay text.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use tokenizers::Tokenizer as Pipeline;

use super::super::error::EngineError;
use super::special::{self, Special, Specials};
use super::{Tokenizer, Words, from_gguf};

/// What the file describes, for the beginning of a prompt and for what follows a control token.
struct Hub {
    first: Pipeline,
    /// Where it is not the same.
    later: Option<Pipeline>,
}

impl Words for Hub {
    fn encode(&self, text: &str, begins: bool, out: &mut Vec<u32>) {
        let pipeline = self.later.as_ref().filter(|_| !begins).unwrap_or(&self.first);
        // That unknown characters are no error was seen when the file was read.
        if let Ok(encoding) = pipeline.encode_fast(text, false) {
            out.extend(encoding.get_ids());
        }
    }
}

/// The largest number of a token that is believed.
const MOST: u32 = 1 << 24;

impl Tokenizer {
    /// Reads a `tokenizer.json`. `ends` are the numbers that other files of the model give as ends of an answer.
    ///
    /// # Errors
    /// The text is no such file, or describes something that the package does not know.
    pub fn from_json(text: &str, ends: &[u32]) -> Result<Self, EngineError> {
        let damaged = |e: String| EngineError::Damaged(format!("tokenizer.json: {e}"));
        let mut file: Value = serde_json::from_str(text).map_err(|e| damaged(e.to_string()))?;
        file["truncation"] = Value::Null;
        file["padding"] = Value::Null;
        let added = added(&mut file);
        let first = pipeline(&file).map_err(damaged)?;
        let later = if set_later(&mut file) { Some(pipeline(&file).map_err(damaged)?) } else { None };
        let vocabulary = first.get_vocab(true);
        let most = vocabulary.values().copied().max().filter(|id| *id < MOST);
        let Some(most) = most else {
            return Err(damaged("it has no tokens, or tokens with absurd numbers".to_owned()));
        };
        let mut texts = vec![String::new(); most as usize + 1];
        for (text, id) in vocabulary {
            texts[id as usize] = text;
        }
        let bytes = bytes(&file["decoder"], &texts, &added);
        let names: HashSet<&str> = added.iter().map(|a| a.text.as_str()).collect();
        let is_end = |a: &&Added| special::ends(&a.text, |t| names.contains(t));
        let mut all: HashSet<u32> = added.iter().filter(is_end).map(|a| a.rules.id).collect();
        all.extend(ends);
        let (begin, end) = around(&first).map_err(damaged)?;
        // Pieces of text are found by the package itself, also in values.
        let control = added.iter().filter(|a| !a.plain).map(|a| (a.text.clone(), a.rules, false));
        let specials = Specials::new(control)?;
        Ok(Self { words: Box::new(Hub { first, later }), specials, bytes, texts, begin, end, ends: all })
    }
}

/// A token that the file adds to the vocabulary.
struct Added {
    text: String,
    rules: Special,
    /// Whether it prints nothing.
    special: bool,
    plain: bool,
}

/// The added tokens. All but pieces of text are marked as special in `file`: those the package leaves to us.
fn added(file: &mut Value) -> Vec<Added> {
    let mut out = Vec::new();
    for token in file["added_tokens"].as_array_mut().into_iter().flatten() {
        let flag = |name: &str| token[name].as_bool().unwrap_or(false);
        let (Some(text), Some(id)) = (token["content"].as_str(), token["id"].as_u64()) else { continue };
        let (text, special) = (text.to_owned(), flag("special"));
        let rules = Special { id: id as u32, strip_left: flag("lstrip"), strip_right: flag("rstrip") };
        let plain = !special && special::is_plain(&text);
        token["special"] = Value::Bool(!plain);
        out.push(Added { text, rules, special, plain });
    }
    out
}

fn pipeline(file: &Value) -> Result<Pipeline, String> {
    let mut pipeline: Pipeline = file.to_string().parse().map_err(|e: tokenizers::Error| e.to_string())?;
    pipeline.set_encode_special_tokens(true);
    // A character that no vocabulary has: some have no token for it, and every text would fail.
    pipeline.encode_fast("\u{10fffd}", false).map_err(|e| e.to_string())?;
    Ok(pipeline)
}

/// Changes the rule that a space goes before the first word of a prompt alone to none at all; whether there is one.
fn set_later(value: &mut Value) -> bool {
    match value {
        Value::Object(map) => {
            let mut found = false;
            for (key, value) in map.iter_mut().filter(|(key, _)| !matches!(key.as_str(), "model" | "added_tokens")) {
                if key == "prepend_scheme" && value == "first" {
                    *value = Value::from("never");
                    found = true;
                }
                found |= set_later(value);
            }
            found
        }
        Value::Array(items) => items.iter_mut().map(set_later).fold(false, |a, b| a | b),
        _ => false,
    }
}

/// The tokens that the file sets around a text.
fn around(pipeline: &Pipeline) -> Result<(Vec<u32>, Vec<u32>), String> {
    let ids = |special| pipeline.encode_fast("a", special).map(|e| e.get_ids().to_vec()).map_err(|e| e.to_string());
    let (bare, full) = (ids(false)?, ids(true)?);
    let at = full
        .windows(bare.len().max(1))
        .position(|w| w == bare)
        .ok_or("it changes tokens when it sets others around")?;
    Ok((full[..at].to_vec(), full[at + bare.len()..].to_vec()))
}

/// The bytes that each token adds to a text, by the file's decoder.
fn bytes(decoder: &Value, texts: &[String], added: &[Added]) -> Vec<Vec<u8>> {
    let has = |name: &str| has_type(decoder, name);
    let (letters, fallback, pieces) = (has("ByteLevel"), has("ByteFallback"), has("WordPiece"));
    let spaces = has("Metaspace") || has("Replace");
    let alphabet: HashMap<char, u8> = (0..=255u8).map(|b| (from_gguf::letter(b), b)).collect();
    let of = |text: &String| {
        if let Some(byte) = from_gguf::byte(text).filter(|_| fallback) {
            return vec![byte];
        }
        let spelled = text.chars().map(|c| alphabet.get(&c).copied()).collect::<Option<Vec<u8>>>();
        match spelled.filter(|_| letters) {
            Some(bytes) => bytes,
            None if pieces => text.strip_prefix("##").map_or_else(|| format!(" {text}"), str::to_owned).into_bytes(),
            None if spaces => text.replace('▁', " ").into_bytes(),
            None => text.clone().into_bytes(),
        }
    };
    let mut out: Vec<Vec<u8>> = texts.iter().map(of).collect();
    for token in added {
        if let Some(bytes) = out.get_mut(token.rules.id as usize) {
            *bytes = if token.special { Vec::new() } else { token.text.clone().into_bytes() };
        }
    }
    out
}

fn has_type(value: &Value, name: &str) -> bool {
    match value {
        Value::Object(map) => map.get("type").is_some_and(|t| t == name) || map.values().any(|v| has_type(v, name)),
        Value::Array(items) => items.iter().any(|v| has_type(v, name)),
        _ => false,
    }
}
