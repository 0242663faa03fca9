//! Where a model of Hugging Face is, and whose token goes there.

use std::path::PathBuf;

use super::super::openai::address::Place;
use super::super::openai::dialect::Dialect;
use super::super::{ModelConfig, ProviderError};
use super::refused;
use crate::config::Context;
use crate::net::BaseUrl;
use crate::value::Secret;

/// Hugging Face's router to its inference providers.
const ROUTER: &str = "https://router.huggingface.co";

/// The variable that says where the router is, for a network with one of its own.
const BASE: &str = "HF_INFERENCE_ENDPOINT";

/// The host that Hugging Face's hosted models had until 2025.
const OLD_HOST: &str = "api-inference.huggingface.co";

/// Variables that hold a token, in the order in which Hugging Face's own tools and LangChain look.
const TOKENS: &[&str] = &["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN"];

/// The longest time for which an endpoint's proxy holds a call while the endpoint starts, in seconds.
const SCALE_UP: u64 = 600;

/// A place that is asked.
pub struct Where {
    /// The address as it is given, where text generation is.
    pub base: BaseUrl,
    /// Whether it is the router.
    pub router: bool,
    /// The model's name there.
    pub model: String,
    /// What said where it is.
    pub said_by: &'static str,
    /// The token that goes there.
    pub token: Option<Secret>,
    /// Whether no file names that token.
    pub token_found: bool,
    /// Headers besides.
    pub headers: Vec<(&'static str, String)>,
}

impl Where {
    /// Where its chat is: as given if the address is that of chat completions, else behind `/v1`.
    pub fn chat(&self) -> Place {
        let base = self.base.clone();
        let base = match base.prefix() {
            prefix if prefix.ends_with("/chat/completions") => base.without_suffix("/chat/completions"),
            prefix if prefix.ends_with("/v1") => base,
            _ => base.with_suffix("/v1"),
        };
        Place {
            base,
            dialect: if self.router { Dialect::Router } else { Dialect::Endpoint },
            said_by: self.said_by,
            key: self.token.clone(),
            key_from_environment: self.token_found,
            headers: self.headers.clone(),
        }
    }
}

/// The endpoint that the file names, else the router.
///
/// # Errors
/// The address is none, or one that is no longer there; options that do not go together.
pub fn find(config: &ModelConfig, context: &Context) -> Result<Where, ProviderError> {
    let endpoint = config.text("endpoint_url");
    let router = endpoint.is_none();
    let (text, said_by) = match (endpoint, context.var(BASE)) {
        (Some(url), _) => (url, " (from `endpoint_url`)"),
        (None, Some(url)) => (url.to_owned(), " (from HF_INFERENCE_ENDPOINT)"),
        (None, None) => (ROUTER.to_owned(), ""),
    };
    let name = if router { BASE } else { "`endpoint_url`" };
    if text.contains(OLD_HOST) {
        let message = format!("{name}: `{OLD_HOST}` is no longer there: Hugging Face moved its models in 2025");
        let error = refused(message);
        return Err(if router {
            error.help(format!("`unset {BASE}`: models are behind {ROUTER}"))
        } else {
            error.help("leave `endpoint_url:` out and name the repository: `hf-endpoint(\"OWNER/NAME\")`")
        });
    }
    let base = BaseUrl::parse(&text, 80).map_err(|e| {
        refused(format!("{name}: {e}"))
            .help("an address is https://….endpoints.huggingface.cloud; a key goes into `api_key:`")
    })?;
    let mut headers = Vec::new();
    let mut model = config.model();
    if router {
        if let Some(provider) = config.text("provider") {
            if model.contains(':') {
                let message = format!("`{model}` names a provider already, and `provider: \"{provider}\"` another");
                return Err(refused(message).help("leave one of them out"));
            }
            model = format!("{model}:{}", provider.trim());
        }
        headers.extend(config.text("bill_to").map(|name| ("X-HF-Bill-To", name.trim().to_owned())));
    } else {
        for option in ["provider", "bill_to"] {
            if config.options.contains_key(option) {
                let message =
                    format!("`{option}:` chooses behind Hugging Face's router, and `endpoint_url:` goes past it");
                return Err(refused(message).help("leave one of them out"));
            }
        }
        if model.is_empty() {
            // An endpoint has one model, and asks for a name all the same.
            "dummy".clone_into(&mut model);
        }
        if base.host().ends_with(".endpoints.huggingface.cloud") {
            let seconds = config.idle_timeout().as_secs().clamp(1, SCALE_UP);
            headers.push(("X-Scale-Up-Timeout", seconds.to_string()));
        }
    }
    let given = config.secret("api_key");
    let found = if given.is_none() && is_hugging_face(&base) && base.is_https() { token(context) } else { None };
    let token_found = found.is_some();
    Ok(Where { base, router, model, said_by, token: given.or(found), token_found, headers })
}

/// The token of the environment, else that which `hf auth login` wrote.
fn token(context: &Context) -> Option<Secret> {
    let clean = |text: &str| Some(text.trim().to_owned()).filter(|t| !t.is_empty());
    let variable = TOKENS.iter().find_map(|name| clean(context.var(name)?));
    let file = || clean(&std::fs::read_to_string(token_file(context)?).ok()?);
    variable.or_else(file).map(Secret::new)
}

fn token_file(context: &Context) -> Option<PathBuf> {
    if let Some(path) = context.var("HF_TOKEN_PATH") {
        return Some(context.cwd.join(path));
    }
    let home = match (context.var("HF_HOME"), context.var("XDG_CACHE_HOME")) {
        (Some(home), _) => context.cwd.join(home),
        (None, Some(cache)) => context.cwd.join(cache).join("huggingface"),
        (None, None) => {
            let home = context.var("HOME").or_else(|| context.var("USERPROFILE"))?;
            PathBuf::from(home).join(".cache/huggingface")
        }
    };
    Some(home.join("token"))
}

/// Whether a host is Hugging Face's, so that its token may go there.
pub fn is_hugging_face(base: &BaseUrl) -> bool {
    let host = base.host().to_ascii_lowercase();
    ["huggingface.co", "hf.co", "endpoints.huggingface.cloud"]
        .iter()
        .any(|own| host == *own || host.strip_suffix(own).is_some_and(|rest| rest.ends_with('.')))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_may_see_the_token() {
        let own = |text: &str| is_hugging_face(&BaseUrl::parse(text, 80).unwrap());
        assert!(own(ROUTER) && own("https://a.us-east-1.aws.endpoints.huggingface.cloud") && own("https://HF.co"));
        assert!(!own("https://nothf.co") && !own("https://huggingface.co.evil.example") && !own("http://127.0.0.1"));
        assert!(!own("https://huggingface.cloud"));
    }

    #[test]
    fn where_the_chat_of_an_address_is() {
        for (given, chat) in [
            ("https://a.b", "https://a.b:443/v1/chat/completions"),
            ("https://a.b/v1/", "https://a.b:443/v1/chat/completions"),
            ("https://a.b/v1/chat/completions", "https://a.b:443/v1/chat/completions"),
            ("https://a.b/chat/completions", "https://a.b:443/chat/completions"),
            ("http://a.b:8080/tgi", "http://a.b:8080/tgi/v1/chat/completions"),
        ] {
            let base = BaseUrl::parse(given, 80).unwrap();
            let place = Where {
                base,
                router: false,
                model: String::new(),
                said_by: "",
                token: None,
                token_found: false,
                headers: Vec::new(),
            };
            assert_eq!(place.chat().base.at("/chat/completions"), chat, "{given}");
        }
    }
}
