//! Products of quantised weights and quantised activations.
//!
//! A weight is `D * (code - offset) + M` in groups of 32 with unsigned codes of 4 or 8 bits; an activation is `da * q`.
//! `y = 0`; groups ascending: `y = fma(D * da, f32(sum (code - offset) * q), y)`, then with minima
//! `y = fma(M, da * f32(sum q), y)`. The sums are exact integers, so only their speed depends on the instruction set.

use super::{Isa, LANES, Lanes};

/// Values in a group.
pub const GROUP: usize = 32;

/// The offset of codes that use all eight bits; codes with any other offset in [`Codes::Eight`] have five.
pub const SIGNED: i32 = 128;

/// How codes lie in [`Panels::codes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codes {
    /// 256 bytes a group: `[4][16 rows][4]`, values 0 to 15 in low halves, values 16 to 31 in high halves.
    Four,
    /// 512 bytes a group: `[8][16 rows][4]`.
    Eight,
}

impl Codes {
    /// Bytes of a group of a panel.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Four => 256,
            Self::Eight => 512,
        }
    }
}

/// A matrix in panels of 16 rows.
#[derive(Clone, Debug)]
pub struct Panels {
    /// How codes are packed.
    pub codes: Codes,
    /// Columns, a multiple of 32.
    pub columns: usize,
    /// What is taken from every code.
    pub offset: i32,
    /// Codes, `[panel][group]`.
    pub data: Vec<u8>,
    /// Scales as bits of half-precision numbers, `[panel][group][16]`.
    pub scales: Vec<u16>,
    /// Minima in the same form; empty where the type has none.
    pub minima: Vec<u16>,
}

/// Activations of a call: rows one after another.
pub struct Activations<'a> {
    /// Codes, `[row][columns]`.
    pub codes: &'a [i8],
    /// Scales, `[row][columns / 32]`.
    pub scales: &'a [f32],
    /// Sums of codes, `[row][columns / 32]`.
    pub sums: &'a [i32],
}

/// One panel's codes, scales and minima.
struct Panel<'a> {
    data: &'a [u8],
    scales: &'a [u16],
    minima: &'a [u16],
    groups: usize,
    offset: i32,
}

impl Panels {
    /// `out[row][16]` of panel `index` for all rows of `x`.
    pub fn multiply(&self, isa: Isa, index: usize, x: &Activations<'_>, out: &mut [f32]) {
        let groups = self.columns / GROUP;
        let per = groups * LANES;
        let size = groups * self.codes.bytes();
        let panel = Panel {
            data: &self.data[index * size..(index + 1) * size],
            scales: &self.scales[index * per..(index + 1) * per],
            minima: self.minima.get(index * per..(index + 1) * per).unwrap_or(&[]),
            groups,
            offset: self.offset,
        };
        let rows = out.len() / LANES;
        // The intrinsics below read without looking: everything that they rely on is settled here.
        assert!(
            x.codes.len() >= rows * self.columns && x.scales.len() >= rows * groups && x.sums.len() >= rows * groups
        );
        let mut row = 0;
        while row < rows {
            let left = rows - row;
            let step = tile(isa, left);
            let part = Activations {
                codes: &x.codes[row * self.columns..],
                scales: &x.scales[row * groups..],
                sums: &x.sums[row * groups..],
            };
            panel.rows(isa, self.codes, step, &part, &mut out[row * LANES..(row + step) * LANES]);
            row += step;
        }
    }

    /// The number at `row` and `column`.
    pub fn value(&self, row: usize, column: usize) -> f32 {
        let (panel, lane, group, within) = (row / LANES, row % LANES, column / GROUP, column % GROUP);
        let at = panel * (self.columns / GROUP) + group;
        let code = code(self.codes, &self.data[at * self.codes.bytes()..], lane, within);
        let scale = half::f16::from_bits(self.scales[at * LANES + lane]).to_f32();
        let minimum = self.minima.get(at * LANES + lane).map_or(0.0, |m| half::f16::from_bits(*m).to_f32());
        scale.mul_add((code - self.offset) as f32, minimum)
    }
}

