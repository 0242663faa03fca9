//! Embedders: models that turn texts into vectors.

use super::{BoxFuture, ProviderError};
use crate::event::Sink;
use crate::net::BaseUrl;
use crate::value::{Secret, Usage};

/// How texts go to an embedder; pure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batches {
    /// The most texts of one request.
    pub texts: usize,
    /// Requests that may be in flight at a time.
    pub at_once: usize,
}

/// The vectors of one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    /// One vector for each text, in the order of the texts, as the embedder gives them: of any length, not yet of
    /// length 1.
    pub vectors: Vec<Vec<f32>>,
    /// The model's name as the provider gives it.
    pub model: String,
    /// Token counts, where the provider knows them.
    pub usage: Usage,
}

/// A model that turns texts into vectors.
pub trait Embedder: Send + Sync {
    /// How many texts a request takes, and how many requests at a time; pure.
    fn batches(&self) -> Batches;

    /// What its vectors are known by: provider, model, and whatever else changes them (its digest where the server tells
    /// it, dimensions). Vectors of different identities cannot be compared. No secret is part of it. May ask the server,
    /// once a run.
    ///
    /// # Errors
    /// The server cannot be asked.
    fn identity(&self) -> BoxFuture<'_, Result<String, ProviderError>>;

    /// Makes one request of at most [`Batches::texts`] texts. A text that does not fit the model is an error, never cut.
    /// Tries are the run's. Dropping the future cancels the request.
    ///
    /// # Errors
    /// As those of [`Provider::generate`](super::Provider::generate).
    fn embed<'a>(&'a self, texts: &'a [String], sink: &'a mut Sink)
    -> BoxFuture<'a, Result<Embeddings, ProviderError>>;

    /// The server that sees the texts; none for a model inside this process.
    fn server(&self) -> Option<&BaseUrl> {
        None
    }

    /// Secrets that it took from the environment by itself, where no file names them: nothing may print them.
    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }

    /// What keeps it from running now, where that is known from this machine alone.
    fn missing(&self) -> Option<String> {
        None
    }
}

impl Embeddings {
    /// Whether the vectors fit the texts they were asked for: as many of them, all of one dimension above 0, finite.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn check(&self, texts: usize) -> Result<(), String> {
        if self.vectors.len() != texts {
            return Err(format!("{} vectors came for {texts} texts", self.vectors.len()));
        }
        let Some(first) = self.vectors.first() else { return Ok(()) };
        for (i, vector) in self.vectors.iter().enumerate() {
            if vector.is_empty() {
                return Err(format!("vector {i} is empty"));
            }
            if vector.len() != first.len() {
                return Err(format!("vector {i} has {} dimensions, vector 0 has {}", vector.len(), first.len()));
            }
            if !vector.iter().all(|x| x.is_finite()) {
                return Err(format!("vector {i} holds what is no number"));
            }
        }
        Ok(())
    }
}

/// The longest of some texts in words, for the message of one that does not fit.
pub(super) fn longest(texts: &[String]) -> String {
    let longest = texts.iter().max_by_key(|text| text.len());
    let (letters, begin) =
        longest.map_or((0, String::new()), |text| (text.chars().count(), text.chars().take(40).collect()));
    format!("the longest has {letters} characters and begins {begin:?}")
}

/// A vector of JSON's numbers.
pub(super) fn numbers(json: &serde_json::Value) -> Option<Vec<f32>> {
    json.as_array()?.iter().map(|x| x.as_f64().map(|x| x as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_that_do_not_fit() {
        let of = |vectors: &[&[f32]], texts| {
            let vectors = vectors.iter().map(|v| v.to_vec()).collect();
            Embeddings { vectors, ..Embeddings::default() }.check(texts)
        };
        assert_eq!(of(&[&[1.0, 2.0], &[0.0, 0.0]], 2), Ok(()));
        assert_eq!(of(&[], 0), Ok(()));
        assert_eq!(of(&[&[1.0]], 2), Err("1 vectors came for 2 texts".to_owned()));
        assert_eq!(of(&[&[1.0], &[1.0, 2.0]], 2), Err("vector 1 has 2 dimensions, vector 0 has 1".to_owned()));
        assert_eq!(of(&[&[]], 1), Err("vector 0 is empty".to_owned()));
        assert_eq!(of(&[&[f32::NAN]], 1), Err("vector 0 holds what is no number".to_owned()));
    }
}
