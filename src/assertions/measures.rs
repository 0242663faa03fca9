//! What can be counted: words of the text; time, tokens, cost and calls of the run.
//!
//! A run that did not tell leaves its assertion undecided: nothing is guessed.

use super::bound::{Bound, Limit, OPERATORS, Operator, Unit};
use super::outcome::{Check, Cost, Facts, Outcome, Subject, Undecided};
use super::spec::{ArgumentKind, Arguments, AssertionSpec, BuildError, Part};
use crate::value::Value;

const COUNT: Bound = Bound::Optional { operators: OPERATORS, unit: Unit::Count, default: None };

/// The description of `words`.
pub static WORDS: AssertionSpec = AssertionSpec {
    name: "words",
    doc: "the text has so many words: what stands between blanks",
    argument: ArgumentKind::Number,
    bound: COUNT,
    build: |arguments| measure("words", "words", Unit::Count, arguments, |s| Ok(words(s.text) as f64)),
};

/// The description of `latency`.
pub static LATENCY: AssertionSpec = AssertionSpec {
    name: "latency",
    doc: "the run took so long",
    argument: ArgumentKind::None,
    bound: Bound::Required { operators: OPERATORS, unit: Unit::Duration },
    build: |arguments| measure("latency", "", Unit::Duration, arguments, |s| told(s.facts.seconds, "how long it took")),
};

/// The description of `tokens.input`.
pub static TOKENS_INPUT: AssertionSpec = AssertionSpec {
    name: "tokens.input",
    doc: "the prompts of the run have so many tokens",
    argument: ArgumentKind::Number,
    bound: COUNT,
    build: |arguments| measure("tokens.input", "tokens", Unit::Count, arguments, |s| input(s.facts)),
};

/// The description of `tokens.output`.
pub static TOKENS_OUTPUT: AssertionSpec = AssertionSpec {
    name: "tokens.output",
    doc: "the answers of the run have so many tokens",
    argument: ArgumentKind::Number,
    bound: COUNT,
    build: |arguments| measure("tokens.output", "tokens", Unit::Count, arguments, |s| output(s.facts)),
};

/// The description of `tokens.total`.
pub static TOKENS_TOTAL: AssertionSpec = AssertionSpec {
    name: "tokens.total",
    doc: "prompts and answers of the run together have so many tokens",
    argument: ArgumentKind::Number,
    bound: COUNT,
    build: |arguments| {
        measure("tokens.total", "tokens", Unit::Count, arguments, |s| Ok(input(s.facts)? + output(s.facts)?))
    },
};

/// The description of `cost`.
pub static COST: AssertionSpec = AssertionSpec {
    name: "cost",
    doc: "the run cost so much, by the configured prices",
    argument: ArgumentKind::None,
    bound: Bound::Required { operators: OPERATORS, unit: Unit::Amount },
    build: |arguments| {
        let measured = measured("cost", "", Unit::Amount, arguments, |s| cost(s.facts).map(|cost| cost.amount))?;
        Ok(Box::new(Costs(measured)))
    },
};

/// The description of `calls`.
pub static CALLS: AssertionSpec = AssertionSpec {
    name: "calls",
    doc: "the run called models so many times",
    argument: ArgumentKind::Number,
    bound: COUNT,
    build: |arguments| {
        measure("calls", "calls", Unit::Count, arguments, |s| {
            told(s.facts.calls.map(|n| n as f64), "how many calls it made")
        })
    },
};

/// Words of a text: stretches between blanks.
fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn told(fact: Option<f64>, what: &str) -> Result<f64, Undecided> {
    fact.ok_or_else(|| Undecided::new(format!("the run did not tell {what}")))
}

fn input(facts: &Facts) -> Result<f64, Undecided> {
    tokens(facts.input_tokens, "the prompts")
}

fn output(facts: &Facts) -> Result<f64, Undecided> {
    tokens(facts.output_tokens, "the answers")
}

fn tokens(fact: Option<u64>, of: &str) -> Result<f64, Undecided> {
    told(fact.map(|n| n as f64), &format!("how many tokens {of} have"))
        .map_err(|e| e.help("not every server counts tokens; `words` counts the words of the text"))
}

fn cost(facts: &Facts) -> Result<Cost, Undecided> {
    facts.cost.clone().unwrap_or_else(|| Err(Undecided::new("the run did not tell what it cost")))
}

/// A measure of cost, whose messages name the currency.
struct Costs(Measured);

impl Check for Costs {
    fn check(&self, subject: &Subject<'_>) -> Result<Outcome, Undecided> {
        let currency = cost(subject.facts)?.currency;
        let outcome = self.0.check(subject)?;
        let named = |text: &str| format!("{text} {currency}").trim_end().to_owned();
        Ok(Outcome { actual: named(&outcome.actual), why: named(&outcome.why), ..outcome })
    }
}

