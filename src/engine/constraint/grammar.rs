//! A constraint as a grammar in llguidance's notation: rules in lower case, lexemes in upper case.
//!
//! JSON is written in one form alone, on one line with a space after each comma and colon, so that all but the values
//! follows from the schema and need not be computed; a choice of white space would also let a model run on in it.
//! Numbers have as many digits as the type holds, so that what ends can be read.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

use crate::value::Constraint;

/// A grammar's text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grammar(pub(super) String);

/// What of a constraint cannot be a grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The word of the schema that is at fault; empty where none is.
    pub keyword: String,
    /// Its schema's place as a JSON Pointer; empty for the root.
    pub at: String,
    /// What is wrong.
    pub reason: String,
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.keyword.is_empty() {
            return f.write_str(&self.reason);
        }
        let at = if self.at.is_empty() { "the root of the schema" } else { &self.at };
        write!(f, "`{}` at {at}: {}", self.keyword, self.reason)
    }
}

/// Lexemes and rules that schemas refer to.
const JSON: &str = concat!(
    r#"STRING: /"([^"\\\x00-\x1F]|"#,
    r#"\\(["\\\/bfnrt]|u([0-9a-cefA-CEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}"#,
    r#"|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})))*"/"#,
    "\n",
    r#"INTEGER: /0|-?[1-9][0-9]{0,17}/"#,
    "\n",
    r#"NUMBER: /-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,17})?([eE][+-]?[0-9]{1,2})?/"#,
    "\n",
    r#"any: STRING | NUMBER | "true" | "false" | "null" | anylist | anymap"#,
    "\n",
    r#"anylist: "[]" | "[" any (", " any)* "]""#,
    "\n",
    r#"anymap: "{}" | "{" STRING ": " any (", " STRING ": " any)* "}""#,
    "\n",
);

/// A date and time of RFC 3339 that exists; leap seconds aside.
const DATE_TIME: &str = concat!(
    r#"DATETIME: /"([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"#,
    r#"|02-(0[1-9]|1[0-9]|2[0-8]))|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)"#,
    r#"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"/"#,
    "\n",
);

impl Grammar {
    /// The grammar of the texts that obey a constraint.
    ///
    /// # Errors
    /// A word of the schema that has no grammar here, or an expression that is more than regular.
    pub fn new(constraint: &Constraint) -> Result<Self, Unsupported> {
        match constraint {
            Constraint::Json => Ok(Self(format!("start: any\n{JSON}"))),
            Constraint::JsonSchema(schema) => {
                let mut writer =
                    Writer { root: schema, rules: String::new(), named: Vec::new(), count: 0, dates: false };
                let start = writer.schema(schema, "")?;
                let mut at = 0;
                while let Some(reference) = writer.named.get(at).cloned() {
                    let (target, pointer) = writer.target(&reference)?;
                    let body = writer.schema(target, &pointer)?;
                    writer.rule(&format!("n{at}"), &body);
                    at += 1;
                }
                let dates = if writer.dates { DATE_TIME } else { "" };
                Ok(Self(format!("start: {start}\n{}{JSON}{dates}", writer.rules)))
            }
            Constraint::Regex(pattern) => regex(pattern),
        }
    }
}

/// The grammar of the texts that all of a pattern matches.
fn regex(pattern: &str) -> Result<Grammar, Unsupported> {
    let refused = |reason: &str| Unsupported { keyword: String::new(), at: String::new(), reason: reason.to_owned() };
    if pattern.contains(['\n', '\r']) {
        return Err(refused("a regular expression over several lines"));
    }
    let mut out = String::new();
    let mut escaped = false;
    for c in pattern.chars() {
        if c == '/' && !escaped {
            out.push('\\');
        }
        escaped = c == '\\' && !escaped;
        out.push(c);
    }
    // Without anything in it, the notation has no expression.
    let grammar = Grammar(if out.is_empty() { "start: \"\"\n".to_owned() } else { format!("start: /{out}/\n") });
    match super::check(&grammar) {
        Ok(()) => Ok(grammar),
        Err(_) => Err(refused("a regular expression with `^`, `$`, `\\b` or the like inside")),
    }
}

/// Words that say nothing of values.
const NOTES: &[&str] = &["$schema", "$id", "$comment", "$defs", "title", "description", "default", "examples"];

struct Writer<'s> {
    root: &'s Json,
    rules: String,
    /// References by the order in which they were met: rule `n0`, `n1` and so on.
    named: Vec<String>,
    count: usize,
    dates: bool,
}

