//! WordPiece, as BERT and its family have it: words are white space and marks apart; each is covered by the longest tokens
//! from its beginning.

use std::collections::HashMap;

use regex::Regex;
use unicode_normalization::UnicodeNormalization;

use super::Words;

/// A vocabulary of beginnings and continuations.
pub(super) struct WordPiece {
    /// Tokens that begin a word.
    pub begins: HashMap<String, u32>,
    /// Tokens that continue one.
    pub continues: HashMap<String, u32>,
    pub unknown: Option<u32>,
    /// Characters of the longest token.
    pub longest: usize,
    pub normal: Normaliser,
}

/// Words longer than this are unknown, as in the original.
const MOST: usize = 100;

impl Words for WordPiece {
    fn encode(&self, text: &str, _begins: bool, out: &mut Vec<u32>) {
        let clean = self.normal.clean(text);
        for word in self.normal.words.find_iter(&clean) {
            self.word(word.as_str(), out);
        }
    }
}

impl WordPiece {
    fn word(&self, word: &str, out: &mut Vec<u32>) {
        let places: Vec<usize> = word.char_indices().map(|(i, _)| i).chain([word.len()]).collect();
        let count = places.len() - 1;
        let before = out.len();
        let mut at = 0;
        while at < count && count <= MOST {
            let known = if at == 0 { &self.begins } else { &self.continues };
            let ends = (at + 1..=count.min(at + self.longest)).rev();
            let found = ends.map(|end| (end, known.get(&word[places[at]..places[end]]))).find(|(_, id)| id.is_some());
            let Some((end, Some(id))) = found else { break };
            out.push(*id);
            at = end;
        }
        if at < count {
            out.truncate(before);
            out.extend(self.unknown);
        }
    }
}

/// What is done to text before it is split into words.
pub(super) struct Normaliser {
    lowercase: bool,
    strip_accents: bool,
    words: Regex,
    /// Characters that vanish.
    control: Regex,
    accents: Regex,
}

impl Normaliser {
    /// From the vocabulary's own settings.
    ///
    /// # Errors
    /// An expression is not one of this build's engine of expressions.
    pub fn new(lowercase: bool, strip_accents: bool) -> Result<Self, regex::Error> {
        // Chinese characters and marks are words of their own; the ranges are the original's.
        let single = r"[\p{P}$+<=>\^`|~\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}\x{2B740}-\x{2B81F}\x{2B920}-\x{2CEAF}\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}]";
        Ok(Self {
            lowercase,
            strip_accents,
            words: Regex::new(&format!(r"{single}|[^\s{}+", &single[1..]))?,
            control: Regex::new(r"[\x{FFFD}\p{C}&&[^\t\n\r]]+")?,
            accents: Regex::new(r"\p{Mn}+")?,
        })
    }

    fn clean(&self, text: &str) -> String {
        let mut text = self.control.replace_all(text, "").into_owned();
        if self.strip_accents {
            let apart: String = text.nfd().collect();
            text = self.accents.replace_all(&apart, "").into_owned();
        }
        if self.lowercase { text.to_lowercase() } else { text }
    }
}
