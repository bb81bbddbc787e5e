//! A gateway: a folder with config, certificates and state, and the daemon as a real process.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use modtwin_api::{HubState, ModuleStatus, Status};
use modtwin_client::Client;
use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_credentials::authority::CertificateAuthority;
use modtwin_credentials::request::{KeyKind, csr, generate_key, write_private};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::patience::{LONG, Look, until};

/// The device that the gateway is.
pub const DEVICE: &str = "gateway01";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The hub as a gateway has to know it.
#[derive(Debug, Clone)]
pub struct HubAddress {
    /// The name in its certificate.
    pub hostname: String,
    /// The port of MQTT over TLS.
    pub mqtt_port: u16,
    /// Whom to trust, a PEM file.
    pub ca: PathBuf,
}

/// A gateway's folder; nothing of it remains once dropped, unless it is kept.
#[derive(Debug)]
pub struct Gateway {
    folder: TempDir,
    hub: HubAddress,
    config: PathBuf,
    /// Lines of `[hub]` besides the address, such as `retry-delay = "20ms"`.
    pub hub_options: String,
    modules: Vec<(String, String)>,
}

impl Gateway {
    /// An empty gateway of that hub.
    ///
    /// # Errors
    ///
    /// Where no folder can be made.
    pub fn new(hub: HubAddress) -> anyhow::Result<Self> {
        Self::new_in(&std::env::temp_dir(), hub)
    }

    /// The same, in a new folder below `parent`.
    ///
    /// # Errors
    ///
    /// Where no folder can be made.
    pub fn new_in(parent: &Path, hub: HubAddress) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(parent).context("cannot make the gateway's folder")?;
        std::fs::create_dir(folder.path().join("log")).context("cannot make the log's folder")?;
        let hub_options = "retry-delay = \"20ms\"\n".to_owned();
        let config = folder.path().join("modtwind.toml");
        Ok(Self { folder, hub, config, hub_options, modules: Vec::new() })
    }

    /// Has the folder outlive this, for somebody to look at.
    pub fn keep(&mut self) {
        self.folder.disable_cleanup(true);
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The daemon's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder().join("modtwin.sock")
    }

    /// The config file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.config.clone()
    }

    /// Has the config file somewhere else from now on.
    pub fn place_config(&mut self, file: PathBuf) {
        self.config = file;
    }

    /// The daemon's log, in a folder of its own: the config's is watched for changes.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder().join("log/modtwind.log")
    }

    /// A client of the daemon.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.socket())
    }

    /// Reaches the hub at another port from now on.
    pub fn dial(&mut self, port: u16) {
        self.hub.mqtt_port = port;
    }

    /// Adds a module with those lines in its TOML table, credentials and handlers among them.
    pub fn add_module(&mut self, module: &str, lines: &str) {
        self.modules.push((module.to_owned(), lines.to_owned()));
    }

    /// Takes a module out again.
    pub fn remove_module(&mut self, module: &str) {
        self.modules.retain(|(id, _)| id != module);
    }

    /// Makes a key and a certificate for `module`, signed by `authority`, beside the config.
    ///
    /// # Errors
    ///
    /// Where a key can't be made, signed or written.
    pub fn certify(
        &self,
        module: &str,
        authority: &CertificateAuthority,
        kind: KeyKind,
        validity: Validity,
    ) -> anyhow::Result<String> {
        let device_id = DeviceId::new(DEVICE)?;
        let module_id = ModuleId::new(module)?;
        let key = generate_key(kind).context("cannot make a key")?;
        let request = csr(&key, &device_id, &module_id).context("cannot make a request")?;
        let certificate = authority
            .sign_csr(request.as_bytes(), validity.range())
            .context("cannot sign the request")?;
        let path = |ending: &str| self.folder().join(format!("{module}.{ending}"));
        std::fs::write(path("pem"), &certificate).context("cannot write the certificate")?;
        write_private(&path("key"), &key.to_pem()?, true).context("cannot write the key")?;
        Ok(certificate)
    }

    /// The TOML lines that name the certificate made by [`Gateway::certify`].
    #[must_use]
    pub fn certificate_lines(module: &str) -> String {
        format!("certificate = \"{module}.pem\"\nprivate-key = \"{module}.key\"\n")
    }

    /// The config's text.
    #[must_use]
    pub fn config_text(&self) -> String {
        let folder = self.folder().display();
        let HubAddress { hostname, mqtt_port, ca } = &self.hub;
        let mut text = format!(
            "[hub]\nhostname = \"{hostname}\"\ndevice-id = \"{DEVICE}\"\nport = {mqtt_port}\n\
             trusted-ca = \"{}\"\n{}\n[socket]\npath = \"{folder}/modtwin.sock\"\n\n\
             [state]\ndirectory = \"{folder}/state\"\n",
            ca.display(),
            self.hub_options,
        );
        for (module, lines) in &self.modules {
            // Writing to a string can't fail.
            let _infallible = write!(text, "\n[[module]]\nid = \"{module}\"\n{lines}");
        }
        text
    }

    /// Writes the config, whole and renamed into place.
    ///
    /// # Errors
    ///
    /// Where it can't be written.
    pub fn write_config(&self) -> anyhow::Result<()> {
        let new = self.config().with_extension("toml.new");
        std::fs::write(&new, self.config_text()).context("cannot write the config")?;
        std::fs::rename(new, self.config()).context("cannot replace the config")
    }

    /// Writes the config and starts `program` as the daemon; returns once its socket answers.
    ///
    /// # Errors
    ///
    /// Where it can't be started, ends, or does not answer in time.
    pub async fn start(&self, program: &Path) -> anyhow::Result<Daemon> {
        self.write_config()?;
        self.start_as_is(program).await
    }

    /// Starts `program` as the daemon with the config that is there; returns once its socket answers.
    ///
    /// # Errors
    ///
    /// Where it can't be started, ends, or does not answer in time.
    pub async fn start_as_is(&self, program: &Path) -> anyhow::Result<Daemon> {
        let mut daemon = self.spawn(program, &[])?;
        let client = self.client();
        until("modtwind's socket to answer", LONG, async || {
            if let Some(status) = daemon.child.try_wait()? {
                bail!("modtwind ended with {status}: {}", self.log_text());
            }
            Ok(match client.health().await {
                Ok(_health) => Look::Found(()),
                Err(error) => Look::NotYet(error.to_string()),
            })
        })
        .await?;
        Ok(daemon)
    }

    /// Starts `program` as the daemon, with more environment, and waits for nothing.
    ///
    /// # Errors
    ///
    /// Where it can't be started.
    pub fn spawn(&self, program: &Path, environment: &[(&str, &str)]) -> anyhow::Result<Daemon> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .context("cannot open the log")?;
        let child = Command::new(program)
            .arg("--config")
            .arg(self.config())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start `{}`", program.display()))?;
        Ok(Daemon { child })
    }

    /// What the daemon logged so far.
    #[must_use]
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// The end of what the daemon logged so far.
    #[must_use]
    pub fn log_end(&self) -> String {
        tail(&self.log_text()).to_owned()
    }

    /// Waits until `condition` holds of the daemon's status.
    ///
    /// # Errors
    ///
    /// Where it does not in time; the text has the status and the log's end.
    pub async fn wait_for(
        &self,
        awaited: &str,
        condition: impl Fn(&Status) -> bool,
    ) -> anyhow::Result<Status> {
        let client = self.client();
        let waited = until(awaited, LONG, async || {
            Ok(match client.status().await {
                Ok(status) if condition(&status) => Look::Found(status),
                Ok(status) => Look::NotYet(summary(&status)),
                Err(error) => Look::NotYet(error.to_string()),
            })
        });
        waited.await.with_context(|| format!("log: {}", tail(&self.log_text())))
    }

    /// Waits until that many modules are connected.
    ///
    /// # Errors
    ///
    /// Where they are not in time.
    pub async fn wait_connected(&self, count: usize) -> anyhow::Result<Status> {
        let connected = |module: &&ModuleStatus| module.hub.state == HubState::Connected;
        self.wait_for(&format!("{count} connected modules"), |status| {
            status.modules.iter().filter(connected).count() == count
        })
        .await
    }
}

