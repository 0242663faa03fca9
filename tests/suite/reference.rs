//! The reference pages name everything that there is.
//!
//! `docs/providers.md` is made of the descriptions that checks and messages read. Where it is not what they say, the trial
//! writes the page that would be to `target/tmp/providers.md` and fails.

use std::fmt::Write;

use chainrun::providers::{EMBEDDERS, OptionSpec, PROVIDERS, Spec};
use libtest_mimic::Trial;

use crate::{Outcome, root};

const HEAD: &str = "# Providers

Every provider with its options, as checks and messages know them. An option that a provider lacks, or a value that an
option does not take, is an error before anything runs. Where the default is empty, the server decides and nothing is sent.
What the options mean for a run stands in [the language's page](language.md#models).

*Documented* names the page or file where those who make the server say what an option means; options that are chainrun's own
stand in the language's page, and chainrun's own tests hold them. *Tried* names the real servers that were seen to take an option, with their versions; \"documentation alone\" means
that none was, and what stands here is what their makers say. \"-dev\" is a build from source. OpenAI's own service, Hugging
Face's, LM Studio and GPT4All's program were asked nothing; TGI's router had a stand-in for the model behind it.
";

/// The trials.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("reference::providers", is_current),
        Trial::test("reference::language_names_everything", names_everything),
        Trial::test("reference::sent_options_have_sources", have_sources),
    ]
}

/// Holds that `docs/language.md` speaks of every declaration, provider, parser with its options, and diagnostic.
fn names_everything() -> Outcome {
    let page = std::fs::read_to_string(root().join("docs/language.md"))?;
    let mut missing: Vec<String> = Vec::new();
    let mut hold = |what: String, there: bool| missing.extend((!there).then_some(what));
    for keyword in chainrun::syntax::KEYWORDS.iter().filter(|k| !LATER.contains(k)) {
        hold(format!("declaration {keyword}"), page.contains(&format!("`{keyword} ")));
    }
    for spec in PROVIDERS {
        hold(format!("provider {}", spec.name), page.contains(&format!("`{}(", spec.name)));
    }
    for spec in EMBEDDERS {
        hold(format!("embedder {}", spec.name), page.contains(&format!("| `{}(", spec.name)));
    }
    for parser in chainrun::parsers::PARSERS {
        let row = |l: &&str| l.starts_with(&format!("| `{}", parser.name));
        hold(format!("parser {}", parser.name), page.lines().any(|l| row(&l)));
        for option in parser.options {
            hold(format!("{}({}:)", parser.name, option.name), page.contains(&format!("{}:", option.name)));
        }
    }
    for (code, text) in chainrun::diag::CODES {
        let title = text.lines().next().and_then(|l| l.split_once(": ")).map_or("", |(_, title)| title);
        hold(format!("diagnostic {code}"), page.contains(&format!("| [{code}](diagnostics/{code}.md) | {title} |")));
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("docs/language.md lacks {}", missing.join(", ")).into()) }
}

/// Holds that every option that goes on the wire says where it is documented, and nothing else says where it was tried.
fn have_sources() -> Outcome {
    let mut wrong: Vec<String> = Vec::new();
    for spec in PROVIDERS.iter().chain(EMBEDDERS) {
        for option in spec.all_options().chain([&spec.argument]) {
            let own = option.documented.is_empty();
            let fits = if option.wire.is_empty() { !own || option.tried.is_empty() } else { !own };
            if !fits || option.documented.iter().any(|source| !source.url.starts_with("https://")) {
                wrong.push(format!("{}: {}", spec.name, option.name));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("no source: {}", wrong.join(", ")).into()) }
}

/// Keywords of declarations that are not there yet.
const LATER: &[&str] = &["test"];

fn is_current() -> Outcome {
    let wanted = page()?;
    let path = root().join("docs/providers.md");
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    if found == wanted {
        return Ok(());
    }
    let made = root().join("target/tmp/providers.md");
    std::fs::create_dir_all(root().join("target/tmp"))?;
    std::fs::write(&made, wanted)?;
    Err(format!("{} is not what the descriptions say: take {}", path.display(), made.display()).into())
}

fn page() -> Result<String, std::fmt::Error> {
    let mut out = HEAD.to_owned();
    for spec in PROVIDERS {
        section(&mut out, spec, "##", if spec.name == "fake" { "the-fake-model" } else { "models" })?;
    }
    out.push_str("\n## Embedders\n\nModels that turn texts into vectors.\n");
    for spec in EMBEDDERS {
        section(&mut out, spec, "###", "embeddings")?;
    }
    Ok(out)
}

fn section(out: &mut String, spec: &Spec, level: &str, own: &str) -> std::fmt::Result {
    writeln!(out, "\n{level} `{}`\n\n{}.\n", spec.name, sentence(spec.doc))?;
    let needed = match spec.instead {
        [] if spec.argument_required => "",
        [] => " (may be missing)",
        _ => " (or an option that says enough)",
    };
    out.push_str(
        "| option | takes | default | on the wire | what | documented | tried |\n|---|---|---|---|---|---|---|\n",
    );
    row(out, &format!("first argument{needed}"), &spec.argument, own)?;
    for option in spec.all_options() {
        let also: Vec<String> = option.aliases.iter().map(|a| format!("`{a}`")).collect();
        let also = if also.is_empty() { String::new() } else { format!(", also {}", also.join(", ")) };
        row(out, &format!("`{}`{also}", option.name), option, own)?;
    }
    if !spec.explained.is_empty() {
        out.push_str("\nSpellings from elsewhere, each an error that says what to write:\n\n");
        for (name, instead) in spec.explained {
            writeln!(out, "- `{name}`: {instead}")?;
        }
    }
    Ok(())
}

/// A line of a table; `own` is the part of the language's page that speaks of options that are chainrun's own.
fn row(out: &mut String, name: &str, option: &OptionSpec, own: &str) -> std::fmt::Result {
    let wire = if option.wire.is_empty() { String::new() } else { format!("`{}`", option.wire) };
    let mut sources: Vec<String> = option.documented.iter().map(|s| format!("[{}]({})", s.title, s.url)).collect();
    if sources.is_empty() {
        sources.push(format!("[chainrun](language.md#{own})"));
    }
    let tried = match (option.documented, option.tried) {
        ([], _) => "chainrun's own".to_owned(),
        (_, []) => "documentation alone".to_owned(),
        (_, servers) => servers.join(", "),
    };
    let cells = [name, &option.kind.describe(), option.default, &wire, option.doc, &sources.join(", "), &tried];
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    writeln!(out, "| {} |", cells.join(" | "))
}

/// A description with a capital at its beginning.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
