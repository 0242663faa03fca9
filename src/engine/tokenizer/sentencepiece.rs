//! SentencePiece's merging: of all neighbours that together are a token, the pair of the best score merges first. What no
//! token covers becomes tokens of single bytes.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::Words;

/// A vocabulary with scores.
pub(super) struct SentencePiece {
    /// Tokens by their text, `▁` for spaces, without control tokens.
    pub ids: HashMap<Vec<u8>, u32>,
    /// Of every token.
    pub scores: Vec<f32>,
    /// The token of a single byte.
    pub single: Vec<Option<u32>>,
    /// For bytes without a token.
    pub unknown: Option<u32>,
    /// Whether a space goes before each stretch of text.
    pub space_first: bool,
    /// Bytes of the longest token.
    pub longest: usize,
}

/// Two neighbours that together are a token.
struct Candidate {
    score: f32,
    left: usize,
    right: usize,
    bytes: usize,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

/// A piece of the text: where it begins, its bytes (none where it was merged away), its neighbours.
#[derive(Clone, Copy)]
struct Symbol {
    start: usize,
    bytes: usize,
    before: usize,
    next: usize,
}

impl Words for SentencePiece {
    fn encode(&self, text: &str, _begins: bool, out: &mut Vec<u32>) {
        let mut spaced = String::with_capacity(text.len() + text.len() / 4);
        if self.space_first {
            spaced.push('▁');
        }
        text.chars().for_each(|c| spaced.push(if c == ' ' { '▁' } else { c }));
        let text = spaced.as_bytes();
        let mut symbols: Vec<Symbol> = Vec::with_capacity(text.len());
        for (i, (start, c)) in spaced.char_indices().enumerate() {
            symbols.push(Symbol { start, bytes: c.len_utf8(), before: i.wrapping_sub(1), next: i + 1 });
        }
        self.merge(text, &mut symbols);
        for s in symbols.iter().filter(|s| s.bytes > 0) {
            let bytes = &text[s.start..s.start + s.bytes];
            match self.ids.get(bytes) {
                Some(id) => out.push(*id),
                None => out.extend(bytes.iter().filter_map(|b| self.single[usize::from(*b)].or(self.unknown))),
            }
        }
    }
}

impl SentencePiece {
    fn merge(&self, text: &[u8], symbols: &mut [Symbol]) {
        let count = symbols.len();
        let candidate = |symbols: &[Symbol], left: usize, right: usize| {
            let bytes = symbols[left].bytes + symbols[right].bytes;
            let start = symbols[left].start;
            // Longer ones are no tokens, and to look at them would take time.
            let token = text.get(start..start + bytes).filter(|t| t.len() <= self.longest)?;
            let score = *self.scores.get(*self.ids.get(token)? as usize)?;
            Some(Candidate { score, left, right, bytes })
        };
        let mut queue: BinaryHeap<Candidate> = (1..count).filter_map(|i| candidate(symbols, i - 1, i)).collect();
        while let Some(Candidate { left, right, bytes, .. }) = queue.pop() {
            let (l, r) = (symbols[left], symbols[right]);
            // Outdated where a side was merged meanwhile.
            if l.bytes == 0 || r.bytes == 0 || l.bytes + r.bytes != bytes {
                continue;
            }
            symbols[left].bytes = bytes;
            symbols[right].bytes = 0;
            symbols[left].next = r.next;
            if r.next < count {
                symbols[r.next].before = left;
                queue.extend(candidate(symbols, left, r.next));
            }
            if l.before < count {
                queue.extend(candidate(symbols, l.before, left));
            }
        }
    }
}
