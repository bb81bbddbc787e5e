//! What a session does with each packet and each command: subscriptions, twin requests, notifications, telemetry,
//! methods. An `Err` closes the link, which is how the hub says no over MQTT.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::handle::{Command, Ending};
use super::session::Session;
use crate::fault::Kind;
use crate::message;
use crate::method::Answer;
use crate::packet::{Packet, Publish, Will};
use crate::problem::{self, Problem};
use crate::throttle::Meter;
use crate::topic::{self, Request};
use crate::twin::Document;

impl Session {
    pub(super) fn packet(&mut self, packet: Packet) -> Result<(), Ending> {
        match packet {
            Packet::Publish(publish) => self.published(&publish),
            Packet::PubAck(_) => Ok(()),
            Packet::Subscribe { id, filters } => self.subscribe(id, filters),
            Packet::Unsubscribe { id, filters } => {
                self.subscriptions.retain(|(filter, _)| !filters.contains(filter));
                let after = self.keep_subscriptions();
                self.send(&Packet::UnsubAck(id), after);
                Ok(())
            }
            Packet::PingReq => {
                self.send(&Packet::PingResp, 0);
                Ok(())
            }
            Packet::Disconnect => Err(Ending::Disconnected),
            // MQTT 3.1.1, 3.1: a second CONNECT is a protocol violation.
            Packet::Connect(_) | Packet::OtherLevel(_) => Err(Ending::Illegal("second CONNECT")),
            _ => Err(Ending::Illegal("packet only a server may send")),
        }
    }

    pub(super) fn command(&mut self, command: Command) -> Result<(), Ending> {
        match command {
            Command::Desired { body, version, after } => {
                self.notify(body, version, after);
                Ok(())
            }
            Command::Method { name, rid, payload } => {
                if self.granted(topic::METHODS).is_some() {
                    self.publish(topic::method(&name, &rid), payload, 0, 0);
                }
                Ok(())
            }
        }
    }

    fn granted(&self, filter: &str) -> Option<u8> {
        self.subscriptions.iter().find(|(own, _)| own == filter).map(|(_, qos)| *qos)
    }

    fn subscribe(&mut self, id: u16, filters: Vec<(String, u8)>) -> Result<(), Ending> {
        let mut codes = Vec::with_capacity(filters.len());
        for (filter, qos) in filters {
            // A bad filter is answered by a closed link, not by 0x80 (azure-iot-middleware-freertos, PR 89).
            if !topic::may_subscribe(&filter, &self.identity.key) {
                return Err(Ending::Illegal("subscription to a foreign topic"));
            }
            let granted = qos.min(1);
            codes.push(granted);
            self.subscriptions.retain(|(own, _)| *own != filter);
            self.subscriptions.push((filter, granted));
        }
        if self.subscriptions.len() > MOST_SUBSCRIPTIONS || codes.len() > MOST_SUBSCRIPTIONS {
            return Err(Ending::Illegal("more than 5 subscriptions"));
        }
        let after = self.keep_subscriptions();
        let filters: Vec<&str> =
            self.subscriptions.iter().map(|(filter, _)| filter.as_str()).collect();
        self.hub.events.tell(
            "subscribe",
            Some(&self.identity.key),
            || json!({ "filters": filters }),
        );
        self.send(&Packet::SubAck { id, codes }, after);
        Ok(())
    }

    /// Notes the subscriptions with the identity, on disk for a client with clean session 0, and gives the number to
    /// wait for.
    fn keep_subscriptions(&mut self) -> u64 {
        let mut state = self.identity.lock();
        if let Some(link) = &mut state.link {
            link.takes_methods = takes_methods(&self.subscriptions);
        }
        if self.is_clean
            || state.is_deleted
            || state.record.session.as_ref() == Some(&self.subscriptions)
        {
            return 0;
        }
        state.record.session = Some(self.subscriptions.clone());
        self.identity.save(&mut state, &self.hub.store)
    }

    fn notify(&mut self, body: Bytes, version: u64, after: u64) {
        let Some(qos) = self.granted(topic::DESIRED) else {
            return;
        };
        let identity = Arc::clone(&self.identity);
        let key = &identity.key;
        let is_lost = self.hub.strike(Kind::LoseDesired, key).is_some();
        if is_lost || self.hub.spend(body.len(), Some(key)).is_err() {
            return;
        }
        self.hub.stats.notifications.up();
        self.identity.counters.notifications.fetch_add(1, Ordering::Relaxed);
        self.hub.events.tell("notify", Some(key), || json!({ "version": version }));
        let topic = topic::desired(version);
        if let Some(fault) = self.hub.strike(Kind::ReorderDesired, key) {
            let id = (qos > 0).then(|| self.next_id());
            let publish = Publish { dup: false, qos, retain: false, topic, id, payload: body };
            if let Some(item) = self.item(&Packet::Publish(publish), after) {
                self.outbox.hold(item, Instant::now() + fault.delay);
            }
            return;
        }
        if self.hub.strike(Kind::DuplicateDesired, key).is_some() {
            self.publish(topic.clone(), body.clone(), qos, after);
        }
        self.publish(topic, body, qos, after);
        self.outbox.let_go();
    }

