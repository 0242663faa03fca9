//! What `/api/show` says of a model: what it can do, its window, its template.

use serde_json::Value as Json;

use crate::providers::control;

/// What a server says of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// What it can do (`completion`, `vision`, `tools`, `thinking`, `insert`, `embedding`); none of an old server.
    pub capabilities: Option<Vec<String>>,
    /// The context window that it was made for, in tokens.
    pub context: Option<u64>,
    /// Where it runs, for a model of the cloud.
    pub remote_host: Option<String>,
    /// The control tokens of its own template; none where they cannot be seen, as with a built-in renderer.
    pub control: Option<Vec<String>>,
}

impl Shown {
    /// Reads an answer of `/api/show`; none where it is none.
    pub fn read(body: &[u8]) -> Option<Self> {
        let json: Json = serde_json::from_slice(body).ok().filter(Json::is_object)?;
        let text = |key: &str| json.get(key).and_then(Json::as_str).filter(|t| !t.is_empty());
        let list = json.get("capabilities").and_then(Json::as_array);
        let capabilities = list.map(|all| all.iter().filter_map(|c| c.as_str().map(str::to_owned)).collect());
        let info = json.get("model_info");
        let architecture = info.and_then(|i| i.get("general.architecture")).and_then(Json::as_str).unwrap_or_default();
        let context = info.and_then(|i| i.get(format!("{architecture}.context_length"))).and_then(Json::as_u64);
        // A built-in renderer takes the template's place. Servers before 0.33 name it in the Modelfile alone.
        let in_file = text("modelfile").is_some_and(|file| file.lines().any(|line| line.starts_with("RENDERER ")));
        let control = match text("renderer").is_some() || in_file {
            true => None,
            false => text("template").map(control::in_template).filter(|tokens| !tokens.is_empty()),
        };
        Some(Self { capabilities, context, remote_host: text("remote_host").map(str::to_owned), control })
    }

    /// Whether the model lacks something, as far as the server tells what it can do.
    pub fn lacks(&self, capability: &str) -> bool {
        self.capabilities.as_ref().is_some_and(|all| !all.is_empty() && !all.iter().any(|c| c == capability))
    }

    /// What it can do, as a message lists it.
    pub fn abilities(&self) -> String {
        self.capabilities.as_deref().unwrap_or_default().join(", ")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The JSON of a recorded answer, whose chunked body stands on one line.
    fn recorded(http: &str) -> Shown {
        Shown::read(http.lines().find(|l| l.starts_with('{')).unwrap().as_bytes()).unwrap()
    }

    #[test]
    fn recorded_answers() {
        let plain = recorded(include_str!("../../../tests/data/wire/ollama032_show.http"));
        assert_eq!(plain.capabilities.as_deref(), Some(&["completion".to_owned()][..]));
        assert_eq!((plain.context, plain.remote_host), (Some(8192), None));
        assert_eq!(plain.control.unwrap(), ["<|im_start|>", "<|im_end|>"]);
        let own = recorded(include_str!("../../../tests/data/wire/ollama032_show_template.http"));
        assert_eq!(own.control.unwrap(), ["[INST]", "[/INST]"]);
        let rendered = recorded(include_str!("../../../tests/data/wire/ollama032_show_renderer.http"));
        assert_eq!(rendered.control, None);
        let small = recorded(include_str!("../../../tests/data/wire/ollama032_minilm_show.http"));
        assert!(small.lacks("completion") && !small.lacks("embedding"));
        assert_eq!((small.abilities().as_str(), small.context, small.control), ("embedding", Some(512), None));
    }

    #[test]
    fn answers_of_old_servers_and_of_others() {
        let old = Shown::read(br#"{"modelfile":"","template":"{{ .Prompt }}","details":{}}"#).unwrap();
        assert_eq!(old, Shown::default());
        assert!(!old.lacks("vision"));
        assert_eq!(Shown::read(b"<html>"), None);
        assert_eq!(Shown::read(b"[]"), None);
        let cloud = Shown::read(br#"{"remote_host":"https://ollama.com:443","capabilities":null}"#).unwrap();
        assert_eq!(cloud.remote_host.as_deref(), Some("https://ollama.com:443"));
    }
}
