//! Running a decoder: tokens of any number of sequences in, logits out, keys and values kept.

use std::ops::Range;

use super::architectures::Activation;
use super::attention::{Heads, Rotations, Segment};
use super::error::EngineError;
use super::kernels::{self, Isa, LANES, Pool, RowSlices};
use super::kv::{Kv, SequenceId};
use super::model::{Layer, Model, Norm};
use super::weights::{Inputs, Linear};

/// Rows that one pass takes at most; bounds the scratch memory. Any number gives the same logits.
pub const CHUNK: usize = 256;

/// Tokens that follow those of a sequence, and which of their logits are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Feed<'a> {
    /// The sequence.
    pub sequence: SequenceId,
    /// What follows.
    pub tokens: &'a [u32],
    /// Whose logits are wanted.
    pub want: Want,
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

/// Asked between the steps of a pass: whether to give up.
pub type Stop<'a> = dyn Fn() -> bool + 'a;

/// Where the arithmetic runs, and its scratch memory.
pub struct Runner {
    pub(super) pool: Pool,
    pub(super) isa: Isa,
    /// The residual stream, `[row][width]`.
    stream: Vec<f32>,
    pub(super) inputs: Inputs,
    pub(super) products: Vec<f32>,
    pub(super) heads: Heads,
    /// Rows that went through all layers.
    computed: u64,
}

