//! What stands around the value in a model's answer, and showing a place in it.

use super::spec::ParseError;

pub(super) const THINK: &str = "<think>";
pub(super) const END_THINK: &str = "</think>";
const FENCE: &str = "```";

/// The answer without the model's reasoning, and the byte where that begins. Reasoning is a `<think>` block at the
/// beginning, or everything before a `</think>`, since a chat template may have opened the block in the prompt.
///
/// # Errors
/// The block never ends: the model was cut off before it answered.
pub(super) fn without_thinking(text: &str) -> Result<(usize, &str), ParseError> {
    let mut from = 0;
    loop {
        let rest = &text[from..];
        let start = from + (rest.len() - rest.trim_start().len());
        let opened = text[start..].starts_with(THINK);
        match text[start..].find(END_THINK) {
            // An opening in the middle of the text makes the end that follows it part of the text.
            Some(end) if opened || !text[start..start + end].contains(THINK) => from = start + end + END_THINK.len(),
            None if opened => return Err(endless_thinking(text, start)),
            _ => return Ok((from, rest)),
        }
    }
}

pub(super) fn endless_thinking(text: &str, start: usize) -> ParseError {
    at(text, start, "the <think> block never ends, so there is no answer")
        .help("was the answer cut by `max_tokens`? A higher limit leaves room for the answer")
}

/// What stands in the only code fence of `text`, and its offset; all of `text`, trimmed, where there is no fence or
/// more than one.
pub(super) fn unfenced(text: &str) -> (usize, &str) {
    let mut offset = 0;
    let mut opened = None;
    let mut closed = None;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with(FENCE) {
            match (opened, closed) {
                (None, _) => opened = Some(offset + line.len()),
                (Some(_), None) if line.trim() == FENCE => closed = Some(offset),
                _ => return trimmed(text, 0, text.len()),
            }
        }
        offset += line.len();
    }
    match (opened, closed) {
        (Some(start), Some(end)) => trimmed(text, start, end),
        _ => trimmed(text, 0, text.len()),
    }
}

fn trimmed(text: &str, start: usize, end: usize) -> (usize, &str) {
    let inner = &text[start..end];
    let from = inner.len() - inner.trim_start().len();
    (start + from, inner.trim())
}

/// The answer proper: without reasoning, without the only fence, trimmed; with its offset.
///
/// # Errors
/// See [`without_thinking`].
pub(super) fn body(text: &str) -> Result<(usize, &str), ParseError> {
    let (from, rest) = without_thinking(text)?;
    let (start, inner) = unfenced(rest);
    Ok((from + start, inner))
}

/// Characters of an excerpt before and after the place that it shows.
const AROUND: usize = 30;

/// An error at byte `offset` of `text`: the message with line and column, an excerpt, and a caret under the place.
pub(super) fn at(text: &str, offset: usize, message: impl std::fmt::Display) -> ParseError {
    let offset = floor(text, offset.min(text.len()));
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    let line_number = before.matches('\n').count() + 1;
    let column = text[line_start..offset].chars().count();
    let line_end = text[offset..].find('\n').map_or(text.len(), |i| offset + i);
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let skipped = column.saturating_sub(AROUND);
    let mut left: String = text[line_start..offset].chars().skip(skipped).map(shown).collect();
    if skipped > 0 {
        left.insert(0, '…');
    }
    let mut right: String = text[offset..line_end].chars().take(AROUND).map(shown).collect();
    if text[offset..line_end].chars().nth(AROUND).is_some() {
        right.push('…');
    }
    let caret = " ".repeat(left.chars().count());
    let place = format!("line {line_number}, column {}", column + 1);
    ParseError {
        message: format!("{message} ({place} of the answer)\n  | {left}{right}\n  | {caret}^"),
        at: Some(offset),
        help: Vec::new(),
    }
}

fn floor(text: &str, mut offset: usize) -> usize {
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// The answer as messages show it: in quotes, shortened.
pub(super) fn quoted(text: &str) -> String {
    crate::value::Value::from(text.trim()).show(80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_is_dropped() {
        assert_eq!(without_thinking("<think>a</think>b").unwrap(), (16, "b"));
        assert_eq!(without_thinking(" <think>a</think>\n<think></think> b").unwrap().1, " b");
        assert_eq!(without_thinking("so it is\n</think>\nb").unwrap().1, "\nb");
        assert_eq!(without_thinking("say <think>x</think>").unwrap().1, "say <think>x</think>");
        assert_eq!(without_thinking("plain").unwrap(), (0, "plain"));
        assert_eq!(without_thinking("\n<think>never").unwrap_err().at, Some(1));
    }

    #[test]
    fn the_only_fence_is_opened() {
        assert_eq!(unfenced("Here:\n```text\na\n```\nbye"), (14, "a"));
        assert_eq!(unfenced("```\na\n```\n```\nb\n```"), (0, "```\na\n```\n```\nb\n```"));
        assert_eq!(unfenced("```\na"), (0, "```\na"));
        assert_eq!(unfenced("  a  "), (2, "a"));
    }

    #[test]
    fn a_place_is_shown() {
        let error = at("one\n두 셋 x\tnet", 4 + 8, "no");
        assert_eq!(error.message, "no (line 2, column 5 of the answer)\n  | 두 셋 x net\n  |     ^");
        let long = format!("{}!{}", "a".repeat(100), "b".repeat(100));
        let lines: Vec<String> = at(&long, 100, "no").message.lines().map(str::to_owned).collect();
        assert_eq!(lines[1].chars().nth(lines[2].chars().count() - 1), Some('!'));
    }
}
