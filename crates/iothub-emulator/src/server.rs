//! Starting, serving and ending: listeners, TLS, what is in the folder, what callers are told.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::SslAcceptor;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::accept;
use crate::authority::Pair;
use crate::clock::Clock;
use crate::config::Config;
use crate::event::Events;
use crate::facts::{FACTS, Facts};
use crate::fault::Faults;
use crate::folder::{Folder, FolderError};
use crate::hub::{self, Hub};
use crate::method::Calls;
use crate::policy::Policy;
use crate::registry::Registry;
use crate::scenario::Scenario;
use crate::stats::Stats;
use crate::store::{Contents, Store, StoreError};
use crate::throttle::Throttle;

/// Says why an emulator can't start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The folder can't be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// What the folder holds can't be used.
    #[error("cannot use what the folder holds")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file in the folder is not what it should be.
    #[error("`{0}` is damaged: remove it to have a new one made")]
    Damaged(PathBuf, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// OpenSSL refuses.
    #[error("cannot make keys and certificates")]
    Tls(#[from] ErrorStack),
    /// A port can't be had.
    #[error(
        "cannot listen on {0}: choose another address with --listen, or a free port with --mqtt-port 0 --https-port 0"
    )]
    Listen(SocketAddr, #[source] std::io::Error),
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

/// Starts emulators.
#[derive(Debug)]
pub struct Emulator;

impl Emulator {
    /// Starts an emulator on the current tokio runtime; when this returns, it serves.
    ///
    /// # Errors
    /// Says what can't be used: the folder, its files, an address.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        let folder = Folder::open(config.dir.as_deref())?;
        folder.remove(FACTS);
        let authority = authority(&folder)?;
        let server = authority.sign_server(&config.hostname, config.listen)?;
        folder.publish("server.pem", &server.certificate.to_pem()?)?;
        let policies = policies(&folder)?;
        let (store, contents) = match folder.is_temporary() {
            true => (Store::ephemeral(), Contents::default()),
            false => Store::open(folder.path())?,
        };
        let registry = registry(contents, &authority)?;
        let acceptor = server.acceptor(&authority.certificate)?;
        let (mqtt, mqtt_port) = bind(config.listen, config.mqtt_port).await?;
        let (https, https_port) = bind(config.listen, config.https_port).await?;
        let (stop, stopped) = watch::channel(false);
        let facts = Facts {
            hostname: config.hostname.clone(),
            listen: config.listen,
            mqtt_port,
            https_port,
            ca: folder.path().join("ca.pem"),
            service_connection_string: connection_string(&config.hostname, &policies),
        };
        let scenario = config.scenario.clone();
        let hub = Arc::new(hub(config, (policies, registry, store), stopped));
        let line = serde_json::to_string(&facts).unwrap_or_default();
        let task = tokio::spawn(serve(Arc::clone(&hub), (mqtt, https), acceptor, scenario));
        folder.write(FACTS, format!("{line}\n").as_bytes())?;
        Ok(Running { facts, hub, stop, task, folder })
    }
}

pub(crate) fn hub(
    config: Config,
    (policies, registry, store): (Vec<Policy>, Registry, Store),
    stop: watch::Receiver<bool>,
) -> Hub {
    let longest_shaping = config.rules.longest_shaping;
    Hub {
        hostname: config.hostname,
        rules: config.rules,
        policies,
        clock: Clock::new(),
        registry,
        store,
        faults: Faults::new(config.seed),
        events: Events::new(),
        stats: Stats::default(),
        throttle: Throttle::new(config.tier, longest_shaping),
        calls: Calls::default(),
        link_ids: AtomicU64::new(1),
        stop,
    }
}

/// An emulator that serves. Dropping it ends its tasks without order; [`Running::shutdown`] ends it well.
#[derive(Debug)]
pub struct Running {
    facts: Facts,
    hub: Arc<Hub>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    folder: Folder,
}

impl Running {
    /// Gives what `emulator.json` says.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Gives the port of MQTT over TLS.
    #[must_use]
    pub fn mqtt_port(&self) -> u16 {
        self.facts.mqtt_port
    }

