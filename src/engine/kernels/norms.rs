//! Norms. Sums have 16 partials by index mod 16.

use super::{Isa, LANES, dispatch};

dispatch! {
    /// Root-mean-square norm: `out = x / sqrt(mean(x²) + eps) * w` (Zhang and Sennrich 2019).
    rms_norm(x: &[f32], w: &[f32], eps: f32, out: &mut [f32])
}
dispatch! {
    /// Layer norm: `out = (x - mean) / sqrt(variance + eps) * w + b` (Ba et al. 2016).
    layer_norm(x: &[f32], w: &[f32], b: &[f32], eps: f32, out: &mut [f32])
}

/// The bodies.
mod generic {
    use super::super::lanes::tree;
    use super::LANES;

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
    pub fn layer_norm(x: &[f32], w: &[f32], b: &[f32], eps: f32, out: &mut [f32]) {
        let mut partial = [0.0; LANES];
        for (i, v) in x.iter().enumerate() {
            partial[i % LANES] += v;
        }
        let mean = tree(partial) / x.len() as f32;
        let mut partial = [0.0f32; LANES];
        for (i, v) in x.iter().enumerate() {
            let d = v - mean;
            partial[i % LANES] = d.mul_add(d, partial[i % LANES]);
        }
        let scale = 1.0 / (tree(partial) / x.len() as f32 + eps).sqrt();
        for (((o, x), w), b) in out.iter_mut().zip(x).zip(w).zip(b) {
            *o = ((x - mean) * scale).mul_add(*w, *b);
        }
    }
}