/// What a row of a pass adds to the residual stream before its next norm.
#[derive(Clone, Copy)]
enum Added<'a> {
    /// Nothing.
    Nothing,
    /// The last product, through a norm where there is one.
    Product(Option<&'a Norm>),
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
            stream: Vec::new(),
            inputs: Inputs::default(),
            products: Vec::new(),
            heads: Heads::default(),
            computed: 0,
        }
    }

    /// Threads that work.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Rows that went through all layers so far.
    pub fn computed(&self) -> u64 {
        self.computed
    }

    /// Runs tokens of some sequences in passes of `chunk` rows, and gives the wanted logits, one row of the vocabulary's
    /// size after another, in the order of the feeds. A sequence occurs once. `stop` is asked several times a layer. Logits
    /// that are not finite are given as they are: only the sequence that they belong to is spoilt.
    ///
    /// # Errors
    /// `stop` said yes; a token is outside the vocabulary; there is no room for keys and values. `kv` then
    /// holds the tokens before the pass that failed.
    pub fn forward(
        &mut self,
        model: &Model,
        kv: &mut Kv,
        feeds: &[Feed<'_>],
        chunk: usize,
        stop: &Stop<'_>,
    ) -> Result<Vec<f32>, EngineError> {
        for feed in feeds {
            if let Some(token) = feed.tokens.iter().find(|t| **t as usize >= model.shape.vocabulary) {
                return Err(EngineError::Prompt(format!("token {token} is outside the vocabulary")));
            }
        }
        let mut logits = Vec::new();
        let mut pass = Vec::new();
        let mut room = chunk.max(1);
        for feed in feeds {
            let mut left = feed.tokens;
            while !left.is_empty() {
                let (now, rest) = left.split_at(left.len().min(room));
                left = rest;
                let want = if rest.is_empty() || feed.want == Want::All { feed.want } else { Want::Nothing };
                pass.push(Feed { sequence: feed.sequence, tokens: now, want });
                room -= now.len();
                if room == 0 {
                    self.pass(model, kv, &pass, stop, &mut logits)?;
                    pass.clear();
                    room = chunk.max(1);
                }
            }
        }
        if !pass.is_empty() {
            self.pass(model, kv, &pass, stop, &mut logits)?;
        }
        Ok(logits)
    }

    /// All layers for some rows. Where it fails, nothing is stored.
    fn pass(
        &mut self,
        model: &Model,
        kv: &mut Kv,
        feeds: &[Feed<'_>],
        stop: &Stop<'_>,
        logits: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        let mut result = feeds.iter().try_for_each(|f| kv.grow(f.sequence, f.tokens.len()));
        let segments = Segment::of(feeds, kv);
        if result.is_ok() {
            result = self.layers(model, kv, feeds, &segments, stop);
        }
        for feed in feeds {
            match result {
                Ok(()) => kv.commit(feed.sequence, feed.tokens),
                Err(_) => kv.abandon(feed.sequence),
            }
        }
        result?;
        let rows: usize = feeds.iter().map(|f| f.tokens.len()).sum();
        self.computed += rows as u64;
        self.logits(model, rows, &wanted(feeds), logits);
        Ok(())
    }

    /// Leaves the residual stream without the last product, which lies in `self.products`.
    fn layers(
        &mut self,
        model: &Model,
        kv: &mut Kv,
        feeds: &[Feed<'_>],
        segments: &[Segment],
        stop: &Stop<'_>,
    ) -> Result<(), EngineError> {
        let rotations = Rotations::new(model, segments);
        let rows = self.embed(model, feeds, segments);
        let mut added = Added::Nothing;
        for (index, layer) in model.layers.iter().enumerate() {
            let check = || if stop() { Err(EngineError::Stopped) } else { Ok(()) };
            check()?;
            let [q, k, v] = &layer.qkv;
            self.norm_rows(model, added, &layer.attention_norm, rows, wants_codes(&[q, k, v]));
            Linear::multiply(&self.pool, self.isa, &[q, k, v], &self.inputs, rows, &mut self.products);
            check()?;
            self.attend(model, layer, kv, index, segments, &rotations);
            Linear::multiply(&self.pool, self.isa, &[&layer.out], &self.inputs, rows, &mut self.products);
            check()?;
            self.feed_forward(model, layer, rows);
            added = Added::Product(layer.post_feed_norm.as_ref());
        }
        self.finish_stream(model, added, rows);
        Ok(())
    }

    /// Fills the residual stream with embeddings, and with positions where these are learned.
    fn embed(&mut self, model: &Model, feeds: &[Feed<'_>], segments: &[Segment]) -> usize {
        let shape = &model.shape;
        let rows: usize = feeds.iter().map(|f| f.tokens.len()).sum();
        self.stream.clear();
        self.stream.resize(rows * shape.width, 0.0);
        let mut position = vec![0.0; if model.positions.is_some() { shape.width } else { 0 }];
        let mut stream = self.stream.chunks_exact_mut(shape.width);
        for (feed, segment) in feeds.iter().zip(segments) {
            for (i, token) in feed.tokens.iter().enumerate() {
                let Some(row) = stream.next() else { break };
                model.embedding.matrix.row(*token as usize, row);
                if shape.embedding_scale != 1.0 {
                    row.iter_mut().for_each(|x| *x *= shape.embedding_scale);
                }
                if let Some(table) = &model.positions {
                    table.row((segment.position + i).min(table.rows - 1), &mut position);
                    row.iter_mut().zip(&position).for_each(|(x, p)| *x += p);
                }
            }
        }
        rows
    }

    /// Adds the last product to the residual stream, and norms the stream into the inputs of the next one.
    fn norm_rows(&mut self, model: &Model, added: Added<'_>, norm: &Norm, rows: usize, codes: bool) {
        let (shape, isa, products) = (&model.shape, self.isa, &self.products);
        let epsilon = shape.epsilon;
        self.inputs.resize(rows, shape.width);
        let slices = slices(&mut self.stream[..rows * shape.width], &mut self.inputs);
        self.pool.rows(rows, slices, |t, row| {
            add(isa, added, epsilon, products, rows, t, row.stream, row.values);
            apply(isa, norm, epsilon, row.stream, row.values);
            if codes {
                kernels::quantise(isa, row.values, row.codes, row.scales, row.sums);
            }
        });
    }

    /// Adds the last product to the residual stream.
    fn finish_stream(&mut self, model: &Model, added: Added<'_>, rows: usize) {
        let mut scratch = vec![0.0; model.shape.width];
        for (t, stream) in self.stream.chunks_exact_mut(model.shape.width).take(rows).enumerate() {
            add(self.isa, added, model.shape.epsilon, &self.products, rows, t, stream, &mut scratch);
        }
    }

    fn feed_forward(&mut self, model: &Model, layer: &Layer, rows: usize) {
        let (isa, gate) = (self.isa, layer.gate.as_ref());
        let codes = wants_codes(&[&layer.up]) || gate.is_some_and(|g| g.matrix.wants_codes());
        let added = Added::Product(layer.post_attention_norm.as_ref());
        self.norm_rows(model, added, &layer.feed_norm, rows, codes);
        let activation = model.shape.architecture.activation;
        let activate = |x: &mut [f32], up: Option<&[f32]>| match (activation, up) {
            (Activation::Silu, Some(up)) => kernels::silu_times(isa, x, up),
            (Activation::Gelu, Some(up)) => kernels::gelu_times(isa, x, up),
            (Activation::Silu, None) => kernels::silu_all(isa, x),
            (Activation::Gelu, None) => kernels::gelu_all(isa, x),
        };
        layer.up.multiply_gated(&self.pool, isa, gate, &self.inputs, rows, &mut self.products, activate);
        self.inputs.resize(rows, model.shape.inner);
        let (products, codes) = (&self.products, layer.down.matrix.wants_codes());
        self.pool.rows(rows, slices(&mut [], &mut self.inputs), |t, row| {
            gather(products, rows, 0, t, row.values);
            if codes {
                kernels::quantise(isa, row.values, row.codes, row.scales, row.sums);
            }
        });
        Linear::multiply(&self.pool, isa, &[&layer.down], &self.inputs, rows, &mut self.products);
    }

    /// Appends the logits of the wanted rows.
    fn logits(&mut self, model: &Model, rows: usize, wanted: &[Range<usize>], logits: &mut Vec<f32>) {
        let width = model.shape.width;
        let count: usize = wanted.iter().map(Range::len).sum();
        if count == 0 {
            return;
        }
        debug_assert!(wanted.iter().all(|r| r.end <= rows));
        let mut kept = Vec::with_capacity(count * width);
        for range in wanted {
            kept.extend_from_slice(&self.stream[range.start * width..range.end * width]);
        }
        self.stream = kept;
        let output = model.output.as_ref().unwrap_or(&model.embedding);
        self.norm_rows(model, Added::Nothing, &model.norm, count, wants_codes(&[output]));
        Linear::multiply(&self.pool, self.isa, &[output], &self.inputs, count, &mut self.products);
        let cap = model.shape.logit_cap;
        for t in 0..count {
            let at = logits.len();
            logits.resize(at + output.matrix.rows, 0.0);
            gather(&self.products, count, 0, t, &mut logits[at..]);
            if cap > 0.0 {
                kernels::bend(self.isa, &mut logits[at..], cap);
            }
        }
    }
}

/// The rows of a pass whose logits are wanted.
fn wanted(feeds: &[Feed<'_>]) -> Vec<Range<usize>> {
    let mut end = 0;
    let range = |feed: &Feed<'_>| {
        let start = end;
        end += feed.tokens.len();
        match feed.want {
            Want::Nothing => end..end,
            Want::Last => end - 1..end,
            Want::All => start..end,
        }
    };
    feeds.iter().map(range).collect()
}

fn wants_codes(readers: &[&Linear]) -> bool {
    readers.iter().any(|l| l.matrix.wants_codes())
}

/// The chunks of rows: the residual stream, where it is wanted, and the inputs of the next product.
pub(super) fn slices<'a>(stream: &'a mut [f32], inputs: &'a mut Inputs) -> RowSlices<'a> {
    RowSlices {
        stream,
        values: &mut inputs.values,
        codes: &mut inputs.codes,
        scales: &mut inputs.scales,
        sums: &mut inputs.sums,
    }
}

fn apply(isa: Isa, norm: &Norm, epsilon: f32, x: &[f32], out: &mut [f32]) {
    if norm.bias.is_empty() {
        kernels::rms_norm(isa, x, &norm.weights, epsilon, out);
    } else {
        kernels::layer_norm(isa, x, &norm.weights, &norm.bias, epsilon, out);
    }
}

/// Adds to row `t` of the residual stream what is due. `scratch` is as wide as the stream.
#[allow(clippy::too_many_arguments, reason = "plain slices and sizes, on purpose")]
fn add(
    isa: Isa,
    added: Added<'_>,
    epsilon: f32,
    products: &[f32],
    rows: usize,
    t: usize,
    stream: &mut [f32],
    scratch: &mut [f32],
) {
    match added {
        Added::Nothing => {}
        Added::Product(None) => {
            for (p, x) in stream.chunks_mut(LANES).enumerate() {
                for (x, y) in x.iter_mut().zip(&products[(p * rows + t) * LANES..]) {
                    *x += y;
                }
            }
        }
        Added::Product(Some(norm)) => {
            let mut product = vec![0.0; stream.len()];
            gather(products, rows, 0, t, &mut product);
            apply(isa, norm, epsilon, &product, scratch);
            stream.iter_mut().zip(scratch).for_each(|(x, y)| *x += *y);
        }
    }
}

/// Copies row `t` of a product in panels, from a panel on.
pub(super) fn gather(products: &[f32], rows: usize, panel: usize, t: usize, out: &mut [f32]) {
    for (p, out) in out.chunks_mut(LANES).enumerate() {
        let at = ((panel + p) * rows + t) * LANES;
        out.copy_from_slice(&products[at..at + out.len()]);
    }
}
