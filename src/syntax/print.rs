//! A tree as text, in one form whatever the file looked like. Reading the text gives the tree again, places and comments
//! that document nothing aside.

use super::ast::*;
use super::build::nfc;
use super::strings;

/// What stands before an entry of a block.
pub(super) const INDENT: &str = "  ";

/// The file as text. Declarations that could not be read are copied from `source`,
/// the text that the tree was read from.
pub fn print(file: &File, source: &str) -> String {
    let mut out = String::new();
    if let Some(doc) = &file.doc {
        docs(&mut out, doc, "");
        out.push('\n');
    }
    for (i, decl) in file.decls.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if let Some(doc) = &decl.doc {
            docs(&mut out, doc, "");
        }
        match &decl.kind {
            DeclKind::Broken { .. } => {
                out.push_str(source.get(decl.span.start as usize..decl.span.end as usize).unwrap_or_default());
            }
            kind => declaration(&mut out, kind),
        }
        out.push('\n');
    }
    out
}

fn docs(out: &mut String, doc: &str, indent: &str) {
    for line in doc.split('\n') {
        out.push_str(indent);
        out.push_str("##");
        if !line.is_empty() {
            out.push(' ');
            out.push_str(line);
        }
        out.push('\n');
    }
}

fn declaration(out: &mut String, kind: &DeclKind) {
    match kind {
        DeclKind::Use { path, alias, names } => {
            out.push_str("use ");
            string(out, path);
            match alias {
                Some(alias) => words(out, &[" as ", &alias.name]),
                None => {
                    out.push_str(" { ");
                    list(out, names, |out, name| out.push_str(&name.name));
                    out.push_str(" }");
                }
            }
        }
        DeclKind::Var(var) => {
            out.push_str("var ");
            param(out, var);
        }
        DeclKind::Secret { name } => words(out, &["secret ", &name.name]),
        DeclKind::Type { name, body } => {
            words(out, &["type ", &name.name]);
            type_body(out, body);
        }
        DeclKind::Model { name, body } => {
            words(out, &["model ", &name.name, " = "]);
            pipeline(out, body);
        }
        DeclKind::Embedder { name, body } => {
            words(out, &["embedder ", &name.name, " = "]);
            pipeline(out, body);
        }
        DeclKind::Index { name, body } => {
            words(out, &["index ", &name.name, " = "]);
            pipeline(out, body);
        }
        DeclKind::Prompt { name, body } => {
            words(out, &["prompt ", &name.name]);
            prompt_body(out, body);
        }
        DeclKind::Chain { name, params, result, body } => {
            words(out, &["chain ", &name.name]);
            if let Some(params) = params {
                out.push('(');
                list(out, params, param);
                out.push(')');
            }
            if let Some(result) = result {
                out.push_str(" -> ");
                type_expr(out, result);
            }
            out.push_str(" = ");
            pipeline(out, body);
        }
        DeclKind::Bare(body) => pipeline(out, body),
        DeclKind::Test(test) => super::print_test::test(out, test),
        DeclKind::Broken { .. } => {}
    }
}

pub(super) fn words(out: &mut String, words: &[&str]) {
    out.extend(words.iter().copied());
}

/// Items with commas between.
pub(super) fn list<T>(out: &mut String, items: &[T], mut print: impl FnMut(&mut String, &T)) {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        print(out, item);
    }
}

fn param(out: &mut String, param: &Param) {
    words(out, &[&param.name.name, ": "]);
    type_expr(out, &param.ty);
    if let Some(default) = &param.default {
        out.push_str(" = ");
        operand(out, default);
    }
}

fn type_body(out: &mut String, body: &TypeBody) {
    match body {
        TypeBody::Alias(ty) => {
            out.push_str(" = ");
            type_expr(out, ty);
        }
        TypeBody::Record(fields) => {
            out.push_str(" {\n");
            for field in fields {
                if let Some(doc) = &field.doc {
                    docs(out, doc, INDENT);
                }
                out.push_str(INDENT);
                key(out, &field.name.name);
                out.push_str(": ");
                type_expr(out, &field.ty);
                out.push('\n');
            }
            out.push('}');
        }
    }
}

