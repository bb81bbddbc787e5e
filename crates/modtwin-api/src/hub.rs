//! How a module stands with its hub.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

macro_rules! words {
    (
        $(#[$about:meta])*
        $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$doc])* $variant,)*
            /// A word of a newer daemon that this program does not know.
            #[serde(other)]
            Unknown,
        }

        impl $name {
            /// Every word of the contract, in its order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word as the API writes it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Unknown => "unknown",
                }
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            /// The words of the contract; `unknown` is never said, only read.
            fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let words: Vec<_> = Self::ALL.iter().map(|word| word.as_str()).collect();
                schemars::json_schema!({ "type": "string", "enum": words })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Where the session of a module is.
    HubState {
        /// The twin is in step with the hub.
        Connected = "connected",
        /// An attempt is under way.
        Connecting = "connecting",
        /// Waiting for the next attempt.
        Disconnected = "disconnected",
        /// Nothing to attempt before somebody mends the config or the credential.
        Disabled = "disabled",
    }
}

words! {
    /// Why it is there.
    HubReason {
        /// All is well.
        Ok = "ok",
        /// No route, no name, no answer, or the link broke.
        Network = "network",
        /// The hub's certificate was not accepted, or the handshake failed.
        Tls = "tls",
        /// The local clock can't be right.
        Clock = "clock",
        /// The hub refused the credential.
        BadCredential = "bad_credential",
        /// The credential is past its end.
        ExpiredCredential = "expired_credential",
        /// The hub disabled this identity.
        IdentityDisabled = "identity_disabled",
        /// Likely somebody else uses this identity.
        IdentityConflict = "identity_conflict",
        /// The hub asked to slow down.
        Throttled = "throttled",
        /// The hub's daily quota is used up.
        Quota = "quota",
        /// The hub answered with an error of its own.
        HubError = "hub_error",
        /// The config or the files it names are wrong.
        Config = "config",
        /// The daemon has just begun.
        Starting = "starting",
        /// The daemon is ending.
        Stopping = "stopping",
    }
}

/// State, reason and since when: the object that the contract calls HUB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HubStatus {
    /// Where the session is.
    pub state: HubState,
    /// Why.
    pub reason: HubReason,
    /// When state or reason last changed.
    pub since: Timestamp,
    /// When the next attempt is due, where one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<Timestamp>,
    /// More about the reason, for people; its words may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_written_as_they_are_listed() {
        for state in HubState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for reason in HubReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }

    #[test]
    fn a_word_of_a_newer_daemon_is_read_as_unknown() {
        assert_eq!(serde_json::from_str::<HubState>("\"asleep\"").unwrap(), HubState::Unknown);
        assert_eq!(serde_json::from_str::<HubReason>("\"moon\"").unwrap(), HubReason::Unknown);
    }

    #[test]
    fn words_keep_to_a_width() {
        assert_eq!(format!("{:<10}|", HubState::Disabled), "disabled  |");
    }
}
