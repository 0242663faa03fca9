//! What is said to a model, and what it answers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Constraint, Image, ToolCall, ToolReply};

/// Who speaks in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The frame that the model works in.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// What a tool answered.
    Tool,
}

impl Role {
    /// The role's name in files and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
    }

    /// The role called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Role::System, Role::User, Role::Assistant, Role::Tool].into_iter().find(|r| r.name() == name)
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub text: String,
    /// Pictures that stand with it.
    pub images: Vec<Image>,
    /// Set where a model of this run said it.
    pub answer: Option<Arc<Answer>>,
    /// Calls of tools that the assistant asked for.
    pub calls: Vec<ToolCall>,
    /// Which call a tool's message answers, where it is said.
    pub reply: Option<ToolReply>,
    /// Values that were rendered into the text, with the names they came from.
    pub tainted: Vec<Tainted>,
}

impl Message {
    /// A message without a history.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            text: text.into(),
            images: Vec::new(),
            answer: None,
            calls: Vec::new(),
            reply: None,
            tainted: Vec::new(),
        }
    }
}

/// A value that a template printed: control tokens are looked for in it before a server that would obey them gets it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tainted {
    /// The variable or field, as written in the template.
    pub name: String,
    /// The text of its value.
    pub text: String,
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// It ended by itself or met a stop string.
    Stop,
    /// It was cut by `max_tokens` or the context window.
    Length,
    /// It asks for tools, and goes on once it has their answers.
    ToolCalls,
    /// Something else that the server named, or nothing.
    Other,
}

impl Finish {
    /// The name that `.finish` of a message gives.
    pub fn name(self) -> &'static str {
        match self {
            Finish::Stop => "stop",
            Finish::Length => "length",
            Finish::ToolCalls => "tool_calls",
            Finish::Other => "other",
        }
    }
}

/// Token counts of one call, where the provider knows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub input: Option<u64>,
    /// Tokens of the answer.
    pub output: Option<u64>,
    /// Tokens of the prompt that were not computed anew, as what came before begins alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<u64>,
}

/// What a model answered, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The answer's text.
    pub text: String,
    /// What the model thought aloud, where the server tells it apart.
    pub reasoning: Option<String>,
    /// Calls of tools that it asks for. None is executed.
    pub tool_calls: Vec<ToolCall>,
    /// The model's name as the provider gives it.
    pub model: String,
    /// Why it stopped.
    pub finish: Finish,
    /// Token counts.
    pub usage: Usage,
    /// Wall time of the call in seconds.
    pub seconds: f64,
}

/// A stretch of a raw prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// The text.
    pub text: String,
    /// Whether a value printed it. Control tokens count only where the file wrote them.
    pub from_value: bool,
}

/// What a model is asked with.
#[derive(Clone, Debug, PartialEq)]
pub enum RequestInput {
    /// A conversation, which goes through the model's chat template.
    Messages(Vec<Message>),
    /// Text that goes out as it stands; the values printed into it are kept apart.
    Raw(Vec<Segment>),
}

/// One call of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The prompt.
    pub input: RequestInput,
    /// What the parser behind the model would have the answer obey.
    pub constraint: Option<Constraint>,
}
