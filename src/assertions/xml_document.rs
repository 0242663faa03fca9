//! Reading XML 1.0 for its form alone: which elements there are, in which others, and where it breaks off. One pass, no
//! recursion, nothing is expanded or fetched.

use super::xml_reader::{Reader, is_name_char, is_name_start};

/// An element.
#[derive(Debug, PartialEq)]
pub(super) struct Element<'t> {
    pub name: &'t str,
    /// The element around it, by its place in the list; none where that one is broken.
    pub parent: Option<usize>,
    /// Whether it is closed.
    pub whole: bool,
}

/// Why and where XML breaks off.
#[derive(Debug, PartialEq)]
pub(super) struct Broken {
    /// The byte in the text.
    pub at: usize,
    pub message: String,
}

/// The elements of a text that is an XML document from end to end.
///
/// # Errors
/// The first place where it is none.
pub(super) fn document(text: &str) -> Result<Vec<Element<'_>>, Broken> {
    let mut reader = Reader::new(text);
    if text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    if reader.rest().strip_prefix("<?xml").is_some_and(|r| !r.starts_with(is_name_char)) {
        reader.declaration()?;
    }
    let mut doctype = false;
    loop {
        reader.text_run()?;
        let rest = reader.rest();
        let began = !reader.elements.is_empty();
        if rest.is_empty() {
            break;
        } else if rest.starts_with("<!DOCTYPE") {
            if began || std::mem::replace(&mut doctype, true) {
                return reader.broken("a DOCTYPE stands once, before the element");
            }
            reader.doctype()?;
        } else if began && reader.open.is_empty() && rest[1..].starts_with(is_name_start) {
            return reader.broken("a second element stands beside the first");
        } else {
            reader.markup()?;
        }
    }
    let end = |message: String| Err(Broken { at: text.len(), message });
    match reader.open.last() {
        Some(open) => end(format!("the element `<{}>` is never closed", reader.elements[*open].name)),
        None if reader.elements.is_empty() => end("there is no element".to_owned()),
        None => Ok(reader.elements),
    }
}

/// The elements that stand somewhere in a text; those that are not whole are around a place that is no XML.
pub(super) fn fragments(text: &str) -> Vec<Element<'_>> {
    let mut reader = Reader::new(text);
    loop {
        let start = reader.at;
        let run = if reader.open.is_empty() {
            reader.at = text[start..].find('<').map_or(text.len(), |step| start + step);
            Ok(())
        } else {
            reader.text_run()
        };
        if run.is_ok() && reader.at >= text.len() {
            return reader.elements;
        }
        let start = reader.at;
        if let Err(broken) = run.and_then(|()| reader.markup()) {
            reader.open.clear();
            let one = text[start..].chars().next().map_or(1, char::len_utf8);
            reader.at = if broken.at > start { broken.at } else { start + one };
        }
    }
}

