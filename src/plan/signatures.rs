//! Chains as their callers see them.

use super::Variable;
use super::declarations::Declarations;
use super::lower::{Lowerer, Settings};
use crate::diag::Severity;
use crate::source::Sources;
use crate::value::Type;

/// What a chain takes and gives.
pub struct Signature {
    /// The chain's name.
    pub chain: String,
    /// The variables that it reads, or its parameters, in the order of their declarations.
    pub variables: Vec<Variable>,
    /// The type of its value.
    pub result: Type,
    /// Whether it reads standard input.
    pub reads_stdin: bool,
}

/// The signatures of all chains of a file that can be lowered, in the order of the file. What is declared is read once for
/// all of them.
pub fn signatures(sources: &Sources, declarations: &Declarations, settings: &Settings) -> Vec<Signature> {
    let mut lowerer = Lowerer::new(sources, declarations, settings);
    lowerer.check_overrides();
    lowerer.declare_variables();
    let before = lowerer.diagnostics.len();
    let mut out = Vec::new();
    for name in declarations.chains() {
        let Some(chain) = declarations.chain(name) else { continue };
        let entry = lowerer.root(name, chain);
        let wrong = lowerer.diagnostics[before..].iter().any(|d| d.severity == Severity::Error);
        if let Some(entry) = entry.filter(|_| !wrong) {
            let mut read = lowerer.touched.clone();
            read.sort_unstable();
            let own = lowerer.variables[lowerer.declared..].iter().filter(|v| v.used);
            let variables = read.iter().map(|i| &lowerer.variables[*i]).chain(own).cloned().collect();
            let reads_stdin = lowerer.stdin.is_some();
            out.push(Signature { chain: name.to_owned(), variables, result: lowerer.result_type(entry), reads_stdin });
        }
        lowerer.diagnostics.truncate(before);
        lowerer.reset();
        // A model's options may read variables, which every chain that asks it reads by that.
        lowerer.forget_models();
    }
    out
}
