//! Where the parts meet: the config becomes a module's session, and the credentials crate becomes
//! what the session and the link ask for.

use std::error::Error;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use modtwin_config::{Acknowledge, Credential, FileRefError, Handler, Hub, Module, Transport};
use modtwin_core::governor::Policy;
use modtwin_core::handlers::HandlerRule;
use modtwin_core::session::Settings;
use modtwin_core::status::{Fault, Reason};
use modtwin_credentials::{
    CertificateFiles, CredentialFiles, ModuleCredential, ProbeError, ProbeTarget, probe,
};
use modtwin_mqtt::{Carrier, Diagnosis, Endpoint, Engine};
use modtwin_session::clock::ClockReceiver;
use modtwin_session::credential::CredentialSource;
use modtwin_session::governor::Governor;
use modtwin_session::handle::ModuleHandle;
use modtwin_session::seat::{Ports, Seat, SessionConfig};
use tokio::sync::Semaphore;

use crate::credential::Keeper;
use crate::message_store::MessageFolder;
use crate::store::StateFolder;

/// The mean time between two connects of the daemon when all is well (client SDKs and the hub's
/// throttles: 100 new connections a second are shared by all gateways of the smallest hub).
const CONNECT_SPACING: Duration = Duration::from_millis(50);
/// How long one connection attempt may take: name, TCP, TLS and CONNACK.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// How long the hub may take to answer, in retry bases, within the bounds below.
const ANSWER_LIMIT_BASES: u32 = 30;
const ANSWER_LIMIT_MIN: Duration = Duration::from_secs(2);
const ANSWER_LIMIT_MAX: Duration = Duration::from_secs(60);
/// How often a live session fetches the twin although nothing asks for it. 24 reads a day and
/// module are nothing beside the daily quota of 400,000 messages (IoT Hub quotas, S1).
const RESYNC_EVERY: Duration = Duration::from_secs(60 * 60);

/// What every module's session is built with.
#[derive(Debug, Clone)]
pub(crate) struct Workshop {
    pub(crate) engine: Arc<Engine>,
    pub(crate) governor: Governor,
    pub(crate) clock: ClockReceiver,
    pub(crate) state_directory: PathBuf,
    /// `$CREDENTIALS_DIRECTORY`, as systemd sets it.
    pub(crate) credentials_directory: Option<PathBuf>,
    /// The turn for renewing a live session's credential.
    pub(crate) renewals: Arc<Semaphore>,
}

/// A module's session before it runs.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) handle: ModuleHandle,
    pub(crate) seat: Seat,
    pub(crate) keeper: Arc<Keeper>,
}

impl Workshop {
    /// Builds a module's session; its state is read from disk here.
    pub(crate) async fn open(&self, hub: &Hub, module: &Module) -> Opened {
        let (link, events) = self.engine.link(module.id.as_str());
        let link = link.over(match hub.transport {
            Transport::Mqtt => Carrier::Tls,
            Transport::WebSocket => Carrier::WebSocket,
        });
        let keeper = Arc::new(self.keeper(hub, module));
        let folder = StateFolder::new(&self.state_directory, &module.id);
        let ports = Ports {
            link: Box::new(link),
            events,
            credentials: Arc::clone(&keeper) as Arc<dyn CredentialSource>,
            messages: Arc::new(MessageFolder::new(folder.folder())),
            store: Arc::new(folder),
            governor: self.governor.clone(),
            clock: self.clock.clone(),
        };
        let config = session_config(hub, module);
        let (handle, seat) = Seat::open(config, ports).await;
        Opened { handle, seat, keeper }
    }

    /// The module's credential files, as far as the config can be resolved.
    pub(crate) fn credential_paths(&self, module: &Module) -> Vec<PathBuf> {
        match self.credential_files(&module.credential) {
            Ok(CredentialFiles::X509(files)) => {
                let password = files.private_key_password_file;
                [Some(files.certificate), Some(files.private_key), password]
                    .into_iter()
                    .flatten()
                    .collect()
            }
            Ok(
                CredentialFiles::ConnectionString(file) | CredentialFiles::SharedAccessKey(file),
            ) => {
                vec![file]
            }
            Err(_not_under_systemd) => Vec::new(),
        }
    }

