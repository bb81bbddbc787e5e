//! The link as a session sees it: every call only sends word to the engine.

use std::sync::Arc;
use std::time::Duration;

use modtwin_core::status::{Fault, Reason};
use modtwin_session::link::{ConnectRequest, Epoch, HubLink, LinkStatus};
use paho_mqtt::{Message, QoS};
use tokio::time::Instant;

use crate::attempt::Attempt;
use crate::engine::Shared;
use crate::fault;
use crate::line::{Line, Place};
use crate::worker::Command;

/// One module's MQTT client, made by [`Engine::link`](crate::Engine::link).
///
/// Dropping it ends its connection; paho's client behind it is dropped much later.
#[derive(Debug)]
pub struct Link {
    id: u64,
    line: Arc<Line>,
    engine: Arc<Shared>,
    /// The epoch of the latest connect.
    epoch: Option<Epoch>,
    carrier: Carrier,
}

/// What MQTT runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Carrier {
    /// TLS alone.
    #[default]
    Tls,
    /// WebSockets over TLS, at the path that hubs serve.
    WebSocket,
}

impl Link {
    pub(crate) fn new(id: u64, line: Line, engine: Arc<Shared>) -> Self {
        Self { id, line: Arc::new(line), engine, epoch: None, carrier: Carrier::default() }
    }

    /// The same link over something else, from its next connect on.
    #[must_use]
    pub fn over(self, carrier: Carrier) -> Self {
        // Not by the struct update syntax: a link that is dropped ends.
        let mut link = self;
        link.carrier = carrier;
        link
    }

    /// Sends word to the engine; without one the epoch has ended.
    fn order(&self, epoch: Epoch, command: Command) {
        if self.engine.commands.send(command).is_err() {
            self.line.end(epoch, LinkStatus::Lost(fault::engine_gone()));
        }
    }

    /// Publishes, with QoS 1 where the hub's confirmation is to be told under a number.
    fn send(&self, number: Option<u64>, topic: &str, payload: Vec<u8>) {
        let Some(epoch) = self.epoch else { return };
        if topic.is_empty() || topic.contains('\0') || i32::try_from(payload.len()).is_err() {
            let detail = format!("{} bytes to the topic {topic:?} are no message", payload.len());
            return self.give_up(epoch, Fault::new(Reason::HubError, detail));
        }
        match Place::take(&self.line, OUTBOUND_QUEUE) {
            Some(place) => {
                let qos = if number.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce };
                let message = Message::new(topic, payload, qos);
                let link = self.id;
                self.order(epoch, Command::Publish { link, epoch, number, message, place });
            }
            None => self.give_up(epoch, fault::stuck(OUTBOUND_QUEUE)),
        }
    }

    fn give_up(&self, epoch: Epoch, fault: Fault) {
        if self.line.end(epoch, LinkStatus::Lost(fault)) {
            self.order(epoch, Command::Close { link: self.id, epoch });
        }
    }
}

impl HubLink for Link {
    fn connect(&mut self, request: ConnectRequest) {
        self.disconnect();
        let epoch = request.epoch;
        self.epoch = Some(epoch);
        self.line.begin(epoch);
        let deadline = Instant::now() + request.time_limit.min(LONGEST_ATTEMPT);
        let attempt = Attempt {
            link: self.id,
            line: Arc::clone(&self.line),
            engine: Arc::clone(&self.engine),
            request,
            carrier: self.carrier,
            deadline,
        };
        self.engine.runtime.spawn(attempt.run());
    }

    fn subscribe(&mut self, filters: &[&str]) {
        let Some(epoch) = self.epoch else { return };
        if let Some(bad) = filters.iter().find(|filter| filter.is_empty() || filter.contains('\0'))
        {
            let detail = format!("the topic filter {bad:?} is no filter");
            return self.give_up(epoch, Fault::new(Reason::HubError, detail));
        }
        let filters = filters.iter().map(|filter| (*filter).to_owned()).collect();
        self.order(epoch, Command::Subscribe { link: self.id, epoch, filters });
    }

    fn publish(&mut self, topic: &str, payload: Vec<u8>) {
        self.send(None, topic, payload);
    }

    fn deliver(&mut self, number: u64, topic: &str, payload: Vec<u8>) {
        self.send(Some(number), topic, payload);
    }

    fn disconnect(&mut self) {
        if let Some(epoch) = self.epoch.take()
            && self.line.retire(epoch)
        {
            // Without an engine there is no connection either.
            let _ = self.engine.commands.send(Command::Close { link: self.id, epoch });
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.disconnect();
        let _ = self.engine.commands.send(Command::Remove { link: self.id });
    }
}

/// How many messages of one link may wait to be written before the link counts as stuck.
pub(crate) const OUTBOUND_QUEUE: usize = 1024;
/// Keeps the arithmetic on instants within its range.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(3600);