impl<'s> Writer<'s> {
    fn rule(&mut self, name: &str, body: &str) {
        let _ = writeln!(self.rules, "{name}: {body}");
    }

    /// A new rule for `body`; gives its name.
    fn new_rule(&mut self, body: &str) -> String {
        let name = format!("r{}", self.count);
        self.count += 1;
        self.rule(&name, body);
        name
    }

    fn target(&self, reference: &str) -> Result<(&'s Json, String), Unsupported> {
        let pointer = reference.strip_prefix('#');
        match pointer.and_then(|p| Some((self.root.pointer(p)?, p.to_owned()))) {
            Some(found) => Ok(found),
            None => Err(wrong("$ref", "", format!("{reference} leads nowhere in the schema"))),
        }
    }

    /// What a schema's values look like: an expression of the notation.
    fn schema(&mut self, schema: &'s Json, at: &str) -> Result<String, Unsupported> {
        let words = match schema {
            Json::Bool(true) => return Ok("any".to_owned()),
            Json::Object(words) => words,
            _ => return Err(wrong("false", at, "no value obeys it".to_owned())),
        };
        if let Some(reference) = words.get("$ref") {
            only(words, &["$ref"], at)?;
            return self.reference(reference.as_str().unwrap_or_default());
        }
        if let Some(value) = words.get("const") {
            only(words, &["const", "type"], at)?;
            return Ok(literal(value));
        }
        if let Some(values) = words.get("enum") {
            only(words, &["enum", "type"], at)?;
            let values: Vec<String> = values.as_array().into_iter().flatten().map(literal).collect();
            return if values.is_empty() {
                Err(wrong("enum", at, "it lists no value".to_owned()))
            } else {
                Ok(self.new_rule(&values.join(" | ")))
            };
        }
        if let Some(parts) = words.get("anyOf") {
            only(words, &["anyOf"], at)?;
            let parts = parts.as_array().into_iter().flatten().enumerate();
            let parts: Vec<String> =
                parts.map(|(i, s)| self.schema(s, &format!("{at}/anyOf/{i}"))).collect::<Result<_, _>>()?;
            return Ok(self.new_rule(&parts.join(" | ")));
        }
        self.typed(words, at)
    }

    fn reference(&mut self, reference: &str) -> Result<String, Unsupported> {
        self.target(reference)?;
        let at = self.named.iter().position(|n| n == reference).unwrap_or_else(|| {
            self.named.push(reference.to_owned());
            self.named.len() - 1
        });
        Ok(format!("n{at}"))
    }

