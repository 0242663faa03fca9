//! From text to tree: a scanner, then the grammar on each declaration by itself.

pub mod ast;
mod build;
mod build_test;
mod explain;
mod print;
mod print_test;
mod rules;
mod scanner;
mod strings;
pub mod test_decl;

use std::sync::{PoisonError, RwLock};

use pest::Parser;
use pest::error::Error;
use pest::iterators::Pairs;

use crate::diag::Diagnostic;
use crate::source::{FileId, Span};
use ast::{Comment, Decl, DeclKind, File, Ident};
use build::Builder;
pub use build::nfc;
pub use print::print;
use rules::{Grammar, Rule};
use scanner::Scan;
pub use scanner::{KEYWORDS, MAX_DEPTH};

/// From this many bytes on, the declarations of a file are read by several threads.
const MANY: usize = 64 * 1024;

/// The stack of such a thread, in bytes: enough for brackets nested as deeply as the scanner allows.
const STACK: usize = 16 << 20;

/// Reads a file's text. A tree always comes out; what is wrong with the text comes with it.
pub fn parse(id: FileId, text: &str) -> (File, Vec<Diagnostic>) {
    let mut scan = scanner::scan(id, text);
    let mut diagnostics = std::mem::take(&mut scan.diagnostics);
    let mut decls = Vec::with_capacity(scan.chunks.len());
    for (some, wrong) in shares(id, text, &scan) {
        decls.extend(some);
        diagnostics.extend(wrong);
    }
    let doc = file_doc(text, &scan.comments, decls.first().map(|d| d.span.start));
    (File { id, doc, decls, comments: scan.comments }, diagnostics)
}

/// Declarations and what is wrong with them.
type Share = (Vec<Decl>, Vec<Diagnostic>);

/// All declarations in order: each stands for itself, so that the processors can share those of a large file.
fn shares(id: FileId, text: &str, scan: &Scan) -> Vec<Share> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    if text.len() < MANY || threads == 1 {
        return vec![share(id, text, scan, &scan.chunks)];
    }
    let size = scan.chunks.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let (first, others) = scan.chunks.split_at(size.min(scan.chunks.len()));
        let started: Vec<_> = others
            .chunks(size)
            .map(|chunks| {
                let thread = std::thread::Builder::new().stack_size(STACK);
                (chunks, thread.spawn_scoped(scope, move || share(id, text, scan, chunks)).ok())
            })
            .collect();
        let mut shares = vec![share(id, text, scan, first)];
        for (chunks, thread) in started {
            // Where no thread could be started, its share is read here.
            let read = thread.and_then(|thread| thread.join().ok());
            shares.push(read.unwrap_or_else(|| share(id, text, scan, chunks)));
        }
        shares
    })
}

fn share(id: FileId, text: &str, scan: &Scan, chunks: &[scanner::Chunk]) -> Share {
    let mut diagnostics = Vec::new();
    let decls = chunks.iter().map(|chunk| {
        let doc = doc_above(text, &scan.comments, chunk.span.start);
        let kind = match chunk.broken {
            true => broken(text, chunk),
            false => parse_chunk(id, text, chunk, scan, &mut diagnostics),
        };
        Decl { doc, span: chunk.span, kind }
    });
    (decls.collect(), diagnostics)
}

/// Reads a pipeline from the command line: `-e` or the right side of `--model`.
pub fn parse_pipeline(id: FileId, text: &str, span: Span) -> Result<ast::Pipeline, Vec<Diagnostic>> {
    let scan = scanner::scan(id, &text[..span.end as usize]);
    if !scan.diagnostics.is_empty() {
        return Err(scan.diagnostics);
    }
    let chunk = scanner::Chunk { span, keyword: None, broken: false };
    let mut diagnostics = Vec::new();
    let kind = parse_chunk(id, text, &chunk, &scan, &mut diagnostics);
    match kind {
        DeclKind::Bare(pipeline) if diagnostics.is_empty() => Ok(pipeline),
        _ => Err(diagnostics),
    }
}

