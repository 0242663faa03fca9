//! A provider whose options are known and checked, and which this version does not speak to.

use std::sync::Arc;

use super::{BoxFuture, Caps, ErrorKind, ModelConfig, PROVIDERS, Prepared, Provider, ProviderError};
use crate::event::Sink;
use crate::value::{Answer, Request, Value};

/// Stands for a model of such a provider: it can be checked, and every call says what can be called instead.
pub struct Unspoken {
    /// The provider's name.
    pub provider: &'static str,
    /// What does nearly the same here.
    pub instead: &'static str,
}

impl Unspoken {
    /// Such a model behind the trait.
    pub fn provider(provider: &'static str, instead: &'static str) -> Arc<dyn Provider> {
        Arc::new(Self { provider, instead })
    }

    fn sentence(&self) -> String {
        format!("this version of chainrun does not speak to `{}` yet", self.provider)
    }

    fn error(&self) -> ProviderError {
        let spoken: Vec<String> = PROVIDERS.iter().filter(|s| s.spoken).map(|s| format!("`{}`", s.name)).collect();
        ProviderError::new(ErrorKind::Unspoken, self.sentence())
            .help(format!("it speaks to {}", spoken.join(", ")))
            .help(self.instead)
    }
}

/// What is wrong with options of any server that speaks to many models: one that stands by itself and again inside
/// `options`, and `repeatable: true`, which such a server has no means for.
///
/// # Errors
/// One of these.
pub fn check(config: &ModelConfig) -> Result<(), ProviderError> {
    if let Some(Value::Map(extra)) = config.value("options") {
        for spec in config.spec.all_options().filter(|o| config.options.contains_key(o.name)) {
            if let Some(key) = extra.keys().find(|k| k.as_str() == spec.name || k.as_str() == spec.wire) {
                let message = format!("`{}` is given twice: by itself and as `{key}` inside `options`", spec.name);
                return Err(ProviderError::new(ErrorKind::Refused, message).help("leave one of them out"));
            }
        }
    }
    if config.bool("repeatable") == Some(true) {
        return Err(super::options::not_repeatable(config.spec.name));
    }
    Ok(())
}

impl Provider for Unspoken {
    fn caps(&self) -> Caps {
        Caps { concurrency: 1, context: None }
    }

    fn prepare(&self, _: &Request) -> Result<Prepared, ProviderError> {
        Err(self.error())
    }

    fn generate<'a>(
        &'a self,
        _: &'a Request,
        _: &'a Prepared,
        _: &'a mut Sink,
    ) -> BoxFuture<'a, Result<Answer, ProviderError>> {
        Box::pin(async { Err(self.error()) })
    }

    fn missing(&self) -> Option<String> {
        Some(self.sentence())
    }
}
