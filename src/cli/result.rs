//! Standard output: the result alone. A thread of its own writes it, so that a reader that stalls blocks nothing else.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};

use tokio::sync::{mpsc, oneshot};

/// Pieces that may wait for a slow reader.
const PIECES: usize = 16;

/// The most bytes that wait to become a piece.
const PIECE: usize = 8 << 10;

/// Nobody reads standard output any more.
#[derive(Debug)]
pub struct Closed;

/// Standard output.
pub struct Output {
    pieces: mpsc::Sender<Vec<u8>>,
    /// What is to be written next, until a piece of it is worth waking the thread for.
    pending: RefCell<Vec<u8>>,
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
        Self { pieces, pending: RefCell::default(), done, terminal: std::io::stdout().is_terminal() }
    }

    /// Writes a text, once [`Output::flush`] says so or enough of it came together; waits for a slow reader.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub async fn write(&self, text: &str) -> Result<(), Closed> {
        let enough = {
            let mut pending = self.pending.borrow_mut();
            pending.extend_from_slice(text.as_bytes());
            pending.len() >= PIECE
        };
        if enough { self.flush().await } else { Ok(()) }
    }

    /// Hands on what was written so far. Each piece wakes the thread that writes, which costs more than all else that is done
    /// for a piece of an answer.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub async fn flush(&self) -> Result<(), Closed> {
        let pending = std::mem::take(&mut *self.pending.borrow_mut());
        if pending.is_empty() { Ok(()) } else { self.pieces.send(pending).await.map_err(|_| Closed) }
    }

    /// Waits until all is written. Gives whether it was.
    pub async fn finish(self) -> bool {
        let _ = self.flush().await;
        drop(self.pieces);
        self.done.await.unwrap_or(false)
    }
}
