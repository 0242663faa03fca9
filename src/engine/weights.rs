//! Matrices in the panels that the kernels read, packed from the forms that files have.

use std::cell::RefCell;

use super::dequantise::dequantise;
use super::error::EngineError;
use super::gguf::{TensorInfo, TensorKind};
use super::kernels::{self, Activations, Codes, GROUP, Isa, LANES, Panels, Pool};

/// A matrix: `rows` outputs from `columns` inputs.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// `[panel][column][16]`.
    Float(Vec<f32>),
    /// Integer codes.
    Codes(Panels),
}

/// A product of a layer: a matrix, and what is added to its outputs.
#[derive(Clone, Debug)]
pub struct Linear {
    /// The matrix.
    pub matrix: Matrix,
    /// One number an output, filled up to whole panels; empty where nothing is added.
    pub bias: Vec<f32>,
}

/// Which rows of a stored tensor make a matrix, and where they go.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// Outputs of the stored tensor.
    pub stored: usize,
    /// The first one that is taken.
    pub first: usize,
    /// How many are taken.
    pub count: usize,
    /// Rows come in heads of the first width, which are filled up with zeros to the second.
    pub head: (usize, usize),
}

impl Rows {
    /// All rows of a tensor, as they are.
    pub fn all(count: usize) -> Self {
        Self { stored: count, first: 0, count, head: (1, 1) }
    }

    /// Rows of the matrix that comes out.
    pub fn made(&self) -> usize {
        self.count / self.head.0 * self.head.1
    }

    /// The stored row of each taken one, and its place.
    pub fn places(self) -> impl Iterator<Item = (usize, usize)> {
        let (real, padded) = self.head;
        (0..self.count).map(move |i| (self.first + i, i / real * padded + i % real))
    }
}

/// Inputs of a product, one row after another: as they are, and quantised.
#[derive(Default)]
pub struct Inputs {
    /// `[row][columns]`.
    pub values: Vec<f32>,
    /// Codes, `[row][columns]`.
    pub codes: Vec<i8>,
    /// Scales, `[row][columns / 32]`.
    pub scales: Vec<f32>,
    /// Sums of codes, `[row][columns / 32]`.
    pub sums: Vec<i32>,
}

impl Inputs {
    /// Makes room for `rows` rows of `columns` numbers.
    pub fn resize(&mut self, rows: usize, columns: usize) {
        self.values.resize(rows * columns, 0.0);
        self.codes.resize(rows * columns, 0);
        self.scales.resize(rows * (columns / GROUP), 0.0);
        self.sums.resize(rows * (columns / GROUP), 0);
    }
}

