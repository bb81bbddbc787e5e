//! A module's place in the daemon: what outlives one run of its task.
//!
//! A task that panics is started again; handles, watchers and the link must not notice more than
//! a reconnect. So the ends of the channels and the link stay here, and each run borrows them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modtwin_core::handlers::HandlerRule;
use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_core::session::{Durable, Settings};
use modtwin_core::status::{HubState, Reason};
use tokio::sync::{Mutex, mpsc, watch};
use tracing::Instrument as _;

use crate::clock::ClockReceiver;
use crate::credential::CredentialSource;
use crate::driver::{Driver, End};
use crate::governor::{Governor, Share};
use crate::handle::{COMMAND_QUEUE, Command, ModuleHandle};
use crate::link::{HubLink, LinkEvents};
use crate::messages::{Backlog, FoundMessages, MessageStore};
use crate::store::{Loaded, StoreError, TwinStore};
use crate::stored::from_stored;
use crate::view::{HubView, ModuleView, Sizes, Written};

/// What a module's session needs to know.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The device that the module belongs to.
    pub device: DeviceId,
    /// The module.
    pub module: ModuleId,
    /// The hub's own host name, for the user name.
    pub hub_host: String,
    /// The host to dial: the hub, or a gateway in front of it.
    pub dial_host: String,
    /// The TCP port to dial.
    pub port: u16,
    /// PEM file of the authorities to trust; the system's where none is given.
    pub trusted_ca: Option<std::path::PathBuf>,
    /// The MQTT keep-alive.
    pub keep_alive: Duration,
    /// The service's API version, for the user name.
    pub api_version: String,
    /// The model that the module announces.
    pub model_id: Option<String>,
    /// How long one connection attempt may take.
    pub connect_limit: Duration,
    /// The rules of the session.
    pub settings: Settings,
    /// The module's handlers.
    pub handlers: Vec<HandlerRule>,
    /// How long a direct method may take.
    pub method_limit: Duration,
}

/// The parts of the outside world that a session touches.
#[derive(Debug)]
pub struct Ports {
    /// The MQTT client.
    pub link: Box<dyn HubLink>,
    /// What it hears.
    pub events: LinkEvents,
    /// Reads the credential.
    pub credentials: Arc<dyn CredentialSource>,
    /// Keeps the state.
    pub store: Arc<dyn TwinStore>,
    /// Keeps messages that wait.
    pub messages: Arc<dyn MessageStore>,
    /// The budget that all sessions share.
    pub governor: Governor,
    /// Says whether the wall clock can be right.
    pub clock: ClockReceiver,
}

/// What a run borrows.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) config: SessionConfig,
    pub(crate) ports: Ports,
    pub(crate) share: Arc<Share>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) view: watch::Sender<Arc<ModuleView>>,
    /// The number of the newest connection, which no later run may use again.
    pub(crate) epoch: u64,
    pub(crate) connects: u64,
    pub(crate) written: watch::Sender<Written>,
    pub(crate) backlog: watch::Sender<Backlog>,
    /// What became of a damaged state file.
    pub(crate) damage: Option<String>,
}

impl Ends {
    /// Closes the queue, because nobody takes commands any more: whoever waits for one, or sends
    /// one, hears that at once.
    pub(crate) async fn refuse_commands(&mut self) {
        self.commands.close();
        while self.commands.recv().await.is_some() {}
    }
}

/// A module's place; run it until it is told to stop, and again should it panic.
#[derive(Debug, Clone)]
pub struct Seat {
    // A mutex because a run that panics must give the ends back for the next one.
    ends: Arc<Mutex<Ends>>,
    module: ModuleId,
}

