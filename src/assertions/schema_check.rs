//! Holding a value to the rules of a JSON Schema.

use std::collections::HashSet;

use super::equals::same;
use super::places::quoted;
use super::schema_compiler::compile as rules;
use super::schema_rules::{Id, Node, Rule};
use super::spec::{BuildError, Part};
use super::{Operator, Undecided};
use crate::value::{Value, nearest};

/// Faults of one value that are told.
const TOLD: usize = 5;

/// Rules that one value may be held to: a schema whose alternatives multiply could take for ever.
const STEPS: usize = 5_000_000;

/// Schemas within each other, those of the value's parts and those that a schema combines taken together.
const DEPTH: usize = 600;

/// A schema, ready for any number of values.
pub(super) struct Schema {
    nodes: Vec<Node>,
    /// Its beginning, for messages.
    pub shown: String,
}

/// Makes a schema of the argument of the assertion called `name`.
///
/// # Errors
/// It is no schema.
pub(super) fn compile(name: &str, schema: &Value) -> Result<Schema, BuildError> {
    let nodes = rules(&schema.to_json()).map_err(|fault| {
        let place = if fault.at.is_empty() { String::new() } else { format!("at {}: ", fault.at) };
        BuildError::new(Part::Argument, format!("`{name}` is given no JSON Schema: {place}{}", fault.message))
    })?;
    Ok(Schema { nodes, shown: schema.show(60) })
}

impl Schema {
    /// Why the schema does not accept `value`.
    ///
    /// # Errors
    /// That would take too long to find out.
    pub fn misfit(&self, value: &Value) -> Result<Option<String>, Undecided> {
        let mut held = Held { nodes: &self.nodes, path: String::new(), faults: Vec::new(), steps: 0, depth: 0 };
        held.node(0, value)?;
        let more = held.faults.len().saturating_sub(TOLD);
        let mut told = held.faults;
        told.truncate(TOLD);
        if more > 0 {
            told.push(format!("and {more} more"));
        }
        Ok((!told.is_empty()).then(|| told.join("; ")))
    }
}

struct Held<'s> {
    nodes: &'s [Node],
    /// Where in the value.
    path: String,
    faults: Vec<String>,
    steps: usize,
    depth: usize,
}

