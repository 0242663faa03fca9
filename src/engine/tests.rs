//! A tiny model of random weights in every stored form, written as a GGUF file: damage, tokens, and equal bits.

use std::path::{Path, PathBuf};

use super::gguf::TensorKind;
use super::*;

const WIDTH: usize = 256;
const INNER: usize = 512;

/// Writes GGUF 3.
#[derive(Default)]
struct Writer {
    meta: Vec<u8>,
    metas: u64,
    infos: Vec<u8>,
    data: Vec<u8>,
    tensors: u64,
}

impl Writer {
    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }

    fn meta(&mut self, key: &str, kind: u32, value: &[u8]) {
        Self::text(&mut self.meta, key);
        self.meta.extend(kind.to_le_bytes());
        self.meta.extend(value);
        self.metas += 1;
    }

    fn uint(&mut self, key: &str, value: u32) {
        self.meta(key, 4, &value.to_le_bytes());
    }

    fn string(&mut self, key: &str, value: &str) {
        let mut out = Vec::new();
        Self::text(&mut out, value);
        self.meta(key, 8, &out);
    }

    fn strings(&mut self, key: &str, values: &[String]) {
        let mut out = 8u32.to_le_bytes().to_vec();
        out.extend((values.len() as u64).to_le_bytes());
        for v in values {
            Self::text(&mut out, v);
        }
        self.meta(key, 9, &out);
    }

    fn tensor(&mut self, name: &str, kind: TensorKind, number: u32, dims: &[usize]) {
        Self::text(&mut self.infos, name);
        self.infos.extend((dims.len() as u32).to_le_bytes());
        for d in dims {
            self.infos.extend((*d as u64).to_le_bytes());
        }
        self.infos.extend(number.to_le_bytes());
        self.infos.extend((self.data.len() as u64).to_le_bytes());
        let random = Philox::new(self.tensors);
        let count: usize = dims.iter().product();
        let number = |i: usize| (random.uniform(0, i as u64) * 0.2 - 0.1) as f32;
        match kind {
            TensorKind::F32 => (0..count).for_each(|i| self.data.extend((1.0 + number(i)).to_le_bytes())),
            TensorKind::F16 => (0..count).for_each(|i| self.data.extend(half::f16::from_f32(number(i)).to_le_bytes())),
            _ => {
                let (values, bytes) = kind.block();
                for b in 0..count / values {
                    let mut block: Vec<u8> =
                        (0..bytes).map(|i| random.block([b as u32, i as u32, 1, 0])[0] as u8).collect();
                    // The half-precision numbers of a block become small ones: 0.0078 and the like.
                    for at in match kind {
                        TensorKind::Q4_1 | TensorKind::Q5_1 | TensorKind::Q4K | TensorKind::Q5K => vec![1, 3],
                        TensorKind::Q6K => vec![209],
                        TensorKind::Q3K => vec![109],
                        TensorKind::Q2K => vec![81, 83],
                        _ => vec![1],
                    } {
                        block[at] = if matches!(values, 32) { 0x14 } else { 0x04 };
                    }
                    self.data.extend(block);
                }
            }
        }
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        self.tensors += 1;
    }

    fn finish(self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend(self.tensors.to_le_bytes());
        out.extend(self.metas.to_le_bytes());
        out.extend(self.meta);
        out.extend(self.infos);
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(self.data);
        out
    }
}

/// The letters of bytes 0 to 255 as byte-level vocabularies write them, in the order of GPT-2's list.
fn letters() -> Vec<String> {
    let itself = |b: u32| (33..=126).contains(&b) || (161..=172).contains(&b) || (174..=255).contains(&b);
    let shown = (0..256).filter(|b| itself(*b));
    let moved = 256..256 + (0..256).filter(|b| !itself(*b)).count() as u32;
    shown.chain(moved).map(|c| char::from_u32(c).unwrap().to_string()).collect()
}

