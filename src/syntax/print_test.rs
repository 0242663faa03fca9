//! The tree of a test as text.

use super::ast::Path;
use super::print::{INDENT, arg, expression, list, number, operand, path, pipeline, string, words};
use super::test_decl::{Check, Claim, ClaimKind, Expect, Share, TestDecl, TestLine};

pub(super) fn test(out: &mut String, test: &TestDecl) {
    out.push_str("test ");
    string(out, &test.name);
    if let Some(chain) = &test.chain {
        named(out, " for ", chain);
    }
    if let Some((file, row)) = &test.data {
        out.push_str(" from ");
        string(out, file);
        if let Some(row) = row {
            words(out, &[" as ", &row.name]);
        }
    }
    out.push_str(" {\n");
    for entry in &test.lines {
        out.push_str(INDENT);
        line(out, entry);
        out.push('\n');
    }
    out.push('}');
}

fn named(out: &mut String, word: &str, name: &Path) {
    out.push_str(word);
    path(out, name);
}

fn line(out: &mut String, line: &TestLine) {
    match line {
        TestLine::Set(name, value) => {
            words(out, &[&name.name, " = "]);
            operand(out, value);
        }
        TestLine::Expect(expect) => expectation(out, expect),
        TestLine::Mock(name, value) => {
            named(out, "mock ", name);
            out.push_str(" = ");
            operand(out, value);
        }
        TestLine::Swap(name, with, _) => {
            named(out, "swap ", name);
            out.push_str(" = [");
            list(out, with, pipeline);
            out.push(']');
        }
        TestLine::Runs(count, share, _) => {
            out.push_str("runs ");
            number(out, count);
            out.push_str(" pass ");
            number(out, share);
        }
        TestLine::Rows(share, _) => {
            out.push_str("rows pass ");
            number(out, share);
        }
        TestLine::Tags(tags, _) => {
            out.push_str("tags [");
            list(out, tags, pipeline);
            out.push(']');
        }
        TestLine::Skip(why, _) => {
            out.push_str("skip ");
            string(out, why);
        }
        TestLine::Only(_) => out.push_str("only"),
    }
}

fn expectation(out: &mut String, expect: &Expect) {
    out.push_str(if expect.warn { "warn " } else { "expect " });
    if let Some(at) = &expect.at {
        named(out, "at ", at);
        out.push(' ');
    }
    claim(out, &expect.claim);
}

fn claim(out: &mut String, of: &Claim) {
    if of.negated {
        out.push_str("not ");
    }
    match &of.kind {
        ClaimKind::Expression(expr) => expression(out, expr),
        ClaimKind::Fails(None) => out.push_str("fails"),
        ClaimKind::Fails(Some(inner)) => {
            out.push_str("fails ");
            claim(out, inner);
        }
        ClaimKind::Group(share, claims) => {
            match share {
                Share::All => out.push_str("all"),
                Share::Any => out.push_str("any"),
                Share::AtLeast(n) => {
                    out.push_str("at least ");
                    number(out, n);
                }
            }
            out.push_str(" { ");
            list(out, claims, claim);
            out.push_str(" }");
        }
        ClaimKind::Check(of) => check(out, of),
    }
}

fn check(out: &mut String, check: &Check) {
    path(out, &check.name);
    if let Some(args) = &check.args {
        out.push('(');
        list(out, args, arg);
        out.push(')');
    }
    if let Some(value) = &check.value {
        out.push(' ');
        operand(out, value);
    }
    if let Some(bound) = &check.bound {
        words(out, &[" ", bound.comparison.sign(), " "]);
        operand(out, &bound.with);
    }
    if let Some(by) = &check.by {
        named(out, " by ", by);
    }
}