type Measure = fn(&Subject<'_>) -> Result<f64, Undecided>;

/// What the measured number is held to.
enum Wanted {
    Exactly(i64),
    Within(Limit),
}

struct Measured {
    name: &'static str,
    /// What is counted, where the number alone does not say it.
    things: &'static str,
    unit: Unit,
    wanted: Wanted,
    measure: Measure,
}

fn measure(
    name: &'static str,
    things: &'static str,
    unit: Unit,
    arguments: &Arguments,
    measure: Measure,
) -> Result<Box<dyn Check>, BuildError> {
    Ok(Box::new(measured(name, things, unit, arguments, measure)?))
}

fn measured(
    name: &'static str,
    things: &'static str,
    unit: Unit,
    arguments: &Arguments,
    measure: Measure,
) -> Result<Measured, BuildError> {
    let wanted = match (&arguments.value, arguments.limit(unit)) {
        (Some(Value::Int(n)), _) => Wanted::Exactly(*n),
        (_, Some(limit)) => Wanted::Within(limit),
        _ => return Err(BuildError::new(Part::Whole, format!("`{name}` takes a number or a bound"))),
    };
    if let Wanted::Within(Limit { operator: operator @ (Operator::Below | Operator::AtLeast), number: 0.0, .. }) =
        wanted
    {
        let always = if operator == Operator::Below { "nothing" } else { "everything" };
        return Err(BuildError::new(Part::Bound, format!("the bound {operator} 0 of `{name}` is met by {always}")));
    }
    Ok(Measured { name, things, unit, wanted, measure })
}

impl Check for Measured {
    fn check(&self, subject: &Subject<'_>) -> Result<Outcome, Undecided> {
        let seen = (self.measure)(subject)?;
        let (pass, wanted) = match &self.wanted {
            Wanted::Exactly(n) => (seen == *n as f64, n.to_string()),
            Wanted::Within(limit) => (limit.holds(seen), limit.to_string()),
        };
        let actual = format!("{} {}", self.unit.show(seen), self.things).trim_end().to_owned();
        let why = format!("`{}` is {actual}", self.name);
        let expected = format!("{} {wanted}", self.name);
        Ok(Outcome { pass, score: None, expected, actual, why, comparable: false })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bounded, subject};
    use super::super::{Arguments, build};
    use super::*;

    fn with(spec: &AssertionSpec, bound: (Operator, f64), text: &str, facts: &Facts) -> Result<Outcome, Undecided> {
        bounded(spec, None, bound).unwrap().check(&subject(text, facts))
    }

    #[test]
    fn words_stand_between_blanks() {
        for (text, count) in [("", 0), (" \n", 0), ("one  two\r\nthree", 3), ("hello,world", 1), ("안녕 세계", 2)] {
            assert_eq!(words(text), count, "{text}");
        }
        let outcome = with(&WORDS, (Operator::AtMost, 2.0), "a b c", &Facts::default()).unwrap();
        assert_eq!((outcome.pass, outcome.why.as_str()), (false, "`words` is 3 words"));
        assert_eq!(outcome.expected, "words <= 2");
        let exactly = build(&WORDS, &Arguments { value: Some(Value::Int(2)), ..Arguments::default() }).unwrap();
        assert!(exactly.check(&subject("a b", &Facts::default())).unwrap().pass);
    }

    #[test]
    fn facts_of_the_run() {
        let facts = Facts {
            seconds: Some(0.25),
            input_tokens: Some(10),
            output_tokens: Some(5),
            cost: Some(Ok(Cost { amount: 0.002, currency: "USD".to_owned() })),
            calls: Some(2),
            finish: None,
        };
        let pass = |spec, bound| with(spec, bound, "", &facts).unwrap().pass;
        assert!(pass(&LATENCY, (Operator::Below, 0.3)) && !pass(&LATENCY, (Operator::Below, 0.25)));
        assert!(pass(&TOKENS_INPUT, (Operator::AtMost, 10.0)));
        assert!(pass(&TOKENS_OUTPUT, (Operator::AtMost, 5.0)));
        assert!(pass(&TOKENS_TOTAL, (Operator::AtLeast, 15.0)) && !pass(&TOKENS_TOTAL, (Operator::Above, 15.0)));
        assert!(pass(&COST, (Operator::AtMost, 0.002)));
        assert!(pass(&CALLS, (Operator::Below, 3.0)));
        assert_eq!(with(&COST, (Operator::Below, 0.001), "", &facts).unwrap().why, "`cost` is 0.002 USD");
        assert_eq!(with(&LATENCY, (Operator::Below, 5.0), "", &facts).unwrap().actual, "250ms");
    }

    #[test]
    fn what_the_run_did_not_tell_is_undecided() {
        for spec in [&LATENCY, &TOKENS_INPUT, &TOKENS_OUTPUT, &TOKENS_TOTAL, &COST, &CALLS] {
            let undecided = with(spec, (Operator::AtMost, 5.0), "", &Facts::default()).unwrap_err();
            assert!(undecided.message.contains("did not tell"), "{}", undecided.message);
        }
        let half = Facts { input_tokens: Some(1), ..Facts::default() };
        assert!(with(&TOKENS_TOTAL, (Operator::AtMost, 5.0), "", &half).unwrap_err().message.contains("the answers"));
    }

    #[test]
    fn bounds_that_say_nothing_are_refused() {
        let message = |spec, bound| bounded(spec, None, bound).err().unwrap().message;
        assert!(message(&WORDS, (Operator::AtLeast, 0.0)).contains("met by everything"));
        assert!(message(&LATENCY, (Operator::Below, 0.0)).contains("met by nothing"));
        assert!(message(&WORDS, (Operator::AtMost, 1.5)).contains("a whole number"));
        let both = Arguments { value: Some(Value::Int(3)), ty: None, bound: Some((Operator::AtMost, 3.0)) };
        assert!(build(&WORDS, &both).err().unwrap().message.contains("not both"));
        let none = build(&LATENCY, &Arguments::default()).err().unwrap();
        assert_eq!(none.help.as_deref(), Some("as latency < 5s"));
    }
}
