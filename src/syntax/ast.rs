//! The tree of a `.chain` file. One always comes out, whatever is wrong with the file.

use super::test_decl::TestDecl;
use crate::source::{FileId, Span};

/// A file's declarations in written order.
#[derive(Debug)]
pub struct File {
    /// The source text.
    pub id: FileId,
    /// The `##` block at the top, a blank line after it.
    pub doc: Option<String>,
    /// The declarations, broken ones among them.
    pub decls: Vec<Decl>,
    /// Every comment, in order.
    pub comments: Vec<Comment>,
}

/// A comment, without its newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Where it stands, `#` included.
    pub span: Span,
    /// Whether it begins with `##`.
    pub doc: bool,
}

/// A name as written, in NFC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ident {
    /// The name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// Names joined by dots: `define`, `style.voice`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The parts; there is at least one.
    pub parts: Vec<Ident>,
    /// The whole of it.
    pub span: Span,
}

impl Path {
    /// The path as written.
    pub fn text(&self) -> String {
        self.parts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(".")
    }

    /// The name, where the path is only one.
    pub fn single(&self) -> Option<&Ident> {
        match self.parts.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }
}

/// A declaration.
#[derive(Debug)]
pub struct Decl {
    /// The `##` comments right above it.
    pub doc: Option<String>,
    /// The whole of it.
    pub span: Span,
    /// What it declares.
    pub kind: DeclKind,
}

/// What a declaration declares.
#[derive(Debug)]
pub enum DeclKind {
    /// `use "lib.chain" as lib` or `use "lib.chain" { a, b }`.
    Use {
        /// The file.
        path: Str,
        /// The name after `as`.
        alias: Option<Ident>,
        /// The names in braces.
        names: Vec<Ident>,
    },
    /// `var NAME: TYPE = DEFAULT`.
    Var(Param),
    /// `secret NAME`.
    Secret {
        /// The variable of the environment.
        name: Ident,
    },
    /// `type NAME = …` or `type NAME { … }`.
    Type {
        /// The name.
        name: Ident,
        /// What it stands for.
        body: TypeBody,
    },
    /// `model NAME = …`.
    Model {
        /// The name.
        name: Ident,
        /// A call, a name, or several with `??`.
        body: Pipeline,
    },
    /// `embedder NAME = …`.
    Embedder {
        /// The name.
        name: Ident,
        /// A call or a name.
        body: Pipeline,
    },
    /// `index NAME = …`.
    Index {
        /// The name.
        name: Ident,
        /// The pipeline that ends in `store`.
        body: Pipeline,
    },
    /// `prompt NAME = …` or `prompt NAME { … }`.
    Prompt {
        /// The name.
        name: Ident,
        /// What it says.
        body: PromptBody,
    },
    /// `chain NAME(PARAMETERS) -> TYPE = …`.
    Chain {
        /// The name.
        name: Ident,
        /// The parameters, where there are brackets.
        params: Option<Vec<Param>>,
        /// The declared type of the result.
        result: Option<TypeExpr>,
        /// What it does.
        body: Pipeline,
    },
    /// `test "…" { … }`.
    Test(Box<TestDecl>),
    /// A bare pipeline.
    Bare(Pipeline),
    /// A declaration that could not be read; its errors are reported.
    Broken {
        /// Its keyword, where it has one.
        keyword: Option<&'static str>,
        /// Its name, so that its uses are no further errors.
        name: Option<Ident>,
    },
}

/// A variable or parameter: a name, a type and perhaps a default.
#[derive(Debug)]
pub struct Param {
    /// The name.
    pub name: Ident,
    /// Its type.
    pub ty: TypeExpr,
    /// The value where none is given.
    pub default: Option<Operand>,
}

/// What a `type` stands for.
#[derive(Debug)]
pub enum TypeBody {
    /// Another type.
    Alias(TypeExpr),
    /// A map with these fields.
    Record(Vec<FieldDecl>),
}

