//! Where the makers of servers say what an option means, and the real servers at which options were tried.

/// A page or file of those who make a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// What the reference calls it.
    pub title: &'static str,
    /// Its address.
    pub url: &'static str,
}

const fn source(title: &'static str, url: &'static str) -> Source {
    Source { title, url }
}

/// Ollama's API, every request with its fields.
pub const OLLAMA_API: Source = source("Ollama's API", "https://github.com/ollama/ollama/blob/main/docs/api.md");

/// The options of Ollama's models with their types and defaults.
pub const OLLAMA_OPTIONS: Source =
    source("Ollama's `api.Options`", "https://github.com/ollama/ollama/blob/main/api/types.go");

/// What ollama.com asks of a client.
pub const OLLAMA_CLOUD: Source = source("Ollama's authentication", "https://docs.ollama.com/api/authentication");

/// OpenAI's chat completions.
pub const OPENAI_CHAT: Source =
    source("OpenAI, chat completions", "https://platform.openai.com/docs/api-reference/chat/create");

/// OpenAI's embeddings.
pub const OPENAI_EMBEDDINGS: Source =
    source("OpenAI, embeddings", "https://platform.openai.com/docs/api-reference/embeddings/create");

/// OpenAI's headers.
pub const OPENAI_KEYS: Source =
    source("OpenAI, authentication", "https://platform.openai.com/docs/api-reference/authentication");

/// llama.cpp's server.
pub const LLAMA_SERVER: Source =
    source("llama-server", "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md");

/// vLLM's server.
pub const VLLM: Source = source("vLLM", "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html");

/// The API of Text Generation Inference.
pub const TGI: Source =
    source("TGI", "https://github.com/huggingface/text-generation-inference/blob/main/docs/openapi.json");

/// The API of Text Embeddings Inference.
pub const TEI: Source = source("TEI", "https://huggingface.github.io/text-embeddings-inference/");

/// Hugging Face's router.
pub const ROUTER: Source = source("Inference Providers", "https://huggingface.co/docs/inference-providers/index");

/// Feature extraction behind Hugging Face's router.
pub const FEATURES: Source = source(
    "Inference Providers, feature extraction",
    "https://huggingface.co/docs/inference-providers/tasks/feature-extraction",
);

/// Tokens of Hugging Face.
pub const HF_TOKENS: Source = source("Hugging Face, tokens", "https://huggingface.co/docs/hub/security-tokens");

/// The server of GPT4All's desktop program.
pub const GPT4ALL: Source =
    source("GPT4All's `server.cpp`", "https://github.com/nomic-ai/gpt4all/blob/main/gpt4all-chat/src/server.cpp");

/// Ollama with llama-server inside.
pub const OLLAMA_SERVER: &str = "Ollama 0.32.15";

/// The same by OpenAI's API.
pub const OLLAMA_V1: &str = "Ollama 0.32.15 (`/v1`)";

/// llama.cpp's server.
pub const LLAMA_SERVER_BUILD: &str = "llama-server (llama.cpp 0.6.0-dev)";

/// A server of Python around llama.cpp.
pub const LLAMA_CPP_PYTHON: &str = "llama-cpp-python 0.3.36";

/// vLLM on a processor.
pub const VLLM_SERVER: &str = "vLLM 0.32.0";

/// TGI's own router with a stand-in for the model behind it.
pub const TGI_ROUTER: &str = "TGI 3.3.6-dev0's router";

/// The same, asked for a chat.
pub const TGI_CHAT: &str = "TGI 3.3.6-dev0's router (chat)";
