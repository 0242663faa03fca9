//! What comes next in one answer: sampler and constraint together. Whoever runs a model feeds what a step gives and asks
//! for another with the logits behind its last token.

use super::constraint::Constraint;
use super::error::EngineError;
use super::sampler::{Chance, Sampler, Sampling, chances};
use super::tokenizer::Tokenizer;

/// How an answer goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// The next tokens: the chosen one, and those that must follow. Of several, only the last one's logits are needed.
    pub tokens: Vec<u32>,
    /// Whether the answer is complete behind them.
    pub ended: bool,
    /// How likely each of the tokens was, and the likeliest in its place; empty unless asked for.
    pub chances: Vec<(Chance, Vec<Chance>)>,
}

/// The state of one answer.
pub struct Choice {
    sampler: Sampler,
    constraint: Option<Constraint>,
    /// How many of the likeliest tokens to tell for each place.
    chances: Option<usize>,
}

impl Choice {
    /// The beginning of an answer to `prompt`. `chances` asks for likelihoods, with so many of the likeliest tokens.
    pub fn new(settings: Sampling, prompt: &[u32], constraint: Option<Constraint>, chances: Option<usize>) -> Self {
        Self { sampler: Sampler::new(settings, prompt), constraint, chances }
    }

    /// The tokens that every answer begins with, before anything is computed.
    ///
    /// # Errors
    /// The constraint takes more work than is allowed.
    pub fn begin(&mut self) -> Result<Step, EngineError> {
        let mut step = Step::default();
        self.force(&mut step)?;
        Ok(step)
    }

    /// The next tokens by the logits behind the last one; the logits are changed.
    ///
    /// # Errors
    /// As [`Choice::begin`].
    pub fn next(&mut self, logits: &mut [f32], tokenizer: &Tokenizer) -> Result<Step, EngineError> {
        let ended = Step { ended: true, ..Step::default() };
        let allowed = self.constraint.as_mut().map(Constraint::allowed).transpose()?;
        let seen = self.chances.map(|count| (count, logits.to_vec()));
        let Some(token) = self.sampler.next(logits, allowed.as_ref()) else { return Ok(ended) };
        if tokenizer.is_end(token) {
            return Ok(ended);
        }
        let mut step = Step { tokens: vec![token], ..Step::default() };
        if let Some((count, logits)) = seen {
            step.chances.push(chances(&logits, allowed.as_ref(), token, count));
        }
        if let Some(constraint) = &mut self.constraint {
            constraint.take(token)?;
            self.force(&mut step)?;
        }
        Ok(step)
    }

    fn force(&mut self, step: &mut Step) -> Result<(), EngineError> {
        let Some(constraint) = &mut self.constraint else { return Ok(()) };
        let forced = constraint.forced()?;
        for token in &forced {
            self.sampler.take(*token);
            if let Some(count) = self.chances {
                // The only one that is allowed is certain.
                let certain = Chance { token: *token, logprob: 0.0 };
                step.chances.push((certain.clone(), vec![certain; count.min(1)]));
            }
        }
        step.tokens.extend(forced);
        step.ended = constraint.ended();
        Ok(())
    }
}
