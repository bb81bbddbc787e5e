//! Calls to a running emulator's service API, with the token of the policy in its folder and its certificate checked.

use std::net::IpAddr;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use iothub_emulator::Facts;
use openssl::ssl::{SslConnector, SslMethod};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

/// Calls one emulator.
pub(super) struct Service<'a> {
    facts: &'a Facts,
    connector: SslConnector,
}

impl<'a> Service<'a> {
    pub(super) fn new(facts: &'a Facts) -> anyhow::Result<Self> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        builder
            .set_ca_file(&facts.ca)
            .with_context(|| format!("cannot trust `{}`", facts.ca.display()))?;
        Ok(Self { facts, connector: builder.build() })
    }

    /// Makes one call and gives status and body.
    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let answered = tokio::time::timeout(PATIENCE, self.exchange(method, path, body)).await;
        answered.map_err(|_| anyhow!("no answer from {} in 10 s", self.place()))?
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let place = self.place();
        let stream = TcpStream::connect((self.address(), self.facts.https_port))
            .await
            .with_context(|| format!("cannot reach the emulator at {place}: is it running?"))?;
        let ssl = self.connector.configure()?.into_ssl(&self.facts.hostname)?;
        let mut stream = SslStream::new(ssl, stream)?;
        Pin::new(&mut stream).connect().await.with_context(|| format!("cannot trust {place}"))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the call: the answer, or its failure, says what went wrong.
        tokio::spawn(async move { drop(connection.await) });
        let expiry = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 60;
        let token = self.facts.service_token(expiry).context("the connection string has no key")?;
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}?api-version=2021-04-12"))
            .header("host", self.facts.hostname.as_str())
            .header("authorization", token)
            .body(Full::new(Bytes::from(body.map(Value::to_string).unwrap_or_default())))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// An emulator that listens on every address is at home on this machine's own.
    fn address(&self) -> IpAddr {
        match self.facts.listen {
            IpAddr::V4(every) if every.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(every) if every.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
            other => other,
        }
    }

    fn place(&self) -> String {
        format!("{}:{}", self.address(), self.facts.https_port)
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
