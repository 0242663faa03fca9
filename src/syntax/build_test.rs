//! From the grammar's pairs to the tree of a test.

use super::Rule;
use super::ast::{DeclKind, Operand, Path, Pipeline};
use super::build::{Builder, P};
use super::test_decl::{Bound, Check, Claim, ClaimKind, Comparison, Expect, Share, TestDecl, TestLine};

impl Builder<'_> {
    pub(super) fn test_decl(&mut self, name: &P, rest: Vec<P>) -> DeclKind {
        let name = self.str(name);
        let mut test = TestDecl { name, chain: None, data: None, lines: Vec::new() };
        for part in rest {
            match part.as_rule() {
                Rule::test_for => test.chain = part.into_inner().last().map(|p| self.path(p)),
                Rule::test_from => {
                    let mut inner = part.into_inner().filter(|p| !super::rules::is_keyword(p.as_rule()));
                    let file = inner.next().map(|p| self.str(&p));
                    test.data = file.map(|file| (file, inner.next().map(|p| self.ident(&p))));
                }
                _ => test.lines.extend(self.test_line(part)),
            }
        }
        DeclKind::Test(Box::new(test))
    }

    fn test_line(&mut self, pair: P) -> Option<TestLine> {
        let span = self.span(&pair);
        let rule = pair.as_rule();
        if rule == Rule::expect_line {
            return self.expect(pair).map(|e| TestLine::Expect(Box::new(e)));
        }
        let mut inner = pair.into_inner().filter(|p| !super::rules::is_keyword(p.as_rule()));
        Some(match rule {
            Rule::set_line => TestLine::Set(self.ident(&inner.next()?), self.operand(inner.next()?)),
            Rule::mock_line => TestLine::Mock(self.path(inner.next()?), self.operand(inner.next()?)),
            Rule::swap_line => TestLine::Swap(self.path(inner.next()?), self.items(inner.next()?), span),
            Rule::runs_line => TestLine::Runs(self.number(&inner.next()?), self.number(&inner.next()?), span),
            Rule::rows_line => TestLine::Rows(self.number(&inner.next()?), span),
            Rule::tags_line => TestLine::Tags(self.items(inner.next()?), span),
            Rule::skip_line => TestLine::Skip(self.str(&inner.next()?), span),
            Rule::only_line => TestLine::Only(span),
            _ => return None,
        })
    }

    fn items(&mut self, list: P) -> Vec<Pipeline> {
        list.into_inner().map(|p| self.pipeline(p)).collect()
    }

    fn expect(&mut self, pair: P) -> Option<Expect> {
        let span = self.span(&pair);
        let (mut warn, mut at, mut claim) = (false, None, None);
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::kw_warn => warn = true,
                Rule::expect_at => at = part.into_inner().last().map(|p| self.path(p)),
                Rule::claim => claim = self.claim(part),
                _ => {}
            }
        }
        Some(Expect { warn, at, claim: claim?, span })
    }

    fn claim(&mut self, pair: P) -> Option<Claim> {
        let span = self.span(&pair);
        let mut negated = false;
        let mut kind = None;
        for part in pair.into_inner() {
            kind = match part.as_rule() {
                Rule::kw_not => {
                    negated = true;
                    continue;
                }
                Rule::expression => Some(ClaimKind::Expression(self.expr(&part))),
                Rule::claim_fails => {
                    let inner = part.into_inner().find(|p| p.as_rule() == Rule::claim);
                    Some(ClaimKind::Fails(inner.and_then(|p| self.claim(p)).map(Box::new)))
                }
                Rule::claim_group => self.claim_group(part),
                _ => self.check(part).map(|c| ClaimKind::Check(Box::new(c))),
            };
        }
        Some(Claim { negated, kind: kind?, span })
    }

    fn claim_group(&mut self, pair: P) -> Option<ClaimKind> {
        let (mut share, mut claims) = (None, Vec::new());
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::kw_all => share = Some(Share::All),
                Rule::kw_any => share = Some(Share::Any),
                Rule::at_least => share = part.into_inner().last().map(|n| Share::AtLeast(self.number(&n))),
                Rule::claim => claims.extend(self.claim(part)),
                _ => {}
            }
        }
        Some(ClaimKind::Group(share?, claims))
    }

    fn check(&mut self, pair: P) -> Option<Check> {
        let mut inner = pair.into_inner();
        let name: Path = self.path(inner.next()?);
        let mut check = Check { name, args: None, value: None, bound: None, by: None };
        for part in inner {
            match part.as_rule() {
                Rule::args => check.args = Some(part.into_inner().filter_map(|p| self.arg(p)).collect()),
                Rule::bound => check.bound = self.bound(part),
                Rule::check_by => check.by = part.into_inner().last().map(|p| self.path(p)),
                _ => check.value = Some(self.operand(part)),
            }
        }
        Some(check)
    }

    fn bound(&mut self, pair: P) -> Option<Bound> {
        let span = self.span(&pair);
        let mut inner = pair.into_inner();
        let comparison = Comparison::of_sign(inner.next()?.as_str().trim())?;
        let with: Operand = self.operand(inner.next()?);
        Some(Bound { comparison, with, span })
    }
}
