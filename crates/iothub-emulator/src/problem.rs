//! The service's errors: status, code, name and text, and the bodies they travel in on either side.

use serde_json::{Value, json};

use crate::clock::Moment;

/// Names one error of the service ("Understand and resolve IoT Hub errors").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) status: u16,
    pub(crate) number: u32,
    pub(crate) name: &'static str,
}

macro_rules! codes {
    ($($constant:ident $status:literal $number:literal $name:literal;)*) => {
        $(pub(crate) const $constant: Code = Code { status: $status, number: $number, name: $name };)*
    };
}

codes! {
    ARGUMENT_INVALID 400 400_004 "ArgumentInvalid";
    FORMAT_ERROR 400 400_006 "IotHubFormatError";
    FORCEFULLY_CLOSED 400 400_027 "ConnectionForcefullyClosedOnNewConnection";
    UNAUTHORIZED_ACCESS 401 401_002 "IotHubUnauthorizedAccess";
    QUOTA_EXCEEDED 403 403_002 "IotHubQuotaExceeded";
    METHODS_IN_FLIGHT 403 403_800 "DeviceMaximumInflightMethodExceeded";
    NOT_FOUND 404 404_000 "NotFound";
    DEVICE_NOT_FOUND 404 404_001 "DeviceNotFound";
    MODULE_NOT_FOUND 404 404_010 "ModuleNotFound";
    DEVICE_NOT_ONLINE 404 404_103 "DeviceNotOnline";
    METHOD_NOT_ALLOWED 405 405_000 "MethodNotAllowed";
    DEVICE_EXISTS 409 409_001 "DeviceAlreadyExists";
    MODULE_EXISTS 409 409_301 "ModuleAlreadyExistsOnDevice";
    PRECONDITION_FAILED 412 412_001 "PreconditionFailed";
    TOO_LARGE 413 413_001 "MessageTooLarge";
    TOO_MANY_MODULES 413 413_003 "TooManyModulesOnDevice";
    THROTTLING 429 429_001 "ThrottlingException";
    THROTTLING_TIMEOUT 429 429_003 "ThrottlingBacklogTimeout";
    SERVER_ERROR 500 500_001 "ServerError";
    SERVICE_UNAVAILABLE 503 503_001 "ServiceUnavailable";
    GATEWAY_TIMEOUT 504 504_101 "GatewayTimeout";
}

/// Holds an answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Finds the code that goes with a 5xx status asked for by a fault.
    pub(crate) fn server(status: u16) -> Self {
        let code = match status {
            503 => SERVICE_UNAVAILABLE,
            504 => GATEWAY_TIMEOUT,
            _ => Code { status, ..SERVER_ERROR },
        };
        Self::new(code, "Please retry this request.")
    }

    /// Builds the body with `errorCode` (REST body B, and twin answers over MQTT).
    pub(crate) fn coded_body(&self, now: Moment) -> Value {
        json!({
            "errorCode": self.code.number,
            "trackingId": tracking_id(now),
            "message": self.message,
            "timestampUtc": now.rfc3339(),
        })
    }

    /// Builds the body with `Message` and `ExceptionMessage` (REST body A).
    pub(crate) fn named_body(&self, now: Moment) -> Value {
        json!({
            "Message": format!("ErrorCode:{};{}", self.code.name, self.message),
            "ExceptionMessage": format!("Tracking ID:{}", tracking_id(now)),
        })
    }

    /// Builds a body A whose `Message` is body B as a text (REST body C).
    pub(crate) fn nested_body(&self, now: Moment) -> Value {
        let mut inner = self.coded_body(now);
        if let Some(fields) = inner.as_object_mut() {
            fields.insert("info".to_owned(), Value::Null);
        }
        json!({
            "Message": inner.to_string(),
            "ExceptionMessage": format!("Tracking ID:{}", tracking_id(now)),
        })
    }
}

/// Makes an id of 32 hex digits and a time, as the service writes it.
pub(crate) fn tracking_id(now: Moment) -> String {
    format!("{}-G:0-TimeStamp:{}", crate::random::hex(16), now.tracking())
}
