//! Cutting a text into pieces of bounded length, at borders of paragraphs, sentences and words where one is near.

use unicode_normalization::char::is_combining_mark;

/// What lies at a place where a piece may end, weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Border {
    Word,
    Line,
    Sentence,
    Paragraph,
}

/// The pieces of a text, in its order, each of at most `chars` characters (Unicode scalar values) and without white space
/// at its ends. A text that fits is one piece, one without any letter none.
///
/// A piece ends at the last border of the strongest kind in its second half: the end of a paragraph (a blank line), of a
/// sentence, of a line, of a word. Where there is none, it ends after `chars` characters, but not before a combining mark.
/// The next piece begins at most `overlap` characters earlier, at the first word or sentence that begins there. Where none
/// does it repeats nothing, unless the piece was cut inside a word: then it repeats these characters. It begins more than
/// a tenth of `chars` behind the beginning of the piece before, so that the pieces together stay bounded. `overlap` is
/// less than `chars`.
pub fn split(text: &str, chars: usize, overlap: usize) -> Vec<String> {
    let all: Vec<char> = text.chars().collect();
    let (chars, overlap) = (chars.max(1), overlap.min(chars.max(1) - 1));
    let end = all.iter().rposition(|c| !c.is_whitespace()).map_or(0, |last| last + 1);
    let mut out = Vec::new();
    let mut start = 0;
    while let Some(skipped) = all[start..end].iter().position(|c| !c.is_whitespace()) {
        start += skipped;
        if end - start <= chars {
            out.push(all[start..end].iter().collect());
            break;
        }
        // A piece ends behind what the next one repeats, so that every piece goes on.
        let least = start + (chars / 2).max(overlap) + 1;
        let (cut, at_border) = cut(&all, least.min(start + chars), start + chars);
        let last = all[start..cut].iter().rposition(|c| !c.is_whitespace()).map_or(cut, |at| start + at + 1);
        out.push(all[start..last].iter().collect());
        let from = (cut - overlap).max(start + chars / 10 + 1);
        start = next_start(&all, from, cut, at_border);
    }
    out
}

/// Where a piece ends that may end anywhere from `least` to `most`, and whether that is a border.
fn cut(all: &[char], least: usize, most: usize) -> (usize, bool) {
    let mut best: Option<(Border, usize)> = None;
    for at in (least..=most).rev() {
        if let Some(border) = border(all, at)
            && best.is_none_or(|(found, _)| border > found)
        {
            best = Some((border, at));
            if border == Border::Paragraph {
                break;
            }
        }
    }
    let whole = || (least..=most).rev().find(|at| !all.get(*at).is_some_and(|c| goes_on(*c))).unwrap_or(most);
    best.map_or_else(|| (whole(), false), |(_, at)| (at, true))
}

/// The border behind the character before `at`; none inside a word or inside white space.
fn border(all: &[char], at: usize) -> Option<Border> {
    let before = *all.get(at.checked_sub(1)?)?;
    if before.is_whitespace() {
        return None;
    }
    let mut newlines = 0;
    let mut white = false;
    for c in all[at..].iter().take_while(|c| c.is_whitespace()) {
        white = true;
        newlines += usize::from(*c == '\n');
        if newlines == 2 {
            return Some(Border::Paragraph);
        }
    }
    // Full-width signs end a sentence whatever follows; others may stand inside a number or a name.
    let ends = all[..at].iter().rev().take(CLOSING + 1).find(|c| !closes(**c));
    match ends {
        Some(c) if full_stop(*c) && all.get(at).is_none_or(|c| !closes(*c)) => Some(Border::Sentence),
        Some('.' | '!' | '?' | '…') if white => Some(Border::Sentence),
        _ if newlines > 0 => Some(Border::Line),
        _ => white.then_some(Border::Word),
    }
}

/// How many characters may close a sentence behind its full stop.
const CLOSING: usize = 8;

/// Whether a character may close a sentence behind its full stop.
fn closes(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '”' | '’' | '»' | '」' | '』' | '）')
}

/// Whether a character belongs to the one before it: a mark, a joiner, a shade of skin.
fn goes_on(c: char) -> bool {
    is_combining_mark(c) || matches!(c, '\u{200d}' | '\u{1f3fb}'..='\u{1f3ff}')
}

/// Where the piece behind `cut` begins, from `from` on.
fn next_start(all: &[char], from: usize, cut: usize, at_border: bool) -> usize {
    let begins = |at: &usize| {
        let before = all[..*at].last().copied().unwrap_or(' ');
        !all[*at].is_whitespace() && (before.is_whitespace() || (full_stop(before) && !closes(all[*at])))
    };
    let inside = || (from..cut).find(|at| !goes_on(all[*at]) && !all[*at].is_whitespace());
    (from..cut).find(begins).or_else(|| if at_border { None } else { inside() }).unwrap_or(cut)
}

