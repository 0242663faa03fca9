//! What a test expects: steps resolved, assertions built as far as their arguments are known.

use std::sync::Arc;

use super::Variant;
use super::asked::AskedChains;
use super::collect::unknown_step;
use super::values::{Known, TestValue};
use super::variants::Plans;
use crate::assertions::{self, Arguments, AssertionSpec, Operator, Unit};
use crate::diag::{Code, Diagnostic};
use crate::plan::declarations::Named;
use crate::plan::lower::Settings;
use crate::plan::prompts::list;
use crate::plan::types::TypeResolver;
use crate::plan::values::duration;
use crate::plan::{Plan, rows};
use crate::source::{Span, read_text};
use crate::syntax::ast::{Arg, ExprLit, Operand, OperandKind, Path, TypeExpr, TypeKind};
use crate::syntax::test_decl::{self as tree, Share};
use crate::template::Expression;
use crate::value::{Type, Value};

/// What is expected of a run.
pub struct Expectation {
    /// Whether it only warns.
    pub warn: bool,
    /// The step that it looks at; none for the result.
    pub at: Option<Step>,
    /// What must hold.
    pub claim: Claim,
    /// The whole of it.
    pub span: Span,
}

/// A step of the chain that an expectation looks at.
#[derive(Clone, Debug)]
pub struct Step {
    /// The name of a model, prompt, chain, or of what `as` named.
    pub name: String,
    /// What of it.
    pub part: Part,
}

/// What of a step an expectation looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What it gives.
    Output,
    /// What stands on its left.
    Input,
    /// What a model was asked, as `fill` gives it.
    Prompt,
}

/// Something that holds or does not.
pub struct Claim {
    /// Whether `not` stands before it.
    pub negated: bool,
    /// What is claimed.
    pub kind: ClaimKind,
    /// The whole of it.
    pub span: Span,
}

/// What is claimed.
pub enum ClaimKind {
    /// An expression that must be true.
    Expression(Arc<(Expression, ExprLit)>),
    /// The run fails, with an error that satisfies the claim.
    Fails(Option<Box<Claim>>),
    /// So many of these hold.
    Group(usize, Vec<Claim>),
    /// An assertion, built where all its arguments are known.
    Check {
        /// Its description.
        spec: &'static AssertionSpec,
        /// Its value.
        value: Option<TestValue>,
        /// Its type.
        ty: Option<Type>,
        /// Its bound.
        bound: Option<Limit>,
        /// The assertion itself, where nothing has to be filled in.
        built: Option<Arc<dyn assertions::Check>>,
    },
    /// The result is as a person accepted it.
    Snapshot,
    /// A model says how far a statement is true of the text, which a chain asks it.
    Judge(Ask),
    /// The text is near another one, by vectors that a chain asks an embedder for.
    Similar(Ask),
}

/// What a claim asks a chain.
pub struct Ask {
    /// The chain.
    pub plan: Arc<Plan>,
    /// The statement, or the text to compare with.
    pub text: TestValue,
    /// The bound, or what holds where none is written.
    pub bound: Limit,
}

/// A bound of an assertion.
#[derive(Clone)]
pub struct Limit {
    /// How it compares.
    pub operator: Operator,
    /// With what, in the unit of the assertion.
    pub number: TestValue,
}

/// From this score on a judge's statement holds where no bound is written: mostly true.
const MET: f64 = 0.75;

/// Assertions that the runner makes itself.
const OWN: &[&str] = &["fails", "snapshot", "similar", "judge"];

/// Reads expectations.
pub struct Reader<'r, 'a, 'b> {
    pub plans: &'r mut Plans<'a>,
    pub asked: &'a AskedChains,
    pub known: &'r Known,
    pub variants: &'r [Variant],
    pub settings: &'r Settings,
    pub types: TypeResolver<'a, 'b>,
}

