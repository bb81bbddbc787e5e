//! Whole numbers in requests.

use serde::{Deserialize, Deserializer, de};
use serde_json::Number;

/// Reads a whole number, also one that is written with a fraction of zero: to JSON, and so to some
/// languages, `7.0` and `7` are the same.
pub(crate) fn read<'de, D: Deserializer<'de>, T: TryFrom<u64>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let number = Number::deserialize(deserializer)?;
    let of_float = |float: f64| (float.fract() == 0.0).then(|| format!("{float:.0}").parse().ok());
    let whole = number.as_u64().or_else(|| number.as_f64().and_then(of_float).flatten());
    whole.and_then(|whole| T::try_from(whole).ok()).ok_or_else(|| {
        let most = (1_u128 << (8 * size_of::<T>())) - 1;
        de::Error::custom(format_args!("expected a whole number from 0 to {most}, found {number}"))
    })
}

pub(crate) fn read_or_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    struct Whole(#[serde(deserialize_with = "read")] u64);
    Ok(Option::<Whole>::deserialize(deserializer)?.map(|whole| whole.0))
}

#[cfg(test)]
mod tests {
    use serde_json::{from_str, from_value, json};

    use crate::AckRequest;

    #[test]
    fn whole_numbers_may_be_written_with_a_fraction_of_zero() {
        let request = json!({ "version": 7.0, "generation": 2.0, "status": 2e2 });
        let request: AckRequest = from_value(request).unwrap();
        assert_eq!((request.version, request.generation, request.status), (7, Some(2), 200));
        let largest = format!(r#"{{"version":{},"status":200,"generation":null}}"#, u64::MAX);
        let largest: AckRequest = from_str(&largest).unwrap();
        assert_eq!((largest.version, largest.generation), (u64::MAX, None));
        for bad in ["7.5", "-1", "-1.0", "1e30", "\"7\"", "true", "null", "[7]"] {
            let text = format!(r#"{{"version":{bad},"status":200}}"#);
            assert!(from_str::<AckRequest>(&text).is_err(), "{bad}");
        }
        let status = from_str::<AckRequest>(r#"{"version":7,"status":70000}"#).unwrap_err();
        assert!(status.to_string().contains("from 0 to 65535"), "{status}");
    }
}
