//! XML 1.0 from its first character to its last, or to the one where it breaks off.

use std::collections::HashSet;

use super::xml_document::{Broken, Element};

pub(super) fn is_name_start(c: char) -> bool {
    matches!(c, ':' | '_') || unicode_ident::is_xid_start(c)
}

pub(super) fn is_name_char(c: char) -> bool {
    matches!(c, '-' | '.' | ':' | '\u{b7}') || unicode_ident::is_xid_continue(c)
}

fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}

const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// The elements so far, and where reading is.
pub(super) struct Reader<'t> {
    text: &'t str,
    pub(super) at: usize,
    pub(super) elements: Vec<Element<'t>>,
    /// The open elements, outermost first.
    pub(super) open: Vec<usize>,
    /// Ends of sections that do not come any more, so that they are looked for once.
    gone: HashSet<&'static str>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, elements: Vec::new(), open: Vec::new(), gone: HashSet::new() }
    }

    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    pub(super) fn broken<T>(&self, message: impl Into<String>) -> Result<T, Broken> {
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
    pub(super) fn text_run(&mut self) -> Result<(), Broken> {
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
    pub(super) fn markup(&mut self) -> Result<(), Broken> {
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
    pub(super) fn declaration(&mut self) -> Result<(), Broken> {
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
    pub(super) fn doctype(&mut self) -> Result<(), Broken> {
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
