//! Vocabularies as GGUF files describe them. A kind or a family that is not known here is an error, never a guess.

use std::collections::{HashMap, HashSet};

use super::super::error::EngineError;
use super::super::gguf::{Gguf, Meta};
use super::bpe::{Bpe, Merges};
use super::pretokenizer::{PreTokenizer, family};
use super::sentencepiece::SentencePiece;
use super::special::{self, Special, Specials};
use super::unigram::{CharMap, Unigram};
use super::wordpiece::{Normaliser, WordPiece};
use super::{Tokenizer, Words};

/// What a token is, with the numbers of GGUF files.
const UNKNOWN: u64 = 2;
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;
const BYTE: u64 = 6;

/// How a kind of vocabulary writes its tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// Letters stand for bytes.
    Letters,
    /// `▁` stands for a space, `<0x0A>` for a byte.
    Text,
}

impl Tokenizer {
    /// Reads the vocabulary of a file.
    ///
    /// # Errors
    /// The kind of vocabulary or its way to split text is not known here, or its lists are damaged.
    pub fn read(gguf: &Gguf) -> Result<Self, EngineError> {
        let file = File::read(gguf)?;
        match gguf.text("tokenizer.ggml.model").unwrap_or("") {
            "gpt2" => file.bpe(gguf.text("tokenizer.ggml.pre").unwrap_or("default")),
            "gemma4" => file.bpe("gemma4"),
            "llama" => file.sentencepiece(),
            "bert" => file.wordpiece(),
            "t5" => file.unigram(),
            other => Err(EngineError::Unsupported(format!(
                "vocabularies of kind `{other}` (`gpt2`, `gemma4`, `llama`, `bert` and `t5` are)"
            ))),
        }
    }
}

/// The lists of a file.
struct File<'g> {
    gguf: &'g Gguf,
    texts: Vec<String>,
    kinds: Vec<u64>,
}

impl<'g> File<'g> {
    fn read(gguf: &'g Gguf) -> Result<Self, EngineError> {
        let texts = strings(gguf, "tokenizer.ggml.tokens")?;
        let mut kinds: Vec<u64> = gguf.list("tokenizer.ggml.token_type").unwrap_or(&[]).iter().map(whole).collect();
        kinds.resize(texts.len(), 1);
        Ok(Self { gguf, texts, kinds })
    }

    fn id(&self, name: &str) -> Option<u32> {
        let id = self.gguf.uint(&format!("tokenizer.ggml.{name}_token_id"))?;
        (id < self.texts.len() as u64).then_some(id as u32)
    }

    fn setting(&self, name: &str, otherwise: bool) -> bool {
        self.gguf.bool(&format!("tokenizer.ggml.{name}")).unwrap_or(otherwise)
    }

    /// Tokens that text can become: neither control tokens nor pieces that are found before the words.
    fn ordinary(&self) -> impl Iterator<Item = (u32, &str, u64)> {
        let all = self.texts.iter().zip(&self.kinds).enumerate();
        let kept = all.filter(|(_, (_, kind))| !matches!(**kind, UNKNOWN | CONTROL | USER_DEFINED));
        kept.map(|(id, (text, kind))| (id as u32, text.as_str(), *kind))
    }

    fn bytes(&self, spelling: Spelling) -> Vec<Vec<u8>> {
        let alphabet = alphabet();
        let bytes = |(text, kind): (&String, &u64)| match (*kind, spelling) {
            (UNKNOWN | CONTROL, _) => Vec::new(),
            (USER_DEFINED, _) => text.clone().into_bytes(),
            (BYTE, _) if byte(text).is_some() => byte(text).into_iter().collect(),
            (_, Spelling::Letters) => unspelled(&alphabet, text).unwrap_or_else(|| text.clone().into_bytes()),
            (_, Spelling::Text) => text.replace('▁', " ").into_bytes(),
        };
        self.texts.iter().zip(&self.kinds).map(bytes).collect()
    }

    /// The tokens of single bytes that are written `<0x0A>`.
    fn byte_tokens(&self) -> Vec<Option<u32>> {
        let mut out = vec![None; 256];
        for (id, text, kind) in self.ordinary() {
            if let Some(b) = byte(text).filter(|_| kind == BYTE) {
                out[usize::from(b)] = Some(id);
            }
        }
        out
    }

