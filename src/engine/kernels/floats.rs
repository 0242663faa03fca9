//! Products of `f32` weights, quantisation of activations, rotation: safe generic sources, compiled for every
//! instruction set.

use super::{Isa, LANES, dispatch};

dispatch! {
    /// `y = W x` for one panel of 16 rows with `f32` weights and `M` vectors: `w` is `[k][16]`, `x` holds `M` vectors of
    /// length `k` one after another, `out` is `[M][16]`. One fma a term, k ascending.
    float_panel<const M: usize>(w: &[f32], x: &[f32], out: &mut [f32])
}
dispatch! {
    /// Quantises each 32 values to `i8`: `a = max|x|`, scale `a/127`, codes `rne(x * (127/a))` within ±127; zeros where
    /// `a` is 0 or `127/a` is infinite. `sums` gets the sum of each 32 codes.
    quantise(x: &[f32], codes: &mut [i8], scales: &mut [f32], sums: &mut [i32])
}
dispatch! {
    /// Rotates the first `2 * cos.len()` numbers of a head: neighbours pair up, or halves where `halves` is true
    /// (Su et al. 2021; the two layouts of GGUF).
    rope(head: &mut [f32], cos: &[f32], sin: &[f32], halves: bool)
}

/// The bodies.
mod generic {
    use super::super::lanes::{fma, load};
    use super::LANES;

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

    /// A whole number from -127 to 127 as an integer; of NaN, whose scale is NaN too, any.
    #[inline(always)]
    fn to_int(x: f32) -> i32 {
        // 1.5 * 2^23: below it, the low bits of a sum are the whole number. A cast would check its range lane by lane.
        const MAGIC: f32 = 12_582_912.0;
        (x + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32
    }

    #[inline(always)]
    pub fn quantise(x: &[f32], codes: &mut [i8], scales: &mut [f32], sums: &mut [i32]) {
        for (b, (x, codes)) in x.chunks_exact(32).zip(codes.chunks_exact_mut(32)).enumerate() {
            let mut most = [0.0f32; LANES];
            for half in x.chunks_exact(LANES) {
                for l in 0..LANES {
                    let v = half[l].abs();
                    // Once it is NaN, it stays so.
                    most[l] = if v > most[l] || v.is_nan() { v } else { most[l] };
                }
            }
            let a = most.iter().fold(0.0f32, |m, v| if *v > m || v.is_nan() { *v } else { m });
            let inverse = 127.0 / a;
            let (scale, inverse) = match a {
                // The scale carries it on: what is made of it is no number, and is found at the end.
                _ if a.is_nan() => (a, 0.0),
                _ if a > 0.0 && inverse.is_finite() => (a / 127.0, inverse),
                _ => (0.0, 0.0),
            };
            // In steps over arrays: each becomes a few vector instructions.
            let mut rounded = [0i32; 32];
            for (r, v) in rounded.iter_mut().zip(x) {
                *r = to_int((v * inverse).round_ties_even().clamp(-127.0, 127.0));
            }
            let mut sum = 0i32;
            for (c, r) in codes.iter_mut().zip(rounded) {
                *c = r as i8;
                sum += r;
            }
            scales[b] = scale;
            sums[b] = sum;
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
}
