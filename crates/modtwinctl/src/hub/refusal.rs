//! What a hub's refusal says, in whichever of its shapes, and what to do about it.
//!
//! The codes are those of "Understand and resolve IoT Hub errors".

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::failure::{Exit, one_line};

/// How long to wait after a throttled call that does not say how long (seen on the service: "Wait
/// 10 seconds and try again").
const THROTTLED_WAIT: Duration = Duration::from_secs(10);

/// The longest text of the hub that is shown, in characters.
const EXCERPT: usize = 300;

/// An answer of the hub that is no success.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// HTTP's status.
    pub(crate) status: u16,
    /// The hub's own number for the error.
    pub(crate) code: Option<u64>,
    /// The hub's own name for the error.
    pub(crate) name: Option<String>,
    message: String,
    tracking: Option<String>,
}

impl Refusal {
    /// Reads an answer: `name` is what the header `iothub-errorcode` says.
    ///
    /// The body is `{"Message":"ErrorCode:NAME;TEXT","ExceptionMessage":…}`, or
    /// `{"errorCode":NUMBER,"message":…,"trackingId":…}`, or the first with the second as a text in
    /// its `Message`, or, from whatever else is on the way, anything.
    pub(crate) fn read(status: u16, name: Option<&str>, body: &[u8]) -> Self {
        let mut refusal = Self { status, name: name.map(str::to_owned), ..Self::default() };
        match serde_json::from_slice::<Value>(body) {
            Ok(Value::Object(said)) => refusal.take(&said),
            _ => refusal.message = String::from_utf8_lossy(body).into_owned(),
        }
        refusal.message = one_line(&refusal.message).chars().take(EXCERPT).collect();
        refusal
    }

    fn take(&mut self, said: &serde_json::Map<String, Value>) {
        let text = |names: [&str; 2]| {
            names.iter().find_map(|name| said.get(*name).and_then(Value::as_str))
        };
        match said.get("errorCode") {
            Some(Value::Number(number)) => self.code = number.as_u64(),
            Some(Value::String(name)) => self.note_name(name),
            _ => {}
        }
        if let Some(tracking) = text(["trackingId", "TrackingId"]) {
            self.tracking = Some(tracking.to_owned());
        } else if let Some(exception) = text(["ExceptionMessage", "exceptionMessage"]) {
            let id = exception.trim_start_matches("Tracking ID:").trim();
            self.tracking = Some(id.to_owned()).filter(|id| !id.is_empty());
        }
        let message = text(["Message", "message"]).unwrap_or_default();
        if let Ok(Value::Object(inner)) = serde_json::from_str::<Value>(message) {
            return self.take(&inner);
        }
        match message.strip_prefix("ErrorCode:").and_then(|rest| rest.split_once(';')) {
            Some((name, rest)) => {
                self.note_name(name);
                self.message = rest.to_owned();
            }
            None => self.message = message.to_owned(),
        }
    }

    /// The header has it already, as a rule.
    fn note_name(&mut self, name: &str) {
        self.name.get_or_insert_with(|| name.to_owned());
    }

    /// Whether the hub asks to come again later.
    pub(crate) fn is_throttled(&self) -> bool {
        self.status == 429
    }

    /// Whether the trouble is likely to pass by itself.
    pub(crate) fn is_passing(&self) -> bool {
        self.is_throttled() || self.status >= 500
    }

    /// Whether there is such an identity already.
    pub(crate) fn says_it_exists(&self) -> bool {
        self.status == 409
    }

    /// Whether there is no such identity.
    pub(crate) fn says_it_is_missing(&self) -> bool {
        self.status == 404
    }

    /// How long to wait before the same call again.
    pub(crate) fn wait(&self) -> Duration {
        let words: Vec<&str> = self.message.split_whitespace().collect();
        let named = words.windows(3).find_map(|three| match three {
            [wait, number, unit] if wait.eq_ignore_ascii_case("wait") => {
                unit.starts_with("second").then(|| number.parse().ok()).flatten()
            }
            _ => None,
        });
        named.map_or(THROTTLED_WAIT, |seconds: u64| Duration::from_secs(seconds.min(600)))
    }

    /// The exit status of a command that ends with this.
    pub(crate) fn exit(&self) -> Exit {
        match self.status {
            401 | 403 => Exit::Forbidden,
            _ => Exit::Failed,
        }
    }

    /// What to do about it.
    fn advice(&self) -> Option<&'static str> {
        let code = self.code.unwrap_or_default();
        let known = ADVICE.iter().find(|(number, name, _)| {
            *number == code || self.name.as_deref().is_some_and(|found| found == *name)
        });
        known.map(|(_, _, advice)| *advice).or(match self.status {
            401 => Some(UNAUTHORIZED),
            404 => Some("look at the ids, upper and lower case count"),
            429 => Some("the hub is busy; try again later"),
            500.. => Some("the hub is in trouble; try again later"),
            _ => None,
        })
    }
}