    fn bpe(self, pre: &str) -> Result<Tokenizer, EngineError> {
        let Some(family) = family(pre) else {
            return Err(EngineError::Unsupported(format!("vocabularies that split text as `{pre}` does")));
        };
        let spelling = if family.raw { Spelling::Text } else { Spelling::Letters };
        let alphabet = alphabet();
        let spelled = |text: &str| match spelling {
            Spelling::Letters => unspelled(&alphabet, text),
            Spelling::Text => Some(text.as_bytes().to_vec()),
        };
        let mut single = self.byte_tokens();
        let mut ids = HashMap::with_capacity(self.texts.len());
        for (id, text, kind) in self.ordinary().filter(|(.., kind)| *kind != BYTE || !family.raw) {
            // What is not written in letters of bytes can come out of a model, but no text becomes it.
            let Some(bytes) = spelled(text) else { continue };
            if let ([b], false, 1) = (&bytes[..], family.raw, kind) {
                single[usize::from(*b)] = Some(id);
            }
            ids.entry(bytes).or_insert(id);
        }
        let mut merges = Merges::default();
        for (rank, merge) in strings(self.gguf, "tokenizer.ggml.merges")?.iter().enumerate() {
            // The first part may itself be a space.
            let Some(at) = merge.char_indices().skip(1).find(|(_, c)| *c == ' ').map(|(i, _)| i) else { continue };
            let Some((a, b)) = spelled(&merge[..at]).zip(spelled(&merge[at + 1..])) else { continue };
            let both = [a.as_slice(), b.as_slice()].concat();
            if let (Some(a), Some(b), Some(both)) = (ids.get(&a), ids.get(&b), ids.get(&both)) {
                merges.entry((*a, *b)).or_insert((rank as u32, *both));
            }
        }
        let splits = PreTokenizer::new(&family)?;
        let words = Bpe { splits, whole_words: family.whole_words, ids, single, merges, raw: family.raw };
        let begin = self.id("bos").filter(|_| self.setting("add_bos_token", family.begins));
        let end = self.id("eos").filter(|_| self.setting("add_eos_token", false));
        self.finish(Box::new(words), spelling, begin, end)
    }

    fn sentencepiece(self) -> Result<Tokenizer, EngineError> {
        let scores = self.scores()?;
        let of_text = self.ordinary().filter(|(.., kind)| *kind != BYTE);
        let ids: HashMap<Vec<u8>, u32> = of_text.map(|(id, text, _)| (text.as_bytes().to_vec(), id)).collect();
        let words = SentencePiece {
            longest: ids.keys().map(Vec::len).max().unwrap_or(0),
            ids,
            scores: scores.into_iter().map(|s| s as f32).collect(),
            single: self.byte_tokens(),
            unknown: self.id("unknown").or((!self.texts.is_empty()).then_some(0)),
            space_first: self.setting("add_space_prefix", true),
        };
        let first = |name: &str, id: u32| self.id(name).or((self.texts.len() > id as usize).then_some(id));
        let begin = first("bos", 1).filter(|_| self.setting("add_bos_token", true));
        let end = first("eos", 2).filter(|_| self.setting("add_eos_token", false));
        self.finish(Box::new(words), Spelling::Text, begin, end)
    }

    fn wordpiece(self) -> Result<Tokenizer, EngineError> {
        let (mut begins, mut continues) = (HashMap::new(), HashMap::new());
        for (id, text, _) in self.ordinary() {
            match text.strip_prefix('▁') {
                Some(text) => begins.entry(text.to_owned()).or_insert(id),
                None => continues.entry(text.to_owned()).or_insert(id),
            };
        }
        let longest = begins.keys().chain(continues.keys()).map(|t| t.chars().count()).max().unwrap_or(0);
        let lowercase = self.setting("normalizer.lowercase", true);
        let normal = Normaliser::new(lowercase, self.setting("normalizer.strip_accents", lowercase))
            .map_err(|e| EngineError::Unsupported(e.to_string()))?;
        let standard = |names: [&str; 2], id: u32| {
            names.iter().find_map(|n| self.id(n)).or((self.texts.len() > id as usize).then_some(id))
        };
        let words = WordPiece { begins, continues, unknown: standard(["unknown", "unk"], 100), longest, normal };
        // GGUF files write the name of the separator so.
        let (begin, end) = (standard(["bos", "cls"], 101), standard(["seperator", "separator"], 102));
        self.finish(Box::new(words), Spelling::Text, begin, end)
    }

