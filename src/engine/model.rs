//! A decoder of the llama architecture: what the file says of it, and its weights.

use super::error::EngineError;
use super::gguf::{Gguf, Meta};
use super::weights::{Matrix, floats};

/// The numbers that describe a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Width inside the feed-forward part.
    pub inner: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; query heads share them in equal groups.
    pub kv_heads: usize,
    /// Width of a head.
    pub head: usize,
    /// Numbers of a head that are rotated.
    pub rotated: usize,
    /// Base of the rotation's frequencies.
    pub rope_base: f64,
    /// Positions are divided by this before the rotation.
    pub rope_factor: f64,
    /// Added to the mean square in norms.
    pub epsilon: f32,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Longest context in tokens.
    pub context: usize,
}

/// The largest of any dimension that is believed; keeps products of two far below overflow.
const MOST: u64 = 1 << 24;

impl Shape {
    /// Reads the shape from the file's metadata.
    ///
    /// # Errors
    /// The architecture is another one or a variant that this decoder does not do, or numbers are missing or absurd.
    pub fn read(gguf: &Gguf) -> Result<Self, EngineError> {
        let architecture = gguf.text("general.architecture").unwrap_or("");
        if architecture != "llama" {
            return Err(EngineError::Unsupported(format!("models of architecture `{architecture}` (`llama` is)")));
        }
        let optional = |key: &str| gguf.uint(&format!("llama.{key}"));
        let number = |key: &str| match optional(key) {
            Some(n) if (1..=MOST).contains(&n) => Ok(n as usize),
            Some(n) => Err(EngineError::Damaged(format!("llama.{key} is {n}"))),
            None => Err(EngineError::Damaged(format!("llama.{key} is missing"))),
        };
        if optional("expert_count").unwrap_or(0) > 0 {
            return Err(EngineError::Unsupported("mixtures of experts".to_owned()));
        }
        let rope_factor = rope_factor(gguf)?;
        let (width, heads) = (number("embedding_length")?, number("attention.head_count")?);
        let kv_heads = optional("attention.head_count_kv").map_or(heads, |n| n as usize);
        let head = optional("attention.key_length").map_or(width / heads, |n| n as usize);
        let value = optional("attention.value_length").map_or(head, |n| n as usize);
        let rotated = optional("rope.dimension_count").map_or(head, |n| n as usize);
        let vocabulary = gguf.list("tokenizer.ggml.tokens").map_or(0, <[Meta]>::len);
        let fits = kv_heads > 0 && heads % kv_heads == 0 && head == value && rotated <= head && rotated % 2 == 0;
        if !fits || head == 0 || head > 4096 || heads > 4096 || vocabulary == 0 {
            return Err(EngineError::Damaged(format!(
                "{heads} heads, {kv_heads} of keys, of width {head} and {value}, {rotated} rotated, {vocabulary} tokens"
            )));
        }
        if head % 16 != 0 {
            return Err(EngineError::Unsupported(format!("attention heads of width {head} (multiples of 16 are)")));
        }
        Ok(Self {
            layers: number("block_count")?,
            width,
            inner: number("feed_forward_length")?,
            heads,
            kv_heads,
            head,
            rotated,
            rope_base: gguf.float("llama.rope.freq_base").unwrap_or(10_000.0),
            rope_factor,
            epsilon: gguf.float("llama.attention.layer_norm_rms_epsilon").unwrap_or(1e-5) as f32,
            vocabulary,
            context: number("context_length")?,
        })
    }

    /// Bytes of keys and values of one token.
    pub fn kv_bytes(&self) -> usize {
        self.layers * self.kv_heads * self.head * 2 * 4
    }
}

fn rope_factor(gguf: &Gguf) -> Result<f64, EngineError> {
    match gguf.text("llama.rope.scaling.type") {
        None | Some("none") => Ok(1.0),
        Some("linear") => match gguf.float("llama.rope.scaling.factor") {
            Some(f) if f.is_finite() && f > 0.0 => Ok(f),
            other => Err(EngineError::Damaged(format!("llama.rope.scaling.factor is {other:?}"))),
        },
        Some(other) => Err(EngineError::Unsupported(format!("rotations scaled by `{other}`"))),
    }
}

