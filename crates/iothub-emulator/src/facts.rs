//! What a running emulator offers, as `emulator.json` says it: written when it serves, read by whoever wants to call it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::sas;

/// Says why it is unknown what an emulator offers.
#[derive(Debug, Error)]
pub enum FactsError {
    /// There is no such file, so no emulator serves there.
    #[error("no emulator runs in `{0}`: start one with `iothub-emulator --dir {0}`")]
    NotRunning(PathBuf),
    /// The file can't be read.
    #[error("cannot read `{0}`")]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// The file is none of an emulator's.
    #[error("`{0}` is damaged")]
    Damaged(PathBuf, #[source] serde_json::Error),
}

/// Holds what `emulator.json` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// The hub's name.
    pub hostname: String,
    /// The address it listens on.
    pub listen: IpAddr,
    /// The port of MQTT over TLS.
    pub mqtt_port: u16,
    /// The port of HTTPS.
    pub https_port: u16,
    /// The CA certificate that clients trust, PEM.
    pub ca: PathBuf,
    /// The connection string of the policy `iothubowner`, a secret. Its `HostName` carries no port, as SDKs put it into
    /// user names and tokens; the port is `https_port`.
    pub service_connection_string: String,
}

impl Facts {
    /// Reads what the emulator that serves in a folder offers.
    ///
    /// # Errors
    /// When none serves there, or its file can't be read: it is its owner's alone.
    pub fn read(folder: &Path) -> Result<Self, FactsError> {
        let path = folder.join(FACTS);
        let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => FactsError::NotRunning(folder.to_owned()),
            _ => FactsError::Unreadable(path.clone(), error),
        })?;
        serde_json::from_slice(&bytes).map_err(|error| FactsError::Damaged(path, error))
    }

    /// Makes a token of the service's policy, good until `expiry` (Unix seconds); `None` if the connection string has
    /// no key.
    #[must_use]
    pub fn service_token(&self, expiry: u64) -> Option<String> {
        let part = |name: &str| {
            let parts = self.service_connection_string.split(';');
            parts.filter_map(|part| part.split_once('=')).find(|(found, _)| *found == name)
        };
        let (_, key) = part("SharedAccessKey")?;
        let (_, policy) = part("SharedAccessKeyName")?;
        sas::sign(&self.hostname, key, expiry, policy)
    }
}

/// The file's name in the emulator's folder.
pub(crate) const FACTS: &str = "emulator.json";