    fn unigram(self) -> Result<Tokenizer, EngineError> {
        let scores = self.scores()?;
        let of_text = self.ordinary().filter(|(.., kind)| *kind != BYTE);
        let score = |id: u32| scores.get(id as usize).copied().unwrap_or(0.0);
        let mut tokens: Vec<(Vec<u8>, u32, f64)> =
            of_text.map(|(id, text, _)| (text.as_bytes().to_vec(), id, score(id))).collect();
        tokens.sort_by(|a, b| a.0.cmp(&b.0));
        let normal = self.kinds.iter().zip(&scores).filter(|(kind, _)| **kind == 1).map(|(_, s)| *s);
        let least = normal.fold(0.0, f64::min);
        let map = match self.gguf.list("tokenizer.ggml.precompiled_charsmap") {
            None => CharMap::default(),
            Some(list) => {
                let bytes: Vec<u8> = list.iter().map(byte_of).collect();
                CharMap::read(&bytes).ok_or_else(|| {
                    EngineError::Damaged("tokenizer.ggml.precompiled_charsmap is cut short".to_owned())
                })?
            }
        };
        let words = Unigram {
            tokens,
            unknown: self.id("unknown").unwrap_or(2),
            unknown_score: least - 10.0,
            map,
            space_first: self.setting("add_space_prefix", true),
            merge_spaces: self.setting("remove_extra_whitespaces", false),
        };
        let begin = self.id("bos").filter(|_| self.setting("add_bos_token", false));
        let end = self.id("eos").filter(|_| self.setting("add_eos_token", true));
        self.finish(Box::new(words), Spelling::Text, begin, end)
    }

    fn scores(&self) -> Result<Vec<f64>, EngineError> {
        let list = self.gguf.list("tokenizer.ggml.scores").unwrap_or(&[]);
        let scores: Vec<f64> = list.iter().filter_map(number).collect();
        if scores.len() != self.texts.len() {
            let (scores, tokens) = (scores.len(), self.texts.len());
            return Err(EngineError::Damaged(format!("its vocabulary has {tokens} tokens and {scores} scores")));
        }
        Ok(scores)
    }

    /// The special tokens: white space around some of them goes with them, by the names of models, as files do not say it.
    fn specials(&self) -> Result<Specials, EngineError> {
        let name = self.gguf.text("general.name").unwrap_or("").to_lowercase();
        let phi3 = name.contains("phi-3") || name.contains("phi3");
        let pre = self.gguf.text("tokenizer.ggml.pre").unwrap_or("");
        let architecture = self.gguf.text("general.architecture").unwrap_or("");
        let mask = pre.starts_with("jina-v2-") || matches!(architecture, "nomic-bert-moe" | "jina-bert-v3");
        let all = self.texts.iter().zip(&self.kinds).enumerate();
        Specials::new(all.filter(|(_, (_, k))| matches!(**k, UNKNOWN | CONTROL | USER_DEFINED)).map(
            |(id, (text, kind))| {
                let rules = Special {
                    id: id as u32,
                    strip_left: mask && text == "<mask>" || name.contains("modern-bert") && text == "[MASK]",
                    strip_right: phi3 && !matches!(text.as_str(), "<unk>" | "<s>" | "<|endoftext|>"),
                };
                (text.clone(), rules, *kind == USER_DEFINED && special::is_plain(text))
            },
        ))
    }

    fn finish(
        self,
        words: Box<dyn Words>,
        spelling: Spelling,
        begin: Option<u32>,
        end: Option<u32>,
    ) -> Result<Tokenizer, EngineError> {
        let special = self.texts.iter().zip(&self.kinds).enumerate();
        let special = special.filter(|(_, (_, kind))| matches!(**kind, CONTROL | USER_DEFINED));
        let names: HashSet<&str> = special.clone().map(|(_, (text, _))| text.as_str()).collect();
        let mut ends: HashSet<u32> = special
            .filter(|(_, (text, _))| special::ends(text, |t| names.contains(t)))
            .map(|(id, _)| id as u32)
            .collect();
        ends.extend(["eos", "eot", "eom"].iter().filter_map(|k| self.id(k)));
        let (specials, bytes) = (self.specials()?, self.bytes(spelling));
        let (begin, end) = (begin.into_iter().collect(), end.into_iter().collect());
        Ok(Tokenizer { words, specials, bytes, texts: self.texts, begin, end, ends })
    }
}

/// The byte that a token like `<0x0A>` stands for.
pub(super) fn byte(text: &str) -> Option<u8> {
    let hex = text.strip_prefix("<0x")?.strip_suffix('>').filter(|h| h.len() == 2)?;
    u8::from_str_radix(hex, 16).ok()
}

fn alphabet() -> HashMap<char, u8> {
    (0..=255u8).map(|b| (letter(b), b)).collect()
}

fn unspelled(alphabet: &HashMap<char, u8>, text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| alphabet.get(&c).copied()).collect()
}

/// The letter that byte-level vocabularies write a byte as: printable Latin-1 stands for itself, the rest follows 255.
pub(super) fn letter(byte: u8) -> char {
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

fn byte_of(m: &Meta) -> u8 {
    match m {
        Meta::UInt(n) => *n as u8,
        Meta::Int(n) => *n as u8,
        _ => 0,
    }
}

fn number(m: &Meta) -> Option<f64> {
    match m {
        Meta::Float(x) => Some(*x),
        Meta::UInt(n) => Some(*n as f64),
        Meta::Int(n) => Some(*n as f64),
        _ => None,
    }
}
