//! How a module stands with its hub, in the words of the local API.

use alloc::string::String;
use core::fmt;

/// Where the session of a module is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HubState {
    /// The twin is in step with the hub.
    Connected,
    /// An attempt is under way.
    Connecting,
    /// Waiting for the next attempt.
    Disconnected,
    /// Nothing to attempt before somebody mends the config or the credential.
    Disabled,
}

/// Why it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// All is well.
    Ok,
    /// No route, no name, no answer, or the link broke.
    Network,
    /// The hub's certificate was not accepted, or the handshake failed.
    Tls,
    /// The local clock can't be right.
    Clock,
    /// The hub refused the credential.
    BadCredential,
    /// The credential is past its end.
    ExpiredCredential,
    /// The hub disabled this identity.
    IdentityDisabled,
    /// Somebody else seems to use this identity.
    IdentityConflict,
    /// The hub asked to slow down.
    Throttled,
    /// The hub's daily quota is used up.
    Quota,
    /// The hub answered with an error of its own.
    HubError,
    /// The config or the files it names are wrong.
    Config,
    /// The daemon has just begun.
    Starting,
    /// The daemon is ending.
    Stopping,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Network => "network",
            Self::Tls => "tls",
            Self::Clock => "clock",
            Self::BadCredential => "bad_credential",
            Self::ExpiredCredential => "expired_credential",
            Self::IdentityDisabled => "identity_disabled",
            Self::IdentityConflict => "identity_conflict",
            Self::Throttled => "throttled",
            Self::Quota => "quota",
            Self::HubError => "hub_error",
            Self::Config => "config",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
        })
    }
}

/// Why an attempt or a link ended: a reason for machines, a text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The class, which steers what happens next.
    pub reason: Reason,
    /// What happened, on what, and what to do about it.
    pub detail: String,
}

impl Fault {
    /// A fault of that reason.
    #[must_use]
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}
