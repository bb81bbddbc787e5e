//! The hub's service REST API: one HTTPS connection, kept open, and tokens that do not run out.
//!
//! Owns the connection and the token. Leaves what is asked for to the commands, and TLS and tokens
//! to `modtwin-credentials`.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use modtwin_credentials::{ProbeTarget, SasToken, client_session, probe};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_openssl::SslStream;

use super::access::Access;
use super::refusal::Refusal;
use crate::failure::{Exit, Failure, chain};

/// The version that the service SDKs of 2021 and later send.
const API_VERSION: &str = "2021-04-12";
/// How long a token is good, and how much of that must be left to use it.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
const TOKEN_REMAINDER: Duration = Duration::from_secs(300);
/// How long connecting may take, and an answer unless the call says otherwise.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// The largest answer that is read: a thousand identities have a megabyte.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// What stays as it is in a path: the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a call got no good answer.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The hub was not reached, or the connection broke.
    Unreachable(String),
    /// The hub said no.
    Refused(Box<Refusal>),
    /// What came is no answer of a hub.
    Odd(String),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let (exit, text) = match error {
            CallError::Unreachable(text) => (Exit::Unreachable, text),
            CallError::Refused(refusal) => (refusal.exit(), refusal.to_string()),
            CallError::Odd(text) => (Exit::Failed, text),
        };
        Self::new(exit, vec![text])
    }
}

/// A call of the service API.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    method: Method,
    path: String,
    body: Option<&'a Value>,
    if_match: Option<String>,
    query: String,
    limit: Duration,
}

impl<'a> Call<'a> {
    pub(crate) fn get(path: String) -> Self {
        Self::new(Method::GET, path, None)
    }

    pub(crate) fn put(path: String, body: &'a Value) -> Self {
        Self::new(Method::PUT, path, Some(body))
    }

    pub(crate) fn patch(path: String, body: &'a Value) -> Self {
        Self::new(Method::PATCH, path, Some(body))
    }

    pub(crate) fn post(path: String, body: &'a Value) -> Self {
        Self::new(Method::POST, path, Some(body))
    }

    pub(crate) fn delete(path: String) -> Self {
        // Whatever it is by now; the hub asks for this.
        Self::new(Method::DELETE, path, None).if_match("*")
    }

    fn new(method: Method, path: String, body: Option<&'a Value>) -> Self {
        Self { method, path, body, if_match: None, query: String::new(), limit: ANSWER_LIMIT }
    }

    /// Only if the etag is still this one; `*` is any.
    pub(crate) fn if_match(mut self, etag: &str) -> Self {
        let etag = etag.trim().trim_matches('"');
        self.if_match = Some(if etag == "*" { etag.to_owned() } else { format!("\"{etag}\"") });
        self
    }

    /// Another parameter besides api-version.
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push_str(&format!("&{name}={}", encoded(value)));
        self
    }

    /// How long the answer may take.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

