//! The small real model through the binary. Its weights lie where the user's own do; what lacks them fetches them
//! through the product's own code.

use std::sync::OnceLock;
use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::Outcome;
use crate::process::{Call, Done, TempDir, short};

/// The catalog name.
const MODEL: &str = "smollm2:135m";

const POTATO: &str =
    "var word: string\nchain main = \"What is a {{ word }}?\" | local(\"smollm2:135m\", max_tokens: 40) | text\n";

/// The trials.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("model::answers_and_streams", answers),
        Trial::test("model::the_first_piece_comes_early", streams),
        Trial::test("model::the_same_bytes_twice", twice),
        Trial::test("model::a_seed_is_repeatable", seed),
        Trial::test("model::cut_by_max_tokens_is_said", cut),
        Trial::test("model::the_readme_file_runs", potato),
        Trial::test("model::the_examples_run_the_same_twice", examples),
        Trial::test("model::raw_text_goes_out_as_it_stands", raw),
        Trial::test("model::a_value_opens_no_role", roles),
        Trial::test("model::explain_renders_its_template", explain),
        Trial::test("model::a_prompt_that_does_not_fit_is_refused", too_long),
        Trial::test("model::the_oldest_messages_go_where_the_file_says_so", overflow),
        Trial::test("model::is_listed", listed),
    ]
}

/// Fetches the weights once, unless they are there.
fn weights() -> Result<(), String> {
    static READY: OnceLock<Result<(), String>> = OnceLock::new();
    READY
        .get_or_init(|| {
            let temp = TempDir::new().map_err(|e| e.to_string())?;
            let call = Call::new(temp.path()).map_err(|e| e.to_string())?;
            let done = call.with_models().args(["models", "pull", MODEL]).limit(900).run()?;
            if done.code == Some(0) {
                return Ok(());
            }
            Err(format!(
                "the weights of {MODEL} are missing; with a network, type: chainrun models pull {MODEL}\n{}",
                done.err()
            ))
        })
        .clone()
}

/// Runs a file with the real model.
fn run(text: &str, args: &[&str]) -> Result<Done, Box<dyn std::error::Error>> {
    weights()?;
    let temp = TempDir::new()?;
    temp.write("main.chain", text)?;
    Ok(Call::new(temp.path())?.with_models().args(args).limit(300).run()?)
}

fn succeed(done: Done) -> Result<Done, Box<dyn std::error::Error>> {
    if done.code == Some(0) { Ok(done) } else { Err(format!("exit {:?}\n{}", done.code, short(&done.stderr)).into()) }
}

fn ensure(holds: bool, why: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(why.into().into()) }
}

fn answers() -> Outcome {
    weights()?;
    let temp = TempDir::new()?;
    temp.write("main.chain", POTATO)?;
    let args = ["main.chain", "--var", "word=potato", "--events", "events.jsonl"];
    let done =
        succeed(Call::new(temp.path())?.with_models().args(args).limit(300).run()?).map_err(|e| e.to_string())?;
    let text = std::fs::read_to_string(temp.path().join("events.jsonl"))?;
    let mut said = String::new();
    let mut tokens = 0;
    for line in text.lines() {
        let event: Value = serde_json::from_str(line)?;
        if event["event"] == "token" {
            tokens += 1;
            said.push_str(event["text"].as_str().unwrap_or_default());
        }
    }
    ensure(tokens >= 20, format!("{tokens} token events\n{text}"))?;
    ensure(
        done.out().trim_end_matches('\n') == said.trim_end_matches('\n'),
        format!("stdout {:?}, tokens {said:?}", done.out()),
    )?;
    ensure(said.to_lowercase().contains("potato"), format!("nothing about potatoes: {said}"))
}

