//! `fake` as an embedder, for users' tests: vectors made of a text's words, the same everywhere.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::spec::{EMBEDDER_OPTIONS, RATE_OPTIONS, SERVER_OPTIONS};
use super::{
    Batches, BoxFuture, Build, Effect, Embedder, Embeddings, Enforcement, ErrorKind, ModelConfig, OptionKind,
    OptionSpec, ProviderError, Spec,
};
use crate::config::Context;
use crate::event::Sink;
use crate::value::Usage;

/// The description of `fake` as an embedder.
pub static EMBEDDER: Spec = Spec {
    name: "fake",
    doc: "vectors that count the words of a text, for tests: texts that share words are near",
    argument: OptionSpec::new("argument", OptionKind::Text, "there is none: the words alone make the vector"),
    argument_required: false,
    instead: &[],
    options: &[OPTIONS, SERVER_OPTIONS, RATE_OPTIONS, EMBEDDER_OPTIONS],
    explained: &[
        ("echo", "an embedder answers nothing: leave it out"),
        ("chunks", "vectors do not stream: leave it out"),
    ],
    enforces: |_, _| Enforcement::Never("an embedder answers nothing".to_owned()),
    build: Build::Embedder(build),
};

/// Dimensions unless the file says otherwise.
const DIMENSIONS: i64 = 64;

static OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("dimensions", OptionKind::Int(1, 65_536), "how many numbers a vector has").default("64"),
    OptionSpec { effect: Effect::Call, ..OptionSpec::new("delay", OptionKind::Duration, "the wait before each batch") },
    OptionSpec { effect: Effect::Call, ..OptionSpec::new("fail", OptionKind::Text, "fail with this reason") },
    OptionSpec {
        effect: Effect::Call,
        ..OptionSpec::new("fail_on", OptionKind::Text, "fail where a batch holds a text with this in it")
    },
];

struct FakeEmbedder {
    dimensions: usize,
    delay: Duration,
    idle: Duration,
    fail: Option<String>,
    fail_on: Option<String>,
    batches: Batches,
}

fn build(config: &ModelConfig, _: &Arc<Context>) -> Result<Arc<dyn Embedder>, ProviderError> {
    if config.argument.is_some() {
        return Err(ProviderError::new(ErrorKind::Refused, "`fake` as an embedder takes no argument without a name")
            .help("its vectors are made of the words of the texts: `fake(dimensions: 64)`"));
    }
    Ok(Arc::new(FakeEmbedder {
        dimensions: usize::try_from(config.int("dimensions").unwrap_or(DIMENSIONS)).unwrap_or(1),
        delay: config.duration("delay").unwrap_or_default(),
        idle: config.idle_timeout(),
        fail: config.text("fail"),
        fail_on: config.text("fail_on").filter(|text| !text.is_empty()),
        batches: Batches { texts: config.batch(), at_once: 4 },
    }))
}

impl Embedder for FakeEmbedder {
    fn batches(&self) -> Batches {
        self.batches
    }

    fn identity(&self) -> BoxFuture<'_, Result<String, ProviderError>> {
        Box::pin(async move { Ok(json!({ "provider": "fake", "dimensions": self.dimensions }).to_string()) })
    }

    fn embed<'a>(&'a self, texts: &'a [String], _: &'a mut Sink) -> BoxFuture<'a, Result<Embeddings, ProviderError>> {
        Box::pin(async move {
            if !self.delay.is_zero() {
                tokio::time::sleep(self.delay.min(self.idle)).await;
            }
            if self.delay > self.idle {
                let message = format!("the fake embedder gave nothing for {:?}", self.idle);
                return Err(ProviderError::new(ErrorKind::TimedOut, message)
                    .help("`idle_timeout:` on the embedder waits longer"));
            }
            let scripted = |reason: String| Err(ProviderError::new(ErrorKind::Scripted, reason));
            if let Some(reason) = &self.fail {
                return scripted(reason.clone());
            }
            if let Some(part) = self.fail_on.as_deref().filter(|part| texts.iter().any(|text| text.contains(part))) {
                return scripted(format!("a text holds {part:?}, and `fail_on:` says to fail on that"));
            }
            let mut words = 0;
            let vectors = texts.iter().map(|text| vector(text, self.dimensions, &mut words)).collect();
            let usage = Usage { input: Some(words), output: None, cached: None };
            Ok(Embeddings { vectors, model: "fake".to_owned(), usage })
        })
    }
}

/// The vector of a text: for each of its words, in small letters, 1 more in the dimension that the word's digest names.
fn vector(text: &str, dimensions: usize, words: &mut u64) -> Vec<f32> {
    let mut out = vec![0.0; dimensions];
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        *words += 1;
        let at = (fnv(word.to_lowercase().as_bytes()) % dimensions as u64) as usize;
        out[at] += 1.0;
    }
    out
}

/// FNV-1a in 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_make_the_vector() {
        let mut words = 0;
        let made = vector("A potato, a tuber", 64, &mut words);
        assert_eq!((made.len(), words, made.iter().sum::<f32>()), (64, 4, 4.0));
        assert_eq!(made, vector("tuber a POTATO a!", 64, &mut words));
        assert_ne!(made, vector("a leaf", 64, &mut words));
        assert_eq!(vector("…", 3, &mut words), [0.0; 3]);
        // The published value for "a".
        assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
