//! `swap NAME = [a, b]`: the plans that a test runs, one for each choice.

use std::collections::HashMap;
use std::sync::Arc;

use super::asked::AskedChains;
use crate::diag::{Code, Diagnostic};
use crate::plan::declarations::{ChainDecl, Declarations, Named};
use crate::plan::library::Libraries;
use crate::plan::lower::{Settings, lower};
use crate::plan::{Plan, prompts::list};
use crate::source::{Sources, Span};
use crate::syntax::ast::{File, OperandKind, Path, Pipeline};

/// A plan of a test, and what was put in the place of what for it.
#[derive(Clone)]
pub struct Variant {
    /// The choices of the swaps, in their order.
    pub swapped: Vec<Swapped>,
    /// The plan.
    pub plan: Arc<Plan>,
}

/// One choice of a swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swapped {
    /// What is replaced.
    pub name: String,
    /// What takes its place, as written.
    pub with: String,
}

/// A swap of a test.
pub struct Swap<'a> {
    pub name: &'a Path,
    pub with: &'a [Pipeline],
    pub span: Span,
}

/// What plans are made of, and those that were made: many tests of a file run the same one.
pub struct Plans<'a> {
    pub sources: &'a Sources,
    pub tree: &'a File,
    pub libraries: &'a Libraries,
    pub settings: &'a Settings,
    pub file: &'a str,
    pub asked: &'a AskedChains,
    made: HashMap<String, Option<Arc<Plan>>>,
}

impl<'a> Plans<'a> {
    pub fn new(
        sources: &'a Sources,
        tree: &'a File,
        libraries: &'a Libraries,
        settings: &'a Settings,
        file: &'a str,
        asked: &'a AskedChains,
    ) -> Self {
        Self { sources, tree, libraries, settings, file, asked, made: HashMap::new() }
    }

    /// The plans of a chain under every choice of the swaps; none where something is wrong.
    pub fn variants(&mut self, chain: &str, swaps: &[Swap<'a>], out: &mut Vec<Diagnostic>) -> Option<Vec<Variant>> {
        let mut fine = true;
        for swap in swaps {
            if swap.with.is_empty() {
                let diagnostic = Diagnostic::error(Code::E240, swap.span, "the swap has nothing to put in its place");
                out.push(diagnostic.help(format!("as in `swap {} = [a, b]`", swap.name.text())));
                fine = false;
            }
        }
        if !fine {
            return None;
        }
        let count: usize = swaps.iter().map(|s| s.with.len()).product();
        let mut variants = Vec::with_capacity(count);
        for n in 0..count {
            // The last swap changes fastest.
            let mut rest = n;
            let mut choice: Vec<(&Swap<'a>, &'a Pipeline)> = Vec::with_capacity(swaps.len());
            for swap in swaps.iter().rev() {
                choice.push((swap, &swap.with[rest % swap.with.len()]));
                rest /= swap.with.len();
            }
            choice.reverse();
            let swapped: Vec<Swapped> = choice.iter().map(|(swap, with)| self.shown(swap, with)).collect();
            match self.plan(chain, &choice, &swapped, out) {
                Some(plan) => variants.push(Variant { swapped, plan }),
                None => fine = false,
            }
        }
        fine.then_some(variants)
    }

    fn shown(&self, swap: &Swap<'_>, with: &Pipeline) -> Swapped {
        Swapped { name: swap.name.text(), with: self.sources.slice(with.span).to_owned() }
    }

    /// The plan of a chain that a claim asks.
    pub fn asked(&mut self, chain: &str, out: &mut Vec<Diagnostic>) -> Option<Arc<Plan>> {
        self.plan(chain, &[], &[], out)
    }

    fn plan(
        &mut self,
        chain: &str,
        choice: &[(&Swap<'a>, &'a Pipeline)],
        swapped: &[Swapped],
        out: &mut Vec<Diagnostic>,
    ) -> Option<Arc<Plan>> {
        let mut key = chain.to_owned();
        for of in swapped {
            key.push('\0');
            key.push_str(&of.name);
            key.push('=');
            key.push_str(&of.with);
        }
        if let Some(plan) = self.made.get(&key) {
            return plan.clone();
        }
        // What is wrong with the file itself was reported when it was checked.
        let mut declarations = Declarations::collect(self.tree, self.libraries, &mut Vec::new());
        if let Some(asked) = &self.asked.tree {
            declarations.add(asked, self.libraries, &mut Vec::new());
        }
        let fine = choice.iter().all(|(swap, with)| replace(&mut declarations, swap, with, out));
        let plan = match fine {
            true => match lower(self.sources, &declarations, self.settings, self.file, chain) {
                Ok((plan, _)) => Some(Arc::new(plan)),
                Err(wrong) => {
                    out.extend(wrong);
                    None
                }
            },
            false => None,
        };
        self.made.insert(key, plan.clone());
        plan
    }
}

/// Puts `with` in the place of what the swap names.
fn replace<'a>(
    declarations: &mut Declarations<'a>,
    swap: &Swap<'a>,
    with: &'a Pipeline,
    out: &mut Vec<Diagnostic>,
) -> bool {
    let name = swap.name.text();
    let itself = matches!(
        with.single().map(|o| &o.kind),
        Some(OperandKind::Call { path, args: None }) if path.text() == name
    );
    if itself {
        return true;
    }
    let chain = || {
        let decl = ChainDecl { name: None, params: None, result: None, body: with, doc: None };
        Named::Chain(decl)
    };
    let named = match declarations.named.get(name.as_str()).map(|(_, named)| named) {
        Some(Named::Model(_)) => Named::Model(with),
        Some(Named::Embedder(_)) => Named::Embedder(with),
        Some(Named::Prompt(_) | Named::Chain(_)) => chain(),
        Some(other) => {
            let message = format!("`{name}` is a {}, which cannot be swapped", other.kind());
            out.push(
                Diagnostic::error(Code::E207, swap.name.span, message)
                    .help("models, embedders, prompts and chains can be"),
            );
            return false;
        }
        None if name == "llm" => Named::Model(with),
        None => {
            let can =
                |n: &Named<'_>| matches!(n, Named::Model(_) | Named::Embedder(_) | Named::Prompt(_) | Named::Chain(_));
            let known: Vec<String> =
                declarations.named.iter().filter(|(_, (_, n))| can(n)).map(|(k, _)| (*k).to_owned()).collect();
            let message = format!("the file declares no `{name}` that could be swapped");
            let diagnostic = Diagnostic::error(Code::E203, swap.name.span, message)
                .did_you_mean(&name, known.iter().map(String::as_str));
            out.push(if known.is_empty() {
                diagnostic
            } else {
                diagnostic.help(format!("it declares: {}", list(&known)))
            });
            return false;
        }
    };
    match declarations.named.get_mut(name.as_str()) {
        Some((_, slot)) => *slot = named,
        None => {
            declarations.named.insert("llm", (swap.name.span, named));
        }
    }
    true
}