fn tiny() -> Vec<u8> {
    let mut w = Writer::default();
    w.string("general.architecture", "llama");
    for (key, value) in [
        ("block_count", 2),
        ("context_length", 512),
        ("embedding_length", WIDTH as u32),
        ("feed_forward_length", INNER as u32),
        ("attention.head_count", 8),
        ("attention.head_count_kv", 2),
    ] {
        w.uint(&format!("llama.{key}"), value);
    }
    w.meta("llama.attention.layer_norm_rms_epsilon", 6, &1e-5f32.to_le_bytes());
    let mut tokens = letters();
    tokens.extend(["th", "the", "Ġthe", "<|end|>"].map(str::to_owned));
    let kinds: Vec<u8> = (0..tokens.len()).flat_map(|i| if i == 259 { 3i32 } else { 1 }.to_le_bytes()).collect();
    let kinds = [&5u32.to_le_bytes()[..], &(tokens.len() as u64).to_le_bytes(), &kinds].concat();
    w.string("tokenizer.ggml.model", "gpt2");
    w.string("tokenizer.ggml.pre", "smollm");
    w.meta("tokenizer.ggml.token_type", 9, &kinds);
    w.strings("tokenizer.ggml.tokens", &tokens);
    w.strings("tokenizer.ggml.merges", &["t h", "th e", "Ġ the"].map(str::to_owned));
    w.uint("tokenizer.ggml.eos_token_id", 259);
    w.tensor("token_embd.weight", TensorKind::Q8_0, 8, &[WIDTH, 260]);
    w.tensor("output_norm.weight", TensorKind::F32, 0, &[WIDTH]);
    let kinds = [
        [
            (TensorKind::Q4_1, 3),
            (TensorKind::Q4_0, 2),
            (TensorKind::Q5_0, 6),
            (TensorKind::Q5_1, 7),
            (TensorKind::F16, 1),
            (TensorKind::Q8_0, 8),
            (TensorKind::Q4_1, 3),
        ],
        [
            (TensorKind::Q2K, 10),
            (TensorKind::Q3K, 11),
            (TensorKind::Q4K, 12),
            (TensorKind::Q5K, 13),
            (TensorKind::Q6K, 14),
            (TensorKind::F32, 0),
            (TensorKind::Q4K, 12),
        ],
    ];
    for (l, kinds) in kinds.iter().enumerate() {
        let parts = [
            ("attn_q", WIDTH, WIDTH),
            ("attn_k", WIDTH, 64),
            ("attn_v", WIDTH, 64),
            ("attn_output", WIDTH, WIDTH),
            ("ffn_gate", WIDTH, INNER),
            ("ffn_up", WIDTH, INNER),
            ("ffn_down", INNER, WIDTH),
        ];
        w.tensor(&format!("blk.{l}.attn_norm.weight"), TensorKind::F32, 0, &[WIDTH]);
        w.tensor(&format!("blk.{l}.ffn_norm.weight"), TensorKind::F32, 0, &[WIDTH]);
        for ((part, columns, rows), (kind, number)) in parts.into_iter().zip(kinds) {
            w.tensor(&format!("blk.{l}.{part}.weight"), *kind, *number, &[columns, rows]);
        }
    }
    w.finish()
}

pub(super) struct TempFile(pub(super) PathBuf);

impl TempFile {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("chainrun-{name}-{}.gguf", std::process::id()));
        std::fs::write(&path, tiny()).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The shape of the tiny model.
pub fn shape() -> Shape {
    let bytes = tiny();
    shape_gguf::read(&Gguf::read(Path::new("x"), &bytes[..], bytes.len() as u64).unwrap()).unwrap()
}

fn feed(sequence: SequenceId, tokens: &[u32], want: Want) -> Feed<'_> {
    Feed { sequence, tokens, want }
}

/// Bits of the logits of every token.
fn logits(runner: &mut Runner, model: &Model, kv: &mut Kv, tokens: &[u32], chunk: usize) -> Vec<u32> {
    let (sequence, known) = kv.open(tokens).unwrap();
    let logits = runner.forward(model, kv, &[feed(sequence, &tokens[known..], Want::All)], chunk, &|| false).unwrap();
    kv.close(sequence);
    logits.into_iter().map(f32::to_bits).collect()
}

#[test]
#[allow(clippy::print_stdout, reason = "which instruction sets were held is told")]
fn logits_do_not_depend_on_cuts_threads_or_instructions() {
    let file = TempFile::new("cuts");
    let about = Description::open(&file.0).unwrap();
    let model = about.load(2).unwrap();
    let tokens: Vec<u32> = (0..70).map(|i| i * 37 % 256).collect();
    let run = |threads, isa, chunk| {
        logits(&mut Runner::with_isa(threads, isa), &model, &mut Kv::new(&model.shape, 100), &tokens, chunk)
    };
    let expected = run(1, Isa::Scalar, 70);
    assert_eq!(expected.len(), 70 * 260);
    for isa in Isa::available() {
        println!("{isa:?}");
        for threads in [1, 2, 4] {
            for chunk in [1, 7, 32, 70] {
                assert!(run(threads, isa, chunk) == expected, "{isa:?}, {threads} threads, chunks of {chunk}");
            }
        }
    }
}

