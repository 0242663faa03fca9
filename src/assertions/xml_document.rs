//! Reading XML 1.0 for its form alone: which elements there are, in which others, and where it breaks off. One pass, no
//! recursion, nothing is expanded or fetched.

use std::collections::HashSet;

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

fn is_name_start(c: char) -> bool {
    matches!(c, ':' | '_') || unicode_ident::is_xid_start(c)
}

fn is_name_char(c: char) -> bool {
    matches!(c, '-' | '.' | ':' | '\u{b7}') || unicode_ident::is_xid_continue(c)
}

fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}

const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

struct Reader<'t> {
    text: &'t str,
    at: usize,
    elements: Vec<Element<'t>>,
    /// The open elements, outermost first.
    open: Vec<usize>,
    /// Ends of sections that do not come any more, so that they are looked for once.
    gone: HashSet<&'static str>,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0, elements: Vec::new(), open: Vec::new(), gone: HashSet::new() }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn broken<T>(&self, message: impl Into<String>) -> Result<T, Broken> {
        Err(Broken { at: self.at, message: message.into() })
    }

    fn space(&mut self) -> bool {
        let before = self.at;
        self.at = self.text.len() - self.rest().trim_start_matches(BLANKS).len();
        self.at > before
    }

    fn name(&mut self) -> Result<&'t str, Broken> {
        let rest = self.rest();
        if !rest.starts_with(is_name_start) {
            return self.broken("a name is wanted here");
        }
        let end = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
        self.at += end;
        Ok(&rest[..end])
    }

    /// Text up to the next `<` or the end.
    fn text_run(&mut self) -> Result<(), Broken> {
        while let Some(c) = self.rest().chars().next().filter(|c| *c != '<') {
            if self.open.is_empty() && !BLANKS.contains(&c) {
                return self.broken("text stands outside the element");
            }
            if self.rest().starts_with("]]>") {
                return self.broken("`]]>` in text is written `]]&gt;`");
            }
            self.character(c)?;
        }
        Ok(())
    }

    /// One character of text or of an attribute's value, or an entity.
    fn character(&mut self, c: char) -> Result<(), Broken> {
        if c != '&' {
            if !is_char(c) {
                return self.broken(format!("XML has no character U+{:04X}", u32::from(c)));
            }
            self.at += c.len_utf8();
            return Ok(());
        }
        let rest = &self.rest()[1..];
        let end = rest.find(|c: char| !is_name_char(c) && c != '#').unwrap_or(rest.len());
        if end == 0 || !rest[end..].starts_with(';') {
            return self.broken("`&` begins an entity; in text it is written `&amp;`");
        }
        let name = &rest[..end];
        let code = match name.strip_prefix('#') {
            Some(code) => match code.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok(),
                None => code.parse().ok(),
            },
            None => ["lt", "gt", "amp", "apos", "quot"].contains(&name).then_some(u32::from(' ')),
        };
        if !code.and_then(char::from_u32).is_some_and(is_char) {
            return self.broken(format!("XML has no entity `&{name};`"));
        }
        self.at += end + 2;
        Ok(())
    }

    /// What begins with the `<` here.
    fn markup(&mut self) -> Result<(), Broken> {
        let rest = self.rest();
        if rest.starts_with("<!--") {
            self.section("<!--", "-->")
        } else if rest.starts_with("<![CDATA[") {
            if self.open.is_empty() {
                return self.broken("a CDATA section stands outside the element");
            }
            self.section("<![CDATA[", "]]>")
        } else if let Some(target) = rest.strip_prefix("<?") {
            let name = target.find(|c| !is_name_char(c)).map_or(target, |end| &target[..end]);
            if name.eq_ignore_ascii_case("xml") {
                return self.broken("`<?xml` stands at the very beginning alone");
            }
            if !name.starts_with(is_name_start) {
                return self.broken("a processing instruction begins with a name");
            }
            self.section("<?", "?>")
        } else if rest.starts_with("</") {
            self.close()
        } else if rest[1..].starts_with(is_name_start) {
            self.element()
        } else {
            self.broken("`<` begins no tag here; in text it is written `&lt;`")
        }
    }

    fn section(&mut self, start: &str, end: &'static str) -> Result<(), Broken> {
        let inner = &self.rest()[start.len()..];
        let found = if self.gone.contains(end) { None } else { inner.find(end) };
        let Some(length) = found else {
            self.gone.insert(end);
            return self.broken(format!("`{start}` is never closed by `{end}`"));
        };
        if end == "-->" && (inner[..length].contains("--") || inner[..length].ends_with('-')) {
            return self.broken("`--` stands in a comment");
        }
        if let Some(c) = inner[..length].chars().find(|c| !is_char(*c)) {
            return self.broken(format!("XML has no character U+{:04X}", u32::from(c)));
        }
        self.at += start.len() + length + end.len();
        Ok(())
    }

    fn close(&mut self) -> Result<(), Broken> {
        let start = self.at;
        self.at += 2;
        let name = self.name()?;
        self.space();
        if !self.rest().starts_with('>') {
            return self.broken(format!("`>` is wanted after `</{name}`"));
        }
        match self.open.last() {
            Some(open) if self.elements[*open].name == name => {
                self.elements[*open].whole = true;
                self.open.pop();
                self.at += 1;
                Ok(())
            }
            open => {
                let message = match open {
                    Some(open) => format!("`</{name}>` closes nothing: `<{}>` is open", self.elements[*open].name),
                    None => format!("`</{name}>` closes nothing"),
                };
                self.at = start;
                self.broken(message)
            }
        }
    }

    fn element(&mut self) -> Result<(), Broken> {
        self.at += 1;
        let name = self.name()?;
        let mut names = HashSet::new();
        loop {
            let apart = self.space();
            let rest = self.rest();
            let empty = rest.starts_with("/>");
            if empty || rest.starts_with('>') {
                self.at += if empty { 2 } else { 1 };
                let parent = self.open.last().copied();
                if !empty {
                    self.open.push(self.elements.len());
                }
                self.elements.push(Element { name, parent, whole: empty });
                return Ok(());
            }
            if rest.is_empty() {
                return self.broken(format!("the tag `<{name}` is never closed"));
            }
            if !apart {
                return self.broken(format!("`>` is wanted after `<{name}`"));
            }
            let at = self.at;
            let attribute = self.attribute()?;
            if !names.insert(attribute) {
                self.at = at;
                return self.broken(format!("the attribute `{attribute}` stands twice"));
            }
        }
    }

    /// An attribute, or what looks like one in a declaration; gives its name.
    fn attribute(&mut self) -> Result<&'t str, Broken> {
        let name = self.name()?;
        self.space();
        if !self.rest().starts_with('=') {
            return self.broken(format!("`=` is wanted after the attribute `{name}`"));
        }
        self.at += 1;
        self.space();
        let Some(quote) = self.rest().chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            return self.broken(format!("the value of the attribute `{name}` stands in quotes"));
        };
        self.at += 1;
        loop {
            match self.rest().chars().next() {
                Some(c) if c == quote => break,
                Some('<') => return self.broken("`<` in an attribute's value is written `&lt;`"),
                Some(c) => self.character(c)?,
                None => return self.broken(format!("the value of the attribute `{name}` is never closed")),
            }
        }
        self.at += 1;
        Ok(name)
    }

    /// `<?xml version="1.0" … ?>`.
    fn declaration(&mut self) -> Result<(), Broken> {
        self.at += "<?xml".len();
        let mut names = Vec::new();
        while self.space() && !self.rest().starts_with("?>") {
            names.push(self.attribute()?);
        }
        if !self.rest().starts_with("?>") {
            return self.broken("`<?xml` is closed by `?>`");
        }
        if !matches!(
            names[..],
            ["version"] | ["version", "encoding" | "standalone"] | ["version", "encoding", "standalone"]
        ) {
            return self.broken("`<?xml` has `version`, then perhaps `encoding`, then perhaps `standalone`");
        }
        self.at += 2;
        Ok(())
    }

    /// `<!DOCTYPE name SYSTEM "…">` and the like, without a DTD of its own.
    fn doctype(&mut self) -> Result<(), Broken> {
        self.at += "<!DOCTYPE".len();
        if !self.space() {
            return self.broken("a name is wanted after `<!DOCTYPE`");
        }
        self.name()?;
        self.space();
        let literals = match self.rest() {
            rest if rest.starts_with("SYSTEM") => 1,
            rest if rest.starts_with("PUBLIC") => 2,
            _ => 0,
        };
        if literals > 0 {
            self.at += "SYSTEM".len();
        }
        for _ in 0..literals {
            self.space();
            let rest = self.rest();
            let end = rest.chars().next().filter(|c| matches!(c, '"' | '\'')).and_then(|q| rest[1..].find(q));
            let Some(end) = end else { return self.broken("an identifier in quotes is wanted here") };
            self.at += end + 2;
        }
        self.space();
        if self.rest().starts_with('[') {
            return self.broken("a DTD inside the document is not read");
        }
        if !self.rest().starts_with('>') {
            return self.broken("`>` is wanted at the end of `<!DOCTYPE`");
        }
        self.at += 1;
        Ok(())
    }
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
