//! Stands where the session stands: asks the link, hears its events, and diagnoses by a probe.

use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modtwin_core::secret::Secret;
use modtwin_core::status::{Fault, Reason};
use modtwin_mqtt::{Diagnosis, Endpoint, Engine, Link};
use modtwin_session::credential::Credential;
use modtwin_session::link::{
    ConnectRequest, Epoch, HubLink, InboundMessage, LinkEvents, LinkStatus,
};
use openssl::ssl::{SslConnector, SslMethod};
use openssl::x509::X509VerifyResult;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use crate::authority::Authority;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A small diagnosis: connects, shakes hands, tells TCP from TLS.
#[derive(Debug)]
pub(crate) struct Probe;

impl Diagnosis for Probe {
    fn diagnose(&self, endpoint: &Endpoint) -> Option<Fault> {
        let address = endpoint.addresses.iter().find(|address| address.is_ipv4())?;
        let stream = match TcpStream::connect_timeout(address, endpoint.time_limit) {
            Ok(stream) => stream,
            Err(error) => {
                return Some(Fault::new(
                    Reason::Network,
                    format!("cannot reach {address}: {error}"),
                ));
            }
        };
        stream.set_read_timeout(Some(endpoint.time_limit)).unwrap();
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_ca_file(&endpoint.trusted_ca).unwrap();
        match connector.build().connect(&endpoint.host, stream) {
            Ok(_) => None,
            Err(openssl::ssl::HandshakeError::Failure(failed))
                if failed.ssl().verify_result() != X509VerifyResult::OK =>
            {
                Some(Fault::new(Reason::Tls, failed.ssl().verify_result().to_string()))
            }
            Err(_) => None,
        }
    }
}

/// What the peer's script tells next.
pub(crate) async fn next<T>(heard: &mut UnboundedReceiver<T>) -> T {
    timeout(PATIENCE, heard.recv()).await.unwrap().unwrap()
}

/// An engine with the probe.
pub(crate) fn engine() -> Engine {
    Engine::start(Arc::new(Probe)).unwrap()
}

/// One module's user of the link.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) link: Link,
    pub(crate) events: LinkEvents,
    pub(crate) epoch: u64,
    pub(crate) request: ConnectRequest,
}

impl User {
    pub(crate) fn new(engine: &Engine, authority: &Authority, port: u16) -> Self {
        let (link, events) = engine.link("cam-1");
        let request = ConnectRequest {
            epoch: Epoch(0),
            host: "localhost".into(),
            port,
            trusted_ca: Some(authority.file()),
            client_id: "gw/cam-1".into(),
            user_name: "hub.test/gw/cam-1/?api-version=2021-04-12".into(),
            credential: Credential::Token {
                token: Secret::new("the-token".into()),
                expires: SystemTime::now(),
            },
            keep_alive: Duration::from_secs(60),
            time_limit: Duration::from_secs(20),
        };
        Self { link, events, epoch: 0, request }
    }

    /// Uses a client certificate.
    pub(crate) fn with_certificate(
        mut self,
        certificate: PathBuf,
        key: PathBuf,
        password: Option<&str>,
    ) -> Self {
        self.request.credential = Credential::X509 {
            certificate,
            private_key: key,
            password: password.map(|password| Secret::new(password.into())),
            expires: SystemTime::now() + Duration::from_secs(3600),
        };
        self
    }

    /// Begins a connection under the next epoch.
    pub(crate) fn begin(&mut self) {
        self.epoch += 1;
        self.request.epoch = Epoch(self.epoch);
        self.link.connect(self.request.clone());
    }

    /// The next status, which must be of the present epoch.
    pub(crate) async fn status(&mut self) -> LinkStatus {
        let (epoch, status) = timeout(PATIENCE, self.events.status.recv()).await.unwrap().unwrap();
        assert_eq!(epoch, Epoch(self.epoch), "{status:?}");
        status
    }

    pub(crate) async fn connect(&mut self) {
        self.begin();
        assert_eq!(self.status().await, LinkStatus::Connected);
    }

    pub(crate) async fn subscribe(&mut self) {
        self.link.subscribe(&["$iothub/twin/res/#", "$iothub/methods/POST/#"]);
        assert_eq!(self.status().await, LinkStatus::Subscribed);
    }

    /// Tries to connect and tells how it failed.
    pub(crate) async fn failure(&mut self) -> Fault {
        self.begin();
        match self.status().await {
            LinkStatus::Failed(fault) => fault,
            other => panic!("expected a failure, found {other:?}"),
        }
    }

    /// Waits until the connection is lost and tells how.
    pub(crate) async fn loss(&mut self) -> Fault {
        match self.status().await {
            LinkStatus::Lost(fault) => fault,
            other => panic!("expected a loss, found {other:?}"),
        }
    }

    pub(crate) async fn message(&mut self) -> InboundMessage {
        timeout(PATIENCE, self.events.messages.recv()).await.unwrap().unwrap()
    }

    /// No word is left to be heard.
    pub(crate) fn assert_silent(&mut self) {
        assert!(self.events.status.try_recv().is_err());
    }
}
