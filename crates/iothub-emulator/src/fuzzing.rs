//! Ways in for fuzzers: each reads arbitrary bytes as one kind of input the emulator gets from outside, and checks what
//! has to hold of the outcome. No part of the library's contract.
#![expect(clippy::panic, reason = "a broken rule is a finding, and a fuzzer finds by panics")]

use std::cell::OnceCell;
use std::sync::Arc;

use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::clock::{Clock, Moment};
use crate::config::Config;
use crate::http::Call;
use crate::hub::Hub;
use crate::identity::IdentityKey;
use crate::link::connect::UserName;
use crate::packet::{Packet, decode, encode};
use crate::policy::Policy;
use crate::registry::Registry;
use crate::sas::{Key, Token};
use crate::store::{Store, lines};
use crate::topic::{self, Request};
use crate::twin::{Document, ServiceWrite, Twin};
use crate::{control, rest, server};

/// Reads packets until the bytes end or are none; what was read is written and read again.
pub fn packets(bytes: &[u8]) {
    let mut input = BytesMut::from(bytes);
    while let Ok(Some(packet)) = decode(&mut input, MOST_PACKET_BYTES) {
        let mut written = BytesMut::new();
        if encode(&packet, &mut written).is_err() {
            panic!("cannot write what was read: {packet:?}");
        }
        let again = decode(&mut written, MOST_PACKET_BYTES);
        // Another level's packet is not understood behind its level, and so not written whole.
        let is_other_level = matches!(packet, Packet::OtherLevel(_));
        assert!(is_other_level || again == Ok(Some(packet)), "read {again:?} the second time");
    }
}

/// Reads a text as user name, topic, filter, property bag, and token.
pub fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let key = IdentityKey::module("d", "m");
    if let Some(user) = UserName::parse(text) {
        assert!(!user.key.device.is_empty() && user.key.module.as_deref() != Some(""), "{user:?}");
    }
    let request = Request::parse(text, &key);
    if let Some(Request::Telemetry { bag }) = &request {
        assert!(!bag.contains('/'), "a bag ends a topic: {bag}");
    }
    let is_own = text.starts_with("$iothub/") || text.starts_with("devices/d/modules/m/");
    assert!(is_own || request.is_none(), "{text}");
    assert!(is_own || !topic::may_subscribe(text, &key), "{text}");
    let _properties = crate::link::properties(text);
    if let (Some(token), Some(key)) = (Token::parse(text), Key::parse(KEY)) {
        let _signed = token.is_signed_by(&key);
        let _covered = token.covers("localhost", &["devices", "d", "modules", "m"]);
    }
}

/// Applies a row of JSON objects to a twin, by turns as report, desired patch, tags patch and replacement. Sizes stay
/// within their limits, versions count accepted writes, notifications lead to what is stored, and it all survives JSON.
pub fn twins(bytes: &[u8]) {
    let now = Clock::new().now();
    let mut twin = Twin::fresh(now);
    let documents = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    for (turn, document) in documents.map_while(Result::ok).take(MOST_WRITES).enumerate() {
        if let Value::Object(document) = document {
            write(&mut twin, turn, document, now);
        }
    }
    let text = serde_json::to_vec(&twin).unwrap_or_default();
    let read: Option<Twin> = serde_json::from_slice(&text).ok();
    assert_eq!(read.as_ref(), Some(&twin), "a stored twin is read back the same");
    twin.service_view(&mut Document::new());
}

fn write(twin: &mut Twin, turn: usize, document: Document, now: Moment) {
    let before = twin.clone();
    let (versions, seen) =
        ((twin.desired_version(), twin.reported_version()), device_section(twin, "desired"));
    let outcome = match turn % 4 {
        0 => twin.report(&document, None, now).map(|_| None),
        1 => twin
            .patch(ServiceWrite { tags: None, desired: Some(document) }, now)
            .map(|written| written.desired),
        2 => twin
            .patch(ServiceWrite { tags: Some(document), desired: None }, now)
            .map(|written| written.desired),
        _ => twin
            .replace(ServiceWrite { tags: None, desired: Some(document) }, now)
            .map(|written| written.desired),
    };
    let Ok(announced) = outcome else {
        return assert_eq!(*twin, before, "a refused write changes nothing");
    };
    let grown = (u64::from(turn % 4 == 1 || turn % 4 == 3), u64::from(turn.is_multiple_of(4)));
    let expected = (versions.0 + grown.0, versions.1 + grown.1);
    assert_eq!((twin.desired_version(), twin.reported_version()), expected);
    if let Some(patch) = announced {
        let mut seen = seen;
        merge(&mut seen, &patch);
        let now_stored = device_section(twin, "desired");
        assert_eq!(seen, now_stored, "a device that applies the notification has what is stored");
    }
}

