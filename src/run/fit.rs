//! `overflow: "truncate-oldest"`: a conversation that does not fit the context window loses its oldest messages, never in
//! silence.

use std::borrow::Cow;

use crate::event::Sink;
use crate::providers::{ErrorKind, ModelConfig, ProviderError};
use crate::value::{Message, Request, RequestInput, Role};

/// The request of a call, cut where it is allowed to be.
pub struct Fit<'a> {
    request: Cow<'a, Request>,
    may_cut: bool,
}

impl<'a> Fit<'a> {
    /// The request as it is asked for.
    pub fn new(config: &ModelConfig, request: &'a Request) -> Self {
        let may_cut = config.text("overflow").as_deref() == Some("truncate-oldest");
        Self { request: Cow::Borrowed(request), may_cut }
    }

    /// The request as it is to be sent.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Leaves out the oldest messages that may go, after a call that did not fit.
    ///
    /// # Errors
    /// The error itself: another one, one that nothing may be done about, or nothing is left to leave out.
    pub async fn shorten(&mut self, error: ProviderError, sink: &mut Sink) -> Result<(), ProviderError> {
        if error.kind != ErrorKind::Overflow {
            return Err(error);
        }
        if !self.may_cut {
            return Err(error.help("`overflow: \"truncate-oldest\"` on the model leaves out the oldest messages"));
        }
        let RequestInput::Messages(messages) = &mut self.request.to_mut().input else {
            return Err(error.help("a raw prompt has no messages that could be left out"));
        };
        let Some(range) = oldest(messages) else {
            return Err(error.help("only the system's and the last message are left: nothing more can be left out"));
        };
        let gone: Vec<Message> = messages.drain(range).collect();
        let letters: usize = gone.iter().map(|m| m.text.chars().count()).sum();
        let what = match gone.len() {
            1 => "the oldest message is".to_owned(),
            n => format!("the {n} oldest messages are"),
        };
        Ok(sink.notice(&format!("the prompt does not fit: {what} left out, {letters} characters")).await?)
    }
}

/// The oldest turn: from the first message that is not the system's up to the next of the user, the last message never
/// among them.
fn oldest(messages: &[Message]) -> Option<std::ops::Range<usize>> {
    let last = messages.len().checked_sub(1)?;
    let start = messages.iter().position(|m| m.role != Role::System).filter(|at| *at < last)?;
    let next = messages[start + 1..last].iter().position(|m| matches!(m.role, Role::User | Role::System));
    Some(start..next.map_or(last, |n| start + 1 + n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_turns_go_first() {
        let of = |roles: &str| {
            let role = |c| match c {
                's' => Role::System,
                'a' => Role::Assistant,
                _ => Role::User,
            };
            oldest(&roles.chars().map(|c| Message::new(role(c), "x")).collect::<Vec<_>>())
        };
        assert_eq!(of("suauau"), Some(1..3));
        assert_eq!(of("uau"), Some(0..2));
        assert_eq!(of("uuu"), Some(0..1));
        assert_eq!(of("saaau"), Some(1..4));
        assert_eq!(of("su"), None);
        assert_eq!(of("u"), None);
        assert_eq!(of(""), None);
    }
}