thread_local! {
    /// A second product beside the first, for gates.
    static BESIDE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl Matrix {
    /// Packs rows of a tensor's bytes. `columns` is what the architecture expects; `transposed` says that the tensor is
    /// stored as `[inputs][outputs]`.
    ///
    /// # Errors
    /// The tensor has another shape.
    pub fn pack(
        name: &str,
        info: &TensorInfo,
        bytes: &[u8],
        rows: Rows,
        columns: usize,
        transposed: bool,
    ) -> Result<Self, EngineError> {
        let expected = if transposed { [rows.stored, columns] } else { [columns, rows.stored] };
        if info.dims != expected {
            return Err(EngineError::Damaged(format!("tensor `{name}` is {:?}, not {expected:?}", info.dims)));
        }
        let form = match info.kind {
            TensorKind::Q4_0 | TensorKind::Q4_1 | TensorKind::Q5_0 | TensorKind::Q5_1 | TensorKind::Q8_0
                if !transposed =>
            {
                Form::Codes(pack_codes(info.kind, bytes, rows, columns))
            }
            _ => Form::Float(pack_floats(&floats(name, info, bytes)?, rows, columns, transposed)),
        };
        Ok(Self { rows: rows.made(), columns, form })
    }

    /// Panels of 16 rows, the last one filled up with zeros.
    pub fn panels(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// Whether inputs are wanted quantised.
    pub fn wants_codes(&self) -> bool {
        matches!(self.form, Form::Codes(_))
    }

    /// Writes row `index` as numbers.
    pub fn row(&self, index: usize, out: &mut [f32]) {
        match &self.form {
            Form::Float(w) => {
                let panel = &w[(index / LANES) * self.columns * LANES..];
                for (o, w) in out.iter_mut().zip(panel.chunks_exact(LANES)) {
                    *o = w[index % LANES];
                }
            }
            Form::Codes(panels) => {
                for (c, o) in out.iter_mut().enumerate() {
                    *o = panels.value(index, c);
                }
            }
        }
    }

    /// `out[row][16]` of one panel for the first rows of `x`.
    fn panel(&self, isa: Isa, index: usize, x: &Inputs, out: &mut [f32]) {
        match &self.form {
            Form::Codes(panels) => {
                let x = Activations { codes: &x.codes, scales: &x.scales, sums: &x.sums };
                panels.multiply(isa, index, &x, out);
            }
            Form::Float(w) => {
                let w = &w[index * self.columns * LANES..(index + 1) * self.columns * LANES];
                let rows = out.len() / LANES;
                let mut row = 0;
                while row < rows {
                    let (x, out) = (&x.values[row * self.columns..], &mut out[row * LANES..]);
                    row += match rows - row {
                        8.. => {
                            kernels::float_panel::<8>(isa, w, x, &mut out[..8 * LANES]);
                            8
                        }
                        4..8 => {
                            kernels::float_panel::<4>(isa, w, x, &mut out[..4 * LANES]);
                            4
                        }
                        _ => {
                            kernels::float_panel::<1>(isa, w, x, &mut out[..LANES]);
                            1
                        }
                    };
                }
            }
        }
    }
}

impl Linear {
    /// `out[row][16]` of one panel.
    fn panel(&self, isa: Isa, index: usize, x: &Inputs, out: &mut [f32]) {
        self.matrix.panel(isa, index, x, out);
        if let Some(bias) = self.bias.get(index * LANES..(index + 1) * LANES) {
            for row in out.chunks_exact_mut(LANES) {
                for (y, b) in row.iter_mut().zip(bias) {
                    *y += b;
                }
            }
        }
    }

    /// Several products of the same inputs: `out` is `[panel of the first, then of the next …][row][16]`.
    pub fn multiply(pool: &Pool, isa: Isa, all: &[&Self], x: &Inputs, rows: usize, out: &mut Vec<f32>) {
        let panels: usize = all.iter().map(|m| m.matrix.panels()).sum();
        out.resize(panels * rows * LANES, 0.0);
        pool.chunks(out, rows * LANES, |mut index, out| {
            for m in all {
                if index < m.matrix.panels() {
                    return m.panel(isa, index, x, out);
                }
                index -= m.matrix.panels();
            }
        });
    }

    /// `out = activate(self x)` panel by panel, or `activate(gate x) * (self x)` where there is a gate. `activate` gets the
    /// outputs of a panel, and those of `self` beside them where there is a gate.
    #[allow(clippy::too_many_arguments, reason = "plain slices and sizes, on purpose")]
    pub fn multiply_gated(
        &self,
        pool: &Pool,
        isa: Isa,
        gate: Option<&Self>,
        x: &Inputs,
        rows: usize,
        out: &mut Vec<f32>,
        activate: impl Fn(&mut [f32], Option<&[f32]>) + Sync,
    ) {
        out.resize(self.matrix.panels() * rows * LANES, 0.0);
        pool.chunks(out, rows * LANES, |index, out| match gate {
            None => {
                self.panel(isa, index, x, out);
                activate(out, None);
            }
            Some(gate) => BESIDE.with_borrow_mut(|up| {
                up.resize(out.len(), 0.0);
                gate.panel(isa, index, x, out);
                self.panel(isa, index, x, up);
                activate(out, Some(up));
            }),
        });
    }
}

/// The numbers of a tensor.
///
/// # Errors
/// There are more or fewer bytes than the tensor takes.
pub fn floats(name: &str, info: &TensorInfo, bytes: &[u8]) -> Result<Vec<f32>, EngineError> {
    if bytes.len() as u64 != info.bytes {
        return Err(EngineError::Damaged(format!("tensor `{name}` has {} bytes, not {}", bytes.len(), info.bytes)));
    }
    Ok(dequantise(info.kind, bytes))
}

fn pack_floats(values: &[f32], rows: Rows, columns: usize, transposed: bool) -> Vec<f32> {
    let mut out = vec![0.0; rows.made().div_ceil(LANES) * columns * LANES];
    for (from, to) in rows.places() {
        let panel = &mut out[(to / LANES) * columns * LANES..];
        for c in 0..columns {
            let at = if transposed { c * rows.stored + from } else { from * columns + c };
            panel[c * LANES + to % LANES] = values[at];
        }
    }
    out
}

/// Packs ggml's blocks of 32: half-precision scale, minimum where the type has one, fifth bits, codes.
fn pack_codes(kind: TensorKind, bytes: &[u8], rows: Rows, columns: usize) -> Panels {
    let (codes, offset) = match kind {
        TensorKind::Q4_0 => (Codes::Four, 8),
        TensorKind::Q4_1 => (Codes::Four, 0),
        TensorKind::Q5_0 => (Codes::Eight, 16),
        TensorKind::Q5_1 => (Codes::Eight, 0),
        _ => (Codes::Eight, 128),
    };
    let has_minimum = matches!(kind, TensorKind::Q4_1 | TensorKind::Q5_1);
    let groups = columns / GROUP;
    let count = rows.made().div_ceil(LANES) * groups;
    // Rows that fill up have scale 0.
    let mut out = Panels {
        codes,
        columns,
        offset,
        data: vec![0; count * codes.bytes()],
        scales: vec![0; count * LANES],
        minima: vec![0; if has_minimum { count * LANES } else { 0 }],
    };
    let block = kind.block().1;
    let blocks = rows.places().flat_map(|(from, to)| (0..groups).map(move |g| (from * groups + g, to, g)));
    for (index, row, group) in blocks {
        let block = &bytes[index * block..(index + 1) * block];
        let (at, lane) = ((row / LANES) * groups + group, row % LANES);
        out.scales[at * LANES + lane] = u16::from_le_bytes([block[0], block[1]]);
        let mut rest = &block[2..];
        if has_minimum {
            out.minima[at * LANES + lane] = u16::from_le_bytes([rest[0], rest[1]]);
            rest = &rest[2..];
        }
        let data = &mut out.data[at * codes.bytes()..(at + 1) * codes.bytes()];
        // Four codes of a row stand together; a byte of ggml's pairs the same two codes as one of ours.
        match kind {
            TensorKind::Q4_0 | TensorKind::Q4_1 => place(data, lane, &rest[..GROUP / 2]),
            TensorKind::Q5_0 | TensorKind::Q5_1 => place(data, lane, &five_bits(rest)),
            // Signed codes become unsigned by an offset of 128.
            _ => place(data, lane, &std::array::from_fn::<u8, GROUP, _>(|i| rest[i] ^ 128)),
        }
    }
    out
}

/// Copies a row's bytes of a group to where the panel has them: fours of all 16 rows one after another.
fn place(data: &mut [u8], lane: usize, bytes: &[u8]) {
    for (four, out) in bytes.as_chunks::<4>().0.iter().zip(data.chunks_exact_mut(4 * LANES)) {
        out[lane * 4..lane * 4 + 4].copy_from_slice(four);
    }
}

/// The unsigned codes of a block of five bits each, after scale and minimum: 32 fifth bits, then 16 pairs of halves.
fn five_bits(rest: &[u8]) -> [u8; GROUP] {
    let high = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]);
    let halves = &rest[4..4 + GROUP / 2];
    std::array::from_fn(|i| {
        let low = if i < GROUP / 2 { halves[i] & 15 } else { halves[i - GROUP / 2] >> 4 };
        low | ((high >> i & 1) as u8) << 4
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows read from the panels are the numbers that the blocks stand for.
    #[test]
    fn packed_blocks_mean_what_the_blocks_do() {
        const KINDS: [TensorKind; 5] =
            [TensorKind::Q4_0, TensorKind::Q4_1, TensorKind::Q5_0, TensorKind::Q5_1, TensorKind::Q8_0];
        let (rows, columns) = (19, 96);
        for kind in KINDS {
            let (_, size) = kind.block();
            let mut state = 7_u32;
            let mut bytes = vec![0_u8; rows * columns / GROUP * size];
            for (i, byte) in bytes.iter_mut().enumerate() {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // The scale, and the minimum in its place, are kept finite.
                *byte = if i % size == 1 || i % size == 3 { (state >> 24) as u8 & 0xbf } else { (state >> 24) as u8 };
            }
            let info = TensorInfo { dims: vec![columns, rows], kind, offset: 0, bytes: bytes.len() as u64, file: 0 };
            let wanted = floats("t", &info, &bytes).unwrap();
            let matrix = Matrix::pack("t", &info, &bytes, Rows::all(rows), columns, false).unwrap();
            assert!(wanted.iter().all(|w| w.is_finite()));
            let mut row = vec![0.0; columns];
            for (r, wanted) in wanted.chunks_exact(columns).enumerate() {
                matrix.row(r, &mut row);
                for (a, b) in row.iter().zip(wanted) {
                    assert!((a - b).abs() <= 1e-6 * b.abs().max(1e-30), "{kind:?}: {a} and {b}");
                }
            }
        }
    }
}
