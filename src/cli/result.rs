//! Standard output: the result alone. A thread of its own writes it, so that a reader that stalls blocks nothing else.

use std::io::{IsTerminal, Write};

use tokio::sync::{mpsc, oneshot};

use crate::value::Value;

/// Pieces that may wait for a slow reader.
const PIECES: usize = 16;

/// Nobody reads standard output any more.
#[derive(Debug)]
pub struct Closed;

/// Standard output.
pub struct Output {
    pieces: mpsc::Sender<Vec<u8>>,
    done: oneshot::Receiver<bool>,
    /// Whether it is a terminal.
    pub terminal: bool,
}

impl Output {
    /// Opens standard output.
    pub fn open() -> Self {
        let (pieces, mut reader) = mpsc::channel::<Vec<u8>>(PIECES);
        let (finished, done) = oneshot::channel();
        std::thread::spawn(move || {
            let mut out = std::io::stdout().lock();
            let mut fine = true;
            while let Some(piece) = reader.blocking_recv() {
                if out.write_all(&piece).and_then(|()| out.flush()).is_err() {
                    fine = false;
                    break;
                }
            }
            let _ = finished.send(fine);
        });
        Self { pieces, done, terminal: std::io::stdout().is_terminal() }
    }

    /// Writes a piece; waits for a slow reader.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub async fn write(&self, text: &str) -> Result<(), Closed> {
        if text.is_empty() {
            return Ok(());
        }
        self.pieces.send(text.as_bytes().to_vec()).await.map_err(|_| Closed)
    }

    /// Waits until all is written. Gives whether it was.
    pub async fn finish(self) -> bool {
        drop(self.pieces);
        self.done.await.unwrap_or(false)
    }
}

/// A value as standard output shows it; none for nothing.
pub fn text_of(value: &Value, json: bool, terminal: bool) -> Option<String> {
    let as_json = |value: &Value| {
        let json = match value {
            Value::Message(message) => serde_json::Value::from(message.text.as_str()),
            other => other.to_json(),
        };
        if terminal { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) }.unwrap_or_default()
    };
    if json {
        return Some(as_json(value));
    }
    match value {
        Value::Null => None,
        Value::Bool(b) => Some(b.to_string()),
        Value::Int(n) => Some(n.to_string()),
        Value::Float(_) => Some(value.to_json().to_string()),
        Value::Text(_) | Value::Message(_) | Value::Raw(_) => value.as_text().map(|t| t.into_owned()),
        Value::List(_) | Value::Map(_) | Value::Prompt(_) => Some(as_json(value)),
    }
}
