//! `code`: what stands in the first code fence.
//!
//! With a language, the first fence of that language; one without a language counts where none has one. An answer
//! without any fence is code as a whole. A fence that never closes is an error: the code is cut.

use std::sync::Arc;

use super::answer;
use super::fences::{Fence, fences};
use super::spec::{Arguments, BuildError, ParseError, ParserArgument, ParserSpec, REPAIR, Rule};
use crate::value::{Type, Value};

/// The description of `code`.
pub static SPEC: ParserSpec = ParserSpec {
    name: "code",
    doc: "the text of the first code fence, or of the first of a language; the whole answer where there is no fence",
    argument: ParserArgument::OptionalText,
    options: &[REPAIR],
    build,
};

/// Names of languages that mean the same, beside each other.
const SAME: &[&[&str]] = &[
    &["python", "py", "python3"],
    &["javascript", "js", "node"],
    &["typescript", "ts"],
    &["shell", "sh", "bash", "zsh", "console"],
    &["rust", "rs"],
    &["ruby", "rb"],
    &["yaml", "yml"],
    &["markdown", "md"],
    &["cpp", "c++", "cxx"],
    &["csharp", "c#", "cs"],
    &["go", "golang"],
    &["kotlin", "kt"],
];

struct Code {
    /// The language asked for, in small letters.
    lang: Option<String>,
}

fn build(arguments: &Arguments<'_>) -> Result<Arc<dyn Rule>, BuildError> {
    let lang = arguments.pattern.map(|t| t.trim().to_lowercase());
    if lang.as_ref().is_some_and(|l| l.is_empty() || l.contains(char::is_whitespace)) {
        return Err(BuildError::new("`code` takes the name of a language, which is one word")
            .help("as code(\"python\"); code alone takes the first fence of any language"));
    }
    Ok(Arc::new(Code { lang }))
}

fn same(a: &str, b: &str) -> bool {
    a == b || SAME.iter().any(|names| names.contains(&a) && names.contains(&b))
}

impl Code {
    fn pick<'f, 't>(&self, found: &'f [Fence<'t>]) -> Result<&'f Fence<'t>, ParseError> {
        let (Some(wanted), Some(first)) = (&self.lang, found.first()) else {
            return found.first().ok_or_else(|| ParseError::new("the answer holds no code fence"));
        };
        if let Some(fence) = found.iter().find(|f| same(wanted, &f.lang.to_lowercase())) {
            return Ok(fence);
        }
        if found.iter().all(|f| f.lang.is_empty()) {
            return Ok(first);
        }
        let mut langs: Vec<&str> =
            found.iter().map(|f| if f.lang.is_empty() { "no language" } else { f.lang }).collect();
        langs.dedup();
        Err(ParseError::new(format!("the answer has no code fence of `{wanted}`, but of {}", langs.join(", "))))
    }
}

impl Rule for Code {
    fn parse(&self, text: &str) -> Result<Value, ParseError> {
        let (offset, rest) = answer::without_thinking(text)?;
        let found = fences(rest);
        if found.is_empty() {
            let code = rest.trim_matches(['\n', '\r']).trim_end();
            if code.trim().is_empty() {
                return Err(ParseError::new("the answer is empty, where code was expected"));
            }
            return Ok(code.into());
        }
        let fence = self.pick(&found)?;
        if !fence.closed {
            return Err(answer::at(
                text,
                offset + fence.open,
                "this code fence is never closed, so the code is cut off",
            ));
        }
        Ok(fence.text(rest).into())
    }

    fn output_type(&self) -> Type {
        Type::Text
    }

    fn format_instructions(&self) -> String {
        let lang = self.lang.as_deref().unwrap_or_default();
        let what = if lang.is_empty() { "code".to_owned() } else { format!("{lang} code") };
        format!("Answer with the {what} in one code fence: ```{lang} on a line before it, ``` on a line after it.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(lang: Option<&str>, text: &str) -> String {
        let code = Code { lang: lang.map(str::to_owned) };
        code.parse(text).map_or_else(|e| e.message, |v| v.as_text().unwrap_or_default().into_owned())
    }

    #[test]
    fn the_first_fence_of_a_language() {
        let two = "Run:\n```sh\nls\n```\nthen\n```python\nx = 1\n\ny = 2\n```\nDone.";
        assert_eq!(show(None, two), "ls");
        assert_eq!(show(Some("py"), two), "x = 1\n\ny = 2");
        assert_eq!(show(Some("bash"), two), "ls");
        assert_eq!(show(Some("rust"), two), "the answer has no code fence of `rust`, but of sh, python");
        assert_eq!(show(Some("rust"), "```\nfn main() {}\n```"), "fn main() {}");
        assert_eq!(show(None, "<think>```\nno\n```</think>\nprint(1)\n"), "print(1)");
        assert_eq!(show(None, "```\n```"), "");
    }

    #[test]
    fn what_is_cut_or_empty_is_an_error() {
        assert!(show(None, "```py\nx =").contains("never closed"));
        assert!(show(None, " \n").contains("empty"));
    }
}