fn type_expr(out: &mut String, ty: &TypeExpr) {
    match &ty.kind {
        TypeKind::Name(name) => path(out, name),
        TypeKind::Apply(name, inner) => {
            path(out, name);
            out.push('(');
            type_expr(out, inner);
            out.push(')');
        }
        TypeKind::Text(text) => string(out, text),
        TypeKind::Number(n) => number(out, n),
        TypeKind::List(inner) => {
            out.push('[');
            type_expr(out, inner);
            out.push(']');
        }
        TypeKind::Optional(inner) => {
            type_part(out, inner);
            out.push('?');
        }
        TypeKind::Union(parts) => {
            for (i, part) in parts.iter().enumerate() {
                if i > 0 {
                    out.push_str(" | ");
                }
                match part.kind {
                    TypeKind::Optional(_) => type_expr(out, part),
                    _ => type_part(out, part),
                }
            }
        }
    }
}

/// A type where only one without `|` and `?` can stand by itself.
fn type_part(out: &mut String, ty: &TypeExpr) {
    if matches!(ty.kind, TypeKind::Union(_) | TypeKind::Optional(_)) {
        out.push('(');
        type_expr(out, ty);
        out.push(')');
    } else {
        type_expr(out, ty);
    }
}

fn prompt_body(out: &mut String, body: &PromptBody) {
    match body {
        PromptBody::Text(text) => {
            out.push_str(" = ");
            string(out, text);
        }
        PromptBody::Raw(text) => {
            out.push_str(" = raw ");
            string(out, text);
        }
        PromptBody::Block(entries) => {
            out.push_str(" {\n");
            for entry in entries {
                out.push_str(INDENT);
                match entry {
                    PromptEntry::Role(text) => role(out, text),
                    PromptEntry::Messages(expr) => {
                        out.push_str("messages ");
                        expression(out, expr);
                    }
                    PromptEntry::Splice(name) => {
                        out.push_str("messages ");
                        path(out, name);
                    }
                    PromptEntry::Examples(entry) => examples(out, entry),
                }
                out.push('\n');
            }
            out.push('}');
        }
    }
}

fn role(out: &mut String, role: &RoleText) {
    words(out, &[&role.role.name, " "]);
    string(out, &role.text);
    for path in &role.images {
        out.push_str(" image(");
        string(out, path);
        out.push(')');
    }
}

fn examples(out: &mut String, entry: &ExamplesEntry) {
    out.push_str("examples ");
    match &entry.rows {
        ExamplesRows::File(file) => string(out, file),
        ExamplesRows::List(expr) => expression(out, expr),
    }
    if let Some(take) = &entry.take {
        out.push_str(" take ");
        number(out, take);
    }
    out.push_str(" { ");
    list(out, &entry.roles, role);
    out.push_str(" }");
}

pub(super) fn pipeline(out: &mut String, pipeline: &Pipeline) {
    for (i, stage) in pipeline.stages.iter().enumerate() {
        if i > 0 {
            out.push_str(" | ");
        }
        for (i, part) in stage.operands.iter().enumerate() {
            if i > 0 {
                out.push_str(" ?? ");
            }
            operand(out, part);
        }
        if let Some(alias) = &stage.alias {
            words(out, &[" as ", &alias.name]);
        }
    }
}

