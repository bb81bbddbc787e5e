//! Values and how they compare. What is not there compares with nothing: the condition is neither true nor false.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::syntax::{Comparison, Condition, Operand, Path, Step, TextTest};

impl Path {
    /// Follows the path into a twin.
    pub(super) fn find<'a>(&self, twin: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(twin, |value, step| match step {
            Step::Member(name) => value.get(name),
            Step::Index(index) => value.get(index),
        })
    }
}

impl Operand {
    fn find<'a>(&'a self, twin: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Path(path) => path.find(twin),
            Self::Constant(value) => Some(value),
        }
    }
}

impl Condition {
    /// Judges a twin; `None` when that depends on a value which is not there.
    pub(super) fn judge(&self, twin: &Value) -> Option<bool> {
        match self {
            Self::All(parts) => joined(parts, twin, false),
            Self::Any(parts) => joined(parts, twin, true),
            Self::Not(inner) => inner.judge(twin).map(|yes| !yes),
            Self::Compare(left, comparison, right) => {
                compare(left.find(twin)?, *comparison, right.find(twin)?)
            }
            Self::In { operand, list, is_negated } => {
                let value = operand.find(twin)?;
                Some(list.iter().any(|listed| is_equal(value, listed)) != *is_negated)
            }
            Self::IsDefined(path) => Some(path.find(twin).is_some()),
            Self::Text(test, text, part) => {
                let (text, part) = (text.find(twin)?.as_str()?, part.find(twin)?.as_str()?);
                Some(match test {
                    TextTest::StartsWith => text.starts_with(part),
                    TextTest::EndsWith => text.ends_with(part),
                    TextTest::Contains => text.contains(part),
                })
            }
            Self::Holds(path) => path.find(twin)?.as_bool(),
            Self::Constant(constant) => Some(*constant),
        }
    }
}

/// Joins parts: one that is `decisive` decides, whatever is unknown about the others.
fn joined(parts: &[Condition], twin: &Value, decisive: bool) -> Option<bool> {
    let mut is_unknown = false;
    for part in parts {
        match part.judge(twin) {
            Some(yes) if yes == decisive => return Some(decisive),
            Some(_) => {}
            None => is_unknown = true,
        }
    }
    (!is_unknown).then_some(!decisive)
}

fn compare(left: &Value, comparison: Comparison, right: &Value) -> Option<bool> {
    match comparison {
        Comparison::Equal => return Some(is_equal(left, right)),
        Comparison::Unequal => return Some(!is_equal(left, right)),
        _ => {}
    }
    let order = order(left, right)?;
    Some(match comparison {
        Comparison::Less => order == Ordering::Less,
        Comparison::AtMost => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        _ => order != Ordering::Less,
    })
}

fn is_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(_), Value::Number(_)) => order(left, right) == Some(Ordering::Equal),
        _ => left == right,
    }
}

/// Orders two values of one kind; `None` for others.
pub(super) fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => float(left)?.partial_cmp(&float(right)?),
        },
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn float(number: &Number) -> Option<f64> {
    number.as_f64()
}
