//! The query of a request's URL, and the values that requests take from it.
//!
//! Parameters that no request knows are ignored, as the contract says of all unknown members.

use std::borrow::Cow;
use std::time::Duration;

use modtwin_api::Revision;
use modtwin_api::limits::{DEFAULT_TIMEOUT, MAX_TIMEOUT};
use modtwin_core::document::Pointer;
use percent_encoding::percent_decode;

use super::answer::Refusal;

/// A parsed query, in the order of the URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `application/x-www-form-urlencoded` text (WHATWG URL, section 5.1).
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Refusal> {
        text.unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name)?, decode(value)?))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Every value of a repeatable parameter.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that stands at most once.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.all(name);
        let value = values.next();
        match values.next() {
            None => Ok(value),
            Some(_) => {
                Err(Refusal::invalid(name, format!("expected `{name}` once, found it twice")))
            }
        }
    }

    /// The JSON Pointers of the repeatable `path`.
    pub(crate) fn paths(&self) -> Result<Vec<Pointer>, Refusal> {
        self.all("path").map(|text| pointer("path", text)).collect()
    }

    /// What the client says it already has.
    pub(crate) fn since(&self) -> Result<Option<Revision>, Refusal> {
        self.one("since")?
            .map(|text| text.parse().map_err(|e| Refusal::invalid("since", format!("{e}"))))
            .transpose()
    }

    /// What an answer to a report waits for.
    pub(crate) fn wait(&self) -> Result<Wait, Refusal> {
        match self.one("wait")? {
            None | Some("stored") => Ok(Wait::Stored),
            Some("hub") => Ok(Wait::Hub),
            Some(other) => Err(Refusal::invalid(
                "wait",
                format!("expected `stored` or `hub`, found `{other}`"),
            )),
        }
    }

    /// What an answer to a message waits for.
    pub(crate) fn message_wait(&self) -> Result<Wait, Refusal> {
        let stated = self.one("wait")?.is_some();
        if stated { self.wait() } else { Ok(Wait::Hub) }
    }

    /// How long an answer may wait, in seconds, decimals allowed.
    pub(crate) fn timeout(&self) -> Result<Duration, Refusal> {
        let Some(text) = self.one("timeout")? else {
            return Ok(DEFAULT_TIMEOUT);
        };
        // `f64::from_str` also takes signs, exponents and `inf`, which have no place here.
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        plain
            .then(|| text.parse().ok())
            .flatten()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .filter(|timeout| (MIN_TIMEOUT..=MAX_TIMEOUT).contains(timeout))
            .ok_or_else(|| {
                let most = MAX_TIMEOUT.as_secs();
                Refusal::invalid(
                    "timeout",
                    format!("expected seconds from 0.001 to {most}, found `{text}`"),
                )
            })
    }
}

/// What an answer to a report or a message waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// That it survives power loss.
    Stored,
    /// That the hub has accepted it.
    Hub,
}

/// Reads `text` as a JSON Pointer, from the parameter or member `field`.
pub(crate) fn pointer(field: &str, text: &str) -> Result<Pointer, Refusal> {
    Pointer::parse(text).map_err(|failure| Refusal::invalid(field, failure.to_string()))
}

fn decode(text: &str) -> Result<String, Refusal> {
    let spaced: Cow<'_, [u8]> = if text.contains('+') {
        Cow::Owned(text.replace('+', " ").into_bytes())
    } else {
        Cow::Borrowed(text.as_bytes())
    };
    percent_decode(&spaced)
        .decode_utf8()
        .map(Cow::into_owned)
        .map_err(|_| Refusal::invalid("query", "the query is not UTF-8 once percent-decoded"))
}

/// The shortest `timeout` that makes sense.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(Some(text)).unwrap()
    }

    fn field<T: std::fmt::Debug>(outcome: Result<T, Refusal>) -> String {
        let refusal = outcome.unwrap_err();
        assert_eq!(refusal.problem().status, 400);
        refusal.problem().field.clone().unwrap()
    }

    #[test]
    fn values_are_percent_decoded_and_plus_is_a_space() {
        let query = query("path=/a%2Fb&path=%2Fc+d&&x&handler=");
        assert_eq!(query.all("path").collect::<Vec<_>>(), ["/a/b", "/c d"]);
        assert_eq!(query.one("x").unwrap(), Some(""));
        assert_eq!(query.one("handler").unwrap(), Some(""));
        assert_eq!(query.one("absent").unwrap(), None);
        assert_eq!(Query::parse(None).unwrap(), Query::default());
    }

    #[test]
    fn what_is_no_utf8_is_refused() {
        assert_eq!(field(Query::parse(Some("path=%ff"))), "query");
    }

    #[test]
    fn a_single_parameter_stands_once() {
        assert_eq!(field(query("since=1.7&since=1.8").since()), "since");
        assert_eq!(field(query("wait=hub&wait=hub").wait()), "wait");
    }

    #[test]
    fn paths_are_json_pointers() {
        assert_eq!(query("path=/a~1b").paths().unwrap(), [Pointer::parse("/a~1b").unwrap()]);
        for bad in ["path=a", "path=/~2"] {
            assert_eq!(field(query(bad).paths()), "path", "{bad}");
        }
    }

    #[test]
    fn a_revision_is_read_or_refused() {
        let since = query("since=2.13").since().unwrap();
        assert_eq!(since, Some(Revision { generation: 2, version: 13 }));
        assert_eq!(field(query("since=13").since()), "since");
    }

    #[test]
    fn a_wait_is_stored_or_hub() {
        assert_eq!(query("").wait().unwrap(), Wait::Stored);
        assert_eq!(query("wait=stored").wait().unwrap(), Wait::Stored);
        assert_eq!(query("wait=hub").wait().unwrap(), Wait::Hub);
        assert_eq!(field(query("wait=forever").wait()), "wait");
    }

    #[test]
    fn a_timeout_is_seconds_within_its_range() {
        let timeout = |text: &str| query(&format!("timeout={text}")).timeout();
        assert_eq!(query("").timeout().unwrap(), DEFAULT_TIMEOUT);
        assert_eq!(timeout("5").unwrap(), Duration::from_secs(5));
        assert_eq!(timeout("0.25").unwrap(), Duration::from_millis(250));
        assert_eq!(timeout("3600").unwrap(), MAX_TIMEOUT);
        for bad in [
            "",
            "0",
            "-1",
            "3601",
            "1e9",
            "inf",
            "nan",
            "5s",
            "1.2.3",
            ".",
            "99999999999999999999999",
        ] {
            assert_eq!(field(timeout(bad)), "timeout", "{bad}");
        }
    }
}
