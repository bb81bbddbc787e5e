//! What is tortured: the hub, the daemon and the handlers, each the real program in a process of
//! its own, and what can be done to them from outside.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use modtwin_api::Snapshot;
use modtwin_credentials::request::KeyKind;
use modtwin_testkit::gateway::{DEVICE, Daemon, Gateway, Validity};
use modtwin_testkit::hub::{Hub, program};
use modtwin_testkit::service::Service;
use modtwin_testkit::wall::now_us;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::check::Violation;
use crate::disk::Disk;
use crate::handlers::Handlers;
use crate::wall::Window;

/// All that takes part. Dropped in this order: whoever writes before where it writes to.
#[derive(Debug)]
pub(crate) struct Rig {
    /// The handlers.
    pub(crate) handlers: Handlers,
    daemon: Option<Daemon>,
    disk: Option<Disk>,
    /// The gateway's folder.
    pub(crate) gateway: Gateway,
    /// The hub.
    pub(crate) hub: Hub,
    service: Service,
    folder: TempDir,
    program: PathBuf,
    /// The ids of all modules.
    pub(crate) modules: Vec<String>,
    /// Why the disk can't be filled, where it can't.
    pub(crate) no_disk: Option<String>,
    /// What each new daemon had from its disk.
    pub(crate) starts: Vec<Start>,
    /// When the disk was full.
    pub(crate) full: Vec<Window>,
    /// What broke so far.
    pub(crate) violations: Vec<Violation>,
    is_hub_up: bool,
    is_hub_paused: bool,
    /// How often the hub was started: its faults end with it.
    hub_life: u64,
    changes_of_config: u64,
}

