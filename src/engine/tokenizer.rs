//! Text to tokens and back: byte-level BPE (Radford et al. 2019) as GGUF files describe it. Each family of vocabularies
//! splits text by its own expressions before merging; a family that is not known here is an error, never a guess.

use std::collections::{BinaryHeap, HashMap, HashSet};

use regex::Regex;

use super::error::EngineError;
use super::gguf::{Gguf, Meta};

/// A stretch of text, and whether control tokens written in it count as such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The text.
    pub text: String,
    /// Whether `<|im_end|>` and its like become control tokens. Values of a chain never do.
    pub control: bool,
}

impl Span {
    /// A stretch of text.
    pub fn new(text: impl Into<String>, control: bool) -> Self {
        Self { text: text.into(), control }
    }
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|(\s+)";
const LLAMA3: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|(\s+)";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|(\s+)";

/// How text is split before merging: each expression in turn splits what the ones before left, and whether a word
/// that is a token by itself skips merging. The last group of an expression is a run of white space, which leaves its
/// last character to the word after it (`\s+(?!\S)` in the originals; this form needs no backtracking).
fn family(pre: &str) -> Option<(&'static [&'static str], bool)> {
    Some(match pre {
        "gpt-2" | "default" => (&[GPT2], false),
        "smollm" => (&[r"\p{N}", GPT2], false),
        "llama-bpe" | "llama3" | "llama-v3" => (&[LLAMA3], true),
        "qwen2" => (&[QWEN2], false),
        _ => return None,
    })
}

/// A vocabulary with its rules.
pub struct Tokenizer {
    splits: Vec<Regex>,
    whole_words: bool,
    ids: HashMap<Vec<u8>, u32>,
    /// Bytes of every token; empty for control tokens.
    bytes: Vec<Vec<u8>>,
    texts: Vec<String>,
    single: [Option<u32>; 256],
    merges: HashMap<(u32, u32), (u32, u32)>,
    control: Option<Regex>,
    plain: Option<Regex>,
    special: HashMap<String, u32>,
    begin: Option<u32>,
    end: Option<u32>,
    append_end: bool,
    ends: HashSet<u32>,
}

/// Texts of tokens that end an answer whatever the file's ids say; the list is llama.cpp's.
const END_TEXTS: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|eom_id|>",
    "< EOT >",
    "_<EOT>",
    "<|end_of_text|>",
    "<EOT>",
];

/// Two neighbours that may merge: rank, their places, what they become, and what they were when this was noted.
type Candidate = std::cmp::Reverse<(u32, usize, usize, u32, (u32, u32))>;

impl Tokenizer {
    /// Reads the vocabulary of a file.
    ///
    /// # Errors
    /// The kind of vocabulary or its way to split text is not known here, or its lists are damaged.
    pub fn read(gguf: &Gguf) -> Result<Self, EngineError> {
        let model = gguf.text("tokenizer.ggml.model").unwrap_or("");
        if model != "gpt2" {
            return Err(EngineError::Unsupported(format!(
                "vocabularies of kind `{model}` (`gpt2`, byte-level BPE, is)"
            )));
        }
        let pre = gguf.text("tokenizer.ggml.pre").unwrap_or("default");
        let Some((splits, whole_words)) = family(pre) else {
            return Err(EngineError::Unsupported(format!("vocabularies that split text as `{pre}` does")));
        };
        let texts = strings(gguf, "tokenizer.ggml.tokens")?;
        let kinds: Vec<u64> = gguf.list("tokenizer.ggml.token_type").unwrap_or(&[]).iter().map(whole).collect();
        let mut out = Self {
            splits: splits.iter().filter_map(|s| Regex::new(s).ok()).collect(),
            whole_words,
            ids: HashMap::new(),
            bytes: Vec::with_capacity(texts.len()),
            texts: Vec::new(),
            single: [None; 256],
            merges: HashMap::new(),
            control: None,
            plain: None,
            special: HashMap::new(),
            begin: id(gguf, "bos", texts.len()).filter(|_| gguf.bool("tokenizer.ggml.add_bos_token") == Some(true)),
            end: id(gguf, "eos", texts.len()),
            append_end: gguf.bool("tokenizer.ggml.add_eos_token") == Some(true),
            ends: ["eos", "eot", "eom"].iter().filter_map(|k| id(gguf, k, texts.len())).collect(),
        };
        out.vocabulary(&texts, &kinds)?;
        out.read_merges(&strings(gguf, "tokenizer.ggml.merges")?);
        out.texts = texts;
        Ok(out)
    }

