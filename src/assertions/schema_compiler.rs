//! A JSON Schema becomes rules.
//!
//! A word that is not known is an error, not passed over: a misspelled `requried` would let everything pass. Annotations
//! and words that begin with `x-` say nothing of values. `$ref` leads into the schema itself.

use std::collections::HashMap;

use fancy_regex::Regex;
use serde_json::{Map, Value as Json};

use super::bound::Operator;
use super::formats::{self, Format};
use super::schema_rules::{Fault, Id, Node, Rule};
use crate::value::{Value, nearest};

const TYPES: &[&str] = &["null", "boolean", "object", "array", "number", "integer", "string"];

/// Words that say nothing of values, or are read along with another.
const NOTES: &[&str] = &[
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "$anchor",
    "$vocabulary",
    "definitions",
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentMediaType",
    "contentEncoding",
    "contentSchema",
    "then",
    "else",
    "minContains",
    "maxContains",
    "additionalItems",
    "patternProperties",
    "additionalProperties",
    "prefixItems",
];

/// Words of rules, for messages about misspelled ones.
const WORDS: &[&str] = &[
    "type",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "items",
    "contains",
    "minItems",
    "maxItems",
    "uniqueItems",
    "properties",
    "propertyNames",
    "required",
    "minProperties",
    "maxProperties",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "$ref",
];

/// The rules of a schema, the root first.
///
/// # Errors
/// The first fault of the schema.
pub(super) fn compile(root: &Json) -> Result<Vec<Node>, Fault> {
    let mut compiler = Compiler { root, ids: HashMap::new(), queue: Vec::new(), anchors: HashMap::new() };
    anchors(root, "", &mut compiler.anchors);
    compiler.id(String::new());
    let mut nodes = Vec::new();
    while let Some(at) = compiler.queue.get(nodes.len()).cloned() {
        let node = compiler.node(&at)?;
        nodes.push(node);
    }
    acyclic(&nodes, &compiler.queue)?;
    Ok(nodes)
}

