//! Answers of embeddings, as far as those of OpenAI's API and of Hugging Face's feature extraction are alike.

use serde_json::Value as Json;

use super::super::embed::longest;
use super::super::{ErrorKind, ProviderError};
use super::link::Link;
use super::{errors, refused};
use crate::net::{ErrorText, Response};

/// The most bytes of a text's vectors as JSON: 65,536 numbers of 24 bytes.
const VECTOR: usize = 65_536 * 24;

impl Link {
    /// The JSON of an answer with the vectors of so many texts.
    ///
    /// # Errors
    /// It is larger than such an answer can be, no JSON, or an error with the status of success.
    pub async fn embeddings(&self, response: &mut Response, texts: usize) -> Result<Json, ProviderError> {
        let server = &self.server;
        let bytes = response.body((texts + 1) * VECTOR).await.map_err(|f| errors::from_failure(f, server))?;
        let json: Json =
            serde_json::from_slice(&bytes).map_err(|e| self.broken(&format!("no answer of embeddings: {e}")))?;
        if json.get("error").is_some_and(|e| !e.is_null()) {
            let text = ErrorText::from_json(&json);
            return Err(refused(format!("{} refused: {}", server.at(), text.message)));
        }
        Ok(json)
    }

    /// The error of an answer that is not what it should be.
    pub fn broken(&self, what: &str) -> ProviderError {
        ProviderError::new(ErrorKind::Broken, format!("{} sent {what}", self.server.at()))
    }

    /// The error of texts of which one does not fit the model.
    pub fn text_too_long(&self, texts: &[String], said: &str) -> ProviderError {
        let message = format!("a text does not fit `{}`: {}; {said}", self.server.model, longest(texts));
        ProviderError::new(ErrorKind::Overflow, message)
            .help("`split(chars: 800)` before it makes pieces; a text is never cut in silence")
    }
}
