//! What arrives at the hub, as its event stream tells.

use anyhow::{Context as _, bail};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use modtwin_testkit::patience::LONG;
use modtwin_testkit::service::Service;
use serde_json::Value;
use tokio::time::timeout;

/// The messages that arrive from now on.
pub(crate) struct Arrivals {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Arrivals {
    /// Listens to the hub; returns once nothing is missed any more.
    pub(crate) async fn listen(service: &Service) -> anyhow::Result<Self> {
        let mut arrivals = Self { body: service.events().await?, buffer: Vec::new() };
        arrivals.find("listening").await?;
        Ok(arrivals)
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Value> {
        self.find("message").await
    }

    /// The bodies of messages as they come, up to and with `last`; the same one twice counts once.
    pub(crate) async fn bodies_until(&mut self, last: &str) -> anyhow::Result<Vec<String>> {
        let mut bodies: Vec<String> = Vec::new();
        loop {
            let message = self.next().await.with_context(|| format!("came so far: {bodies:?}"))?;
            let body = message["body"].as_str().unwrap_or_default().to_owned();
            if !bodies.contains(&body) {
                bodies.push(body.clone());
            }
            if body == last {
                return Ok(bodies);
            }
        }
    }

    async fn find(&mut self, name: &str) -> anyhow::Result<Value> {
        let finding = async {
            loop {
                let event = self.event().await?;
                if event["event"] == name {
                    return Ok(event);
                }
            }
        };
        timeout(LONG, finding).await.with_context(|| format!("no event `{name}` came"))?
    }

    async fn event(&mut self) -> anyhow::Result<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return serde_json::from_slice(&line).context("an event that is no JSON");
            }
            let Some(frame) = self.body.frame().await else { bail!("the events ended") };
            if let Some(bytes) = frame.context("the events broke off")?.data_ref() {
                self.buffer.extend_from_slice(bytes);
            }
        }
    }
}
