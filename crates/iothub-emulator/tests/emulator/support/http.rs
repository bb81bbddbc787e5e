//! A REST client that verifies the emulator's certificate and name.

use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use openssl::ssl::{SslConnector, SslMethod};
use openssl::x509::X509;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::Events;

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn error_code(&self) -> &str {
        self.headers.get("iothub-errorcode").map_or("", |code| code.to_str().expect("text"))
    }
}

/// Calls one emulator, a connection a call.
pub(crate) struct Https {
    address: SocketAddr,
    connector: SslConnector,
}

impl Https {
    pub(crate) fn new(address: SocketAddr, ca: &[u8]) -> Self {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("a connector");
        let certificate = X509::from_pem(ca).expect("a certificate");
        let mut store = openssl::x509::store::X509StoreBuilder::new().expect("a store");
        store.add_cert(certificate).expect("a store");
        builder.set_cert_store(store.build());
        Self { address, connector: builder.build() }
    }

    /// Shakes hands for a server name; the certificate must carry it.
    pub(crate) async fn dial(
        &self,
        name: &str,
    ) -> Result<SslStream<TcpStream>, openssl::ssl::Error> {
        let tcp = TcpStream::connect(self.address).await.expect("connected");
        let ssl =
            self.connector.configure().expect("a configuration").into_ssl(name).expect("a session");
        let mut stream = SslStream::new(ssl, tcp).expect("a stream");
        Pin::new(&mut stream).connect().await.map(|()| stream)
    }

    async fn open(&self) -> SendRequest<Full<Bytes>> {
        let stream = self.dial("localhost").await.expect("a handshake with verified name");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(async move {
            let _ = connection.await;
        });
        sender
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Answer {
        let response = self.request(method, path, headers, body).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Makes a call whose hub may go away meanwhile; `None` then.
    pub(crate) async fn try_call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Option<u16> {
        let tcp = TcpStream::connect(self.address).await.ok()?;
        let ssl = self.connector.configure().ok()?.into_ssl("localhost").ok()?;
        let mut stream = SslStream::new(ssl, tcp).ok()?;
        Pin::new(&mut stream).connect().await.ok()?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).ok()?;
        Some(sender.send_request(request).await.ok()?.status().as_u16())
    }

    /// Gets a page's status, headers and text.
    pub(crate) async fn text(&self, path: &str) -> (u16, HeaderMap, String) {
        let (parts, body) = self.request("GET", path, &[], String::new()).await.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("text");
        (parts.status.as_u16(), parts.headers, text)
    }

    async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Response<hyper::body::Incoming> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", format!("localhost:{}", self.address.port()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).expect("a request");
        self.open().await.send_request(request).await.expect("an answer")
    }

    /// Listens to the event stream; returns when nothing is missed any more.
    pub(crate) async fn events(&self) -> Events {
        let response = self.request("GET", "/emulator/v1/events", &[], String::new()).await;
        assert_eq!(response.status(), 200);
        let mut events = Events::new(response.into_body());
        events.find("listening").await;
        events
    }
}
