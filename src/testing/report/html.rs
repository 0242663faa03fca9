//! One file that a browser shows by itself: no network, no font, no script but its own.

use std::fmt::Write;

use indexmap::IndexMap;

use super::difference::difference;
use super::json::value;
use super::packed::packed;
use super::terminal::counts;
use crate::testing::summary::Summary;

/// The page around the data.
const PAGE: &str = include_str!("page.html");

/// The whole page.
pub fn html(summary: &Summary) -> String {
    let title = counts(summary);
    let data =
        packed(&serde_json::json!({ "differences": differences(summary), "summary": value(summary) })).to_string();
    // The title first: a text of the data may look like a mark.
    let (before, after) = PAGE.split_once("@DATA@").unwrap_or((PAGE, ""));
    let mut out = before.replace("@TITLE@", &text(&title));
    out.push_str(&embedded(&data));
    out.push_str(after);
    out
}

/// What differs between what was expected and seen, by file, test, number of the case, number of the run and of the check.
fn differences(summary: &Summary) -> IndexMap<String, Vec<String>> {
    let mut all = IndexMap::new();
    for (t, test) in summary.tests.iter().enumerate() {
        for (c, group) in test.groups().iter().enumerate() {
            for (r, run) in group.runs.iter().enumerate() {
                for (k, check) in run.checks.iter().enumerate().filter(|(_, check)| !check.pass && check.comparable) {
                    all.insert(format!("{t}/{c}/{r}/{k}"), difference(&check.expected, &check.actual));
                }
            }
        }
    }
    all
}

/// JSON as the content of a `script` element: no text in it can end the element or begin a comment.
fn embedded(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// A text as the content of an element.
fn text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_leaves_the_data() {
        let json = serde_json::json!({ "output": "</script><!-- <script>\u{2028}&amp;" }).to_string();
        let shown = embedded(&json);
        assert!(!shown.contains(['<', '>', '&', '\u{2028}']), "{shown}");
        let back: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(back["output"], "</script><!-- <script>\u{2028}&amp;");
    }

    #[test]
    fn the_page_asks_for_nothing() {
        let page = html(&Summary::default());
        assert!(!page.contains("@DATA@") && !page.contains("@TITLE@"));
        for mark in ["http:", "https:", "src=", "href=", "url(", "@import", "fetch(", "XMLHttpRequest", "innerHTML"] {
            assert!(!page.contains(mark), "{mark}");
        }
    }
}