/// The places of schemas with an `$anchor`.
fn anchors(json: &Json, at: &str, found: &mut HashMap<String, String>) {
    match json {
        Json::Object(map) => {
            if let Some(Json::String(name)) = map.get("$anchor") {
                found.insert(name.clone(), at.to_owned());
            }
            // What `enum` and `const` hold are values, not schemas.
            for (key, inner) in map.iter().filter(|(k, _)| !matches!(k.as_str(), "enum" | "const")) {
                anchors(inner, &format!("{at}/{}", escaped(key)), found);
            }
        }
        Json::Array(items) => {
            items.iter().enumerate().for_each(|(i, inner)| anchors(inner, &format!("{at}/{i}"), found))
        }
        _ => {}
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Holds that no schema refers to itself without going into the value.
fn acyclic(nodes: &[Node], places: &[String]) -> Result<(), Fault> {
    let inner = |node: &Node| -> Vec<Id> {
        let Node::Rules(rules) = node else { return Vec::new() };
        let of = |rule: &Rule| match rule {
            Rule::All(ids) | Rule::Any(ids) | Rule::One(ids) => ids.clone(),
            Rule::Not(id) | Rule::DependentSchema(_, id) => vec![*id],
            Rule::If { test, then, otherwise } => [Some(*test), *then, *otherwise].into_iter().flatten().collect(),
            _ => Vec::new(),
        };
        rules.iter().flat_map(of).collect()
    };
    let edges: Vec<Vec<Id>> = nodes.iter().map(inner).collect();
    let mut uses = vec![0; nodes.len()];
    edges.iter().flatten().for_each(|id| uses[*id] += 1);
    let mut free: Vec<Id> = (0..nodes.len()).filter(|id| uses[*id] == 0).collect();
    while let Some(id) = free.pop() {
        for next in &edges[id] {
            uses[*next] -= 1;
            if uses[*next] == 0 {
                free.push(*next);
            }
        }
    }
    match uses.iter().position(|n| *n > 0) {
        Some(id) => {
            Err(Fault { at: places[id].clone(), message: "the schema refers to itself without end".to_owned() })
        }
        None => Ok(()),
    }
}

struct Compiler<'s> {
    root: &'s Json,
    ids: HashMap<String, Id>,
    /// The places of schemas by their numbers.
    queue: Vec<String>,
    anchors: HashMap<String, String>,
}

impl Compiler<'_> {
    /// The number of the schema at a place.
    fn id(&mut self, at: String) -> Id {
        let next = self.queue.len();
        *self.ids.entry(at.clone()).or_insert_with(|| {
            self.queue.push(at);
            next
        })
    }

    fn node(&mut self, at: &str) -> Result<Node, Fault> {
        let fault = |message: String| Err(Fault { at: at.to_owned(), message });
        match self.root.pointer(at) {
            Some(Json::Bool(always)) => Ok(Node::Always(*always)),
            Some(Json::Object(map)) => {
                let mut rules = Vec::new();
                for (word, value) in map {
                    let place = format!("{at}/{}", escaped(word));
                    if let Some(rule) = self.rule(map, word, value, at, &place)? {
                        rules.extend(rule);
                    }
                }
                Ok(Node::Rules(rules))
            }
            Some(other) => {
                fault(format!("a schema is an object, true or false, not {}", Value::from_json(other).show(40)))
            }
            None => fault("there is nothing at this place of the schema".to_owned()),
        }
    }

    /// The rules of one word, none where it is an annotation.
    fn rule(
        &mut self,
        map: &Map<String, Json>,
        word: &str,
        value: &Json,
        at: &str,
        place: &str,
    ) -> Result<Option<Vec<Rule>>, Fault> {
        let given = Given { word, value, place };
        let one = match word {
            "type" => Rule::Types(given.types()?),
            "enum" => Rule::Enum(given.list()?.iter().map(Value::from_json).collect()),
            "const" => Rule::Const(Value::from_json(value)),
            "minimum" => Rule::Number(Operator::AtLeast, given.number()?),
            "maximum" => Rule::Number(Operator::AtMost, given.number()?),
            "exclusiveMinimum" => Rule::Number(Operator::Above, given.number()?),
            "exclusiveMaximum" => Rule::Number(Operator::Below, given.number()?),
            "multipleOf" => match given.number()? {
                n if n > 0.0 => Rule::MultipleOf(n),
                _ => return given.fault("a number above 0"),
            },
            "minLength" => Rule::MinLength(given.count()?),
            "maxLength" => Rule::MaxLength(given.count()?),
            "pattern" => Rule::Pattern(Box::new(given.regex(given.text()?)?), given.text()?.to_owned()),
            "format" => Rule::Format(given.format()?),
            "items" | "prefixItems" => return Ok(self.items(map, word, at)),
            "contains" => Rule::Contains {
                item: self.id(place.to_owned()),
                min: Given::of(map, "minContains", at).map_or(Ok(1), |g| g.count())?,
                max: Given::of(map, "maxContains", at).map(|g| g.count()).transpose()?,
            },
            "minItems" => Rule::MinItems(given.count()?),
            "maxItems" => Rule::MaxItems(given.count()?),
            "uniqueItems" => match value {
                Json::Bool(true) => Rule::Unique,
                Json::Bool(false) => return Ok(None),
                _ => return given.fault("true or false"),
            },
            "properties" | "patternProperties" | "additionalProperties" => return self.properties(map, word, at),
            "propertyNames" => Rule::PropertyNames(self.id(place.to_owned())),
            "required" => Rule::Required(given.texts()?),
            "minProperties" => Rule::MinProperties(given.count()?),
            "maxProperties" => Rule::MaxProperties(given.count()?),
            "dependentRequired" | "dependentSchemas" | "dependencies" => return self.dependencies(&given).map(Some),
            "allOf" => Rule::All(self.schemas(&given)?),
            "anyOf" => Rule::Any(self.schemas(&given)?),
            "oneOf" => Rule::One(self.schemas(&given)?),
            "not" => Rule::Not(self.id(place.to_owned())),
            "if" => {
                let mut side = |name: &str| map.contains_key(name).then(|| self.id(format!("{at}/{name}")));
                let (then, otherwise) = (side("then"), side("else"));
                Rule::If { test: self.id(place.to_owned()), then, otherwise }
            }
            "$ref" => Rule::All(vec![self.reference(&given)?]),
            // It would change where the references inside lead.
            "$id" if !at.is_empty() => {
                let message = "an `$id` inside a schema is not read; refer to its place, as #/$defs/name".to_owned();
                return Err(Fault { at: place.to_owned(), message });
            }
            note if NOTES.contains(&note) || note.starts_with("x-") => return Ok(None),
            other => return unknown(other, place),
        };
        Ok(Some(vec![one]))
    }

    /// The rule of `items` and `prefixItems` together, at the first of them; a list of `items` is that of older drafts.
    fn items(&mut self, map: &Map<String, Json>, word: &str, at: &str) -> Option<Vec<Rule>> {
        if word == "items" && map.contains_key("prefixItems") {
            return None;
        }
        let (list, rest) = match map.get("prefixItems") {
            Some(_) => ("prefixItems", "items"),
            None if map.get("items").is_some_and(Json::is_array) => ("items", "additionalItems"),
            None => ("prefixItems", "items"),
        };
        let length = map.get(list).and_then(Json::as_array).map_or(0, Vec::len);
        let prefix = (0..length).map(|i| self.id(format!("{at}/{list}/{i}"))).collect();
        let rest = map.contains_key(rest).then(|| self.id(format!("{at}/{rest}")));
        Some(vec![Rule::Items { prefix, rest }])
    }

    /// The rule of `properties`, `patternProperties` and `additionalProperties` together, at the first that stands there.
    fn properties(&mut self, map: &Map<String, Json>, word: &str, at: &str) -> Result<Option<Vec<Rule>>, Fault> {
        let all = ["properties", "patternProperties", "additionalProperties"];
        if all.iter().find(|w| map.contains_key(**w)) != Some(&word) {
            return Ok(None);
        }
        let mut named = Vec::new();
        if let Some(given) = Given::of(map, "properties", at) {
            for key in given.object()?.keys() {
                named.push((key.clone(), self.id(format!("{at}/properties/{}", escaped(key)))));
            }
        }
        let mut patterns = Vec::new();
        if let Some(given) = Given::of(map, "patternProperties", at) {
            for key in given.object()?.keys() {
                patterns.push((given.regex(key)?, self.id(format!("{at}/patternProperties/{}", escaped(key)))));
            }
        }
        let rest = map.contains_key(all[2]).then(|| self.id(format!("{at}/{}", all[2])));
        Ok(Some(vec![Rule::Properties { named, patterns, rest }]))
    }

    fn dependencies(&mut self, given: &Given<'_>) -> Result<Vec<Rule>, Fault> {
        let mut rules = Vec::new();
        for (key, value) in given.object()? {
            let place = format!("{}/{}", given.place, escaped(key));
            rules.push(match value {
                Json::Array(_) if given.word != "dependentSchemas" => {
                    let names = Given { word: given.word, value, place: &place }.texts()?;
                    Rule::DependentRequired(key.clone(), names)
                }
                _ => Rule::DependentSchema(key.clone(), self.id(place)),
            });
        }
        Ok(rules)
    }

    fn schemas(&mut self, given: &Given<'_>) -> Result<Vec<Id>, Fault> {
        match given.list()?.len() {
            0 => given.fault("a list of at least one schema"),
            length => Ok((0..length).map(|i| self.id(format!("{}/{i}", given.place))).collect()),
        }
    }

    fn reference(&mut self, given: &Given<'_>) -> Result<Id, Fault> {
        let written = given.text()?;
        let fault = |message: String| Err(Fault { at: given.place.to_owned(), message });
        let Some(fragment) = written.strip_prefix('#') else {
            return fault(format!("`$ref` leads out of the schema, to {written}; only what begins with # is read"));
        };
        let fragment = decoded(fragment);
        let at = match self.anchors.get(&fragment) {
            Some(at) => at.clone(),
            None => fragment,
        };
        match self.root.pointer(&at) {
            Some(_) => Ok(self.id(at)),
            None => fault(format!("`$ref` leads nowhere: the schema has no {written}")),
        }
    }
}

