//! Choosing the next token. Everything is a function of the logits, the settings, the seed and the position: no clock
//! and no global state. Steps run in llama.cpp's order: penalties, top-k, top-p, min-p, temperature, draw.

use std::collections::{HashMap, VecDeque};

/// How tokens are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Spread of the choice; 0 takes the most likely token.
    pub temperature: f64,
    /// Only so many of the likeliest tokens; 0 means all.
    pub top_k: usize,
    /// Only the likeliest tokens that together reach this probability; 1 means all.
    pub top_p: f64,
    /// Only tokens at least this likely relative to the likeliest; 0 means all.
    pub min_p: f64,
    /// Logits of recent tokens are divided by this where positive, else multiplied (Keskar et al. 2019); 1 is off.
    pub repeat_penalty: f64,
    /// Taken from the logit of every recent token.
    pub presence_penalty: f64,
    /// Taken from the logit of a recent token for each time it occurred.
    pub frequency_penalty: f64,
    /// Key of the random numbers.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repeat_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: 0,
        }
    }
}

/// Tokens that penalties look back at, prompt and answer together: llama.cpp's default.
pub const RECENT: usize = 64;

/// Philox4x32-10 (Salmon et al. 2011): random numbers as a function of key and counter.
#[derive(Clone, Copy, Debug)]
pub struct Philox {
    key: [u32; 2],
}

impl Philox {
    /// Random numbers with `seed` as their key.
    pub fn new(seed: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32] }
    }

    /// The block of four numbers at a counter.
    pub fn block(&self, counter: [u32; 4]) -> [u32; 4] {
        let (mut c, mut k) = (counter, self.key);
        for _ in 0..10 {
            let (a, b) = (u64::from(c[0]) * 0xD251_1F53, u64::from(c[2]) * 0xCD9E_8D57);
            c = [(b >> 32) as u32 ^ c[1] ^ k[0], b as u32, (a >> 32) as u32 ^ c[3] ^ k[1], a as u32];
            k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
        }
        c
    }

    /// A number in `[0, 1)` with 53 random bits for a position of a sample.
    pub fn uniform(&self, sample: u64, position: u64) -> f64 {
        let b = self.block([position as u32, (position >> 32) as u32, sample as u32, (sample >> 32) as u32]);
        let bits = (u64::from(b[1]) << 32 | u64::from(b[0])) >> 11;
        bits as f64 / (1u64 << 53) as f64
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
        let recent = prompt[prompt.len().saturating_sub(RECENT)..].iter().copied().collect();
        Self { random: Philox::new(settings.seed), settings, recent, position: 0 }
    }

    /// Chooses the next token and remembers it.
    pub fn next(&mut self, logits: &mut [f32]) -> u32 {
        self.penalise(logits);
        let token = if self.settings.temperature <= 0.0 { greedy(logits) } else { self.draw(logits) };
        self.position += 1;
        self.recent.push_back(token);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        token
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

    fn draw(&self, logits: &[f32]) -> u32 {
        let s = &self.settings;
        let mut order: Vec<(f32, u32)> = logits.iter().zip(0..).map(|(l, i)| (*l, i)).collect();
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        if s.top_k > 0 {
            order.truncate(s.top_k);
        }
        let most = f64::from(order.first().map_or(0.0, |o| o.0));
        if s.top_p < 1.0 {
            let weights: Vec<f64> = order.iter().map(|(l, _)| libm::exp(f64::from(*l) - most)).collect();
            let all: f64 = weights.iter().sum();
            let mut sum = 0.0;
            let keep = weights.iter().position(|w| {
                sum += w / all;
                sum >= s.top_p
            });
            order.truncate(keep.map_or(order.len(), |k| k + 1));
        }
        if s.min_p > 0.0 {
            let least = most + libm::log(s.min_p);
            order.retain(|(l, _)| f64::from(*l) >= least);
        }
        let weights: Vec<f64> = order.iter().map(|(l, _)| libm::exp((f64::from(*l) - most) / s.temperature)).collect();
        let target = self.random.uniform(0, self.position) * weights.iter().sum::<f64>();
        let mut sum = 0.0;
        for (w, (_, token)) in weights.iter().zip(&order) {
            sum += w;
            if target < sum {
                return *token;
            }
        }
        order.last().map_or(0, |o| o.1)
    }
}

/// The most likely token; the first of several.
fn greedy(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (i, l) in logits.iter().enumerate() {
        if *l > logits[best] {
            best = i;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_authors_numbers() {
        // Known answers of Random123's `kat_vectors`.
        let zero = Philox::new(0).block([0; 4]);
        assert_eq!(zero, [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        let ones = Philox::new(u64::MAX).block([u32::MAX; 4]);
        assert_eq!(ones, [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    }

    #[test]
    fn greedy_takes_the_first_of_equals() {
        assert_eq!(Sampler::new(Sampling::default(), &[]).next(&mut [1.0, 3.0, 3.0]), 1);
    }

    #[test]
    fn narrow_choices_are_greedy() {
        for s in [
            Sampling { top_k: 1, temperature: 1.0, ..Sampling::default() },
            Sampling { top_p: 0.01, temperature: 1.0, ..Sampling::default() },
            Sampling { min_p: 0.999, temperature: 1.0, ..Sampling::default() },
        ] {
            assert_eq!(Sampler::new(s, &[]).next(&mut [0.0, 1.0, 2.0, 1.5]), 2);
        }
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let mut sampler = Sampler::new(Sampling { temperature: 1.0, seed: 7, ..Sampling::default() }, &[]);
        let mut ones = 0;
        for _ in 0..10_000 {
            ones += sampler.next(&mut [0.0, 1.098_612_3]);
        }
        assert!((7_350..7_650).contains(&ones), "{ones} of 10000, expected about 7500");
    }

    #[test]
    fn penalties_push_recent_tokens_down() {
        let s = Sampling { repeat_penalty: 2.0, ..Sampling::default() };
        assert_eq!(Sampler::new(s, &[0]).next(&mut [1.5, 1.0]), 1);
        let s = Sampling { presence_penalty: 1.0, ..Sampling::default() };
        assert_eq!(Sampler::new(s, &[0, 0]).next(&mut [1.5, 1.0]), 1);
        let s = Sampling { frequency_penalty: 0.2, ..Sampling::default() };
        assert_eq!(Sampler::new(s, &[0, 0]).next(&mut [1.5, 1.0]), 0);
    }
}
