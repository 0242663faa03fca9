//! Tokens that are found in a text before it is split into words: control tokens, and pieces of text that the makers of a
//! vocabulary gave a token of their own.

use std::collections::HashMap;

use regex::Regex;

use super::super::error::EngineError;

/// A token found before the words.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Special {
    /// Its number.
    pub id: u32,
    /// Whether it takes the white space before it away.
    pub strip_left: bool,
    /// Whether it takes the white space after it away.
    pub strip_right: bool,
}

/// The special tokens of a vocabulary.
#[derive(Default)]
pub(super) struct Specials {
    of: HashMap<String, (Special, bool)>,
    all: Option<Regex>,
    /// Those that are found in values too.
    plain: Option<Regex>,
}

/// Texts of tokens that end an answer whatever the file's ids say, as far as they are control tokens.
const END_TEXTS: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|eom_id|>",
    "< EOT >",
    "_<EOT>",
    "<|end_of_text|>",
    "<EOT>",
    "[EOT]",
    "[EOS]",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<end_of_utterance>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

/// Elements of HTML that vocabularies have as tokens: in a value they are text like any other. Not `s`: `</s>` ends texts.
const ELEMENTS: &str = "a abbr address article b blockquote body br caption center code dd del div dl dt em footer h1 h2 \
    h3 h4 h5 h6 head header hr html i img ins kbd li main mark nav ol option p pre q section select small span strike \
    strong sub sup table tbody td tfoot th thead title tr tt u ul";

/// Whether a token that its makers call text is found in values too. What looks like markup of a conversation is not:
/// a value that says `<tool_call>` or `</think>` must stay a value.
pub(super) fn is_plain(text: &str) -> bool {
    let inner = |t: &str| {
        let t = t.strip_prefix('<')?.strip_suffix('>')?;
        let t = t.strip_prefix('/').unwrap_or(t);
        ELEMENTS.split(' ').any(|e| e == t).then_some(())
    };
    !text.contains(['<', '>', '[', ']']) || inner(text).is_some()
}

/// Whether a control token with this text ends an answer, in a vocabulary that has the texts for which `has` holds.
pub(super) fn ends(text: &str, has: impl Fn(&str) -> bool) -> bool {
    match text {
        // These vocabularies use it within an answer.
        "<|end|>" => !(has("<|return|>") && has("<|call|>") || has("<|flush|>") && has("<|calls|>")),
        _ => END_TEXTS.contains(&text),
    }
}

impl Specials {
    /// From each token's text, its rules, and whether it is found in values too.
    ///
    /// # Errors
    /// There are so many that they cannot be searched for.
    pub fn new(tokens: impl IntoIterator<Item = (String, Special, bool)>) -> Result<Self, EngineError> {
        let mut out = Self::default();
        let (mut all, mut plain) = (Vec::new(), Vec::new());
        for (text, special, is_plain) in tokens {
            if text.is_empty() || out.of.contains_key(&text) {
                continue;
            }
            all.push(text.clone());
            if is_plain {
                plain.push(text.clone());
            }
            out.of.insert(text, (special, is_plain));
        }
        (out.all, out.plain) = (any_of(all)?, any_of(plain)?);
        Ok(out)
    }

    /// The special tokens in a text: start, end and rules; where `control` is not set, only those that are found in values.
    pub fn find<'a>(&'a self, text: &'a str, control: bool) -> impl Iterator<Item = (usize, usize, Special)> + 'a {
        let regex = if control { &self.all } else { &self.plain };
        let found = regex.iter().flat_map(move |r| r.find_iter(text));
        found.filter_map(|m| Some((m.start(), m.end(), self.of.get(m.as_str())?.0)))
    }

    /// The first special token in `text` that is no text of values.
    pub fn control_in<'t>(&self, text: &'t str) -> Option<&'t str> {
        let plain = |t: &str| self.of.get(t).is_some_and(|(_, plain)| *plain);
        self.all.as_ref()?.find_iter(text).map(|m| m.as_str()).find(|t| !plain(t))
    }
}

/// An expression for any of some texts, the longest first.
fn any_of(mut texts: Vec<String>) -> Result<Option<Regex>, EngineError> {
    if texts.is_empty() {
        return Ok(None);
    }
    texts.sort_by_key(|t| std::cmp::Reverse(t.len()));
    let pattern = texts.iter().map(|t| regex::escape(t)).collect::<Vec<_>>().join("|");
    let built = regex::RegexBuilder::new(&pattern).size_limit(256 << 20).build();
    built.map(Some).map_err(|_| EngineError::Unsupported("so many control tokens".to_owned()))
}
