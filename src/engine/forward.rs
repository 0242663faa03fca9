//! Running a decoder: tokens in, logits out, keys and values kept.

use std::cell::RefCell;

use super::error::EngineError;
use super::kernels::{self, Isa, LANES, Pool};
use super::model::{Layer, Model};
use super::weights::{Inputs, Matrix};

/// Rows that one pass takes at most; bounds the scratch memory. Any number gives the same logits.
pub const CHUNK: usize = 256;

/// Rows that share one walk over keys and values.
const TILE: usize = 8;

/// Keys and values of one sequence. Attention reads only what is stored here, also for rows of the same call.
#[derive(Default)]
pub struct Kv {
    /// `[layer * kv_heads + head]`.
    heads: Vec<HeadKv>,
    tokens: Vec<u32>,
}

#[derive(Default)]
struct HeadKv {
    /// `[block][width][16 keys]`.
    keys: Vec<f32>,
    /// `[key][width]`.
    values: Vec<f32>,
}

impl Kv {
    /// The tokens whose keys and values are stored.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Forgets all but the first `count` tokens.
    pub fn truncate(&mut self, count: usize) {
        self.tokens.truncate(count);
    }

    /// Makes room for `count` tokens.
    fn reserve(&mut self, model: &Model, count: usize) {
        let shape = &model.shape;
        self.heads.resize_with(shape.layers * shape.kv_heads, HeadKv::default);
        let padded = count.next_multiple_of(LANES);
        for head in &mut self.heads {
            if head.values.len() < padded * shape.head {
                head.keys.resize(padded * shape.head, 0.0);
                head.values.resize(padded * shape.head, 0.0);
            }
        }
    }
}

/// Which rows' logits are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// None: only keys and values.
    Nothing,
    /// The last row's.
    Last,
    /// Every row's.
    All,
}

/// Where the arithmetic runs, and its scratch memory.
pub struct Runner {
    pool: Pool,
    isa: Isa,
    x: Vec<f32>,
    inputs: Inputs,
    products: Vec<f32>,
    queries: Vec<f32>,
    attended: Vec<f32>,
}

