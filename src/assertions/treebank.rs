//! Words of English as the Penn Treebank cuts them: punctuation and the parts of contractions are words of their own.
//!
//! The rules are those of the Treebank's tokenizer script, in the reading of the npm package js-rouge, by which promptfoo
//! computes ROUGE; which quotation mark opens is told by what stands before it alone.

use std::sync::LazyLock;

use regex::Regex;

/// One step: what is looked for, and what takes its place.
type Step = (Regex, &'static str);

const STEPS: &[(&str, &str)] = &[
    // Quotation marks that open, then all others.
    (r#"(^|[\s(\[{<])(?:"|'')"#, "$1 `` "),
    (r#"''|""#, " '' "),
    ("``", " `` "),
    (r"\.{3}", " ... "),
    (r"[;@#$%&]", " $0 "),
    (r"[?!]", " $0 "),
    (r"[\]\[(){}<>]", " $0 "),
    ("--", " -- "),
];

/// Steps over a text with a blank at both ends.
const ENDINGS: &[(&str, &str)] = &[
    (r"([^'])' ", "$1 ' "),
    (r"(?i)'([smd]) ", " '$1 "),
    (r"(?i)('ll|'re|'ve|n't) ", " $1 "),
    (r"(?i)\b(can)(not)\b", " $1 $2 "),
    (r"(?i)\b(d)('ye)\b", " $1 $2 "),
    (r"(?i)\b(gim|lem)(me)\b", " $1 $2 "),
    (r"(?i)\b(gon)(na)\b", " $1 $2 "),
    (r"(?i)\b(got)(ta)\b", " $1 $2 "),
    (r"(?i)\b(more)('n)\b", " $1 $2 "),
    (r"(?i)\b(wan)(na) ", " $1 $2 "),
    (r"(?i)(^|\W)('t)(is|was)\b", "$1 $2 $3 "),
];

fn compiled(steps: &[(&str, &'static str)]) -> Vec<Step> {
    steps.iter().filter_map(|(pattern, by)| Some((Regex::new(pattern).ok()?, *by))).collect()
}

static FIRST: LazyLock<Vec<Step>> = LazyLock::new(|| compiled(STEPS));
static LAST: LazyLock<Vec<Step>> = LazyLock::new(|| compiled(ENDINGS));

/// The words of a text.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (pattern, by) in FIRST.iter() {
        text = pattern.replace_all(&text, *by).into_owned();
    }
    text = format!(" {} ", last_stop(&commas(&text)));
    for (pattern, by) in LAST.iter() {
        text = pattern.replace_all(&text, *by).into_owned();
    }
    text.split_whitespace().map(str::to_owned).collect()
}

/// Commas and colons set apart, unless a digit follows as in 1,000.
fn commas(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let apart = matches!(c, ',' | ':') && !chars.peek().is_some_and(|next| next.is_numeric());
        if apart {
            out.push(' ');
        }
        out.push(c);
        if apart {
            out.push(' ');
        }
    }
    out
}

/// The full stop at the end of the text set apart, whatever closes behind it; not one of several, nor that of `U.S.`.
fn last_stop(text: &str) -> String {
    let body = text.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, ']' | ')' | '}' | '>' | '\''));
    let Some(before) = body.strip_suffix('.') else { return text.to_owned() };
    let mut back = before.chars().rev();
    let (last, dot, first, edge) = (back.next(), back.next(), back.next(), back.next());
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphabetic());
    let word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    let short = letter(last) && dot == Some('.') && letter(first) && !word(edge);
    if last.is_none() || last == Some('.') || short {
        return text.to_owned();
    }
    format!("{before} .{} ", &text[body.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_english() {
        assert_eq!((FIRST.len(), LAST.len()), (STEPS.len(), ENDINGS.len()));
        for (text, wanted) in [
            ("", ""),
            (" \r\n", ""),
            ("the cat sat on the mat.", "the cat sat on the mat ."),
            ("he said: \"no, 1,000 times!\"", "he said : `` no , 1,000 times ! ''"),
            ("we can't; they're (all) gonna go", "we ca n't ; they 're ( all ) gon na go"),
            ("it's the dogs' d'ye cannot", "it 's the dogs ' d 'ye can not"),
            ("a -- b ... c--d", "a -- b ... c -- d"),
            ("made in the u.s.", "made in the u.s."),
            ("so.)", "so . )"),
            ("안녕하세요 세계", "안녕하세요 세계"),
            ("a@b 50% $3", "a @ b 50 % $ 3"),
        ] {
            assert_eq!(tokens(text).join(" "), wanted, "{text}");
        }
    }
}
