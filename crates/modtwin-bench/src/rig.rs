//! What is measured: a hub with twenty modules, gateways, and the daemon, each the real program
//! in a process of its own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use modtwin_api::HubState;
use modtwin_credentials::request::KeyKind;
use modtwin_testkit::gateway::{DEVICE, Daemon, Gateway, Validity};
use modtwin_testkit::hub::{Hub, program};
use modtwin_testkit::service::Service;
use nix::sys::signal::Signal;

/// How many modules a gateway has at most, and here most of the time.
pub(crate) const MODULES: usize = 20;
/// A device whose modules never connect: what the hub takes without anybody at the other end.
pub(crate) const UNATTENDED: &str = "unattended01";

/// The hub and what is needed to use it.
#[derive(Debug)]
pub(crate) struct Rig {
    /// The hub.
    pub(crate) hub: Hub,
    /// Its service side.
    pub(crate) service: Service,
    /// The ids of all modules.
    pub(crate) modules: Vec<String>,
    daemon: PathBuf,
}

impl Rig {
    /// Starts the hub, which keeps its state below `hub_folder`, and makes two devices with twenty modules each.
    ///
    /// # Errors
    ///
    /// Where a program is not built or does not start, or the hub refuses.
    pub(crate) async fn start(hub_folder: &Path) -> anyhow::Result<Self> {
        let daemon = program("modtwind")?;
        let hub = Hub::start_in(hub_folder).await?;
        let mut service = hub.service()?;
        let modules: Vec<String> = (1..=MODULES).map(|n| format!("module{n:02}")).collect();
        for device in [DEVICE, UNATTENDED] {
            service.create_device(device).await?;
            for module in &modules {
                service.create_module_by_authority(device, module).await?;
            }
        }
        Ok(Self { hub, service, modules, daemon })
    }

    /// A gateway with the first `count` modules, fresh certificates (ECDSA P-256) and no state.
    ///
    /// # Errors
    ///
    /// Where it can't be written.
    pub(crate) fn gateway(&self, count: usize) -> anyhow::Result<Gateway> {
        let mut gateway = Gateway::new(self.hub.address())?;
        // The daemon's own defaults; the test kit's are for impatient tests. But for the budget: an
        // echo right after the other, thousands of times, is what no polite daemon asks of a hub.
        "operation-rate = \"10000/s\"\n".clone_into(&mut gateway.hub_options);
        let authority = self.hub.authority()?;
        for module in self.modules.iter().take(count) {
            gateway.certify(module, &authority, KeyKind::EcP256, Validity::Good)?;
            gateway.add_module(module, &Gateway::certificate_lines(module));
        }
        gateway.write_config()?;
        Ok(gateway)
    }

    /// Starts the daemon of `gateway` and times it until its socket answers and until all of its
    /// `count` modules are in step with the hub.
    ///
    /// # Errors
    ///
    /// Where it does not start, or not all of them are in time.
    pub(crate) async fn launch(
        &self,
        gateway: &Gateway,
        count: usize,
    ) -> anyhow::Result<(Daemon, Launch)> {
        let began = Instant::now();
        let daemon = gateway.spawn(&self.daemon, &[])?;
        let client = gateway.client();
        let mut answered = None;
        loop {
            if let Ok(status) = client.status().await {
                let now = began.elapsed();
                answered.get_or_insert(now);
                let in_step = status.modules.iter();
                let in_step = in_step.filter(|module| module.hub.state == HubState::Connected);
                if in_step.count() == count {
                    let answered = answered.unwrap_or(now);
                    return Ok((daemon, Launch { answered, synced: now }));
                }
            }
            if began.elapsed() > LAUNCH_LIMIT {
                bail!("the daemon is not in step after {LAUNCH_LIMIT:?}: {}", gateway.log_text());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// How long a start took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Launch {
    /// Until the socket answered for the first time.
    pub(crate) answered: Duration,
    /// Until every module was connected and its twin in step.
    pub(crate) synced: Duration,
}

/// Stops a daemon as systemd does; says how long it took.
///
/// # Errors
///
/// Where it does not end in time, or not well.
pub(crate) async fn stop(mut daemon: Daemon) -> anyhow::Result<Duration> {
    let began = Instant::now();
    daemon.signal(Signal::SIGTERM)?;
    let code = daemon.wait(STOP_LIMIT).await.context("modtwind does not stop")?;
    let took = began.elapsed();
    match code {
        Some(0) => Ok(took),
        other => bail!("expected modtwind to end with code 0, found {other:?}"),
    }
}

/// How often the daemon is asked while it starts: the resolution of these times.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const LAUNCH_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(15);
