//! What models cost, as the project says it.

use std::collections::BTreeMap;

/// What a million tokens cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Of prompts.
    pub input: f64,
    /// Of answers.
    pub output: f64,
}

impl Price {
    /// What so many tokens cost.
    #[allow(clippy::cast_precision_loss, reason = "a run has fewer tokens than a float counts exactly")]
    pub fn of(&self, input: u64, output: u64) -> f64 {
        (input as f64 * self.input + output as f64 * self.output) / 1e6
    }
}

/// The name that prices all models of a provider that have no price of their own.
pub const EVERY: &str = "*";

/// The prices of a project, all in one currency.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prices {
    /// The currency, as `USD`; empty where there are no prices.
    pub currency: String,
    /// Prices by provider and model.
    pub by: BTreeMap<String, BTreeMap<String, Price>>,
}

impl Prices {
    /// The price of a provider's model, or that of all its models; `model` is none where it has no name.
    pub fn of(&self, provider: &str, model: Option<&str>) -> Option<Price> {
        let models = self.by.get(provider)?;
        model.and_then(|model| models.get(model)).or_else(|| models.get(EVERY)).copied()
    }

    /// What to write where a model has no price: the lines of `chainrun.yaml`, without those that are there already.
    pub fn missing(&self, provider: &str, model: Option<&str>) -> String {
        let mut lines = Vec::new();
        if self.currency.is_empty() {
            lines.extend(["prices:".to_owned(), "  currency: USD".to_owned()]);
        }
        let known = self.by.contains_key(provider);
        if !known {
            lines.push(format!("  {provider}:"));
        }
        let model = serde_json::Value::from(model.unwrap_or(EVERY));
        lines.push(format!("    {model}: {{ input: INPUT, output: OUTPUT }}"));
        let whither = match (self.currency.is_empty(), known) {
            (true, _) => "to the project's `chainrun.yaml`".to_owned(),
            (false, false) => "below `prices:` in the project's `chainrun.yaml`".to_owned(),
            (false, true) => format!("below `{provider}:` in `prices:` of the project's `chainrun.yaml`"),
        };
        let lines = lines.join("\n");
        format!("add {whither}, with the prices of a million tokens for INPUT and OUTPUT:\n{lines}")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_its_own_price_or_that_of_all() {
        let price = |input| Price { input, output: 2.0 };
        let models = [("a".to_owned(), price(1.0)), (EVERY.to_owned(), price(0.0))];
        let mut prices = Prices { currency: "EUR".to_owned(), ..Prices::default() };
        prices.by.insert("openai".to_owned(), models.into_iter().collect());
        assert_eq!(prices.of("openai", Some("a")), Some(price(1.0)));
        assert_eq!(prices.of("openai", Some("b")), Some(price(0.0)));
        assert_eq!(prices.of("openai", None), Some(price(0.0)));
        assert_eq!(prices.of("ollama", Some("a")), None);
        assert!((price(1.0).of(500_000, 250_000) - 1.0).abs() < 1e-12);
    }
}