/// A client of the hub's service side.
#[derive(Debug)]
pub(crate) struct Service {
    access: Access,
    token: SasToken,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Service {
    /// A client; nothing is connected yet.
    pub(crate) fn new(access: Access) -> Result<Self, Failure> {
        let token = sign(&access).map_err(Failure::failed)?;
        Ok(Self { access, token, connection: None })
    }

    /// The hub's name.
    pub(crate) fn host(&self) -> &str {
        &self.access.host
    }

    /// Makes a call; an empty answer is null.
    pub(crate) async fn call(&mut self, call: Call<'_>) -> Result<Value, CallError> {
        let left = self.token.expires.duration_since(SystemTime::now()).unwrap_or_default();
        if left < TOKEN_REMAINDER {
            self.token = sign(&self.access).map_err(CallError::Odd)?;
        }
        let (status, name, bytes) = match timeout(call.limit, self.exchange(&call)).await {
            Ok(answered) => answered?,
            Err(_elapsed) => {
                self.connection = None;
                let limit = call.limit.as_secs();
                return Err(self.unreachable(&format!("no answer within {limit} s")));
            }
        };
        if !(200..300).contains(&status) {
            let refusal = Refusal::read(status, name.as_deref(), &bytes);
            return Err(CallError::Refused(Box::new(refusal)));
        }
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            CallError::Odd(format!("expected JSON from `{}`, found {error}", self.access.host))
        })
    }

    async fn exchange(
        &mut self,
        call: &Call<'_>,
    ) -> Result<(u16, Option<String>, Bytes), CallError> {
        let answer = self.send(call).await?;
        let status = answer.status().as_u16();
        let name = answer.headers().get("iothub-errorcode");
        let name = name.and_then(|name| name.to_str().ok()).map(str::to_owned);
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        let bytes = body.map_err(|error| self.unreachable(&error.to_string()))?.to_bytes();
        Ok((status, name, bytes))
    }

    async fn send(
        &mut self,
        call: &Call<'_>,
    ) -> Result<Response<hyper::body::Incoming>, CallError> {
        let request = self.request(call)?;
        if let Some(mut open) = self.connection.take()
            && open.ready().await.is_ok()
        {
            match open.send_request(request.clone()).await {
                Ok(answer) => {
                    self.connection = Some(open);
                    return Ok(answer);
                }
                // The hub closed it meanwhile: nothing was taken, a new one follows.
                Err(error) if error.is_canceled() || error.is_closed() => {}
                Err(error) if call.method == Method::GET => drop(error),
                Err(error) => return Err(self.unreachable(&chain(&error))),
            }
        }
        let mut fresh = match timeout(CONNECT_LIMIT, self.connect()).await {
            Ok(connected) => connected?,
            Err(_elapsed) => {
                let limit = CONNECT_LIMIT.as_secs();
                return Err(self.unreachable(&format!("no connection within {limit} s")));
            }
        };
        let answer = fresh.send_request(request).await;
        let answer = answer.map_err(|error| self.unreachable(&chain(&error)))?;
        self.connection = Some(fresh);
        Ok(answer)
    }

    fn request(&self, call: &Call<'_>) -> Result<Request<Full<Bytes>>, CallError> {
        let odd = |error: &dyn std::error::Error| {
            CallError::Odd(format!("cannot write the request: {error}"))
        };
        let body = match call.body {
            Some(body) => Bytes::from(serde_json::to_vec(body).map_err(|error| odd(&error))?),
            None => Bytes::new(),
        };
        let target = format!("{}?api-version={API_VERSION}{}", call.path, call.query);
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(target)
            .header(header::HOST, &self.access.host)
            .header(header::USER_AGENT, concat!("modtwinctl/", env!("CARGO_PKG_VERSION")))
            .header(header::AUTHORIZATION, self.token.token.expose());
        if call.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(etag) = &call.if_match {
            request = request.header(header::IF_MATCH, etag);
        }
        request.body(Full::new(body)).map_err(|error| odd(&error))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, CallError> {
        let access = &self.access;
        let addresses = self
            .addresses()
            .await
            .map_err(|error| self.unreachable(&format!("the name cannot be resolved: {error}")))?;
        let tcp = TcpStream::connect(addresses.as_slice()).await;
        let tcp = tcp.map_err(|error| self.unreachable(&error.to_string()))?;
        tcp.set_nodelay(true).map_err(|error| self.unreachable(&error.to_string()))?;
        let session = client_session(&access.host, access.trusted_ca.as_deref())
            .map_err(|error| CallError::Odd(chain(&error)))?;
        let mut tls = SslStream::new(session, tcp)
            .map_err(|error| CallError::Odd(format!("cannot set up TLS: {error}")))?;
        if let Err(error) = Pin::new(&mut tls).connect().await {
            let why = self.why_no_tls(addresses).await;
            return Err(self.unreachable(&why.unwrap_or_else(|| error.to_string())));
        }
        let (sender, connection) = http1::handshake(TokioIo::new(tls))
            .await
            .map_err(|error| self.unreachable(&chain(&error)))?;
        // What breaks the connection shows in the call that uses it.
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        match self.access.address {
            Some(address) => Ok(vec![(address, self.access.port).into()]),
            None => {
                let host = (self.access.host.as_str(), self.access.port);
                Ok(tokio::net::lookup_host(host).await?.collect())
            }
        }
    }

    /// Shakes hands once more, only to learn what was wrong.
    async fn why_no_tls(&self, addresses: Vec<SocketAddr>) -> Option<String> {
        let target = ProbeTarget {
            addresses,
            server_name: self.access.host.clone(),
            trusted_ca: self.access.trusted_ca.clone(),
            timeout: CONNECT_LIMIT,
        };
        let probed = tokio::task::spawn_blocking(move || probe(&target)).await.ok()?;
        probed.err().map(|error| chain(&error))
    }

    fn unreachable(&self, why: &str) -> CallError {
        let Access { host, port, .. } = &self.access;
        CallError::Unreachable(format!("cannot reach the hub at {host}:{port}: {why}"))
    }
}

fn sign(access: &Access) -> Result<SasToken, String> {
    let expires = SystemTime::now() + TOKEN_LIFETIME;
    SasToken::sign_service(&access.host, &access.policy, &access.key, expires)
        .map_err(|error| chain(&error))
}

/// The path of a device.
pub(crate) fn device_path(device: &str) -> String {
    format!("/devices/{}", encoded(device))
}

/// The path of a module.
pub(crate) fn module_path(device: &str, module: &str) -> String {
    format!("/devices/{}/modules/{}", encoded(device), encoded(module))
}

/// The path of a device's modules.
pub(crate) fn modules_path(device: &str) -> String {
    format!("/devices/{}/modules", encoded(device))
}

/// The path of a module's twin.
pub(crate) fn twin_path(device: &str, module: &str) -> String {
    format!("/twins/{}/modules/{}", encoded(device), encoded(module))
}

fn encoded(id: &str) -> String {
    utf8_percent_encode(id, RESERVED).to_string()
}