/// A field of a record.
#[derive(Debug)]
pub struct FieldDecl {
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub ty: TypeExpr,
    /// The `##` comments right above it.
    pub doc: Option<String>,
}

/// A type as written.
#[derive(Debug)]
pub struct TypeExpr {
    /// The whole of it.
    pub span: Span,
    /// What it says.
    pub kind: TypeKind,
}

/// What a type says.
#[derive(Debug)]
pub enum TypeKind {
    /// A name: `string`, `Label`.
    Name(Path),
    /// `name(T)`, as `map(int)`.
    Apply(Path, Box<TypeExpr>),
    /// A text literal.
    Text(Str),
    /// A number literal.
    Number(Number),
    /// `[T]`.
    List(Box<TypeExpr>),
    /// `T?`.
    Optional(Box<TypeExpr>),
    /// `A | B`.
    Union(Vec<TypeExpr>),
}

/// What a prompt says.
#[derive(Debug)]
pub enum PromptBody {
    /// `= "…"`: one user message.
    Text(Str),
    /// `= raw "…"`.
    Raw(Str),
    /// `{ … }`.
    Block(Vec<PromptEntry>),
}

/// An entry of a prompt's block.
#[derive(Debug)]
pub enum PromptEntry {
    /// `system "…"`, `user "…"`, `assistant "…"`.
    Role(RoleText),
    /// `messages {{ … }}`.
    Messages(ExprLit),
    /// `messages NAME`.
    Splice(Path),
    /// `examples FILE take n { … }`.
    Examples(ExamplesEntry),
}

/// `examples` of a prompt.
#[derive(Debug)]
pub struct ExamplesEntry {
    /// Where the rows come from.
    pub rows: ExamplesRows,
    /// How many of them are taken.
    pub take: Option<Number>,
    /// What is said for each row.
    pub roles: Vec<RoleText>,
    /// The whole of it.
    pub span: Span,
}

/// Where the rows of `examples` come from.
#[derive(Debug)]
pub enum ExamplesRows {
    /// A file.
    File(Str),
    /// A list that the pipeline made.
    List(ExprLit),
}

/// A role, its text and its pictures.
#[derive(Debug)]
pub struct RoleText {
    /// The role as written.
    pub role: Ident,
    /// The text.
    pub text: Str,
    /// The paths of `image("…")` behind the text.
    pub images: Vec<Str>,
}

/// Stages joined by `|`.
#[derive(Debug)]
pub struct Pipeline {
    /// The stages; there is at least one.
    pub stages: Vec<Stage>,
    /// The whole of it.
    pub span: Span,
}

impl Pipeline {
    /// The operand, where the pipeline is nothing more.
    pub fn single(&self) -> Option<&Operand> {
        match self.stages.as_slice() {
            [Stage { operands, alias: None, .. }] if operands.len() == 1 => operands.first(),
            _ => None,
        }
    }
}

/// Operands joined by `??`, and perhaps a name for the value.
#[derive(Debug)]
pub struct Stage {
    /// The operands; there is at least one.
    pub operands: Vec<Operand>,
    /// The name after `as`.
    pub alias: Option<Ident>,
    /// The whole of it.
    pub span: Span,
}

/// A stage or a value: one grammar serves both, and lowering says where one stands for the other.
#[derive(Debug)]
pub struct Operand {
    /// The whole of it.
    pub span: Span,
    /// What it is.
    pub kind: OperandKind,
}

/// What an operand is.
#[derive(Debug)]
pub enum OperandKind {
    /// `"…"`.
    Text(Str),
    /// `raw "…"`.
    Raw(Str),
    /// `{{ … }}`.
    Expr(ExprLit),
    /// `3`, `2.5`, `30s`, `80%`.
    Number(Number),
    /// `[a, b]`.
    List(Vec<Pipeline>),
    /// `{ a: …, ..input }`.
    Map(Vec<MapEntry>),
    /// `( … )`.
    Group(Box<Pipeline>),
    /// `match … { … }`.
    Match(Box<MatchExpr>),
    /// A name, with or without arguments.
    Call {
        /// The name.
        path: Path,
        /// The arguments, where there are brackets.
        args: Option<Vec<Arg>>,
    },
}

