//! Byte-pair merging: over bytes that stand as letters (GPT-2 and most others), or over characters with `▁` for spaces
//! (Gemma 4).

use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};

use super::Words;
use super::pretokenizer::PreTokenizer;

/// A vocabulary of merges.
pub(super) struct Bpe {
    pub splits: PreTokenizer,
    pub whole_words: bool,
    /// Tokens by their bytes, without control tokens.
    pub ids: HashMap<Vec<u8>, u32>,
    /// The token of a single byte.
    pub single: Vec<Option<u32>>,
    pub merges: Merges,
    /// Whether words begin as characters with `▁` for spaces.
    pub raw: bool,
}

/// What two neighbours become, and how early.
pub(super) type Merges = HashMap<(u32, u32), (u32, u32), PairState>;

/// A hasher of pairs of numbers: one multiplication, with a secret so that no file can choose its collisions.
#[derive(Clone)]
pub(super) struct PairState(u64);

impl Default for PairState {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0))
    }
}

impl BuildHasher for PairState {
    type Hasher = PairHasher;

    fn build_hasher(&self) -> PairHasher {
        PairHasher(self.0)
    }
}

pub(super) struct PairHasher(u64);

impl Hasher for PairHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.write_u32(u32::from(*b)));
    }

    fn write_u32(&mut self, n: u32) {
        let product = u128::from(self.0 ^ u64::from(n)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }
}

impl Words for Bpe {
    fn encode(&self, text: &str, _begins: bool, out: &mut Vec<u32>) {
        let spaced;
        let text = if self.raw {
            spaced = text.replace(' ', "▁");
            &spaced
        } else {
            text
        };
        self.splits.split(text, &mut |word| self.word(word, out));
    }
}

/// Words up to this length are merged by looking at all neighbours again and again, which needs no queue.
const SHORT: usize = 24;

/// No token.
const NONE: u32 = u32::MAX;

/// Two neighbours that may merge: rank, their places, what they become, and what they were when this was noted.
type Candidate = std::cmp::Reverse<(u32, usize, usize, u32, (u32, u32))>;

impl Bpe {
    fn word(&self, word: &str, out: &mut Vec<u32>) {
        // Lines' ends are tokens of their own where words are characters.
        let whole = self.whole_words || self.raw && word.starts_with('\n');
        if whole && let Some(id) = self.ids.get(word.as_bytes()) {
            out.push(*id);
            return;
        }
        if self.raw {
            let ids = word.char_indices().map(|(i, c)| {
                let text = &word.as_bytes()[i..i + c.len_utf8()];
                self.ids.get(text).copied().unwrap_or(NONE)
            });
            return self.characters(word, ids.collect(), out);
        }
        let byte = |b: &u8| self.single[usize::from(*b)].unwrap_or(NONE);
        match word.as_bytes() {
            [b] => out.extend(self.single[usize::from(*b)]),
            bytes if bytes.len() <= SHORT => {
                let mut ids = [NONE; SHORT];
                ids.iter_mut().zip(bytes).for_each(|(id, b)| *id = byte(b));
                let count = self.merge_short(&mut ids, bytes.len());
                out.extend(ids[..count].iter().filter(|id| **id != NONE));
            }
            bytes => {
                let ids = self.merge_long(bytes.iter().map(byte).collect());
                out.extend(ids.into_iter().filter(|id| *id != NONE));
            }
        }
    }

    /// Characters without a token become their bytes.
    fn characters(&self, word: &str, ids: Vec<u32>, out: &mut Vec<u32>) {
        let unknown: Vec<char> = word.chars().zip(&ids).filter(|(_, id)| **id == NONE).map(|(c, _)| c).collect();
        let mut unknown = unknown.into_iter();
        for id in self.merge_long(ids) {
            if id != NONE {
                out.push(id);
            } else if let Some(c) = unknown.next() {
                let mut buffer = [0; 4];
                let bytes = c.encode_utf8(&mut buffer).as_bytes();
                out.extend(bytes.iter().filter_map(|b| self.single[usize::from(*b)]));
            }
        }
    }

    fn pair(&self, a: u32, b: u32) -> (u32, u32) {
        self.merges.get(&(a, b)).copied().unwrap_or((NONE, NONE))
    }

    /// Merges the first `count` of `ids` in place, the lowest rank first, the leftmost of equals first; how many are left.
    fn merge_short(&self, ids: &mut [u32; SHORT], mut count: usize) -> usize {
        let mut next = [(NONE, NONE); SHORT];
        for i in 1..count {
            next[i - 1] = self.pair(ids[i - 1], ids[i]);
        }
        while count > 1 {
            let Some((at, (rank, to))) =
                next[..count - 1].iter().copied().enumerate().min_by_key(|(_, (rank, _))| *rank)
            else {
                break;
            };
            if rank == NONE {
                break;
            }
            ids[at] = to;
            ids.copy_within(at + 2..count, at + 1);
            next.copy_within(at + 1..count - 1, at);
            count -= 1;
            if at + 1 < count {
                next[at] = self.pair(ids[at], ids[at + 1]);
            }
            if at > 0 {
                next[at - 1] = self.pair(ids[at - 1], ids[at]);
            }
        }
        count
    }

    /// The same for words of any length: n log n.
    fn merge_long(&self, mut ids: Vec<u32>) -> Vec<u32> {
        let count = ids.len();
        let mut next: Vec<usize> = (1..=count).collect();
        let mut before: Vec<usize> = (0..count).map(|i| i.wrapping_sub(1)).collect();
        let mut gone = vec![false; count];
        let mut queue: BinaryHeap<Candidate> = BinaryHeap::new();
        let pair = |ids: &[u32], a: usize, b: usize| {
            let (rank, to) = self.pair(ids[a], ids[b]);
            (rank != NONE).then_some(std::cmp::Reverse((rank, a, b, to, (ids[a], ids[b]))))
        };
        for i in 1..count {
            queue.extend(pair(&ids, i - 1, i));
        }
        while let Some(std::cmp::Reverse((_, a, b, to, key))) = queue.pop() {
            // Outdated where a side was merged meanwhile.
            if gone[a] || next[a] != b || (ids[a], ids[b]) != key {
                continue;
            }
            ids[a] = to;
            gone[b] = true;
            next[a] = next[b];
            if next[a] < count {
                before[next[a]] = a;
                queue.extend(pair(&ids, a, next[a]));
            }
            if before[a] < count {
                queue.extend(pair(&ids, before[a], a));
            }
        }
        ids.into_iter().zip(gone).filter(|(_, gone)| !gone).map(|(id, _)| id).collect()
    }
}
