//! The shape of a decoder from the `config.json` of a checkpoint of the hub (transformers' configuration classes).

use serde_json::Value;

use super::architectures::Architecture;
use super::error::EngineError;
use super::shape::{LayerKind, MOST, Shape, Stretch, frequencies};
use super::shape_gguf;

struct Config<'a>(&'a Value);

impl Config<'_> {
    fn optional(&self, keys: &[&str]) -> Result<Option<usize>, EngineError> {
        let Some((key, value)) = keys.iter().find_map(|k| Some((k, self.0.get(*k).filter(|v| !v.is_null())?))) else {
            return Ok(None);
        };
        match value.as_u64() {
            Some(n) if n <= MOST => Ok(Some(n as usize)),
            _ => Err(EngineError::Damaged(format!("`{key}` in config.json is {value}"))),
        }
    }

    fn number(&self, keys: &[&str]) -> Result<usize, EngineError> {
        match self.optional(keys)? {
            Some(n) if n > 0 => Ok(n),
            _ => Err(EngineError::Damaged(format!("`{}` in config.json is missing or 0", keys[0]))),
        }
    }

    fn float(&self, key: &str) -> Option<f64> {
        self.0.get(key)?.as_f64()
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    fn is_true(&self, key: &str) -> bool {
        self.0.get(key).and_then(Value::as_bool) == Some(true)
    }
}

/// Reads the shape.
///
/// # Errors
/// The architecture is none that this engine runs, or a variant that it does not; numbers are missing or absurd.
pub fn read(config: &Value) -> Result<Shape, EngineError> {
    let c = Config(config);
    let name = c.text("model_type").unwrap_or("");
    let Some(architecture) = Architecture::of_hub(name) else {
        let names = Architecture::names();
        return Err(EngineError::Unsupported(format!("models of type `{name}` (these are: {names})")));
    };
    supported(&c, architecture)?;
    let width = c.number(&["hidden_size", "n_embd"])?;
    let heads = c.number(&["num_attention_heads", "n_head"])?;
    let head = c.optional(&["head_dim"])?.unwrap_or(width / heads);
    let rotated = (head as f64 * partial(&c)) as usize;
    let ropes = ropes(&c, architecture, rotated)?;
    let inner = c.optional(&["intermediate_size", "n_inner"])?.unwrap_or(4 * width);
    let epsilon = c.float("rms_norm_eps").or_else(|| c.float("layer_norm_epsilon")).unwrap_or(1e-6);
    let scale = c.float("query_pre_attn_scalar").unwrap_or(head as f64);
    let count = c.number(&["num_hidden_layers", "n_layer"])?;
    Shape {
        architecture,
        width,
        inner,
        heads,
        kv_heads: c.optional(&["num_key_value_heads"])?.unwrap_or(heads),
        head,
        rotated,
        halves: true,
        epsilon: epsilon as f32,
        attention_scale: (1.0 / scale.sqrt()) as f32,
        attention_cap: c.float("attn_logit_softcapping").unwrap_or(0.0) as f32,
        logit_cap: c.float("final_logit_softcapping").unwrap_or(0.0) as f32,
        embedding_scale: if architecture.scaled_embedding { (width as f64).sqrt() as f32 } else { 1.0 },
        vocabulary: c.number(&["vocab_size"])?,
        context: c.number(&["max_position_embeddings", "n_positions", "n_ctx"])?,
        layers: layers(&c, architecture, count, ropes.len())?,
        ropes,
    }
    .checked()
}

/// Refuses what the decoder would compute otherwise than the checkpoint was made for.
fn supported(c: &Config<'_>, of: &Architecture) -> Result<(), EngineError> {
    let wanted: &[&str] = match of.activation {
        super::architectures::Activation::Silu => &["silu", "swish"],
        super::architectures::Activation::Gelu => &["gelu_pytorch_tanh", "gelu_new", "gelu_fast"],
    };
    let keys = ["hidden_activation", "hidden_act", "activation_function"];
    if let Some(found) = keys.iter().find_map(|k| c.text(k))
        && !wanted.contains(&found)
    {
        return Err(EngineError::Unsupported(format!("the activation `{found}` in a `{}` model", of.hub[0])));
    }
    for key in ["scale_attn_by_inverse_layer_idx", "use_bidirectional_attention", "add_cross_attention"] {
        if c.is_true(key) {
            return Err(EngineError::Unsupported(format!("`{key}` in config.json")));
        }
    }
    if let Some(method) = c.0.get("quantization_config") {
        let name = method.get("quant_method").and_then(Value::as_str).unwrap_or("unknown");
        return Err(EngineError::Unsupported(format!("checkpoints that are quantised by `{name}`; take a GGUF file")));
    }
    Ok(())
}

