//! `finish`: why the last answer of the run ended.

use super::bound::Bound;
use super::outcome::{Check, Outcome, Subject, Undecided};
use super::places::quoted;
use super::spec::{ArgumentKind, Arguments, AssertionSpec, BuildError, Part};
use crate::value::{Finish, nearest};

/// The description of `finish`.
pub static SPEC: AssertionSpec = AssertionSpec {
    name: "finish",
    doc: "the last answer ended for this reason: \"stop\", \"length\", \"tool_calls\" or \"other\", in letters of any case",
    argument: ArgumentKind::Text,
    bound: Bound::None,
    build,
};

const REASONS: &[Finish] = &[Finish::Stop, Finish::Length, Finish::ToolCalls, Finish::Other];

fn build(arguments: &Arguments) -> Result<Box<dyn Check>, BuildError> {
    let written = arguments.text();
    let names = || REASONS.iter().map(|r| r.name());
    match names().find(|name| name.eq_ignore_ascii_case(&written)) {
        Some(wanted) => Ok(Box::new(Ended { wanted })),
        None => {
            let list = names().map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ");
            let help = match nearest(&written.to_lowercase(), names()) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => format!("an answer ends with one of {list}"),
            };
            Err(BuildError::new(Part::Argument, format!("no answer ends with {}", quoted(&written))).help(help))
        }
    }
}

struct Ended {
    wanted: &'static str,
}

impl Check for Ended {
    fn check(&self, subject: &Subject<'_>) -> Result<Outcome, Undecided> {
        let Some(seen) = &subject.facts.finish else {
            return Err(Undecided::new("the run did not tell why its answer ended")
                .help("`finish` needs a run that calls a model"));
        };
        Ok(Outcome {
            pass: seen.eq_ignore_ascii_case(self.wanted),
            score: None,
            expected: format!("finish \"{}\"", self.wanted),
            actual: seen.clone(),
            why: format!("the answer ended with {}", quoted(seen)),
            comparable: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{refused, subject};
    use super::super::{Arguments, Facts, build as make};
    use super::*;

    #[test]
    fn reasons() {
        let stop = make(&SPEC, &Arguments { value: Some("stop".into()), ..Arguments::default() }).unwrap();
        let facts = |finish: &str| Facts { finish: Some(finish.to_owned()), ..Facts::default() };
        assert!(stop.check(&subject("", &facts("stop"))).unwrap().pass);
        assert_eq!(stop.check(&subject("", &facts("length"))).unwrap().why, "the answer ended with \"length\"");
        assert!(stop.check(&subject("", &Facts::default())).is_err());
        assert_eq!(refused(&SPEC, "lenght".into()).help.as_deref(), Some("did you mean \"length\"?"));
    }
}
