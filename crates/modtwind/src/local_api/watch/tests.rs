//! Streams over a real socket pair, from views that the tests publish.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use modtwin_core::document::{Document, merge};
use modtwin_core::status::{HubState, Reason};
use modtwin_session::view::{HubView, Section};
use nix::sys::socket::{getsockopt, sockopt};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::local_api::peer::Peer;
use crate::local_api::server::{Limits, Shared};
use crate::local_api::transport::{Gate, Transport};

const DEADLINE: Duration = Duration::from_secs(20);

fn view(version: u64, desired: Value) -> Arc<ModuleView> {
    Arc::new(ModuleView {
        module: ModuleId::new("m").unwrap(),
        hub: HubView {
            state: HubState::Connected,
            reason: Reason::Ok,
            detail: None,
            since: SystemTime::UNIX_EPOCH,
            next_attempt: None,
        },
        generation: 1,
        desired: match desired {
            Value::Object(document) => Some(Arc::new(Section { version, document })),
            _ => None,
        },
        reported: None,
        pending: Arc::new(Document::new()),
        applied: Arc::new(Vec::new()),
        quarantined: Arc::new(Vec::new()),
        as_of: None,
        stale: false,
        connects: 1,
        credential_expires: None,
        storage_problem: None,
        damage: None,
        expected: Arc::default(),
        sizes: modtwin_session::view::Sizes::default(),
    })
}

/// One open stream and everything that can happen to it.
struct Scene {
    views: watch::Sender<Arc<ModuleView>>,
    registry: watch::Sender<Arc<Registry>>,
    stop: watch::Sender<bool>,
    watchers: Watchers,
    lines: BufReader<UnixStream>,
    server: JoinHandle<()>,
}

impl Scene {
    /// A stream over `first`, whose heartbeat comes after `heartbeat`.
    async fn open(first: Arc<ModuleView>, heartbeat: Duration) -> Self {
        let (views, follow) = watch::channel(first);
        let (registry, served) = watch::channel(Arc::new(Registry::scripted()));
        let (stop, stopping) = watch::channel(false);
        let (admin, _commands) = mpsc::channel(1);
        let limits = Limits { heartbeat, ..Limits::default() };
        let watchers = Watchers::default();
        let shared = Shared { registry: served, admin, limits, watchers: watchers.clone() };
        let gate = Arc::new(Gate::default());
        let root = Peer::scripted(0, 0, &[]);
        let caller = Caller::scripted(Arc::new(shared), root, stopping, Arc::clone(&gate));
        let module = follow.borrow().module.clone();
        let begun = Begun {
            seen: Arc::clone(&registry.borrow()),
            wish: Wish { module: module.clone(), handler: None, paths: Vec::new() },
            views: follow,
            scope: Scope::All,
            since: None,
        };
        let watching = watchers.enter(&module, vec!["hvac".to_owned()]);
        let follower = Follower::begin(Arc::clone(&caller), begun, watching);
        let follower = Mutex::new(Some(follower));
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let service = service_fn(move |_| {
            let follower = follower.lock().unwrap().take().unwrap();
            let answer = lines::answer(&caller, follower);
            async move { Ok::<_, Infallible>(answer) }
        });
        let server = tokio::spawn(async move {
            let transport = Transport::new(theirs, gate);
            // A reader that leaves is no failure of the stream.
            let _left = http1::Builder::new().serve_connection(transport, service).await;
        });
        ours.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let lines = BufReader::new(ours);
        Self { views, registry, stop, watchers, lines, server }
    }

    /// The next event; none at the stream's end.
    async fn event(&mut self) -> Option<Value> {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line);
            let count = tokio::time::timeout(DEADLINE, read).await.expect("a line").unwrap();
            // Header fields and the sizes of chunks are passed over.
            match serde_json::from_str::<Value>(&line) {
                Ok(Value::Object(event)) => return Some(Value::Object(event)),
                _ if count == 0 || line == "0\r\n" => return None,
                _ => {}
            }
        }
    }

    fn is_watched(&self) -> bool {
        self.watchers.is_watching(&ModuleId::new("m").unwrap(), "hvac")
    }
}

