//! `repeatable: true`: the same text to the same prompt. What a loaded model was asked before changes what it answers, so
//! it is unloaded before each call, and calls of the same model wait for one another.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tokio::sync::OwnedMutexGuard;

use super::{Ollama, errors};
use crate::providers::{ErrorKind, ProviderError};

/// The longest wait for a model to be unloaded.
const UNLOADED_WITHIN: Duration = Duration::from_secs(30);

/// The wait between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// One lock for each model of each server that this process asks.
type Locks = Mutex<HashMap<(String, String), Arc<tokio::sync::Mutex<()>>>>;

static LOCKS: LazyLock<Locks> = LazyLock::new(Locks::default);

/// Held for the time of a call that must be alone.
pub struct Alone(#[allow(dead_code, reason = "it is dropped, never read")] OwnedMutexGuard<()>);

impl Ollama {
    /// Waits until no call of this process is at the model, and unloads it.
    ///
    /// # Errors
    /// The model stays loaded, or the offline rule forbids to ask.
    pub(super) async fn fresh(&self) -> Result<Alone, ProviderError> {
        let name = (self.link.server.base.to_string(), self.link.server.model.clone());
        let lock = LOCKS.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default().clone();
        let alone = Alone(lock.lock_owned().await);
        let body = json!({ "model": self.link.server.model, "keep_alive": 0 });
        // Where this fails the call itself fails too, and says more.
        if self.link.aside("/api/generate", Some(&body)).await?.is_none() {
            return Ok(alone);
        }
        let until = Instant::now() + UNLOADED_WITHIN;
        while let Some(answer) = self.link.aside("/api/ps", None).await? {
            if !loaded(&answer, &self.link.server.model) {
                break;
            }
            if Instant::now() > until {
                let (model, base) = (&self.link.server.model, &self.link.server.base);
                let message = format!("Ollama at {base} keeps {model} loaded, and `repeatable` wants it loaded anew");
                return Err(ProviderError::new(ErrorKind::Busy, message)
                    .help("another program may be using it: `ollama ps` shows what is loaded"));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(alone)
    }
}

/// Whether an answer of `/api/ps` lists a model. Names without a tag mean the tag `latest`.
fn loaded(answer: &[u8], model: &str) -> bool {
    let json: Json = serde_json::from_slice(answer).unwrap_or_default();
    let models = json.get("models").and_then(Json::as_array).into_iter().flatten();
    models.filter_map(|m| m.get("name")?.as_str()).any(|name| errors::same_model(name, model))
}

#[cfg(test)]
mod tests {
    use super::loaded;

    #[test]
    fn names_with_and_without_a_tag() {
        let answer = br#"{"models":[{"name":"llama3.2:latest"},{"name":"hf.co/a/b:Q4"}]}"#;
        assert!(loaded(answer, "llama3.2") && loaded(answer, "Llama3.2:latest") && loaded(answer, "hf.co/a/b:q4"));
        assert!(!loaded(answer, "llama3.2:1b") && !loaded(br#"{"models":[]}"#, "x") && !loaded(b"?", "x"));
    }
}
