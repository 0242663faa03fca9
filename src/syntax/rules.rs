//! The grammar's rules, as pest derives them. `grammar/chain.pest` is their one documentation.

#![allow(missing_docs, reason = "the items are derived from the grammar")]

use pest_derive::Parser;

#[derive(Parser)]
#[grammar = "../grammar/chain.pest"]
pub struct Grammar;

/// Whether a rule is that of a keyword.
pub(super) fn is_keyword(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::kw_use
            | Rule::kw_var
            | Rule::kw_secret
            | Rule::kw_type
            | Rule::kw_model
            | Rule::kw_embedder
            | Rule::kw_index
            | Rule::kw_prompt
            | Rule::kw_chain
            | Rule::kw_as
            | Rule::kw_match
            | Rule::kw_raw
            | Rule::kw_messages
            | Rule::kw_test
            | Rule::kw_from
            | Rule::kw_mock
            | Rule::kw_swap
            | Rule::kw_runs
            | Rule::kw_rows
            | Rule::kw_pass
            | Rule::kw_tags
            | Rule::kw_skip
            | Rule::kw_only
    )
}