    fn keeper(&self, hub: &Hub, module: &Module) -> Keeper {
        let source = self.credential_files(&module.credential).map(|files| ModuleCredential {
            token_lifetime: hub.token_lifetime,
            ..ModuleCredential::new(
                hub.device_id.clone(),
                module.id.clone(),
                hub.hostname.clone(),
                files,
            )
        });
        Keeper::new(source, Arc::clone(&self.renewals))
    }

    fn credential_files(&self, credential: &Credential) -> Result<CredentialFiles, FileRefError> {
        let folder = self.credentials_directory.as_deref();
        Ok(match credential {
            Credential::X509 { certificate, private_key, private_key_password_file } => {
                CredentialFiles::X509(CertificateFiles {
                    certificate: certificate.resolve(folder)?,
                    private_key: private_key.resolve(folder)?,
                    private_key_password_file: private_key_password_file
                        .as_ref()
                        .map(|file| file.resolve(folder))
                        .transpose()?,
                })
            }
            Credential::ConnectionStringFile(file) => {
                CredentialFiles::ConnectionString(file.resolve(folder)?)
            }
            Credential::SharedAccessKeyFile(file) => {
                CredentialFiles::SharedAccessKey(file.resolve(folder)?)
            }
        })
    }
}

/// What all modules together may ask of that hub.
pub(crate) fn budget(hub: &Hub) -> Policy {
    Policy {
        connect_spacing: CONNECT_SPACING,
        operations_per_second: hub.operations_per_second,
        retry_base: hub.retry_delay,
    }
}

/// The module's handlers as its session has to know them.
pub(crate) fn handler_rules(module: &Module) -> Vec<HandlerRule> {
    let rule = |handler: &Handler| HandlerRule {
        name: handler.name.clone(),
        watch: handler.watch.clone(),
        ack_timeout: handler.ack_timeout,
    };
    module.handlers.iter().map(rule).collect()
}

fn session_config(hub: &Hub, module: &Module) -> SessionConfig {
    let answer_limit =
        (hub.retry_delay * ANSWER_LIMIT_BASES).clamp(ANSWER_LIMIT_MIN, ANSWER_LIMIT_MAX);
    SessionConfig {
        device: hub.device_id.clone(),
        module: module.id.clone(),
        hub_host: hub.hostname.clone(),
        dial_host: hub.dial_name().to_owned(),
        port: hub.port,
        trusted_ca: hub.trusted_ca.clone(),
        keep_alive: hub.keep_alive,
        api_version: hub.api_version.clone(),
        model_id: module.model_id.clone(),
        connect_limit: CONNECT_LIMIT,
        settings: Settings {
            retry_base: hub.retry_delay,
            answer_limit,
            // The link ends every attempt in time; this is for a link that does not.
            connect_limit: CONNECT_LIMIT * 2,
            resync_every: RESYNC_EVERY,
            plug_and_play: module.acknowledge == Acknowledge::Pnp,
            seed: RandomState::new().hash_one(module.id.as_str()),
        },
        handlers: handler_rules(module),
        method_limit: module.method_timeout,
    }
}

/// Asks OpenSSL why a handshake failed.
#[derive(Debug)]
pub(crate) struct TlsProbe;

impl Diagnosis for TlsProbe {
    fn diagnose(&self, endpoint: &Endpoint) -> Option<Fault> {
        let target = ProbeTarget {
            addresses: endpoint.addresses.clone(),
            server_name: endpoint.host.clone(),
            trusted_ca: Some(endpoint.trusted_ca.clone()),
            timeout: endpoint.time_limit,
        };
        let error = probe(&target).err()?;
        let reason = match &error {
            // Hubs do not serve certificates of the future: it is this machine that lives in the past.
            ProbeError::TlsNotYetValidServer { .. } => Reason::Clock,
            error if error.is_tls() => Reason::Tls,
            _ => Reason::Network,
        };
        Some(Fault::new(reason, format!("{}:{}: {}", endpoint.host, endpoint.port, chain(&error))))
    }
}

/// An error with all its causes, on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
