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

    #[test]
    fn characters_come_whole() {
        let mut s = Stops::new(&[]);
        assert_eq!(s.push(&[0xed, 0x95]), (String::new(), false));
        assert_eq!(s.push(&[0x9c]), ("한".into(), false));
        assert_eq!(s.push(&[0xff, b'a', 0xed]), ("\u{fffd}a".into(), false));
        assert_eq!(s.finish(), ("\u{fffd}".into(), false));
    }
}