    fn vocabulary(&mut self, texts: &[String], kinds: &[u64]) -> Result<(), EngineError> {
        let alphabet: HashMap<char, u8> = (0..=255u8).map(|b| (letter(b), b)).collect();
        let (mut control, mut plain) = (Vec::new(), Vec::new());
        for (id, text) in texts.iter().enumerate() {
            let id = id as u32;
            let kind = kinds.get(id as usize).copied().unwrap_or(1);
            if kind == 3 || kind == 4 {
                // User-defined runs of spaces are text; user-defined `<…>` act like control tokens.
                if kind == 4 && text.chars().all(char::is_whitespace) && !text.is_empty() {
                    plain.push(text.as_str());
                }
                if !text.is_empty() {
                    control.push(text.as_str());
                    self.special.insert(text.clone(), id);
                }
                if END_TEXTS.contains(&text.as_str()) {
                    self.ends.insert(id);
                }
                self.bytes.push(if kind == 4 { text.clone().into_bytes() } else { Vec::new() });
                continue;
            }
            let bytes: Vec<u8> = match text.chars().map(|c| alphabet.get(&c).copied()).collect() {
                Some(bytes) => bytes,
                None => text.clone().into_bytes(),
            };
            if let [b] = bytes[..] {
                self.single[b as usize] = Some(id);
            }
            self.ids.entry(bytes.clone()).or_insert(id);
            self.bytes.push(bytes);
        }
        self.control = any_of(control)?;
        self.plain = any_of(plain)?;
        Ok(())
    }

    fn read_merges(&mut self, merges: &[String]) {
        let alphabet: HashMap<char, u8> = (0..=255u8).map(|b| (letter(b), b)).collect();
        let bytes = |t: &str| t.chars().map(|c| alphabet.get(&c).copied()).collect::<Option<Vec<u8>>>();
        for (rank, merge) in merges.iter().enumerate() {
            let Some((a, b)) = merge.split_once(' ').and_then(|(a, b)| Some((bytes(a)?, bytes(b)?))) else { continue };
            let both = [a.as_slice(), b.as_slice()].concat();
            if let (Some(a), Some(b), Some(both)) = (self.ids.get(&a), self.ids.get(&b), self.ids.get(&both)) {
                self.merges.entry((*a, *b)).or_insert((rank as u32, *both));
            }
        }
    }

    /// Tokens of some stretches of text that follow each other. Words may span stretches; control tokens may not.
    pub fn encode(&self, spans: &[Span]) -> Vec<u32> {
        let mut out: Vec<u32> = self.begin.into_iter().collect();
        let mut text = String::new();
        for span in spans {
            let specials = if span.control { &self.control } else { &self.plain };
            let mut at = 0;
            for found in specials.iter().flat_map(|r| r.find_iter(&span.text)) {
                text.push_str(&span.text[at..found.start()]);
                self.words(&text, &mut out);
                text.clear();
                out.extend(self.special.get(found.as_str()));
                at = found.end();
            }
            text.push_str(&span.text[at..]);
        }
        self.words(&text, &mut out);
        out.extend(self.end.filter(|_| self.append_end));
        // A template that writes the first token itself would give it twice.
        if let [a, b, ..] = out[..]
            && Some(a) == self.begin
            && a == b
        {
            out.remove(0);
        }
        out
    }

    /// The bytes that a token adds to a text; none for control tokens.
    pub fn bytes(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], Vec::as_slice)
    }

    /// A token as the vocabulary writes it.
    pub fn text(&self, token: u32) -> &str {
        self.texts.get(token as usize).map_or("", String::as_str)
    }

    /// Tokens in the vocabulary.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether the vocabulary is empty.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether the token ends an answer.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// The first control token written in `text`.
    pub fn control_in<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.control.as_ref()?.find(text).map(|m| m.as_str())
    }

    fn words(&self, text: &str, out: &mut Vec<u32>) {
        let mut pieces = vec![text];
        for split in &self.splits {
            pieces = pieces.into_iter().flat_map(|p| cut(split, p)).collect();
        }
        for piece in pieces {
            self.merge(piece.as_bytes(), out);
        }
    }

    /// Merges the bytes of a word, the lowest rank first, the leftmost of equals first.
    fn merge(&self, word: &[u8], out: &mut Vec<u32>) {
        if self.whole_words
            && let Some(id) = self.ids.get(word)
        {
            out.push(*id);
            return;
        }
        let mut ids: Vec<Option<u32>> = word.iter().map(|b| self.single[*b as usize]).collect();
        let count = ids.len();
        let mut next: Vec<usize> = (1..=count).collect();
        let mut before: Vec<usize> = (0..count).map(|i| i.wrapping_sub(1)).collect();
        let mut queue = BinaryHeap::new();
        let pair = |ids: &[Option<u32>], a: usize, b: usize| -> Option<Candidate> {
            let key = (*ids.get(a)?.as_ref()?, *ids.get(b)?.as_ref()?);
            let (rank, to) = self.merges.get(&key)?;
            Some(std::cmp::Reverse((*rank, a, b, *to, key)))
        };
        for i in 1..count {
            queue.extend(pair(&ids, i - 1, i));
        }
        while let Some(std::cmp::Reverse((_, a, b, to, key))) = queue.pop() {
            // Outdated where a side was merged meanwhile.
            if next[a] != b || (ids[a], ids[b]) != (Some(key.0), Some(key.1)) {
                continue;
            }
            ids[a] = Some(to);
            ids[b] = None;
            next[a] = next[b];
            if next[a] < count {
                before[next[a]] = a;
                queue.extend(pair(&ids, a, next[a]));
            }
            if before[a] < count {
                queue.extend(pair(&ids, before[a], a));
            }
        }
        out.extend(ids.into_iter().flatten());
    }
}

