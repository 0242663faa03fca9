//! `runs`, `rows` and `tags` of a test.

use super::collect::{Collector, Lines};
use crate::diag::{Code, Diagnostic};
use crate::plan::values::constant_pipeline;
use crate::syntax::ast::Number;
use crate::value::Value;

impl Collector<'_> {
    fn share(&mut self, number: &Number) -> Option<f64> {
        let percent: f64 = number.digits.parse().unwrap_or(-1.0);
        if number.unit != "%" {
            let message = format!("`{}{}` is no share", number.digits, number.unit);
            let diagnostic = Diagnostic::error(Code::E209, number.span, message);
            self.error(diagnostic.help(format!("a share is written in per cent: `{}%`", number.digits)));
            return None;
        }
        if !(0.0..=100.0).contains(&percent) || percent == 0.0 {
            let message = format!("a share lies above 0% and at 100% at most, found `{}%`", number.digits);
            self.error(Diagnostic::error(Code::E209, number.span, message));
            return None;
        }
        Some(percent / 100.0)
    }

    pub(super) fn runs(&mut self, lines: &Lines<'_>) -> Option<(u32, f64)> {
        let (count, share, _) = lines.runs?;
        let share = self.share(share);
        match count.digits.parse::<u32>() {
            Ok(n @ 1..=100_000) if count.unit.is_empty() => share.map(|share| (n, share)),
            _ => {
                let message =
                    format!("`runs` wants a whole number from 1 to 100000, found `{}{}`", count.digits, count.unit);
                self.error(Diagnostic::error(Code::E209, count.span, message));
                None
            }
        }
    }

    pub(super) fn rows_pass(&mut self, lines: &Lines<'_>, has_rows: bool) -> Option<f64> {
        let (share, span) = lines.rows?;
        if !has_rows {
            let diagnostic = Diagnostic::error(Code::E240, span, "`rows` is for a test with data");
            self.error(
                diagnostic.help("`test \"…\" from \"words.csv\" as row { … }`; one case over and over is `runs`"),
            );
        }
        self.share(share)
    }

    pub(super) fn tags(&mut self, lines: &Lines<'_>) -> Vec<String> {
        let Some((tags, _)) = lines.tags else { return Vec::new() };
        let mut all = Vec::new();
        for tag in tags {
            match constant_pipeline(tag) {
                Ok(Value::Text(text)) if !text.trim().is_empty() => all.push(text.to_string()),
                _ => {
                    let diagnostic = Diagnostic::error(Code::E209, tag.span, "a tag is a text");
                    self.error(diagnostic.help("as in `tags [\"slow\", \"smoke\"]`"));
                }
            }
        }
        all
    }
}
