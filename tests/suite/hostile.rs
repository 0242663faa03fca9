//! Input that nobody writes by hand: each gives a diagnostic or a result, in bounded time and memory.

use libtest_mimic::Trial;

use crate::Outcome;
use crate::process::{Call, TempDir, short};

/// Generous: these take a fraction of it, and a quadratic reader takes far more.
const SECONDS: u64 = 20;
/// The same for memory.
const MIB: u64 = 1024;

/// What must come of an input.
#[derive(Clone, Copy)]
enum Fate {
    /// `check` is content.
    Good,
    /// `check` says one of these codes.
    Says(&'static [&'static str]),
}

/// The trials.
pub fn trials() -> Vec<Trial> {
    let deep = |open: &str, close: &str| format!("chain main = {}\"x\"{}\n", open.repeat(10_000), close.repeat(10_000));
    let list: Vec<(&'static str, Vec<u8>, Fate)> = vec![
        ("brackets_10000", deep("(", ")").into(), Fate::Says(&["E105"])),
        (
            "lists_10000",
            format!("model m = fake({}\"x\"{})\nchain main = \"a\" | m\n", "[".repeat(10_000), "]".repeat(10_000))
                .into(),
            Fate::Says(&["E105"]),
        ),
        ("maps_10000", deep("{ a: ", " }").into(), Fate::Says(&["E105"])),
        ("brackets_10000_open", format!("chain main = {}", "(".repeat(10_000)).into(), Fate::Says(&["E105", "E102"])),
        ("brackets_10000_closing", format!("chain main = {}", ")".repeat(10_000)).into(), Fate::Says(&["E102"])),
        ("brackets_mixed", format!("chain main = {}", "([{".repeat(5_000)).into(), Fate::Says(&["E102", "E105"])),
        (
            "brackets_150_are_fine",
            format!("chain main = {}\"x\"{}\n", "(".repeat(150), ")".repeat(150)).into(),
            Fate::Good,
        ),
        (
            "matches_150_are_fine",
            format!("chain main = {}\"x\"{}\n", "match { {{ true }} => \"y\", _ => ".repeat(150), " }".repeat(150))
                .into(),
            Fate::Good,
        ),
        (
            "eaches_150_are_fine",
            format!(
                "var x: any = []\nchain main = {{{{ x }}}} | {}\"x\"{}\n",
                "each({{ input }} | ".repeat(150),
                ")".repeat(150)
            )
            .into(),
            Fate::Good,
        ),
        ("matches_10000", deep("match { _ => ", " }").into(), Fate::Says(&["E105"])),
        ("timeouts_10000", deep("timeout(", ", 3s)").into(), Fate::Says(&["E105"])),
        ("arms_20000", arms().into(), Fate::Good),
        (
            "spreads_5000",
            format!("chain main = {{ {} a: \"b\" }}\n", "..{{ {\"x\": 1} }}, ".repeat(5_000)).into(),
            Fate::Good,
        ),
        (
            "type_10000",
            format!("var x: {}string{} = []\nchain main = \"{{{{ x }}}}\"\n", "[".repeat(10_000), "]".repeat(10_000))
                .into(),
            Fate::Says(&["E105"]),
        ),
        (
            "optional_10000",
            format!("var x: string{} = \"\"\nchain main = \"{{{{ x }}}}\"\n", "?".repeat(10_000)).into(),
            Fate::Good,
        ),
        (
            "template_brackets_10000",
            format!("chain main = \"{{{{ {}1{} }}}}\"\n", "(".repeat(10_000), ")".repeat(10_000)).into(),
            Fate::Says(&["E1"]),
        ),
        (
            "template_braces_10000",
            format!("chain main = \"{{{{ {}1{} }}}}\"\n", "{".repeat(10_000), "}".repeat(10_000)).into(),
            Fate::Says(&["E1"]),
        ),
        (
            "template_ifs_10000",
            format!("chain main = \"{}x{}\"\n", "{% if true %}".repeat(10_000), "{% endif %}".repeat(10_000)).into(),
            Fate::Says(&["E1"]),
        ),
        (
            "template_minus_10000",
            format!("chain main = \"{{{{ {}1 }}}}\"\n", "-".repeat(10_000)).into(),
            Fate::Says(&["E1"]),
        ),
        (
            "template_nots_10000",
            format!("chain main = \"{{{{ {}1 }}}}\"\n", "not ".repeat(10_000)).into(),
            Fate::Says(&["E1"]),
        ),
        (
            "template_raws_10000",
            format!("chain main = \"{}\"\n", "{% raw %}".repeat(10_000)).into(),
            Fate::Says(&["E1"]),
        ),
        ("template_opens_10000", format!("chain main = \"{}\"\n", "{{".repeat(10_000)).into(), Fate::Says(&["E1"])),
        ("string_of_a_megabyte", format!("chain main = \"{}\"\n", "a".repeat(1 << 20)).into(), Fate::Good),
        (
            "string_of_a_megabyte_triple",
            format!("chain main = \"\"\"\n{}\n\"\"\"\n", "ab \"\" c\n".repeat(120_000)).into(),
            Fate::Good,
        ),
        (
            "string_of_a_megabyte_open",
            format!("chain main = \"{}\n", "a".repeat(1 << 20)).into(),
            Fate::Says(&["E101"]),
        ),
        ("name_of_a_megabyte", format!("chain main = {}\n", "a".repeat(1 << 20)).into(), Fate::Says(&["E203"])),
        ("line_of_stages", format!("chain main = \"a\"{}\n", " | text".repeat(5_000)).into(), Fate::Good),
        (
            "line_of_fallbacks",
            format!("chain main = \"a\" | (fake(\"x\"){}) | text\n", " ?? fake(\"x\")".repeat(2_000)).into(),
            Fate::Good,
        ),
        (
            "union_of_100000",
            format!(
                "type T = {}\"z\"\nvar x: T = \"z\"\nchain main = \"{{{{ x }}}}\"\n",
                (0..100_000).map(|i| format!("\"v{i}\" | ")).collect::<String>()
            )
            .into(),
            Fate::Good,
        ),
        ("quotes", "\"".repeat(100_001).into(), Fate::Says(&["E1"])),
        ("question_marks", "?".repeat(100_000).into(), Fate::Says(&["E1"])),
        ("pipes", format!("chain main = {}", "|".repeat(100_000)).into(), Fate::Says(&["E1"])),
        ("invalid_utf8", b"chain main = \"caf\xe9\"\n".to_vec(), Fate::Says(&["E001"])),
        ("invalid_utf8_alone", vec![0xff; 4096], Fate::Says(&["E001"])),
        (
            "utf16",
            "chain main = \"x\"\n".encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Fate::Says(&["E001", "E108"]),
        ),
        ("nul", b"chain main = \0\"x\"\n".to_vec(), Fate::Says(&["E108"])),
        ("nul_bytes_alone", vec![0; 100_000], Fate::Says(&["E108"])),
        ("bom", b"\xef\xbb\xbfchain main = \"x\"\n".to_vec(), Fate::Good),
        ("crlf", b"chain main =\r\n  \"\"\"\r\n  a\r\n  \"\"\"\r\n  | text\r\n".to_vec(), Fate::Good),
        (
            "declarations_100000",
            (0..100_000)
                .map(|i| format!("var v{i}: string = \"x\"\n"))
                .chain(["chain main = \"x\"\n".to_owned()])
                .collect::<String>()
                .into(),
            Fate::Good,
        ),
        (
            "chains_100000",
            (0..100_000)
                .map(|i| format!("chain c{i} = \"{{{{ 1 }}}}\" | text\n"))
                .chain(["chain main = c1\n".to_owned()])
                .collect::<String>()
                .into(),
            Fate::Good,
        ),
        ("same_declaration_100000", "chain main = \"x\"\n".repeat(100_000).into(), Fate::Says(&["E201"])),
        ("broken_declarations_10000", "chain main = | |\n".repeat(10_000).into(), Fate::Says(&["E104"])),
        ("comments_100000", format!("{}chain main = \"x\"\n", "## a\n".repeat(100_000)).into(), Fate::Good),
        ("blank_lines_1000000", format!("{}chain main = \"x\"\n", "\n".repeat(1_000_000)).into(), Fate::Good),
        ("blank_lines_in_a_pipeline", format!("chain main = \"x\"{}| text\n", "\n".repeat(100_000)).into(), Fate::Good),
        (
            "chains_in_a_row_2000",
            (1..2_000)
                .map(|i| format!("chain c{i} = c{}\n", i - 1))
                .chain(["chain c0 = \"x\"\nchain main = c1999\n".to_owned()])
                .collect::<String>()
                .into(),
            Fate::Says(&["E218"]),
        ),
        (
            "prompts_that_splice_each_other",
            b"prompt a { messages b }\nprompt b { messages a }\nchain main = a | fill\n".to_vec(),
            Fate::Says(&["E214", "E2"]),
        ),
        (
            "chains_of_200_in_a_row",
            (1..200)
                .map(|i| format!("chain c{i} = c{}\n", i - 1))
                .chain(["chain c0 = \"x\"\nchain main = c199\n".to_owned()])
                .collect::<String>()
                .into(),
            Fate::Good,
        ),
        ("chains_that_double", doubling(), Fate::Says(&["E218"])),
    ];
    let mut trials: Vec<Trial> = list
        .into_iter()
        .map(|(name, bytes, fate)| Trial::test(format!("hostile::{name}"), move || check(&bytes, fate)))
        .collect();
    trials.push(Trial::test("hostile::a_template_that_never_ends_is_stopped", endless));
    trials.push(Trial::test("hostile::a_template_that_grows_is_stopped", growing));
    trials.push(Trial::test("hostile::items_of_each_leave_nothing_behind", items));
    trials
}

