//! What stands for a model or an embedder that lacks something, where it may never be called: a call says what it lacks.

use std::sync::Arc;

use super::{Batches, BoxFuture, Caps, Embedder, Embeddings, Prepared, Provider, ProviderError};
use crate::event::Sink;
use crate::value::{Answer, Request};

struct Sealed(ProviderError);

/// A model whose every call fails so.
pub fn sealed(error: ProviderError) -> Arc<dyn Provider> {
    Arc::new(Sealed(error))
}

/// An embedder whose every call fails so.
pub fn sealed_embedder(error: ProviderError) -> Arc<dyn Embedder> {
    Arc::new(Sealed(error))
}

impl Provider for Sealed {
    fn caps(&self) -> Caps {
        Caps { concurrency: 64, context: None }
    }

    fn prepare(&self, _: &Request) -> Result<Prepared, ProviderError> {
        Err(self.0.clone())
    }

    fn generate<'a>(
        &'a self,
        _: &'a Request,
        _: &'a Prepared,
        _: &'a mut Sink,
    ) -> BoxFuture<'a, Result<Answer, ProviderError>> {
        Box::pin(async { Err(self.0.clone()) })
    }
}

impl Embedder for Sealed {
    fn batches(&self) -> Batches {
        Batches { texts: 32, at_once: 1 }
    }

    fn identity(&self) -> BoxFuture<'_, Result<String, ProviderError>> {
        Box::pin(async { Err(self.0.clone()) })
    }

    fn embed<'a>(&'a self, _: &'a [String], _: &'a mut Sink) -> BoxFuture<'a, Result<Embeddings, ProviderError>> {
        Box::pin(async { Err(self.0.clone()) })
    }
}
