//! Tiny random models of every family against what transformers gives (`tests/data/tiny`, made by `make.py` there), and
//! the bits of their logits against committed ones, which must hold on every processor and in every build.

use std::path::PathBuf;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;

/// Names and digests of the logits of every row of every case.
const MODELS: [(&str, &str); 10] = [
    ("gemma2", "6ba5cbd84a08d3a0"),
    ("gemma3", "330b0383e029d61d"),
    ("gpt2", "81f9f158a5893bf9"),
    ("llama", "91dc67fe61403964"),
    ("llama3-rope", "a946ca05a4fcfcd2"),
    ("mistral", "d773ee9e50a7274d"),
    ("phi3", "d8fa21ddb7aaa556"),
    ("qwen2", "f7d96c0550508fd2"),
    ("qwen3", "1aa1d50f980ec75c"),
    ("smollm3", "c92dda0e71ce4b46"),
];

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny").join(name)
}

fn ids(case: &Value, key: &str) -> Vec<u32> {
    case[key].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as u32).collect()
}

#[test]
fn tiny_models_are_what_transformers_says() {
    let mut digests = Vec::new();
    for (name, _) in MODELS {
        let checkpoint = Checkpoint::open(&folder(name)).unwrap();
        let model = Model::load(&checkpoint, 2).unwrap();
        let expected: Value =
            serde_json::from_slice(&std::fs::read(folder(name).join("expected.json")).unwrap()).unwrap();
        let mut sha = Sha256::new();
        let cases = expected["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 4);
        for case in cases {
            let prompt = ids(case, "ids");
            let (mut runner, mut kv) = (Runner::new(1), Kv::new(&model.shape, 512));
            let (sequence, _) = kv.open(&prompt).unwrap();
            let mut forward = |tokens: &[u32], want| {
                let feed = Feed { sequence, tokens, want };
                runner.forward(&model, &mut kv, &[feed], CHUNK, &|| false).unwrap()
            };
            let all = forward(&prompt, Want::All);
            all.iter().for_each(|x| sha.update(x.to_le_bytes()));
            let mut logits = all[all.len() - model.shape.vocabulary..].to_vec();
            for (got, wanted) in logits.iter().zip(case["logits"].as_array().unwrap()) {
                let wanted = wanted.as_f64().unwrap();
                assert!((f64::from(*got) - wanted).abs() < 1e-4, "{name}: {got} and {wanted}");
            }
            let mut sampler = Sampler::new(Sampling::default(), &prompt);
            for wanted in ids(case, "new_ids") {
                assert_eq!(sampler.next(&mut logits, None), Some(wanted), "{name}");
                logits = forward(&[wanted], Want::Last);
                logits.iter().for_each(|x| sha.update(x.to_le_bytes()));
            }
        }
        digests.push((name, sha.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect::<String>()));
    }
    let committed: Vec<(&str, String)> = MODELS.iter().map(|(n, d)| (*n, (*d).to_owned())).collect();
    assert_eq!(digests, committed, "the bits of logits have changed: that is another numeric contract");
}
