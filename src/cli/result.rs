//! Standard output: the result alone. A thread of its own writes it, so that a reader that stalls blocks nothing else.

use std::io::{IsTerminal, Write};

use tokio::sync::{mpsc, oneshot};

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