#[test]
fn logits_do_not_depend_on_a_warm_cache_or_company() {
    let file = TempFile::new("warm");
    let about = Description::open(&file.0).unwrap();
    let model = about.load(1).unwrap();
    let random = Philox::new(3);
    let mut drawn = 0;
    let mut number = |below: u64| {
        drawn += 1;
        (random.uniform(0, drawn) * below as f64) as usize
    };
    // Six prompts that share beginnings of any length.
    let common: Vec<u32> = (0..90).map(|i| i * 31 % 256).collect();
    let prompts: Vec<Vec<u32>> = (0..6)
        .map(|p| {
            let mut tokens = common[..number(90)].to_vec();
            tokens.extend((0..=number(40) as u32).map(|i| (i * 7 + p * 13) % 256));
            tokens
        })
        .collect();
    let alone: Vec<Vec<u32>> = prompts
        .iter()
        .map(|p| logits(&mut Runner::new(1), &model, &mut Kv::new(&model.shape, 200), p, CHUNK))
        .collect();
    let mut runner = Runner::new(2);
    let mut kv = Kv::new(&model.shape, 2000);
    for round in 0..20 {
        // Some of them together, cut anywhere, on what earlier rounds left.
        let mut running: Vec<(usize, SequenceId, usize)> = Vec::new();
        for (p, prompt) in prompts.iter().enumerate() {
            if number(3) > 0 {
                let (sequence, known) = kv.open(prompt).unwrap();
                running.push((p, sequence, known));
            }
        }
        while !running.is_empty() {
            let cuts: Vec<usize> =
                running.iter().map(|(p, _, at)| at + 1 + number((prompts[*p].len() - at) as u64)).collect();
            let feeds: Vec<Feed<'_>> = running
                .iter()
                .zip(&cuts)
                .map(|((p, sequence, at), cut)| feed(*sequence, &prompts[*p][*at..*cut], Want::All))
                .collect();
            let got = runner.forward(&model, &mut kv, &feeds, 1 + number(64), &|| false).unwrap();
            let mut got = got.chunks_exact(260);
            for ((p, _, at), cut) in running.iter_mut().zip(&cuts) {
                for row in *at..*cut {
                    let expected = &alone[*p][row * 260..(row + 1) * 260];
                    assert!(
                        got.next().unwrap().iter().map(|x| x.to_bits()).eq(expected.iter().copied()),
                        "round {round}, prompt {p}, row {row}"
                    );
                }
                *at = *cut;
            }
            running.retain(|(p, sequence, at)| {
                let done = *at == prompts[*p].len();
                if done {
                    kv.close(*sequence);
                }
                !done
            });
        }
    }
}

#[test]
fn a_beginning_is_computed_once_and_old_pages_make_room() {
    let file = TempFile::new("once");
    let about = Description::open(&file.0).unwrap();
    let model = about.load(1).unwrap();
    let (mut runner, mut kv) = (Runner::new(1), Kv::new(&model.shape, 600));
    let prompt = |own: u32| -> Vec<u32> {
        (0..265).map(|i| i * 31 % 256).chain((0..20).map(|i| (i + own * 20) % 256)).collect()
    };
    for own in 1..=6 {
        logits(&mut runner, &model, &mut kv, &prompt(own), CHUNK);
    }
    assert!(runner.computed() - 285 <= 120, "{} rows", runner.computed());
    // Other prompts push out what was used longest ago, never what is in use.
    let (kept, known) = kv.open(&prompt(6)).unwrap();
    assert_eq!(known, 284);
    for round in 0..40u32 {
        let tokens: Vec<u32> = (0..100).map(|i| (i * 3 + round) % 256).collect();
        logits(&mut runner, &model, &mut kv, &tokens, CHUNK);
        assert_eq!(kv.length(kept), 284);
    }
    let all = kv.room();
    kv.close(kept);
    assert!(kv.room() > all);
    let long: Vec<u32> = (0..700).map(|i| i % 256).collect();
    let (sequence, _) = kv.open(&long).unwrap();
    let got = runner.forward(&model, &mut kv, &[feed(sequence, &long, Want::Last)], 1000, &|| false);
    assert_eq!(got, Err(EngineError::Full));
    kv.close(sequence);
    assert_eq!(kv.room(), kv.capacity());
}

