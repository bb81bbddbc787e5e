//! One TCP connection until it speaks: faults that strike before TLS, the handshake, and whom it is then handed to.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use openssl::ssl::{Ssl, SslAcceptor, SslRef};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_openssl::SslStream;

use crate::certificate::ClientChain;
use crate::fault::Kind;
use crate::http;
use crate::hub::{self, Hub};
use crate::link::{self, Peer};
use crate::websocket::{self, Slot};

/// Serves a connection to the MQTT port.
pub(crate) async fn mqtt(
    hub: Arc<Hub>,
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: SslAcceptor,
) {
    hub.stats.accepted.up();
    hub.stats.open.up();
    let _open = Open(Arc::clone(&hub));
    if let Some(fault) = hub.faults.strike_unscoped(Kind::Drop) {
        return hub.tell_fault(&fault, None);
    }
    if let Some(fault) = hub.faults.strike_unscoped(Kind::Stall) {
        hub.tell_fault(&fault, None);
        return link::stall(&hub, &fault).await;
    }
    match handshake(stream, &acceptor, hub.rules.connect_wait).await {
        Ok(stream) => {
            let chain = client_chain(stream.ssl());
            let peer = Peer { address: peer.to_string(), transport: "tls", chain };
            Box::pin(link::serve(hub, stream, peer)).await;
        }
        Err(reason) => {
            hub.events.tell(
                "tls-failed",
                None,
                || json!({ "peer": peer.to_string(), "reason": reason }),
            );
        }
    }
}

/// Serves a connection to the HTTPS port: calls, or MQTT once it was upgraded.
pub(crate) async fn https(
    hub: Arc<Hub>,
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: SslAcceptor,
) {
    let Ok(stream) = handshake(stream, &acceptor, hub.rules.connect_wait).await else {
        return;
    };
    let chain = client_chain(stream.ssl());
    let peer = Peer { address: peer.to_string(), transport: "websockets", chain };
    let slot = Slot::default();
    answer_calls(&hub, stream, &peer, &slot).await;
    if let Some(upgrade) = slot.take() {
        hub.stats.open.up();
        let _open = Open(Arc::clone(&hub));
        upgrade.serve(hub, peer).await;
    }
}

/// Answers calls until the connection ends or is upgraded.
async fn answer_calls(hub: &Arc<Hub>, stream: SslStream<TcpStream>, peer: &Peer, slot: &Slot) {
    let mut stop = hub.stop.clone();
    let service = service_fn(async |request| {
        if websocket::is_meant(&request) {
            websocket::answer(hub, &peer.address, request, slot).await
        } else {
            http::answer(Arc::clone(hub), request).await.map_err(|never| match never {})
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = hub::stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(error = %error, "HTTPS connection ended badly");
    }
}

async fn handshake(
    stream: TcpStream,
    acceptor: &SslAcceptor,
    wait: Duration,
) -> Result<SslStream<TcpStream>, String> {
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let ssl = Ssl::new(acceptor.context()).map_err(|error| error.to_string())?;
    let mut stream = SslStream::new(ssl, stream).map_err(|error| error.to_string())?;
    match timeout(wait, Pin::new(&mut stream).accept()).await {
        Ok(Ok(())) => Ok(stream),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no handshake in time".to_owned()),
    }
}

/// Takes what the client showed; on the server's side OpenSSL's chain leaves the leaf out.
fn client_chain(ssl: &SslRef) -> Option<ClientChain> {
    let leaf = ssl.peer_certificate()?;
    let rest = ssl
        .peer_cert_chain()
        .map(|chain| chain.iter().map(ToOwned::to_owned).collect())
        .unwrap_or_default();
    Some(ClientChain { leaf, rest })
}

/// Counts a connection as open for as long as it lives.
struct Open(Arc<Hub>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.stats.open.down();
    }
}

/// Notes how a connection's task ended.
pub(crate) fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(error = %error, "a connection's task ended badly");
    }
}

/// Waits a moment after a failed accept, which happens when file descriptors run out.
pub(crate) async fn pause(error: &std::io::Error) {
    tracing::warn!(error = %error, "cannot accept a connection");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

const IDLE: Duration = Duration::from_secs(300);
