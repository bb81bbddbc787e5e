//! Which hub is judged: an emulator started for each case, or a real hub named in the environment.

use std::net::{SocketAddr, ToSocketAddrs as _};

use anyhow::{Context as _, bail};
use modtwin_testkit::dialer::Trust;

/// Names the real hub: a service connection string.
const VARIABLE: &str = "MODTWIN_HUB_CONNECTION_STRING";

/// The hub to judge.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// An emulator, started anew for each case.
    Emulator,
    /// A hub that is there.
    Real(Place),
}

/// Where a hub is and how its service side is used.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Its name.
    pub(crate) host: String,
    /// MQTT over TLS.
    pub(crate) mqtt: SocketAddr,
    /// REST and WebSockets.
    pub(crate) https: SocketAddr,
    /// Whom to trust.
    pub(crate) trust: Trust,
    /// The policy to use.
    pub(crate) policy: String,
    /// That policy's key.
    pub(crate) key: String,
}

impl Target {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// Where it names a hub that can't be found.
    pub(crate) fn from_environment() -> anyhow::Result<Self> {
        let Ok(text) = std::env::var(VARIABLE) else { return Ok(Self::Emulator) };
        let [host, policy, key] = connection_string(&text)
            .with_context(|| format!("cannot read the environment variable {VARIABLE}"))?;
        let address = |port: u16| {
            (host.as_str(), port)
                .to_socket_addrs()
                .ok()
                .and_then(|mut addresses| addresses.next())
                .with_context(|| format!("cannot resolve `{host}`"))
        };
        let (mqtt, https) = (address(8883)?, address(443)?);
        Ok(Self::Real(Place { mqtt, https, trust: Trust::System, host, policy, key }))
    }

    /// Says whether the hub is a real one.
    pub(crate) fn is_real(&self) -> bool {
        matches!(self, Self::Real(_))
    }
}

/// Takes host, policy and key out of a service connection string: pairs between `;`, each split at
/// its first `=`.
pub(crate) fn connection_string(text: &str) -> anyhow::Result<[String; 3]> {
    let member = |wanted: &str| {
        let mut pairs = text.split(';').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned())
    };
    match (member("HostName"), member("SharedAccessKeyName"), member("SharedAccessKey")) {
        (Some(host), Some(policy), Some(key)) => Ok([host, policy, key]),
        _ => bail!("expected HostName=…;SharedAccessKeyName=…;SharedAccessKey=…"),
    }
}
