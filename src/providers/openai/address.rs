//! Where the server is, which dialect it speaks, and whose key it gets.

use super::super::{ErrorKind, ModelConfig, ProviderError};
use super::dialect::Dialect;
use crate::config::Context;
use crate::net::BaseUrl;
use crate::value::{Secret, Value};

/// The variable that holds OpenAI's key.
pub const KEY: &str = "OPENAI_API_KEY";

/// The variable that says where the server is.
const BASE: &str = "OPENAI_BASE_URL";

/// A server.
pub struct Place {
    /// Its address, with its `/v1`.
    pub base: BaseUrl,
    /// What it speaks.
    pub dialect: Dialect,
    /// What said where it is, as ` (from OPENAI_BASE_URL)`; empty for the default.
    pub said_by: &'static str,
    /// The key that it gets.
    pub key: Option<Secret>,
    /// Whether the key is the environment's, named by no file.
    pub key_from_environment: bool,
    /// Headers of its own.
    pub headers: Vec<(&'static str, String)>,
}

/// The option `base_url`, else `OPENAI_BASE_URL`, else the dialect's own address.
///
/// # Errors
/// The address is none, or there is none.
pub fn find(config: &ModelConfig, context: &Context) -> Result<Place, ProviderError> {
    let named = config.text("dialect").and_then(|name| Dialect::from_name(&name));
    let (text, said_by) = match (config.text("base_url"), context.var(BASE)) {
        (Some(text), _) => (text, " (from `base_url`)"),
        (None, Some(text)) => (text.to_owned(), " (from OPENAI_BASE_URL)"),
        (None, None) => {
            let dialect = named.unwrap_or(Dialect::OpenAi);
            let Some(address) = dialect.address() else {
                let message = format!("`dialect: \"{}\"` needs an address", dialect.name());
                return Err(refused(message).help("`base_url: \"http://127.0.0.1:8080/v1\"` says where the server is"));
            };
            (address, "")
        }
    };
    let base = read(&text, named.unwrap_or(Dialect::Other)).map_err(|why| {
        let name = if said_by.contains(BASE) { BASE } else { "`base_url`" };
        refused(format!("{name}: {why}")).help("an address is https://host/v1, or http://127.0.0.1:8080/v1")
    })?;
    let own = is_openai(&base);
    let dialect = named.unwrap_or(if own { Dialect::OpenAi } else { Dialect::Other });
    let given = config.secret("api_key");
    // The environment's key goes to OpenAI, or to where the environment says; never to an address that a file names.
    let may = said_by != " (from `base_url`)" || own;
    let found = context.var(KEY).filter(|_| may && given.is_none() && dialect_takes_key(dialect));
    let key_from_environment = found.is_some();
    let key = given.or_else(|| found.map(|text| Secret::new(text.trim())));
    Ok(Place { base, dialect, said_by, key, key_from_environment, headers: Vec::new() })
}

/// Where GPT4All's server is: at its own address where the option says true.
///
/// # Errors
/// The address is none.
pub fn gpt4all(server: &Value) -> Result<Place, ProviderError> {
    let dialect = Dialect::Gpt4All;
    let (text, said_by) = match server.as_text() {
        Some(text) if !matches!(server, Value::Bool(_)) => (text.into_owned(), " (from `server`)"),
        _ => (dialect.address().unwrap_or_default(), ""),
    };
    let base = read(&text, dialect).map_err(|why| refused(format!("`server`: {why}")).help("write `server: true`"))?;
    Ok(Place { base, dialect, said_by, key: None, key_from_environment: false, headers: Vec::new() })
}

/// Servers of one's own machine get a key only where the file names one.
fn dialect_takes_key(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::OpenAi | Dialect::Other)
}

/// Whether a server is one of OpenAI's, or of Azure's that runs OpenAI's models.
pub fn is_openai(base: &BaseUrl) -> bool {
    let host = base.host().to_ascii_lowercase();
    ["api.openai.com", "openai.azure.com"]
        .iter()
        .any(|own| host == *own || host.strip_suffix(own).is_some_and(|rest| rest.ends_with('.')))
}

/// An address with the version that its paths begin with: as it is where one stands in it, else with `/v1`.
fn read(text: &str, dialect: Dialect) -> Result<BaseUrl, String> {
    let base = BaseUrl::parse(text, dialect.port())?;
    let base = base.without_suffix("/chat/completions").without_suffix("/completions").without_suffix("/embeddings");
    let version =
        |part: &str| part.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    Ok(if base.prefix().split('/').any(version) { base } else { base.with_suffix("/v1") })
}

fn refused(message: String) -> ProviderError {
    ProviderError::new(ErrorKind::Refused, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_and_without_their_version() {
        for (text, base) in [
            ("https://api.openai.com/v1", "https://api.openai.com:443/v1"),
            ("https://api.openai.com/v1/", "https://api.openai.com:443/v1"),
            ("https://api.openai.com", "https://api.openai.com:443/v1"),
            ("http://127.0.0.1:8080/v1/chat/completions", "http://127.0.0.1:8080/v1"),
            ("localhost", "http://localhost:80/v1"),
            ("http://host/llama/", "http://host:80/llama/v1"),
            ("https://host/openai/v1", "https://host:443/openai/v1"),
            ("https://host/v1beta/openai/", "https://host:443/v1beta/openai"),
            ("https://host/api/paas/v4", "https://host:443/api/paas/v4"),
        ] {
            assert_eq!(read(text, Dialect::Other).unwrap().to_string(), base, "{text}");
        }
        assert_eq!(read("localhost", Dialect::LmStudio).unwrap().to_string(), "http://localhost:1234/v1");
    }

    #[test]
    fn hosts_of_openai() {
        let own = |text: &str| is_openai(&BaseUrl::parse(text, 80).unwrap());
        assert!(own("https://api.openai.com/v1") && own("https://API.openai.com") && own("https://eu.api.openai.com"));
        assert!(own("https://me.openai.azure.com/openai/v1"));
        assert!(!own("https://api.openai.com.evil.example/v1") && !own("https://notapi.openai.com"));
        assert!(!own("http://127.0.0.1:8080"));
    }
}
