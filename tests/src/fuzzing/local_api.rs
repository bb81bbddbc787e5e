//! The local API as a fuzzer meets it: real connections to the real handler, with a real session
//! behind it whose hub never answers. Whatever comes in, what comes out is HTTP with JSON in it,
//! and no request finds a defect.
//!
//! Time is virtual: a connection that waits for more is given up at once.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use modtwin_config::{Acknowledge, Credential as Configured, FileRef, Module};
use modtwin_core::governor::Policy;
use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_core::session::Settings;
use modtwin_core::status::Fault;
use modtwin_session::credential::{Credential, CredentialSource};
use modtwin_session::governor::Governor;
use modtwin_session::link::{ConnectRequest, HubLink, LinkEvents};
use modtwin_session::messages::{DeviceMessage, FoundMessages, MessageStore};
use modtwin_session::seat::{Ports, Seat, SessionConfig};
use modtwin_session::store::{
    Loaded, STORED_FORMAT, StoreError, StoredSection, StoredTwin, TwinStore,
};
use modtwind::local_api::{ConfigState, Entry, Facts, InForce, Registry, Shared, fuzzing};
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};

/// The bytes of a connection, from whoever may do everything.
pub(super) fn connection(bytes: &[u8]) {
    judge(&converse(bytes));
}

/// A body, behind a byte that says of which request.
pub(super) fn bodies(bytes: &[u8]) {
    let Some((which, body)) = bytes.split_first() else { return };
    let at = usize::from(*which) % REQUESTS.len();
    let Some((method, target)) = REQUESTS.get(at) else { return };
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let said = converse(&[head.as_bytes(), body].concat());
    assert!(said.starts_with(b"HTTP/1.1 "), "no answer to {method} {target}");
    judge(&said);
}

/// Every request that has a body.
const REQUESTS: [(&str, &str); 7] = [
    ("PATCH", "/v1/modules/m/reported"),
    ("PATCH", "/v1/modules/m/reported?wait=hub&timeout=1"),
    ("POST", "/v1/modules/m/acks"),
    ("POST", "/v1/modules/m/messages?timeout=1"),
    ("POST", "/v1/modules/m/methods/1"),
    ("POST", "/v1/reload"),
    ("PUT", "/v1/log-level"),
];

/// Says `bytes` on a connection of its own and gives all that is answered until it ends, or goes on
/// for too long.
fn converse(bytes: &[u8]) -> Vec<u8> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap_or_else(|failure| panic!("no runtime: {failure}"))
    });
    runtime.block_on(async {
        let scene = Scene::open().await;
        let pair = UnixStream::pair();
        let (mut ours, theirs) = pair.unwrap_or_else(|failure| panic!("no socket: {failure}"));
        let served = tokio::spawn(fuzzing::connection(scene.registry.clone(), theirs));
        let mut said = Vec::new();
        let listen = async {
            // A peer that is refused early may find the other side closed before all is written.
            let _broken_pipe = ours.write_all(bytes).await;
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = ours.read(&mut buffer).await {
                said.extend_from_slice(buffer.get(..count).unwrap_or_default());
            }
        };
        // A stream beats for ever.
        let is_cut = tokio::time::timeout(LONGEST, listen).await.is_err();
        drop(ours);
        let ended = tokio::time::timeout(LONGEST, served).await;
        assert!(matches!(ended, Ok(Ok(()))), "the connection does not end well: {ended:?}");
        scene.close().await;
        if is_cut {
            // What was on its way then may be any part of an answer, but of a stream only.
            let is_stream = said.windows(NDJSON.len()).any(|part| part == NDJSON.as_bytes());
            assert!(is_stream, "no end: {}", String::from_utf8_lossy(&said));
        }
        said
    })
}

/// Takes all answers apart; panics where one is not as the contract has it.
fn judge(said: &[u8]) {
    let mut rest = said;
    while !rest.is_empty() {
        let shown = || String::from_utf8_lossy(rest).into_owned();
        let Some(at) = rest.windows(4).position(|four| four == b"\r\n\r\n") else {
            panic!("half a head: {}", shown());
        };
        let (head, behind) = rest.split_at(at + 4);
        let head = String::from_utf8_lossy(head).to_lowercase();
        assert!(head.starts_with("http/1."), "no answer: {}", shown());
        let status: u16 = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_default();
        assert!((100..600).contains(&status) && status != 500, "a defect: {}", shown());
        let header = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.map(str::trim)
        };
        if header("content-type") == Some(NDJSON) {
            return;
        }
        // What has a length and no body answers HEAD.
        let length = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let length = if behind.starts_with(b"HTTP/1.") || behind.is_empty() { 0 } else { length };
        let Some((body, after)) = behind.split_at_checked(length) else {
            panic!("half a body: {}", shown());
        };
        if header("content-type").is_some_and(|found| found.ends_with("json")) && length > 0 {
            let body: Option<Value> = serde_json::from_slice(body).ok();
            let Some(Value::Object(body)) = body else { panic!("no JSON: {}", shown()) };
            let told = body.get("kind").and(body.get("status"));
            assert!(told.is_none_or(|told| *told == status), "another status: {}", shown());
        }
        rest = after;
    }
}

/// One module with a session of its own.
struct Scene {
    registry: Registry,
    stop: watch::Sender<bool>,
    session: tokio::task::JoinHandle<()>,
    // Kept, since a session whose link's events end would see the link end.
    _link: (mpsc::UnboundedSender<Status>, mpsc::Sender<modtwin_session::link::InboundMessage>),
}

