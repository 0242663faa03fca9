//! Choosing the next token. Everything is a function of the logits, the settings, the seed and the position: no clock
//! and no global state. Steps run in llama.cpp's order: bias, penalties, top-k, typical, top-p, min-p, temperature, draw.
//! What a constraint allows comes before all of them.

mod philox;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};

pub use philox::Philox;
use steps::{Candidate, candidates, weights};

/// How tokens are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Spread of the choice; 0 takes the most likely token.
    pub temperature: f64,
    /// Only so many of the likeliest tokens; 0 means all.
    pub top_k: usize,
    /// Only tokens about as surprising as expected that together reach this probability; 1 means all.
    pub typical_p: f64,
    /// Only the likeliest tokens that together reach this probability; 1 means all.
    pub top_p: f64,
    /// Only tokens at least this likely relative to the likeliest; 0 means all.
    pub min_p: f64,
    /// Logits of recent tokens are divided by this where positive, else multiplied (Keskar et al. 2019); 1 is off.
    pub repeat_penalty: f64,
    /// Tokens that penalties look back at, prompt and answer together; 0 is none.
    pub repeat_last_n: usize,
    /// Taken from the logit of every recent token.
    pub presence_penalty: f64,
    /// Taken from the logit of a recent token for each time it occurred.
    pub frequency_penalty: f64,
    /// Added to the logits of tokens.
    pub logit_bias: Vec<(u32, f64)>,
    /// Key of the random numbers.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            typical_p: 1.0,
            top_p: 1.0,
            min_p: 0.0,
            repeat_penalty: 1.0,
            repeat_last_n: 64,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}

/// Which tokens may come next.
#[derive(Clone, Debug)]
pub struct TokenSet(Vec<u32>);

impl TokenSet {
    /// A set from its words: bit `i` of word `w` stands for token `32 w + i`.
    pub fn from_words(words: Vec<u32>) -> Self {
        Self(words)
    }

    /// Whether it holds a token.
    pub fn holds(&self, token: u32) -> bool {
        self.0.get(token as usize / 32).is_some_and(|word| word >> (token % 32) & 1 == 1)
    }

    /// The tokens in it, ascending.
    pub fn tokens(&self) -> impl Iterator<Item = u32> {
        let bits = |(at, word): (u32, u32)| (0..32).filter(move |i| word >> i & 1 == 1).map(move |i| at * 32 + i);
        (0..).zip(self.0.iter().copied()).filter(|(_, word)| *word != 0).flat_map(bits)
    }
}

/// The state of one answer: settings and recent tokens.
pub struct Sampler {
    settings: Sampling,
    random: Philox,
    recent: VecDeque<u32>,
    position: u64,
}

impl Sampler {
    /// A sampler after `prompt`.
    pub fn new(settings: Sampling, prompt: &[u32]) -> Self {
        let recent = prompt[prompt.len().saturating_sub(settings.repeat_last_n)..].iter().copied().collect();
        Self { random: Philox::new(settings.seed), settings, recent, position: 0 }
    }

    /// Chooses the next token, among the allowed ones where only some are, and remembers it; nothing where none is.
    pub fn next(&mut self, logits: &mut [f32], allowed: Option<&TokenSet>) -> Option<u32> {
        self.bias(logits);
        self.penalise(logits);
        let token = if self.settings.temperature <= 0.0 {
            likeliest(logits, allowed)?
        } else {
            self.draw(candidates(logits, |token| allowed.is_none_or(|set| set.holds(token))))?
        };
        self.take(token);
        Some(token)
    }

    /// Remembers a token that was not chosen here: it counts for penalties, and has its own place among the random
    /// numbers.
    pub fn take(&mut self, token: u32) {
        self.position += 1;
        self.recent.push_back(token);
        if self.recent.len() > self.settings.repeat_last_n {
            self.recent.pop_front();
        }
    }

    fn bias(&self, logits: &mut [f32]) {
        for (token, bias) in &self.settings.logit_bias {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit = (f64::from(*logit) + bias) as f32;
            }
        }
    }

    fn penalise(&self, logits: &mut [f32]) {
        let s = &self.settings;
        if s.repeat_penalty == 1.0 && s.presence_penalty == 0.0 && s.frequency_penalty == 0.0 {
            return;
        }
        let mut counts: HashMap<u32, u32> = HashMap::new();
        for t in &self.recent {
            *counts.entry(*t).or_default() += 1;
        }
        for (token, count) in counts {
            let Some(l) = logits.get_mut(token as usize) else { continue };
            let x = f64::from(*l);
            let x = if x > 0.0 { x / s.repeat_penalty } else { x * s.repeat_penalty };
            *l = (x - f64::from(count) * s.frequency_penalty - s.presence_penalty) as f32;
        }
    }

    fn draw(&self, mut order: Vec<Candidate>) -> Option<u32> {
        narrow(&self.settings, &mut order);
        let weights = weights(&order, self.settings.temperature);
        let target = self.random.uniform(0, self.position) * weights.iter().sum::<f64>();
        let mut sum = 0.0;
        let drawn = weights.iter().zip(&order).find(|(w, _)| {
            sum += *w;
            target < sum
        });
        drawn.map(|(_, c)| c.token).or(order.last().map(|c| c.token))
    }
}

/// Leaves the candidates that the settings keep.
fn narrow(settings: &Sampling, order: &mut Vec<Candidate>) {
    steps::top_k(order, settings.top_k);
    steps::typical(order, settings.typical_p);
    steps::top_p(order, settings.top_p);
    steps::min_p(order, settings.min_p);
}

/// The most likely token; the first of several.
fn likeliest(logits: &[f32], allowed: Option<&TokenSet>) -> Option<u32> {
    let better = |best: Option<u32>, token: u32| match (best, logits.get(token as usize)) {
        (Some(b), Some(l)) if *l > logits[b as usize] => Some(token),
        (None, Some(_)) => Some(token),
        _ => best,
    };
    match allowed {
        Some(set) => set.tokens().fold(None, better),
        None => (0..logits.len() as u32).fold(None, better),
    }
}

/// How likely a token was.
#[derive(Clone, Debug, PartialEq)]
pub struct Chance {
    /// The token.
    pub token: u32,
    /// The natural logarithm of its probability, among the allowed tokens where only some are.
    pub logprob: f64,
}

/// The chances by logits: of the likeliest `count`, and of `token` first.
pub fn chances(logits: &[f32], allowed: Option<&TokenSet>, token: u32, count: usize) -> (Chance, Vec<Chance>) {
    let order = candidates(logits, |token| allowed.is_none_or(|set| set.holds(token)));
    let most = order.first().map_or(0.0, |c| f64::from(c.logit));
    let sum = libm::log(weights(&order, 1.0).iter().sum());
    let chance = |logit: f32, token: u32| Chance { token, logprob: f64::from(logit) - most - sum };
    let own = chance(logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY), token);
    (own, order.iter().take(count).map(|c| chance(c.logit, c.token)).collect())
}
