//! The numbers that ggml's blocks stand for, each with the roundings of the reference (the Python package `gguf`): a scale
//! times a code, then a minimum.

use super::gguf::TensorKind;

/// The numbers of `bytes`, whole blocks of `kind`.
pub(super) fn dequantise(kind: TensorKind, bytes: &[u8]) -> Vec<f32> {
    let (values, size) = kind.block();
    let mut out = Vec::with_capacity(bytes.len() / size * values);
    for block in bytes.chunks_exact(size) {
        match kind {
            TensorKind::F32 => out.extend(block.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b))),
            TensorKind::F16 => out.push(half(block, 0)),
            TensorKind::Bf16 => out.push(half::bf16::from_bits(u16::from_le_bytes([block[0], block[1]])).to_f32()),
            TensorKind::Q4_0 | TensorKind::Q4_1 | TensorKind::Q5_0 | TensorKind::Q5_1 => small(kind, block, &mut out),
            TensorKind::Q8_0 => {
                let d = half(block, 0);
                out.extend(block[2..].iter().map(|q| d * f32::from(*q as i8)));
            }
            TensorKind::Q2K => q2(block, &mut out),
            TensorKind::Q3K => q3(block, &mut out),
            TensorKind::Q4K | TensorKind::Q5K => q4_and_q5(kind, block, &mut out),
            TensorKind::Q6K => q6(block, &mut out),
        }
    }
    out
}

fn half(bytes: &[u8], at: usize) -> f32 {
    half::f16::from_bits(u16::from_le_bytes([bytes[at], bytes[at + 1]])).to_f32()
}

/// Four or five bits: scale, a minimum, fifth bits, then two codes a byte, the first half of them low.
fn small(kind: TensorKind, block: &[u8], out: &mut Vec<f32>) {
    let with_minimum = matches!(kind, TensorKind::Q4_1 | TensorKind::Q5_1);
    let with_fifth = matches!(kind, TensorKind::Q5_0 | TensorKind::Q5_1);
    let d = half(block, 0);
    let mut rest = &block[2..];
    let mut minimum = 0.0;
    if with_minimum {
        minimum = half(block, 2);
        rest = &rest[2..];
    }
    let mut fifth = 0;
    if with_fifth {
        fifth = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]);
        rest = &rest[4..];
    }
    for i in 0..32 {
        let low = if i < 16 { rest[i] & 15 } else { rest[i - 16] >> 4 };
        let code = u32::from(low) | (fifth >> i & 1) << 4;
        out.push(match kind {
            TensorKind::Q4_0 => d * (code as f32 - 8.0),
            TensorKind::Q5_0 => d * (code as f32 - 16.0),
            _ => d * code as f32 + minimum,
        });
    }
}

/// Groups of 16 with four bits each for scale and minimum.
fn q2(block: &[u8], out: &mut Vec<f32>) {
    let (scales, codes) = (&block[..16], &block[16..80]);
    let (d, dmin) = (half(block, 80), half(block, 82));
    for i in 0..256 {
        let scale = scales[i / 16];
        let code = codes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
        out.push(d * f32::from(scale & 15) * f32::from(code) - dmin * f32::from(scale >> 4));
    }
}

/// Groups of 16 with signed scales of six bits; codes of two bits and one more.
fn q3(block: &[u8], out: &mut Vec<f32>) {
    let (mask, codes, scales) = (&block[..32], &block[32..96], &block[96..108]);
    let d = half(block, 108);
    let scale = |i: usize| {
        let low = if i < 8 { scales[i] & 15 } else { scales[i - 8] >> 4 };
        let high = scales[8 + i % 4] >> (i / 4 * 2) & 3;
        f32::from((low | high << 4) as i8 - 32)
    };
    for i in 0..256 {
        let low = codes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
        let high = mask[i % 32] >> (i / 32) & 1;
        let code = f32::from(low) - if high == 0 { 4.0 } else { 0.0 };
        out.push(d * scale(i / 16) * code);
    }
}

/// Groups of 32 with six bits each for scale and minimum; codes of four bits, or of five.
fn q4_and_q5(kind: TensorKind, block: &[u8], out: &mut Vec<f32>) {
    let (d, dmin, packed) = (half(block, 0), half(block, 2), &block[4..16]);
    let (fifth, codes) =
        if kind == TensorKind::Q5K { (Some(&block[16..48]), &block[48..]) } else { (None, &block[16..]) };
    let six = |i: usize| match i {
        0..4 => (packed[i] & 63, packed[i + 4] & 63),
        _ => (packed[i + 4] & 15 | packed[i - 4] >> 6 << 4, packed[i + 4] >> 4 | packed[i] >> 6 << 4),
    };
    for i in 0..256 {
        let group = i / 32;
        let (scale, minimum) = six(group);
        let low = codes[group / 2 * 32 + i % 32] >> (group % 2 * 4) & 15;
        let high = fifth.map_or(0, |f| f[i % 32] >> group & 1);
        out.push(d * f32::from(scale) * f32::from(low | high << 4) - dmin * f32::from(minimum));
    }
}

/// Groups of 16 with signed scales of eight bits; codes of four bits and two more.
fn q6(block: &[u8], out: &mut Vec<f32>) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let d = half(block, 208);
    for i in 0..256 {
        let (part, at) = (i / 128, i % 128);
        let low = low[part * 64 + at % 64] >> (at / 64 * 4) & 15;
        let high = high[part * 32 + at % 32] >> (at / 32 * 2) & 3;
        let code = f32::from((low | high << 4) as i8 - 32);
        out.push(d * f32::from(scales[i / 16] as i8) * code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tests/data/blocks`: random blocks of each kind and what the package `gguf` reads in them.
    #[test]
    fn every_block_is_equal_bit_for_bit() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/blocks");
        let numbers = [0, 1, 2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 30];
        for number in numbers {
            let kind = TensorKind::from_number(number).unwrap();
            let file = std::fs::read(folder.join(format!("{number}.bin"))).unwrap();
            // The blocks, then their numbers.
            let (values, size) = kind.block();
            let count = file.len() / (size + 4 * values);
            let (blocks, expected) = file.split_at(count * size);
            let got = dequantise(kind, blocks);
            assert_eq!((got.len(), expected.len()), (count * values, count * values * 4));
            assert!(count * values >= 512);
            for (i, (a, b)) in got.iter().zip(expected.as_chunks::<4>().0).enumerate() {
                assert_eq!(a.to_bits(), u32::from_le_bytes(*b), "{kind:?}: number {i}");
            }
        }
    }
}
