//! Whether a run's spans are sent: `OTEL_TRACES_SAMPLER` and its argument, as OpenTelemetry's specification has them.

use super::settings::Parent;
use crate::config::Context;

/// The samplers, by their names.
const NAMES: &[(&str, Rule, bool)] = &[
    ("always_on", Rule::Always, false),
    ("always_off", Rule::Never, false),
    ("traceidratio", Rule::Share(1.0), false),
    ("parentbased_always_on", Rule::Always, true),
    ("parentbased_always_off", Rule::Never, true),
    ("parentbased_traceidratio", Rule::Share(1.0), true),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    Always,
    Never,
    /// This share of all traces.
    Share(f64),
}

/// What decides whether a trace is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    rule: Rule,
    /// Whether whoever began the trace decides, where somebody did.
    parent_decides: bool,
}

impl Default for Sampler {
    fn default() -> Self {
        Self { rule: Rule::Always, parent_decides: true }
    }
}

impl Sampler {
    /// Reads the variables; what is wrong with them, in words, goes to `warnings`.
    pub fn read(context: &Context, warnings: &mut Vec<String>) -> Self {
        let Some(name) = context.var("OTEL_TRACES_SAMPLER").map(str::trim) else { return Self::default() };
        let Some((_, rule, parent_decides)) = NAMES.iter().find(|(n, ..)| *n == name) else {
            let names: Vec<&str> = NAMES.iter().map(|(name, ..)| *name).collect();
            let there = format!("there are {}", names.join(", "));
            warnings.push(format!("OTEL_TRACES_SAMPLER is `{name}`, and {there}: parentbased_always_on is taken"));
            return Self::default();
        };
        let rule = match (rule, context.var("OTEL_TRACES_SAMPLER_ARG")) {
            (Rule::Share(_), Some(text)) => match text.trim().parse::<f64>() {
                Ok(share) if (0.0..=1.0).contains(&share) => Rule::Share(share),
                _ => {
                    let wrong = format!("OTEL_TRACES_SAMPLER_ARG is no share from 0 to 1: `{text}`");
                    warnings.push(format!("{wrong}; all traces are sent"));
                    Rule::Share(1.0)
                }
            },
            (rule, _) => *rule,
        };
        Self { rule, parent_decides: *parent_decides }
    }

    /// Whether a trace is sent; `trace` is its number in 32 hexadecimal digits.
    pub fn keeps(&self, parent: Option<&Parent>, trace: &str) -> bool {
        if let (Some(parent), true) = (parent, self.parent_decides) {
            return parent.sampled;
        }
        match self.rule {
            Rule::Always => true,
            Rule::Never => false,
            // The end of a number is random in every form of it. Programs that read the same share keep the same traces.
            Rule::Share(share) => {
                let last = trace.get(16..).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
                // The largest numbers round up to 2^63, which no share below it reaches.
                share >= 1.0 || ((last >> 1) as f64) < share * (1u64 << 63) as f64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn read(name: &str, argument: Option<&str>) -> (Sampler, Vec<String>) {
        let argument = argument.map(|text| ("OTEL_TRACES_SAMPLER_ARG".to_owned(), text.to_owned()));
        let name = ("OTEL_TRACES_SAMPLER".to_owned(), name.to_owned());
        let env = std::iter::once(name).chain(argument).collect();
        let mut warnings = Vec::new();
        let sampler = Sampler::read(&Context::new(env, "/".into(), false, Instant::now()), &mut warnings);
        (sampler, warnings)
    }

    #[test]
    fn what_each_sampler_keeps() {
        let parent = |sampled| Parent { trace: "a".repeat(32), span: "b".repeat(16), sampled };
        let (low, high) = (format!("{}{}", "0".repeat(16), "3".repeat(16)), "f".repeat(32));
        for (name, argument, root, with_parent) in [
            ("always_on", None, [true, true], [true, true]),
            ("always_off", None, [false, false], [false, false]),
            ("traceidratio", Some("0.5"), [true, false], [true, false]),
            ("traceidratio", Some("0"), [false, false], [false, false]),
            ("traceidratio", None, [true, true], [true, true]),
            ("parentbased_always_on", None, [true, true], [true, false]),
            ("parentbased_always_off", None, [false, false], [true, false]),
            ("parentbased_traceidratio", Some("0.5"), [true, false], [true, false]),
        ] {
            let (sampler, warnings) = read(name, argument);
            assert_eq!(warnings, Vec::<String>::new());
            assert_eq!([sampler.keeps(None, &low), sampler.keeps(None, &high)], root, "{name}");
            let kept = [sampler.keeps(Some(&parent(true)), &low), sampler.keeps(Some(&parent(false)), &high)];
            assert_eq!(kept, with_parent, "{name} with a parent");
        }
    }

    #[test]
    fn what_is_none_is_said() {
        for (name, argument, part) in [
            ("jaeger_remote", None, "there are always_on"),
            ("traceidratio", Some("half"), "no share from 0 to 1"),
            ("traceidratio", Some("1.5"), "no share from 0 to 1"),
        ] {
            let (sampler, warnings) = read(name, argument);
            assert!(warnings.len() == 1 && warnings[0].contains(part), "{warnings:?}");
            assert!(sampler.keeps(None, &"f".repeat(32)));
        }
    }
}
