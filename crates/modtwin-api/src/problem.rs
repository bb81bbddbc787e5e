//! Refusals and failures as `application/problem+json` (RFC 9457).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hub::words;

/// The media type of a [`Problem`].
pub const MEDIA_TYPE_PROBLEM: &str = "application/problem+json";

/// What the `type` of a problem begins with; its kind follows.
const TYPE_PREFIX: &str = "urn:modtwin:problem:";

words! {
    /// What sort of problem; programs steer by it.
    ProblemKind {
        /// Not JSON, wrong types, or a bad query: see `field`.
        InvalidRequest = "invalid_request",
        /// A module unknown to this peer, a right missing, or a request for administrators.
        Forbidden = "forbidden",
        /// No such resource.
        NotFound = "not_found",
        /// The resource does not take this method.
        MethodNotAllowed = "method_not_allowed",
        /// The method name has another owner, or a config is on trial already.
        InUse = "in_use",
        /// An acknowledgement of a version newer than the daemon has seen.
        UnknownVersion = "unknown_version",
        /// Body or headers are too large: see `limit`.
        TooLarge = "too_large",
        /// The patch breaks a rule of twins: see `pointer`, `rule` and `limit`.
        InvalidTwin = "invalid_twin",
        /// The hub refused it: see `hub_status`.
        RejectedByHub = "rejected_by_hub",
        /// The config files do not check, so that the old config stays in force: see `errors`.
        InvalidConfig = "invalid_config",
        /// Too much at a time from this peer: see `limit`. With 503: the module or the daemon is
        /// stopping.
        Overloaded = "overloaded",
        /// Nothing is known of this twin yet, and the request needs it.
        NotSynced = "not_synced",
        /// The hub did not answer in time; what was stored stays stored.
        Timeout = "timeout",
        /// The state directory can't be written; nothing was accepted.
        Storage = "storage",
        /// A defect of the daemon: its log has the `id`.
        Internal = "internal",
    }
}

impl ProblemKind {
    /// The HTTP status that goes with it; 431 goes with `too_large` too, where headers are.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::InUse | Self::UnknownVersion => 409,
            Self::TooLarge => 413,
            Self::InvalidTwin | Self::RejectedByHub | Self::InvalidConfig => 422,
            Self::Overloaded => 429,
            Self::Internal | Self::Unknown => 500,
            Self::NotSynced => 503,
            Self::Timeout => 504,
            Self::Storage => 507,
        }
    }

    /// What it is in a few words, the same for every problem of the kind.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "the request is not valid",
            Self::Forbidden => "this peer may not do that",
            Self::NotFound => "there is no such resource",
            Self::MethodNotAllowed => "the resource does not take this method",
            Self::InUse => "somebody else has it",
            Self::UnknownVersion => "the daemon has not seen that version",
            Self::TooLarge => "the request is too large",
            Self::InvalidTwin => "the patch breaks a rule of twins",
            Self::RejectedByHub => "the hub refused it",
            Self::InvalidConfig => "the config files are not valid",
            Self::Overloaded => "too much at a time",
            Self::NotSynced => "nothing is known of this twin yet",
            Self::Timeout => "no answer in time",
            Self::Storage => "the state directory can't be written",
            Self::Internal => "the daemon failed",
            Self::Unknown => "an unknown problem",
        }
    }
}

/// Why a request was not served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `urn:modtwin:problem:` and the kind.
    pub r#type: String,
    /// What it is in a few words.
    pub title: String,
    /// The HTTP status of the answer.
    pub status: u16,
    /// What happened and what to do about it; its words may change.
    pub detail: String,
    /// What sort of problem.
    pub kind: ProblemKind,
    /// The member or query parameter that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The JSON Pointer to what breaks a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The rule that it breaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The limit that it is beyond, in the rule's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// The hub's status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub_status: Option<u16>,
    /// What to look for in the daemon's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The faults of the config files, one text each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// How many seconds to wait before the next attempt: the answer's `Retry-After`, which whoever
    /// reads the answer puts here. No member of the body.
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

impl Problem {
    /// A problem of that kind, with the kind's status; `detail` says what to do about it.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            r#type: format!("{TYPE_PREFIX}{kind}"),
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: detail.into(),
            kind,
            field: None,
            pointer: None,
            rule: None,
            limit: None,
            hub_status: None,
            id: None,
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// Answers with another HTTP status than the kind's usual one.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Names the member or query parameter that is wrong.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says where a rule is broken, and which.
    #[must_use]
    pub fn with_rule(mut self, pointer: impl Into<String>, rule: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self.rule = Some(rule.into());
        self
    }

    /// Names the limit.
    #[must_use]
    pub fn with_limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Passes the hub's status on.
    #[must_use]
    pub fn with_hub_status(mut self, status: u16) -> Self {
        self.hub_status = Some(status);
        self
    }

    /// Names what to look for in the daemon's log.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Lists the faults of the config files.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<String>) -> Self {
        self.errors = errors;
        self
    }
}

impl fmt::Display for Problem {
    /// Writes the detail, or the title where there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.detail.is_empty() { &self.title } else { &self.detail })
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_written_as_they_are_listed() {
        for kind in ProblemKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn a_kind_of_a_newer_daemon_is_read_as_unknown() {
        let text = r#"{"type":"urn:modtwin:problem:new","title":"t","status":418,"detail":"d","kind":"new"}"#;
        let problem: Problem = serde_json::from_str(text).unwrap();
        assert_eq!((problem.kind, problem.status), (ProblemKind::Unknown, 418));
    }
}