    fn published(&mut self, publish: &Publish) -> Result<(), Ending> {
        if publish.qos == 2 {
            return Err(Ending::Illegal("PUBLISH with QoS 2"));
        }
        let identity = Arc::clone(&self.identity);
        let key = &identity.key;
        let request = Request::parse(&publish.topic, key)
            .ok_or(Ending::Illegal("PUBLISH on a foreign topic"))?;
        // A message's properties are part of it.
        let bag_size = if let Request::Telemetry { bag } = request { bag.len() } else { 0 };
        if publish.payload.len() + bag_size > MOST_MESSAGE_BYTES {
            return Err(Ending::Illegal("message larger than 256 KB"));
        }
        if let Request::Telemetry { bag } = request {
            self.telemetry(bag, publish)?;
        }
        if let Some(id) = publish.id {
            self.send(&Packet::PubAck(id), 0);
        }
        match request {
            Request::TwinGet { rid } => self.twin_get(rid),
            Request::Report { rid, expected } => self.report(rid, expected, &publish.payload),
            Request::MethodAnswer { rid, status } => {
                if publish.payload.len() > MOST_ANSWER_BYTES {
                    return Err(Ending::Illegal("method answer larger than 128 KB"));
                }
                let body = publish.payload.clone();
                let is_awaited = self.hub.calls.answer(key, rid, Answer { status, body });
                let detail = || json!({ "rid": rid, "status": status, "awaited": is_awaited });
                self.hub.events.tell("method-answer", Some(key), detail);
            }
            Request::Telemetry { .. } => {}
        }
        self.shaped_until = None;
        Ok(())
    }

    /// Takes a request off its meter; one beyond the throttle is answered in its turn.
    fn shape(&mut self, meter: Meter) -> Result<(), Problem> {
        let wait = self.hub.meter(meter, 1, Some(&self.identity.key))?;
        self.shaped_until = (!wait.is_zero()).then(|| Instant::now() + wait);
        Ok(())
    }

    /// Gives the error that a throttle or a fault answers a twin request with.
    fn twin_fault(&mut self, meter: Meter) -> Option<Problem> {
        if let Err(problem) = self.shape(meter) {
            return Some(problem);
        }
        let key = &self.identity.key;
        if !self.has_api_version {
            return Some(Problem::new(
                problem::ARGUMENT_INVALID,
                "the connection has no api-version",
            ));
        }
        if let Some(fault) = self.hub.strike(Kind::Throttle, key) {
            let text = format!(
                "The request has been throttled. Wait {} seconds and try again.",
                fault.retry
            );
            return Some(Problem::new(problem::THROTTLING, text));
        }
        if let Some(fault) = self.hub.strike(Kind::Error, key) {
            return Some(Problem::server(fault.status));
        }
        let fault = self.hub.strike(Kind::Quota, key);
        fault.map(|_| {
            Problem::new(
                problem::QUOTA_EXCEEDED,
                "Total number of messages on IotHub exceeded the quota.",
            )
        })
    }

    fn twin_get(&mut self, rid: &str) {
        self.hub.stats.twin_gets.up();
        self.identity.counters.twin_gets.fetch_add(1, Ordering::Relaxed);
        if let Some(problem) = self.twin_fault(Meter::TwinReads) {
            return self.answer_problem("twin-get", rid, &problem);
        }
        let state = self.identity.lock();
        let (body, after) = (state.record.twin.device_view(), state.written);
        let (desired, reported) =
            (state.record.twin.desired_version(), state.record.twin.reported_version());
        drop(state);
        if let Err(problem) = self.hub.spend(body.len(), Some(&self.identity.key)) {
            return self.answer_problem("twin-get", rid, &problem);
        }
        let detail =
            || json!({ "status": 200, "rid": rid, "desired": desired, "reported": reported });
        self.hub.events.tell("twin-get", Some(&self.identity.key), detail);
        self.answer(topic::twin_answer(200, rid, None), body.into(), after);
    }