/// The weights of a layer.
pub struct Layer {
    /// Norm before attention.
    pub attention_norm: Vec<f32>,
    /// Queries.
    pub q: Matrix,
    /// Keys.
    pub k: Matrix,
    /// Values.
    pub v: Matrix,
    /// From heads to the residual stream.
    pub out: Matrix,
    /// Norm before the feed-forward part.
    pub feed_norm: Vec<f32>,
    /// Gate.
    pub gate: Matrix,
    /// Up.
    pub up: Matrix,
    /// Down.
    pub down: Matrix,
}

/// A decoder with its weights.
pub struct Model {
    /// Its shape.
    pub shape: Shape,
    /// Token embeddings, a row a token.
    pub embedding: Matrix,
    /// Layers in order.
    pub layers: Vec<Layer>,
    /// Norm after the last layer.
    pub norm: Vec<f32>,
    /// To logits; absent where the embeddings serve.
    pub output: Option<Matrix>,
    /// Divisors of the rotation's frequencies, `rotated / 2` of them (Llama 3.1); all 1 where the file has none.
    pub rope_divisors: Vec<f32>,
}

/// Reads tensors one after another, so that one tensor's bytes are in memory at a time.
struct Loader<'a> {
    gguf: &'a Gguf,
    file: std::fs::File,
}

impl Loader<'_> {
    fn optional(&mut self, name: &str, rows: usize, columns: usize) -> Result<Option<Matrix>, EngineError> {
        let Some(info) = self.gguf.tensor(name)?.cloned() else { return Ok(None) };
        let bytes = self.gguf.read_tensor(&mut self.file, &info)?;
        Matrix::pack(name, &info, &bytes, rows, columns).map(Some)
    }

    fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<Matrix, EngineError> {
        self.optional(name, rows, columns)?.ok_or_else(|| missing(name))
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Option<Vec<f32>>, EngineError> {
        let Some(info) = self.gguf.tensor(name)?.cloned() else { return Ok(None) };
        if info.dims != [length] {
            return Err(EngineError::Damaged(format!("tensor `{name}` is {:?}, not [{length}]", info.dims)));
        }
        floats(name, &info, &self.gguf.read_tensor(&mut self.file, &info)?).map(Some)
    }

    fn norm(&mut self, name: &str, length: usize) -> Result<Vec<f32>, EngineError> {
        self.vector(name, length)?.ok_or_else(|| missing(name))
    }

    fn layer(&mut self, index: usize, shape: &Shape) -> Result<Layer, EngineError> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        for part in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"] {
            if self.gguf.tensor(&format!("blk.{index}.{part}.bias"))?.is_some() {
                return Err(EngineError::Unsupported(format!("biases (`blk.{index}.{part}.bias`)")));
            }
        }
        let (d, q, kv) = (shape.width, shape.heads * shape.head, shape.kv_heads * shape.head);
        Ok(Layer {
            attention_norm: self.norm(&name("attn_norm"), d)?,
            q: self.matrix(&name("attn_q"), q, d)?,
            k: self.matrix(&name("attn_k"), kv, d)?,
            v: self.matrix(&name("attn_v"), kv, d)?,
            out: self.matrix(&name("attn_output"), d, q)?,
            feed_norm: self.norm(&name("ffn_norm"), d)?,
            gate: self.matrix(&name("ffn_gate"), shape.inner, d)?,
            up: self.matrix(&name("ffn_up"), shape.inner, d)?,
            down: self.matrix(&name("ffn_down"), d, shape.inner)?,
        })
    }
}

fn missing(name: &str) -> EngineError {
    EngineError::Damaged(format!("tensor `{name}` is missing"))
}

impl Model {
    /// Loads the weights. Tensors that the decoder does not use are ignored.
    ///
    /// # Errors
    /// A tensor is missing, has another shape, or cannot be read.
    pub fn load(gguf: &Gguf) -> Result<Self, EngineError> {
        let shape = Shape::read(gguf)?;
        let mut loader = Loader { gguf, file: gguf.file()? };
        let (d, pairs) = (shape.width, shape.rotated / 2);
        let embedding = loader.matrix("token_embd.weight", shape.vocabulary, d)?;
        let output = loader.optional("output.weight", shape.vocabulary, d)?;
        let rope_divisors = loader.vector("rope_freqs.weight", pairs)?.unwrap_or_else(|| vec![1.0; pairs]);
        let norm = loader.norm("output_norm.weight", d)?;
        let layers = (0..shape.layers).map(|i| loader.layer(i, &shape)).collect::<Result<_, _>>()?;
        Ok(Self { shape, embedding, layers, norm, output, rope_divisors })
    }
}
