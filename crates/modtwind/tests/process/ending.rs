//! What the service manager hears, and how the daemon ends.

use std::path::Path;
use std::time::{Duration, Instant};

use modtwin_testkit::gateway::{Daemon, Gateway};
use modtwin_testkit::raw;
use modtwin_testkit::stage::Stage;
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::net::UnixDatagram;

use crate::{MODTWIND, Story};

/// The drain's five seconds, and some for a busy machine.
const DRAIN: Duration = Duration::from_secs(15);
/// How long a message to the service manager is waited for.
const SOON: Duration = Duration::from_secs(20);

/// A service manager's ear (sd_notify(3)).
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    /// Starts the daemon under a manager that wants to hear from it that often.
    fn start(gateway: &Gateway, watchdog: Duration) -> anyhow::Result<(Self, Daemon)> {
        let path = gateway.folder().join("notify.sock");
        let socket = UnixDatagram::bind(&path)?;
        gateway.write_config()?;
        let path = path.display().to_string();
        let microseconds = watchdog.as_micros().to_string();
        let environment = [("NOTIFY_SOCKET", path.as_str()), ("WATCHDOG_USEC", &microseconds)];
        let daemon = gateway.spawn(Path::new(MODTWIND), &environment)?;
        Ok((Self { socket, heard: Vec::new() }, daemon))
    }

    /// Listens until a line begins with `awaited`; returns it.
    async fn hears(&mut self, awaited: &str) -> anyhow::Result<String> {
        let listen = async {
            let mut buffer = [0; 4096];
            loop {
                let length = self.socket.recv(&mut buffer).await?;
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let found = text.lines().find(|line| line.starts_with(awaited)).map(str::to_owned);
                self.heard.extend(text.lines().map(str::to_owned));
                if let Some(found) = found {
                    return anyhow::Ok(found);
                }
            }
        };
        let heard = tokio::time::timeout(SOON, listen).await;
        heard.unwrap_or_else(|_late| anyhow::bail!("never {awaited}; heard {:?}", self.heard))
    }
}

#[tokio::test]
async fn the_service_manager_hears_of_readiness_state_life_and_end() -> Story {
    let stage = Stage::build(MODTWIND, 2).await?;
    let (mut manager, mut daemon) = Manager::start(&stage.gateway, Duration::from_secs(1))?;
    manager.hears("READY=1").await?;
    assert_eq!(raw::ask(&stage.gateway.socket(), "GET", "/v1/health", None)?.status, 200);
    manager.hears("STATUS=2 of 2").await?;
    for _ in 0..3 {
        manager.hears("WATCHDOG=1").await?;
    }
    let told = Instant::now();
    daemon.signal(Signal::SIGTERM)?;
    manager.hears("STOPPING=1").await?;
    assert_eq!(daemon.wait(DRAIN).await?, Some(0));
    assert!(told.elapsed() < DRAIN);
    Ok(())
}

#[tokio::test]
async fn readiness_and_life_do_not_wait_for_a_hub() -> Story {
    let mut stage = Stage::build(MODTWIND, 20).await?;
    // Accepts connections and never says a word.
    stage.service.fault(json!({"kind": "stall"})).await?;
    let (mut manager, mut daemon) = Manager::start(&stage.gateway, Duration::from_secs(1))?;
    manager.hears("READY=1").await?;
    manager.hears("STATUS=0 of 20").await?;
    for _ in 0..5 {
        manager.hears("WATCHDOG=1").await?;
    }
    daemon.signal(Signal::SIGTERM)?;
    manager.hears("STOPPING=1").await?;
    assert_eq!(daemon.wait(DRAIN).await?, Some(0), "{}", stage.gateway.log_end());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_with_everything_going_on_drains_in_time() -> Story {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut stage = Stage::start(MODTWIND, 5).await?;
        let mut spectator = stage.watch("m01").await?;
        let mut half = raw::connect(&stage.gateway.socket())?;
        std::io::Write::write_all(&mut half, b"PATCH /v1/modules/m01/reported HT")?;
        stage.fault("lose-response", "m02", json!({})).await?;
        stage.report("m02", json!({"unanswered": true})).await?;
        stage.service.fault(json!({"kind": "stall", "count": 1})).await?;
        stage.client().reconnect("m03").await?;
        stage.daemon()?.signal(signal)?;
        assert_eq!(stage.daemon()?.wait(DRAIN).await?, Some(0), "{}", stage.gateway.log_end());
        spectator.wait_end().await?;
        assert!(!stage.gateway.log_text().contains("did not end in time"));
        // Saved, and the sessions said goodbye: nothing is left behind at the hub.
        stage.service.clear_faults().await?;
        stage.start_daemon().await?;
        stage.gateway.wait_connected(5).await?;
        stage.wait_reported("m02", |found| found["unanswered"] == true).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_end_right_after_the_start_is_an_end() -> Story {
    let stage = Stage::build(MODTWIND, 20).await?;
    let (mut manager, mut daemon) = Manager::start(&stage.gateway, Duration::from_secs(30))?;
    manager.hears("READY=1").await?;
    daemon.signal(Signal::SIGTERM)?;
    assert_eq!(daemon.wait(DRAIN).await?, Some(0), "{}", stage.gateway.log_end());
    Ok(())
}
