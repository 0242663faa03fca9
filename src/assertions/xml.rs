//! `xml` and `contains-xml`: the text is XML, or holds some.
//!
//! Well-formed XML 1.0; namespaces and DTDs are not looked at. An element's path is the names from the outermost one on,
//! with full stops between them, as `meaning.synonyms.word`.

use super::bound::Bound;
use super::outcome::{Check, Outcome, Subject, Undecided};
use super::places::{all_quoted, place};
use super::spec::{ArgumentKind, Arguments, AssertionSpec, BuildError, Part};
use super::texts::listed;
use super::xml_document::{document, fragments, missing};

/// The description of `xml`.
pub static XML: AssertionSpec = AssertionSpec {
    name: "xml",
    doc: "the whole text is one XML document, with an element at each of the paths",
    argument: ArgumentKind::OptionalTexts,
    bound: Bound::None,
    build: |arguments| build("xml", arguments, true),
};

/// The description of `contains-xml`.
pub static CONTAINS_XML: AssertionSpec = AssertionSpec {
    name: "contains-xml",
    doc: "an XML element stands in the text, and an element at each of the paths",
    argument: ArgumentKind::OptionalTexts,
    bound: Bound::None,
    build: |arguments| build("contains-xml", arguments, false),
};

fn build(name: &'static str, arguments: &Arguments, whole: bool) -> Result<Box<dyn Check>, BuildError> {
    let paths = listed(arguments)?.unwrap_or_default();
    if let Some(path) = paths.iter().find(|p| p.split('.').any(str::is_empty)) {
        return Err(BuildError::new(Part::Argument, format!("\"{path}\" is no path of an element"))
            .help("the names of elements with full stops between them, as meaning.synonyms.word"));
    }
    Ok(Box::new(Xml { name, paths, whole }))
}

struct Xml {
    name: &'static str,
    paths: Vec<String>,
    /// The whole text, or a part of it.
    whole: bool,
}

impl Check for Xml {
    fn check(&self, subject: &Subject<'_>) -> Result<Outcome, Undecided> {
        let text = subject.text;
        let fault = match self.whole {
            true => document(text).map_err(|b| format!("the text is no XML: {} ({})", b.message, place(text, b.at))),
            false => Ok(fragments(text)),
        };
        let fault = fault.and_then(|elements| match missing(&elements, &self.paths) {
            _ if !elements.iter().any(|e| e.whole) => Err("no XML element stands in the text".to_owned()),
            Some(path) => Err(format!("the XML has no element {path}")),
            None => Ok(()),
        });
        let paths = match self.paths.is_empty() {
            true => String::new(),
            false => format!(" [{}]", all_quoted(self.paths.iter().map(String::as_str))),
        };
        let found = if self.whole { "the text is XML" } else { "XML stands in the text" };
        Ok(Outcome {
            pass: fault.is_ok(),
            score: None,
            expected: format!("{}{paths}", self.name),
            actual: text.to_owned(),
            why: fault.err().unwrap_or_else(|| found.to_owned()),
            comparable: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, check_type, refused};
    use super::*;

    #[test]
    fn documents_and_parts() {
        assert!(check_type(&XML, None, "<a><b>1</b></a>").pass);
        assert!(check(&XML, "a.b".into(), "<a><b>1</b></a>").pass);
        let outcome = check(&XML, "a.c".into(), "<a><b>1</b></a>");
        assert_eq!((outcome.pass, outcome.why.as_str()), (false, "the XML has no element a.c"));
        let outcome = check_type(&XML, None, "<a>\n<b></a>");
        assert!(outcome.why.ends_with("(line 2, column 4)"), "{}", outcome.why);
        assert!(check(&CONTAINS_XML, "a, b".into(), "so: <a/> and <b/>").pass);
        assert_eq!(check_type(&CONTAINS_XML, None, "1 < 2").why, "no XML element stands in the text");
        assert!(refused(&XML, "a..b".into()).message.contains("no path"));
    }
}
