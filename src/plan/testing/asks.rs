//! Claims that ask a model or an embedder: `judge` and `similar`.

use super::claims::{Ask, ClaimKind, Limit, Reader};
use super::values::{Known, TestValue};
use crate::assertions::Operator;
use crate::diag::{Code, Diagnostic};
use crate::plan::declarations::Named;
use crate::plan::prompts::list;
use crate::source::Span;
use crate::syntax::ast::{OperandKind, Path};
use crate::syntax::test_decl as tree;
use crate::value::Value;

/// From this score on a judge's statement holds where no bound is written: mostly true.
const MET: f64 = 0.75;

impl Reader<'_, '_, '_> {
    /// `judge "…" [>= x] by MODEL` and `similar "…" >= x by EMBEDDER`.
    pub(super) fn ask(&mut self, check: &tree::Check, span: Span, known: &Known) -> Option<ClaimKind> {
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
}