    fn typed(&mut self, words: &'s Map<String, Json>, at: &str) -> Result<String, Unsupported> {
        let Some(ty) = words.get("type") else {
            only(words, &[], at)?;
            return Ok("any".to_owned());
        };
        match ty.as_str().unwrap_or_default() {
            "string" => self.string(words, at),
            "integer" => only(words, &["type"], at).map(|()| "INTEGER".to_owned()),
            "number" => only(words, &["type"], at).map(|()| "NUMBER".to_owned()),
            "boolean" => only(words, &["type"], at).map(|()| r#"("true" | "false")"#.to_owned()),
            "null" => only(words, &["type"], at).map(|()| r#""null""#.to_owned()),
            "array" => self.array(words, at),
            "object" => self.object(words, at),
            _ => Err(wrong("type", at, format!("{ty} is no type that has a grammar here"))),
        }
    }

    fn string(&mut self, words: &Map<String, Json>, at: &str) -> Result<String, Unsupported> {
        if let Some(format) = words.get("format") {
            only(words, &["type", "format"], at)?;
            self.dates = true;
            return match format.as_str() {
                Some("date-time") => Ok("DATETIME".to_owned()),
                _ => Err(wrong("format", at, format!("{format} has no grammar here"))),
            };
        }
        only(words, &["type", "minLength", "maxLength"], at)?;
        let (least, most) = (size(words, "minLength", at)?, size(words, "maxLength", at)?);
        if least.is_none() && most.is_none() {
            return Ok("STRING".to_owned());
        }
        let most = most.map_or(String::new(), |n| n.to_string());
        // A pair of surrogates is one character, so escapes of characters stay out of counted strings.
        let character = r#"([^"\\\x00-\x1F]|\\["\\\/bfnrt])"#;
        let name = format!("S{}", self.count);
        self.count += 1;
        let _ = writeln!(self.rules, "{name}: /\"{character}{{{},{most}}}\"/", least.unwrap_or(0));
        Ok(name)
    }

    fn array(&mut self, words: &'s Map<String, Json>, at: &str) -> Result<String, Unsupported> {
        only(words, &["type", "items", "minItems", "maxItems"], at)?;
        let (least, most) = (size(words, "minItems", at)?.unwrap_or(0), size(words, "maxItems", at)?);
        let item = match words.get("items") {
            Some(items) => self.schema(items, &format!("{at}/items"))?,
            None => "any".to_owned(),
        };
        let more = match (least.saturating_sub(1), most.map(|n| n.saturating_sub(1))) {
            (_, Some(0)) => String::new(),
            (0, None) => format!(r#" (", " {item})*"#),
            (low, high) => format!(r#" (", " {item}){{{low},{}}}"#, high.map_or(String::new(), |n| n.to_string())),
        };
        let some = format!(r#""[" {item}{more} "]""#);
        match (least, most) {
            (_, Some(n)) if n < least => Err(wrong("maxItems", at, "it is less than `minItems`".to_owned())),
            (_, Some(0)) => Ok(r#""[]""#.to_owned()),
            (0, _) => Ok(self.new_rule(&format!(r#""[]" | {some}"#))),
            _ => Ok(self.new_rule(&some)),
        }
    }

    fn object(&mut self, words: &'s Map<String, Json>, at: &str) -> Result<String, Unsupported> {
        only(words, &["type", "properties", "required", "additionalProperties"], at)?;
        let free = words.get("additionalProperties");
        let properties = words.get("properties").and_then(Json::as_object);
        let Some(properties) = properties.filter(|p| !p.is_empty()) else {
            let value = match free {
                Some(Json::Bool(false)) => return Ok(r#""{}""#.to_owned()),
                None | Some(Json::Bool(true)) => "any".to_owned(),
                Some(schema) => self.schema(schema, &format!("{at}/additionalProperties"))?,
            };
            return Ok(self.new_rule(&format!(r#""{{}}" | "{{" STRING ": " {value} (", " STRING ": " {value})* "}}""#)));
        };
        if !matches!(free, None | Some(Json::Bool(false))) {
            return Err(wrong("additionalProperties", at, "beside `properties` it has no grammar here".to_owned()));
        }
        let required: Vec<&str> =
            words.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
        let mut fields = Vec::with_capacity(properties.len());
        for (key, schema) in properties {
            let place = format!("{at}/properties/{}", key.replace('~', "~0").replace('/', "~1"));
            let value = self.schema(schema, &place)?;
            fields.push((Json::from(key.as_str()).to_string(), value, required.contains(&key.as_str())));
        }
        Ok(self.fields(&fields))
    }

    /// The rules of an object: from the last field to the first, what may follow when a field stands before, and when
    /// none does.
    fn fields(&mut self, fields: &[(String, String, bool)]) -> String {
        let quoted = |text: String| Json::from(text).to_string();
        let (mut after_some, mut after_none) = (r#""}""#.to_owned(), r#""{}""#.to_owned());
        for (key, value, required) in fields.iter().rev() {
            let first = format!("{} {value} {after_some}", quoted(format!("{{{key}: ")));
            let next = format!("{} {value}", quoted(format!(", {key}: ")));
            after_none = self.new_rule(&if *required { first } else { format!("{first} | {after_none}") });
            let tail = if *required { format!("{next} {after_some}") } else { format!("({next})? {after_some}") };
            after_some = self.new_rule(&tail);
        }
        after_none
    }
}

/// A value as a literal of the notation: its JSON, quoted.
fn literal(value: &Json) -> String {
    Json::from(value.to_string()).to_string()
}

fn size(words: &Map<String, Json>, keyword: &str, at: &str) -> Result<Option<u32>, Unsupported> {
    let Some(value) = words.get(keyword) else { return Ok(None) };
    match value.as_u64().and_then(|n| u32::try_from(n).ok()) {
        Some(n) if n <= 10_000 => Ok(Some(n)),
        _ => Err(wrong(keyword, at, format!("{value} is no number from 0 to 10000"))),
    }
}

/// Refuses words that would be lost.
fn only(words: &Map<String, Json>, known: &[&str], at: &str) -> Result<(), Unsupported> {
    match words.keys().find(|w| !NOTES.contains(&w.as_str()) && !known.contains(&w.as_str())) {
        Some(word) => Err(wrong(word, at, "it has no grammar here".to_owned())),
        None => Ok(()),
    }
}

fn wrong(keyword: &str, at: &str, reason: String) -> Unsupported {
    Unsupported { keyword: keyword.to_owned(), at: at.to_owned(), reason }
}