const UNAUTHORIZED: &str = "either the connection string's key or policy does not allow it, or \
                            this machine's clock is wrong, or the module's device does not exist \
                            or is disabled";

const THROTTLED: &str =
    "the hub is busy: it takes 100 calls of the registry a minute and unit; try again later";

/// Number, name, and what to do.
const ADVICE: [(u64, &str, &str); 15] = [
    (400_004, "ArgumentInvalid", "look at what was asked for"),
    (400_006, "IotHubFormatError", "look at what was asked for"),
    (401_002, "IotHubUnauthorizedAccess", UNAUTHORIZED),
    (
        403_002,
        "IotHubQuotaExceeded",
        "the hub's daily quota is spent; it is renewed at midnight UTC",
    ),
    (
        403_800,
        "DeviceMaximumInflightMethodExceeded",
        "too many methods wait for this module's answer; try again later",
    ),
    (
        404_001,
        "DeviceNotFound",
        "create it: modtwinctl hub device create; upper and lower case count",
    ),
    (
        404_010,
        "ModuleNotFound",
        "create it: modtwinctl hub module create; upper and lower case count",
    ),
    (404_103, "DeviceNotOnline", "the module is not connected, or takes no methods"),
    (409_001, "DeviceAlreadyExists", "look at it: modtwinctl hub device show"),
    (409_301, "ModuleAlreadyExistsOnDevice", "look at it: modtwinctl hub module show"),
    (412_001, "PreconditionFailed", "it has changed since; read it again"),
    (413_003, "TooManyModulesOnDevice", "delete modules that are no longer used"),
    (429_001, "ThrottlingException", THROTTLED),
    (429_003, "ThrottlingBacklogTimeout", THROTTLED),
    (
        504_101,
        "GatewayTimeout",
        "the module did not answer in time; look at its handler, or give a longer --timeout",
    ),
];

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message.trim_end_matches('.');
        write!(f, "the hub refused with status {}", self.status)?;
        match (&self.name, self.code) {
            (Some(name), Some(code)) => write!(f, " ({name}, {code})")?,
            (Some(name), None) => write!(f, " ({name})")?,
            (None, Some(code)) => write!(f, " ({code})")?,
            (None, None) => {}
        }
        if !message.is_empty() {
            write!(f, ": {message}")?;
        }
        if let Some(tracking) = &self.tracking {
            write!(f, " [{}]", one_line(tracking))?;
        }
        match self.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "0f-G:0-TimeStamp:01/31/2026 10:00:00";

    fn read(status: u16, header: Option<&str>, body: &Value) -> Refusal {
        Refusal::read(status, header, body.to_string().as_bytes())
    }

    #[test]
    fn all_three_shapes_say_the_same() {
        let coded = json!({"errorCode": 404_103, "trackingId": ID, "message": "gone",
                           "info": null, "timestampUtc": "2026-01-31T10:00:00Z"});
        let exception = format!("Tracking ID:{ID}");
        let named = json!({"Message": "ErrorCode:DeviceNotOnline;gone",
                           "ExceptionMessage": exception});
        let nested = json!({"Message": coded.to_string(), "ExceptionMessage": exception});
        for (body, header) in
            [(coded, Some("DeviceNotOnline")), (named, None), (nested, Some("DeviceNotOnline"))]
        {
            let refusal = read(404, header, &body);
            assert_eq!(refusal.name.as_deref(), Some("DeviceNotOnline"));
            assert_eq!((refusal.message.as_str(), refusal.tracking.as_deref()), ("gone", Some(ID)));
            let text = refusal.to_string();
            assert!(text.starts_with("the hub refused with status 404 (DeviceNotOnline"), "{text}");
            assert!(text.ends_with("the module is not connected, or takes no methods"), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_shown_cut_and_on_one_line() {
        let refusal = Refusal::read(502, None, "<html>\n\u{1b}x".repeat(200).as_bytes());
        let text = refusal.to_string();
        assert!(!text.contains(['\n', '\u{1b}']) && text.len() < 500, "{text}");
        assert!(refusal.is_passing() && text.contains("try again later"), "{text}");
        assert_eq!(Refusal::read(418, None, b"").to_string(), "the hub refused with status 418");
    }

    #[test]
    fn a_throttled_call_says_how_long_to_wait() {
        let body = json!({"Message": "ErrorCode:ThrottlingBacklogTimeout;The request has been \
            throttled. Wait 7 seconds and try again. Operation type: x"});
        let refusal = read(429, None, &body);
        assert!(refusal.is_throttled());
        assert_eq!(refusal.wait(), Duration::from_secs(7));
        assert_eq!(Refusal::default().wait(), THROTTLED_WAIT);
    }
}
