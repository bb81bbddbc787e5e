//! A hub in a value: one module's twin, its versions, what it refuses, and how it says so on the
//! wire. It knows neither links nor time; whoever drives it decides when a message arrives.
//!
//! Its reading of topics is its own: it shares none with `modtwin-wire`, which is tested against it.

use std::collections::{BTreeMap, VecDeque};

use modtwin_core::document::{Document, merge};
use modtwin_core::twin::Section;
use serde_json::{Value, json};

/// A message as MQTT carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// The whole twin.
    Twin,
    /// To merge this into reported.
    Report(Document),
}

/// How many writes a failover can lose.
const BACKUPS: usize = 8;
/// The keys that the hub refuses in reports: a stand-in for what only the hub finds wrong.
pub const POISON: [&str; 2] = ["bad1", "bad2"];

/// A module's twin at the hub, with all that it ever was.
#[derive(Debug, Clone)]
pub struct Hub {
    /// What the back end wants.
    pub desired: Section,
    /// What the module has reported.
    pub reported: Section,
    /// Every content that a desired version ever had.
    desired_history: BTreeMap<u64, Vec<Document>>,
    /// Both sections after each of the last accepted writes, for a failover.
    backups: VecDeque<(Section, Section)>,
}

impl Default for Hub {
    fn default() -> Self {
        let mut hub = Self {
            desired: fresh(),
            reported: fresh(),
            desired_history: BTreeMap::new(),
            backups: VecDeque::new(),
        };
        hub.remember();
        hub
    }
}

impl Hub {
    /// Writes desired and returns the notification.
    pub fn desire(&mut self, patch: &Document) -> Message {
        merge(&mut self.desired.document, patch);
        self.desired.version += 1;
        self.remember();
        let version = self.desired.version;
        let mut body = patch.clone();
        body.insert("$version".into(), version.into());
        let topic = format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
        Message { topic, payload: Value::Object(body).to_string().into_bytes() }
    }

    /// Does what was asked and returns the answer.
    pub fn answer(&mut self, rid: &str, asked: &Asked) -> Message {
        match asked {
            Asked::Twin => {
                let body = json!({
                    "desired": versioned(&self.desired), "reported": versioned(&self.reported)
                });
                answer(200, rid, body.to_string().into_bytes())
            }
            Asked::Report(patch) => {
                if let Some(key) = patch.keys().find(|key| POISON.contains(&key.as_str())) {
                    return refusal(400, rid, key);
                }
                merge(&mut self.reported.document, patch);
                self.reported.version += 1;
                self.remember();
                let version = self.reported.version;
                let topic = format!("$iothub/twin/res/204/?$rid={rid}&$version={version}");
                Message { topic, payload: Vec::new() }
            }
        }
    }

    /// Deletes the module and creates it again.
    pub fn recreate(&mut self) {
        (self.desired, self.reported) = (fresh(), fresh());
        self.backups.clear();
        self.remember();
    }

    /// Goes back by `writes` writes, as after a failover to older data.
    pub fn fail_over(&mut self, writes: usize) {
        for _ in 0..writes {
            if self.backups.len() > 1 {
                self.backups.pop_back();
            }
        }
        if let Some((desired, reported)) = self.backups.back() {
            (self.desired, self.reported) = (desired.clone(), reported.clone());
        }
    }

    /// Whether desired ever was this, at this version.
    #[must_use]
    pub fn had_desired(&self, section: &Section) -> bool {
        let contents = self.desired_history.get(&section.version);
        contents.is_some_and(|contents| contents.contains(&section.document))
    }

    fn remember(&mut self) {
        let contents = self.desired_history.entry(self.desired.version).or_default();
        if contents.last() != Some(&self.desired.document) {
            contents.push(self.desired.document.clone());
        }
        if self.backups.len() >= BACKUPS {
            self.backups.pop_front();
        }
        self.backups.push_back((self.desired.clone(), self.reported.clone()));
    }
}

/// Reads a request: its id and what it asks. None where the hub would end the link.
#[must_use]
pub fn read(message: &Message) -> Option<(String, Asked)> {
    if let Some(rid) = message.topic.strip_prefix("$iothub/twin/GET/?$rid=") {
        return Some((rid.to_owned(), Asked::Twin));
    }
    let rid = message.topic.strip_prefix("$iothub/twin/PATCH/properties/reported/?$rid=")?;
    match serde_json::from_slice(&message.payload) {
        Ok(Value::Object(patch)) => Some((rid.to_owned(), Asked::Report(patch))),
        _ => None,
    }
}

/// The hub's refusal of the request `rid`.
#[must_use]
pub fn refusal(status: u16, rid: &str, words: &str) -> Message {
    let body = json!({"errorCode": u32::from(status) * 1000 + 1, "message": words});
    answer(status, rid, body.to_string().into_bytes())
}

fn answer(status: u16, rid: &str, payload: Vec<u8>) -> Message {
    Message { topic: format!("$iothub/twin/res/{status}/?$rid={rid}"), payload }
}

fn versioned(section: &Section) -> Document {
    let mut document = section.document.clone();
    document.insert("$version".into(), section.version.into());
    document
}

fn fresh() -> Section {
    Section { version: 1, document: Document::new() }
}

#[cfg(test)]
mod tests {
    use modtwin_core::message::{Answer, HubMessage, Request, RequestId};
    use modtwin_wire::Inbound;

    use super::*;

    fn document(value: Value) -> Document {
        value.as_object().cloned().unwrap()
    }

    fn encoded(id: u64, request: &Request) -> Message {
        let out = modtwin_wire::encode(RequestId(id), request);
        Message { topic: out.topic, payload: out.payload }
    }

    fn decoded(message: &Message) -> HubMessage {
        match modtwin_wire::decode(&message.topic, &message.payload).unwrap() {
            Inbound::Twin(message) => message,
            other => panic!("{message:?} is {other:?}"),
        }
    }

    #[test]
    fn hub_and_wire_understand_each_other() {
        let mut hub = Hub::default();
        let patch = document(json!({"a": {"b": 1}, "c": null}));
        let note = hub.desire(&patch);
        assert_eq!(decoded(&note), HubMessage::DesiredPatch { version: 2, patch: patch.clone() });

        let (rid, asked) = read(&encoded(7, &Request::Report(patch.clone()))).unwrap();
        assert_eq!(asked, Asked::Report(patch));
        let accepted = decoded(&hub.answer(&rid, &asked));
        let request = RequestId(7);
        assert_eq!(
            accepted,
            HubMessage::Answer { request, answer: Answer::Accepted { version: 2 } }
        );

        let (rid, asked) = read(&encoded(8, &Request::GetTwin)).unwrap();
        let (desired, reported) = (hub.desired.clone(), hub.reported.clone());
        let answer = Answer::Twin { desired, reported };
        let request = RequestId(8);
        assert_eq!(decoded(&hub.answer(&rid, &asked)), HubMessage::Answer { request, answer });
    }

    #[test]
    fn a_failover_goes_back_and_a_recreated_twin_begins_anew() {
        let mut hub = Hub::default();
        for n in 0..20 {
            hub.desire(&document(json!({ "n": n })));
        }
        hub.fail_over(3);
        assert_eq!(hub.desired, Section { version: 18, document: document(json!({"n": 16})) });
        hub.fail_over(100);
        assert_eq!(hub.desired.version, 14, "the oldest backup");
        hub.recreate();
        assert_eq!((hub.desired.clone(), hub.reported.clone()), (fresh(), fresh()));
        assert!(hub.had_desired(&Section { version: 18, document: document(json!({"n": 16})) }));
    }
}
