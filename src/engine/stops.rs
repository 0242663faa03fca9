//! Text on its way out: whole characters, and nothing that may be the beginning of a stop string.

use super::tokenizer::Decoder;

/// Text on its way out: holds back what may be the beginning of a stop string.
pub struct Stops {
    stops: Vec<String>,
    decoder: Decoder,
    held: String,
}

impl Stops {
    /// Nothing yet.
    pub fn new(stops: &[String]) -> Self {
        Self { stops: stops.to_vec(), decoder: Decoder::default(), held: String::new() }
    }

    /// The text that is safe to pass on after some more bytes, and whether a stop string was met.
    pub fn push(&mut self, bytes: &[u8]) -> (String, bool) {
        let text = self.decoder.push(bytes);
        self.held.push_str(&text);
        self.release(false)
    }

    /// The rest.
    pub fn finish(&mut self) -> (String, bool) {
        let text = self.decoder.finish();
        self.held.push_str(&text);
        self.release(true)
    }

    fn release(&mut self, all: bool) -> (String, bool) {
        let stops = self.stops.iter().filter(|s| !s.is_empty());
        if let Some(at) = stops.clone().filter_map(|s| self.held.find(s.as_str())).min() {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let begins = |at: usize| stops.clone().any(|s| s.starts_with(&self.held[at..]));
        let longest = stops.clone().map(String::len).max().unwrap_or(0);
        let from = self.held.len().saturating_sub(longest);
        let keep = (from..self.held.len()).find(|at| self.held.is_char_boundary(*at) && begins(*at));
        match keep {
            Some(at) if !all => {
                let rest = self.held.split_off(at);
                (std::mem::replace(&mut self.held, rest), false)
            }
            _ => (std::mem::take(&mut self.held), false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_strings_are_met_across_pieces() {
        let stops = ["\nEND".to_owned(), "x".to_owned()];
        let mut s = Stops::new(&stops);
        assert_eq!(s.push(b"one\nE"), ("one".into(), false));
        assert_eq!(s.push(b"Q\n"), ("\nEQ".into(), false));
        assert_eq!(s.push(b"EN"), (String::new(), false));
        assert_eq!(s.push(b"D more"), (String::new(), true));
        let mut s = Stops::new(&stops);
        assert_eq!(s.push(b"\nEN"), (String::new(), false));
        assert_eq!(s.finish(), ("\nEN".into(), false));
    }

    /// However the bytes of an answer are cut into tokens, the text is the same, every piece holds whole characters, and a
    /// stop string ends it at the same place.
    #[test]
    fn cuts_between_tokens_do_not_matter() {
        let text = "감자 🥔👩‍🌾 e\u{301} 👋🏽 STOP더";
        let stops = ["STOP".to_owned(), "TOP더!".to_owned()];
        let mut state = 1_u32;
        for _ in 0..2000 {
            let mut s = Stops::new(&stops);
            let (mut out, mut at, mut ended) = (String::new(), 0, false);
            while at < text.len() && !ended {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let end = (at + 1 + (state >> 24) as usize % 7).min(text.len());
                let (piece, met) = s.push(&text.as_bytes()[at..end]);
                assert!(!piece.contains('\u{fffd}') && text.contains(&piece));
                out.push_str(&piece);
                (at, ended) = (end, met);
            }
            assert!(ended);
            assert_eq!(out, "감자 🥔👩‍🌾 e\u{301} 👋🏽 ");
        }
    }

    #[test]
    fn characters_come_whole() {
        let mut s = Stops::new(&[]);
        assert_eq!(s.push(&[0xed, 0x95]), (String::new(), false));
        assert_eq!(s.push(&[0x9c]), ("한".into(), false));
        assert_eq!(s.push(&[0xff, b'a', 0xed]), ("\u{fffd}a".into(), false));
        assert_eq!(s.finish(), ("\u{fffd}".into(), false));
    }
}
