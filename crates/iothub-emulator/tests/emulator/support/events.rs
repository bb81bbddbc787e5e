//! Reading the event stream.

use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::timeout;

use super::PATIENCE;

/// The stream, line by line.
pub(crate) struct Events {
    body: Incoming,
    input: BytesMut,
}

impl Events {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body, input: BytesMut::new() }
    }

    pub(crate) async fn next(&mut self) -> Value {
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let line = self.input.split_to(end + 1);
                return serde_json::from_slice(&line).expect("a line of JSON");
            }
            let frame = timeout(PATIENCE, self.body.frame())
                .await
                .expect("an event in time")
                .expect("no end");
            self.input.extend_from_slice(frame.expect("a frame").data_ref().expect("data"));
        }
    }

    /// Waits for the next event of this name.
    pub(crate) async fn find(&mut self, event: &str) -> Value {
        loop {
            let next = self.next().await;
            if next["event"] == event {
                return next;
            }
        }
    }
}
