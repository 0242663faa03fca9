//! Texts in words: what `fake` counts as tokens, and the pieces that its answers come in.

use crate::value::{Request, RequestInput};

/// Whitespace-separated words with the byte offsets where they begin.
pub fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // Each word is a slice of `text`, so the distance of their beginnings is its offset.
    text.split_whitespace().map(move |word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

/// How many words a text has.
pub fn count(text: &str) -> u64 {
    if !text.is_ascii() {
        return text.split_whitespace().count() as u64;
    }
    let mut words = 0;
    let mut space = true;
    for byte in text.bytes() {
        let now = matches!(byte, b'\t'..=b'\r' | b' ');
        words += u64::from(space && !now);
        space = now;
    }
    words
}

/// How many words a prompt has.
pub fn prompt_words(request: &Request) -> u64 {
    match &request.input {
        RequestInput::Messages(messages) => messages.iter().map(|m| count(&m.text)).sum(),
        // A word may run over the border of two segments.
        RequestInput::Raw(segments) => count(&segments.iter().map(|s| s.text.as_str()).collect::<String>()),
    }
}

/// `text` in one piece a word, each with the space before it; space at the end goes with the last.
pub fn by_word(text: &str) -> impl Iterator<Item = &str> {
    let ends = words(text).map(|(at, word)| at + word.len());
    let mut ends = ends.peekable();
    let mut from = 0;
    std::iter::from_fn(move || {
        let end = match (ends.next(), ends.peek()) {
            (Some(end), Some(_)) => end,
            _ => text.len(),
        };
        let piece = &text[from..end];
        from = end;
        (!piece.is_empty()).then_some(piece)
    })
}

/// `text` in `n` pieces of nearly equal length, cut between characters; fewer where it has fewer characters.
pub fn pieces(text: &str, n: usize) -> impl Iterator<Item = &str> {
    let chars = text.chars().count();
    let n = n.min(chars).max(1);
    let mut rest = text;
    (0..n).map(move |i| {
        let length = chars * (i + 1) / n - chars * i / n;
        let end = rest.char_indices().nth(length).map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(end);
        rest = after;
        piece
    })
}
