//! Groups of assertions: `all`, `any`, `at least k`.

use super::outcome::{Outcome, Undecided};

/// How many of a group's assertions are to be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Each.
    All,
    /// One at least.
    Any,
    /// So many at least.
    AtLeast(usize),
}

/// What one assertion of a group, its `not` included, said.
pub type Member = Result<Outcome, Undecided>;

impl Group {
    /// How many of `members` assertions are to be met.
    pub fn needed(self, members: usize) -> usize {
        match self {
            Group::All => members,
            Group::Any => 1,
            Group::AtLeast(k) => k,
        }
    }

    /// What the group says. Its score is the share of its assertions that are met. Of a group inside a group, the outcome
    /// is a member.
    ///
    /// # Errors
    /// Assertions that could not be decided would decide the group: neither do enough of the others hold, nor do too many
    /// of them fail. The first of them is told.
    pub fn outcome(self, members: &[Member]) -> Member {
        let needed = self.needed(members.len());
        let met = members.iter().flatten().filter(|o| o.pass).count();
        let undecided = members.iter().filter_map(|m| m.as_ref().err());
        let pass = met >= needed;
        if !pass
            && met + undecided.clone().count() >= needed
            && let Some(first) = undecided.clone().next()
        {
            return Err(first.clone());
        }
        let failed: Vec<String> = members.iter().flatten().filter(|o| !o.pass).map(|o| o.expected.clone()).collect();
        let unmet = if failed.is_empty() { String::new() } else { format!("; not met: {}", failed.join(", ")) };
        Ok(Outcome {
            pass,
            score: (!members.is_empty()).then(|| met as f64 / members.len() as f64),
            expected: match self {
                Group::All => format!("all of {}", members.len()),
                Group::Any => format!("any of {}", members.len()),
                Group::AtLeast(k) => format!("at least {k} of {}", members.len()),
            },
            actual: format!("{met} of {}", members.len()),
            why: format!("{met} of {} are met{unmet}", members.len()),
            comparable: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(pass: bool) -> Member {
        Ok(Outcome {
            pass,
            score: None,
            expected: format!("contains \"{pass}\""),
            actual: String::new(),
            why: String::new(),
            comparable: false,
        })
    }

    fn told() -> Member {
        Err(Undecided::new("the run did not tell what it cost"))
    }

    #[test]
    fn so_many_are_needed() {
        let pass = |group: Group, members: &[Member]| group.outcome(members).map(|o| o.pass);
        let mixed = [member(true), member(false), member(true)];
        assert_eq!(pass(Group::All, &mixed), Ok(false));
        assert_eq!(pass(Group::Any, &mixed), Ok(true));
        assert_eq!(pass(Group::AtLeast(2), &mixed), Ok(true));
        assert_eq!(pass(Group::AtLeast(3), &mixed), Ok(false));
        assert_eq!([pass(Group::All, &[]), pass(Group::Any, &[])], [Ok(true), Ok(false)]);
        let outcome = Group::All.outcome(&mixed).unwrap();
        assert_eq!(outcome.why, "2 of 3 are met; not met: contains \"false\"");
        assert_eq!(outcome.score, Some(2.0 / 3.0));
    }

    #[test]
    fn what_is_undecided_counts_where_it_would_decide() {
        let pass = |group: Group, members: &[Member]| group.outcome(members).map(|o| o.pass).ok();
        assert_eq!(pass(Group::Any, &[told(), member(true)]), Some(true));
        assert_eq!(pass(Group::Any, &[told(), member(false)]), None);
        assert_eq!(pass(Group::All, &[told(), member(false)]), Some(false));
        assert_eq!(pass(Group::All, &[told(), member(true)]), None);
        assert_eq!(pass(Group::AtLeast(2), &[told(), member(false), member(false)]), Some(false));
    }
}
