//! A handler's word on a version of desired.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Number;

use crate::limits::{MAX_DESCRIPTION_BYTES, MAX_HANDLER_BYTES, MAX_PATHS, POINTER_PATTERN};

/// The body of `POST /v1/modules/{m}/acks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AckRequest {
    /// The version it speaks of.
    #[serde(deserialize_with = "whole")]
    pub version: u64,
    /// The version line it speaks of; the present one where left out.
    #[serde(default, deserialize_with = "whole_or_none", skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// 200–299 applied, 400–599 refused.
    #[serde(deserialize_with = "whole")]
    #[schemars(schema_with = "status_schema")]
    pub status: u16,
    /// The handler's own words, at most 4096 bytes.
    #[schemars(length(min = 1, max = MAX_DESCRIPTION_BYTES))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The handler's name, at most 128 bytes; the one the peer's rule names where left out.
    #[schemars(length(min = 1, max = MAX_HANDLER_BYTES))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// The subtrees it speaks of, as JSON Pointers, at most 64; all that the handler watches where
    /// left out.
    #[schemars(length(max = MAX_PATHS), inner(regex(pattern = POINTER_PATTERN)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

/// The answer to an acknowledgement: it survives power loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AckStored {
    /// Always true.
    pub stored: bool,
}

impl AckRequest {
    /// Says whether `status` is one that an acknowledgement may have: 200–299 or 400–599.
    #[must_use]
    pub fn is_status(status: u16) -> bool {
        matches!(status, 200..=299 | 400..=599)
    }
}

/// Reads a whole number, also one that is written with a fraction of zero: to JSON, and so to some
/// languages, `7.0` and `7` are the same.
fn whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(deserializer: D) -> Result<T, D::Error> {
    let number = Number::deserialize(deserializer)?;
    let of_float = |float: f64| (float.fract() == 0.0).then(|| format!("{float:.0}").parse().ok());
    let whole = number.as_u64().or_else(|| number.as_f64().and_then(of_float).flatten());
    whole.and_then(|whole| T::try_from(whole).ok()).ok_or_else(|| {
        let most = (1_u128 << (8 * size_of::<T>())) - 1;
        de::Error::custom(format_args!("expected a whole number from 0 to {most}, found {number}"))
    })
}

fn whole_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    struct Whole(#[serde(deserialize_with = "whole")] u64);
    Ok(Option::<Whole>::deserialize(deserializer)?.map(|whole| whole.0))
}

fn status_schema(_generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "integer",
        "anyOf": [{ "minimum": 200, "maximum": 299 }, { "minimum": 400, "maximum": 599 }],
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{from_str, from_value, json};

    use super::*;

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
