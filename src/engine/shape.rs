//! The numbers that describe a decoder, and what of them bounds its use.

use super::architectures::Architecture;
use super::error::EngineError;

/// The numbers that describe a decoder.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The family.
    pub architecture: &'static Architecture,
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
    /// Rotation pairs number `i` with `i + rotated/2`, not with its neighbour.
    pub halves: bool,
    /// Added to the mean square in norms.
    pub epsilon: f32,
    /// Queries are multiplied by this.
    pub attention_scale: f32,
    /// Scores are bent below this; 0 where they are not.
    pub attention_cap: f32,
    /// Logits are bent below this; 0 where they are not.
    pub logit_cap: f32,
    /// Embeddings are multiplied by this.
    pub embedding_scale: f32,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Longest context in tokens.
    pub context: usize,
    /// Frequencies of rotations, one list for each kind of layer: radians a position for each pair.
    pub ropes: Vec<Vec<f64>>,
    /// The layers in order.
    pub layers: Vec<LayerKind>,
}

/// What sets a layer apart from its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerKind {
    /// Which of [`Shape::ropes`] turns its heads; none where it does not rotate.
    pub rope: Option<usize>,
    /// Keys that a row sees, itself among them; none where it sees all.
    pub window: Option<usize>,
}

/// The largest of any dimension that is believed; keeps products of two far below overflow.
pub const MOST: u64 = 1 << 24;

/// The widest head, and the most heads and layers, that are believed.
const MOST_HEADS: usize = 4096;

impl Shape {
    /// Width of a head as the kernels see it: filled up with zeros to a multiple of 16.
    pub fn padded_head(&self) -> usize {
        self.head.next_multiple_of(super::kernels::LANES)
    }

    /// Bytes of keys and values of one token.
    pub fn kv_bytes(&self) -> usize {
        self.layers.len() * self.kv_heads * self.padded_head() * 2 * size_of::<f32>()
    }

    /// The shape, if its numbers fit each other.
    ///
    /// # Errors
    /// They do not.
    pub fn checked(self) -> Result<Self, EngineError> {
        let divides = self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads);
        let rotates = self.rotated <= self.head && self.rotated.is_multiple_of(2);
        let believed = self.head > 0 && self.head <= MOST_HEADS && self.heads <= MOST_HEADS;
        let finite = [self.epsilon, self.attention_scale, self.attention_cap, self.logit_cap, self.embedding_scale]
            .iter()
            .all(|x| x.is_finite());
        if divides && rotates && believed && finite && self.vocabulary > 0 && self.layers.len() <= MOST_HEADS {
            return Ok(self);
        }
        Err(EngineError::Damaged(format!(
            "{} heads, {} of keys, of width {}, {} rotated, {} layers, {} tokens",
            self.heads,
            self.kv_heads,
            self.head,
            self.rotated,
            self.layers.len(),
            self.vocabulary
        )))
    }
}

/// How a file stretches the rotation beyond the context that the model was trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stretch {
    /// Not at all.
    None,
    /// Positions are divided by this.
    Linear(f64),
    /// Llama 3.1: low frequencies are divided by `factor`, high ones are left, those between are blended.
    Llama3 {
        /// The divisor.
        factor: f64,
        /// Waves longer than the old context over this are low.
        low: f64,
        /// Waves shorter than the old context over this are high.
        high: f64,
        /// The old context in tokens.
        context: f64,
    },
}

/// Frequencies `base^(-2i/rotated)` of the pairs of a head, stretched, in radians a position (Su et al. 2021; the blend of
/// Llama 3.1 as its published code has it).
pub fn frequencies(base: f64, rotated: usize, stretch: Stretch) -> Vec<f64> {
    let plain = (0..rotated / 2).map(|i| libm::pow(base, -2.0 * i as f64 / rotated as f64));
    match stretch {
        Stretch::None => plain.collect(),
        Stretch::Linear(factor) => plain.map(|f| f / factor).collect(),
        Stretch::Llama3 { factor, low, high, context } => plain
            .map(|f| {
                let wave = 2.0 * std::f64::consts::PI / f;
                if wave < context / high {
                    f
                } else if wave > context / low {
                    f / factor
                } else {
                    let blend = (context / wave - low) / (high - low);
                    (1.0 - blend) * f / factor + blend * f
                }
            })
            .collect(),
    }
}
