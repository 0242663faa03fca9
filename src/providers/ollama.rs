//! stub
use super::{ErrorKind, ModelConfig, OptionKind, OptionSpec, Provider, ProviderError, Spec};
use crate::config::Context;
use std::sync::Arc;
/// x
pub static SPEC: Spec = Spec {
    name: "x",
    doc: "",
    argument: OptionSpec::new("model", OptionKind::Text, ""),
    argument_required: true,
    options: &[],
    explained: &[],
    build,
};
fn build(_: &ModelConfig, _: &Arc<Context>) -> Result<Arc<dyn Provider>, ProviderError> {
    Err(ProviderError::new(ErrorKind::Weights, ""))
}
