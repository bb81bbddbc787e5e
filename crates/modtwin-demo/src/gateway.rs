//! The gateway of the story: its config, the real `modtwind`, and `modtwinctl` called as a person
//! would.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use modtwin_api::{HubState, Status};
use modtwin_client::Client;
use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::hub::Facts;
use tokio::process::Command;

use crate::cast::Cast;
use crate::folders::Folders;
use crate::identities::Modules;
use modtwin_testkit::patience::{Look, until};

const START_LIMIT: Duration = Duration::from_secs(15);

/// Where the gateway keeps its things, and how to talk to its daemon.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// The config file.
    pub(crate) config: PathBuf,
    /// The daemon's socket.
    pub(crate) socket: PathBuf,
    /// A client of the daemon.
    pub(crate) client: Client,
    modtwinctl: PathBuf,
}

impl Gateway {
    /// A gateway in `folders`, where keys and certificates are already; nothing runs yet.
    ///
    /// # Errors
    /// The config can't be written.
    pub(crate) fn configured(
        folders: &Folders,
        modtwinctl: &Path,
        hub: &Facts,
        port: u16,
        modules: &Modules,
    ) -> anyhow::Result<Self> {
        let config = folders.etc().join("modtwind.toml");
        let socket = folders.socket();
        let text = config_text(folders, hub, port, modules)?;
        std::fs::write(&config, text)
            .with_context(|| format!("cannot write `{}`", config.display()))?;
        let client = Client::new(&socket);
        Ok(Self { config, socket, client, modtwinctl: modtwinctl.to_owned() })
    }

    /// Starts `program` as the daemon and waits until its socket answers.
    ///
    /// # Errors
    /// It can't be started, ends, or does not answer in time.
    pub(crate) async fn start(&self, cast: &mut Cast, program: &Path) -> anyhow::Result<()> {
        let mut command = Command::new(program);
        command.arg("--config").arg(&self.config);
        cast.start("modtwind", command)?;
        until("modtwind's socket to answer", START_LIMIT, async || {
            cast.all_alive()?;
            match self.client.status().await {
                Ok(_status) => Ok(Look::Found(())),
                Err(error) => Ok(Look::NotYet(error.to_string())),
            }
        })
        .await
    }

    /// Waits until every one of `modules` is in step with the hub, or none is; returns how long it
    /// took.
    ///
    /// # Errors
    /// The daemon does not answer, or it did not come to that within `limit`.
    pub(crate) async fn wait_for_hub(
        &self,
        modules: &[String],
        connected: bool,
        limit: Duration,
    ) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let awaited =
            if connected { "every module to be connected" } else { "every module to notice" };
        until(awaited, limit, async || {
            let status = self.status().await?;
            let others = others(&status, modules, connected);
            Ok(if others.is_empty() { Look::Found(()) } else { Look::NotYet(others.join(", ")) })
        })
        .await?;
        Ok(began.elapsed())
    }

    /// What the daemon says of itself.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) async fn status(&self) -> anyhow::Result<Status> {
        self.client.status().await.context("cannot ask modtwind for its status")
    }

    /// Runs `modtwinctl` with `arguments`; returns what it printed.
    ///
    /// # Errors
    /// It can't be run, or fails.
    pub(crate) async fn modtwinctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.modtwinctl)
            .arg("--socket")
            .arg(&self.socket)
            .args(arguments)
            .output()
            .await
            .context("cannot run modtwinctl")?;
        let words = arguments.join(" ");
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`modtwinctl {words}` failed ({}): {}", output.status, said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Those of `modules` that are not as awaited, each with what it is instead.
fn others(status: &Status, modules: &[String], connected: bool) -> Vec<String> {
    let ours = status.modules.iter().filter(|module| modules.contains(&module.module));
    ours.filter(|module| (module.hub.state == HubState::Connected) != connected)
        .map(|module| format!("{} {} ({})", module.module, module.hub.state, module.hub.reason))
        .collect()
}

fn config_text(
    folders: &Folders,
    hub: &Facts,
    port: u16,
    modules: &Modules,
) -> anyhow::Result<String> {
    let quoted = |path: &Path| -> anyhow::Result<String> {
        // A JSON string of a path is a TOML basic string too: both escape alike.
        let text = path.to_str().with_context(|| format!("`{}` is no UTF-8", path.display()))?;
        serde_json::to_string(text).context("cannot quote a path")
    };
    let mut text = format!(
        "[hub]\nhostname = \"{}\"\ndevice-id = \"{DEVICE}\"\nport = {port}\ntrusted-ca = {}\n\n\
         [socket]\npath = {}\n\n[state]\ndirectory = {}\n",
        hub.hostname,
        quoted(&hub.ca)?,
        quoted(&folders.socket())?,
        quoted(&folders.state())?,
    );
    for module in modules.all() {
        text.push_str(&format!(
            "\n[[module]]\nid = \"{module}\"\ncertificate = \"{module}.pem\"\nprivate-key = \"{module}.key\"\n"
        ));
    }
    Ok(text)
}