/// No heartbeat within a test.
const NEVER: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_change_comes_after_the_snapshot() {
    let mut scene = Scene::open(view(1, json!({"a": 1})), NEVER).await;
    assert_eq!(scene.event().await.unwrap()["type"], "snapshot");
    scene.views.send_replace(view(2, json!({"a": 2})));
    let event = scene.event().await.unwrap();
    assert_eq!((&event["version"], &event["patch"]), (&json!(2), &json!({"a": 2})));
}

#[tokio::test]
async fn a_quiet_stream_beats() {
    let mut scene = Scene::open(view(1, json!({})), Duration::from_millis(20)).await;
    assert_eq!(scene.event().await.unwrap()["type"], "snapshot");
    for _ in 0..3 {
        assert_eq!(scene.event().await.unwrap(), json!({"type": "heartbeat"}));
    }
}

#[tokio::test]
async fn a_module_that_leaves_the_registry_ends_its_streams_with_removed() {
    let mut scene = Scene::open(view(1, json!({})), NEVER).await;
    assert_eq!(scene.event().await.unwrap()["type"], "snapshot");
    assert!(scene.is_watched());
    scene.registry.send_replace(Arc::new(Registry::scripted()));
    assert_eq!(scene.event().await.unwrap(), json!({"type": "removed", "module": "m"}));
    assert_eq!(scene.event().await, None);
}

#[tokio::test]
async fn a_stopping_daemon_ends_streams_without_saying_that_the_module_is_gone() {
    let mut scene = Scene::open(view(1, json!({})), NEVER).await;
    assert_eq!(scene.event().await.unwrap()["type"], "snapshot");
    scene.stop.send_replace(true);
    assert_eq!(scene.event().await, None);
}

#[tokio::test]
async fn a_session_that_ended_leaves_the_stream_open_until_the_registry_says_more() {
    let mut scene = Scene::open(view(1, json!({})), Duration::from_millis(20)).await;
    assert_eq!(scene.event().await.unwrap()["type"], "snapshot");
    let (other, _) = watch::channel(view(1, json!({})));
    drop(std::mem::replace(&mut scene.views, other));
    assert_eq!(scene.event().await.unwrap()["type"], "heartbeat");
    assert_eq!(scene.event().await.unwrap()["type"], "heartbeat");
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_stream_at_once() {
    let mut scene = Scene::open(view(1, json!({})), NEVER).await;
    assert_eq!(scene.event().await.unwrap()["type"], "snapshot");
    assert!(scene.is_watched());
    let (unused, _) = UnixStream::pair().unwrap();
    drop(std::mem::replace(&mut scene.lines, BufReader::new(unused)));
    tokio::time::timeout(DEADLINE, &mut scene.server).await.expect("the end").unwrap();
    assert!(!scene.is_watched());
}

#[tokio::test]
async fn what_waits_for_a_slow_reader_is_merged_into_the_newest() {
    const CHANGES: u64 = 2000;
    let filler = "x".repeat(8 * 1024);
    let at = |version: u64| json!({"n": version, "text": format!("{version} {filler}")});
    let mut scene = Scene::open(view(0, at(0)), NEVER).await;
    for version in 1..=CHANGES {
        scene.views.send_replace(view(version, at(version)));
        // Gives the stream every chance to say something.
        tokio::task::yield_now().await;
    }
    let mut copy = Document::new();
    let mut last = 0;
    let mut count = 0_u64;
    while last < CHANGES {
        let event = scene.event().await.unwrap();
        let version = event["version"].as_u64().unwrap();
        if event["type"] == "desired" {
            assert!(version > last, "versions rise strictly: {last}, {version}");
            merge(&mut copy, event["patch"].as_object().unwrap());
        } else {
            copy = event["desired"].as_object().unwrap().clone();
        }
        assert_eq!(Some(&copy), event["desired"].as_object());
        (last, count) = (version, count + 1);
    }
    // What the socket's buffer takes, the snapshot, the line that waits and the newest.
    let line = 2 * filler.len();
    let buffer = getsockopt(scene.lines.get_ref(), sockopt::SndBuf).unwrap();
    let most = u64::try_from(buffer / line + 3).unwrap();
    assert!(count <= most, "{count} events for {CHANGES} changes, expected at most {most}");
}