pub(super) fn operand(out: &mut String, operand: &Operand) {
    match &operand.kind {
        OperandKind::Text(text) => string(out, text),
        OperandKind::Raw(text) => {
            out.push_str("raw ");
            string(out, text);
        }
        OperandKind::Expr(expr) => expression(out, expr),
        OperandKind::Number(n) => number(out, n),
        OperandKind::List(items) => {
            out.push('[');
            list(out, items, pipeline);
            out.push(']');
        }
        OperandKind::Map(entries) if entries.is_empty() => out.push_str("{}"),
        OperandKind::Map(entries) => {
            out.push_str("{ ");
            list(out, entries, map_entry);
            out.push_str(" }");
        }
        OperandKind::Group(inner) => {
            out.push('(');
            pipeline(out, inner);
            out.push(')');
        }
        OperandKind::Match(choice) => match_expr(out, choice),
        OperandKind::Call { path: name, args } => {
            path(out, name);
            if let Some(args) = args {
                out.push('(');
                list(out, args, arg);
                out.push(')');
            }
        }
    }
}

fn map_entry(out: &mut String, entry: &MapEntry) {
    match entry {
        MapEntry::Pair(name, value) => {
            key(out, &name.name);
            out.push_str(": ");
            pipeline(out, value);
        }
        MapEntry::Spread(spread) => {
            out.push_str("..");
            match &spread.of {
                SpreadOf::Name(name) => path(out, name),
                SpreadOf::Expr(expr) => expression(out, expr),
            }
        }
    }
}

fn match_expr(out: &mut String, choice: &MatchExpr) {
    out.push_str("match ");
    if let Some(subject) = &choice.subject {
        expression(out, subject);
        out.push(' ');
    }
    out.push_str("{ ");
    list(out, &choice.arms, |out, arm| {
        match &arm.pattern {
            Pattern::Rest(_) => out.push('_'),
            Pattern::Value(value) => operand(out, value),
            Pattern::Condition(expr) => expression(out, expr),
        }
        out.push_str(" => ");
        pipeline(out, &arm.body);
    });
    out.push_str(" }");
}

pub(super) fn arg(out: &mut String, arg: &Arg) {
    if let Some(name) = &arg.name {
        words(out, &[&name.name, ": "]);
    }
    pipeline(out, &arg.value);
}

pub(super) fn path(out: &mut String, path: &Path) {
    for (i, part) in path.parts.iter().enumerate() {
        if i > 0 {
            out.push('.');
        }
        out.push_str(&part.name);
    }
}

pub(super) fn number(out: &mut String, number: &Number) {
    words(out, &[&number.digits, &number.unit]);
}

pub(super) fn expression(out: &mut String, expr: &ExprLit) {
    words(out, &["{{", &expr.text, "}}"]);
}

/// A key of a map or a field: in quotes where it is no name.
fn key(out: &mut String, name: &str) {
    if is_name(name) {
        out.push_str(name);
    } else {
        plain(out, name);
    }
}

/// Whether the grammar reads `text` as one name, and as this one.
fn is_name(text: &str) -> bool {
    let mut chars = text.chars().peekable();
    if !chars.next().is_some_and(|c| c == '_' || unicode_ident::is_xid_start(c)) {
        return false;
    }
    while let Some(c) = chars.next() {
        let joined = c == '-' && chars.peek().is_some_and(|c| unicode_ident::is_xid_start(*c));
        if !joined && !unicode_ident::is_xid_continue(c) {
            return false;
        }
    }
    nfc(text) == text
}

/// A string: over several lines where its text has some and nothing forbids it.
pub(super) fn string(out: &mut String, string: &Str) {
    let text = &string.text;
    if !text.contains('\n') || text.contains('\r') || text.contains("\"\"\"") {
        return plain(out, text);
    }
    out.push_str("\"\"\"\n");
    for line in text.split('\n') {
        words(out, &[INDENT, INDENT, line, "\n"]);
    }
    words(out, &[INDENT, INDENT, "\"\"\""]);
}

/// A string on one line; what stands in `{{ … }}` and `{% … %}` needs no escapes and has none.
fn plain(out: &mut String, text: &str) {
    out.push('"');
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if let Some(length) = strings::template_length(&text[at..]) {
            out.push_str(&text[at..at + length]);
            at += length;
            continue;
        }
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
        at += c.len_utf8();
    }
    out.push('"');
}
