//! Secrets in a text that comes in pieces.

use std::sync::Arc;

use super::{Secret, redact};

/// Takes secrets out of a text that comes in pieces: what may be the beginning of one is held back until it is known.
pub struct Veil {
    secrets: Arc<[Secret]>,
    held: String,
}

impl Veil {
    /// A veil before a text that has not begun.
    pub fn new(secrets: Arc<[Secret]>) -> Self {
        Self { secrets, held: String::new() }
    }

    /// What may be shown of the text once this piece is there.
    pub fn push(&mut self, piece: &str) -> String {
        if self.secrets.is_empty() {
            return piece.to_owned();
        }
        self.held.push_str(piece);
        let mut shown = redact(&self.held, &self.secrets);
        let kept = shown.len() - self.beginning(&shown);
        self.held = shown.split_off(kept);
        shown
    }

    /// The rest, once the text is whole.
    pub fn end(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// The length of the longest end of `text` that a secret begins with.
    fn beginning(&self, text: &str) -> usize {
        let of = |secret: &Secret| {
            let secret = secret.expose();
            let most = secret.len().saturating_sub(1).min(text.len());
            (1..=most).rev().find(|n| text.as_bytes().ends_with(&secret.as_bytes()[..*n])).unwrap_or(0)
        };
        let longest = self.secrets.iter().map(of).max().unwrap_or(0);
        // A secret begins with a whole character, so its beginning may only end within one.
        if text.is_char_boundary(text.len() - longest) { longest } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_however_it_is_cut() {
        let secrets: Arc<[Secret]> = Arc::new([Secret::new("s3cr3t-välue"), Secret::new("tok")]);
        for text in ["a s3cr3t-välue b", "s3cr3t-välue", "s3cr3t-", "to tok token s3s3cr3t-välue", "s3cr3t-vä", ""]
        {
            let letters: Vec<char> = text.chars().collect();
            for size in 1..=letters.len().max(1) {
                let mut veil = Veil::new(secrets.clone());
                let pieces: Vec<String> =
                    letters.chunks(size).map(|c| veil.push(&c.iter().collect::<String>())).collect();
                let out = pieces.concat() + &veil.end();
                assert_eq!(out, redact(text, &secrets), "{text:?} in pieces of {size}");
            }
        }
        let mut veil = Veil::new(Arc::new([]));
        assert_eq!((veil.push("s3cr"), veil.end()), ("s3cr".to_owned(), String::new()));
        let mut veil = Veil::new(secrets);
        assert_eq!(veil.push("nothing to hide"), "nothing to hide");
    }
}
