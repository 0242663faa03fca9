//! `prices:` what a million tokens cost, by provider and model.

use std::collections::BTreeMap;

use super::{Configuration, Reader};
use crate::config::Price;
use crate::config::tree::{Data, Key, Node};
use crate::providers::{EMBEDDERS, PROVIDERS};

pub const EXAMPLE: &str = "write `prices: { currency: USD, openai: { gpt-4o-mini: { input: 0.15, output: 0.60 } } }`, each for a million tokens";

/// Reads the section.
pub fn read(reader: &mut Reader<'_>, key: &Key, node: &Node, configuration: &mut Configuration) {
    let prices = &mut configuration.prices;
    let Some(entries) = reader.map(node, "prices") else { return };
    for (key, node) in entries {
        if key.name == "currency" {
            match reader.text(node, "currency") {
                Some(text) if text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase()) => {
                    prices.currency = text.to_owned();
                }
                Some(text) => {
                    reader.wrong(node.span, format!("`{text}` is no currency: three capital letters, as `USD`"));
                }
                None => {}
            }
        } else if let Some(models) = provider(reader, key, node) {
            prices.by.insert(key.name.clone(), models);
        }
    }
    if !entries.iter().any(|(key, _)| key.name == "currency") {
        reader.wrong(key.span, "the prices have no `currency`");
    }
}

fn provider(reader: &mut Reader<'_>, key: &Key, node: &Node) -> Option<BTreeMap<String, Price>> {
    let mut names: Vec<&str> = PROVIDERS.iter().chain(EMBEDDERS).map(|spec| spec.name).collect();
    names.sort_unstable();
    names.dedup();
    if !names.contains(&key.name.as_str()) {
        let known = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        names.push("currency");
        reader.unknown(key, format!("there is no provider `{}`: they are {known}", key.name), &names);
        return None;
    }
    let models = reader.map(node, &key.name)?;
    Some(models.iter().filter_map(|(model, node)| Some((model.name.clone(), price(reader, model, node)?))).collect())
}

fn price(reader: &mut Reader<'_>, model: &Key, node: &Node) -> Option<Price> {
    let (mut input, mut output) = (None, None);
    for (key, value) in reader.map(node, &model.name)? {
        let slot = match key.name.as_str() {
            "input" => &mut input,
            "output" => &mut output,
            other => {
                reader.unknown(key, format!("a price has no `{other}`"), &["input", "output"]);
                return None;
            }
        };
        match value.data {
            Data::Number(number) if number.is_finite() && number >= 0.0 => *slot = Some(number),
            Data::Number(number) => {
                reader.wrong(value.span, format!("`{}` is {number}: a price is 0 or more", key.name));
                return None;
            }
            ref other => {
                reader.wrong(value.span, format!("`{}` wants a number, found {}", key.name, other.describe()));
                return None;
            }
        }
    }
    match (input, output) {
        (Some(input), Some(output)) => return Some(Price { input, output }),
        (None, _) => reader.wrong(model.span, format!("the price of `{}` has no `input`", model.name)),
        (_, None) => reader.wrong(model.span, format!("the price of `{}` has no `output`", model.name)),
    }
    None
}
