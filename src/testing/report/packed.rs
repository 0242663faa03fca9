//! JSON in few bytes, for the page: ten thousand cases repeat the same keys and the same texts.
//!
//! The result is `{shapes, texts, data}`. In `data` a map is a list of the number of its keys in `shapes` and of its values;
//! a list is -1 and its items; a text that occurs often is a list of its number in `texts` alone.

use std::collections::HashMap;

use indexmap::{IndexMap, IndexSet};
use serde_json::{Value as Json, json};

/// The shortest text that a number takes the place of, in bytes.
const SHORT: usize = 4;

/// A value, packed.
pub fn packed(value: &Json) -> Json {
    let mut counts = HashMap::new();
    count(value, &mut counts);
    let mut packer = Packer { counts, shapes: IndexSet::new(), texts: IndexMap::new() };
    let data = packer.pack(value);
    let shapes: Vec<Json> = packer.shapes.iter().map(|keys| json!(keys)).collect();
    let texts: Vec<&str> = packer.texts.keys().copied().collect();
    json!({ "shapes": shapes, "texts": texts, "data": data })
}

fn count<'v>(value: &'v Json, counts: &mut HashMap<&'v str, usize>) {
    match value {
        Json::String(text) => *counts.entry(text).or_default() += 1,
        Json::Array(items) => items.iter().for_each(|item| count(item, counts)),
        Json::Object(map) => map.values().for_each(|item| count(item, counts)),
        _ => {}
    }
}

struct Packer<'v> {
    counts: HashMap<&'v str, usize>,
    shapes: IndexSet<Vec<&'v str>>,
    texts: IndexMap<&'v str, ()>,
}

impl<'v> Packer<'v> {
    fn pack(&mut self, value: &'v Json) -> Json {
        match value {
            Json::String(text) if text.len() >= SHORT && self.counts.get(text.as_str()).is_some_and(|n| *n > 1) => {
                let at = self.texts.insert_full(text, ()).0;
                json!([at])
            }
            Json::Array(items) => {
                let mut all = vec![json!(-1)];
                all.extend(items.iter().map(|item| self.pack(item)));
                Json::Array(all)
            }
            Json::Object(map) if !map.is_empty() => {
                let keys: Vec<&str> = map.keys().map(String::as_str).collect();
                let mut all = vec![json!(self.shapes.insert_full(keys).0)];
                all.extend(map.values().map(|item| self.pack(item)));
                Json::Array(all)
            }
            other => other.clone(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What the page does.
    fn unpacked(value: &Json, all: &Json) -> Json {
        let Json::Array(items) = value else { return value.clone() };
        let first = items[0].as_i64().unwrap();
        if first == -1 {
            return items[1..].iter().map(|item| unpacked(item, all)).collect();
        }
        if items.len() == 1 {
            return all["texts"][first as usize].clone();
        }
        let keys = all["shapes"][first as usize].as_array().unwrap();
        let entry = |(key, value): (&Json, &Json)| (key.as_str().unwrap().to_owned(), unpacked(value, all));
        Json::Object(keys.iter().zip(&items[1..]).map(entry).collect())
    }

    #[test]
    fn what_is_packed_comes_back() {
        for value in [
            json!(null),
            json!([]),
            json!({}),
            json!([[], {}, [[1]], "only once", "twice", "twice", "a", "a"]),
            json!({ "a": [{ "text": "the same" }, { "text": "the same", "more": {} }], "b": { "text": -1.5 }, "c": true }),
        ] {
            let all = packed(&value);
            assert_eq!(unpacked(&all["data"], &all), value, "{all}");
        }
        let many: Vec<Json> = (0..100).map(|n| json!({ "status": "passed", "seconds": n })).collect();
        let many = Json::Array(many);
        assert!(packed(&many).to_string().len() * 2 < many.to_string().len());
    }
}
