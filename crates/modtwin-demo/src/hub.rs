//! The hub of the story: the real `iothub-emulator`, started on free ports, and what it says of
//! itself in `emulator.json`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use tokio::process::Command;

use crate::cast::Cast;
use crate::patience::{Look, until};

const START_LIMIT: Duration = Duration::from_secs(15);

/// Where the hub is, and how to speak to its service side. The names are those of `emulator.json`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Hub {
    /// The name in its certificate.
    pub(crate) hostname: String,
    /// The address that it listens at.
    pub(crate) listen: IpAddr,
    /// MQTT over TLS.
    pub(crate) mqtt_port: u16,
    /// REST and control.
    pub(crate) https_port: u16,
    /// Whom to trust, a PEM file.
    pub(crate) ca: PathBuf,
    /// For the back-end.
    pub(crate) service_connection_string: String,
}

impl Hub {
    /// Starts `program` with `folder` for all it keeps, and waits until it serves.
    ///
    /// # Errors
    /// It can't be started, ends, or does not serve in time.
    pub(crate) async fn start(
        cast: &mut Cast,
        program: &Path,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command
            .arg("--dir")
            .arg(folder)
            .args(["--mqtt-port", "0", "--https-port", "0"]);
        cast.start("iothub-emulator", command)?;
        let said = folder.join("emulator.json");
        until("the hub emulator to serve", START_LIMIT, async || {
            cast.all_alive()?;
            // Written whole and renamed into place: what is there is complete.
            let Ok(text) = std::fs::read_to_string(&said) else {
                return Ok(Look::NotYet("no emulator.json".to_owned()));
            };
            serde_json::from_str(&text)
                .map(Look::Found)
                .context("cannot read emulator.json")
        })
        .await
    }

    /// Where MQTT is spoken.
    pub(crate) fn mqtt_address(&self) -> SocketAddr {
        (self.listen, self.mqtt_port).into()
    }

    /// Where REST is spoken.
    pub(crate) fn https_address(&self) -> SocketAddr {
        (self.listen, self.https_port).into()
    }
}
