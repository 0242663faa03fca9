//! Rows that other programs' tests hold, and what must be true of any text.

use std::path::{Path, PathBuf};

use super::super::error::EngineError;
use super::super::gguf::Gguf;
use super::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vocabularies")
}

fn vocabulary(name: &str) -> Tokenizer {
    Tokenizer::read(&Gguf::open(&folder().join(format!("{name}.gguf"))).unwrap()).unwrap()
}

const NAMES: [&str; 15] = [
    "bert-bge",
    "command-r",
    "deepseek-coder",
    "deepseek-llm",
    "falcon",
    "gemma-4",
    "gpt-2",
    "llama-bpe",
    "llama-spm",
    "mpt",
    "phi-3",
    "qwen2",
    "qwen35",
    "refact",
    "starcoder",
];

#[test]
fn every_row_of_every_vocabulary_is_equal() {
    let mut count = 0;
    for name in NAMES {
        let t = vocabulary(name);
        let rows = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
        let rows: Vec<(String, Vec<u32>)> = serde_json::from_str(&rows).unwrap();
        for (text, expected) in &rows {
            assert_eq!(&t.encode_text(text), expected, "{name}: {text:?}");
        }
        count += rows.len();
    }
    assert_eq!(count, 15 * 47 - 1 + 4);
}

/// Byte-level vocabularies give back every byte, and so do those with tokens for bytes.
#[test]
fn text_comes_back() {
    for name in NAMES.into_iter().filter(|n| *n != "bert-bge") {
        let t = vocabulary(name);
        for text in ["a  b\n\n\tc ", "감자 12345 don't", " ", "\u{1f954}\r\n", "IT'S\u{3000}1234 ÉTÉ", "<|im_end|></s>"]
        {
            let bytes: Vec<u8> = t.encode_text(text).iter().flat_map(|id| t.bytes(*id)).copied().collect();
            let back = String::from_utf8(bytes).unwrap();
            // SentencePiece sets a space before a text.
            let spaced = matches!(name, "llama-spm" | "phi-3");
            assert_eq!(back.strip_prefix(if spaced { " " } else { "" }).unwrap(), text, "{name}");
        }
    }
}

#[test]
fn control_tokens_are_told_by_where_they_stand() {
    let t = vocabulary("phi-3");
    let names = |spans: &[Span]| t.encode(spans).into_iter().map(|id| t.text(id).to_owned()).collect::<Vec<_>>();
    // The first token is written once, and white space after a control token of this model goes with it.
    let spans = [Span::new("<s><|user|>\n\n", true), Span::new("<|end|>", false), Span::new("<|end|>\n", true)];
    let got = names(&spans);
    assert_eq!(got.iter().filter(|n| *n == "<s>").count(), 1);
    assert_eq!(got[1], "<|user|>");
    assert_eq!(got.last().unwrap(), "<|end|>");
    assert_eq!(got.iter().filter(|n| *n == "<|end|>").count(), 1, "{got:?}");
    assert!(t.is_end(*t.encode(&[Span::new("<|end|>", true)]).last().unwrap()));
    assert_eq!(t.control_in("a <|end|> b"), Some("<|end|>"));
    assert_eq!(vocabulary("mpt").control_in("a    b"), None);
    assert!(special::is_plain("    ") && special::is_plain("</strong>") && special::is_plain("õ"));
    assert!(
        !special::is_plain("</think>")
            && !special::is_plain("</s>")
            && !special::is_plain("[INST]")
            && !special::is_plain("<tool_call>")
    );
    assert!(special::ends("<|end|>", |_| false) && !special::ends("<|end|>", |t| t.starts_with("<|")));
    assert!(!special::ends("<|start|>", |_| false));
}

#[test]
fn time_is_linear_in_the_text() {
    let texts =
        ["a", " ", "\n", "1", "한", "\u{200d}", "A ", "'s", "\u{300}", "\t \n"].map(|s| s.repeat(200_000 / s.len()));
    for name in NAMES {
        let t = vocabulary(name);
        for text in &texts {
            let began = std::time::Instant::now();
            assert!(!t.encode_text(text).is_empty() || name == "bert-bge");
            // Many times what a busy machine takes; anything quadratic takes far longer.
            assert!(began.elapsed().as_secs() < 10, "{name}: {:?}… took {:?}", &text[..8], began.elapsed());
        }
    }
}