/// Rows that one call takes: all that fit the registers, then fewer.
fn tile(isa: Isa, left: usize) -> usize {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 if left >= 8 => 8,
        _ if left >= 4 => 4,
        _ => 1,
    }
}

/// The code of a lane at a place in a group.
#[inline(always)]
fn code(codes: Codes, group: &[u8], lane: usize, within: usize) -> i32 {
    match codes {
        Codes::Four => {
            let half = within % 16;
            let byte = group[(half / 4) * 64 + lane * 4 + half % 4];
            i32::from(if within < 16 { byte & 15 } else { byte >> 4 })
        }
        Codes::Eight => i32::from(group[(within / 4) * 64 + lane * 4 + within % 4]),
    }
}

impl Panel<'_> {
    fn rows(&self, isa: Isa, codes: Codes, step: usize, x: &Activations<'_>, out: &mut [f32]) {
        match isa {
            // SAFETY: the processor has the instructions, as an `Isa` other than `Scalar` comes from `Isa::available`;
            // `Panels::multiply` checked the lengths.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe {
                match (codes, step) {
                    (Codes::Four, 8) => x86::four_512::<8>(self, x, out),
                    (Codes::Four, 4) => x86::four_512::<4>(self, x, out),
                    (Codes::Four, _) => x86::four_512::<1>(self, x, out),
                    (Codes::Eight, 8) => x86::eight_512::<8>(self, x, out),
                    (Codes::Eight, 4) => x86::eight_512::<4>(self, x, out),
                    (Codes::Eight, _) => x86::eight_512::<1>(self, x, out),
                }
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe {
                match (codes, step) {
                    (Codes::Four, 4) => x86::four_256::<4>(self, x, out),
                    (Codes::Four, _) => x86::four_256::<1>(self, x, out),
                    (Codes::Eight, 4) => x86::eight_256::<4>(self, x, out),
                    (Codes::Eight, _) => x86::eight_256::<1>(self, x, out),
                }
            },
            Isa::Scalar => {
                for r in 0..step {
                    self.scalar(codes, r, x, &mut out[r * LANES..(r + 1) * LANES]);
                }
            }
        }
    }

    fn scalar(&self, codes: Codes, row: usize, x: &Activations<'_>, out: &mut [f32]) {
        let mut y: Lanes = [0.0; LANES];
        for g in 0..self.groups {
            let at = row * self.groups + g;
            let q = &x.codes[at * GROUP..(at + 1) * GROUP];
            let group = &self.data[g * codes.bytes()..(g + 1) * codes.bytes()];
            let (da, sum) = (x.scales[at], x.sums[at]);
            for (l, y) in y.iter_mut().enumerate() {
                let mut dot = -self.offset * sum;
                for (i, q) in q.iter().enumerate() {
                    dot += code(codes, group, l, i) * i32::from(*q);
                }
                let d = half::f16::from_bits(self.scales[g * LANES + l]).to_f32();
                *y = (d * da).mul_add(dot as f32, *y);
                if let Some(m) = self.minima.get(g * LANES + l) {
                    *y = half::f16::from_bits(*m).to_f32().mul_add(da * sum as f32, *y);
                }
            }
        }
        out.copy_from_slice(&y);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Activations, GROUP, LANES, Panel, SIGNED};
    use std::arch::x86_64::*;

    /// Four activations, spread over the lanes.
    #[inline(always)]
    unsafe fn quad(x: &Activations<'_>, at: usize) -> i32 {
        // SAFETY: the caller keeps `at` and three more below the length.
        unsafe { x.codes.as_ptr().add(at).cast::<i32>().read_unaligned() }
    }

    /// Adds a group to the outputs of one row.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c")]
    unsafe fn add_512(
        p: &Panel<'_>,
        x: &Activations<'_>,
        at: usize,
        dot: __m512i,
        d: __m512,
        m: Option<__m512>,
        y: __m512,
    ) -> __m512 {
        // SAFETY: the caller keeps `at` below the number of groups of all rows.
        let (da, sum) = unsafe { (*x.scales.get_unchecked(at), *x.sums.get_unchecked(at)) };
        let dot = _mm512_sub_epi32(dot, _mm512_set1_epi32(p.offset * sum));
        let y = _mm512_fmadd_ps(_mm512_mul_ps(d, _mm512_set1_ps(da)), _mm512_cvtepi32_ps(dot), y);
        match m {
            Some(m) => _mm512_fmadd_ps(m, _mm512_set1_ps(da * sum as f32), y),
            None => y,
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c")]
    unsafe fn halves_512(s: &[u16], g: usize) -> __m512 {
        // SAFETY: the caller keeps `g` below the number of groups.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(s.as_ptr().add(g * LANES).cast()) })
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c")]
    pub unsafe fn four_512<const M: usize>(p: &Panel<'_>, x: &Activations<'_>, out: &mut [f32]) {
        // SAFETY: `Panels::multiply` checked that the panel has `groups` groups and `x` has `M` rows of as many.
        unsafe {
            let low = _mm512_set1_epi8(15);
            let mut y = [_mm512_setzero_ps(); M];
            for g in 0..p.groups {
                let mut w = [_mm512_setzero_si512(); 8];
                for j in 0..4 {
                    let both = _mm512_loadu_si512(p.data.as_ptr().add(g * 256 + j * 64).cast());
                    w[j] = _mm512_and_si512(both, low);
                    w[j + 4] = _mm512_and_si512(_mm512_srli_epi16::<4>(both), low);
                }
                let d = halves_512(p.scales, g);
                let m = if p.minima.is_empty() { None } else { Some(halves_512(p.minima, g)) };
                for (i, y) in y.iter_mut().enumerate() {
                    let at = i * p.groups + g;
                    let (mut a, mut b) = (_mm512_setzero_si512(), _mm512_setzero_si512());
                    for j in 0..4 {
                        a = _mm512_dpbusd_epi32(a, w[j], _mm512_set1_epi32(quad(x, at * GROUP + j * 4)));
                        b = _mm512_dpbusd_epi32(b, w[j + 4], _mm512_set1_epi32(quad(x, at * GROUP + 16 + j * 4)));
                    }
                    *y = add_512(p, x, at, _mm512_add_epi32(a, b), d, m, *y);
                }
            }
            for (i, y) in y.iter().enumerate() {
                _mm512_storeu_ps(out[i * LANES..(i + 1) * LANES].as_mut_ptr(), *y);
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c")]
    pub unsafe fn eight_512<const M: usize>(p: &Panel<'_>, x: &Activations<'_>, out: &mut [f32]) {
        // SAFETY: as `four_512`.
        unsafe {
            let mut y = [_mm512_setzero_ps(); M];
            for g in 0..p.groups {
                let mut w = [_mm512_setzero_si512(); 8];
                for (j, w) in w.iter_mut().enumerate() {
                    *w = _mm512_loadu_si512(p.data.as_ptr().add(g * 512 + j * 64).cast());
                }
                let d = halves_512(p.scales, g);
                let m = if p.minima.is_empty() { None } else { Some(halves_512(p.minima, g)) };
                for (i, y) in y.iter_mut().enumerate() {
                    let at = i * p.groups + g;
                    let (mut a, mut b) = (_mm512_setzero_si512(), _mm512_setzero_si512());
                    for j in 0..4 {
                        a = _mm512_dpbusd_epi32(a, w[j], _mm512_set1_epi32(quad(x, at * GROUP + j * 4)));
                        b = _mm512_dpbusd_epi32(b, w[j + 4], _mm512_set1_epi32(quad(x, at * GROUP + 16 + j * 4)));
                    }
                    *y = add_512(p, x, at, _mm512_add_epi32(a, b), d, m, *y);
                }
            }
            for (i, y) in y.iter().enumerate() {
                _mm512_storeu_ps(out[i * LANES..(i + 1) * LANES].as_mut_ptr(), *y);
            }
        }
    }

    /// Scales and minima of a group: eight lanes, then the other eight.
    struct Scales256 {
        d: [__m256; 2],
        m: Option<[__m256; 2]>,
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn scales_256(p: &Panel<'_>, g: usize) -> Scales256 {
        // SAFETY: the caller keeps `g` below the number of groups.
        let halves =
            |s: &[u16], h: usize| unsafe { _mm256_cvtph_ps(_mm_loadu_si128(s.as_ptr().add(g * LANES + h * 8).cast())) };
        let m = if p.minima.is_empty() { None } else { Some([halves(p.minima, 0), halves(p.minima, 1)]) };
        Scales256 { d: [halves(p.scales, 0), halves(p.scales, 1)], m }
    }

    /// Adds a group to the outputs of one row. `offset` is what is still to be taken from every code.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn add_256(
        scales: &Scales256,
        offset: i32,
        x: &Activations<'_>,
        at: usize,
        dots: [__m256i; 2],
        y: &mut [__m256; 2],
    ) {
        // SAFETY: the caller keeps `at` below the number of groups of all rows.
        let (da, sum) = unsafe { (*x.scales.get_unchecked(at), *x.sums.get_unchecked(at)) };
        for h in 0..2 {
            let dot = if offset == 0 { dots[h] } else { _mm256_sub_epi32(dots[h], _mm256_set1_epi32(offset * sum)) };
            y[h] = _mm256_fmadd_ps(_mm256_mul_ps(scales.d[h], _mm256_set1_ps(da)), _mm256_cvtepi32_ps(dot), y[h]);
            if let Some(m) = &scales.m {
                y[h] = _mm256_fmadd_ps(m[h], _mm256_set1_ps(da * sum as f32), y[h]);
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn store_256(y: &[[__m256; 2]], out: &mut [f32]) {
        for (y, out) in y.iter().zip(out.chunks_exact_mut(LANES)) {
            // SAFETY: the chunk has 16 numbers.
            unsafe {
                _mm256_storeu_ps(out.as_mut_ptr(), y[0]);
                _mm256_storeu_ps(out.as_mut_ptr().add(8), y[1]);
            }
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub unsafe fn four_256<const M: usize>(p: &Panel<'_>, x: &Activations<'_>, out: &mut [f32]) {
        // SAFETY: as `four_512`.
        unsafe {
            let (low, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
            let mut y = [[_mm256_setzero_ps(); 2]; M];
            for g in 0..p.groups {
                // Eight products of at most 2 * 15 * 127 fit 16 bits: 30,480.
                let mut s = [[_mm256_setzero_si256(); 2]; M];
                for j in 0..4 {
                    let data = p.data.as_ptr().add(g * 256 + j * 64);
                    let both = [_mm256_loadu_si256(data.cast()), _mm256_loadu_si256(data.add(32).cast())];
                    let w = both.map(|b| _mm256_and_si256(b, low));
                    for (i, s) in s.iter_mut().enumerate() {
                        let q = _mm256_set1_epi32(quad(x, (i * p.groups + g) * GROUP + j * 4));
                        s[0] = _mm256_add_epi16(s[0], _mm256_maddubs_epi16(w[0], q));
                        s[1] = _mm256_add_epi16(s[1], _mm256_maddubs_epi16(w[1], q));
                    }
                    let w = both.map(|b| _mm256_and_si256(_mm256_srli_epi16::<4>(b), low));
                    for (i, s) in s.iter_mut().enumerate() {
                        let q = _mm256_set1_epi32(quad(x, (i * p.groups + g) * GROUP + 16 + j * 4));
                        s[0] = _mm256_add_epi16(s[0], _mm256_maddubs_epi16(w[0], q));
                        s[1] = _mm256_add_epi16(s[1], _mm256_maddubs_epi16(w[1], q));
                    }
                }
                let scales = scales_256(p, g);
                for (i, (s, y)) in s.iter().zip(&mut y).enumerate() {
                    let dots = [_mm256_madd_epi16(s[0], ones), _mm256_madd_epi16(s[1], ones)];
                    add_256(&scales, p.offset, x, i * p.groups + g, dots, y);
                }
            }
            store_256(&y, out);
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub unsafe fn eight_256<const M: usize>(p: &Panel<'_>, x: &Activations<'_>, out: &mut [f32]) {
        // SAFETY: as `four_512`.
        unsafe {
            if p.offset == SIGNED {
                signed_256::<M>(p, x, out);
            } else {
                five_256::<M>(p, x, out);
            }
        }
    }

    /// Codes of eight bits around 128. `|w| * (q with w's sign)`: two products of at most 128 * 127 fit 16 bits.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn signed_256<const M: usize>(p: &Panel<'_>, x: &Activations<'_>, out: &mut [f32]) {
        // SAFETY: as `four_512`.
        unsafe {
            let (middle, ones) = (_mm256_set1_epi8(-128), _mm256_set1_epi16(1));
            let mut y = [[_mm256_setzero_ps(); 2]; M];
            for g in 0..p.groups {
                let mut s = [[_mm256_setzero_si256(); 2]; M];
                for j in 0..8 {
                    for h in 0..2 {
                        let data = p.data.as_ptr().add(g * 512 + j * 64 + h * 32);
                        let w = _mm256_xor_si256(_mm256_loadu_si256(data.cast()), middle);
                        let size = _mm256_abs_epi8(w);
                        for (i, s) in s.iter_mut().enumerate() {
                            let q = _mm256_set1_epi32(quad(x, (i * p.groups + g) * GROUP + j * 4));
                            let pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(q, w));
                            s[h] = _mm256_add_epi32(s[h], _mm256_madd_epi16(pairs, ones));
                        }
                    }
                }
                let scales = scales_256(p, g);
                for (i, (s, y)) in s.iter().zip(&mut y).enumerate() {
                    add_256(&scales, 0, x, i * p.groups + g, *s, y);
                }
            }
            store_256(&y, out);
        }
    }

    /// Codes of five bits in bytes: four sums of two products, each at most 2 * 31 * 127, fit 16 bits: 31,496.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn five_256<const M: usize>(p: &Panel<'_>, x: &Activations<'_>, out: &mut [f32]) {
        // SAFETY: as `four_512`.
        unsafe {
            let ones = _mm256_set1_epi16(1);
            let mut y = [[_mm256_setzero_ps(); 2]; M];
            for g in 0..p.groups {
                let mut dots = [[_mm256_setzero_si256(); 2]; M];
                for (h, half) in [0, 4].into_iter().flat_map(|from| [(0, from), (1, from)]) {
                    let mut s = [_mm256_setzero_si256(); M];
                    for j in half..half + 4 {
                        let w = _mm256_loadu_si256(p.data.as_ptr().add(g * 512 + j * 64 + h * 32).cast());
                        for (i, s) in s.iter_mut().enumerate() {
                            let q = _mm256_set1_epi32(quad(x, (i * p.groups + g) * GROUP + j * 4));
                            *s = _mm256_add_epi16(*s, _mm256_maddubs_epi16(w, q));
                        }
                    }
                    for (dots, s) in dots.iter_mut().zip(s) {
                        dots[h] = _mm256_add_epi32(dots[h], _mm256_madd_epi16(s, ones));
                    }
                }
                let scales = scales_256(p, g);
                for (i, (dots, y)) in dots.iter().zip(&mut y).enumerate() {
                    add_256(&scales, p.offset, x, i * p.groups + g, *dots, y);
                }
            }
            store_256(&y, out);
        }
    }
}
