//! What the stories share: the command line against the stage's hub, pairs of every kind, and a
//! cable that can be laid between any two addresses.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use modtwin_api::{HubReason, HubState, ModuleStatus, Status};
use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_credentials::authority::{CertificateAuthority, self_signed};
use modtwin_credentials::describe;
use modtwin_credentials::request::{KeyKind, PrivateKey, csr, generate_key, write_private};
use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::hub::program;
use modtwin_testkit::stage::Stage;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// So many days from now.
pub(crate) fn in_days(days: u32) -> SystemTime {
    SystemTime::now() + days * DAY
}

/// Runs `modtwinctl hub` against the stage's hub, in the gateway's folder.
pub(crate) fn hub(stage: &Stage, arguments: &[&str]) -> anyhow::Result<String> {
    let emulator = stage.hub.facts.ca.parent().context("an authority without a folder")?;
    let mut command = Command::new(program("modtwinctl")?);
    command.args(["--json", "hub", "--emulator"]).arg(emulator).args(arguments);
    run(command.current_dir(stage.gateway.folder()))
}

/// Runs a program that must succeed; returns what it printed.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    let ran = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !ran.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&ran.stderr));
    }
    String::from_utf8(ran.stdout).context("no UTF-8")
}

/// A module's certificate and key.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: PrivateKey,
}

impl Pair {
    /// Signed by `authority`, valid from a month ago to `end`.
    pub(crate) fn signed(
        module: &str,
        authority: &CertificateAuthority,
        kind: KeyKind,
        end: SystemTime,
    ) -> anyhow::Result<Self> {
        let (device, module) = (DeviceId::new(DEVICE)?, ModuleId::new(module)?);
        let key = generate_key(kind)?;
        let request = csr(&key, &device, &module)?;
        let begin = SystemTime::now() - 30 * DAY;
        let certificate = authority.sign_csr(request.as_bytes(), begin..end)?;
        Ok(Self { certificate, key })
    }

    /// Signed by itself.
    pub(crate) fn self_signed(module: &str) -> anyhow::Result<Self> {
        let (device, module) = (DeviceId::new(DEVICE)?, ModuleId::new(module)?);
        let key = generate_key(KeyKind::EcP256)?;
        let now = SystemTime::now();
        let certificate = self_signed(&key, &device, &module, now - DAY..now + 90 * DAY)?;
        Ok(Self { certificate, key })
    }

    /// Its thumbprint as the registry takes it.
    pub(crate) fn thumbprint(&self) -> anyhow::Result<String> {
        let described = describe(self.certificate.as_bytes())?;
        Ok(described[0].thumbprint_sha256.clone())
    }

    /// Puts it into the files of `module`, renamed into place: first the key, then the certificate.
    pub(crate) fn install(&self, stage: &Stage, module: &str) -> anyhow::Result<()> {
        let path = |ending: &str| stage.gateway.folder().join(format!("{module}.{ending}"));
        write_private(&path("key"), &self.key.to_pem()?, true)?;
        replace(&path("pem"), &self.certificate)
    }
}

/// Writes a file beside and renames it into place.
pub(crate) fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)?;
    Ok(())
}

/// The module of that name in a status.
pub(crate) fn of<'a>(status: &'a Status, module: &str) -> &'a ModuleStatus {
    status.modules.iter().find(|found| found.module == module).unwrap()
}

/// Whether a module is connected.
pub(crate) fn is_connected(status: &Status, module: &str) -> bool {
    of(status, module).hub.state == HubState::Connected
}

/// Whether a module is not connected, for that reason.
pub(crate) fn is_down_for(status: &Status, module: &str, reason: HubReason) -> bool {
    let hub = &of(status, module).hub;
    hub.reason == reason && hub.state != HubState::Connected
}

/// Bytes carried between a port of its own and another; ends with this value.
pub(crate) struct Cable {
    pub(crate) port: u16,
    task: JoinHandle<()>,
}

impl Cable {
    /// Lays a cable from a free port of `address` to `to`.
    pub(crate) async fn lay(address: &str, to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((address, 0)).await?;
        let port = listener.local_addr()?.port();
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(to).await {
                        // Either side may hang up at any time.
                        let _over = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Ok(Self { port, task })
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.task.abort();
    }
}