fn parse_chunk(
    id: FileId,
    text: &str,
    chunk: &scanner::Chunk,
    scan: &Scan,
    diagnostics: &mut Vec<Diagnostic>,
) -> DeclKind {
    let rule = if chunk.keyword.is_some() { Rule::declaration } else { Rule::bare };
    match grammar(rule, &scan.source(text, chunk)) {
        Ok(mut pairs) => {
            let mut builder = Builder { file: id, base: chunk.span.start, text, comments: &scan.comments, diagnostics };
            match pairs.next() {
                Some(pair) => builder.declaration(pair),
                None => broken(text, chunk),
            }
        }
        Err(error) => {
            diagnostics.push(explain::syntax_error(&error, id, text, chunk));
            broken(text, chunk)
        }
    }
}

/// Whether pest keeps what it tried is one switch for the whole process: readers parse with it off, a writer turns it on.
static TRIED: RwLock<()> = RwLock::new(());

/// Parses by the grammar. What was tried is kept only for a text that does not parse: it takes a good part of the time.
fn grammar(rule: Rule, source: &str) -> Result<Pairs<'_, Rule>, Error<Rule>> {
    {
        let _off = TRIED.read().unwrap_or_else(PoisonError::into_inner);
        if let Ok(pairs) = Grammar::parse(rule, source) {
            return Ok(pairs);
        }
    }
    let _on = TRIED.write().unwrap_or_else(PoisonError::into_inner);
    pest::set_error_detail(true);
    let parsed = Grammar::parse(rule, source);
    pest::set_error_detail(false);
    parsed
}

/// The name that a chunk declares, as far as it can be read, and where it ends.
fn declared(text: &str, chunk: &scanner::Chunk) -> (Option<Ident>, usize) {
    let start = chunk.span.start as usize + chunk.keyword.map_or(0, str::len);
    let rest = &text[start..chunk.span.end as usize];
    let begin = start + (rest.len() - rest.trim_start().len());
    let length = text[begin..chunk.span.end as usize]
        .char_indices()
        .find(|(_, c)| !(unicode_ident::is_xid_continue(*c) || *c == '-'))
        .map_or(chunk.span.end as usize - begin, |(i, _)| i);
    if length == 0 {
        return (None, begin);
    }
    let span = Span::new(chunk.span.file, begin, begin + length);
    (Some(Ident { name: build::nfc(&text[begin..begin + length]), span }), begin + length)
}

fn broken(text: &str, chunk: &scanner::Chunk) -> DeclKind {
    let name = if chunk.keyword.is_some() { declared(text, chunk).0 } else { None };
    DeclKind::Broken { keyword: chunk.keyword, name }
}

/// The `##` comments on the lines right above `at`.
fn doc_above(text: &str, comments: &[Comment], at: u32) -> Option<String> {
    let mut end = comments.partition_point(|c| c.span.start < at);
    let mut below = at as usize;
    let mut lines = Vec::new();
    while let Some(comment) = end.checked_sub(1).and_then(|i| comments.get(i)) {
        let between = &text[comment.span.end as usize..below];
        let line = text[..comment.span.start as usize].rfind('\n').map_or(0, |i| i + 1);
        let alone = text[line..comment.span.start as usize].trim().is_empty();
        if !comment.doc || !alone || between.matches('\n').count() != 1 || !between.trim().is_empty() {
            break;
        }
        lines.push(doc_line(text, comment));
        below = line;
        // The stretch above begins after the newline of the line before.
        below = text[..below].len();
        end -= 1;
        if below == 0 {
            break;
        }
    }
    lines.reverse();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn doc_line(text: &str, comment: &Comment) -> String {
    let line = &text[comment.span.start as usize..comment.span.end as usize];
    line.trim_start_matches('#').strip_prefix(' ').unwrap_or(line.trim_start_matches('#')).trim_end().to_owned()
}

/// The `##` block at the top of a file: it counts where a blank line follows it, or nothing.
fn file_doc(text: &str, comments: &[Comment], first: Option<u32>) -> Option<String> {
    let first = first.unwrap_or(text.len() as u32);
    let mut lines = Vec::new();
    let mut end = 0;
    for comment in comments.iter().take_while(|c| c.doc && c.span.start < first) {
        if !lines.is_empty() && text[end..comment.span.start as usize].matches('\n').count() > 1 {
            break;
        }
        lines.push(doc_line(text, comment));
        end = comment.span.end as usize;
    }
    let after = &text[end..first as usize];
    // A declaration right below takes the block as its own.
    let mut below = after.split('\n').skip(1);
    let blank = below.next().is_none_or(|l| l.trim().is_empty());
    let apart = blank && (below.next().is_some() || first as usize == text.len());
    (!lines.is_empty() && apart).then(|| lines.join("\n"))
}