impl Rig {
    /// Starts a hub, makes `count` modules, and a gateway with them; starts neither the daemon nor
    /// the handlers.
    ///
    /// # Errors
    ///
    /// Where a program is not built or does not start, or the hub refuses.
    pub(crate) async fn build(count: usize, retry_delay: &str, seed: u64) -> anyhow::Result<Self> {
        let program = program("modtwind")?;
        let folder = tempfile::Builder::new().prefix("modtwin-torture-").tempdir();
        let folder = folder.context("cannot make the campaign's folder")?;
        let hub = Hub::start_in(folder.path()).await?;
        let mut service = hub.service()?;
        service.create_device(DEVICE).await?;
        let mut gateway = Gateway::new_in(folder.path(), hub.address())?;
        gateway.hub_options = format!("retry-delay = \"{retry_delay}\"\n");
        let modules: Vec<String> = (1..=count).map(|n| format!("module{n:02}")).collect();
        let authority = hub.authority()?;
        for module in &modules {
            service.create_module_by_authority(DEVICE, module).await?;
            gateway.certify(module, &authority, KeyKind::EcP256, Validity::Good)?;
            gateway.add_module(module, &Gateway::certificate_lines(module));
        }
        let disk = Disk::mount(&gateway.folder().join("state"));
        let (disk, no_disk) = match disk {
            Ok(disk) => (Some(disk), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        let handlers = Handlers::new(gateway.socket(), folder.path(), &modules, seed)?;
        Ok(Self {
            handlers,
            daemon: None,
            disk,
            gateway,
            hub,
            service,
            folder,
            program,
            modules,
            no_disk,
            starts: Vec::new(),
            full: Vec::new(),
            violations: Vec::new(),
            is_hub_up: true,
            is_hub_paused: false,
            hub_life: 1,
            changes_of_config: 0,
        })
    }

    /// The campaign's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.gateway.folder().join("state")
    }

    /// The daemon's process id, while it runs.
    ///
    /// # Errors
    ///
    /// Where it does not.
    pub(crate) fn daemon_pid(&self) -> anyhow::Result<u32> {
        self.daemon.as_ref().map(Daemon::pid).context("the daemon does not run")
    }

    /// Has everything outlive the campaign; says where.
    ///
    /// # Errors
    ///
    /// Where the state can't be copied from its own disk.
    pub(crate) fn keep(&mut self) -> anyhow::Result<PathBuf> {
        if self.disk.is_some() {
            copy(&self.state(), &self.gateway.folder().join("state.kept"))?;
        }
        self.gateway.keep();
        self.hub.keep();
        self.folder.disable_cleanup(true);
        Ok(self.folder.path().to_owned())
    }

    /// `kill -9` of the daemon; says whether it ran.
    ///
    /// # Errors
    ///
    /// Where it can't be waited for.
    pub(crate) async fn kill_daemon(&mut self) -> anyhow::Result<bool> {
        self.look().await;
        self.daemon.take().map_or(Ok(false), |mut daemon| daemon.kill().map(|()| true))
    }

    /// Asks the daemon to end, as systemd does, and waits for it; says whether it ran.
    ///
    /// # Errors
    ///
    /// Where it can't be signalled.
    pub(crate) async fn stop_daemon(&mut self) -> anyhow::Result<bool> {
        self.look().await;
        let Some(mut daemon) = self.daemon.take() else { return Ok(false) };
        daemon.signal(Signal::SIGCONT)?;
        daemon.signal(Signal::SIGTERM)?;
        let words = match daemon.wait(STOP_LIMIT).await {
            Ok(Some(0)) => return Ok(true),
            Ok(code) => format!("expected code 0 after SIGTERM, found {code:?}"),
            Err(error) => format!("{error:#}"),
        };
        let violation = Violation::new("the daemon ends when asked to", "", words);
        self.violations.push(violation.at(now_us()));
        Ok(true)
    }

    /// Starts the daemon, unless it runs; returns once its socket answers.
    ///
    /// # Errors
    ///
    /// Where it does not answer in time.
    pub(crate) async fn start_daemon(&mut self) -> anyhow::Result<()> {
        if self.daemon.is_some() {
            return Ok(());
        }
        let at = now_us();
        self.daemon = Some(self.gateway.start(&self.program).await?);
        let client = self.gateway.client();
        let mut snapshots = Vec::new();
        for module in &self.modules {
            snapshots.push(client.snapshot(module).await?);
        }
        self.starts.push(Start { at, until: now_us(), snapshots });
        Ok(())
    }

    /// Stops or continues the daemon's process.
    pub(crate) fn pause_daemon(&mut self, signal: Signal) {
        if let Some(daemon) = &self.daemon {
            // One that has just ended shows when it is looked at.
            let _gone_or_not = daemon.signal(signal);
        }
    }

    /// `kill -9` of the hub; says whether it ran.
    ///
    /// # Errors
    ///
    /// Where it can't be waited for.
    pub(crate) fn kill_hub(&mut self) -> anyhow::Result<bool> {
        let ran = std::mem::take(&mut self.is_hub_up);
        self.is_hub_paused = false;
        self.hub.kill()?;
        Ok(ran)
    }

    /// Starts the hub, unless it runs; returns once it serves.
    ///
    /// # Errors
    ///
    /// Where it does not in time.
    pub(crate) async fn start_hub(&mut self) -> anyhow::Result<()> {
        if !self.is_hub_up {
            self.hub.restart().await?;
            self.is_hub_up = true;
            self.hub_life += 1;
        }
        Ok(())
    }

    /// Whether the hub can be asked for something: it runs and is not stopped.
    pub(crate) fn is_hub_answering(&self) -> bool {
        self.is_hub_up && !self.is_hub_paused
    }

    /// Stops or continues the hub's process; faults can't be asked for while it is stopped.
    pub(crate) fn pause_hub(&mut self, signal: Signal) {
        self.is_hub_paused = self.is_hub_up && signal == Signal::SIGSTOP;
        if let Some(pid) = self.hub.pid().and_then(|pid| i32::try_from(pid).ok()) {
            let _gone_or_not = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Asks the hub for a fault; says under which name it can be ended.
    ///
    /// # Errors
    ///
    /// Where the hub does not take it.
    pub(crate) async fn fault(&mut self, fault: Value) -> anyhow::Result<Option<FaultId>> {
        let answer = self.service.fault(fault).await?;
        let id = answer.get("id").and_then(Value::as_u64);
        Ok(id.map(|id| FaultId { life: self.hub_life, id }))
    }

    /// Ends a fault, if the hub still has it.
    pub(crate) async fn end_fault(&mut self, fault: FaultId) {
        if fault.life == self.hub_life {
            let path = format!("/emulator/v1/faults/{}", fault.id);
            // A hub that is down has no faults either.
            let _ended = self.service.call(hyper::Method::DELETE, &path, None).await;
        }
    }

    /// Fills the disk below the daemon's state, where it is one that may be filled.
    ///
    /// # Errors
    ///
    /// Where the file that fills it can't be made.
    pub(crate) fn fill_disk(&mut self) -> anyhow::Result<()> {
        if let Some(disk) = &self.disk {
            self.full.push(Window { begin: now_us(), end: u64::MAX });
            disk.fill()?;
        }
        Ok(())
    }

    /// Makes room again.
    pub(crate) fn free_disk(&mut self) {
        if let Some(disk) = &self.disk {
            disk.free();
            let now = now_us();
            if let Some(window) = self.full.last_mut() {
                window.end = window.end.min(now);
            }
        }
    }

    /// Writes the config anew, with a change that concerns every session now and then.
    ///
    /// # Errors
    ///
    /// Where it can't be written.
    pub(crate) fn touch_config(&mut self) -> anyhow::Result<()> {
        self.changes_of_config += 1;
        let line = format!("keep-alive = \"{}s\"\n", 100 + self.changes_of_config / 2 % 10);
        let options: String =
            self.gateway.hub_options.lines().take(1).map(|line| format!("{line}\n")).collect();
        self.gateway.hub_options = options + &line;
        self.gateway.write_config()
    }

    /// Everything up again: processes running, faults over, room on the disk.
    ///
    /// # Errors
    ///
    /// Where something does not come up.
    pub(crate) async fn all_well(&mut self) -> anyhow::Result<()> {
        self.free_disk();
        self.pause_hub(Signal::SIGCONT);
        self.pause_daemon(Signal::SIGCONT);
        let places = self.handlers.places();
        self.handlers.signal(&places, Signal::SIGCONT);
        self.look().await;
        self.start_hub().await?;
        self.service.clear_faults().await?;
        self.start_daemon().await?;
        self.handlers.start()
    }

    /// Looks whether a process ended by itself, which none may.
    pub(crate) async fn look(&mut self) {
        if let Some(daemon) = &mut self.daemon
            && let Ok(code) = daemon.wait(Duration::ZERO).await
        {
            self.daemon = None;
            let words = format!("it ended by itself with {code:?}");
            let violation = Violation::new("the daemon never ends by itself", "", words);
            self.violations.push(violation.at(now_us()));
        }
        for words in self.handlers.ended() {
            let violation = Violation::new("a handler can always go on", "", words);
            self.violations.push(violation.at(now_us()));
        }
    }
}

/// What a daemon that had just been started served.
#[derive(Debug)]
pub(crate) struct Start {
    /// When the one before it could store nothing any more.
    pub(crate) at: u64,
    /// When it had been asked for all of this.
    pub(crate) until: u64,
    /// Each module, in their order.
    pub(crate) snapshots: Vec<Snapshot>,
}

/// A fault of the hub: in which of its lives, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FaultId {
    life: u64,
    id: u64,
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target).context("cannot copy the state")?;
        }
    }
    Ok(())
}

const STOP_LIMIT: Duration = Duration::from_secs(15);