thread_local! {
    static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl Runner {
    /// A runner of `threads` threads on the fastest instruction set.
    pub fn new(threads: usize) -> Self {
        Self::with_isa(threads, Isa::detect())
    }

    /// A runner on a given instruction set.
    pub fn with_isa(threads: usize, isa: Isa) -> Self {
        Self {
            pool: Pool::new(threads.max(1)),
            isa,
            x: Vec::new(),
            inputs: Inputs::default(),
            products: Vec::new(),
            queries: Vec::new(),
            attended: Vec::new(),
        }
    }

    /// Threads that work.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Runs `tokens` after those that `kv` holds, in passes of `chunk` rows, and gives the wanted logits, one row of the
    /// vocabulary's size after another. `stop` is asked between layers.
    ///
    /// # Errors
    /// `stop` said yes; a token is outside the vocabulary; a logit is not finite. `kv` then holds the tokens before the
    /// pass that failed.
    pub fn forward(
        &mut self,
        model: &Model,
        kv: &mut Kv,
        tokens: &[u32],
        want: Want,
        chunk: usize,
        stop: &dyn Fn() -> bool,
    ) -> Result<Vec<f32>, EngineError> {
        if let Some(token) = tokens.iter().find(|t| **t as usize >= model.shape.vocabulary) {
            return Err(EngineError::Prompt(format!("token {token} is outside the vocabulary")));
        }
        kv.reserve(model, kv.tokens.len() + tokens.len());
        let mut logits = Vec::new();
        let mut left = tokens;
        while !left.is_empty() {
            let (now, rest) = left.split_at(left.len().min(chunk.max(1)));
            left = rest;
            let from = match want {
                Want::All => 0,
                Want::Last if rest.is_empty() => now.len() - 1,
                _ => now.len(),
            };
            self.pass(model, kv, now, stop)?;
            kv.tokens.extend_from_slice(now);
            self.logits(model, now.len(), from, &mut logits);
        }
        if logits.iter().all(|l| l.is_finite()) { Ok(logits) } else { Err(EngineError::NotFinite) }
    }

    /// All layers for some rows; leaves the residual stream in `self.x`.
    fn pass(&mut self, model: &Model, kv: &mut Kv, tokens: &[u32], stop: &dyn Fn() -> bool) -> Result<(), EngineError> {
        let (shape, first) = (&model.shape, kv.tokens.len());
        self.x.resize(tokens.len() * shape.width, 0.0);
        for (token, row) in tokens.iter().zip(self.x.chunks_exact_mut(shape.width)) {
            model.embedding.row(*token as usize, row);
        }
        let rotation = Rotation::new(model, first, tokens.len());
        for (index, layer) in model.layers.iter().enumerate() {
            if stop() {
                return Err(EngineError::Stopped);
            }
            let heads = &mut kv.heads[index * shape.kv_heads..(index + 1) * shape.kv_heads];
            self.attention(model, layer, heads, &rotation, first);
            self.feed(model, layer, tokens.len());
        }
        Ok(())
    }

    /// Norms the residual stream into the inputs of the next product.
    fn norm(&mut self, weights: &[f32], epsilon: f32, readers: &[&Matrix]) {
        let (width, isa, x) = (weights.len(), self.isa, &self.x);
        self.inputs.resize(x.len() / width, width);
        self.pool.chunks(&mut self.inputs.values, width, |t, row| {
            kernels::rms_norm(isa, &x[t * width..(t + 1) * width], weights, epsilon, row);
        });
        self.inputs.quantise(isa, readers);
    }

    /// Multiplies `self.inputs` and adds the outputs to the residual stream.
    fn add_product(&mut self, matrix: &Matrix, rows: usize) {
        Matrix::multiply(&self.pool, self.isa, &[matrix], &self.inputs, rows, &mut self.products);
        for (t, x) in self.x.chunks_exact_mut(matrix.rows).enumerate() {
            for (p, x) in x.chunks_mut(LANES).enumerate() {
                for (x, y) in x.iter_mut().zip(&self.products[(p * rows + t) * LANES..]) {
                    *x += y;
                }
            }
        }
    }

    fn attention(&mut self, model: &Model, layer: &Layer, kv: &mut [HeadKv], rotation: &Rotation, first: usize) {
        let shape = &model.shape;
        let (width, rows) = (shape.head, rotation.rows);
        let readers = [&layer.q, &layer.k, &layer.v];
        self.norm(&layer.attention_norm, shape.epsilon, &readers);
        Matrix::multiply(&self.pool, self.isa, &readers, &self.inputs, rows, &mut self.products);
        let (isa, products) = (self.isa, &self.products);
        let (k_panel, v_panel) = (layer.q.panels(), layer.q.panels() + layer.k.panels());
        for (h, kv) in kv.iter_mut().enumerate() {
            let panels = h * width / LANES;
            kv.store(products, rotation, isa, (k_panel + panels, v_panel + panels), width, first);
        }
        let tile = if rows < TILE { 1 } else { TILE };
        let tiles = rows.div_ceil(tile);
        let size = shape.heads * tiles * tile * width;
        self.queries.resize(size, 0.0);
        self.attended.resize(size, 0.0);
        let scale = (1.0 / (width as f64).sqrt()) as f32;
        self.pool.chunks(&mut self.queries, tile * width, |index, queries| {
            let (head, t0) = (index / tiles, index % tiles * tile);
            for (t, q) in (t0..rows).zip(queries.chunks_exact_mut(width)) {
                gather(products, rows, head * width / LANES, t, q);
                rotation.apply(isa, t, q);
                for q in q {
                    *q *= scale;
                }
            }
        });
        let (queries, group) = (&self.queries, shape.heads / shape.kv_heads);
        self.pool.chunks(&mut self.attended, tile * width, |index, out| {
            let (head, t0) = (index / tiles, index % tiles * tile);
            let (q, kv) = (&queries[index * tile * width..(index + 1) * tile * width], &kv[head / group]);
            kv.attend(isa, q, out, width, first + t0, tile.min(rows - t0));
        });
        self.inputs.resize(rows, shape.heads * width);
        for (t, row) in self.inputs.values.chunks_exact_mut(shape.heads * width).enumerate() {
            for (h, out) in row.chunks_exact_mut(width).enumerate() {
                let at = (h * tiles * tile + t) * width;
                out.copy_from_slice(&self.attended[at..at + width]);
            }
        }
        self.inputs.quantise(isa, &[&layer.out]);
        self.add_product(&layer.out, rows);
    }

    fn feed(&mut self, model: &Model, layer: &Layer, rows: usize) {
        let inner = model.shape.inner;
        let readers = [&layer.gate, &layer.up];
        self.norm(&layer.feed_norm, model.shape.epsilon, &readers);
        Matrix::multiply(&self.pool, self.isa, &readers, &self.inputs, rows, &mut self.products);
        let isa = self.isa;
        let (gate, up) = self.products.split_at_mut(layer.gate.panels() * rows * LANES);
        self.pool.chunks(gate, rows * LANES, |p, gate| {
            kernels::silu_times(isa, gate, &up[p * rows * LANES..(p + 1) * rows * LANES]);
        });
        self.inputs.resize(rows, inner);
        for (t, row) in self.inputs.values.chunks_exact_mut(inner).enumerate() {
            gather(gate, rows, 0, t, row);
        }
        self.inputs.quantise(isa, &[&layer.down]);
        self.add_product(&layer.down, rows);
    }

    /// Appends the logits of the rows from `from` on.
    fn logits(&mut self, model: &Model, rows: usize, from: usize, logits: &mut Vec<f32>) {
        if from >= rows {
            return;
        }
        self.x.drain(..from * model.shape.width);
        let output = model.output.as_ref().unwrap_or(&model.embedding);
        let rows = rows - from;
        self.norm(&model.norm, model.shape.epsilon, &[output]);
        Matrix::multiply(&self.pool, self.isa, &[output], &self.inputs, rows, &mut self.products);
        for t in 0..rows {
            let at = logits.len();
            logits.resize(at + output.rows, 0.0);
            gather(&self.products, rows, 0, t, &mut logits[at..]);
        }
    }
}

/// Copies row `t` of a product in panels, from a panel on.
fn gather(products: &[f32], rows: usize, panel: usize, t: usize, out: &mut [f32]) {
    for (p, out) in out.chunks_mut(LANES).enumerate() {
        let at = ((panel + p) * rows + t) * LANES;
        out.copy_from_slice(&products[at..at + out.len()]);
    }
}

/// Cosines and sines of some rows.
struct Rotation {
    rows: usize,
    pairs: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rotation {
    /// Rows at positions from `first` on: angle `position / factor * base^(-2i/rotated) / divisor`, in f64, rounded once.
    fn new(model: &Model, first: usize, rows: usize) -> Self {
        let shape = &model.shape;
        let pairs = shape.rotated / 2;
        let (mut cos, mut sin) = (Vec::with_capacity(rows * pairs), Vec::with_capacity(rows * pairs));
        let frequencies: Vec<f64> = (0..pairs)
            .map(|i| {
                libm::pow(shape.rope_base, -2.0 * i as f64 / shape.rotated as f64) / f64::from(model.rope_divisors[i])
            })
            .collect();
        for position in first..first + rows {
            for f in &frequencies {
                let angle = position as f64 / shape.rope_factor * f;
                cos.push(libm::cos(angle) as f32);
                sin.push(libm::sin(angle) as f32);
            }
        }
        Self { rows, pairs, cos, sin }
    }

    fn apply(&self, isa: Isa, row: usize, head: &mut [f32]) {
        let range = row * self.pairs..(row + 1) * self.pairs;
        kernels::rope(isa, head, &self.cos[range.clone()], &self.sin[range], false);
    }
}

impl HeadKv {
    /// Stores keys, rotated, and values of a call's rows.
    fn store(
        &mut self,
        products: &[f32],
        rotation: &Rotation,
        isa: Isa,
        panels: (usize, usize),
        width: usize,
        first: usize,
    ) {
        let mut key = vec![0.0; width];
        for t in 0..rotation.rows {
            let position = first + t;
            gather(products, rotation.rows, panels.0, t, &mut key);
            rotation.apply(isa, t, &mut key);
            let block = &mut self.keys[position / LANES * width * LANES..];
            for (d, k) in key.iter().enumerate() {
                block[d * LANES + position % LANES] = *k;
            }
            gather(products, rotation.rows, panels.1, t, &mut self.values[position * width..(position + 1) * width]);
        }
    }

    /// Attention of `count` rows from position `first` on.
    fn attend(&self, isa: Isa, q: &[f32], out: &mut [f32], width: usize, first: usize, count: usize) {
        SCORES.with_borrow_mut(|scores| {
            let room = (first + TILE).next_multiple_of(LANES) * TILE;
            if scores.len() < room {
                scores.resize(room, 0.0);
            }
            if count == TILE {
                kernels::attend::<TILE>(isa, q, &self.keys, &self.values, width, first, scores, out);
                return;
            }
            for i in 0..count {
                let (q, out) = (&q[i * width..(i + 1) * width], &mut out[i * width..(i + 1) * width]);
                kernels::attend::<1>(isa, q, &self.keys, &self.values, width, first + i, scores, out);
            }
        });
    }
}
