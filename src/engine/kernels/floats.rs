//! Operations on `f32`, each one safe generic source that is compiled for every instruction set.

use super::{Isa, LANES, Lanes, dispatch};

dispatch! {
    /// `y = W x` for one panel of 16 rows with `f32` weights and `M` vectors: `w` is `[k][16]`, `x` holds `M` vectors of
    /// length `k` one after another, `out` is `[M][16]`. One fma a term, k ascending.
    float_panel<const M: usize>(w: &[f32], x: &[f32], out: &mut [f32])
}
dispatch! {
    /// Root-mean-square norm: `out = x / sqrt(mean(x²) + eps) * w` (Zhang and Sennrich 2019).
    rms_norm(x: &[f32], w: &[f32], eps: f32, out: &mut [f32])
}
dispatch! {
    /// Quantises each 32 values to `i8`: `a = max|x|`, scale `a/127`, codes `rne(x * (127/a))` within ±127; zeros where
    /// `a` is 0 or `127/a` is infinite. `sums` gets the sum of each 32 codes.
    quantise(x: &[f32], codes: &mut [i8], scales: &mut [f32], sums: &mut [i32])
}
dispatch! {
    /// `gate = silu(gate) * up` with `silu(x) = x / (1 + exp(-x))`.
    silu_times(gate: &mut [f32], up: &[f32])
}
dispatch! {
    /// Rotates the first `2 * cos.len()` numbers of a head: neighbours pair up, or halves where `halves` is true
    /// (Su et al. 2021; the two layouts of GGUF).
    rope(head: &mut [f32], cos: &[f32], sin: &[f32], halves: bool)
}
dispatch! {
    /// Causal attention of `Q` rows of one head. `q` and `out` are `[Q][width]`, `keys` is `[block][width][16 keys]`,
    /// `values` is `[key][width]`; row `i` sees the keys up to `first + i`. `scores` needs `Q` rows of
    /// `(first + Q)` rounded up to 16. `width` is a multiple of 16; queries are scaled already.
    attend<const Q: usize>(q: &[f32], keys: &[f32], values: &[f32], width: usize, first: usize, scores: &mut [f32], out: &mut [f32])
}

/// `e^x`: Cephes' polynomial (`expf.c`) in fma steps. At least -87 counts; below is 0. Relative error below 2e-7.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let clamped = x.clamp(-87.0, 88.0);
    let n = (clamped * std::f32::consts::LOG2_E).round_ties_even();
    // ln 2 in two parts, so that the first product is exact.
    let r = n.mul_add(2.121_944_4e-4, n.mul_add(-0.693_359_4, clamped));
    let p = 1.987_569_1e-4_f32
        .mul_add(r, 1.398_199_9e-3)
        .mul_add(r, 8.333_452e-3)
        .mul_add(r, 4.166_579_6e-2)
        .mul_add(r, 1.666_666_5e-1)
        .mul_add(r, 0.5);
    let y = p.mul_add(r * r, r) + 1.0;
    let power = f32::from_bits(((n as i32 + 127) << 23) as u32);
    if x < -87.0 { 0.0 } else { y * power }
}

/// The bodies.
mod generic {
    use super::{LANES, Lanes, exp};

    #[inline(always)]
    fn load(s: &[f32]) -> Lanes {
        let mut out = [0.0; LANES];
        out.copy_from_slice(&s[..LANES]);
        out
    }

    #[inline(always)]
    fn fma(a: Lanes, b: f32, c: &mut Lanes) {
        for l in 0..LANES {
            c[l] = a[l].mul_add(b, c[l]);
        }
    }

    /// Sum of 16 partials: halves 8, 4, 2, 1.
    #[inline(always)]
    fn tree(mut v: Lanes) -> f32 {
        let mut width = LANES / 2;
        while width > 0 {
            for l in 0..width {
                v[l] += v[l + width];
            }
            width /= 2;
        }
        v[0]
    }

    #[inline(always)]
    pub fn float_panel<const M: usize>(w: &[f32], x: &[f32], out: &mut [f32]) {
        let k = w.len() / LANES;
        let mut sums = [[0.0; LANES]; M];
        let rows: [&[f32]; M] = std::array::from_fn(|i| &x[i * k..(i + 1) * k]);
        for (j, w) in w.chunks_exact(LANES).enumerate() {
            let w = load(w);
            for i in 0..M {
                fma(w, rows[i][j], &mut sums[i]);
            }
        }
        for (out, sum) in out.chunks_exact_mut(LANES).zip(sums) {
            out.copy_from_slice(&sum);
        }
    }

