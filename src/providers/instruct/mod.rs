//! The option `instruct`: messages in a named format, for a model whose server has no chat template for it. The text goes the
//! way of a raw prompt, and the messages' own texts stay apart from the format's.

mod formats;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use self::formats::Format;
use self::formats::{FORMATS, Writer};
use super::{ErrorKind, ModelConfig, OptionKind, OptionSpec, ProviderError};
use crate::value::{Message, Request, RequestInput, Role, Segment};

/// What the option takes.
const NAMES: &[&str] = &["mistral", "llama2", "llama3", "chatml", "gemma", "phi3", "zephyr", "alpaca", "vicuna"];

/// The option of every provider that can send raw text.
pub static OPTIONS: &[OptionSpec] = &[OptionSpec::new(
    "instruct",
    OptionKind::Choice(NAMES),
    "send messages as raw text in this format, for a server without a chat template of the model",
)];

/// The format called `name`.
pub fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

/// What a model's option `instruct` says.
#[derive(Clone, Copy, Default)]
pub struct Instruct(Option<&'static Format>);

impl Instruct {
    /// Reads the option.
    pub fn of(config: &ModelConfig) -> Self {
        Self(config.text("instruct").and_then(|name| find(&name)))
    }

    /// The format, where the option names one.
    pub fn format(self) -> Option<&'static Format> {
        self.0
    }

    /// The request as it is sent: messages as raw text, where a format is named. Without the first token of a sequence,
    /// which servers write by themselves.
    ///
    /// # Errors
    /// The format has no form for the conversation.
    pub fn spoken(self, request: &Request) -> Result<Cow<'_, Request>, ProviderError> {
        let (Some(format), RequestInput::Messages(messages)) = (self.0, &request.input) else {
            return Ok(Cow::Borrowed(request));
        };
        let input = RequestInput::Raw(format.segments(messages)?);
        Ok(Cow::Owned(Request { input, constraint: request.constraint.clone() }))
    }

    /// The texts that end an answer: those of the file, and the format's own.
    pub fn stops(self, given: Vec<String>) -> Vec<String> {
        let mut stops = given;
        for end in self.0.map_or(&[][..], |format| format.ends) {
            if !stops.iter().any(|stop| stop == end) {
                stops.push((*end).to_owned());
            }
        }
        stops
    }
}

impl Format {
    /// A conversation as text of this format, ready for the answer: stretches of the format and of the messages.
    ///
    /// # Errors
    /// The format has no form for it.
    pub fn segments(&self, messages: &[Message]) -> Result<Vec<Segment>, ProviderError> {
        let error = |what: String| {
            ProviderError::new(ErrorKind::Prompt, format!("the format `{}` {what}", self.name))
                .help("leave `instruct:` out where the server has the model's own template")
        };
        if messages.is_empty() {
            return Err(ProviderError::new(ErrorKind::Prompt, "the prompt has no message")
                .help("a block whose text is empty is not sent"));
        }
        if let Some(image) = messages.iter().find_map(|m| m.images.first()) {
            return Err(error(format!("has no place for pictures, and the prompt shows `{}`", image.path)));
        }
        super::tools::none_in(messages, &format!("the format `{}`", self.name))?;
        let roles: Vec<Role> = messages.iter().map(|m| m.role).collect();
        if let Some(what) = self.refuses(&roles) {
            return Err(error(what));
        }
        let mut writer = Writer::default();
        (self.write)(messages, &mut writer);
        Ok(writer.segments)
    }

    /// Why the format has no form for messages of these roles; none where it has one.
    pub fn refuses(&self, roles: &[Role]) -> Option<String> {
        (self.refuses)(roles)
    }

    /// The first text of the format that a text holds, with its place in bytes.
    pub fn first_in(&self, text: &str) -> Option<(&'static str, std::ops::Range<usize>)> {
        let at = |token: &&'static str| text.find(token).map(|i| (*token, i..i + token.len()));
        self.tokens.iter().filter_map(at).min_by_key(|(_, range)| range.start)
    }
}