    fn report(&mut self, rid: &str, expected: Option<u64>, payload: &Bytes) {
        self.hub.stats.reports.up();
        self.identity.counters.reports.fetch_add(1, Ordering::Relaxed);
        let refused = self.twin_fault(Meter::TwinUpdates);
        let key = &self.identity.key;
        if let Some(problem) = refused.or_else(|| self.hub.spend(payload.len(), Some(key)).err()) {
            return self.answer_problem("reported", rid, &problem);
        }
        let patch: Document = match serde_json::from_slice(payload) {
            Ok(Value::Object(patch)) => patch,
            Ok(_) => {
                let problem = Problem::new(
                    problem::ARGUMENT_INVALID,
                    "Reported properties must be a JSON object",
                );
                return self.answer_problem("reported", rid, &problem);
            }
            Err(error) => {
                let problem = Problem::new(problem::FORMAT_ERROR, format!("Not JSON: {error}"));
                return self.answer_problem("reported", rid, &problem);
            }
        };
        let now = self.hub.clock.now();
        let mut state = self.identity.lock();
        let outcome = if state.is_deleted {
            Err(Problem::new(problem::MODULE_NOT_FOUND, "identity deleted"))
        } else {
            state.record.twin.report(&patch, expected, now)
        };
        match outcome {
            Ok(version) => {
                state.record.last_activity = now;
                let after = self.identity.save(&mut state, &self.hub.store);
                // Told under the lock: events come in the order of versions.
                let detail =
                    || json!({ "status": 204, "rid": rid, "version": version, "patch": patch });
                self.hub.events.tell("reported", Some(&self.identity.key), detail);
                drop(state);
                self.answer(topic::twin_answer(204, rid, Some(version)), Bytes::new(), after);
            }
            Err(problem) => {
                drop(state);
                self.answer_problem("reported", rid, &problem);
            }
        }
    }

    fn answer_problem(&mut self, event: &str, rid: &str, problem: &Problem) {
        let status = problem.code.status;
        let detail = || json!({ "status": status, "rid": rid, "message": problem.message });
        self.hub.events.tell(event, Some(&self.identity.key), detail);
        let body = problem.coded_body(self.hub.clock.now()).to_string();
        self.answer(topic::twin_answer(status, rid, None), body.into(), 0);
    }

    fn answer(&mut self, topic: String, body: Bytes, after: u64) {
        // Without a subscription the answer is lost: see the order that SDKs keep.
        if self.granted(topic::TWIN_ANSWERS).is_none() {
            return;
        }
        if self.hub.strike(Kind::LoseResponse, &self.identity.key).is_none() {
            self.publish(topic, body, 0, after);
        }
    }

    fn telemetry(&mut self, bag: &str, publish: &Publish) -> Result<(), Ending> {
        self.shape(Meter::Telemetry).map_err(|_| Ending::Throttled)?;
        let key = Some(&self.identity.key);
        self.hub.spend(publish.payload.len(), key).map_err(|_| Ending::Quota)?;
        if self.hub.strike(Kind::Quota, &self.identity.key).is_some() {
            return Err(Ending::Quota);
        }
        if self.hub.strike(Kind::RefuseMessage, &self.identity.key).is_some() {
            return Err(Ending::Illegal("message refused by a fault"));
        }
        let mut properties = properties(bag);
        if publish.retain {
            properties.insert("mqtt-retain".to_owned(), json!("true"));
        }
        self.tell_message(&properties, &publish.payload);
        Ok(())
    }

    pub(super) fn store_will(&self, will: &Will) {
        let bag = match Request::parse(&will.topic, &self.identity.key) {
            Some(Request::Telemetry { bag }) => bag,
            _ => "",
        };
        let mut properties = properties(bag);
        properties.insert("iothub-MessageType".to_owned(), json!("Will"));
        self.tell_message(&properties, &will.payload);
    }

    fn tell_message(&self, properties: &Document, payload: &Bytes) {
        self.hub.stats.messages.up();
        self.identity.counters.messages.fetch_add(1, Ordering::Relaxed);
        let now = self.hub.clock.now();
        self.hub.events.tell("message", Some(&self.identity.key), || {
            message::event(&self.identity.lock().record, properties, payload, now)
        });
    }
}

/// Says whether a client with these subscriptions can be called.
pub(super) fn takes_methods(subscriptions: &[(String, u8)]) -> bool {
    subscriptions.iter().any(|(filter, _)| filter == topic::METHODS)
}

/// Reads a property bag: `k=v&k2=v2`, percent-encoded; a key without `=` has no value.
pub(crate) fn properties(bag: &str) -> Document {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = bag.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) => (decode(key), json!(decode(value))),
            None => (decode(pair), Value::Null),
        })
        .collect()
}

/// "at most 5 at a time per identity".
const MOST_SUBSCRIPTIONS: usize = 5;
/// "256 KB": a message with its properties.
pub(super) const MOST_MESSAGE_BYTES: usize = 262_144;
/// "128 KB each way": a method's answer.
const MOST_ANSWER_BYTES: usize = 128 * 1024;