#[test]
fn a_stop_is_obeyed_and_leaves_the_cache_whole() {
    let file = TempFile::new("stop");
    let about = Description::open(&file.0).unwrap();
    let model = about.load(1).unwrap();
    let (mut runner, mut kv) = (Runner::new(1), Kv::new(&model.shape, 64));
    let (s, _) = kv.open(&[1, 2]).unwrap();
    let got = runner.forward(&model, &mut kv, &[feed(s, &[1, 2], Want::Last)], 1, &|| true);
    assert_eq!(got, Err(EngineError::Stopped));
    assert_eq!(kv.length(s), 0);
    let got = runner.forward(&model, &mut kv, &[feed(s, &[260], Want::Last)], 1, &|| false);
    assert!(matches!(got, Err(EngineError::Prompt(_))));
}

#[test]
fn a_damaged_file_is_an_error() {
    let whole = tiny();
    let read = |bytes: &[u8]| Gguf::read(Path::new("x"), bytes, bytes.len() as u64);
    assert!(read(&whole).is_ok());
    for end in (0..whole.len()).step_by(97).chain(0..400) {
        assert!(read(&whole[..end]).is_err(), "cut after {end} bytes");
    }
    // Any byte may be wrong: it must end in an error or a reading, not in a panic or a huge allocation.
    for at in (0..6000).chain((6000..20_000).step_by(7)) {
        for value in [0, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            if let Ok(gguf) = read(&bytes) {
                let _ = shape_gguf::read(&gguf);
            }
            // Vocabularies take longer to read.
            if at % 16 == 0
                && let Ok(gguf) = read(&bytes)
            {
                let _ = Tokenizer::read(&gguf);
            }
        }
    }
}

#[test]
fn text_comes_back() {
    let bytes = tiny();
    let t = Tokenizer::read(&Gguf::read(Path::new("x"), &bytes[..], bytes.len() as u64).unwrap()).unwrap();
    for text in ["the other", "a  b\n\n\tc ", "감자 12345 don't", "", " ", "\u{1f954}\r\n"] {
        let tokens = t.encode(&[Span::new(text, false)]);
        let back: Vec<u8> = tokens.iter().flat_map(|id| t.bytes(*id)).copied().collect();
        assert_eq!(String::from_utf8(back).unwrap(), text);
    }
    let name = |spans: &[Span]| t.encode(spans).into_iter().map(|id| t.text(id).to_owned()).collect::<Vec<_>>();
    assert_eq!(name(&[Span::new("the the", false)]), ["the", "Ġthe"]);
    // A word may span stretches, a control token may not, and in a value it is text.
    assert_eq!(name(&[Span::new("t", true), Span::new("he", false)]), ["the"]);
    assert_eq!(name(&[Span::new("<|end|>", true)]), ["<|end|>"]);
    assert!(!name(&[Span::new("<|end|>", false)]).contains(&"<|end|>".to_owned()));
    assert!(!name(&[Span::new("<|en", true), Span::new("d|>", false)]).contains(&"<|end|>".to_owned()));
    assert!(t.is_end(259));
}

#[tokio::test]
async fn a_service_answers_and_is_shared() {
    let file = TempFile::new("service");
    let service = Service::open(&file.0, 2).unwrap();
    assert!(std::sync::Arc::ptr_eq(&service, &Service::open(&file.0, 2).unwrap()));
    let job = |max_tokens| Job {
        tokens: vec![1, 2, 3],
        sampling: Sampling { temperature: 1.0, seed: 5, ..Sampling::default() },
        max_tokens,
        context: 512,
        stop: Vec::new(),
        grammar: None,
        chances: None,
    };
    let mut texts = Vec::new();
    for _ in 0..2 {
        let mut running = service.start(job(20));
        let mut text = String::new();
        while let Some(piece) = running.next().await {
            match piece {
                Piece::Text(t) => text.push_str(&t),
                Piece::Done { tokens, .. } => assert!(tokens <= 20),
                Piece::Likely(_) => panic!("nobody asked how likely tokens were"),
                Piece::Failed(e) => panic!("{e}"),
            }
        }
        texts.push(text);
    }
    assert_eq!(texts[0], texts[1]);
    // A reader that goes away does not keep the next one waiting.
    drop(service.start(job(500)));
    assert!(service.start(job(1)).next().await.is_some());
}
