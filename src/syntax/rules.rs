//! The grammar's rules, as pest derives them. `grammar/chain.pest` is their one documentation.

#![allow(missing_docs, reason = "the items are derived from the grammar")]

use pest_derive::Parser;

#[derive(Parser)]
#[grammar = "../grammar/chain.pest"]
pub struct Grammar;
