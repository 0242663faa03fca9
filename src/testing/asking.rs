//! What judges and embedders say of a text.

use std::borrow::Cow;

use super::verdict::{Ended, Look, Verdict, text_of};
use crate::assertions::{Operator, Outcome, Undecided};
use crate::index::Vectors;
use crate::plan::testing::{Ask, GRADES};
use crate::value::Value;

impl Ended<'_> {
    /// The text that a claim of a judge or of nearness looks at, what it is asked, and its bound.
    fn asked(&self, ask: &Ask, look: &Look<'_>) -> Result<(String, String, Operator, f64), Undecided> {
        let value = look.value()?;
        let Some(text) = text_of(&value) else {
            return Err(Undecided::new(format!("{} is {} {}, not text", look.subject(), value.kind(), value.show(60))));
        };
        let arguments = self.arguments(Some(&ask.text), None, Some(&ask.bound))?;
        let wanted = arguments.value.as_ref().and_then(text_of).unwrap_or_default();
        let (operator, number) = arguments.bound.unwrap_or((Operator::AtLeast, 1.0));
        Ok((text, wanted, operator, number))
    }

    pub(super) async fn judge(&self, ask: &Ask, look: &Look<'_>) -> Verdict {
        let (text, statement, operator, number) = self.asked(ask, look)?;
        let values = vec![("criterion", Value::from(statement.as_str())), ("answer", Value::from(text.as_str()))];
        let answer = (self.ask)(ask.plan.clone(), values).await;
        let answer = answer.map_err(|why| Undecided::new(format!("the judge failed: {why}")))?;
        let field = |name: &str| match &answer {
            Value::Map(map) => map.get(name).and_then(|v| v.as_text().map(Cow::into_owned)).unwrap_or_default(),
            _ => String::new(),
        };
        let (reason, grade) = (field("reason"), field("grade"));
        let Some((_, score)) = GRADES.iter().find(|(name, _)| *name == grade) else {
            return Err(Undecided::new(format!("the judge gave no grade, but {}", answer.show(100))));
        };
        Ok(Outcome {
            pass: operator.holds(*score, number),
            score: Some(*score),
            expected: format!("{statement} ({operator} {number})"),
            actual: text,
            why: format!("the judge says \"{grade}\" ({score}): {reason}"),
            comparable: false,
        })
    }

    pub(super) async fn similar(&self, ask: &Ask, look: &Look<'_>) -> Verdict {
        let (text, wanted, operator, number) = self.asked(ask, look)?;
        let texts = Value::list(vec![Value::from(wanted.as_str()), Value::from(text.as_str())]);
        let vectors = (self.ask)(ask.plan.clone(), vec![("texts", texts)]).await;
        let vectors = vectors.map_err(|why| Undecided::new(format!("the embedder failed: {why}")))?;
        let cosine = match &vectors {
            Value::List(both) => both.first().zip(both.get(1)).and_then(|(a, b)| cosine(&floats(a)?, &floats(b)?)),
            _ => None,
        };
        let Some(cosine) = cosine else {
            return Err(Undecided::new("the embedder gave no two vectors that can be compared"));
        };
        Ok(Outcome {
            pass: operator.holds(cosine, number),
            score: Some(cosine.max(0.0)),
            expected: format!("similar \"{wanted}\" {operator} {number}"),
            actual: text,
            why: format!("the cosine of the two is {cosine:.3}"),
            comparable: false,
        })
    }
}

/// The cosine of the angle between two vectors of one dimension.
fn cosine(a: &[f32], b: &[f32]) -> Option<f64> {
    if a.len() != b.len() || a.is_empty() {
        return None;
    }
    let mut one = Vectors::new(a.len());
    one.push(a);
    one.nearest(b, 1, None).first().map(|near| near.score)
}

/// A vector of a chain.
fn floats(value: &Value) -> Option<Vec<f32>> {
    let Value::List(items) = value else { return None };
    #[allow(clippy::cast_possible_truncation, reason = "embedders give numbers of single precision")]
    let number = |v: &Value| match v {
        Value::Float(x) => Some(*x as f32),
        #[allow(clippy::cast_precision_loss, reason = "a component of a vector is small")]
        Value::Int(n) => Some(*n as f32),
        _ => None,
    };
    items.iter().map(number).collect()
}