impl Reader<'_, '_, '_> {
    fn error(&mut self, diagnostic: Diagnostic) {
        self.types.diagnostics.push(diagnostic);
    }

    pub fn expectation(&mut self, expect: &tree::Expect) -> Option<Expectation> {
        let at = match &expect.at {
            Some(path) => Some(self.step(path)?),
            None => None,
        };
        let mut known = self.known.clone();
        known.names.extend(["output", "error"].map(str::to_owned));
        if let Some(step) = &at {
            known.names.push("input".to_owned());
            if self.variants.iter().all(|v| v.plan.named_models.iter().any(|(n, _)| *n == step.name)) {
                known.names.extend(["calls", "retries"].map(str::to_owned));
            }
        }
        let claim = self.claim(&expect.claim, &known)?;
        Some(Expectation { warn: expect.warn, at, claim, span: expect.span })
    }

    fn step(&mut self, path: &Path) -> Option<Step> {
        let is_step = |plan: &Plan, name: &str| {
            plan.labels.iter().any(|(n, _)| n == name)
                || plan.named_models.iter().any(|(n, _)| n == name)
                || plan.chain == name
        };
        let text = path.text();
        let all = |name: &str| self.variants.iter().all(|v| is_step(&v.plan, name));
        if all(&text) {
            return Some(Step { name: text, part: Part::Output });
        }
        let part = match text.rsplit_once('.') {
            Some((name, "input")) if all(name) => Some((name, Part::Input)),
            Some((name, "prompt")) if all(name) => Some((name, Part::Prompt)),
            Some((name, "output")) if all(name) => Some((name, Part::Output)),
            Some((name, other)) if all(name) => {
                let last = path.parts.last().map_or(path.span, |p| p.span);
                let diagnostic = Diagnostic::error(Code::E212, last, format!("a step has no `{other}`"))
                    .did_you_mean(other, ["input", "output", "prompt"].into_iter());
                self.error(diagnostic.help(format!("`at {name}.input`, `at {name}.prompt`, `at {name}`")));
                return None;
            }
            _ => None,
        };
        if let Some((name, part)) = part {
            if part == Part::Prompt && !self.variants.iter().all(|v| v.plan.named_models.iter().any(|(n, _)| n == name))
            {
                let message = format!("`{name}` is no model, so nothing was asked of it");
                self.error(
                    Diagnostic::error(Code::E207, path.span, message).help(format!("`at {name}` is what it gives")),
                );
                return None;
            }
            return Some(Step { name: name.to_owned(), part });
        }
        let plan = self.variants.iter().find(|v| !is_step(&v.plan, &text))?.plan.clone();
        self.error(unknown_step(&plan, &text, path.span));
        None
    }

    fn claim(&mut self, claim: &tree::Claim, known: &Known) -> Option<Claim> {
        let kind = match &claim.kind {
            tree::ClaimKind::Expression(text) => ClaimKind::Expression(known.expression(text, self.types.diagnostics)?),
            tree::ClaimKind::Fails(inner) => ClaimKind::Fails(match inner {
                Some(inner) => Some(Box::new(self.claim(inner, known)?)),
                None => None,
            }),
            tree::ClaimKind::Group(share, claims) => {
                let least = self.least(share, claims.len());
                let claims: Vec<Option<Claim>> = claims.iter().map(|c| self.claim(c, known)).collect();
                ClaimKind::Group(least?, claims.into_iter().collect::<Option<Vec<_>>>()?)
            }
            tree::ClaimKind::Check(check) => self.check(check, claim.span, known)?,
        };
        Some(Claim { negated: claim.negated, kind, span: claim.span })
    }

    fn least(&mut self, share: &Share, count: usize) -> Option<usize> {
        match share {
            Share::All => Some(count),
            Share::Any => Some(1),
            Share::AtLeast(number) => match number.digits.parse::<usize>() {
                Ok(n) if number.unit.is_empty() && (1..=count).contains(&n) => Some(n),
                _ => {
                    let message = format!(
                        "`at least` wants a whole number from 1 to the {count} claims in its braces, found `{}{}`",
                        number.digits, number.unit
                    );
                    self.error(Diagnostic::error(Code::E209, number.span, message));
                    None
                }
            },
        }
    }

    fn check(&mut self, check: &tree::Check, span: Span, known: &Known) -> Option<ClaimKind> {
        let name = check.name.text();
        if name == "snapshot" {
            let extra = check.value.as_ref().map(|v| v.span).or_else(|| check.bound.as_ref().map(|b| b.span));
            if let Some(extra) = extra.or_else(|| check.by.as_ref().map(|b| b.span)) {
                self.error(Diagnostic::error(Code::E241, extra, "`snapshot` takes nothing behind it"));
                return None;
            }
            return Some(ClaimKind::Snapshot);
        }
        if let "judge" | "similar" = name.as_str() {
            return self.ask(check, span, known);
        }
        let Some(spec) = assertions::find(&name) else {
            let diagnostic = unknown(&name, check);
            self.error(diagnostic);
            return None;
        };
        if let Some(by) = &check.by {
            let message = format!("`{name}` asks nobody, so `by` says nothing");
            self.error(Diagnostic::error(Code::E241, by.span, message));
            return None;
        }
        let (ty, value) = self.argument(spec, check, known)?;
        let bound = match &check.bound {
            Some(bound) => Some(self.limit(spec, bound, known)?),
            None => None,
        };
        let made = arguments(value.as_ref(), ty.as_ref(), bound.as_ref());
        let built = match made {
            Some(arguments) => match assertions::build(spec, &arguments) {
                Ok(check) => Some(Arc::from(check)),
                Err(error) => {
                    let place = match error.part {
                        assertions::Part::Whole => span,
                        assertions::Part::Argument => check.value.as_ref().map_or(span, |v| v.span),
                        assertions::Part::Bound => check.bound.as_ref().map_or(span, |b| b.span),
                    };
                    let diagnostic = Diagnostic::error(Code::E241, place, error.message);
                    self.error(error.help.into_iter().fold(diagnostic, Diagnostic::help));
                    return None;
                }
            },
            None => None,
        };
        Some(ClaimKind::Check { spec, value, ty, bound, built })
    }

    /// `judge "…" [>= x] by MODEL` and `similar "…" >= x by EMBEDDER`.
    fn ask(&mut self, check: &tree::Check, span: Span, known: &Known) -> Option<ClaimKind> {
        let name = check.name.text();
        let judges = name == "judge";
        let example = match judges {
            true => "as in `judge \"defines the plant, not the insult\" by llm`",
            false => "as in `similar \"a starchy tuber\" >= 0.7 by minilm`",
        };
        let missing = |what: &str| Diagnostic::error(Code::E241, span, format!("`{name}` wants {what}")).help(example);
        let wrong = match (&check.value, &check.by, &check.bound, &check.args) {
            (_, _, _, Some(_)) => Some(missing("no brackets")),
            (None, ..) => Some(missing("a text")),
            (_, None, ..) => Some(missing(if judges { "a model, behind `by`" } else { "an embedder, behind `by`" })),
            (_, _, None, _) if !judges => Some(missing("a bound, as `>= 0.7`")),
            _ => None,
        };
        if let Some(diagnostic) = wrong {
            self.error(diagnostic);
            return None;
        }
        let (value, by) = (check.value.as_ref()?, check.by.as_ref()?);
        let bound = match &check.bound {
            Some(bound) => self.near(&name, bound, known)?,
            None => Limit { operator: Operator::AtLeast, number: TestValue::Constant(Value::Float(MET)) },
        };
        if !self.names_a(by, judges) {
            return None;
        }
        let text = known.value(value, self.types.diagnostics)?;
        let chain = self.asked.chain(&name, by)?;
        let plan = self.plans.asked(&chain, self.types.diagnostics)?;
        let ask = Ask { plan, text, bound };
        Some(if judges { ClaimKind::Judge(ask) } else { ClaimKind::Similar(ask) })
    }

    /// Whether `by` names a model, or an embedder; says so if not.
    fn names_a(&mut self, by: &Path, model: bool) -> bool {
        let name = by.text();
        let declarations = self.types.declarations;
        let is = |named: &Named<'_>| matches!((named, model), (Named::Model(_), true) | (Named::Embedder(_), false));
        // A library's is looked for where its chain is lowered.
        if name.contains('.') || (model && name == "llm") {
            return true;
        }
        let what = if model { "model" } else { "embedder" };
        let known: Vec<String> =
            declarations.named.iter().filter(|(_, (_, n))| is(n)).map(|(k, _)| (*k).to_owned()).collect();
        let diagnostic = match declarations.named.get(name.as_str()) {
            Some((_, named)) if is(named) || matches!(named, Named::Imported(..) | Named::Unreadable) => return true,
            Some((place, named)) => {
                let message = format!("`{name}` is no {what}, but a declaration of another kind ({})", named.kind());
                Diagnostic::error(Code::E207, by.span, message).also(*place, "declared here")
            }
            None => Diagnostic::error(Code::E203, by.span, format!("the file declares no {what} `{name}`"))
                .did_you_mean(&name, known.iter().map(String::as_str)),
        };
        self.error(if known.is_empty() {
            diagnostic
        } else {
            diagnostic.help(format!("it declares: {}", list(&known)))
        });
        false
    }

    /// The bound of how near or how true something is: a share of 1.
    fn near(&mut self, name: &str, bound: &tree::Bound, known: &Known) -> Option<Limit> {
        let operator = Operator::find(bound.comparison.sign());
        let number = match &bound.with.kind {
            OperandKind::Number(number) if matches!(number.unit.as_str(), "" | "%") => {
                let scale = if number.unit == "%" { 100.0 } else { 1.0 };
                let n = number.digits.parse::<f64>().unwrap_or(f64::NAN) / scale;
                (-1.0..=1.0).contains(&n).then_some(TestValue::Constant(Value::Float(n)))
            }
            OperandKind::Number(_) => None,
            _ => Some(known.value(&bound.with, self.types.diagnostics)?),
        };
        match (operator, number) {
            (Some(operator), Some(number)) => Some(Limit { operator, number }),
            _ => {
                let message = format!("the bound of `{name}` is a share of 1, as `>= 0.7`");
                self.error(Diagnostic::error(Code::E241, bound.span, message));
                None
            }
        }
    }

    /// What stands behind the name of an assertion: a type in brackets, or a value.
    fn argument(
        &mut self,
        spec: &AssertionSpec,
        check: &tree::Check,
        known: &Known,
    ) -> Option<(Option<Type>, Option<TestValue>)> {
        let ty = match check.args.as_deref() {
            None => None,
            Some([Arg { name: None, value, .. }]) => match value.single().map(|o| (&o.kind, o.span)) {
                Some((OperandKind::Call { path, args: None }, span)) => {
                    let ty = TypeExpr { span, kind: TypeKind::Name(path.clone()) };
                    Some(self.types.resolve(&ty))
                }
                Some((OperandKind::List(items), span)) => match items.as_slice() {
                    [item] => match item.single().map(|o| &o.kind) {
                        Some(OperandKind::Call { path, args: None }) => {
                            let of = TypeExpr { span: item.span, kind: TypeKind::Name(path.clone()) };
                            let ty = TypeExpr { span, kind: TypeKind::List(Box::new(of)) };
                            Some(self.types.resolve(&ty))
                        }
                        _ => return self.no_type(spec, span),
                    },
                    _ => return self.no_type(spec, span),
                },
                _ => return self.no_type(spec, value.span),
            },
            Some(_) => return self.no_type(spec, check.name.span),
        };
        let value = match &check.value {
            None => None,
            // A schema in a file is data.
            Some(Operand { kind: OperandKind::Text(text), .. })
                if spec.argument == assertions::ArgumentKind::Schema =>
            {
                Some(TestValue::Constant(self.schema(text)?))
            }
            Some(operand) => Some(known.value(operand, self.types.diagnostics)?),
        };
        Some((ty, value))
    }

    fn no_type<T>(&mut self, spec: &AssertionSpec, span: Span) -> Option<T> {
        let diagnostic = Diagnostic::error(Code::E241, span, format!("`{}` takes a type in its brackets", spec.name));
        self.error(diagnostic.help("a name or `[T]`, as `json(Meaning)`: name a union first"));
        None
    }

    fn schema(&mut self, path: &crate::syntax::ast::Str) -> Option<Value> {
        let read = rows::place(&self.settings.project, &self.settings.base, path, "`schema`").and_then(|full| {
            let wrong = |why: String| Box::new(Diagnostic::error(Code::E001, path.span, why));
            self.settings.reads.file(&full);
            let text = read_text(&full).map_err(|e| wrong(format!("`{}` cannot be read: {e}", path.text)))?;
            crate::plan::data::read(&full, &text).map_err(|e| wrong(format!("`{}` is no JSON Schema: {e}", path.text)))
        });
        match read {
            Ok(value) => Some(value),
            Err(diagnostic) => {
                self.error(*diagnostic);
                None
            }
        }
    }

    fn limit(&mut self, spec: &AssertionSpec, bound: &tree::Bound, known: &Known) -> Option<Limit> {
        let sign = bound.comparison.sign();
        let Some(operator) = Operator::find(sign) else {
            let diagnostic =
                Diagnostic::error(Code::E241, bound.span, format!("`{sign}` is no bound of `{}`", spec.name));
            let signs: Vec<String> = assertions::OPERATORS.iter().map(|o| o.symbol().to_owned()).collect();
            self.error(diagnostic.help(format!("bounds are written with {}", list(&signs))));
            return None;
        };
        let unit = spec.bound.form().map(|(_, unit)| unit);
        let number = match &bound.with.kind {
            OperandKind::Number(number) => {
                let made = match (unit, number.unit.as_str()) {
                    (Some(Unit::Duration), _) => duration(number).map(|d| d.as_secs_f64()),
                    (Some(Unit::Share), "%") => Ok(number.digits.parse::<f64>().unwrap_or(f64::NAN) / 100.0),
                    (_, "") => Ok(number.digits.parse::<f64>().unwrap_or(f64::NAN)),
                    (unit, _) => {
                        let wants = unit.map_or("no bound", Unit::describe);
                        let message =
                            format!("`{}{}` does not fit: `{}` takes {wants}", number.digits, number.unit, spec.name);
                        Err(Diagnostic::error(Code::E241, number.span, message))
                    }
                };
                match made {
                    Ok(n) => TestValue::Constant(Value::Float(n)),
                    Err(diagnostic) => {
                        self.error(diagnostic);
                        return None;
                    }
                }
            }
            _ => known.value(&bound.with, self.types.diagnostics)?,
        };
        Some(Limit { operator, number })
    }
}

/// What an assertion is made from, where all of it is known.
fn arguments(value: Option<&TestValue>, ty: Option<&Type>, bound: Option<&Limit>) -> Option<Arguments> {
    let value = match value {
        Some(value) => Some(value.constant()?.clone()),
        None => None,
    };
    let bound = match bound {
        Some(limit) => match limit.number.constant()? {
            Value::Float(n) => Some((limit.operator, *n)),
            _ => return None,
        },
        None => None,
    };
    Some(Arguments { value, ty: ty.cloned(), bound })
}

fn unknown(name: &str, check: &tree::Check) -> Diagnostic {
    let names: Vec<&str> = assertions::ASSERTIONS.iter().map(|a| a.name).chain(OWN.iter().copied()).collect();
    let diagnostic = Diagnostic::error(Code::E241, check.name.span, format!("there is no assertion `{name}`"))
        .did_you_mean(name, names.iter().copied());
    diagnostic
        .help(format!("assertions are: {}", names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")))
}