impl Held<'_> {
    /// Holds `value` to a schema; its faults are added to the others.
    fn node(&mut self, id: Id, value: &Value) -> Result<(), Undecided> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(Undecided::new(format!("the schema and the JSON together are nested deeper than {DEPTH}")));
        }
        match self.nodes.get(id) {
            Some(Node::Always(false)) => self.fault("nothing may stand here"),
            Some(Node::Rules(rules)) => {
                for rule in rules {
                    self.steps += 1;
                    if self.steps > STEPS {
                        return Err(Undecided::new("the schema combines so much that it cannot be held to this JSON")
                            .help("fewer alternatives within alternatives take less work"));
                    }
                    self.rule(rule, value)?;
                }
            }
            _ => {}
        }
        self.depth -= 1;
        Ok(())
    }

    /// The faults that a schema finds, which are not added to the others.
    fn apart(&mut self, id: Id, value: &Value) -> Result<Vec<String>, Undecided> {
        let outer = std::mem::take(&mut self.faults);
        let result = self.node(id, value);
        let found = std::mem::replace(&mut self.faults, outer);
        result.map(|()| found)
    }

    /// Holds a part of the value to a schema.
    fn part(&mut self, step: &str, id: Id, value: &Value) -> Result<(), Undecided> {
        let length = self.path.len();
        if !step.starts_with('[') && length > 0 {
            self.path.push('.');
        }
        self.path.push_str(step);
        let result = self.node(id, value);
        self.path.truncate(length);
        result
    }

    fn fault(&mut self, message: impl Into<String>) {
        let message = message.into();
        self.faults.push(match self.path.is_empty() {
            true => message,
            false => format!("at {}: {message}", self.path),
        });
    }

    /// The fault that something else than `wanted` was found.
    fn wanted(&mut self, wanted: &str, value: &Value) {
        let kind = if matches!(value, Value::Null) { String::new() } else { format!("{} ", value.kind()) };
        self.fault(format!("{wanted} was wanted, found {kind}{}", value.show(40)));
    }

    fn rule(&mut self, rule: &Rule, value: &Value) -> Result<(), Undecided> {
        match (rule, value) {
            (Rule::Types(types), _) if !types.iter().any(|t| is(t, value)) => self.wanted(&types.join(" or "), value),
            (Rule::Enum(all), _) if !all.iter().any(|v| same(v, value)) => {
                let list = all.iter().take(10).map(|v| v.show(30)).collect::<Vec<_>>().join(", ");
                self.wanted(&format!("one of {list}"), value);
            }
            (Rule::Const(one), _) if !same(one, value) => self.wanted(&one.show(40), value),
            (Rule::All(ids), _) => {
                for id in ids {
                    self.node(*id, value)?;
                }
            }
            (Rule::Any(_) | Rule::One(_) | Rule::Not(_) | Rule::If { .. }, _) => self.choice(rule, value)?,
            (_, Value::Int(_) | Value::Float(_)) => self.number(rule, value),
            (_, Value::Text(text)) => self.text(rule, text),
            (_, Value::List(items)) => self.list(rule, items)?,
            (_, Value::Map(map)) => self.map(rule, map)?,
            _ => {}
        }
        Ok(())
    }

    fn choice(&mut self, rule: &Rule, value: &Value) -> Result<(), Undecided> {
        match rule {
            Rule::Any(ids) | Rule::One(ids) => {
                let mut fitting = 0;
                let mut nearest: Option<Vec<String>> = None;
                for id in ids {
                    let found = self.apart(*id, value)?;
                    fitting += usize::from(found.is_empty());
                    if nearest.as_ref().is_none_or(|n| found.len() < n.len()) {
                        nearest = Some(found);
                    }
                }
                if fitting == 0 {
                    let nearest = nearest.unwrap_or_default().into_iter().take(2).collect::<Vec<_>>().join(", ");
                    self.fault(format!("none of {} alternatives fits; the nearest has: {nearest}", ids.len()));
                } else if fitting > 1 && matches!(rule, Rule::One(_)) {
                    self.fault(format!("{fitting} alternatives fit where only one may"));
                }
            }
            Rule::Not(id) if self.apart(*id, value)?.is_empty() => {
                self.fault(format!("{} is what must not stand here", value.show(40)));
            }
            Rule::If { test, then, otherwise } => {
                let side = if self.apart(*test, value)?.is_empty() { then } else { otherwise };
                if let Some(id) = side {
                    self.node(*id, value)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn number(&mut self, rule: &Rule, value: &Value) {
        let seen = match value {
            Value::Int(n) => *n as f64,
            Value::Float(x) => *x,
            _ => return,
        };
        match rule {
            Rule::Number(operator, bound) if !operator.holds(seen, *bound) => {
                let words = match operator {
                    Operator::AtLeast => "at least",
                    Operator::AtMost => "at most",
                    Operator::Above => "more than",
                    Operator::Below => "less than",
                };
                self.wanted(&format!("{words} {bound}"), value);
            }
            Rule::MultipleOf(of) => {
                let ratio = seen / of;
                // The nearest multiple may be the same number although the ratio is rounded, as 0.3 of 0.1.
                let whole = ratio.is_finite()
                    && (ratio.fract() == 0.0 || (ratio.round() * of - seen).abs() < 1e-12 * seen.abs());
                if !whole {
                    self.wanted(&format!("a multiple of {of}"), value);
                }
            }
            Rule::Format(format) if !(format.has)(value) => self.wanted(format.name, value),
            _ => {}
        }
    }

    fn text(&mut self, rule: &Rule, text: &str) {
        match rule {
            Rule::MinLength(least) if text.chars().count() < *least => {
                self.fault(format!("at least {least} characters were wanted, found {}", quoted(text)));
            }
            Rule::MaxLength(most) if text.chars().count() > *most => {
                self.fault(format!("at most {most} characters were wanted, found {}", quoted(text)));
            }
            Rule::Pattern(regex, written) if !regex.is_match(text).unwrap_or(false) => {
                self.fault(format!("a match of {} was wanted, found {}", quoted(written), quoted(text)));
            }
            Rule::Format(format) if !(format.has)(&text.into()) => {
                self.fault(format!("{} was wanted, found {}", format.name, quoted(text)));
            }
            _ => {}
        }
    }

    fn list(&mut self, rule: &Rule, items: &[Value]) -> Result<(), Undecided> {
        match rule {
            Rule::Items { prefix, rest } => {
                for (i, item) in items.iter().enumerate() {
                    if let Some(id) = prefix.get(i).or(rest.as_ref()) {
                        self.part(&format!("[{i}]"), *id, item)?;
                    }
                }
            }
            Rule::Contains { item, min, max } => {
                let mut count = 0;
                for one in items {
                    count += usize::from(self.apart(*item, one)?.is_empty());
                }
                if count < *min || max.is_some_and(|most| count > most) {
                    let most = max.map_or(String::new(), |most| format!(" and at most {most}"));
                    self.fault(format!("at least {min}{most} fitting items were wanted, found {count}"));
                }
            }
            Rule::MinItems(least) if items.len() < *least => {
                self.fault(format!("at least {least} items were wanted, found {}", items.len()));
            }
            Rule::MaxItems(most) if items.len() > *most => {
                self.fault(format!("at most {most} items were wanted, found {}", items.len()));
            }
            Rule::Unique => {
                let mut seen = HashSet::new();
                if let Some(twice) = items.iter().find(|item| !seen.insert(canonical(item))) {
                    self.fault(format!("{} stands in the list twice", twice.show(40)));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn map(&mut self, rule: &Rule, map: &indexmap::IndexMap<String, Value>) -> Result<(), Undecided> {
        match rule {
            Rule::Properties { named, patterns, rest } => {
                for (key, id) in named {
                    if let Some(value) = map.get(key) {
                        self.part(key, *id, value)?;
                    }
                }
                let known: HashSet<&str> = match patterns.is_empty() && rest.is_none() {
                    true => return Ok(()),
                    false => named.iter().map(|(key, _)| key.as_str()).collect(),
                };
                for (key, value) in map {
                    let mut known = known.contains(key.as_str());
                    for (_, id) in patterns.iter().filter(|(regex, _)| regex.is_match(key).unwrap_or(false)) {
                        known = true;
                        self.part(key, *id, value)?;
                    }
                    match rest {
                        Some(id) if !known && matches!(self.nodes.get(*id), Some(Node::Always(false))) => {
                            let meant = nearest(key, named.iter().map(|(name, _)| name.as_str()));
                            let help = meant.map_or(String::new(), |meant| format!(" (did you mean `{meant}`?)"));
                            self.fault(format!("the key `{key}` is not allowed{help}"));
                        }
                        Some(id) if !known => self.part(key, *id, value)?,
                        _ => {}
                    }
                }
            }
            Rule::PropertyNames(id) => {
                for key in map.keys() {
                    if let Some(fault) = self.apart(*id, &key.as_str().into())?.first() {
                        self.fault(format!("the key `{key}` is not allowed: {fault}"));
                    }
                }
            }
            Rule::Required(keys) => {
                for key in keys.iter().filter(|key| !map.contains_key(*key)) {
                    self.fault(format!("the key `{key}` is missing"));
                }
            }
            Rule::DependentRequired(key, keys) if map.contains_key(key) => {
                for missing in keys.iter().filter(|k| !map.contains_key(*k)) {
                    self.fault(format!("the key `{missing}` is missing, which `{key}` asks for"));
                }
            }
            Rule::DependentSchema(key, id) if map.contains_key(key) => {
                self.node(*id, &Value::Map(std::sync::Arc::new(map.clone())))?;
            }
            Rule::MinProperties(least) if map.len() < *least => {
                self.fault(format!("at least {least} keys were wanted, found {}", map.len()));
            }
            Rule::MaxProperties(most) if map.len() > *most => {
                self.fault(format!("at most {most} keys were wanted, found {}", map.len()));
            }
            _ => {}
        }
        Ok(())
    }
}

fn is(ty: &str, value: &Value) -> bool {
    match (ty, value) {
        ("null", Value::Null)
        | ("boolean", Value::Bool(_))
        | ("object", Value::Map(_))
        | ("array", Value::List(_))
        | ("number", Value::Int(_) | Value::Float(_))
        | ("integer", Value::Int(_))
        | ("string", Value::Text(_)) => true,
        ("integer", Value::Float(x)) => x.fract() == 0.0,
        _ => false,
    }
}

/// A text that is the same for values that are the same.
fn canonical(value: &Value) -> String {
    match value {
        Value::Float(x) if x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0 => (*x as i64).to_string(),
        Value::List(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Map(map) => {
            let mut entries: Vec<String> =
                map.iter().map(|(k, v)| format!("{}:{}", serde_json::Value::from(k.as_str()), canonical(v))).collect();
            entries.sort_unstable();
            format!("{{{}}}", entries.join(","))
        }
        value => value.to_json().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn misfit(schema: serde_json::Value, value: serde_json::Value) -> Result<Option<String>, Undecided> {
        compile("schema", &Value::from_json(&schema)).map_err(|e| e.message).unwrap().misfit(&Value::from_json(&value))
    }

    #[test]
    fn messages_say_what_was_wanted() {
        for (schema, value, wanted) in [
            (
                json!({"additionalProperties": false, "properties": {"age": true}}),
                json!({"agee": 1}),
                "did you mean `age`?",
            ),
            (json!({"anyOf": [{"type": "string"}, {"minimum": 3}]}), json!(2), "none of 2 alternatives fits"),
            (json!({"oneOf": [true, {"minimum": 1}]}), json!(2), "2 alternatives fit where only one may"),
            (
                json!({"items": {"properties": {"a": {"enum": ["x", 1]}}}}),
                json!([{"a": 2}]),
                "at [0].a: one of \"x\", 1 was wanted, found int 2",
            ),
            (json!({"uniqueItems": true}), json!([{"a": 1, "b": 2}, {"b": 2.0, "a": 1}]), "stands in the list twice"),
            (json!({"multipleOf": 0.1}), json!(0.35), "a multiple of 0.1"),
            (json!({"maxLength": 1}), json!("🙂🙂"), "at most 1 characters"),
            (json!({"not": {"const": 1.0}}), json!(1), "must not stand here"),
            (json!({"propertyNames": {"maxLength": 1}}), json!({"ab": 1}), "the key `ab` is not allowed: at most 1"),
        ] {
            let why = misfit(schema, value).unwrap().unwrap();
            assert!(why.contains(wanted), "{why}");
        }
        assert_eq!(misfit(json!({"multipleOf": 0.1}), json!(0.3)), Ok(None));
    }

    #[test]
    fn work_is_bounded() {
        // Each schema asks twice for the next: 2^40 steps.
        let mut defs = serde_json::Map::new();
        for n in 0..40 {
            let next = json!({"$ref": format!("#/$defs/{}", n + 1)});
            defs.insert(n.to_string(), json!({"anyOf": [{"allOf": [next, false]}, {"allOf": [next, false]}]}));
        }
        defs.insert("40".to_owned(), json!({"type": "string"}));
        let undecided = misfit(json!({"$ref": "#/$defs/0", "$defs": defs}), json!(1)).unwrap_err();
        assert!(undecided.message.contains("combines so much"), "{}", undecided.message);
        let nested = (0..120).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(misfit(json!({"items": {"$ref": "#"}}), nested), Ok(None));
    }
}
