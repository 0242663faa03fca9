//! Distances and common sequences with 64 cells of the table in one word: texts of 100,000 characters take a fraction
//! of a second, and memory grows with the shorter one alone.

use std::collections::HashMap;
use std::hash::Hash;

/// For each item of a sequence the words in which it stands, as (word, bits), in order.
fn places<T: Hash + Eq + Copy>(items: &[T]) -> HashMap<T, Vec<(usize, u64)>> {
    let mut found: HashMap<T, Vec<(usize, u64)>> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        let (word, bit) = (at / 64, 1 << (at % 64));
        let words = found.entry(*item).or_default();
        match words.last_mut() {
            Some((last, bits)) if *last == word => *bits |= bit,
            _ => words.push((word, bit)),
        }
    }
    found
}

/// The bits of one word, taken in order of words from a list of [`places`].
struct Bits<'p> {
    rest: &'p [(usize, u64)],
}

impl Bits<'_> {
    fn of(&mut self, word: usize) -> u64 {
        match self.rest.first() {
            Some((at, bits)) if *at == word => {
                self.rest = &self.rest[1..];
                *bits
            }
            _ => 0,
        }
    }
}

/// How many single changes (an item put in, taken out, replaced) turn one sequence into the other.
///
/// Myers' bit-vector algorithm in Hyyrö's form for many words: the table's columns are kept as differences of +1 and -1
/// between neighbours.
pub(super) fn distance<T: Hash + Eq + Copy>(a: &[T], b: &[T]) -> usize {
    let (a, b) = if a.len() < b.len() { (a, b) } else { (b, a) };
    if a.is_empty() {
        return b.len();
    }
    let places = places(a);
    let words = a.len().div_ceil(64);
    let last = 1u64 << ((a.len() - 1) % 64);
    let mut up = vec![u64::MAX; words];
    let mut down = vec![0u64; words];
    let mut score = a.len();
    for item in b {
        let mut bits = Bits { rest: places.get(item).map_or(&[], Vec::as_slice) };
        // Differences along the row, carried from one word into the next; the first row counts up.
        let (mut plus, mut minus) = (1u64, 0u64);
        for word in 0..words {
            let equal = bits.of(word);
            let (vp, vn) = (up[word], down[word]);
            let x = equal | minus;
            let d0 = ((x & vp).wrapping_add(vp) ^ vp) | x | vn;
            let mut hp = vn | !(d0 | vp);
            let mut hn = d0 & vp;
            if word == words - 1 {
                score += usize::from(hp & last != 0);
                score -= usize::from(hn & last != 0);
            }
            let (next_plus, next_minus) = (hp >> 63, hn >> 63);
            hp = (hp << 1) | plus;
            hn = (hn << 1) | minus;
            up[word] = hn | !(d0 | hp);
            down[word] = d0 & hp;
            (plus, minus) = (next_plus, next_minus);
        }
    }
    score
}

/// The length of the longest sequence that both hold in this order, with gaps (Hyyrö's form).
pub(super) fn common<T: Hash + Eq + Copy>(a: &[T], b: &[T]) -> usize {
    let (a, b) = if a.len() < b.len() { (a, b) } else { (b, a) };
    let places = places(a);
    let words = a.len().div_ceil(64);
    let mut row = vec![u64::MAX; words];
    for item in b {
        let Some(found) = places.get(item) else { continue };
        let mut bits = Bits { rest: found };
        let mut carry = false;
        for (word, v) in row.iter_mut().enumerate() {
            let u = *v & bits.of(word);
            let (sum, over) = v.overflowing_add(u);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            carry = over || again;
            *v = sum | (*v - u);
        }
    }
    // Bits beyond the end of `a` are never cleared.
    row.iter().map(|v| v.count_zeros() as usize).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plain tables.
    fn tables(a: &[u8], b: &[u8]) -> (usize, usize) {
        let mut change: Vec<usize> = (0..=b.len()).collect();
        let mut both = vec![0; b.len() + 1];
        for (i, x) in a.iter().enumerate() {
            let (old_change, old_both) = (change.clone(), both.clone());
            change[0] = i + 1;
            for (j, y) in b.iter().enumerate() {
                change[j + 1] = (old_change[j] + usize::from(x != y)).min(old_change[j + 1] + 1).min(change[j] + 1);
                both[j + 1] = if x == y { old_both[j] + 1 } else { old_both[j + 1].max(both[j]) };
            }
        }
        (change[b.len()], both[b.len()])
    }

    #[test]
    fn as_the_plain_tables() {
        // A fixed sequence of numbers that look random, for lengths around the ends of words.
        let mut state = 1u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        for _ in 0..300 {
            let letters = 2 + next() % 6;
            let mut text = |most: usize| (0..next() % most).map(|_| (next() % letters) as u8).collect::<Vec<u8>>();
            let (a, b) = (text(200), text(200));
            assert_eq!((distance(&a, &b), common(&a, &b)), tables(&a, &b), "{a:?} {b:?}");
        }
        for length in [63, 64, 65, 128] {
            let a = vec![1u8; length];
            assert_eq!((distance(&a, &[]), common(&a, &[])), (length, 0));
            assert_eq!((distance(&a, &a), common(&a, &a)), (0, length));
        }
    }
}