/// A `match` over a union of as many literals as it has arms.
fn arms() -> String {
    let words: Vec<String> = (0..20_000).map(|i| format!("\"word {i}\"")).collect();
    let arms: Vec<String> = words.iter().map(|w| format!("{w} => {w}")).collect();
    format!(
        "type Word = {}\nvar w: Word\nchain main = match {{{{ w }}}} {{\n{}\n}}\n",
        words.join(" | "),
        arms.join("\n")
    )
}

/// Twenty chains, each a map of two uses of the one before: a million nodes if uses were copied.
fn doubling() -> Vec<u8> {
    let mut text = "chain c0 = \"x\"\n".to_owned();
    for i in 1..20 {
        text.push_str(&format!("chain c{i} = {{ a: c{0}, b: c{0} }}\n", i - 1));
    }
    text.push_str("chain main = c19\n");
    text.into()
}

fn check(bytes: &[u8], fate: Fate) -> Outcome {
    let temp = TempDir::new()?;
    temp.write("main.chain", bytes)?;
    let done = Call::new(temp.path())?.args(["check", "main.chain"]).limit(SECONDS).run()?;
    let text = done.err();
    if done.peak_kib > MIB * 1024 {
        return Err(format!("{} MiB resident, at most {MIB} allowed", done.peak_kib / 1024).into());
    }
    if done.stderr.len() > 16 << 20 {
        return Err(format!("{} bytes of messages", done.stderr.len()).into());
    }
    match (done.code, fate) {
        (Some(0), Fate::Good) => Ok(()),
        (Some(2), Fate::Says(codes)) if codes.iter().any(|c| text.contains(&format!("error[{c}"))) => Ok(()),
        (code, Fate::Good) => Err(format!("exit {code:?}, expected 0\n{}", short(&done.stderr)).into()),
        (code, Fate::Says(codes)) => {
            Err(format!("exit {code:?}, expected 2 with {codes:?}\n{}", short(&done.stderr)).into())
        }
    }
}

