//! Sixteen numbers side by side: what the generic sources are written in. The compiler makes vectors of it.

use super::{LANES, Lanes};

/// The first 16 numbers of `s`.
#[inline(always)]
pub fn load(s: &[f32]) -> Lanes {
    let mut out = [0.0; LANES];
    out.copy_from_slice(&s[..LANES]);
    out
}

/// `c = a * b + c`, rounded once.
#[inline(always)]
pub fn fma(a: Lanes, b: f32, c: &mut Lanes) {
    for l in 0..LANES {
        c[l] = a[l].mul_add(b, c[l]);
    }
}

/// Sum of 16 partials: halves 8, 4, 2, 1.
#[inline(always)]
pub fn tree(mut v: Lanes) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            v[l] += v[l + width];
        }
        width /= 2;
    }
    v[0]
}
