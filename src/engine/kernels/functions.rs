//! Functions of one number, built of exact and correctly rounded steps, and the activations made of them.

use super::{Isa, dispatch};

dispatch! {
    /// `gate = silu(gate) * up` with `silu(x) = x / (1 + exp(-x))`.
    silu_times(gate: &mut [f32], up: &[f32])
}
dispatch! {
    /// `gate = gelu(gate) * up`, with [`gelu`].
    gelu_times(gate: &mut [f32], up: &[f32])
}
dispatch! {
    /// `x = gelu(x)`, with [`gelu`].
    gelu_all(x: &mut [f32])
}
dispatch! {
    /// `x = silu(x)`.
    silu_all(x: &mut [f32])
}
dispatch! {
    /// `x = cap * tanh(x / cap)`.
    bend(x: &mut [f32], cap: f32)
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

/// Hyperbolic tangent: Cephes' polynomial (`tanhf.c`) near 0, `1 - 2 / (e^2|x| + 1)` beyond. Relative error below 5e-7.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let z = x * x;
    let p = (-5.704_988_7e-3_f32)
        .mul_add(z, 2.063_908_8e-2)
        .mul_add(z, -5.373_971_6e-2)
        .mul_add(z, 1.333_144_2e-1)
        .mul_add(z, -3.333_328e-1);
    let near = (p * z).mul_add(x, x);
    let far = (1.0 - 2.0 / (exp(a + a) + 1.0)).copysign(x);
    if a < 0.625 { near } else { far }
}

/// Gaussian error linear unit in its tanh form: `x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))` (Hendrycks and
/// Gimpel 2016).
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    let inner = 0.797_884_6 * (0.044_715 * x * x).mul_add(x, x);
    0.5 * x * (1.0 + tanh(inner))
}

/// The bodies.
mod generic {
    use super::{exp, gelu, tanh};

    #[inline(always)]
    pub fn silu_all(x: &mut [f32]) {
        for x in x {
            *x /= 1.0 + exp(-*x);
        }
    }

    #[inline(always)]
    pub fn bend(x: &mut [f32], cap: f32) {
        for x in x {
            *x = cap * tanh(*x / cap);
        }
    }

    #[inline(always)]
    pub fn silu_times(gate: &mut [f32], up: &[f32]) {
        for (g, u) in gate.iter_mut().zip(up) {
            *g = *g / (1.0 + exp(-*g)) * u;
        }
    }

    #[inline(always)]
    pub fn gelu_times(gate: &mut [f32], up: &[f32]) {
        for (g, u) in gate.iter_mut().zip(up) {
            *g = gelu(*g) * u;
        }
    }

    #[inline(always)]
    pub fn gelu_all(x: &mut [f32]) {
        for x in x {
            *x = gelu(*x);
        }
    }
}