/// A fragment of a URI without its percent signs.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = match (first, after) {
            (b'%', [a, b, ..]) => std::str::from_utf8(&[*a, *b]).ok().and_then(|h| u8::from_str_radix(h, 16).ok()),
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn unknown<T>(word: &str, place: &str) -> Result<T, Fault> {
    let message = match nearest(word, WORDS.iter().chain(NOTES).copied()) {
        Some(meant) => format!("a schema has no word `{word}`; did you mean `{meant}`?"),
        None => format!("`{word}` is no word that is read here"),
    };
    Err(Fault { at: place.to_owned(), message })
}

/// What stands behind a word of a schema.
struct Given<'s> {
    word: &'s str,
    value: &'s Json,
    place: &'s str,
}

impl<'s> Given<'s> {
    fn of(map: &'s Map<String, Json>, word: &'s str, at: &'s str) -> Option<Self> {
        map.get(word).map(|value| Self { word, value, place: at })
    }

    fn fault<T>(&self, wanted: &str) -> Result<T, Fault> {
        let seen = Value::from_json(self.value).show(40);
        Err(Fault { at: self.place.to_owned(), message: format!("`{}` takes {wanted}, not {seen}", self.word) })
    }

    fn number(&self) -> Result<f64, Fault> {
        self.value.as_f64().map_or_else(|| self.fault("a number"), Ok)
    }

