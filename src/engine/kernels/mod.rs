//! The arithmetic, and the only `unsafe` code of the engine: instruction sets, and work shared among threads.
//!
//! Numeric contract 1. Every function here gives the same bits on every instruction set and however the work is cut:
//! a SIMD lane is always an output (a row of a matrix, a key, a dimension of a head), each output has one accumulator
//! fed in one order, and only exact integers and correctly rounded `+ - * / fma` are used. Vector width, number of
//! rows in a call and number of threads therefore cannot matter.

#![allow(unsafe_code, reason = "the one place for intrinsics and for slices that threads share")]

mod attention;
mod dots;
mod floats;
mod functions;
mod lanes;
mod norms;
mod pool;
#[cfg(test)]
mod tests;

pub use attention::{HeadPages, PAGE, Seen, attend};
pub use dots::{Activations, Codes, GROUP, Panels};
pub use floats::{float_panel, quantise, rope};
pub use functions::{bend, exp, gelu_all, gelu_times, silu_all, silu_times};
pub use norms::{layer_norm, rms_norm};
pub use pool::{Pool, RowSlices};

/// Outputs side by side: rows of a panel, keys of a block.
pub const LANES: usize = 16;

/// Sixteen numbers, one an output.
pub type Lanes = [f32; LANES];

/// An instruction set. All give the same bits; they differ in speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Whatever the compiler's target has.
    Scalar,
    /// AVX2 with FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 (F, BW, VL, DQ) with VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// The instruction sets of this machine, the fastest last.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "other processors have nothing to add")]
        let mut all = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
            all.push(Self::Avx2);
            if ["avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni"].iter().all(|f| has(f)) {
                all.push(Self::Avx512);
            }
        }
        all
    }

    /// The fastest instruction set of this machine.
    pub fn detect() -> Self {
        Self::available().last().copied().unwrap_or(Self::Scalar)
    }
}

#[cfg(target_arch = "x86_64")]
fn has(feature: &str) -> bool {
    match feature {
        "avx512f" => is_x86_feature_detected!("avx512f"),
        "avx512bw" => is_x86_feature_detected!("avx512bw"),
        "avx512vl" => is_x86_feature_detected!("avx512vl"),
        "avx512dq" => is_x86_feature_detected!("avx512dq"),
        "avx512vnni" => is_x86_feature_detected!("avx512vnni"),
        _ => false,
    }
}

/// Makes a safe function that runs a generic one compiled for the given instruction set.
macro_rules! dispatch {
    ($(#[$doc:meta])* $name:ident $(<const $c:ident: usize>)? ($($arg:ident: $type:ty),* $(,)?)) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments, reason = "plain slices and sizes, on purpose")]
        pub fn $name $(<const $c: usize>)? (isa: Isa, $($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            #[allow(clippy::too_many_arguments, reason = "as above")]
            fn avx2 $(<const $c: usize>)? ($($arg: $type),*) {
                generic::$name $(::<$c>)? ($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
            #[allow(clippy::too_many_arguments, reason = "as above")]
            fn avx512 $(<const $c: usize>)? ($($arg: $type),*) {
                generic::$name $(::<$c>)? ($($arg),*)
            }
            match isa {
                Isa::Scalar => generic::$name $(::<$c>)? ($($arg),*),
                // SAFETY: an `Isa` other than `Scalar` is made by `Isa::available` alone, which asked the processor.
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => unsafe { avx2 $(::<$c>)? ($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => unsafe { avx512 $(::<$c>)? ($($arg),*) },
            }
        }
    };
}
use dispatch;
