//! Every instruction set of this machine against the scalar code, bit for bit.

use super::*;
use crate::engine::Philox;

/// Repeatable numbers in [-1, 1).
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let p = Philox::new(seed);
    (0..count as u64).map(|i| (p.uniform(0, i) * 2.0 - 1.0) as f32).collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| v.to_bits()).collect()
}

fn panels(codes: Codes, offset: i32, minima: bool, columns: usize, panels: usize) -> Panels {
    let groups = panels * columns / GROUP;
    let random = Philox::new(1);
    let byte = |i: usize| random.block([i as u32, 0, 0, 0])[0];
    // Half-precision numbers of ordinary size, of both signs, and subnormal ones.
    let half = |i: usize| {
        if i.is_multiple_of(17) {
            byte(i) as u16 & 0x83ff
        } else {
            (0x1400 + (byte(i) % 0x0c00) as u16) | ((i as u16 & 1) << 15)
        }
    };
    Panels {
        codes,
        columns,
        offset,
        // Codes in bytes have eight bits around 128, else five.
        data: (0..groups * codes.bytes())
            .map(|i| byte(i + 7) as u8 & if codes == Codes::Eight && offset != dots::SIGNED { 31 } else { 255 })
            .collect(),
        scales: (0..groups * LANES).map(half).collect(),
        minima: (0..if minima { groups * LANES } else { 0 }).map(|i| half(i + 3)).collect(),
    }
}

#[test]
fn integer_products_agree() {
    let columns = 96;
    for (codes, offset, minima) in [
        (Codes::Four, 8, false),
        (Codes::Four, 0, true),
        (Codes::Eight, 128, false),
        (Codes::Eight, 16, false),
        (Codes::Eight, 0, true),
    ] {
        let matrix = panels(codes, offset, minima, columns, 2);
        for rows in 1..=33 {
            let mut x = numbers(rows as u64, rows * columns);
            x[..32].fill(0.0);
            x[32..64].fill(1e-42);
            let (mut q, mut scales, mut sums) = (vec![0; x.len()], vec![0.0; x.len() / 32], vec![0; x.len() / 32]);
            quantise(Isa::Scalar, &x, &mut q, &mut scales, &mut sums);
            // The extremes too: they are what saturating instructions get wrong.
            q[64..96].fill(-127);
            sums[2] = -127 * 32;
            let x = Activations { codes: &q, scales: &scales, sums: &sums };
            for panel in 0..2 {
                let mut expected = vec![0.0; rows * LANES];
                matrix.multiply(Isa::Scalar, panel, &x, &mut expected);
                for isa in Isa::available() {
                    let mut got = vec![0.0; rows * LANES];
                    matrix.multiply(isa, panel, &x, &mut got);
                    assert_eq!(bits(&got), bits(&expected), "{isa:?}, {codes:?}, {rows} rows");
                }
            }
        }
    }
}

#[test]
fn products_are_what_the_values_say() {
    let matrix = panels(Codes::Four, 8, true, 64, 1);
    let x = numbers(5, 64);
    let (mut q, mut scales, mut sums) = (vec![0; 64], vec![0.0; 2], vec![0; 2]);
    quantise(Isa::Scalar, &x, &mut q, &mut scales, &mut sums);
    let mut y = vec![0.0; LANES];
    matrix.multiply(Isa::Scalar, 0, &Activations { codes: &q, scales: &scales, sums: &sums }, &mut y);
    for (row, y) in y.iter().enumerate() {
        let exact: f64 = (0..64).map(|c| f64::from(matrix.value(row, c)) * f64::from(x[c])).sum();
        assert!((f64::from(*y) - exact).abs() < 0.05, "row {row}: {y} and {exact}");
    }
}

#[test]
fn float_operations_agree() {
    for isa in Isa::available() {
        for (k, length) in [(5, 100), (64, 576)] {
            let (w, x) = (numbers(1, k * LANES), numbers(2, 8 * k));
            let (mut one, mut eight) = (vec![0.0; 8 * LANES], vec![0.0; 8 * LANES]);
            for r in 0..8 {
                float_panel::<1>(Isa::Scalar, &w, &x[r * k..], &mut one[r * LANES..(r + 1) * LANES]);
            }
            float_panel::<8>(isa, &w, &x, &mut eight);
            assert_eq!(bits(&one), bits(&eight), "{isa:?}");
            let (x, w) = (numbers(3, length), numbers(4, length));
            let (mut a, mut b) = (vec![0.0; length], vec![0.0; length]);
            rms_norm(Isa::Scalar, &x, &w, 1e-5, &mut a);
            rms_norm(isa, &x, &w, 1e-5, &mut b);
            assert_eq!(bits(&a), bits(&b), "{isa:?}");
            silu_times(Isa::Scalar, &mut a, &x);
            silu_times(isa, &mut b, &x);
            assert_eq!(bits(&a), bits(&b), "{isa:?}");
        }
    }
}

