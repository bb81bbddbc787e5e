//! The emulator's stream of events: what arrived at the hub, which no client can see.

use anyhow::{Context as _, bail};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use modtwin_testkit::mqtt::PATIENCE;
use serde_json::Value;
use tokio::time::timeout;

/// An open stream.
#[derive(Debug)]
pub(crate) struct Events {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Events {
    /// Reads until the stream says that nothing is missed from now on.
    pub(crate) async fn listen(body: Incoming) -> anyhow::Result<Self> {
        let mut events = Self { body, buffer: Vec::new() };
        events.find("listening").await?;
        Ok(events)
    }

    /// Waits for the next event of that name; others are passed over.
    ///
    /// # Errors
    ///
    /// Where it does not come in time.
    pub(crate) async fn find(&mut self, name: &str) -> anyhow::Result<Value> {
        let finding = async {
            loop {
                let event = self.next().await?;
                if event["event"] == name {
                    return Ok(event);
                }
            }
        };
        timeout(PATIENCE, finding).await.with_context(|| format!("no event `{name}` came"))?
    }

    async fn next(&mut self) -> anyhow::Result<Value> {
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
