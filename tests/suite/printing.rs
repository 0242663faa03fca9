//! Printing a tree and reading the text gives the tree: for every file of the tests that has one without errors, and
//! for trees that nobody wrote.

use chainrun::source::{FileId, Span};
use chainrun::syntax::ast::*;
use libtest_mimic::Trial;

use crate::{Outcome, files, fuzz, root};

/// Trees in one run.
const TREES: usize = 3000;

/// The trials.
pub fn trials() -> Vec<Trial> {
    vec![Trial::test("printing::files", of_files), Trial::test("printing::random_trees", of_random_trees)]
}

fn of_files() -> Outcome {
    let mut printed = 0;
    for folder in ["tests/cases", "tests/data", "pipelines"] {
        for path in files(&root().join(folder), "chain") {
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let (tree, found) = chainrun::syntax::parse(FileId(0), &text);
            if found.is_empty() {
                let once = fuzz::tree::comes_back(&tree, &text);
                let (tree, _) = chainrun::syntax::parse(FileId(0), &once);
                assert_eq!(chainrun::syntax::print(&tree, &once), once, "{}: printed twice", path.display());
                printed += 1;
            }
        }
    }
    assert!(printed > 300, "only {printed} files were printed");
    Ok(())
}

fn of_random_trees() -> Outcome {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..TREES {
        let file = random.file();
        fuzz::tree::comes_back(&file, "");
    }
    Ok(())
}

const NOWHERE: Span = Span { file: FileId(0), start: 0, end: 0 };

