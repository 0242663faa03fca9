//! The numbers of llama.cpp's sampling tests (`tests/test-sampling.cpp` as llama-cpp-python 0.3.36 carries it), for the steps that
//! both have, and what is this sampler's own.

use super::steps::{Candidate, candidates, min_p, top_k, top_p, typical, weights};
use super::*;

fn logits(chances: &[f32]) -> Vec<f32> {
    chances.iter().map(|p| libm::log(f64::from(*p)) as f32).collect()
}

fn ordered(logits: &[f32]) -> Vec<Candidate> {
    candidates(logits, |_| true)
}

fn shares(order: &[Candidate], temperature: f64) -> Vec<f64> {
    let weights = weights(order, temperature);
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

#[track_caller]
fn near(found: &[f64], expected: &[f64]) {
    let close = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(close, "{found:?}, expected {expected:?}");
}

const FOUR: [f32; 4] = [0.1, 0.2, 0.3, 0.4];

#[test]
fn temperature() {
    near(&shares(&ordered(&logits(&FOUR)), 1.0), &[0.4, 0.3, 0.2, 0.1]);
    assert_eq!(Sampler::new(Sampling::default(), &[]).next(&mut logits(&FOUR), None), Some(3));
}

#[test]
fn the_likeliest_k() {
    let after = |k| {
        let mut order = ordered(&logits(&FOUR));
        top_k(&mut order, k);
        shares(&order, 1.0)
    };
    near(&after(1), &[1.0]);
    near(&after(3), &[0.44444, 0.33333, 0.22222]);
    near(&after(4), &[0.4, 0.3, 0.2, 0.1]);
    near(&after(0), &[0.4, 0.3, 0.2, 0.1]);
}

#[test]
fn the_likeliest_that_reach_p() {
    let after = |p| {
        let mut order = ordered(&logits(&FOUR));
        top_p(&mut order, p);
        shares(&order, 1.0)
    };
    near(&after(0.0), &[1.0]);
    near(&after(0.7), &[0.571_429, 0.428_571]);
    near(&after(0.8), &[0.44444, 0.33333, 0.22222]);
    near(&after(1.0), &[0.4, 0.3, 0.2, 0.1]);
}

#[test]
fn at_least_a_share_of_the_likeliest() {
    let after = |p| {
        let mut order = ordered(&logits(&FOUR));
        min_p(&mut order, p);
        shares(&order, 1.0)
    };
    near(&after(0.0), &[0.4, 0.3, 0.2, 0.1]);
    near(&after(0.24), &[0.4, 0.3, 0.2, 0.1]);
    near(&after(0.26), &[0.4 / 0.9, 0.3 / 0.9, 0.2 / 0.9]);
    near(&after(0.49), &[0.4 / 0.9, 0.3 / 0.9, 0.2 / 0.9]);
    near(&after(0.51), &[0.4 / 0.7, 0.3 / 0.7]);
    near(&after(0.74), &[0.4 / 0.7, 0.3 / 0.7]);
    for p in [0.76, 1.0, 1.05] {
        near(&after(p), &[1.0]);
    }
}

#[test]
fn about_as_surprising_as_expected() {
    // There, probabilities are not shared out anew after this step.
    let kept = |chances: &[f32], p| {
        let mut order = ordered(&logits(chances));
        typical(&mut order, p);
        order.iter().map(|c| f64::from(chances[c.token as usize])).collect::<Vec<_>>()
    };
    near(&kept(&[0.97, 0.01, 0.01, 0.01], 0.5), &[0.97]);
    near(&kept(&[0.4, 0.2, 0.2, 0.2], 0.5), &[0.2, 0.2, 0.2]);
    assert_eq!(kept(&[0.4, 0.2, 0.2, 0.2], 1.0).len(), 4);
    // A token without any chance takes no part.
    near(&kept(&[0.5, 0.5, 0.0], 0.9), &[0.5, 0.5]);
}

#[test]
fn penalties() {
    let after = |last: &[u32], repeat_penalty, frequency_penalty, presence_penalty| {
        let settings = Sampling {
            repeat_penalty,
            frequency_penalty,
            presence_penalty,
            repeat_last_n: last.len(),
            ..Sampling::default()
        };
        let mut logits = logits(&[0.2; 5]);
        Sampler::new(settings, last).penalise(&mut logits);
        let order = ordered(&logits);
        let shares = shares(&order, 1.0);
        let mut by_token = vec![0.0; 5];
        order.iter().zip(shares).for_each(|(c, p)| by_token[c.token as usize] = p);
        by_token
    };
    near(&after(&[0], 50.0, 0.0, 0.0), &[0.0, 0.25, 0.25, 0.25, 0.25]);
    near(&after(&[0, 1, 2], 50.0, 0.0, 0.0), &[0.0, 0.0, 0.0, 0.5, 0.5]);
    near(&after(&[0, 1, 2, 0, 0], 50.0, 0.0, 0.0), &[0.0, 0.0, 0.0, 0.5, 0.5]);
    near(&after(&[0], 1.0, 5.0, 5.0), &[0.000_011, 0.249_997, 0.249_997, 0.249_997, 0.249_997]);
    near(&after(&[0, 1, 2], 1.0, 5.0, 5.0), &[0.000_023, 0.000_023, 0.000_023, 0.499_966, 0.499_966]);
    near(&after(&[0, 1, 2, 0, 0], 1.0, 5.0, 5.0), &[0.0, 0.000_023, 0.000_023, 0.499_977, 0.499_977]);
}

/// Runs steps over 10,000 tokens, each as likely as its number, and says what each must leave.
fn queue(steps: &str, k: usize, p: f32, m: f32) {
    let n: i64 = 10_000;
    let logits: Vec<f32> = (0..n).map(|i| libm::log(i as f64) as f32).collect();
    let mut order = ordered(&logits);
    let mut least: i64 = 0;
    for step in steps.chars() {
        let before = order.len() as i64;
        let expected = match step {
            'k' => {
                top_k(&mut order, k);
                least = least.max(n - k as i64);
                before.min(k as i64)
            }
            'p' => {
                top_p(&mut order, f64::from(p));
                let all = n * (n - 1) / 2 - least * (least - 1) / 2;
                let target = (p * all as f32).ceil() as i64;
                let (mut sum, mut size) = (0, 0);
                least = n;
                loop {
                    least -= 1;
                    size += 1;
                    sum += least;
                    if sum >= target {
                        break;
                    }
                }
                // Token 0 has no chance, and stays where nothing is cut.
                if least == 1 {
                    least = 0;
                    size += 1;
                }
                size
            }
            _ => {
                min_p(&mut order, f64::from(m));
                let (size, left) = (((1.0 - m) * n as f32).ceil() as i64, order.len() as i64);
                least = ((m * n as f32).floor() as i64).max(1).max(n - left).min(n - 1);
                size.max(1).min(left)
            }
        };
        assert_eq!(order.len() as i64, expected, "{step} of {steps} with {k}, {p}, {m}");
        assert_eq!(order.first().map(|c| i64::from(c.token)), Some(n - 1));
        assert_eq!(order.last().map(|c| i64::from(c.token)), Some(least), "{step} of {steps} with {k}, {p}, {m}");
    }
}

#[test]
fn steps_after_each_other() {
    queue("k", 10_000, 1.0, 1.0);
    queue("k", 1, 1.0, 1.0);
    queue("p", 10_000, 1.0, 1.0);
    queue("p", 10_000, 0.0, 1.0);
    queue("m", 10_000, 1.0, 1.0);
    queue("m", 10_000, 1.0, 1e-12);
    queue("k", 100, 1.0, 1.0);
    queue("p", 10_000, 0.0003, 1.0);
    queue("p", 10_000, 0.8, 1.0);
    queue("m", 10_000, 1.0, 9997.9 / 9999.0);
    queue("m", 10_000, 1.0, 0.1);
    for steps in ["kp", "km", "pk", "pm", "mk", "mp", "kpm", "kmp", "pkm", "pmk", "mkp", "mpk"] {
        queue(steps, 100, 0.8, 0.1);
    }
    queue("mp", 100, 0.8, 9997.9 / 9999.0);
}

#[test]
fn equal_logits_go_by_number() {
    assert_eq!(Sampler::new(Sampling::default(), &[]).next(&mut [1.0, 3.0, 3.0], None), Some(1));
    let order: Vec<u32> =
        ordered(&[0.5, -0.0, 3.0, 0.0, f32::NEG_INFINITY, 3.0, -2.0]).iter().map(|c| c.token).collect();
    assert_eq!(order, [2, 5, 0, 1, 3, 6, 4]);
}

#[test]
fn narrow_choices_are_greedy() {
    for s in [
        Sampling { top_k: 1, temperature: 1.0, ..Sampling::default() },
        Sampling { top_p: 0.01, temperature: 1.0, ..Sampling::default() },
        Sampling { min_p: 0.999, temperature: 1.0, ..Sampling::default() },
    ] {
        assert_eq!(Sampler::new(s, &[]).next(&mut [0.0, 1.0, 2.0, 1.5], None), Some(2));
    }
}

#[test]
fn draws_follow_the_probabilities() {
    let mut sampler = Sampler::new(Sampling { temperature: 1.0, seed: 7, ..Sampling::default() }, &[]);
    let mut ones = 0;
    for _ in 0..10_000 {
        ones += sampler.next(&mut [0.0, 1.098_612_3], None).unwrap();
    }
    assert!((7_350..7_650).contains(&ones), "{ones} of 10000, expected about 7500");
}

#[test]
fn only_what_is_allowed_is_chosen() {
    let odd = TokenSet::from_words(vec![0b1010]);
    assert_eq!(odd.tokens().collect::<Vec<_>>(), [1, 3]);
    let wide = TokenSet::from_words(vec![0, 0b100]);
    assert!(wide.holds(34) && !wide.holds(2) && !wide.holds(1000));
    let mut greedy = Sampler::new(Sampling::default(), &[]);
    assert_eq!(greedy.next(&mut [9.0, 1.0, 8.0, 0.5], Some(&odd)), Some(1));
    let mut drawn = Sampler::new(Sampling { temperature: 2.0, seed: 1, ..Sampling::default() }, &[]);
    assert!((0..200).all(|_| drawn.next(&mut [9.0, 1.0, 8.0, 0.5], Some(&odd)).unwrap() % 2 == 1));
    // Narrowing counts among the allowed.
    let mut one = Sampler::new(Sampling { temperature: 2.0, top_k: 1, ..Sampling::default() }, &[]);
    assert_eq!(one.next(&mut [9.0, 1.0, 8.0, 0.5], Some(&odd)), Some(1));
    for temperature in [0.0, 1.0] {
        let mut sampler = Sampler::new(Sampling { temperature, ..Sampling::default() }, &[]);
        assert_eq!(sampler.next(&mut [1.0, 2.0], Some(&TokenSet::from_words(vec![0]))), None);
    }
}

#[test]
fn tokens_that_were_not_chosen_count_too() {
    let penalised = Sampling { repeat_penalty: 2.0, ..Sampling::default() };
    let mut sampler = Sampler::new(penalised.clone(), &[]);
    sampler.take(0);
    assert_eq!(sampler.next(&mut [1.5, 1.0], None), Some(1));
    let mut short = Sampler::new(Sampling { repeat_last_n: 1, ..penalised.clone() }, &[0, 1]);
    assert_eq!(short.next(&mut [1.5, 1.0], None), Some(0));
    let mut none = Sampler::new(Sampling { repeat_last_n: 0, ..penalised }, &[0, 1]);
    none.take(0);
    assert_eq!(none.next(&mut [1.5, 1.0], None), Some(0));
    // Each place has its own random number, whoever filled the ones before.
    let random = Sampling { temperature: 1.0, seed: 3, ..Sampling::default() };
    let (mut a, mut b) = (Sampler::new(random.clone(), &[]), Sampler::new(random, &[]));
    a.take(5);
    b.next(&mut [0.0; 64], None);
    assert_eq!(a.next(&mut [0.0; 64], None), b.next(&mut [0.0; 64], None));
}

#[test]
fn a_bias_comes_before_penalties() {
    let settings = Sampling { logit_bias: vec![(1, 3.0), (9, 1.0)], repeat_penalty: 4.0, ..Sampling::default() };
    assert_eq!(Sampler::new(settings.clone(), &[]).next(&mut [2.0, 1.0], None), Some(1));
    assert_eq!(Sampler::new(settings, &[1]).next(&mut [2.0, 1.0], None), Some(0));
}

#[test]
fn chances_are_among_the_allowed() {
    let ln = libm::log;
    let all = logits(&FOUR);
    let (own, top) = chances(&all, None, 1, 2);
    near(&[own.logprob, top[0].logprob, top[1].logprob], &[ln(0.2), ln(0.4), ln(0.3)]);
    assert_eq!((own.token, top[0].token, top.len()), (1, 3, 2));
    let (own, top) = chances(&all, Some(&TokenSet::from_words(vec![0b0011])), 1, 5);
    near(&[own.logprob, top[1].logprob], &[ln(2.0 / 3.0), ln(1.0 / 3.0)]);
}