#[test]
fn an_unknown_family_is_refused_by_name() {
    assert!(pretokenizer::family("kimi-k2").is_none());
    let bytes = std::fs::read(folder().join("gpt-2.gguf")).unwrap();
    let key = b"tokenizer.ggml.pre";
    let at = bytes.windows(key.len()).position(|w| w == key).unwrap() + key.len() + 12;
    let with = |name: &[u8; 5]| {
        let mut bytes = bytes.clone();
        bytes[at..at + 5].copy_from_slice(name);
        Tokenizer::read(&Gguf::read(Path::new("x"), &bytes[..], bytes.len() as u64).unwrap())
    };
    assert_eq!(
        with(b"other").unwrap_err(),
        EngineError::Unsupported("vocabularies that split text as `other` does".into())
    );
    assert!(with(b"gpt-2").is_ok());
}

/// Words of a text by the family's own expressions.
fn words(name: &str, text: &str) -> Vec<String> {
    let family = pretokenizer::family(name).unwrap();
    let mut out = Vec::new();
    pretokenizer::PreTokenizer::new(&family).unwrap().split(text, &mut |w| out.push(w.to_owned()));
    assert_eq!(out.concat(), text);
    out
}

#[test]
fn families_split_by_their_own_expressions() {
    assert_eq!(words("tiny_aya", "1234567 1234é"), ["1", "234", "567", " ", "123", "4", "é"]);
    assert_eq!(words("superbpe", "ab 12345"), ["ab ", "12", "345"]);
    assert_eq!(words("jais-2", "a       b"), ["a", "    ", "  ", " b"]);
    assert_eq!(words("tekken", "ÉCOLEs"), ["ÉCOLEs"]);
    assert_eq!(words("gpt-4o", "fooBar's"), ["foo", "Bar's"]);
    assert_eq!(words("llama-bpe", "a  \n\n  b"), ["a", "  \n\n", " ", " b"]);
    assert_eq!(words("gpt-2", "a \n b"), ["a", " \n", " b"]);
    assert_eq!(words("qwen2", "'Re 12"), ["'Re", " ", "1", "2"]);
}

fn json(name: &str) -> (Tokenizer, Vec<(String, Vec<u32>)>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tokenizer_json");
    let read = |end: &str| std::fs::read_to_string(folder.join(format!("{name}.{end}"))).unwrap();
    (Tokenizer::from_json(&read("json"), &[]).unwrap(), serde_json::from_str(&read("rows.json")).unwrap())
}

#[test]
fn every_row_of_a_tokenizer_json_is_equal() {
    let (t, rows) = json("minilm");
    for (text, expected) in &rows {
        assert_eq!(&t.encode(&[Span::new(text, false)]), expected, "{text:?}");
    }
    let (tiny, others) = json("tiny");
    for (text, expected) in &others {
        assert_eq!(&tiny.encode_text(text), expected, "{text:?}");
    }
    assert_eq!((rows.len(), others.len()), (10, 4));
}

#[test]
fn control_tokens_of_a_tokenizer_json_are_told_by_where_they_stand() {
    let (t, _) = json("tiny");
    let names = |spans: &[Span]| t.encode(spans).into_iter().map(|id| t.text(id).to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&[Span::new("a</s>", true)]), ["a", "</s>"]);
    assert_eq!(names(&[Span::new("a</s>", false)]), ["a", "<", "/", "s", ">"]);
    assert_eq!(t.control_in("x</s>"), Some("</s>"));
    assert_eq!((t.bytes(2), t.bytes(4)), (&b""[..], &b"a"[..]));
    assert!(Tokenizer::from_json("{}", &[]).is_err() && Tokenizer::from_json("[", &[]).is_err());
}