/// An entry of a map.
#[derive(Debug)]
pub enum MapEntry {
    /// `key: …`.
    Pair(Ident, Pipeline),
    /// `..input` or `..{{ … }}`.
    Spread(Spread),
}

/// The map whose entries another map takes over.
#[derive(Debug)]
pub struct Spread {
    /// What stands behind the dots.
    pub of: SpreadOf,
    /// The whole of it, dots included.
    pub span: Span,
}

/// What a spread names.
#[derive(Debug)]
pub enum SpreadOf {
    /// A bare name, of which only `input` is one that a value has.
    Name(Path),
    /// `{{ … }}`.
    Expr(ExprLit),
}

/// `match {{ … }} { v => …, _ => … }` or `match { {{ cond }} => …, _ => … }`.
#[derive(Debug)]
pub struct MatchExpr {
    /// The value that is compared; none where the arms are conditions.
    pub subject: Option<ExprLit>,
    /// The arms in written order; there is at least one.
    pub arms: Vec<Arm>,
}

/// An arm of a `match`.
#[derive(Debug)]
pub struct Arm {
    /// What it is for.
    pub pattern: Pattern,
    /// What runs where it fits.
    pub body: Pipeline,
}

/// What an arm of a `match` is for.
#[derive(Debug)]
pub enum Pattern {
    /// `_`: whatever no arm before took.
    Rest(Span),
    /// A literal, or a name that stands for none.
    Value(Operand),
    /// `{{ … }}`.
    Condition(ExprLit),
}

impl Pattern {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Pattern::Rest(span) => *span,
            Pattern::Value(operand) => operand.span,
            Pattern::Condition(expr) => expr.span,
        }
    }
}

/// An argument of a call.
#[derive(Debug)]
pub struct Arg {
    /// Its name, where it has one.
    pub name: Option<Ident>,
    /// What is given.
    pub value: Pipeline,
    /// The whole of it.
    pub span: Span,
}

/// A number as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    /// The digits, sign, fraction and exponent.
    pub digits: String,
    /// The unit, as `s` or `%`; empty where there is none.
    pub unit: String,
    /// The whole of it.
    pub span: Span,
}

/// The inside of `{{ … }}`.
#[derive(Clone, Debug, PartialEq)]
pub struct ExprLit {
    /// The text between the braces.
    pub text: String,
    /// Where that text begins in the file.
    pub start: u32,
    /// The whole of it, braces included.
    pub span: Span,
}

impl ExprLit {
    /// The place in the file of a range of the text.
    pub fn locate(&self, range: &std::ops::Range<usize>) -> Span {
        let start = self.start as usize + range.start.min(self.text.len());
        Span::new(self.span.file, start, (self.start as usize + range.end.min(self.text.len())).max(start))
    }
}

/// A string: its text after escapes and indentation, and where each stretch of it stands in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Str {
    /// The text; a template, where it holds `{{` or `{%`.
    pub text: String,
    /// Pairs of an offset in the text and the offset in the file that it stands at, ascending.
    pub map: Vec<(u32, u32)>,
    /// The whole literal, quotes included.
    pub span: Span,
}

impl Str {
    /// The offset in the file of an offset in the text.
    fn offset(&self, at: usize) -> u32 {
        let i = self.map.partition_point(|(t, _)| *t as usize <= at);
        match self.map.get(i.wrapping_sub(1)) {
            Some((t, f)) => (f + (at as u32 - t)).min(self.span.end),
            None => self.span.start,
        }
    }

    /// The place in the file of a range of the text.
    pub fn locate(&self, range: &std::ops::Range<usize>) -> Span {
        let start = self.offset(range.start);
        let end = if range.end > range.start { self.offset(range.end - 1) + 1 } else { start };
        Span { file: self.span.file, start, end: end.max(start) }
    }
}
