//! The shape of a decoder from the metadata of a GGUF file.

use super::architectures::Architecture;
use super::error::EngineError;
use super::gguf::{Gguf, Meta};
use super::shape::{LayerKind, MOST, Shape, Stretch, frequencies};

/// Metadata under the architecture's own prefix.
struct Keys<'a> {
    gguf: &'a Gguf,
    prefix: &'a str,
}

impl Keys<'_> {
    fn optional(&self, key: &str) -> Result<Option<usize>, EngineError> {
        match self.gguf.uint(&format!("{}.{key}", self.prefix)) {
            Some(n) if n <= MOST => Ok(Some(n as usize)),
            Some(n) => Err(EngineError::Damaged(format!("{}.{key} is {n}", self.prefix))),
            None => Ok(None),
        }
    }

    fn number(&self, key: &str) -> Result<usize, EngineError> {
        match self.optional(key)? {
            Some(0) => Err(EngineError::Damaged(format!("{}.{key} is 0", self.prefix))),
            Some(n) => Ok(n),
            None => Err(EngineError::Damaged(format!("{}.{key} is missing", self.prefix))),
        }
    }

    fn float(&self, key: &str) -> Option<f64> {
        self.gguf.float(&format!("{}.{key}", self.prefix))
    }

    fn stretch(&self) -> Result<Stretch, EngineError> {
        match self.gguf.text(&format!("{}.rope.scaling.type", self.prefix)) {
            None | Some("none") => Ok(Stretch::None),
            Some("linear") => match self.float("rope.scaling.factor") {
                Some(f) if f.is_finite() && f > 0.0 => Ok(Stretch::Linear(f)),
                other => Err(EngineError::Damaged(format!("{}.rope.scaling.factor is {other:?}", self.prefix))),
            },
            Some(other) => Err(EngineError::Unsupported(format!("rotations scaled by `{other}`"))),
        }
    }
}

/// Reads the shape.
///
/// # Errors
/// The architecture is none that this engine runs, or a variant that it does not; numbers are missing or absurd.
pub fn read(gguf: &Gguf) -> Result<Shape, EngineError> {
    let name = gguf.text("general.architecture").unwrap_or("");
    let Some(architecture) = Architecture::of_gguf(name) else {
        let names = Architecture::names();
        return Err(EngineError::Unsupported(format!("models of architecture `{name}` (these are: {names})")));
    };
    let keys = Keys { gguf, prefix: name };
    if keys.optional("expert_count")?.unwrap_or(0) > 0 {
        return Err(EngineError::Unsupported("mixtures of experts".to_owned()));
    }
    let (width, heads) = (keys.number("embedding_length")?, keys.number("attention.head_count")?);
    let kv_heads = keys.optional("attention.head_count_kv")?.unwrap_or(heads);
    let head = keys.optional("attention.key_length")?.unwrap_or(width / heads);
    if keys.optional("attention.value_length")?.is_some_and(|v| v != head) {
        return Err(EngineError::Unsupported("values of another width than keys".to_owned()));
    }
    let rotated = keys.optional("rope.dimension_count")?.unwrap_or(head);
    let base = keys.float("rope.freq_base").unwrap_or(10_000.0);
    let mut ropes = vec![frequencies(base, rotated, keys.stretch()?)];
    if let Some(own) = architecture.window_rope_base {
        // What stretches the context is for the layers that see all of it.
        ropes.push(frequencies(keys.float("rope.freq_base_swa").unwrap_or(own), rotated, Stretch::None));
    }
    let window = keys.optional("attention.sliding_window")?.filter(|w| *w > 0);
    let norm =
        if architecture.layer_norm { "attention.layer_norm_epsilon" } else { "attention.layer_norm_rms_epsilon" };
    let context = keys.number("context_length")?;
    let shape = Shape {
        architecture,
        width,
        inner: keys.number("feed_forward_length")?,
        heads,
        kv_heads,
        head,
        rotated,
        halves: architecture.gguf_pairs_halves,
        epsilon: keys.float(norm).unwrap_or(1e-5) as f32,
        attention_scale: (1.0 / (head as f64).sqrt()) as f32,
        attention_cap: keys.float("attn_logit_softcapping").unwrap_or(0.0) as f32,
        logit_cap: keys.float("final_logit_softcapping").unwrap_or(0.0) as f32,
        embedding_scale: if architecture.scaled_embedding { (width as f64).sqrt() as f32 } else { 1.0 },
        vocabulary: gguf.list("tokenizer.ggml.tokens").map_or(0, <[Meta]>::len),
        context,
        layers: layers(architecture, keys.number("block_count")?, window, ropes.len()),
        ropes,
    };
    // The largest Gemma models divide by the width of the model's share of a head instead.
    let largest = (name == "gemma3" && shape.layers.len() == 62) || (name == "gemma2" && shape.layers.len() == 46);
    let scale = if largest { (1.0 / ((width / heads) as f64).sqrt()) as f32 } else { shape.attention_scale };
    Shape { attention_scale: scale, ..shape }.checked()
}

/// The layers of a family by its own rules.
pub fn layers(of: &Architecture, count: usize, window: Option<usize>, ropes: usize) -> Vec<LayerKind> {
    let kind = |layer| {
        let window = window.filter(|_| (of.windowed)(layer));
        let rope = usize::from(window.is_some() && ropes > 1);
        LayerKind { rope: Some(rope).filter(|_| !of.learned_positions && (of.rotates)(layer)), window }
    };
    (0..count).map(kind).collect()
}
