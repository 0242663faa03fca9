//! The tests of a file, each checked whole.

use std::collections::{HashMap, HashSet};
use std::path::Path as FilePath;

use super::asked::AskedChains;
use super::mocks::{Mock, mock_value};
use super::values::{Known, TestValue};
use super::variants::{Plans, Swap};
use super::{Rows, Test, Variant};
use super::{claims, costs};
use crate::diag::{Code, Diagnostic};
use crate::plan::library::Libraries;
use crate::plan::lower::Settings;
use crate::plan::prompts::list;
use crate::plan::rows;
use crate::plan::types::TypeResolver;
use crate::plan::{Declarations, Plan};
use crate::source::{Sources, Span};
use crate::syntax::ast::{DeclKind, File, Ident, Number, Operand, Path, Pipeline, Str};
use crate::syntax::test_decl::{Expect, TestDecl, TestLine};
use crate::value::Value;

/// Every test of a file, and what is wrong with them. The file's other declarations are checked by themselves.
pub fn collect(
    sources: &Sources,
    tree: &File,
    libraries: &Libraries,
    settings: &Settings,
    file: &str,
    asked: &AskedChains,
) -> (Vec<Test>, Vec<Diagnostic>) {
    let declarations = Declarations::collect(tree, libraries, &mut Vec::new());
    let mut collector = Collector {
        declarations: &declarations,
        plans: Plans::new(sources, tree, libraries, settings, file, asked),
        settings,
        asked,
        wrong: Vec::new(),
    };
    let mut tests: Vec<Test> = Vec::new();
    let mut names: HashMap<&str, Span> = HashMap::new();
    for decl in &tree.decls {
        let DeclKind::Test(decl) = &decl.kind else { continue };
        if let Some(first) = names.get(decl.name.text.as_str()) {
            let message = format!("a test is called `{}` already", decl.name.text);
            let diagnostic = Diagnostic::error(Code::E201, decl.name.span, message);
            collector.wrong.push(diagnostic.also(*first, "first declared here"));
            continue;
        }
        names.insert(&decl.name.text, decl.name.span);
        tests.extend(collector.test(decl));
    }
    let mut seen = HashSet::new();
    collector.wrong.retain(|d| seen.insert((d.code, d.span, d.message.clone())));
    (tests, collector.wrong)
}

pub(super) struct Collector<'a> {
    declarations: &'a Declarations<'a>,
    plans: Plans<'a>,
    settings: &'a Settings,
    asked: &'a AskedChains,
    wrong: Vec<Diagnostic>,
}

