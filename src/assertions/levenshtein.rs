//! `levenshtein`: how many single changes of characters turn the text into the wanted one.
//!
//! The distance of Levenshtein (1966): putting in, taking out and replacing a character count 1 each. Characters are
//! Unicode's code points. A bound at or below which texts of different length cannot come is decided by their length; of
//! texts too long for the whole table, only the band is computed that the bound allows (Ukkonen 1985).

use super::bits;
use super::bound::{Bound, Limit, Operator, Unit};
use super::outcome::{Check, Outcome, Subject, Undecided};
use super::places::quoted;
use super::spec::{ArgumentKind, Arguments, AssertionSpec, BuildError};

/// The description of `levenshtein`.
pub static SPEC: AssertionSpec = AssertionSpec {
    name: "levenshtein",
    doc: "at most so many single changes of characters turn the text into this one",
    argument: ArgumentKind::Text,
    bound: Bound::Optional {
        operators: &[Operator::AtMost, Operator::Below],
        unit: Unit::Count,
        default: Some((Operator::AtMost, 5.0)),
    },
    build,
};

/// Cells of a table that are computed, in words of 64 (whole table) or alone (a band).
const WORK: usize = 400_000_000;

fn build(arguments: &Arguments) -> Result<Box<dyn Check>, BuildError> {
    let limit =
        arguments.limit(Unit::Count).unwrap_or(Limit { operator: Operator::AtMost, number: 5.0, unit: Unit::Count });
    Ok(Box::new(Levenshtein { wanted: arguments.text(), limit }))
}

struct Levenshtein {
    wanted: String,
    limit: Limit,
}

/// What is known of a distance.
#[derive(Debug, PartialEq)]
enum Distance {
    Exactly(usize),
    MoreThan(usize),
}

impl Check for Levenshtein {
    fn check(&self, subject: &Subject<'_>) -> Result<Outcome, Undecided> {
        // The largest distance that still is within the limit.
        let most = if self.limit.operator == Operator::Below { self.limit.number - 1.0 } else { self.limit.number };
        let (pass, actual) = match distance(&self.wanted, subject.text, most.max(0.0) as usize)? {
            Distance::Exactly(n) => (self.limit.holds(n as f64), n.to_string()),
            Distance::MoreThan(n) => (false, format!("more than {n}")),
        };
        Ok(Outcome {
            pass,
            score: None,
            expected: format!("levenshtein {} {}", quoted(&self.wanted), self.limit),
            why: format!("the distance is {actual}"),
            actual,
            comparable: false,
        })
    }
}

/// The distance of two texts, exactly or that it is more than `most`.
fn distance(a: &str, b: &str, most: usize) -> Result<Distance, Undecided> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let start = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[start..], &b[start..]);
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[..a.len() - end], &b[..b.len() - end]);
    let (short, long) = (a.len().min(b.len()), a.len().max(b.len()));
    if (short / 64 + 1).saturating_mul(long) <= WORK {
        return Ok(Distance::Exactly(bits::distance(a, b)));
    }
    if long - short > most {
        return Ok(Distance::MoreThan(most));
    }
    if most.saturating_mul(2).saturating_add(1).saturating_mul(long) > WORK {
        return Err(Undecided::new(format!(
            "texts that differ over {long} and {short} characters are too long to be held to a distance of {most}"
        ))
        .help("a smaller bound takes less work"));
    }
    Ok(band(a, b, most))
}

/// The distance, where it is at most `most`, from the cells whose row and column differ by no more than that.
fn band(a: &[char], b: &[char], most: usize) -> Distance {
    let over = most + 1;
    // Cell `k` of a row stands for the column `row + k - most`.
    let mut row: Vec<usize> = (0..=2 * most).map(|k| k.checked_sub(most).unwrap_or(over)).collect();
    for (i, x) in a.iter().enumerate() {
        let mut left = over;
        for k in 0..=2 * most {
            let above = row.get(k + 1).map_or(over, |d| d + 1);
            let cell = match (i + 1 + k).checked_sub(most) {
                None => over,
                Some(0) => i + 1,
                Some(j) if j > b.len() => over,
                Some(j) => (row[k] + usize::from(*x != b[j - 1])).min(above).min(left + 1),
            };
            left = cell.min(over);
            row[k] = left;
        }
        if row.iter().all(|d| *d > most) {
            return Distance::MoreThan(most);
        }
    }
    match (b.len() + most).checked_sub(a.len()).and_then(|k| row.get(k)) {
        Some(d) if *d <= most => Distance::Exactly(*d),
        _ => Distance::MoreThan(most),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bounded, check, subject};
    use super::super::{Arguments, Facts, build as make};
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn distances() {
        for (a, b, wanted) in [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("감자", "감", 1), ("🙂", "", 1)]
        {
            assert_eq!(distance(a, b, 0), Ok(Distance::Exactly(wanted)), "{a} {b}");
            let chars = |t: &str| t.chars().collect::<Vec<_>>();
            for most in 0..5 {
                let exact = if wanted <= most { Distance::Exactly(wanted) } else { Distance::MoreThan(most) };
                assert_eq!(band(&chars(a), &chars(b), most), exact, "{a} {b} {most}");
                assert_eq!(band(&chars(b), &chars(a), most), exact, "{b} {a} {most}");
            }
        }
    }

    #[test]
    fn bounds() {
        let outcome = check(&SPEC, "hello world".into(), "");
        assert_eq!((outcome.pass, outcome.actual.as_str()), (false, "11"));
        assert_eq!(outcome.expected, "levenshtein \"hello world\" <= 5");
        assert!(check(&SPEC, "cat".into(), "dog").pass);
        let below = bounded(&SPEC, Some("cat".into()), (Operator::Below, 3.0)).unwrap();
        assert!(!below.check(&subject("dog", &Facts::default())).unwrap().pass);
        let error = bounded(&SPEC, Some("cat".into()), (Operator::AtLeast, 3.0)).err().unwrap();
        assert_eq!(error.message, "the bound of `levenshtein` is written with `<=` or `<`, not `>=`");
    }

    #[test]
    fn long_texts_take_no_long_time() {
        let began = Instant::now();
        let long = |piece: &str, bytes: usize| piece.repeat(bytes / piece.len());
        let (a, b) = (long("abcdefghij", 100_000), long("jihgfedcbak", 100_000));
        assert!(matches!(distance(&a, &b, 5), Ok(Distance::Exactly(n)) if n > 5));
        // Of a size where only a band can be computed.
        let (a, b) = (format!("x{}", long("ab", 1 << 20)), format!("{}y", long("ab", 1 << 20)));
        assert_eq!(distance(&a, &b, 5), Ok(Distance::Exactly(2)));
        assert_eq!(distance(&a, &long("ba", 1 << 19), 5), Ok(Distance::MoreThan(5)));
        assert!(distance(&a, &b, 100_000).unwrap_err().message.contains("too long"));
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        let arguments = Arguments { value: Some(a.into()), ..Arguments::default() };
        assert!(make(&SPEC, &arguments).unwrap().check(&subject(&b, &Facts::default())).unwrap().pass);
    }
}
