//! Answering a query from twins: filter, group, select.

use serde_json::{Number, Value, json};

use super::syntax::{Aggregate, Column, Query, Select, Source};
use super::value::order;

impl Query {
    /// Says whether a twin is among the query's rows.
    pub(crate) fn fits(&self, twin: &Value) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.judge(twin) == Some(true))
    }

    /// Gives the most rows that the query asks for.
    pub(crate) fn top(&self) -> usize {
        self.top.unwrap_or(usize::MAX)
    }

    /// Says whether rows are made of many twins, so that all must be read before the first is known.
    pub(crate) fn sums_up(&self) -> bool {
        let is_sum = |column: &Column| matches!(column.source, Source::Sum(_));
        !self.group_by.is_empty()
            || matches!(&self.select, Select::Columns(columns) if columns.iter().any(is_sum))
    }

    /// Makes the row of one twin.
    pub(crate) fn row(&self, twin: Value) -> Value {
        let Select::Columns(columns) = &self.select else {
            return twin;
        };
        let value = |column: &Column| match &column.source {
            Source::Path(path) => path.find(&twin).cloned(),
            Source::Sum(_) => None,
        };
        columns
            .iter()
            .filter_map(|column| value(column).map(|value| (column.name.clone(), value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// Makes the rows of a query that sums up; groups come in the order in which their first twin does.
    pub(crate) fn groups(&self, twins: &[Value]) -> Vec<Value> {
        let mut groups: Vec<(Vec<Option<&Value>>, Vec<&Value>)> = Vec::new();
        if self.group_by.is_empty() {
            groups.push((Vec::new(), twins.iter().collect()));
        } else {
            for twin in twins {
                let key = self.group_by.iter().map(|path| path.find(twin)).collect();
                match groups.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, members)) => members.push(twin),
                    None => groups.push((key, vec![twin])),
                }
            }
        }
        let Select::Columns(columns) = &self.select else {
            return Vec::new();
        };
        let row = |(_, members): (_, Vec<&Value>)| {
            let value = |column: &Column| match &column.source {
                Source::Path(path) => members.first().and_then(|twin| path.find(twin)).cloned(),
                Source::Sum(aggregate) => aggregate.of(&members),
            };
            let named = columns
                .iter()
                .filter_map(|column| value(column).map(|value| (column.name.clone(), value)));
            Value::Object(named.collect())
        };
        groups.into_iter().map(row).collect()
    }
}

impl Aggregate {
    /// Sums twins up; nothing when none has the value.
    fn of(&self, twins: &[&Value]) -> Option<Value> {
        let values = |path: &super::syntax::Path| -> Vec<Value> {
            twins.iter().filter_map(|twin| path.find(twin).cloned()).collect()
        };
        let numbers =
            |path| -> Vec<f64> { values(path).iter().filter_map(Value::as_f64).collect() };
        match self {
            Self::Count => Some(json!(twins.len())),
            Self::Add(path) => number(numbers(path).iter().sum()),
            Self::Mean(path) => {
                let numbers = numbers(path);
                let count = f64::from(u32::try_from(numbers.len()).unwrap_or(u32::MAX));
                number(numbers.iter().sum::<f64>() / count)
            }
            Self::Least(path) => extreme(values(path), std::cmp::Ordering::Less),
            Self::Most(path) => extreme(values(path), std::cmp::Ordering::Greater),
        }
    }
}

fn extreme(values: Vec<Value>, wanted: std::cmp::Ordering) -> Option<Value> {
    values.into_iter().reduce(
        |best, value| {
            if order(&value, &best) == Some(wanted) { value } else { best }
        },
    )
}

/// Writes a number without a fraction as a whole one.
fn number(value: f64) -> Option<Value> {
    let text = format!("{value}");
    match text.parse::<i64>() {
        Ok(whole) => Some(json!(whole)),
        Err(_) => Number::from_f64(value).map(Value::Number),
    }
}