/// Whether an element stands at each of the paths, as `a.b`, below elements that are whole; gives the first missing one.
pub(super) fn missing<'p>(elements: &[Element<'_>], paths: &'p [String]) -> Option<&'p str> {
    let stands = |path: &&String| {
        let names: Vec<&str> = path.split('.').collect();
        // How many names of the path lead to each element.
        let mut led = vec![0; elements.len()];
        elements.iter().enumerate().any(|(i, element)| {
            let before = match element.parent.filter(|p| elements[*p].whole) {
                Some(parent) if led[parent] == 0 => return false,
                Some(parent) => led[parent],
                None => 0,
            };
            if element.whole && names.get(before) == Some(&element.name) {
                led[i] = before + 1;
            }
            led[i] == names.len()
        })
    };
    paths.iter().find(|path| !stands(path)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        match document(text) {
            Ok(elements) => elements.iter().map(|e| e.name).collect::<Vec<_>>().join(" "),
            Err(broken) => format!("{}: {}", broken.at, broken.message),
        }
    }

    #[test]
    fn documents() {
        for (text, wanted) in [
            ("<a/>", "a"),
            (
                "\u{feff}<?xml version=\"1.0\" encoding='utf-8'?>\r\n<!-- c --><a x=\"1\" y='&lt;'><b>t</b> m &#x41;<c/></a>\n",
                "a b c",
            ),
            ("<!DOCTYPE a SYSTEM \"a.dtd\"><감 >x</감>", "감"),
            ("<!DOCTYPE a PUBLIC '-//W3C' \"u\"><a><![CDATA[<b>]]></a><?p x?>", "a"),
            ("", "0: there is no element"),
            ("plain", "0: text stands outside"),
            ("<a/> x", "5: text stands outside"),
            ("<a><b></a></b>", "6: `</a>` closes nothing: `<b>` is open"),
            ("<A></a>", "3: `</a>` closes nothing"),
            ("<a/><b/>", "4: a second element"),
            ("<a>&nope;</a>", "3: XML has no entity `&nope;`"),
            ("<a>1 < 2</a>", "5: `<` begins no tag"),
            ("<a x=1/>", "5: the value of the attribute `x` stands in quotes"),
            ("<a x='1' x='2'/>", "9: the attribute `x` stands twice"),
            ("<a x='1'y='2'/>", "8: `>` is wanted"),
            ("<a x='<'/>", "6: `<` in an attribute"),
            ("<a><!-- -- --></a>", "3: `--` stands in a comment"),
            ("<![CDATA[x]]>", "0: a CDATA section stands outside"),
            ("<a>]]></a>", "3: `]]>` in text"),
            ("<a>\u{1}</a>", "3: XML has no character U+0001"),
            ("<!DOCTYPE a [<!ENTITY x \"y\">]><a/>", "12: a DTD inside"),
            (" <?xml version='1.0'?><a/>", "1: `<?xml` stands at the very beginning"),
            ("<?xml encoding='utf-8'?><a/>", "22: `<?xml` has `version`"),
            ("<root><child>Content</child></root", "34: `>` is wanted after `</root`"),
            ("<a", "2: the tag `<a` is never closed"),
            ("<a><!-- ", "3: `<!--` is never closed"),
        ] {
            assert!(show(text).starts_with(wanted), "{text:?}: {}", show(text));
        }
    }

    #[test]
    fn elements_in_a_text() {
        let whole = |text: &str| {
            let names = fragments(text).iter().filter(|e| e.whole).map(|e| e.name.to_owned()).collect::<Vec<_>>();
            names.join(" ")
        };
        assert_eq!(whole("text <a><b>1</b></a> text <c/>"), "a b c");
        assert_eq!(whole("1 < 2 & <a>x</a>"), "a");
        assert_eq!(whole("<a><b>1</b> and no end"), "b");
        assert_eq!(whole("<a><b></a><c/>"), "c");
        assert_eq!(whole("<a x=<b/>"), "b");
        assert_eq!(whole("<a>\u{fffe}<b/>"), "b");
        assert_eq!(whole("plain"), "");
    }

    #[test]
    fn paths_lead_through_whole_elements() {
        let paths = ["a.b".to_owned(), "c".to_owned()];
        assert_eq!(missing(&fragments("<a><x/><b/></a><c/>"), &paths), None);
        assert_eq!(missing(&fragments("<a><x><b/></x></a><c/>"), &paths), Some("a.b"));
        assert_eq!(missing(&fragments("<c><a><b/></a></c>"), &paths), Some("a.b"));
        assert_eq!(missing(&fragments("<z><a><b/></a>"), &paths), Some("c"));
    }

    #[test]
    fn a_megabyte_is_read_in_linear_time() {
        for piece in ["<a>", "<a", "<a x='", "<!--", "<![CDATA[", "<?p ", "</a>", "&", "<a>&", "<a/>", "<a><b></a>"] {
            let began = std::time::Instant::now();
            let text = piece.repeat((1 << 20) / piece.len());
            let _ = (fragments(&text), document(&text));
            assert!(began.elapsed() < std::time::Duration::from_secs(3), "{piece}: {:?}", began.elapsed());
        }
    }
}
