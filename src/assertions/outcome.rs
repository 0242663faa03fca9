//! What an assertion looks at, and what it says of it.

/// What an assertion looks at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The text that is asserted of.
    pub text: &'a str,
    /// What else is known of how it came about.
    pub facts: &'a Facts,
}

/// What is known of a run besides its text; nothing where the run did not tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// How long it took.
    pub seconds: Option<f64>,
    /// Tokens of all prompts.
    pub input_tokens: Option<u64>,
    /// Tokens of all answers.
    pub output_tokens: Option<u64>,
    /// What it cost, or why nobody knows.
    pub cost: Option<Result<Cost, Undecided>>,
    /// Calls of models.
    pub calls: Option<u64>,
    /// Why the last answer ended: `stop`, `length`, `tool_calls` or `other`.
    pub finish: Option<String>,
}

/// What a run cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// How much.
    pub amount: f64,
    /// The currency of the configured prices, as `USD`.
    pub currency: String,
}

/// What an assertion that could be decided says.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whether it is met.
    pub pass: bool,
    /// How near the text is, from 0 to 1, where the assertion measures that.
    pub score: Option<f64>,
    /// What was asked for: as `contains "tuber"`, or the wanted text itself where `comparable` is set.
    pub expected: String,
    /// What was seen: the text, or what was measured.
    pub actual: String,
    /// What was found that decides, true whether the assertion is met or not: `"tuber" does not stand in the text`.
    pub why: String,
    /// Whether `expected` and `actual` are two forms of one thing, of which a difference can be shown.
    pub comparable: bool,
}

impl Outcome {
    /// The outcome of `not` before the assertion.
    #[must_use]
    pub fn negated(self) -> Self {
        Self {
            pass: !self.pass,
            score: self.score.map(|s| 1.0 - s),
            expected: if self.comparable { self.expected } else { format!("not {}", self.expected) },
            ..self
        }
    }
}

/// That an assertion cannot be decided: neither it nor its `not` is met.
#[derive(Clone, Debug, PartialEq)]
pub struct Undecided {
    /// What is missing or went wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Undecided {
    /// One with nothing to do about it.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }
}

/// An assertion with its arguments, ready for any number of subjects.
pub trait Check: Send + Sync {
    /// Looks at a subject. The time is linear in its text, or bounded where a measure needs more.
    ///
    /// # Errors
    /// The assertion cannot be decided, which `not` does not turn into a pass.
    fn check(&self, subject: &Subject<'_>) -> Result<Outcome, Undecided>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_turns_an_outcome_around() {
        let outcome = Outcome {
            pass: true,
            score: Some(0.75),
            expected: "contains \"a\"".to_owned(),
            actual: "cat".to_owned(),
            why: "found".to_owned(),
            comparable: false,
        };
        let negated = outcome.clone().negated();
        assert_eq!((negated.pass, negated.score, negated.expected.as_str()), (false, Some(0.25), "not contains \"a\""));
        assert_eq!(negated.why, "found");
    }
}
