//! Text to tokens and back. A vocabulary is one of five kinds (`bpe`, `sentencepiece`, `wordpiece`, `unigram`, and what a
//! `tokenizer.json` describes); around each stand the same rules for control tokens and for the first and last token.

use std::collections::HashSet;

mod bpe;
mod decoder;
mod from_gguf;
mod hub;
mod pretokenizer;
mod sentencepiece;
mod special;
#[cfg(test)]
mod tests;
mod unigram;
mod wordpiece;

pub use decoder::Decoder;
use special::Specials;

/// A stretch of text, and whether control tokens written in it count as such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The text.
    pub text: String,
    /// Whether `<|im_end|>` and its like become control tokens. Values of a chain never do.
    pub control: bool,
}

impl Span {
    /// A stretch of text.
    pub fn new(text: impl Into<String>, control: bool) -> Self {
        Self { text: text.into(), control }
    }
}

/// How a kind of vocabulary turns text without control tokens into tokens.
trait Words: Send + Sync {
    /// Appends the tokens of `text`, which stands between control tokens or the ends of the prompt; `begins` where nothing
    /// stands before it.
    fn encode(&self, text: &str, begins: bool, out: &mut Vec<u32>);
}

/// A vocabulary with its rules.
pub struct Tokenizer {
    words: Box<dyn Words>,
    specials: Specials,
    /// Bytes of every token; empty for control tokens.
    bytes: Vec<Vec<u8>>,
    texts: Vec<String>,
    begin: Vec<u32>,
    end: Vec<u32>,
    ends: HashSet<u32>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("tokens", &self.texts.len()).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Tokens of some stretches of text that follow each other, with the first and last token that the model wants.
    /// Words may span stretches; control tokens may not.
    pub fn encode(&self, spans: &[Span]) -> Vec<u32> {
        let mut out = self.begin.clone();
        self.append(spans, &mut out);
        out.extend(&self.end);
        // A template that writes the first token itself would give it twice.
        if let ([begin], [a, b, ..]) = (&self.begin[..], &out[..])
            && begin == a
            && a == b
        {
            out.remove(0);
        }
        out
    }

    /// Tokens of a text by itself, without the first and last token, and without control tokens.
    pub fn encode_text(&self, text: &str) -> Vec<u32> {
        let mut out = Vec::new();
        self.append(&[Span::new(text, false)], &mut out);
        out
    }

    fn append(&self, spans: &[Span], out: &mut Vec<u32>) {
        let mut text = String::new();
        let (mut begins, mut strip) = (true, false);
        for span in spans {
            let mut at = 0;
            for (start, end, special) in self.specials.find(&span.text, span.control) {
                text.push_str(&span.text[at..start]);
                self.flush(&mut text, begins, (strip, special.strip_left), out);
                out.push(special.id);
                (begins, strip) = (false, special.strip_right);
                at = end;
            }
            text.push_str(&span.text[at..]);
        }
        self.flush(&mut text, begins, (strip, false), out);
    }

    fn flush(&self, text: &mut String, begins: bool, (left, right): (bool, bool), out: &mut Vec<u32>) {
        let mut rest = text.as_str();
        rest = if left { rest.trim_start() } else { rest };
        rest = if right { rest.trim_end() } else { rest };
        if !rest.is_empty() {
            self.words.encode(rest, begins, out);
        }
        text.clear();
    }

    /// The bytes that a token adds to a text; none for control tokens.
    pub fn bytes(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], Vec::as_slice)
    }

    /// A token as the vocabulary writes it.
    pub fn text(&self, token: u32) -> &str {
        self.texts.get(token as usize).map_or("", String::as_str)
    }

    /// Tokens in the vocabulary.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether the vocabulary is empty.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether the token ends an answer.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// The first control token written in `text`.
    pub fn control_in<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.specials.control_in(text)
    }
}
