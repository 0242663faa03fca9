//! From values to what a model is asked with, and back to text.

use crate::diag::{Code, Diagnostic};
use crate::plan::{Cell, Examples, PromptPart, Ref, Rendering, Resolve, evaluate};
use crate::source::Span;
use crate::value::{Message, RequestInput, Role, Tainted, Value};

/// What a model is asked with for the value on its left; none for a value that is no prompt.
pub fn input(value: &Value, tainted: Option<Vec<Tainted>>) -> Option<RequestInput> {
    let user = |text: &str| {
        let mut message = Message::new(Role::User, text);
        // Text that no template of the file wrote is a value as a whole.
        message.tainted =
            tainted.clone().unwrap_or_else(|| vec![Tainted { name: "input".to_owned(), text: text.to_owned() }]);
        RequestInput::Messages(vec![message])
    };
    match value {
        Value::Text(text) => Some(user(text)),
        Value::Message(message) => Some(user(&message.text)),
        Value::Prompt(messages) => Some(RequestInput::Messages(messages.to_vec())),
        Value::Raw(segments) => Some(RequestInput::Raw(segments.to_vec())),
        _ => None,
    }
}

/// The messages of a prompt, rendered. A block that renders empty is not sent.
///
/// # Errors
/// A template that fails, or a history that holds what is no message.
pub fn messages(parts: &[PromptPart], resolve: &dyn Resolve) -> Result<Vec<Message>, Box<Diagnostic>> {
    let mut out = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            PromptPart::Message(role, rendering, pictures) => {
                let said = message(*role, rendering, resolve)?;
                let images = pictures.iter().map(|p| p.read(resolve)).collect::<Result<Vec<_>, _>>()?;
                out.extend(match said {
                    Some(said) => Some(Message { images, ..said }),
                    None if images.is_empty() => None,
                    None => Some(Message { images, ..Message::new(*role, "") }),
                });
            }
            PromptPart::Examples(examples) => out.extend(shots(examples, resolve)?),
            PromptPart::Messages(cell, span) => out.extend(history(cell, *span, resolve)?),
        }
    }
    Ok(out)
}

/// A role's message; none where it renders empty.
fn message(role: Role, rendering: &Rendering, resolve: &dyn Resolve) -> Result<Option<Message>, Box<Diagnostic>> {
    let rendered = rendering.render(resolve)?;
    let text = rendered.text();
    if text.trim().is_empty() {
        return Ok(None);
    }
    let mut message = Message::new(role, text);
    message.tainted = rendered.tainted;
    Ok(Some(message))
}

/// One row of examples, which its templates read as the frame's input.
struct Row<'r>(&'r Value);

impl Resolve for Row<'_> {
    fn resolve(&self, reference: &Ref) -> Option<Value> {
        matches!(reference, Ref::Input { up: 0 }).then(|| self.0.clone())
    }
}

/// The messages of examples, row after row.
fn shots(examples: &Examples, resolve: &dyn Resolve) -> Result<Vec<Message>, Box<Diagnostic>> {
    let rows = match evaluate(&examples.rows, resolve)? {
        Value::List(rows) => rows,
        other => {
            let message = format!("`examples` wants a list of maps, found {}", other.kind());
            return Err(Box::new(Diagnostic::error(Code::E211, examples.span, message)));
        }
    };
    let mut out = Vec::new();
    for row in examples.taken(&rows)? {
        for (role, rendering) in &examples.roles {
            out.extend(message(*role, rendering, &Row(row))?);
        }
    }
    Ok(out)
}

fn history(cell: &Cell, span: Span, resolve: &dyn Resolve) -> Result<Vec<Message>, Box<Diagnostic>> {
    let wrong = |what: String| Box::new(Diagnostic::error(Code::E211, span, what));
    let items = match evaluate(cell, resolve)? {
        Value::Prompt(messages) => messages.to_vec(),
        Value::List(items) => {
            let ty = crate::value::Type::Message;
            let mut out = Vec::with_capacity(items.len());
            for (i, item) in items.iter().enumerate() {
                match ty.accept(item) {
                    Ok(Value::Message(message)) => out.push((*message).clone()),
                    Ok(other) => return Err(wrong(format!("item {i} is {}, not a message", other.kind()))),
                    Err(e) => return Err(wrong(format!("item {i} is no message: {e}"))),
                }
            }
            out
        }
        other => return Err(wrong(format!("`messages` wants a list of messages, found {}", other.kind()))),
    };
    if let Some(i) = items.iter().position(|m| m.role == Role::System) {
        let diagnostic = wrong(format!("item {i} is a `system` message, and a history holds what was said"));
        return Err(Box::new(diagnostic.help("a `system` block of the prompt frames the model")));
    }
    Ok(items
        .into_iter()
        .map(|mut m| {
            let calls = m.calls.iter().flat_map(|call| [call.name.clone(), call.arguments_text()]);
            let texts = std::iter::once(m.text.clone()).chain(calls);
            m.tainted = texts.map(|text| Tainted { name: "messages".to_owned(), text }).collect();
            m
        })
        .collect())
}

/// A prompt as text, with no model in between: one message gives its text, several give `role: text` paragraphs.
pub fn fill(value: &Value) -> Option<String> {
    match value {
        Value::Prompt(messages) => Some(match messages.as_slice() {
            [one] => one.text.clone(),
            all => all.iter().map(|m| format!("{}: {}", m.role.name(), m.text)).collect::<Vec<_>>().join("\n\n"),
        }),
        other => other.as_text().map(|t| t.into_owned()),
    }
}
