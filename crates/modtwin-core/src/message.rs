//! What a hub says and what is said to it, typed; topics and bytes are `modtwin-wire`'s.

use alloc::string::String;
use core::fmt;

use crate::document::Document;
use crate::status::Reason;
use crate::twin::Section;

/// The number that ties an answer to its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What is asked of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The whole twin.
    GetTwin,
    /// A merge patch of the reported section.
    Report(Document),
}

/// What the hub says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubMessage {
    /// The back end patched the desired section.
    DesiredPatch {
        /// The section's version after this patch.
        version: u64,
        /// The merge patch.
        patch: Document,
    },
    /// The answer to a request.
    Answer {
        /// Which request.
        request: RequestId,
        /// What the hub said.
        answer: Answer,
    },
}

impl HubMessage {
    /// Why all modules of the gateway have to slow down; none where this is no such refusal.
    #[must_use]
    pub fn slows_all(&self) -> Option<Reason> {
        let Self::Answer { answer: Answer::Refused(refusal), .. } = self else {
            return None;
        };
        match refusal.class() {
            RefusalClass::Throttled => Some(Reason::Throttled),
            RefusalClass::Quota => Some(Reason::Quota),
            RefusalClass::Content | RefusalClass::Identity | RefusalClass::Hub => None,
        }
    }
}

/// The hub's answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The whole twin.
    Twin {
        /// The desired section.
        desired: Section,
        /// The reported section.
        reported: Section,
    },
    /// The report was taken.
    Accepted {
        /// The version of the reported section after it.
        version: u64,
    },
    /// The request was refused.
    Refused(Refusal),
}

/// Why the hub refused a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its status, as in HTTP.
    pub status: u16,
    /// Its own words.
    pub message: String,
}

/// What a refusal means for what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalClass {
    /// The content is at fault: the same bytes will be refused again.
    Content,
    /// Too much at once: wait, then send again.
    Throttled,
    /// The daily quota is used up: wait long, then send again.
    Quota,
    /// The identity may not: the session has to be built anew.
    Identity,
    /// The hub failed: send again later.
    Hub,
}

impl Refusal {
    /// Sorts the refusal by status (fact sheet: error answers on `$iothub/twin/res`).
    #[must_use]
    pub fn class(&self) -> RefusalClass {
        match self.status {
            429 => RefusalClass::Throttled,
            // 403002 IotHubQuotaExceeded is the one 403 that time mends. Its text may have the name
            // or say that the number of messages "exceeded the allocated quota".
            403 if self.message.to_ascii_lowercase().contains("quota") => RefusalClass::Quota,
            401 | 403 | 404 => RefusalClass::Identity,
            408 => RefusalClass::Hub,
            400..=499 => RefusalClass::Content,
            _ => RefusalClass::Hub,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn a_spent_quota_is_told_from_an_identity_that_may_not() {
        for (message, class) in [
            ("IotHubQuotaExceeded", RefusalClass::Quota),
            ("Total number of messages on IotHub exceeded the quota.", RefusalClass::Quota),
            ("Unauthorized", RefusalClass::Identity),
        ] {
            let refusal = Refusal { status: 403, message: message.to_string() };
            assert_eq!(refusal.class(), class, "{message}");
        }
    }
}