    fn count(&self) -> Result<usize, Fault> {
        match self.value.as_f64() {
            Some(n) if n >= 0.0 && n.fract() == 0.0 => Ok(n as usize),
            _ => self.fault("a whole number that is not negative"),
        }
    }

    fn text(&self) -> Result<&'s str, Fault> {
        self.value.as_str().map_or_else(|| self.fault("a text"), Ok)
    }

    fn list(&self) -> Result<&'s Vec<Json>, Fault> {
        self.value.as_array().map_or_else(|| self.fault("a list"), Ok)
    }

    fn object(&self) -> Result<&'s Map<String, Json>, Fault> {
        self.value.as_object().map_or_else(|| self.fault("an object"), Ok)
    }

    fn texts(&self) -> Result<Vec<String>, Fault> {
        let texts = |list: &Vec<Json>| list.iter().map(|t| t.as_str().map(str::to_owned)).collect();
        self.value.as_array().and_then(texts).map_or_else(|| self.fault("a list of texts"), Ok)
    }

    fn types(&self) -> Result<Vec<&'static str>, Fault> {
        let known = |json: &Json| TYPES.iter().copied().find(|t| json.as_str() == Some(t));
        let found: Option<Vec<_>> = match self.value {
            Json::Array(list) if !list.is_empty() => list.iter().map(known).collect(),
            one => known(one).map(|t| vec![t]),
        };
        found.map_or_else(|| self.fault(&format!("one or more of {}", TYPES.join(", "))), Ok)
    }

    fn regex(&self, written: &str) -> Result<Regex, Fault> {
        Regex::new(written).map_err(|error| {
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Fault { at: self.place.to_owned(), message: format!("the pattern {written} cannot be read: {why}") }
        })
    }

    fn format(&self) -> Result<&'static Format, Fault> {
        let name = self.text()?;
        formats::find(name).map_or_else(|| self.fault(&format!("one of {}", formats::names())), Ok)
    }
}
