//! Holding an answer to a form: before each token, which tokens may come next, and which must.

mod grammar;
mod vocabulary;

#[cfg(test)]
mod tests;

use llguidance::Matcher;
use llguidance::api::{GrammarInit, ParserLimits, TopLevelGrammar};
use llguidance::earley::ValidationResult;

pub use grammar::{Grammar, Unsupported};
pub use vocabulary::Vocabulary;

use super::error::EngineError;
use super::sampler::TokenSet;

/// Whether a grammar can be used, with any vocabulary.
fn check(grammar: &Grammar) -> Result<(), String> {
    match init(grammar).validate(None, limits()) {
        ValidationResult::Error(why) => Err(why),
        ValidationResult::Valid | ValidationResult::Warnings(_) => Ok(()),
    }
}

fn init(grammar: &Grammar) -> GrammarInit {
    GrammarInit::Serialized(TopLevelGrammar::from_lark(grammar.0.clone()))
}

/// Bounds of work, all counted and none timed, so that an answer is the same on a slow machine.
fn limits() -> ParserLimits {
    ParserLimits { verbose_errors: false, ..ParserLimits::default() }
}

/// The state of one answer that obeys a grammar.
pub struct Constraint {
    matcher: Matcher,
}

impl Constraint {
    /// The tokens that must come next, taken already: each is the only way on. They are split as the tokenizer splits the
    /// text, as a model has seen it; what may be split in several ways, by what follows, waits.
    ///
    /// # Errors
    /// The grammar takes more work than is allowed.
    pub fn forced(&mut self) -> Result<Vec<u32>, EngineError> {
        if self.ended() {
            return Ok(Vec::new());
        }
        let tokens = self.matcher.consume_ff_tokens();
        match self.matcher.get_error() {
            Some(why) => Err(failed(&why)),
            None => Ok(tokens),
        }
    }

    /// The tokens that may come next; one that ends the answer is among them where it may end.
    ///
    /// # Errors
    /// As [`Constraint::forced`].
    pub fn allowed(&mut self) -> Result<TokenSet, EngineError> {
        let mask = self.matcher.compute_mask_or_eos().map_err(|e| failed(&e.to_string()))?;
        Ok(TokenSet::from_words(mask.as_slice().to_vec()))
    }

    /// Goes on after one of the allowed tokens.
    ///
    /// # Errors
    /// The token is not one of them.
    pub fn take(&mut self, token: u32) -> Result<(), EngineError> {
        self.matcher.consume_token(token).map_err(|e| failed(&e.to_string()))
    }

    /// Whether the answer is complete and nothing may follow.
    pub fn ended(&self) -> bool {
        self.matcher.is_stopped() && !self.matcher.is_error()
    }
}

fn failed(why: &str) -> EngineError {
    let why = why.lines().next().unwrap_or_default();
    EngineError::Constraint(why.to_owned())
}
