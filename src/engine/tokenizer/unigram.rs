//! Unigram, as T5 and XLM-RoBERTa have it: of all ways to cover the text by tokens, the one with the best sum of scores.

use super::Words;

/// A vocabulary with log-probabilities.
pub(super) struct Unigram {
    /// Tokens in the order of their bytes: bytes, number, score.
    pub tokens: Vec<(Vec<u8>, u32, f64)>,
    pub unknown: u32,
    /// What an unknown character costs.
    pub unknown_score: f64,
    /// How text is normalised first.
    pub map: CharMap,
    /// Whether a space goes before each stretch of text.
    pub space_first: bool,
    /// Whether spaces that follow each other are one.
    pub merge_spaces: bool,
}

impl Words for Unigram {
    fn encode(&self, text: &str, _begins: bool, out: &mut Vec<u32>) {
        let text = self.normalise(text);
        let bytes = text.as_bytes();
        // For each place the best way to it: its score, where its last token begins, and that token.
        let mut best = vec![(f64::NEG_INFINITY, 0, self.unknown); bytes.len() + 1];
        best[0].0 = 0.0;
        for (at, c) in text.char_indices() {
            let (score, single) = (best[at].0, c.len_utf8());
            let mut covered = false;
            let mut offer = |end: usize, token: u32, add: f64| {
                if score + add > best[end].0 {
                    best[end] = (score + add, at, token);
                }
            };
            self.each_prefix(&bytes[at..], |length, token, add| {
                covered |= length == single;
                offer(at + length, token, add);
            });
            if !covered {
                offer(at + single, self.unknown, self.unknown_score);
            }
        }
        let first = out.len();
        let mut at = bytes.len();
        while at > 0 {
            let (_, start, token) = best[at];
            // Unknown characters that follow each other are one.
            if token != self.unknown || out.len() == first || out.last() != Some(&token) {
                out.push(token);
            }
            at = start;
        }
        out[first..].reverse();
    }
}

impl Unigram {
    /// Gives each token that `text` begins with to `each`: its bytes, its number, its score.
    fn each_prefix(&self, text: &[u8], mut each: impl FnMut(usize, u32, f64)) {
        let mut range = &self.tokens[..];
        for (i, byte) in text.iter().enumerate() {
            let low = range.partition_point(|(t, _, _)| t.get(i).is_none_or(|b| b < byte));
            let high = low + range[low..].partition_point(|(t, _, _)| t.get(i) == Some(byte));
            range = &range[low..high];
            match range.first() {
                Some((token, id, score)) if token.len() == i + 1 => each(i + 1, *id, *score),
                Some(_) => {}
                None => return,
            }
        }
    }

    fn normalise(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + text.len() / 2);
        let mut in_word = false;
        let mut begun = false;
        let mut push = |c: char| {
            if c == ' ' {
                in_word = false;
                if !self.merge_spaces {
                    out.push('▁');
                }
                return;
            }
            if !in_word {
                in_word = true;
                if if begun { self.merge_spaces } else { self.space_first } {
                    out.push('▁');
                }
                begun = true;
            }
            out.push(c);
        };
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let (length, replacement) =
                self.map.longest(rest.as_bytes()).filter(|(n, _)| rest.is_char_boundary(*n)).unzip();
            match replacement {
                Some(replacement) => replacement.chars().for_each(&mut push),
                None => push(c),
            }
            rest = &rest[length.unwrap_or(c.len_utf8())..];
        }
        out
    }
}

/// SentencePiece's table of normal forms: a double array (Yata et al. 2007) from prefixes to replacements.
#[derive(Default)]
pub(super) struct CharMap {
    units: Vec<u32>,
    replacements: Vec<u8>,
}

impl CharMap {
    /// Reads the table as files hold it: the bytes of the array, the array, texts that end in a zero.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (size, rest) = bytes.split_first_chunk::<4>()?;
        let (units, replacements) = rest.split_at_checked(u32::from_le_bytes(*size) as usize)?;
        let units = units.as_chunks::<4>().0.iter().map(|u| u32::from_le_bytes(*u)).collect();
        Some(Self { units, replacements: replacements.to_vec() })
    }

    /// The longest prefix of `text` that has another form: its bytes, and that form.
    fn longest(&self, text: &[u8]) -> Option<(usize, &str)> {
        let offset = |unit: u32| (unit >> 10) << ((unit & (1 << 9)) >> 6);
        let mut node = offset(*self.units.first()?);
        let mut found = None;
        for (i, byte) in text.iter().enumerate() {
            node ^= u32::from(*byte);
            let Some(unit) = self.units.get(node as usize).copied() else { break };
            if *byte == 0 || unit & (1 << 31 | 0xff) != u32::from(*byte) {
                break;
            }
            node ^= offset(unit);
            if unit >> 8 & 1 == 1 {
                let Some(value) = self.units.get(node as usize) else { break };
                found = Some((i + 1, value & !(1 << 31)));
            }
        }
        let (length, at) = found?;
        let text = self.replacements.get(at as usize..)?;
        let end = text.iter().position(|b| *b == 0)?;
        Some((length, std::str::from_utf8(&text[..end]).ok()?))
    }
}