fn device_section(twin: &Twin, name: &str) -> Document {
    let view: Value = serde_json::from_slice(&twin.device_view()).unwrap_or_default();
    let mut section = view.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    section.remove("$version");
    section
}

/// RFC 7396, section 2, word for word: not the hub's own merge, which is judged by it.
fn merge(target: &mut Document, patch: &Document) {
    for (name, value) in patch {
        match value {
            Value::Null => {
                target.remove(name);
            }
            Value::Object(patch) => {
                let slot = target.entry(name.clone()).or_insert(Value::Null);
                let mut inner = slot.as_object().cloned().unwrap_or_default();
                merge(&mut inner, patch);
                *slot = Value::Object(inner);
            }
            other => {
                target.insert(name.clone(), other.clone());
            }
        }
    }
}

/// Carries out requests of the service and control APIs, separated by bytes 0x1e, on a hub with one device and one
/// module. A request: `METHOD TARGET`, lines of headers, an empty line, the body. A token is put in where none is.
pub fn requests(bytes: &[u8]) {
    thread_local!(static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() });
    RUNTIME.with(|runtime| {
        let runtime = runtime.get_or_init(|| {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_all().build().unwrap_or_else(|error| panic!("no runtime: {error}"))
        });
        runtime.block_on(async {
            let Some((hub, token)) = small_hub() else { panic!("no hub") };
            let prepared: [&[u8]; 2] = [
                b"PUT /devices/d?api-version=2021-04-12\n\n{}",
                b"PUT /devices/d/modules/m?api-version=2021-04-12\n\n{}",
            ];
            let requests = bytes.split(|byte| *byte == 0x1e).take(MOST_WRITES);
            for request in prepared.into_iter().chain(requests) {
                if let Some(call) = call(request, &token) {
                    Box::pin(carry_out(&hub, &call)).await;
                }
            }
        });
    });
}

async fn carry_out(hub: &Arc<Hub>, call: &Call) {
    let is_control = call.path.first().is_some_and(|first| first == "emulator");
    let response = match is_control {
        true => control::answer(hub, call).await,
        false => rest::answer(hub, call).await,
    };
    let status = response.status().as_u16();
    let is_planned = matches!(status, 200..=299 | 400..=499) || !hub.faults.in_force().is_empty();
    assert!(is_planned || status == 504, "{call:?} gave {status}");
}

fn small_hub() -> Option<(Arc<Hub>, HeaderValue)> {
    let policies = Policy::defaults().ok()?;
    let key = policies.first()?.keys().first()?.expose().to_owned();
    let (_stop, stopped) = watch::channel(false);
    let parts = (policies, Registry::default(), Store::ephemeral());
    let hub = Arc::new(server::hub(Config::default(), parts, stopped));
    let engine = base64::engine::general_purpose::STANDARD;
    let secret = PKey::hmac(&engine.decode(key).ok()?).ok()?;
    let mut signer = Signer::new(MessageDigest::sha256(), &secret).ok()?;
    signer.update(b"localhost\n9999999999").ok()?;
    let signature = engine.encode(signer.sign_to_vec().ok()?);
    let signature = utf8_percent_encode(&signature, NON_ALPHANUMERIC);
    let token =
        format!("SharedAccessSignature sr=localhost&sig={signature}&se=9999999999&skn=iothubowner");
    Some((hub, HeaderValue::from_str(&token).ok()?))
}

fn call(bytes: &[u8], token: &HeaderValue) -> Option<Call> {
    let (head, body) = match bytes.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (bytes.get(..at)?, bytes.get(at + 2..)?),
        None => (bytes, &[][..]),
    };
    let mut lines = std::str::from_utf8(head).ok()?.split('\n');
    let (method, target) = lines.next()?.split_once(' ')?;
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, token.clone());
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.insert(name, HeaderValue::from_str(value).ok()?);
    }
    let target: hyper::Uri = target.parse().ok()?;
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    Some(Call::new(method, &target, headers, Bytes::copy_from_slice(body)))
}

/// Reads a log as a start after a crash does; what is kept of it is read again to the same.
pub fn log(bytes: &[u8]) {
    let Ok((kept, contents)) = lines::compact(bytes) else { return };
    let Ok((again, contents_again)) = lines::compact(&kept) else {
        panic!("what was kept of a log is no log");
    };
    assert_eq!(kept, again, "compacting twice is compacting once");
    assert_eq!(contents.records.len(), contents_again.records.len());
    let registry = Registry::default();
    registry.restore(contents.records);
    let _all = registry.all();
}

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const MOST_PACKET_BYTES: usize = 262_144;
const MOST_WRITES: usize = 16;
