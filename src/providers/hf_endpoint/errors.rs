//! What Hugging Face's router and inference endpoints refuse with, in words.

use super::super::openai::dialect::Dialect;
use super::super::openai::errors::Server;
use super::super::{ErrorKind, ProviderError};
use super::place;
use crate::net::{ErrorText, FailureKind};

/// What is missing where the router is asked without a token.
pub const NO_TOKEN: &str = "Hugging Face's router wants a token, and HF_TOKEN is not set in the environment";

/// The same as an error.
pub fn no_token() -> ProviderError {
    ProviderError::new(ErrorKind::Refused, NO_TOKEN)
        .help("make one at https://huggingface.co/settings/tokens that may call inference providers, and `export HF_TOKEN=…`")
        .help("or `hf auth login`; or `secret NAME` in the file and `api_key: NAME` on the model")
}

/// A status that means something of its own there; none where it means what it does elsewhere.
pub fn refusal(status: u16, text: &ErrorText, kind: FailureKind, server: &Server) -> Option<ProviderError> {
    let router = server.dialect == Dialect::Router;
    let own = place::is_hugging_face(&server.base);
    let words = if text.message.is_empty() { String::new() } else { format!(": {}", text.message) };
    let kind = if kind == FailureKind::Busy { ErrorKind::Busy } else { ErrorKind::Refused };
    let error = |what: &str| ProviderError::new(kind, format!("{} {what}{words}", server.at()));
    let unknown = |code: &str| matches!(code, "model_not_found" | "model_not_supported");
    Some(match status {
        401 => token(
            error(if server.has_key { "does not take the token (401)" } else { "wants a token (401)" }),
            server,
            own,
        ),
        402 => error("is not paid for (402)")
            .help("the month's included credits are used up: https://huggingface.co/settings/billing says what is left")
            .help("`bill_to: \"ORGANIZATION\"` bills another account; `local(…)` and `ollama(…)` cost nothing"),
        403 if own => error("refused (403)")
            .help("the token lacks the permission to call inference providers or this endpoint, or the model is gated")
            .help("the model's page on huggingface.co says how to be let in"),
        400 | 404 if router && (status == 404 || text.label("code").is_some_and(unknown)) => {
            error(&format!("serves no such model ({status})"))
                .help("the model's page on huggingface.co lists the inference providers that serve it, if any does")
                .help("`endpoint_url:` names an endpoint of one's own; `local(…)` runs a file here")
        }
        503 if text.details.as_ref().is_some_and(|d| d.get("estimated_time").is_some()) => {
            error("still loads the model (503)").help("`idle_timeout: 10m` on the model waits longer")
        }
        502 | 503 if own && !router => error(&format!("does not run yet ({status})")).help(
            "an endpoint that was scaled to zero takes minutes to start: `idle_timeout: 10m, retry: 5` waits for it",
        ),
        _ => return None,
    })
}

fn token(error: ProviderError, server: &Server, own: bool) -> ProviderError {
    match (server.has_key, own) {
        (true, true) => error
            .help("check the secret behind `api_key:`, HF_TOKEN, or what `hf auth whoami` says")
            .help("https://huggingface.co/settings/tokens shows which tokens are valid, and what each may do"),
        (true, false) => error.help("check the secret behind `api_key:`"),
        (false, true) => error.help("`export HF_TOKEN=…`, or `hf auth login`"),
        (false, false) => error
            .help("`secret NAME` in the file and `api_key: NAME` on the model send one")
            .help("Hugging Face's token goes to Hugging Face alone, unless the file says so"),
    }
}
