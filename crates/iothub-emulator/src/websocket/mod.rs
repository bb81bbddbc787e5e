//! MQTT over WebSockets on the HTTPS port: judging the upgrade, answering it, and handing the link over ("Communicate
//! with an IoT hub using the MQTT protocol", section on port 443; RFC 6455; MQTT 3.1.1, section 6).

mod bytes;

use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde_json::json;
use thiserror::Error;
use tokio_tungstenite::tungstenite::error::{Error as SocketError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use crate::fault::Kind;
use crate::http::{self, Body};
use crate::hub::Hub;
use crate::link::{self, Peer};
use crate::problem::{self, Code, Problem};
use bytes::ByteStream;

/// Ends an HTTPS connection without an answer, as a cut network does.
#[derive(Clone, Copy, Debug, Error)]
#[error("cut by a fault")]
pub(crate) struct Cut;

/// Holds an upgrade that was granted, until the HTTP side of its connection has ended.
#[derive(Debug)]
pub(crate) struct Upgrade {
    on: OnUpgrade,
    /// Whether the client asked not to be judged by a certificate.
    ignores_certificate: bool,
}

/// Where a connection's requests leave the upgrade. Locked twice in a connection's life.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot(Arc<Mutex<Option<Upgrade>>>);

impl Slot {
    /// Takes what was granted, if anything was.
    pub(crate) fn take(&self) -> Option<Upgrade> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, upgrade: Upgrade) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgrade);
    }
}

/// Says whether a request is for the WebSocket's path, `/$iothub/websocket`.
pub(crate) fn is_meant(request: &Request<Incoming>) -> bool {
    percent_decode_str(request.uri().path()).decode_utf8().is_ok_and(|path| path == PATH)
}

/// Answers a request for the WebSocket's path; a granted upgrade is left in `slot`.
///
/// # Errors
/// A fault cuts the connection.
pub(crate) async fn answer(
    hub: &Hub,
    peer: &str,
    mut request: Request<Incoming>,
    slot: &Slot,
) -> Result<Response<Body>, Cut> {
    hub.stats.accepted.up();
    if let Some(fault) = hub.faults.strike_unscoped(Kind::Drop) {
        hub.tell_fault(&fault, None);
        return Err(Cut);
    }
    if let Some(fault) = hub.faults.strike_unscoped(Kind::Stall) {
        hub.tell_fault(&fault, None);
        link::stall(hub, &fault).await;
        return Err(Cut);
    }
    match grant(&request) {
        Ok(response) => {
            let query = request.uri().query().unwrap_or_default();
            let ignores_certificate = query.split('&').any(|pair| {
                pair.split_once('=').is_some_and(|(name, value)| {
                    name == "iothub-no-client-cert" && value.eq_ignore_ascii_case("true")
                })
            });
            slot.put(Upgrade { on: hyper::upgrade::on(&mut request), ignores_certificate });
            Ok(response)
        }
        Err(problem) => {
            hub.stats.refusals.up();
            let detail = || json!({ "reason": problem.message, "peer": peer });
            hub.events.tell("refused", None, detail);
            Ok(refusal(hub, &problem))
        }
    }
}

fn grant(request: &Request<Incoming>) -> Result<Response<Body>, Problem> {
    if request.method() != Method::GET {
        let text = format!("websocket: expected GET, found {}", request.method());
        return Err(Problem::new(problem::METHOD_NOT_ALLOWED, text));
    }
    let empty = || Full::default().boxed_unsync();
    let mut response = create_response_with_body(request, empty).map_err(judge)?;
    let protocol = protocol(request.headers()).ok_or_else(|| {
        let text = "websocket: expected the subprotocol mqtt in Sec-WebSocket-Protocol";
        Problem::new(BAD_UPGRADE, text)
    })?;
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    Ok(response)
}

fn judge(error: SocketError) -> Problem {
    let code = match &error {
        SocketError::Protocol(
            ProtocolError::WrongHttpVersion
            | ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::MissingSecWebSocketVersionHeader,
        ) => UPGRADE_REQUIRED,
        _ => BAD_UPGRADE,
    };
    Problem::new(code, format!("websocket: {error}"))
}

/// Finds MQTT among the subprotocols offered, written as it came: the C SDK offers `MQTT`, others `mqtt`.
fn protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offers = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let names = offers.flat_map(|offer| offer.to_str().unwrap_or_default().split(','));
    let mut names = names.map(str::trim);
    let mqtt = names.find(|name| name.eq_ignore_ascii_case("mqtt"))?;
    HeaderValue::from_str(mqtt).ok()
}

fn refusal(hub: &Hub, problem: &Problem) -> Response<Body> {
    let mut response = http::json(problem.code.status, &problem.named_body(hub.clock.now()));
    let headers = response.headers_mut();
    let name = HeaderName::from_static("iothub-errorcode");
    headers.insert(name, HeaderValue::from_static(problem.code.name));
    if problem.code == UPGRADE_REQUIRED {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let version = HeaderName::from_static("sec-websocket-version");
        headers.insert(version, HeaderValue::from_static("13"));
    }
    if problem.code == problem::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET"));
    }
    // Whatever follows on this connection is no HTTP that its client means.
    http::close_after(&mut response);
    response
}

impl Upgrade {
    /// Serves the link to its end.
    pub(crate) async fn serve(self, hub: Arc<Hub>, mut peer: Peer) {
        let upgraded = match self.on.await {
            Ok(upgraded) => upgraded,
            Err(error) => return tracing::debug!(error = %error, "the upgrade broke off"),
        };
        if self.ignores_certificate {
            peer.chain = None;
        }
        let stream = ByteStream::accept(TokioIo::new(upgraded)).await;
        Box::pin(link::serve(hub, stream, peer)).await;
    }
}

const PATH: &str = "/$iothub/websocket";
const UPGRADE_REQUIRED: Code = Code { status: 426, number: 426_000, name: "UpgradeRequired" };
const BAD_UPGRADE: Code = Code { status: 400, number: 400_000, name: "BadRequest" };