/// The settings of rotations: newer files have `rope_parameters`, for all layers or by kind of layer; older ones
/// `rope_theta` and `rope_scaling`.
fn settings<'a>(c: &Config<'a>, kind: &str) -> Option<&'a Value> {
    let all = c.0.get("rope_parameters").filter(|v| !v.is_null())?;
    Some(all.get(kind).unwrap_or(all))
}

fn partial(c: &Config<'_>) -> f64 {
    let inside = settings(c, "full_attention").and_then(|s| s.get("partial_rotary_factor")?.as_f64());
    inside.or_else(|| c.float("partial_rotary_factor")).unwrap_or(1.0).clamp(0.0, 1.0)
}

fn ropes(c: &Config<'_>, of: &Architecture, rotated: usize) -> Result<Vec<Vec<f64>>, EngineError> {
    let of_kind = |kind: &str, base: Option<f64>| {
        let settings = settings(c, kind);
        let inside = settings.and_then(|s| s.get("rope_theta")?.as_f64());
        let base = inside.or(base).unwrap_or(10_000.0);
        let scaling = settings.or_else(|| c.0.get("rope_scaling").filter(|v| !v.is_null() && kind == "full_attention"));
        Ok(frequencies(base, rotated, scaling.map_or(Ok(Stretch::None), stretch)?))
    };
    let mut out = vec![of_kind("full_attention", c.float("rope_theta"))?];
    if let Some(own) = of.window_rope_base {
        out.push(of_kind("sliding_attention", c.float("rope_local_base_freq").or(Some(own)))?);
    }
    Ok(out)
}

fn stretch(settings: &Value) -> Result<Stretch, EngineError> {
    let kind = settings.get("rope_type").or_else(|| settings.get("type")).and_then(Value::as_str).unwrap_or("default");
    let number = |key: &str| match settings.get(key).and_then(Value::as_f64) {
        Some(n) if n.is_finite() && n > 0.0 => Ok(n),
        _ => Err(EngineError::Damaged(format!("`{key}` of the rotations in config.json is missing or not above 0"))),
    };
    match kind {
        "default" => Ok(Stretch::None),
        "linear" => Ok(Stretch::Linear(number("factor")?)),
        "llama3" => Ok(Stretch::Llama3 {
            factor: number("factor")?,
            low: number("low_freq_factor")?,
            high: number("high_freq_factor")?,
            context: number("original_max_position_embeddings")?,
        }),
        other => Err(EngineError::Unsupported(format!("rotations scaled by `{other}`"))),
    }
}

fn layers(c: &Config<'_>, of: &Architecture, count: usize, ropes: usize) -> Result<Vec<LayerKind>, EngineError> {
    let off = c.0.get("use_sliding_window").and_then(Value::as_bool) == Some(false);
    let window = c.optional(&["sliding_window"])?.filter(|w| *w > 0 && !off);
    let mut layers = shape_gguf::layers(of, count, window, ropes);
    if let Some(kinds) = c.0.get("layer_types").and_then(Value::as_array) {
        for (layer, kind) in layers.iter_mut().zip(kinds) {
            match kind.as_str() {
                Some("full_attention") => layer.window = None,
                Some("sliding_attention") => layer.window = window,
                _ => return Err(EngineError::Unsupported(format!("layers of type {kind}"))),
            }
            if ropes > 1 {
                layer.rope = layer.rope.map(|_| usize::from(layer.window.is_some()));
            }
        }
    }
    if let Some(rotates) = c.0.get("no_rope_layers").and_then(Value::as_array) {
        for (layer, rotates) in layers.iter_mut().zip(rotates) {
            layer.rope = (rotates.as_u64() != Some(0)).then_some(0);
        }
    }
    Ok(layers)
}
