//! What traces know of a call besides its events.

/// A server that a call goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its host, an IPv6 address without brackets.
    pub address: String,
    /// Its port.
    pub port: u16,
}

/// What is known of an embedder that is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbedderFacts {
    /// Its name in the file.
    pub name: String,
    /// The provider's name.
    pub provider: &'static str,
    /// The model's name.
    pub model: String,
    /// The server that the texts go to; none for a model inside the process.
    pub server: Option<Server>,
}

/// A message as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Who says it: `system`, `user`, `assistant` or `tool`.
    pub role: &'static str,
    /// What is said.
    pub text: String,
}

/// What is known of a call when it begins. Texts are redacted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallFacts {
    /// The model's name in the file, else its provider's.
    pub name: String,
    /// Whether the prompt is raw text, and no messages.
    pub raw: bool,
    /// The server that it goes to; none for a model inside the process.
    pub server: Option<Server>,
    /// Options that the file, the command line or the environment give, by their own names, those alone that change an
    /// answer.
    pub options: Vec<(&'static str, serde_json::Value)>,
    /// How long it waited for a limit of its model before it began, in seconds.
    pub waited: f64,
    /// The whole prompt, where somebody shows it.
    pub messages: Vec<Said>,
}

impl CallFacts {
    /// The value of an option.
    pub fn option(&self, name: &str) -> Option<&serde_json::Value> {
        self.options.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }
}