    #[inline(always)]
    pub fn rms_norm(x: &[f32], w: &[f32], eps: f32, out: &mut [f32]) {
        let mut partial = [0.0; LANES];
        let chunks = x.chunks_exact(LANES);
        let rest = chunks.remainder();
        for c in chunks {
            for l in 0..LANES {
                partial[l] = c[l].mul_add(c[l], partial[l]);
            }
        }
        for (p, v) in partial.iter_mut().zip(rest) {
            *p = v.mul_add(*v, *p);
        }
        let scale = 1.0 / (tree(partial) / x.len() as f32 + eps).sqrt();
        for ((o, x), w) in out.iter_mut().zip(x).zip(w) {
            *o = x * scale * w;
        }
    }

    #[inline(always)]
    pub fn quantise(x: &[f32], codes: &mut [i8], scales: &mut [f32], sums: &mut [i32]) {
        for (b, (x, codes)) in x.chunks_exact(32).zip(codes.chunks_exact_mut(32)).enumerate() {
            let mut most = [0.0f32; LANES];
            for half in x.chunks_exact(LANES) {
                for l in 0..LANES {
                    let v = half[l].abs();
                    most[l] = if v > most[l] { v } else { most[l] };
                }
            }
            let a = most.iter().fold(0.0f32, |m, v| if *v > m { *v } else { m });
            let inverse = 127.0 / a;
            let (scale, inverse) = if a > 0.0 && inverse.is_finite() { (a / 127.0, inverse) } else { (0.0, 0.0) };
            let mut sum = 0i32;
            for (c, v) in codes.iter_mut().zip(x) {
                let q = (v * inverse).round_ties_even().clamp(-127.0, 127.0) as i32;
                *c = q as i8;
                sum += q;
            }
            scales[b] = scale;
            sums[b] = sum;
        }
    }

    #[inline(always)]
    pub fn silu_times(gate: &mut [f32], up: &[f32]) {
        for (g, u) in gate.iter_mut().zip(up) {
            *g = *g / (1.0 + exp(-*g)) * u;
        }
    }

    #[inline(always)]
    pub fn rope(head: &mut [f32], cos: &[f32], sin: &[f32], halves: bool) {
        let pairs = cos.len();
        for (i, (c, s)) in cos.iter().zip(sin).enumerate() {
            let (a, b) = if halves { (i, i + pairs) } else { (2 * i, 2 * i + 1) };
            let (x, y) = (head[a], head[b]);
            head[a] = x * c - y * s;
            head[b] = x * s + y * c;
        }
    }

    #[inline(always)]
    #[allow(clippy::too_many_arguments, reason = "plain slices and sizes, on purpose")]
    pub fn attend<const Q: usize>(
        q: &[f32],
        keys: &[f32],
        values: &[f32],
        width: usize,
        first: usize,
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        let count = first + Q;
        let blocks = count.div_ceil(LANES);
        let stride = blocks * LANES;
        for (b, block) in keys.chunks_exact(width * LANES).take(blocks).enumerate() {
            let mut sums = [[0.0; LANES]; Q];
            for (d, k) in block.chunks_exact(LANES).enumerate() {
                let k = load(k);
                for i in 0..Q {
                    fma(k, q[i * width + d], &mut sums[i]);
                }
            }
            for (i, sum) in sums.iter().enumerate() {
                let at = i * stride + b * LANES;
                scores[at..at + LANES].copy_from_slice(sum);
            }
        }
        let mut inverse = [0.0f32; Q];
        for i in 0..Q {
            inverse[i] = softmax(&mut scores[i * stride..(i + 1) * stride], first + i + 1);
        }
        for c in 0..width / LANES {
            let mut sums = [[0.0; LANES]; Q];
            for (j, v) in values.chunks_exact(width).take(count).enumerate() {
                let v = load(&v[c * LANES..]);
                for i in 0..Q {
                    fma(v, scores[i * stride + j], &mut sums[i]);
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

    /// Turns scores into `exp(score - max)`, 0 from `seen` on, and gives one over their sum.
    #[inline(always)]
    fn softmax(scores: &mut [f32], seen: usize) -> f32 {
        for s in &mut scores[seen..] {
            *s = f32::NEG_INFINITY;
        }
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