#[test]
fn attention_agrees_in_tiles_and_rows() {
    let (width, first, count) = (32, 67, 8);
    let size = 2 * 2 * PAGE * width;
    let arena = numbers(1, 4 * size);
    let q = numbers(3, count * width);
    // Rows before and behind each other, and one that sees a window alone.
    let seen: Vec<Seen> = (0..count).map(|i| (if i == 5 { 40 } else { 0 }, first + i + 1)).collect();
    for at in [0, size / 2] {
        let kv = HeadPages { arena: &arena, pages: &[3, 0, 2], size, at, width };
        for cap in [0.0, 20.0] {
            let mut scores = vec![0.0; count * 3 * PAGE];
            let mut rows = vec![0.0; count * width];
            for i in 0..count {
                let at = i * width..(i + 1) * width;
                attend::<1>(Isa::Scalar, &q[at.clone()], &kv, &seen[i..], cap, &mut scores, &mut rows[at]);
            }
            for isa in Isa::available() {
                let mut tile = vec![0.0; count * width];
                attend::<8>(isa, &q, &kv, &seen, cap, &mut scores, &mut tile);
                assert_eq!(bits(&rows), bits(&tile), "{isa:?}");
            }
        }
    }
}

#[test]
fn attention_is_what_its_formula_says() {
    let width = 16;
    let size = 2 * PAGE * width;
    let arena = numbers(1, 2 * size);
    let q = numbers(3, width);
    let kv = HeadPages { arena: &arena, pages: &[1, 0], size, at: 0, width };
    let (mut scores, mut out) = (vec![0.0; 2 * PAGE], vec![0.0; width]);
    attend::<1>(Isa::detect(), &q, &kv, &[(3, 50)], 0.0, &mut scores, &mut out);
    let key = |j: usize, d: usize| {
        let page = &arena[[1, 0][j / PAGE] * size..];
        f64::from(page[(j % PAGE / 16) * width * 16 + d * 16 + j % 16])
    };
    let value = |j: usize, d: usize| f64::from(arena[[1, 0][j / PAGE] * size + PAGE * width + j % PAGE * width + d]);
    let p: Vec<f64> = (3..50).map(|j| (0..width).map(|d| f64::from(q[d]) * key(j, d)).sum::<f64>().exp()).collect();
    for (d, got) in out.iter().enumerate() {
        let exact: f64 = (3..50).map(|j| p[j - 3] * value(j, d)).sum::<f64>() / p.iter().sum::<f64>();
        assert!((f64::from(*got) - exact).abs() < 1e-5, "{got} and {exact}");
    }
}

#[test]
fn functions_are_close() {
    for i in -80_000..80_000 {
        let x = i as f32 * 2.5e-4;
        let (got, exact) = (f64::from(functions::tanh(x)), f64::from(x).tanh());
        assert!((got - exact).abs() <= 5e-7 * exact.abs(), "tanh({x}) is {got}, not {exact}");
    }
    assert!(functions::tanh(f32::NAN).is_nan() && functions::gelu(f32::NAN).is_nan());
    assert!((functions::gelu(1.0) - 0.841_192).abs() < 1e-6);
    for isa in Isa::available() {
        let x = numbers(9, 100);
        let of = |isa: Isa| {
            let (mut a, mut b, mut c) = (x.clone(), x.clone(), vec![0.0; 100]);
            gelu_times(isa, &mut a, &x);
            bend(isa, &mut b, 0.5);
            layer_norm(isa, &x, &a, &b, 1e-5, &mut c);
            gelu_all(isa, &mut a);
            silu_all(isa, &mut b);
            [bits(&a), bits(&b), bits(&c)]
        };
        assert_eq!(of(Isa::Scalar), of(isa), "{isa:?}");
    }
}

#[test]
fn exp_is_close() {
    for i in 0..100_000 {
        let x = -(i as f32) * 8.7e-4;
        let (got, exact) = (f64::from(exp(x)), f64::from(x).exp());
        assert!(((got - exact) / exact).abs() < 2e-7, "exp({x}) is {got}, not {exact}");
    }
    assert_eq!((exp(0.0), exp(-100.0)), (1.0, 0.0));
    assert!(exp(f32::NAN).is_nan());
}

#[test]
fn what_is_no_number_is_not_lost() {
    for isa in Isa::available() {
        for at in [0, 15, 16, 31] {
            for odd in [f32::NAN, f32::INFINITY] {
                let mut x = numbers(1, 32);
                x[at] = odd;
                let (mut q, mut scales, mut sums) = (vec![0; 32], vec![0.0], vec![0]);
                quantise(isa, &x, &mut q, &mut scales, &mut sums);
                assert!(!(scales[0] * sums[0] as f32).is_finite() || !scales[0].is_finite(), "{isa:?}, {odd} at {at}");
            }
        }
    }
}

#[test]
fn subnormal_numbers_are_kept() {
    let tiny = std::hint::black_box(f32::MIN_POSITIVE) / std::hint::black_box(2.0);
    assert!(tiny > 0.0, "flush-to-zero is on");
}

#[test]
fn a_pool_visits_every_chunk_once() {
    for threads in [1, 2, 4] {
        let pool = Pool::new(threads);
        for count in [0, 1, 7, 1000] {
            let mut data = vec![0u32; count * 3];
            pool.chunks(&mut data, 3, |i, chunk| {
                for c in chunk {
                    *c += i as u32 + 1;
                }
            });
            assert!(data.iter().zip(0..).all(|(d, i)| *d == i / 3 + 1), "{threads} threads, {count} chunks");
        }
    }
}