/// Marsaglia's xorshift: the same trees in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % n as u64) as usize
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn some<T>(&mut self, least: usize, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..least + self.below(most - least + 1)).map(|_| make(self)).collect()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| make(self))
    }

    fn ident(&mut self) -> Ident {
        let names =
            ["a", "word", "main", "hf-endpoint", "_x", "as", "match", "raw", "input", "낱말", "éclair", "x1", "use"];
        Ident { name: self.one(&names).to_owned(), span: NOWHERE }
    }

    fn key(&mut self) -> Ident {
        let names =
            ["a", "first-name", "first name", "", "1", "\"", "\\", "\t\n", "e\u{301}", "-", "낱말", "}}", "a-1"];
        Ident { name: self.one(&names).to_owned(), span: NOWHERE }
    }

    fn path(&mut self) -> Path {
        Path { parts: self.some(1, 3, Self::ident), span: NOWHERE }
    }

    fn str(&mut self) -> Str {
        let parts = [
            "a",
            " ",
            "  ",
            "\n",
            "\n\n",
            "\t",
            "\r",
            "\r\n",
            "\"",
            "\"\"\"",
            "\\",
            "\\n",
            "{ ",
            "}",
            "'",
            "#",
            "##",
            "낱말",
            "{{ x }}",
            "{{ \"}\" }}",
            "{{ {'a': 1} }}",
            "{% if x %}",
            "{% endif %}",
            "{{ '{' }}",
            "{#",
            "|",
            "chain x = ",
        ];
        let text = self.some(0, 6, |r| r.one(&parts)).concat();
        // A brace before a template part would be read with it.
        let text = text.replace("{{{", "{ {{").replace("{{%", "{ {%").replace("}}}", "}} }");
        Str { text, map: Vec::new(), span: NOWHERE }
    }

    fn expr(&mut self) -> ExprLit {
        let texts =
            [" x ", " input.word | upper ", "x", " \"}}\" ", " {'a': {'b': 1}} ", " '\"' ~ \"'\" ", "\n x\n", ""];
        ExprLit { text: self.one(&texts).to_owned(), start: 0, span: NOWHERE }
    }

    fn number(&mut self) -> Number {
        let digits = self.one(&["0", "-1", "3.25", "10", "1e9", "2.5e-3"]).to_owned();
        let unit = if digits.contains('e') { "" } else { self.one(&["", "", "s", "ms", "%", "kg"]) };
        Number { digits, unit: unit.to_owned(), span: NOWHERE }
    }

    fn ty(&mut self, depth: usize) -> TypeExpr {
        let kind = match self.below(if depth == 0 { 3 } else { 7 }) {
            0 => TypeKind::Name(self.path()),
            1 => TypeKind::Text(self.str()),
            2 => TypeKind::Number(self.number()),
            3 => TypeKind::Apply(self.path(), Box::new(self.ty(depth - 1))),
            4 => TypeKind::List(Box::new(self.ty(depth - 1))),
            5 => TypeKind::Optional(Box::new(self.ty(depth - 1))),
            _ => TypeKind::Union(self.some(2, 3, |r| r.ty(depth - 1))),
        };
        // `??` is read as one `?`.
        let kind = match kind {
            TypeKind::Optional(inner) if matches!(inner.kind, TypeKind::Optional(_)) => inner.kind,
            kind => kind,
        };
        TypeExpr { span: NOWHERE, kind }
    }

    fn pipeline(&mut self, depth: usize) -> Pipeline {
        Pipeline { stages: self.some(1, 3, |r| r.stage(depth)), span: NOWHERE }
    }

    fn stage(&mut self, depth: usize) -> Stage {
        Stage { operands: self.some(1, 2, |r| r.operand(depth)), alias: self.maybe(Self::ident), span: NOWHERE }
    }

    fn operand(&mut self, depth: usize) -> Operand {
        let kind = match self.below(if depth == 0 { 5 } else { 10 }) {
            0 => OperandKind::Text(self.str()),
            1 => OperandKind::Raw(self.str()),
            2 => OperandKind::Expr(self.expr()),
            3 => OperandKind::Number(self.number()),
            4 => OperandKind::Call { path: self.path(), args: None },
            5 => OperandKind::List(self.some(0, 3, |r| r.pipeline(depth - 1))),
            6 => OperandKind::Map(self.some(0, 3, |r| r.entry(depth - 1))),
            7 => OperandKind::Group(Box::new(self.pipeline(depth - 1))),
            8 => OperandKind::Match(Box::new(self.choice(depth - 1))),
            _ => {
                let args = self.some(0, 3, |r| Arg {
                    name: r.maybe(Self::ident),
                    value: r.pipeline(depth - 1),
                    span: NOWHERE,
                });
                OperandKind::Call { path: self.path(), args: Some(args) }
            }
        };
        Operand { span: NOWHERE, kind }
    }

    fn entry(&mut self, depth: usize) -> MapEntry {
        match self.below(4) {
            0 => MapEntry::Spread(Spread { of: SpreadOf::Name(self.path()), span: NOWHERE }),
            1 => MapEntry::Spread(Spread { of: SpreadOf::Expr(self.expr()), span: NOWHERE }),
            _ => MapEntry::Pair(self.key(), self.pipeline(depth)),
        }
    }

    fn choice(&mut self, depth: usize) -> MatchExpr {
        let arms = self.some(1, 3, |r| {
            let kind = match r.below(3) {
                0 => OperandKind::Text(r.str()),
                1 => OperandKind::Number(r.number()),
                _ => OperandKind::Call { path: r.path(), args: None },
            };
            let pattern = match r.below(3) {
                0 => Pattern::Rest(NOWHERE),
                1 => Pattern::Condition(r.expr()),
                _ => Pattern::Value(Operand { span: NOWHERE, kind }),
            };
            Arm { pattern, body: r.pipeline(depth) }
        });
        MatchExpr { subject: self.maybe(Self::expr), arms }
    }

    fn param(&mut self) -> Param {
        Param { name: self.ident(), ty: self.ty(2), default: self.maybe(|r| r.operand(1)) }
    }

    fn doc(&mut self) -> Option<String> {
        self.maybe(|r| r.some(1, 3, |r| r.one(&["One line.", "", "# not a heading", "  indented", "a | b"])).join("\n"))
    }

    fn role(&mut self) -> RoleText {
        let role = Ident { name: self.one(&["system", "user", "assistant", "usr"]).to_owned(), span: NOWHERE };
        RoleText { role, text: self.str(), images: self.some(0, 2, Self::str) }
    }

    fn prompt(&mut self) -> PromptBody {
        match self.below(3) {
            0 => PromptBody::Text(self.str()),
            1 => PromptBody::Raw(self.str()),
            _ => PromptBody::Block(self.some(0, 4, |r| match r.below(4) {
                0 => PromptEntry::Messages(r.expr()),
                1 => PromptEntry::Splice(r.path()),
                2 => {
                    let rows = if r.below(2) == 0 { ExamplesRows::File(r.str()) } else { ExamplesRows::List(r.expr()) };
                    let take = r.maybe(Self::number);
                    PromptEntry::Examples(ExamplesEntry { rows, take, roles: r.some(1, 2, Self::role), span: NOWHERE })
                }
                _ => PromptEntry::Role(r.role()),
            })),
        }
    }

    fn declaration(&mut self) -> DeclKind {
        match self.below(10) {
            0 => match self.maybe(Self::ident) {
                Some(alias) => DeclKind::Use { path: self.str(), alias: Some(alias), names: Vec::new() },
                None => DeclKind::Use { path: self.str(), alias: None, names: self.some(1, 3, Self::ident) },
            },
            1 => DeclKind::Var(self.param()),
            2 => DeclKind::Secret { name: self.ident() },
            3 => DeclKind::Type { name: self.ident(), body: TypeBody::Alias(self.ty(3)) },
            4 => {
                let fields = self.some(0, 4, |r| FieldDecl { name: r.key(), ty: r.ty(2), doc: r.doc() });
                DeclKind::Type { name: self.ident(), body: TypeBody::Record(fields) }
            }
            5 => DeclKind::Model { name: self.ident(), body: self.pipeline(1) },
            6 => DeclKind::Embedder { name: self.ident(), body: self.pipeline(1) },
            7 => DeclKind::Index { name: self.ident(), body: self.pipeline(2) },
            8 => DeclKind::Prompt { name: self.ident(), body: self.prompt() },
            _ => DeclKind::Chain {
                name: self.ident(),
                params: self.maybe(|r| r.some(0, 3, Self::param)),
                result: self.maybe(|r| r.ty(2)),
                body: self.pipeline(3),
            },
        }
    }

    fn file(&mut self) -> File {
        let decls = self.some(1, 5, |r| Decl { doc: r.doc(), span: NOWHERE, kind: r.declaration() });
        File { id: FileId(0), doc: self.doc(), decls, comments: Vec::new() }
    }
}
