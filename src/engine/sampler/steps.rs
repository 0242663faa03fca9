//! The steps that narrow a choice, one function each. Candidates are sorted by (logit descending, id ascending) before
//! and after every step, and sums are f64 in that order, so that equal logits and rounding decide alike everywhere.

/// A token that may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The token.
    pub token: u32,
    /// Its score.
    pub logit: f32,
}

/// The candidates among some logits, in order; `allowed` says which tokens are any.
pub fn candidates(logits: &[f32], allowed: impl Fn(u32) -> bool) -> Vec<Candidate> {
    // A number of 64 bits that sorts as (logit descending, id ascending): it sorts faster than a pair.
    let key = |logit: f32, token: u32| {
        let bits = (logit + 0.0).to_bits();
        let ascending = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        u64::from(!ascending) << 32 | u64::from(token)
    };
    let mut keys: Vec<u64> =
        logits.iter().zip(0..).filter(|(_, token)| allowed(*token)).map(|(l, token)| key(*l, token)).collect();
    keys.sort_unstable();
    keys.into_iter().map(|key| Candidate { token: key as u32, logit: logits[key as u32 as usize] }).collect()
}

/// What each candidate weighs at a temperature: 1 for the likeliest.
pub fn weights(order: &[Candidate], temperature: f64) -> Vec<f64> {
    let most = order.first().map_or(0.0, |c| f64::from(c.logit));
    order.iter().map(|c| libm::exp((f64::from(c.logit) - most) / temperature)).collect()
}

/// The probability of each candidate among these.
fn probabilities(order: &[Candidate]) -> Vec<f64> {
    let mut weights = weights(order, 1.0);
    let all: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|w| *w /= all);
    weights
}

/// Keeps the likeliest `k` (Fan et al. 2018); 0 keeps all.
pub fn top_k(order: &mut Vec<Candidate>, k: usize) {
    if k > 0 {
        order.truncate(k);
    }
}

/// Keeps the candidates whose surprise is nearest to the expected one, until they reach the probability `p` together
/// (locally typical sampling, Meister et al. 2022); 1 keeps all.
pub fn typical(order: &mut Vec<Candidate>, p: f64) {
    if p >= 1.0 {
        return;
    }
    let chances = probabilities(order);
    // One that weighs nothing is infinitely surprising, and expected never.
    let entropy: f64 = chances.iter().filter(|p| **p > 0.0).map(|p| -p * libm::log(*p)).sum();
    let mut near: Vec<(f64, usize)> =
        chances.iter().enumerate().map(|(i, p)| ((-libm::log(*p) - entropy).abs(), i)).collect();
    near.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut sum = 0.0;
    let enough = near.iter().position(|(_, i)| {
        sum += chances[*i];
        sum > p
    });
    near.truncate(enough.map_or(near.len(), |n| n + 1));
    let mut kept: Vec<usize> = near.into_iter().map(|(_, i)| i).collect();
    kept.sort_unstable();
    *order = kept.into_iter().map(|i| order[i]).collect();
}

/// Keeps the fewest likeliest that reach the probability `p` together (nucleus sampling, Holtzman et al. 2020); 1 keeps
/// all, and one always stays.
pub fn top_p(order: &mut Vec<Candidate>, p: f64) {
    if p >= 1.0 {
        return;
    }
    let mut sum = 0.0;
    let enough = probabilities(order).into_iter().position(|chance| {
        sum += chance;
        sum >= p
    });
    order.truncate(enough.map_or(order.len(), |n| n + 1));
}

/// Keeps those at least `p` times as likely as the likeliest (Nguyen et al. 2024); 0 keeps all, and one always stays.
pub fn min_p(order: &mut Vec<Candidate>, p: f64) {
    if p <= 0.0 {
        return;
    }
    let least = order.first().map_or(0.0, |c| f64::from(c.logit)) + libm::log(p);
    let kept = order.iter().take_while(|c| f64::from(c.logit) >= least).count();
    order.truncate(kept.max(1));
}
