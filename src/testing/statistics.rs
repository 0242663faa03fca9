//! What a number of runs shows.

/// The standard score of a two-sided confidence of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// The Wilson score interval of a share at a confidence of 95 %, for `passed` of `runs`; both ends lie in 0 to 1.
///
/// With p = passed / runs it is (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n) (E. B. Wilson, Probable inference, the
/// law of succession, and statistical inference, 1927).
#[allow(clippy::cast_precision_loss, reason = "runs are at most a hundred thousand")]
pub fn wilson(passed: u64, runs: u64) -> (f64, f64) {
    if runs == 0 {
        return (0.0, 1.0);
    }
    let n = runs as f64;
    let p = passed as f64 / n;
    let z2 = Z * Z;
    let middle = p + z2 / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (((middle - spread) / scale).max(0.0), ((middle + spread) / scale).min(1.0))
}

/// What is certain of a share that must be reached, when some of the runs are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certain {
    /// It will be reached whatever the other runs give.
    Reached,
    /// It will not be reached.
    Missed,
    /// The other runs decide.
    Open,
}

/// How many of `runs` must pass for `share`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count is a count")]
pub fn needed(share: f64, runs: u64) -> u64 {
    #[allow(clippy::cast_precision_loss, reason = "counts of cases are far below 2⁵³")]
    let exact = share * runs as f64;
    // 60 % of 5 are 3, although 0.6 × 5 may come out a little above.
    (exact - 1e-9).ceil().max(0.0) as u64
}

/// What is certain when `passed` and `failed` of `runs` are done.
pub fn certain(share: f64, runs: u64, passed: u64, failed: u64) -> Certain {
    let needed = needed(share, runs);
    if passed >= needed {
        Certain::Reached
    } else if failed > runs - needed.min(runs) {
        Certain::Missed
    } else {
        Certain::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_literature() {
        // R: prop.test(8, 10, correct = FALSE)$conf.int and (20, 20).
        let near = |(a, b): (f64, f64), (c, d): (f64, f64)| (a - c).abs() < 1e-6 && (b - d).abs() < 1e-6;
        assert!(near(wilson(8, 10), (0.490_162, 0.943_318)), "{:?}", wilson(8, 10));
        assert!(near(wilson(20, 20), (0.838_875, 1.0)), "{:?}", wilson(20, 20));
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    #[test]
    fn a_verdict_is_certain_as_soon_as_it_can_be() {
        assert_eq!(needed(0.6, 5), 3);
        assert_eq!(needed(0.8, 3), 3);
        assert_eq!(needed(1.0, 7), 7);
        assert_eq!(certain(0.8, 20, 16, 0), Certain::Reached);
        assert_eq!(certain(0.8, 20, 10, 4), Certain::Open);
        assert_eq!(certain(0.8, 20, 10, 5), Certain::Missed);
        assert_eq!(certain(1.0, 1, 0, 0), Certain::Open);
    }
}
