//! Diagnostics as text, in the manner of rustc.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Severity};
use crate::source::{FileId, Sources, Span};

/// Lines longer than this are shown as a window around the place: a snippet of a megabyte helps nobody.
const LONGEST_LINE: usize = 400;

/// One diagnostic as text, ending in a newline.
pub fn render(diagnostic: &Diagnostic, sources: &Sources, color: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.0);
    let mut windows: Vec<(FileId, Window)> = Vec::new();
    if let Some(span) = diagnostic.span {
        add(&mut windows, sources, span, &diagnostic.label, true);
    }
    for label in &diagnostic.labels {
        // The header names the first place alone; the others carry theirs.
        let (line, column) = sources.line_column(label.span);
        let text = format!("{} ({}:{line}:{column})", label.text, sources.get(label.span.file).name);
        add(&mut windows, sources, label.span, &text, false);
    }
    let mut group = Group::with_title(title);
    for (file, window) in &windows {
        let mut snippet = Snippet::source(window.text.as_str())
            .path(sources.get(*file).name.as_str())
            .line_start(window.first_line)
            .fold(true);
        for (range, text, primary) in &window.marks {
            let kind = if *primary { AnnotationKind::Primary } else { AnnotationKind::Context };
            let mark = kind.span(range.clone());
            snippet = snippet.annotation(if text.is_empty() { mark } else { mark.label(text.as_str()) });
        }
        group = group.element(snippet);
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut text = renderer.render(&[group]).to_string();
    text.push('\n');
    text
}

/// Several diagnostics as text, in the order of their places, with a blank line between.
pub fn render_all<'a>(diagnostics: impl IntoIterator<Item = &'a Diagnostic>, sources: &Sources, color: bool) -> String {
    let mut sorted: Vec<&Diagnostic> = diagnostics.into_iter().collect();
    sorted.sort_by_key(|d| d.span.map(|s| (s.file, s.start)));
    sorted.iter().map(|d| render(d, sources, color)).collect::<Vec<_>>().join("\n")
}

/// The lines of one file that a diagnostic shows.
struct Window {
    text: String,
    first_line: usize,
    /// Byte offset of the window in the file.
    start: usize,
    marks: Vec<(std::ops::Range<usize>, String, bool)>,
}

fn add(windows: &mut Vec<(FileId, Window)>, sources: &Sources, span: Span, text: &str, primary: bool) {
    let source = &sources.get(span.file).text;
    let (line, _) = sources.line_column(span);
    let line_start = source[..span.start as usize].rfind('\n').map_or(0, |i| i + 1);
    let line_end = source[span.start as usize..].find('\n').map_or(source.len(), |i| span.start as usize + i);
    if line_end - line_start > LONGEST_LINE {
        // A line of a megabyte: the columns of a cut line would be wrong, so pad its beginning.
        let (cut_start, cut_end) = cut(source, span, line_start, line_end);
        let pad = source[line_start..cut_start].chars().count();
        let shown = format!("{}{}", " ".repeat(pad.min(LONGEST_LINE)), &source[cut_start..cut_end]);
        let shift = pad.min(LONGEST_LINE);
        let from = shift + (span.start as usize).saturating_sub(cut_start);
        let to = (shift + (span.end as usize).min(cut_end).saturating_sub(cut_start)).max(from);
        let window = Window {
            text: shown,
            first_line: line,
            start: line_start,
            marks: vec![(from..to, text.to_owned(), primary)],
        };
        windows.push((span.file, window));
        return;
    }
    let end = (span.end as usize).clamp(span.start as usize, line_end);
    let whole_end =
        source[span.end.max(span.start) as usize..].find('\n').map_or(source.len(), |i| span.end as usize + i);
    // A span over many lines is shown by its first line.
    let _ = whole_end;
    let near = windows.iter_mut().find(|(f, w)| *f == span.file && w.first_line == 1 && w.start == 0);
    if let Some((_, window)) = near {
        window.marks.push((span.start as usize..end, text.to_owned(), primary));
        return;
    }
    if source.len() <= 64 * 1024 && source.lines().all(|l| l.len() <= LONGEST_LINE) {
        let marks = vec![(span.start as usize..end, text.to_owned(), primary)];
        windows.push((span.file, Window { text: source.to_string(), first_line: 1, start: 0, marks }));
        return;
    }
    let marks = vec![(span.start as usize - line_start..end - line_start, text.to_owned(), primary)];
    let text = source[line_start..line_end].to_owned();
    windows.push((span.file, Window { text, first_line: line, start: line_start, marks }));
}

/// The part of a long line around a span.
fn cut(source: &str, span: Span, line_start: usize, line_end: usize) -> (usize, usize) {
    let mut start = (span.start as usize).saturating_sub(60).max(line_start);
    while !source.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = (span.start as usize + 120).min(line_end);
    while !source.is_char_boundary(end) {
        end += 1;
    }
    (start, end)
}