/// A template's work is bounded: a loop of 10^12 rounds fails, it does not run.
fn endless() -> Outcome {
    fails(
        "chain main = \"{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}{% endfor %}{% endfor %}{% endfor %}x\"\n",
    )
}

/// So is what it makes.
fn growing() -> Outcome {
    let mut text = "chain main = \"{% set a = 'xxxxxxxxxxxxxxxx' %}".to_owned();
    for i in 0..40 {
        text.push_str(&format!(
            "{{% set b{i} = {0} ~ {0} %}}",
            if i == 0 { "a".to_owned() } else { format!("b{}", i - 1) }
        ));
    }
    text.push_str("{{ b39 }}\"\n");
    fails(&text)
}

/// Frames go when their items are done: many items need little more memory than few.
fn items() -> Outcome {
    let temp = TempDir::new()?;
    temp.write(
        "main.chain",
        "var n: int\nchain main = {{ range(n) | list }} | each(\"{{ input }} of many words\" | fake(echo: true) | text) | {{ input | length }}\n",
    )?;
    let peak = |n: &str| -> Result<u64, Box<dyn std::error::Error>> {
        let call = Call::new(temp.path())?.args(["main.chain", "--var"]).arg(format!("n={n}"));
        let done = call.limit(SECONDS).run()?;
        if done.out().trim() == n { Ok(done.peak_kib / 1024) } else { Err(done.err().into()) }
    };
    let (few, many) = (peak("1000")?, peak("50000")?);
    if many < few + 40 { Ok(()) } else { Err(format!("50,000 items need {many} MiB, 1,000 need {few}").into()) }
}

fn fails(text: &str) -> Outcome {
    let temp = TempDir::new()?;
    temp.write("main.chain", text)?;
    let done = Call::new(temp.path())?.args(["main.chain"]).limit(SECONDS).run()?;
    if done.peak_kib > MIB * 1024 {
        return Err(format!("{} MiB resident, at most {MIB} allowed", done.peak_kib / 1024).into());
    }
    match done.code {
        Some(2 | 3) if done.err().contains("error[E") => Ok(()),
        code => Err(format!("exit {code:?}, expected 2 or 3 with an error\n{}", short(&done.stderr)).into()),
    }
}