/// How a certificate stands in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// From yesterday for a year.
    Good,
    /// Ended yesterday.
    Expired,
    /// Begins tomorrow.
    NotYet,
}

impl Validity {
    fn range(self) -> std::ops::Range<SystemTime> {
        let now = SystemTime::now();
        match self {
            Self::Good => now - DAY..now + 365 * DAY,
            Self::Expired => now - 30 * DAY..now - DAY,
            Self::NotYet => now + DAY..now + 30 * DAY,
        }
    }
}

/// A running daemon; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
}

impl Daemon {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    ///
    /// # Errors
    ///
    /// Where the process can't be waited for.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().context("cannot kill modtwind")?;
        self.child.wait().context("cannot wait for modtwind").map(|_status| ())
    }

    /// Sends a signal.
    ///
    /// # Errors
    ///
    /// Where the process is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).context("a process id out of range")?;
        kill(Pid::from_raw(pid), signal).context("cannot signal modtwind")
    }

    /// Waits for the process to end by itself; returns its exit code.
    ///
    /// # Errors
    ///
    /// Where it does not end in time.
    pub async fn wait(&mut self, limit: Duration) -> anyhow::Result<Option<i32>> {
        until("modtwind to end", limit, async || {
            Ok(match self.child.try_wait()? {
                Some(status) => Look::Found(status.code()),
                None => Look::NotYet("it runs".to_owned()),
            })
        })
        .await
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn summary(status: &Status) -> String {
    let one = |module: &ModuleStatus| {
        format!("{} {} ({})", module.module, module.hub.state, module.hub.reason)
    };
    status.modules.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn tail(text: &str) -> &str {
    const END: usize = 4000;
    let start = text.len().saturating_sub(END);
    text.get(start..).unwrap_or(text)
}
