//! What the calls of a run cost, by the tokens that they told and the prices of the project.

use super::observer::Call;
use crate::assertions::{Cost, Undecided};
use crate::config::Prices;
use crate::providers::ModelConfig;

/// Prices, and the models that they are of.
#[derive(Clone, Copy)]
pub struct Costs<'a> {
    /// The project's prices.
    pub prices: &'a Prices,
    /// The models of the plan; none where they could not be made.
    pub models: &'a [ModelConfig],
}

impl Costs<'_> {
    /// What calls cost together. One that failed told no tokens and counts nothing.
    ///
    /// # Errors
    /// Why nobody knows: a model has no price, or a server counted no tokens.
    pub fn of(&self, calls: &[Call]) -> Result<Cost, Undecided> {
        let mut amount = 0.0;
        for call in calls {
            let Ok(answer) = &call.outcome else { continue };
            let Some(config) = self.models.get(call.model.0 as usize) else { continue };
            let model = config.spec.model_name(config.argument.as_ref());
            let Some(price) = self.prices.of(config.spec.name, model.as_deref()) else {
                let message = format!("`{}` has no price, so nobody knows what the run cost", config.name);
                return Err(Undecided::new(message).help(self.prices.missing(config.spec.name, model.as_deref())));
            };
            let count = |tokens: Option<u64>, price: f64| match tokens {
                Some(tokens) => Ok(tokens),
                // What costs nothing need not be counted.
                None if price == 0.0 => Ok(0),
                None => {
                    Err(Undecided::new(format!("a call of `{}` told no tokens, so its cost is unknown", config.name)))
                }
            };
            amount += price.of(count(answer.usage.input, price.input)?, count(answer.usage.output, price.output)?);
        }
        // Sums of shares of a cent have noise behind the twelfth digit.
        let amount = (amount * 1e12).round() / 1e12;
        Ok(Cost { amount, currency: self.prices.currency.clone() })
    }
}
