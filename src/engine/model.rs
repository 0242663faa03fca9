//! A decoder with its weights, read layer by layer.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::architectures::Part;
use super::checkpoint::{Checkpoint, TensorReader};
use super::error::EngineError;
use super::kernels::LANES;
use super::shape::{LayerKind, Shape};
use super::weights::{Linear, Matrix, Rows, floats};

/// A norm's weights.
#[derive(Debug)]
pub struct Norm {
    /// One number a column.
    pub weights: Vec<f32>,
    /// One number a column; empty for root-mean-square norms.
    pub bias: Vec<f32>,
}

/// The weights of a layer.
#[derive(Debug)]
pub struct Layer {
    /// What sets it apart from its neighbours.
    pub kind: LayerKind,
    /// Norm before attention.
    pub attention_norm: Norm,
    /// Queries, keys and values.
    pub qkv: [Linear; 3],
    /// Norm of each head's queries.
    pub q_norm: Option<Vec<f32>>,
    /// Norm of each head's keys.
    pub k_norm: Option<Vec<f32>>,
    /// From heads to the residual stream.
    pub out: Linear,
    /// Norm of what attention gives.
    pub post_attention_norm: Option<Norm>,
    /// Norm before the feed-forward part.
    pub feed_norm: Norm,
    /// Gate.
    pub gate: Option<Linear>,
    /// Up.
    pub up: Linear,
    /// Down.
    pub down: Linear,
    /// Norm of what the feed-forward part gives.
    pub post_feed_norm: Option<Norm>,
}

/// A decoder with its weights.
#[derive(Debug)]
pub struct Model {
    /// Its shape.
    pub shape: Shape,
    /// Token embeddings, a row a token.
    pub embedding: Linear,
    /// Learned positions, a row a position.
    pub positions: Option<Matrix>,
    /// Layers in order.
    pub layers: Vec<Layer>,
    /// Norm after the last layer.
    pub norm: Norm,
    /// To logits; absent where the embeddings serve.
    pub output: Option<Linear>,
}

/// Reads parts of a decoder.
struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    shape: &'a Shape,
    reader: TensorReader<'a>,
}

impl Loader<'_> {
    fn name(&self, part: Part, layer: usize, end: &str) -> String {
        self.checkpoint.name(self.shape.architecture, part, layer, end)
    }

    fn has(&self, part: Part, layer: usize) -> Result<bool, EngineError> {
        Ok(self.checkpoint.tensor(&self.name(part, layer, "weight"))?.is_some())
    }

    fn matrix(&mut self, part: Part, layer: usize, all: &[Rows], columns: usize) -> Result<Vec<Linear>, EngineError> {
        let name = self.name(part, layer, "weight");
        let Some(info) = self.checkpoint.tensor(&name)? else { return Err(missing(&name)) };
        let bytes = self.reader.read(info)?;
        // Embeddings are stored alike everywhere.
        let tables = matches!(part, Part::Embedding | Part::Positions | Part::Output);
        let transposed = self.checkpoint.form(self.shape.architecture).0 && !tables;
        let stored = all.first().map_or(0, |r| r.stored);
        let bias = self.vector(part, layer, "bias", stored)?;
        let linear = |rows: &Rows| {
            let matrix = Matrix::pack(&name, info, &bytes, *rows, columns, transposed)?;
            let bias = bias.as_ref().map_or_else(Vec::new, |bias| rows.spread(bias));
            Ok(Linear { matrix, bias })
        };
        all.iter().map(linear).collect()
    }

    fn one(&mut self, part: Part, layer: usize, rows: Rows, columns: usize) -> Result<Linear, EngineError> {
        let name = self.name(part, layer, "weight");
        self.matrix(part, layer, &[rows], columns)?.pop().ok_or_else(|| missing(&name))
    }

    fn vector(&mut self, part: Part, layer: usize, end: &str, length: usize) -> Result<Option<Vec<f32>>, EngineError> {
        let name = self.name(part, layer, end);
        let Some(info) = self.checkpoint.tensor(&name)? else { return Ok(None) };
        if info.dims != [length] {
            return Err(EngineError::Damaged(format!("tensor `{name}` is {:?}, not [{length}]", info.dims)));
        }
        floats(&name, info, &self.reader.read(info)?).map(Some)
    }

    /// The weights of a norm, with what the checkpoint leaves out added.
    fn norm_weights(&mut self, part: Part, layer: usize, length: usize) -> Result<Option<Vec<f32>>, EngineError> {
        let offset = self.checkpoint.form(self.shape.architecture).1;
        let weights = self.vector(part, layer, "weight", length)?;
        Ok(weights.map(|w| if offset == 0.0 { w } else { w.into_iter().map(|w| w + offset).collect() }))
    }

    fn optional_norm(&mut self, part: Part, layer: usize) -> Result<Option<Norm>, EngineError> {
        let width = self.shape.width;
        let Some(weights) = self.norm_weights(part, layer, width)? else { return Ok(None) };
        let bias = self.vector(part, layer, "bias", width)?.unwrap_or_default();
        if bias.is_empty() == self.shape.architecture.layer_norm {
            let name = self.name(part, layer, "bias");
            return Err(EngineError::Unsupported(format!(
                "a norm with or without its bias, against its kind (`{name}`)"
            )));
        }
        Ok(Some(Norm { weights, bias }))
    }

    fn norm(&mut self, part: Part, layer: usize) -> Result<Norm, EngineError> {
        let name = self.name(part, layer, "weight");
        self.optional_norm(part, layer)?.ok_or_else(|| missing(&name))
    }

    fn qkv(&mut self, layer: usize) -> Result<[Linear; 3], EngineError> {
        let s = self.shape;
        let (q, kv) = (s.heads * s.head, s.kv_heads * s.head);
        let head = (s.head, s.padded_head());
        let made = if self.has(Part::Qkv, layer)? {
            let rows = |first, count| Rows { stored: q + 2 * kv, first, count, head };
            self.matrix(Part::Qkv, layer, &[rows(0, q), rows(q, kv), rows(q + kv, kv)], s.width)?
        } else {
            let rows = |count| Rows { stored: count, first: 0, count, head };
            vec![
                self.one(Part::Q, layer, rows(q), s.width)?,
                self.one(Part::K, layer, rows(kv), s.width)?,
                self.one(Part::V, layer, rows(kv), s.width)?,
            ]
        };
        let name = self.name(Part::Qkv, layer, "weight");
        made.try_into().map_err(|_| missing(&name))
    }

    fn gate_up(&mut self, layer: usize) -> Result<(Option<Linear>, Linear), EngineError> {
        let s = self.shape;
        if !s.architecture.gated {
            return Ok((None, self.one(Part::Up, layer, Rows::all(s.inner), s.width)?));
        }
        if self.has(Part::Gate, layer)? {
            let gate = self.one(Part::Gate, layer, Rows::all(s.inner), s.width)?;
            return Ok((Some(gate), self.one(Part::Up, layer, Rows::all(s.inner), s.width)?));
        }
        let rows = |first| Rows { stored: 2 * s.inner, first, count: s.inner, head: (1, 1) };
        let name = self.name(Part::GateUp, layer, "weight");
        let mut both = self.matrix(Part::GateUp, layer, &[rows(0), rows(s.inner)], s.width)?;
        let up = both.pop().ok_or_else(|| missing(&name))?;
        Ok((both.pop(), up))
    }

    fn layer(&mut self, layer: usize) -> Result<Layer, EngineError> {
        let s = self.shape;
        let (gate, up) = self.gate_up(layer)?;
        Ok(Layer {
            kind: s.layers[layer],
            attention_norm: self.norm(Part::AttentionNorm, layer)?,
            qkv: self.qkv(layer)?,
            q_norm: self.norm_weights(Part::QNorm, layer, s.head)?,
            k_norm: self.norm_weights(Part::KNorm, layer, s.head)?,
            out: self.one(Part::AttentionOut, layer, Rows::all(s.width), s.heads * s.head)?,
            post_attention_norm: self.optional_norm(Part::PostAttentionNorm, layer)?,
            feed_norm: self.norm(Part::FeedNorm, layer)?,
            gate,
            up,
            down: self.one(Part::Down, layer, Rows::all(s.width), s.inner)?,
            post_feed_norm: self.optional_norm(Part::PostFeedNorm, layer)?,
        })
    }
}

