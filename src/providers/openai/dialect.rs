//! The servers that speak OpenAI's API, and how each differs: names, what it has, what it refuses or ignores.

use crate::value::Constraint;

/// A server's way to speak OpenAI's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's own service, and gateways to it.
    OpenAi,
    /// A server that nobody named: what most of them know is sent.
    Other,
    /// llama.cpp's `llama-server`.
    LlamaServer,
    /// vLLM.
    Vllm,
    /// Text Generation Inference.
    Tgi,
    /// LM Studio.
    LmStudio,
    /// Ollama's `/v1`.
    Ollama,
    /// The server of GPT4All's desktop program, which refuses whatever it does not know.
    Gpt4All,
    /// Hugging Face's router, behind which are the servers of many makers.
    Router,
    /// An inference endpoint: TGI, vLLM or llama.cpp, which of them it does not say.
    Endpoint,
}

use Dialect::{Endpoint, Gpt4All, LlamaServer, LmStudio, Ollama, OpenAi, Other, Router, Tgi, Vllm};

/// What the option `dialect` takes.
pub const NAMES: &[&str] = &["openai", "llama-server", "vllm", "tgi", "lmstudio", "ollama", "gpt4all"];

/// How an answer is held to a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaForm {
    /// `json_schema` with OpenAI's strict subset: an object at the root, every field required.
    Strict,
    /// `json_schema`, with an object at the root.
    Object,
    /// `json_schema`, with any value at the root.
    Any,
    /// TGI's own form, which holds the schema as `value`; with an object at the root.
    Value,
}

impl Dialect {
    /// The dialect that `dialect` names.
    pub fn from_name(name: &str) -> Option<Self> {
        [OpenAi, LlamaServer, Vllm, Tgi, LmStudio, Ollama, Gpt4All].into_iter().find(|d| d.name() == name)
    }

