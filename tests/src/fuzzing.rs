//! What is fuzzed: each target takes arbitrary bytes as one kind of input from outside and panics
//! where something does not hold. `cargo xtask fuzz` runs them under libFuzzer, and the replay test
//! gives each the inputs that are kept in tests/fuzz/corpus.
#![expect(clippy::panic, reason = "a broken rule is a finding, and a fuzzer finds by panics")]

mod local_api;

use std::path::PathBuf;
use std::time::Duration;

use modtwin_config::{Config, ConfigDiff, Source};
use modtwin_core::document::Document;
use modtwin_core::message::{HubMessage, RequestId};
use modtwin_core::session::{Durable, Effect, Session, Settings};
use modtwin_core::time::Millis;
use modtwin_session::store::StoredTwin;
use modtwin_wire::Inbound;

/// Takes arbitrary bytes; panics where something does not hold.
pub type Target = fn(&[u8]);

/// Every target with its name.
pub const TARGETS: [(&str, Target); 11] = [
    ("emulator-packets", iothub_emulator::fuzzing::packets),
    ("emulator-names", iothub_emulator::fuzzing::names),
    ("emulator-twins", iothub_emulator::fuzzing::twins),
    ("emulator-requests", iothub_emulator::fuzzing::requests),
    ("emulator-log", iothub_emulator::fuzzing::log),
    ("wire", wire),
    ("state", state),
    ("config", config),
    ("local-api", local_api),
    ("local-api-connection", local_api::connection),
    ("local-api-bodies", local_api::bodies),
];

/// Finds a target by its name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

/// A message from the hub: its topic up to the first line's end, its payload after it.
fn wire(bytes: &[u8]) {
    let Some((topic, payload)) = first_line(bytes) else { return };
    let Ok(Inbound::Twin(HubMessage::DesiredPatch { patch, .. })) =
        modtwin_wire::decode(topic, payload)
    else {
        return;
    };
    assert!(patch.keys().all(|key| !key.starts_with('$')), "{patch:?}");
}

/// A state file, and behind a byte 0x1e what the hub says to the session that starts from it: rows
/// of messages as `wire` takes them, separated by the same byte.
fn state(bytes: &[u8]) {
    let mut parts = bytes.split(|byte| *byte == SEPARATOR);
    let Ok(stored) = serde_json::from_slice::<StoredTwin>(parts.next().unwrap_or_default()) else {
        return;
    };
    let written = serde_json::to_vec(&stored).unwrap_or_default();
    let read: Option<StoredTwin> = serde_json::from_slice(&written).ok();
    assert_eq!(read.as_ref(), Some(&stored), "a state file is read back the same");
    let settings = Settings {
        retry_base: Duration::from_secs(1),
        answer_limit: Duration::from_secs(20),
        connect_limit: Duration::from_secs(20),
        resync_every: Duration::from_secs(600),
        plug_and_play: stored.generation % 2 == 1,
        seed: stored.sequence,
    };
    let mut session = Session::new(settings, Durable::from(stored), Millis(0));
    let mut now = Millis(0);
    session.handle_timeout(now);
    settle(&mut session, now);
    session.handle_connected(now);
    settle(&mut session, now);
    session.handle_subscribed(now);
    let mut asked = settle(&mut session, now);
    for message in parts.take(MOST_MESSAGES) {
        now = Millis(now.0 + 7000);
        let Some((topic, payload)) = first_line(message) else { continue };
        if let Ok(Inbound::Twin(message)) = modtwin_wire::decode(topic, payload) {
            session.handle_message(now, answering(message, asked));
        }
        session.handle_timeout(now);
        asked = settle(&mut session, now).or(asked);
    }
    let durable = session.durable();
    assert!(durable.twin.generation >= 1, "generations count from 1");
}

/// Turns an answer to request 0 into one to the request that was really made last.
fn answering(message: HubMessage, asked: Option<RequestId>) -> HubMessage {
    match (message, asked) {
        (HubMessage::Answer { request: RequestId(0), answer }, Some(request)) => {
            HubMessage::Answer { request, answer }
        }
        (message, _) => message,
    }
}

/// Performs effects until none is left: every save succeeds. Gives the last request.
fn settle(session: &mut Session, now: Millis) -> Option<RequestId> {
    let mut asked = None;
    for _ in 0..MOST_EFFECTS {
        match session.poll_effect() {
            Some(Effect::Save) => session.handle_saved(now, true),
            Some(Effect::Send { id, .. }) => asked = Some(id),
            Some(_) => {}
            None => return asked,
        }
    }
    panic!("the session's effects do not end");
}

/// One or more config files, separated by bytes 0x1e.
fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let source = |(number, text): (usize, &str)| Source {
        path: PathBuf::from(format!("etc/{number}.toml")),
        text: text.to_owned(),
    };
    let sources: Vec<Source> =
        text.split(char::from(SEPARATOR)).enumerate().map(source).take(4).collect();
    match Config::check(&sources) {
        Ok(config) => {
            assert!(ConfigDiff::between(&config, &config).is_empty(), "differs from itself");
        }
        Err(problems) => assert!(problems.count() > 0, "refused without a problem"),
    }
}

/// A request to the local API, and a line of its streams.
fn local_api(bytes: &[u8]) {
    modtwind::local_api::fuzzing::request(bytes);
    let _event = modtwin_api::Event::parse(bytes);
    let _document = serde_json::from_slice::<Document>(bytes);
}

fn first_line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(line).ok()?, rest.get(1..).unwrap_or_default()))
}

const SEPARATOR: u8 = 0x1e;
const MOST_MESSAGES: usize = 32;
const MOST_EFFECTS: usize = 10_000;