impl Seat {
    /// Makes the place and the handle to it. What is on disk is visible at once, so that handlers
    /// are served before the hub is reached.
    pub async fn open(config: SessionConfig, ports: Ports) -> (ModuleHandle, Self) {
        let (command_sender, commands) = mpsc::channel(COMMAND_QUEUE);
        let loaded = load(&ports.store).await;
        let damage = loaded.as_ref().ok().and_then(|loaded| loaded.damage.clone());
        let share = Arc::new(ports.governor.join());
        let (written, written_receiver) = watch::channel(Written::default());
        let (backlog, backlog_receiver) = watch::channel(Backlog::default());
        let (view, view_receiver) = watch::channel(Arc::new(first_view(&config.module, loaded)));
        let module = config.module.clone();
        let handle = ModuleHandle {
            module: module.clone(),
            commands: command_sender,
            view: view_receiver,
            written: written_receiver,
            backlog: backlog_receiver,
        };
        let ends = Ends {
            share,
            config,
            ports,
            commands,
            view,
            epoch: 0,
            connects: 0,
            written,
            backlog,
            damage,
        };
        (handle, Self { ends: Arc::new(Mutex::new(ends)), module })
    }

    /// Shows that the module's task has crashed too often to be started again; whoever waits for it
    /// hears that it has ended. Returns at once where the task still runs.
    pub async fn show_given_up(&self, detail: &str) {
        if let Ok(mut ends) = self.ends.try_lock() {
            ends.refuse_commands().await;
            ends.view.send_modify(|view| {
                let hub = &mut Arc::make_mut(view).hub;
                hub.state = HubState::Disabled;
                hub.reason = Reason::HubError;
                hub.detail = Some(detail.to_owned());
                hub.since = SystemTime::now();
                hub.next_attempt = None;
            });
        }
    }

    /// Which module.
    #[must_use]
    pub fn module(&self) -> &ModuleId {
        &self.module
    }

    /// Drives the session until `stop` says true, then says goodbye to the hub and saves.
    pub async fn run(&self, stop: watch::Receiver<bool>) {
        let mut ends = self.ends.lock().await;
        let span = tracing::info_span!("session", module = %self.module);
        let runs = async {
            // A run that has found lost state ends, so that the next begins from that.
            while Driver::new(&mut ends, stop.clone()).await.run().await == End::StateFound {}
        };
        runs.instrument(span).await;
    }
}

/// Reads the state on a blocking thread.
pub(crate) async fn load(store: &Arc<dyn TwinStore>) -> Result<Loaded, StoreError> {
    let store = Arc::clone(store);
    tokio::task::spawn_blocking(move || store.load()).await.unwrap_or_else(|_panicked| {
        Err(StoreError("reading the state directory failed unexpectedly".to_owned()))
    })
}

/// Reads the messages that wait, on a blocking thread.
pub(crate) async fn load_messages(
    store: &Arc<dyn MessageStore>,
) -> Result<FoundMessages, StoreError> {
    let store = Arc::clone(store);
    tokio::task::spawn_blocking(move || store.load()).await.unwrap_or_else(|_panicked| {
        Err(StoreError("reading the stored messages failed unexpectedly".to_owned()))
    })
}

fn first_view(module: &ModuleId, loaded: Result<Loaded, StoreError>) -> ModuleView {
    let (Loaded { twin: stored, damage }, storage_problem) = match loaded {
        Ok(loaded) => (loaded, None),
        Err(error) => (Loaded::default(), Some(error.to_string())),
    };
    let as_of = stored.as_ref().and_then(|stored| stored.as_of_ms).map(wall_time);
    let durable = stored.map_or_else(Durable::default, from_stored);
    let hub = HubView {
        state: HubState::Connecting,
        reason: Reason::Starting,
        detail: None,
        since: SystemTime::now(),
        next_attempt: None,
    };
    let mut view = ModuleView {
        module: module.clone(),
        hub,
        generation: durable.twin.generation,
        desired: durable.twin.desired.clone(),
        reported: durable.twin.reported.clone(),
        pending: Arc::default(),
        applied: Arc::default(),
        expected: Arc::default(),
        quarantined: Arc::default(),
        as_of,
        stale: true,
        connects: 0,
        credential_expires: None,
        storage_problem,
        damage,
        sizes: Sizes::default(),
    };
    crate::publish::fill_from_durable(&mut view, &durable);
    view
}

/// A stored moment as the wall clock has it.
pub(crate) fn wall_time(ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
}