/// The lines of a test by their kind.
#[derive(Default)]
pub(super) struct Lines<'a> {
    pub(super) values: Vec<(&'a Ident, &'a Operand)>,
    pub(super) expects: Vec<&'a Expect>,
    pub(super) mocks: Vec<(&'a Path, &'a Operand)>,
    pub(super) swaps: Vec<Swap<'a>>,
    pub(super) runs: Option<(&'a Number, &'a Number, Span)>,
    pub(super) rows: Option<(&'a Number, Span)>,
    pub(super) tags: Option<(&'a [Pipeline], Span)>,
    pub(super) skip: Option<(&'a Str, Span)>,
    pub(super) only: Option<Span>,
}

impl<'a> Collector<'a> {
    pub(super) fn error(&mut self, diagnostic: Diagnostic) {
        self.wrong.push(diagnostic);
    }

    fn test(&mut self, decl: &'a TestDecl) -> Option<Test> {
        let before = self.wrong.len();
        self.settings.reads.take();
        let lines = self.lines(decl);
        if decl.name.text.trim().is_empty() {
            self.error(Diagnostic::error(Code::E240, decl.name.span, "the test has no name"));
        }
        if !lines.expects.iter().any(|e| !e.warn) {
            let message = format!("the test `{}` expects nothing", decl.name.text);
            let diagnostic = Diagnostic::error(Code::E240, decl.name.span, message);
            self.error(diagnostic.help("a test that cannot fail tests nothing: `expect contains \"…\"`"));
        }
        let chain = self.chain(decl);
        let rows = decl.data.as_ref().map(|(file, name)| self.rows(file, name.as_ref()));
        let variants = match &chain {
            Some(chain) => self.plans.variants(chain, &lines.swaps, &mut self.wrong),
            None => None,
        };
        let (Some(chain), Some(variants), Some(rows)) = (chain, variants, rows.map_or(Some(None), |r| r.map(Some)))
        else {
            return None;
        };
        let row = rows.as_ref().map(|rows| (rows.name.clone(), columns(&rows.rows)));
        let known = Known { row, names: Vec::new() };
        let plan = variants.first()?.plan.clone();
        let (values, input) = self.values(&lines, &known, &plan);
        let mocks = self.mocks(&lines, &known, &plan);
        self.missing(decl, &plan, &lines);
        let mut named = known.clone();
        named.names = plan.variables.iter().map(|v| v.name.clone()).collect();
        let expectations = self.expectations(&lines, &named, &variants);
        self.wrong.extend(costs::unpriced(&expectations, &variants, &mocks, &self.settings.prices));
        let (runs, rows_pass) = (self.runs(&lines), self.rows_pass(&lines, rows.is_some()));
        let tags = self.tags(&lines);
        (self.wrong.len() == before).then(|| Test {
            name: decl.name.text.clone(),
            span: decl.name.span,
            chain,
            tags,
            skip: lines.skip.map(|(why, _)| why.text.clone()),
            only: lines.only,
            rows,
            values,
            input,
            mocks,
            variants,
            expectations,
            runs,
            rows_pass,
            reached: self.settings.reads.take(),
        })
    }

    fn lines(&mut self, decl: &'a TestDecl) -> Lines<'a> {
        let mut lines = Lines::default();
        let mut twice: Vec<(&str, Span, Span)> = Vec::new();
        for line in &decl.lines {
            match line {
                TestLine::Set(name, value) => lines.values.push((name, value)),
                TestLine::Expect(expect) => lines.expects.push(expect),
                TestLine::Mock(name, value) => lines.mocks.push((name, value)),
                TestLine::Swap(name, with, span) => lines.swaps.push(Swap { name, with, span: *span }),
                TestLine::Runs(count, share, span) => {
                    twice.extend(lines.runs.map(|(_, _, first)| ("runs", first, *span)));
                    lines.runs = Some((count, share, *span));
                }
                TestLine::Rows(share, span) => {
                    twice.extend(lines.rows.map(|(_, first)| ("rows", first, *span)));
                    lines.rows = Some((share, *span));
                }
                TestLine::Tags(tags, span) => {
                    twice.extend(lines.tags.map(|(_, first)| ("tags", first, *span)));
                    lines.tags = Some((tags, *span));
                }
                TestLine::Skip(why, span) => {
                    twice.extend(lines.skip.map(|(_, first)| ("skip", first, *span)));
                    lines.skip = Some((why, *span));
                }
                TestLine::Only(span) => {
                    twice.extend(lines.only.map(|first| ("only", first, *span)));
                    lines.only = Some(*span);
                }
            }
        }
        for (what, first, again) in twice {
            let message = format!("`{what}` stands twice in this test");
            self.error(Diagnostic::error(Code::E201, again, message).also(first, "first given here"));
        }
        let named = lines.mocks.iter().map(|(n, _)| ("mock", *n)).chain(lines.swaps.iter().map(|s| ("swap", s.name)));
        let mut seen: Vec<(String, Span)> = Vec::new();
        for (what, name) in named {
            let text = name.text();
            match seen.iter().find(|(n, _)| *n == text) {
                Some((_, first)) => {
                    let message = format!("`{text}` is mocked or swapped already, and this `{what}` does so again");
                    let diagnostic = Diagnostic::error(Code::E201, name.span, message);
                    self.wrong.push(diagnostic.also(*first, "first given here"));
                }
                None => seen.push((text, name.span)),
            }
        }
        lines
    }

    fn chain(&mut self, decl: &TestDecl) -> Option<String> {
        let (name, span) = match &decl.chain {
            Some(path) => (path.text(), path.span),
            None => ("main".to_owned(), decl.name.span),
        };
        if self.declarations.chain(&name).is_some() {
            return Some(name);
        }
        let chains: Vec<String> = self.declarations.chains().into_iter().map(str::to_owned).collect();
        let message = format!("the file has no chain `{name}`");
        let mut diagnostic = Diagnostic::error(Code::E220, span, message);
        if decl.chain.is_some() {
            diagnostic = diagnostic.did_you_mean(&name, chains.iter().map(String::as_str));
        } else if !chains.is_empty() {
            diagnostic =
                diagnostic.help("a test without `for` tests `main`: name another, as in `test \"…\" for CHAIN`");
        }
        self.error(match chains.as_slice() {
            [] if self.declarations.incomplete => return None,
            [] => diagnostic.help("it has no chain at all"),
            chains => diagnostic.help(format!("its chains are: {}", list(chains))),
        });
        None
    }

    fn rows(&mut self, file: &Str, name: Option<&Ident>) -> Option<Rows> {
        let read = rows::place(&self.settings.project, &self.settings.base, file, "a test's data").and_then(|full| {
            self.settings.reads.file(&full);
            rows::read(&full, file, "rows")
        });
        let rows = match read {
            Ok(rows) => rows,
            Err(diagnostic) => {
                self.error(*diagnostic);
                return None;
            }
        };
        if rows.is_empty() {
            let message = format!("`{}` holds no rows, so the test would test nothing", file.text);
            self.error(Diagnostic::error(Code::E240, file.span, message));
            return None;
        }
        if let Some(i) = rows.iter().position(|row| !matches!(row, Value::Map(_))) {
            let message = format!("row {} of `{}` is {}, not a map of columns", i + 1, file.text, rows[i].show(60));
            self.error(Diagnostic::error(Code::E231, file.span, message));
            return None;
        }
        let untyped = FilePath::new(&file.text).extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
        let name = name.map_or_else(|| "row".to_owned(), |n| n.name.clone());
        Some(Rows { file: file.text.clone(), name, rows, untyped })
    }

    #[allow(clippy::type_complexity, reason = "values of variables, and that of standard input")]
    fn values(
        &mut self,
        lines: &Lines<'a>,
        known: &Known,
        plan: &Plan,
    ) -> (Vec<(String, Span, TestValue)>, Option<TestValue>) {
        let (mut values, mut input): (Vec<(String, Span, TestValue)>, Option<TestValue>) = (Vec::new(), None);
        let mut seen: Vec<(&str, Span)> = Vec::new();
        for (name, operand) in &lines.values {
            if let Some((_, first)) = seen.iter().find(|(n, _)| *n == name.name) {
                let message = format!("`{}` is given twice", name.name);
                let diagnostic = Diagnostic::error(Code::E201, name.span, message).also(*first, "first given here");
                self.error(diagnostic);
                continue;
            }
            seen.push((&name.name, name.span));
            let Some(value) = known.value(operand, &mut self.wrong) else { continue };
            if name.name == "input" {
                if plan.stdin.is_none() {
                    let message = "the chain does not read its input";
                    self.error(Diagnostic::error(Code::E301, name.span, message));
                }
                input = Some(value);
                continue;
            }
            if !plan.variables.iter().any(|v| v.name == name.name) {
                let names: Vec<String> = plan.variables.iter().map(|v| v.name.clone()).collect();
                let message = format!("the chain `{}` has no variable `{}`", plan.chain, name.name);
                let diagnostic = Diagnostic::error(Code::E301, name.span, message)
                    .did_you_mean(&name.name, names.iter().map(String::as_str));
                self.error(match names.as_slice() {
                    [] => diagnostic.help("it reads no variables at all"),
                    names => diagnostic.help(format!("its variables are: {}", list(names))),
                });
                continue;
            }
            values.push((name.name.clone(), name.span, value));
        }
        (values, input)
    }

    /// Reports variables that the chain reads and the test does not give.
    fn missing(&mut self, decl: &TestDecl, plan: &Plan, lines: &Lines<'_>) {
        let given = |name: &str| lines.values.iter().any(|(n, _)| n.name == name);
        for variable in plan.variables.iter().filter(|v| v.used && v.default.is_none()) {
            let optional = matches!(variable.ty, crate::value::Type::Optional(_));
            if optional || given(&variable.name) {
                continue;
            }
            let name = &variable.name;
            let message = format!("the test gives no `{name}`, which the chain `{}` reads", plan.chain);
            let diagnostic = Diagnostic::error(Code::E302, decl.name.span, message).also(variable.span, "read here");
            self.error(diagnostic.help(format!("write a line: `{name} = …`")));
        }
        if let Some(place) = plan.stdin.filter(|_| !given("input")) {
            let message = format!("the test gives no `input`, which the chain `{}` reads", plan.chain);
            let diagnostic = Diagnostic::error(Code::E302, decl.name.span, message).also(place, "read here");
            self.error(diagnostic.help("write a line: `input = …`"));
        }
    }

    fn mocks(&mut self, lines: &Lines<'a>, known: &Known, plan: &Plan) -> Vec<Mock> {
        let mut mocks = Vec::new();
        for (path, operand) in &lines.mocks {
            let name = path.text();
            let is_model = plan.named_models.iter().any(|(n, _)| *n == name);
            let is_model = is_model || self.asked.asks(&name);
            let is_step = plan.labels.iter().any(|(n, _)| *n == name);
            if !is_model && !is_step {
                let diagnostic = unknown_step(plan, &name, path.span);
                self.error(diagnostic);
                continue;
            }
            let settings = self.settings;
            let mut file = |path: &Str| {
                let full = rows::place(&settings.project, &settings.base, path, "`file`")?;
                settings.reads.file(&full);
                Ok(rows::read(&full, path, "answers")?.to_vec())
            };
            if let Some(value) = mock_value(operand, known, &mut file, &mut self.wrong) {
                mocks.push(Mock { name, span: path.span, value });
            }
        }
        mocks
    }

    fn expectations(&mut self, lines: &Lines<'a>, known: &Known, variants: &[Variant]) -> Vec<claims::Expectation> {
        let mut caches = HashMap::new();
        let mut cache = HashMap::new();
        let mut all = Vec::new();
        for expect in &lines.expects {
            let mut reader = claims::Reader {
                known,
                variants,
                plans: &mut self.plans,
                asked: self.asked,
                settings: self.settings,
                types: TypeResolver {
                    declarations: self.declarations,
                    settings: self.settings,
                    diagnostics: &mut self.wrong,
                    cache: &mut cache,
                    main: self.declarations,
                    caches: &mut caches,
                },
            };
            all.extend(reader.expectation(expect));
        }
        all
    }
}

/// The columns that any row has.
fn columns(rows: &[Value]) -> Option<Vec<String>> {
    let mut all = indexmap::IndexSet::new();
    for row in rows {
        if let Value::Map(map) = row {
            all.extend(map.keys().cloned());
        }
    }
    Some(all.into_iter().collect())
}

/// The error of a step that the chain does not have.
pub fn unknown_step(plan: &Plan, name: &str, span: Span) -> Diagnostic {
    let mut known: Vec<String> = plan.labels.iter().map(|(n, _)| n.clone()).collect();
    known.extend(plan.named_models.iter().map(|(n, _)| n.clone()));
    known.sort();
    known.dedup();
    let message = format!("the chain `{}` has no step `{name}`", plan.chain);
    let diagnostic = Diagnostic::error(Code::E203, span, message).did_you_mean(name, known.iter().map(String::as_str));
    match known.as_slice() {
        [] => diagnostic.help("it has no named step: `as name` behind a stage names it"),
        known => diagnostic.help(format!("its steps are: {}", list(known))),
    }
}
