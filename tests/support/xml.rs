//! A strict reader of XML 1.0 for what a JUnit report has: one root, attributes, text, no document type.

/// An element.
#[derive(Debug, Default)]
pub struct Element {
    /// Its name.
    pub name: String,
    /// Its attributes, in order.
    pub attributes: Vec<(String, String)>,
    /// Its text, that of its children aside.
    pub text: String,
    /// Its children.
    pub children: Vec<Element>,
}

impl Element {
    /// An attribute's value.
    pub fn get(&self, name: &str) -> &str {
        self.attributes.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// Every element of this name below it.
    pub fn all<'e>(&'e self, name: &str) -> Vec<&'e Element> {
        let mut found: Vec<&Element> = self.children.iter().filter(|child| child.name == name).collect();
        found.extend(self.children.iter().flat_map(|child| child.all(name)));
        found
    }
}

/// Reads a document.
///
/// # Errors
/// The first rule that it breaks.
pub fn read(text: &str) -> Result<Element, String> {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}');
    if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
        return Err(format!("the character {bad:?} is not allowed"));
    }
    let rest = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").ok_or("no XML declaration")?;
    let (root, rest) = element(rest.trim_start())?;
    if rest.trim().is_empty() { Ok(root) } else { Err(format!("after the root: {rest:?}")) }
}

fn element(text: &str) -> Result<(Element, &str), String> {
    let text = text.strip_prefix('<').ok_or_else(|| format!("an element is expected: {:.40?}", text))?;
    let (name, mut text) = name(text)?;
    let mut element = Element { name, ..Element::default() };
    loop {
        let trimmed = text.trim_start();
        if let Some(rest) = trimmed.strip_prefix("/>") {
            return Ok((element, rest));
        }
        if let Some(rest) = trimmed.strip_prefix('>') {
            text = rest;
            break;
        }
        if trimmed.len() == text.len() {
            return Err(format!("a space is expected: {text:.40?}"));
        }
        let (key, rest) = self::name(trimmed)?;
        let rest = rest.strip_prefix("=\"").ok_or_else(|| format!("`{key}` has no value"))?;
        let (value, rest) = rest.split_once('"').ok_or("an attribute is not closed")?;
        if value.contains(['<', '\n', '\t', '\r']) {
            return Err(format!("the attribute `{key}` holds {value:?}"));
        }
        if element.attributes.iter().any(|(known, _)| *known == key) {
            return Err(format!("`{key}` stands twice"));
        }
        element.attributes.push((key, unescaped(value)?));
        text = rest;
    }
    loop {
        let at = text.find('<').ok_or_else(|| format!("`{}` is not closed", element.name))?;
        let between = &text[..at];
        if between.contains("]]>") {
            return Err("`]]>` stands in a text".to_owned());
        }
        element.text.push_str(&unescaped(between)?);
        text = &text[at..];
        if let Some(rest) = text.strip_prefix("</") {
            let rest = rest.strip_prefix(element.name.as_str()).ok_or_else(|| format!("wrong end: {rest:.40?}"))?;
            return Ok((element, rest.strip_prefix('>').ok_or("an end tag is not closed")?));
        }
        let (child, rest) = self::element(text)?;
        element.children.push(child);
        text = rest;
    }
}

fn name(text: &str) -> Result<(String, &str), String> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    if end == 0 { Err(format!("a name is expected: {text:.40?}")) } else { Ok((text[..end].to_owned(), &text[end..])) }
}

fn unescaped(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let (reference, after) = rest[at + 1..].split_once(';').ok_or("a reference is not closed")?;
        out.push(match reference {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "#9" => '\t',
            "#10" => '\n',
            "#13" => '\r',
            other => return Err(format!("the reference &{other}; is not known")),
        });
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}