fn twice() -> Outcome {
    let args = ["main.chain", "--var", "word=감자"];
    let one = succeed(run(POTATO, &args).map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    let two = succeed(run(POTATO, &args).map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    ensure(!one.out().trim().is_empty(), "an empty answer")?;
    ensure(one.stdout == two.stdout, format!("{}\n---\n{}", one.out(), two.out()))
}

fn seed() -> Outcome {
    let text = |seed: u32| {
        format!(
            "chain main = \"Name an animal and what it eats.\" | local(\"smollm2:135m\", max_tokens: 24, temperature: 1.0, seed: {seed}) | text\n"
        )
    };
    let mut answers = Vec::new();
    for seed in [1, 1, 2, 3] {
        let done = succeed(run(&text(seed), &["main.chain"]).map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
        answers.push(done.out());
    }
    ensure(answers[0] == answers[1], format!("one seed, two answers: {answers:?}"))?;
    ensure(answers[0] != answers[2] || answers[0] != answers[3], format!("three seeds, one answer: {answers:?}"))
}

fn cut() -> Outcome {
    let text = "chain main = \"Tell a long story about a farm.\" | local(\"smollm2:135m\", max_tokens: 3) | text\n";
    let done = succeed(run(text, &["main.chain"]).map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    ensure(done.err().contains("max_tokens"), format!("stderr does not say so: {}", done.err()))
}

fn potato() -> Outcome {
    weights()?;
    let args = ["pipelines/potato.chain", "--var", "word=potato"];
    let done = Call::new(crate::root())?.with_models().args(args).limit(300).run()?;
    let done = succeed(done).map_err(|e| e.to_string())?;
    ensure(done.out().to_lowercase().contains("potato"), done.out())
}

/// The two files of `tests/data/examples` whose model is replaced by the small one.
fn examples() -> Outcome {
    weights()?;
    let temp = crate::examples::folder()?;
    let run = |file: &str, model: &str| {
        let args = [file, "--var", "word=potato", "--model", model];
        let args = [&args[..], crate::examples::other_embedder(file)].concat();
        succeed(Call::new(temp.path())?.with_models().args(args).limit(300).run()?)
    };
    let model = "local(\"smollm2:135m\", max_tokens: 40)";
    for (file, model) in [("bare.chain", model.to_owned()), ("examples.chain", format!("mistral={model}"))] {
        let one = run(file, &model).map_err(|e| e.to_string())?;
        let two = run(file, &model).map_err(|e| e.to_string())?;
        ensure(one.out().to_lowercase().contains("potato"), format!("{file}: {}", one.out()))?;
        ensure(one.stdout == two.stdout, format!("{file}: {}\n---\n{}", one.out(), two.out()))?;
    }
    Ok(())
}

fn raw() -> Outcome {
    let text = "chain main = raw \"<|im_start|>user\\nSay hello.<|im_end|>\\n<|im_start|>assistant\\n\" | local(\"smollm2:135m\", max_tokens: 20) | text\n";
    let by_hand =
        succeed(run(text, &["main.chain", "--quiet"]).map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    ensure(!by_hand.out().trim().is_empty(), "an empty answer")
}

/// A value that spells a control token is read as plain text, letter groups that it is, in messages and raw prompts alike:
/// it counts as several tokens, not as the one that would end a role.
fn roles() -> Outcome {
    for prompt in
        ["\"What is a {{ word }}?\"", "raw \"<|im_start|>user\\n{{ word }}<|im_end|>\\n<|im_start|>assistant\\n\""]
    {
        let file =
            format!("chain main = {prompt} | local(\"smollm2:135m\", max_tokens: 1) as a | {{{{ a.tokens.input }}}}\n");
        let mut counts = Vec::new();
        for word in ["x", "<|im_end|>"] {
            let args = ["main.chain", "--quiet", "--var", &format!("word={word}")];
            let done = succeed(run(&file, &args).map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
            counts.push(done.out().trim().parse::<u32>()?);
        }
        ensure(counts[1] >= counts[0] + 3, format!("{prompt}: {counts:?} tokens"))?;
    }
    Ok(())
}

/// The first piece of the answer is on standard output in the first half of the run's time.
fn streams() -> Outcome {
    use std::io::Read;
    weights()?;
    let temp = TempDir::new()?;
    let file = "chain main = \"Tell a long story about a farm.\" | local(\"smollm2:135m\", max_tokens: 150) | text\n";
    temp.write("main.chain", file)?;
    let mut command = std::process::Command::new(crate::process::BINARY);
    command.current_dir(temp.path()).arg("main.chain").stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let began = std::time::Instant::now();
    let mut child = command.spawn()?;
    let mut out = child.stdout.take().ok_or("no output")?;
    let mut first = [0; 1];
    out.read_exact(&mut first)?;
    let at = began.elapsed();
    let mut rest = String::new();
    out.read_to_string(&mut rest)?;
    let status = child.wait()?;
    let all = began.elapsed();
    ensure(status.success() && at < all / 2, format!("{status}, first piece after {at:?} of {all:?}"))
}

fn explain() -> Outcome {
    let done = run(POTATO, &["explain", "main.chain", "--var", "word=potato"]).map_err(|e| e.to_string())?;
    let text = succeed(done).map_err(|e| e.to_string())?.out();
    ensure(text.contains("What is a potato?") && text.contains("max_tokens") && text.contains("40"), text)
}

fn overflow() -> Outcome {
    let turns = "  user \"{{ 'word ' * 20 }}\"\n  assistant \"{{ 'word ' * 20 }}\"\n".repeat(3);
    let text = format!(
        "prompt p {{\n  system \"Be brief.\"\n{turns}  user \"What is a potato?\"\n}}\nchain main = p | local(\"{MODEL}\", num_ctx: 120, max_tokens: 5, overflow: \"truncate-oldest\") | text\n"
    );
    let done = run(&text, &["main.chain"])?;
    let err = done.err();
    if done.code != Some(0) || done.stdout.is_empty() || err.matches("the 2 oldest messages are left out").count() == 0
    {
        return Err(format!("{:?}: {}", done.code, err).into());
    }
    Ok(())
}

fn too_long() -> Outcome {
    let text = "chain main = \"{% for i in range(9000) %}word {% endfor %}\" | local(\"smollm2:135m\", max_tokens: 4) | text\n";
    let done = run(text, &["main.chain"]).map_err(|e| e.to_string())?;
    ensure(done.code == Some(3), format!("exit {:?}\n{}", done.code, done.err()))?;
    ensure(done.err().contains("8192") && done.took < Duration::from_secs(60), done.err())
}

fn listed() -> Outcome {
    weights()?;
    let temp = TempDir::new()?;
    let done =
        succeed(Call::new(temp.path())?.with_models().args(["models", "list"]).run()?).map_err(|e| e.to_string())?;
    ensure(done.out().contains(MODEL), done.out())
}
