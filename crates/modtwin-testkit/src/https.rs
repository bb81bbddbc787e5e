//! HTTPS to a hub: one connection, kept open, and answers as they came.

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::dialer::Dialer;

/// An answer, success or not.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON; null where it is empty or no JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A header's text; empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A client of one hub.
#[derive(Debug)]
pub struct Https {
    dialer: Dialer,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Https {
    /// A client; nothing is connected yet.
    #[must_use]
    pub fn new(dialer: Dialer) -> Self {
        Self { dialer, connection: None }
    }

    /// Sends a request and reads the answer whole. The `Host` header is filled in.
    ///
    /// # Errors
    ///
    /// Where the hub can't be reached or does not answer as HTTP/1.1.
    pub async fn exchange(&mut self, mut request: Request<Full<Bytes>>) -> anyhow::Result<Reply> {
        self.name_host(&mut request)?;
        let answer =
            self.connection().await?.send_request(request).await.context("the connection broke")?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.into_body().collect().await.context("the answer broke off")?.to_bytes();
        Ok(Reply { status, headers, body })
    }

    /// Sends a request on a connection of its own and leaves the answer's body to be read as it
    /// comes.
    ///
    /// # Errors
    ///
    /// As for [`Https::exchange`].
    pub async fn stream(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> anyhow::Result<Response<Incoming>> {
        self.name_host(&mut request)?;
        self.connect().await?.send_request(request).await.context("the connection broke")
    }

    fn name_host(&self, request: &mut Request<Full<Bytes>>) -> anyhow::Result<()> {
        let host = HeaderValue::from_str(self.dialer.host()).context("the host is no name")?;
        request.headers_mut().insert(header::HOST, host);
        Ok(())
    }

    /// The open connection, or a new one.
    async fn connection(&mut self) -> anyhow::Result<&mut SendRequest<Full<Bytes>>> {
        let still_open = match self.connection.take() {
            Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
            None => None,
        };
        let sender = match still_open {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        Ok(self.connection.insert(sender))
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let tls = self.dialer.dial().await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls))
            .await
            .context("cannot speak HTTP")?;
        // What goes wrong with the connection shows in the next request.
        tokio::spawn(connection);
        Ok(sender)
    }
}
