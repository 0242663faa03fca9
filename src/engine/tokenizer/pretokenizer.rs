//! How a family of byte-level vocabularies splits text into words before merging. The expressions are those that the
//! families were trained with, by the names that GGUF files have for them.

use regex::Regex;

use super::super::error::EngineError;

/// English endings after an apostrophe.
macro_rules! ending {
    () => {
        r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
    };
}

/// The last alternatives of most expressions: a run of white space leaves its last character to the word after it.
const SPACES: &str = r"|\s+(?!\S)|\s+";
/// A run of white space in powers of two.
const POWERS: &str = r"|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}";

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str =
    concat!(ending!(), r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+");
const JAIS2: &str = concat!(
    ending!(),
    r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+",
    r"|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}"
);
const QWEN2: &str =
    concat!(ending!(), r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+");
const QWEN35: &str = concat!(
    ending!(),
    r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const NO_ENDINGS: &str = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const SEED: &str =
    concat!(ending!(), r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+");
const BAILING: &str =
    concat!(ending!(), r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+");
const EXAONE_MOE: &str = concat!(
    ending!(),
    r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"
);
const MINICPM: &str =
    concat!(ending!(), r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+");

/// Words by case: upper-case letters, then lower-case ones.
macro_rules! cased {
    ($ending:expr, $number:expr) => {
        concat!(
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
            $ending,
            r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
            $ending,
            "|",
            $number,
            r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )
    };
}
const TEKKEN: &str = cased!("", r"\p{N}");
const GPT4O: &str = cased!("(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?", r"\p{N}{1,3}");
const YOUTU: &str = cased!("(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?", r"\p{N}");

const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const SPARK: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+"##;
/// Letters of Latin, Greek, Cyrillic, Armenian, Georgian, Cherokee, Coptic, Glagolitic, Deseret and some more scripts.
const CASED_LETTERS: &str = concat!(
    r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\x{1F7D}ᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌῐ-\x{1FD3}ῖ-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼ",
    r"ℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+"
);
const WIDE_MARKS: &str = r"\s?[!-/:-~！-／：-～‘-‟　-。]+";
const EAST_ASIAN: &str = "[一-龥ࠀ-一가-퟿]+";
const HAN_AND_KANA: &str = "[一-龥぀-ゟ゠-ヿ]+";
const MARKS: &str = r"[\p{P}\$\+<=>\^~\|`]+";
const NO_MARKS: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";
const LINES: &str = r"[^\n]+|[\n]+";

/// One step of splitting: it cuts each piece that the steps before left.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// By the matches of an expression; what lies between matches is a piece too.
    At(&'static str),
    /// Runs of digits in threes, counted from their end; where `words`, not those that a letter follows.
    Digits { words: bool },
}
use Cut::{At, Digits};

/// A family of vocabularies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    cuts: &'static [Cut],
    /// Whether a word that is a token by itself skips merging.
    pub whole_words: bool,
    /// Whether a sequence has a first token where the file does not say.
    pub begins: bool,
    /// Whether tokens are text with `▁` for spaces, not letters for bytes.
    pub raw: bool,
}

/// The family that files call `name`.
pub(super) fn family(name: &str) -> Option<Family> {
    let cuts: &'static [Cut] = match name {
        "default" => &[At(r"[\p{P}\$\+<=>\^~\|]+"), At(GPT2), At(r"\p{N}+"), At("[0-9][0-9][0-9]")],
        "gpt-2" | "phi-2" | "jina-es" | "jina-de" | "jina-v1-en" | "jina-v2-es" | "jina-v2-de" | "jina-v2-code"
        | "gigachat" | "a.x-4.0" | "mellum" | "modern-bert" | "roberta-bpe" | "exaone4" | "mpt" | "olmo" | "jais"
        | "trillion" | "granite-docling" => &[At(GPT2)],
        "starcoder" | "refact" | "command-r" | "smollm" | "codeshell" | "exaone" | "minerva-7b" | "mellum2" => {
            &[At(r"\p{N}"), At(GPT2)]
        }
        "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0" | "lfm2"
        | "jina-v5-nano" | "dbrx" | "smaug-bpe" | "chatglm-bpe" | "glm4" | "glm5" => &[At(LLAMA3)],
        "jais-2" => &[At(JAIS2)],
        "qwen2" | "deepseek-r1-qwen" | "kormo" | "f2llmv2" | "megrez" | "stablelm2" | "hunyuan" | "solar-open"
        | "grok-2" => &[At(QWEN2)],
        "qwen35" => &[At(QWEN35)],
        "ufakzeka" => &[At(NO_ENDINGS)],
        "laguna" => &[At(LINES), At(QWEN2)],
        "seed-coder" => &[At(SEED)],
        "bailingmoe" | "bailingmoe2" | "llada-moe" => &[At(BAILING)],
        "exaone-moe" => &[At(EXAONE_MOE)],
        "minicpm5" => &[At(r"\p{N}{1,3}"), At(MINICPM)],
        "deepseek-llm" => {
            &[At(r"[\r\n]"), At(CASED_LETTERS), At(WIDE_MARKS), At(r"\s+$"), At(EAST_ASIAN), At(r"\p{N}+")]
        }
        "deepseek-coder" => &[At(r"[\r\n]"), At(r"\s?\p{L}+"), At(r"\s?\p{P}+"), At(EAST_ASIAN), At(r"\p{N}")],
        "deepseek-v3" | "hunyuan-dense" | "joyai-llm" | "hy_v4" => {
            &[At(r"\p{N}{1,3}"), At(HAN_AND_KANA), At(DEEPSEEK3)]
        }
        "spark2_5" => &[At(r"\p{N}{1,3}"), At(HAN_AND_KANA), At(SPARK), At(r"\p{N}")],
        "youtu" => &[At("[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+"), At(YOUTU)],
        "falcon" => &[At(MARKS), At(GPT2), At("[0-9][0-9][0-9]")],
        "poro-chat" | "bloom" | "gpt3-finnish" => &[At(NO_MARKS)],
        "viking" => &[At(NO_MARKS), At(r"\p{N}")],
        "tekken" => &[At(TEKKEN)],
        "gpt-4o" | "llama4" | "kanana2" | "talkie" | "minimax-m2" | "granite-embed-multi-97m" => &[At(GPT4O)],
        "tiny_aya" | "cohere2moe" => &[Digits { words: true }, At(GPT4O)],
        "superbpe" => &[At(r"\p{N}+"), Digits { words: false }],
        "chameleon" => &[
            At("<sentinel:[0-9]+>"),
            At("(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"),
            At(r"([\t\n]|    |  )"),
            At(r"\p{N}"),
            At(r"[\p{P}!-/:-@\[-`{-~]"),
            At(GPT2),
        ],
        "gemma4" | "granite-embed-multi-311m" | "sarvam-moe" => &[At(LINES)],
        _ => return None,
    };
    let llama3 = matches!(
        name,
        "llama3"
            | "llama-v3"
            | "llama-bpe"
            | "falcon3"
            | "falcon-h1"
            | "pixtral"
            | "midm-2.0"
            | "lfm2"
            | "jina-v5-nano"
    );
    let others = matches!(name, "minicpm5" | "youtu" | "glm4" | "glm5" | "tekken" | "granite-embed-multi-97m");
    Some(Family {
        cuts,
        whole_words: llama3 || others,
        begins: llama3 || matches!(name, "tekken" | "chameleon" | "gemma4" | "granite-embed-multi-311m"),
        raw: matches!(name, "gemma4" | "granite-embed-multi-311m" | "sarvam-moe"),
    })
}

/// What becomes of a run of white space before a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spaces {
    /// It stays as it was matched.
    Whole,
    /// It leaves its last character to the word.
    LeaveLast,
    /// The same, in pieces of powers of two characters.
    Powers,
}

enum Step {
    Expression { regex: Regex, spaces: Spaces, lines: bool },
    Digits { regex: Regex, words: bool },
}

/// The steps of a family, ready to run. Time is linear in the text.
pub(super) struct PreTokenizer {
    steps: Vec<Step>,
}

impl PreTokenizer {
    /// The steps of `family`.
    ///
    /// # Errors
    /// An expression is not one of this build's engine of expressions.
    pub fn new(family: &Family) -> Result<Self, EngineError> {
        let steps = family.cuts.iter().map(step).collect::<Result<_, regex::Error>>();
        steps.map(|steps| Self { steps }).map_err(|e| EngineError::Unsupported(e.to_string()))
    }

    /// Gives each word of `text` to `each`, in order.
    pub fn split<'t>(&self, text: &'t str, each: &mut impl FnMut(&'t str)) {
        run(&self.steps, text, each);
    }
}

fn run<'t>(steps: &[Step], text: &'t str, each: &mut impl FnMut(&'t str)) {
    match steps {
        [] => each(text),
        [last] => last.cut(text, &mut *each),
        [first, rest @ ..] => {
            let mut pieces = Vec::new();
            first.cut(text, &mut |piece| pieces.push(piece));
            for piece in pieces {
                run(rest, piece, each);
            }
        }
    }
}

/// White space at the end of an expression is told without looking ahead, which needs no backtracking.
fn step(cut: &Cut) -> Result<Step, regex::Error> {
    Ok(match cut {
        Digits { words } => Step::Digits { regex: Regex::new(r"\d+")?, words: *words },
        At(text) => {
            let ways = [(POWERS, Spaces::Powers), (SPACES, Spaces::LeaveLast)];
            let found = ways.iter().find_map(|(end, spaces)| Some((text.strip_suffix(end)?, *spaces)));
            let (regex, spaces) = match found {
                Some((rest, spaces)) => (Regex::new(&format!(r"{rest}|\s+"))?, spaces),
                None => (Regex::new(text)?, Spaces::Whole),
            };
            // Runs that end in a line's end are then matched by an alternative of their own.
            Step::Expression { regex, spaces, lines: text.contains(r"\s*[\r\n]") }
        }
    })
}

impl Step {
    fn cut<'t>(&self, text: &'t str, each: &mut impl FnMut(&'t str)) {
        match self {
            Self::Expression { regex, spaces, lines } => expression(regex, *spaces, *lines, text, each),
            Self::Digits { regex, words } => digits(regex, *words, text, each),
        }
    }
}

fn expression<'t>(regex: &Regex, spaces: Spaces, lines: bool, text: &'t str, each: &mut impl FnMut(&'t str)) {
    let mut at = 0;
    while let Some(found) = regex.find_at(text, at) {
        if found.start() > at {
            each(&text[at..found.start()]);
        }
        let mut end = found.end();
        let last =
            found.as_str().chars().next_back().filter(|c| c.is_whitespace() && !(lines && matches!(c, '\r' | '\n')));
        if let Some(last) = last.filter(|_| spaces != Spaces::Whole) {
            // The pieces that are followed by white space or the end.
            let most = if end < text.len() { end - last.len_utf8() } else { end };
            if most > found.start() {
                end = most;
            }
            if spaces == Spaces::Powers {
                powers(&text[found.start()..end], each);
                at = end;
                continue;
            }
        }
        if end == found.start() {
            break;
        }
        each(&text[found.start()..end]);
        at = end;
    }
    if at < text.len() {
        each(&text[at..]);
    }
}

/// White space in pieces of 512, 256, … 4 characters, then 2 or 1.
fn powers<'t>(mut run: &'t str, each: &mut impl FnMut(&'t str)) {
    let mut left = run.chars().count();
    while left > 0 {
        let size = [512, 256, 128, 64, 32, 16, 8, 4].into_iter().find(|n| *n <= left).unwrap_or(left.min(2));
        let end = run.char_indices().nth(size).map_or(run.len(), |(i, _)| i);
        each(&run[..end]);
        run = &run[end..];
        left -= size;
    }
}

fn digits<'t>(regex: &Regex, words: bool, text: &'t str, each: &mut impl FnMut(&'t str)) {
    let mut at = 0;
    for found in regex.find_iter(text) {
        let next = text[found.end()..].chars().next();
        if words && next.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        if found.start() > at {
            each(&text[at..found.start()]);
        }
        let places: Vec<usize> = found.as_str().char_indices().map(|(i, _)| found.start() + i).collect();
        at = found.start();
        for place in places.iter().enumerate().filter(|(i, _)| (places.len() - i).is_multiple_of(3)).map(|(_, p)| *p) {
            if place > at {
                each(&text[at..place]);
                at = place;
            }
        }
        each(&text[at..found.end()]);
        at = found.end();
    }
    if at < text.len() {
        each(&text[at..]);
    }
}
