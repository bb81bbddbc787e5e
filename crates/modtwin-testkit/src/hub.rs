//! The hub of a test: the real `iothub-emulator` as a process of its own, on free ports.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use modtwin_credentials::authority::CertificateAuthority;
use serde::Deserialize;
use tempfile::TempDir;

use crate::gateway::HubAddress;
use crate::patience::{Look, until};
use crate::service::Service;

const START_LIMIT: Duration = Duration::from_secs(30);

/// What the emulator says of itself in `emulator.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Facts {
    /// The name in its certificate.
    pub hostname: String,
    /// The address that it listens at.
    pub listen: IpAddr,
    /// MQTT over TLS.
    pub mqtt_port: u16,
    /// REST and control.
    pub https_port: u16,
    /// Whom to trust, a PEM file.
    pub ca: PathBuf,
    /// For the back end.
    pub service_connection_string: String,
}

/// A running hub; killed when dropped, and nothing of it remains.
#[derive(Debug)]
pub struct Hub {
    folder: TempDir,
    program: PathBuf,
    arguments: Vec<String>,
    process: Option<Child>,
    /// What it says of itself.
    pub facts: Facts,
}

impl Hub {
    /// Starts a hub on free ports.
    ///
    /// # Errors
    ///
    /// Where it can't be started or does not serve in time.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_in(&std::env::temp_dir()).await
    }

    /// Starts a hub on free ports that keeps what it has in a new folder below `parent`.
    ///
    /// # Errors
    ///
    /// Where it can't be started or does not serve in time.
    pub async fn start_in(parent: &Path) -> anyhow::Result<Self> {
        Self::start_with(parent, &[]).await
    }

    /// Starts a hub as [`start_in`](Self::start_in) does, with more arguments, such as `--tier s1`.
    ///
    /// # Errors
    ///
    /// Where it can't be started or does not serve in time.
    pub async fn start_with(parent: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let program = program("iothub-emulator")?;
        let folder = tempfile::tempdir_in(parent).context("cannot make the hub's folder")?;
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut hub = Self { facts: placeholder(), folder, program, arguments, process: None };
        hub.process = Some(hub.spawn(0, 0)?);
        hub.facts = hub.serving().await?;
        Ok(hub)
    }

    /// A client of its service side.
    ///
    /// # Errors
    ///
    /// Where its connection string or authority can't be read.
    pub fn service(&self) -> anyhow::Result<Service> {
        let address: SocketAddr = (self.facts.listen, self.facts.https_port).into();
        Service::new(address, &self.facts.service_connection_string, &self.facts.ca)
    }

    /// What a gateway has to know of it.
    #[must_use]
    pub fn address(&self) -> HubAddress {
        HubAddress {
            hostname: self.facts.hostname.clone(),
            mqtt_port: self.facts.mqtt_port,
            ca: self.facts.ca.clone(),
        }
    }

    /// The hub's own authority, which signs module certificates that it accepts.
    ///
    /// # Errors
    ///
    /// Where its files can't be read.
    pub fn authority(&self) -> anyhow::Result<CertificateAuthority> {
        let read = |path: &Path| {
            std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))
        };
        let key = self.facts.ca.with_extension("key");
        CertificateAuthority::load(&read(&self.facts.ca)?, &read(&key)?)
            .context("cannot load the hub's authority")
    }

    /// Has the folder outlive this, for somebody to look at.
    pub fn keep(&mut self) {
        self.folder.disable_cleanup(true);
    }

    /// The emulator's process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// `kill -9`: the hub is gone for everybody, its ports refuse.
    ///
    /// # Errors
    ///
    /// Where the process can't be waited for.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill().context("cannot kill the emulator")?;
            process.wait().context("cannot wait for the emulator")?;
        }
        Ok(())
    }

    /// Starts it again on the same ports, with all it had.
    ///
    /// # Errors
    ///
    /// Where it can't be started or does not serve in time.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        let said = self.folder.path().join("emulator.json");
        std::fs::remove_file(&said).context("cannot remove emulator.json")?;
        let Facts { mqtt_port, https_port, .. } = self.facts;
        self.process = Some(self.spawn(mqtt_port, https_port)?);
        self.facts = self.serving().await?;
        Ok(())
    }

    fn spawn(&self, mqtt_port: u16, https_port: u16) -> anyhow::Result<Child> {
        let folder = self.folder.path();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("emulator.log"))
            .context("cannot open the emulator's log")?;
        Command::new(&self.program)
            .arg("--dir")
            .arg(folder)
            .args(["--mqtt-port", &mqtt_port.to_string(), "--https-port", &https_port.to_string()])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start `{}`", self.program.display()))
    }

    async fn serving(&mut self) -> anyhow::Result<Facts> {
        let said = self.folder.path().join("emulator.json");
        let process = &mut self.process;
        until("the hub emulator to serve", START_LIMIT, async || {
            if let Some(status) = process.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("the emulator ended with {status}");
            }
            // Written whole and renamed into place: what is there is complete.
            let Ok(text) = std::fs::read_to_string(&said) else {
                return Ok(Look::NotYet("no emulator.json".to_owned()));
            };
            serde_json::from_str(&text).map(Look::Found).context("cannot read emulator.json")
        })
        .await
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.kill();
    }
}

/// A program of this workspace, built in the same profile as the one that asks.
///
/// # Errors
///
/// Where it has not been built.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this program")?;
    let folder = own.parent().context("this program is in no folder")?;
    // Tests are one folder below the programs.
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let program = folder.join(name);
    if !program.exists() {
        bail!("`{}` is not built; run `cargo build --workspace` first", program.display());
    }
    Ok(program)
}

fn placeholder() -> Facts {
    Facts {
        hostname: String::new(),
        listen: IpAddr::from([127, 0, 0, 1]),
        mqtt_port: 0,
        https_port: 0,
        ca: PathBuf::new(),
        service_connection_string: String::new(),
    }
}
