//! Code fences of an answer, as CommonMark has them: three or more backticks or tildes, closed by at least as many.

/// One fence.
#[derive(Debug, PartialEq)]
pub(super) struct Fence<'t> {
    /// The first word behind the opening ticks, as `python`; empty where there is none.
    pub lang: &'t str,
    /// The byte where the opening line begins.
    pub open: usize,
    /// The bytes of the lines inside.
    pub inner: std::ops::Range<usize>,
    /// Whether the fence is closed.
    pub closed: bool,
    /// Spaces before the opening ticks, which count on no line inside.
    pub indent: usize,
}

impl Fence<'_> {
    /// The lines inside, without the fence's indentation and the last line break.
    pub(super) fn text(&self, answer: &str) -> String {
        let inner = answer.get(self.inner.clone()).unwrap_or_default();
        let inner = inner.strip_suffix('\n').unwrap_or(inner);
        let inner = inner.strip_suffix('\r').unwrap_or(inner);
        let own = |line: &str| {
            let spaces = line.len() - line.trim_start_matches(' ').len();
            line[spaces.min(self.indent)..].to_owned()
        };
        if self.indent == 0 { inner.to_owned() } else { inner.split('\n').map(own).collect::<Vec<_>>().join("\n") }
    }
}

/// What opens a fence on this line: the tick, how many, and the words behind them.
pub(super) fn opening(line: &str) -> Option<(char, usize, &str)> {
    let line = line.trim();
    let tick = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let rest = line.trim_start_matches(tick);
    let count = line.len() - rest.len();
    // Inline code may begin a line: ```` ```x``` ````.
    (count >= 3 && !(tick == '`' && rest.contains('`'))).then(|| (tick, count, rest.trim()))
}

/// Whether a line closes a fence of `count` ticks.
pub(super) fn closes(line: &str, tick: char, count: usize) -> bool {
    let line = line.trim();
    line.len() >= count && line.chars().all(|c| c == tick)
}

/// The fences of `text`, in order.
pub(super) fn fences(text: &str) -> Vec<Fence<'_>> {
    let mut found: Vec<Fence<'_>> = Vec::new();
    let mut open: Option<(char, usize)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        match (open, found.last_mut()) {
            (Some((tick, count)), Some(fence)) if closes(line, tick, count) => {
                fence.inner.end = at;
                fence.closed = true;
                open = None;
            }
            (Some(_), _) => {}
            (None, _) => {
                if let Some((tick, count, info)) = opening(line) {
                    open = Some((tick, count));
                    let lang = info.split_whitespace().next().unwrap_or_default();
                    let indent = line.len() - line.trim_start_matches(' ').len();
                    found.push(Fence { lang, open: at, inner: end..text.len(), closed: false, indent });
                }
            }
        }
        at = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_are_found() {
        let text = "Here:\n```py\nx = '```'\n```\n~~~~ js linenos\na\n~~~\n~~~~\n";
        let found = fences(text);
        let all: Vec<(&str, String)> = found.iter().map(|f| (f.lang, f.text(text))).collect();
        assert_eq!(all, [("py", "x = '```'".to_owned()), ("js", "a\n~~~".to_owned())]);
        assert!(found.iter().all(|f| f.closed));
        assert_eq!(found[0].open, 6);
        let list = "- so:\n  ```\n  a\n    b\n  ```";
        assert_eq!(fences(list)[0].text(list), "a\n  b");
        assert!(!fences("```\na")[0].closed);
        assert!(fences("```x``` is code").is_empty());
    }
}
