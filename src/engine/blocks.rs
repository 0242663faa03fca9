//! Blocks of quantised numbers as GGUF files hold them, read as groups: a number is `scale * code + minimum`. The layouts
//! are those of ggml (`ggml-common.h`), the products of half-precision scales and small integers are exact.

use super::gguf::TensorKind;

/// Numbers with one scale and one minimum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// What a code is multiplied by.
    pub scale: f32,
    /// What is added.
    pub minimum: f32,
    /// Signed codes; of groups of 16 only the first 16 count.
    pub codes: [i8; 32],
}

/// Numbers in a group of a kind.
pub fn group_size(kind: TensorKind) -> usize {
    match kind {
        TensorKind::Q2K | TensorKind::Q3K | TensorKind::Q6K => 16,
        _ => 32,
    }
}

fn half(bytes: &[u8], at: usize) -> f32 {
    half::f16::from_bits(u16::from_le_bytes([bytes[at], bytes[at + 1]])).to_f32()
}

fn group(scale: f32, minimum: f32, code: impl Fn(usize) -> i32, size: usize) -> Group {
    // Codes of all kinds fit: -128 to 127.
    Group { scale, minimum, codes: std::array::from_fn(|i| if i < size { code(i) as i8 } else { 0 }) }
}

/// The low halves of 16 bytes, then the high ones.
fn nibble(bytes: &[u8], i: usize) -> i32 {
    i32::from(if i < 16 { bytes[i] & 15 } else { bytes[i - 16] >> 4 })
}

/// Calls `each` with the groups of a block in order. Kinds that are not quantised have none.
pub fn groups(kind: TensorKind, b: &[u8], mut each: impl FnMut(Group)) {
    match kind {
        TensorKind::F32 | TensorKind::F16 | TensorKind::Bf16 => {}
        TensorKind::Q4_0 => each(group(half(b, 0), 0.0, |i| nibble(&b[2..], i) - 8, 32)),
        TensorKind::Q4_1 => each(group(half(b, 0), half(b, 2), |i| nibble(&b[4..], i), 32)),
        TensorKind::Q5_0 => each(group(half(b, 0), 0.0, |i| fifth(&b[2..], i) - 16, 32)),
        TensorKind::Q5_1 => each(group(half(b, 0), half(b, 2), |i| fifth(&b[4..], i), 32)),
        TensorKind::Q8_0 => each(group(half(b, 0), 0.0, |i| i32::from(b[2 + i] as i8), 32)),
        TensorKind::Q2K => q2k(b, each),
        TensorKind::Q3K => q3k(b, each),
        TensorKind::Q4K => q4k(b, None, each),
        TensorKind::Q5K => q4k(b, Some(16), each),
        TensorKind::Q6K => q6k(b, each),
    }
}

/// Halves with their fifth bits, which stand before them.
fn fifth(b: &[u8], i: usize) -> i32 {
    let high = u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    nibble(&b[4..], i) | ((high >> i & 1) << 4) as i32
}

fn q2k(b: &[u8], mut each: impl FnMut(Group)) {
    let (scales, codes) = (&b[..16], &b[16..80]);
    let (d, m) = (half(b, 80), half(b, 82));
    for (g, s) in scales.iter().enumerate() {
        // A pair of groups takes two bits of 32 bytes; four pairs share the bytes.
        let (part, shift, from) = (g / 8 * 32, g % 8 / 2 * 2, g % 2 * 16);
        let code = |i: usize| i32::from(codes[part + from + i] >> shift & 3);
        each(group(d * f32::from(s & 15), -(m * f32::from(s >> 4)), code, 16));
    }
}

fn q3k(b: &[u8], mut each: impl FnMut(Group)) {
    let (high, codes, scales, d) = (&b[..32], &b[32..96], &b[96..108], half(b, 108));
    for g in 0..16 {
        let low = if g < 8 { scales[g] & 15 } else { scales[g - 8] >> 4 };
        let scale = i32::from(low | (scales[8 + g % 4] >> (g / 4 * 2) & 3) << 4) - 32;
        let (part, shift, from) = (g / 8 * 32, g % 8 / 2 * 2, g % 2 * 16);
        let code = |i: usize| {
            let bit = high[from + i] >> (g / 2) & 1;
            i32::from(codes[part + from + i] >> shift & 3) - if bit == 1 { 0 } else { 4 }
        };
        each(group(d * scale as f32, 0.0, code, 16));
    }
}

/// Scale and minimum of a group, six bits each, eight of both in twelve bytes.
fn six_bits(s: &[u8], g: usize) -> (u8, u8) {
    if g < 4 {
        return (s[g] & 63, s[g + 4] & 63);
    }
    (s[g + 4] & 15 | s[g - 4] >> 6 << 4, s[g + 4] >> 4 | s[g] >> 6 << 4)
}

/// Four bits a code, and a fifth where 32 bytes of `high` ones stand at a place.
fn q4k(b: &[u8], high: Option<usize>, mut each: impl FnMut(Group)) {
    let (d, m) = (half(b, 0), half(b, 2));
    let codes = &b[high.map_or(16, |h| h + 32)..];
    for g in 0..8 {
        let (scale, minimum) = six_bits(&b[4..16], g);
        let code = |i: usize| {
            let byte = codes[g / 2 * 32 + i];
            let fifth = high.map_or(0, |h| b[h + i] >> g & 1);
            i32::from(if g % 2 == 0 { byte & 15 } else { byte >> 4 } | fifth << 4)
        };
        each(group(d * f32::from(scale), -(m * f32::from(minimum)), code, 32));
    }
}

fn q6k(b: &[u8], mut each: impl FnMut(Group)) {
    let (low, high, scales, d) = (&b[..128], &b[128..192], &b[192..208], half(b, 208));
    for (g, s) in scales.iter().enumerate() {
        // Halves of the block; in each, four runs of 32 codes.
        let (part, run, from) = (g / 8, g % 8 / 2, g % 2 * 16);
        let code = |i: usize| {
            let byte = low[part * 64 + run % 2 * 32 + from + i];
            let nibble = if run < 2 { byte & 15 } else { byte >> 4 };
            i32::from(nibble | (high[part * 32 + from + i] >> (run * 2) & 3) << 4) - 32
        };
        each(group(d * f32::from(*s as i8), 0.0, code, 16));
    }
}

/// The numbers of quantised blocks: `scale * code`, rounded, then the minimum, rounded.
pub fn numbers(kind: TensorKind, bytes: &[u8]) -> Vec<f32> {
    let (values, size) = kind.block();
    let mut out = Vec::with_capacity(bytes.len() / size * values);
    for block in bytes.chunks_exact(size) {
        groups(kind, block, |g| {
            out.extend(g.codes[..group_size(kind)].iter().map(|c| g.scale * f32::from(*c) + g.minimum));
        });
    }
    out
}
