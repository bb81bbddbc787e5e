//! `modtwinctl report`: hands a merge patch for the reported properties to the daemon.

use std::io::Read as _;

use modtwin_api::Document;
use modtwin_api::limits::MAX_BODY_BYTES;
use modtwin_client::{Client, Reported, Wait};
use serde_json::Value;

use crate::cli::{Report, WaitFor};
use crate::failure::Failure;
use crate::output::Output;

/// Reports and says how far the report came.
pub(crate) async fn run(client: &Client, args: &Report, output: &Output) -> Result<(), Failure> {
    let patch = patch(&args.patch)?;
    let wait = match args.wait {
        WaitFor::Stored => Wait::Stored,
        WaitFor::Hub => Wait::Hub { timeout: args.timeout },
    };
    match client.report(&args.module, &patch, wait).await? {
        Reported::Stored(stored) => output.either(&stored, |stored| {
            format!("stored, will reach the hub (sequence {})", stored.sequence)
        }),
        Reported::Accepted(accepted) => output.either(&accepted, |accepted| {
            format!(
                "accepted by the hub as reported version {} (sequence {})",
                accepted.version, accepted.sequence
            )
        }),
    }
}

/// The merge patch that the arguments say.
pub(crate) fn patch(arguments: &[String]) -> Result<Document, Failure> {
    match arguments {
        [only] if only == "-" => object(&standard_input()?, "standard input"),
        [only] if only.trim_start().starts_with(['{', '[']) => object(only, "the patch"),
        pairs => {
            let mut patch = Document::new();
            for pair in pairs {
                let (key, value) = pair.split_once('=').ok_or_else(|| {
                    Failure::usage(format!("expected JSON, `-` or KEY=VALUE, found `{pair}`"))
                })?;
                let value = serde_json::from_str(value).unwrap_or_else(|_text| value.into());
                insert(&mut patch, key, value)
                    .map_err(|why| Failure::usage(format!("{why} in `{pair}`")))?;
            }
            Ok(patch)
        }
    }
}

/// Puts `value` where the dotted `key` says.
fn insert(into: &mut Document, key: &str, value: Value) -> Result<(), &'static str> {
    let (first, rest) = match key.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (key, None),
    };
    if first.is_empty() {
        return Err("expected a key, found none");
    }
    let Some(rest) = rest else {
        return match into.insert(first.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err("a key is given twice"),
        };
    };
    let inner = into.entry(first.to_owned()).or_insert_with(|| Document::new().into());
    match inner {
        Value::Object(inner) => insert(inner, rest, value),
        _ => Err("a key is given twice"),
    }
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    let bound = u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    std::io::stdin()
        .take(bound)
        .read_to_string(&mut text)
        .map_err(|error| Failure::failed(format!("cannot read standard input: {error}")))?;
    if text.len() > MAX_BODY_BYTES {
        let text = format!("expected at most {MAX_BODY_BYTES} bytes on standard input, found more");
        return Err(Failure::failed(text));
    }
    Ok(text)
}

fn object(text: &str, whence: &str) -> Result<Document, Failure> {
    match serde_json::from_str(text) {
        Ok(Value::Object(patch)) => Ok(patch),
        Ok(_) => Err(Failure::usage(format!("expected a JSON object in {whence}"))),
        Err(error) => Err(Failure::usage(format!("expected JSON in {whence}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(arguments: &[&str], expected: Result<Value, &str>) {
        let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
        match (patch(&arguments), expected) {
            (Ok(patch), expected) => assert_eq!(Ok(Value::Object(patch)), expected),
            (Err(failure), Err(part)) => {
                assert!(failure.lines()[0].contains(part), "{:?}", failure.lines());
            }
            (Err(failure), Ok(_)) => panic!("{:?}: {:?}", arguments, failure.lines()),
        }
    }

    #[test]
    fn values_are_json_where_they_read_as_such() {
        check(
            &["a=20.5", "b=on", "c=null", "d=", "e=\"7\"", "f=[1]", "g={\"h\":true}", "i=a=b"],
            Ok(json!({"a": 20.5, "b": "on", "c": null, "d": "", "e": "7", "f": [1],
                      "g": {"h": true}, "i": "a=b"})),
        );
    }

    #[test]
    fn a_dot_goes_one_level_down() {
        check(&["a.b.c=1", "a.b.d=2", "a.e=3"], Ok(json!({"a": {"b": {"c": 1, "d": 2}, "e": 3}})));
    }

    #[test]
    fn json_is_taken_whole() {
        check(&[" {\"a\":{\"b\":null}}"], Ok(json!({"a": {"b": null}})));
    }

    #[test]
    fn what_is_no_patch_is_refused() {
        check(&["temperature"], Err("KEY=VALUE"));
        check(&["[1]"], Err("expected a JSON object"));
        check(&["{\"a\":}"], Err("expected JSON"));
        check(&["=1"], Err("expected a key"));
        check(&["a..b=1"], Err("expected a key"));
        check(&["a=1", "a=2"], Err("twice"));
        check(&["a=1", "a.b=2"], Err("twice"));
        check(&["a.b=1", "a=2"], Err("twice"));
        check(&["a=1", "-"], Err("KEY=VALUE"));
    }
}
