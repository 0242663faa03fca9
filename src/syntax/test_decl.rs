//! The tree of a `test` declaration.

use super::ast::{Arg, ExprLit, Ident, Number, Operand, Path, Pipeline, Str};
use crate::source::Span;

/// `test "name" for CHAIN from "data.csv" as row { … }`.
#[derive(Debug)]
pub struct TestDecl {
    /// Its name.
    pub name: Str,
    /// The chain that it runs; none for `main`.
    pub chain: Option<Path>,
    /// The file whose rows are its cases, and what a row is called.
    pub data: Option<(Str, Option<Ident>)>,
    /// Its lines, in written order.
    pub lines: Vec<TestLine>,
}

/// A line of a test.
#[derive(Debug)]
pub enum TestLine {
    /// `NAME = value`: a variable, or `input`.
    Set(Ident, Operand),
    /// `expect …` or `warn …`.
    Expect(Box<Expect>),
    /// `mock NAME = value`.
    Mock(Path, Operand),
    /// `swap NAME = [a, b]`, and the whole of the list.
    Swap(Path, Vec<Pipeline>, Span),
    /// `runs N pass P%`, and the whole of it.
    Runs(Number, Number, Span),
    /// `rows pass P%`, and the whole of it.
    Rows(Number, Span),
    /// `tags ["a", "b"]`.
    Tags(Vec<Pipeline>, Span),
    /// `skip "why"`.
    Skip(Str, Span),
    /// `only`.
    Only(Span),
}

/// What is expected of a run.
#[derive(Debug)]
pub struct Expect {
    /// Whether it only warns.
    pub warn: bool,
    /// The step that it looks at; none for the result.
    pub at: Option<Path>,
    /// What must hold.
    pub claim: Claim,
    /// The whole of it.
    pub span: Span,
}

/// Something that holds or does not.
#[derive(Debug)]
pub struct Claim {
    /// Whether `not` stands before it.
    pub negated: bool,
    /// What is claimed.
    pub kind: ClaimKind,
    /// The whole of it.
    pub span: Span,
}

/// What is claimed.
#[derive(Debug)]
pub enum ClaimKind {
    /// `{{ … }}` is true.
    Expression(ExprLit),
    /// `fails`: the run fails, and its error satisfies the claim.
    Fails(Option<Box<Claim>>),
    /// `all { … }`, `any { … }` or `at least K { … }`.
    Group(Share, Vec<Claim>),
    /// An assertion by name.
    Check(Box<Check>),
}

/// How many claims of a group must hold.
#[derive(Debug)]
pub enum Share {
    /// Every one.
    All,
    /// One.
    Any,
    /// So many.
    AtLeast(Number),
}

/// An assertion: `contains "x"`, `similar "…" >= 0.7 by minilm`, `json(Meaning)`, `tokens.output < 120`.
#[derive(Debug)]
pub struct Check {
    /// Its name.
    pub name: Path,
    /// What stands in brackets behind the name.
    pub args: Option<Vec<Arg>>,
    /// Its value.
    pub value: Option<Operand>,
    /// Its bound.
    pub bound: Option<Bound>,
    /// What stands behind `by`.
    pub by: Option<Path>,
}

/// A comparison: `>= 0.7`.
#[derive(Debug)]
pub struct Bound {
    /// How it compares.
    pub comparison: Comparison,
    /// With what: a number or an expression.
    pub with: Operand,
    /// The whole of it.
    pub span: Span,
}

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
    /// `>=`
    AtLeast,
    /// `>`
    More,
}

impl Comparison {
    /// As it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Comparison::Less => "<",
            Comparison::AtMost => "<=",
            Comparison::Equal => "==",
            Comparison::AtLeast => ">=",
            Comparison::More => ">",
        }
    }

    /// The comparison that is written so.
    pub fn of_sign(sign: &str) -> Option<Self> {
        use Comparison::{AtLeast, AtMost, Equal, Less, More};
        [Less, AtMost, Equal, AtLeast, More].into_iter().find(|c| c.sign() == sign)
    }
}