impl Rows {
    /// Numbers of stored rows, at their places, filled up to whole panels.
    fn spread(&self, stored: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.made().next_multiple_of(LANES)];
        for (from, to) in self.places() {
            out[to] = stored[from];
        }
        out
    }
}

fn missing(name: &str) -> EngineError {
    EngineError::Damaged(format!("tensor `{name}` is missing"))
}

impl Model {
    /// Loads the weights with some threads.
    ///
    /// # Errors
    /// A tensor is missing, has another shape, cannot be read, or is one that the decoder has no place for.
    pub fn load(checkpoint: &Checkpoint, threads: usize) -> Result<Self, EngineError> {
        let mut shape = checkpoint.shape()?;
        checkpoint.all_known(&shape)?;
        let layers = layers(checkpoint, &shape, threads)?;
        let mut loader = Loader { checkpoint, shape: &shape, reader: TensorReader::new(checkpoint) };
        let table = Rows::all(shape.vocabulary);
        let embedding = loader.one(Part::Embedding, 0, table, shape.width)?;
        let output = match loader.has(Part::Output, 0)? {
            true => Some(loader.one(Part::Output, 0, table, shape.width)?),
            false if !checkpoint.ties_output() => {
                return Err(missing(&loader.name(Part::Output, 0, "weight")));
            }
            false => None,
        };
        let positions = match shape.architecture.learned_positions {
            true => Some(loader.one(Part::Positions, 0, Rows::all(shape.context), shape.width)?.matrix),
            false => None,
        };
        let norm = loader.norm(Part::OutputNorm, 0)?;
        let divisors = loader.vector(Part::RopeDivisors, 0, "weight", shape.rotated / 2)?;
        for (f, d) in shape.ropes.iter_mut().flatten().zip(divisors.into_iter().flatten()) {
            *f /= f64::from(d);
        }
        Ok(Self { shape, embedding, positions, layers, norm, output })
    }
}

/// Reads and packs the layers; each thread takes the next.
fn layers(checkpoint: &Checkpoint, shape: &Shape, threads: usize) -> Result<Vec<Layer>, EngineError> {
    let count = shape.layers.len();
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Result<Layer, EngineError>>>> = Mutex::new((0..count).map(|_| None).collect());
    let work = || {
        let mut loader = Loader { checkpoint, shape, reader: TensorReader::new(checkpoint) };
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            let layer = loader.layer(index);
            if layer.is_err() {
                next.store(count, Ordering::Relaxed);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(layer);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(count) {
            scope.spawn(work);
        }
        work();
    });
    // Layers behind a failed one may not have been read.
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = done.iter().flatten().find_map(|l| l.as_ref().err()) {
        return Err(error.clone());
    }
    done.into_iter().flatten().collect()
}
