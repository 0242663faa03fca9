//! The bound behind an assertion, as `>= 0.7` or `< 5s`.

use std::fmt;

/// How what was measured is compared with a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
}

/// Every operator, in the order in which messages list them.
pub const OPERATORS: &[Operator] = &[Operator::Below, Operator::AtMost, Operator::Above, Operator::AtLeast];

impl Operator {
    /// The operator that is written so.
    pub fn find(written: &str) -> Option<Self> {
        OPERATORS.iter().copied().find(|o| o.symbol() == written)
    }

    /// How it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Operator::Below => "<",
            Operator::AtMost => "<=",
            Operator::Above => ">",
            Operator::AtLeast => ">=",
        }
    }

    /// Whether `measured` keeps to `bound`.
    pub fn holds(self, measured: f64, bound: f64) -> bool {
        match self {
            Operator::Below => measured < bound,
            Operator::AtMost => measured <= bound,
            Operator::Above => measured > bound,
            Operator::AtLeast => measured >= bound,
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

/// In what a bound is written, and how its number is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A whole number of things, as `120`.
    Count,
    /// A part of 1, as `0.7` or `70%`.
    Share,
    /// A length of time, as `5s` or `400ms`; the number is in seconds.
    Duration,
    /// A number in the currency of the configured prices, as `0.002`.
    Amount,
}

impl Unit {
    /// What a message calls a number of this unit.
    pub fn describe(self) -> &'static str {
        match self {
            Unit::Count => "a whole number, as 120",
            Unit::Share => "a share from 0 to 1, as 0.7 or 70%",
            Unit::Duration => "a length of time, as 5s or 400ms",
            Unit::Amount => "a number that is not negative, as 0.002",
        }
    }

    /// Whether `number` can be one of this unit.
    pub fn takes(self, number: f64) -> bool {
        match self {
            Unit::Count => number >= 0.0 && number.fract() == 0.0 && number.is_finite(),
            Unit::Share => (0.0..=1.0).contains(&number),
            Unit::Duration | Unit::Amount => number >= 0.0 && number.is_finite(),
        }
    }

    /// A number of this unit as messages show it.
    pub fn show(self, number: f64) -> String {
        match self {
            Unit::Count | Unit::Amount => format!("{number}"),
            Unit::Share => rounded(number),
            Unit::Duration if number < 1.0 => format!("{}ms", rounded(number * 1000.0)),
            Unit::Duration => format!("{}s", rounded(number)),
        }
    }
}

/// At most four digits behind the point, without zeros at the end.
fn rounded(number: f64) -> String {
    let text = format!("{number:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Which bound an assertion takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// None.
    None,
    /// One that need not be written.
    Optional {
        /// The operators that it may have.
        operators: &'static [Operator],
        /// Its unit.
        unit: Unit,
        /// What holds where it is not written; nothing where the argument says it instead.
        default: Option<(Operator, f64)>,
    },
    /// One that must be written.
    Required {
        /// The operators that it may have.
        operators: &'static [Operator],
        /// Its unit.
        unit: Unit,
    },
}

impl Bound {
    /// The operators and the unit, where a bound may stand.
    pub fn form(&self) -> Option<(&'static [Operator], Unit)> {
        match self {
            Bound::None => None,
            Bound::Optional { operators, unit, .. } | Bound::Required { operators, unit } => Some((operators, *unit)),
        }
    }

    /// What documents say of it: operators, unit, default.
    pub fn describe(&self) -> String {
        let Some((operators, unit)) = self.form() else { return "none".to_owned() };
        let list = operators.iter().map(|o| format!("`{o}`")).collect::<Vec<_>>().join(" ");
        let otherwise = match self.default() {
            Some((operator, number)) => format!("; `{operator} {}` unless written", unit.show(number)),
            None => String::new(),
        };
        format!("{list} {}{otherwise}", unit.describe())
    }

    /// What holds where none is written.
    pub fn default(&self) -> Option<(Operator, f64)> {
        match self {
            Bound::Optional { default, .. } => *default,
            _ => None,
        }
    }
}

/// A bound that was given or is the default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limit {
    pub operator: Operator,
    pub number: f64,
    pub unit: Unit,
}

impl Limit {
    pub fn holds(&self, measured: f64) -> bool {
        self.operator.holds(measured, self.number)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operator, self.unit.show(self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_found_and_hold() {
        for operator in OPERATORS {
            assert_eq!(Operator::find(operator.symbol()), Some(*operator));
        }
        assert_eq!(Operator::find("=="), None);
        let held = |o: Operator| [o.holds(1.0, 2.0), o.holds(2.0, 2.0), o.holds(3.0, 2.0)];
        assert_eq!(held(Operator::Below), [true, false, false]);
        assert_eq!(held(Operator::AtMost), [true, true, false]);
        assert_eq!(held(Operator::Above), [false, false, true]);
        assert_eq!(held(Operator::AtLeast), [false, true, true]);
        assert!(OPERATORS.iter().all(|o| !o.holds(f64::NAN, 1.0)));
    }

    #[test]
    fn units_know_their_numbers() {
        assert!(Unit::Count.takes(0.0) && !Unit::Count.takes(1.5) && !Unit::Count.takes(f64::INFINITY));
        assert!(Unit::Share.takes(1.0) && !Unit::Share.takes(70.0) && !Unit::Share.takes(f64::NAN));
        assert!(Unit::Duration.takes(0.25) && !Unit::Duration.takes(-1.0));
        let shown =
            [Unit::Count.show(12.0), Unit::Share.show(2.0 / 3.0), Unit::Duration.show(0.4), Unit::Amount.show(0.00002)];
        assert_eq!(shown, ["12", "0.6667", "400ms", "0.00002"]);
        assert_eq!(Unit::Duration.show(5.0), "5s");
    }
}
