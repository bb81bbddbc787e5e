//! The daemon's life in four phases: config read, everything built, run, drained.

use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modtwin_config::{Config, Files, Problems};
use modtwin_mqtt::{Engine, EngineError};
use modtwin_session::governor::Governor;
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tracing::{info, warn};

use crate::clock::ClockKeeper;
use crate::fleet_report;
use crate::local_api::socket::{self, PathGuard, SOCKET_MODE, SocketError};
use crate::local_api::{Facts, Limits, LocalApi};
use crate::logging::LogControl;
use crate::supervisor::{Command, Parts, Supervisor};
use crate::wiring::{TlsProbe, Workshop, budget};

/// How long the MQTT thread may take to end.
const ENGINE_LIMIT: Duration = Duration::from_secs(2);
/// How many commands and requests for the daemon itself may wait.
const COMMAND_QUEUE: usize = 16;

/// Why the daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The config has problems, all of which are listed.
    #[error("config refused:\n{0}")]
    Config(Problems),
    /// The socket could not be made.
    #[error("the local API has no socket")]
    Socket(#[source] SocketError),
    /// The MQTT client could not be started.
    #[error("the MQTT client did not start")]
    Mqtt(#[source] EngineError),
}

/// What the daemon is told from outside, besides its config.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `$CREDENTIALS_DIRECTORY`.
    pub credentials_directory: Option<PathBuf>,
    /// What the local API grants its peers.
    pub limits: Limits,
    /// What changes the level of the log.
    pub log: LogControl,
}

/// Sends commands to a running daemon.
pub type CommandSender = mpsc::Sender<Command>;

/// A daemon with everything bound and nothing running yet.
#[derive(Debug)]
pub struct Daemon {
    supervisor: Supervisor,
    keeper: ClockKeeper,
    engine: Arc<Engine>,
    api: LocalApi,
    listener: UnixListener,
    // Removes the socket file at the end; none where systemd owns it.
    guard: Option<PathGuard>,
}

impl Daemon {
    /// Reads the config and builds everything: the socket is bound, state is read, sessions are
    /// ready to begin.
    ///
    /// # Errors
    ///
    /// [`StartError`] where the config is refused, another daemon serves the socket, or the system
    /// refuses.
    pub async fn build(
        config_path: &Path,
        environment: Environment,
    ) -> Result<(Self, CommandSender), StartError> {
        modtwin_credentials::prepare();
        let files = Files::read(config_path);
        let config = files.check().map_err(StartError::Config)?;
        let (listener, guard) = listen(&config).await.map_err(StartError::Socket)?;
        let engine = Arc::new(Engine::start(Arc::new(TlsProbe)).map_err(StartError::Mqtt)?);
        let governor =
            Governor::new(budget(&config.hub), RandomState::new().hash_one(&config.hub.device_id));
        let (keeper, clock) = ClockKeeper::open(&config.state.directory, governor.reached());
        let (admin_sender, admin) = mpsc::channel(COMMAND_QUEUE);
        let (command_sender, commands) = mpsc::channel(COMMAND_QUEUE);
        let parts = Parts {
            config_path: config_path.to_owned(),
            workshop: Workshop {
                engine: Arc::clone(&engine),
                governor,
                clock,
                state_directory: config.state.directory.clone(),
                credentials_directory: environment.credentials_directory,
                renewals: Arc::new(Semaphore::new(1)),
            },
            facts: Arc::new(facts(config_path, &config)),
            config,
            log: environment.log,
            files,
            admin,
            commands,
        };
        let supervisor = Supervisor::open(parts).await;
        let api = LocalApi::with_limits(supervisor.registry(), admin_sender, environment.limits);
        Ok((Self { supervisor, keeper, engine, api, listener, guard }, command_sender))
    }

    /// Runs until told to stop, then drains: sessions save and say goodbye, requests in flight
    /// end, the socket goes.
    ///
    /// # Errors
    ///
    /// [`ApiEnded`] where the local API ended by itself: without it the daemon is of no use.
    pub async fn run(self) -> Result<(), ApiEnded> {
        let (stop, mut stopped) = watch::channel(false);
        let Self { supervisor, keeper, engine, api, listener, guard } = self;
        let keeper = tokio::spawn(keeper.run());
        let reporter = tokio::spawn(fleet_report::run(supervisor.registry()));
        let mut server = tokio::spawn(async move {
            let stop = async move {
                // An error means that the daemon is gone, which is a stop too.
                let _stop = stopped.wait_for(|stop| *stop).await;
            };
            api.serve(listener, stop).await;
        });
        tokio::select! {
            biased;
            () = supervisor.run() => {}
            _ended = &mut server => return Err(ApiEnded),
        }
        keeper.abort();
        reporter.abort();
        stop.send_replace(true);
        server.await.map_err(|_panicked| ApiEnded)?;
        drop(guard);
        match Arc::try_unwrap(engine) {
            Ok(engine) => engine.shutdown(ENGINE_LIMIT).await,
            Err(_still_used) => warn!("a session still holds the MQTT client"),
        }
        info!("stopped");
        Ok(())
    }
}

/// The local API ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("the local API ended unexpectedly")]
pub struct ApiEnded;

async fn listen(config: &Config) -> Result<(UnixListener, Option<PathGuard>), SocketError> {
    if let Some(listener) = socket::from_systemd()? {
        info!("serving the socket that systemd opened");
        return Ok((listener, None));
    }
    let bound = socket::bind(&config.socket.path, SOCKET_MODE).await?;
    info!(path = %config.socket.path.display(), "serving the local API");
    Ok((bound.listener, Some(bound.guard)))
}

fn facts(config_path: &Path, config: &Config) -> Facts {
    Facts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started: SystemTime::now(),
        config_path: config_path.to_owned(),
        socket_path: config.socket.path.clone(),
        state_directory: config.state.directory.clone(),
        hub_hostname: config.hub.hostname.clone(),
        device_id: config.hub.device_id.to_string(),
    }
}