/// Whether a full-width sign ends a sentence, whatever follows.
fn full_stop(c: char) -> bool {
    matches!(c, '。' | '！' | '？')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_one_piece_and_white_space_none() {
        assert_eq!(split("  a tuber \n", 7, 0), ["a tuber"]);
        assert_eq!(split("감자는 땅속줄기다", 9, 3), ["감자는 땅속줄기다"]);
        assert!(split("", 5, 0).is_empty() && split(" \n\t ", 5, 2).is_empty());
    }

    #[test]
    fn borders_by_their_strength() {
        let paragraph = "One two. Three four.\n\nFive six seven eight";
        assert_eq!(split(paragraph, 30, 0), ["One two. Three four.", "Five six seven eight"]);
        assert_eq!(split("One two three. Four five six", 20, 0), ["One two three.", "Four five six"]);
        assert_eq!(split("He said \"no.\" And then he went", 18, 0), ["He said \"no.\"", "And then he went"]);
        assert_eq!(split("one two three\nfour five six", 18, 0), ["one two three", "four five six"]);
        assert_eq!(split("one two three four five", 12, 0), ["one two", "three four", "five"]);
        assert_eq!(split("version 3.14 or 2.71 is", 14, 0), ["version 3.14", "or 2.71 is"]);
        assert_eq!(split("감자다。줄기다。뿌리가 아니다。", 9, 0), ["감자다。줄기다。", "뿌리가 아니다。"]);
    }

    #[test]
    fn a_border_that_is_not_near_is_passed_over() {
        assert_eq!(split("a. bcdefgh ijklmnop", 14, 0), ["a. bcdefgh", "ijklmnop"]);
        assert_eq!(split("abcdefghijkl", 5, 0), ["abcde", "fghij", "kl"]);
    }

    #[test]
    fn pieces_share_whole_words() {
        assert_eq!(split("one two three four five six", 14, 6), ["one two three", "three four", "four five six"]);
        assert_eq!(split("abcdefghij", 4, 2), ["abcd", "cdef", "efgh", "ghij"]);
        // However much is repeated, each piece goes on.
        assert_eq!(split("abcdef", 3, 2), ["abc", "bcd", "cde", "def"]);
        assert_eq!(split("a b c d", 3, 2), ["a b", "b c", "c d"]);
        assert_eq!(split("underground it came", 12, 4), ["underground", "it came"]);
        assert_eq!(split("감자다。줄기다。뿌리다。", 9, 4), ["감자다。줄기다。", "줄기다。뿌리다。"]);
    }

    #[test]
    fn marks_stay_with_their_letters() {
        let marked = "e\u{301}".repeat(10);
        let pieces = split(&marked, 5, 0);
        assert_eq!(pieces.concat(), marked);
        assert!(pieces.iter().all(|p| p.starts_with('e') && p.chars().count() <= 5), "{pieces:?}");
        // Marks without end are cut all the same.
        assert_eq!(split(&"\u{301}".repeat(9), 4, 0).len(), 3);
        assert!(split("👍🏽👍🏽👍🏽", 3, 0).iter().all(|p| p.starts_with('👍')));
    }

    #[test]
    fn nothing_is_lost_whatever_the_sizes() {
        let text = "The potato (Solanum tuberosum) is a tuber.  It came\nto Europe in 1565.\n\n\n감자는 땅속줄기다。 뿌리가 아니다。\t— «end»";
        let squeezed = |text: &str| text.split_whitespace().collect::<String>();
        for chars in 1..40 {
            let whole = split(text, chars, 0);
            assert_eq!(squeezed(&whole.concat()), squeezed(text), "{chars}");
            for overlap in 0..chars {
                let pieces = split(text, chars, overlap);
                assert!(pieces.len() <= 10 * text.chars().count() / chars + 1, "{chars} {overlap}");
                assert!(pieces.iter().all(|p| (1..=chars).contains(&p.chars().count()) && p.trim() == p), "{pieces:?}");
                assert!(pieces.last().is_some_and(|p| p.ends_with('»')), "{chars} {overlap} {pieces:?}");
                let mut at = 0;
                for piece in &pieces {
                    let from = text[at..].find(piece.as_str()).map(|i| at + i);
                    assert!(from.is_some(), "{piece:?} is no part of the text, or out of order");
                    at = from.map_or(at, |from| from + piece.chars().next().map_or(0, char::len_utf8));
                }
            }
        }
    }
}