type Status = (modtwin_session::link::Epoch, modtwin_session::link::LinkStatus);

impl Scene {
    async fn open() -> Self {
        let (status_sender, status) = mpsc::unbounded_channel();
        let (message_sender, messages) = mpsc::channel(1);
        let ports = Ports {
            link: Box::new(Silent),
            events: LinkEvents { status, messages },
            credentials: Arc::new(Fixed),
            store: Arc::new(Memory::default()),
            messages: Arc::new(Shelf),
            clock: modtwin_session::clock::trusted(),
            governor: governor(),
        };
        let (handle, seat) = Seat::open(config(), ports).await;
        let (stop, stopped) = watch::channel(false);
        let session = tokio::spawn(async move {
            let _ended = seat.run(stopped).await;
        });
        let entry = Entry {
            handle,
            config: Arc::new(module()),
            credential_warnings: watch::Sender::new(Vec::new()).subscribe(),
        };
        let link = (status_sender, message_sender);
        Self { registry: registry(entry), stop, session, _link: link }
    }

    async fn close(self) {
        self.stop.send_replace(true);
        let _ended = tokio::time::timeout(LONGEST, self.session).await;
    }
}

fn registry(entry: Entry) -> Registry {
    let path = std::path::PathBuf::from("/run/modtwin/fuzz");
    Registry {
        modules: vec![entry],
        problems: std::collections::BTreeMap::new(),
        admin_group: "modtwin".to_owned(),
        admin_gid: None,
        // Whoever runs this may do everything.
        daemon_uid: fuzzing::own_uid(),
        facts: Arc::new(Facts {
            version: "0.0.0".to_owned(),
            pid: 1,
            started: SystemTime::UNIX_EPOCH,
            config_path: path.clone(),
            socket_path: path.clone(),
            state_directory: path,
            hub_hostname: HUB.to_owned(),
            device_id: "device01".to_owned(),
        }),
        config_state: ConfigState {
            in_force: InForce {
                digest: "sha256:0".to_owned(),
                version: None,
                since: SystemTime::UNIX_EPOCH,
                files: Vec::new(),
                report_module: None,
            },
            refused: None,
            trial: None,
        },
        shared: Shared {
            governor: governor(),
            clock: modtwin_session::clock::trusted(),
            operations_per_second: 20,
        },
    }
}

fn governor() -> Governor {
    Governor::new(Policy::boundless(Duration::from_secs(1)), 7)
}

fn module() -> Module {
    Module {
        id: id(),
        credential: Configured::X509 {
            certificate: FileRef::Path("m.pem".into()),
            private_key: FileRef::Path("m.key".into()),
            private_key_password_file: None,
        },
        acknowledge: Acknowledge::Pnp,
        model_id: None,
        method_timeout: LONGEST,
        handlers: Vec::new(),
    }
}

fn config() -> SessionConfig {
    let device = DeviceId::new("device01");
    SessionConfig {
        device: device.unwrap_or_else(|failure| panic!("{failure}")),
        module: id(),
        hub_host: HUB.to_owned(),
        dial_host: HUB.to_owned(),
        port: 8883,
        trusted_ca: None,
        keep_alive: Duration::from_secs(60),
        api_version: "2021-04-12".to_owned(),
        model_id: None,
        connect_limit: LONGEST,
        method_limit: LONGEST,
        settings: Settings {
            retry_base: Duration::from_secs(1),
            answer_limit: LONGEST,
            connect_limit: LONGEST,
            resync_every: LONGEST,
            plug_and_play: true,
            seed: 1,
        },
        handlers: Vec::new(),
    }
}

fn id() -> ModuleId {
    ModuleId::new("m").unwrap_or_else(|failure| panic!("{failure}"))
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

/// A certificate without end.
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

/// A disk that keeps no message.
#[derive(Debug)]
struct Shelf;

impl MessageStore for Shelf {
    fn load(&self) -> Result<FoundMessages, StoreError> {
        Ok(FoundMessages::default())
    }

    fn put(&self, _number: u64, _message: &DeviceMessage) -> Result<u64, StoreError> {
        Ok(1)
    }

    fn remove(&self, _number: u64) -> Result<(), StoreError> {
        Ok(())
    }

    fn set_aside(&self, _number: u64, _message: &DeviceMessage) -> Result<u64, StoreError> {
        Ok(1)
    }
}

/// A disk with desired version 7 on it.
#[derive(Debug, Default)]
struct Memory(Mutex<Option<StoredTwin>>);

impl TwinStore for Memory {
    fn load(&self) -> Result<Loaded, StoreError> {
        let section = |version, key: &str| {
            let document = Map::from_iter([(key.to_owned(), Value::from(1))]);
            Some(StoredSection { version, document })
        };
        let first = StoredTwin {
            format: STORED_FORMAT,
            generation: 1,
            desired: section(7, "a"),
            reported: section(3, "r"),
            outbox: Vec::new(),
            quarantined: Vec::new(),
            sequence: 0,
            acknowledged: Vec::new(),
            expected: Vec::new(),
            as_of_ms: None,
        };
        Ok(Loaded { twin: Some(first), damage: None })
    }

    fn save(&self, twin: &StoredTwin) -> Result<u64, StoreError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(twin.clone());
        Ok(1)
    }
}

const HUB: &str = "contoso.azure-devices.net";
const NDJSON: &str = "application/x-ndjson";
/// Longer than any request waits, in virtual time.
const LONGEST: Duration = Duration::from_secs(4000);
