//! Attention over keys and values that lie in pages.

use super::{Isa, LANES, dispatch};

/// Keys of a page: a multiple of [`LANES`].
pub const PAGE: usize = 32;

/// One key and value head of a sequence. A page holds, for each head, keys as `[PAGE/16][width][16 keys]` and then values
/// as `[PAGE][width]`.
pub struct HeadPages<'a> {
    /// All pages of a layer.
    pub arena: &'a [f32],
    /// The sequence's pages in order.
    pub pages: &'a [u32],
    /// Numbers of a page.
    pub size: usize,
    /// Where the head begins in a page.
    pub at: usize,
    /// Width of the head, a multiple of 16.
    pub width: usize,
}

impl HeadPages<'_> {
    /// Keys and values of the head in its `index`th page.
    #[inline(always)]
    fn page(&self, index: usize) -> (&[f32], &[f32]) {
        let from = self.pages[index] as usize * self.size + self.at;
        let half = PAGE * self.width;
        self.arena[from..from + 2 * half].split_at(half)
    }
}

/// Keys that a row sees: from the first to before the second.
pub type Seen = (usize, usize);

dispatch! {
    /// Attention of `Q` rows. `q` and `out` are `[Q][width]`, row `i` sees the keys `seen[i]`; `scores` needs `Q` times the
    /// keys of all pages that are seen. Queries are scaled already; scores are bent to `cap * tanh(score / cap)` where
    /// `cap` is not 0.
    attend<const Q: usize>(q: &[f32], kv: &HeadPages<'_>, seen: &[Seen], cap: f32, scores: &mut [f32], out: &mut [f32])
}

/// The bodies.
mod generic {
    use super::super::functions::{exp, tanh};
    use super::super::lanes::{fma, load, tree};
    use super::{HeadPages, LANES, PAGE, Seen};

    #[inline(always)]
    pub fn attend<const Q: usize>(
        q: &[f32],
        kv: &HeadPages<'_>,
        seen: &[Seen],
        cap: f32,
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        let (width, seen) = (kv.width, &seen[..Q]);
        let first = seen.iter().fold(usize::MAX, |m, s| m.min(s.0)) / PAGE;
        let end = seen.iter().fold(0, |m, s| m.max(s.1));
        let stride = end.div_ceil(PAGE).saturating_sub(first) * PAGE;
        let origin = first * PAGE;
        let rows: [&[f32]; Q] = std::array::from_fn(|i| &q[i * width..(i + 1) * width]);
        for n in 0..stride / PAGE {
            let (keys, _) = kv.page(first + n);
            for (b, block) in keys.chunks_exact(width * LANES).enumerate() {
                let at = n * PAGE + b * LANES;
                if origin + at >= end {
                    break;
                }
                let mut sums = [[0.0; LANES]; Q];
                for (d, k) in block.chunks_exact(LANES).enumerate() {
                    let k = load(k);
                    for i in 0..Q {
                        fma(k, rows[i][d], &mut sums[i]);
                    }
                }
                for (i, sum) in sums.iter().enumerate() {
                    scores[i * stride + at..i * stride + at + LANES].copy_from_slice(sum);
                }
            }
        }
        let mut inverse = [0.0f32; Q];
        for i in 0..Q {
            let row = &mut scores[i * stride..(i + 1) * stride];
            inverse[i] = softmax(row, seen[i].0 - origin, seen[i].1 - origin, cap);
        }
        for c in 0..width / LANES {
            let mut sums = [[0.0; LANES]; Q];
            for n in 0..stride / PAGE {
                let (_, values) = kv.page(first + n);
                let count = PAGE.min(end - origin - n * PAGE);
                let p: [&[f32]; Q] = std::array::from_fn(|i| &scores[i * stride + n * PAGE..][..count]);
                for (j, v) in values.chunks_exact(width).take(count).enumerate() {
                    let v = load(&v[c * LANES..]);
                    for i in 0..Q {
                        fma(v, p[i][j], &mut sums[i]);
                    }
                }
            }
            for i in 0..Q {
                for l in 0..LANES {
                    // `+ 0.0` settles the sign of zero, which masked keys would otherwise change.
                    out[i * width + c * LANES + l] = sums[i][l] * inverse[i] + 0.0;
                }
            }
        }
    }

    /// Turns scores into `exp(score - max)`, 0 outside of `from..to`, and gives one over their sum.
    #[inline(always)]
    fn softmax(scores: &mut [f32], from: usize, to: usize, cap: f32) -> f32 {
        if cap > 0.0 {
            for s in &mut scores[from..to] {
                *s = cap * tanh(*s / cap);
            }
        }
        scores[..from].fill(f32::NEG_INFINITY);
        scores[to..].fill(f32::NEG_INFINITY);
        let mut most = [f32::NEG_INFINITY; LANES];
        for c in scores.chunks_exact(LANES) {
            for l in 0..LANES {
                most[l] = if c[l] > most[l] { c[l] } else { most[l] };
            }
        }
        let max = most.iter().fold(f32::NEG_INFINITY, |m, v| if *v > m { *v } else { m });
        let mut sum = [0.0; LANES];
        for c in scores.chunks_exact_mut(LANES) {
            for l in 0..LANES {
                c[l] = exp(c[l] - max);
                sum[l] += c[l];
            }
        }
        1.0 / tree(sum)
    }
}
