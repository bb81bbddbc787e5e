//! Real sessions over a link that never answers and a store in memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use modtwin_config::{Acknowledge, FileRef, Handler, Module, Principal};
use modtwin_core::document::Pointer;
use modtwin_core::governor::Policy;
use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_core::session::Settings;
use modtwin_core::status::Fault;
use modtwin_session::credential::{Credential, CredentialSource};
use modtwin_session::governor::Governor;
use modtwin_session::link::{ConnectRequest, Epoch, HubLink, LinkEvents, LinkStatus};
use modtwin_session::messages::{DeviceMessage, FoundMessages, MessageStore};
use modtwin_session::seat::{Ports, Seat, SessionConfig};
use modtwin_session::store::{
    Loaded, STORED_FORMAT, StoreError, StoredSection, StoredTwin, TwinStore,
};
use modtwind::local_api::Entry;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

/// A module that runs; its session ends with it.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) entry: Entry,
    pub(crate) store: Arc<Memory>,
    /// Ends the session once it says true.
    pub(crate) stop: watch::Sender<bool>,
    // Kept, since a session without its link's events would see the link end.
    _link: mpsc::Sender<modtwin_session::link::InboundMessage>,
    _status: mpsc::UnboundedSender<(Epoch, LinkStatus)>,
}

impl Running {
    /// Starts a session that finds `desired` of that version on disk, or nothing at all.
    pub(crate) async fn start(
        id: &str,
        desired: Option<(u64, Value)>,
        rules: Vec<Handler>,
    ) -> Self {
        let store = Arc::new(Memory::holding(desired));
        let (status_sender, status) = mpsc::unbounded_channel();
        let (message_sender, messages) = mpsc::channel(1);
        let ports = Ports {
            link: Box::new(Silent),
            events: LinkEvents { status, messages },
            credentials: Arc::new(Fixed),
            store: Arc::clone(&store) as Arc<dyn TwinStore>,
            messages: Arc::clone(&store) as Arc<dyn MessageStore>,
            clock: modtwin_session::clock::trusted(),
            governor: Governor::new(Policy::boundless(Duration::from_secs(1)), 7),
        };
        let (handle, seat) = Seat::open(config(id), ports).await;
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(async move { seat.run(stopped).await });
        let entry = Entry {
            handle,
            config: Arc::new(module(id, rules)),
            credential_warnings: watch::Sender::new(vec!["renewal is due".to_owned()]).subscribe(),
        };
        Self { entry, store, stop, _link: message_sender, _status: status_sender }
    }
}

/// A rule for a user given by number.
pub(crate) fn rule(name: &str, uid: u32, watch: &[&str], report: &[&str]) -> Handler {
    let pointers =
        |texts: &[&str]| texts.iter().map(|text| Pointer::parse(text).unwrap()).collect();
    Handler {
        name: name.to_owned(),
        principal: Principal::User(uid.to_string()),
        watch: pointers(watch),
        report: pointers(report),
        methods: Vec::new(),
        ack_timeout: None,
    }
}

/// The module as the config has it.
pub(crate) fn module(id: &str, handlers: Vec<Handler>) -> Module {
    Module {
        id: ModuleId::new(id).unwrap(),
        credential: modtwin_config::Credential::X509 {
            certificate: FileRef::Path("m.pem".into()),
            private_key: FileRef::Path("m.key".into()),
            private_key_password_file: None,
        },
        acknowledge: Acknowledge::None,
        model_id: None,
        method_timeout: Duration::from_secs(30),
        handlers,
    }
}

fn config(id: &str) -> SessionConfig {
    let connect_limit = Duration::from_secs(3600);
    SessionConfig {
        device: DeviceId::new("device01").unwrap(),
        module: ModuleId::new(id).unwrap(),
        hub_host: "contoso.azure-devices.net".to_owned(),
        dial_host: "contoso.azure-devices.net".to_owned(),
        port: 8883,
        trusted_ca: None,
        keep_alive: Duration::from_secs(60),
        api_version: "2021-04-12".to_owned(),
        model_id: None,
        connect_limit,
        settings: Settings {
            retry_base: Duration::from_secs(1),
            answer_limit: Duration::from_secs(30),
            connect_limit,
            resync_every: Duration::from_secs(3600),
            plug_and_play: false,
            seed: 1,
        },
        handlers: Vec::new(),
        method_limit: Duration::from_secs(30),
    }
}

/// A link on which nothing ever happens.
#[derive(Debug)]
struct Silent;

impl HubLink for Silent {
    fn connect(&mut self, _request: ConnectRequest) {}
    fn subscribe(&mut self, _filters: &[&str]) {}
    fn publish(&mut self, _topic: &str, _payload: Vec<u8>) {}
    fn deliver(&mut self, _number: u64, _topic: &str, _payload: Vec<u8>) {}
    fn disconnect(&mut self) {}
}

/// A certificate that is good for a day.
#[derive(Debug)]
struct Fixed;

impl CredentialSource for Fixed {
    fn load(&self) -> Result<Credential, Fault> {
        Ok(Credential::X509 {
            certificate: "m.pem".into(),
            private_key: "m.key".into(),
            password: None,
            expires: SystemTime::now() + Duration::from_secs(86_400),
        })
    }
}

/// A disk that can be told to be full.
#[derive(Debug)]
pub(crate) struct Memory {
    twin: Mutex<Option<StoredTwin>>,
    full: AtomicBool,
}

impl Memory {
    fn holding(desired: Option<(u64, Value)>) -> Self {
        let twin = desired.map(|(version, value)| StoredTwin {
            format: STORED_FORMAT,
            generation: 1,
            desired: Some(section(version, value)),
            reported: Some(section(12, serde_json::json!({"r": 1, "q": 2}))),
            outbox: Vec::new(),
            quarantined: Vec::new(),
            sequence: 0,
            acknowledged: Vec::new(),
            expected: Vec::new(),
            as_of_ms: Some(1_795_428_000_000),
        });
        Self { twin: Mutex::new(twin), full: AtomicBool::new(false) }
    }

    pub(crate) fn fill(&self) {
        self.full.store(true, Ordering::SeqCst);
    }
}

fn section(version: u64, value: Value) -> StoredSection {
    let Value::Object(document) = value else { panic!("a section is an object") };
    StoredSection { version, document }
}

impl TwinStore for Memory {
    fn load(&self) -> Result<Loaded, StoreError> {
        let twin = self.twin.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Loaded { twin, damage: None })
    }

    fn save(&self, twin: &StoredTwin) -> Result<u64, StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError("no space left on device".to_owned()));
        }
        *self.twin.lock().unwrap_or_else(PoisonError::into_inner) = Some(twin.clone());
        Ok(1)
    }
}

/// Messages are taken and forgotten.
impl MessageStore for Memory {
    fn load(&self) -> Result<FoundMessages, StoreError> {
        Ok(FoundMessages::default())
    }

    fn put(&self, _number: u64, _message: &DeviceMessage) -> Result<u64, StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError("no space left on device".to_owned()));
        }
        Ok(1)
    }

    fn remove(&self, _number: u64) -> Result<(), StoreError> {
        Ok(())
    }

    fn set_aside(&self, _number: u64, _message: &DeviceMessage) -> Result<u64, StoreError> {
        Ok(1)
    }
}