    /// Gives the port of HTTPS.
    #[must_use]
    pub fn https_port(&self) -> u16 {
        self.facts.https_port
    }

    /// Gives the path of the CA certificate that clients trust; its key lies beside it as `ca.key`.
    #[must_use]
    pub fn ca(&self) -> &Path {
        &self.facts.ca
    }

    /// Gives the service's connection string.
    #[must_use]
    pub fn connection_string(&self) -> &str {
        &self.facts.service_connection_string
    }

    /// Ends the emulator: links are closed, what was queued is written, a temporary folder is removed.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(error = %error, "serving ended badly");
        }
        let hub = self.hub;
        let closed = tokio::task::spawn_blocking(move || hub.store.close()).await;
        if closed.is_err() {
            tracing::error!("closing the store ended badly");
        }
        self.folder.remove(FACTS);
    }
}

fn authority(folder: &Folder) -> Result<Pair, StartError> {
    if let (Some(certificate), Some(key)) = (folder.read("ca.pem")?, folder.read("ca.key")?) {
        let damaged =
            |error: ErrorStack| StartError::Damaged(folder.path().join("ca.pem"), Box::new(error));
        return Pair::from_pem(&certificate, &key).map_err(damaged);
    }
    let pair = Pair::new_authority()?;
    folder.write("ca.key", &pair.key.private_key_to_pem_pkcs8()?)?;
    folder.publish("ca.pem", &pair.certificate.to_pem()?)?;
    Ok(pair)
}

fn policies(folder: &Folder) -> Result<Vec<Policy>, StartError> {
    if let Some(bytes) = folder.read(POLICIES)? {
        let damaged = |error| StartError::Damaged(folder.path().join(POLICIES), Box::new(error));
        return serde_json::from_slice(&bytes).map_err(damaged);
    }
    let policies = Policy::defaults()?;
    folder
        .write(POLICIES, serde_json::to_string_pretty(&policies).unwrap_or_default().as_bytes())?;
    Ok(policies)
}

fn registry(contents: Contents, authority: &Pair) -> Result<Registry, StartError> {
    let registry = Registry::default();
    registry.restore(contents.records);
    registry.add_authority(authority.certificate.clone());
    for pem in contents.authorities {
        registry.add_authority(openssl::x509::X509::from_pem(pem.as_bytes())?);
    }
    Ok(registry)
}

fn connection_string(hostname: &str, policies: &[Policy]) -> String {
    let owner = policies.iter().find(|policy| policy.name() == "iothubowner");
    let key = owner.map(|policy| policy.keys()[0].expose()).unwrap_or_default();
    format!("HostName={hostname};SharedAccessKeyName=iothubowner;SharedAccessKey={key}")
}

async fn bind(listen: IpAddr, port: u16) -> Result<(TcpListener, u16), StartError> {
    let address = SocketAddr::new(listen, port);
    let failed = |error| StartError::Listen(address, error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok((listener, port))
}

async fn serve(
    hub: Arc<Hub>,
    (mqtt, https): (TcpListener, TcpListener),
    acceptor: SslAcceptor,
    scenario: Scenario,
) {
    let mut stop = hub.stop.clone();
    let mut connections = JoinSet::new();
    connections.spawn(scenario.play(Arc::clone(&hub)));
    loop {
        tokio::select! {
            biased;
            () = hub::stopped(&mut stop) => break,
            Some(ended) = connections.join_next() => accept::note(ended),
            accepted = mqtt.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(accept::mqtt(Arc::clone(&hub), stream, peer, acceptor.clone()));
                }
                Err(error) => accept::pause(&error).await,
            },
            accepted = https.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(accept::https(Arc::clone(&hub), stream, peer, acceptor.clone()));
                }
                Err(error) => accept::pause(&error).await,
            },
        }
    }
    let drained = async {
        while let Some(ended) = connections.join_next().await {
            accept::note(ended);
        }
    };
    // Whoever has not ended by then is cut when the set is dropped.
    let _ = tokio::time::timeout(DRAIN, drained).await;
}

const POLICIES: &str = "policies.json";
const DRAIN: Duration = Duration::from_secs(2);