/// Cuts `text` by the matches of an expression; what lies between matches is a piece too.
fn cut<'t>(split: &Regex, text: &'t str) -> Vec<&'t str> {
    let mut out = Vec::new();
    let (mut at, mut kept) = (0, 0);
    while let Some(found) = split.captures_at(text, at) {
        let Some(all) = found.get(0) else { break };
        let mut end = all.end();
        let last = all.as_str().chars().next_back().map_or(0, char::len_utf8);
        // A run of spaces before a word leaves its last one to the word.
        if found.get(1).is_some() && end < text.len() && all.len() > last {
            end -= last;
        }
        if all.start() > kept {
            out.push(&text[kept..all.start()]);
        }
        out.push(&text[all.start()..end]);
        kept = end;
        at = end;
    }
    if kept < text.len() {
        out.push(&text[kept..]);
    }
    out
}

/// An expression for any of some texts, the longest first.
fn any_of(mut texts: Vec<&str>) -> Result<Option<Regex>, EngineError> {
    if texts.is_empty() {
        return Ok(None);
    }
    texts.sort_by_key(|t| std::cmp::Reverse(t.len()));
    let pattern = texts.into_iter().map(regex::escape).collect::<Vec<_>>().join("|");
    Regex::new(&pattern).map(Some).map_err(|_| EngineError::Unsupported("so many control tokens".to_owned()))
}

/// The letter that byte-level vocabularies write a byte as: printable Latin-1 stands for itself, the rest follows 255.
fn letter(byte: u8) -> char {
    let itself = |b: u8| matches!(b, 33..=126 | 161..=172 | 174..=255);
    if itself(byte) {
        return char::from(byte);
    }
    let index = (0..byte).filter(|b| !itself(*b)).count() as u32;
    char::from_u32(256 + index).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn strings(gguf: &Gguf, key: &str) -> Result<Vec<String>, EngineError> {
    let list = gguf.list(key).ok_or_else(|| EngineError::Damaged(format!("{key} is missing")))?;
    let text = |m: &Meta| match m {
        Meta::Text(t) => Ok(t.clone()),
        _ => Err(EngineError::Damaged(format!("{key} holds something other than text"))),
    };
    list.iter().map(text).collect()
}

fn whole(m: &Meta) -> u64 {
    match m {
        Meta::UInt(n) => *n,
        Meta::Int(n) => u64::try_from(*n).unwrap_or(1),
        _ => 1,
    }
}

fn id(gguf: &Gguf, name: &str, count: usize) -> Option<u32> {
    let id = gguf.uint(&format!("tokenizer.ggml.{name}_token_id"))?;
    (id < count as u64).then_some(id as u32)
}

/// Puts tokens' bytes together to text, and holds back characters that are not complete.
#[derive(Default)]
pub struct Decoder {
    held: Vec<u8>,
}

impl Decoder {
    /// The text that is complete after `bytes`. Bytes that can never be text become U+FFFD.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let mut out = String::new();
        loop {
            match std::str::from_utf8(&self.held) {
                Ok(text) => {
                    out.push_str(text);
                    self.held.clear();
                    return out;
                }
                Err(e) => {
                    let valid = e.valid_up_to();
                    out.push_str(&String::from_utf8_lossy(&self.held[..valid]));
                    let Some(bad) = e.error_len() else {
                        self.held.drain(..valid);
                        return out;
                    };
                    out.push(char::REPLACEMENT_CHARACTER);
                    self.held.drain(..valid + bad);
                }
            }
        }
    }

    /// What is left at the end: U+FFFD for a character that never became complete.
    pub fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        String::from_utf8_lossy(&held).into_owned()
    }
}