    /// What the option calls it.
    pub fn name(self) -> &'static str {
        match self {
            OpenAi => "openai",
            Other | Router | Endpoint => "",
            LlamaServer => "llama-server",
            Vllm => "vllm",
            Tgi => "tgi",
            LmStudio => "lmstudio",
            Ollama => "ollama",
            Gpt4All => "gpt4all",
        }
    }

    /// What messages call the server.
    pub fn title(self) -> &'static str {
        match self {
            OpenAi => "OpenAI",
            Other => "the server",
            LlamaServer => "llama-server",
            Vllm => "vLLM",
            Tgi => "TGI",
            LmStudio => "LM Studio",
            Ollama => "Ollama",
            Gpt4All => "GPT4All",
            Router => "Hugging Face's router",
            Endpoint => "the endpoint",
        }
    }

    /// The option that says where the server is.
    pub fn place_option(self) -> &'static str {
        match self {
            Gpt4All => "server",
            Router | Endpoint => "endpoint_url",
            _ => "base_url",
        }
    }

    /// Whether it is one of `hf-endpoint`.
    pub fn is_hugging_face(self) -> bool {
        matches!(self, Router | Endpoint)
    }

    /// The port of an address that names none.
    pub fn port(self) -> u16 {
        match self {
            OpenAi | Other | Tgi | Router | Endpoint => 80,
            LlamaServer => 8080,
            Vllm => 8000,
            LmStudio => 1234,
            Ollama => 11434,
            Gpt4All => 4891,
        }
    }

    /// Where it is unless somebody says so; none where it has no place of its own.
    pub fn address(self) -> Option<String> {
        match self {
            OpenAi => Some("https://api.openai.com/v1".to_owned()),
            Other | Tgi | Router | Endpoint => None,
            local => Some(format!("http://127.0.0.1:{}/v1", local.port())),
        }
    }

    /// Whether answers stream.
    pub fn streams(self) -> bool {
        self != Gpt4All
    }

    /// Whether it completes raw text as it stands. Ollama's `/v1/completions` puts a chat template around it.
    pub fn completes(self) -> bool {
        self != Ollama
    }

    /// What an option is called on the wire; none where the server has none such, or ignores it.
    pub fn wire(self, option: &str) -> Option<&'static str> {
        let has = |dialects: &[Dialect], name: &'static str| dialects.contains(&self).then_some(name);
        let not = |dialects: &[Dialect], name: &'static str| (!dialects.contains(&self)).then_some(name);
        match option {
            "temperature" => Some("temperature"),
            "top_p" => Some("top_p"),
            "max_tokens" if self == OpenAi => Some("max_completion_tokens"),
            "max_tokens" => Some("max_tokens"),
            "stop" => not(&[Gpt4All], "stop"),
            "seed" => not(&[Gpt4All], "seed"),
            "presence_penalty" => not(&[Gpt4All], "presence_penalty"),
            "frequency_penalty" => not(&[Gpt4All], "frequency_penalty"),
            "top_k" => has(&[Other, LlamaServer, Vllm, LmStudio, Router, Endpoint], "top_k"),
            "min_p" => has(&[Other, LlamaServer, Vllm, Gpt4All, Router, Endpoint], "min_p"),
            "repeat_penalty" if matches!(self, Vllm | Router | Endpoint) => Some("repetition_penalty"),
            "repeat_penalty" => has(&[Other, LlamaServer, LmStudio], "repeat_penalty"),
            "typical_p" => has(&[Endpoint], "typical_p"),
            "logit_bias" => not(&[Gpt4All, Tgi, Ollama], "logit_bias"),
            "reasoning_effort" => has(&[OpenAi, Other, LlamaServer, Vllm, Ollama], "reasoning_effort"),
            "verbosity" => has(&[OpenAi, Other], "verbosity"),
            "service_tier" => has(&[OpenAi, Other], "service_tier"),
            "store" => has(&[OpenAi, Other], "store"),
            "metadata" => has(&[OpenAi, Other], "metadata"),
            "prompt_cache_key" => has(&[OpenAi, Other], "prompt_cache_key"),
            "safety_identifier" => has(&[OpenAi, Other], "safety_identifier"),
            _ => None,
        }
    }

    /// How it holds an answer to a schema; none where it cannot.
    pub fn schema_form(self) -> Option<SchemaForm> {
        match self {
            OpenAi | Other | Router => Some(SchemaForm::Strict),
            Vllm | LmStudio | Endpoint => Some(SchemaForm::Object),
            LlamaServer | Ollama => Some(SchemaForm::Any),
            Tgi => Some(SchemaForm::Value),
            Gpt4All => None,
        }
    }

    /// Why it holds no answer to a constraint; none where it does.
    pub fn lacks(self, constraint: &Constraint) -> Option<&'static str> {
        match (constraint, self) {
            (Constraint::Regex(_), Gpt4All) => Some("GPT4All holds no answer to a regular expression"),
            (_, Gpt4All) => Some("GPT4All holds no answer to a schema"),
            (Constraint::Json, Tgi) => Some("TGI takes a schema and no JSON without one"),
            (Constraint::Json, Endpoint) => {
                Some("an endpoint may be TGI, which takes a schema and no JSON without one")
            }
            (Constraint::Json, LmStudio) => Some("LM Studio takes a schema and no JSON without one"),
            (Constraint::Regex(_), Vllm | Tgi) => None,
            (Constraint::Regex(_), _) => Some("`response_format` takes no regular expression"),
            _ => None,
        }
    }

    /// Whether it can be asked for the same text to the same prompt.
    pub fn repeats(self) -> bool {
        self == LlamaServer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_dialect() {
        for name in NAMES {
            assert_eq!(Dialect::from_name(name).map(Dialect::name), Some(*name));
        }
        assert_eq!(Dialect::from_name(""), None);
    }

    #[test]
    fn limits_of_tokens_and_penalties_have_each_servers_name() {
        let names = |option| [OpenAi, Other, LlamaServer, Vllm, Tgi, LmStudio, Ollama, Gpt4All].map(|d| d.wire(option));
        let max = Some("max_tokens");
        assert_eq!(names("max_tokens"), [Some("max_completion_tokens"), max, max, max, max, max, max, max]);
        let penalty = Some("repeat_penalty");
        assert_eq!(
            names("repeat_penalty"),
            [None, penalty, penalty, Some("repetition_penalty"), None, penalty, None, None]
        );
        assert_eq!(names("stop")[7], None);
    }
}
