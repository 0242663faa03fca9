//! Vocabularies by themselves: `cargo bench --bench tokens -- FOLDER` runs the rows of every `*.gguf` in a folder that has
//! `.inp` and `.out` beside it (llama.cpp's `models`); `cargo bench --bench tokens -- FILE.gguf TEXT` times one on a text.

#![allow(clippy::print_stdout, reason = "a program whose answers go to standard output")]

use std::path::Path;
use std::time::Instant;

use chainrun::engine::{Gguf, Tokenizer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo adds `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match &args[..] {
        [folder] => rows(Path::new(folder)),
        [file, text] => speed(Path::new(file), Path::new(text)),
        _ => {
            println!("usage: cargo bench --bench tokens -- FOLDER, or FILE.gguf TEXT");
            Ok(())
        }
    }
}

/// Prints how many rows of each vocabulary come out equal.
fn rows(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut files: Vec<_> = std::fs::read_dir(folder)?.filter_map(|e| Some(e.ok()?.path())).collect();
    files.sort();
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "gguf")) {
        let (Ok(texts), Ok(tokens)) = (
            std::fs::read_to_string(file.with_extension("gguf.inp")),
            std::fs::read_to_string(file.with_extension("gguf.out")),
        ) else {
            continue;
        };
        let tokenizer = Tokenizer::read(&Gguf::open(file)?)?;
        let mut equal = 0;
        let rows: Vec<_> = texts.split("\n__ggml_vocab_test__\n").zip(tokens.lines()).collect();
        for (text, line) in &rows {
            let expected: Vec<u32> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
            equal += usize::from(tokenizer.encode_text(text) == expected);
        }
        println!("{equal} of {} rows equal: {}", rows.len(), file.display());
    }
    Ok(())
}

/// Prints the rate of a text and of hostile ones.
fn speed(file: &Path, text: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let began = Instant::now();
    let tokenizer = Tokenizer::read(&Gguf::open(file)?)?;
    println!("read in {:.2} s", began.elapsed().as_secs_f64());
    let texts =
        [("text", std::fs::read_to_string(text)?), ("a", "a".repeat(1_000_000)), ("space", " ".repeat(1_000_000))];
    for (name, text) in texts {
        let began = Instant::now();
        let count = tokenizer.encode_text(&text).len();
        let seconds = began.elapsed().as_secs_f64();
        println!("{name}: {count} tokens, {:.1} MB/s", text.len() as f64 / seconds / 1e6);
    }
    Ok(())
}
