//! Which checks there are, in the order of causes: what is further up can be why something further
//! down fails.
//!
//! Owns the ids, which are permanent, and which check is of no use after which. Leaves making them
//! to its neighbours.

use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};

/// A check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Check {
    Config,
    ConfigAccounts,
    Clock,
    TrustedCa,
    CredentialFiles,
    CredentialRights,
    CredentialContent,
    CredentialPair,
    CredentialName,
    CredentialTime,
    CredentialChain,
    StateDirectory,
    StateSpace,
    Socket,
    DaemonVersion,
    DaemonConfig,
    DaemonStorage,
    HubName,
    HubTcp,
    HubTls,
    HubIdentity,
}

/// A row of the catalogue: the check, its id, what it looks at, and what has to be well before it
/// means anything.
struct Row(Check, &'static str, &'static str, &'static [Check]);

const ROWS: [Row; 21] = [
    Row(
        Check::Config,
        "config",
        "the config files can be read, and every key and value is taken",
        &[],
    ),
    Row(
        Check::ConfigAccounts,
        "config-accounts",
        "users and groups that the config names exist on this machine",
        &[Check::Config],
    ),
    Row(
        Check::Clock,
        "clock",
        "the clock is not before the day this program was made, nor before a time at which the hub was reached",
        &[],
    ),
    Row(
        Check::TrustedCa,
        "trusted-ca",
        "the file with the authorities to trust has some",
        &[Check::Config],
    ),
    Row(
        Check::CredentialFiles,
        "credential-files",
        "the files of the module's credential exist",
        &[Check::Config],
    ),
    Row(
        Check::CredentialRights,
        "credential-rights",
        "the daemon's user may read them, and not every user may",
        &[Check::CredentialFiles],
    ),
    Row(
        Check::CredentialContent,
        "credential-content",
        "they hold what they should: certificate, key, password, connection string",
        &[Check::CredentialFiles],
    ),
    Row(
        Check::CredentialPair,
        "credential-pair",
        "the private key belongs to the certificate",
        &[Check::CredentialContent],
    ),
    Row(
        Check::CredentialName,
        "credential-name",
        "the certificate is for this device and module",
        &[Check::CredentialPair],
    ),
    Row(
        Check::CredentialTime,
        "credential-time",
        "the certificate is in its time, and that does not end within 30 days",
        &[Check::Clock, Check::CredentialName],
    ),
    Row(
        Check::CredentialChain,
        "credential-chain",
        "each certificate of the file has signed the one before it",
        &[Check::CredentialTime],
    ),
    Row(
        Check::StateDirectory,
        "state-directory",
        "the daemon's user may read and write the state directory and what is in it",
        &[Check::Config],
    ),
    Row(
        Check::StateSpace,
        "state-space",
        "the state directory has room: 16 MiB, or else a warning",
        &[Check::StateDirectory],
    ),
    Row(
        Check::Socket,
        "socket",
        "the daemon answers, and this user may ask it for its status",
        &[],
    ),
    Row(
        Check::DaemonVersion,
        "daemon-version",
        "daemon and modtwinctl are of one version",
        &[Check::Socket],
    ),
    Row(
        Check::DaemonConfig,
        "daemon-config",
        "the daemon runs with this config",
        &[Check::Config, Check::Socket],
    ),
    Row(
        Check::DaemonStorage,
        "daemon-storage",
        "the daemon could write its state the last time it had to",
        &[Check::StateDirectory, Check::StateSpace, Check::Socket],
    ),
    Row(Check::HubName, "hub-name", "the hub's name leads to an address", &[Check::Config]),
    Row(
        Check::HubTcp,
        "hub-tcp",
        "something takes connections at the hub's port",
        &[Check::HubName],
    ),
    Row(
        Check::HubTls,
        "hub-tls",
        "TLS works: the server is vouched for by a trusted authority, and it is the hub",
        &[Check::Clock, Check::TrustedCa, Check::HubTcp],
    ),
    Row(
        Check::HubIdentity,
        "hub-identity",
        "the hub takes the module's identity; where a daemon runs, it is asked, because a second \
         connection of an identity ends the first",
        &[Check::CredentialRights, Check::CredentialTime, Check::HubTls],
    ),
];

impl Check {
    fn row(self) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.0 == self)
    }

    /// The id, for people and programs.
    pub(crate) fn id(self) -> &'static str {
        self.row().map_or("", |row| row.1)
    }

    /// What has to be well before this check means anything.
    pub(crate) fn needs(self) -> &'static [Self] {
        self.row().map_or(&[], |row| row.3)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// The list of all checks, for the help.
pub(crate) fn catalogue() -> String {
    let mut text =
        "Each check is ok, a warning, failed, or skipped with the reason; what depends on \
                    a check that failed is skipped. The first line names what to mend first. Exit \
                    status: 0 nothing failed, 1 something did, 78 the config does not check.\n\n\
                    Checks, in the order of causes:"
            .to_owned();
    for Row(_, id, about, _) in &ROWS {
        // Writing to a string can't fail.
        let _infallible = write!(text, "\n  {id}: {about}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_come_before_what_they_cause_and_ids_are_kebab_case() {
        for (place, Row(check, id, ..)) in ROWS.iter().enumerate() {
            assert_eq!(*check as usize, place, "{id}");
            assert!(id.chars().all(|char| char.is_ascii_lowercase() || char == '-'), "{id}");
            assert!(check.needs().iter().all(|need| need < check), "{id}");
        }
    }
}
