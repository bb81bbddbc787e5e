//! The hub's own word on what happened when: the emulator's stream of events, one JSON object a
//! line, each stamped by the emulator in microseconds since 1970.

use std::time::Duration;

use anyhow::{Context as _, bail};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use modtwin_testkit::service::Service;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

/// The hub's stream of events.
#[derive(Debug)]
pub(crate) struct HubEvents {
    body: Incoming,
    buffer: Vec<u8>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct HubEvent {
    /// When, in microseconds since 1970.
    pub(crate) us: u64,
    /// What.
    pub(crate) event: String,
    /// Whose, where it is a device's or module's.
    #[serde(default)]
    pub(crate) device: String,
    /// Whose, where it is a module's.
    #[serde(default)]
    pub(crate) module: String,
    /// What was written, where it was a twin.
    #[serde(default)]
    pub(crate) patch: Value,
}

impl HubEvent {
    /// Says whether it is the write of `value` to `key` in a section of a module's twin.
    pub(crate) fn writes(&self, section: &str, module: &str, key: &str, value: u64) -> bool {
        self.event == section
            && self.module == module
            && self.patch.get(key).and_then(Value::as_u64) == Some(value)
    }
}

impl HubEvents {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// Where the hub can't be reached.
    pub(crate) async fn listen(service: &Service) -> anyhow::Result<Self> {
        Ok(Self { body: service.events().await?, buffer: Vec::new() })
    }

    /// Waits for the next event.
    ///
    /// # Errors
    ///
    /// Where the stream ends, is silent for too long, or is not as expected.
    pub(crate) async fn next(&mut self) -> anyhow::Result<HubEvent> {
        loop {
            if let Some(line) = next_line(&mut self.buffer) {
                let text = String::from_utf8_lossy(&line);
                return serde_json::from_slice(&line)
                    .with_context(|| format!("expected an event, found `{text}`"));
            }
            let frame = timeout(LIMIT, self.body.frame()).await.context("the hub is silent")?;
            let Some(frame) = frame else { bail!("the hub's events ended") };
            if let Some(bytes) = frame.context("the hub's events broke off")?.data_ref() {
                self.buffer.extend_from_slice(bytes);
            }
        }
    }

    /// Waits for an event that `wanted` takes; others are passed over.
    ///
    /// # Errors
    ///
    /// As for [`HubEvents::next`].
    pub(crate) async fn find(
        &mut self,
        wanted: impl Fn(&HubEvent) -> bool,
    ) -> anyhow::Result<HubEvent> {
        loop {
            let event = self.next().await?;
            if wanted(&event) {
                return Ok(event);
            }
        }
    }
}

/// Takes the first whole line, without its end, that is not empty.
fn next_line(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        let end = buffer.iter().position(|byte| *byte == b'\n')?;
        let mut line: Vec<u8> = buffer.drain(..=end).collect();
        line.pop();
        if !line.is_empty() {
            return Some(line);
        }
    }
}

const LIMIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_whole_and_in_order() {
        let mut buffer = b"one\n\ntwo\nthr".to_vec();
        assert_eq!(next_line(&mut buffer), Some(b"one".to_vec()));
        assert_eq!(next_line(&mut buffer), Some(b"two".to_vec()));
        assert_eq!(next_line(&mut buffer), None);
        assert_eq!(buffer, b"thr");
    }

    #[test]
    fn a_write_is_told_from_others() {
        let text = r#"{"time":"x","us":7,"event":"desired","device":"d","module":"m","version":2,"patch":{"echo":5}}"#;
        let event: HubEvent = serde_json::from_str(text).unwrap();
        assert!(event.writes("desired", "m", "echo", 5));
        assert!(!event.writes("reported", "m", "echo", 5));
        assert!(!event.writes("desired", "n", "echo", 5));
        assert!(!event.writes("desired", "m", "echo", 6));
    }
}
