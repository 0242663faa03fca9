//! Files that nobody meant: cases cut, doubled, mixed with each other and sprinkled with the language's own signs. Each is
//! checked to the end, with a result or with diagnostics.

use std::time::{SystemTime, UNIX_EPOCH};

use libtest_mimic::Trial;

use crate::process::{Call, TempDir, short};
use crate::{Outcome, files, root};

/// Files in one call of the command.
const FILES: usize = 200;
/// Calls.
const CALLS: usize = 5;

/// What the language is made of, and what it is not.
const SIGNS: &[&[u8]] = &[
    b"{{",
    b"}}",
    b"\"",
    b"\"\"\"",
    b"|",
    b"??",
    b"match {",
    b"=>",
    b"_",
    b"each(",
    b"repeat(",
    b"until:",
    b" as x",
    b"..input",
    b"{%",
    b"%}",
    b"[",
    b"]",
    b"(",
    b")",
    b"{",
    b"}",
    b"\n",
    b"#",
    b"30s",
    b"%",
    b"\xff",
    b"\x00",
    b"\xed\x95\x9c",
    b"schema(",
    b"examples",
    b"raw",
    b"type T {",
    b"?",
    b"-> ",
    b"timeout(",
    b"1e999",
    b"-",
    b".",
    b"require(",
    b"use \"x\" as y",
];

/// The trials: one with a fixed seed, one with another each time, which is printed.
pub fn trials() -> Vec<Trial> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64);
    [("fixed_seed", 1), ("new_seed", now)]
        .map(|(name, seed)| Trial::test(format!("mutations::{name}"), move || run(seed)))
        .into()
}

/// Marsaglia's xorshift: enough to choose places.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most.max(1) as u64) as usize
    }

    /// A stretch of `text` of at most `most` bytes.
    fn stretch(&mut self, text: &[u8], most: usize) -> std::ops::Range<usize> {
        let start = self.below(text.len() + 1);
        start..(start + 1 + self.below(most)).min(text.len()).max(start)
    }
}

fn mutated(random: &mut Random, all: &[Vec<u8>]) -> Vec<u8> {
    let mut text = all[random.below(all.len())].clone();
    for _ in 0..=random.below(8) {
        let at = random.below(text.len() + 1);
        match random.below(5) {
            0 => drop(text.splice(at..at, SIGNS[random.below(SIGNS.len())].iter().copied())),
            1 => drop(text.drain(random.stretch(&text, 30))),
            2 => {
                let part = text[random.stretch(&text, 60)].to_vec();
                drop(text.splice(at..at, part));
            }
            3 => {
                let other = &all[random.below(all.len())];
                let part = other[random.stretch(other, 120)].to_vec();
                drop(text.splice(at..at, part));
            }
            _ => {
                if let Some(byte) = text.get_mut(at) {
                    *byte = random.below(256) as u8;
                }
            }
        }
    }
    text
}

fn run(seed: u64) -> Outcome {
    println!("note: seed {seed}");
    let mut random = Random(seed | 1);
    let paths =
        files(&root().join("tests/cases"), "chain").into_iter().chain(files(&root().join("pipelines"), "chain"));
    let all: Vec<Vec<u8>> = paths.filter_map(|p| std::fs::read(p).ok()).collect();
    for _ in 0..CALLS {
        let temp = TempDir::new()?;
        let names: Vec<String> = (0..FILES).map(|i| format!("{i}.chain")).collect();
        for name in &names {
            std::fs::write(temp.path().join(name), mutated(&mut random, &all))?;
        }
        let done = Call::new(temp.path())?.arg("check").args(names.iter().map(String::as_str)).limit(60).run()?;
        let sound = matches!(done.code, Some(0 | 2)) && !done.err().contains("panicked");
        if !sound {
            return Err(format!("seed {seed}: exit {:?}\n{}", done.code, short(&done.stderr)).into());
        }
    }
    Ok(())
}
