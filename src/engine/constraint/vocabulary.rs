//! A model's vocabulary as masks are computed over it.

use std::sync::Arc;

use llguidance::toktrie::{TokEnv, TokRxInfo, TokTrie, TokenizerEnv};
use llguidance::{Matcher, ParserFactory, TokenParser};

use super::super::error::EngineError;
use super::super::service::Description;
use super::super::tokenizer::{Span, Tokenizer};
use super::{Constraint, Grammar, init, limits};

/// The tokens of a model in a tree, and the grammars that were used last.
pub struct Vocabulary {
    factory: ParserFactory,
    /// Compiled grammars before their first token, the latest last.
    kept: Vec<(Grammar, TokenParser)>,
}

/// Compiled grammars that are kept.
const KEPT: usize = 8;

impl Vocabulary {
    /// The vocabulary of a model.
    ///
    /// # Errors
    /// It is too large for masks.
    pub fn new(description: Arc<Description>) -> Result<Self, EngineError> {
        let tokens: TokEnv = Arc::new(Tokens::new(description));
        let mut factory = ParserFactory::new_simple(&tokens).map_err(|e| EngineError::Constraint(e.to_string()))?;
        factory.quiet();
        *factory.limits_mut() = limits();
        Ok(Self { factory, kept: Vec::new() })
    }

    /// The beginning of an answer that obeys a grammar.
    ///
    /// # Errors
    /// The grammar takes more work than is allowed.
    pub fn constrain(&mut self, grammar: &Grammar) -> Result<Constraint, EngineError> {
        let parser = match self.kept.iter().position(|(g, _)| g == grammar) {
            Some(at) => self.kept.remove(at).1,
            None => {
                let made = self.factory.create_parser_from_init_default(init(grammar));
                made.map_err(|e| EngineError::Constraint(e.to_string()))?
            }
        };
        // A copy shares nothing with other answers: how much work is left for one does not depend on them.
        let matcher = Matcher::new(Ok(parser.deep_clone()));
        self.kept.push((grammar.clone(), parser));
        if self.kept.len() > KEPT {
            self.kept.remove(0);
        }
        Ok(Constraint { matcher })
    }
}

struct Tokens {
    description: Arc<Description>,
    trie: TokTrie,
}

impl Tokens {
    fn new(description: Arc<Description>) -> Self {
        let tokenizer = &description.tokenizer;
        let count = tokenizer.len() as u32;
        let mut words: Vec<Vec<u8>> = (0..count).map(|token| word(tokenizer, token)).collect();
        let mut ends: Vec<u32> = (0..count).filter(|token| tokenizer.is_end(*token)).collect();
        if ends.is_empty() {
            // A vocabulary without an end gets one that no logit stands for: an answer then ends where nothing else may come.
            ends.push(count);
            words.push([&[TokTrie::SPECIAL_TOKEN_MARKER], &b"<end>"[..]].concat());
        }
        let info = TokRxInfo::new(words.len() as u32, ends[0]);
        let trie = TokTrie::from(&info, &words).with_eos_tokens(&ends);
        Self { description, trie }
    }

    /// The tokens of a text in the middle of an answer: without those that stand around a prompt.
    fn text(&self, text: &str) -> Vec<u32> {
        let tokenizer = &self.description.tokenizer;
        let mut tokens = tokenizer.encode(&[Span::new(text, false)]);
        tokens.retain(|token| !tokenizer.bytes(*token).is_empty());
        let back: Vec<u8> = tokens.iter().flat_map(|token| tokenizer.bytes(*token)).copied().collect();
        // A vocabulary may put a space before all text; then the longest tokens do.
        if back == text.as_bytes() { tokens } else { self.trie.greedy_tokenize(text.as_bytes()) }
    }
}

/// The bytes of a token; those of a control token begin with a byte that no text holds.
fn word(tokenizer: &Tokenizer, token: u32) -> Vec<u8> {
    let bytes = tokenizer.bytes(token);
    if bytes.is_empty() || tokenizer.is_end(token) {
        return [&[TokTrie::SPECIAL_TOKEN_MARKER], tokenizer.text(token).as_bytes()].concat();
    }
    bytes.to_vec()
}

impl TokenizerEnv for Tokens {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<u32> {
        self.trie.tokenize_with_greedy_fallback(bytes, |text| self.text(text))
    }
}
